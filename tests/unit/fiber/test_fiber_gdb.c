/* tools/gdb/fibers.py against a live process and against its core. The program debugs itself: gdb
 * runs it again as a zoo of fibers in known places, which then aborts. Skipped (77) where gdb is
 * missing. */
#include "fiber/switch.h"
#include "fiber/sync.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SKIPPED 77
#define GDB     "/usr/bin/gdb"

/* ---- the zoo ---- */

static struct waitq cage;

__attribute__((noinline)) static int lion_inner(int tail)
{
    volatile int mane = tail + 4200;
    int r = waitq_wait(&cage);
    return r < 0 ? r : mane;
}

__attribute__((noinline)) static int lion_outer(int tail)
{
    return lion_inner(tail + 1) + 1;
}

/* Not tail calls: each of these is to have a frame. */
static int lion(void *arg)
{
    fiber_set_context("sesn_lion");
    volatile int r = lion_outer(*(int *)arg);
    return r;
}

static int sloth(void *arg)
{
    (void)arg;
    volatile int r = fiber_sleep_ms(3600 * 1000);
    return r;
}

static int hare(void *arg)
{
    (void)arg;
    abort();
}

static int zoo(void)
{
    static int tail = 20;
    struct scope s;
    scope_init(&s);
    waitq_init(&cage);
    if (fiber_spawn(&s, "lion", lion, &tail, NULL) < 0 ||
        fiber_spawn(&s, "sloth", sloth, NULL, NULL) < 0)
        return 1;
    (void)fiber_run_ready();
    if (fiber_spawn(&s, "hare", hare, NULL, NULL) < 0 ||
        fiber_spawn(&s, "newborn", sloth, NULL, NULL) < 0)
        return 1;
    (void)fiber_run_ready();
    return 0;
}

/* ---- the visitors ---- */

static char self[256], script[256], dir[64], core[128];

/* Runs gdb with these arguments after the script; returns its output. */
static void gdb(char *text, size_t cap, const char *const *more)
{
    int p[2], status;
    assert_int_equal(pipe(p), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const char *argv[40] = {
            "gdb", "-nx", "-batch", "-ex", "set width 0", "-ex", "set debuginfod enabled off",
            "-x",  script};
        size_t n = 9;
        while (*more)
            argv[n++] = *more++;
        (void)dup2(p[1], STDOUT_FILENO);
        (void)dup2(p[1], STDERR_FILENO);
        char *const *args;
        const char *const *from = argv;
        memcpy(&args, &from, sizeof(args));
        (void)execv(GDB, args);
        _exit(127);
    }
    (void)close(p[1]);
    size_t n = 0;
    ssize_t got;
    while (n + 1 < cap && (got = read(p[0], text + n, cap - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    (void)close(p[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

static char text[64 << 10];

/* In this order in the text. */
static void expect(const char *what)
{
    static const char *at;
    if (!what) {
        at = text;
        return;
    }
    const char *found = strstr(at, what);
    if (!found) {
        fputs(text, stderr);
        fail_msg("\"%s\" is missing (or out of order)", what);
    }
    at = found + strlen(what);
}

static void expect_zoo(void)
{
    expect(NULL);
    expect("parked    lion                 sesn_lion");
    expect("parked    sloth                -");
    expect("running   hare");
    expect("new       newborn");
    expect("4 fibers");
    expect("fiber 1 \"lion\", parked");
    expect("lion_inner (tail=");
    expect("test_fiber_gdb.c");
    expect("lion_outer (tail=");
    expect("lion (arg=");
    expect("fiber 2 \"sloth\", parked");
    expect("fiber_sleep_until");
    expect("sloth (arg=");
    expect("fiber 3 \"hare\", running");
    expect("hare (arg=");
    expect("fiber 4 \"newborn\", new");
    expect("has not run yet");
    /* Sanitizers move locals to where no debug information follows. */
    expect(SWITCH_ASAN || SWITCH_TSAN ? "mane = " : "mane = 4221");
    expect("hare (arg=");
    expect("there is no live fiber 99");
}

#define LOOK                                                                                       \
    "-ex", "fibers", "-ex", "fiber-bt all", "-ex", "fiber 1", "-ex", "frame function lion_inner",  \
        "-ex", "info locals", "-ex", "fiber none", "-ex", "bt"

static void gdb_lists_the_fibers_of_a_live_process(void **state)
{
    (void)state;
    const char *const live[] = {"-ex",    "run", LOOK,  "-ex", "fiber-bt 99",
                                "--args", self,  "zoo", NULL};
    gdb(text, sizeof(text), live);
    if (strstr(text, "ptrace: Operation not permitted")) {
        print_message("skipped: gdb may not trace processes here\n");
        skip();
    }
    expect_zoo();
}

/* The kernel's core, not gdb's: gdb gives up on a mapping at its first guard and leaves the stacks
 * out. */
static void gdb_lists_the_fibers_of_a_core_file(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit any = {RLIM_INFINITY, RLIM_INFINITY};
        if (chdir(dir) == 0 && setrlimit(RLIMIT_CORE, &any) == 0)
            (void)execl(self, self, "zoo", NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status)) { /* a sanitizer reports the abort in its own way */
        print_message("skipped: this build does not end by SIGABRT\n");
        skip();
    }
    assert_int_equal(WTERMSIG(status), SIGABRT);
    (void)snprintf(core, sizeof(core), "%s/core", dir);
    if (access(core, R_OK) < 0)
        (void)snprintf(core, sizeof(core), "%s/core.%d", dir, (int)pid);
    if (!WCOREDUMP(status) || access(core, R_OK) < 0) {
        print_message("skipped: no core file (kernel.core_pattern leads elsewhere, or a sanitizer "
                      "forbids it)\n");
        skip();
    }
    const char *const dead[] = {LOOK, "-ex", "fiber-bt 99", self, core, NULL};
    gdb(text, sizeof(text), dead);
    expect_zoo();
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/sallyport-test-XXXXXX");
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (!mkdtemp(dir) || n < 0)
        return -1;
    self[n] = '\0';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (core[0])
        (void)unlink(core);
    return rmdir(dir);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "zoo") == 0)
        return zoo();
    const char *at = getenv("FIBERS_PY");
    if (access(GDB, X_OK) < 0 || !at) {
        printf("skipped: no gdb, or FIBERS_PY does not say where the script is\n");
        return SKIPPED;
    }
    (void)snprintf(script, sizeof(script), "%s", at);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gdb_lists_the_fibers_of_a_live_process),
        cmocka_unit_test(gdb_lists_the_fibers_of_a_core_file),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
