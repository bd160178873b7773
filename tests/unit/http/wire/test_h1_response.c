/* test_h1_response.c - response heads, rule by rule (RFC 9112 4, 5, 6), whole and in pieces. What
 * becomes of them is tested with a link (pipe/test_h1_link.c). */
#include "unit/unit.h"
#include "base/err.h"
#include "http/wire/h1_response.h"

#include <string.h>

static const struct h1_limits limits = {.bytes = 4096, .fields = 8};

static const struct {
    const char *rule, *head;
    enum h1_asked asked;
    int status, minor;
    enum h1_framing framing;
    uint64_t length;
} good[] = {
    {"a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", H1_ASKED_OTHER, 200, 1, H1_LENGTH,
     5},
    {"the longest length", "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n",
     H1_ASKED_OTHER, 200, 1, H1_LENGTH, INT64_MAX},
    {"chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\n\r\n", H1_ASKED_OTHER, 200, 1,
     H1_CHUNKED, 0},
    {"no framing", "HTTP/1.1 200 OK\r\n\r\n", H1_ASKED_OTHER, 200, 1, H1_UNTIL_END, 0},
    {"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n", H1_ASKED_OTHER, 200, 0, H1_UNTIL_END, 0},
    {"a later minor version", "HTTP/1.5 200 OK\r\n\r\n", H1_ASKED_OTHER, 200, 5, H1_UNTIL_END, 0},
    {"no reason", "HTTP/1.1 200 \r\n\r\n", H1_ASKED_OTHER, 200, 1, H1_UNTIL_END, 0},
    {"no space either", "HTTP/1.1 200\r\n\r\n", H1_ASKED_OTHER, 200, 1, H1_UNTIL_END, 0},
    {"the lowest status", "HTTP/1.1 100 x\r\n\r\n", H1_ASKED_OTHER, 100, 1, H1_NO_BODY, 0},
    {"the highest status", "HTTP/1.1 599 x\r\n\r\n", H1_ASKED_OTHER, 599, 1, H1_UNTIL_END, 0},
    {"101", "HTTP/1.1 101 x\r\n\r\n", H1_ASKED_OTHER, 101, 1, H1_UNTIL_END, 0},
    {"204", "HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n", H1_ASKED_OTHER, 204, 1, H1_NO_BODY, 0},
    {"304 with a length", "HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n", H1_ASKED_OTHER, 304, 1,
     H1_NO_BODY, 9},
    {"205 is framed as any", "HTTP/1.1 205 x\r\nContent-Length: 0\r\n\r\n", H1_ASKED_OTHER, 205, 1,
     H1_LENGTH, 0},
    {"HEAD", "HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\n", H1_ASKED_HEAD, 200, 1, H1_NO_BODY, 9},
    {"HEAD without a length", "HTTP/1.1 404 x\r\n\r\n", H1_ASKED_HEAD, 404, 1, H1_NO_BODY, 0},
    {"CONNECT", "HTTP/1.1 299 x\r\n\r\n", H1_ASKED_CONNECT, 299, 1, H1_UNTIL_END, 0},
    {"CONNECT that fails", "HTTP/1.1 502 x\r\nContent-Length: 1\r\n\r\n", H1_ASKED_CONNECT, 502, 1,
     H1_LENGTH, 1},
};

/* Each prefix in memory of its own, so that ASAN sees over-reads. */
static ssize_t scan(const char *p, size_t n, enum h1_asked asked, struct h1_head *h,
                    enum h1_framing *framing)
{
    AUTO_FREE char *copy = malloc(n ? n : 1);
    memcpy(copy, p, n);
    const char *why = NULL;
    ssize_t r = h1_response_scan(copy, n, &limits, asked, h, framing, &why);
    if (r < 0 && r != -EAGAIN)
        assert_non_null(why);
    return r;
}

static void good_heads_are_read_however_cut(void **state)
{
    (void)state;
    static struct h1_head h;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        size_t n = strlen(good[i].head);
        enum h1_framing framing = H1_NO_BODY;
        for (size_t k = 0; k < n; k++)
            if (scan(good[i].head, k, good[i].asked, &h, &framing) != -EAGAIN)
                fail_msg("%s: a verdict after %zu bytes", good[i].rule, k);
        ssize_t r = scan(good[i].head, n, good[i].asked, &h, &framing);
        if (r != (ssize_t)n || h.status != good[i].status || h.minor != good[i].minor ||
            framing != good[i].framing || h.length != good[i].length)
            fail_msg("%s: %zd, %d, 1.%d, framing %d", good[i].rule, r, h.status, h.minor, framing);
        /* What follows is the body's, whatever it is. */
        AUTO_FREE char *more = mem_printf("%s\x01garbage", good[i].head);
        assert_int_equal(scan(more, n + 8, good[i].asked, &h, &framing), n);
    }
}

