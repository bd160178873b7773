/* That this machine's addresses are among those read, and when they are read again. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/time.h"
#include "io/own_addresses.h"

#include <string.h>

static bool has(const struct own_addresses *o, const unsigned char a[16])
{
    for (size_t i = 0; i < o->n; i++)
        if (memcmp(o->items[i], a, 16) == 0)
            return true;
    return false;
}

static void the_loopback_is_an_address_of_this_machine(void **state)
{
    (void)state;
    AUTO(own_addresses) o = {0};
    struct err e = {0};
    if (own_addresses_refresh(&o, &e) < 0)
        fail_msg("%s", e.msg);
    static const unsigned char v4[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};
    static const unsigned char v6[16] = {[15] = 1};
    assert_true(has(&o, v4) || has(&o, v6));
    assert_int_equal(o.generation, 1);
}

static void they_are_read_again_after_a_while(void **state)
{
    (void)state;
    AUTO(own_addresses) o = {0};
    time_test_set(NS_PER_S, 0);
    assert_int_equal(own_addresses_refresh(&o, NULL), 0);
    time_test_advance((OWN_ADDRESSES_MS - 1) * NS_PER_MS);
    assert_int_equal(own_addresses_refresh(&o, NULL), 0);
    assert_int_equal(o.generation, 1);
    time_test_advance(NS_PER_MS);
    assert_int_equal(own_addresses_refresh(&o, NULL), 0);
    assert_int_equal(o.generation, 2);
    time_test_reset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loopback_is_an_address_of_this_machine),
        cmocka_unit_test(they_are_read_again_after_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
