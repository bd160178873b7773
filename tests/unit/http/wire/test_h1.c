/* test_h1.c - request heads, rule by rule (RFC 9112 and 9110), good and bad,
 * whole and in pieces. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "http/wire/h1.h"
#include "http/wire/h1_class.h"

#include <stdio.h>
#include <string.h>

#define H "Host: a\r\n"

struct bad {
    const char *rule, *head;
    int status;
};
static const struct bad bad_heads[] = {
    /* RFC 9112 3: request line */
    {"no method", " / HTTP/1.1\r\n" H "\r\n", 400},
    {"method not a token", "G(T / HTTP/1.1\r\n" H "\r\n", 400},
    {"a TLS hello on a plain port", "\x16\x03\x01\x02", 400},
    {"method without target", "GET\r\n\r\n", 400},
    {"two spaces after the method", "GET  / HTTP/1.1\r\n" H "\r\n", 400},
    {"tab after the method", "GET\t/ HTTP/1.1\r\n" H "\r\n", 400},
    {"two spaces before the version", "GET /  HTTP/1.1\r\n" H "\r\n", 400},
    {"no version (HTTP/0.9)", "GET /\r\n\r\n", 400},
    {"space after the version", "GET / HTTP/1.1 \r\n" H "\r\n", 400},
    {"bare LF after the request line", "GET / HTTP/1.1\n" H "\r\n", 400},
    {"bare CR in the request line", "GET / HTTP/1.1\r" H "\r\n", 400},
    {"lower-case protocol name", "GET / http/1.1\r\n" H "\r\n", 400},
    {"other protocol", "GET / ICY/1.1\r\n" H "\r\n", 400},
    {"version with two digits", "GET / HTTP/1.10\r\n" H "\r\n", 400},
    {"version without a dot", "GET / HTTP/11\r\n" H "\r\n", 400},
    {"version not a number", "GET / HTTP/x.1\r\n" H "\r\n", 400},
    {"HTTP/0.9 spelled out", "GET / HTTP/0.9\r\n" H "\r\n", 505},
    {"HTTP/2.0", "GET / HTTP/2.0\r\n" H "\r\n", 505},
    {"two empty lines before the request", "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", 400},
    {"LF before the request", "\nGET / HTTP/1.1\r\n" H "\r\n", 400},
    {"CR before the request", "\rGET / HTTP/1.1\r\n" H "\r\n", 400},
    {"method of 33 bytes", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\n" H "\r\n", 501},
    {"CONNECT", "CONNECT a:443 HTTP/1.1\r\n" H "\r\n", 501},
    /* 3.2: target */
    {"relative target", "GET a/b HTTP/1.1\r\n" H "\r\n", 400},
    {"asterisk with GET", "GET * HTTP/1.1\r\n" H "\r\n", 400},
    {"fragment in the path", "GET /a#b HTTP/1.1\r\n" H "\r\n", 400},
    {"fragment in the query", "GET /a?b#c HTTP/1.1\r\n" H "\r\n", 400},
    {"backslash in the path", "GET /a\\b HTTP/1.1\r\n" H "\r\n", 400},
    {"raw UTF-8 in the path", "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", 400},
    {"DEL in the path", "GET /\x7f HTTP/1.1\r\n" H "\r\n", 400},
    {"percent without digits", "GET /% HTTP/1.1\r\n" H "\r\n", 400},
    {"percent with one digit", "GET /%a HTTP/1.1\r\n" H "\r\n", 400},
    {"percent with a non-digit", "GET /%ag HTTP/1.1\r\n" H "\r\n", 400},
    {"encoded NUL in the path", "GET /a%00b HTTP/1.1\r\n" H "\r\n", 400},
    {"absolute target of another scheme", "GET ftp://a/ HTTP/1.1\r\n" H "\r\n", 400},
    {"absolute target without a host", "GET http:///x HTTP/1.1\r\nHost: \r\n\r\n", 400},
    {"absolute target with a user", "GET http://u@a/ HTTP/1.1\r\n" H "\r\n", 400},
    {"absolute target that contradicts Host", "GET http://b/ HTTP/1.1\r\n" H "\r\n", 400},
    {"absolute target, port missing in Host", "GET http://a:80/ HTTP/1.1\r\n" H "\r\n", 400},
    /* 5: fields */
    {"obs-fold with a space", "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", 400},
    {"obs-fold with a tab", "GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n", 400},
    {"white space before the first field", "GET / HTTP/1.1\r\n " H "\r\n", 400},
    {"space before the colon", "GET / HTTP/1.1\r\n" H "X : a\r\n\r\n", 400},
    {"tab before the colon", "GET / HTTP/1.1\r\n" H "X\t: a\r\n\r\n", 400},
    {"no colon", "GET / HTTP/1.1\r\n" H "X\r\n\r\n", 400},
    {"empty name", "GET / HTTP/1.1\r\n" H ": a\r\n\r\n", 400},
    {"name not a token", "GET / HTTP/1.1\r\n" H "X@Y: a\r\n\r\n", 400},
    {"name with a high byte", "GET / HTTP/1.1\r\n" H "X\x80: a\r\n\r\n", 400},
    {"bare LF after a field", "GET / HTTP/1.1\r\n" H "X: a\n\r\n", 400},
    {"bare CR in a value", "GET / HTTP/1.1\r\n" H "X: a\rb\r\n\r\n", 400},
    {"control in a value", "GET / HTTP/1.1\r\n" H "X: a\x01\r\n\r\n", 400},
    {"DEL in a value", "GET / HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n", 400},
    {"bare LF ends the head", "GET / HTTP/1.1\r\n" H "\n", 400},
    {"CR without LF ends the head", "GET / HTTP/1.1\r\n" H "\rx", 400},
    /* 3.2, RFC 9110 7.2: Host */
    {"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
    {"two Hosts", "GET / HTTP/1.1\r\n" H H "\r\n", 400},
    {"two Hosts in 1.0", "GET / HTTP/1.0\r\n" H H "\r\n", 400},
    {"Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
    {"Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
    {"Host list", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400},
    {"Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"Host with an empty port", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", 400},
    {"Host with port 65536", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400},
    {"Host with two ports", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", 400},
    {"Host with only a port", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400},
    {"Host with an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
    {"Host with empty brackets", "GET / HTTP/1.1\r\nHost: []\r\n\r\n", 400},
    {"Host with a zone", "GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n", 400},
    {"Host with an encoded NUL", "GET / HTTP/1.1\r\nHost: a%00\r\n\r\n", 400},
    /* 6: framing */
    {"length and chunked",
     "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"chunked and length",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400},
    {"two lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
    {"two equal lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-length: 1\r\n\r\n",
     400},
    {"length list", "POST / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\n", 400},
    {"empty length", "POST / HTTP/1.1\r\n" H "Content-Length: \r\n\r\n", 400},
    {"signed length", "POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\n", 400},
    {"negative length", "POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", 400},
    {"hexadecimal length", "POST / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n\r\n", 400},
    {"length with a fraction", "POST / HTTP/1.1\r\n" H "Content-Length: 1.0\r\n\r\n", 400},
    {"length above 2^63", "POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775808\r\n\r\n",
     400},
    {"length above 2^64", "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551617\r\n\r\n",
     400},
    {"chunked twice",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     400},
    {"chunked list", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n", 501},
    {"gzip", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
    {"identity", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", 501},
    {"empty coding", "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n", 501},
    {"coding with a vertical tab", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \vchunked\r\n\r\n",
     400},
    {"coding with a parameter", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n\r\n",
     501},
    {"chunked in 1.0", "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 400},
    {"unknown expectation", "POST / HTTP/1.1\r\n" H "Expect: coffee\r\n\r\n", 417},
};

static ssize_t parse(const char *p, size_t n, struct h1_request *q, int *status)
{
    const char *why = NULL;
    ssize_t r = h1_request_parse(p, n, q, status, &why);
    if (r == -E_PARSE) {
        assert_non_null(why);
        assert_null(strpbrk(why, "\"\\\r\n")); /* it goes into JSON as it is */
    }
    return r;
}

/* The verdict when the bytes come one by one; each prefix in memory of its own, so that ASAN sees
 * over-reads. */
static ssize_t parse_in_drops(const char *p, size_t n, struct h1_request *q, int *status)
{
    for (size_t k = 0; k <= n; k++) {
        AUTO_FREE char *copy = malloc(k ? k : 1);
        memcpy(copy, p, k);
        ssize_t r = parse(copy, k, q, status);
        if (r != -EAGAIN)
            return r;
    }
    return -EAGAIN;
}

static void bad_heads_are_refused_with_their_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_heads); i++) {
        const struct bad *b = &bad_heads[i];
        size_t n = strlen(b->head);
        struct h1_request q = {0};
        int status = 0, status_drops = 0;
        ssize_t r = parse(b->head, n, &q, &status);
        if (r != -E_PARSE || status != b->status)
            fail_msg("%s: got %zd, status %d, want %d", b->rule, r, status, b->status);
        if (parse_in_drops(b->head, n, &q, &status_drops) != -E_PARSE || status_drops != status)
            fail_msg("%s: in drops: status %d, want %d", b->rule, status_drops, status);
    }
}

struct good {
    const char *rule, *head;
    const char *method, *path, *query;
    int minor;
    const char *flags; /* k keep-alive, c chunked, e expect, u upgrade, l has length */
    uint64_t length;
};
static const struct good good_heads[] = {
    {"the least of 1.1", "GET / HTTP/1.1\r\n" H "\r\n", "GET", "/", "", 1, "k", 0},
    {"the least of 1.0", "GET / HTTP/1.0\r\n\r\n", "GET", "/", "", 0, "", 0},
    {"a later minor version", "GET / HTTP/1.7\r\n" H "\r\n", "GET", "/", "", 7, "k", 0},
    {"one empty line before", "\r\nGET / HTTP/1.1\r\n" H "\r\n", "GET", "/", "", 1, "k", 0},
    {"any token as method", "X-!#$%&'*+.^_`|~ / HTTP/1.1\r\n" H "\r\n", "X-!#$%&'*+.^_`|~", "/", "",
     1, "k", 0},
    {"query", "GET /a/b?c=d&e[]=%5B HTTP/1.1\r\n" H "\r\n", "GET", "/a/b", "c=d&e[]=%5B", 1, "k",
     0},
    {"empty query", "GET /a? HTTP/1.1\r\n" H "\r\n", "GET", "/a", "", 1, "k", 0},
    {"question marks", "GET /a?b?c HTTP/1.1\r\n" H "\r\n", "GET", "/a", "b?c", 1, "k", 0},
    {"braces in the query", "GET /?{|}^`\\ HTTP/1.1\r\n" H "\r\n", "GET", "/", "{|}^`\\", 1, "k",
     0},
    {"encoded path", "GET /a%2Fb%20c HTTP/1.1\r\n" H "\r\n", "GET", "/a%2Fb%20c", "", 1, "k", 0},
    {"two slashes", "GET //a HTTP/1.1\r\n" H "\r\n", "GET", "//a", "", 1, "k", 0},
    {"absolute form", "GET http://a/p?q HTTP/1.1\r\n" H "\r\n", "GET", "/p", "q", 1, "k", 0},
    {"absolute form without a path", "GET HTTP://A HTTP/1.1\r\n" H "\r\n", "GET", "/", "", 1, "k",
     0},
    {"absolute form, query only", "GET https://a:8?q HTTP/1.1\r\nHost: a:8\r\n\r\n", "GET", "/",
     "q", 1, "k", 0},
    {"asterisk form", "OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS", "*", "", 1, "k", 0},
    {"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET", "/", "", 1, "k", 0},
    {"Host with port", "GET / HTTP/1.1\r\nhOST: a.b-c:65535\r\n\r\n", "GET", "/", "", 1, "k", 0},
    {"Host v6", "GET / HTTP/1.1\r\nHost: [::ffff:1.2.3.4]:80\r\n\r\n", "GET", "/", "", 1, "k", 0},
    {"obs-text in a value", "GET / HTTP/1.1\r\n" H "X: \xff\xe4\r\n\r\n", "GET", "/", "", 1, "k",
     0},
    {"empty value", "GET / HTTP/1.1\r\n" H "X:\r\nY: \t \r\n\r\n", "GET", "/", "", 1, "k", 0},
    {"close", "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", "GET", "/", "", 1, "", 0},
    {"close in a list", "GET / HTTP/1.1\r\n" H "Connection: x , CLOSE\t,y\r\n\r\n", "GET", "/", "",
     1, "", 0},
    {"close beats keep-alive",
     "GET / HTTP/1.1\r\n" H "Connection: keep-alive\r\nConnection: close\r\n\r\n", "GET", "/", "",
     1, "", 0},
    {"not close", "GET / HTTP/1.1\r\n" H "Connection: closed, xclose\r\n\r\n", "GET", "/", "", 1,
     "k", 0},
    {"1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET", "/", "", 0, "k",
     0},
    {"length", "POST / HTTP/1.1\r\n" H "Content-Length: 42\r\n\r\n", "POST", "/", "", 1, "kl", 42},
    {"length 0", "POST / HTTP/1.1\r\n" H "Content-Length:0\r\n\r\n", "POST", "/", "", 1, "kl", 0},
    {"the longest length", "POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775807\r\n\r\n",
     "POST", "/", "", 1, "kl", INT64_MAX},
    {"leading zeros", "POST / HTTP/1.1\r\n" H "Content-Length: 0005\r\n\r\n", "POST", "/", "", 1,
     "kl", 5},
    {"chunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n", "POST", "/", "", 1,
     "kc", 0},
    {"expect", "POST / HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n", "POST",
     "/", "", 1, "kle", 1},
    {"expect in 1.0", "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
     "POST", "/", "", 0, "l", 1},
    {"upgrade", "GET / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: x\r\n\r\n", "GET", "/", "",
     1, "ku", 0},
    {"upgrade not announced", "GET / HTTP/1.1\r\n" H "Upgrade: x\r\n\r\n", "GET", "/", "", 1, "k",
     0},
    {"upgrade to nothing", "GET / HTTP/1.1\r\n" H "Connection: upgrade\r\n\r\n", "GET", "/", "", 1,
     "k", 0},
    {"upgrade in 1.0", "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "GET", "/",
     "", 0, "", 0},
};

static void check_good(const struct good *g, const struct h1_request *q, ssize_t r)
{
    if (r != (ssize_t)strlen(g->head))
        fail_msg("%s: got %zd", g->rule, r);
    char flags[8] = "";
    snprintf(flags, sizeof(flags), "%s%s%s%s%s", q->keep_alive ? "k" : "", q->has_length ? "l" : "",
             q->chunked ? "c" : "", q->expect_continue ? "e" : "", q->upgrade ? "u" : "");
    if (!str_eq(q->method, g->method) || !str_eq(q->path, g->path) || !str_eq(q->query, g->query) ||
        q->minor != g->minor || !str_eq(flags, g->flags) || q->length != g->length)
        fail_msg("%s: %s %s ? %s 1.%d %s %llu", g->rule, q->method, q->path, q->query, q->minor,
                 flags, (unsigned long long)q->length);
}

static void good_heads_are_read_however_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good_heads); i++) {
        const struct good *g = &good_heads[i];
        size_t n = strlen(g->head);
        AUTO(h1_request) q = {0};
        int status = 0;
        check_good(g, &q, parse(g->head, n, &q, &status));
        AUTO(h1_request) drops = {0};
        check_good(g, &drops, parse_in_drops(g->head, n, &drops, &status));
        /* What follows belongs to the next request, whatever it is. */
        AUTO_FREE char *more = mem_printf("%s\x01garbage", g->head);
        AUTO(h1_request) followed = {0};
        check_good(g, &followed, parse(more, n + 8, &followed, &status));
    }
}

static void fields_are_found_by_name_and_counted(void **state)
{
    (void)state;
    static const char head[] =
        "GET /x?y HTTP/1.1\r\nHost: a\r\nx-One:\t 1 \t\r\nX-Two: a  b\r\nx-one: 2\r\n\r\n";
    AUTO(h1_request) q = {0};
    int status;
    assert_int_equal(parse(head, sizeof(head) - 1, &q, &status), sizeof(head) - 1);
    assert_string_equal(q.target, "/x?y");
    assert_int_equal(q.n_headers, 4);
    assert_string_equal(q.headers[1].name, "x-One");
    size_t found = 0;
    assert_string_equal(h1_header_get(&q, "X-ONE", &found), "1");
    assert_int_equal(found, 2);
    assert_string_equal(h1_header_get(&q, "x-two", NULL), "a  b");
    assert_null(h1_header_get(&q, "x-three", &found));
    assert_int_equal(found, 0);
}

static void a_nul_anywhere_is_refused(void **state)
{
    (void)state;
    static const char head[] = "GET /abc HTTP/1.1\r\nHost: a\r\nX-Y: value\r\n\r\n";
    for (size_t i = 0; i < sizeof(head) - 1; i++) {
        char copy[sizeof(head)];
        memcpy(copy, head, sizeof(head));
        copy[i] = 0;
        struct h1_request q = {0};
        int status = 0;
        if (parse(copy, sizeof(head) - 1, &q, &status) != -E_PARSE || status != 400)
            fail_msg("NUL at %zu", i);
    }
}

/* Builds a head of exactly `bytes` with fields of `each` bytes. */
static size_t build(char *p, size_t bytes, size_t target, size_t n_fields)
{
    size_t n = (size_t)sprintf(p, "GET /");
    memset(p + n, 'a', target - 1);
    n += target - 1;
    n += (size_t)sprintf(p + n, " HTTP/1.1\r\nHost: a\r\n");
    for (size_t i = 1; i < n_fields; i++)
        n += (size_t)sprintf(p + n, "a: b\r\n");
    if (bytes > n + 2) {
        size_t pad = bytes - n - 2 - 5; /* "p: " and CRLF */
        n += (size_t)sprintf(p + n, "p: ");
        memset(p + n, 'x', pad);
        n += pad;
        n += (size_t)sprintf(p + n, "\r\n");
    }
    n += (size_t)sprintf(p + n, "\r\n");
    return n;
}

static void a_head_has_ceilings(void **state)
{
    (void)state;
    static char p[LIMIT_HEADER_BYTES * 2];
    static const struct {
        size_t bytes, target, fields;
        int status;
    } rows[] = {
        {LIMIT_HEADER_BYTES, 1, 1, 0},          {LIMIT_HEADER_BYTES + 1, 1, 1, 431},
        {LIMIT_HEADER_BYTES + 1000, 1, 1, 431}, {0, LIMIT_TARGET_BYTES, 1, 0},
        {0, LIMIT_TARGET_BYTES + 1, 1, 414},    {0, 1, LIMIT_HEADER_COUNT, 0},
        {0, 1, LIMIT_HEADER_COUNT + 1, 431},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = build(p, rows[i].bytes, rows[i].target, rows[i].fields);
        assert_true(rows[i].bytes == 0 || n == rows[i].bytes);
        AUTO(h1_request) q = {0};
        int status = 0;
        ssize_t r = parse(p, n, &q, &status);
        if (r != (rows[i].status ? -E_PARSE : (ssize_t)n) || status != rows[i].status)
            fail_msg("row %zu: %zd, status %d", i, r, status);
    }
    /* An endless head is refused at the ceiling, not when it ends. */
    memset(p, 'a', sizeof(p));
    memcpy(p, "GET / HTTP/1.1\r\n", 16);
    struct h1_request q = {0};
    int status = 0;
    assert_int_equal(parse(p, LIMIT_HEADER_BYTES - 1, &q, &status), -EAGAIN);
    assert_int_equal(parse(p, LIMIT_HEADER_BYTES, &q, &status), -E_PARSE);
    assert_int_equal(status, 431);
}

/* The class table against the rules in words. */
static void character_classes_are_as_the_rfc_says(void **state)
{
    (void)state;
    for (int i = 0; i < 256; i++) {
        char c = (char)i;
        bool alnum = (i >= '0' && i <= '9') || ((i | 0x20) >= 'a' && (i | 0x20) <= 'z');
        bool visible = i > 0x20 && i < 0x7f;
        assert_int_equal(h1_is(c, H1_TOKEN),
                         alnum || (i && i < 0x80 && strchr("!#$%&'*+-.^_`|~", i)));
        assert_int_equal(h1_is(c, H1_VALUE), i == '\t' || (i >= 0x20 && i != 0x7f));
        assert_int_equal(h1_is(c, H1_PATH), visible && !strchr("#\"<>\\^`{|}?", i));
        assert_int_equal(h1_is(c, H1_QUERY), visible && !strchr("#\"<>", i));
        assert_int_equal(h1_is(c, H1_HEX), i && i < 0x80 && strchr("0123456789abcdefABCDEF", i));
        assert_int_equal(h1_is(c, H1_HOST),
                         alnum || (i && i < 0x80 && strchr("-._~!$&'()*+;=%", i)));
    }
}

static void every_status_has_a_reason(void **state)
{
    (void)state;
    assert_string_equal(h1_reason(200), "OK");
    assert_string_equal(h1_reason(431), "Request Header Fields Too Large");
    assert_string_equal(h1_reason(599), "Status");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_heads_are_refused_with_their_status),
        cmocka_unit_test(good_heads_are_read_however_cut),
        cmocka_unit_test(fields_are_found_by_name_and_counted),
        cmocka_unit_test(a_nul_anywhere_is_refused),
        cmocka_unit_test(a_head_has_ceilings),
        cmocka_unit_test(character_classes_are_as_the_rfc_says),
        cmocka_unit_test(every_status_has_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
