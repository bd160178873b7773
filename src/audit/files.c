/* files.c - names of a log's files, and how they are opened.
 *
 * Called on start, at rotation and by what reads; blocks for as long as a local file system takes.
 * The directory is the operator's. All the same nothing is opened through a link at the last place,
 * and only regular files are: who may write beside the log could else have us write into another
 * file, or wait for ever on a pipe. What is made is 0600 whatever the umask says. */
#include "audit/files.h"
#include "base/err.h"
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGITS 6

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return mem_strdup(".");
    return slash == path ? mem_strdup("/") : mem_strndup(path, (size_t)(slash - path));
}

char *audit_files_name(const char *path, unsigned number)
{
    return mem_printf("%s.%0*u", path, DIGITS, number);
}

static int by_number(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return x < y ? -1 : x > y;
}

/* 0 when `name` is not one of `base`'s full files. */
static unsigned number_of(const char *name, const char *base)
{
    size_t n = strlen(base);
    uint64_t v = 0;
    if (strncmp(name, base, n) != 0 || name[n] != '.' || strlen(name + n + 1) != DIGITS ||
        str_to_u64(name + n + 1, DIGITS, AUDIT_FILES_MAX, &v) < 0)
        return 0;
    return (unsigned)v;
}

int audit_files_list(const char *path, unsigned **ret, size_t *ret_n, struct err *e)
{
    AUTO_FREE char *folder = folder_of(path);
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    DIR *d = opendir(folder);
    if (!d) {
        int r = -errno;
        return err_set(e, r, "cannot read directory %s: %s", folder, err_text(r));
    }
    AUTO_FREE unsigned *all = NULL;
    size_t n = 0, cap = 0;
    for (struct dirent *entry; (entry = readdir(d));) {
        unsigned v = number_of(entry->d_name, base);
        if (!v)
            continue;
        if (n == cap) {
            cap = cap ? 2 * cap : 64;
            unsigned *more = mem_array(cap, sizeof(*more));
            if (n)
                memcpy(more, all, n * sizeof(*more));
            free(all);
            all = more;
        }
        all[n++] = v;
    }
    (void)closedir(d);
    if (n)
        qsort(all, n, sizeof(*all), by_number);
    *ret = TAKE(all);
    *ret_n = n;
    return 0;
}

int audit_files_open(const char *path, int flags, struct err *e)
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

int audit_files_make(const char *path, mode_t mode, struct err *e)
{
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r = fd < 0 || fchmod(fd, mode) < 0 ? -errno : 0;
    if (r < 0)
        return err_set(e, r, "cannot make %s: %s", path, err_text(r));
    r = audit_files_flush_names(path, e);
    return r < 0 ? r : TAKE_FD(fd);
}

int audit_files_flush_names(const char *path, struct err *e)
{
    AUTO_FREE char *folder = folder_of(path);
    AUTO_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;
    return r < 0 ? err_set(e, r, "cannot flush directory %s: %s", folder, err_text(r)) : 0;
}

bool audit_files_is_named(int fd, const char *path)
{
    struct stat have, named;
    return fstat(fd, &have) == 0 && lstat(path, &named) == 0 && have.st_ino == named.st_ino &&
           have.st_dev == named.st_dev;
}

ssize_t audit_files_read_small(int fd, void *p, size_t cap)
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
