/* exchange_reply.c - the answer of an origin on its way to the sandbox.
 *
 * Called on the exchange's fiber, or on one of its own while the request has a body. The origin is a
 * stranger: its heads are bounded by the reader, the number of interim ones here, its body passes in
 * pieces. Everything that goes on is scrubbed first: interim heads, the head, the body, trailers. Until
 * the final head has gone out a failure is an answer of our own; afterwards it is a cut, so that no
 * client takes half an answer for a whole one. Redirects are answers like others: nothing is followed. */
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "base/time.h"
#include "egress/proxy/exchange_internal.h"
#include "egress/proxy/websocket.h"

/* A wait for the origin that ends at `until_ns` is made of short ones: each time somebody looks whether
 * the client is still there, for it has nothing to say that would be read. Whether to go on after error
 * `r` of one. */
static bool wait_on(struct exchange *x, int r, int64_t until_ns)
{
    if (r != -ETIMEDOUT)
        return false;
    int64_t now_ns = time_mono_ns();
    if (now_ns >= until_ns || now_ns >= fiber_deadline_ns()) {
        x->timed_out = true;
        return false;
    }
    x->client_failed = http_gone(x->client);
    return !x->client_failed;
}

int exchange_read_head(struct exchange *x)
{
    /* while a body goes out the wait is the other fiber's to bound: it begins when that has ended */
    int64_t until_ns =
        x->uploading ? FIBER_NO_DEADLINE : time_mono_ns() + LIMIT_EXCHANGE_HEAD_MS * NS_PER_MS;
    int r;
    http_head_done(&x->response);
    do {
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(LIMIT_EXCHANGE_LOOK_MS);
        r = http_read_head(x->origin.pipe, &x->response, &x->err);
    } while (wait_on(x, r, until_ns));
    x->moved++;
    return r;
}

/* The sandbox takes no more, or is gone: nobody wants the rest. */
static int client_gone(struct exchange *x, int r)
{
    x->client_failed = true;
    exchange_blame_cut(x, r, "client_gone");
    http_reset(x->origin.pipe, HTTP_RESET_CANCEL);
    http_reset(x->client, HTTP_RESET_CANCEL);
    return r;
}

static int send_head(struct exchange *x)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(LIMIT_EXCHANGE_SILENCE_MS);
    x->received += exchange_head_bytes(&x->response);
    int r = http_send_head(x->client, &x->response);
    return r < 0 ? client_gone(x, r) : 0;
}

static int pass_on(struct exchange *x, const void *p, size_t n, bool more)
{
    if (n == 0 && more)
        return 0;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(LIMIT_EXCHANGE_SILENCE_MS);
    x->received += n;
    x->moved++;
    int r = http_send_body(x->client, p, n, more);
    return r < 0 ? client_gone(x, r) : 0;
}

/* The origin's side failed: says so, or cuts off. */
static void origin_failed(struct exchange *x, int r)
{
    if (x->refused) {
        exchange_refuse_inject(x, &x->no);
    } else if (x->stopped && !x->answered) {
        exchange_refuse(x);
    } else if (x->timed_out || (r == -ETIMEDOUT && !x->client_failed)) {
        exchange_fail(x, 504, "http_response_timeout", "timeout",
                      "the origin did not answer in time");
    } else if (x->client_failed || fiber_cancelled()) {
        exchange_blame_cut(x, 0, "client_gone");
        http_reset(x->client, HTTP_RESET_CANCEL);
    } else if (r == -E_LIMIT) {
        exchange_fail(x, 502, "http_response_header_section_size", "bad_answer",
                      x->err.msg[0] ? x->err.msg : "the origin's answer is beyond what is taken");
    } else if (r == -E_PARSE || r == -E_PROTO) {
        exchange_fail(x, 502, "http_protocol_error", "bad_answer",
                      x->err.msg[0] ? x->err.msg : "the origin's answer is not HTTP");
    } else {
        exchange_fail(x, 502, "http_response_incomplete", "origin_cut",
                      "the origin ended the connection before its answer was complete");
    }
    http_reset(x->origin.pipe, HTTP_RESET_INTERNAL);
}

/* What the origin says does not fit HTTP, or cannot be scrubbed. */
static int bad(struct exchange *x, const char *type, const char *words)
{
    exchange_fail(x, 502, type, "bad_answer", words);
    http_reset(x->origin.pipe, HTTP_RESET_PROTOCOL);
    return -E_PROTO;
}

