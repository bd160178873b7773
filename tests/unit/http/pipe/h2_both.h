/* h2_both - h2_world's server with a link of ours at the other end. */
#pragma once

#include "unit/http/pipe/h2_world.h"

struct both {
    struct world w;
    struct http_link *l;
};

/* h2_world's server with a link at the other end. */
static inline void both_init_with(struct both *b, const struct http_serve_options *o,
                                  const struct http_link_options *lo)
{
    struct err e = {0};
    world_init(&b->w, o, true);
    int r = h2_link_new(&b->w.peer.s, lo, &b->l, &e);
    CHECK(r == 0, "%d %s", r, e.msg);
}
static inline void both_init(struct both *b, const struct http_serve_options *o)
{
    both_init_with(b, o, &(struct http_link_options){0});
}
static inline void both_done(struct both *b)
{
    b->l->ops->free(b->l);
    CHECK(world_ended(&b->w) == 0, "%d %s", b->w.result, b->w.e.msg);
    world_done(&b->w);
}
/* The same, when the server's last frames may lie unread: its connection is then reset. */
static inline void both_left(struct both *b)
{
    b->l->ops->free(b->l);
    int r = world_ended(&b->w);
    CHECK(r == 0 || r == -ECONNRESET, "%d %s", r, b->w.e.msg);
    world_done(&b->w);
}
static inline struct http_pipe *asked(struct both *b, const char *method, const char *path,
                                      enum http_body body)
{
    struct http_pipe *p = NULL;
    CHECK(b->l->ops->ask(b->l, &p) == 0, "ask");
    struct http_head h = {.method = http_text_of(method),
                          .scheme = HTTP_TEXT("http"),
                          .authority = HTTP_TEXT("a.example"),
                          .path = http_text_of(path),
                          .body = body};
    CHECK(http_send_head(p, &h) == 0, "send");
    return p;
}
static inline int status_of(struct http_pipe *p)
{
    struct err e = {0};
    AUTO(http_head) h;
    http_head_init(&h);
    int r = http_read_head(p, &h, &e);
    return r < 0 ? r : h.status;
}
/* A tunnel as a stream of bytes; W.tunnel serves it at the other end. */
static inline void tunnel_open(struct both *b, struct stream *ret)
{
    struct http_pipe *p = NULL;
    int r = http_link_ask(b->l, &p);
    CHECK(r == 0, "%d", r);
    struct http_head h = {
        .method = HTTP_TEXT("CONNECT"), .authority = HTTP_TEXT("a:1"), .body = HTTP_BODY_STREAM};
    r = http_send_head(p, &h);
    if (r == 0)
        r = status_of(p);
    CHECK(r == 200, "%d %d %s", r, b->w.result, b->w.e.msg);
    http_pipe_stream(p, ret);
}
