/* root.c - a root file system for one sandbox.
 *
 * Runs in a fresh clone of the zygote (enter.c, stage 3), in its own copy of the template's mount
 * namespace, with all capabilities in its user namespace and nothing untrusted running. A tmpfs
 * ("scratch") holds what may be written: upper layers, /tmp and /dev/shm share its size.
 *
 * The root assembled from the host is the directory "upper" of that tmpfs itself, with the
 * template's /etc, /usr and /dev mounted into it: every absolute path begins at the root, and an
 * overlay there would add a fifth to each stat(2). It is read-only for the plain user. A sandbox
 * with user root has overlays of its own over /etc and /usr, one with a bind below /etc over /etc.
 *
 * A given image is the lower layer of an overlay.
 *
 * An image is not trusted: /dev, /etc/hosts or the parents of a bind target may be links to
 * anywhere. Therefore nothing is created through the image. Everything we need is made in the upper
 * layer before the overlay exists, where a directory of ours hides what the image has under that
 * name unless that is a directory, too. All attaching is by descriptor and without following links
 * (mounts.c), and a mount point is always one that the upper layer has.
 *
 * Paths in the overlay's options are constants inside our own namespace; there is no other way to
 * name layers before Linux 6.8. */
#include "sandbox/build/root.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "sandbox/mounts.h"
#include "sandbox/sandbox.h"
#include "sandbox/build/etc_rule.h"
#include "sandbox/build/own_files.h"
#include "sandbox/build/size_files.h"
#include "sandbox/build/skeleton.h"

#define SCRATCH_ATTR (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
#define TEXT_MAX     (256u << 10) /* of /proc/cpuinfo, and of an image's passwd and group */

/* Places of the template that are free while the root is being made (zygote/template.c makes them).
 * */
#define AT_SCRATCH "run"
#define AT_LOWER   "srv"
#define AT_USR     "opt"
#define AT_NEW     "mnt"

struct build {
    const struct enter_args *args;
    struct root root;
    int upper; /* the scratch tmpfs's directory "upper" */
};

static void build_done(struct build *b)
{
    root_done(&b->root);
    fd_cleanup_close(&b->upper);
}

void root_done(struct root *r)
{
    fd_cleanup_close(&r->old);
    fd_cleanup_close(&r->scratch);
    fd_cleanup_close(&r->top);
}

#define ETC "/etc/"

bool root_in_etc(const char *target)
{
    return str_starts(target, ETC);
}

bool root_has_own_etc(const struct sandbox_spec *s)
{
    bool own = s->user == SANDBOX_USER_ROOT || own_files_wanted(s);
    for (size_t i = 0; i < s->n_binds; i++)
        own = own || root_in_etc(s->binds[i].target);
    return own && !s->rootfs_dir;
}

static bool target_ok(const char *target)
{
    static const char *const system_dirs[] = {"/usr",   "/bin",    "/sbin", "/lib",  "/lib32",
                                              "/lib64", "/libx32", "/dev",  "/proc", "/sys"};
    if (str_eq(target, "/") || str_eq(target, "/tmp") || str_eq(target, SANDBOX_HOME) ||
        str_eq(target, "/etc"))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(system_dirs); i++) {
        size_t n = strlen(system_dirs[i]);
        if (strncmp(target, system_dirs[i], n) == 0 && (target[n] == '\0' || target[n] == '/'))
            return false;
    }
    return !str_eq(target, SANDBOX_SPOOL) && !str_starts(target, SANDBOX_SPOOL "/");
}

int root_check_target(const char *target, struct err *e)
{
    const char *reason;
    if (root_in_etc(target) && !etc_rule_bindable(target + strlen(ETC), &reason))
        return err_set(e, -EINVAL, "bind target %s: %s, so it stays the sandbox's own", target,
                       reason);
    if (target_ok(target))
        return 0;
    return err_set(e, -EINVAL,
                   "bind target %s: system directories (/usr, /dev, /proc, ...), /etc, /tmp and "
                   "/workspace cannot be replaced; choose another target",
                   target);
}

/* ---- the scratch tmpfs ---- */

static const struct {
    const char *path;
    mode_t mode;
} scratch_dirs[] = {
    {"upper", 0755}, {"tmp", 01777}, {"shm", 01777}, {"files", 0755}, {"files/empty", 0555},
};

