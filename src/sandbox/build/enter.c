/* enter.c - builds one sandbox around the process it runs in.
 *
 * The zygote has cloned us into new namespaces; the mount namespace is a locked copy of the
 * template, so no host file system is in sight and nothing untrusted runs yet. Order: wait for the
 * id maps (and the cgroup), become root of the new user namespace to build (capabilities there stay
 * all along), switch to a root of our own (root.c), mount what must be private, become the
 * sandbox's user, bring up loopback, then lock down, check, and serve. A failure is told to the
 * worker in one sentence and ends the process.
 *
 * The descriptors that init keeps are the channel (at CHANNEL_FD) and what init itself opens;
 * everything else that came over from the zygote is closed before any mount is made, by number
 * range, not by list. */
#include "sandbox/build/enter.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "sandbox/frame.h"
#include "sandbox/init/init.h"
#include "sandbox/lock/lockdown.h"
#include "sandbox/mounts.h"
#include "sandbox/net/loopback.h"
#include "sandbox/build/root.h"
#include "sandbox/sandbox.h"
#include "sandbox/build/visible.h"

#define CHANNEL_FD 3
#define KEPT_MAX   6 /* descriptors that init keeps, in a row from the channel on */
#define BASIC_ATTR (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
#define RO_ATTR    (BASIC_ATTR | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY)

/* Parts of procfs that are switched to read-only, and parts that disappear. Neither is writable or
 * telling for an unmapped uid anyway; a kernel that forgets a check should not matter. */
static const char *const proc_readonly[] = {"proc/sys", "proc/bus", "proc/fs", "proc/irq"};
static const char *const proc_hidden[] = {"proc/kcore",         "proc/keys",
                                          "proc/key-users",     "proc/timer_list",
                                          "proc/sysrq-trigger", "proc/sched_debug",
                                          "proc/latency_stats", "proc/interrupts"};
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

