/* server.c - owns a log and writes into it what clients send.
 *
 * One fiber for each client, which reads as much as has come, adds all of it, writes once and
 * acknowledges once: the busier, the larger the batches. One more fiber, the keeper, makes a
 * checkpoint when lines have waited, and lets a thread put them on disk while others go on. Each
 * call into the writer is straight through: no fiber sees another's half-written batch.
 *
 * A client may be a process that was taken over. It can send well-formed records under the name it
 * was given here, and hold at most CLIENT_SLOTS of space; anything else ends its connection. One
 * that ends without a goodbye is noted in the chain: requests may have been under way whose records
 * are missing. Records that a client sends again, because a writer before us died before it could
 * acknowledge them, are known by their number and not written twice. */
#include "audit/server.h"
#include "audit/wire.h"
#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/log.h"
#include "base/map.h"
#include "base/time.h"
#include "io/loop.h"
#include "io/pool.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES   (128 << 10)
#define CLIENT_SLOTS (16 << 10) /* 64 MiB of file space */
#define CLIENTS_MAX  256
#define DRAIN_MS     1000

struct audit_server {
    struct audit_writer *writer;
    struct pool *disk;
    struct scope scope;
    struct map last; /* "BY/CLIENT" -> malloc'ed uint64_t: last N written */
    int64_t checkpoint_ms;
    size_t n_clients;
    bool said; /* that it has stopped */
};

struct client {
    struct audit_server *s;
    struct io_fd io;
    char name[AUDIT_BY_MAX], id[2 * AUDIT_CLIENT_BYTES + 1];
    uint64_t *last; /* of s->last */
    size_t slots;   /* reserved for it */
    uint64_t added; /* records since it was acknowledged */
    bool hello, bye;
    size_t n;
    char bytes[READ_BYTES];
};

/* Once for each stop of the writer. */
static void say_stopped(struct audit_server *s, const struct err *e)
{
    if (!s->said)
        log_error("the audit log cannot be written: what needs a record is refused", "why=%s",
                  log_q(e->msg));
    s->said = true;
}

/* ---- one client ---- */

static int send_frame(struct client *c, const struct audit_frame *f)
{
    struct buf out = BUF_INIT(AUDIT_FRAME_MAX);
    int r = audit_wire_put(&out, f);
    if (r == 0)
        r = io_write_all(&c->io, out.data, out.len);
    buf_done(&out);
    return r;
}

static int on_hello(struct client *c, const struct audit_frame *f)
{
    if (c->hello || f->n != AUDIT_WIRE_VERSION)
        return -E_PROTO;
    /* Its name is part of the key: no client can have another's records taken for old ones. */
    char key[AUDIT_CLIENT_MAX];
    enc_hex(f->client, sizeof(f->client), c->id);
    snprintf(key, sizeof(key), "%s/%s", c->name, c->id);
    c->hello = true;
    c->last = map_get(&c->s->last, key);
    if (!c->last) {
        c->last = mem_new(uint64_t);
        *c->last = audit_writer_last_of(c->s->writer, key);
        (void)map_put(&c->s->last, key, c->last);
    }
    return 0;
}

/* As much as there is room for: a few are better than none. */
static int on_want(struct client *c, const struct audit_frame *f)
{
    struct err e = {0};
    size_t left = CLIENT_SLOTS - c->slots, n = f->n < left ? f->n : left;
    int r = n ? -EAGAIN : err_set(&e, -E_LIMIT, "too many requests wait for their audit records");
    while (n > 0 && (r = audit_writer_reserve(c->s->writer, n, &e)) < 0)
        n = n > 16 ? 16 : n > 1 ? 1 : 0;
    if (audit_writer_state(c->s->writer, NULL) < 0)
        say_stopped(c->s, &e);
    if (r == 0)
        c->slots += n;
    return send_frame(c, &(struct audit_frame){.type = AUDIT_GRANT,
                                               .n = r == 0 ? n : 0,
                                               .code = r,
                                               .words = audit_text(r < 0 ? e.msg : "")});
}

