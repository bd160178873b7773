/* h1 - request heads of HTTP/1.1 (RFC 9112), strictly.
 *
 * Called by the server with whatever has arrived so far; pure, so it also runs under the fuzzer and
 * beside a second reader that must agree with it (tests/fuzz/h1_diff.c). Everything in the input is
 * the attacker's. The head is read in two steps: scan() walks the bytes once, checks each against
 * its class and notes where the parts lie as 16-bit offsets; only when the whole head is there and
 * the framing is beyond doubt does finish() copy it, once, into one block. Nothing is repaired:
 * where the RFC lets a recipient choose between fixing and refusing (bare LF, obs-fold, white space
 * before the colon, repeated Content-Length), this one refuses. A prefix of a good head is never
 * refused, and a refusal does not depend on how the bytes were cut up, since a verdict only looks
 * backwards.
 *
 * Ceilings (base/limits.h, but for the method):
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

_Static_assert(LIMIT_HEADER_BYTES + 2 <= UINT16_MAX, "offsets into a head are 16 bits wide");

struct span {
    uint16_t off, len;
};

struct scan {
    const char *p;
    size_t n;   /* readable bytes, cut off at the ceiling */
    size_t at;  /* next byte */
    bool cut;   /* the ceiling is what ends the input */
    int status; /* why it is refused */
    const char *why;

    struct span method, target;
    size_t path_at, path_len; /* the path's place in the target */
    int minor;
    size_t n_fields;
    struct {
        struct span name, value;
    } field[LIMIT_HEADER_COUNT];

    /* what the fields say about framing and connection */
    struct span host, authority;
    size_t n_host, n_length, n_te, n_upgrade;
    uint64_t length;
    bool chunked, close, keep_alive, upgrade, expect;
};

static int refuse(struct scan *s, int status, const char *why)
{
    s->status = status;
    s->why = why;
    return -E_PARSE;
}

/* The input is used up: more may come, unless the ceiling was what ended it. */
static int starved(struct scan *s)
{
    return s->cut ? refuse(s, 431, "The request line and header fields are too large.") : -EAGAIN;
}

static int expect_byte(struct scan *s, char c, const char *why)
{
    if (s->at == s->n)
        return starved(s);
    if (s->p[s->at] != c)
        return refuse(s, 400, why);
    s->at++;
    return 0;
}

static bool span_is(const struct scan *s, struct span v, const char *text)
{
    return str_ieq_n(s->p + v.off, v.len, text, strlen(text));
}

/* "%" HEXDIG HEXDIG everywhere, and no encoded NUL, which would cut C strings short. */
static bool percent_ok(const char *p, size_t n)
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

/* uri-host [ ":" port ], RFC 9110 7.2. An empty value is what RFC 9112 3.2 wants for targets
 * without an authority. */
static bool host_ok(const char *p, size_t n)
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
        if (!percent_ok(p, i))
            return false;
        if (i == 0 && n > 0)
            return false; /* a port and no host */
    }
    if (i == n)
        return true;
    uint64_t port = 0;
    return p[i] == ':' && str_to_u64(p + i + 1, n - i - 1, 65535, &port) == 0;
}

