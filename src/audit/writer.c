/* writer.c - writes a log: lines into a batch, batches into the file, checkpoints, rotation.
 *
 * Called by the server's fibers (server.c), or by a program that writes alone; one thread. States:
 * open, and stopped for good (`state` negative) once the disk has refused something that was set
 * aside, or the file is no longer where it was; then nothing is reserved any more and whoever wants
 * to act is refused. Stopped ends with the process: the next one recovers.
 *
 * Space. Behind the file's end lies space that fallocate has set aside without making the file
 * longer, so that a line that was reserved can be written on a full disk:
 *
 *     allocated >= end of the file with its batch + reserved * AUDIT_SLOT_BYTES + MARGIN_CLOSE
 *
 * A record gives back a slot and takes a line, which is shorter by more than a checkpoint; so the
 * sentence stays true, and a checkpoint after every line would be paid for. The margin pays for the
 * last checkpoint, and above MARGIN_CLOSE for a few notes.
 *
 * The batch lives in memory until it is flushed; nobody is told that a record is written before.
 * What clients decide are members of records, never a line's form (record.c). */
#include "audit/writer_internal.h"

#include "audit/files.h"
#include "io/file.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "base/time.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

METRIC_COUNTER(records_written, "sallyport_process_audit_records_total", "",
               "Audit records written.");
METRIC_COUNTER(failures_counted, "sallyport_process_audit_failures_total", "",
               "Times the audit log had no room or could not be written.");

static int64_t end_of(const struct audit_writer *w)
{
    return w->written + (int64_t)w->n_batch;
}

/* For good. Returns the code. */
int writer_stop(struct audit_writer *w, int r, const struct err *e)
{
    if (w->state == 0) {
        w->state = r;
        w->why = *e;
        metric_add(&failures_counted, 1);
    }
    return r;
}

int audit_writer_state(const struct audit_writer *w, struct err *e)
{
    return w->state == 0 ? 0 : err_set(e, w->state, "%s", w->why.msg);
}

/* ---- space ---- */

int writer_set_aside(int fd, int64_t from, int64_t to)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        (uint64_t)to > limit.rlim_cur)
        return -EFBIG; /* writing would raise SIGXFSZ */
    int r;
    do
        r = fallocate(fd, FALLOC_FL_KEEP_SIZE, from, to - from) < 0 ? -errno : 0;
    while (r == -EINTR);
    return r;
}

int writer_say_no_space(const struct audit_writer *w, int r, struct err *e)
{
    metric_add(&failures_counted, 1);
    if (r == -EOPNOTSUPP)
        return err_set(e, r,
                       "the file system of %s cannot set space aside (fallocate); put the audit "
                       "log on ext4, xfs, btrfs or tmpfs",
                       w->path);
    return err_set(e, r,
                   "the audit log %s has no room for another record (%s), and what cannot be "
                   "recorded is not done; make room on its disk",
                   w->path, err_text(r));
}

/* Makes the sentence above true for `slots` and `margin`. */
int writer_make_room(struct audit_writer *w, size_t slots, int64_t margin, struct err *e)
{
    int64_t need = end_of(w) + (int64_t)slots * AUDIT_SLOT_BYTES + margin;
    if (need <= w->allocated)
        return 0;
    int64_t to = need + GROW_BYTES;
    int r = writer_set_aside(w->fd, w->allocated, to);
    if (r == -ENOSPC || r == -EDQUOT || r == -EFBIG)
        r = writer_set_aside(w->fd, w->allocated, to = need);
    if (r < 0)
        return writer_say_no_space(w, r, e);
    w->allocated = to;
    return 0;
}

int audit_writer_reserve(struct audit_writer *w, size_t n, struct err *e)
{
    if (w->state < 0)
        return audit_writer_state(w, e);
    if (n > 1u << 20)
        return err_set(e, -E_LIMIT, "too many audit records were asked for at once");
    int r = writer_make_room(w, w->reserved + n, MARGIN, e);
    if (r == 0)
        w->reserved += n;
    return r;
}

void audit_writer_release(struct audit_writer *w, size_t n)
{
    MUST(n <= w->reserved);
    w->reserved -= n;
}

size_t audit_writer_reserved(const struct audit_writer *w)
{
    return w->reserved;
}

/* ---- lines ---- */

static const unsigned char *next_salt(struct audit_writer *w)
{
    if (w->n_salts == 0) {
        rng_bytes(w->salts, sizeof(w->salts));
        w->n_salts = ARRAY_LEN(w->salts);
    }
    return w->salts[--w->n_salts];
}

struct audit_head writer_head(struct audit_writer *w, const char *by)
{
    return (struct audit_head){.seq = w->chain.seq,
                               .prev = w->chain.head,
                               .salt = next_salt(w),
                               .time_us = time_real_us(),
                               .by = by};
}

