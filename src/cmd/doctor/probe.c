/* probe.c - what is tried: kernel features, each used once.
 *
 * A version number says what a kernel could do, not what a filter, a security module or a
 * container's engine lets this process do; so each feature is used once, the way the engine uses
 * it, in a child for each (probe_child.c). Mounts are made in namespaces of the child's own, whose
 * propagation is cut first; nothing of it can be seen from outside. An attacker controls nothing
 * here but the machine itself. */
#include "cmd/doctor/probe.h"
#include "base/err.h"
#include "base/str.h"
#include "cmd/doctor/probe_child.h"
#include "sandbox/zygote/chroot.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- calls by themselves ---- */

static void try_openat2(const struct probe_input *in, struct probe *p)
{
    (void)in;
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    (void)probe_failed(p, syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how)), "openat2");
}

static void try_clone3(const struct probe_input *in, struct probe *p)
{
    (void)in;
    struct clone_args args = {.exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0)
        _exit(0);
    (void)probe_failed(p, pid, "clone3");
}

static void try_close_range(const struct probe_input *in, struct probe *p)
{
    (void)in;
    (void)probe_failed(p, syscall(SYS_close_range, 4000, 4000, 0), "close_range");
}

static void try_pidfd_open(const struct probe_input *in, struct probe *p)
{
    (void)in;
    (void)probe_failed(p, syscall(SYS_pidfd_open, getpid(), 0), "pidfd_open");
}

/* Whether the calls exist at all, which they tell without any rights: each answers nonsense with
 * another error than ENOSYS. Whether they may be used is tried in a namespace. */
static void try_mount_calls(const struct probe_input *in, struct probe *p)
{
    (void)in;
    if (probe_failed(p, syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLOEXEC), "open_tree"))
        return;
    if (syscall(SYS_mount_setattr, -1, "", 0, NULL, 0) < 0 && errno == ENOSYS)
        (void)probe_failed(p, -1, "mount_setattr");
    else if (syscall(SYS_move_mount, -1, "", -1, "", 0) < 0 && errno == ENOSYS)
        (void)probe_failed(p, -1, "move_mount");
    else if (syscall(SYS_fsopen, "", ~0u) < 0 && errno == ENOSYS)
        (void)probe_failed(p, -1, "fsopen");
    else if (syscall(SYS_fsmount, -1, 0, 0) < 0 && errno == ENOSYS)
        (void)probe_failed(p, -1, "fsmount");
}

static long filter(unsigned flags)
{
    struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog prog = {.len = ARRAY_LEN(allow), .filter = allow};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
}