static int on_record(struct client *c, const struct audit_frame *f)
{
    struct err e = {0};
    char id[2 * AUDIT_CLIENT_BYTES + 24];
    if (c->slots == 0 || f->n == 0)
        return -E_PROTO;
    c->added++;
    if (f->n <= *c->last) { /* it came before */
        c->slots--;
        audit_writer_release(c->s->writer, 1);
        return 0;
    }
    snprintf(id, sizeof(id), "%s:%llu", c->id, (unsigned long long)f->n);
    c->slots--;
    int r = audit_writer_add(c->s->writer, c->name, id, f->at_us, &f->record, &e);
    if (r < 0) {
        say_stopped(c->s, &e);
        return r;
    }
    *c->last = f->n;
    return 0;
}

static int on_frame(struct client *c, const struct audit_frame *f)
{
    if (!c->hello && f->type != AUDIT_HELLO)
        return -E_PROTO;
    switch (f->type) {
    case AUDIT_HELLO:
        return on_hello(c, f);
    case AUDIT_WANT:
        return on_want(c, f);
    case AUDIT_RECORD:
        return on_record(c, f);
    case AUDIT_BYE:
        c->bye = true;
        return 0;
    case AUDIT_GRANT:
    case AUDIT_ACK:
        break;
    }
    return -E_PROTO;
}

/* Writes what was added; only then the client hears of it. */
static int settle(struct client *c)
{
    struct err e = {0};
    if (c->added == 0)
        return 0;
    int r = audit_writer_flush(c->s->writer, &e);
    if (r < 0) {
        say_stopped(c->s, &e);
        return r;
    }
    c->added = 0;
    return send_frame(c, &(struct audit_frame){.type = AUDIT_ACK, .n = *c->last});
}

/* All whole frames there are. `c->last` runs ahead of the file until `settle`; when the writer stops
 * between the two, nothing is acknowledged to anybody any more. */
static int take_frames(struct client *c)
{
    size_t at = 0;
    int r = 0, n;
    struct audit_frame f;
    while (r == 0 && (n = audit_wire_get(c->bytes + at, c->n - at, &f)) != 0) {
        r = n < 0 ? n : on_frame(c, &f);
        at += n > 0 ? (size_t)n : 0;
    }
    int settled = settle(c);
    memmove(c->bytes, c->bytes + at, c->n - at);
    c->n -= at;
    return r < 0 ? r : settled;
}

/* When the server closes: what has come already is written, and acknowledged if that can be. */
static void drain(struct client *c)
{
    AUTO(fiber_shield) shield = fiber_shield_begin(DRAIN_MS);
    int r = 0;
    while (r == 0) {
        ssize_t n = recv(c->io.fd, c->bytes + c->n, sizeof(c->bytes) - c->n, MSG_DONTWAIT);
        if (n <= 0)
            return;
        c->n += (size_t)n;
        r = take_frames(c);
    }
}

static void note_end(struct client *c, int r)
{
    char note[160];
    struct err e = {0};
    snprintf(note, sizeof(note),
             "%s ended without a goodbye%s; records of requests that were under "
             "way may be missing",
             c->name, r == -E_PROTO ? " after a message that makes no sense" : "");
    if (c->hello && audit_writer_note(c->s->writer, note, &e) < 0)
        log_warn("audit: a note was not written", "note=%s why=%s", log_q(note), log_q(e.msg));
}

static int serve(void *arg)
{
    struct client *c = arg;
    int r = 0;
    fiber_deadline_clear();
    while (r == 0 && !c->bye) {
        ssize_t n = io_read(&c->io, c->bytes + c->n, sizeof(c->bytes) - c->n);
        if (n <= 0) {
            r = n < 0 ? (int)n : -E_CLOSED;
            break;
        }
        c->n += (size_t)n;
        r = take_frames(c);
    }
    if (r == -ECANCELED)
        drain(c);
    audit_writer_release(c->s->writer, c->slots);
    if (!c->bye && r != -ECANCELED)
        note_end(c, r);
    if (r == -E_PROTO)
        log_warn("audit: a client was dropped: its message makes no sense", "client=%s", c->name);
    c->s->n_clients--;
    io_fd_close(&c->io);
    free(c);
    return 0;
}

