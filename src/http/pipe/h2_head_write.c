/* h2_head_write.c - heads that go out: a struct http_head becomes nghttp2's list.
 *
 * Called by the pipe's calls on the fiber that sends; nothing suspends, nothing is kept. The head was
 * made by our own code, but of texts that came from strangers over the other version, and with
 * secrets put in: bytes that may not stand in a field are looked for here too, since whoever turns
 * HTTP/2 into HTTP/1.1 behind us would split a message at them. Fields that carry credentials are
 * never indexed (RFC 7541 7.1.3), so no compression table ever holds a secret. */
#include "http/pipe/h2_head.h"

#include <stdio.h>
#include <string.h>

#include "http/wire/h1_class.h"

static bool is_sensitive(struct http_text name)
{
    static const char *const names[] = {
        "authorization",
        "cookie",
        "set-cookie",
        "proxy-authorization",
        "x-api-key",
        "private-token",
        "api-key",
        "x-auth-token",
        "x-goog-api-key",
        "x-amz-security-token",
        "authentication-info",
        "x-csrf-token",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (http_text_eq(name, names[i]))
            return true;
    return false;
}

static bool all(const char *p, size_t n, unsigned class)
{
    for (size_t i = 0; i < n; i++)
        if (!h1_is(p[i], class))
            return false;
    return true;
}

static bool is_lower_token(struct http_text t)
{
    for (size_t i = 0; i < t.n; i++)
        if (!h1_is(t.p[i], H1_TOKEN) || (t.p[i] >= 'A' && t.p[i] <= 'Z'))
            return false;
    return t.n > 0;
}

static int put(struct h2_writer *w, struct http_text name, struct http_text value, bool sensitive)
{
    if (w->n == H2_NV_MAX || !all(value.p, value.n, H1_VALUE))
        return -EINVAL;
    /* nghttp2 takes these as not const and does not write to them. */
    union {
        const char *from;
        uint8_t *to;
    } n = {name.p}, v = {value.n ? value.p : ""};
    w->nv[w->n++] = (nghttp2_nv){
        .name = n.to,
        .namelen = name.n,
        .value = v.to,
        .valuelen = value.n,
        .flags = sensitive ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE,
    };
    return 0;
}

static int put_fields(struct h2_writer *w, const struct http_fields *fs)
{
    for (size_t i = 0; i < fs->n; i++) {
        const struct http_field *f = &fs->items[i];
        if (!is_lower_token(f->name) || http_field_is_framing(f->name))
            return -EINVAL;
        int r = put(w, f->name, f->value, f->sensitive || is_sensitive(f->name));
        if (r < 0)
            return r;
    }
    return 0;
}

static int put_request(struct h2_writer *w, const struct http_head *h)
{
    bool connect = http_text_eq(h->method, "CONNECT"), tunnel = connect && !h->protocol.p;
    if (h->method.n == 0 || !all(h->method.p, h->method.n, H1_TOKEN) || h->authority.n == 0 ||
        (h->protocol.p && !connect) || (!tunnel && (h->path.n == 0 || h->scheme.n == 0)))
        return -EINVAL;
    int r = put(w, HTTP_TEXT(":method"), h->method, false);
    if (r == 0 && h->protocol.p)
        r = put(w, HTTP_TEXT(":protocol"), h->protocol, false);
    if (r == 0 && !tunnel)
        r = put(w, HTTP_TEXT(":scheme"), h->scheme, false);
    if (r == 0)
        r = put(w, HTTP_TEXT(":authority"), h->authority, false);
    if (r == 0 && !tunnel)
        r = put(w, HTTP_TEXT(":path"), h->path, h->path_sensitive);
    return r;
}

static int put_status(struct h2_writer *w, const struct http_head *h)
{
    if (h->status < 100 || h->status > 599 || h->status == 101)
        return -EINVAL; /* 8.6 */
    int n = snprintf(w->status, sizeof(w->status), "%d", h->status);
    return put(w, HTTP_TEXT(":status"), (struct http_text){w->status, (size_t)n}, false);
}

/* Whether a content-length is to be said: of a body, of the body that a GET would have got, and of
 * none where a peer asks for the zero. */
static bool says_length(const struct http_head *h)
{
    if (h->status >= 100 && (h->status < 200 || h->status == 204))
        return false;
    if (h->body == HTTP_BODY_LENGTH)
        return true;
    return h->body == HTTP_BODY_NONE && h->has_length && (h->status || h->length == 0);
}

int h2_writer_head(struct h2_writer *w, const struct http_head *h)
{
    w->n = 0;
    int r = h->status ? put_status(w, h) : put_request(w, h);
    if (r == 0 && says_length(h)) {
        int n = snprintf(w->length, sizeof(w->length), "%llu", (unsigned long long)h->length);
        r = put(w, HTTP_TEXT("content-length"), (struct http_text){w->length, (size_t)n}, false);
    }
    if (r == 0 && !h->status && h->has_te_trailers)
        r = put(w, HTTP_TEXT("te"), HTTP_TEXT("trailers"), false);
    if (r == 0 && !h->status && h->expect_continue)
        r = put(w, HTTP_TEXT("expect"), HTTP_TEXT("100-continue"), false);
    return r < 0 ? r : put_fields(w, &h->fields);
}

int h2_writer_trailers(struct h2_writer *w, const struct http_fields *fs)
{
    w->n = 0;
    return put_fields(w, fs);
}
