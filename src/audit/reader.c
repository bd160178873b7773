/* reader.c - all lines of a log in order.
 *
 * Called by the commands, in a process of their own, while the log may be written, rotated, or have
 * its oldest files removed. Files are found by number: behind file N comes N + 1, and PATH only when
 * there is no N + 1, looked at again once PATH is open, because a rotation may come between. A line
 * counts when its newline is there; until then nothing of it is kept, since a writer that was killed
 * leaves half a line, which the next one cuts off before it goes on. What is in the files may come from anybody who could write to
 * them; a line's length is bounded, its contents are not looked at here. */
#include "audit/reader.h"
#include "audit/files.h"
#include "io/file.h"
#include "audit/line.h"
#include "audit/record.h"
#include "base/err.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES (256 << 10)

struct audit_reader {
    char *path, *file; /* the log, and what is read now */
    int fd;
    unsigned number; /* of the file that is read; the one that is written: the next free one */
    bool live;       /* reads PATH */
    uint64_t line;
    size_t at, n;
    bool skips;        /* it was told that the line is too long; the rest of it is not looked at */
    size_t unfinished; /* bytes behind the last line when its end was seen last */
    char bytes[READ_BYTES];
};

static void use(struct audit_reader *r, int fd, char *file, unsigned number, bool live)
{
    if (r->fd >= 0)
        (void)close(r->fd);
    free(r->file);
    r->fd = fd;
    r->file = file;
    r->number = number;
    r->live = live;
    r->line = 0;
    r->at = r->n = 0;
    r->skips = false;
}

/* Opens file `number`, or PATH when there is none. 0, -ENOENT (between the two renames of a
 * rotation, or there is no log), or another code with words. */
static int open_number(struct audit_reader *r, unsigned number, struct err *e)
{
    for (int tries = 0; tries < 10; tries++) {
        AUTO_FREE char *full = audit_files_name(r->path, number);
        AUTO_CLOSE int fd = file_open(full, O_RDONLY, e);
        if (fd >= 0) {
            use(r, TAKE_FD(fd), TAKE(full), number, false);
            return 0;
        }
        if (fd != -ENOENT)
            return fd;
        fd = file_open(r->path, O_RDONLY, e);
        if (fd < 0 && fd != -ENOENT)
            return fd;
        struct stat st;
        if (fd >= 0 && lstat(full, &st) < 0) {
            use(r, TAKE_FD(fd), mem_strdup(r->path), number, true);
            return 0;
        }
    }
    return -ENOENT;
}

static int open_at(const char *path, unsigned number, struct audit_reader **ret, struct err *e)
{
    struct audit_reader *reader = mem_new(struct audit_reader);
    reader->path = mem_strdup(path);
    reader->fd = -1;
    int r = open_number(reader, number, e);
    if (r == -ENOENT)
        (void)!err_set(e, r, "there is no audit log at %s", path);
    if (r < 0)
        audit_reader_free(reader);
    else
        *ret = reader;
    return r;
}

int audit_reader_open(const char *path, enum audit_reader_from from, struct audit_reader **ret,
                      struct err *e)
{
    AUTO_FREE unsigned *full = NULL;
    size_t n = 0;
    int r = audit_files_list(path, &full, &n, e);
    if (r < 0)
        return r;
    return open_at(path, n == 0 ? 1 : from == AUDIT_FROM_FIRST ? full[0] : full[n - 1], ret, e);
}

/* Whether a file begins with line `seq` or an earlier one. One that cannot be read so does not. */
static bool begins_before(const char *file, uint64_t seq)
{
    char bytes[AUDIT_LINE_MAX + 1];
    struct audit_line l;
    AUTO_CLOSE int fd = file_open(file, O_RDONLY, NULL);
    ssize_t n = fd < 0 ? -1 : pread(fd, bytes, sizeof(bytes), 0);
    const char *end = n > 0 ? memchr(bytes, '\n', (size_t)n) : NULL;
    if (!end || audit_line_parse(bytes, (size_t)(end - bytes), &l, NULL) < 0)
        return false;
    const bool before = l.seq <= seq;
    audit_line_done(&l);
    return before;
}

