/* h1_write.c - what we say: heads and bodies, framed anew (RFC 9112 6, 7).
 *
 * Called through the pipe, on one fiber at a time; only the 100 (Continue) may come from the fiber
 * that reads, hence the lock. A head is held back until its body begins or it is flushed, so that a
 * small message goes out in one write. Nothing that a stranger wrote frames anything here: Host,
 * Content-Length, Transfer-Encoding, Connection and Upgrade are made from the members of the head,
 * and a field of such a name is left out even if somebody put it there.
 *
 * This is the last place where a message can be cut in two: every name and value is looked at once
 * more, because it may have come over HTTP/2, or out of a vault (class 3 of c-anchors 4). */
#include "http/pipe/h1_conn.h"

#include "base/err.h"
#include "base/str.h"
#include "http/wire/h1_class.h"

#include <string.h>

/* ---- may it go out? ---- */

static bool all_are(struct http_text t, unsigned class)
{
    for (size_t i = 0; i < t.n; i++)
        if (!h1_is(t.p[i], class))
            return false;
    return t.n > 0;
}

static bool value_ok(struct http_text t)
{
    for (size_t i = 0; i < t.n; i++)
        if (!h1_is(t.p[i], H1_VALUE))
            return false;
    return true;
}

/* Visible ASCII: no byte of it can end the part of the line it stands in. */
static bool visible(struct http_text t)
{
    for (size_t i = 0; i < t.n; i++)
        if (t.p[i] <= ' ' || t.p[i] >= 0x7f)
            return false;
    return t.n > 0;
}

static bool fields_ok(const struct http_fields *fs)
{
    for (size_t i = 0; i < fs->n; i++)
        if (!all_are(fs->items[i].name, H1_TOKEN) || !value_ok(fs->items[i].value))
            return false;
    return true;
}

static bool protocol_ok(struct http_text t)
{
    return !t.p || (all_are(t, H1_TOKEN) && t.n < H1_PROTOCOL_MAX && !http_text_ieq(t, "h2c"));
}

static bool request_ok(const struct http_head *h)
{
    if (h->status != 0 || !all_are(h->method, H1_TOKEN) || !fields_ok(&h->fields) ||
        !protocol_ok(h->protocol))
        return false;
    /* An upgrade is a GET without a body, as it is read. */
    if (h->protocol.p && (h->body != HTTP_BODY_NONE || !http_text_eq(h->method, "GET")))
        return false;
    if (http_text_eq(h->method, "CONNECT"))
        return visible(h->authority) && !h->path.p && h->body == HTTP_BODY_NONE;
    bool authority = h->authority.n == 0 || visible(h->authority);
    bool path = h->path.n > 0 && (h->path.p[0] == '/' || http_text_eq(h->path, "*"));
    return authority && path && visible(h->path);
}

static bool response_ok(const struct h1_conn *c, const struct http_head *h)
{
    if (h->status < 100 || h->status > 599 || !fields_ok(&h->fields))
        return false;
    if (h->status == 101)
        return c->protocol[0] && protocol_ok(h->protocol);
    return true;
}

/* ---- heads ---- */

static int put_text(struct h1_conn *c, struct http_text t)
{
    return h1_put(c, t.p, t.n);
}
#define PUT(c, literal) h1_put(c, literal, sizeof(literal) - 1)

/* Errors of h1_put stay in the connection; the last call tells. */
static void put_fields(struct h1_conn *c, const struct http_fields *fs)
{
    for (size_t i = 0; i < fs->n; i++) {
        const struct http_field *f = &fs->items[i];
        if (http_field_is_framing(f->name))
            continue;
        put_text(c, http_field_spelled(f));
        PUT(c, ": ");
        put_text(c, f->value);
        PUT(c, "\r\n");
    }
}

static void put_length(struct h1_conn *c, uint64_t n)
{
    static const char name[] = "Content-Length: ";
    char line[sizeof(name) + 24];
    char digits[20];
    size_t d = sizeof(digits), at = sizeof(name) - 1;
    do
        digits[--d] = (char)('0' + n % 10);
    while (n /= 10);
    memcpy(line, name, at);
    memcpy(line + at, digits + d, sizeof(digits) - d);
    at += sizeof(digits) - d;
    line[at++] = '\r';
    line[at++] = '\n';
    h1_put(c, line, at);
}

static void body_begins(struct h1_conn *c, enum h1_framing framing, uint64_t length)
{
    c->out_framing = framing;
    c->out_left = length;
    c->out_at = framing == H1_NO_BODY ? H1_AT_END : H1_AT_BODY;
}

static void put_framing(struct h1_conn *c, const struct http_head *h)
{
    if (h->body == HTTP_BODY_STREAM) {
        PUT(c, "Transfer-Encoding: chunked\r\n");
        body_begins(c, H1_CHUNKED, 0);
    } else if (h->body == HTTP_BODY_LENGTH) {
        put_length(c, h->length);
        body_begins(c, H1_LENGTH, h->length);
    } else {
        body_begins(c, H1_NO_BODY, 0);
    }
}

