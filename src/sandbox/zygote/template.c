/* template.c - builds the template root.
 *
 * Runs once, in the zygote, before any sandbox exists. Two mount namespaces come out of it. The
 * first is a copy of the host's, kept only as a descriptor; bind sources are cloned from there. The
 * second holds one small read-only tmpfs: directories, the /etc of sandboxes (a kept copy where
 * there is one, etc_cache.c), a bind of /usr, a /dev of six devices, and a bind of the host's /proc, which exists for one reason: the kernel lets a
 * user namespace mount a procfs of its own only where one is fully visible already. Each sandbox
 * covers it with its own. */
#include "sandbox/zygote/template.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "sandbox/zygote/etc_cache.h"
#include "sandbox/zygote/idmap.h"
#include "sandbox/mounts.h"
#include "sandbox/sandbox.h"
#include "sandbox/build/etc.h"
#include "sandbox/build/skeleton.h"

#define RO_ATTR (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

struct link {
    const char *target, *path;
};
static const struct link dev_links[] = {
    {"/proc/self/fd", "fd"},       {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"},
    {"/proc/self/fd/2", "stderr"}, {"pts/ptmx", "ptmx"},
};

static const struct {
    const char *name;
    unsigned major_no, minor_no;
} devices[] = {
    {"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
    {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
};

struct build {
    int root, dev; /* the new tmpfs, and the one for /dev */
    int usr, proc; /* detached copies from the host */
    struct etc_cache etc;
    int system[SKELETON_SYSTEM_DIRS]; /* likewise, -1 where a link does */
    int var[SKELETON_VAR_DIRS];       /* likewise, -1 where the host has none */
    int device[ARRAY_LEN(devices)];
};

static void build_done(struct build *b)
{
    fd_cleanup_close(&b->root);
    fd_cleanup_close(&b->dev);
    fd_cleanup_close(&b->usr);
    fd_cleanup_close(&b->proc);
    etc_cache_done(&b->etc);
    for (size_t i = 0; i < ARRAY_LEN(b->system); i++)
        fd_cleanup_close(&b->system[i]);
    for (size_t i = 0; i < ARRAY_LEN(b->var); i++)
        fd_cleanup_close(&b->var[i]);
    for (size_t i = 0; i < ARRAY_LEN(b->device); i++)
        fd_cleanup_close(&b->device[i]);
}

/* /bin and its like: the same link as on the host, or a directory that a read-only copy goes on. */
static int fill_system_dir(struct build *b, size_t i)
{
    AUTO_FREE char *host = mem_printf("/%s", skeleton_system_dirs[i]);
    AUTO_FREE char *target = skeleton_link_target(AT_FDCWD, host);
    if (target)
        return symlinkat(target, b->root, skeleton_system_dirs[i]) < 0 ? -errno : 0;
    b->system[i] = mounts_copy(host, RO_ATTR);
    if (b->system[i] == -ENOENT)
        return 0;
    if (b->system[i] < 0)
        return b->system[i];
    return mkdirat(b->root, skeleton_system_dirs[i], 0755) < 0 ? -errno : 0;
}

/* What a user may not see, or what goes in between, is as if the host had none. */
static int fill_var_dir(struct build *b, size_t i)
{
    const char *path = skeleton_var_dirs[i];
    if (!skeleton_var_dir_ok(path))
        return 0;
    AUTO_FREE char *host = mem_printf("/%s", path);
    AUTO_FREE char *parent = mem_strndup(path, (size_t)(strrchr(path, '/') - path));
    if ((mkdirat(b->root, parent, 0755) < 0 && errno != EEXIST) || mkdirat(b->root, path, 0755) < 0)
        return -errno;
    b->var[i] = mounts_copy(host, RO_ATTR | MOUNT_ATTR_NOEXEC);
    return 0;
}

static int fill_links(int dir, const struct link *links, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (symlinkat(links[i].target, dir, links[i].path) < 0)
            return err_set(e, -errno, "could not make the link %s: %m", links[i].path);
    return 0;
}

/* /dev is a mount of its own, so that a sandbox can take it over whole, whatever its root is. */
static int fill_dev(struct build *b, struct err *e)
{
    b->dev = mounts_new("tmpfs", "mode=0755,size=64k,nr_inodes=64", 0);
    if (b->dev < 0)
        return err_set(e, b->dev, "could not make a tmpfs for /dev: %s", err_text(b->dev));
    if (mkdirat(b->dev, "pts", 0755) < 0 || mkdirat(b->dev, "shm", 0755) < 0)
        return err_set(e, -errno, "could not make directories of /dev: %m");
    for (size_t i = 0; i < ARRAY_LEN(devices); i++) {
        int r = skeleton_write_file(b->dev, devices[i].name, "", 0);
        if (r < 0)
            return err_set(e, r, "could not make /dev/%s: %s", devices[i].name, err_text(r));
    }
    return fill_links(b->dev, dev_links, ARRAY_LEN(dev_links), e);
}

/* Creates the tmpfs and everything in it that is not a mount. The host is still visible. */
static int fill(struct build *b, struct err *e)
{
    b->root = mounts_new("tmpfs", "mode=0755,size=16m,nr_inodes=8k", 0);
    if (b->root < 0)
        return err_set(e, b->root, "could not make the root tmpfs: %s", err_text(b->root));
    int r = skeleton_directories(b->root, e);
    if (r >= 0 && b->etc.tree < 0)
        r = etc_fill(b->root, NULL, e);
    if (r < 0)
        return r;
    for (size_t i = 0; i < SKELETON_SYSTEM_DIRS; i++) {
        r = fill_system_dir(b, i);
        if (r < 0)
            return err_set(e, r, "could not provide /%s: %s", skeleton_system_dirs[i], err_text(r));
    }
    for (size_t i = 0; i < SKELETON_VAR_DIRS; i++) {
        r = fill_var_dir(b, i);
        if (r < 0)
            return err_set(e, r, "could not provide /%s: %s", skeleton_var_dirs[i], err_text(r));
    }
    return fill_dev(b, e);
}

/* Detached copies of what will be bound, taken while the host is still visible. */
static int collect(struct build *b, uid_t user, struct err *e)
{
    for (unsigned i = 0; b->etc.tree < 0; i++) {
        AUTO_FREE char *place = etc_cache_place(user, i);
        if (!place)
            break;
        etc_cache_open(place, &b->etc);
    }
    b->usr = mounts_copy("/usr", RO_ATTR);
    if (b->usr < 0)
        return err_set(e, b->usr, "could not copy the mount of /usr: %s", err_text(b->usr));
    b->proc = mounts_copy("/proc", 0);
    if (b->proc < 0)
        return err_set(e, b->proc, "could not copy the mount of /proc: %s", err_text(b->proc));
    if (mounts_is_procfs(b->proc) < 0)
        return err_set(e, -EXDEV, "/proc is not a procfs");
    for (size_t i = 0; i < ARRAY_LEN(devices); i++) {
        AUTO_FREE char *path = mem_printf("/dev/%s", devices[i].name);
        b->device[i] = mounts_copy_device(path, devices[i].major_no, devices[i].minor_no);
        if (b->device[i] < 0)
            return err_set(e, b->device[i], "%s is not the device it should be: %s", path,
                           err_text(b->device[i]));
    }
    return 0;
}

static int attach_all(struct build *b, struct err *e)
{
    int r = mounts_attach(b->usr, b->root, "usr");
    if (r >= 0 && b->etc.tree >= 0)
        r = mounts_attach(b->etc.tree, b->root, "etc");
    if (r >= 0)
        r = mounts_attach(b->proc, b->root, "proc");
    for (size_t i = 0; r >= 0 && i < SKELETON_SYSTEM_DIRS; i++)
        if (b->system[i] >= 0)
            r = mounts_attach(b->system[i], b->root, skeleton_system_dirs[i]);
    for (size_t i = 0; r >= 0 && i < SKELETON_VAR_DIRS; i++)
        if (b->var[i] >= 0)
            r = mounts_attach(b->var[i], b->root, skeleton_var_dirs[i]);
    if (r >= 0)
        r = mounts_attach(b->dev, b->root, "dev");
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(devices); i++)
        r = mounts_attach(b->device[i], b->dev, devices[i].name);
    if (r >= 0)
        r = mounts_set(b->dev, RO_ATTR | MOUNT_ATTR_NOEXEC, false);
    if (r >= 0)
        r = mounts_set(b->root, RO_ATTR, false);
    return r < 0 ? err_set(e, r, "could not assemble the root: %s", err_text(r)) : 0;
}

/* A mount namespace of our own; `propagation` says whether mounts made on the host still arrive. */
static int new_namespace(unsigned long propagation, struct err *e)
{
    if (unshare(CLONE_NEWNS) < 0)
        return err_set(e, -errno, "could not make a mount namespace: %m");
    if (mount(NULL, "/", NULL, MS_REC | propagation, NULL) < 0)
        return err_set(e, -errno, "could not separate mounts from the host's: %m");
    return 0;
}

/* Makes the new tmpfs the root of this namespace and drops the host's tree. The directory it is
 * first put on does not matter: everything there is detached a moment later. */
static int switch_root(struct build *b, struct err *e)
{
    AUTO_CLOSE int host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = host < 0 ? -errno : mounts_attach(b->root, host, "usr");
    if (r < 0)
        return err_set(e, r, "could not attach the new root: %s", err_text(r));
    if (fchdir(b->root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return err_set(e, -errno, "could not switch to the new root: %m");
    return 0;
}

int rootfs_build(uid_t user, struct rootfs *ret, struct err *e)
{
    __attribute__((cleanup(build_done))) struct build b = {
        .root = -1, .dev = -1, .usr = -1, .proc = -1, .etc = ETC_CACHE_NONE};
    for (size_t i = 0; i < ARRAY_LEN(b.system); i++)
        b.system[i] = -1;
    for (size_t i = 0; i < ARRAY_LEN(b.var); i++)
        b.var[i] = -1;
    for (size_t i = 0; i < ARRAY_LEN(b.device); i++)
        b.device[i] = -1;
    umask(022);

    int r = new_namespace(MS_SLAVE, e);
    if (r < 0)
        return r;
    AUTO_CLOSE int host_ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (host_ns < 0)
        return err_set(e, -errno, "could not open /proc/self/ns/mnt: %m");
    r = collect(&b, user, e);
    if (r >= 0)
        r = fill(&b, e);
    if (r >= 0)
        r = new_namespace(MS_PRIVATE, e);
    if (r >= 0)
        r = switch_root(&b, e);
    if (r >= 0)
        r = attach_all(&b, e);
    if (r < 0)
        return r;
    int template_ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (template_ns < 0)
        return err_set(e, -errno, "could not open /proc/self/ns/mnt: %m");
    const int etc_lock = TAKE_FD(b.etc.lock);
    *ret = (struct rootfs){.host_ns = TAKE_FD(host_ns),
                           .template_ns = template_ns,
                           .etc_lock = etc_lock,
                           .user = user};
    return 0;
}

void rootfs_done(struct rootfs *r)
{
    fd_cleanup_close(&r->host_ns);
    fd_cleanup_close(&r->template_ns);
    fd_cleanup_close(&r->etc_lock);
}

/* Translates owners of a detached mount. 0; CAN_NOT where its file system cannot; or a negative
 * code with words, when it may well be able to but something is short. */
#define CAN_NOT 1
static int set_idmap(int tree, const struct idmap *uids, const struct idmap *gids, int proc,
                     struct err *e)
{
    AUTO_CLOSE int userns = idmap_userns(proc, uids, gids, e);
    if (userns < 0)
        return userns;
    int r = mounts_set_idmap(tree, userns);
    return r == -EINVAL || r == -EPERM ? CAN_NOT
           : r < 0 ? err_set(e, r, "could not map the owners of a mount: %s", err_text(r))
                   : 0;
}

static int restrict_tree(int fd, const char *path, const struct stat *st,
                         const struct rootfs_tree *how, struct err *e)
{
    uint64_t attr = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (how->write ? 0u : MOUNT_ATTR_RDONLY);
    int r = mounts_set(fd, attr, true);
    if (r < 0)
        return err_set(e, r, "could not restrict the mount of %s: %s", path, err_text(r));
    if (how->map) {
        r = set_idmap(fd, how->map, how->map, how->proc, e);
    } else if (how->owner_is >= 0) {
        const struct idmap u = {st->st_uid, (uint32_t)how->owner_is, 1},
                           g = {st->st_gid, (uint32_t)how->owner_is, 1};
        r = set_idmap(fd, &u, &g, how->proc, e);
    }
    if (r < 0)
        return err_wrap(e, r, "%s", path);
    if (r == CAN_NOT && how->write && !(st->st_mode & S_IWOTH))
        return err_set(e, -EXDEV,
                       "%s could be bound, but not written: its file system (or one that is "
                       "mounted below it) does not translate owners, and root's sandboxes are "
                       "users of their own; run sallyport as the owner, bind it read-only, keep it "
                       "on another file system, or let everybody write there (chmod o+w)",
                       path);
    if (r == CAN_NOT && how->write)
        log_warn("the sandbox cannot write as the owner of this directory: its file system does "
                 "not translate owners",
                 "path=%s", log_q(path));
    return 0;
}

/* What was checked has no link in it; one that is there now has been put there since. */
static int open_place(const char *path, struct err *e)
{
    struct open_how look = {.flags = O_PATH | O_CLOEXEC,
                            .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &look, sizeof(look));
    if (fd < 0 && errno == ELOOP)
        return err_set(e, -ELOOP, "%s is a link or lies behind one; name the place itself", path);
    return fd < 0 ? err_set(e, -errno, "could not open %s: %m", path) : fd;
}

static int copy_from_host(uid_t user, const char *path, const struct rootfs_tree *how,
                          struct err *e)
{
    if (how->write && etc_cache_holds(user, path))
        return err_set(e, -EINVAL,
                       "%s holds what every sandbox is made of, and cannot be bound writable; bind "
                       "a directory below it",
                       path);
    AUTO_CLOSE int top = open_place(path, e);
    if (top < 0)
        return top;
    struct stat st;
    if (fstat(top, &st) < 0)
        return err_set(e, -errno, "could not look at %s: %m", path);
    if (how->socket != S_ISSOCK(st.st_mode))
        return how->socket ? err_set(e, -EINVAL, "%s is not a Unix socket", path)
                           : err_set(e, -EINVAL,
                                     "%s is a Unix socket: programs could talk to whoever listens "
                                     "there; say that you want that with --socket",
                                     path);
    if (!how->socket && !S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "%s is neither a directory nor a regular file", path);
    if (how->give_to >= 0 &&
        fchownat(top, "", (uid_t)how->give_to, (gid_t)how->give_to, AT_EMPTY_PATH) < 0)
        return err_set(e, -errno, "could not give %s to uid %lld: %m", path,
                       (long long)how->give_to);
    AUTO_CLOSE int fd =
        open_tree(top, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH);
    if (fd < 0)
        return err_set(e, -errno, "could not copy the mount of %s: %m", path);
    int r = restrict_tree(fd, path, &st, how, e);
    return r < 0 ? r : TAKE_FD(fd);
}

int rootfs_host_tree(const struct rootfs *r, const char *path, const struct rootfs_tree *how,
                     struct err *e)
{
    if (setns(r->host_ns, CLONE_NEWNS) < 0)
        return err_set(e, -errno, "could not look at the host's files: %m");
    int fd = copy_from_host(r->user, path, how, e);
    /* Coming back is not optional: a zygote that stayed would clone
     * sandboxes into the host's view. */
    MUST(setns(r->template_ns, CLONE_NEWNS) == 0);
    return fd;
}

int rootfs_host_dir(const struct rootfs *r, const char *path, struct err *e)
{
    if (setns(r->host_ns, CLONE_NEWNS) < 0)
        return err_set(e, -errno, "could not look at the host's files: %m");
    AUTO_CLOSE int fd = open_place(path, e);
    MUST(setns(r->template_ns, CLONE_NEWNS) == 0); /* as above */
    struct stat st;
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return err_set(e, -errno, "could not look at %s: %m", path);
    return S_ISDIR(st.st_mode) ? TAKE_FD(fd) : -ENOTDIR;
}

int rootfs_template_tree(const char *path, const struct idmap *map, int proc, struct err *e)
{
    AUTO_CLOSE int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (fd < 0)
        return err_set(e, -errno, "could not copy the mount of %s: %m", path);
    int r = map ? set_idmap(fd, map, map, proc, e) : 0;
    if (r == CAN_NOT)
        return err_set(e, -EINVAL, "the file system of %s does not translate owners", path);
    return r < 0 ? r : TAKE_FD(fd);
}
