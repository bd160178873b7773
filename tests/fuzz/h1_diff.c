/* h1_diff.c - two readers of one protocol: http/h1 against a second, naive one written from RFC
 * 9112 alone.
 *
 * Theory of operation: requests are smuggled where two readers of the same bytes disagree. The
 * reader below shares nothing with ours but the rules: it finds the empty line, splits the head at
 * CRLF, the lines at spaces and colons, and checks each part with comparisons written out by hand.
 * Both must agree whether a complete head is good, where it ends, every part of it, and the
 * framing; when a chunked body follows, also on that. The naive reader says nothing about heads
 * without an end, where ours may refuse early. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "http/wire/h1.h"

#include <string.h>
#include <strings.h>

struct text {
    const char *p;
    size_t n;
};

static bool in(char c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
static bool equals(struct text t, const char *s)
{
    return t.n == strlen(s) && memcmp(t.p, s, t.n) == 0;
}
static bool equals_i(struct text t, const char *s)
{
    return t.n == strlen(s) && strncasecmp(t.p, s, t.n) == 0 && !memchr(t.p, 0, t.n);
}
static struct text sub(struct text t, size_t from, size_t to)
{
    return (struct text){t.p + from, to - from};
}
static size_t find(struct text t, const char *s, size_t from)
{
    size_t n = strlen(s);
    for (size_t i = from; i + n <= t.n; i++)
        if (memcmp(t.p + i, s, n) == 0)
            return i;
    return SIZE_MAX;
}
static struct text strip(struct text t)
{
    while (t.n && (t.p[0] == ' ' || t.p[0] == '\t'))
        t = sub(t, 1, t.n);
    while (t.n && (t.p[t.n - 1] == ' ' || t.p[t.n - 1] == '\t'))
        t.n--;
    return t;
}
static bool token(struct text t)
{
    for (size_t i = 0; i < t.n; i++)
        if (!is_alnum(t.p[i]) && !in(t.p[i], "!#$%&'*+-.^_`|~"))
            return false;
    return t.n > 0;
}
static bool percent(struct text t)
{
    for (size_t i = 0; i < t.n; i++)
        if (t.p[i] == '%' && (i + 2 >= t.n || !is_hex(t.p[i + 1]) || !is_hex(t.p[i + 2]) ||
                              (t.p[i + 1] == '0' && t.p[i + 2] == '0')))
            return false;
    return true;
}

struct naive {
    bool complete, good;
    size_t end;
    struct text method, target, path, query, name[128], value[128];
    int minor;
    size_t n;
    bool chunked, has_length, keep_alive, expect, upgrade;
    uint64_t length;
};

static bool host(struct text t)
{
    size_t colon = SIZE_MAX;
    for (size_t i = 0; i < t.n; i++)
        if (t.p[i] == ':')
            colon = i; /* the last one */
    struct text name = t;
    size_t close = find(t, "]", 0);
    if (t.n && t.p[0] == '[') {
        if (close == SIZE_MAX || close < 3)
            return false;
        for (size_t i = 1; i < close; i++)
            if (!is_hex(t.p[i]) && !in(t.p[i], ":."))
                return false;
        if (close + 1 == t.n)
            return true;
        if (t.p[close + 1] != ':' || colon != close + 1)
            return false;
    } else {
        if (colon != SIZE_MAX)
            name = sub(t, 0, colon);
        for (size_t i = 0; i < name.n; i++)
            if (!is_alnum(name.p[i]) && !in(name.p[i], "-._~!$&'()*+;=%"))
                return false;
        if (!percent(name) || (name.n == 0 && t.n > 0))
            return false;
        if (colon == SIZE_MAX)
            return true;
    }
    struct text port = sub(t, colon + 1, t.n);
    uint64_t v = 0;
    for (size_t i = 0; i < port.n; i++) {
        if (!is_digit(port.p[i]) || v > 65535)
            return false;
        v = v * 10 + (uint64_t)(port.p[i] - '0');
    }
    return port.n > 0 && v <= 65535;
}

