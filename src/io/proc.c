/* proc.c - child processes.
 *
 * Theory of operation. The child is made by clone(CLONE_VM | CLONE_VFORK): it borrows our memory,
 * on a stack of its own, until it execs or exits, and we do not run meanwhile. Nothing is copied,
 * no at-fork handler runs, no lock can be left behind, and our epoll set is not duplicated into a
 * process that outlives the call. All signals are blocked around it, so that no handler of ours
 * runs in the child; the child restores default dispositions and an empty mask last.
 *
 * Descriptors are given by list: sources are first lifted above the range of targets, then put into
 * place, then everything above is closed. The child thus has exactly 0, 1, 2 and the extra ones.
 *
 * Exit is learned through a pidfd, so a pid that was reused is never signalled. If the child fails
 * before exec it leaves the error in our memory and exits; it is reaped here. */
#include "io/proc.h"
#include "base/err.h"
#include "base/log.h"
#include "fiber/scheduler.h"
#include "io/loop_internal.h"
#include "io/signal.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_STACK_BYTES ((size_t)64 << 10)
#define EXTRA_FDS_MAX     64
#define REAP_MAX_MS       10000 /* a killed process that stays longer hangs in the kernel */

struct launch {
    const struct proc_spec *spec;
    pid_t parent;
    int error;
    const char *step; /* constant text: what failed */
};

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define CHILD_CODE __attribute__((noinline, no_sanitize("address", "thread", "memory")))
#endif
#endif
#ifndef CHILD_CODE
#define CHILD_CODE __attribute__((noinline, no_sanitize_address, no_sanitize_thread))
#endif

CHILD_CODE static int fail(struct launch *l, const char *step)
{
    l->error = -errno;
    l->step = step;
    return l->error;
}

CHILD_CODE static int place_fds(struct launch *l)
{
    const struct proc_spec *spec = l->spec;
    int wanted[3 + EXTRA_FDS_MAX] = {spec->stdin_fd, spec->stdout_fd, spec->stderr_fd};
    int n = 3 + (int)spec->n_extra_fds;
    for (int i = 3; i < n; i++)
        wanted[i] = spec->extra_fds[i - 3];
    int program = spec->exec_fd ? fcntl(*spec->exec_fd, F_DUPFD_CLOEXEC, n + 1) : -1;
    if (spec->exec_fd && program < 0)
        return fail(l, "passing the program");
    for (int i = 0; i < n; i++) {
        int fd = wanted[i];
        if (fd < 0) {
            fd = open("/dev/null", O_RDWR | O_CLOEXEC);
            if (fd < 0)
                return fail(l, "opening /dev/null");
        }
        /* Above every target, so that placing one never runs over the source of another. */
        wanted[i] = fcntl(fd, F_DUPFD_CLOEXEC, n);
        if (wanted[i] < 0)
            return fail(l, "passing a descriptor");
    }
    for (int i = 0; i < n; i++) {
        if (dup2(wanted[i], i) < 0)
            return fail(l, "placing a descriptor");
    }
    /* What is executed stands behind them, and is closed by that. */
    if (program >= 0 && dup3(program, n++, O_CLOEXEC) < 0)
        return fail(l, "passing the program");
    if (close_range((unsigned)n, ~0u, 0) < 0)
        return fail(l, "closing the other descriptors");
    return 0;
}

CHILD_CODE static int child(void *arg)
{
    struct launch *l = arg;
    const struct proc_spec *spec = l->spec;
    if (spec->own_session && setsid() < 0)
        return fail(l, "setsid");
    if (spec->own_process_group && !spec->own_session && setpgid(0, 0) < 0)
        return fail(l, "setpgid");
    if (spec->die_with_parent) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
            return fail(l, "prctl");
        if (getppid() != l->parent) { /* it died before we asked */
            errno = ESRCH;
            return fail(l, "the parent ended");
        }
    }
    int r = place_fds(l);
    if (r < 0)
        return r;
    signal_reset_for_exec();
    /* execve does not write through these; its prototype predates const. */
    char *const *argv, *const *envp;
    __builtin_memcpy(&argv, &spec->argv, sizeof(argv));
    __builtin_memcpy(&envp, &spec->envp, sizeof(envp));
    if (spec->exec_fd)
        execveat(3 + (int)spec->n_extra_fds, "", argv, envp, AT_EMPTY_PATH);
    else
        execve(spec->path, argv, envp);
    return fail(l, "exec");
}

