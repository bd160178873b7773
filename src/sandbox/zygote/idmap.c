/* idmap.c - writing id maps.
 *
 * Called by the zygote: once per sandbox for the clone's own user namespace, and once per directory
 * of the host that sandboxes shall own. For the latter the kernel wants a user namespace whose map
 * translates owners on disk (left) to ids of the machine (right); only its map is looked at. A
 * child makes it and waits to be killed; the descriptor keeps the namespace alive.
 *
 * Every write goes to a descriptor that was opened below a procfs verified at start, and is checked
 * to lie on one (crun CVE-2019-16884 wrote to something else). */
#include "sandbox/zygote/idmap.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "sandbox/mounts.h"

#define UP_MS 5000 /* for a process to open a file, on a busy machine, too */

int idmap_write_proc(int proc, pid_t pid, const char *file, const char *text, struct err *e)
{
    char path[64];
    snprintf(path, sizeof(path), "%d/%s", (int)pid, file);
    AUTO_CLOSE int fd = mounts_open(proc, path, O_WRONLY);
    if (fd < 0)
        return err_set(e, fd, "could not open /proc/%s: %s", path, err_text(fd));
    if (mounts_is_procfs(fd) < 0)
        return err_set(e, -EXDEV, "/proc/%s is not on a procfs", path);
    ssize_t n = (ssize_t)strlen(text);
    return write(fd, text, (size_t)n) == n
               ? 0
               : err_set(e, -errno, "could not write /proc/%s: %m", path);
}

static int write_map(int proc, pid_t pid, const char *file, const struct idmap *m, struct err *e)
{
    char map[48];
    snprintf(map, sizeof(map), "%u %u %u\n", m->inside, m->outside, m->count);
    return idmap_write_proc(proc, pid, file, map, e);
}

int idmap_apply(int proc, pid_t pid, const struct idmap *m, struct err *e)
{
    int r = write_map(proc, pid, "uid_map", m, e);
    return r < 0 ? r : write_map(proc, pid, "gid_map", m, e);
}

/* The child: shares our descriptors and puts one of its namespace where `place` is. It could not be
 * opened from outside: we are not dumpable, and so is our copy. It must not outlive us: all that
 * tells the worker of our end is that nobody has our descriptors any more. */
static NORETURN void hold_namespace(pid_t parent, int proc, int place, int ready)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent) /* it died before we asked */
        _exit(1);
    int fd = openat(proc, "self/ns/user", O_RDONLY | O_CLOEXEC);
    const int code = fd < 0 || dup3(fd, place, O_CLOEXEC) != place ? -errno : 0;
    if (fd >= 0)
        close(fd);
    if (write(ready, &code, sizeof(code)) != (ssize_t)sizeof(code) || code < 0)
        _exit(1);
    for (;;)
        pause();
}

int idmap_userns(int proc, const struct idmap *uids, const struct idmap *gids, struct err *e)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_set(e, -errno, "could not make a pipe: %m");
    AUTO_CLOSE int ready_r = pipe_fds[0], ready_w = pipe_fds[1];
    AUTO_CLOSE int place = fcntl(proc, F_DUPFD_CLOEXEC, 3);
    if (place < 0)
        return err_set(e, -errno, "could not make a descriptor: %m");
    struct clone_args args = {.flags = CLONE_NEWUSER | CLONE_FILES, .exit_signal = SIGCHLD};
    const pid_t parent = getpid();
    long pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0)
        hold_namespace(parent, proc, place, ready_w);
    if (pid < 0)
        return err_set(e, -errno, "could not make a user namespace for a mount: %m");
    int code = -EAGAIN;
    struct pollfd p = {.fd = ready_r, .events = POLLIN};
    if (poll(&p, 1, UP_MS) == 1 && read(ready_r, &code, sizeof(code)) != (ssize_t)sizeof(code))
        code = -EAGAIN;
    int r = code < 0 ? err_set(e, code, "a user namespace for a mount did not come up: %s",
                               err_text(code))
                     : 0;
    if (r >= 0)
        r = write_map(proc, (pid_t)pid, "uid_map", uids, e);
    if (r >= 0)
        r = write_map(proc, (pid_t)pid, "gid_map", gids, e);
    kill((pid_t)pid, SIGKILL);
    while (waitpid((pid_t)pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return r < 0 ? r : TAKE_FD(place);
}
