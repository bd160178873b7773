/* test_sse_parser.c - server-sent events as the HTML standard (9.2.6) reads them, cut anywhere. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/str.h"
#include "http/wire/sse_parser.h"

#include <string.h>

static const struct {
    const char *rule, *wire, *want; /* event/id/data; per event */
} rows[] = {
    {"data only", "data: a\n\n", "message//a;"},
    {"event and data", "event: x\ndata: {\"a\":1}\n\n", "x//{\"a\":1};"},
    {"id stays", "id: 7\ndata: a\n\ndata: b\n\n", "message/7/a;message/7/b;"},
    {"event does not stay", "event: x\ndata: a\n\ndata: b\n\n", "x//a;message//b;"},
    {"two data lines", "data: a\ndata: b\n\n", "message//a\nb;"},
    {"empty data line", "data\n\n", "message//;"},
    {"two empty data lines", "data:\ndata\n\n", "message//\n;"},
    {"no data, no event", "event: x\n\ndata: a\n\n", "message//a;"},
    {"id alone counts later", "id: 1\n\ndata: a\n\n", "message/1/a;"},
    {"empty id resets", "id: 1\ndata: a\n\nid\ndata: b\n\n", "message/1/a;message//b;"},
    {"one space is dropped", "data:a\n\ndata:  b\n\n", "message//a;message// b;"},
    {"comment", ": hello\ndata: a\n:\n\n", "message//a;"},
    {"unknown field", "retry: 10\nfoo: bar\nfoo\ndata: a\n\n", "message//a;"},
    {"field names are exact", "Data: x\ndata : y\ndata: a\n\n", "message//a;"},
    {"colons in the value", "data: a:b: c\n\n", "message//a:b: c;"},
    {"CR", "data: a\rdata: b\r\r", "message//a\nb;"},
    {"CRLF", "data: a\r\ndata: b\r\n\r\n", "message//a\nb;"},
    {"mixed ends", "data: a\r\ndata: b\rdata: c\n\r\ndata: d\n\n", "message//a\nb\nc;message//d;"},
    {"many blank lines", "\n\n\ndata: a\n\n\n\r\n\r\r", "message//a;"},
    {"cut off at the end", "data: a\n\ndata: b\n", "message//a;"},
    {"byte order mark",
     "\xef\xbb\xbf"
     "data: a\n\n",
     "message//a;"},
    {"byte order mark once",
     "\xef\xbb\xbf\xef\xbb\xbf"
     "data: a\n\ndata: b\n\n",
     "message//b;"},
};

static int append(void *arg, const char *event, const char *id, const char *data, size_t n)
{
    struct buf *b = arg;
    assert_int_equal(strlen(data), n);
    return buf_addf(b, "%s/%s/%s;", event, id, data);
}

static int feed_in_steps(struct sse_parser *p, const char *wire, size_t n, size_t step)
{
    int r = 0;
    for (size_t at = 0; at < n && r == 0; at += step) {
        size_t k = n - at < step ? n - at : step;
        AUTO_FREE char *copy = malloc(k);
        memcpy(copy, wire + at, k);
        r = sse_parser_feed(p, copy, k);
    }
    return r;
}

static void streams_are_read_as_the_standard_says_however_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].wire);
        for (size_t step = 1; step <= n; step++) {
            AUTO(buf) got = BUF_INIT(1000);
            AUTO(sse_parser) p;
            sse_parser_init(&p, 100, append, &got);
            assert_int_equal(feed_in_steps(&p, rows[i].wire, n, step), 0);
            if (!str_eq(buf_str(&got), rows[i].want))
                fail_msg("%s, step %zu: '%s'", rows[i].rule, step, buf_str(&got));
        }
    }
}

