/* test_uids.c - which host uids sandboxes get, and that no two get the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "base/err.h"
#include "sandbox/zygote/uids.h"

static void the_uid_range_follows_the_map(void **state)
{
    (void)state;
    static const struct {
        const char *map;
        int want;
        uint32_t base, step;
    } table[] = {
        {"         0          0 4294967295\n", 0, 2000000, 65536},
        {"         0     100000      65536\n", 0, 32767, 1},
        {"0 1000 1\n1 100000 65535\n", 0, 32767, 1},
        {"0 1000 1\n", -ERANGE, 0, 0},
        {"", -ERANGE, 0, 0},
        {"0 0 x\n", -ERANGE, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct uids u = {.base = 0};
        struct err e;
        assert_int_equal(uids_init(&u, table[i].map, &e), table[i].want);
        assert_int_equal(u.base, table[i].base);
        assert_int_equal(u.step, table[i].step);
        if (table[i].want == 0) /* the last slot is still mapped and below (uid_t)-1 */
            assert_true((uint64_t)u.base + (uint64_t)u.step * (u.count - 1) + 1000 < 4294967295u);
    }
}

static void no_two_sandboxes_get_the_same_uid(void **state)
{
    (void)state;
    /* A range of our own, so that a worker on this machine does not matter. */
    struct uids u = {.base = 3000000000u, .step = 1, .count = 40};
    uint32_t uid[40];
    int lock[40];
    struct err e;
    for (int i = 0; i < 40; i++) {
        assert_int_equal(uids_take(&u, &uid[i], &lock[i], &e), 0);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(uid[i], uid[k]);
    }
    uint32_t more;
    int fd;
    assert_int_equal(uids_take(&u, &more, &fd, &e), -EAGAIN);
    close(lock[17]);
    assert_int_equal(uids_take(&u, &more, &fd, &e), 0);
    assert_int_equal(more, uid[17]);
    close(fd);
    for (int i = 0; i < 40; i++)
        if (i != 17)
            close(lock[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_uid_range_follows_the_map),
                                       cmocka_unit_test(no_two_sandboxes_get_the_same_uid)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
