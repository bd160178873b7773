/* h1 - request heads of HTTP/1.1 (RFC 9112), strictly.
 *
 * Called by the server and by the boundary with whatever has arrived so far; pure, so it also runs
 * under the fuzzer and beside a second reader that must agree with it (tests/fuzz/h1_diff.c).
 * Everything in the input is the attacker's. The head is read in two steps: scan() walks the bytes
 * once, checks each against its class and notes where the parts lie; only when the whole head is
 * there and the framing is beyond doubt is it copied, once: by finish() into one block for the
 * server, by http/pipe for the boundary. Field lines and framing are h1_head.c's; here are the
 * request line, its target, Host and Expect. Nothing is repaired. A prefix of a good head is never
 * refused, and a refusal does not depend on how the bytes were cut up, since a verdict only looks
 * backwards.
 *
 * Ceilings come from the caller, but for the method; the server's (base/limits.h):
 *   head    32 KiB    431
 *   fields  128       431
 *   target  16 KiB    414
 *   method  32 bytes  501
 */
#include "http/wire/h1.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "http/wire/h1_class.h"

#include <string.h>

#define METHOD_MAX 32

_Static_assert(LIMIT_HEADER_COUNT <= H1_FIELDS_MAX, "the table of fields holds them");

/* "%" HEXDIG HEXDIG everywhere, and no encoded NUL, which would cut C strings short. */
bool h1_percent_ok(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != '%')
            continue;
        if (n - i < 3 || !h1_is(p[i + 1], H1_HEX) || !h1_is(p[i + 2], H1_HEX))
            return false;
        if (p[i + 1] == '0' && p[i + 2] == '0')
            return false;
        i += 2;
    }
    return true;
}

bool h1_host_ok(const char *p, size_t n)
{
    size_t i = 0;
    if (n > 0 && p[0] == '[') {
        for (i = 1; i < n && (h1_is(p[i], H1_HEX) || p[i] == ':' || p[i] == '.'); i++)
            ;
        if (i == n || p[i] != ']' || i < 3)
            return false;
        i++;
    } else {
        for (; i < n && h1_is(p[i], H1_HOST); i++)
            ;
        if (!h1_percent_ok(p, i))
            return false;
        if (i == 0 && n > 0)
            return false; /* a port and no host */
    }
    if (i == n)
        return true;
    uint64_t port = 0;
    return p[i] == ':' && str_to_u64(p + i + 1, n - i - 1, 65535, &port) == 0;
}

bool h1_authority_ok(const char *p, size_t n)
{
    return n > 0 && h1_host_ok(p, n) && memchr(p, ':', n) && p[n - 1] != ']';
}

/* "http://" or "https://" in front: its length, or 0. */
static size_t scheme(const char *t, size_t n, bool *ret_https)
{
    *ret_https = n > 8 && str_ieq_n(t, 8, "https://", 8);
    if (*ret_https)
        return 8;
    return n > 7 && str_ieq_n(t, 7, "http://", 7) ? 7 : 0;
}

/* Methods are case-sensitive (RFC 9110 9.1). */
static bool method_is(const struct h1_scan *s, const char *name)
{
    struct h1_part m = s->head->method;
    return m.n == strlen(name) && memcmp(s->p + m.at, name, m.n) == 0;
}

static int check_connect(struct h1_scan *s)
{
    struct h1_part t = s->head->target;
    if (!s->limits->connect)
        return h1_refuse(s, 501, "The CONNECT method is not supported.");
    if (!h1_authority_ok(s->p + t.at, t.n))
        return h1_refuse(s, 400, "The target of CONNECT is not a host and a port.");
    s->head->authority = t;
    return 0;
}

/* Checks the target once it is complete and finds the path in it (RFC 9112 3.2). */
static int check_target(struct h1_scan *s)
{
    struct h1_head *h = s->head;
    const char *t = s->p + h->target.at;
    size_t n = h->target.n, i = 0;

    if (method_is(s, "CONNECT"))
        return check_connect(s);
    if (n == 1 && t[0] == '*') {
        if (!method_is(s, "OPTIONS"))
            return h1_refuse(s, 400, "The request target * is for OPTIONS only.");
        h->path = h->target;
        return 0;
    }
    if (t[0] != '/') {
        i = scheme(t, n, &h->target_https);
        if (i == 0)
            return h1_refuse(s, 400, "The request target is neither a path nor an http URL.");
        size_t from = i;
        while (i < n && t[i] != '/' && t[i] != '?')
            i++;
        if (i == from || !h1_host_ok(t + from, i - from))
            return h1_refuse(s, 400, "The request target has no valid host.");
        h->authority = (struct h1_part){(uint32_t)(h->target.at + from), (uint32_t)(i - from)};
    }
    size_t path = i;
    for (; i < n && t[i] != '?'; i++)
        if (!h1_is(t[i], H1_PATH))
            return h1_refuse(s, 400, "The path holds a character that must be percent-encoded.");
    h->path = (struct h1_part){(uint32_t)(h->target.at + path), (uint32_t)(i - path)};
    if (!h1_percent_ok(t + path, i - path))
        return h1_refuse(s, 400, "The path holds an invalid percent-encoding.");
    for (i = i < n ? i + 1 : n; i < n; i++)
        if (!h1_is(t[i], H1_QUERY))
            return h1_refuse(s, 400, "The query holds a character that must be percent-encoded.");
    return 0;
}

