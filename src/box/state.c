/* state.c - the host directories of a worker's run, and removing those of runs that are gone.
 *
 * A run proves that it lives by holding a lock on a file; a lock dies with its process, however
 * that ends, so a process that can take it may remove the directory. The lock file is made and
 * locked before the directory: a sweeper that comes in between takes the lock, and the owner, who
 * sees that, picks another name.
 *
 * What is removed was filled by untrusted programs, which are dead by then. Removal neither
 * recurses nor holds a descriptor per level: subdirectories are moved up to the top one by one and
 * emptied there, so depth costs nothing. Links are unlinked, never followed. */
#include "box/state.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"

#define NAME_LEN 20 /* "run-" and 16 hexadecimal digits */

/* Moves a directory to `top` under a name that is free there: an existing one is never replaced. */
static int move_up(int from, const char *name, int top, uint64_t *next)
{
    for (int tries = 0; tries < 1000; tries++) {
        char moved[32];
        snprintf(moved, sizeof(moved), ".gone-%llu", (unsigned long long)(*next)++);
        if (renameat2(from, name, top, moved, RENAME_NOREPLACE) == 0)
            return 0;
        if (errno != EEXIST)
            return -errno;
    }
    return -EEXIST;
}

/* Opens a directory whatever its mode: programs may take away their owner's right to read it. */
static int open_dir(int dir, const char *name)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(dir, name, flags);
    if (fd < 0 && errno == EACCES && fchmodat(dir, name, 0700, 0) == 0)
        fd = openat(dir, name, flags);
    return fd < 0 ? -errno : fd;
}

/* Empties the directory `name` of `top`: files are unlinked, directories moved to `top` under new
 * names ("0", "1", ...), where the caller meets them again. */
static int empty_into(int top, const char *name, uint64_t *next)
{
    int fd = open_dir(top, name);
    if (fd < 0)
        return fd;
    DIR *d = fdopendir(fd);
    if (!d) {
        int r = -errno;
        close(fd);
        return r;
    }
    (void)fchmod(fd, 0700); /* entries can only be removed from a directory one may write to */
    int r = 0;
    for (struct dirent *de; (de = readdir(d));) {
        if (str_eq(de->d_name, ".") || str_eq(de->d_name, ".."))
            continue;
        if (unlinkat(fd, de->d_name, 0) == 0)
            continue;
        if (errno != EISDIR && errno != EPERM) {
            r = r ? r : -errno;
            continue;
        }
        /* A directory. One that is not ours to write cannot be moved elsewhere until it is. */
        (void)!fchmodat(fd, de->d_name, 0700, 0);
        if (unlinkat(fd, de->d_name, AT_REMOVEDIR) < 0 && move_up(fd, de->d_name, top, next) < 0)
            r = r ? r : -errno;
    }
    closedir(d);
    return r;
}

int state_remove_tree(int dirfd, const char *name)
{
    /* First everything of the tree that is a directory comes up to its own top level, then the top
     * level empties itself the same way until a pass finds nothing. */
    AUTO_CLOSE int top = open_dir(dirfd, name);
    if (top < 0)
        return top == -ENOENT ? 0 : top;
    (void)fchmod(top, 0700);
    uint64_t next = 0;
    int first = 0;
    for (bool again = true; again;) {
        again = false;
        AUTO_CLOSE int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        if (!d)
            return -errno;
        fd = -1; /* closedir's now */
        for (struct dirent *de; (de = readdir(d));) {
            if (str_eq(de->d_name, ".") || str_eq(de->d_name, "..") ||
                unlinkat(top, de->d_name, 0) == 0 || errno == ENOENT)
                continue;
            int r = empty_into(top, de->d_name, &next);
            if (unlinkat(top, de->d_name, AT_REMOVEDIR) == 0)
                again = true; /* it may have left directories behind */
            else
                first = first ? first : r < 0 ? r : -errno;
        }
        closedir(d);
    }
    if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && !first)
        first = -errno;
    return first;
}

