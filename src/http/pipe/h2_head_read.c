/* h2_head_read.c - heads that arrive: pseudo-headers and fields become a struct http_head.
 *
 * Called from nghttp2's callbacks, so nothing here suspends. All of it is controlled by the peer.
 * nghttp2 has looked already (lower case, order of pseudo-headers, no connection-specific fields);
 * what the boundary decides by is checked once more here, with the classes that HTTP/1.1 is read
 * with, so that both versions accept the same hosts, paths and values, and a message of one can be
 * written in the other. Limits: HTTP_FIELDS_MAX, the ceiling of bytes; a head beyond either is
 * remembered as refused and its fields are dropped as they come. */
#include "http/pipe/h2_head.h"

#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "http/wire/h1_class.h"
#include "http/wire/h1_head.h"

void h2_reader_begin(struct h2_reader *r, enum h2_head_kind kind, size_t bytes_max)
{
    h2_reader_done(r);
    *r = (struct h2_reader){.kind = kind, .started = true, .bytes_max = bytes_max};
    http_head_init(&r->head);
}

void h2_reader_done(struct h2_reader *r)
{
    if (!r)
        return;
    http_head_done(&r->head);
    r->started = false;
}

static bool all(struct http_text t, unsigned class)
{
    for (size_t i = 0; i < t.n; i++)
        if (!h1_is(t.p[i], class))
            return false;
    return true;
}

/* The first reason stays. */
static int refuse(struct h2_reader *r, int status, const char *why)
{
    if (!r->refuse) {
        r->refuse = status;
        r->why = why;
    }
    return 0;
}

