/* directory.c - the data directory before SQLite sees it: made, private, locked by one server.
 *
 * The lock is a flock on DIR/sallyport.lock, given back by the kernel when the process ends,
 * however it ends; the file is removed by its owner alone, when a first start has failed. Its first
 * line is the owner's pid, for the words of a refusal. A line "database" says that there has been
 * one: a directory that has lost it (removed, emptied, a disk that is not mounted) is not taken for
 * a new one, which would greet its clients with an empty platform. A line "stopping" says that the
 * owner stops, and until when (wall clock, seconds): a start waits for it (directory_await). Runs at
 * start and at the end, on the main thread; the lines are for whoever comes next, and only the owner
 * of the lock writes them. */
#include "store/directory.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "io/dirs.h"
#include "store/sqlite.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HAD_DATABASE "database"
#define STOPPING     "stopping "
#define LINES_BYTES  96
#define LOOK_MS      50   /* while another one stops */
#define LATE_MS      2000 /* by which its end may be late */
#define LOCK_TRIES   10

/* What the file says; `stops_at` 0: nothing of it. */
struct lines {
    char pid[24];
    bool had_database;
    int64_t stops_at;
};

static void read_lines(int fd, struct lines *ret)
{
    char text[LINES_BYTES];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    *ret = (struct lines){.pid = "unknown"};
    size_t digits = strspn(text, "0123456789");
    if (digits > 0 && digits < sizeof(ret->pid))
        snprintf(ret->pid, sizeof(ret->pid), "%.*s", (int)digits, text);
    for (char *at = strchr(text, '\n'); at; at = strchr(at, '\n')) {
        at++;
        size_t len = strcspn(at, "\n");
        uint64_t v = 0;
        if (str_starts(at, STOPPING) &&
            str_to_u64(at + strlen(STOPPING), len - strlen(STOPPING), INT32_MAX, &v) == 0)
            ret->stops_at = (int64_t)v;
        else if (len == strlen(HAD_DATABASE) && str_starts(at, HAD_DATABASE))
            ret->had_database = true;
    }
}

static int refuse_locked(int fd, const char *dir, struct err *e)
{
    struct lines l;
    read_lines(fd, &l);
    if (l.stops_at)
        return err_set(e, -EBUSY,
                       "another server (pid %s), which was told to stop and has not ended yet, "
                       "uses data directory %s; end it with a second signal, or wait",
                       l.pid, dir);
    return err_set(
        e, -EBUSY,
        "another server (pid %s) already uses data directory %s; stop it or give this one "
        "another with --data",
        l.pid, dir);
}

/* Writes who we are and what there is. For people, and for the next start: a full disk shows up properly a moment
 * later. */
static void write_lines(const struct directory *d, int64_t stops_at)
{
    char text[LINES_BYTES];
    int n = snprintf(text, sizeof(text), "%ld\n%s", (long)getpid(),
                     d->had_database ? HAD_DATABASE "\n" : "");
    if (stops_at)
        n += snprintf(text + n, sizeof(text) - (size_t)n, STOPPING "%lld\n", (long long)stops_at);
    if (pwrite(d->lock_fd, text, (size_t)n, 0) == n)
        (void)!ftruncate(d->lock_fd, n);
}

static char *lock_path(const char *dir)
{
    return mem_printf("%s/sallyport.lock", dir);
}

/* Whether `fd` is what `path` names: a failed first start has removed the file, if not. */
static bool is_named(int fd, const char *path)
{
    struct stat have, named;
    return fstat(fd, &have) == 0 && lstat(path, &named) == 0 && have.st_ino == named.st_ino &&
           have.st_dev == named.st_dev;
}

/* One try. 0, -EAGAIN when the file was removed meanwhile, or another code, with words. */
static int try_lock(const char *dir, struct directory *ret, struct err *e)
{
    AUTO_FREE char *path = lock_path(dir);
    bool made = false;
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 && errno == EEXIST)
            return -EAGAIN;
        made = true;
    }
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
    if (!is_named(fd, path))
        return -EAGAIN;
    struct lines l;
    read_lines(fd, &l);
    *ret = (struct directory){
        .lock_fd = TAKE_FD(fd), .had_database = l.had_database, .made_lock = made};
    write_lines(ret, 0);
    return 0;
}

