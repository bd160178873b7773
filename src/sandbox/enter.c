/* enter.c - builds one sandbox around the process it runs in.
 *
 * The zygote has cloned us into new namespaces; the mount namespace is a locked copy of the
 * template, so no host file system is in sight and nothing untrusted runs yet. Order: wait for the
 * id maps, become uid 1000 (capabilities in the new user namespace stay), bring up loopback, mount
 * what must be private, then lock down, check, and serve. A failure is told to the worker in one
 * sentence and ends the process.
 *
 * The descriptors that init keeps are the channel (at CHANNEL_FD) and what init itself opens;
 * everything else that came over from the zygote is closed before any mount is made, by number
 * range, not by list. */
#include "sandbox/enter.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "sandbox/frame.h"
#include "sandbox/init.h"
#include "sandbox/lockdown.h"
#include "sandbox/mounts.h"
#include "sandbox/rootfs.h"
#include "sandbox/sandbox.h"

#define CHANNEL_FD 3
#define BASIC_ATTR (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

/* Parts of procfs that are switched to read-only, and parts that disappear. Neither is writable or
 * telling for an unmapped uid anyway; a kernel that forgets a check should not matter. */
static const char *const proc_readonly[] = {"proc/sys", "proc/bus", "proc/fs", "proc/irq"};
static const char *const proc_hidden[] = {"proc/kcore",         "proc/keys",
                                          "proc/key-users",     "proc/timer_list",
                                          "proc/sysrq-trigger", "proc/sched_debug",
                                          "proc/latency_stats"};
static const char *const proc_emptied[] = {"proc/acpi", "proc/scsi", "proc/driver"};

static int wait_for_maps(int go_fd, struct err *e)
{
    char c;
    ssize_t n;
    do
        n = read(go_fd, &c, 1);
    while (n < 0 && errno == EINTR);
    return n == 1 ? 0 : err_set(e, -E_CLOSED, "the zygote gave up on this sandbox");
}

static int loopback_up(struct err *e)
{
    AUTO_CLOSE int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq ifr = {.ifr_name = "lo"};
    if (s < 0 || ioctl(s, SIOCGIFFLAGS, &ifr) < 0)
        return err_set(e, -errno, "could not find the loopback interface: %m");
    ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP | IFF_RUNNING);
    if (ioctl(s, SIOCSIFFLAGS, &ifr) < 0)
        return err_set(e, -errno, "could not bring up the loopback interface: %m");
    return 0;
}

static int mount_new(int root, const char *path, const char *type, const char *options,
                     uint64_t attr, struct err *e)
{
    AUTO_CLOSE int fd = mounts_new(type, options, attr);
    int r = fd < 0 ? fd : mounts_attach(fd, root, path);
    if (r == -EPERM && str_eq(type, "proc"))
        return err_set(
            e, r,
            "the kernel refuses a procfs of our own: /proc of this host (a container?) has "
            "parts covered; start the worker where /proc is whole");
    return r < 0 ? err_set(e, r, "could not mount %s on /%s: %s", type, path, err_text(r)) : 0;
}

/* Puts a copy of `from` (below root) over `path`; a path this kernel does not have is left alone.
 */
static int cover(int root, const char *from, const char *path, uint64_t attr, struct err *e)
{
    AUTO_CLOSE int there = mounts_open(root, path, O_PATH);
    if (there == -ENOENT)
        return 0;
    AUTO_CLOSE int source = there < 0 ? there : mounts_open(root, from, O_PATH);
    int r = source < 0 ? source : 0;
    AUTO_CLOSE int tree = -1;
    if (r >= 0) {
        tree = open_tree(source, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
        r = tree < 0 ? -errno : mounts_set(tree, attr, false);
    }
    if (r >= 0 &&
        move_mount(tree, "", there, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        r = -errno;
    return r < 0 ? err_set(e, r, "could not cover /%s: %s", path, err_text(r)) : 0;
}

static int mask_proc(int root, struct err *e)
{
    const uint64_t ro = BASIC_ATTR | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY;
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(proc_readonly); i++)
        r = cover(root, proc_readonly[i], proc_readonly[i], ro, e);
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(proc_hidden); i++)
        r = cover(root, "dev/null", proc_hidden[i], MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, e);
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(proc_emptied); i++)
        r = cover(root, "srv", proc_emptied[i], ro, e); /* an empty, read-only directory of ours */
    return r;
}

