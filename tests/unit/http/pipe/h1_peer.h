/* h1_peer - raw peers for the tests of this folder: the bytes of one side of a connection written
 * down, and messages as text to compare.
 *
 * A check that fails inside a fiber is noted and reported from the test's own stack afterwards:
 * cmocka leaves a failing test by longjmp, which must not cross stacks. */
#pragma once

#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "http/pipe/pipe.h"
#include "io/stream.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char failure[8192];
static const char *failing_rule = ""; /* the row of a table */
#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond) && !failure[0]) {                                                              \
            int at_ = snprintf(failure, sizeof(failure), "line %d: %s: %s: ", __LINE__,            \
                               failing_rule, #cond);                                               \
            snprintf(failure + at_, sizeof(failure) - (size_t)at_, __VA_ARGS__);                   \
        }                                                                                          \
    } while (0)

/* Two ends of one connection, as streams. */
static inline void connect_two(struct stream *a, struct stream *b)
{
    int sv[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0, "socketpair");
    CHECK(stream_from_fd(a, sv[0]) == 0 && stream_from_fd(b, sv[1]) == 0, "streams");
}

/* Appends the message in one line: what a caller sees of it. */
static inline void tell_fields(struct buf *out, const struct http_fields *fs)
{
    for (size_t i = 0; i < fs->n; i++)
        (void)buf_addf(out, " %.*s=%.*s", (int)fs->items[i].name.n, fs->items[i].name.p,
                       (int)fs->items[i].value.n, fs->items[i].value.p);
}
static inline void tell_head(struct buf *out, const struct http_head *h)
{
    if (h->status)
        (void)buf_addf(out, "%d", h->status);
    else
        (void)buf_addf(out, "%.*s %.*s %s%.*s %.*s", (int)h->method.n, h->method.p,
                       (int)h->scheme.n, h->scheme.p, h->authority.p ? "" : "-",
                       (int)h->authority.n, h->authority.p ? h->authority.p : "", (int)h->path.n,
                       h->path.p ? h->path.p : "");
    tell_fields(out, &h->fields);
    if (h->protocol.p)
        (void)buf_addf(out, " ->%.*s", (int)h->protocol.n, h->protocol.p);
    if (h->expect_continue)
        (void)buf_adds(out, " expects");
    if (h->has_te_trailers)
        (void)buf_adds(out, " te");
    if (h->body == HTTP_BODY_STREAM)
        (void)buf_adds(out, " {stream}");
    else if (h->body == HTTP_BODY_LENGTH)
        (void)buf_addf(out, " {%llu}", (unsigned long long)h->length);
    else if (h->has_length)
        (void)buf_addf(out, " {none of %llu}", (unsigned long long)h->length);
}
/* Reads the body and the trailers, and appends them. */
static inline ssize_t tell_body(struct buf *out, struct http_pipe *p)
{
    char room[7];
    ssize_t n;
    bool any = false;
    while ((n = http_read_body(p, room, sizeof(room), NULL)) > 0) {
        if (!any)
            (void)buf_addc(out, ' ');
        any = true;
        (void)buf_add(out, room, (size_t)n);
    }
    if (n < 0)
        (void)buf_addf(out, " !%s", err_name((int)n));
    else if (http_trailers(p)->n > 0) {
        (void)buf_adds(out, " +");
        tell_fields(out, http_trailers(p));
    }
    return n;
}

/* Runs as a fiber: writes `said` in steps, then ends its side when told to; reads all there is. */
struct raw_peer {
    struct stream s;
    const char *said;
    size_t n, step; /* 0: at once */
    bool ends;      /* its side, when it has said everything */
    struct buf heard;
    int code; /* of the last read: 0 for an end in order */
};
static inline int raw_say(void *arg)
{
    struct raw_peer *p = arg;
    size_t step = p->step ? p->step : p->n;
    for (size_t at = 0; at < p->n; at += step) {
        if (stream_write(&p->s, p->said + at, p->n - at < step ? p->n - at : step) < 0)
            return 0; /* the other side has had enough */
        if (fiber_yield() < 0)
            return 0;
    }
    if (p->ends)
        (void)!stream_finish(&p->s);
    return 0;
}
static inline int raw_listen(void *arg)
{
    struct raw_peer *p = arg;
    for (;;) {
        char *room = buf_room(&p->heard, 4096);
        CHECK(room, "too much was said");
        if (!room)
            return 0;
        ssize_t n = stream_read(&p->s, room, 4096);
        p->code = n < 0 ? (int)n : 0;
        if (n <= 0)
            return 0;
        buf_commit(&p->heard, (size_t)n);
    }
}

static inline void report_failure(void)
{
    if (failure[0])
        fail_msg("%s", failure);
}