/* method SP request-target SP HTTP-version CRLF, RFC 9112 3. */
static int scan_request_line(struct h1_scan *s)
{
    struct h1_head *h = s->head;
    size_t from = s->at;
    while (s->at < s->n && h1_is(s->p[s->at], H1_TOKEN)) {
        s->at++;
        if (s->at - from > METHOD_MAX)
            return h1_refuse(s, 501, "This server does not know the method.");
    }
    h->method = (struct h1_part){(uint32_t)from, (uint32_t)(s->at - from)};
    int r = h1_expect(s, ' ', "The request does not begin with a method and one space.");
    if (r < 0)
        return r;
    if (h->method.n == 0)
        return h1_refuse(s, 400, "The request does not begin with a method.");

    from = s->at;
    while (s->at < s->n && h1_is(s->p[s->at], H1_QUERY)) {
        s->at++;
        if (s->at - from > s->limits->target)
            return h1_refuse(s, 414, "The request target is too long.");
    }
    h->target = (struct h1_part){(uint32_t)from, (uint32_t)(s->at - from)};
    r = h1_expect(s, ' ',
                  "The request target holds an invalid character or is not followed by one space.");
    if (r < 0)
        return r;
    if (h->target.n == 0)
        return h1_refuse(s, 400, "The request target is empty.");
    r = check_target(s);
    if (r < 0)
        return r;
    r = h1_scan_version(s, "The request line does not end with the protocol version.");
    if (r < 0)
        return r;
    r = h1_expect(s, '\r', "The request line does not end with CRLF.");
    if (r == 0)
        r = h1_expect(s, '\n', "A CR in the request line is not followed by LF.");
    return r;
}

static int disagree(const struct h1_scan *s)
{
    return s->limits->claims ? 421 : 400;
}

/* Takes note of a field that decides routing, or whether the client waits. */
static int note_field(struct h1_scan *s, struct h1_part name, struct h1_part v)
{
    struct h1_head *h = s->head;
    if (name.n == 4 && h1_part_is(s->p, name, "host")) {
        const struct h1_part before = h->host;
        h->host = v;
        if (h->n_host++ > 0)
            return str_ieq_n(s->p + before.at, before.n, s->p + v.at, v.n)
                       ? h1_refuse(s, 400, "There is more than one Host field.")
                       : h1_refuse(s, disagree(s), "There are Host fields with different hosts.");
        if (!h1_host_ok(s->p + v.at, v.n))
            return h1_refuse(s, 400, "The Host field is malformed.");
    } else if (name.n == 6 && h1_part_is(s->p, name, "expect")) {
        if (!h1_part_is(s->p, v, "100-continue"))
            return h1_refuse(s, 417,
                             "The only expectation that this server supports is 100-continue.");
        h->expect_continue = true;
    }
    return 0;
}

/* Clients differ about the port in the Host of a CONNECT. */
static bool host_without_port(const struct h1_scan *s)
{
    const struct h1_head *h = s->head;
    struct h1_part bare = h->authority;
    while (bare.n > 0 && s->p[bare.at + bare.n - 1] != ':')
        bare.n--;
    bare.n -= bare.n > 0;
    return str_ieq_n(s->p + bare.at, bare.n, s->p + h->host.at, h->host.n);
}

/* What can only be judged when all fields are known. */
static int check_request(struct h1_scan *s)
{
    const struct h1_head *h = s->head;
    bool connect = method_is(s, "CONNECT");
    if (h->minor >= 1 && h->n_host == 0)
        return h1_refuse(s, 400, "The Host field is missing.");
    if (h->authority.n > 0 && h->n_host > 0 &&
        !str_ieq_n(s->p + h->authority.at, h->authority.n, s->p + h->host.at, h->host.n) &&
        !(connect && host_without_port(s)))
        return h1_refuse(s, disagree(s),
                         "The Host field and the request target name different hosts.");
    if (connect && (h->n_te > 0 || h->length > 0))
        return h1_refuse(s, 400, "A CONNECT request has no body.");
    return 0;
}

