/* test_map.c - against a plain array as the model, through growth, removal and re-insertion. */
#include "unit/unit.h"
#include "base/map.h"
#include "base/rng.h"

#include <stdio.h>
#include <string.h>

static void siphash_gives_the_published_values(void **state)
{
    (void)state;
    /* Messages 00, 01, ... n-1. First the rows published with SipHash under the key 00..0f, then,
     * for messages of several words, what CPython's SipHash-1-3 gives under the zero key. */
    static const struct {
        uint64_t key[2];
        size_t n;
        uint64_t want;
    } rows[] = {
        {{0x0706050403020100u, 0x0f0e0d0c0b0a0908u}, 0, 0xabac0158050fc4dcu},
        {{0x0706050403020100u, 0x0f0e0d0c0b0a0908u}, 1, 0xc9f49bf37d57ca93u},
        {{0x0706050403020100u, 0x0f0e0d0c0b0a0908u}, 2, 0x82cb9b024dc7d44du},
        {{0x0706050403020100u, 0x0f0e0d0c0b0a0908u}, 3, 0x8bf80ab8e7ddf7fbu},
        {{0, 0}, 7, 0x2f098ab0c751325au},
        {{0, 0}, 8, 0xead411e67ebe2eeau},
        {{0, 0}, 9, 0x75927f9d95124362u},
        {{0, 0}, 15, 0xf30eb725bb91c9eau},
        {{0, 0}, 16, 0x8972188433a5c5b7u},
        {{0, 0}, 33, 0x7fb71d24dfa4c9f6u},
        {{0, 0}, 63, 0x385d3e39e5f37359u},
    };
    unsigned char m[64];
    for (size_t i = 0; i < sizeof(m); i++)
        m[i] = (unsigned char)i;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(map_siphash13(rows[i].key, m, rows[i].n) == rows[i].want);
}

static void a_map_behaves_as_its_model(void **state)
{
    (void)state;
    enum { KEYS = 500 };
    static int values[2] = {0, 1};
    static void *model[KEYS];
    struct map m;
    map_init(&m);
    rng_test_seed(42);
    for (int step = 0; step < 60000; step++) {
        size_t k = rng_below(KEYS);
        char key[16];
        (void)snprintf(key, sizeof(key), "key-%zu", k);
        switch (rng_below(3)) {
        case 0: {
            void *v = &values[rng_below(2)];
            assert_ptr_equal(map_put(&m, key, v), model[k]);
            model[k] = v;
            break;
        }
        case 1:
            assert_ptr_equal(map_remove(&m, key), model[k]);
            model[k] = NULL;
            break;
        default:
            assert_ptr_equal(map_get(&m, key), model[k]);
        }
        size_t want = 0;
        if (step % 1000 == 0) {
            for (size_t i = 0; i < KEYS; i++)
                want += model[i] != NULL;
            assert_int_equal(m.n, want);
            size_t pos = 0, seen = 0;
            const char *name;
            void *v;
            while (map_next(&m, &pos, &name, &v)) {
                assert_ptr_equal(map_get(&m, name), v);
                seen++;
            }
            assert_int_equal(seen, want);
        }
    }
    rng_test_reset();
    assert_true(m.n_slots <= 2048); /* tombstones do not make it grow without end */
    map_done(&m);
}

static void entries_may_be_removed_while_walking(void **state)
{
    (void)state;
    struct map m = {0};
    int v;
    char key[16];
    for (int i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof(key), "%d", i);
        assert_null(map_put(&m, key, &v));
    }
    size_t pos = 0, seen = 0;
    const char *name;
    while (map_next(&m, &pos, &name, NULL)) {
        char copy[16];
        (void)snprintf(copy, sizeof(copy), "%s", name);
        assert_ptr_equal(map_remove(&m, copy), &v);
        seen++;
    }
    assert_int_equal(seen, 100);
    assert_int_equal(m.n, 0);
    assert_null(map_get(&m, "1"));
    map_done(&m);
    map_done(&m);
    map_done(NULL);
}

static void keys_are_copied(void **state)
{
    (void)state;
    struct map m = {0}, other = {0};
    int v;
    char key[] = "abc";
    assert_null(map_get(&m, key));
    assert_null(map_remove(&m, key));
    assert_null(map_put(&m, key, &v));
    key[0] = 'x';
    assert_ptr_equal(map_get(&m, "abc"), &v);
    assert_null(map_get(&m, key));
    assert_null(map_get(&m, "ab"));
    assert_null(map_get(&m, ""));
    assert_null(map_put(&m, "", &v));
    assert_ptr_equal(map_get(&m, ""), &v);
    assert_null(map_put(&other, "abc", &v));
    assert_true(m.key[0] != other.key[0] || m.key[1] != other.key[1]);
    map_done(&m);
    map_done(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_gives_the_published_values),
        cmocka_unit_test(a_map_behaves_as_its_model),
        cmocka_unit_test(entries_may_be_removed_while_walking),
        cmocka_unit_test(keys_are_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