/* glibc's other name for clone: TSAN intercepts the first, takes the child for a fork with memory
 * of its own, and turns itself off in what is our memory as well. */
int proc_clone(int (*fn)(void *), void *stack, int flags, void *arg, ...) __asm__("__clone");

/* Runs child() to its exec; returns the pid or a negative code. */
static pid_t launch(struct launch *l)
{
    char *stack = mmap(NULL, CHILD_STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return -ENOMEM;
    sigset_t all, old;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t pid = proc_clone(child, stack + CHILD_STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, l);
    int e = errno;
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    (void)munmap(stack, CHILD_STACK_BYTES);
    return pid < 0 ? -e : pid;
}

/* For a child that is as good as dead. */
static void reap_now(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

int proc_start(struct proc *p, const struct proc_spec *spec, struct err *e)
{
    *p = (struct proc){.pidfd = IO_FD_NONE};
    if (spec->n_extra_fds > EXTRA_FDS_MAX)
        return err_set(e, -EINVAL, "cannot start %s: more than %d descriptors", spec->path,
                       EXTRA_FDS_MAX);
    struct launch l = {.spec = spec, .parent = getpid()};
    pid_t pid = launch(&l);
    if (pid < 0)
        return err_set(e, pid, "cannot start %s: %s", spec->path, err_text(pid));
    if (l.error < 0) {
        reap_now(pid);
        return err_set(e, l.error, "cannot start %s: %s: %s", spec->path, l.step,
                       err_text(l.error));
    }
    /* Ours to reap, so the pid cannot have been reused yet. */
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    int r = fd >= 0 ? io_fd_add(&p->pidfd, fd) : -errno;
    if (r < 0) {
        if (fd >= 0)
            (void)close(fd);
        (void)kill(pid, SIGKILL);
        reap_now(pid);
        return err_set(e, r, "cannot watch %s: %s", spec->path, err_text(r));
    }
    p->pid = pid;
    return 0;
}

/* 1 when it has ended (reaped), 0 when it runs, or a negative code. */
static int try_reap(struct proc *p, int *ret_status)
{
    int status;
    pid_t r;
    do {
        r = waitpid(p->pid, &status, WNOHANG);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return -errno;
    if (r == 0)
        return 0;
    p->pid = 0;
    if (ret_status)
        *ret_status = status;
    return 1;
}

int proc_wait(struct proc *p, int *ret_status)
{
    if (p->pid == 0)
        return -ECHILD;
    int r = fiber_check();
    while (r == 0) {
        int ended = try_reap(p, ret_status);
        if (ended != 0)
            return ended < 0 ? ended : 0;
        r = io_wait_readable(&p->pidfd);
    }
    return r;
}

int proc_kill(struct proc *p, int sig)
{
    if (p->pid == 0)
        return -ESRCH;
    return syscall(SYS_pidfd_send_signal, p->pidfd.fd, sig, NULL, 0) == 0 ? 0 : -errno;
}

void proc_leave(struct proc *p)
{
    p->pid = 0;
    if (p->pidfd.fd > 0)
        io_fd_close(&p->pidfd);
}

void proc_done(struct proc *p)
{
    if (p->pid > 0) {
        (void)proc_kill(p, SIGKILL);
        if (fiber_self()) {
            AUTO(fiber_shield) shield = fiber_shield_begin(REAP_MAX_MS);
            int r = proc_wait(p, NULL);
            if (r < 0)
                log_warn("a killed process does not end", "pid=%d err=%s", (int)p->pid,
                         err_name(r));
        } else {
            reap_now(p->pid);
        }
        p->pid = 0;
    }
    if (p->pidfd.fd > 0)
        io_fd_close(&p->pidfd);
}
