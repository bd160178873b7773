/* test_box.c - the worker's client against the real zygote: calls, cancellation that reaches
 * inside, and what is left after a crash (nothing). The test program itself plays the part of
 * `sallyport zygote`. */
#include "unit/loop.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/fiber.h"
#include "sandbox/sandbox.h"
#include "sandbox/spec.h"
#include "unit/box/box_harness.h"
#include "box/box.h"

/* ---- calls ---- */

static int sandboxes_do_not_see_each_other(void *arg)
{
    (void)arg;
    struct box_host *h = harness_start(&(struct box_host_config){.state_dir = NULL});
    struct box *a = harness_open(h, NULL), *b = harness_open(h, NULL);
    harness_expect(a, "X=1; echo one; cd /tmp", "one");
    harness_expect(b, "echo ${X-unset} $PWD", "unset /workspace");
    harness_expect(a, "echo $X $PWD", "1 /tmp");
    AUTO_JSON json_t *in = json_pack("{s:s,s:s}", "file_path", "a/b.txt", "content", "hello\n");
    struct box_result res = {.content = NULL};
    assert_int_equal(box_call(a, "write", in, 0, &res, NULL), 0);
    assert_false(res.is_error);
    assert_string_equal(json_get_str(json_array_get(res.content, 0), "text"),
                        "wrote 6 bytes to a/b.txt");
    box_result_done(&res);
    harness_expect(a, "cat /workspace/a/b.txt", "hello");
    harness_expect(b, "ls /workspace | wc -l", "0");
    box_close(a);
    box_close(b);
    box_close(NULL);
    box_host_stop(h);
    return 0;
}

ON_LOOP(sandboxes_do_not_see_each_other)

/* ---- cancellation ---- */

struct job {
    struct box *box;
    const char *command;
    int result;
    bool done;
    int64_t deadline_ms;
};

static int job_fiber(void *arg)
{
    struct job *j = arg;
    struct fiber_deadline d = fiber_deadline_push(
        j->deadline_ms ? time_mono_ns() + j->deadline_ms * NS_PER_MS : FIBER_NO_DEADLINE);
    AUTO(tool_answer) a = harness_bash(j->box, j->command);
    j->result = a.code;
    fiber_deadline_pop(&d);
    j->done = true;
    return 0;
}

static int cancel_reaches_inside(void *arg)
{
    (void)arg;
    struct box_host *h = harness_start(&(struct box_host_config){.state_dir = NULL});
    struct box *b = harness_open(h, NULL);
    struct scope s;
    scope_init(&s);
    struct fiber *f;
    AUTO_FREE char *word = outside_word(705);
    AUTO_FREE char *command =
        mem_printf("(setsid sleep 4000 & ) ; sh -c 'sleep 4001 & sleep 4002' & sleep %s", word);
    struct job j = {.box = b, .command = command};
    assert_int_equal(fiber_spawn(&s, "job", job_fiber, &j, &f), 0);
    outside_wait_runs(word);
    int64_t began = time_mono_ns();
    fiber_cancel(f);
    assert_int_equal(scope_join(&s), 0);
    print_message("cancel took %lld us\n", (long long)(time_mono_ns() - began) / 1000);
    scope_done(&s);
    assert_int_equal(j.result, -ECANCELED);
    /* box_call has returned: nothing of the call may be alive. */
    harness_expect(b, "pgrep -c sleep; true", "0");
    box_close(b);
    box_host_stop(h);
    return 0;
}

ON_LOOP(cancel_reaches_inside)

static int a_deadline_ends_its_call(void *arg)
{
    (void)arg;
    struct box_host *h = harness_start(&(struct box_host_config){.state_dir = NULL});
    struct box *b = harness_open(h, NULL);
    struct scope s;
    scope_init(&s);
    struct job j = {.box = b, .command = "sleep 4000", .deadline_ms = 50};
    assert_int_equal(fiber_spawn(&s, "job", job_fiber, &j, NULL), 0);
    assert_int_equal(scope_join(&s), 0);
    scope_done(&s);
    assert_int_equal(j.result, -ETIMEDOUT);
    harness_expect(b, "pgrep -c sleep; true", "0");
    box_close(b);
    box_host_stop(h);
    return 0;
}

ON_LOOP(a_deadline_ends_its_call)

/* ---- trouble ---- */

