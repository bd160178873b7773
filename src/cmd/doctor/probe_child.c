/* probe_child.c - throwaway children, and children of theirs in new namespaces.
 *
 * Trying a feature changes the process that tries (namespaces, filters, rights cannot be given
 * back), hence a child for each. fork(2) is used directly instead of io/proc: the children are
 * copies that execute nothing, and they are made before doctor has a loop, a thread or a
 * connection, so a copy is the whole process. Each child dies with its parent (PDEATHSIG) and is
 * killed when it takes longer than CHILD_MS: an answer that does not come is an answer, too.
 *
 *   doctor --fork--> child (tries; or makes a namespace, writing id maps as the zygote does)
 *                      `--fork--> inside (tries in the user namespace)
 *                                   `--fork--> pid 1 of a pid namespace */
#include "cmd/doctor/probe_child.h"
#include "base/str.h"
#include "base/time.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_MS   5000 /* the slowest probe takes some 5 ms */
#define INSIDE_UID 1000 /* as in the engine: an id that is nobody's root */
#define HIGH_UID   2001000u

bool probe_failed(struct probe *p, long r, const char *step)
{
    if (r >= 0)
        return false;
    if (!p->error) {
        p->error = errno ? errno : EIO;
        (void)!str_copy(p->step, sizeof(p->step), step);
    }
    return true;
}

/* Waits for the child's report on `fd`, kills it when none comes, reaps it. */
static void collect(pid_t pid, int fd, struct probe *ret)
{
    struct probe got;
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    int64_t end = time_mono_ns() + CHILD_MS * (int64_t)NS_PER_MS;
    int left = CHILD_MS, n;
    while ((n = poll(&pfd, 1, left > 0 ? left : 0)) < 0 && errno == EINTR)
        left = (int)((end - time_mono_ns()) / (int64_t)NS_PER_MS);
    bool have = n > 0 && read(fd, &got, sizeof(got)) == (ssize_t)sizeof(got);
    kill(pid, SIGKILL); /* it has nothing left to do; what it started goes with it */
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (have) {
        *ret = got;
        ret->step[sizeof(ret->step) - 1] = '\0';
    } else {
        ret->error = n == 0 ? ETIMEDOUT : EFAULT;
        (void)!str_copy(ret->step, sizeof(ret->step), "the child that tried it");
        ret->signal = WIFSIGNALED(status) && n != 0 ? WTERMSIG(status) : 0;
    }
}

static NORETURN void report(int fd, const struct probe *p)
{
    (void)!write(fd, p, sizeof(*p)); /* shorter than PIPE_BUF: whole or not at all */
    _exit(0);
}

void probe_in_child(probe_fn *fn, const struct probe_input *in, struct probe *p)
{
    int fd[2];
    if (probe_failed(p, pipe2(fd, O_CLOEXEC), "pipe2"))
        return;
    pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit none = {0, 0}; /* a filter that kills leaves no core file */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
            _exit(1);
        close(fd[0]);
        fn(in, p);
        report(fd[1], p);
    }
    close(fd[1]);
    if (!probe_failed(p, pid, "fork"))
        collect(pid, fd[0], p);
    close(fd[0]);
}

/* In which user namespace, with which further namespaces, `fn` is to run. */
struct inside {
    unsigned flags;
    probe_fn *fn;
    const struct probe_input *in;
    int go, ready, out; /* descriptors of the inner process */
};

static void inner_main(const struct inside *i)
{
    struct probe p = {.tried = true};
    char byte = 0;
    bool ran = false;
    if (!probe_failed(&p, unshare((int)(CLONE_NEWUSER | i->flags)),
                      i->flags ? "unshare" : "unshare(CLONE_NEWUSER)") &&
        write(i->ready, "", 1) == 1 && read(i->go, &byte, 1) == 1) {
        /* The ids first, so that what is made belongs to somebody; then PDEATHSIG again, which a
         * change of ids clears. */
        if (!probe_failed(&p, setresgid(INSIDE_UID, INSIDE_UID, INSIDE_UID), "setresgid") &&
            !probe_failed(&p, setresuid(INSIDE_UID, INSIDE_UID, INSIDE_UID), "setresuid") &&
            !probe_failed(&p, prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl(PR_SET_PDEATHSIG)")) {
            i->fn(i->in, &p);
            ran = true;
        }
    }
    errno = ECANCELED; /* what was not tried is not reported as working */
    (void)probe_failed(&p, ran ? 0 : -1, "the child that tried it");
    report(i->out, &p);
}

static void write_map(pid_t pid, const char *file, const char *text, struct probe *p)
{
    char path[64], step[48];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    snprintf(step, sizeof(step), "writing %s", file);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    (void)probe_failed(p, fd < 0 ? -1 : write(fd, text, strlen(text)), step);
}

void probe_write_maps(pid_t pid, const struct probe_input *in, struct probe *p)
{
    uint64_t other = in->uid_last >= HIGH_UID ? HIGH_UID : in->uid_last;
    char uid[48], gid[48];
    snprintf(uid, sizeof(uid), "%d %u 1\n", INSIDE_UID, in->root ? (unsigned)other : geteuid());
    snprintf(gid, sizeof(gid), "%d %u 1\n", INSIDE_UID, in->root ? (unsigned)other : getegid());
    if (!in->root)
        write_map(pid, "setgroups", "deny", p);
    if (!p->error)
        write_map(pid, "uid_map", uid, p);
    if (!p->error)
        write_map(pid, "gid_map", gid, p);
}

void probe_in_userns(unsigned flags, probe_fn *fn, const struct probe_input *in, struct probe *p)
{
    int ready[2], go[2], out[2];
    if (probe_failed(p, pipe2(ready, O_CLOEXEC), "pipe2") ||
        probe_failed(p, pipe2(go, O_CLOEXEC), "pipe2") ||
        probe_failed(p, pipe2(out, O_CLOEXEC), "pipe2"))
        return; /* the child ends soon, and its descriptors with it */
    pid_t pid = fork();
    if (pid == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
            _exit(1);
        close(ready[0]);
        close(go[1]);
        close(out[0]);
        inner_main(&(struct inside){flags, fn, in, go[0], ready[1], out[1]});
    }
    close(ready[1]);
    close(go[0]);
    close(out[1]);
    if (probe_failed(p, pid, "fork"))
        return;
    char byte;
    if (read(ready[0], &byte, 1) == 1) {
        probe_write_maps(pid, in, p);
        if (p->error) {
            kill(pid, SIGKILL);
            return;
        }
        (void)!write(go[1], "", 1);
    }
    collect(pid, out[0], p);
}