/* The line of `n` bytes lies at the batch's end. */
void writer_take_line(struct audit_writer *w, size_t n, const char *session, size_t n_session)
{
    char *line = w->batch + w->n_batch;
    audit_chain_add(&w->chain, line, n, session, n_session);
    line[n] = '\n';
    w->n_batch += n + 1;
    MUST(w->n_batch <= sizeof(w->batch));
}

void writer_add_checkpoint(struct audit_writer *w, const char *why)
{
    struct audit_head h = writer_head(w, OWN);
    size_t n = audit_checkpoint_line(&h, w->log_id, w->key_id, why, w->key, w->batch + w->n_batch);
    writer_take_line(w, n, NULL, 0);
    w->since_checkpoint = 0;
}

static void add_record(struct audit_writer *w, const struct audit_head *h,
                       const struct audit_record *r)
{
    char session[AUDIT_SESSION_MAX];
    size_t n_session = audit_record_session(r, session);
    writer_take_line(w, audit_record_line(h, r, w->batch + w->n_batch), session, n_session);
    w->n_batch_records++;
    if (++w->since_checkpoint >= w->checkpoint_records)
        writer_add_checkpoint(w, "count");
}

int audit_writer_add(struct audit_writer *w, const char *by, const char *id, int64_t at_us,
                     const struct audit_record *r, struct err *e)
{
    MUST(w->reserved > 0);
    w->reserved--;
    if (w->state < 0)
        return audit_writer_state(w, e);
    struct audit_head h = writer_head(w, by);
    h.id = id;
    h.at_us = at_us;
    add_record(w, &h, r);
    return w->n_batch >= BATCH_BYTES ? audit_writer_flush(w, e) : 0;
}

int audit_writer_note(struct audit_writer *w, const char *note, struct err *e)
{
    if (w->state < 0)
        return audit_writer_state(w, e);
    int r = writer_make_room(w, w->reserved + 1, MARGIN_CLOSE, e);
    if (r < 0)
        return r;
    struct audit_head h = writer_head(w, OWN);
    add_record(w, &h, &(struct audit_record){.kind = AUDIT_NOTE, .note = audit_text(note)});
    return audit_writer_flush(w, e);
}

/* ---- the file ---- */

int writer_write_batch(struct audit_writer *w, struct err *e)
{
    int r = fd_pwrite_all(w->fd, w->batch, w->n_batch, w->written);
    if (r < 0) {
        (void)!ftruncate(w->fd, w->written); /* not half of it, where that is possible */
        (void)!err_set(e, r, "cannot write the audit log %s: %s", w->path, err_text(r));
        return writer_stop(w, r, e);
    }
    metric_add(&records_written, (int64_t)w->n_batch_records);
    w->written += (int64_t)w->n_batch;
    w->n_batch = w->n_batch_records = 0;
    return 0;
}

int audit_writer_flush(struct audit_writer *w, struct err *e)
{
    struct err own = {0};
    if (w->state < 0)
        return audit_writer_state(w, e);
    int r = w->n_batch ? writer_write_batch(w, &own) : 0;
    if (r == 0 && w->written >= w->rotate_next)
        r = writer_rotate(w, &own);
    return r < 0 ? err_set(e, r, "%s", own.msg) : 0;
}

bool audit_writer_due(const struct audit_writer *w)
{
    return w->since_checkpoint > 0;
}

int audit_writer_checkpoint(struct audit_writer *w, const char *why, struct err *e)
{
    if (w->state < 0)
        return audit_writer_state(w, e);
    if (!file_is_named(w->fd, w->path)) {
        struct err own = {0};
        (void)!err_set(&own, -ESTALE,
                       "the audit log %s was moved away or replaced while it was written "
                       "(logrotate?); start anew, and let the log rotate itself",
                       w->path);
        (void)!writer_stop(w, -ESTALE, &own);
        return audit_writer_state(w, e);
    }
    if (w->since_checkpoint > 0)
        writer_add_checkpoint(w, why);
    return audit_writer_flush(w, e);
}

int audit_writer_sync_fd(struct audit_writer *w)
{
    int fd = fcntl(w->fd, F_DUPFD_CLOEXEC, 3);
    return fd < 0 ? -errno : fd;
}

void audit_writer_synced(struct audit_writer *w, int r)
{
    struct err own = {0};
    if (r == 0)
        return;
    (void)!err_set(&own, r, "cannot put the audit log %s on disk: %s", w->path, err_text(r));
    (void)!writer_stop(w, r, &own);
}

uint64_t audit_writer_seq(const struct audit_writer *w)
{
    return w->chain.seq;
}

uint64_t audit_writer_last_of(const struct audit_writer *w, const char *client)
{
    const uint64_t *n = map_get(&w->clients, client);
    return n ? *n : 0;
}
