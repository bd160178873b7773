/* test_time.c - RFC 3339 both ways against the C library's calendar, refusals, and the stopped
 * clock. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/time.h"

#include <stdio.h>
#include <time.h>

static void rfc3339_is_read_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        int64_t us; /* -1: refused */
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-05-28T22:58:34.155897Z", 1780009114155897},
        {"2026-05-28t22:58:34.155897z", 1780009114155897},
        {"2026-05-29T00:58:34.155897+02:00", 1780009114155897},
        {"2026-05-28T17:28:34.155897123-05:30", 1780009114155897},
        {"2026-05-28T22:58:34.1Z", 1780009114100000},
        {"2024-02-29T00:00:00Z", 1709164800000000},
        {"2000-02-29T00:00:00Z", 951782400000000},
        {"2016-12-31T23:59:60Z", 1483228800000000},
        {"9999-12-31T23:59:59.999999Z", 253402300799999999},
        {"9999-12-31T23:59:59.999999-00:01", -1},
        {"1970-01-01T00:00:00+00:01", -1},
        {"1969-12-31T23:59:59Z", -1},
        {"0000-01-01T00:00:00Z", -1},
        {"2023-02-29T00:00:00Z", -1},
        {"1900-02-29T00:00:00Z", -1},
        {"2026-04-31T00:00:00Z", -1},
        {"2026-13-01T00:00:00Z", -1},
        {"2026-00-01T00:00:00Z", -1},
        {"2026-01-00T00:00:00Z", -1},
        {"2026-01-01T24:00:00Z", -1},
        {"2026-01-01T00:60:00Z", -1},
        {"2026-01-01T00:00:61Z", -1},
        {"2026-01-01T00:00:00", -1},
        {"2026-01-01T00:00:00.Z", -1},
        {"2026-01-01T00:00:00.1234567890Z", -1},
        {"2026-01-01T00:00:00Zx", -1},
        {"2026-01-01 00:00:00Z", -1},
        {"2026-01-01T00:00:00+0200", -1},
        {"2026-01-01T00:00:00+24:00", -1},
        {"26-01-01T00:00:00Z", -1},
        {"2026-1-01T00:00:00Z", -1},
        {"+026-01-01T00:00:00Z", -1},
        {"2026", -1},
        {"", -1},
        {NULL, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t us = -1;
        int r = time_parse(rows[i].s, &us);
        if (r != (rows[i].us < 0 ? -E_PARSE : 0) || us != rows[i].us)
            fail_msg("%s: %d %lld", rows[i].s ? rows[i].s : "(null)", r, (long long)us);
    }
}

static void a_formatted_time_is_read_back(void **state)
{
    (void)state;
    char text[TIME_RFC3339_MAX];
    assert_string_equal(time_format(text, 0), "1970-01-01T00:00:00.000000Z");
    assert_string_equal(time_format(text, 1780009114155897), "2026-05-28T22:58:34.155897Z");
    assert_string_equal(time_format(text, -1), "1970-01-01T00:00:00.000000Z");
    assert_string_equal(time_format(text, INT64_MAX), "9999-12-31T23:59:59.999999Z");
    rng_test_seed(5);
    for (int i = 0; i < 20000; i++) {
        int64_t us = (int64_t)rng_below(253402300800000000), back;
        time_t s = us / 1000000;
        struct tm tm;
        assert_non_null(gmtime_r(&s, &tm));
        char want[64];
        size_t n = strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S", &tm);
        (void)snprintf(want + n, sizeof(want) - n, ".%06dZ", (int)(us % 1000000));
        assert_string_equal(time_format(text, us), want);
        assert_int_equal(time_parse(text, &back), 0);
        assert_true(back == us);
    }
    rng_test_reset();
}

static void a_test_clock_moves_only_when_told(void **state)
{
    (void)state;
    int64_t a = time_mono_ns(), b = time_mono_ns();
    assert_true(a > 0 && b >= a);
    assert_true(time_real_us() > 1700000000000000);
    time_test_set(1000, 5000000);
    assert_true(time_mono_ns() == 1000 && time_real_us() == 5000000);
    for (int i = 0; i < 10; i++)
        time_test_advance(300); /* fractions of a microsecond add up */
    assert_true(time_mono_ns() == 4000 && time_real_us() == 5000003);
    time_test_advance(2 * NS_PER_S);
    assert_true(time_real_us() == 7000003);
    time_test_reset();
    assert_true(time_mono_ns() >= b);
}

static void an_http_date_is_read_in_any_form(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        int64_t us; /* -1: refused */
    } rows[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777000000},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777000000},
        {"Sun Nov  6 08:49:37 1994", 784111777000000},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Sun, 06 Nov 1994 08:49:37 GMT ", -1},
        {"Sun, 06 Nov 1994 08:49:37", -1},
        {"Sun, 06 Nov 1994 08:49:37 CET", -1},
        {"Sun, 06 Foo 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 25:49:37 GMT", -1},
        {"1994-11-06T08:49:37Z", -1},
        {"12", -1},
        {"", -1},
        {NULL, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t us = -1;
        int r = time_parse_http(rows[i].s, &us);
        if (r != (rows[i].us < 0 ? -E_PARSE : 0) || us != rows[i].us)
            fail_msg("%s: %d, %lld", rows[i].s ? rows[i].s : "NULL", r, (long long)us);
    }
}

static void durations_are_read_to_the_last_character(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        int result;
        int64_t ms;
    } rows[] = {
        {"1500ms", 0, 1500},
        {"30s", 0, 30000},
        {"30", 0, 30000},
        {"5m", 0, 300000},
        {"2h", 0, 7200000},
        {"7d", 0, 604800000},
        {"0", 0, 0},
        {"", -EINVAL, 0},
        {"s", -EINVAL, 0},
        {"-1s", -EINVAL, 0},
        {"+1s", -EINVAL, 0},
        {"1.5s", -EINVAL, 0},
        {"1 s", -EINVAL, 0},
        {"5min", -EINVAL, 0},
        {"5M", -EINVAL, 0},
        {" 5s", -EINVAL, 0},
        {"106751991168d", -ERANGE, 0},
        {"9223372036854775808ms", -ERANGE, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ms = 0;
        assert_int_equal(time_parse_duration_ms(rows[i].s, &ms), rows[i].result);
        if (rows[i].result == 0)
            assert_int_equal(ms, rows[i].ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read_to_the_last_character),
        cmocka_unit_test(rfc3339_is_read_or_refused),
        cmocka_unit_test(a_formatted_time_is_read_back),
        cmocka_unit_test(an_http_date_is_read_in_any_form),
        cmocka_unit_test(a_test_clock_moves_only_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
