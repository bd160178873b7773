/* backup.c - `sallyport server backup` and `restore`: whole copies of the database.
 *
 * Copying the file with cp while a server writes loses what still lies in the log beside it, and
 * may tear pages. Here SQLite itself writes the copy from one read transaction. The copy is made
 * under another name in the same directory, checked, flushed, and only then gets its name: nobody
 * sees half of one. It holds hashes of keys, and everything that was ever said in a session, so
 * its mode is 0600. Both run in processes of their own, on the main thread. */
#include "store/backup.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "store/directory.h"
#include "store/sqlite.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A new, empty, private file beside `file`; its name is the caller's. */
static int make_beside(const char *file, char **ret_path, struct err *e)
{
    AUTO_FREE char *path = mem_printf("%s.XXXXXX", file);
    AUTO_CLOSE int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return err_set(e, -errno, "cannot make a file beside %s: %m", file);
    *ret_path = TAKE(path);
    return 0;
}

static int flush(const char *path, struct err *e)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fsync(fd) < 0)
        return err_set(e, -errno, "cannot flush %s: %m", path);
    return 0;
}

static int check_sound(const char *path, struct err *e)
{
    AUTO(buf) findings = BUF_INIT(1u << 20);
    return sqlite_check(path, &findings, e);
}

/* Gives `path` its name. Without `replace` nothing that is there is touched. */
static int give_name(const char *path, const char *name, bool replace, struct err *e)
{
    if (renameat2(AT_FDCWD, path, AT_FDCWD, name, replace ? 0 : RENAME_NOREPLACE) == 0)
        return 0;
    int r = -errno;
    if (r == -EEXIST)
        return err_set(e, r, "%s is there already; name another file, or say --replace", name);
    return err_set(e, r, "cannot name %s: %s", name, err_text(r));
}

/* A sound copy of `from` on disk, under a name beside `to` that is the caller's. */
static int copy_beside(const char *from, const char *to, char **ret_path, struct err *e)
{
    char *path = NULL;
    int r = make_beside(to, &path, e);
    if (r == 0)
        r = sqlite_copy(from, path, e);
    if (r == 0)
        r = check_sound(path, e);
    if (r == 0)
        r = flush(path, e);
    if (r < 0 && path) {
        unlink(path);
        free(TAKE(path));
    }
    *ret_path = path;
    return r;
}

/* malloc'ed. */
static char *parent_of(const char *file)
{
    const char *slash = strrchr(file, '/');
    return !slash ? mem_strdup(".") : mem_strndup(file, slash == file ? 1 : (size_t)(slash - file));
}

static int flush_parent(const char *file, struct err *e)
{
    AUTO_FREE char *dir = parent_of(file);
    return directory_flush(dir, e);
}

/* Whoever may write to a directory may put another file in place of ours, and `restore` would
 * believe it. The sticky bit keeps others from that. */
static int check_place(const char *file, struct err *e)
{
    AUTO_FREE char *dir = parent_of(file);
    struct stat st;
    if (stat(dir, &st) < 0)
        return err_set(e, -errno, "cannot look at %s: %m", dir);
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX))
        return err_set(e, -EPERM,
                       "%s may be written by others, who could put another file in the backup's "
                       "place; chmod go-w it, or name another directory",
                       dir);
    return 0;
}

int backup_make(const char *dir, const char *file, bool replace, struct err *e)
{
    AUTO_FREE char *from = mem_printf("%s/" SQLITE_FILE, dir);
    AUTO_FREE char *path = NULL;
    struct stat st;
    if (!replace && lstat(file, &st) == 0) /* before the work; give_name decides */
        return err_set(e, -EEXIST, "%s is there already; name another file, or say --replace",
                       file);
    int r = check_place(file, e);
    if (r == 0)
        r = copy_beside(from, file, &path, e);
    if (r < 0)
        return r;
    r = give_name(path, file, replace, e);
    if (r < 0) {
        unlink(path);
        return r;
    }
    return flush_parent(file, e);
}

/* ---- the way back ---- */

/* Moves the database that is there, with its log, out of the way. */
static int keep_old(const char *dir, char **ret_kept, struct err *e)
{
    char stamp[TIME_RFC3339_MAX];
    AUTO_FREE char *db = mem_printf("%s/" SQLITE_FILE, dir);
    AUTO_FREE char *kept = mem_printf("%s.%s", db, time_format(stamp, time_real_us()));
    AUTO_FREE char *log = mem_printf("%s-wal", db);
    AUTO_FREE char *kept_log = mem_printf("%s-wal", kept);
    AUTO_FREE char *index = mem_printf("%s-shm", db);
    /* The database first: a kill between the two leaves a directory that says what it lacks. The
     * other way round its newest events would be gone without a word. A log without a database goes,
     * too: SQLite would take it for the new one's. */
    int r = rename(db, kept) < 0 && errno != ENOENT ? -errno : 0;
    if (r == 0 && rename(log, kept_log) < 0 && errno != ENOENT)
        r = -errno;
    if (r < 0)
        return err_set(e, r, "cannot move %s out of the way: %s", db, err_text(r));
    unlink(index); /* made anew from the log */
    *ret_kept = TAKE(kept);
    return 0;
}

static int replace_database(const char *copy, const char *dir, struct directory *d, bool replace,
                            char **ret_kept, struct err *e)
{
    AUTO_FREE char *db = mem_printf("%s/" SQLITE_FILE, dir);
    struct stat st;
    const bool there = lstat(db, &st) == 0;
    if (there && !replace)
        return err_set(
            e, -EEXIST,
            "%s is there already; say --replace to keep it under another name and use the "
            "backup",
            db);
    AUTO_FREE char *kept = NULL;
    int r = keep_old(dir, &kept, e);
    if (r == 0 && there)
        *ret_kept = TAKE(kept);
    if (r == 0)
        r = give_name(copy, db, false, e);
    if (r == 0)
        r = directory_flush(dir, e);
    return r < 0 ? r : directory_note_database(d, e);
}

int backup_restore(const char *file, const char *dir, bool replace, char **ret_kept, struct err *e)
{
    AUTO_FREE char *db = mem_printf("%s/" SQLITE_FILE, dir);
    AUTO_FREE char *copy = NULL;
    struct directory d = DIRECTORY_NONE;
    *ret_kept = NULL;
    AUTO_CLOSE int there = open(file, O_RDONLY | O_CLOEXEC);
    if (there < 0)
        return err_set(e, -errno, "cannot read %s: %m", file);
    int r = check_sound(file, e);
    if (r == 0)
        r = directory_open(dir, &d, e);
    if (r < 0)
        return r;
    r = copy_beside(file, db, &copy, e);
    if (r == 0 && (r = replace_database(copy, dir, &d, replace, ret_kept, e)) < 0)
        unlink(copy);
    close(d.lock_fd);
    return r;
}
