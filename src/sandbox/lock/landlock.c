/* landlock.c - the ruleset of a sandbox.
 *
 * Called once per sandbox, after its mounts and before the system call filter. What the ruleset
 * says: programs are executed, and files written, made and removed, only below the sandbox's own
 * root, so that a directory of the host that came in by accident (an inherited descriptor, a
 * working directory: runc CVE-2024-21626) cannot be changed or executed from; the plain user of the
 * assembled root only writes where it needs to; no program makes device nodes; ioctl on devices
 * works on those of /dev. Abstract sockets and signals stay inside (they do already, by
 * namespaces). Without a network, TCP is refused as well as unreachable.
 *
 * Rules only add, and hold below what is mounted, too: what may be made in /tmp may be made in a
 * bind below /tmp. Where that matters for sockets the guard looks (guard/guard.c).
 *
 * What it leaves out on purpose: READ_FILE, READ_DIR and TRUNCATE. The kernel pays for these with a
 * walk up to the root on every open(2), 1.3 to 1.8 times the price of the whole call (measured on
 * 6.18); what may be read is decided by what is mounted. And version 1 altogether: it refuses every
 * rename between directories. */
#include "sandbox/lock/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "sandbox/sandbox.h"

/* Newer than the headers of Debian 12. */
#define ACCESS_FS_TRUNCATE    (1ull << 14)
#define ACCESS_FS_IOCTL_DEV   (1ull << 15)
#define ACCESS_NET_BIND_TCP   (1ull << 0)
#define ACCESS_NET_CONNECT    (1ull << 1)
#define SCOPE_ABSTRACT_SOCKET (1ull << 0)
#define SCOPE_SIGNAL          (1ull << 1)

struct ruleset_attr { /* struct landlock_ruleset_attr as of version 6 */
    uint64_t handled_access_fs, handled_access_net, scoped;
};

#define MAKE                                                                                       \
    (LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |    \
     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM)
#define CHANGE                                                                                     \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REFER | MAKE)
/* A socket that a program leaves in a directory of the host is a door for whoever connects to it
 * there, and hands over descriptors. A named pipe is read like a file. */
#define SHARED_CHANGE (CHANGE & ~LANDLOCK_ACCESS_FS_MAKE_SOCK)
#define ON_FILES      (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE | ACCESS_FS_IOCTL_DEV)
#define DEVICE_NODES  (LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)

int landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi < 0 ? 0 : (int)abi;
}

struct landlock_plan landlock_plan(int abi, const struct sandbox_spec *s)
{
    struct landlock_plan p = {.files = 0};
    if (abi >= 2)
        p.files = LANDLOCK_ACCESS_FS_EXECUTE | CHANGE | DEVICE_NODES;
    if (abi >= 4 && s->network == SANDBOX_NET_NONE)
        p.tcp = ACCESS_NET_BIND_TCP | ACCESS_NET_CONNECT;
    if (abi >= 5)
        p.files |= ACCESS_FS_IOCTL_DEV;
    if (abi >= 6)
        p.scoped = SCOPE_ABSTRACT_SOCKET | SCOPE_SIGNAL;
    return p;
}

static int allow(int ruleset, const struct landlock_plan *p, const char *path, uint64_t access,
                 struct err *e)
{
    AUTO_CLOSE int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_set(e, -errno, "could not open %s: %m", path);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(e, -errno, "could not look at %s: %m", path);
    if (!S_ISDIR(st.st_mode))
        access &= ON_FILES;
    /* The kernel refuses rights that its version does not handle, and rules without any. */
    struct landlock_path_beneath_attr rule = {.allowed_access = access & p->files, .parent_fd = fd};
    if (rule.allowed_access == 0)
        return 0;
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return err_set(e, -errno, "could not add the rule for %s: %m", path);
    return 0;
}

/* The plain user on the assembled root: everything outside these places belongs to the system. */
static int allow_some(int ruleset, const struct landlock_plan *p, const struct sandbox_spec *s,
                      struct err *e)
{
    static const char *const writable[] = {SANDBOX_HOME, "/tmp", "/dev/shm"};
    int r = allow(ruleset, p, "/", LANDLOCK_ACCESS_FS_EXECUTE, e);
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(writable); i++)
        r = allow(ruleset, p, writable[i], CHANGE, e);
    for (size_t i = 0; r >= 0 && i < s->n_binds; i++)
        if (s->binds[i].write)
            r = allow(ruleset, p, s->binds[i].target, SHARED_CHANGE, e);
    return r;
}

