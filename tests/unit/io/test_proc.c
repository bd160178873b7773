/* Child processes and signals: descriptors, environment, status, ends. The program re-executes
 * itself as the child and reports what it finds. */
#include "unit/loop.h"
#include "base/err.h"
#include "io/proc.h"
#include "io/signal.h"
#include "io/sock.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- the child ---- */

static bool ours(const char *env)
{
    /* A sanitizer's runtime or valgrind may add to the environment of the program it runs. */
    static const char *const foreign[] = {"GLIBCPP_", "GLIBCXX_", "LD_", "VALGRIND_"};
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
        if (strncmp(env, foreign[i], strlen(foreign[i])) == 0)
            return false;
    }
    return true;
}

static int report(void)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *entry;
    char line[256] = "";
    bool open_fd[256] = {0};
    while (d && (entry = readdir(d))) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] != '.' && fd != dirfd(d) && fd >= 0 && fd < 256)
            open_fd[fd] = true;
    }
    (void)closedir(d);
    for (int fd = 0; fd < 256; fd++) {
        if (open_fd[fd])
            (void)snprintf(line + strlen(line), sizeof(line) - strlen(line), " %d", fd);
    }
    printf("fds%s\n", line);
    for (char **e = environ; *e; e++) {
        if (ours(*e))
            printf("env %s\n", *e);
    }
    sigset_t mask;
    (void)sigprocmask(SIG_SETMASK, NULL, &mask);
    int blocked = 0, odd = 0;
    for (int i = 1; i < 32; i++) {
        struct sigaction sa;
        blocked += sigismember(&mask, i) == 1;
        odd += sigaction(i, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN;
    }
    printf("blocked %d ignored %d\n", blocked, odd);
    int pdeathsig = -1;
    (void)prctl(PR_GET_PDEATHSIG, &pdeathsig);
    printf("pdeathsig %d leader %d session %d\n", pdeathsig, getpgrp() == getpid(),
           getsid(0) == getpid());
    return 0;
}

static int be_child(int argc, char **argv)
{
    if (strcmp(argv[1], "report") == 0)
        return report();
    if (strcmp(argv[1], "exit") == 0 && argc == 3)
        return atoi(argv[2]);
    if (strcmp(argv[1], "hang") == 0) {
        for (;;)
            pause();
    }
    if (strcmp(argv[1], "extra") == 0) /* says which extra descriptor is which */
        return write(3, "three", 5) == 5 && write(4, "four", 4) == 4 ? 0 : 1;
    if (strcmp(argv[1], "echo") == 0) {
        char c;
        while (read(0, &c, 1) == 1)
            (void)!write(1, &c, 1);
        return 0;
    }
    return 99;
}

/* ---- helpers ---- */

static char self[256]; /* not "/proc/self/exe": under valgrind that is valgrind */
static const char *const no_env[] = {NULL};

static struct proc_spec spec_of(const char *const *argv)
{
    return (struct proc_spec){.path = self,
                              .argv = argv,
                              .envp = no_env,
                              .stdin_fd = -1,
                              .stdout_fd = -1,
                              .stderr_fd = STDERR_FILENO};
}

