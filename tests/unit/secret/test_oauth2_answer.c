/* test_oauth2_answer.c - lives and waits that a token endpoint may state, sane or not. */
#include "unit/json.h"
#include "base/time.h"
#include "secret/oauth2.h"

#define YEAR_MS (365LL * 86400 * 1000)

static void expect_life(const char *expires, int64_t lease_ms, int64_t life_ms)
{
    AUTO_FREE char *plain = mem_printf("{'access_token':'abcdefgh','token_type':'bearer'%s%s}",
                                       *expires ? ",'expires_in':" : "", expires);
    AUTO_FREE char *body = json_quoted(plain);
    const struct oauth2 x = {0};
    const struct oauth2_answer a = {.status = 200, .body = body, .n = strlen(body)};
    struct secret_read got = {0};
    struct secret refresh = {0};
    struct err e = {0};
    if (oauth2_answer_read(&a, &x, &got, &refresh, &e) < 0)
        fail_msg("%s: %s", expires, e.msg);
    if (got.lease_ms != lease_ms || got.life_ms != life_ms)
        fail_msg("%s: %lld %lld", expires, (long long)got.lease_ms, (long long)got.life_ms);
    secret_done(&got.raw);
    secret_done(&refresh);
}

static void lives_are_read_within_bounds(void **state)
{
    (void)state;
    expect_life("3600", 3570000, 3600000);
    expect_life("'3600'", 3570000, 3600000);
    expect_life("3600.9", 3570000, 3600000);
    expect_life("60", 45000, 60000);
    expect_life("1", 750, 1000);
    expect_life("", 300000, 0);
    expect_life("'soon'", 300000, 0);
    expect_life("null", 300000, 0);
    expect_life("{}", 300000, 0);
    expect_life("0", 1000, 0);
    expect_life("-5", 750, 1000);
    expect_life("-0.5", 1000, 0);
    expect_life("9223372036854775807", 10 * YEAR_MS - 30000, 10 * YEAR_MS);
}

static void waits_are_read_within_bounds(void **state)
{
    (void)state;
    int64_t now = 0;
    assert_int_equal(time_parse_http("Sun, 06 Nov 1994 08:49:37 GMT", &now), 0);
    assert_int_equal(oauth2_retry_ms(NULL, now), 0);
    assert_int_equal(oauth2_retry_ms("", now), 0);
    assert_int_equal(oauth2_retry_ms("120", now), 120000);
    assert_int_equal(oauth2_retry_ms("0", now), 0);
    assert_int_equal(oauth2_retry_ms("-1", now), 0);
    assert_int_equal(oauth2_retry_ms("1.5", now), 0);
    assert_int_equal(oauth2_retry_ms("99999999999999999999999", now), 3600000);
    assert_int_equal(oauth2_retry_ms("Sun, 06 Nov 1994 08:50:37 GMT", now), 60000);
    assert_int_equal(oauth2_retry_ms("Sun, 06 Nov 1994 08:48:37 GMT", now), 0);
    assert_int_equal(oauth2_retry_ms("Mon, 07 Nov 1994 08:49:37 GMT", now), 3600000);
    assert_int_equal(oauth2_retry_ms("tomorrow", now), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lives_are_read_within_bounds),
        cmocka_unit_test(waits_are_read_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
