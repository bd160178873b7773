/* test_rng.c - the kernel's bytes differ, the test generator repeats, rng_below is uniform. */
#include "unit/unit.h"
#include "base/base.h"
#include "base/rng.h"

#include <string.h>

static void the_kernel_gives_fresh_bytes(void **state)
{
    (void)state;
    unsigned char a[1000], b[1000] = {0};
    rng_bytes(a, sizeof(a));
    rng_bytes(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    assert_true(rng_u64() != rng_u64());
    unsigned char guard[3] = {1, 2, 3};
    rng_bytes(guard, 0);
    assert_memory_equal(guard, "\1\2\3", 3);
}

static void a_seed_repeats_its_bytes(void **state)
{
    (void)state;
    unsigned char a[37], b[37];
    rng_test_seed(7);
    rng_bytes(a, sizeof(a));
    uint64_t x = rng_u64();
    rng_test_seed(7);
    rng_bytes(b, sizeof(b));
    assert_memory_equal(a, b, sizeof(a));
    assert_true(rng_u64() == x);
    rng_test_seed(8);
    rng_bytes(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    rng_test_reset();
}

static void numbers_below_a_bound_are_even(void **state)
{
    (void)state;
    rng_test_seed(3);
    unsigned count[7] = {0};
    for (int i = 0; i < 70000; i++) {
        uint64_t v = rng_below(7);
        assert_true(v < 7);
        count[v]++;
    }
    for (size_t i = 0; i < ARRAY_LEN(count); i++)
        assert_in_range(count[i], 9500, 10500);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(rng_below(1), 0);
        assert_true(rng_below((1ull << 63) + 1) <= 1ull << 63);
        assert_true(rng_below(UINT64_MAX) < UINT64_MAX);
    }
    rng_test_reset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_kernel_gives_fresh_bytes),
        cmocka_unit_test(a_seed_repeats_its_bytes),
        cmocka_unit_test(numbers_below_a_bound_are_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