/* Makes the directories of `path` (absolute, checked by spec.c) that are missing. They are made in
 * tmpfs mounts of our own or in the session's workspace; links in the latter are refused by
 * mounts_open. */
static int make_target(int root, const char *path, bool directory)
{
    AUTO_FREE char *p = mem_strdup(path + 1);
    for (char *slash = strchr(p, '/');; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = '\0';
        AUTO_CLOSE int there = mounts_open(root, p, O_PATH);
        if (there == -ENOENT) {
            char *name = strrchr(p, '/');
            if (!name)
                return -EROFS;
            *name = '\0';
            AUTO_CLOSE int parent = mounts_open(root, p, O_PATH | O_DIRECTORY);
            *name = '/';
            if (parent < 0)
                return parent;
            if (slash || directory) {
                if (mkdirat(parent, name + 1, 0755) < 0)
                    return -errno;
            } else {
                AUTO_CLOSE int f =
                    openat(parent, name + 1, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY,
                           0644);
                if (f < 0)
                    return -errno;
            }
        } else if (there < 0) {
            return there;
        }
        if (!slash)
            return 0;
        *slash = '/';
    }
}

static int attach_binds(const struct enter_job *j, int root, struct err *e)
{
    const struct sandbox_spec *s = j->spec;
    unsigned prepared = 0; /* bit i: rootfs_bind_places[i] has a tmpfs of ours on it */
    for (size_t i = 0; i < s->n_binds; i++) {
        const char *target = s->binds[i].target;
        bool ours = str_starts(target, SANDBOX_HOME "/") || str_starts(target, "/tmp/");
        for (unsigned k = 0; !ours && rootfs_bind_places[k]; k++) {
            const char *place = rootfs_bind_places[k];
            size_t n = strlen(place);
            if (strncmp(target, place, n) != 0 || target[n] != '/')
                continue;
            ours = true;
            if (prepared & 1u << k)
                continue;
            prepared |= 1u << k;
            int r = mount_new(root, place + 1, "tmpfs", "mode=0755,size=64k,nr_inodes=1k",
                              BASIC_ATTR, e);
            if (r < 0)
                return r;
        }
        if (!ours)
            return err_set(
                e, -EINVAL,
                "bind target %s must lie below /mnt, /opt, /srv, /home, /data, /workspace or /tmp",
                target);
        struct stat st;
        if (fstat(j->bind_fds[i], &st) < 0)
            return err_set(e, -errno, "could not look at the source of %s: %m", target);
        int r = make_target(root, target, S_ISDIR(st.st_mode));
        if (r >= 0)
            r = mounts_attach(j->bind_fds[i], root, target + 1);
        if (r < 0)
            return err_set(e, r, "could not bind %s: %s", target, err_text(r));
    }
    return 0;
}

static int mount_private(const struct enter_job *j, int root, struct err *e)
{
    const struct sandbox_limits *l = &j->spec->limits;
    int r = mount_new(root, "proc", "proc", NULL, BASIC_ATTR | MOUNT_ATTR_NOEXEC, e);
    if (r >= 0)
        r = mask_proc(root, e);
    if (r >= 0) {
        AUTO_FREE char *o =
            mem_printf("mode=1777,nr_inodes=256k,size=%llu", (unsigned long long)l->tmp_bytes);
        r = mount_new(root, "tmp", "tmpfs", o, BASIC_ATTR, e);
    }
    if (r >= 0)
        r = mount_new(root, "dev/shm", "tmpfs", "mode=1777,nr_inodes=4k,size=64m",
                      BASIC_ATTR | MOUNT_ATTR_NOEXEC, e);
    if (r >= 0)
        r = mount_new(root, "dev/pts", "devpts", "ptmxmode=0666,mode=0600",
                      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, e);
    if (r >= 0 && j->workspace_fd >= 0) {
        r = mounts_attach(j->workspace_fd, root, &SANDBOX_HOME[1]);
        if (r < 0)
            err_set(e, r, "could not mount the workspace: %s", err_text(r));
    } else if (r >= 0) {
        AUTO_FREE char *o =
            mem_printf("mode=0755,nr_inodes=1m,size=%llu", (unsigned long long)l->workspace_bytes);
        r = mount_new(root, &SANDBOX_HOME[1], "tmpfs", o, BASIC_ATTR, e);
    }
    return r < 0 ? r : attach_binds(j, root, e);
}

