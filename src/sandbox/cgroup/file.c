/* file.c - control files and directories by descriptor.
 *
 * Used by cgroup.c and base.c. Every directory is reached from a descriptor without
 * following links, and before anything is written the descriptor is asked whether it lies on a
 * cgroup file system: runc had to learn (CVE-2019-16884, CVE-2021-30465, CVE-2025-52881) that a
 * path below /proc or /sys may be made to lead elsewhere, and that a "limit" written to the wrong
 * file is a weapon. Errors are kept as negative numbers; words are added where the limit's name is
 * known. */
#include "sandbox/cgroup/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define MAX_DEPTH 8 /* of groups left below one of ours; nobody but a nested run makes any */

static bool on_cgroup(int fd)
{
    struct statfs s;
    return fstatfs(fd, &s) == 0 &&
           (s.f_type == CGROUP_SUPER_MAGIC || s.f_type == CGROUP2_SUPER_MAGIC);
}

static int open_how(int dir, const char *path, uint64_t resolve)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW,
                           .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | resolve};
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
    return fd < 0 ? -errno : (int)fd;
}

int cgroup_dir_open(const char *mount, const char *group, unsigned dev_major, unsigned dev_minor,
                    struct err *e)
{
    AUTO_CLOSE int top = open_how(AT_FDCWD, mount, 0);
    if (top < 0)
        return err_set(e, top, "%s cannot be opened (%s)", mount, err_text(top));
    struct stat st;
    if (fstat(top, &st) < 0)
        return err_set(e, -errno, "%s cannot be looked at (%m)", mount);
    if (!on_cgroup(top) || major(st.st_dev) != dev_major || minor(st.st_dev) != dev_minor)
        return err_set(e, -EXDEV, "%s is hidden by another mount", mount);
    if (!group[0])
        return TAKE_FD(top);
    int fd = open_how(top, group, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
    return fd < 0 ? err_set(e, fd, "%s/%s cannot be opened (%s)", mount, group, err_text(fd)) : fd;
}

int cgroup_dir_below(int dir, const char *name)
{
    AUTO_CLOSE int fd = open_how(dir, name, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
    if (fd < 0)
        return fd;
    return on_cgroup(fd) ? TAKE_FD(fd) : -EXDEV;
}

/* A control file; on no other file system. */
int cgroup_file_open(int dir, const char *file, int flags)
{
    AUTO_CLOSE int fd = openat(dir, file, flags | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    return on_cgroup(fd) ? TAKE_FD(fd) : -EXDEV;
}

static int write_all(int fd, const char *text)
{
    size_t n = strlen(text);
    ssize_t w = write(fd, text, n);
    if (w < 0)
        return -errno;
    return (size_t)w == n ? 0 : -EIO;
}

static int read_all(int fd, char *ret, size_t cap)
{
    size_t len = 0;
    for (;;) {
        ssize_t n = pread(fd, ret + len, cap - len, (off_t)len);
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
        if (len == cap)
            return -EMSGSIZE;
    }
    if (len > 0 && ret[len - 1] == '\n')
        len--;
    ret[len] = '\0';
    return 0;
}

int cgroup_write(int dir, const char *file, const char *text)
{
    AUTO_CLOSE int fd = cgroup_file_open(dir, file, O_WRONLY);
    return fd < 0 ? fd : write_all(fd, text);
}

int cgroup_set(int dir, const char *file, const char *text, char *ret, size_t cap)
{
    AUTO_CLOSE int fd = cgroup_file_open(dir, file, O_RDWR);
    int r = fd < 0 ? fd : write_all(fd, text);
    return r < 0 ? r : read_all(fd, ret, cap);
}

int cgroup_read(int dir, const char *file, char *ret, size_t cap)
{
    AUTO_CLOSE int fd = cgroup_file_open(dir, file, O_RDONLY);
    return fd < 0 ? fd : read_all(fd, ret, cap);
}

bool cgroup_has_word(int dir, const char *file, const char *word)
{
    char text[512];
    if (cgroup_read(dir, file, text, sizeof(text)) < 0)
        return false;
    size_t n = strlen(word);
    for (const char *p = text; *p; p += strcspn(p, " \n"), p += strspn(p, " \n"))
        if (strcspn(p, " \n") == n && memcmp(p, word, n) == 0)
            return true;
    return false;
}

int cgroup_each_pid(int dir, int (*fn)(void *arg, uint64_t pid), void *arg)
{
    AUTO_CLOSE int fd = cgroup_file_open(dir, "cgroup.procs", O_RDONLY);
    if (fd < 0)
        return fd;
    char chunk[2048];
    size_t have = 0;
    for (;;) {
        ssize_t n = read(fd, chunk + have, sizeof(chunk) - have);
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        have += (size_t)n;
        size_t used = 0;
        for (char *nl; (nl = memchr(chunk + used, '\n', have - used)); /* below */) {
            uint64_t pid;
            size_t len = (size_t)(nl - (chunk + used));
            if (str_to_u64(chunk + used, len, INT32_MAX, &pid) < 0)
                return -EIO;
            used += len + 1;
            int r = fn(arg, pid);
            if (r < 0)
                return r;
        }
        memmove(chunk, chunk + used, have - used);
        have -= used;
        if (have == sizeof(chunk))
            return -EIO;
    }
}

/* The next directory in `d` that is a group, or NULL. */
static const char *next_group(DIR *d)
{
    for (struct dirent *de; (de = readdir(d));)
        if (de->d_type == DT_DIR && !str_eq(de->d_name, ".") && !str_eq(de->d_name, ".."))
            return de->d_name;
    return NULL;
}

/* A stream over the directory with a position of its own. */
static DIR *list(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d && fd >= 0)
        close(fd);
    return d;
}

int cgroup_each_group(int dir, int (*fn)(void *arg, const char *name), void *arg)
{
    DIR *d = list(dir);
    if (!d)
        return -errno;
    int r = 0;
    for (const char *name; r >= 0 && (name = next_group(d));)
        r = fn(arg, name);
    closedir(d);
    return r;
}

static int remove_one(int dir, const char *name)
{
    return unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

int cgroup_remove_tree(int dir, const char *name)
{
    int r = remove_one(dir, name);
    if (r != -EBUSY && r != -ENOTEMPTY)
        return r;
    /* Depth first, with a stack of our own: the depth is whatever somebody has left there. */
    DIR *level[MAX_DEPTH];
    char names[MAX_DEPTH][256];
    size_t depth = 0;
    int first = 0;
    const char *child = name;
    int parent = dir;
    for (;;) {
        int fd = depth < MAX_DEPTH ? cgroup_dir_below(parent, child) : -ELOOP;
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        if (d) {
            (void)str_copy(names[depth], sizeof(names[depth]), child);
            level[depth++] = d;
        } else {
            if (fd >= 0)
                close(fd);
            if (fd != -ENOENT && first == 0)
                first = fd < 0 ? fd : -ENOMEM;
        }
        /* Up from every directory that has no groups (left); then into the next one. */
        while (depth > 0 && !(child = next_group(level[depth - 1]))) {
            closedir(level[--depth]);
            r = remove_one(depth > 0 ? dirfd(level[depth - 1]) : dir, names[depth]);
            if (r < 0 && first == 0)
                first = r;
        }
        if (depth == 0)
            return first;
        parent = dirfd(level[depth - 1]);
    }
}