/* Removes the run that `lock_name` belongs to if nobody holds the lock. True when it did. */
static bool sweep_one(int dir, const char *lock_name)
{
    AUTO_CLOSE int fd = openat(dir, lock_name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return false;
    AUTO_FREE char *name = mem_strndup(lock_name, NAME_LEN);
    if (state_remove_tree(dir, name) < 0)
        return false; /* the lock file stays, so that the next start tries again */
    return unlinkat(dir, lock_name, 0) == 0;
}

static size_t sweep(int dir)
{
    size_t n = 0;
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *de; d && (de = readdir(d));)
        if (strlen(de->d_name) == NAME_LEN + 5 && str_starts(de->d_name, "run-") &&
            str_ends(de->d_name, ".lock"))
            n += sweep_one(dir, de->d_name);
    if (d)
        closedir(d);
    return n;
}

/* A locked lock file and the directory that goes with it. */
static int begin_run(struct state *s, struct err *e)
{
    for (int tries = 0; tries < 16; tries++) {
        AUTO_FREE char *name = mem_printf("run-%016llx", (unsigned long long)rng_u64());
        AUTO_FREE char *lock_name = mem_printf("%s.lock", name);
        AUTO_CLOSE int fd = openat(s->dir, lock_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
            return err_set(e, -errno, "could not make a lock file in the state directory: %m");
        struct stat st;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 || st.st_nlink == 0)
            continue; /* a sweeper was faster */
        if (mkdirat(s->dir, name, 0700) < 0)
            return err_set(e, -errno, "could not make a directory in the state directory: %m");
        s->lock = TAKE_FD(fd);
        s->name = TAKE(name);
        return 0;
    }
    return err_set(e, -EBUSY, "could not take a lock in the state directory");
}

int state_open_dir(const char *path, struct err *e)
{
    AUTO_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return err_set(e, -errno, "could not open the state directory %s: %m", path);
    struct stat st;
    if (fstat(dir, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 022))
        return err_set(
            e, -EPERM,
            "the state directory %s belongs to another user or can be written by others; "
            "choose one of your own",
            path);
    return TAKE_FD(dir);
}

int state_open(const char *path, struct state *ret, size_t *ret_swept, struct err *e)
{
    struct state s = STATE_NONE;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return err_set(e, -errno, "could not make the state directory %s: %m", path);
    s.dir = state_open_dir(path, e);
    if (s.dir < 0)
        return s.dir;
    size_t swept = sweep(s.dir);
    int r = begin_run(&s, e);
    AUTO_FREE char *absolute = r < 0 ? NULL : realpath(path, NULL);
    if (r >= 0 && !absolute)
        r = err_set(e, -errno, "could not resolve the state directory %s: %m", path);
    if (r < 0) {
        state_done(&s);
        return r;
    }
    s.path = mem_printf("%s/%s", absolute, s.name);
    if (ret_swept)
        *ret_swept = swept;
    *ret = s;
    return 0;
}

void state_done(struct state *s)
{
    if (s->name && s->dir >= 0) {
        AUTO_FREE char *lock_name = mem_printf("%s.lock", s->name);
        if (state_remove_tree(s->dir, s->name) == 0)
            (void)unlinkat(s->dir, lock_name, 0);
    }
    if (s->name || s->dir > 0)
        fd_cleanup_close(&s->dir);
    if (s->name || s->lock > 0)
        fd_cleanup_close(&s->lock);
    free(s->name);
    free(s->path);
    *s = STATE_NONE;
}

char *state_make(struct state *s, struct err *e)
{
    AUTO_FREE char *path = mem_printf("%s/%llu", s->path, (unsigned long long)s->next++);
    if (mkdir(path, 0700) < 0) {
        err_set(e, -errno, "could not make %s: %m", path);
        return NULL;
    }
    return TAKE(path);
}