static int a_dead_zygote_is_replaced(void *arg)
{
    (void)arg;
    struct box_host *h = harness_start(&(struct box_host_config){.state_dir = NULL});
    struct box *b = harness_open(h, NULL);
    harness_expect(b, "echo before", "before");
    pid_t zygote = outside_parent(box_pid(b));
    assert_true(zygote > 1);
    assert_int_equal(kill(zygote, SIGKILL), 0);
    int r = 0;
    for (int i = 0; i < 2000 && r == 0; i++) { /* dies with its zygote, a moment later */
        AUTO(tool_answer) a = harness_bash(b, "echo after");
        r = a.code;
        if (r == 0)
            assert_int_equal(fiber_sleep_ms(10), 0);
    }
    assert_true(r < 0);
    box_close(b);
    b = harness_open(h, NULL); /* by a new zygote */
    harness_expect(b, "echo again", "again");
    box_close(b);
    box_host_stop(h);
    return 0;
}

ON_LOOP(a_dead_zygote_is_replaced)

/* Lets this process open `room` descriptors more; the caller puts `before` back. */
static void leave_descriptors(int room, struct rlimit *before)
{
    assert_int_equal(getrlimit(RLIMIT_NOFILE, before), 0);
    int next = dup(0);
    assert_true(next >= 0);
    close(next);
    const struct rlimit tight = {.rlim_cur = (rlim_t)(next + room), .rlim_max = before->rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
}

/* A worker that can open no more files refuses the session that comes, and keeps those it has. */
static int a_full_worker_keeps_its_sessions(void *arg)
{
    (void)arg;
    struct box_host *h = harness_start(&(struct box_host_config){.state_dir = NULL});
    struct box *old = harness_open(h, NULL);
    for (int room = 0; room < 2; room++) {
        struct box *b = NULL;
        struct box_spec spec = {.session_id = "sesn_test"};
        struct err e = {.code = 0};
        struct rlimit before;
        leave_descriptors(room, &before);
        int r = box_open(h, &spec, &b, &e);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(r, -EMFILE);
        if (!strstr(e.msg, "too many files open"))
            fail_msg("the sentence is: %s", e.msg);
        harness_expect(old, "echo still here", "still here");
    }
    struct box *b = harness_open(h, NULL);
    harness_expect(b, "echo room again", "room again");
    box_close(b);
    box_close(old);
    box_host_stop(h);
    return 0;
}

ON_LOOP(a_full_worker_keeps_its_sessions)

static int opener(void *arg)
{
    struct box *b = harness_open(arg, NULL);
    harness_expect(b, "echo $((6 * 7))", "42");
    box_close(b);
    return 0;
}

static int cancelled_opener(void *arg)
{
    struct box *b = NULL;
    struct box_spec spec = {.session_id = NULL};
    assert_int_equal(box_open(arg, &spec, &b, NULL), -ECANCELED);
    assert_null(b);
    return 0;
}

static int many_boxes_work_at_once(void *arg)
{
    (void)arg;
    struct box_host *h = harness_start(&(struct box_host_config){.state_dir = NULL});
    struct scope s;
    scope_init(&s);
    for (int i = 0; i < 20; i++)
        assert_int_equal(fiber_spawn(&s, "opener", opener, h, NULL), 0);
    assert_int_equal(scope_join(&s), 0);
    scope_done(&s);
    /* Cancelled while it opens: the sandbox goes away by itself and the host is none the worse. */
    scope_init(&s);
    struct fiber *f;
    assert_int_equal(fiber_spawn(&s, "opener", cancelled_opener, h, &f), 0);
    assert_int_equal(fiber_yield(), 0);
    scope_done(&s);
    struct box *b = harness_open(h, NULL);
    harness_expect(b, "echo fine", "fine");
    box_close(b);
    box_host_stop(h);
    return 0;
}

ON_LOOP(many_boxes_work_at_once)

/* ---- kill -9 of the worker ---- */

#define N_BOXES 3
static const char *state_dir;

static int doomed_fiber(void *arg)
{
    struct box_host *h = harness_start(&(struct box_host_config){.state_dir = state_dir});
    int pids[N_BOXES];
    for (int i = 0; i < N_BOXES; i++) {
        struct box *b = NULL;
        struct box_spec spec = {.disk_workspace = true};
        struct err e = {.code = 0};
        if (box_open(h, &spec, &b, &e) < 0)
            fail_msg("box: %s", e.msg);
        harness_expect(
            b, "setsid sleep 5000 & mkdir -p deep/er; touch deep/er/file; chmod 0 deep; echo ok",
            "ok");
        pids[i] = box_pid(b);
    }
    assert_int_equal(write(*(int *)arg, pids, sizeof(pids)), sizeof(pids));
    return fiber_sleep_ms(60000);
}

static int sweeping_fiber(void *arg)
{
    (void)arg;
    struct box_host *h = harness_start(&(struct box_host_config){.state_dir = state_dir});
    assert_int_equal(outside_entries(state_dir), 2); /* this run's lock and directory */
    box_host_stop(h);
    assert_int_equal(outside_entries(state_dir), 0);
    return 0;
}

static void a_killed_worker_leaves_nothing(void **state)
{
    (void)state;
    char *dir = outside_dir();
    state_dir = dir;
    struct harness_worker worker;
    int pids[N_BOXES];
    harness_worker_start(&worker, doomed_fiber, pids, sizeof(pids));
    for (int i = 0; i < N_BOXES; i++)
        harness_worker_watch(&worker, pids[i]);
    harness_worker_watch(&worker, outside_parent(pids[0]));
    assert_int_equal(outside_entries(dir), 2);
    harness_worker_kill(&worker);
    assert_int_equal(outside_entries(dir), 2); /* nobody was left to remove it */
    run_on_loop(sweeping_fiber, NULL);
    outside_dir_gone(dir);
}

/* Kills the first child that this process has. */
static int kill_the_first_child(void *arg)
{
    (void)arg;
    pid_t child;
    while (outside_children(getpid(), &child, 1) == 0) {
        int r = fiber_sleep_ms(1);
        if (r < 0)
            return r;
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    return 0;
}

/* A zygote that is killed before it is ready is noticed at once. */
static int a_stillborn_zygote_is_noticed(void *arg)
{
    (void)arg;
    struct box_host *h = NULL;
    struct err e = {.code = 0};
    struct scope s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "killer", kill_the_first_child, NULL, NULL), 0);
    int64_t began_ns = time_mono_ns();
    assert_int_equal(box_host_start(NULL, &h, &e), -E_CLOSED);
    assert_true(time_mono_ns() - began_ns < 8 * NS_PER_S);
    assert_non_null(strstr(e.msg, "the zygote did not start"));
    scope_done(&s);
    return 0;
}

