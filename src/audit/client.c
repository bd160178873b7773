/* client.c - how a process that acts gets its records into the log.
 *
 * Called by the fibers of that process. Two fibers of its own: one sends what has gathered, in one
 * write for all that was appended in a turn of the loop, or in a millisecond when there is much; one
 * reads grants and acknowledgements.
 *
 * Slots. The server sets file space aside in slots, one for a record. A slot is available here, held
 * by a room, or spent by a record that was sent. More are asked for before the available ones run
 * out, so a reservation seldom waits. Records stay in `pending` until they are acknowledged. When a
 * connection ends, all slots are gone with it: rooms and pending records then are `owed`, and
 * nothing is sent on the next connection until that has granted as many, so that records that were
 * promised still come first.
 *
 * The server is trusted; a connection that makes no sense is ended all the same. */
#include "audit/client.h"
#include "audit/wire.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/time.h"
#include "io/loop.h"

#include <string.h>
#include <sys/socket.h>

#define ASK_SLOTS     1024
#define LOW_SLOTS     512
#define SEND_BYTES    (64 << 10)
#define COMPACT_BYTES (256 << 10)
#define PENDING_MAX   (512u << 20) /* above all that slots let gather */
#define AGAIN_MS      1000         /* between two questions for what is owed */
#define GATHER_MS     1            /* between two writes of records */

struct audit_client {
    struct scope scope; /* of the connection */
    bool connected, asking, closing;
    struct io_fd io;
    unsigned char id[AUDIT_CLIENT_BYTES];
    uint64_t last_n, acked_n, answers;
    size_t available, held, unacked, owed;
    struct buf pending;   /* frames of records; those up to `gone` are acknowledged */
    struct buf control;   /* frames that are not kept */
    size_t gone, sent;    /* offsets in pending */
    struct err refused;   /* the last answer, when it was no */
    struct waitq answer;  /* grants, and the end */
    struct waitq written; /* acknowledgements, and the end */
    struct waitq work;    /* for the sending fiber */
    struct waitq over;    /* the end */
    size_t n_in;
    char in[AUDIT_FRAME_MAX * 2];
};

static const char gone_words[] = "the process that writes the audit log does not answer, and what "
                                 "cannot be recorded is not done";

struct audit_client *audit_client_new(void)
{
    struct audit_client *c = mem_new(struct audit_client);
    rng_bytes(c->id, sizeof(c->id));
    c->io = IO_FD_NONE;
    c->pending = BUF_INIT(PENDING_MAX);
    c->control = BUF_INIT(64 << 10);
    waitq_init(&c->answer);
    waitq_init(&c->written);
    waitq_init(&c->work);
    waitq_init(&c->over);
    scope_init(&c->scope);
    return c;
}

static void ask(struct audit_client *c, size_t n)
{
    if (c->asking || !c->connected)
        return;
    c->asking = true;
    MUST(audit_wire_put(&c->control, &(struct audit_frame){.type = AUDIT_WANT, .n = n}) == 0);
    waitq_wake_all(&c->work);
}

/* After a no only those who need slots ask, and for what is owed a timer. */
static void ask_ahead(struct audit_client *c)
{
    if (c->available < LOW_SLOTS && c->refused.code == 0)
        ask(c, c->owed + ASK_SLOTS);
}

/* ---- the connection ---- */

/* Once for each connection, when everything that came has been read. */
static void end(struct audit_client *c, int r)
{
    if (!c->connected)
        return;
    c->connected = c->asking = false;
    c->available = 0;
    c->owed = c->held + c->unacked;
    c->sent = c->gone;
    buf_reset(&c->control);
    c->n_in = 0;
    if (r != -ECANCELED && !c->closing)
        log_error("the audit log's writer is gone: what needs a record is refused",
                  "why=%s unwritten=%zu", err_name(r), c->unacked);
    waitq_wake_all(&c->answer);
    waitq_wake_all(&c->written);
    waitq_wake_all(&c->work);
    waitq_wake_all(&c->over);
}

static void on_grant(struct audit_client *c, const struct audit_frame *f)
{
    size_t n = f->n, paid = n < c->owed ? n : c->owed;
    c->asking = false;
    c->answers++;
    c->owed -= paid;
    c->available += n - paid;
    c->refused.code = 0;
    if (f->code < 0)
        (void)!err_set(&c->refused, f->code, "%.*s", (int)f->words.n, f->words.p);
    waitq_wake_all(&c->answer);
    waitq_wake_all(&c->work);
}

