/* layer.c - writing below a directory that may hold links.
 *
 * Called by own_files.c and trust.c, in a layer that holds nothing but ours, or in a container's root that
 * holds a copy of an image's /etc. Nothing is made or replaced behind a link: directories are opened one
 * by one, and what has the name of a file of ours is removed first. */
#include "sandbox/build/layer.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "sandbox/mounts.h"

/* The directory of `path` below `upper`, made when it is not there; never behind a link. */
static int open_parent(int upper, const char *path, const char **ret_name)
{
    AUTO_CLOSE int dir = fcntl(upper, F_DUPFD_CLOEXEC, 3);
    if (dir < 0)
        return -errno;
    for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
        AUTO_FREE char *name = mem_strndup(path, (size_t)(slash - path));
        if (mkdirat(dir, name, 0755) == 0
                ? fchmodat(dir, name, 0755, 0) < 0 /* whatever the umask */
                : errno != EEXIST)
            return -errno;
        int next = mounts_open(dir, name, O_PATH | O_DIRECTORY);
        if (next < 0)
            return next;
        close(dir);
        dir = next;
    }
    *ret_name = path;
    return TAKE_FD(dir);
}

int layer_put(int upper, const char *path, const void *p, size_t n, struct stat *ret_st)
{
    const char *name;
    AUTO_CLOSE int dir = open_parent(upper, path, &name);
    if (dir < 0)
        return dir;
    if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
        return -errno;
    AUTO_CLOSE int fd =
        openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    int r = fd_write_all(fd, p, n);
    if (r >= 0 && (fchmod(fd, 0644) < 0 || fstat(fd, ret_st) < 0))
        r = -errno;
    return r;
}

int layer_link(int upper, const char *path, const char *target)
{
    const char *name;
    AUTO_CLOSE int dir = open_parent(upper, path, &name);
    if (dir < 0)
        return dir;
    if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
        return -errno;
    return symlinkat(target, dir, name) < 0 ? -errno : 0;
}
