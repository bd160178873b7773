/* directory.c - the data directory before SQLite sees it: made, private, locked by one server.
 *
 * The lock is a flock on DIR/sallyport.lock, given back by the kernel when the process ends,
 * however it ends; the file holds the owner's pid for the words of a refusal and is never removed.
 * Runs once at start, on the main thread. */
#include "store/sqlite.h"
#include "base/err.h"
#include "io/dirs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

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

static int lock_directory(const char *dir, int *ret_fd, struct err *e)
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
    char pid[24];
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    /* For people only: a full disk shows up properly a moment later. */
    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, pid, (size_t)n, 0);
    *ret_fd = TAKE_FD(fd);
    return 0;
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
    AUTO_CLOSE int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 || fsync(dir_fd) < 0) {
        int r = -errno;
        return err_set(e, r, "cannot flush directory %s: %s", dir, err_text(r));
    }
    return 0;
}

int driver_start(const char *dir, int *ret_lock_fd, struct tx **ret_writer, struct err *e)
{
    AUTO_FREE char *path = mem_printf("%s/" SQLITE_FILE, dir);
    AUTO_CLOSE int lock = -1;
    int r = dirs_make(dir, e);
    if (r == 0)
        r = lock_directory(dir, &lock, e);
    if (r == 0)
        r = make_file(dir, path, e);
    if (r == 0)
        r = sqlite_open_writer(path, ret_writer, e);
    if (r < 0)
        return r;
    *ret_lock_fd = TAKE_FD(lock);
    return 0;
}