/* Runs to the end with standard output read into `text`; returns the wait status. */
static int output_of(const struct proc_spec *given, char *text, size_t cap)
{
    int fd[2];
    assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
    struct proc_spec spec = *given;
    spec.stdout_fd = fd[1];
    struct proc p;
    struct err e = {0};
    if (proc_start(&p, &spec, &e) < 0)
        fail_msg("%s", e.msg);
    (void)close(fd[1]);
    AUTO(io_fd) out;
    assert_int_equal(io_fd_add(&out, fd[0]), 0);
    size_t n = 0;
    ssize_t got;
    while (n + 1 < cap && (got = io_read(&out, text + n, cap - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    int status = -1;
    assert_int_equal(proc_wait(&p, &status), 0);
    assert_int_equal(proc_wait(&p, &status), -ECHILD);
    proc_done(&p);
    return status;
}

/* ---- tests ---- */

static int the_child_gets_exactly_what_was_asked(void *arg)
{
    (void)arg;
    /* Things that must not get through. */
    int leak = open("/dev/null", O_RDONLY);
    int leak_high = fcntl(leak, F_DUPFD, 200);
    assert_true(leak >= 0 && leak_high >= 0);
    static const char *const argv[] = {"report", "report", NULL};
    static const char *const envp[] = {"A=1", "PATH=/nowhere", NULL};
    char text[1024];
    struct proc_spec spec = spec_of(argv);
    spec.envp = envp;
    assert_int_equal(output_of(&spec, text, sizeof(text)), 0);
    assert_string_equal(text, "fds 0 1 2\nenv A=1\nenv PATH=/nowhere\nblocked 0 ignored 0\n"
                              "pdeathsig 0 leader 0 session 0\n");
    int extra[] = {leak, leak_high, leak};
    spec.extra_fds = extra;
    spec.n_extra_fds = 3;
    spec.envp = no_env;
    spec.own_process_group = spec.die_with_parent = true;
    assert_int_equal(output_of(&spec, text, sizeof(text)), 0);
    assert_string_equal(text, "fds 0 1 2 3 4 5\nblocked 0 ignored 0\n"
                              "pdeathsig 9 leader 1 session 0\n");
    spec.n_extra_fds = 0;
    spec.own_session = true;
    assert_int_equal(output_of(&spec, text, sizeof(text)), 0);
    assert_string_equal(text, "fds 0 1 2\nblocked 0 ignored 0\npdeathsig 9 leader 1 session 1\n");
    (void)close(leak);
    (void)close(leak_high);
    return 0;
}

ON_LOOP(the_child_gets_exactly_what_was_asked)

static int extra_descriptors_take_their_places(void *arg)
{
    (void)arg;
    /* Sources that lie on each other's targets. */
    int a[2], b[2];
    assert_int_equal(pipe2(a, O_CLOEXEC), 0);
    assert_int_equal(pipe2(b, O_CLOEXEC), 0);
    int at4 = dup3(a[1], 40, O_CLOEXEC), at3 = dup3(b[1], 41, O_CLOEXEC);
    static const char *const argv[] = {"x", "extra", NULL};
    char text[64], in[16] = "";
    struct proc_spec spec = spec_of(argv);
    int extra[] = {at4, at3};
    spec.extra_fds = extra;
    spec.n_extra_fds = 2;
    assert_int_equal(output_of(&spec, text, sizeof(text)), 0);
    assert_int_equal(read(a[0], in, sizeof(in)), 5);
    assert_memory_equal(in, "three", 5);
    assert_int_equal(read(b[0], in, sizeof(in)), 4);
    assert_memory_equal(in, "four", 4);
    int all[] = {a[0], a[1], b[0], b[1], 40, 41};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        (void)close(all[i]);
    return 0;
}

ON_LOOP(extra_descriptors_take_their_places)

static int exit_statuses_arrive(void *arg)
{
    (void)arg;
    char text[64];
    static const char *const codes[] = {"0", "1", "42", "255"};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        const char *const argv[] = {"x", "exit", codes[i], NULL};
        struct proc_spec spec = spec_of(argv);
        int status = output_of(&spec, text, sizeof(text));
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), atoi(codes[i]));
    }
    return 0;
}

ON_LOOP(exit_statuses_arrive)