static int make_scratch(struct build *b, struct err *e)
{
    const uint64_t size = b->args->spec->limits.tmp_bytes;
    AUTO_FREE char *options =
        mem_printf("mode=0755,nr_inodes=%llu,size=%llu",
                   (unsigned long long)sandbox_tmpfs_files(size), (unsigned long long)size);
    b->root.scratch = mounts_new("tmpfs", options, SCRATCH_ATTR);
    int r = b->root.scratch < 0 ? b->root.scratch
                                : mounts_attach(b->root.scratch, b->root.old, AT_SCRATCH);
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(scratch_dirs); i++) {
        r = mkdirat(b->root.scratch, scratch_dirs[i].path, scratch_dirs[i].mode) < 0 ? -errno : 0;
        if (r >= 0 && (scratch_dirs[i].mode & 01000) &&
            fchmodat(b->root.scratch, scratch_dirs[i].path, scratch_dirs[i].mode, 0) < 0)
            r = -errno;
    }
    if (r >= 0)
        b->upper = mounts_open(b->root.scratch, "upper", O_PATH | O_DIRECTORY);
    if (r >= 0 && b->upper < 0)
        r = b->upper;
    return r < 0 ? err_set(e, r, "could not make the sandbox's scratch space: %s", err_text(r)) : 0;
}

/* Makes directory (or empty file) `path` and its parents in the upper layer, which holds nothing
 * but what we have put there. */
static int make_path(int upper, const char *path, bool directory)
{
    AUTO_FREE char *p = mem_strdup(path[0] == '/' ? path + 1 : path);
    for (char *slash = strchr(p, '/');; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = '\0';
        int r = 0;
        if (slash || directory) {
            if (mkdirat(upper, p, 0755) < 0 && errno != EEXIST)
                r = -errno;
        } else {
            AUTO_CLOSE int fd =
                openat(upper, p, O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_WRONLY | O_NONBLOCK, 0644);
            r = fd < 0 ? -errno : 0;
        }
        if (r < 0 || !slash)
            return r;
        *slash = '/';
    }
}

static int make_bind_targets(struct build *b, struct err *e)
{
    const struct sandbox_spec *s = b->args->spec;
    for (size_t i = 0; i < s->n_binds; i++) {
        const char *target = s->binds[i].target;
        int r = root_check_target(target, e);
        if (r < 0)
            return r;
        if (str_starts(target, "/tmp/") || str_starts(target, SANDBOX_HOME "/"))
            continue; /* other file systems; contents.c makes these */
        struct stat st;
        const bool etc = root_in_etc(target) && !s->rootfs_dir;
        r = fstat(b->args->bind_fds[i], &st) < 0 ? -errno
            : etc ? make_path(b->root.scratch, target, S_ISDIR(st.st_mode))
                  : make_path(b->upper, target, S_ISDIR(st.st_mode));
        if (r < 0)
            return err_set(e, r, "could not make bind target %s: %s", target, err_text(r));
    }
    return 0;
}

/* ---- what an image gets from us ---- */

static int write_upper(int upper, const char *path, const char *text, size_t n)
{
    AUTO_CLOSE int fd =
        openat(upper, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    ssize_t k = write(fd, text, n);
    return k < 0 ? -errno : (size_t)k < n ? -ENOSPC : 0;
}

/* Reads a regular file of the image; no links are followed. 0 with "" when there is none. */
static int read_lower(int lower, const char *path, struct buf *ret)
{
    AUTO_CLOSE int fd = mounts_open(lower, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)TEXT_MAX)
        return 0;
    for (;;) {
        char *room = buf_room(ret, 4096);
        ssize_t n = room ? read(fd, room, 4096) : 0;
        if (n <= 0)
            return room ? 0 : buf_err(ret);
        buf_commit(ret, (size_t)n);
    }
}

/* Adds our user to the image's passwd or group when it has none with id 1000. */
static int add_user(struct build *b, int lower, const char *path, const char *line)
{
    AUTO(buf) text = BUF_INIT(TEXT_MAX + 8192u);
    int r = read_lower(lower, path, &text);
    if (r < 0)
        return r;
    if (strstr(buf_str(&text), ":1000:"))
        return 0;
    if (text.len && text.data[text.len - 1] != '\n')
        buf_addc(&text, '\n');
    buf_adds(&text, line);
    r = buf_err(&text);
    return r < 0 ? r : write_upper(b->upper, path, buf_str(&text), text.len);
}

static int fill_image(struct build *b, struct err *e)
{
    static const char *const dirs[] = {"proc", "dev", "tmp", "etc", "var/tmp", &SANDBOX_HOME[1]};
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(dirs); i++)
        r = make_path(b->upper, dirs[i], true);
    /* Programs expect to be able to write there; importing takes others' right to write away. */
    if (r >= 0 && fchmodat(b->upper, "var/tmp", 01777, 0) < 0)
        r = -errno;
    for (size_t i = 0; r >= 0 && skeleton_etc[i].path; i++)
        if (skeleton_etc[i].in_images)
            r = write_upper(b->upper, skeleton_etc[i].path, skeleton_etc[i].text,
                            strlen(skeleton_etc[i].text));
    if (r >= 0)
        r = add_user(b, b->args->root_fd, "etc/passwd", SKELETON_PASSWD_LINE);
    if (r >= 0)
        r = add_user(b, b->args->root_fd, "etc/group", SKELETON_GROUP_LINE);
    if (r < 0)
        return err_set(e, r, "could not prepare the image: %s", err_text(r));
    return own_files_write(b->args->root_fd, b->args->root_fd, b->upper, b->args->spec, e);
}

