/* h1_read.c - what the peer says: heads of answers, bodies out of their framing, trailers.
 *
 * Called through the pipe, on one fiber at a time. States: at a head, in a body, at the end. The peer
 * controls every byte and when it comes; nothing is read ahead beyond one buffer. A body that has
 * begun ends by its framing or with an error: where a connection ends early is never taken for the
 * end. Only a body that has no framing ends with its connection (in order: a stream that can tell the
 * difference, TLS, does). After an error the place of the next message is unknown, so the connection
 * is of no more use.
 *
 * On the asking side every byte that comes before the request has begun to go out is somebody else's
 * answer, or a forged one (response splitting), and ends the connection. */
#include "http/pipe/h1_conn.h"

#include "base/err.h"

#include <string.h>

#define AHEAD_MAX     (16u << 10) /* read while an answer is being made */
#define AHEAD_LOOK_MS 1000
#define TRAILERS_MAX  (8u << 10) /* the decoder's own ceiling */

static int fail(struct h1_conn *c, int code)
{
    if (!c->in_error)
        c->in_error = code;
    c->keep = false;
    return c->in_error;
}

/* ---- heads ---- */

/* A request was parsed before the pipe was made: hands it over. */
static int take_request(struct h1_conn *c, struct http_head *ret, struct err *e)
{
    if (c->head_taken)
        return err_set(e, -EINVAL, "the request's head was read before");
    bool secret = ret->arena.secret;
    http_head_done(ret);
    *ret = c->head;
    ret->arena.secret = secret;
    http_head_init(&c->head);
    c->head_taken = true;
    return 0;
}

static void response_begins(struct h1_conn *c, const struct h1_head *h, enum h1_framing framing)
{
    if (h->status < 200 && h->status != 101) {
        c->interim = true;
        return; /* another head follows */
    }
    c->in_framing = framing;
    c->in_left = h->length;
    c->in_at =
        framing == H1_NO_BODY || (framing == H1_LENGTH && c->in_left == 0) ? H1_AT_END : H1_AT_BODY;
    /* HTTP/1.0 could be told to stay; not worth a second rule. */
    c->keep = !h->close && h->minor >= 1 && framing != H1_UNTIL_END;
    if (framing == H1_CHUNKED) {
        c->trailer_text = BUF_INIT(TRAILERS_MAX);
        c->decoder.trailers = &c->trailer_text;
    }
    bool tunnel = h->status == 101 || (c->asked == H1_ASKED_CONNECT && h->status / 100 == 2);
    if (tunnel) {
        c->out_framing = H1_UNTIL_END;
        c->out_at = H1_AT_BODY;
    }
}

/* One try with what is buffered: 0, -EAGAIN, or an error with words. */
static int parse_response(struct h1_conn *c, struct http_head *ret, struct err *e)
{
    struct h1_limits limits = {.bytes = c->head_bytes_max, .fields = HTTP_FIELDS_MAX};
    struct h1_head h;
    enum h1_framing framing = H1_NO_BODY;
    const char *why = NULL;
    ssize_t n =
        h1_response_scan(h1_bytes(c), h1_buffered(c), &limits, c->asked, &h, &framing, &why);
    if (n == -EAGAIN)
        return -EAGAIN;
    int r = n < 0 ? (int)n : 0;
    if (r == 0)
        r = h1_message_response(c, h1_bytes(c), (size_t)n, &h, framing, ret, &why);
    if (r < 0)
        return err_set(e, fail(c, r), "the answer is not HTTP/1.1 with one reading: %s", why);
    response_begins(c, &h, framing);
    h1_consume(c, (size_t)n);
    return 0;
}

static int no_head(struct h1_conn *c, ssize_t r, struct err *e)
{
    bool nothing = h1_buffered(c) == 0 && !c->interim && !c->cut;
    if ((r == 0 || r == -ECONNRESET) && nothing) {
        (void)fail(c, -E_CLOSED);
        return err_set(e, -E_CLOSED, "the peer ended the connection before it answered");
    }
    if (r == 0)
        r = fail(c, -ECONNRESET);
    if (r == -ENOBUFS)
        r = fail(c, -E_LIMIT);
    return err_set(e, (int)r, "no answer: %s", err_text((int)r));
}

int h1_read_head(struct http_pipe *p, struct http_head *ret, struct err *e)
{
    struct h1_conn *c = CONTAINER_OF(p, struct h1_conn, pipe);
    if (c->serving)
        return take_request(c, ret, e);
    if (c->in_at != H1_AT_HEAD)
        return err_set(e, -EINVAL, "the answer's head was read before");
    size_t seen = 0, tried = 0;
    for (;;) {
        if (c->in_error)
            return no_head(c, c->in_error, e);
        size_t n = h1_buffered(c);
        if (n > 0 && c->out_at == H1_AT_HEAD)
            return err_set(e, fail(c, -E_PARSE), "the peer answered before it was asked");
        if (n > 0 && h1_may_end(h1_bytes(c), n, seen, tried, c->head_bytes_max)) {
            int r = parse_response(c, ret, e);
            if (r != -EAGAIN)
                return r;
            tried = n;
        }
        seen = n;
        ssize_t got = h1_fill(c, c->head_bytes_max);
        if (got <= 0)
            return no_head(c, got, e);
    }
}

/* ---- bodies ---- */

