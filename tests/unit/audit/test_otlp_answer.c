/* test_otlp_answer.c - what collectors answer, how long to wait, and where they may be. */
#include "unit/unit.h"
#include "audit/otlp_answer.h"
#include "base/base.h"
#include "base/err.h"

#include <string.h>

#define NOW_US 1780000000000000 /* 2026-05-28T20:26:40Z */

static struct audit_otlp_answer answer(int status, const char *body, const char *retry_after)
{
    static const char *const known[] = {"Bearer sEcrEt-of-ours-123456", "other", NULL};
    struct audit_otlp_answer a;
    memset(&a, 0xa5, sizeof(a));
    audit_otlp_answer_read(status, body, strlen(body), retry_after, NOW_US, known, &a);
    return a;
}

static void each_status_means_one_thing(void **state)
{
    (void)state;
    static const int again[] = {429, 502, 503, 504};
    for (int status = 300; status < 600; status++) {
        enum audit_otlp_outcome want = AUDIT_OTLP_REFUSED;
        for (size_t i = 0; i < ARRAY_LEN(again); i++)
            want = status == again[i] ? AUDIT_OTLP_AGAIN : want;
        if (answer(status, "{}", NULL).outcome != want)
            fail_msg("%d", status);
    }
}

static void only_an_acceptance_is_one(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum audit_otlp_outcome outcome;
        uint64_t rejected;
        const char *said;
    } rows[] = {
        {"", AUDIT_OTLP_TAKEN, 0, ""},
        {"{}", AUDIT_OTLP_TAKEN, 0, ""},
        {" {\"partialSuccess\":null}", AUDIT_OTLP_TAKEN, 0, ""},
        {"{\"partialSuccess\":{}}", AUDIT_OTLP_TAKEN, 0, ""},
        {"{\"later\":[1],\"partialSuccess\":{\"later\":1}}", AUDIT_OTLP_TAKEN, 0, ""},
        {"{\"partialSuccess\":{\"rejectedLogRecords\":\"3\",\"errorMessage\":\"too old\"}}",
         AUDIT_OTLP_TAKEN, 3, "too old"},
        {"{\"partialSuccess\":{\"rejectedLogRecords\":4}}", AUDIT_OTLP_TAKEN, 4, ""},
        {"{\"partialSuccess\":{\"errorMessage\":\"use gzip\"}}", AUDIT_OTLP_TAKEN, 0, "use gzip"},
        {"{\"partialSuccess\":{\"errorMessage\":\"a\\u001b[2Jb\"}}", AUDIT_OTLP_TAKEN, 0, NULL},
        {"<html>", AUDIT_OTLP_AGAIN, 0, "that is no answer of OTLP/HTTP"},
        {"[]", AUDIT_OTLP_AGAIN, 0, "that is no answer of OTLP/HTTP"},
        {"\"ok\"", AUDIT_OTLP_AGAIN, 0, "that is no answer of OTLP/HTTP"},
        {"{\"partialSuccess\":5}", AUDIT_OTLP_AGAIN, 0, "that is no answer of OTLP/HTTP"},
        {"{\"partialSuccess\":{\"rejectedLogRecords\":\"-1\"}}", AUDIT_OTLP_AGAIN, 0,
         "that is no answer of OTLP/HTTP"},
        {"{\"partialSuccess\":{\"rejectedLogRecords\":-1}}", AUDIT_OTLP_AGAIN, 0,
         "that is no answer of OTLP/HTTP"},
        {"{\"partialSuccess\":{\"rejectedLogRecords\":1.5}}", AUDIT_OTLP_AGAIN, 0,
         "that is no answer of OTLP/HTTP"},
        {"{\"partialSuccess\":{\"rejectedLogRecords\":9,\"errorMessage\":1}}", AUDIT_OTLP_AGAIN, 0,
         "that is no answer of OTLP/HTTP"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct audit_otlp_answer a = answer(200, rows[i].body, "5");
        if (a.outcome != rows[i].outcome || a.rejected != rows[i].rejected || a.wait_ms != 0 ||
            (rows[i].said && strcmp(a.said, rows[i].said) != 0))
            fail_msg("%s: %d %s", rows[i].body, (int)a.outcome, a.said);
        for (const char *p = a.said; *p; p++)
            assert_true(*p >= ' ' && *p <= '~');
    }
    assert_int_equal(answer(202, "{}", NULL).outcome, AUDIT_OTLP_TAKEN);
    assert_int_equal(answer(204, "", NULL).outcome, AUDIT_OTLP_TAKEN);
}