/* ---- layers ---- */

/* A mount of directory `lower` of the template's root with a layer of its own above it: `upper` of
 * the scratch tmpfs. */
static int overlay(const struct build *b, const char *lower, const char *upper)
{
    AUTO_FREE char *work = mem_printf("%s-work", upper);
    if ((mkdirat(b->root.scratch, upper, 0755) < 0 && errno != EEXIST) ||
        mkdirat(b->root.scratch, work, 0755) < 0)
        return -errno;
    AUTO_FREE char *options =
        mem_printf("lowerdir=/%s,upperdir=/" AT_SCRATCH "/%s,workdir=/" AT_SCRATCH "/%s,userxattr",
                   lower, upper, work);
    return mounts_new("overlay", options, SCRATCH_ATTR);
}

static int overlay_error(int r, struct err *e)
{
    if (r == -ENODEV)
        return err_set(e, r, "this kernel has no overlayfs: load it (modprobe overlay)");
    return err_set(e, r, "could not make an overlay of the root: %s", err_text(r));
}

/* The root over an image. */
static int mount_image(struct build *b, struct err *e)
{
    int r = mounts_attach(b->args->root_fd, b->root.old, AT_LOWER);
    if (r >= 0)
        r = b->root.top = overlay(b, AT_LOWER, "upper");
    if (r >= 0)
        r = mounts_attach(b->root.top, b->root.old, AT_NEW);
    /* clone_private_mount(): in a user namespace not over mounts that
     * came locked; nor over procfs. */
    if (r == -EINVAL)
        return err_set(e, r,
                       "this root cannot be below an overlay: something is mounted on a directory "
                       "in it, or it is no file system of files; give a copy, or import it");
    return r < 0 ? overlay_error(r, e) : 0;
}

/* Another mount of `path` as the template has it, without what is mounted below. */
static int copy_of(const struct build *b, const char *path, unsigned flags)
{
    AUTO_CLOSE int at = mounts_open(b->root.old, path, O_PATH);
    int tree = at < 0
                   ? at
                   : open_tree(at, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | flags);
    return tree < 0 && at >= 0 ? -errno : tree;
}

/* A copy of the template's mount on `name`, with all below it, put onto the same place of the new
 * root. */
static int carry_over(struct build *b, const char *name)
{
    AUTO_CLOSE int tree = copy_of(b, name, AT_RECURSIVE);
    return tree < 0 ? tree : mounts_attach(tree, b->root.top, name);
}

/* /bin and its like: a link as the template has it, a mount, or nothing. */
static int bring_system_dir(struct build *b, const char *name)
{
    AUTO_FREE char *target = skeleton_link_target(b->root.old, name);
    if (target)
        return symlinkat(target, b->upper, name) < 0 ? -errno : 0;
    AUTO_CLOSE int tree = copy_of(b, name, AT_RECURSIVE);
    if (tree == -ENOENT)
        return 0;
    if (tree < 0 || mkdirat(b->upper, name, 0755) < 0)
        return tree < 0 ? tree : -errno;
    return mounts_attach(tree, b->root.top, name);
}

/* An /etc of this sandbox alone: the template's below a layer in which make_bind_targets may have put
 * mount points. */
static int bring_own_etc(struct build *b, uint64_t attr)
{
    const bool own = b->args->own_fd >= 0; /* then /usr is the template's, and its place is free */
    int r = mounts_attach(b->args->root_fd, b->root.old, AT_LOWER);
    if (r >= 0 && own)
        r = mounts_attach(b->args->own_fd, b->root.old, AT_USR);
    AUTO_CLOSE int etc = r < 0 ? r : overlay(b, own ? AT_USR "/etc:/" AT_LOWER : AT_LOWER, "etc");
    r = etc < 0 ? etc : mounts_set(etc, attr, false);
    return r < 0 ? r : mounts_attach(etc, b->root.top, "etc");
}

/* For user root: an /etc that it can change, and, where the system's files are its own, a /usr. */
static int bring_own(struct build *b)
{
    int r = bring_own_etc(b, SCRATCH_ATTR);
    if (r < 0 || b->args->usr_fd < 0)
        return r < 0 ? r : carry_over(b, "usr");
    r = mounts_attach(b->args->usr_fd, b->root.old, AT_USR);
    AUTO_CLOSE int usr = r < 0 ? r : overlay(b, AT_USR, "usr");
    return usr < 0 ? usr : mounts_attach(usr, b->root.top, "usr");
}

