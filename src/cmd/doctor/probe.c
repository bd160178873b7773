/* probe.c - trying kernel features in throwaway children.
 *
 * A version number says what a kernel could do, not what a filter, a security module or a
 * container's engine lets this process do; so each feature is used once, the way the engine uses
 * it. That changes the process that tries (namespaces, filters, rights can not be given back),
 * hence a child for each. fork(2) is used directly instead of io/proc: the children are copies that
 * execute nothing, and they are made before doctor has a loop, a thread or a connection, so a copy
 * is the whole process. Each child dies with its parent (PDEATHSIG) and is killed when it takes
 * longer than CHILD_MS: an answer that does not come is an answer, too.
 *
 *   doctor --fork--> child (tries; or makes a namespace, writing id maps as the zygote does)
 *                      `--fork--> inside (tries in the user namespace)
 *                                   `--fork--> pid 1 of a pid namespace
 *
 * Mounts are made in namespaces of the child's own, whose propagation is cut first; nothing of it
 * can be seen from outside. An attacker controls nothing here but the machine itself. */
#include "cmd/doctor/probe.h"

#include "base/str.h"
#include "base/time.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_MS   5000 /* the slowest probe takes some 5 ms */
#define INSIDE_UID 1000 /* as in the engine: an id that is nobody's root */
#define HIGH_UID   2001000u

typedef void probe_fn(const struct probe_input *in, struct probe *p);

/* Notes what failed, keeping the first. Returns true when `r` is a failure. */
static bool failed(struct probe *p, long r, const char *step)
{
    if (r >= 0)
        return false;
    if (!p->error) {
        p->error = errno ? errno : EIO;
        (void)!str_copy(p->step, sizeof(p->step), step);
    }
    return true;
}

/* ---- children ---- */

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

/* Runs `fn` in a child and takes over what it found. */
static void in_child(probe_fn *fn, const struct probe_input *in, struct probe *p)
{
    int fd[2];
    if (failed(p, pipe2(fd, O_CLOEXEC), "pipe2"))
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
    if (!failed(p, pid, "fork"))
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
    if (!failed(&p, unshare((int)(CLONE_NEWUSER | i->flags)),
                i->flags ? "unshare" : "unshare(CLONE_NEWUSER)") &&
        write(i->ready, "", 1) == 1 && read(i->go, &byte, 1) == 1) {
        /* The ids first, so that what is made belongs to somebody; then PDEATHSIG again, which a
         * change of ids clears. */
        if (!failed(&p, setresgid(INSIDE_UID, INSIDE_UID, INSIDE_UID), "setresgid") &&
            !failed(&p, setresuid(INSIDE_UID, INSIDE_UID, INSIDE_UID), "setresuid") &&
            !failed(&p, prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl(PR_SET_PDEATHSIG)")) {
            i->fn(i->in, &p);
            ran = true;
        }
    }
    errno = ECANCELED; /* what was not tried is not reported as working */
    (void)failed(&p, ran ? 0 : -1, "the child that tried it");
    report(i->out, &p);
}

static void write_map(pid_t pid, const char *file, const char *text, struct probe *p)
{
    char path[64], step[48];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    snprintf(step, sizeof(step), "writing %s", file);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    (void)failed(p, fd < 0 ? -1 : write(fd, text, strlen(text)), step);
}

/* The id maps as the zygote writes them: as root somebody else's uid, else our own. */
static void write_maps(pid_t pid, const struct probe_input *in, struct probe *p)
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

/* Called in a child: runs `fn` in a further child within a new user namespace and what else `flags`
 * name. */
static void in_userns(unsigned flags, probe_fn *fn, const struct probe_input *in, struct probe *p)
{
    int ready[2], go[2], out[2];
    if (failed(p, pipe2(ready, O_CLOEXEC), "pipe2") || failed(p, pipe2(go, O_CLOEXEC), "pipe2") ||
        failed(p, pipe2(out, O_CLOEXEC), "pipe2"))
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
    if (failed(p, pid, "fork"))
        return;
    char byte;
    if (read(ready[0], &byte, 1) == 1) {
        write_maps(pid, in, p);
        if (p->error) {
            kill(pid, SIGKILL);
            return;
        }
        (void)!write(go[1], "", 1);
    }
    collect(pid, out[0], p);
}

/* ---- calls by themselves ---- */

static void try_openat2(const struct probe_input *in, struct probe *p)
{
    (void)in;
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    (void)failed(p, syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how)), "openat2");
}

