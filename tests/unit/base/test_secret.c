/* test_secret.c - copies, comparison, the mapping's flags, and that nothing stays behind. */
#include "unit/unit.h"
#include "base/base.h"
#include "base/secret.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void a_secret_equals_only_itself(void **state)
{
    (void)state;
    AUTO(secret) s = {0};
    assert_string_equal(secret_borrow(&s), "");
    assert_false(secret_eq(&s, "", 0));
    assert_int_equal(secret_set(&s, "hunter2", 7), 0);
    assert_string_equal(secret_borrow(&s), "hunter2");
    static const struct {
        const char *text;
        bool want;
    } rows[] = {
        {"hunter2", true}, {"hunter3", false},  {"Hunter2", false},
        {"hunter", false}, {"hunter22", false}, {"", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(secret_eq(&s, rows[i].text, strlen(rows[i].text)), rows[i].want);
    secret_done(&s);
    assert_null(s.data);
    secret_done(&s);
    secret_done(NULL);
    assert_int_equal(secret_set(&s, "", 0), 0);
    assert_true(secret_eq(&s, "", 0));
}

static void a_secret_has_a_ceiling(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 4095, 4096, 4097, 1u << 20};
    char *big = mem_zalloc((1u << 20) + 1);
    memset(big, 'k', (1u << 20) + 1);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        AUTO(secret) s = {0};
        assert_int_equal(secret_set(&s, big, sizes[i]), 0);
        assert_int_equal(s.len, sizes[i]);
        assert_int_equal(strlen(secret_borrow(&s)), sizes[i]);
    }
    AUTO(secret) over = {0};
    assert_int_equal(secret_set(&over, big, (1u << 20) + 1), -EMSGSIZE);
    assert_null(over.data);
    free(big);
}

/* The kernel's own words about the mapping: "dd" do not dump, "lo" locked. */
static void a_secret_is_locked_and_not_dumped(void **state)
{
    (void)state;
    AUTO(secret) s = {0};
    assert_int_equal(secret_set(&s, "hunter2", 7), 0);
    FILE *f = fopen("/proc/self/smaps", "re");
    assert_non_null(f);
    char line[512];
    bool ours = false, checked = false;
    while (fgets(line, sizeof(line), f)) {
        uintptr_t from, to;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
            ours = from <= (uintptr_t)s.data && (uintptr_t)s.data < to;
        if (ours && strncmp(line, "VmFlags:", 8) == 0) {
            assert_non_null(strstr(line, " dd"));
            if (secret_locked() && !SANITIZED) /* sanitizers make mlock do nothing */
                assert_non_null(strstr(line, " lo"));
            checked = true;
        }
    }
    (void)fclose(f);
    assert_true(checked);
}

static void bytes_are_compared_and_wiped(void **state)
{
    (void)state;
    assert_true(secret_bytes_eq("", "", 0));
    assert_true(secret_bytes_eq("a\0b", "a\0b", 3));
    assert_false(secret_bytes_eq("a\0b", "a\0c", 3));
    assert_false(secret_bytes_eq("\x80", "\x00", 1));
    char text[] = "hunter2";
    secret_wipe(text, sizeof(text));
    for (size_t i = 0; i < sizeof(text); i++)
        assert_int_equal(text[i], 0);
    secret_wipe(NULL, 0);
}

static void room_is_zero_and_filled_in_place(void **state)
{
    (void)state;
    AUTO(secret) s = {0};
    assert_int_equal(secret_room(&s, 5000), 0);
    assert_int_equal(s.len, 5000);
    for (size_t i = 0; i <= s.len; i++)
        assert_int_equal(s.data[i], 0);
    memcpy(s.data, "hunter2", 7);
    s.len = 7;
    assert_true(secret_eq(&s, "hunter2", 7));
    AUTO(secret) over = {0};
    assert_int_equal(secret_room(&over, (1u << 20) + 1), -EMSGSIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(room_is_zero_and_filled_in_place),
        cmocka_unit_test(a_secret_equals_only_itself),
        cmocka_unit_test(a_secret_has_a_ceiling),
        cmocka_unit_test(a_secret_is_locked_and_not_dumped),
        cmocka_unit_test(bytes_are_compared_and_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