/* The front of pending is gone up to record `n`. */
static int on_ack(struct audit_client *c, uint64_t n)
{
    if (n > c->last_n)
        return -E_PROTO;
    struct audit_frame f;
    while (c->gone < c->sent) {
        int len = audit_wire_get(c->pending.data + c->gone, c->sent - c->gone, &f);
        if (len <= 0 || f.n > n)
            break;
        c->gone += (size_t)len;
        c->unacked--;
    }
    if (n > c->acked_n)
        c->acked_n = n;
    if (c->gone == c->pending.len || (c->gone > COMPACT_BYTES && c->gone > c->pending.len / 2)) {
        buf_consume(&c->pending, c->gone);
        c->sent -= c->gone;
        c->gone = 0;
    }
    waitq_wake_all(&c->written);
    return 0;
}

static int take_frames(struct audit_client *c)
{
    struct audit_frame f;
    size_t at = 0;
    int r = 0, n;
    while (r == 0 && (n = audit_wire_get(c->in + at, c->n_in - at, &f)) != 0) {
        if (n < 0 || (f.type != AUDIT_GRANT && f.type != AUDIT_ACK))
            return -E_PROTO;
        if (f.type == AUDIT_GRANT)
            on_grant(c, &f);
        else
            r = on_ack(c, f.n);
        at += (size_t)n;
    }
    memmove(c->in, c->in + at, c->n_in - at);
    c->n_in -= at;
    return r;
}

static int read_answers(void *arg)
{
    struct audit_client *c = arg;
    int r = 0;
    fiber_deadline_clear();
    while (r == 0 && c->connected) {
        ssize_t n = io_read(&c->io, c->in + c->n_in, sizeof(c->in) - c->n_in);
        if (n <= 0) {
            r = n < 0 ? (int)n : -E_CLOSED;
            break;
        }
        c->n_in += (size_t)n;
        r = take_frames(c);
    }
    end(c, r);
    return 0;
}

/* How many bytes of pending go out next: whole frames, so that control may come behind them. */
static size_t whole_frames(const struct audit_client *c)
{
    size_t n = 0;
    for (;;) {
        struct cursor left = cursor_of(c->pending.data + c->sent + n, c->pending.len - c->sent - n);
        uint32_t len;
        if (cursor_u32be(&left, &len) < 0 || n + 4 + len > SEND_BYTES)
            return n;
        n += 4 + len;
    }
}

/* What is to be sent next, copied: the buffers may move while the write waits. */
static size_t next_bytes(struct audit_client *c, char *ret)
{
    size_t n = c->control.len < SEND_BYTES ? c->control.len : SEND_BYTES;
    if (n > 0) {
        memcpy(ret, c->control.data, n);
        buf_consume(&c->control, n);
        return n;
    }
    n = c->owed > 0 ? 0 : whole_frames(c);
    if (n > 0)
        memcpy(ret, c->pending.data + c->sent, n);
    c->sent += n;
    return n;
}

static int send_all(struct audit_client *c, char *bytes)
{
    size_t n;
    int r = 0;
    while (r == 0 && c->connected && (n = next_bytes(c, bytes)) > 0)
        r = io_write_all(&c->io, bytes, n);
    return r;
}

static int wait_for_work(struct audit_client *c)
{
    ask_ahead(c);
    if (c->control.len > 0)
        return 0;
    if (c->owed == 0 || c->asking)
        return waitq_wait(&c->work);
    AUTO(fiber_deadline) again = fiber_deadline_push_ms(AGAIN_MS);
    int r = waitq_wait(&c->work);
    if (r != -ETIMEDOUT)
        return r;
    ask(c, c->owed + ASK_SLOTS);
    return 0;
}

/* A process that has just sent gathers what comes for a moment: a write for each record, and what it
 * wakes at the other end, would cost more than the records do. */
static int gather(struct audit_client *c, int64_t sent_ns)
{
    if (c->control.len > 0 || c->closing || time_mono_ns() - sent_ns >= GATHER_MS * NS_PER_MS)
        return 0;
    return fiber_sleep_ms(GATHER_MS);
}

static int send_records(void *arg)
{
    struct audit_client *c = arg;
    AUTO_FREE char *bytes = mem_array(SEND_BYTES, 1);
    int64_t sent_ns = 0;
    int r = 0;
    fiber_deadline_clear();
    while (r == 0 && c->connected) {
        r = send_all(c, bytes);
        sent_ns = time_mono_ns();
        if (r == 0 && c->connected)
            r = wait_for_work(c);
        if (r == 0 && c->connected)
            r = gather(c, sent_ns);
    }
    /* The other end is gone, but acknowledgements may wait to be read: the other fiber does, and then
     * comes to the end. */
    if (r < 0 && c->connected)
        (void)shutdown(c->io.fd, SHUT_RDWR);
    return 0;
}

