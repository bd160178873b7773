/* child.c - from a fork of init to a program of `sallyport exec`.
 *
 * Runs in the child alone, single-threaded, with init's rights, which are none: the sandbox was
 * locked before init began. In order: a session of its own, the programs' group, the limit of
 * processes (init's own is a little higher), the streams in their places and every other descriptor
 * closed, what the caller's programs inherit, then the program. What goes wrong on the way is told through the report pipe and ends the
 * child.
 *
 * On a terminal two processes are needed: the session's leader stays, between init and program,
 * because only a group with a parent in its session can be stopped from the keyboard (program.c).
 * */
#include "sandbox/init/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/cgroup/cgroup.h"

static void tell(int fd, enum child_stage stage, int code)
{
    const struct child_report w = {.stage = (int)stage, .code = code};
    (void)!write(fd, &w, sizeof(w));
}

static NORETURN void give_up(int fd, enum child_stage stage, int code)
{
    tell(fd, stage, code);
    _exit(125);
}

/* Standard streams at 0 to 2, the report pipe at 3, nothing else. */
static void place_streams(const struct child_plan *p, int report_fd)
{
    int stream[CHILD_STREAMS];
    for (int i = 0; i < CHILD_STREAMS; i++) {
        int from = p->stream[i];
        stream[i] = from >= 0 ? fcntl(from, F_DUPFD_CLOEXEC, CHILD_STREAMS + 1)
                              : open("/dev/null", i == 0 ? O_RDONLY : O_WRONLY);
        if (stream[i] < 0)
            give_up(report_fd, CHILD_SETUP, errno);
    }
    int high = fcntl(report_fd, F_DUPFD_CLOEXEC, CHILD_STREAMS + 1);
    for (int i = 0; i < CHILD_STREAMS; i++)
        if (dup2(stream[i], i) < 0)
            give_up(report_fd, CHILD_SETUP, errno);
    if (high < 0 || dup3(high, CHILD_STREAMS, O_CLOEXEC) < 0 ||
        close_range(CHILD_STREAMS + 1, ~0u, 0) < 0)
        give_up(report_fd, CHILD_SETUP, errno);
}

/* What a program inherits from whoever has started `sallyport exec`. */
static void inherit(const struct child_plan *p)
{
    sigset_t blocked;
    sigemptyset(&blocked);
    for (int sig = 1; sig < NSIG; sig++) {
        const uint64_t bit = 1ull << (sig - 1);
        if (p->ignored & bit)
            signal(sig, SIG_IGN);
        if (p->blocked & bit)
            sigaddset(&blocked, sig);
    }
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    umask(p->umask);
}

static NORETURN void run_program(const struct child_plan *p)
{
    if (chdir(p->cwd) < 0)
        give_up(CHILD_STREAMS, CHILD_CWD, errno);
    inherit(p);
    environ = p->env; /* whose PATH is searched */
    execvp(p->argv[0], p->argv);
    give_up(CHILD_STREAMS, CHILD_EXEC, errno);
}

/* The leader: tells of stops, ends as the program does. It holds no stream, or a reader would not
 * see the program's end of it. */
static NORETURN void follow(pid_t program)
{
    int status;
    if (close_range(0, CHILD_STREAMS - 1, 0) < 0)
        _exit(125);
    for (;;) {
        if (waitpid(program, &status, WUNTRACED) < 0) {
            if (errno == EINTR)
                continue;
            _exit(125);
        }
        if (!WIFSTOPPED(status))
            break;
        tell(CHILD_STREAMS, CHILD_STOPPED, WSTOPSIG(status));
    }
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        kill(getpid(), WTERMSIG(status));
    }
    _exit(WEXITSTATUS(status));
}

/* Puts the calling process's new group into the foreground of the terminal. */
static int to_foreground(int terminal)
{
    sigset_t out, before;
    sigemptyset(&out);
    sigaddset(&out, SIGTTOU); /* or the call would stop us, who are in the background yet */
    sigprocmask(SIG_BLOCK, &out, &before);
    int r = setpgid(0, 0) < 0 || tcsetpgrp(terminal, getpid()) < 0 ? -errno : 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return r;
}

static NORETURN void run_on_terminal(const struct child_plan *p)
{
    if (ioctl(p->terminal, TIOCSCTTY, 0) < 0)
        give_up(CHILD_STREAMS, CHILD_SETUP, errno);
    pid_t pid = fork();
    if (pid < 0)
        give_up(CHILD_STREAMS, CHILD_SETUP, errno);
    if (pid > 0) {
        tell(CHILD_STREAMS, CHILD_NUMBER, pid);
        follow(pid);
    }
    if (to_foreground(p->terminal) < 0)
        give_up(CHILD_STREAMS, CHILD_SETUP, errno);
    run_program(p);
}

void child_run(const struct child_plan *p, int report_fd)
{
    sigset_t none;
    sigemptyset(&none);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    int r = cgroup_enter(p->entry);
    if (r < 0)
        give_up(report_fd, CHILD_SETUP, -r);
    const rlim_t n = (rlim_t)p->processes;
    struct rlimit nproc = {.rlim_cur = n, .rlim_max = n}, now;
    if (getrlimit(RLIMIT_NPROC, &now) < 0 ||
        (now.rlim_max > n && setrlimit(RLIMIT_NPROC, &nproc) < 0))
        give_up(report_fd, CHILD_SETUP, errno);
    place_streams(p, report_fd);
    if (p->terminal >= 0)
        run_on_terminal(p);
    run_program(p);
}
