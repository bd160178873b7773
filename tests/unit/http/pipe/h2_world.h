/* h2_world - a server of HTTP/2 on one end of a socket pair, with a handler that the tests steer by
 * the paths they ask for. */
#pragma once

#include "unit/http/pipe/h2_peer.h"
#include "http/pipe/message.h"

/* What handlers saw. */
static struct {
    int served, hanging, cancelled;
    ssize_t result; /* of the last call that ended an exchange */
    struct waitq changed;
    void (*tunnel)(struct stream *s); /* serves each CONNECT, as a stream of bytes */
    bool go;                          /* lets /held answer */
    struct waitq may_go;
} W;

static inline void note(int *counter)
{
    ++*counter;
    waitq_wake_all(&W.changed);
}
static inline void until_equal(const int *counter, int n)
{
    while (*counter < n)
        if (waitq_wait(&W.changed) < 0)
            return;
}

/* Sends a response with a body in one piece. */
static inline void answer(struct http_pipe *p, int status, const char *text)
{
    struct http_head h = {.status = status, .body = HTTP_BODY_LENGTH, .length = strlen(text)};
    int r = http_send_head(p, &h);
    if (r == 0)
        r = http_send_body(p, text, strlen(text), true);
    if (r == 0)
        r = http_send_end(p, NULL);
    W.result = r;
}

/* Says what came, as text. */
static inline void tell(struct http_pipe *p, const struct http_head *h)
{
    AUTO(buf) b = BUF_INIT(1 << 20);
    (void)buf_addf(&b, "%.*s %.*s://%.*s%.*s", (int)h->method.n, h->method.p, (int)h->scheme.n,
                   h->scheme.p, (int)h->authority.n, h->authority.p, (int)h->path.n, h->path.p);
    (void)buf_addf(&b, " body=%d length=%d/%d te=%d expect=%d", h->body, h->has_length,
                   (int)h->length, h->has_te_trailers, h->expect_continue);
    for (size_t i = 0; i < h->fields.n; i++) {
        const struct http_field *f = &h->fields.items[i];
        (void)buf_addf(&b, " %s%.*s=%.*s", f->sensitive ? "!" : "", (int)f->name.n, f->name.p,
                       (int)f->value.n, f->value.p);
    }
    answer(p, 200, b.data);
}

/* Body and trailers back, as they come. */
static inline void echo(struct http_pipe *p)
{
    struct http_head h = {.status = 200, .body = HTTP_BODY_STREAM};
    char bytes[2000];
    ssize_t n = 0;
    int r = http_send_head(p, &h);
    while (r == 0 && (n = http_read_body(p, bytes, sizeof(bytes), NULL)) > 0)
        r = http_send_body(p, bytes, (size_t)n, true);
    if (r == 0 && n == 0)
        r = http_send_end(p, http_trailers(p));
    W.result = r < 0 ? r : n;
}

static inline void big(struct http_pipe *p, size_t n)
{
    struct http_head h = {.status = 200, .body = HTTP_BODY_LENGTH, .length = n};
    char *bytes = mem_zalloc(n);
    int r = http_send_head(p, &h);
    if (r == 0)
        r = http_send_body(p, bytes, n, false);
    if (r == 0)
        r = http_send_end(p, NULL);
    W.result = r;
    free(bytes);
    note(&W.hanging);
}

/* Two interim responses, then heads that cannot be. */
static inline void interim(struct http_pipe *p, const struct http_head *q)
{
    struct http_field link = {.name = HTTP_TEXT("link"), .value = HTTP_TEXT("x")};
    struct http_head h = {.status = 103, .fields = {.items = &link, .n = 1, .room = 1}};
    CHECK(http_send_head(p, &h) == 0 && http_send_head(p, &h) == 0, "103");
    h.status = 101;
    CHECK(http_send_head(p, &h) == -EINVAL, "101 is of HTTP/1.1");
    h.status = 204;
    h.body = HTTP_BODY_STREAM;
    CHECK(http_send_head(p, &h) == -EINVAL, "204 has no body");
    h.status = 200;
    if (http_text_eq(q->method, "HEAD")) {
        CHECK(http_send_head(p, &h) == -EINVAL, "HEAD gets no body");
        h.body = HTTP_BODY_NONE;
        h.has_length = true;
        h.length = 7;
        CHECK(http_send_head(p, &h) == 0, "head");
        return;
    }
    answer(p, 200, "final");
    CHECK(http_send_head(p, &h) == -EINVAL, "one final head");
}

static inline void hang(struct http_pipe *p)
{
    char bytes[100];
    note(&W.hanging);
    do
        W.result = http_read_body(p, bytes, sizeof(bytes), NULL);
    while (W.result > 0);
}

static inline void nothing_to_read(struct http_pipe *p)
{
    (void)p;
    note(&W.hanging);
    while (fiber_sleep_ms(60000) == 0)
        ;
    note(&W.cancelled);
}

static inline void held(struct http_pipe *p)
{
    note(&W.hanging);
    while (!W.go)
        if (waitq_wait(&W.may_go) < 0)
            return;
    answer(p, 200, "held");
}

