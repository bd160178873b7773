/* h2_peer - the other end of a connection of HTTP/2, in frames written and read by the test itself.
 *
 * A check that fails inside a fiber is noted and reported from the test's own stack afterwards:
 * cmocka leaves a failing test by longjmp, which must not cross stacks. Deadlines only bound what
 * goes wrong. */
#pragma once

#include "unit/loop.h"
#include "base/buf.h"
#include "base/err.h"
#include "http/pipe/h2.h"
#include "io/stream.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static char failure[4096];
static PRINTF(3, 4) UNUSED void note_failure(int line, const char *what, const char *fmt, ...)
{
    if (failure[0])
        return;
    int at = snprintf(failure, sizeof(failure), "line %d: %s: ", line, what);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(failure + at, sizeof(failure) - (size_t)at, fmt, ap);
    va_end(ap);
}
#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond))                                                                               \
            note_failure(__LINE__, #cond, __VA_ARGS__);                                            \
    } while (0)

/* Makes a case of `static void f(void)`, which runs on a fiber. */
#define H2_CASE(f)                                                                                 \
    static int fiber_##f(void *arg)                                                                \
    {                                                                                              \
        (void)arg;                                                                                 \
        AUTO(fiber_deadline) guard = fiber_deadline_push_ms(20000);                                \
        f();                                                                                       \
        return 0;                                                                                  \
    }                                                                                              \
    static void case_##f(void **state)                                                             \
    {                                                                                              \
        (void)state;                                                                               \
        failure[0] = '\0';                                                                         \
        run_on_loop(fiber_##f, NULL);                                                              \
        if (failure[0])                                                                            \
            fail_msg("%s", failure);                                                               \
    }

enum {
    F_DATA,
    F_HEADERS,
    F_PRIORITY,
    F_RST,
    F_SETTINGS,
    F_PUSH,
    F_PING,
    F_GOAWAY,
    F_WINDOW,
    F_CONT
};
#define F_END      0x1
#define F_ACK      0x1
#define F_END_HEAD 0x4
#define F_PADDED   0x8
#define PREFACE    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/* ---- writing ---- */

static inline void put_frame(struct buf *b, unsigned type, unsigned flags, uint32_t id,
                             const void *p, size_t n)
{
    const char head[9] = {(char)(n >> 16),  (char)(n >> 8),  (char)n,
                          (char)type,       (char)flags,     (char)(id >> 24),
                          (char)(id >> 16), (char)(id >> 8), (char)id};
    (void)buf_add(b, head, 9);
    (void)buf_add(b, p, n);
}
static inline void put_u32(struct buf *b, unsigned type, uint32_t id, uint32_t value)
{
    const char p[4] = {(char)(value >> 24), (char)(value >> 16), (char)(value >> 8), (char)value};
    put_frame(b, type, 0, id, p, 4);
}
static inline void put_hpack_text(struct buf *b, const char *s, size_t n)
{
    if (n < 127) {
        (void)buf_addc(b, (char)n);
    } else {
        (void)buf_addc(b, 127);
        size_t left = n - 127;
        for (; left >= 128; left >>= 7)
            (void)buf_addc(b, (char)(left | 128));
        (void)buf_addc(b, (char)left);
    }
    (void)buf_add(b, s, n);
}
/* A field as a literal without indexing. */
static inline void put_field(struct buf *b, const char *name, const char *value, size_t n)
{
    (void)buf_addc(b, 0);
    put_hpack_text(b, name, strlen(name));
    put_hpack_text(b, value, n);
}
/* "name: value\n..." as a header block; ": " of pseudo-headers comes after their name. */
static inline void put_block(struct buf *b, const char *lines)
{
    while (*lines) {
        const char *end = strchr(lines, '\n'), *colon = strstr(lines, ": ");
        size_t n = (size_t)(colon - lines);
        char name[256];
        memcpy(name, lines, n);
        name[n] = '\0';
        put_field(b, name, colon + 2, (size_t)(end - colon - 2));
        lines = end + 1;
    }
}
static inline void put_headers(struct buf *b, uint32_t id, unsigned flags, const char *lines)
{
    AUTO(buf) block = BUF_INIT(1 << 20);
    put_block(&block, lines);
    put_frame(b, F_HEADERS, flags | F_END_HEAD, id, block.data, block.len);
}
#define GET(path)  ":method: GET\n:scheme: http\n:authority: a.example\n:path: " path "\n"
#define POST(path) ":method: POST\n:scheme: http\n:authority: a.example\n:path: " path "\n"

/* ---- a connection ---- */

#define HEAD_BYTES 8192
struct peer {
    struct stream s;
    struct buf in;
    nghttp2_hd_inflater *inflater;
    /* the frame that peer_next has read */
    unsigned type, flags;
    uint32_t id;
    const uint8_t *p;
    size_t n, eaten;
    /* of HEADERS: "name: value\n..."; a "!" before the name of a never-indexed one */
    char *head;
};

static inline void peer_send(struct peer *w, const struct buf *b)
{
    int r = stream_write(&w->s, b->data, b->len);
    CHECK(r == 0 || r == -EPIPE || r == -ECONNRESET, "%d", r);
}

static inline void peer_decode(struct peer *w)
{
    size_t at = 0, n = w->n;
    const uint8_t *p = w->p;
    w->head[0] = '\0';
    for (;;) {
        nghttp2_nv nv;
        int f = 0;
        ssize_t r = nghttp2_hd_inflate_hd2(w->inflater, &nv, &f, p, n, 1);
        CHECK(r >= 0, "hpack %zd", r);
        if (r < 0)
            return;
        p += r;
        n -= (size_t)r;
        if (f & NGHTTP2_HD_INFLATE_EMIT)
            at += (size_t)snprintf(w->head + at, HEAD_BYTES - at, "%s%.*s: %.*s\n",
                                   nv.flags & NGHTTP2_NV_FLAG_NO_INDEX ? "!" : "", (int)nv.namelen,
                                   nv.name, (int)nv.valuelen, nv.value);
        if (f & NGHTTP2_HD_INFLATE_FINAL)
            break;
    }
    (void)nghttp2_hd_inflate_end_headers(w->inflater);
}

static inline bool peer_fill(struct peer *w, size_t n)
{
    while (w->in.len < n) {
        char *to = buf_room(&w->in, 65536);
        ssize_t r = stream_read(&w->s, to, 65536);
        if (r <= 0)
            return false;
        buf_commit(&w->in, (size_t)r);
    }
    return true;
}

/* The next frame; false at the end. */
static inline bool peer_next(struct peer *w)
{
    buf_consume(&w->in, w->eaten);
    w->eaten = 0;
    if (!peer_fill(w, 9))
        return false;
    const uint8_t *h = (const uint8_t *)w->in.data;
    w->n = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
    w->type = h[3];
    w->flags = h[4];
    w->id = (uint32_t)h[5] << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 | h[8];
    if (!peer_fill(w, 9 + w->n))
        return false;
    w->eaten = 9 + w->n;
    w->p = (const uint8_t *)w->in.data + 9;
    if (w->type == F_HEADERS)
        peer_decode(w);
    return true;
}

/* The next frame of that type and stream, whatever else comes before it. */
static inline bool peer_want(struct peer *w, unsigned type, uint32_t id)
{
    while (peer_next(w))
        if (w->type == type && w->id == id && !(type == F_SETTINGS && (w->flags & F_ACK)))
            return true;
    return false;
}

static inline uint32_t peer_u32(const struct peer *w, size_t at)
{
    const uint8_t *p = w->p + at;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
/* The code of RST_STREAM for `id`, or -1. */
static inline int64_t peer_reset_of(struct peer *w, uint32_t id)
{
    return peer_want(w, F_RST, id) ? (int64_t)peer_u32(w, 0) : -1;
}
/* The code of the GOAWAY that ends the connection, or -1. */
static inline int64_t peer_goaway(struct peer *w)
{
    return peer_want(w, F_GOAWAY, 0) ? (int64_t)peer_u32(w, 4) : -1;
}
/* A body up to END_STREAM, appended to `to`. */
static inline bool peer_body(struct peer *w, uint32_t id, struct buf *to)
{
    while (peer_next(w)) {
        if (w->id != id)
            continue;
        if (w->type == F_DATA)
            (void)buf_add(to, w->p, w->n);
        if (w->type == F_RST)
            return false;
        if ((w->type == F_DATA || w->type == F_HEADERS) && (w->flags & F_END))
            return true;
    }
    return false;
}

static inline void peer_pair(struct peer *w, struct stream *other)
{
    int fds[2];
    *w = (struct peer){.in = BUF_INIT(8 << 20), .head = mem_zalloc(HEAD_BYTES)};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0, "socketpair");
    CHECK(stream_from_fd(&w->s, fds[0]) == 0 && stream_from_fd(other, fds[1]) == 0, "stream");
    CHECK(nghttp2_hd_inflate_new(&w->inflater) == 0, "inflater");
}
static inline void peer_done(struct peer *w)
{
    stream_done(&w->s);
    buf_done(&w->in);
    free(w->head);
    nghttp2_hd_inflate_del(w->inflater);
}
