/* pipe.c - which version does what: hands the calls of pipe.h over to h1 or h2.
 *
 * Called on whatever fiber serves or asks; holds no state, looks at no byte. The version was chosen
 * by who accepted or dialled the connection (ALPN, or the first bytes). */
#include "http/pipe/pipe.h"

#include "http/pipe/h1.h"
#include "http/pipe/h2.h"
#include "http/pipe/h2_lib.h"

int http_pipe_open(struct err *e)
{
    return h2_lib_open(e);
}

int http_serve(enum http_version v, struct stream *s, const struct http_serve_options *o,
               struct err *e)
{
    return v == HTTP_2 ? h2_serve(s, o, e) : h1_serve(s, o, e);
}

void http_serve_drain(struct http_serving *s)
{
    s->draining = true;
    if (s->conn)
        h2_serve_drain(s->conn);
}

size_t http_serve_streams(const struct http_serving *s)
{
    return s->conn ? h2_serve_streams(s->conn) : 0;
}

int64_t http_serve_rtt_ns(const struct http_serving *s)
{
    return s->conn ? h2_serve_rtt_ns(s->conn) : 0;
}

int http_link_new(enum http_version v, struct stream *s, const struct http_link_options *o,
                  struct http_link **ret, struct err *e)
{
    return v == HTTP_2 ? h2_link_new(s, o, ret, e) : h1_link_new(s, o, ret, e);
}

int http_link_ask(struct http_link *l, struct http_pipe **ret)
{
    return l->ops->ask(l, ret);
}

enum http_version http_link_version(const struct http_link *l)
{
    return l->version;
}

size_t http_link_room(const struct http_link *l)
{
    return l->ops->room(l);
}

bool http_link_ended(struct http_link *l)
{
    return l->ops->ended(l);
}

bool http_link_connect_protocol(const struct http_link *l)
{
    return l->ops->connect_protocol && l->ops->connect_protocol(l);
}

bool http_link_broken(const struct http_link *l)
{
    return l->ops->broken(l);
}

int http_link_wait(struct http_link *l, struct err *e)
{
    return l->ops->wait(l, e);
}

void http_link_cut(struct http_link *l, int code)
{
    l->ops->cut(l, code);
}

void http_link_free(struct http_link *l)
{
    if (l)
        l->ops->free(l);
}