/* RFC 9110 8.6: whose request means to have a body says so when it has none. */
static bool expects_body(struct http_text method)
{
    return http_text_eq(method, "POST") || http_text_eq(method, "PUT") ||
           http_text_eq(method, "PATCH");
}

static int put_request(struct h1_conn *c, const struct http_head *h)
{
    bool connect = http_text_eq(h->method, "CONNECT");
    c->asked = connect                           ? H1_ASKED_CONNECT
               : http_text_eq(h->method, "HEAD") ? H1_ASKED_HEAD
                                                 : H1_ASKED_OTHER;
    put_text(c, h->method);
    PUT(c, " ");
    put_text(c, connect ? h->authority : h->path);
    PUT(c, " HTTP/1.1\r\nHost: ");
    put_text(c, h->authority);
    PUT(c, "\r\n");
    put_fields(c, &h->fields);
    put_framing(c, h);
    if (h->body == HTTP_BODY_NONE && expects_body(h->method))
        put_length(c, 0);
    if (h->expect_continue && h->body != HTTP_BODY_NONE)
        PUT(c, "Expect: 100-continue\r\n");
    if (h->has_te_trailers)
        PUT(c, "TE: trailers\r\n");
    if (h->protocol.p) {
        memcpy(c->protocol, h->protocol.p, h->protocol.n);
        c->protocol[h->protocol.n] = '\0';
        PUT(c, "Upgrade: ");
        put_text(c, h->protocol);
        PUT(c, "\r\n");
    }
    if (h->protocol.p && h->has_te_trailers)
        PUT(c, "Connection: Upgrade, TE\r\n");
    else if (h->protocol.p)
        PUT(c, "Connection: Upgrade\r\n");
    else if (h->has_te_trailers)
        PUT(c, "Connection: TE\r\n");
    return PUT(c, "\r\n");
}

static void put_status_line(struct h1_conn *c, int status)
{
    char line[] = "HTTP/1.1 000 ";
    line[9] = (char)('0' + status / 100);
    line[10] = (char)('0' + status / 10 % 10);
    line[11] = (char)('0' + status % 10);
    h1_put(c, line, sizeof(line) - 1);
    put_text(c, http_text_of(h1_reason(status)));
    PUT(c, "\r\n");
}

/* 1xx, and what ends HTTP on this connection. */
static int put_interim(struct h1_conn *c, const struct http_head *h)
{
    put_status_line(c, h->status);
    put_fields(c, &h->fields);
    if (h->status == 101) {
        PUT(c, "Upgrade: ");
        put_text(c, h->protocol.p ? h->protocol : http_text_of(c->protocol));
        PUT(c, "\r\nConnection: Upgrade\r\n");
    }
    return PUT(c, "\r\n");
}

static void tunnel_begins(struct h1_conn *c)
{
    h1_read_raw(c);
    body_begins(c, H1_UNTIL_END, 0);
}

static int put_response(struct h1_conn *c, const struct http_head *h)
{
    put_status_line(c, h->status);
    put_fields(c, &h->fields);
    bool none = c->asked == H1_ASKED_HEAD || h->status == 204 || h->status == 304;
    if (none) {
        /* What is told about the body that is not there; a caller that sends one is not heard. */
        if ((h->has_length || h->body == HTTP_BODY_LENGTH) && h->status != 204)
            put_length(c, h->length);
        c->out_drop = h->body != HTTP_BODY_NONE;
        body_begins(c, c->out_drop ? H1_UNTIL_END : H1_NO_BODY, 0);
    } else if (h->body == HTTP_BODY_NONE) {
        put_length(c, 0);
        body_begins(c, H1_NO_BODY, 0);
    } else if (h->body == HTTP_BODY_STREAM && c->old) {
        c->keep = false; /* the end of the connection is the end of the body */
        body_begins(c, H1_UNTIL_END, 0);
    } else {
        put_framing(c, h);
    }
    /* RFC 9110 10.1.1: a client that was not told to go on may send its body or not; nobody could
     * tell where its next request begins. */
    if (c->wants_continue)
        c->keep = false;
    if (!c->keep)
        PUT(c, "Connection: close\r\n");
    else if (c->old)
        PUT(c, "Connection: keep-alive\r\n");
    return PUT(c, "\r\n");
}