static int build(const struct enter_job *j, int *ret_listener, struct err *e)
{
    int r = wait_for_maps(j->go_fd, e);
    if (r >= 0)
        r = lockdown_identity(e);
    if (r < 0)
        return r;
    if (sethostname("sandbox", 7) < 0)
        return err_set(e, -errno, "could not set the host name: %m");
    r = loopback_up(e);
    if (r < 0)
        return r;
    AUTO_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_set(e, -errno, "could not open the root directory: %m");
    umask(022);
    r = mount_private(j, root, e);
    if (r < 0)
        return r;
    /* Not by path: the directory must be the one that was mounted, and inside this root. */
    AUTO_CLOSE int home = mounts_open(root, &SANDBOX_HOME[1], O_PATH | O_DIRECTORY);
    if (home < 0 || fchdir(home) < 0)
        return err_set(e, home < 0 ? home : -errno, "could not enter " SANDBOX_HOME);
    return lockdown_finish(&j->spec->limits, j->filter, ret_listener, e);
}

/* Standard descriptors on /dev/null, the channel at 3, the job's own above; everything else is
 * closed. */
static int tidy_descriptors(struct enter_job *j, struct err *e)
{
    int keep[3 + 64], n = 0;
    keep[n++] = j->channel_fd;
    keep[n++] = j->go_fd;
    keep[n++] = j->workspace_fd;
    for (size_t i = 0; i < j->spec->n_binds; i++)
        keep[n++] = j->bind_fds[i];
    /* Lift all of them out of the way first, then put them down in a row. */
    for (int i = 0; i < n; i++)
        if (keep[i] >= 0) {
            keep[i] = fcntl(keep[i], F_DUPFD_CLOEXEC, 200);
            if (keep[i] < 0)
                return err_set(e, -errno, "could not move descriptors: %m");
        }
    for (int i = 0; i < n; i++)
        if (keep[i] >= 0) {
            if (dup3(keep[i], CHANNEL_FD + i, O_CLOEXEC) < 0)
                return err_set(e, -errno, "could not place descriptors: %m");
            keep[i] = CHANNEL_FD + i;
        } else {
            close(CHANNEL_FD + i);
        }
    if (close_range((unsigned)(CHANNEL_FD + n), ~0u, 0) < 0)
        return err_set(e, -errno, "could not close descriptors: %m");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return err_set(e, -errno, "could not open /dev/null: %m");
    for (int fd = 0; fd < 3; fd++)
        if (dup2(null, fd) < 0)
            return err_set(e, -errno, "could not open /dev/null: %m");
    close(null);
    j->channel_fd = keep[0];
    j->go_fd = keep[1];
    j->workspace_fd = keep[2];
    for (size_t i = 0; i < j->spec->n_binds; i++)
        j->bind_fds[i] = keep[3 + i];
    return 0;
}

static NORETURN void report_failure(int channel_fd, const struct err *e)
{
    AUTO_JSON json_t *o = json_object();
    json_put_bool(o, "ready", false);
    json_put_str(o, "error", e->msg);
    (void)!frame_send_blocking(channel_fd, o);
    _exit(1);
}

void enter_sandbox(const struct enter_job *job)
{
    struct enter_job j = *job;
    struct err e = {.code = 0};
    int listener = -1;
    prctl(PR_SET_NAME, "sallyport-init");
    int r = tidy_descriptors(&j, &e);
    if (r >= 0)
        r = build(&j, &listener, &e);
    if (r >= 0)
        r = lockdown_check(&e);
    if (r < 0)
        report_failure(j.channel_fd, &e);
    /* The listener of a filter that reports goes next to the channel. */
    int first = CHANNEL_FD + 1;
    if (listener >= 0 && listener != first && dup3(listener, first, O_CLOEXEC) < 0) {
        err_set(&e, -errno, "could not place descriptors: %m");
        report_failure(j.channel_fd, &e);
    }
    listener = listener < 0 ? -1 : first++;
    if (close_range((unsigned)first, ~0u, 0) < 0) {
        err_set(&e, -errno, "could not close descriptors: %m");
        report_failure(j.channel_fd, &e);
    }
    const struct init_job init = {
        .channel_fd = j.channel_fd, .oom_fd = -1, .listener_fd = listener, .spec = j.spec};
    init_run(&init);
}
