/* switch.c - a connection that stops being HTTP/1.1 (RFC 9110 7.8, 15.2.2).
 *
 * Called by a handler on the connection's fiber. The stream goes to the handler, which serves it until
 * it returns; the connection keeps its place among the server's, and its fiber. A client that has sent
 * bytes before it saw the 101 has not waited for leave: they are in our buffer, their meaning is that of
 * a protocol which was not agreed, and it is refused rather than guessed at (request smuggling by
 * Upgrade). */
#include "http/server/internal.h"

#include "base/err.h"
#include "base/str.h"

#include <string.h>

#define SWITCH_HEAD_BYTES (EXCHANGE_HEADER_BYTES + 512)

static void put(char *head, size_t *n, const char *s, size_t len)
{
    MUST(len <= SWITCH_HEAD_BYTES - *n);
    memcpy(head + *n, s, len);
    *n += len;
}

static size_t make_head(const struct http_exchange *x, const char *protocol, char *head)
{
    static const char first[] = "HTTP/1.1 101 Switching Protocols\r\n"
                                "Connection: Upgrade\r\nUpgrade: ";
    size_t n = 0, date_len;
    put(head, &n, first, sizeof(first) - 1);
    put(head, &n, protocol, strlen(protocol));
    put(head, &n, "\r\n", 2);
    const char *date = server_date(x->conn->srv, &date_len);
    put(head, &n, date, date_len);
    for (const struct response_header *h = x->headers; h; h = h->next)
        put(head, &n, h->line, h->len);
    put(head, &n, "\r\n", 2);
    return n;
}

bool http_asks_upgrade(const struct http_exchange *x, const char *protocol)
{
    size_t found;
    const char *value = h1_header_get(&x->req, "upgrade", &found);
    return x->req.upgrade && found == 1 && str_ieq(value, protocol);
}

int http_switch(struct http_exchange *x, const char *protocol, struct stream *ret)
{
    struct conn *c = x->conn;
    MUST(x->answer == ANSWER_NONE);
    *ret = (struct stream){.io = IO_FD_NONE};
    if (!http_asks_upgrade(x, protocol) || !x->body_done)
        return -EINVAL;
    if (conn_buffered(c) > 0)
        return -E_PROTO;
    int r = conn_turn(c);
    if (r < 0) {
        x->answer = ANSWER_DONE;
        return r;
    }
    char *head = http_alloc(x, SWITCH_HEAD_BYTES);
    size_t n = make_head(x, protocol, head);
    x->answer = ANSWER_DONE;
    r = conn_write_now(c, &(struct iovec){head, n}, 1);
    if (r < 0)
        return r;
    stream_move(ret, &c->stream);
    c->closing = true;
    c->error = -E_CLOSED; /* of no more use to HTTP */
    return 0;
}
