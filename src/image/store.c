/* store.c - placing, holding and removing images.
 *
 * Called by the subcommands rootfs, exec and worker, in as many processes at once as people like,
 * and any of them may be killed at any point. Two kinds of flock make that safe, both given back by
 * the kernel:
 *
 *   .lock          held for the few system calls that look at names and rename; never while a tree
 *                  is written or removed
 *   .import-NAME   held exclusively by the importer
 *   .gone-RANDOM   held exclusively by the remover
 *   NAME           held shared by users of the image
 *
 * A directory with a leading dot and no holder was left by a process that was killed; the
 * next import or removal removes it.
 *
 * A name changes its meaning by one rename (or exchange) with .lock held, so a reader sees the old
 * image, the new one, or none. The directory is 0700: a tree with files for everybody to read is
 * nobody's business outside. Nothing here comes from an image. */
#include "image/store.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"
#include "image/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

bool image_name_ok(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > IMAGE_NAME_MAX)
        return false;
    return name[0] != '.' && name[0] != '_' && name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

int image_store_check_name(const char *name, struct err *e)
{
    if (image_name_ok(name))
        return 0;
    AUTO(buf) b = BUF_INIT(512);
    str_escape(&b, name, strlen(name), 80);
    return err_set(e, -EINVAL,
                   "\"%s\" cannot be an image's name: up to %d lower-case letters, digits, '.', "
                   "'_' and '-', the first a letter or digit",
                   buf_str(&b), IMAGE_NAME_MAX);
}

/* ---- the directory and its lock ---- */

/* -ENOENT without words when it is not there and `make` is not given. */
static int open_store(const char *data_dir, bool make, struct err *e)
{
    AUTO_FREE char *path = mem_printf("%s/rootfs", data_dir);
    if (make && mkdir(path, 0700) < 0 && errno != EEXIST) {
        int r = -errno;
        return err_set(e, r, "%s cannot be made: %s", path, err_text(r));
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        int r = -errno;
        return r == -ENOENT ? r : err_set(e, r, "%s cannot be opened: %s", path, err_text(r));
    }
    struct stat st;
    if (fstat(fd, &st) < 0 || (st.st_mode & 022) || (st.st_uid != geteuid() && st.st_uid != 0)) {
        close(fd);
        return err_set(
            e, -EPERM,
            "%s belongs to another user or can be written to by others, who could change "
            "what sandboxes run; chmod go-w it, or point --data elsewhere",
            path);
    }
    return fd;
}

int image_store_open(const char *data_dir, struct err *e)
{
    return open_store(data_dir, false, e);
}