static void what_it_was_sent_is_not_repeated(void **state)
{
    (void)state;
    assert_string_equal(answer(401, "{\"message\":\"no such tenant\"}", NULL).said,
                        "no such tenant");
    assert_string_equal(
        answer(401, "{\"message\":\"bad login Bearer sEcrEt-of-ours-123456\"}", NULL).said, "");
    assert_string_equal(answer(401, "{\"message\":\"the other one\"}", NULL).said, "");
    assert_string_equal(answer(400, "{\"message\":5}", NULL).said, "");
    assert_string_equal(answer(400, "no JSON", NULL).said, "");
}

static void it_may_say_when_to_come_back(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {NULL, 0},
        {"", 0},
        {"0", 0},
        {"7", 7000},
        {"-7", 0},
        {"7 ", 0},
        {"7.5", 0},
        {"600", 600000},
        {"601", 600000},
        {"99999999999999999999999", 600000},
        {"Thu, 28 May 2026 20:26:50 GMT", 10000},
        {"Thu, 28 May 2026 20:26:30 GMT", 0},
        {"Thu, 28 May 2099 20:26:30 GMT", 600000},
        {"soon", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(answer(503, "{}", rows[i].text).wait_ms, rows[i].ms);
        assert_int_equal(answer(429, "{}", rows[i].text).wait_ms, rows[i].ms);
        assert_int_equal(answer(400, "{}", rows[i].text).wait_ms, 0);
    }
}

static void waits_grow_and_differ(void **state)
{
    (void)state;
    static const int64_t most[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    for (unsigned i = 0; i < ARRAY_LEN(most); i++) {
        assert_int_equal(audit_otlp_wait_ms(i + 1, 0, 0), most[i]);
        for (uint64_t random = 0; random < 100000; random += 77) {
            int64_t ms = audit_otlp_wait_ms(i + 1, 0, random);
            assert_true(ms > most[i] / 2 && ms <= most[i]);
        }
        assert_true(audit_otlp_wait_ms(i + 1, 0, 1) != audit_otlp_wait_ms(i + 1, 0, 2));
        assert_int_equal(audit_otlp_wait_ms(i + 1, 120000, 5), 120000);
    }
    assert_true(audit_otlp_wait_ms(UINT32_MAX, 0, UINT64_MAX) <= 60000);
}

static void where_a_collector_may_be(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint, *plain, *secret; /* NULL: refused */
    } rows[] = {
        {"https://otel.corp", "https://otel.corp/v1/logs", "https://otel.corp/v1/logs"},
        {"https://otel.corp/", "https://otel.corp/v1/logs", "https://otel.corp/v1/logs"},
        {"https://otel.corp:4318/x", "https://otel.corp:4318/x", "https://otel.corp:4318/x"},
        {"http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/logs", "http://127.0.0.1:4318/v1/logs"},
        {"http://[::1]:4318", "http://[::1]:4318/v1/logs", "http://[::1]:4318/v1/logs"},
        {"http://otel:4318", "http://otel:4318/v1/logs", NULL},
        {"http://127.0.0.1.evil.example", "http://127.0.0.1.evil.example/v1/logs", NULL},
        {"", NULL, NULL},
        {"otel:4318", NULL, NULL},
        {"ftp://otel", NULL, NULL},
        {"HTTPS://otel", NULL, NULL},
        {"https://", NULL, NULL},
        {"https:///v1/logs", NULL, NULL},
        {"https://user:word@otel", NULL, NULL},
        {"https://otel/v1/logs?key=1", NULL, NULL},
        {"https://otel#x", NULL, NULL},
        {"https://otel/a b", NULL, NULL},
        {"https://otel/\n", NULL, NULL},
        {"https://ot\xc3\xa9l/", NULL, NULL},
    };
    for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
        const bool secret = i & 1;
        const char *want = secret ? rows[i / 2].secret : rows[i / 2].plain;
        struct err e = {0};
        char *url = NULL;
        int r = audit_otlp_url(rows[i / 2].endpoint, secret, &url, &e);
        if (want ? r != 0 || strcmp(url, want) != 0 : r != -EINVAL || !e.msg[0])
            fail_msg("%s: %d %s", rows[i / 2].endpoint, r, e.msg);
        free(url);
    }
}

static void headers_that_may_be_sent(void **state)
{
    (void)state;
    static const char *const good[] = {"authorization", "X-Api-Key", "x"};
    static const char *const bad[] = {
        "", "a b", "a:", "a\r\nb", "Content-Type", "host", "content-length", "\xc3", "user-agent"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(audit_otlp_header_ok(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(audit_otlp_header_ok(bad[i]));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_status_means_one_thing),
        cmocka_unit_test(only_an_acceptance_is_one),
        cmocka_unit_test(what_it_was_sent_is_not_repeated),
        cmocka_unit_test(it_may_say_when_to_come_back),
        cmocka_unit_test(waits_grow_and_differ),
        cmocka_unit_test(where_a_collector_may_be),
        cmocka_unit_test(headers_that_may_be_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
