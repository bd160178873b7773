/* writer_files.c - a log's files are opened, rotated and closed.
 *
 * Called by whoever owns the writer, at its start and end, and by a flush when a file is full; blocks
 * on the disk. What a start finds may be anything: a crash may have left a torn line, a file that was
 * just made, or, between the two renames of a rotation, no file under the log's name at all. Each of
 * these goes on with the chain; what does not look like one of them is refused and left as it is.
 * Nothing that was in a file is ever thrown away: what is no line is set aside in a file of its own,
 * and a note in the chain says so. */
#include "audit/files.h"
#include "io/file.h"
#include "audit/key.h"
#include "audit/writer_internal.h"
#include "base/enc.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/time.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- rotation ---- */

/* The next file, with room for what was reserved, under a name of its own. */
static int make_next(struct audit_writer *w, const char *next, int64_t *ret_allocated,
                     struct err *e)
{
    (void)unlink(next); /* left by a crash, without a line */
    AUTO_CLOSE int fd = file_make(next, 0600, e);
    if (fd < 0)
        return fd;
    int64_t to = (int64_t)w->reserved * AUDIT_SLOT_BYTES + MARGIN + GROW_BYTES;
    int r = writer_set_aside(fd, 0, to);
    if (r == -ENOSPC || r == -EDQUOT || r == -EFBIG)
        r = writer_set_aside(fd, 0, to -= GROW_BYTES);
    if (r < 0) {
        (void)unlink(next);
        return writer_say_no_space(w, r, e);
    }
    *ret_allocated = to;
    return TAKE_FD(fd);
}

/* Both names change, or the writer stops: between the two there is no PATH, and a start then makes
 * one that goes on behind the last full file. */
static int swap_names(struct audit_writer *w, const char *next, struct err *e)
{
    AUTO_FREE char *full = audit_files_name(w->path, w->number + 1);
    struct stat st;
    if (lstat(full, &st) == 0)
        return err_set(e, -EEXIST, "%s is there already", full);
    if (rename(w->path, full) < 0 || rename(next, w->path) < 0) {
        int r = -errno;
        return err_set(e, r, "cannot rename the audit log %s: %s", w->path, err_text(r));
    }
    return file_flush_names(w->path, e);
}

int writer_rotate(struct audit_writer *w, struct err *e)
{
    if (w->number >= AUDIT_FILES_MAX)
        return 0;
    AUTO_FREE char *next = mem_printf("%s.next", w->path);
    int64_t allocated = 0;
    AUTO_CLOSE int fd = make_next(w, next, &allocated, NULL);
    if (fd < 0) { /* goes on with the file there is, and tries again later */
        w->rotate_next = w->written + w->rotate_bytes / 4 + 1;
        return 0;
    }
    writer_add_checkpoint(w, "rotate");
    int r = writer_write_batch(w, e);
    if (r == 0 && (ftruncate(w->fd, w->written) < 0 || fsync(w->fd) < 0)) {
        r = -errno;
        (void)!err_set(e, r, "cannot put the audit log %s on disk: %s", w->path, err_text(r));
    }
    if (r == 0)
        r = swap_names(w, next, e);
    if (r < 0)
        return writer_stop(w, r, e);
    (void)close(w->fd);
    w->fd = TAKE_FD(fd);
    w->number++;
    w->written = 0;
    w->allocated = allocated;
    w->rotate_next = w->rotate_bytes;
    writer_add_checkpoint(w, "begin");
    return writer_write_batch(w, e);
}

/* ---- open, close ---- */

static int take_lock(struct audit_writer *w, struct err *e)
{
    AUTO_FREE char *path = mem_printf("%s.lock", w->path);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int r = -errno;
        if (r == -EWOULDBLOCK)
            return err_set(e, -EBUSY, "another process writes the audit log %s", w->path);
        return err_set(e, r, "cannot lock %s: %s", path, err_text(r));
    }
    w->lock_fd = TAKE_FD(fd);
    return 0;
}

/* Copies what is no line into a file of its own, then cuts it off. */
static int set_torn_aside(struct audit_writer *w, int64_t from, int64_t n, uint64_t seq,
                          char ret_note[256], struct err *e)
{
    AUTO_FREE char *name = mem_printf("%s.torn-%llu", w->path, (unsigned long long)seq);
    AUTO_FREE char *bytes = mem_zalloc((size_t)n);
    char hex[DIGEST_SHA256_HEX];
    if (pread(w->fd, bytes, (size_t)n, from) != n)
        return err_set(e, -EIO, "cannot read the end of %s", w->path);
    AUTO_CLOSE int fd = -1;
    for (int i = 1; fd < 0; i++) {
        fd = file_make(name, 0600, e);
        if (fd != -EEXIST || i > 100)
            break;
        free(name);
        name = mem_printf("%s.torn-%llu.%d", w->path, (unsigned long long)seq, i);
    }
    if (fd < 0)
        return fd;
    int r = fd_write_all(fd, bytes, (size_t)n);
    if (r == 0 && (fsync(fd) < 0 || ftruncate(w->fd, from) < 0))
        r = -errno;
    if (r < 0)
        return err_set(e, r, "cannot set the torn end of %s aside: %s", w->path, err_text(r));
    const char *slash = strrchr(name, '/');
    snprintf(ret_note, 256,
             "recovered: %lld bytes at this place were no lines, set aside in %.80s, "
             "sha256 %s",
             (long long)n, slash ? slash + 1 : name, digest_sha256_hex(bytes, (size_t)n, hex));
    return 0;
}