/* Puts a copy of the mount at `source` over `there`, both open with O_PATH. */
static int cover_with(int source, int there, const char *path, uint64_t attr, struct err *e)
{
    if (source < 0 || there < 0)
        return err_set(e, source < 0 ? source : there, "could not cover /%s", path);
    AUTO_CLOSE int tree =
        open_tree(source, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    int r = tree < 0 ? -errno : mounts_set(tree, attr, false);
    if (r >= 0 &&
        move_mount(tree, "", there, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        r = -errno;
    return r < 0 ? err_set(e, r, "could not cover /%s: %s", path, err_text(r)) : 0;
}

/* Covers each of `paths` with `source`, or, when that is -1, with itself, changed by `attr`. A path
 * this kernel does not have is left alone. */
static int cover_all(int root, const char *const *paths, size_t n, int source, uint64_t attr,
                     struct err *e)
{
    int r = 0;
    for (size_t i = 0; r >= 0 && i < n; i++) {
        AUTO_CLOSE int there = mounts_open(root, paths[i], O_PATH);
        if (there != -ENOENT)
            r = cover_with(source < 0 ? there : source, there, paths[i], attr, e);
    }
    return r;
}

static int mask_proc(int root, int files, struct err *e)
{
    AUTO_CLOSE int null = mounts_open(root, "dev/null", O_PATH),
                   empty = mounts_open(files, "empty", O_PATH);
    if (null < 0 || empty < 0)
        return err_set(e, null < 0 ? null : empty, "could not open what covers parts of /proc");
    int r = cover_all(root, proc_readonly, ARRAY_LEN(proc_readonly), -1, RO_ATTR, e);
    if (r >= 0)
        r = cover_all(root, proc_hidden, ARRAY_LEN(proc_hidden), null,
                      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, e);
    if (r >= 0)
        r = cover_all(root, proc_emptied, ARRAY_LEN(proc_emptied), empty, RO_ATTR, e);
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

/* Binds whose targets the upper layer of the root does not have: they lie in /workspace or /tmp. */
static int attach_binds(const struct enter_job *j, int root, struct err *e)
{
    const struct sandbox_spec *s = j->spec;
    for (size_t i = 0; i < s->n_binds; i++) {
        const char *target = s->binds[i].target;
        int r = 0;
        if (str_starts(target, SANDBOX_HOME "/") || str_starts(target, "/tmp/")) {
            struct stat st;
            if (fstat(j->bind_fds[i], &st) < 0)
                return err_set(e, -errno, "could not look at the source of %s: %m", target);
            r = make_target(root, target, S_ISDIR(st.st_mode));
        }
        if (r >= 0)
            r = mounts_attach(j->bind_fds[i], root, target + 1);
        if (r < 0)
            return err_set(e, r, "could not bind %s: %s", target, err_text(r));
    }
    return 0;
}

static unsigned inside_uid(const struct sandbox_spec *s)
{
    return s->user == SANDBOX_USER_ROOT ? 0 : SANDBOX_UID;
}

/* Mounts a new file system of `type` on `path`. */
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

/* Puts a file or directory that root_build made over what tells the machine's size. */
static int show(int files, const char *name, int root, const char *path, struct err *e)
{
    AUTO_CLOSE int file = mounts_open(files, name, O_PATH),
                   there = file < 0 ? file : mounts_open(root, path, O_PATH);
    return file == -ENOENT ? 0 : cover_with(file, there, path, RO_ATTR, e);
}

static int mount_proc(const struct root *made, struct err *e)
{
    const int root = made->top;
    AUTO_CLOSE int files = mounts_open(made->scratch, "files", O_PATH | O_DIRECTORY);
    if (files < 0)
        return err_set(e, files, "could not open the scratch space");
    int r = mount_new(root, "proc", "proc", NULL, BASIC_ATTR | MOUNT_ATTR_NOEXEC, e);
    if (r >= 0)
        r = mask_proc(root, files, e);
    if (r >= 0)
        r = show(files, "meminfo", root, "proc/meminfo", e);
    if (r >= 0)
        r = show(files, "cpuinfo", root, "proc/cpuinfo", e);
    if (r >= 0)
        r = show(files, "cpu", root, "sys/devices/system/cpu", e);
    return r;
}

/* A directory of the scratch tmpfs on `path`. */
static int mount_scratch(const struct root *made, const char *name, const char *path, uint64_t attr,
                         struct err *e)
{
    AUTO_CLOSE int dir = mounts_open(made->scratch, name, O_PATH | O_DIRECTORY),
                   there = mounts_open(made->top, path, O_PATH | O_DIRECTORY);
    return cover_with(dir, there, path, attr, e);
}

static int mount_workspace(const struct enter_job *j, int root, struct err *e)
{
    if (j->workspace_fd >= 0) {
        int r = mounts_attach(j->workspace_fd, root, &SANDBOX_HOME[1]);
        return r < 0 ? err_set(e, r, "could not mount the workspace: %s", err_text(r)) : 0;
    }
    unsigned uid = inside_uid(j->spec);
    const uint64_t size = j->spec->limits.workspace_bytes;
    AUTO_FREE char *o = mem_printf("mode=0755,nr_inodes=%llu,uid=%u,gid=%u,size=%llu",
                                   (unsigned long long)sandbox_tmpfs_files(size), uid, uid,
                                   (unsigned long long)size);
    return mount_new(root, &SANDBOX_HOME[1], "tmpfs", o, BASIC_ATTR, e);
}

static int make_root(const struct enter_job *j, struct err *e)
{
    AUTO(root) made = ROOT_NONE;
    int r = root_build(j, &made, e);
    if (r >= 0)
        r = mount_proc(&made, e);
    if (r >= 0)
        r = mount_scratch(&made, "tmp", "tmp", BASIC_ATTR, e);
    if (r >= 0)
        r = mount_scratch(&made, "shm", "dev/shm", BASIC_ATTR | MOUNT_ATTR_NOEXEC, e);
    if (r >= 0)
        r = mount_new(made.top, "dev/pts", "devpts", "ptmxmode=0666,mode=0600,max=256",
                      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, e);
    if (r >= 0)
        r = mount_workspace(j, made.top, e);
    if (r >= 0)
        r = attach_binds(j, made.top, e);
    if (r >= 0)
        r = root_enter(&made, e);
    if (r < 0)
        return r;
    /* Not by path: the directory must be the one that was mounted, and inside this root. */
    AUTO_CLOSE int home = mounts_open(made.top, &SANDBOX_HOME[1], O_PATH | O_DIRECTORY);
    return home < 0 || fchdir(home) < 0
               ? err_set(e, home < 0 ? home : -errno, "could not enter " SANDBOX_HOME)
               : 0;
}

static int build(const struct enter_job *j, int *ret_listener, struct err *e)
{
    unsigned uid = inside_uid(j->spec);
    int r = wait_for_maps(j->go_fd, e);
    if (r >= 0)
        r = lockdown_become(j->id_range ? 0 : uid, e);
    if (r < 0)
        return r;
    if (unshare(CLONE_NEWCGROUP) < 0)
        return err_set(e, -errno, "could not make a cgroup namespace: %m");
    if (sethostname("sandbox", 7) < 0)
        return err_set(e, -errno, "could not set the host name: %m");
    r = visible_set_affinity(&j->spec->limits);
    if (r < 0)
        return err_set(e, r, "could not choose processors: %s", err_text(r));
    umask(022);
    r = make_root(j, e);
    if (r >= 0)
        r = lockdown_become(uid, e);
    if (r >= 0 && j->spec->network == SANDBOX_NET_LOOPBACK && !j->net_ready &&
        (r = loopback_up()) < 0)
        err_set(e, r, "could not bring up the loopback interface: %s", err_text(r));
    return r < 0 ? r : lockdown_finish(j->spec, j->filter, ret_listener, e);
}

/* Moves descriptors out of the way, then puts them down in a row from `first` on. The number after
 * the last one, or -errno; the descriptors are good then, too, so that the failure can be told. */
static int place_in_row(int *const *fds, int n, int first)
{
    for (int i = 0; i < n; i++)
        if (*fds[i] >= 0) {
            int moved = fcntl(*fds[i], F_DUPFD_CLOEXEC, first + n);
            if (moved < 0)
                return -errno;
            *fds[i] = moved;
        }
    int next = first;
    for (int i = 0; i < n; i++)
        if (*fds[i] >= 0) {
            if (dup3(*fds[i], next, O_CLOEXEC) < 0)
                return -errno;
            *fds[i] = next++;
        }
    return close_range((unsigned)next, ~0u, 0) < 0 ? -errno : next;
}

/* Standard descriptors on /dev/null; the channel at 3 and behind it what init will keep; the job's
 * own above; everything else is closed. */
static int tidy_descriptors(struct enter_job *j, struct err *e)
{
    int *ours[KEPT_MAX + 5 + SANDBOX_BINDS_MAX] = {
        &j->channel_fd,  &j->oom_fd,      &j->stat_fd,  &j->doors.fd[0],
        &j->doors.fd[1], &j->doors.fd[2], &j->go_fd,    &j->workspace_fd,
        &j->root_fd,     &j->usr_fd,      &j->zygote_fd};
    int n = KEPT_MAX + 5;
    for (size_t i = 0; i < j->spec->n_binds; i++)
        ours[n++] = &j->bind_fds[i];
    int r = place_in_row(ours, n, CHANNEL_FD);
    if (r < 0)
        return err_set(e, r, "could not place descriptors: %s", err_text(r));
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return err_set(e, -errno, "could not open /dev/null: %m");
    for (int fd = 0; fd < 3; fd++)
        if (dup2(null, fd) < 0)
            return err_set(e, -errno, "could not open /dev/null: %m");
    close(null);
    return 0;
}

/* What is left for init: the channel, what its cgroup counts and the doors into it, where there are
 * any, and the listener of a filter that reports. */
static int keep_for_init(const struct enter_job *j, int *listener, struct err *e)
{
    const int kept[KEPT_MAX] = {j->channel_fd,  j->oom_fd,      j->stat_fd,
                                j->doors.fd[0], j->doors.fd[1], j->doors.fd[2]};
    int next = CHANNEL_FD;
    for (size_t i = 0; i < KEPT_MAX; i++)
        next += kept[i] >= 0;
    if (*listener >= 0) {
        if (*listener != next && dup3(*listener, next, O_CLOEXEC) < 0)
            return err_set(e, -errno, "could not place descriptors: %m");
        *listener = next++;
    }
    return close_range((unsigned)next, ~0u, 0) < 0
               ? err_set(e, -errno, "could not close descriptors: %m")
               : 0;
}

/* PDEATHSIG tells of deaths that come after it was set. */
static void end_without_zygote(int zygote_fd)
{
    struct pollfd p = {.fd = zygote_fd, .events = POLLIN};
    if (poll(&p, 1, 0) != 0)
        _exit(1);
}

static NORETURN void report_failure(int channel_fd, const struct err *e)
{
    AUTO_JSON json_t *o = json_object();
    json_put_bool(o, "ready", false);
    json_put_str(o, "error", e->msg);
    json_put_int(o, "code", -e->code);
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
        r = lockdown_check(inside_uid(j.spec), &e);
    if (r < 0)
        report_failure(j.channel_fd, &e);
    end_without_zygote(j.zygote_fd);
    if (keep_for_init(&j, &listener, &e) < 0)
        report_failure(j.channel_fd, &e);
    const struct init_job init = {.channel_fd = j.channel_fd,
                                  .oom_fd = j.oom_fd,
                                  .stat_fd = j.stat_fd,
                                  .doors = j.doors,
                                  .listener_fd = listener,
                                  .spec = j.spec};
    init_run(&init);
}