static void try_clone3(const struct probe_input *in, struct probe *p)
{
    (void)in;
    struct clone_args args = {.exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0)
        _exit(0);
    (void)failed(p, pid, "clone3");
}

static void try_close_range(const struct probe_input *in, struct probe *p)
{
    (void)in;
    (void)failed(p, syscall(SYS_close_range, 4000, 4000, 0), "close_range");
}

static void try_pidfd_open(const struct probe_input *in, struct probe *p)
{
    (void)in;
    (void)failed(p, syscall(SYS_pidfd_open, getpid(), 0), "pidfd_open");
}

/* Whether the calls exist at all, which they tell without any rights: each answers nonsense with
 * another error than ENOSYS. Whether they may be used is tried in a namespace. */
static void try_mount_calls(const struct probe_input *in, struct probe *p)
{
    (void)in;
    if (failed(p, syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLOEXEC), "open_tree"))
        return;
    if (syscall(SYS_mount_setattr, -1, "", 0, NULL, 0) < 0 && errno == ENOSYS)
        (void)failed(p, -1, "mount_setattr");
    else if (syscall(SYS_move_mount, -1, "", -1, "", 0) < 0 && errno == ENOSYS)
        (void)failed(p, -1, "move_mount");
    else if (syscall(SYS_fsopen, "", ~0u) < 0 && errno == ENOSYS)
        (void)failed(p, -1, "fsopen");
    else if (syscall(SYS_fsmount, -1, 0, 0) < 0 && errno == ENOSYS)
        (void)failed(p, -1, "fsmount");
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
    if (!failed(p, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)"))
        (void)failed(p, filter(0), "seccomp");
}

static void try_notify(const struct probe_input *in, struct probe *p)
{
    (void)in;
    if (!failed(p, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)"))
        (void)failed(p, filter(SECCOMP_FILTER_FLAG_NEW_LISTENER), "seccomp(NEW_LISTENER)");
}

/* The ABI, and that a rule set really holds: one that forbids reading files is put on this child,
 * which then tries to read one. */
static void try_landlock(const struct probe_input *in, struct probe *p)
{
    (void)in;
    p->value = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (failed(p, p->value, "landlock_create_ruleset"))
        return;
    struct landlock_ruleset_attr attr = {.handled_access_fs = LANDLOCK_ACCESS_FS_READ_FILE};
    long rules = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
    if (failed(p, rules, "landlock_create_ruleset") ||
        failed(p, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)") ||
        failed(p, syscall(SYS_landlock_restrict_self, (int)rules, 0), "landlock_restrict_self"))
        return;
    AUTO_CLOSE int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 || errno == ENOENT) {
        errno = fd >= 0 ? EBADE : ENOENT;
        (void)failed(p, -1, "a forbidden open");
    }
}

/* ---- rights ---- */

static void private_mounts(struct probe *p)
{
    (void)failed(p, mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount(MS_PRIVATE)");
}

/* As root the engine's template is made with root's own rights. */
static void try_root_mounts(const struct probe_input *in, struct probe *p)
{
    (void)in;
    if (!failed(p, unshare(CLONE_NEWNS), "unshare(CLONE_NEWNS)"))
        private_mounts(p);
}

/* The capabilities of a new user namespace can be refused by a security module after the namespace
 * itself was allowed (AppArmor in Ubuntu refuses all of them): use one that takes no other
 * namespace, as the engine does when it empties the bounding set. */
static void use_capability(const struct probe_input *in, struct probe *p)
{
    if (failed(p, prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT), "prctl(PR_CAPBSET_DROP)"))
        return;
    /* An ordinary user's zygote lives in a user namespace, its sandboxes in further ones. */
    if (!in->root)
        (void)failed(p, unshare(CLONE_NEWUSER), "unshare(CLONE_NEWUSER) in another");
}

static void try_userns(const struct probe_input *in, struct probe *p)
{
    in_userns(0, use_capability, in, p);
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
    if (failed(p, pid, "fork") || failed(p, waitpid(pid, &status, 0), "waitpid"))
        return;
    errno = ECHILD;
    (void)failed(p, status == 0 ? 0 : -1, "fork");
}