/* Where the chain stands: in `fd`, or when that has no line yet, at the end of the last full file. */
static int find_end(struct audit_writer *w, struct audit_end *end, struct err *e)
{
    int r = audit_recover(w->fd, w->path, w->key, end, e);
    if (r < 0 || end->log_id[0] || w->number == 0)
        return r;
    AUTO_FREE char *full = audit_files_name(w->path, w->number);
    struct audit_end before;
    audit_end_init(&before);
    AUTO_CLOSE int fd = file_open(full, O_RDONLY, e);
    r = fd < 0 ? fd : audit_recover(fd, full, w->key, &before, e);
    if (r == 0 && (before.torn || !before.log_id[0] || before.since_checkpoint))
        r = err_set(e, -E_CORRUPT, "%s does not end as a full file of the log does", full);
    if (r == 0) {
        before.bytes = 0;
        before.torn = end->torn;
        struct audit_end swap = *end;
        *end = before;
        before = swap;
    }
    audit_end_done(&before);
    return r;
}

/* What a killed writer has written and not acknowledged may lie before a rotation. */
static void find_clients(const struct audit_writer *w, struct audit_end *end)
{
    bool more = end->log_id[0] != '\0';
    for (unsigned number = w->number; more && number > 0; number--) {
        AUTO_FREE char *full = audit_files_name(w->path, number);
        AUTO_CLOSE int fd = file_open(full, O_RDONLY, NULL);
        more = fd >= 0 && audit_recover_clients(fd, end);
    }
}

static int begin_log(struct audit_writer *w)
{
    struct audit_head h = writer_head(w, OWN);
    char prev[2 * AUDIT_HASH_BYTES + 1], salt[2 * AUDIT_SALT_BYTES + 1], time[TIME_RFC3339_MAX];
    id_make(w->log_id, "audit_");
    enc_hex(h.prev, AUDIT_HASH_BYTES, prev);
    enc_hex(h.salt, AUDIT_SALT_BYTES, salt);
    int n = snprintf(w->batch + w->n_batch, AUDIT_LINE_MAX,
                     "{\"seq\":0,\"prev\":\"%s\",\"salt\":\"%s\",\"time\":\"%s\",\"kind\":"
                     "\"start\",\"by\":\"" OWN "\",\"log\":\"%s\",\"key\":\"%s\",\"version\":1}",
                     prev, salt, time_format(time, h.time_us), w->log_id, w->key_id);
    MUST(n > 0 && n < AUDIT_LINE_MAX);
    writer_take_line(w, (size_t)n, NULL, 0);
    return 0;
}

/* The chain goes on, or begins; the first line written is a checkpoint that says so. */
static int go_on(struct audit_writer *w, struct err *e)
{
    struct audit_end end;
    char note[256] = "";
    audit_end_init(&end);
    int r = find_end(w, &end, e);
    if (r == 0)
        find_clients(w, &end);
    if (r == 0 && end.torn)
        r = set_torn_aside(w, end.bytes, end.torn, end.chain.seq, note, e);
    if (r == 0) {
        struct audit_chain chain = end.chain;
        struct map clients = end.clients;
        end.chain = w->chain;
        end.clients = w->clients;
        w->chain = chain;
        w->clients = clients;
        (void)str_copy(w->log_id, sizeof(w->log_id), end.log_id);
        w->written = w->allocated = end.bytes;
        r = writer_make_room(w, 0, MARGIN, e);
    }
    if (r == 0 && !w->log_id[0])
        r = begin_log(w);
    if (r == 0) {
        writer_add_checkpoint(w, end.log_id[0] ? "open" : "new");
        r = audit_writer_flush(w, e);
    }
    if (r == 0 && note[0])
        r = audit_writer_note(w, note, e);
    audit_end_done(&end);
    return r;
}

/* `fd` is the file's, or why it is not open; `n` full files lie beside it. */
static bool is_fresh(int fd, size_t n)
{
    struct stat st;
    return n == 0 && (fd == -ENOENT || (fd >= 0 && fstat(fd, &st) == 0 && st.st_size == 0));
}

/* A log's key that is gone: another one would not fit what is there. */
static int say_no_key(const char *key, struct err *e)
{
    return err_set(e, -ENOENT,
                   "the key %s of an audit log that is there is gone; put it back, or move all "
                   "files of the log away to begin a new one",
                   key);
}

