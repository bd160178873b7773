/* box_harness.c - the helpers of box_harness.h.
 *
 * Each fails the test it is called from, with words, instead of handing an error back. Those that
 * open or call run on fibers. */
#include "unit/box/box_harness.h"

#include "unit/loop.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "box/oci/oci.h"
#include "fiber/fiber.h"
#include "sandbox/init/standalone.h"
#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int harness_role(int argc, char **argv)
{
    if (argc >= 2 && str_eq(argv[1], "zygote")) {
        unsigned how = 0;
        for (int i = 2; i < argc; i++)
            how |= str_eq(argv[i], "single") ? ZYGOTE_SINGLE : ZYGOTE_QUIET;
        return zygote_main(3, how);
    }
    if (argc == 3 && str_eq(argv[1], "init"))
        return standalone_main(argv[2]);
    if (argc >= 3 && str_eq(argv[1], "launch"))
        return oci_launch_main(argc - 1, argv + 1);
    return -1;
}

struct box_host *harness_start(const struct box_host_config *cfg)
{
    struct box_host *h = NULL;
    struct err e = {.code = 0};
    if (box_host_start(cfg, &h, &e) < 0)
        fail_msg("host: %s", e.msg);
    return h;
}

struct box *harness_open(struct box_host *h, const struct box_spec *spec)
{
    static const struct box_spec plain = {.session_id = "sesn_test"};
    struct box *b = NULL;
    struct err e = {.code = 0};
    if (box_open(h, spec ? spec : &plain, &b, &e) < 0)
        fail_msg("box: %s", e.msg);
    return b;
}

struct tool_answer harness_call(struct box *b, const char *tool, const char *input_json)
{
    struct err e = {.code = 0};
    AUTO_JSON json_t *in = NULL;
    if (json_parse(input_json, strlen(input_json), &in, &e) < 0)
        fail_msg("the test's input is no JSON: %s", input_json);
    struct box_result res = {.content = NULL};
    struct tool_answer a = {.code = box_call(b, tool, in, 0, &res, &e)};
    if (a.code == 0) {
        const char *text = json_get_str(json_array_get(res.content, 0), "text");
        a.is_error = res.is_error;
        a.text = text ? mem_strdup(text) : NULL;
    }
    box_result_done(&res);
    return a;
}

struct tool_answer harness_bash(struct box *b, const char *command)
{
    AUTO_JSON json_t *in = json_object();
    json_put_str(in, "command", command);
    AUTO_FREE char *text = json_text(in, NULL);
    return harness_call(b, "bash", text);
}

void tool_answer_done(struct tool_answer *a)
{
    free(a->text);
}

void harness_expect(struct box *b, const char *command, const char *text)
{
    AUTO(tool_answer) a = harness_bash(b, command);
    if (a.code != 0 || a.is_error || !str_eq(a.text, text))
        fail_msg("%s\n  gave   %d %s\n  wanted %s", command, a.code, a.text ? a.text : "-", text);
}

void harness_worker_start(struct harness_worker *w, int (*fn)(void *report_fd), void *ret_report,
                          size_t n)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    w->n_watched = 0;
    w->pid = fork();
    if (w->pid == 0) {
        run_on_loop(fn, &fds[1]);
        _exit(1);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], ret_report, n), n);
    close(fds[0]);
}

void harness_worker_watch(struct harness_worker *w, pid_t pid)
{
    assert_true(w->n_watched < ARRAY_LEN(w->watched));
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    assert_true(pidfd >= 0);
    w->watched[w->n_watched++] = pidfd;
}

void harness_worker_kill(struct harness_worker *w)
{
    assert_int_equal(kill(w->pid, SIGKILL), 0);
    assert_int_equal(waitpid(w->pid, NULL, 0), w->pid);
    for (size_t i = 0; i < w->n_watched; i++) {
        struct pollfd p = {.fd = w->watched[i], .events = POLLIN};
        assert_int_equal(poll(&p, 1, 10000), 1);
        close(p.fd);
    }
}

static const struct harness_engine isolating[] = {{"native", BOX_NATIVE, NULL, false},
                                                  {"native, one only", BOX_NATIVE, NULL, true},
                                                  {"crun", BOX_OCI, "crun", false},
                                                  {"runc", BOX_OCI, "runc", false}};

/* crun refuses to work with a cgroup2 mount beside version 1 hierarchies; as root the launcher hides
 * it, for an ordinary user it is gone in a mount namespace of the test's own. */
static bool hide_hybrid(void)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return false;
    (void)umount2("/sys/fs/cgroup/unified", MNT_DETACH);
    return true;
}

static void run_as_ordinary(int (*fn)(void *), struct harness_job *j)
{
    assert_int_equal(chown(j->dir, 65534, 65534), 0);
    pid_t child = fork();
    if (child == 0) {
        if (!hide_hybrid() || setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
            setresuid(65534, 65534, 65534) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
            _exit(1);
        run_on_loop(fn, j);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

void harness_each_isolating(int (*fn)(void *job), bool ordinary)
{
    for (size_t i = 0; i < ARRAY_LEN(isolating); i++) {
        struct stat st;
        if (geteuid() != 0 && str_eq(isolating[i].runtime, "crun") &&
            stat("/sys/fs/cgroup/unified", &st) == 0) {
            print_message("crun refuses a host with both versions of control groups\n");
            continue;
        }
        char *dir = outside_dir();
        struct harness_job j = {.engine = &isolating[i], .dir = dir};
        print_message("%s, %s\n", isolating[i].name,
                      ordinary || geteuid() != 0 ? "an ordinary user" : "root");
        if (ordinary && geteuid() == 0)
            run_as_ordinary(fn, &j);
        else
            run_on_loop(fn, &j);
        outside_dir_gone(dir);
    }
}
