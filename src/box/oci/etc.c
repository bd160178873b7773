/* etc.c - copying an image's /etc.
 *
 * Called by root.c on a thread of the pool, for containers whose /etc differs from their image's: a
 * runtime's mounts cannot put files there without following the image's links (root.c), and an overlay
 * would be mounted by the container's user, who may not reach every image. An image may hold anything:
 * nothing is opened through a link, depth, number and bytes have ceilings, and the walk keeps its own
 * stack. */
#include "box/oci/etc.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "sandbox/mounts.h"

#define DEPTH_MAX   16
#define ENTRIES_MAX 20000
#define BYTES_MAX   (64ull << 20) /* that of a desktop has 15 MB */

struct level {
    DIR *from;
    int to;
};

struct walk {
    struct level at[DEPTH_MAX];
    size_t depth;
    size_t entries;
    uint64_t bytes;
};

static void walk_done(struct walk *w)
{
    while (w->depth > 0) {
        closedir(w->at[--w->depth].from);
        close(w->at[w->depth].to);
    }
}

/* Takes both over. */
static int enter(struct walk *w, int from, int to)
{
    DIR *d = w->depth < DEPTH_MAX ? fdopendir(from) : NULL;
    if (!d) {
        int r = w->depth < DEPTH_MAX ? -errno : -E_LIMIT;
        close(from);
        close(to);
        return r;
    }
    w->at[w->depth++] = (struct level){.from = d, .to = to};
    return 0;
}

static int copy_bytes(struct walk *w, int in, int out)
{
    char part[2048];
    for (;;) {
        ssize_t n = read(in, part, sizeof(part));
        if (n <= 0)
            return n < 0 ? -errno : 0;
        w->bytes += (size_t)n;
        int r = w->bytes > BYTES_MAX ? -E_LIMIT : fd_write_all(out, part, (size_t)n);
        if (r < 0)
            return r;
    }
}

static int copy_file(struct walk *w, int from, int to, const char *name, mode_t mode)
{
    AUTO_CLOSE int in =
        openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (in < 0) /* nobody inside could read it, either */
        return errno == EACCES || errno == EPERM ? 0 : -errno;
    AUTO_CLOSE int out =
        openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0)
        return -errno;
    int r = copy_bytes(w, in, out);
    return r < 0 ? r : fchmod(out, mode & 0777) < 0 ? -errno : 0;
}

static int copy_link(int from, int to, const char *name)
{
    AUTO_FREE char *target = mem_array(PATH_MAX, 1);
    ssize_t n = readlinkat(from, name, target, PATH_MAX - 1);
    if (n < 0)
        return -errno;
    target[n] = '\0';
    return symlinkat(target, to, name) < 0 ? -errno : 0;
}

static int copy_dir(struct walk *w, int from, int to, const char *name, mode_t mode)
{
    int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0)
        return errno == EACCES || errno == EPERM ? 0 : -errno;
    /* Ours must be able to write there while it is being filled, and to remove it. */
    int out = mkdirat(to, name, 0700) < 0 || fchmodat(to, name, (mode & 0777) | 0700, 0) < 0
                  ? -errno
                  : openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (out < 0) {
        int r = out == -1 ? -errno : out;
        close(in);
        return r;
    }
    return enter(w, in, out);
}

static int copy_entry(struct walk *w, const char *name)
{
    const struct level *l = &w->at[w->depth - 1];
    const int from = dirfd(l->from), to = l->to;
    struct stat st;
    if (++w->entries > ENTRIES_MAX)
        return -E_LIMIT;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return S_ISREG(st.st_mode)   ? copy_file(w, from, to, name, st.st_mode)
           : S_ISLNK(st.st_mode) ? copy_link(from, to, name)
           : S_ISDIR(st.st_mode) ? copy_dir(w, from, to, name, st.st_mode)
                                 : 0;
}

int oci_etc_copy(int from, int to, struct err *e)
{
    AUTO(walk) w = {.depth = 0};
    int in = mounts_open(from, ".", O_RDONLY | O_DIRECTORY), out = fcntl(to, F_DUPFD_CLOEXEC, 3);
    int r = in < 0 || out < 0 ? -EMFILE : enter(&w, in, out);
    while (r >= 0 && w.depth > 0) {
        struct dirent *de = readdir(w.at[w.depth - 1].from);
        if (!de) {
            struct level l = w.at[--w.depth];
            closedir(l.from);
            close(l.to);
        } else if (!str_eq(de->d_name, ".") && !str_eq(de->d_name, "..")) {
            r = copy_entry(&w, de->d_name);
        }
    }
    if (r == -E_LIMIT)
        return err_set(e, r, "the image's /etc is larger than %llu MiB, %d files or %d levels",
                       BYTES_MAX >> 20, ENTRIES_MAX, DEPTH_MAX);
    return r < 0 ? err_set(e, r, "could not copy the image's /etc: %s", err_text(r)) : 0;
}
