/* test_retry.c - Retry-After in every form, back-off and pace, on a clock of the test's own. */
#include "unit/unit.h"
#include "base/rng.h"
#include "base/time.h"
#include "worker/retry.h"

#define AT     "Sun, 06 Nov 1994 08:49:37 GMT"
#define AT_2S  "Sun, 06 Nov 1994 08:49:39 GMT"
#define NOW_US 784111777000000

static void retry_after_is_read_in_every_form(void **state)
{
    (void)state;
    static const struct {
        const char *as_ms, *value, *date;
        int64_t ms;
    } rows[] = {
        {NULL, NULL, NULL, -1},
        {NULL, "3", NULL, 3000},
        {NULL, "0", NULL, 0},
        {NULL, "1.5", NULL, 1500},
        {NULL, "0.25", NULL, 250},
        {NULL, "0.0009", NULL, 0},
        {NULL, "2.", NULL, -1},
        {NULL, ".5", NULL, -1},
        {NULL, "-1", NULL, -1},
        {NULL, "1e3", NULL, -1},
        {NULL, "soon", NULL, -1},
        {NULL, "", NULL, -1},
        {NULL, "99999999999999999999", NULL, RETRY_AFTER_MAX_MS},
        {NULL, "3600.9", NULL, RETRY_AFTER_MAX_MS},
        {"1500", "9", NULL, 1500},
        {"1500.5", NULL, NULL, 1500},
        {"no", "9", NULL, 9000},
        {NULL, AT_2S, NULL, 2000},
        {NULL, AT, NULL, 0},
        {NULL, "Sunday, 06-Nov-94 08:49:39 GMT", NULL, 2000},
        {NULL, "Sun Nov  6 08:49:39 1994", NULL, 2000},
        /* The platform's clock counts, when it says what it shows. */
        {NULL, AT_2S, "Sun, 06 Nov 1994 08:49:30 GMT", 9000},
        {NULL, AT_2S, "today", 2000},
        {NULL, "Sun, 06 Nov 1994 08:00:00 GMT", NULL, 0},
        {NULL, "Sun, 06 Nov 2094 08:00:00 GMT", NULL, RETRY_AFTER_MAX_MS},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ms = retry_after_ms(rows[i].as_ms, rows[i].value, rows[i].date, NOW_US);
        if (ms != rows[i].ms)
            fail_msg("row %zu: %lld ms", i, (long long)ms);
    }
}

static void a_wait_that_was_asked_for_is_kept_beyond_the_cap(void **state)
{
    (void)state;
    rng_test_seed(7);
    struct backoff b = {.base_ms = 100, .cap_ms = 400};
    static const int64_t most[] = {100, 200, 400, 400};
    for (size_t i = 0; i < ARRAY_LEN(most); i++)
        assert_in_range(backoff_next_ms(&b, -1), most[i] / 2, most[i]);
    assert_int_equal(backoff_next_ms(&b, 120000), 120000);
    assert_in_range(backoff_next_ms(&b, 0), 200, 400);
    rng_test_reset();
}

static void the_nearer_an_end_the_sooner(void **state)
{
    (void)state;
    rng_test_seed(7);
    static const struct {
        int64_t retry_after, left, least, most;
    } rows[] = {
        {-1, 60000, 2500, 5000}, /* far off: as without an end */
        {-1, 8000, 2000, 2000},  {-1, 2000, 500, 500},     {-1, 400, 125, 125},
        {-1, 0, 125, 125},       {-1, -5000, 125, 125},    {100, 2000, 500, 500},
        {700, 2000, 700, 700},   {9000, 2000, 9000, 9000},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct backoff b = {.base_ms = 250, .cap_ms = 5000, .tries = 8};
        int64_t ms = backoff_before_ms(&b, rows[i].retry_after, rows[i].left);
        if (ms < rows[i].least || ms > rows[i].most || b.tries != 9)
            fail_msg("row %zu: %lld ms", i, (long long)ms);
    }
    struct backoff b = {.base_ms = 250, .cap_ms = 5000}; /* the first is short anyway */
    assert_in_range(backoff_before_ms(&b, -1, 60000), 125, 250);
    rng_test_reset();
}

/* Whoever asks as fast as the pace lets him, for ten minutes. */
static void a_pace_keeps_below_its_limit(void **state)
{
    (void)state;
    struct pace p;
    pace_init(&p, 20, 19);
    int64_t now_ns = 5 * NS_PER_S, minute_ns = 60 * NS_PER_S;
    size_t made = 0, at_once = 0;
    static int64_t when_ns[20000];
    while (now_ns < 600 * NS_PER_S) {
        when_ns[made++] = now_ns;
        int64_t ms = pace_next_ms(&p, now_ns);
        at_once += ms == 0 && now_ns == 5 * NS_PER_S;
        now_ns += ms * NS_PER_MS;
    }
    assert_int_equal(at_once, 20);
    size_t first = 0;
    for (size_t i = 0; i < made; i++) {
        while (when_ns[i] - when_ns[first] >= minute_ns)
            first++;
        assert_in_range(i - first + 1, 1, 1200);
    }
    assert_in_range(made, 11000, 12000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retry_after_is_read_in_every_form),
        cmocka_unit_test(a_wait_that_was_asked_for_is_kept_beyond_the_cap),
        cmocka_unit_test(the_nearer_an_end_the_sooner),
        cmocka_unit_test(a_pace_keeps_below_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
