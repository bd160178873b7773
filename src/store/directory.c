/* directory.c - the data directory before SQLite sees it: made, private, locked by one server.
 *
 * The lock is a flock on DIR/sallyport.lock, given back by the kernel when the process ends,
 * however it ends; the file is never removed. Its first line is the owner's pid, for the words of a
 * refusal. A second line says that there has been a database: a directory that has lost it (removed,
 * emptied, a disk that is not mounted) is not taken for a new one, which would greet its clients
 * with an empty platform. Runs once at start, on the main thread. */
#include "store/directory.h"
#include "base/err.h"
#include "io/dirs.h"
#include "store/sqlite.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTE "database\n"

static int refuse_locked(int fd, const char *dir, struct err *e)
{
    char pid[24];
    ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
    pid[n > 0 ? n : 0] = '\0';
    pid[strspn(pid, "0123456789")] = '\0';
    return err_set(
        e, -EBUSY,
        "another server (pid %s) already uses data directory %s; stop it or give this one "
        "another with --data",
        pid[0] ? pid : "unknown", dir);
}

/* Writes pid and note. For people, and for the next start: a full disk shows up properly a moment
 * later. */
static void write_lines(const struct directory *d)
{
    char text[48];
    int n = snprintf(text, sizeof(text), "%ld\n%s", (long)getpid(), d->had_database ? NOTE : "");
    if (pwrite(d->lock_fd, text, (size_t)n, 0) == n)
        (void)!ftruncate(d->lock_fd, n);
}

static int lock(const char *dir, struct directory *ret, struct err *e)
{
    AUTO_FREE char *path = mem_printf("%s/sallyport.lock", dir);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        int r = -errno;
        return err_set(e, r, "cannot write in data directory %s: %s", dir, err_text(r));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int r = -errno;
        if (r == -EWOULDBLOCK)
            return refuse_locked(fd, dir, e);
        return err_set(e, r, "cannot lock %s: %s", path, err_text(r));
    }
    char text[48];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    const char *second = strchr(text, '\n');
    *ret = (struct directory){.lock_fd = TAKE_FD(fd),
                              .had_database = second && !strcmp(second + 1, NOTE)};
    write_lines(ret);
    return 0;
}

int directory_open(const char *dir, struct directory *ret, struct err *e)
{
    int r = dirs_make(dir, e);
    return r < 0 ? r : lock(dir, ret, e);
}

int directory_note_database(struct directory *d, struct err *e)
{
    if (d->had_database)
        return 0;
    d->had_database = true;
    write_lines(d);
    int r = fdatasync(d->lock_fd) < 0 ? -errno : 0;
    return r < 0 ? err_set(e, r, "cannot write sallyport.lock: %s", err_text(r)) : 0;
}

int directory_flush(const char *dir, struct err *e)
{
    AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;
    return r < 0 ? err_set(e, r, "cannot flush directory %s: %s", dir, err_text(r)) : 0;
}

/* Makes the file ourselves, so that it (and the log beside it, which copies its mode) is private
 * whatever the umask and the directory's mode are, and so that its name is on disk before anything
 * is acknowledged. */
static int make_file(const char *dir, const char *path, struct err *e)
{
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        int r = -errno;
        if (r == -EEXIST)
            return 0;
        return err_set(e, r, "cannot make %s: %s", path, err_text(r));
    }
    return directory_flush(dir, e);
}

static int refuse_lost(const char *dir, const char *path, struct err *e)
{
    struct stat st;
    const bool gone = stat(path, &st) < 0;
    if (gone ? errno != ENOENT : st.st_size > 0)
        return 0; /* it is there, or opening it tells what is wrong */
    return err_set(
        e, -E_CORRUPT,
        "%s has had a database, and %s is %s. Restore a backup (sallyport server restore "
        "FILE --data %s), or, to begin anew, remove %s/sallyport.lock",
        dir, path, gone ? "gone" : "empty", dir, dir);
}

int driver_start(const char *dir, int *ret_lock_fd, struct tx **ret_writer, struct err *e)
{
    AUTO_FREE char *path = mem_printf("%s/" SQLITE_FILE, dir);
    struct directory d = DIRECTORY_NONE;
    struct tx *writer = NULL;
    int r = directory_open(dir, &d, e);
    if (r < 0)
        return r;
    AUTO_CLOSE int lock_fd = d.lock_fd;
    r = d.had_database ? refuse_lost(dir, path, e) : make_file(dir, path, e);
    if (r == 0)
        r = sqlite_open_writer(path, &writer, e);
    if (r == 0)
        r = directory_note_database(&d, e);
    if (r < 0) {
        driver_close(writer);
        return r;
    }
    *ret_writer = writer;
    *ret_lock_fd = TAKE_FD(lock_fd);
    return 0;
}