/* Checks the target once it is complete and finds the path in it (RFC 9112 3.2). */
static int check_target(struct scan *s)
{
    const char *t = s->p + s->target.off;
    size_t n = s->target.len, i = 0;

    if (span_is(s, s->method, "CONNECT"))
        return refuse(s, 501, "The CONNECT method is not supported.");
    if (n == 1 && t[0] == '*') {
        if (s->method.len != 7 || memcmp(s->p + s->method.off, "OPTIONS", 7) != 0)
            return refuse(s, 400, "The request target * is for OPTIONS only.");
        s->path_at = 0;
        s->path_len = 1;
        return 0;
    }
    if (t[0] != '/') {
        if (n > 7 && str_ieq_n(t, 7, "http://", 7))
            i = 7;
        else if (n > 8 && str_ieq_n(t, 8, "https://", 8))
            i = 8;
        else
            return refuse(s, 400, "The request target is neither a path nor an http URL.");
        size_t from = i;
        while (i < n && t[i] != '/' && t[i] != '?')
            i++;
        if (i == from || !host_ok(t + from, i - from))
            return refuse(s, 400, "The request target has no valid host.");
        s->authority = (struct span){(uint16_t)(s->target.off + from), (uint16_t)(i - from)};
    }
    s->path_at = i;
    for (; i < n && t[i] != '?'; i++)
        if (!h1_is(t[i], H1_PATH))
            return refuse(s, 400, "The path holds a character that must be percent-encoded.");
    s->path_len = i - s->path_at;
    if (!percent_ok(t + s->path_at, s->path_len))
        return refuse(s, 400, "The path holds an invalid percent-encoding.");
    for (i = i < n ? i + 1 : n; i < n; i++)
        if (!h1_is(t[i], H1_QUERY))
            return refuse(s, 400, "The query holds a character that must be percent-encoded.");
    return 0;
}

/* method SP request-target SP HTTP-version CRLF, RFC 9112 3. */
static int scan_request_line(struct scan *s)
{
    size_t from = s->at;
    while (s->at < s->n && h1_is(s->p[s->at], H1_TOKEN)) {
        s->at++;
        if (s->at - from > METHOD_MAX)
            return refuse(s, 501, "This server does not know the method.");
    }
    s->method = (struct span){(uint16_t)from, (uint16_t)(s->at - from)};
    int r = expect_byte(s, ' ', "The request does not begin with a method and one space.");
    if (r < 0)
        return r;
    if (s->method.len == 0)
        return refuse(s, 400, "The request does not begin with a method.");

    from = s->at;
    while (s->at < s->n && h1_is(s->p[s->at], H1_QUERY)) {
        s->at++;
        if (s->at - from > LIMIT_TARGET_BYTES)
            return refuse(s, 414, "The request target is too long.");
    }
    s->target = (struct span){(uint16_t)from, (uint16_t)(s->at - from)};
    r = expect_byte(
        s, ' ', "The request target holds an invalid character or is not followed by one space.");
    if (r < 0)
        return r;
    if (s->target.len == 0)
        return refuse(s, 400, "The request target is empty.");
    r = check_target(s);
    if (r < 0)
        return r;

    static const char version[] = "HTTP/";
    for (size_t i = 0; i < sizeof(version) - 1; i++) {
        r = expect_byte(s, version[i], "The request line does not end with the protocol version.");
        if (r < 0)
            return r;
    }
    char digit[3];
    for (size_t i = 0; i < 3; i++) {
        if (s->at == s->n)
            return starved(s);
        digit[i] = s->p[s->at];
        if (i == 1 ? digit[i] != '.' : digit[i] < '0' || digit[i] > '9')
            return refuse(s, 400, "The protocol version is malformed.");
        s->at++;
    }
    if (digit[0] != '1')
        return refuse(s, 505, "This server speaks only HTTP/1.0 and HTTP/1.1.");
    s->minor = digit[2] - '0';
    r = expect_byte(s, '\r', "The request line does not end with CRLF.");
    if (r == 0)
        r = expect_byte(s, '\n', "A CR in the request line is not followed by LF.");
    return r;
}

/* Looks for the connection options we act on in a comma-separated list (RFC 9110 7.6.1). */
static void note_connection(struct scan *s, struct span v)
{
    size_t i = v.off, end = (size_t)v.off + v.len;
    while (i < end) {
        size_t from = i;
        while (i < end && s->p[i] != ',')
            i++;
        size_t to = i++;
        while (from < to && (s->p[from] == ' ' || s->p[from] == '\t'))
            from++;
        while (to > from && (s->p[to - 1] == ' ' || s->p[to - 1] == '\t'))
            to--;
        struct span o = {(uint16_t)from, (uint16_t)(to - from)};
        if (span_is(s, o, "close"))
            s->close = true;
        else if (span_is(s, o, "keep-alive"))
            s->keep_alive = true;
        else if (span_is(s, o, "upgrade"))
            s->upgrade = true;
    }
}