static int fill(int ruleset, const struct landlock_plan *p, const struct sandbox_spec *s,
                struct err *e)
{
    int r = s->rootfs_dir || s->user == SANDBOX_USER_ROOT
                ? allow(ruleset, p, "/", LANDLOCK_ACCESS_FS_EXECUTE | CHANGE, e)
                : allow_some(ruleset, p, s, e);
    if (r >= 0)
        r = allow(ruleset, p, "/dev", LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_FS_IOCTL_DEV, e);
    /* Threads name themselves and change their own settings there; what matters is read-only. */
    if (r >= 0)
        r = allow(ruleset, p, "/proc", LANDLOCK_ACCESS_FS_WRITE_FILE, e);
    return r;
}

static int new_ruleset(int abi, const struct landlock_plan *p, struct err *e)
{
    const struct ruleset_attr attr = {
        .handled_access_fs = p->files, .handled_access_net = p->tcp, .scoped = p->scoped};
    size_t size = abi >= 6 ? sizeof(attr) : abi >= 4 ? 16 : 8;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    return ruleset < 0 ? err_set(e, -errno, "could not make a Landlock ruleset: %m") : ruleset;
}

static int restrict_self(int ruleset, struct err *e)
{
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        return err_set(e, -errno, "could not apply the Landlock ruleset: %m");
    return 0;
}

int landlock_apply(const struct sandbox_spec *s, struct err *e)
{
    int abi = landlock_abi();
    const struct landlock_plan p = landlock_plan(abi, s);
    if (!p.files && !p.tcp && !p.scoped)
        return 0;
    AUTO_CLOSE int ruleset = new_ruleset(abi, &p, e);
    if (ruleset < 0)
        return ruleset;
    int r = fill(ruleset, &p, s, e);
    if (r < 0)
        return err_wrap(e, r, "Landlock");
    return restrict_self(ruleset, e);
}

/* ---- for a process that is no sandbox ---- */

/* All that interface `abi`, at least 2, can refuse. Here reading is refused, too: what a walk to
 * the root costs does not count for a process that opens few files. */
static struct landlock_plan everything(int abi)
{
    struct landlock_plan p = {
        .files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
                 LANDLOCK_ACCESS_FS_READ_DIR | CHANGE | DEVICE_NODES,
    };
    if (abi >= 3)
        p.files |= ACCESS_FS_TRUNCATE;
    if (abi >= 4)
        p.tcp = ACCESS_NET_BIND_TCP | ACCESS_NET_CONNECT;
    if (abi >= 5)
        p.files |= ACCESS_FS_IOCTL_DEV;
    if (abi >= 6)
        p.scoped = SCOPE_ABSTRACT_SOCKET | SCOPE_SIGNAL;
    return p;
}

int landlock_only_write_below(int dir_fd, struct err *e)
{
    int abi = landlock_abi();
    if (abi < 2)
        return 0;
    const struct landlock_plan p = everything(abi);
    AUTO_CLOSE int ruleset = new_ruleset(abi, &p, e);
    if (ruleset < 0)
        return ruleset;
    const uint64_t needed = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
                            LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                            LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                            LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER |
                            ACCESS_FS_TRUNCATE;
    struct landlock_path_beneath_attr rule = {.allowed_access = needed & p.files,
                                              .parent_fd = dir_fd};
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return err_set(e, -errno, "could not add the Landlock rule: %m");
    int r = restrict_self(ruleset, e);
    return r < 0 ? r : 1;
}

int landlock_only_read(const char *const *paths, struct err *e)
{
    int abi = landlock_abi();
    if (abi < 2)
        return 0;
    struct landlock_plan p = everything(abi);
    p.tcp &= ~ACCESS_NET_CONNECT;
    AUTO_CLOSE int ruleset = new_ruleset(abi, &p, e);
    if (ruleset < 0)
        return ruleset;
    for (; *paths; paths++) {
        AUTO_CLOSE int fd = open(*paths, O_PATH | O_CLOEXEC); /* links are the operator's */
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0)
            continue;
        struct landlock_path_beneath_attr rule = {
            .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE |
                              (S_ISDIR(st.st_mode) ? (uint64_t)LANDLOCK_ACCESS_FS_READ_DIR : 0),
            .parent_fd = fd};
        if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
            return err_set(e, -errno, "could not add the Landlock rule for %s: %m", *paths);
    }
    int r = restrict_self(ruleset, e);
    return r < 0 ? r : 1;
}
