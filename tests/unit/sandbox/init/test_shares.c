/* test_shares.c - whose ids a sandbox has. What is used up is tried by the escape suite. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sandbox/init/shares.h"

static void one_id_may_be_somebodys(void **state)
{
    (void)state;
    static const struct {
        const char *map;
        bool one;
    } table[] = {
        {"      1000       1000          1\n", true},
        {"         0      65321          1\n", true},
        {"         0  486704256      65536\n", false},
        {"         0          0          1\n         1     100000      65536\n", false},
        {"         0          0 4294967295\n", false},
        {"0 0", false},
        {"", false},
        {"x", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (shares_one_id(table[i].map) != table[i].one)
            fail_msg("line %zu", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_id_may_be_somebodys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
