/* forward_answer.c - the answer of a route's server on its way to the caller.
 *
 * Called on the request's fiber. The server is the customer's, and is parsed strictly all the same
 * (http/pipe). Heads go on at once, bodies piece by piece, as they come; an answer that breaks off is cut
 * off for the caller, too. */
#include "tunnel/gateway/forward_internal.h"

#include "base/log.h"

#define PIECE_BYTES (16u << 10)

int forward_pump(struct http_pipe *from, struct http_pipe *to, bool *ret_from_reader)
{
    AUTO_FREE char *piece = mem_array(PIECE_BYTES, 1);
    for (;;) {
        bool idle = false;
        ssize_t n = http_read_body(from, piece, PIECE_BYTES, &idle);
        *ret_from_reader = n < 0;
        if (n <= 0)
            return (int)n;
        int r = http_send_body(to, piece, (size_t)n, !idle);
        if (r < 0)
            return r;
    }
}

int forward_hear(struct gateway_request *q, struct http_head *ret, struct err *e)
{
    int r;
    do
        r = http_read_head(q->upstream, ret, e);
    while (r == 0 && ret->status < 200);
    return r;
}

int forward_send_back(struct gateway_request *q, struct http_head *h)
{
    bool from_server = false, head_only = h->body == HTTP_BODY_NONE;
    int r = http_send_head(q->caller, h);
    q->answered = true;
    if (r == 0 && !head_only)
        r = http_flush(q->caller);
    if (r == 0 && !head_only)
        r = forward_pump(q->upstream, q->caller, &from_server);
    if (r == 0 && !head_only)
        r = http_send_end(q->caller, http_trailers(q->upstream));
    if (r < 0 && from_server && !q->caller_failed) {
        log_debug("an answer was cut short", "host=%s why=%s", q->host->text, err_text(r));
        http_reset(q->caller, HTTP_RESET_INTERNAL);
    }
    return r;
}