static int send_response(struct h1_conn *c, const struct http_head *h)
{
    if (!response_ok(c, h))
        return -EINVAL;
    bool tunnel = h->status == 101 || (c->asked == H1_ASKED_CONNECT && h->status / 100 == 2);
    int r;
    if (h->status < 200 || tunnel) {
        if (c->old && h->status < 200)
            return 0; /* RFC 9110 15.2: not to an HTTP/1.0 client */
        if (h->status == 100 && !c->wants_continue)
            return 0; /* nobody waits for it, or it was said when the body was asked for */
        if (h->status == 100)
            c->wants_continue = false;
        r = put_interim(c, h);
        if (tunnel)
            tunnel_begins(c);
        return r < 0 ? r : h1_flush(c);
    }
    r = put_response(c, h);
    return r < 0 || c->out_at != H1_AT_END ? r : h1_flush(c);
}

static int send_request(struct h1_conn *c, const struct http_head *h)
{
    if (!request_ok(h))
        return -EINVAL;
    /* Whatever has come already is no answer to this. */
    if (h1_ready(c)) {
        if (h1_buffered(c) > 0)
            h1_cut(c);
        else /* the peer has left: nothing of the request went out, and reading tells */
            c->out_error = -ECONNRESET;
        return c->out_error;
    }
    int r = put_request(c, h);
    bool waits = h->expect_continue || c->out_at == H1_AT_END;
    return r < 0 || !waits ? r : h1_flush(c);
}

int h1_send_head(struct http_pipe *p, const struct http_head *h)
{
    struct h1_conn *c = CONTAINER_OF(p, struct h1_conn, pipe);
    if (c->out_error)
        return c->out_error;
    if (c->out_at != H1_AT_HEAD)
        return -EINVAL;
    int r = fmutex_lock(&c->writing);
    if (r < 0)
        return r;
    r = c->serving ? send_response(c, h) : send_request(c, h);
    fmutex_unlock(&c->writing);
    return r;
}

int h1_send_continue(struct h1_conn *c)
{
    int r = fmutex_lock(&c->writing);
    if (r < 0)
        return r;
    /* The answer, or a 100, may have gone out while this fiber waited for its turn. */
    if (c->wants_continue && c->out_at == H1_AT_HEAD && !c->out_error) {
        c->wants_continue = false;
        PUT(c, "HTTP/1.1 100 Continue\r\n\r\n");
        r = h1_flush(c);
    }
    fmutex_unlock(&c->writing);
    return r;
}

/* ---- bodies ---- */

static int put_chunk(struct h1_conn *c, const void *from, size_t n)
{
    static const char digit[] = "0123456789abcdef";
    char line[20];
    size_t at = sizeof(line);
    line[--at] = '\n';
    line[--at] = '\r';
    size_t left = n;
    do
        line[--at] = digit[left & 15];
    while (left >>= 4);
    h1_put(c, line + at, sizeof(line) - at);
    h1_put(c, from, n);
    return PUT(c, "\r\n");
}

int h1_send_body(struct http_pipe *p, const void *from, size_t n, bool more)
{
    struct h1_conn *c = CONTAINER_OF(p, struct h1_conn, pipe);
    if (c->out_error)
        return c->out_error;
    if (n == 0)
        return more ? 0 : h1_flush(c);
    if (c->out_at != H1_AT_BODY || (c->out_framing == H1_LENGTH && n > c->out_left))
        return -EINVAL;
    int r = 0;
    if (c->out_framing == H1_CHUNKED) {
        r = put_chunk(c, from, n);
    } else if (!c->out_drop) {
        r = h1_put(c, from, n);
    }
    if (c->out_framing == H1_LENGTH) {
        c->out_left -= n;
        more = more && c->out_left > 0; /* nothing can follow the last byte */
    }
    return r < 0 || more ? r : h1_flush(c);
}

static void put_trailers(struct h1_conn *c, const struct http_fields *trailers)
{
    PUT(c, "0\r\n");
    if (trailers)
        put_fields(c, trailers);
    PUT(c, "\r\n");
}

int h1_send_end(struct http_pipe *p, const struct http_fields *trailers)
{
    struct h1_conn *c = CONTAINER_OF(p, struct h1_conn, pipe);
    if (c->out_error)
        return c->out_error;
    if (c->out_at == H1_AT_END)
        return 0;
    if (c->out_at == H1_AT_HEAD || (trailers && !fields_ok(trailers)))
        return -EINVAL;
    if (c->out_framing == H1_LENGTH && c->out_left > 0) {
        h1_cut(c);
        return -EINVAL;
    }
    if (c->out_framing == H1_CHUNKED)
        put_trailers(c, trailers);
    int r = h1_flush(c);
    if (r < 0)
        return r;
    c->out_at = H1_AT_END;
    /* After a change of protocol each side ends for itself. */
    bool half = c->out_framing == H1_UNTIL_END && c->in_framing == H1_UNTIL_END && !c->out_drop;
    return half ? h1_finish(c) : 0;
}

void h1_reset(struct http_pipe *p, enum http_reset why)
{
    (void)why; /* this version has one way to say it */
    h1_cut(CONTAINER_OF(p, struct h1_conn, pipe));
}
