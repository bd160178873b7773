/* test_h1_chunked.c - the chunked coding, good and bad, whole, in drops, and cut at every place. */
#include "unit/unit.h"
#include "base/err.h"
#include "http/wire/h1.h"

#include <stdio.h>
#include <string.h>

struct row {
    const char *rule, *wire;
    const char *payload; /* NULL: refused */
    size_t rest;         /* bytes behind the body, not consumed */
};
static const struct row rows[] = {
    {"empty body", "0\r\n\r\n", "", 0},
    {"one chunk", "5\r\nhello\r\n0\r\n\r\n", "hello", 0},
    {"two chunks", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", 0},
    {"hex digits of both cases", "a\r\n0123456789\r\nB\r\n01234567890\r\n0\r\n\r\n",
     "012345678901234567890", 0},
    {"payload with CRLF", "4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n", 0},
    {"leading zeros", "0000000000000005\r\nhello\r\n000\r\n\r\n", "hello", 0},
    {"the next request follows", "1\r\na\r\n0\r\n\r\nGET", "a", 3},
    {"extension", "5;a=b;c\r\nhello\r\n0;x\r\n\r\n", "hello", 0},
    {"quoted extension", "5;a=\"b;\\\"c\"\r\nhello\r\n0\r\n\r\n", "hello", 0},
    {"white space before an extension", "5 \t;a\r\nhello\r\n0\r\n\r\n", "hello", 0},
    {"trailer", "0\r\nX-Y: z\r\nA:\r\n\r\n", "", 0},
    {"trailer with obs-text", "0\r\nX: \xff\r\n\r\n", "", 0},
    {"no size", "\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"size not hex", "g\r\n", NULL, 0},
    {"size with 0x", "0x5\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"signed size", "+5\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"negative size", "-5\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"size with underscore", "1_0\r\n", NULL, 0},
    {"space before the size", " 5\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"space behind the size", "5 \r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"size of 17 digits", "00000000000000005\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"size beyond 2^64", "10000000000000005\r\nhello", NULL, 0},
    {"bare LF behind the size", "5\nhello\r\n0\r\n\r\n", NULL, 0},
    {"bare CR behind the size", "5\rhello\r\n0\r\n\r\n", NULL, 0},
    {"bare LF in an extension", "5;a\nhello\r\n0\r\n\r\n", NULL, 0},
    {"control in an extension", "5;a\x01\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"chunk longer than its size", "4\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"chunk shorter than its size", "6\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"no CRLF behind the data", "5\r\nhello0\r\n\r\n", NULL, 0},
    {"bare LF behind the data", "5\r\nhello\n0\r\n\r\n", NULL, 0},
    {"bare LF ends the body", "0\r\n\n", NULL, 0},
    {"CR and no LF end the body", "0\r\n\rX", NULL, 0},
    {"trailer without a name", "0\r\n: a\r\n\r\n", NULL, 0},
    {"trailer folded", "0\r\nA: b\r\n c\r\n\r\n", NULL, 0},
    {"trailer without a colon", "0\r\nabc\r\n\r\n", NULL, 0},
    {"space in a trailer's name", "0\r\na b: c\r\n\r\n", NULL, 0},
    {"bare LF in a trailer", "0\r\nA: b\n\r\n", NULL, 0},
    {"control in a trailer", "0\r\nA: \x02\r\n\r\n", NULL, 0},
};

/* Feeds `wire` cut into pieces of `step` bytes. Returns bytes consumed or the error. */
static ssize_t feed(struct h1_chunked *d, const char *wire, size_t n, size_t step, struct buf *out)
{
    size_t at = 0;
    while (at < n && !d->done) {
        size_t k = n - at < step ? n - at : step;
        AUTO_FREE char *copy = malloc(k);
        memcpy(copy, wire + at, k);
        ssize_t r = h1_chunked_feed(d, copy, k, out);
        if (r < 0)
            return r;
        assert_true(d->done || r == (ssize_t)k);
        at += (size_t)r;
    }
    return (ssize_t)at;
}

static void chunked_bodies_are_read_or_refused_however_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].wire);
        for (size_t step = 1; step <= n; step++) {
            struct h1_chunked d = {0};
            AUTO(buf) out = BUF_INIT(1000);
            ssize_t r = feed(&d, rows[i].wire, n, step, &out);
            if (!rows[i].payload) {
                if (r != -E_PARSE || d.done) /* refused bodies have not ended */
                    fail_msg("%s, step %zu: got %zd", rows[i].rule, step, r);
                continue;
            }
            if (r != (ssize_t)(n - rows[i].rest) || !d.done ||
                strcmp(buf_str(&out), rows[i].payload) != 0)
                fail_msg("%s, step %zu: got %zd done %d '%s'", rows[i].rule, step, r, d.done,
                         buf_str(&out));
        }
    }
}

static void a_cut_body_is_never_done(void **state)
{
    (void)state;
    static const char wire[] = "5;x\r\nhello\r\n0\r\nA: b\r\n\r\n";
    for (size_t n = 0; n < sizeof(wire) - 1; n++) {
        struct h1_chunked d = {0};
        AUTO(buf) out = BUF_INIT(1000);
        assert_int_equal(feed(&d, wire, n, 1000, &out), n);
        assert_false(d.done);
    }
}

static void size_lines_and_trailers_have_ceilings(void **state)
{
    (void)state;
    static char wire[20000];
    /* One size line: 256 bytes with its extension. */
    for (size_t ext = 250; ext < 260; ext++) {
        size_t n = (size_t)sprintf(wire, "1;");
        memset(wire + n, 'x', ext);
        n += ext;
        n += (size_t)sprintf(wire + n, "\r\na\r\n0\r\n\r\n");
        struct h1_chunked d = {0};
        AUTO(buf) out = BUF_INIT(10);
        ssize_t r = feed(&d, wire, n, 7, &out);
        assert_int_equal(r, ext + 2 <= 256 ? (ssize_t)n : -E_PARSE);
    }
    /* Trailers: 8 KiB. */
    for (size_t fields = 1000; fields < 1400; fields += 100) {
        size_t n = (size_t)sprintf(wire, "0\r\n");
        for (size_t i = 0; i < fields; i++)
            n += (size_t)sprintf(wire + n, "a: bc\r\n");
        n += (size_t)sprintf(wire + n, "\r\n");
        struct h1_chunked d = {0};
        AUTO(buf) out = BUF_INIT(10);
        assert_int_equal(feed(&d, wire, n, 1000, &out),
                         fields * 7 + 2 <= 8192 ? (ssize_t)n : -E_PARSE);
    }
    /* The payload's buffer decides how much is taken. */
    struct h1_chunked d = {0};
    AUTO(buf) out = BUF_INIT(4);
    assert_int_equal(feed(&d, "5\r\nhello\r\n0\r\n\r\n", 15, 100, &out), -EMSGSIZE);
    /* and then the decoder stands nowhere: the same bytes again are not taken for
     * a new beginning */
    assert_int_equal(feed(&d, "0\r\n\r\n", 5, 100, NULL), -E_PARSE);
    assert_false(d.done);
}

static void a_body_can_be_read_and_dropped(void **state)
{
    (void)state;
    struct h1_chunked d = {0};
    assert_int_equal(feed(&d, "5\r\nhello\r\n0\r\n\r\nX", 16, 3, NULL), 15);
    assert_true(d.done);
}

/* A size near 2^64 is a size: the decoder asks for that much and does not wrap. */
static void a_huge_size_does_not_wrap(void **state)
{
    (void)state;
    struct h1_chunked d = {0};
    AUTO(buf) out = BUF_INIT(100);
    assert_int_equal(feed(&d, "ffffffffffffffff\r\nabc", 21, 1, &out), 21);
    assert_true(d.left == UINT64_MAX - 3);
    assert_false(d.done);
}

static void trailers_are_collected_when_asked_for(void **state)
{
    (void)state;
    static const char wire[] = "2;x\r\nab\r\n0;y\r\nX-A:  b \r\nx-c:\r\n\r\nHTTP/1.1 200 OK\r\n";
    for (size_t step = 1; step < 20; step++) {
        AUTO(buf) trailers = BUF_INIT(100);
        struct h1_chunked d = {.trailers = &trailers};
        assert_int_equal(feed(&d, wire, sizeof(wire) - 1, step, NULL), sizeof(wire) - 1 - 17);
        assert_true(d.done);
        assert_string_equal(buf_str(&trailers), "X-A:  b \r\nx-c:\r\n");
    }
    /* None: nothing is allocated. */
    AUTO(buf) trailers = BUF_INIT(100);
    struct h1_chunked d = {.trailers = &trailers};
    assert_int_equal(feed(&d, "0\r\n\r\n", 5, 5, NULL), 5);
    assert_null(trailers.data);
    /* Too many for the buffer: its error, and no end. */
    AUTO(buf) few = BUF_INIT(4);
    d = (struct h1_chunked){.trailers = &few};
    assert_int_equal(feed(&d, "0\r\nX-A: b\r\n\r\n", 13, 13, NULL), -EMSGSIZE);
    assert_int_equal(feed(&d, "\r\n", 2, 2, NULL), -E_PARSE);
    assert_false(d.done);
}

/* The same through the calls for who takes the payload where it lies. */
static void framing_and_payload_can_be_taken_apart(void **state)
{
    (void)state;
    static const char wire[] = "3\r\nabc\r\n0004\r\ndefg\r\n0\r\n\r\nX";
    for (size_t most = 1; most < 6; most++) {
        struct h1_chunked d = {0};
        char got[16] = "";
        size_t at = 0, n = 0;
        while (!d.done) {
            ssize_t r = h1_chunked_framing(&d, wire + at, sizeof(wire) - 1 - at);
            assert_true(r >= 0);
            at += (size_t)r;
            uint64_t payload = h1_chunked_payload(&d);
            assert_true(d.done ? payload == 0 : payload > 0);
            size_t take = payload < most ? (size_t)payload : most;
            memcpy(got + n, wire + at, take);
            if (take)
                h1_chunked_took(&d, take);
            n += take;
            at += take;
        }
        assert_string_equal(got, "abcdefg");
        assert_string_equal(wire + at, "X");
        /* Nothing more is taken once it has ended. */
        assert_int_equal(h1_chunked_framing(&d, "0", 1), 0);
    }
    struct h1_chunked d = {0};
    assert_int_equal(h1_chunked_framing(&d, "z", 1), -E_PARSE);
    assert_int_equal(h1_chunked_framing(&d, "0\r\n\r\n", 5), -E_PARSE);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunked_bodies_are_read_or_refused_however_cut),
        cmocka_unit_test(a_cut_body_is_never_done),
        cmocka_unit_test(size_lines_and_trailers_have_ceilings),
        cmocka_unit_test(a_body_can_be_read_and_dropped),
        cmocka_unit_test(a_huge_size_does_not_wrap),
        cmocka_unit_test(trailers_are_collected_when_asked_for),
        cmocka_unit_test(framing_and_payload_can_be_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
