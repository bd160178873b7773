/* pins_file.c - reads pins when the gateway opens, and replaces their file when they have changed.
 *
 * On the gateway's fibers; what blocks runs on the pool. The file is replaced as a whole (written beside,
 * flushed, renamed, the directory flushed): a crash leaves the old or the new one. Saves come one after
 * another, and one that waited finds its change in the file that the one before has written. Who writes is
 * this process alone: the control socket beside the file has one owner. Strangers decide how often: at most
 * once for each tool that is pinned, once for each decision of a person, and once in five seconds for what
 * waits. A file that another user has written, or may write to, is refused; so is the directory (decisions.c). */
#include "tunnel/gateway/pins_file.h"

#include "base/buf.h"
#include "base/err.h"
#include "fiber/sync.h"
#include "io/file.h"
#include "io/pool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MOST (64u << 20) /* escapes can double what PINS_BYTES_MAX counts */

struct pins_file {
    struct pool *pool;
    char *path;
    struct pins *pins;
    uint64_t saved, kept; /* pins->edits, pins->firsts */
    struct fmutex one;
};

struct job {
    const struct pins_file *f;
    struct buf text;
    struct err err;
};

/* On a thread. */
static int read_file(void *arg)
{
    struct job *j = arg;
    AUTO_CLOSE int fd = file_open(j->f->path, O_RDONLY, &j->err);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return fd;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(&j->err, -errno, "cannot read %s: %s", j->f->path, err_text(-errno));
    if (st.st_uid != geteuid() || (st.st_mode & 022))
        return err_set(&j->err, -EPERM, "%s was written by somebody else, or may be", j->f->path);
    const size_t room = st.st_size < (off_t)FILE_MOST ? (size_t)st.st_size + 1 : FILE_MOST;
    char *to = buf_room(&j->text, room);
    ssize_t n = to ? file_read_small(fd, to, room) : -ENOMEM;
    if (n < 0)
        return err_set(&j->err, (int)n, "cannot read %s: %s", j->f->path, err_text((int)n));
    buf_commit(&j->text, (size_t)n);
    return 1;
}

int pins_file_open(struct pool *pool, const char *dir, struct pins *pins, struct pins_file **ret,
                   struct err *e)
{
    struct pins_file *f = mem_new(struct pins_file);
    struct job j = {.f = f, .text = BUF_INIT(FILE_MOST + 1)};
    f->pool = pool;
    f->path = mem_printf("%s/" PINS_FILE, dir);
    f->pins = pins;
    fmutex_init(&f->one);
    int r = pool_call(pool, read_file, &j);
    if (r < 0)
        *e = j.err;
    else if (r > 0) {
        r = pins_read(pins, buf_str(&j.text), j.text.len, e);
        if (r == -E_CORRUPT)
            err_wrap(e, r,
                     "%s is damaged, and the gateway does not start with tools that nobody has "
                     "accepted: put back a copy of it; without it the first list of each route is "
                     "trusted again",
                     f->path);
    }
    buf_done(&j.text);
    f->saved = pins->edits;
    if (r < 0)
        pins_file_free(f);
    else
        *ret = f;
    return r < 0 ? r : 0;
}

void pins_file_free(struct pins_file *f)
{
    if (!f)
        return;
    free(f->path);
    free(f);
}

/* On a thread. */
static int write_file(void *arg)
{
    struct job *j = arg;
    int r = file_stage(j->f->path, 0600, j->text.data, j->text.len, &j->err);
    if (r == 0)
        r = file_publish(j->f->path, &j->err);
    return r;
}

int pins_file_save(struct pins_file *f, struct err *e)
{
    int r = fmutex_lock(&f->one);
    if (r < 0)
        return err_set(e, r, "could not write %s: %s", f->path, err_text(r));
    struct job j = {.f = f, .text = BUF_INIT(FILE_MOST)};
    const uint64_t edits = f->pins->edits, firsts = f->pins->firsts;
    if (edits != f->saved) {
        r = pins_text(f->pins, &j.text);
        if (r < 0)
            (void)err_set(e, r, "pins have become too many for %s", f->path);
        else if ((r = pool_call(f->pool, write_file, &j)) < 0 && e)
            *e = j.err;
    }
    if (r == 0) {
        f->saved = edits;
        f->kept = firsts;
    }
    buf_done(&j.text);
    fmutex_unlock(&f->one);
    return r;
}

int pins_file_keep(struct pins_file *f, struct err *e)
{
    return f->kept == f->pins->firsts ? 0 : pins_file_save(f, e);
}