static bool is_name(struct http_text t)
{
    for (size_t i = 0; i < t.n; i++)
        if (t.p[i] >= 'A' && t.p[i] <= 'Z')
            return false;
    return t.n > 0 && all(t, H1_TOKEN);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_value(struct http_text t)
{
    if (t.n > 0 && (is_blank(t.p[0]) || is_blank(t.p[t.n - 1])))
        return false;
    return all(t, H1_VALUE);
}

/* A pseudo-header that may be given once. */
static int once(struct h2_reader *r, struct http_text *to, struct http_text value)
{
    if (to->p)
        return -E_PARSE;
    *to = http_head_copy(&r->head, value.p, value.n);
    return 0;
}

static int take_status(struct http_head *h, struct http_text v)
{
    uint64_t status;
    if (h->status || v.n != 3 || str_to_u64(v.p, v.n, 599, &status) < 0 || status < 100 ||
        status == 101)
        return -E_PARSE;
    h->status = (int)status;
    return 0;
}

static int take_pseudo(struct h2_reader *r, struct http_text name, struct http_text v)
{
    struct http_head *h = &r->head;
    if (r->regular || r->kind == H2_TRAILERS || !is_value(v))
        return -E_PARSE;
    if (r->kind == H2_RESPONSE)
        return http_text_eq(name, ":status") ? take_status(h, v) : -E_PARSE;
    if (http_text_eq(name, ":method"))
        return once(r, &h->method, v);
    if (http_text_eq(name, ":path"))
        return once(r, &h->path, v);
    if (http_text_eq(name, ":authority"))
        return once(r, &h->authority, v);
    if (http_text_eq(name, ":scheme"))
        return once(r, &r->scheme, v);
    if (http_text_eq(name, ":protocol"))
        return once(r, &h->protocol, v);
    return -E_PARSE;
}

static int take_length(struct http_head *h, struct http_text v)
{
    if (h->has_length || str_to_u64(v.p, v.n, INT64_MAX, &h->length) < 0)
        return -E_PARSE;
    h->has_length = true;
    return 0;
}

static int take_te(struct h2_reader *r, struct http_text v)
{
    if (!http_text_ieq(v, "trailers"))
        return -E_PARSE; /* 8.2.2 */
    r->head.has_te_trailers = r->kind == H2_REQUEST;
    return 0;
}

static bool is_connection_specific(struct http_text name)
{
    return http_text_eq(name, "connection") || http_text_eq(name, "keep-alive") ||
           http_text_eq(name, "proxy-connection") || http_text_eq(name, "transfer-encoding") ||
           http_text_eq(name, "upgrade");
}

/* What frames a message, or belongs to one connection: said in the members of the head. */
static int take_framing(struct h2_reader *r, struct http_text name, struct http_text v)
{
    if (is_connection_specific(name))
        return -E_PARSE; /* 8.2.2 */
    if (http_text_eq(name, "te"))
        return take_te(r, v);
    if (r->kind == H2_TRAILERS)
        return 0;
    if (http_text_eq(name, "content-length"))
        return take_length(&r->head, v);
    if (r->kind == H2_RESPONSE)
        return 0;
    if (http_text_eq(name, "host"))
        return once(r, &r->host, v);
    if (http_text_eq(name, "expect")) {
        if (!http_text_ieq(v, "100-continue"))
            return refuse(r, 417, "The expectation is not known.");
        r->head.expect_continue = true;
    }
    return 0;
}

int h2_reader_field(struct h2_reader *r, const uint8_t *name_bytes, size_t n_name,
                    const uint8_t *value_bytes, size_t n_value, bool sensitive)
{
    struct http_text name = {(const char *)name_bytes, n_name};
    struct http_text value = {n_value ? (const char *)value_bytes : "", n_value};
    size_t room = r->bytes_max - r->bytes;
    if (r->refuse == 431)
        return 0;
    if (n_name + H2_FIELD_OVERHEAD > room || n_value > room - n_name - H2_FIELD_OVERHEAD)
        return refuse(r, 431, "The header section is too large.");
    r->bytes += n_name + n_value + H2_FIELD_OVERHEAD;
    if (n_name > 0 && name.p[0] == ':')
        return take_pseudo(r, name, value);
    r->regular = true;
    if (!is_name(name) || !is_value(value))
        return -E_PARSE;
    if (http_field_is_framing(name))
        return take_framing(r, name, value);
    struct http_head *h = &r->head;
    if (http_head_add(h, http_head_copy(h, name.p, name.n), http_head_copy(h, value.p, value.n)) <
        0)
        return refuse(r, 431, "There are too many header fields.");
    h->fields.items[h->fields.n - 1].sensitive = sensitive;
    r->cookies += http_text_eq(name, "cookie");
    return 0;
}

/* A client may send each cookie as a field of its own (8.2.3); to everybody else it is one. */
static void join_cookies(struct http_head *h)
{
    struct http_fields *fs = &h->fields;
    struct http_field *first = http_fields_get(fs, "cookie", NULL), *f;
    size_t n = 0;
    for (f = first; f; f = http_fields_get(fs, "cookie", f))
        n += f->value.n + 2;
    char *joined = arena_alloc(&h->arena, NULL, n + 1), *to = joined;
    struct http_field whole = *first;
    for (f = first; f; f = http_fields_get(fs, "cookie", f)) {
        if (to > joined) {
            memcpy(to, "; ", 2);
            to += 2;
        }
        memcpy(to, f->value.p, f->value.n);
        to += f->value.n;
        whole.sensitive |= f->sensitive;
    }
    *to = '\0';
    whole.value = (struct http_text){joined, (size_t)(to - joined)};
    (void)http_fields_remove(fs, "cookie");
    fs->items[fs->n++] = whole; /* there is room: it was among them */
}

/* No user information either (8.3.1); a port in any case for CONNECT (8.5). */
static bool is_authority(struct http_text t, bool tunnel)
{
    return tunnel ? h1_authority_ok(t.p, t.n) : t.n > 0 && h1_host_ok(t.p, t.n);
}

static bool is_path(struct http_text t, struct http_text method)
{
    if (t.n == 1 && t.p[0] == '*')
        return http_text_eq(method, "OPTIONS");
    const char *query = memchr(t.p, '?', t.n);
    size_t n = query ? (size_t)(query - t.p) : t.n;
    if (t.n == 0 || t.p[0] != '/' || !all((struct http_text){t.p, n}, H1_PATH) ||
        !h1_percent_ok(t.p, n))
        return false;
    return !query || all((struct http_text){query + 1, t.n - n - 1}, H1_QUERY);
}

static bool agrees(struct http_text authority, struct http_text host)
{
    return str_ieq_n(authority.p, authority.n, host.p, host.n);
}

/* Which pseudo-headers there must be (8.3.1; 8.5 for CONNECT; RFC 8441 4). */
static bool is_complete(const struct h2_reader *r)
{
    const struct http_head *h = &r->head;
    bool connect = http_text_eq(h->method, "CONNECT");
    if (!h->method.p || !all(h->method, H1_TOKEN) || h->method.n == 0)
        return false;
    if (connect && !h->protocol.p)
        return h->authority.p && !h->path.p && !r->scheme.p;
    if (h->protocol.p &&
        (!connect || !h->authority.p || h->protocol.n == 0 || !all(h->protocol, H1_TOKEN)))
        return false;
    return h->path.p && r->scheme.p && (h->authority.p || r->host.p);
}

static int end_request(struct h2_reader *r, bool tls)
{
    struct http_head *h = &r->head;
    if (r->refuse == 431)
        return 0; /* the rest was not kept */
    if (!is_complete(r))
        return -E_PARSE;
    if (!h->authority.p)
        h->authority = r->host;
    else if (r->host.p && !agrees(h->authority, r->host))
        return refuse(r, 421, "The Host field names another host than :authority.");
    if (!is_authority(h->authority, !h->path.p))
        return refuse(r, 400, "The authority is malformed.");
    if (h->path.p && !is_path(h->path, h->method))
        return refuse(r, 400, "The path is malformed.");
    h->scheme = tls ? HTTP_TEXT("https") : HTTP_TEXT("http");
    if (r->scheme.p && !http_text_ieq(r->scheme, h->scheme.p))
        return refuse(r, 400, "The scheme is another one than that of the connection.");
    if (r->cookies > 1)
        join_cookies(h);
    return 0;
}

int h2_reader_end(struct h2_reader *r, bool end, bool tls)
{
    struct http_head *h = &r->head;
    if (r->kind == H2_TRAILERS)
        return r->refuse ? -E_PARSE : 0;
    if (r->kind == H2_RESPONSE && !h->status && !r->refuse)
        return -E_PARSE;
    if (r->kind == H2_REQUEST && end_request(r, tls) < 0)
        return -E_PARSE;
    if (end && h->has_length && h->length > 0 && r->kind == H2_REQUEST)
        return -E_PARSE; /* 8.1.1 */
    bool tunnel = r->kind == H2_REQUEST && http_text_eq(h->method, "CONNECT");
    if (tunnel)
        h->has_length = false;
    h->body = end ? HTTP_BODY_NONE : h->has_length ? HTTP_BODY_LENGTH : HTTP_BODY_STREAM;
    return 0;
}