/* Large interim responses, one after the other. */
static inline void many_heads(struct http_pipe *p)
{
    static char value[15000];
    memset(value, 'v', sizeof(value));
    struct http_field link = {.name = HTTP_TEXT("link"), .value = {value, sizeof(value)}};
    struct http_head h = {.status = 103, .fields = {.items = &link, .n = 1, .room = 1}};
    for (W.result = 0; W.result == 0 && W.hanging < 500;) {
        W.result = http_send_head(p, &h);
        if (W.result == 0)
            note(&W.hanging);
    }
}

/* CONNECT: what the tests ask for by the name of the host. */
static inline bool is_tunnel(const struct http_head *h, const char *authority)
{
    return http_text_eq(h->method, "CONNECT") && http_text_eq(h->authority, authority);
}

static inline void serve_tunnel(struct http_pipe *p)
{
    struct http_head h = {.status = 200, .body = HTTP_BODY_STREAM};
    struct stream s;
    CHECK(http_send_head(p, &h) == 0, "answer");
    http_pipe_stream(p, &s);
    W.tunnel(&s);
    stream_done(&s);
    note(&W.served);
}

static inline void serve(void *arg, struct http_pipe *p)
{
    (void)arg;
    AUTO(http_head) h;
    http_head_init(&h);
    struct err e = {0};
    int r = http_read_head(p, &h, &e);
    CHECK(r == 0, "%s", e.msg);
    if (W.tunnel && http_text_eq(h.method, "CONNECT")) {
        serve_tunnel(p);
        return;
    }
    if (http_text_eq(h.path, "/echo") || h.protocol.p || is_tunnel(&h, "echo:1"))
        echo(p);
    else if (http_text_eq(h.path, "/big"))
        big(p, 4 << 20);
    else if (http_text_eq(h.path, "/hang"))
        hang(p);
    else if (http_text_eq(h.path, "/heads"))
        many_heads(p);
    else if (http_text_eq(h.path, "/wait"))
        nothing_to_read(p);
    else if (http_text_eq(h.path, "/held"))
        held(p);
    else if (http_text_eq(h.path, "/early"))
        answer(p, 200, "early");
    else if (is_tunnel(&h, "refused:1"))
        answer(p, 403, "not here");
    else if (http_text_eq(h.path, "/none"))
        ;
    else if (http_text_eq(h.path, "/interim"))
        interim(p, &h);
    else if (http_text_eq(h.path, "/reset"))
        http_reset(p, HTTP_RESET_REFUSED);
    else if (http_text_eq(h.path, "/reset-and-more")) {
        http_reset(p, HTTP_RESET_INTERNAL);
        while (!W.go && W.result == 0)
            W.result = waitq_wait(&W.may_go);
    } else
        tell(p, &h);
    note(&W.served);
    http_pipe_close(p);
}

static inline void refuse(void *arg, int status, const char *why, struct http_head *ret,
                          struct http_text *ret_body)
{
    (void)arg;
    ret->status = status;
    *ret_body = http_text_of(why);
}

struct world {
    struct peer peer;
    struct stream s;
    struct scope scope;
    struct http_serve_options o;
    int result; /* of h2_serve; 1 while it runs */
    struct err e;
};

static inline int world_server(void *arg)
{
    struct world *w = arg;
    w->result = h2_serve(&w->s, &w->o, &w->e);
    stream_done(&w->s);
    waitq_wake_all(&W.changed);
    return 0;
}

/* Starts a server; the peer has said its preface and empty settings, unless `raw`. */
static inline void world_init(struct world *w, const struct http_serve_options *o, bool raw)
{
    memset(&W, 0, sizeof(W));
    waitq_init(&W.changed);
    waitq_init(&W.may_go);
    memset(w, 0, sizeof(*w));
    if (o)
        w->o = *o;
    w->o.serve = serve;
    w->result = 1;
    peer_pair(&w->peer, &w->s);
    scope_init(&w->scope);
    CHECK(fiber_spawn(&w->scope, "server", world_server, w, NULL) == 0, "spawn");
    if (raw)
        return;
    AUTO(buf) b = BUF_INIT(1000);
    (void)buf_adds(&b, PREFACE);
    put_frame(&b, F_SETTINGS, 0, 0, NULL, 0);
    peer_send(&w->peer, &b);
}
/* Waits for h2_serve to return by itself. */
static inline int world_ended(struct world *w)
{
    while (w->result == 1)
        if (waitq_wait(&W.changed) < 0)
            return 1;
    return w->result;
}
static inline void world_done(struct world *w)
{
    scope_done(&w->scope);
    peer_done(&w->peer);
}
/* Sends frames and forgets them. */
static inline void world_send(struct world *w, struct buf *b)
{
    peer_send(&w->peer, b);
    buf_reset(b);
}
/* One request without a body, its response as "head|body". */
static inline const char *world_ask(struct world *w, uint32_t id, const char *lines)
{
    static char text[16384];
    AUTO(buf) b = BUF_INIT(1 << 20);
    put_headers(&b, id, F_END, lines);
    world_send(w, &b);
    if (!peer_want(&w->peer, F_HEADERS, id))
        return "(no answer)";
    size_t n = (size_t)snprintf(text, sizeof(text), "%s|", w->peer.head);
    if (!(w->peer.flags & F_END) && !peer_body(&w->peer, id, &b))
        return "(no end)";
    snprintf(text + n, sizeof(text) - n, "%.*s", (int)b.len, buf_str(&b));
    return text;
}
