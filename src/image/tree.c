/* tree.c - opening, removing and measuring trees by descriptor.
 *
 * Used by the importer of images on its one thread. The trees were made from an untrusted
 * archive: they hold links to anywhere, names of any bytes, and may be as deep as the
 * importer allowed. Hence openat2 with everything refused that leads elsewhere, and a walk that
 * keeps its open directories on the heap: its depth, and with it the number of descriptors, has a
 * ceiling. */
#include "image/tree.h"
#include "base/err.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int image_tree_open(int dir_fd, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_DIRECTORY | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
    };
    long fd;
    do
        fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
    while (fd < 0 && (errno == EAGAIN || errno == EINTR));
    return fd < 0 ? -errno : (int)fd;
}

/* ---- a walk without recursion ---- */

struct level {
    DIR *dir;
    char *name; /* in the level above; NULL at the top */
};

struct walk {
    struct level *levels;
    size_t n;
};

static void walk_pop(struct walk *w)
{
    struct level *l = &w->levels[--w->n];
    closedir(l->dir);
    free(l->name);
}

static void walk_done(struct walk *w)
{
    while (w->n)
        walk_pop(w);
    free(w->levels);
}

/* Enters the directory `name` below `dir_fd`. */
static int walk_push(struct walk *w, int dir_fd, const char *name, struct err *e)
{
    if (w->n == IMAGE_TREE_DEPTH_MAX)
        return err_set(e, -E_LIMIT, "a directory tree is more than %d levels deep",
                       IMAGE_TREE_DEPTH_MAX);
    AUTO_CLOSE int fd = image_tree_open(dir_fd, name, O_RDONLY);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int r = fd < 0 ? fd : -errno;
        return err_set(e, r, "a directory cannot be read: %s", err_text(r));
    }
    (void)TAKE_FD(fd);
    if (!w->levels)
        w->levels = mem_array(IMAGE_TREE_DEPTH_MAX, sizeof(*w->levels));
    w->levels[w->n++] = (struct level){.dir = dir, .name = mem_strdup(name)};
    return 0;
}

/* The next entry of the deepest directory: 1, 0 at its end, negative with words. */
static int walk_next(struct walk *w, struct dirent **ret, bool *ret_is_dir, struct err *e)
{
    DIR *dir = w->levels[w->n - 1].dir;
    for (;;) {
        errno = 0;
        struct dirent *d = readdir(dir);
        if (!d && errno) {
            int r = -errno;
            return err_set(e, r, "a directory cannot be read: %s", err_text(r));
        }
        if (!d)
            return 0;
        if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
            continue;
        bool is_dir = d->d_type == DT_DIR;
        if (d->d_type == DT_UNKNOWN) {
            struct stat st;
            is_dir = fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                     S_ISDIR(st.st_mode);
        }
        *ret = d;
        *ret_is_dir = is_dir;
        return 1;
    }
}

/* ---- removing ---- */

static int cannot_remove(int r, struct err *e)
{
    return err_set(e, r, "something in a directory tree cannot be removed: %s", err_text(r));
}

/* Removes the directory the walk has emptied. A directory may hide entries from a reader while they
 * are being removed; then it is read once more. 1: it is gone, 0: read it again. */
static int remove_emptied(struct walk *w, int top_fd, unsigned *again, struct err *e)
{
    struct level *l = &w->levels[w->n - 1];
    int above = w->n > 1 ? dirfd(w->levels[w->n - 2].dir) : top_fd;
    if (unlinkat(above, l->name, AT_REMOVEDIR) < 0) {
        int r = -errno;
        if (r != -ENOTEMPTY || ++*again > 16)
            return cannot_remove(r, e);
        rewinddir(l->dir);
        return 0;
    }
    walk_pop(w);
    return 1;
}

int image_tree_remove(int dir_fd, const char *name, struct err *e)
{
    int r = unlinkat(dir_fd, name, 0) < 0 ? -errno : 0;
    if (r == 0 || r == -ENOENT)
        return 0;
    if (r != -EISDIR)
        return cannot_remove(r, e);
    struct walk w = {0};
    unsigned again = 0;
    r = walk_push(&w, dir_fd, name, e);
    while (r >= 0 && w.n) {
        struct dirent *d;
        bool is_dir;
        r = walk_next(&w, &d, &is_dir, e);
        if (r == 0) {
            r = remove_emptied(&w, dir_fd, &again, e);
        } else if (r > 0) {
            int fd = dirfd(w.levels[w.n - 1].dir);
            if (is_dir)
                r = walk_push(&w, fd, d->d_name, e);
            else if (unlinkat(fd, d->d_name, 0) < 0)
                r = cannot_remove(-errno, e);
        }
    }
    walk_done(&w);
    return r < 0 ? r : 0;
}

/* ---- measuring ---- */

/* The process that unpacked the tree may have been taken over by the archive it read; then this is
 * where it shows. Where Landlock is missing and its file system is shared, files of others could be
 * linked to. */
static int check_made(const struct stat *st, uid_t owner, struct err *e)
{
    bool plain = S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
    bool ok = (S_ISLNK(st->st_mode) || (plain && !(st->st_mode & 07022u))) && st->st_uid == owner;
    return ok ? 0
              : err_set(
                    e, -E_DENIED,
                    "the unpacked tree holds something that unpacking never makes (a device, a "
                    "set-id bit, another owner); the archive may be an attack, so do not use it");
}

static int look(int dir_fd, const char *name, uid_t owner, struct stat *ret, struct err *e)
{
    if (fstatat(dir_fd, name, ret, AT_SYMLINK_NOFOLLOW) == 0)
        return check_made(ret, owner, e);
    int r = -errno;
    return err_set(e, r, "a file cannot be looked at: %s", err_text(r));
}

int image_tree_measure(int dir_fd, struct image_tree_size *ret, struct err *e)
{
    struct image_tree_size size = {0};
    struct walk w = {0};
    struct stat st, top;
    if (fstat(dir_fd, &top) < 0)
        return err_set(e, -errno, "a directory cannot be looked at");
    int r = check_made(&top, top.st_uid, e);
    if (r == 0)
        r = walk_push(&w, dir_fd, ".", e);
    while (r >= 0 && w.n) {
        struct dirent *d;
        bool is_dir;
        r = walk_next(&w, &d, &is_dir, e);
        if (r == 0) {
            walk_pop(&w);
        } else if (r > 0) {
            int fd = dirfd(w.levels[w.n - 1].dir);
            r = look(fd, d->d_name, top.st_uid, &st, e);
            if (r < 0)
                break;
            if (is_dir) {
                size.directories++;
                r = walk_push(&w, fd, d->d_name, e);
            } else {
                size.files++;
                size.bytes += S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
            }
        }
    }
    walk_done(&w);
    if (r >= 0)
        *ret = size;
    return r < 0 ? r : 0;
}