int audit_client_connect(struct audit_client *c, int fd, struct err *e)
{
    if (c->connected)
        return err_set(e, -EBUSY, "the audit log is connected already");
    scope_done(&c->scope);
    scope_init(&c->scope);
    io_fd_close(&c->io);
    int r = io_fd_add_channel(&c->io, fd);
    if (r < 0)
        return err_set(e, r, "cannot speak to the writer of the audit log: %s", err_text(r));
    struct audit_frame hello = {.type = AUDIT_HELLO, .n = AUDIT_WIRE_VERSION};
    memcpy(hello.client, c->id, sizeof(c->id));
    MUST(audit_wire_put(&c->control, &hello) == 0);
    c->connected = true;
    c->refused.code = 0;
    ask_ahead(c);
    r = fiber_spawn(&c->scope, "audit answers", read_answers, c, NULL);
    if (r == 0)
        r = fiber_spawn(&c->scope, "audit records", send_records, c, NULL);
    if (r < 0) {
        end(c, -ECANCELED);
        scope_cancel(&c->scope);
        (void)io_fd_release(&c->io);
        return err_set(e, r, "cannot speak to the writer of the audit log: %s", err_text(r));
    }
    return 0;
}

bool audit_client_connected(const struct audit_client *c)
{
    return c->connected;
}

int audit_client_await_end(struct audit_client *c)
{
    int r = 0;
    while (r == 0 && c->connected)
        r = waitq_wait(&c->over);
    return r;
}

size_t audit_client_free(struct audit_client *c, int64_t wait_ms)
{
    if (!c)
        return 0;
    MUST(c->held == 0);
    AUTO(fiber_shield) shield = fiber_shield_begin(wait_ms + 1000);
    struct fiber_deadline d = fiber_deadline_push_ms(wait_ms);
    (void)!audit_wait(c, NULL);
    c->closing = true;
    if (c->connected) {
        (void)audit_wire_put(&c->control, &(struct audit_frame){.type = AUDIT_BYE});
        waitq_wake_all(&c->work);
        (void)!audit_client_await_end(c); /* the server closes */
    }
    fiber_deadline_pop(&d);
    size_t left = c->unacked;
    c->connected = false;
    scope_done(&c->scope);
    io_fd_close(&c->io);
    buf_done(&c->pending);
    buf_done(&c->control);
    free(c);
    return left;
}

/* ---- records ---- */

int audit_reserve(struct audit_client *c, size_t n, struct audit_room *ret, struct err *e)
{
    MUST(n > 0 && n <= 64);
    for (;;) {
        if (!c->connected)
            return err_set(e, -E_CLOSED, "%s", gone_words);
        if (c->owed == 0 && c->available >= n) {
            c->available -= n;
            c->held += n;
            ask_ahead(c);
            *ret = (struct audit_room){c, n};
            return 0;
        }
        ask(c, c->owed + ASK_SLOTS);
        uint64_t answers = c->answers;
        int r = 0;
        while (r == 0 && c->connected && answers == c->answers)
            r = waitq_wait(&c->answer);
        if (r < 0)
            return err_set(e, r, "no answer yet from the process that writes the audit log");
        if (c->connected && c->refused.code < 0 && c->available < n)
            return err_set(e, c->refused.code, "%s", c->refused.msg);
    }
}

void audit_append(struct audit_room *room, const struct audit_record *r)
{
    struct audit_client *c = room->c;
    MUST(room->n > 0 && c && r->kind >= AUDIT_REQUEST && r->kind <= AUDIT_KIND_LAST_GIVEN);
    struct audit_frame f = {
        .type = AUDIT_RECORD, .n = ++c->last_n, .at_us = time_real_us(), .record = *r};
    MUST(audit_wire_put(&c->pending, &f) == 0);
    room->n--;
    c->held--;
    c->unacked++;
    waitq_wake_all(&c->work);
}

void audit_room_done(struct audit_room *room)
{
    struct audit_client *c = room->c;
    if (c && room->n > 0) {
        c->held -= room->n;
        size_t paid = room->n < c->owed ? room->n : c->owed;
        c->owed -= paid;
        if (c->connected)
            c->available += room->n - paid;
        if (c->owed == 0)
            waitq_wake_all(&c->work);
    }
    *room = AUDIT_ROOM_NONE;
}

int audit_wait(struct audit_client *c, struct err *e)
{
    uint64_t n = c->last_n;
    int r = 0;
    while (r == 0 && c->acked_n < n && c->connected)
        r = waitq_wait(&c->written);
    if (r < 0)
        return err_set(e, r, "the audit log's writer has not answered yet");
    return c->acked_n < n ? err_set(e, -E_CLOSED, "%s", gone_words) : 0;
}