static void at_end(struct h1_conn *c)
{
    c->in_at = H1_AT_END;
}

static size_t least(size_t a, uint64_t b)
{
    return a < b ? a : (size_t)b;
}

/* Up to `room` bytes as they come: from the buffer, and straight from the stream. */
static ssize_t take(struct h1_conn *c, void *to, size_t room)
{
    size_t have = h1_buffered(c);
    if (have == 0)
        return h1_read_into(c, to, room);
    size_t n = have < room ? have : room;
    memcpy(to, h1_bytes(c), n);
    h1_consume(c, n);
    if (n < room)
        n += h1_try_into(c, (char *)to + n, room - n);
    return (ssize_t)n;
}

static ssize_t read_length(struct h1_conn *c, void *to, size_t room)
{
    ssize_t n = take(c, to, least(room, c->in_left));
    if (n == 0)
        return fail(c, -ECONNRESET);
    if (n < 0)
        return n;
    c->in_left -= (uint64_t)n;
    if (c->in_left == 0)
        at_end(c);
    return n;
}

static ssize_t read_until_end(struct h1_conn *c, void *to, size_t room)
{
    ssize_t n = take(c, to, room);
    if (n == 0)
        at_end(c);
    return n;
}

/* Decodes what framing is buffered. 0, or the connection's error. */
static int decode(struct h1_conn *c)
{
    if (h1_buffered(c) == 0)
        return 0;
    ssize_t n = h1_chunked_framing(&c->decoder, h1_bytes(c), h1_buffered(c));
    if (n < 0)
        return fail(c, (int)n);
    h1_consume(c, (size_t)n);
    if (!c->decoder.done)
        return 0;
    at_end(c);
    if (c->trailer_text.len == 0)
        return 0;
    int r = h1_message_trailers(c->trailer_text.data, c->trailer_text.len, &c->trailers);
    return r < 0 ? fail(c, r) : 0;
}

static ssize_t read_chunked(struct h1_conn *c, void *to, size_t room)
{
    for (;;) {
        uint64_t payload = h1_chunked_payload(&c->decoder);
        if (payload > 0) {
            ssize_t n = take(c, to, least(room, payload));
            if (n == 0)
                return fail(c, -ECONNRESET);
            if (n < 0)
                return n;
            h1_chunked_took(&c->decoder, (size_t)n);
            /* The end may be here already; an error is told by the next call. */
            if ((uint64_t)n == payload)
                (void)decode(c);
            return n;
        }
        int r = decode(c);
        if (r < 0)
            return r;
        if (c->in_at == H1_AT_END)
            return 0;
        if (h1_buffered(c) > 0)
            continue;
        ssize_t n = h1_fill(c, 0);
        if (n <= 0)
            return n == 0 ? fail(c, -ECONNRESET) : n;
    }
}

/* Whether the next read would have to wait. */
static bool would_wait(struct h1_conn *c)
{
    if (c->in_at != H1_AT_BODY || h1_ready(c))
        return false;
    return true;
}

ssize_t h1_read_body(struct http_pipe *p, void *to, size_t room, bool *ret_idle)
{
    struct h1_conn *c = CONTAINER_OF(p, struct h1_conn, pipe);
    if (ret_idle)
        *ret_idle = false;
    if (c->in_error)
        return c->in_error;
    if (c->in_at == H1_AT_END)
        return 0;
    if (c->in_at == H1_AT_HEAD || room == 0)
        return -EINVAL;
    if (c->wants_continue) {
        int r = h1_send_continue(c);
        if (r < 0)
            return r;
    }
    ssize_t n = c->in_framing == H1_LENGTH    ? read_length(c, to, room)
                : c->in_framing == H1_CHUNKED ? read_chunked(c, to, room)
                                              : read_until_end(c, to, room);
    if (n > 0 && ret_idle)
        *ret_idle = would_wait(c);
    return n;
}

bool h1_body_ready(struct http_pipe *p)
{
    struct h1_conn *c = CONTAINER_OF(p, struct h1_conn, pipe);
    return c->in_error || !would_wait(c);
}

bool h1_gone(struct http_pipe *p)
{
    struct h1_conn *c = CONTAINER_OF(p, struct h1_conn, pipe);
    return c->in_error || c->in_ended || stream_gone(c->s);
}

int h1_wait_gone(struct http_pipe *p)
{
    struct h1_conn *c = CONTAINER_OF(p, struct h1_conn, pipe);
    while (!h1_gone(p)) {
        ssize_t n = h1_fill(c, AHEAD_MAX);
        /* Full: it has sent ahead more than is looked at. Its end shows without a read, or never. */
        if (n == -ENOBUFS) {
            int r = fiber_sleep_ms(AHEAD_LOOK_MS);
            n = r < 0 ? r : 1;
        }
        if (n == -ECANCELED || n == -ETIMEDOUT)
            return (int)n;
        if (n <= 0)
            return 0; /* its end, or an error */
    }
    return 0;
}

const struct http_fields *h1_trailers(struct http_pipe *p)
{
    return &CONTAINER_OF(p, struct h1_conn, pipe)->trailers.fields;
}

void h1_read_raw(struct h1_conn *c)
{
    c->in_framing = H1_UNTIL_END;
    c->in_at = H1_AT_BODY;
    c->keep = false;
}