/* Takes note of a field that decides framing, routing or the connection's fate. */
static int note_field(struct scan *s, struct span name, struct span v)
{
    switch (name.len) {
    case 4:
        if (span_is(s, name, "host")) {
            s->n_host++;
            s->host = v;
            if (s->n_host > 1)
                return refuse(s, 400, "There is more than one Host field.");
            if (!host_ok(s->p + v.off, v.len))
                return refuse(s, 400, "The Host field is malformed.");
        }
        break;
    case 6:
        if (span_is(s, name, "expect")) {
            if (!span_is(s, v, "100-continue"))
                return refuse(s, 417,
                              "The only expectation that this server supports is 100-continue.");
            s->expect = true;
        }
        break;
    case 7:
        if (span_is(s, name, "upgrade"))
            s->n_upgrade++;
        break;
    case 10:
        if (span_is(s, name, "connection"))
            note_connection(s, v);
        break;
    case 14:
        if (span_is(s, name, "content-length")) {
            /* RFC 9112 6.3: an invalid or repeated length is unrecoverable; "5, 5" and two equal
             * fields are legal to accept but need not be, and two readers that differ about them
             * are how smuggling works. */
            if (s->n_length++ > 0)
                return refuse(s, 400, "There is more than one Content-Length field.");
            if (str_to_u64(s->p + v.off, v.len, INT64_MAX, &s->length) < 0)
                return refuse(s, 400, "The Content-Length field is not a decimal number.");
        }
        break;
    case 17:
        if (span_is(s, name, "transfer-encoding")) {
            if (s->n_te++ > 0)
                return refuse(s, 400, "There is more than one Transfer-Encoding field.");
            if (!span_is(s, v, "chunked"))
                return refuse(s, 501,
                              "The only transfer coding that this server supports is chunked.");
            s->chunked = true;
        }
        break;
    default:
        break;
    }
    return 0;
}

/* field-name ":" OWS field-value OWS CRLF, RFC 9112 5. */
static int scan_field(struct scan *s)
{
    if (s->n_fields == LIMIT_HEADER_COUNT)
        return refuse(s, 431, "There are too many header fields.");
    char first = s->p[s->at];
    if (first == ' ' || first == '\t')
        return refuse(s, 400, "A header line begins with white space (obsolete line folding).");

    size_t from = s->at;
    while (s->at < s->n && h1_is(s->p[s->at], H1_TOKEN))
        s->at++;
    struct span name = {(uint16_t)from, (uint16_t)(s->at - from)};
    int r = expect_byte(s, ':',
                        "A header field name holds an invalid character or no colon follows it.");
    if (r < 0)
        return r;
    if (name.len == 0)
        return refuse(s, 400, "A header field has no name.");

    while (s->at < s->n && (s->p[s->at] == ' ' || s->p[s->at] == '\t'))
        s->at++;
    from = s->at;
    while (s->at < s->n && h1_is(s->p[s->at], H1_VALUE))
        s->at++;
    size_t to = s->at;
    r = expect_byte(s, '\r', "A header field value holds a control character.");
    if (r == 0)
        r = expect_byte(s, '\n', "A CR in a header field is not followed by LF.");
    if (r < 0)
        return r;
    while (to > from && (s->p[to - 1] == ' ' || s->p[to - 1] == '\t'))
        to--;
    struct span value = {(uint16_t)from, (uint16_t)(to - from)};

    s->field[s->n_fields].name = name;
    s->field[s->n_fields].value = value;
    s->n_fields++;
    return note_field(s, name, value);
}

/* What can only be judged when all fields are known. */
static int check_framing(struct scan *s)
{
    if (s->n_te > 0 && s->n_length > 0)
        return refuse(s, 400, "Content-Length and Transfer-Encoding exclude each other.");
    /* RFC 9112 6.1: faulty framing. */
    if (s->n_te > 0 && s->minor == 0)
        return refuse(s, 400, "HTTP/1.0 has no Transfer-Encoding.");
    if (s->minor >= 1 && s->n_host == 0)
        return refuse(s, 400, "The Host field is missing.");
    if (s->authority.len > 0 && s->n_host > 0 &&
        !str_ieq_n(s->p + s->authority.off, s->authority.len, s->p + s->host.off, s->host.len))
        return refuse(s, 400, "The Host field and the request target name different hosts.");
    return 0;
}