static void lines_and_events_have_ceilings(void **state)
{
    (void)state;
    static const struct {
        const char *wire;
        int want;
    } bad[] = {
        {"data: 0123456789\n\n", 0},              /* 16 bytes of line */
        {"data: 01234567890\n\n", -EMSGSIZE},     /* 17 */
        {"data: 0123456789\ndata: 01234\n\n", 0}, /* 10 + 1 + 5 */
        {"data: 0123456789\ndata: 012345\n\n", -EMSGSIZE},
        {": a comment that is too long\n", -EMSGSIZE},
        {"01234567890123456", -EMSGSIZE}, /* no end in sight */
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        size_t n = strlen(bad[i].wire);
        for (size_t step = 1; step <= n; step++) {
            AUTO(buf) got = BUF_INIT(1000);
            AUTO(sse_parser) p;
            sse_parser_init(&p, 16, append, &got);
            int r = feed_in_steps(&p, bad[i].wire, n, step);
            if (r != bad[i].want)
                fail_msg("row %zu step %zu: %d", i, step, r);
            if (r < 0) /* a failure sticks */
                assert_int_equal(sse_parser_feed(&p, "data: a\n\n", 9), r);
        }
    }
}

static void an_event_name_has_63_bytes_and_no_nul(void **state)
{
    (void)state;
    for (size_t n = 62; n <= 66; n++) {
        AUTO(buf) wire = BUF_INIT(1000), got = BUF_INIT(1000);
        assert_int_equal(buf_adds(&wire, "event: "), 0);
        memset(buf_room(&wire, n), 'e', n);
        buf_commit(&wire, n);
        assert_int_equal(buf_adds(&wire, "\ndata: a\n\n"), 0);
        AUTO(sse_parser) p;
        sse_parser_init(&p, 200, append, &got);
        assert_int_equal(sse_parser_feed(&p, wire.data, wire.len), n < 64 ? 0 : -EMSGSIZE);
    }
    /* NUL: an id with one is ignored, an event name with one is refused. */
    AUTO(buf) got = BUF_INIT(1000);
    AUTO(sse_parser) p;
    sse_parser_init(&p, 200, append, &got);
    assert_int_equal(sse_parser_feed(&p, "id: a\0b\ndata: x\n\n", 17), 0);
    assert_string_equal(buf_str(&got), "message//x;");
    assert_int_equal(sse_parser_feed(&p, "event: a\0b\n", 11), -E_PARSE);
}

static int stop(void *arg, const char *event, const char *id, const char *data, size_t n)
{
    (void)event, (void)id, (void)data, (void)n;
    ++*(int *)arg;
    return 42;
}

static void the_caller_can_stop_the_parser(void **state)
{
    (void)state;
    int calls = 0;
    AUTO(sse_parser) p;
    sse_parser_init(&p, 100, stop, &calls);
    assert_int_equal(sse_parser_feed(&p, "data: a\n\ndata: b\n\n", 18), 42);
    assert_int_equal(calls, 1);
}

static void the_time_to_wait_is_digits_alone(void **state)
{
    (void)state;
    static const struct {
        const char *wire;
        int64_t want;
    } rows_of_retry[] = {
        {"data: a\n\n", -1},
        {"retry: 10\n", 10},
        {"retry:0\n", 0},
        {"retry: 1x\n", -1},
        {"retry: -5\n", -1},
        {"retry\n", -1},
        {"retry:  5\n", -1},
        {"retry: 99999999999999999999\n", -1},
        {"retry: 7\nretry: x\n", 7},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows_of_retry); i++) {
        AUTO(buf) got = BUF_INIT(100);
        AUTO(sse_parser) p;
        sse_parser_init(&p, 100, append, &got);
        const char *wire = rows_of_retry[i].wire;
        assert_int_equal(sse_parser_feed(&p, wire, strlen(wire)), 0);
        assert_true(p.retry_ms == rows_of_retry[i].want);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_read_as_the_standard_says_however_cut),
        cmocka_unit_test(lines_and_events_have_ceilings),
        cmocka_unit_test(an_event_name_has_63_bytes_and_no_nul),
        cmocka_unit_test(the_caller_can_stop_the_parser),
        cmocka_unit_test(the_time_to_wait_is_digits_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