ssize_t h1_request_scan(const char *p, size_t n, const struct h1_limits *limits,
                        struct h1_head *ret, int *ret_status, const char **ret_why)
{
    /* RFC 9112 2.2: an empty line before the request line is ignored; old clients sent one after a
     * body. */
    size_t from = 0;
    if (n > 0 && p[0] == '\r') {
        if (n == 1)
            return -EAGAIN;
        from = 2;
        if (p[1] != '\n') {
            *ret_status = 400;
            *ret_why = "A CR before the request line is not followed by LF.";
            return -E_PARSE;
        }
    }
    struct h1_scan s;
    h1_scan_begin(&s, p, from, n, limits, ret);
    s.note = note_field;
    int r = scan_request_line(&s);
    if (r == 0)
        r = h1_scan_fields(&s);
    if (r == 0)
        r = check_request(&s);
    if (r == -E_PARSE) {
        *ret_status = s.status;
        *ret_why = s.why;
    }
    return r < 0 ? r : (ssize_t)s.at;
}

/* ---- the server's form of a request ---- */

static const char *place(char **w, const char *p, size_t n)
{
    char *at = *w;
    memcpy(at, p, n);
    at[n] = 0;
    *w = at + n + 1;
    return at;
}

/* The parts are copied into one block: the field array first (alignment), then NUL-terminated text.
 * Each part is followed in the head by at least one byte that is not part of it, so the head's size
 * covers the NULs; the path and the query are kept a second time, beside the whole target. */
static size_t block_size(const struct h1_head *h, size_t head_bytes)
{
    return h->n_fields * sizeof(struct h1_header) + head_bytes + h->target.n + 3;
}

static void finish(const char *p, const struct h1_head *h, char *block, struct h1_request *q)
{
    q->headers = (struct h1_header *)(void *)block;
    q->n_headers = h->n_fields;
    char *w = block + h->n_fields * sizeof(struct h1_header);
    q->method = place(&w, p + h->method.at, h->method.n);
    q->target = place(&w, p + h->target.at, h->target.n);
    q->path = h->path.n ? place(&w, p + h->path.at, h->path.n) : "/";
    size_t query = h->path.at + h->path.n, end = (size_t)h->target.at + h->target.n;
    q->query = query < end ? place(&w, p + query + 1, end - query - 1) : "";
    for (size_t i = 0; i < h->n_fields; i++) {
        struct h1_part name = h1_field_name(&h->field[i]), value = h1_field_value(&h->field[i]);
        q->headers[i].name = place(&w, p + name.at, name.n);
        q->headers[i].value = place(&w, p + value.at, value.n);
    }
    q->minor = h->minor;
    q->keep_alive = !h->close && (h->minor >= 1 || h->keep_alive);
    q->chunked = h->chunked;
    q->has_length = h->n_length > 0;
    q->length = h->length;
    /* RFC 9110 10.1.1 and 7.8: both are to be ignored in an HTTP/1.0 request. */
    q->expect_continue = h->expect_continue && h->minor >= 1;
    q->upgrade = h->upgrade && h->n_upgrade > 0 && h->minor >= 1;
}

ssize_t h1_request_parse_in(const char *p, size_t n, void *(*alloc)(void *arg, size_t n), void *arg,
                            struct h1_request *ret, int *ret_status, const char **ret_why)
{
    static const struct h1_limits limits = {
        .bytes = LIMIT_HEADER_BYTES, .fields = LIMIT_HEADER_COUNT, .target = LIMIT_TARGET_BYTES};
    struct h1_head h;
    ssize_t r = h1_request_scan(p, n, &limits, &h, ret_status, ret_why);
    if (r < 0)
        return r;
    char *block = alloc(arg, block_size(&h, (size_t)r));
    memset(ret, 0, sizeof(*ret));
    finish(p, &h, block, ret);
    return r;
}

static void *alloc_heap(void *arg, size_t n)
{
    char **block = arg;
    *block = mem_zalloc(n); /* at most the head's ceiling plus the field table */
    return *block;
}

ssize_t h1_request_parse(const char *p, size_t n, struct h1_request *ret, int *ret_status,
                         const char **ret_why)
{
    char *block = NULL;
    ssize_t r = h1_request_parse_in(p, n, alloc_heap, &block, ret, ret_status, ret_why);
    if (r >= 0)
        ret->block = block;
    return r;
}

void h1_request_done(struct h1_request *r)
{
    free(r->block);
    *r = (struct h1_request){0};
}

const char *h1_header_get(const struct h1_request *r, const char *name, size_t *n_found)
{
    const char *first = NULL;
    size_t found = 0;
    for (size_t i = 0; i < r->n_headers; i++) {
        if (!str_ieq(r->headers[i].name, name))
            continue;
        if (found++ == 0)
            first = r->headers[i].value;
        if (!n_found)
            break;
    }
    if (n_found)
        *n_found = found;
    return first;
}