static int open_files(struct audit_writer *w, struct err *e)
{
    AUTO_FREE unsigned *full = NULL;
    AUTO_FREE char *key = mem_printf("%s.key", w->path), *public = mem_printf("%s.pub", w->path);
    size_t n = 0;
    int r = take_lock(w, e);
    if (r == 0)
        r = audit_files_list(w->path, &full, &n, e);
    if (r < 0)
        return r;
    w->number = n ? full[n - 1] : 0;
    w->fd = file_open(w->path, O_RDWR, e);
    bool fresh = is_fresh(w->fd, n);
    if (w->fd < 0 && w->fd != -ENOENT)
        return w->fd;
    r = audit_key_open(key, public, fresh, &w->key, e);
    if (r == -ENOENT)
        return say_no_key(key, e);
    if (r < 0)
        return r;
    if (w->fd == -ENOENT)
        w->fd = file_make(w->path, 0600, e);
    return w->fd < 0 ? w->fd : 0;
}

static void writer_free(struct audit_writer *w)
{
    struct audit_end end = {.chain = w->chain, .clients = w->clients};
    audit_end_done(&end);
    ed25519_free(w->key);
    if (w->fd >= 0)
        (void)close(w->fd);
    if (w->lock_fd >= 0)
        (void)close(w->lock_fd);
    free(w->path);
    free(w);
}

static struct audit_writer *writer_new(const char *path)
{
    struct audit_writer *w = mem_new(struct audit_writer);
    w->path = mem_strdup(path);
    w->lock_fd = w->fd = -1;
    audit_chain_init(&w->chain);
    map_init(&w->clients);
    return w;
}

int audit_writer_open(const struct audit_options *o, struct audit_writer **ret, struct err *e)
{
    unsigned char raw[ED25519_PUBLIC_BYTES];
    struct audit_writer *w = writer_new(o->path);
    w->rotate_next = w->rotate_bytes = o->rotate_bytes > 0 ? o->rotate_bytes : ROTATE_BYTES;
    w->checkpoint_records = o->checkpoint_records ? o->checkpoint_records : CHECKPOINT_RECORDS;
    if (w->checkpoint_records > CHECKPOINT_RECORDS_MAX)
        w->checkpoint_records = CHECKPOINT_RECORDS_MAX;
    int r = open_files(w, e);
    if (r == 0) {
        ed25519_get_public(w->key, raw);
        audit_key_id(raw, w->key_id);
        r = go_on(w, e);
    }
    if (r == 0 && fsync(w->fd) < 0) {
        r = -errno;
        (void)!err_set(e, r, "cannot put the audit log %s on disk: %s", w->path, err_text(r));
    }
    if (r < 0)
        writer_free(w);
    else
        *ret = w;
    return r;
}

static int look_at_files(struct audit_writer *w, struct err *e)
{
    AUTO_FREE unsigned *full = NULL;
    AUTO_FREE char *key = mem_printf("%s.key", w->path), *public = mem_printf("%s.pub", w->path);
    AUTO_FREE char *lock = mem_printf("%s.lock", w->path);
    size_t n = 0;
    int r = audit_files_list(w->path, &full, &n, e);
    if (r < 0)
        return r;
    w->number = n ? full[n - 1] : 0;
    AUTO_CLOSE int lock_fd = file_open(lock, O_RDWR, e);
    if (lock_fd < 0 && lock_fd != -ENOENT)
        return lock_fd;
    w->fd = file_open(w->path, O_RDWR, e);
    if (w->fd < 0 && w->fd != -ENOENT)
        return w->fd;
    r = audit_key_look(key, public, &w->key, e);
    if (r == -ENOENT && !is_fresh(w->fd, n))
        return say_no_key(key, e);
    if (r < 0 && r != -ENOENT)
        return r;
    AUTO_FREE char *folder = file_folder(w->path);
    return lock_fd < 0 || w->fd < 0 || r != 0 ? file_can_make_in(folder, e) : 0;
}

int audit_writer_look(const char *path, struct err *e)
{
    struct audit_writer *w = writer_new(path);
    struct audit_end end;
    audit_end_init(&end);
    int r = look_at_files(w, e);
    if (r == 0 && w->fd >= 0 && w->key)
        r = find_end(w, &end, e);
    audit_end_done(&end);
    writer_free(w);
    return r;
}

int audit_writer_close(struct audit_writer *w, struct err *e)
{
    if (!w)
        return 0;
    w->since_checkpoint = 1; /* one that says that it was closed, in any case */
    int r = audit_writer_checkpoint(w, "close", e);
    if (r == 0 && (ftruncate(w->fd, w->written) < 0 || fsync(w->fd) < 0)) {
        r = -errno;
        (void)!err_set(e, r, "cannot put the audit log %s on disk: %s", w->path, err_text(r));
    }
    writer_free(w);
    return r;
}