static int a_child_can_be_killed(void *arg)
{
    (void)arg;
    static const char *const argv[] = {"x", "hang", NULL};
    struct proc_spec spec = spec_of(argv);
    struct proc p;
    assert_int_equal(proc_start(&p, &spec, NULL), 0);
    int status = 0;
    {
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(5);
        assert_int_equal(proc_wait(&p, &status), -ETIMEDOUT);
    }
    assert_int_equal(proc_kill(&p, SIGTERM), 0);
    assert_int_equal(proc_wait(&p, &status), 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_int_equal(proc_kill(&p, SIGTERM), -ESRCH);
    proc_done(&p);
    proc_done(&p);

    /* proc_done ends and reaps what still runs. */
    assert_int_equal(proc_start(&p, &spec, NULL), 0);
    pid_t pid = p.pid;
    proc_done(&p);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
    assert_int_equal(kill(pid, 0), -1);
    return 0;
}

ON_LOOP(a_child_can_be_killed)

static int a_failed_start_says_why_and_leaves_nothing(void *arg)
{
    (void)arg;
    static const struct {
        const char *path;
        int extra, expected;
    } cases[] = {
        {"/no/such/program", -1, -ENOENT},
        {"/etc/passwd", -1, -EACCES},
        {self, 999, -EBADF},
    };
    static const char *const argv[] = {"x", "exit", "0", NULL};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct proc_spec spec = spec_of(argv);
        spec.path = cases[i].path;
        spec.extra_fds = &cases[i].extra;
        spec.n_extra_fds = cases[i].extra < 0 ? 0 : 1;
        struct proc p;
        struct err e = {0};
        assert_int_equal(proc_start(&p, &spec, &e), cases[i].expected);
        assert_int_equal(e.code, cases[i].expected);
        assert_non_null(strstr(e.msg, cases[i].path));
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing left behind */
        assert_int_equal(errno, ECHILD);
        proc_done(&p);
    }
    return 0;
}

ON_LOOP(a_failed_start_says_why_and_leaves_nothing)

static int a_child_can_be_talked_to(void *arg)
{
    (void)arg;
    int fd[2];
    assert_int_equal(sock_pair(SOCK_STREAM, fd), 0);
    /* The child's end blocks: it is an ordinary program. */
    assert_int_equal(fcntl(fd[1], F_SETFL, 0), 0);
    static const char *const argv[] = {"x", "echo", NULL};
    struct proc_spec spec = spec_of(argv);
    spec.stdin_fd = spec.stdout_fd = fd[1];
    struct proc p;
    assert_int_equal(proc_start(&p, &spec, NULL), 0);
    (void)close(fd[1]);
    AUTO(stream) s;
    assert_int_equal(stream_from_fd(&s, fd[0]), 0);
    char in[8];
    for (int i = 0; i < 10; i++) {
        assert_int_equal(stream_write(&s, "hello", 5), 0);
        size_t n = 0;
        while (n < 5) {
            ssize_t got = stream_read(&s, in + n, 5 - n);
            assert_true(got > 0);
            n += (size_t)got;
        }
        assert_memory_equal(in, "hello", 5);
    }
    assert_int_equal(stream_finish(&s), 0); /* the child sees the end of its input and ends */
    int status = -1;
    assert_int_equal(proc_wait(&p, &status), 0);
    assert_int_equal(status, 0);
    assert_int_equal(stream_read(&s, in, sizeof(in)), 0);
    proc_done(&p);
    return 0;
}

ON_LOOP(a_child_can_be_talked_to)

static int raise_soon(void *arg)
{
    (void)arg;
    int r = fiber_sleep_ms(1);
    if (r < 0)
        return r;
    return kill(getpid(), SIGTERM) == 0 && kill(getpid(), SIGHUP) == 0 ? 0 : -errno;
}

static int signals(void *arg)
{
    (void)arg;
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "raise", raise_soon, NULL, NULL), 0);
    int a = signal_next(), b = signal_next();
    assert_true((a == SIGTERM && b == SIGHUP) || (a == SIGHUP && b == SIGTERM));
    {
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(2);
        assert_int_equal(signal_next(), -ETIMEDOUT);
    }
    /* A child that ends is a signal as well; and it starts with nothing blocked. */
    the_child_gets_exactly_what_was_asked(NULL);
    assert_int_equal(signal_next(), SIGCHLD);
    signal_done();
    return 0;
}

static void signals_are_values(void **state)
{
    (void)state;
    sigset_t old;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &old);
    assert_int_equal(signal_init(), 0);
    run_on_loop(signals, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
}

int main(int argc, char **argv)
{
    if (argc >= 2)
        return be_child(argc, argv);
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0)
        return 1;
    self[n] = '\0';
    const struct CMUnitTest tests[] = {
        CASE(the_child_gets_exactly_what_was_asked),
        CASE(extra_descriptors_take_their_places),
        CASE(exit_statuses_arrive),
        CASE(a_child_can_be_killed),
        CASE(a_failed_start_says_why_and_leaves_nothing),
        CASE(a_child_can_be_talked_to),
        cmocka_unit_test(signals_are_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
