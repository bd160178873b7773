/* test_procs.c - reading /proc/PID/stat, whatever a process is called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "sandbox/init/procs.h"

#define TAIL                                                                                       \
    " 7 5 5 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 3 0 4711 1000 200 18446744073709551615 1 1\n"

static void a_stat_line_is_read_whatever_the_name(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int want;
    } table[] = {
        {"12 (bash) S" TAIL, 0},
        {"12 (a) Z 1 1) R) S" TAIL, 0},
        {"12 (()) R" TAIL, 0},
        {"12 (x\n) S" TAIL, 0},
        {"", -E_PARSE},
        {"12 (bash)", -E_PARSE},
        {"12 (bash) S", -E_PARSE},
        {"12 (bash) S 7 5", -E_PARSE},
        {"12 (bash) S x 5 5 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 3 0 4711 1\n", -E_PARSE},
        {"12 (bash) S 7 5 5 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 3 0 47x1 1\n", -E_PARSE},
        {"12 (bash) S 7 5 5 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 3 0 4711", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct procs_stat st = {.state = '?'};
        int r = procs_parse_stat(table[i].text, &st);
        if (r != table[i].want)
            fail_msg("line %zu gave %d", i, r);
        if (r < 0)
            continue;
        assert_true(st.state == 'S' || st.state == 'R');
        assert_int_equal(st.parent, 7);
        assert_int_equal(st.threads, 3);
        assert_int_equal(st.start, 4711);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_stat_line_is_read_whatever_the_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
