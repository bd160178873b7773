/* test_box.c - real sandboxes: what they can see, hold and do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base.h"
#include "harness.h"

static void starts_and_echoes(void **state)
{
    struct host h;
    struct sbx b;
    (void)state;
    host_start(&h, 0);
    sbx_open_default(&h, &b);
    expect_bash(&b, "echo hi", "hi");
    expect_bash(&b, "id -u; id -g; pwd", "1000\n1000\n/workspace");
    sbx_close(&b);
    assert_int_equal(host_stop(&h), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(starts_and_echoes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