static bool name_ok(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n < AUDIT_BY_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n && strcmp(name, "log") != 0;
}

int audit_server_add(struct audit_server *s, int fd, const char *name, struct err *e)
{
    if (!name_ok(name))
        return err_set(e, -EINVAL, "not a name for a client of the audit log");
    if (s->n_clients >= CLIENTS_MAX)
        return err_set(e, -E_LIMIT, "the audit log has %d clients already", CLIENTS_MAX);
    struct client *c = mem_new(struct client);
    c->s = s;
    memcpy(c->name, name, strlen(name) + 1);
    c->io = IO_FD_NONE;
    int r = io_fd_add_channel(&c->io, fd);
    if (r == 0 && (r = fiber_spawn(&s->scope, "audit client", serve, c, NULL)) < 0)
        (void)io_fd_release(&c->io);
    if (r < 0) {
        free(c);
        return err_set(e, r, "cannot serve a client of the audit log: %s", err_text(r));
    }
    s->n_clients++;
    return 0;
}

/* ---- the keeper ---- */

static int flush_to_disk(void *arg)
{
    return fdatasync(*(const int *)arg) < 0 ? -errno : 0;
}

/* *synced: behind the lines that are on disk. */
static void checkpoint(struct audit_server *s, uint64_t *synced)
{
    struct err e = {0};
    int r = audit_writer_checkpoint(s->writer, "time", &e);
    uint64_t seq = audit_writer_seq(s->writer);
    AUTO_CLOSE int fd = r == 0 && seq != *synced ? audit_writer_sync_fd(s->writer) : -1;
    if (r == 0 && seq != *synced)
        audit_writer_synced(s->writer, fd < 0 ? fd : pool_call(s->disk, flush_to_disk, &fd));
    *synced = seq;
    if (audit_writer_state(s->writer, &e) < 0)
        say_stopped(s, &e);
}

/* Every second, also when nothing was written: whether the file is where it was is looked at, too. */
static int keep(void *arg)
{
    struct audit_server *s = arg;
    uint64_t synced = 0;
    fiber_deadline_clear();
    while (fiber_sleep_ms(s->checkpoint_ms) == 0)
        checkpoint(s, &synced);
    return 0;
}

int audit_server_open(const struct audit_options *o, int64_t checkpoint_ms,
                      struct audit_server **ret, struct err *e)
{
    struct audit_server *s = mem_new(struct audit_server);
    s->checkpoint_ms = checkpoint_ms > 0 ? checkpoint_ms : AUDIT_CHECKPOINT_MS;
    int r = audit_writer_open(o, &s->writer, e);
    if (r < 0) {
        free(s);
        return r;
    }
    scope_init(&s->scope);
    map_init(&s->last);
    s->disk = pool_new("audit", 1);
    r = fiber_spawn(&s->scope, "audit keeper", keep, s, NULL);
    if (r < 0) {
        (void)audit_server_close(s, NULL);
        return err_set(e, r, "cannot look after the audit log: %s", err_text(r));
    }
    *ret = s;
    return 0;
}

int audit_server_state(const struct audit_server *s, struct err *e)
{
    return audit_writer_state(s->writer, e);
}

int audit_server_close(struct audit_server *s, struct err *e)
{
    if (!s)
        return 0;
    scope_done(&s->scope);
    pool_free(s->disk);
    size_t pos = 0;
    void *last;
    while (map_next(&s->last, &pos, NULL, &last))
        free(last);
    map_done(&s->last);
    int r = audit_writer_close(s->writer, e);
    free(s);
    return r;
}