static bool read_target(struct naive *r, struct text *authority)
{
    struct text t = r->target;
    for (size_t i = 0; i < t.n; i++)
        if ((unsigned char)t.p[i] <= ' ' || (unsigned char)t.p[i] >= 0x7f || in(t.p[i], "#\"<>"))
            return false;
    if (equals_i(r->method, "CONNECT") || t.n > 16384)
        return false;
    if (equals(t, "*")) {
        r->path = t;
        return equals(r->method, "OPTIONS");
    }
    size_t at = 0;
    if (t.p[0] != '/') {
        at = t.n >= 7 && strncasecmp(t.p, "http://", 7) == 0    ? 7
             : t.n >= 8 && strncasecmp(t.p, "https://", 8) == 0 ? 8
                                                                : 0;
        if (at == 0)
            return false;
        size_t end = at;
        while (end < t.n && t.p[end] != '/' && t.p[end] != '?')
            end++;
        *authority = sub(t, at, end);
        if (authority->n == 0 || !host(*authority))
            return false;
        at = end;
    }
    size_t q = find(t, "?", at);
    r->path = sub(t, at, q == SIZE_MAX ? t.n : q);
    if (q != SIZE_MAX)
        r->query = sub(t, q + 1, t.n);
    for (size_t i = 0; i < r->path.n; i++)
        if (in(r->path.p[i], "\\^`{|}"))
            return false;
    if (!percent(r->path))
        return false;
    if (r->path.n == 0)
        r->path = (struct text){"/", 1};
    return true;
}

static bool has_option(struct text list, const char *option)
{
    size_t from = 0;
    for (;;) {
        size_t comma = find(list, ",", from);
        if (equals_i(strip(sub(list, from, comma == SIZE_MAX ? list.n : comma)), option))
            return true;
        if (comma == SIZE_MAX)
            return false;
        from = comma + 1;
    }
}

static bool read_lines(struct naive *r, struct text head)
{
    struct text authority = {0}, the_host = {0};
    size_t hosts = 0, lengths = 0, codings = 0, upgrades = 0;
    bool close = false, keep = false, want_upgrade = false, first = true;
    for (size_t at = 0; at <= head.n;) {
        size_t end = find(head, "\r\n", at);
        if (end == SIZE_MAX)
            end = head.n;
        struct text line = sub(head, at, end);
        at = end + 2;
        for (size_t i = 0; i < line.n; i++)
            if (((unsigned char)line.p[i] < ' ' && line.p[i] != '\t') || line.p[i] == 0x7f)
                return false;
        if (first) {
            first = false;
            size_t a = find(line, " ", 0), b = a == SIZE_MAX ? a : find(line, " ", a + 1);
            if (b == SIZE_MAX || a == 0 || b == a + 1)
                return false;
            r->method = sub(line, 0, a);
            r->target = sub(line, a + 1, b);
            struct text v = sub(line, b + 1, line.n);
            if (!token(r->method) || r->method.n > 32 || !read_target(r, &authority))
                return false;
            if (v.n != 8 || memcmp(v.p, "HTTP/1.", 7) != 0 || !is_digit(v.p[7]))
                return false;
            r->minor = v.p[7] - '0';
            continue;
        }
        size_t colon = find(line, ":", 0);
        if (colon == SIZE_MAX || !token(sub(line, 0, colon)) || r->n == 128)
            return false;
        struct text name = sub(line, 0, colon), value = strip(sub(line, colon + 1, line.n));
        r->name[r->n] = name;
        r->value[r->n++] = value;
        if (equals_i(name, "host")) {
            hosts++;
            the_host = value;
        } else if (equals_i(name, "content-length")) {
            lengths++;
            r->has_length = true;
            if (value.n == 0)
                return false;
            for (size_t i = 0; i < value.n; i++) {
                if (!is_digit(value.p[i]) ||
                    r->length > (INT64_MAX - (uint64_t)(value.p[i] - '0')) / 10)
                    return false;
                r->length = r->length * 10 + (uint64_t)(value.p[i] - '0');
            }
        } else if (equals_i(name, "transfer-encoding")) {
            codings++;
            r->chunked = true;
            if (!equals_i(value, "chunked"))
                return false;
        } else if (equals_i(name, "connection")) {
            close = close || has_option(value, "close");
            keep = keep || has_option(value, "keep-alive");
            want_upgrade = want_upgrade || has_option(value, "upgrade");
        } else if (equals_i(name, "upgrade")) {
            upgrades++;
        } else if (equals_i(name, "expect")) {
            if (!equals_i(value, "100-continue"))
                return false;
            r->expect = r->minor > 0;
        }
    }
    if (hosts > 1 || lengths > 1 || codings > 1 || (lengths && codings) ||
        (codings && r->minor == 0))
        return false;
    if ((hosts == 0 && r->minor > 0) || !host(the_host))
        return false;
    if (hosts && authority.n &&
        (authority.n != the_host.n || strncasecmp(authority.p, the_host.p, the_host.n) != 0))
        return false;
    r->keep_alive = !close && (r->minor > 0 || keep);
    r->upgrade = want_upgrade && upgrades && r->minor > 0;
    return true;
}

static void read_naively(const char *p, size_t n, struct naive *r)
{
    *r = (struct naive){.query = {"", 0}};
    struct text all = {p, n};
    size_t from = n >= 2 && memcmp(p, "\r\n", 2) == 0 ? 2 : 0;
    size_t end = find(all, "\r\n\r\n", from);
    if (end == SIZE_MAX)
        return;
    r->complete = true;
    r->end = end + 4;
    r->good = r->end - from <= 32768 && read_lines(r, sub(all, from, end));
}