static int lock(const char *dir, struct directory *ret, struct err *e)
{
    int r = -EAGAIN;
    for (int i = 0; r == -EAGAIN && i < LOCK_TRIES; i++)
        r = try_lock(dir, ret, e);
    return r == -EAGAIN ? err_set(e, -EBUSY, "the lock of data directory %s comes and goes", dir)
                        : r;
}

void directory_await(const char *dir, void (*tell)(const char *pid, int64_t at_most_s))
{
    AUTO_FREE char *path = lock_path(dir);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool told = false;
    struct lines l;
    while (fd >= 0) {
        read_lines(fd, &l);
        if (!l.stops_at || flock(fd, LOCK_EX | LOCK_NB) == 0)
            return;
        int64_t left_ms = l.stops_at * 1000 - time_real_us() / 1000;
        if (left_ms <= -LATE_MS)
            return;
        if (!told)
            tell(l.pid, left_ms > 0 ? (left_ms + 999) / 1000 : 0);
        told = true;
        (void)poll(NULL, 0, LOOK_MS);
    }
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
    write_lines(d, 0);
    int r = fdatasync(d->lock_fd) < 0 ? -errno : 0;
    return r < 0 ? err_set(e, r, "cannot write sallyport.lock: %s", err_text(r)) : 0;
}

void directory_note_stopping(struct directory *d, int64_t at_most_ms)
{
    write_lines(d, time_real_us() / US_PER_S + (at_most_ms + 999) / 1000);
}

/* The note goes first: without it, whatever else is left is a directory that a start takes. */
void directory_discard(const char *dir, struct directory *d)
{
    static const char *const files[] = {SQLITE_FILE, SQLITE_FILE "-wal", SQLITE_FILE "-shm"};
    if (d->made_database) {
        d->had_database = false;
        write_lines(d, 0);
        (void)!fdatasync(d->lock_fd);
    }
    for (size_t i = 0; d->made_database && i < ARRAY_LEN(files); i++) {
        AUTO_FREE char *path = mem_printf("%s/%s", dir, files[i]);
        (void)unlink(path);
    }
    AUTO_FREE char *path = lock_path(dir);
    if (d->made_lock)
        (void)unlink(path);
}

int directory_flush(const char *dir, struct err *e)
{
    AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;
    return r < 0 ? err_set(e, r, "cannot flush directory %s: %s", dir, err_text(r)) : 0;
}

/* Makes the file ourselves, so that it (and the log beside it, which copies its mode) is private
 * whatever the umask and the directory's mode are, and so that its name is on disk before anything
 * is acknowledged. 1 when it was made, 0 when it was there. */
static int make_file(const char *dir, const char *path, struct err *e)
{
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        int r = -errno;
        if (r == -EEXIST)
            return 0;
        return err_set(e, r, "cannot make %s: %s", path, err_text(r));
    }
    int r = directory_flush(dir, e);
    return r < 0 ? r : 1;
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

int driver_start(const char *dir, struct directory *ret, struct tx **ret_writer, struct err *e)
{
    AUTO_FREE char *path = mem_printf("%s/" SQLITE_FILE, dir);
    struct directory d = DIRECTORY_NONE;
    struct tx *writer = NULL;
    int r = directory_open(dir, &d, e);
    if (r < 0)
        return r;
    AUTO_CLOSE int lock_fd = d.lock_fd;
    r = d.had_database ? refuse_lost(dir, path, e) : make_file(dir, path, e);
    d.made_database = r > 0;
    if (r >= 0)
        r = sqlite_open_writer(path, &writer, e);
    if (r == 0)
        r = directory_note_database(&d, e);
    if (r < 0) {
        driver_close(writer);
        directory_discard(dir, &d);
        return r;
    }
    *ret_writer = writer;
    *ret = d;
    (void)TAKE_FD(lock_fd);
    return 0;
}
