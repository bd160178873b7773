/* h1_link.c - a connection on which requests go out: one at a time.
 *
 * Called by whoever has dialled (and keeps links for the next request), on any fiber of its thread.
 * A link is used again only when both messages of the exchange have ended by their framing and
 * nothing has been left over: a byte that lies there when the next request begins would be read as
 * its answer (response splitting). So an idle link is looked at before each use. It has no fiber and
 * holds no buffer while it lies idle. */
#include "http/pipe/h1_conn.h"

#include "base/err.h"

#define HEAD_BYTES (256u << 10)

struct h1_link {
    struct http_link link;
    struct h1_conn conn;
    struct stream stream;
    bool ended;
};

static struct h1_link *link_of(struct http_link *l)
{
    return CONTAINER_OF(l, struct h1_link, link);
}

/* Closes an idle connection in order, as far as that can be done without waiting. */
static void end(struct h1_link *l)
{
    l->ended = true;
    if (l->stream.ops && !l->conn.out_error && !l->conn.in_error && !l->conn.out_finished)
        (void)l->stream.ops->finish(&l->stream);
    stream_done(&l->stream);
}

static void pipe_close(struct http_pipe *p)
{
    struct h1_conn *c = CONTAINER_OF(p, struct h1_conn, pipe);
    struct h1_link *l = CONTAINER_OF(c, struct h1_link, conn);
    bool unused = c->out_at == H1_AT_HEAD && !c->out_error && !c->in_error && c->out_n == 0;
    bool whole = c->in_at == H1_AT_END && c->out_at == H1_AT_END;
    bool again = unused || (whole && c->keep && !c->out_error && !c->in_error);
    if (!unused && !whole)
        h1_cut(c);
    c->open = false;
    /* Bytes behind the answer: nobody asked for them. */
    if (!again || h1_buffered(c) > 0)
        end(l);
    h1_exchange_end(c);
}

static const struct http_pipe_ops ask_ops = {
    .read_head = h1_read_head,
    .read_body = h1_read_body,
    .trailers = h1_trailers,
    .send_head = h1_send_head,
    .send_body = h1_send_body,
    .send_end = h1_send_end,
    .reset = h1_reset,
    .ready = h1_body_ready,
    .gone = h1_gone,
    .wait_gone = h1_wait_gone,
    .close = pipe_close,
};

static bool link_ended(struct http_link *link)
{
    struct h1_link *l = link_of(link);
    const struct h1_conn *c = &l->conn;
    if (c->open)
        return c->in_error || c->out_error || (c->in_at != H1_AT_HEAD && !c->keep);
    if (!l->ended && h1_ready(&l->conn))
        end(l);
    return l->ended;
}

static size_t link_room(const struct http_link *link)
{
    const struct h1_link *l = (const void *)link; /* its first member */
    return l->conn.open || l->ended ? 0 : 1;
}

static int link_ask(struct http_link *link, struct http_pipe **ret)
{
    struct h1_link *l = link_of(link);
    if (l->conn.open)
        return -EBUSY;
    if (link_ended(link))
        return -E_CLOSED;
    h1_exchange_begin(&l->conn);
    l->conn.open = true;
    *ret = &l->conn.pipe;
    return 0;
}

static void link_cut(struct http_link *link, int code)
{
    struct h1_link *l = link_of(link);
    struct h1_conn *c = &l->conn;
    l->ended = true;
    h1_cut(c);
    if (c->open) {
        c->in_error = code;
        c->out_error = code;
    }
}

static void link_free(struct http_link *link)
{
    struct h1_link *l = link_of(link);
    MUST(!l->conn.open);
    if (!l->ended)
        end(l);
    h1_conn_done(&l->conn);
    free(l);
}

static const struct http_link_ops link_ops = {
    .ask = link_ask, .room = link_room, .ended = link_ended, .cut = link_cut, .free = link_free};

int h1_link_new(struct stream *s, const struct http_link_options *o, struct http_link **ret,
                struct err *e)
{
    (void)e; /* nothing is said to the peer yet, so nothing fails */
    struct h1_link *l = mem_new(struct h1_link);
    l->link = (struct http_link){.ops = &link_ops, .version = HTTP_1_1};
    stream_move(&l->stream, s);
    h1_conn_init(&l->conn, &l->stream, false, o->head_bytes_max ? o->head_bytes_max : HEAD_BYTES);
    l->conn.pipe.ops = &ask_ops;
    *ret = &l->link;
    return 0;
}
