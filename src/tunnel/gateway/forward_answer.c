/* forward_answer.c - the answer of a route's server on its way to the caller.
 *
 * Called on the request's fiber. The server is the customer's, and is parsed strictly all the same
 * (http/pipe). Heads go on at once, bodies piece by piece, as they come; an answer that breaks off is cut
 * off for the caller, too. Where the route has a secret, heads, bodies and trailers are freed of it
 * (scrub/http/reply), those that were cut or compressed included: what cannot be looked into is refused. A
 * small body whose length is known is collected first, so that it keeps one. */
#include "tunnel/gateway/forward_internal.h"

#include "base/buf.h"
#include "base/log.h"

#define PIECE_BYTES (16u << 10)
#define TEXT_MAX    (32u << 20) /* reply_feed */

int forward_hear(struct gateway_request *q, struct http_head *ret, struct err *e)
{
    int r;
    do
        r = http_read_head(q->upstream, ret, e);
    while (r == 0 && ret->status < 200);
    return r;
}

/* Bytes without anything to look for. 0 at the end. */
static int pass(struct gateway_request *q, char *piece, bool *ret_from_server)
{
    for (;;) {
        bool idle = false;
        ssize_t n = http_read_body(q->upstream, piece, PIECE_BYTES, &idle);
        *ret_from_server = n < 0;
        if (n <= 0)
            return (int)n;
        int r = http_send_body(q->caller, piece, (size_t)n, !idle);
        if (r < 0)
            return r;
    }
}

static int send_text(struct gateway_request *q, struct buf *text, bool more)
{
    int r = text->len || !more ? http_send_body(q->caller, text->data, text->len, more) : 0;
    buf_reset(text);
    return r;
}

/* A piece of the body, freed of secrets, to `out`; with `whole` it stays there. */
static int take(struct gateway_request *q, const char *piece, size_t n, bool idle, bool whole,
                struct buf *out, bool *ret_from_server)
{
    const uint8_t *p = (const uint8_t *)piece;
    struct err e = {0};
    int more;
    if (q->secret->table && q->secret->table != q->reply.table)
        reply_change_table(&q->reply, q->secret->table); /* it was rotated meanwhile */
    do {
        more = reply_feed(&q->reply, &p, &n, out, &e);
        if (more == 0 && idle)
            more = reply_idle(&q->reply, out);
        *ret_from_server = more < 0;
        int r = more < 0 ? more : whole ? 0 : send_text(q, out, more > 0 || !idle);
        if (r < 0)
            return r;
    } while (more > 0);
    return 0;
}

/* Likewise to its end. */
static int take_all(struct gateway_request *q, char *piece, bool whole, struct buf *out,
                    bool *ret_from_server)
{
    struct err e = {0};
    for (;;) {
        bool idle = false;
        ssize_t n = http_read_body(q->upstream, piece, PIECE_BYTES, &idle);
        *ret_from_server = n < 0;
        int r = n < 0   ? (int)n
                : n > 0 ? take(q, piece, (size_t)n, idle, whole, out, ret_from_server)
                        : reply_end(&q->reply, out, &e);
        if (n == 0)
            *ret_from_server = r < 0;
        if (r < 0)
            return r;
        if (n == 0)
            return whole ? 0 : send_text(q, out, true);
    }
}

static int end_body(struct gateway_request *q, struct http_head *h)
{
    struct http_fields trailers = {.n = 0};
    const struct http_fields *from = http_trailers(q->upstream);
    int r = from ? reply_trailers(&q->reply, h, from, &trailers) : 0;
    return r < 0 ? r : http_send_end(q->caller, from ? &trailers : NULL);
}

static int start_answer(struct gateway_request *q, const struct http_head *h)
{
    int r = http_send_head(q->caller, h);
    q->answered = true;
    return r < 0 || h->body == HTTP_BODY_NONE ? r : http_flush(q->caller);
}

/* The head may still become an answer of our own. */
static int send_whole(struct gateway_request *q, struct http_head *h, char *piece,
                      bool *from_server)
{
    AUTO(buf) text = BUF_INIT(TEXT_MAX);
    int r = take_all(q, piece, true, &text, from_server);
    if (r < 0)
        return r;
    reply_set_length(&q->reply, h, text.len);
    q->answered = true;
    r = http_send_head(q->caller, h);
    if (r == 0)
        r = http_send_body(q->caller, text.data, text.len, true);
    return r < 0 ? r : end_body(q, h);
}

static int send_body(struct gateway_request *q, struct http_head *h, char *piece, bool *from_server)
{
    AUTO(buf) text = BUF_INIT(TEXT_MAX);
    int r = start_answer(q, h);
    if (r == 0)
        r = q->reply.table ? take_all(q, piece, false, &text, from_server)
                           : pass(q, piece, from_server);
    return r < 0 ? r : end_body(q, h);
}

int forward_send_back(struct gateway_request *q, struct http_head *h, struct err *e)
{
    AUTO_FREE char *piece = mem_array(PIECE_BYTES, 1);
    bool from_server = false, whole = reply_wants_whole(&q->reply, h);
    int r = reply_head(&q->reply, h, e);
    if (r < 0)
        return r == -E_DENIED ? -E_PARSE : r;
    if (h->body == HTTP_BODY_NONE)
        return start_answer(q, h);
    r = whole ? send_whole(q, h, piece, &from_server) : send_body(q, h, piece, &from_server);
    if (r < 0 && q->answered && from_server && !q->caller_failed) {
        log_debug("an answer was cut short", "host=%s why=%s", q->host->text, err_text(r));
        http_reset(q->caller, HTTP_RESET_INTERNAL);
    }
    return r;
}
