/* h1_origin - a link of HTTP/1.1 to a raw origin, for the tests of the asking side. */
#pragma once

#include "unit/http/pipe/h1_peer.h"
#include "unit/loop.h"

#define R "HTTP/1.1 200 OK\r\n"

static struct {
    struct buf seen, heard;
    bool again;
    int read, sent;
} W;

static inline void add(struct http_head *h, const char *name, const char *value)
{
    CHECK(http_head_add(h, http_text_of(name), http_text_of(value)) == 0, "add");
}

static inline int ask(struct http_pipe *p, const char *method)
{
    AUTO(http_head) q;
    http_head_init(&q);
    q.method = http_text_of(method);
    q.scheme = HTTP_TEXT("http");
    q.authority = HTTP_TEXT("o");
    q.path = HTTP_TEXT("/");
    if (str_eq(method, "POST"))
        q.body = HTTP_BODY_LENGTH;
    if (str_eq(method, "POST"))
        q.length = 5;
    if (str_eq(method, "PUT"))
        q.body = HTTP_BODY_STREAM;
    if (str_eq(method, "CONNECT")) {
        q.authority = HTTP_TEXT("o:1");
        q.path = (struct http_text){NULL, 0};
    }
    if (str_eq(method, "UPGRADE")) {
        q.method = HTTP_TEXT("GET");
        q.protocol = HTTP_TEXT("websocket");
    }
    int r = http_send_head(p, &q);
    if (r == 0 && q.body == HTTP_BODY_LENGTH)
        r = http_send_body(p, "hello", 5, true);
    if (r == 0 && q.body == HTTP_BODY_STREAM)
        r = http_send_body(p, "hello", 5, true);
    if (r == 0 && q.body != HTTP_BODY_NONE)
        r = http_send_end(p, NULL);
    return r;
}

/* Reads heads up to the final one and its body. */
static inline int listen_to(struct http_pipe *p)
{
    for (;;) {
        AUTO(http_head) h;
        http_head_init(&h);
        struct err e = {0};
        int r = http_read_head(p, &h, &e);
        if (r < 0) {
            CHECK(e.msg[0], "no words for %s", err_name(r));
            (void)buf_addf(&W.seen, "!%s", err_name(r));
            return r;
        }
        tell_head(&W.seen, &h);
        if (h.status < 200 && h.status != 101) {
            (void)buf_adds(&W.seen, ", ");
            continue;
        }
        if (h.status == 101 ||
            (h.status == 200 && !h.has_length && h.body == HTTP_BODY_STREAM && h.protocol.p)) {
            CHECK(http_send_body(p, "up", 2, false) == 0 && http_send_end(p, NULL) == 0, "raw");
        }
        return (int)tell_body(&W.seen, p);
    }
}

static inline struct http_link *new_link(struct stream *peer)
{
    struct stream ours;
    connect_two(&ours, peer);
    struct http_link_options o = {.tls = false};
    struct http_link *l = NULL;
    CHECK(http_link_new(HTTP_1_1, &ours, &o, &l, NULL) == 0, "link");
    return l;
}

static inline int say(struct stream *s, const char *text)
{
    return stream_write(s, text, strlen(text));
}

/* A case of a function that runs on a loop, with an end. */
#define LINK_CASE(f)                                                                               \
    static int guarded_##f(void *arg)                                                              \
    {                                                                                              \
        AUTO(fiber_deadline) guard = fiber_deadline_push_ms(30000);                                \
        return f(arg);                                                                             \
    }                                                                                              \
    static void case_##f(void **state)                                                             \
    {                                                                                              \
        (void)state;                                                                               \
        failing_rule = "";                                                                         \
        failure[0] = '\0';                                                                         \
        buf_done(&W.seen);                                                                         \
        buf_init(&W.seen, 1 << 20);                                                                \
        run_on_loop(guarded_##f, NULL);                                                            \
        report_failure();                                                                          \
    }
