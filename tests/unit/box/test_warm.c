/* test_warm.c - sandboxes made ahead: who gets them, who never does, and what becomes of those
 * that die, stop, or cannot be made. */
#include "unit/loop.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "unit/box/box_harness.h"
#include "fiber/fiber.h"
#include "sandbox/spec.h"

static void wait_warm(struct box_host *h, size_t n)
{
    for (int i = 0; box_host_warm(h) != n; i++) {
        if (i == 4000)
            fail_msg("%zu stand ready, not %zu", box_host_warm(h), n);
        assert_int_equal(fiber_sleep_ms(5), 0);
    }
}

/* ---- who gets one ---- */

/* Numbers of processes come again, on a machine with fork bombs in its tests within seconds: a
 * process is its number and its start time. */
struct identity {
    int pid;
    unsigned long long start;
};

static struct identity identify(struct box *b)
{
    struct identity id = {.pid = box_pid(b)};
    AUTO_FREE char *path = mem_printf("/proc/%d/stat", id.pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    /* "PID (name) S ...": the start time is field 22 */
    assert_int_equal(fscanf(f,
                            "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d "
                            "%*d %*d %*d %*d %*d %*d %llu",
                            &id.start),
                     1);
    fclose(f);
    return id;
}

/* Every claim gets a sandbox that nobody has had before: no file, variable or process of another
 * session is in it, and no init comes twice. */
static int no_sandbox_is_given_twice(void *arg)
{
    (void)arg;
    struct box_host_config cfg = {.warm = 2};
    struct box_host *h = harness_start(&cfg);
    struct identity seen[12];
    for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
        if (i % 3 != 2) /* every third finds the pool as the last claims have left it */
            wait_warm(h, 2);
        struct box *b = harness_open(h, NULL);
        seen[i] = identify(b);
        for (size_t k = 0; k < i; k++)
            assert_false(seen[i].pid == seen[k].pid && seen[i].start == seen[k].start);
        harness_expect(
            b,
            "ls -A /workspace /tmp /dev/shm | grep -v : | grep -v sallyport | wc -w; echo "
            "${X-unset}; pgrep sleep | wc -l",
            "0\nunset\n0");
        harness_expect(
            b,
            "X=secret; echo $X >/workspace/f; echo $X >/tmp/f; echo $X >/dev/shm/f; sleep "
            "7100 & echo done",
            "done");
        box_close(b);
    }
    box_host_stop(h);
    return 0;
}

ON_LOOP(no_sandbox_is_given_twice)

/* A claim is served from the pool only when it wants what the pool holds. */
static int a_warm_one_fits_only_its_specification(void *arg)
{
    (void)arg;
    char *dir = outside_dir();
    struct sandbox_spec s, same, other;
    sandbox_spec_init(&s);
    sandbox_spec_init(&same);
    sandbox_spec_init(&other);
    assert_int_equal(sandbox_spec_add_env(&s, "COLOUR", "blue", NULL), 0);
    assert_int_equal(sandbox_spec_add_env(&same, "COLOUR", "blue", NULL), 0);
    assert_int_equal(sandbox_spec_add_env(&other, "COLOUR", "red", NULL), 0);
    struct box_host_config cfg = {.state_dir = dir, .warm = 1, .warm_spec = &s};
    struct box_host *h = harness_start(&cfg);
    wait_warm(h, 1);
    struct box_spec want_other = {.sandbox = &other}, want_default = {.session_id = "x"},
                    want_disk = {.sandbox = &s, .disk_workspace = true},
                    want_same = {.session_id = "sesn_same", .sandbox = &same};
    struct box *a = harness_open(h, &want_other), *b = harness_open(h, &want_default),
               *c = harness_open(h, &want_disk);
    assert_int_equal(box_host_warm(h), 1); /* untouched */
    harness_expect(a, "echo $COLOUR", "red");
    harness_expect(b, "echo ${COLOUR-none}", "none");
    harness_expect(c, "echo $COLOUR; df /workspace | grep tmpfs | wc -l", "blue\n0");
    struct box *d = harness_open(h, &want_same);
    assert_int_equal(box_host_warm(h), 0);
    harness_expect(d, "echo $COLOUR", "blue");
    wait_warm(h, 1); /* and filled again */
    box_close(a);
    box_close(b);
    box_close(c);
    box_close(d);
    box_host_stop(h);
    sandbox_spec_done(&s);
    sandbox_spec_done(&same);
    sandbox_spec_done(&other);
    outside_dir_gone(dir);
    return 0;
}

