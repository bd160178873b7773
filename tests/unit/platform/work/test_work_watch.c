/* When the log says that calls wait. */
#include "unit/unit.h"

#include "base/time.h"
#include "platform/work/work_watch.h"

static void it_is_said_at_first_then_once_a_minute_then_that_it_is_over(void **state)
{
    (void)state;
    struct work_wait w = {.calls = 3};
    const int64_t t = 1800000000 * US_PER_S;
    int said = 0;
    for (int64_t s = 0; s < 150; s++) {
        enum work_wait_word word = work_wait_judge(&w, t + s * US_PER_S);
        assert_int_equal(word, s % 60 == 0 ? WORK_WAIT_SAY : WORK_WAIT_SILENT);
        said += word == WORK_WAIT_SAY;
    }
    assert_int_equal(said, 3);
    w.calls = 0;
    assert_int_equal(work_wait_judge(&w, t + 151 * US_PER_S), WORK_WAIT_OVER);
}

static void a_clock_set_back_silences_nobody(void **state)
{
    (void)state;
    struct work_wait w = {.calls = 1};
    const int64_t t = 1800000000 * US_PER_S;
    assert_int_equal(work_wait_judge(&w, t), WORK_WAIT_SAY);
    assert_int_equal(work_wait_judge(&w, t - 3600 * US_PER_S), WORK_WAIT_SAY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_said_at_first_then_once_a_minute_then_that_it_is_over),
        cmocka_unit_test(a_clock_set_back_silences_nobody),
    };
    return cmocka_run_group_tests_name("work_watch", tests, NULL, NULL);
}
