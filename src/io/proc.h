/* proc - child processes: started by posix_spawn-like clone+exec, watched through a pidfd. */
#pragma once

#include "io/loop.h"

struct err;
struct proc {
    pid_t pid;
    struct io_fd pidfd;
};
struct proc_spec {
    const char *path;                   /* absolute, or "/proc/self/exe" for ourselves */
    const int *exec_fd;                 /* not NULL: this file is executed; path is for messages */
    const char *const *argv;            /* NULL-terminated */
    const char *const *envp;            /* NULL-terminated; the child gets exactly this */
    int stdin_fd, stdout_fd, stderr_fd; /* -1: /dev/null; otherwise inherited as 0/1/2 */
    const int *extra_fds;               /* become 3, 4, … in the child */
    size_t n_extra_fds;
    bool own_process_group, own_session, die_with_parent;
};
/* Does not suspend. */
int proc_start(struct proc *p, const struct proc_spec *spec, struct err *e) WARN_UNUSED;
/* Suspends until it ends; wait(2) status. */
int proc_wait(struct proc *p, int *ret_status) WARN_UNUSED;
int proc_kill(struct proc *p, int sig); /* through the pidfd */
/* Lets it end by itself, and be reaped by whoever comes after this process. */
void proc_leave(struct proc *p);
void proc_done(struct proc *p); /* kills with SIGKILL and reaps if still there */