/* A host that tries its specification has the pool's first sandbox when it is there. */
static int a_trial_makes_the_first(void *arg)
{
    (void)arg;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    struct box_host_config cfg = {.warm = 2, .warm_spec = &s, .trial = true};
    struct box_host *h = harness_start(&cfg);
    assert_int_equal(box_host_warm(h), 1);
    wait_warm(h, 2);
    box_host_stop(h);
    assert_int_equal(sandbox_spec_add_bind(&s, "/tmp", "/usr/x", false, NULL), 0);
    for (cfg.warm = 0; cfg.warm < 2; cfg.warm++) {
        struct err e = {.code = 0};
        assert_int_equal(box_host_start(&cfg, &h, &e), -EIO);
        assert_non_null(strstr(e.msg, "no session could be served: "));
        assert_non_null(strstr(e.msg, "bind target /usr/x"));
    }
    sandbox_spec_done(&s);
    return 0;
}

ON_LOOP(a_trial_makes_the_first)

ON_LOOP(a_warm_one_fits_only_its_specification)

/* More claims at once than stand ready: nobody waits for a refill, everybody gets one. */
static int opener(void *arg)
{
    struct box *b = harness_open(arg, NULL);
    harness_expect(b, "echo $((6 * 7)); ls -A /workspace | wc -l; touch /workspace/x", "42\n0");
    box_close(b);
    return 0;
}

static int many_claims_at_once_are_served(void *arg)
{
    (void)arg;
    struct box_host_config cfg = {.warm = 3};
    struct box_host *h = harness_start(&cfg);
    wait_warm(h, 3);
    struct scope s;
    scope_init(&s);
    for (int i = 0; i < 20; i++)
        assert_int_equal(fiber_spawn(&s, "opener", opener, h, NULL), 0);
    assert_int_equal(scope_join(&s), 0);
    scope_done(&s);
    wait_warm(h, 3);
    box_host_stop(h);
    return 0;
}

ON_LOOP(many_claims_at_once_are_served)

/* ---- those that are not fit ---- */

static pid_t children[16];

/* The inits below `zygote`, into `children`. */
static size_t inits_of(pid_t zygote)
{
    return outside_children(zygote, children, ARRAY_LEN(children));
}

/* The same when there are `n`: dead ones are its children until it has reaped them. */
static void wait_inits(pid_t zygote, size_t n)
{
    for (int i = 0; inits_of(zygote) != n; i++) {
        assert_true(i < 4000);
        assert_int_equal(fiber_sleep_ms(5), 0);
    }
}