/* An answer may last for hours. Whatever has become known meanwhile may come back in it. */
int exchange_renew(struct exchange *x)
{
    const struct exchange_calls *c = x->w->calls;
    if (!x->reply.table || !c->renew)
        return 0;
    int r = c->renew(x->w->arg, &x->values, &x->err);
    if (r > 0)
        reply_change_table(&x->reply, x->values.table);
    return r < 0 ? r : 0;
}

static bool names_us(struct http_text t)
{
    static const char us[] = "sallyport";
    for (size_t i = 0; i + sizeof(us) - 1 <= t.n; i++)
        if (strncasecmp(t.p + i, us, sizeof(us) - 1) == 0)
            return true;
    return false;
}

/* Our name in this field says that an answer is ours: an origin may not say so, in no head and no trailer. */
static void drop_forged(struct http_fields *fs)
{
    struct http_field *f = NULL;
    while ((f = http_fields_get(fs, "proxy-status", f)))
        if (names_us(f->value)) {
            (void)http_fields_remove(fs, "proxy-status");
            return;
        }
}

/* Reads heads up to the final one; interim ones go on. */
static int final_head(struct exchange *x)
{
    int r = x->first < 0 ? x->first : x->first > 0 ? 0 : exchange_read_head(x);
    for (unsigned n = 0; r == 0 && x->response.status < 200; n++) {
        if (x->response.status == 101)
            return x->websocket && !x->connect
                       ? 0
                       : bad(x, "http_upgrade_failed",
                             "the origin changed to another protocol without being asked to");
        if (n == LIMIT_EXCHANGE_INTERIM)
            return bad(x, "http_protocol_error", "the origin sent too many interim answers");
        drop_forged(&x->response.fields);
        r = exchange_renew(x);
        if (r == 0)
            r = reply_head(&x->reply, &x->response, &x->err);
        if (r < 0)
            return bad(x, "http_protocol_error", "an interim answer could not be scrubbed");
        r = send_head(x);
        if (r < 0)
            return r;
        if (x->response.status == 100) {
            x->go = true;
            waitq_wake_all(&x->changed);
        }
        r = exchange_read_head(x);
    }
    if (r < 0)
        origin_failed(x, r);
    return r;
}

static ssize_t read_some(struct exchange *x, struct exchange_room *room, bool *idle)
{
    int64_t until_ns = time_mono_ns() + LIMIT_EXCHANGE_SILENCE_MS * NS_PER_MS;
    ssize_t n;
    do {
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(LIMIT_EXCHANGE_LOOK_MS);
        n = http_read_body(x->origin.pipe, room->p, room->n, idle);
    } while (wait_on(x, n < 0 ? (int)n : 0, until_ns));
    if (n > 0 && (size_t)n > room->used)
        room->used = (size_t)n;
    x->moved++;
    return n;
}

/* Bytes of the body as they came: to `out`, scrubbed. With `whole` nothing is sent. */
static int take(struct exchange *x, const uint8_t *p, size_t n, bool idle, bool whole,
                struct buf *out)
{
    int r = exchange_renew(x);
    if (r < 0) {
        origin_failed(x, r);
        return r;
    }
    do {
        r = reply_feed(&x->reply, &p, &n, out, &x->err);
        if (r > 0 && !whole) {
            int s = pass_on(x, out->data, out->len, true);
            buf_reset(out);
            if (s < 0)
                return s;
        }
    } while (r > 0);
    if (r == 0 && idle && !whole)
        r = reply_idle(&x->reply, out);
    if (r < 0) {
        origin_failed(x, r);
        return r;
    }
    if (whole)
        return 0;
    r = pass_on(x, out->data, out->len, !idle);
    buf_reset(out);
    return r;
}