static const struct {
    const char *rule, *head;
    int code;
} bad[] = {
    {"lower-case protocol", "http/1.1 200 OK\r\n\r\n", -E_PARSE},
    {"HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n", -E_PARSE},
    {"HTTP/0.9", "HTTP/0.9 200 OK\r\n\r\n", -E_PARSE},
    {"ICY", "ICY 200 OK\r\n\r\n", -E_PARSE},
    {"two digits of minor version", "HTTP/1.10 200 OK\r\n\r\n", -E_PARSE},
    {"two spaces", "HTTP/1.1  200 OK\r\n\r\n", -E_PARSE},
    {"a tab", "HTTP/1.1\t200 OK\r\n\r\n", -E_PARSE},
    {"a tab behind the status", "HTTP/1.1 200\tOK\r\n\r\n", -E_PARSE},
    {"two digits", "HTTP/1.1 20 OK\r\n\r\n", -E_PARSE},
    {"a sign", "HTTP/1.1 +20 OK\r\n\r\n", -E_PARSE},
    {"a letter", "HTTP/1.1 2o0 OK\r\n\r\n", -E_PARSE},
    {"status 600", "HTTP/1.1 600 x\r\n\r\n", -E_PARSE},
    {"status 000", "HTTP/1.1 000 x\r\n\r\n", -E_PARSE},
    {"four digits", "HTTP/1.1 2000\r\n\r\n", -E_PARSE},
    {"a control in the reason", "HTTP/1.1 200 O\x01K\r\n\r\n", -E_PARSE},
    {"DEL in the reason", "HTTP/1.1 200 O\x7fK\r\n\r\n", -E_PARSE},
    {"a bare LF", "HTTP/1.1 200 OK\nX: y\r\n\r\n", -E_PARSE},
    {"a bare CR", "HTTP/1.1 200 OK\rX: y\r\n\r\n", -E_PARSE},
    {"an empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", -E_PARSE},
    {"a space first", " HTTP/1.1 200 OK\r\n\r\n", -E_PARSE},
    {"obs-fold", "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", -E_PARSE},
    {"obs-fold at once", "HTTP/1.1 200 OK\r\n X: y\r\n\r\n", -E_PARSE},
    {"a space before the colon", "HTTP/1.1 200 OK\r\nX : y\r\n\r\n", -E_PARSE},
    {"an empty name", "HTTP/1.1 200 OK\r\n: y\r\n\r\n", -E_PARSE},
    {"no colon", "HTTP/1.1 200 OK\r\nX\r\n\r\n", -E_PARSE},
    {"CL and TE", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
     -E_PARSE},
    {"two equal lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
     -E_PARSE},
    {"a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1,1\r\n\r\n", -E_PARSE},
    {"a length with a space inside", "HTTP/1.1 200 OK\r\nContent-Length: 1 1\r\n\r\n", -E_PARSE},
    {"a length of 64 bits", "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n",
     -E_PARSE},
    {"xchunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n", -E_PARSE},
    {"chunked and more", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
     -E_PARSE},
    {"chunked with a vertical tab", "HTTP/1.1 200 OK\r\nTransfer-Encoding: \vchunked\r\n\r\n",
     -E_PARSE},
    {"TE in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", -E_PARSE},
    {"204 with a length", "HTTP/1.1 204 x\r\nContent-Length: 1\r\n\r\n", -E_PARSE},
    {"204 with chunks", "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n", -E_PARSE},
    {"100 with a length", "HTTP/1.1 100 x\r\nContent-Length: 1\r\n\r\n", -E_PARSE},
    {"101 with a length", "HTTP/1.1 101 x\r\nContent-Length: 1\r\n\r\n", -E_PARSE},
    {"nine fields", "HTTP/1.1 200 x\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\n\r\n",
     -E_LIMIT},
};

static void bad_heads_are_refused_however_cut(void **state)
{
    (void)state;
    static struct h1_head h;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        size_t n = strlen(bad[i].head);
        enum h1_framing framing;
        ssize_t r = scan(bad[i].head, n, H1_ASKED_OTHER, &h, &framing);
        if (r != bad[i].code)
            fail_msg("%s: %s", bad[i].rule, r < 0 ? err_name((int)r) : "taken");
        for (size_t k = 0; k < n; k++) {
            r = scan(bad[i].head, k, H1_ASKED_OTHER, &h, &framing);
            if (r != -EAGAIN && r != bad[i].code)
                fail_msg("%s: %zd after %zu bytes", bad[i].rule, r, k);
        }
    }
}

static void a_nul_anywhere_is_refused(void **state)
{
    (void)state;
    static struct h1_head h;
    static const char head[] = "HTTP/1.1 200 OK\r\nX-Y: value\r\n\r\n";
    for (size_t i = 0; i < sizeof(head) - 1; i++) {
        char copy[sizeof(head)];
        memcpy(copy, head, sizeof(head));
        copy[i] = 0;
        enum h1_framing framing;
        if (scan(copy, sizeof(head) - 1, H1_ASKED_OTHER, &h, &framing) != -E_PARSE)
            fail_msg("NUL at %zu", i);
    }
}

static void a_head_has_the_callers_ceiling(void **state)
{
    (void)state;
    static struct h1_head h;
    static char p[8192];
    enum h1_framing framing;
    memset(p, 'a', sizeof(p));
    memcpy(p, "HTTP/1.1 200 OK\r\nx: ", 20);
    assert_int_equal(scan(p, 4095, H1_ASKED_OTHER, &h, &framing), -EAGAIN);
    assert_int_equal(scan(p, 4096, H1_ASKED_OTHER, &h, &framing), -E_LIMIT);
    memcpy(p + 4092, "\r\n\r\n", 4);
    assert_int_equal(scan(p, 4096, H1_ASKED_OTHER, &h, &framing), 4096);
    memcpy(p + 4092, "a\r\n\r\n", 5);
    assert_int_equal(scan(p, 4097, H1_ASKED_OTHER, &h, &framing), -E_LIMIT);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_heads_are_read_however_cut),
        cmocka_unit_test(bad_heads_are_refused_however_cut),
        cmocka_unit_test(a_nul_anywhere_is_refused),
        cmocka_unit_test(a_head_has_the_callers_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