/* The descriptor that holds .lock until it is closed. */
static int lock_store(int store_fd, struct err *e)
{
    AUTO_CLOSE int fd = openat(store_fd, ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r = fd < 0 ? -errno : 0;
    while (r == 0 && flock(fd, LOCK_EX) < 0)
        r = errno == EINTR ? 0 : -errno;
    if (r < 0)
        return err_set(e, r, "the directory of images cannot be locked: %s", err_text(r));
    return TAKE_FD(fd);
}

/* Opens the directory `name` and takes a lock on it: the descriptor, -EWOULDBLOCK when another
 * process has it, -ENOENT. */
static int open_locked(int store_fd, const char *name, int operation)
{
    AUTO_CLOSE int fd = openat(store_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    if (flock(fd, operation | LOCK_NB) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static void gone_name(char ret[80])
{
    snprintf(ret, 80, ".gone-%016llx", (unsigned long long)rng_u64());
}

/* ---- what was left behind ---- */

/* Under .lock: every directory with a leading dot that nobody holds is renamed out of the way and
 * held, so that it can be removed without the lock. */
#define LEFT_MAX 32
struct left {
    int fd[LEFT_MAX];
    char name[LEFT_MAX][80];
    size_t n;
};

static void find_left(int store_fd, struct left *left)
{
    AUTO_CLOSE int fd = openat(store_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return;
    (void)TAKE_FD(fd);
    struct dirent *d;
    while (left->n < LEFT_MAX && (d = readdir(dir))) {
        if (!str_starts(d->d_name, ".import-") && !str_starts(d->d_name, ".gone-"))
            continue;
        int held = open_locked(store_fd, d->d_name, LOCK_EX);
        if (held < 0)
            continue;
        char *name = left->name[left->n];
        gone_name(name);
        if (renameat(store_fd, d->d_name, store_fd, name) < 0)
            close(held);
        else
            left->fd[left->n++] = held;
    }
    closedir(dir);
}

/* Failing to remove what is left is no failure of what is being done: it does not count as an
 * image, and the next run tries again. */
static void remove_left(int store_fd, struct left *left)
{
    for (size_t i = 0; i < left->n; i++) {
        (void)!image_tree_remove(store_fd, left->name[i], NULL);
        close(left->fd[i]);
    }
}

/* ---- a new image ---- */

static int in_use(const char *name, struct err *e)
{
    return err_set(e, -EBUSY,
                   "image %s is in use by a running sandbox or worker; stop it and try again",
                   name);
}

/* Under .lock: may `s->name` be made? */
static int check_place(const struct image_staging *s, struct err *e)
{
    AUTO_CLOSE int old = open_locked(s->store_fd, s->name, LOCK_EX);
    if (old == -ENOENT)
        return 0;
    if (!s->replace)
        return err_set(e, -EEXIST,
                       "there is an image %s already; --replace replaces it, --name gives this one "
                       "another name",
                       s->name);
    if (old == -EWOULDBLOCK)
        return in_use(s->name, e);
    if (old < 0)
        return err_set(e, old, "image %s cannot be replaced: %s", s->name, err_text(old));
    return 0;
}

static int make_place(struct image_staging *s, struct err *e)
{
    int r = mkdirat(s->store_fd, s->temp, 0700) < 0 ? -errno : 0;
    if (r == -EEXIST)
        return err_set(e, -EBUSY,
                       "another import of %s is running; wait for it, or give this one another "
                       "name with --name",
                       s->name);
    if (r == 0) {
        s->fd = open_locked(s->store_fd, s->temp, LOCK_EX);
        r = s->fd < 0 ? s->fd : 0;
    }
    if (r == 0 && mkdirat(s->fd, IMAGE_ROOT, 0700) < 0)
        r = -errno;
    if (r == 0) {
        s->root_fd = image_tree_open(s->fd, IMAGE_ROOT, O_RDONLY);
        r = s->root_fd < 0 ? s->root_fd : 0;
    }
    if (r == 0 && fchmod(s->root_fd, 0755) < 0)
        r = -errno;
    return r < 0 ? err_set(e, r, "no directory can be made for image %s: %s", s->name, err_text(r))
                 : 0;
}

static void close_staging(struct image_staging *s)
{
    if (s->root_fd >= 0)
        close(TAKE_FD(s->root_fd));
    if (s->fd >= 0)
        close(TAKE_FD(s->fd));
    if (s->store_fd >= 0)
        close(TAKE_FD(s->store_fd));
}

int image_staging_begin(const char *data_dir, const char *name, bool replace,
                        struct image_staging *ret, struct err *e)
{
    struct image_staging s = {.store_fd = -1, .fd = -1, .root_fd = -1, .replace = replace};
    struct left left = {.n = 0};
    int r = image_store_check_name(name, e);
    if (r < 0)
        return r;
    snprintf(s.name, sizeof(s.name), "%s", name);
    snprintf(s.temp, sizeof(s.temp), ".import-%s", name);
    s.store_fd = open_store(data_dir, true, e);
    if (s.store_fd < 0)
        return s.store_fd;
    {
        AUTO_CLOSE int lock = lock_store(s.store_fd, e);
        r = lock < 0 ? lock : 0;
        if (r == 0) {
            find_left(s.store_fd, &left);
            r = check_place(&s, e);
        }
        if (r == 0)
            r = make_place(&s, e);
    }
    remove_left(s.store_fd, &left);
    if (r < 0) {
        if (s.fd >= 0)
            image_staging_abandon(&s);
        close_staging(&s);
        return r;
    }
    *ret = s;
    return 0;
}

int image_staging_spool(const struct image_staging *s, struct err *e)
{
    int fd = openat(s->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        fd = openat(s->fd, "spool", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0)
            (void)unlinkat(s->fd, "spool", 0);
    }
    if (fd < 0) {
        int r = -errno;
        return err_set(e, r, "no file can be made to unpack the archive to: %s", err_text(r));
    }
    return fd;
}

void image_staging_abandon(struct image_staging *s)
{
    (void)!image_tree_remove(s->store_fd, s->temp, NULL);
    close_staging(s);
}

/* Under .lock. With an image to replace, `ret_old` gets a name and a held descriptor. */
static int place_image(struct image_staging *s, struct left *ret_old, struct err *e)
{
    int r = check_place(s, e);
    if (r < 0)
        return r;
    int old = open_locked(s->store_fd, s->name, LOCK_EX);
    if (old < 0) {
        r = renameat2(s->store_fd, s->temp, s->store_fd, s->name, RENAME_NOREPLACE) < 0 ? -errno
                                                                                        : 0;
    } else {
        r = renameat2(s->store_fd, s->temp, s->store_fd, s->name, RENAME_EXCHANGE) < 0 ? -errno : 0;
        if (r < 0) {
            close(old);
        } else {
            gone_name(ret_old->name[0]);
            if (renameat(s->store_fd, s->temp, s->store_fd, ret_old->name[0]) < 0)
                str_copy(ret_old->name[0], sizeof(ret_old->name[0]), s->temp);
            ret_old->fd[0] = old;
            ret_old->n = 1;
        }
    }
    if (r < 0)
        return err_set(e, r, "image %s cannot be put in its place: %s", s->name, err_text(r));
    (void)flock(s->fd, LOCK_UN); /* from now on it may be used */
    return 0;
}

int image_staging_commit(struct image_staging *s, struct err *e)
{
    struct left old = {.n = 0};
    int r = syncfs(s->fd) < 0 ? -errno : 0;
    if (r < 0) {
        err_set(e, r, "the image cannot be written to disk: %s", err_text(r));
    } else {
        AUTO_CLOSE int lock = lock_store(s->store_fd, e);
        r = lock < 0 ? lock : place_image(s, &old, e);
    }
    if (r < 0) {
        image_staging_abandon(s);
        return r;
    }
    (void)fsync(s->store_fd);
    remove_left(s->store_fd, &old);
    close_staging(s);
    return 0;
}

/* ---- images that are there ---- */

int image_store_hold(int store_fd, const char *name, struct err *e)
{
    /* Between the opening and the lock nobody may rename. */
    AUTO_CLOSE int lock = lock_store(store_fd, e);
    if (lock < 0)
        return lock;
    int fd = open_locked(store_fd, name, LOCK_SH);
    if (fd == -EWOULDBLOCK)
        return err_set(e, -EBUSY, "image %s is being removed or replaced; try again", name);
    if (fd < 0 && fd != -ENOENT)
        return err_set(e, fd, "image %s cannot be opened: %s", name, err_text(fd));
    return fd;
}

int image_store_remove(const char *data_dir, const char *name, struct err *e)
{
    int r = image_store_check_name(name, e);
    if (r < 0)
        return r;
    AUTO_CLOSE int store = open_store(data_dir, false, e);
    if (store < 0)
        return store == -ENOENT ? 1 : store;
    struct left left = {.n = 0};
    AUTO_CLOSE int fd = -1;
    char gone[80];
    {
        AUTO_CLOSE int lock = lock_store(store, e);
        if (lock < 0)
            return lock;
        find_left(store, &left);
        fd = open_locked(store, name, LOCK_EX);
        gone_name(gone);
        if (fd >= 0 && renameat(store, name, store, gone) < 0)
            r = -errno;
    }
    remove_left(store, &left);
    if (fd == -ENOENT)
        return 1;
    if (fd == -EWOULDBLOCK)
        return in_use(name, e);
    if (fd < 0 || r < 0)
        return err_set(e, fd < 0 ? fd : r, "image %s cannot be removed: %s", name,
                       err_text(fd < 0 ? fd : r));
    r = image_tree_remove(store, gone, e);
    return r < 0 ? err_wrap(e, r, "image %s is gone, but not all of its files are", name) : 0;
}
