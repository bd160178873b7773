/* path.c - openat2 for the file tools.
 *
 * Runs in a tool child. The sandbox's own programs may change any directory while we walk it; since
 * every step is relative to a descriptor and the final open is one system call, the worst they
 * achieve is that the tool acts on another file which they could have acted on themselves. What
 * must not happen is that a tool is made to wait (FIFO, device) or to reach through /proc/PID
 * links; both are refused at the open. */
#include "sandbox/tools/path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "sandbox/paths.h"

#define MAX_LINKS 40 /* what the kernel follows in one resolution */

char *path_absolute(const char *name)
{
    AUTO(buf) b = BUF_INIT(PATH_MAX - 1);
    AUTO_FREE char *joined =
        name[0] == '/' ? mem_strdup(name) : mem_printf("%s/%s", paths()->home, name);
    for (const char *p = joined; *p;) {
        while (*p == '/')
            p++;
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.') {
            while (b.len > 0 && b.data[--b.len] != '/')
                ;
        } else if (n > 0 && !(n == 1 && p[0] == '.')) {
            buf_addc(&b, '/');
            buf_add(&b, p, n);
        }
        p += n;
    }
    if (b.len == 0)
        buf_addc(&b, '/');
    else
        b.data[b.len] = '\0'; /* the last step may have been a ".." */
    return buf_err(&b) < 0 ? NULL : buf_take(&b, NULL);
}

static int open_at(int dirfd, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY)),
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    for (int tries = 0; tries < 100; tries++) {
        long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
        /* EAGAIN: a ".." raced with a rename; the kernel wants us to try again. */
        if (fd >= 0 || errno != EAGAIN)
            return fd < 0 ? -errno : (int)fd;
    }
    return -EAGAIN;
}

int path_open(const char *absolute, int flags)
{
    AUTO_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -errno;
    return open_at(root, absolute[1] ? absolute + 1 : ".", flags);
}

int path_open_regular(const char *absolute, uint64_t *ret_size)
{
    /* O_PATH first: opening a device or FIFO can have effects, looking at it has none. */
    AUTO_CLOSE int look = path_open(absolute, O_PATH);
    struct stat st;
    if (look < 0)
        return look;
    if (fstat(look, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -E_DENIED;
    AUTO_CLOSE int fd = path_open(absolute, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -E_DENIED;
    *ret_size = (uint64_t)st.st_size;
    return TAKE_FD(fd);
}

/* Opens the directory `path`, making missing parts. Goes down one name at a time only when it has
 * to. */
static int open_directory(const char *path, bool make)
{
    int fd = path_open(path, O_PATH | O_DIRECTORY);
    if (fd != -ENOENT || !make)
        return fd;
    AUTO_FREE char *p = mem_strdup(path);
    for (char *slash = strchr(p + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = '\0';
        char *name = strrchr(p, '/');
        *name = '\0';
        AUTO_CLOSE int parent = path_open(*p ? p : "/", O_PATH | O_DIRECTORY);
        *name = '/';
        if (parent < 0)
            return parent;
        if (mkdirat(parent, name + 1, 0700) < 0 && errno != EEXIST)
            return -errno;
        if (!slash)
            break;
        *slash = '/';
    }
    return path_open(path, O_PATH | O_DIRECTORY);
}

/* Where the link `name` in the directory of `path` points; NULL when it is no link. Not cleaned by
 * text: after a link, ".." means what the kernel says it means. */
static char *follow(int dir, const char *path, const char *name)
{
    AUTO_FREE char *target = mem_array(PATH_MAX, 1);
    ssize_t n = readlinkat(dir, name, target, PATH_MAX - 1);
    if (n <= 0)
        return NULL;
    if (target[0] == '/')
        return TAKE(target);
    return mem_printf("%.*s/%s", (int)(strrchr(path, '/') - path), path, target);
}

int path_open_parent(const char *absolute, bool make, char ret_name[NAME_MAX + 1])
{
    AUTO_FREE char *path = mem_strdup(absolute);
    for (int links = 0; links < MAX_LINKS; links++) {
        char *slash = strrchr(path, '/');
        size_t n = strlen(slash + 1);
        if (n == 0 || strcmp(slash + 1, ".") == 0 || strcmp(slash + 1, "..") == 0)
            return -EISDIR;
        if (strlen(path) >= PATH_MAX)
            return -ENAMETOOLONG;
        if (n > NAME_MAX)
            return -ENAMETOOLONG;
        AUTO_FREE char *dirname =
            slash == path ? mem_strdup("/") : mem_strndup(path, (size_t)(slash - path));
        AUTO_CLOSE int dir = open_directory(dirname, make);
        if (dir < 0)
            return dir;
        char *next = follow(dir, path, slash + 1);
        if (!next) {
            memcpy(ret_name, slash + 1, n + 1);
            return TAKE_FD(dir);
        }
        free(path);
        path = next;
    }
    return -ELOOP;
}
