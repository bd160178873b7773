/* test_lockdown.c - the check of /proc/self/status: one surprising line is enough to refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "sandbox/lock/lockdown.h"

static const char good[] =
    "Name:\tx\nUid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\nGroups:\t \n"
    "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
    "CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n"
    "Seccomp_filters:\t2\n";

static void accepts_the_right_one(void **state)
{
    struct err e;
    (void)state;
    assert_int_equal(lockdown_check_status(good, 1000, &e), 0);
}

static void refuses_every_change(void **state)
{
    (void)state;
    static const char *const lines[] = {"Uid:\t",    "Gid:\t",        "CapInh:\t",
                                        "CapPrm:\t", "CapEff:\t",     "CapBnd:\t",
                                        "CapAmb:\t", "NoNewPrivs:\t", "Seccomp:\t"};
    struct err e;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        AUTO_FREE char *text = mem_strdup(good);
        char *value = strstr(text, lines[i]) + strlen(lines[i]);
        *value = *value == '0' ? '1' : '0';
        assert_int_equal(lockdown_check_status(text, 1000, &e), -E_DENIED);
        *strstr(text, lines[i]) = 'X'; /* and when the line is missing */
        assert_int_equal(lockdown_check_status(text, 1000, &e), -E_DENIED);
    }
    assert_int_equal(lockdown_check_status("", 1000, &e), -E_DENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_the_right_one),
        cmocka_unit_test(refuses_every_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
