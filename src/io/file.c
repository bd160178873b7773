/* file.c - regular files of the operator's: opened, made, read whole.
 *
 * Called on start, at rotation and by what reads; blocks for as long as a local file system takes.
 * The directory is the operator's. All the same nothing is opened through a link at the last place,
 * and only regular files are: who may write beside them could else have us write into another file,
 * or wait for ever on a pipe. What is made has the mode asked for, whatever the umask says. A file
 * that holds a key and that others may read is refused, not mended: its key has been seen. */
#include "io/file.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *file_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return mem_strdup(".");
    return slash == path ? mem_strdup("/") : mem_strndup(path, (size_t)(slash - path));
}

int file_open(const char *path, int flags, struct err *e)
{
    AUTO_CLOSE int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        int r = -errno;
        if (r == -ENOENT)
            return r;
        return err_set(e, r, "cannot open %s: %s", path,
                       r == -ELOOP ? "it is a link; name the file itself" : err_text(r));
    }
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "%s is no regular file", path);
    return TAKE_FD(fd);
}

int file_make(const char *path, mode_t mode, struct err *e)
{
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r = fd < 0 || fchmod(fd, mode) < 0 ? -errno : 0;
    if (r < 0)
        return err_set(e, r, "cannot make %s: %s", path, err_text(r));
    r = file_flush_names(path, e);
    return r < 0 ? r : TAKE_FD(fd);
}

int file_can_make_in(const char *folder, struct err *e)
{
    AUTO_CLOSE int fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : 0;
    if (r == 0 || r == -EOPNOTSUPP || r == -EISDIR)
        return 0;
    return err_set(e, r, "no file can be made in %s: %s", folder, err_text(r));
}

int file_flush_names(const char *path, struct err *e)
{
    AUTO_FREE char *folder = file_folder(path);
    AUTO_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;
    return r < 0 ? err_set(e, r, "cannot flush directory %s: %s", folder, err_text(r)) : 0;
}

bool file_is_named(int fd, const char *path)
{
    struct stat have, named;
    return fstat(fd, &have) == 0 && lstat(path, &named) == 0 && have.st_ino == named.st_ino &&
           have.st_dev == named.st_dev;
}

ssize_t file_read_small(int fd, void *p, size_t cap)
{
    size_t len = 0;
    while (len < cap) {
        ssize_t n = pread(fd, (char *)p + len, cap - len, (off_t)len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return (ssize_t)len;
        len += (size_t)n;
    }
    return -EFBIG;
}

int file_write_new(const char *path, mode_t mode, const void *p, size_t n, struct err *e)
{
    AUTO_FREE char *part = mem_printf("%s" FILE_STAGED, path);
    (void)unlink(part); /* left by a crash */
    AUTO_CLOSE int fd = file_make(part, mode, e);
    if (fd < 0)
        return fd;
    int r = fd_write_all(fd, p, n);
    if (r == 0 && (fsync(fd) < 0 || link(part, path) < 0))
        r = -errno;
    (void)unlink(part);
    if (r < 0)
        return err_set(e, r, "cannot write %s: %s", path, err_text(r));
    return file_flush_names(path, e);
}

void file_unstage(const char *path)
{
    AUTO_FREE char *part = mem_printf("%s" FILE_STAGED, path);
    (void)unlink(part);
}

/* As the one whose place it takes, so that who reads that one can read this one. */
static int resemble(int fd, const struct stat *old)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if ((st.st_uid != old->st_uid || st.st_gid != old->st_gid) &&
        fchown(fd, old->st_uid, old->st_gid) < 0)
        return -errno;
    return fchmod(fd, old->st_mode & 07777) < 0 ? -errno : 0;
}

int file_stage(const char *path, mode_t mode, const void *p, size_t n, struct err *e)
{
    AUTO_FREE char *part = mem_printf("%s" FILE_STAGED, path);
    struct stat old;
    bool is_there = lstat(path, &old) == 0;
    if (!is_there && errno != ENOENT) {
        int r = -errno;
        return err_set(e, r, "cannot look at %s: %s", path, err_text(r));
    }
    if (is_there && !S_ISREG(old.st_mode))
        return err_set(e, -EINVAL, "%s is no regular file; name the file itself", path);
    file_unstage(path); /* left by a crash */
    AUTO_CLOSE int fd = file_make(part, is_there ? 0600 : mode, e);
    if (fd < 0)
        return fd;
    int r = is_there ? resemble(fd, &old) : 0;
    if (r == 0)
        r = fd_write_all(fd, p, n);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r < 0)
        file_unstage(path);
    return r < 0 ? err_set(e, r, "cannot write %s: %s", part, err_text(r)) : 0;
}

int file_publish(const char *path, struct err *e)
{
    AUTO_FREE char *part = mem_printf("%s" FILE_STAGED, path);
    int r = rename(part, path) < 0 ? -errno : 0;
    if (r < 0)
        return err_set(e, r, "cannot replace %s: %s", path, err_text(r));
    return file_flush_names(path, e);
}

int file_is_private(int fd, const char *path, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || (st.st_mode & 077) != 0 || (st.st_uid != geteuid() && st.st_uid != 0))
        return err_set(e, -EPERM,
                       "%s must belong to this user and be readable by nobody else: "
                       "chmod 600",
                       path);
    return 0;
}