static int scan(struct scan *s)
{
    /* RFC 9112 2.2: an empty line before the request line is ignored; old clients sent one after a
     * body. */
    if (s->n > 0 && s->p[0] == '\r') {
        s->at = 1;
        int r = expect_byte(s, '\n', "A CR before the request line is not followed by LF.");
        if (r < 0)
            return r;
    }
    if (s->n - s->at > LIMIT_HEADER_BYTES) {
        s->n = s->at + LIMIT_HEADER_BYTES;
        s->cut = true;
    } else if (s->n - s->at == LIMIT_HEADER_BYTES) {
        s->cut = true;
    }
    int r = scan_request_line(s);
    while (r == 0) {
        if (s->at == s->n)
            return starved(s);
        if (s->p[s->at] == '\r') {
            s->at++;
            r = expect_byte(s, '\n', "A CR in the header is not followed by LF.");
            return r < 0 ? r : check_framing(s);
        }
        r = scan_field(s);
    }
    return r;
}

static const char *place(char **w, const char *p, size_t n)
{
    char *at = *w;
    memcpy(at, p, n);
    at[n] = 0;
    *w = at + n + 1;
    return at;
}

/* Copies the parts into one block: the field array first (alignment), then NUL-terminated text. */
static size_t block_size(const struct scan *s)
{
    /* Each part is followed in the head by at least one byte that is not part of it, so s->at
     * covers the NULs; the path and the query are kept a second time, beside the whole target. */
    return s->n_fields * sizeof(struct h1_header) + s->at + s->target.len + 3;
}

static void finish(const struct scan *s, char *block, struct h1_request *q)
{
    q->headers = (struct h1_header *)(void *)block;
    q->n_headers = s->n_fields;
    char *w = block + s->n_fields * sizeof(struct h1_header);
    q->method = place(&w, s->p + s->method.off, s->method.len);
    q->target = place(&w, s->p + s->target.off, s->target.len);
    const char *t = s->p + s->target.off;
    q->path = s->path_len ? place(&w, t + s->path_at, s->path_len) : "/";
    size_t rest = s->path_at + s->path_len;
    q->query = rest < s->target.len ? place(&w, t + rest + 1, s->target.len - rest - 1) : "";
    for (size_t i = 0; i < s->n_fields; i++) {
        q->headers[i].name = place(&w, s->p + s->field[i].name.off, s->field[i].name.len);
        q->headers[i].value = place(&w, s->p + s->field[i].value.off, s->field[i].value.len);
    }
    q->minor = s->minor;
    q->keep_alive = !s->close && (s->minor >= 1 || s->keep_alive);
    q->chunked = s->chunked;
    q->has_length = s->n_length > 0;
    q->length = s->length;
    /* RFC 9110 10.1.1 and 7.8: both are to be ignored in an HTTP/1.0 request. */
    q->expect_continue = s->expect && s->minor >= 1;
    q->upgrade = s->upgrade && s->n_upgrade > 0 && s->minor >= 1;
}

ssize_t h1_request_parse_in(const char *p, size_t n, void *(*alloc)(void *arg, size_t n), void *arg,
                            struct h1_request *ret, int *ret_status, const char **ret_why)
{
    struct scan s;
    memset(&s, 0, offsetof(struct scan, field)); /* the field table is written before it is read */
    memset(&s.host, 0, sizeof(s) - offsetof(struct scan, host));
    s.p = p;
    s.n = n;
    int r = scan(&s);
    if (r == -E_PARSE) {
        *ret_status = s.status;
        *ret_why = s.why;
    }
    if (r < 0)
        return r;
    char *block = alloc(arg, block_size(&s));
    memset(ret, 0, sizeof(*ret));
    finish(&s, block, ret);
    return (ssize_t)s.at;
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