static int bring_shared(struct build *b)
{
    if (b->args->root_fd >= 0) {
        int r = bring_own_etc(b, SCRATCH_ATTR | MOUNT_ATTR_RDONLY);
        return r < 0 ? r : carry_over(b, "usr");
    }
    AUTO_CLOSE int etc = copy_of(b, "etc", 0);
    int r = etc < 0 ? etc : mounts_attach(etc, b->root.top, "etc");
    return r < 0 ? r : carry_over(b, "usr");
}

/* What the template has of the host's /var. */
static int bring_var(struct build *b)
{
    int r = 0;
    for (size_t i = 0; r >= 0 && skeleton_var_dirs[i]; i++) {
        AUTO_CLOSE int tree = copy_of(b, skeleton_var_dirs[i], AT_RECURSIVE);
        if (tree == -ENOENT)
            continue;
        r = tree < 0 ? tree : make_path(b->upper, skeleton_var_dirs[i], true);
        if (r >= 0)
            r = mounts_attach(tree, b->root.top, skeleton_var_dirs[i]);
    }
    return r;
}

/* The root made of the host's system. */
static int mount_assembled(struct build *b, struct err *e)
{
    b->root.top = open_tree(b->upper, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    int r = b->root.top < 0 ? -errno : mounts_attach(b->root.top, b->root.old, AT_NEW);
    for (size_t i = 0; r >= 0 && skeleton_system_dirs[i]; i++)
        r = bring_system_dir(b, skeleton_system_dirs[i]);
    if (r >= 0)
        r = bring_var(b);
    if (r < 0)
        return err_set(e, r, "could not assemble the root: %s", err_text(r));
    if (root_has_own_etc(b->args->spec) &&
        b->args->own_fd < 0) /* into the layer that bring_own_etc mounts */
        r = own_files_write(b->root.old, b->root.old, b->root.scratch, b->args->spec, e);
    if (r < 0)
        return r;
    if (b->args->spec->user == SANDBOX_USER_ROOT) {
        r = bring_own(b);
        return r < 0 ? overlay_error(r, e) : 0;
    }
    r = bring_shared(b);
    if (r < 0 && b->args->root_fd >= 0)
        return overlay_error(r, e);
    return r < 0 ? err_set(e, r, "could not bring /usr and /etc into the root: %s", err_text(r))
                 : 0;
}

/* Texts that tell the limits; with a processor limit also a place for /sys/devices/system/cpu. */
static int write_visible(struct build *b, struct err *e)
{
    const struct sandbox_limits *l = &b->args->spec->limits;
    AUTO(buf) cpuinfo = BUF_INIT(TEXT_MAX);
    AUTO_CLOSE int files = mounts_open(b->root.scratch, "files", O_PATH | O_DIRECTORY);
    int r = files;
    if (r >= 0 && size_files_cpus(l)) {
        r = read_lower(b->root.old, "proc/cpuinfo", &cpuinfo);
        if (r >= 0)
            r = make_path(b->upper, "sys/devices/system/cpu", true);
    }
    if (r >= 0)
        r = size_files_write(files, l, cpuinfo.len ? buf_str(&cpuinfo) : NULL);
    return r < 0 ? err_set(e, r, "could not write what tells the limits: %s", err_text(r)) : 0;
}

int root_build(const struct enter_args *j, struct root *ret, struct err *e)
{
    __attribute__((
        cleanup(build_done))) struct build b = {.args = j, .root = ROOT_NONE, .upper = -1};
    b.root.old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (b.root.old < 0)
        return err_set(e, -errno, "could not open the root directory: %m");
    int r = make_scratch(&b, e);
    if (r >= 0) /* before there are links: a directory on the way to a target replaces /var/run */
        r = make_bind_targets(&b, e);
    if (r >= 0)
        r = j->spec->rootfs_dir ? fill_image(&b, e) : skeleton_frame(b.upper, e);
    if (r >= 0)
        r = write_visible(&b, e);
    if (r >= 0)
        r = j->spec->rootfs_dir ? mount_image(&b, e) : mount_assembled(&b, e);
    if (r >= 0 && (r = carry_over(&b, "dev")) < 0)
        err_set(e, r, "could not bring /dev into the root: %s", err_text(r));
    if (r >= 0 && !j->spec->rootfs_dir && j->spec->user != SANDBOX_USER_ROOT &&
        (r = mounts_set(b.root.top, SCRATCH_ATTR | MOUNT_ATTR_RDONLY, false)) < 0)
        err_set(e, r, "could not make the root read-only: %s", err_text(r));
    if (r < 0)
        return r;
    *ret = b.root;
    b.root = ROOT_NONE;
    return 0;
}

int root_enter(struct root *r, struct err *e)
{
    if (fchdir(r->top) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return err_set(e, -errno, "could not switch to the new root: %m");
    return 0;
}