static int pump(struct exchange *x, bool whole, struct exchange_room *room, struct buf *out)
{
    bool scrubs = x->reply.table;
    uint64_t left = x->response.has_length ? x->response.length : 0;
    bool large = left > LIMIT_EXCHANGE_RESTING_BYTES;
    for (;;) {
        bool idle = false;
        exchange_room_fit(x->w->spares, room, large);
        ssize_t n = read_some(x, room, &idle);
        if (n < 0)
            origin_failed(x, (int)n);
        if (n <= 0)
            return (int)n;
        left -= (uint64_t)n < left ? (uint64_t)n : left;
        /* the end follows at once: one write for both */
        bool last = x->response.body == HTTP_BODY_LENGTH && left == 0;
        int r = scrubs ? take(x, room->p, (size_t)n, idle && !last, whole, out)
                       : pass_on(x, room->p, (size_t)n, !idle || last);
        if (r < 0)
            return r;
        large = !idle;
    }
}

static int end(struct exchange *x)
{
    const struct http_fields *t = http_trailers(x->origin.pipe);
    struct http_fields scrubbed = {.n = 0};
    int r = 0;
    if (t && t->n > 0) {
        r = exchange_renew(x);
        if (r == 0)
            r = reply_trailers(&x->reply, &x->response, t, &scrubbed);
        if (r == 0)
            drop_forged(&scrubbed);
        t = &scrubbed;
    }
    if (r < 0) {
        origin_failed(x, r);
        return r;
    }
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(LIMIT_EXCHANGE_SILENCE_MS);
    r = http_send_end(x->client, t && t->n > 0 ? t : NULL);
    return r < 0 ? client_gone(x, r) : 0;
}

static int answer_head(struct exchange *x)
{
    x->answered = true;
    x->status = x->response.status;
    waitq_wake_all(&x->changed);
    return send_head(x);
}

static int body(struct exchange *x, bool whole, struct exchange_room *room, struct buf *out)
{
    int r = pump(x, whole, room, out);
    if (r < 0)
        return r;
    if (x->reply.table) {
        r = reply_end(&x->reply, out, &x->err);
        if (r < 0) {
            origin_failed(x, r);
            return r;
        }
    }
    if (whole) {
        reply_set_length(&x->reply, &x->response, out->len);
        r = answer_head(x);
    }
    if (r == 0)
        r = pass_on(x, out->data, out->len, true);
    return r == 0 ? end(x) : r;
}

/* From here on both sides speak WebSocket (RFC 6455 4.1, RFC 8441 5). */
static bool switches(const struct exchange *x)
{
    int status = x->response.status;
    return x->websocket && (x->connect ? status >= 200 && status < 300 : status == 101);
}

static int answer(struct exchange *x)
{
    int r = final_head(x);
    if (r < 0)
        return r;
    drop_forged(&x->response.fields);
    bool whole = x->reply.table && reply_wants_whole(&x->reply, &x->response);
    r = exchange_renew(x);
    if (r == 0 && x->reply.table)
        r = reply_head(&x->reply, &x->response, &x->err);
    if (r < 0)
        return bad(x, r == -E_DENIED ? "http_response_content_coding" : "http_protocol_error",
                   x->err.msg);
    if (switches(x)) {
        if (websocket_looks(x) &&
            http_fields_get(&x->response.fields, "sec-websocket-extensions", NULL))
            return bad(x, "http_upgrade_failed",
                       "the origin wants to use an extension that was not offered");
        r = answer_head(x);
        if (r == 0)
            r = pass_on(x, NULL, 0, false);
        if (r == 0)
            websocket_relay(x);
        return r;
    }
    if (!whole && (r = answer_head(x)) < 0)
        return r;
    /* with what follows in one write, when that is here; an event may be minutes away */
    if (!whole && x->response.body != HTTP_BODY_NONE && !http_ready(x->origin.pipe) &&
        (r = pass_on(x, NULL, 0, false)) < 0)
        return r;
    if (x->response.body == HTTP_BODY_NONE)
        return 0;
    struct exchange_room room = {.n = 0};
    struct buf out = exchange_buf_take(x->w->spares);
    r = body(x, whole, &room, &out);
    exchange_room_done(x->w->spares, &room);
    exchange_buf_give(x->w->spares, &out, false);
    return r;
}

void exchange_reply(struct exchange *x)
{
    reply_init(&x->reply, x->values.table);
    if (answer(x) == 0)
        x->complete = true;
    x->answered = x->responded = true;
    waitq_wake_all(&x->changed);
    if (!x->uploading)
        return;
    if (x->complete)
        exchange_linger(x, &x->uploaded, x->client);
    else
        http_reset(x->client, HTTP_RESET_INTERNAL);
}