int audit_reader_open_near(const char *path, uint64_t seq, struct audit_reader **ret, struct err *e)
{
    AUTO_FREE unsigned *full = NULL;
    size_t n = 0;
    int r = audit_files_list(path, &full, &n, e);
    if (r < 0)
        return r;
    if (n == 0)
        return open_at(path, 1, ret, e);
    /* Should it be renamed meanwhile, the next number is its name. */
    if (begins_before(path, seq))
        return open_at(path, full[n - 1] + 1, ret, e);
    size_t i = n;
    while (i > 1) {
        AUTO_FREE char *file = audit_files_name(path, full[i - 1]);
        if (begins_before(file, seq))
            break;
        i--;
    }
    return open_at(path, full[i - 1], ret, e);
}

int audit_reader_flush(struct audit_reader *r, struct err *e)
{
    int code = fdatasync(r->fd) < 0 ? -errno : 0;
    return code < 0 ? err_set(e, code, "cannot be flushed: %s", err_text(code)) : 0;
}

void audit_reader_free(struct audit_reader *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        (void)close(r->fd);
    free(r->file);
    free(r->path);
    free(r);
}

/* More bytes behind those there are: how many, 0 at the end of the file, or a negative code. */
static ssize_t fill(struct audit_reader *r, struct err *e)
{
    memmove(r->bytes, r->bytes + r->at, r->n - r->at);
    r->n -= r->at;
    r->at = 0;
    ssize_t n;
    do
        n = read(r->fd, r->bytes + r->n, sizeof(r->bytes) - r->n);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        int code = -errno;
        return err_set(e, code, "cannot be read: %s", err_text(code));
    }
    r->n += (size_t)n;
    return n;
}

/* Gives back what is no line yet: it is read again when there is more. */
static int rewind_line(struct audit_reader *r, struct err *e)
{
    r->unfinished = r->n - r->at;
    if (r->unfinished && lseek(r->fd, -(off_t)r->unfinished, SEEK_CUR) < 0) {
        int code = -errno;
        return err_set(e, code, "cannot be read: %s", err_text(code));
    }
    r->n = r->at;
    return 0;
}

/* At a file's end: 1 when another one was opened, 0 when there is none yet. */
static int next_file(struct audit_reader *r, struct err *e)
{
    if (r->live && file_is_named(r->fd, r->path))
        return rewind_line(r, e);
    if (r->live) { /* it was renamed: its number says where it is now; its end may have come since */
        ssize_t n = fill(r, e);
        if (n != 0)
            return n < 0 ? (int)n : 1;
    }
    if (r->at < r->n) {
        r->at = r->n;
        r->line++;
        return err_set(e, -E_CORRUPT, "it ends within a line");
    }
    int code = open_number(r, r->number + 1, e);
    return code == -ENOENT ? 0 : code < 0 ? code : 1;
}

int audit_reader_next(struct audit_reader *r, const char **ret, size_t *ret_n,
                      struct audit_place *ret_place, struct err *e)
{
    for (;;) {
        const char *p = r->bytes + r->at, *end = memchr(p, '\n', r->n - r->at);
        if (r->skips) {
            r->at = end ? r->at + (size_t)(end - p) + 1 : r->n;
            r->skips = !end;
            if (end)
                continue;
        }
        if (end) {
            *ret = p;
            *ret_n = (size_t)(end - p);
            r->at += *ret_n + 1;
            r->line++;
            *ret_place = audit_reader_place(r);
            return 1;
        }
        if (r->n - r->at > AUDIT_LINE_MAX) {
            r->line++;
            r->skips = true;
            return err_set(e, -E_CORRUPT, "it is longer than a line can be");
        }
        ssize_t n = fill(r, e);
        if (n < 0)
            return (int)n;
        if (n > 0)
            continue;
        int code = next_file(r, e);
        if (code <= 0)
            return code;
    }
}

struct audit_place audit_reader_place(const struct audit_reader *r)
{
    return (struct audit_place){.file = r->file, .line = r->line, .first_of_file = r->line == 1};
}

size_t audit_reader_unfinished(const struct audit_reader *r)
{
    return r->unfinished;
}
