/* test_id.c - shape and uniqueness of identifiers and tokens, and the gate for
 * what clients send. */
#include "unit/unit.h"
#include "base/id.h"
#include "base/rng.h"

#include <ctype.h>
#include <string.h>

static void ids_are_unique_and_readable(void **state)
{
    (void)state;
    static char seen[200][ID_MAX];
    for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
        assert_ptr_equal(id_make(seen[i], "sesn_"), seen[i]);
        assert_int_equal(strlen(seen[i]), 5 + 2 + 22);
        assert_true(id_is(seen[i], "sesn_"));
        assert_null(strpbrk(seen[i] + 7, "0OIl"));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(seen[i], seen[k]);
    }
    rng_test_seed(1);
    char a[ID_MAX], b[ID_MAX];
    id_make(a, "x_");
    rng_test_seed(1);
    assert_string_equal(id_make(b, "x_"), a);
    rng_test_reset();
}

static void only_well_formed_ids_pass(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool want;
    } rows[] = {
        {"sesn_01abc", true},
        {"sesn_a", true},
        {"sesn_", false},
        {"sesn", false},
        {"", false},
        {NULL, false},
        {"agent_01abc", false},
        {"sesn_01ab-c", false},
        {"sesn_01ab/c", false},
        {"sesn_01ab c", false},
        {"sesn_01ab%00", false},
        {"sesn_\xc3\xa9", false},
        {"sesn_0123456789012345678901234567890123456789", true},
        {"sesn_01234567890123456789012345678901234567890", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(id_is(rows[i].text, "sesn_"), rows[i].want);
}

static void tokens_use_all_sixty_two_characters(void **state)
{
    (void)state;
    char a[64], b[64];
    id_make_token(a, sizeof(a), "sk-sp-env-");
    id_make_token(b, 10 + 44, "sk-sp-env-");
    assert_int_equal(strlen(a), 10 + 43);
    assert_int_equal(strlen(b), 10 + 43);
    assert_string_not_equal(a, b);
    assert_int_equal(strncmp(a, "sk-sp-env-", 10), 0);
    for (const char *p = a + 10; *p; p++)
        assert_true(isalnum((unsigned char)*p));
    unsigned count[128] = {0}; /* all 62 characters appear: 43000 draws, ~690 each */
    for (int i = 0; i < 1000; i++) {
        id_make_token(a, sizeof(a), "");
        for (const char *p = a; *p; p++)
            count[(unsigned char)*p & 127]++;
    }
    unsigned kinds = 0;
    for (size_t i = 0; i < ARRAY_LEN(count); i++) {
        kinds += count[i] > 0;
        assert_true(count[i] == 0 || (count[i] > 500 && count[i] < 900));
    }
    assert_int_equal(kinds, 62);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_unique_and_readable),
        cmocka_unit_test(only_well_formed_ids_pass),
        cmocka_unit_test(tokens_use_all_sixty_two_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