/* The body: true with the payload and its end, or false for malformed; `more`
 * when it is cut off. */
static bool read_chunks(struct text t, struct buf *payload, size_t *end, bool *more)
{
    size_t at = 0;
    *more = true;
    for (;;) {
        size_t eol = find(t, "\r\n", at);
        if (eol == SIZE_MAX)
            return true;
        struct text line = sub(t, at, eol);
        size_t digits = 0;
        uint64_t size = 0;
        while (digits < line.n && is_hex(line.p[digits])) {
            char c = line.p[digits];
            size = size * 16 + (uint64_t)(is_digit(c) ? c - '0' : (c | 32) - 'a' + 10);
            if (++digits > 16)
                return false;
        }
        struct text ext = sub(line, digits, line.n);
        struct text trimmed = ext;
        while (trimmed.n && (trimmed.p[0] == ' ' || trimmed.p[0] == '\t'))
            trimmed = sub(trimmed, 1, trimmed.n);
        if (digits == 0 || (ext.n > 0 && (trimmed.n == 0 || trimmed.p[0] != ';')))
            return false;
        for (size_t i = 0; i < ext.n; i++)
            if (((unsigned char)ext.p[i] < ' ' && ext.p[i] != '\t') || ext.p[i] == 0x7f)
                return false;
        if (line.n > 256)
            return false;
        at = eol + 2;
        if (size == 0)
            break;
        if (t.n - at < size)
            return true;
        (void)buf_add(payload, t.p + at, (size_t)size);
        at += (size_t)size;
        struct text tail = sub(t, at, t.n);
        if (tail.n < 2)
            return tail.n == 0 || tail.p[0] == '\r';
        if (memcmp(tail.p, "\r\n", 2) != 0)
            return false;
        at += 2;
    }
    size_t trailers_from = at;
    for (;;) {
        size_t eol = find(t, "\r\n", at);
        if (eol == SIZE_MAX)
            return true;
        struct text line = sub(t, at, eol);
        at = eol + 2;
        if (at - trailers_from > 8192)
            return false;
        if (line.n == 0) {
            *more = false;
            *end = at;
            return true;
        }
        size_t colon = find(line, ":", 0);
        if (colon == SIZE_MAX || !token(sub(line, 0, colon)))
            return false;
        for (size_t i = colon + 1; i < line.n; i++)
            if (((unsigned char)line.p[i] < ' ' && line.p[i] != '\t') || line.p[i] == 0x7f)
                return false;
    }
}

static void compare_bodies(const char *p, size_t n)
{
    AUTO(buf) ours = BUF_INIT(1 << 20), theirs = BUF_INIT(1 << 20);
    struct h1_chunked d = {0};
    ssize_t r = h1_chunked_feed(&d, p, n, &ours);
    size_t end = 0;
    bool more = false;
    bool good = read_chunks((struct text){p, n}, &theirs, &end, &more);
    if (!good) {
        MUST(r == -E_PARSE);
    } else if (!more) {
        MUST(d.done && r == (ssize_t)end && ours.len == theirs.len);
        MUST(memcmp(buf_str(&ours), buf_str(&theirs), ours.len) == 0);
    } else {
        MUST(!d.done); /* cut off: ours may know already that it is bad */
    }
}

static bool same(struct text t, const char *s)
{
    return equals(t, s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO_FREE char *p = malloc(n ? n : 1);
    memcpy(p, data, n);
    static struct naive r;
    read_naively(p, n, &r);

    AUTO(h1_request) q = {0};
    int status = 0;
    const char *why = NULL;
    ssize_t got = h1_request_parse(p, n, &q, &status, &why);
    if (!r.complete) {
        MUST(got < 0);
        return 0;
    }
    if (!r.good) {
        MUST(got == -E_PARSE);
        return 0;
    }
    MUST(got == (ssize_t)r.end);
    MUST(same(r.method, q.method) && same(r.target, q.target) && same(r.path, q.path) &&
         same(r.query, q.query));
    MUST(r.minor == q.minor && r.n == q.n_headers);
    for (size_t i = 0; i < r.n; i++)
        MUST(same(r.name[i], q.headers[i].name) && same(r.value[i], q.headers[i].value));
    MUST(r.chunked == q.chunked && r.has_length == q.has_length && r.length == q.length);
    MUST(r.keep_alive == q.keep_alive && r.expect == q.expect_continue && r.upgrade == q.upgrade);
    if (r.chunked)
        compare_bodies(p + r.end, n - r.end);
    return 0;
}