static void try_seccomp(const struct probe_input *in, struct probe *p)
{
    (void)in;
    if (!probe_failed(p, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)"))
        (void)probe_failed(p, filter(0), "seccomp");
}

static void try_notify(const struct probe_input *in, struct probe *p)
{
    (void)in;
    if (!probe_failed(p, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)"))
        (void)probe_failed(p, filter(SECCOMP_FILTER_FLAG_NEW_LISTENER), "seccomp(NEW_LISTENER)");
}

/* The ABI, and that a rule set really holds: one that forbids reading files is put on this child,
 * which then tries to read one. */
static void try_landlock(const struct probe_input *in, struct probe *p)
{
    (void)in;
    p->value = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (probe_failed(p, p->value, "landlock_create_ruleset"))
        return;
    struct landlock_ruleset_attr attr = {.handled_access_fs = LANDLOCK_ACCESS_FS_READ_FILE};
    long rules = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
    if (probe_failed(p, rules, "landlock_create_ruleset") ||
        probe_failed(p, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)") ||
        probe_failed(p, syscall(SYS_landlock_restrict_self, (int)rules, 0),
                     "landlock_restrict_self"))
        return;
    AUTO_CLOSE int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 || errno == ENOENT) {
        errno = fd >= 0 ? EBADE : ENOENT;
        (void)probe_failed(p, -1, "a forbidden open");
    }
}

/* ---- rights ---- */

static void private_mounts(struct probe *p)
{
    (void)probe_failed(p, mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount(MS_PRIVATE)");
}

/* As root the engine's template is made with root's own rights. */
static void try_chroot(const struct probe_input *in, struct probe *p)
{
    (void)in;
    struct err e = {.code = 0};
    int r = chroot_check(&e);
    errno = -r;
    (void)probe_failed(p, r, "looking at /");
}

static void try_root_mounts(const struct probe_input *in, struct probe *p)
{
    (void)in;
    if (!probe_failed(p, unshare(CLONE_NEWNS), "unshare(CLONE_NEWNS)"))
        private_mounts(p);
}

/* The capabilities of a new user namespace can be refused by a security module after the namespace
 * itself was allowed (AppArmor in Ubuntu refuses all of them): use one that takes no other
 * namespace, as the engine does when it empties the bounding set. */
static void use_capability(const struct probe_input *in, struct probe *p)
{
    if (probe_failed(p, prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT), "prctl(PR_CAPBSET_DROP)"))
        return;
    /* An ordinary user's zygote lives in a user namespace, its sandboxes in further ones. */
    if (!in->root)
        (void)probe_failed(p, unshare(CLONE_NEWUSER), "unshare(CLONE_NEWUSER) in another");
}

static void try_userns(const struct probe_input *in, struct probe *p)
{
    probe_in_userns(0, use_capability, in, p);
}

static void nothing(const struct probe_input *in, struct probe *p)
{
    (void)in;
    (void)p;
}

/* A pid namespace is for children: the first is its pid 1. */
static void check_pid1(const struct probe_input *in, struct probe *p)
{
    (void)in;
    pid_t pid = fork();
    if (pid == 0)
        _exit(getpid() == 1 ? 0 : 1);
    int status = 0;
    if (probe_failed(p, pid, "fork") || probe_failed(p, waitpid(pid, &status, 0), "waitpid"))
        return;
    errno = ECHILD;
    (void)probe_failed(p, status == 0 ? 0 : -1, "fork");
}

#define TRY_NS(name, flag, then)                                                                   \
    static void try_ns_##name(const struct probe_input *in, struct probe *p)                       \
    {                                                                                              \
        probe_in_userns(flag, then, in, p);                                                        \
        if (str_eq(p->step, "unshare"))                                                            \
            (void)!str_copy(p->step, sizeof(p->step), "unshare(" #flag ")");                       \
    }
TRY_NS(mnt, CLONE_NEWNS, nothing)
TRY_NS(pid, CLONE_NEWPID, check_pid1)
TRY_NS(net, CLONE_NEWNET, nothing)
TRY_NS(ipc, CLONE_NEWIPC, nothing)
TRY_NS(uts, CLONE_NEWUTS, nothing)
TRY_NS(cgroup, CLONE_NEWCGROUP, nothing)
TRY_NS(time, CLONE_NEWTIME, nothing)

/* ---- file systems ---- */

/* A mount of `type` as the engine makes them, or -1. `options`: NULL-terminated, "key=value" or
 * "flag". Steps are named after the type. */
static int new_mount(const char *type, const char *const *options, struct probe *p)
{
    char step[48];
    AUTO_CLOSE int fs = fsopen(type, FSOPEN_CLOEXEC);
    snprintf(step, sizeof(step), "fsopen(%s)", type);
    if (probe_failed(p, fs, step))
        return -1;
    for (; options && *options; options++) {
        const char *eq = strchr(*options, '=');
        char key[32];
        snprintf(key, sizeof(key), "%.*s", (int)strcspn(*options, "="), *options);
        snprintf(step, sizeof(step), "%s option %s", type, key);
        int r =
            fsconfig(fs, eq ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, eq ? eq + 1 : NULL, 0);
        if (probe_failed(p, r, step))
            return -1;
    }
    snprintf(step, sizeof(step), "fsconfig(%s)", type);
    if (probe_failed(p, fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0), step))
        return -1;
    int fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    snprintf(step, sizeof(step), "fsmount(%s)", type);
    (void)probe_failed(p, fd, step);
    return fd;
}

/* A tmpfs over /tmp of this namespace: a place to try in. */
static int own_tmp(struct probe *p)
{
    static const char *const options[] = {"mode=0755", "size=1m", NULL};
    private_mounts(p);
    if (p->error)
        return -1;
    int fd = new_mount("tmpfs", options, p);
    if (fd >= 0 && probe_failed(p,
                                move_mount(fd, "", AT_FDCWD, "/tmp",
                                           MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS),
                                "move_mount"))
        fd_cleanup_close(&fd);
    return fd;
}

static void in_tmpfs(const struct probe_input *in, struct probe *p)
{
    (void)in;
    AUTO_CLOSE int tmp = own_tmp(p);
    if (tmp < 0)
        return;
    AUTO_CLOSE int fd = openat(tmp, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (probe_failed(p, fd, "a file in a tmpfs"))
        return;
    struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC};
    fd_cleanup_close(&fd);
    (void)probe_failed(p, mount_setattr(tmp, "", AT_EMPTY_PATH, &a, sizeof(a)), "mount_setattr");
}

static void try_tmpfs(const struct probe_input *in, struct probe *p)
{
    probe_in_userns(CLONE_NEWNS, in_tmpfs, in, p);
}

static void pid1_proc(const struct probe_input *in, struct probe *p)
{
    (void)in;
    AUTO_CLOSE UNUSED int fd = new_mount("proc", NULL, p);
}

/* A procfs belongs to a pid namespace one is in: tried by its pid 1. */
static void in_proc(const struct probe_input *in, struct probe *p)
{
    probe_in_child(pid1_proc, in, p);
}

static void try_proc(const struct probe_input *in, struct probe *p)
{
    probe_in_userns(CLONE_NEWNS | CLONE_NEWPID, in_proc, in, p);
}

static void in_devpts(const struct probe_input *in, struct probe *p)
{
    (void)in;
    static const char *const options[] = {"newinstance", "ptmxmode=0666", "mode=0620", NULL};
    AUTO_CLOSE int pts = new_mount("devpts", options, p);
    if (pts < 0)
        return;
    AUTO_CLOSE int fd = openat(pts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    /* The mount is nodev here as everywhere outside the engine's own /dev: EACCES is that. */
    if (fd < 0 && errno != EACCES)
        (void)probe_failed(p, -1, "ptmx of a devpts");
}

static void try_devpts(const struct probe_input *in, struct probe *p)
{
    probe_in_userns(CLONE_NEWNS, in_devpts, in, p);
}

static int make_dirs_at(int dirfd, struct probe *p)
{
    static const char *const dirs[] = {"lower", "lower/d", "upper", "work", "merged"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        if (probe_failed(p, mkdirat(dirfd, dirs[i], 0755), "a directory in a tmpfs"))
            return -1;
    return 0;
}

/* An overlay whose upper layer is a tmpfs, used for what needs its extended attributes: a directory
 * that replaces one of the lower layer. */
static void in_overlay(const struct probe_input *in, struct probe *p)
{
    (void)in;
    static const char *const options[] = {"lowerdir=/tmp/lower", "upperdir=/tmp/upper",
                                          "workdir=/tmp/work", "userxattr", NULL};
    AUTO_CLOSE int tmp = own_tmp(p);
    if (tmp < 0 || make_dirs_at(tmp, p) < 0)
        return;
    AUTO_CLOSE int merged = new_mount("overlay", options, p);
    if (merged < 0)
        return;
    AUTO_CLOSE int fd = openat(merged, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (!probe_failed(p, fd, "a file in an overlay") &&
        !probe_failed(p, unlinkat(merged, "d", AT_REMOVEDIR), "removing in an overlay"))
        (void)probe_failed(p, mkdirat(merged, "d", 0755), "replacing a directory in an overlay");
}

static void try_overlay(const struct probe_input *in, struct probe *p)
{
    probe_in_userns(CLONE_NEWNS, in_overlay, in, p);
}

static void in_bind(const struct probe_input *in, struct probe *p)
{
    (void)in;
    AUTO_CLOSE int tmp = own_tmp(p);
    if (tmp < 0)
        return;
    AUTO_CLOSE int fd =
        open_tree(AT_FDCWD, "/usr", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    if (probe_failed(p, fd, "open_tree(/usr)") ||
        probe_failed(p, mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &a, sizeof(a)),
                     "mount_setattr(/usr)") ||
        probe_failed(p, mkdirat(tmp, "usr", 0755), "a directory in a tmpfs"))
        return;
    (void)probe_failed(p, move_mount(fd, "", tmp, "usr", MOVE_MOUNT_F_EMPTY_PATH),
                       "move_mount(/usr)");
}

static void try_bind(const struct probe_input *in, struct probe *p)
{
    probe_in_userns(CLONE_NEWNS, in_bind, in, p);
}

/* ---- idmapped mounts ---- */

/* Stands in a user namespace until `done` is closed. */
static NORETURN void idmap_holder(int ready, int done)
{
    char byte;
    if (unshare(CLONE_NEWUSER) == 0)
        (void)!write(ready, "", 1);
    close(ready);
    (void)!read(done, &byte, 1);
    _exit(0);
}

static void idmap_with(pid_t holder, const struct probe_input *in, struct probe *p)
{
    probe_write_maps(holder, in, p);
    if (p->error)
        return;
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)holder);
    AUTO_CLOSE int ns = open(path, O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int tree = open_tree(AT_FDCWD, in->idmap_dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (probe_failed(p, ns, "opening a user namespace") || probe_failed(p, tree, "open_tree"))
        return;
    struct mount_attr a = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)ns};
    (void)probe_failed(p, mount_setattr(tree, "", AT_EMPTY_PATH, &a, sizeof(a)),
                       "mount_setattr(IDMAP)");
}

static void try_idmap(const struct probe_input *in, struct probe *p)
{
    int ready[2], done[2];
    char byte;
    if (probe_failed(p, pipe2(ready, O_CLOEXEC), "pipe2") ||
        probe_failed(p, pipe2(done, O_CLOEXEC), "pipe2") ||
        probe_failed(p, unshare(CLONE_NEWNS), "unshare(CLONE_NEWNS)"))
        return;
    pid_t pid = fork();
    if (pid == 0) {
        close(ready[0]);
        close(done[1]);
        idmap_holder(ready[1], done[0]);
    }
    close(ready[1]);
    if (probe_failed(p, pid, "fork"))
        return;
    errno = EPERM;
    if (!probe_failed(p, read(ready[0], &byte, 1) == 1 ? 0 : -1, "unshare(CLONE_NEWUSER)"))
        idmap_with(pid, in, p);
    close(done[1]);
}

/* ---- all of them ---- */

static const struct {
    probe_fn *fn;
    bool needs_userns, root_only;
} probes[PROBE_COUNT] = {
    [PROBE_OPENAT2] = {.fn = try_openat2},
    [PROBE_CLONE3] = {.fn = try_clone3},
    [PROBE_CLOSE_RANGE] = {.fn = try_close_range},
    [PROBE_PIDFD_OPEN] = {.fn = try_pidfd_open},
    [PROBE_MOUNT_CALLS] = {.fn = try_mount_calls},
    [PROBE_SECCOMP] = {.fn = try_seccomp},
    [PROBE_NOTIFY] = {.fn = try_notify},
    [PROBE_LANDLOCK] = {.fn = try_landlock},
    [PROBE_CHROOT] = {.fn = try_chroot},
    [PROBE_ROOT_MOUNTS] = {.fn = try_root_mounts, .root_only = true},
    [PROBE_USERNS] = {.fn = try_userns},
    [PROBE_NS_MNT] = {.fn = try_ns_mnt, .needs_userns = true},
    [PROBE_NS_PID] = {.fn = try_ns_pid, .needs_userns = true},
    [PROBE_NS_NET] = {.fn = try_ns_net, .needs_userns = true},
    [PROBE_NS_IPC] = {.fn = try_ns_ipc, .needs_userns = true},
    [PROBE_NS_UTS] = {.fn = try_ns_uts, .needs_userns = true},
    [PROBE_NS_CGROUP] = {.fn = try_ns_cgroup, .needs_userns = true},
    [PROBE_NS_TIME] = {.fn = try_ns_time, .needs_userns = true},
    [PROBE_TMPFS] = {.fn = try_tmpfs, .needs_userns = true},
    [PROBE_PROC] = {.fn = try_proc, .needs_userns = true},
    [PROBE_DEVPTS] = {.fn = try_devpts, .needs_userns = true},
    [PROBE_OVERLAY] = {.fn = try_overlay, .needs_userns = true},
    [PROBE_BIND] = {.fn = try_bind, .needs_userns = true},
    [PROBE_IDMAP] = {.fn = try_idmap, .needs_userns = true, .root_only = true},
};

void probe_one(const struct probe_input *in, enum probe_id id, struct probe *ret)
{
    *ret = (struct probe){.tried = true};
    probe_in_child(probes[id].fn, in, ret);
    ret->tried = true;
}

void probe_all(const struct probe_input *in, struct probe ret[PROBE_COUNT])
{
    for (int id = 0; id < PROBE_COUNT; id++) {
        ret[id] = (struct probe){.tried = false};
        bool possible = (!probes[id].root_only || in->root) &&
                        (!probes[id].needs_userns || ret[PROBE_USERNS].error == 0) &&
                        (id != PROBE_IDMAP || in->idmap_dir);
        if (possible)
            probe_one(in, (enum probe_id)id, &ret[id]);
    }
}