static int unfit_ones_are_thrown_away(void *arg)
{
    (void)arg;
    struct box_host_config cfg = {.warm = 2};
    struct box_host *h = harness_start(&cfg);
    struct box *b = harness_open(h, NULL); /* to know the zygote */
    pid_t zygote = outside_parent(box_pid(b));
    box_close(b);
    wait_warm(h, 2);

    /* Killed: noticed without a claim, and replaced. */
    wait_inits(zygote, 2);
    pid_t victims[2] = {children[0], children[1]};
    for (int i = 0; i < 2; i++)
        assert_int_equal(kill(victims[i], SIGKILL), 0);
    for (int i = 0;; i++) {
        assert_true(i < 4000);
        if (box_host_warm(h) == 2 && inits_of(zygote) == 2 && children[0] != victims[0] &&
            children[1] != victims[1] && children[0] != victims[1])
            break;
        assert_int_equal(fiber_sleep_ms(5), 0);
    }
    b = harness_open(h, NULL);
    harness_expect(b, "echo fit", "fit");
    box_close(b);
    wait_warm(h, 2);

    /* Killed in the moment of the claim: no time to notice by itself. */
    wait_inits(zygote, 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(kill(children[i], SIGKILL), 0);
    b = harness_open(h, NULL);
    harness_expect(b, "echo fit", "fit");
    box_close(b);
    wait_warm(h, 2);

    /* Stopped: alive as far as its pidfd goes, but it does not answer. */
    wait_inits(zygote, 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(kill(children[i], SIGSTOP), 0);
    b = harness_open(h, NULL);
    harness_expect(b, "echo fit", "fit");
    box_close(b);
    wait_warm(h, 2);

    /* The zygote is killed: all that stood ready go with it, and the next claim gets one of its
     * successor's. */
    AUTO_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, zygote, 0);
    assert_int_equal(kill(zygote, SIGKILL), 0);
    struct pollfd gone = {.fd = pidfd, .events = POLLIN};
    assert_int_equal(poll(&gone, 1, 10000), 1); /* the kernel has told its children by then */
    b = harness_open(h, NULL);
    assert_int_not_equal(outside_parent(box_pid(b)), zygote);
    harness_expect(b, "echo fit", "fit");
    box_close(b);
    wait_warm(h, 2);
    box_host_stop(h);
    return 0;
}

ON_LOOP(unfit_ones_are_thrown_away)

/* ---- refills that fail ---- */

static size_t count(const char *text, const char *word)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, word)); p++)
        n++;
    return n;
}

/* Waits until `words` are in the log; text, of 8192 bytes, gets all of it. */
static void wait_logged(int log_fd, char *text, const char *words)
{
    for (int i = 0;; i++) {
        ssize_t n = pread(log_fd, text, 8191, 0);
        assert_true(n >= 0);
        text[n] = '\0';
        if (strstr(text, words))
            return;
        if (i == 4000)
            fail_msg("\"%s\" was never logged: %s", words, text);
        assert_int_equal(fiber_sleep_ms(5), 0);
    }
}

static int failed_refills_back_off(void *arg)
{
    (void)arg;
    AUTO_CLOSE int log_fd = memfd_create("log", MFD_CLOEXEC);
    log_test_set_fd(log_fd);
    char *dir = outside_dir();
    AUTO_FREE char *source = mem_printf("%s/source", dir);
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_bind(&s, source, "/data/source", false, NULL), 0);
    struct box_host_config cfg = {.warm = 1, .warm_spec = &s};
    struct box_host *h = harness_start(&cfg);
    AUTO_FREE char *text = mem_zalloc(8192);
    wait_logged(log_fd, text, "no warm sandbox could be made");
    assert_int_equal(fiber_sleep_ms(1500), 0); /* for a second try, which must not be logged */
    assert_int_equal(box_host_warm(h), 0);
    struct box_spec spec = {.sandbox = &s};
    struct box *b = NULL;
    struct err e = {.code = 0};
    assert_true(box_open(h, &spec, &b, &e) < 0); /* a claim does not wait for the pool to recover */
    assert_non_null(strstr(e.msg, source));
    b = harness_open(h, NULL); /* and one that wants something else works */
    box_close(b);
    assert_int_equal(mkdir(source, 0755), 0);
    wait_warm(h, 1);
    b = harness_open(h, &spec);
    harness_expect(b, "ls -d /data/source", "/data/source");
    box_close(b);
    box_host_stop(h);
    sandbox_spec_done(&s);
    log_test_set_fd(2);
    wait_logged(log_fd, text, "warm sandboxes can be made again");
    assert_int_equal(count(text, "no warm sandbox could be made"), 1); /* once per reason */
    assert_int_equal(count(text, "warm sandboxes can be made again"), 1);
    assert_int_equal(rmdir(source), 0);
    outside_dir_gone(dir);
    return 0;
}

ON_LOOP(failed_refills_back_off)

