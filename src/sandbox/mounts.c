/* mounts.c - the kernel's descriptor-based mount calls behind a few small functions.
 *
 * Called by the zygote while it builds the template root and by a cloned sandbox before it is
 * locked down; at neither time does untrusted code share the mount namespace. Still, all targets
 * are opened with openat2 without following any link and attached by descriptor: container escapes
 * of recent years (runc CVE-2025-31133, -52565, -52881, crun CVE-2019-16884) came from mounting or
 * writing through a path that another process could redirect, and the habit costs nothing. */
#include "sandbox/mounts.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int mounts_open(int dirfd, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
    return fd < 0 ? -errno : (int)fd;
}

int mounts_set(int fd, uint64_t attr, bool recursive)
{
    struct mount_attr a = {.attr_set = attr};
    unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0u);
    return mount_setattr(fd, "", flags, &a, sizeof(a)) < 0 ? -errno : 0;
}

int mounts_set_idmap(int fd, int userns)
{
    struct mount_attr a = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns};
    return mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &a, sizeof(a)) < 0 ? -errno : 0;
}

int mounts_copy(const char *path, uint64_t attr)
{
    AUTO_CLOSE int fd =
        open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (fd < 0)
        return -errno;
    int r = attr ? mounts_set(fd, attr, true) : 0;
    return r < 0 ? r : TAKE_FD(fd);
}

int mounts_copy_device(const char *path, unsigned major_no, unsigned minor_no)
{
    AUTO_CLOSE int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(major_no, minor_no))
        return -ENODEV;
    int r = mounts_set(fd, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, false);
    return r < 0 ? r : TAKE_FD(fd);
}

/* One "key=value" or "flag" of an option string to the file system context. */
static int configure(int fs, char *option)
{
    char *eq = strchr(option, '=');
    if (eq)
        *eq++ = '\0';
    int r = fsconfig(fs, eq ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, option, eq, 0);
    return r < 0 ? -errno : 0;
}

int mounts_new(const char *fstype, const char *options, uint64_t attr)
{
    AUTO_CLOSE int fs = fsopen(fstype, FSOPEN_CLOEXEC);
    if (fs < 0)
        return -errno;
    AUTO_FREE char *copy = mem_strdup(options ? options : "");
    char *save = NULL;
    for (char *o = strtok_r(copy, ",", &save); o; o = strtok_r(NULL, ",", &save)) {
        int r = configure(fs, o);
        if (r < 0)
            return r;
    }
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    int fd = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attr);
    return fd < 0 ? -errno : fd;
}

int mounts_attach(int mount_fd, int dirfd, const char *path)
{
    AUTO_CLOSE int target = mounts_open(dirfd, path, O_PATH);
    if (target < 0)
        return target;
    unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    return move_mount(mount_fd, "", target, "", flags) < 0 ? -errno : 0;
}

int mounts_is_procfs(int fd)
{
    struct statfs sf;
    if (fstatfs(fd, &sf) < 0)
        return -errno;
    return sf.f_type == PROC_SUPER_MAGIC ? 0 : -EXDEV;
}