ON_LOOP(a_stillborn_zygote_is_noticed)

/* The caller's limit on the size of files is the programs': what we make for a sandbox is larger. */
static int a_limit_on_files_is_lifted_for_our_own(void *arg)
{
    (void)arg;
    struct rlimit before, now;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit small = {.rlim_cur = 4096, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct box_host *h = NULL;
    struct err e = {.code = 0};
    int r = box_host_start(NULL, &h, &e);
    if (r < 0)
        fail_msg("%s", e.msg);
    struct box *b = harness_open(h, NULL);
    harness_expect(
        b, "(exec 2>/dev/null; head -c 8192 /dev/zero > /tmp/x; true); stat -c %s /tmp/x", "4096");
    box_close(b);
    box_host_stop(h);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &now), 0);
    assert_int_equal(now.rlim_cur, 4096);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    return 0;
}

ON_LOOP(a_limit_on_files_is_lifted_for_our_own)

/* The state directory is looked through on a thread: what is in it may take long to remove. */
static int note_turn(void *arg)
{
    *(bool *)arg = true;
    return 0;
}

static int a_sweep_lets_others_run(void *arg)
{
    (void)arg;
    char *dir = outside_dir();
    assert_int_equal(chmod(dir, 0777), 0); /* refused, so that nothing else is waited for */
    bool turned = false;
    struct scope s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "other", note_turn, &turned, NULL), 0);
    struct box_host *h = NULL;
    struct err e = {.code = 0};
    assert_int_equal(box_host_start(&(struct box_host_config){.state_dir = dir}, &h, &e), -EPERM);
    assert_true(turned);
    assert_non_null(strstr(e.msg, "can be written by others"));
    scope_done(&s);
    outside_dir_gone(dir);
    return 0;
}

ON_LOOP(a_sweep_lets_others_run)

int main(int argc, char **argv)
{
    int role = harness_role(argc, argv);
    if (role >= 0)
        return role;
    const struct CMUnitTest tests[] = {
        CASE(sandboxes_do_not_see_each_other),
        CASE(cancel_reaches_inside),
        CASE(a_deadline_ends_its_call),
        CASE(a_dead_zygote_is_replaced),
        CASE(a_full_worker_keeps_its_sessions),
        CASE(many_boxes_work_at_once),
        cmocka_unit_test(a_killed_worker_leaves_nothing),
        CASE(a_sweep_lets_others_run),
        CASE(a_stillborn_zygote_is_noticed),
        CASE(a_limit_on_files_is_lifted_for_our_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