/* ---- the end ---- */

static const char *doomed_dir;

static int doomed_fiber(void *arg)
{
    struct box_host_config cfg = {.state_dir = doomed_dir, .warm = 4};
    struct box_host *h = harness_start(&cfg);
    struct box *b = harness_open(h, NULL);
    pid_t zygote = outside_parent(box_pid(b));
    wait_warm(h, 4);
    pid_t pids[6] = {zygote};
    wait_inits(zygote, 5);
    memcpy(pids + 1, children, 5 * sizeof(pid_t));
    assert_int_equal(write(*(int *)arg, pids, sizeof(pids)), sizeof(pids));
    return fiber_sleep_ms(60000);
}

static void a_killed_worker_leaves_nothing(void **state)
{
    (void)state;
    char *dir = outside_dir();
    doomed_dir = dir;
    struct harness_worker worker;
    pid_t pids[6];
    harness_worker_start(&worker, doomed_fiber, pids, sizeof(pids));
    for (size_t i = 0; i < ARRAY_LEN(pids); i++)
        harness_worker_watch(&worker, pids[i]);
    harness_worker_kill(&worker);
    AUTO_FREE char *remove = mem_printf("rm -rf %s/*", dir);
    assert_int_equal(system(remove), 0);
    outside_dir_gone(dir);
}

static int stop_closes_what_is_ready(void *arg)
{
    (void)arg;
    struct box_host_config cfg = {.warm = 3};
    struct box_host *h = harness_start(&cfg);
    struct box *b = harness_open(h, NULL);
    pid_t zygote = outside_parent(box_pid(b));
    box_close(b);
    wait_warm(h, 3);
    wait_inits(zygote, 3);
    box_host_stop(h);
    for (int i = 0; i < 3; i++)
        assert_int_equal(kill(children[i], 0), -1);
    h = harness_start(&cfg); /* stopped in the middle of the first refill */
    assert_int_equal(fiber_yield(), 0);
    box_host_stop(h);
    return 0;
}

ON_LOOP(stop_closes_what_is_ready)

/* ---- how long it takes: printed, not judged (other work shares the machine) ---- */

static int compare(const void *a, const void *b)
{
    int64_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

static int forty_claims_are_served_and_timed(void *arg)
{
    (void)arg;
    enum { N = 40 };
    for (size_t warm = 0; warm <= 2; warm += 2) {
        struct box_host_config cfg = {.warm = warm};
        struct box_host *h = harness_start(&cfg);
        int64_t us[N];
        for (int i = 0; i < N; i++) {
            wait_warm(h, warm);
            assert_int_equal(fiber_sleep_ms(20), 0);
            int64_t began = time_mono_ns();
            struct box *b = harness_open(h, NULL);
            harness_expect(b, "echo x", "x");
            us[i] = (time_mono_ns() - began) / 1000;
            box_close(b);
        }
        qsort(us, N, sizeof(us[0]), compare);
        print_message("claim to first output, pool of %zu: median %lld us, best %lld, p90 %lld\n",
                      warm, (long long)us[N / 2], (long long)us[0], (long long)us[N * 9 / 10]);
        box_host_stop(h);
    }
    return 0;
}

ON_LOOP(forty_claims_are_served_and_timed)

int main(int argc, char **argv)
{
    int role = harness_role(argc, argv);
    if (role >= 0)
        return role;
    const struct CMUnitTest tests[] = {
        CASE(no_sandbox_is_given_twice),
        CASE(a_warm_one_fits_only_its_specification),
        CASE(a_trial_makes_the_first),
        CASE(many_claims_at_once_are_served),
        CASE(unfit_ones_are_thrown_away),
        CASE(failed_refills_back_off),
        cmocka_unit_test(a_killed_worker_leaves_nothing),
        CASE(stop_closes_what_is_ready),
        CASE(forty_claims_are_served_and_timed),
    };
    cmocka_set_test_filter(argc == 2 ? argv[1] : NULL); /* by hand: one of them */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