#define TRY_NS(name, flag, then)                                                                   \
    static void try_ns_##name(const struct probe_input *in, struct probe *p)                       \
    {                                                                                              \
        in_userns(flag, then, in, p);                                                              \
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
    if (failed(p, fs, step))
        return -1;
    for (; options && *options; options++) {
        const char *eq = strchr(*options, '=');
        char key[32];
        snprintf(key, sizeof(key), "%.*s", (int)strcspn(*options, "="), *options);
        snprintf(step, sizeof(step), "%s option %s", type, key);
        int r =
            fsconfig(fs, eq ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, eq ? eq + 1 : NULL, 0);
        if (failed(p, r, step))
            return -1;
    }
    snprintf(step, sizeof(step), "fsconfig(%s)", type);
    if (failed(p, fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0), step))
        return -1;
    int fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    snprintf(step, sizeof(step), "fsmount(%s)", type);
    (void)failed(p, fd, step);
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
    if (fd >= 0 && failed(p,
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
    if (failed(p, fd, "a file in a tmpfs"))
        return;
    struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC};
    fd_cleanup_close(&fd);
    (void)failed(p, mount_setattr(tmp, "", AT_EMPTY_PATH, &a, sizeof(a)), "mount_setattr");
}

static void try_tmpfs(const struct probe_input *in, struct probe *p)
{
    in_userns(CLONE_NEWNS, in_tmpfs, in, p);
}

static void pid1_proc(const struct probe_input *in, struct probe *p)
{
    (void)in;
    AUTO_CLOSE UNUSED int fd = new_mount("proc", NULL, p);
}

/* A procfs belongs to a pid namespace one is in: tried by its pid 1. */
static void in_proc(const struct probe_input *in, struct probe *p)
{
    in_child(pid1_proc, in, p);
}

static void try_proc(const struct probe_input *in, struct probe *p)
{
    in_userns(CLONE_NEWNS | CLONE_NEWPID, in_proc, in, p);
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
        (void)failed(p, -1, "ptmx of a devpts");
}

static void try_devpts(const struct probe_input *in, struct probe *p)
{
    in_userns(CLONE_NEWNS, in_devpts, in, p);
}

static int make_dirs_at(int dirfd, struct probe *p)
{
    static const char *const dirs[] = {"lower", "lower/d", "upper", "work", "merged"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        if (failed(p, mkdirat(dirfd, dirs[i], 0755), "a directory in a tmpfs"))
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
    if (!failed(p, fd, "a file in an overlay") &&
        !failed(p, unlinkat(merged, "d", AT_REMOVEDIR), "removing in an overlay"))
        (void)failed(p, mkdirat(merged, "d", 0755), "replacing a directory in an overlay");
}

static void try_overlay(const struct probe_input *in, struct probe *p)
{
    in_userns(CLONE_NEWNS, in_overlay, in, p);
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
    if (failed(p, fd, "open_tree(/usr)") ||
        failed(p, mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &a, sizeof(a)),
               "mount_setattr(/usr)") ||
        failed(p, mkdirat(tmp, "usr", 0755), "a directory in a tmpfs"))
        return;
    (void)failed(p, move_mount(fd, "", tmp, "usr", MOVE_MOUNT_F_EMPTY_PATH), "move_mount(/usr)");
}

static void try_bind(const struct probe_input *in, struct probe *p)
{
    in_userns(CLONE_NEWNS, in_bind, in, p);
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
    write_maps(holder, in, p);
    if (p->error)
        return;
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)holder);
    AUTO_CLOSE int ns = open(path, O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int tree = open_tree(AT_FDCWD, in->idmap_dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (failed(p, ns, "opening a user namespace") || failed(p, tree, "open_tree"))
        return;
    struct mount_attr a = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)ns};
    (void)failed(p, mount_setattr(tree, "", AT_EMPTY_PATH, &a, sizeof(a)), "mount_setattr(IDMAP)");
}

static void try_idmap(const struct probe_input *in, struct probe *p)
{
    int ready[2], done[2];
    char byte;
    if (failed(p, pipe2(ready, O_CLOEXEC), "pipe2") || failed(p, pipe2(done, O_CLOEXEC), "pipe2") ||
        failed(p, unshare(CLONE_NEWNS), "unshare(CLONE_NEWNS)"))
        return;
    pid_t pid = fork();
    if (pid == 0) {
        close(ready[0]);
        close(done[1]);
        idmap_holder(ready[1], done[0]);
    }
    close(ready[1]);
    if (failed(p, pid, "fork"))
        return;
    errno = EPERM;
    if (!failed(p, read(ready[0], &byte, 1) == 1 ? 0 : -1, "unshare(CLONE_NEWUSER)"))
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
    in_child(probes[id].fn, in, ret);
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
