/* test_field.c - which key was meant, and a table as a page. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/field.h"

#include <string.h>

static const struct field fields[] = {
    {0, "routes", "map", "required", "Where to.", false},
    {0, "admin", "address", "none", "Who asks.", false},
    {0, "tools", "object", "none", "Not now.", true},
    {1, "ca_file", "path", "none", "Whom to trust.", false},
    {.key = NULL},
};
static const struct field_object objects[] = {{"gate", "All of it."}, {"gate.tls", "Inside."}};
static const struct field_table table = {fields, objects, 2};

static void a_field_belongs_to_its_object(void **state)
{
    (void)state;
    assert_ptr_equal(field_find(&table, 0, "admin"), &fields[1]);
    assert_ptr_equal(field_find(&table, 1, "ca_file"), &fields[3]);
    assert_null(field_find(&table, 1, "admin"));
    assert_null(field_find(&table, 0, "ca_file"));
    assert_null(field_find(&table, 0, ""));
}

static void two_letters_are_a_slip(void **state)
{
    (void)state;
    assert_string_equal(field_meant(&table, 0, "route"), "routes");
    assert_string_equal(field_meant(&table, 0, "rotues"), "routes"); /* neighbours, swapped */
    assert_string_equal(field_meant(&table, 0, "routexy"), "routes");
    assert_string_equal(field_meant(&table, 0, "tool"), "tools"); /* known, if not built */
    assert_null(field_meant(&table, 0, "routwxyz"));
    assert_null(field_meant(&table, 1, "routes"));
    assert_null(field_meant(&table, 0, ""));
}

static void a_page_has_what_is_built(void **state)
{
    AUTO(buf) all = BUF_INIT(4096);
    AUTO(buf) rest = BUF_INIT(4096);
    (void)state;
    field_print_all(&table, &all);
    assert_string_equal(buf_str(&all), "\n## gate\n\nAll of it.\n\n"
                                       "| field | type | default | meaning |\n|---|---|---|---|\n"
                                       "| `routes` | map | required | Where to. |\n"
                                       "| `admin` | address | none | Who asks. |\n"
                                       "\n## gate.tls\n\nInside.\n\n"
                                       "| field | type | default | meaning |\n|---|---|---|---|\n"
                                       "| `ca_file` | path | none | Whom to trust. |\n");
    field_print(&table, 0, true, &rest);
    assert_string_equal(buf_str(&rest), "| field | type | default | meaning |\n|---|---|---|---|\n"
                                        "| `tools` | object | none | Not now. |\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_field_belongs_to_its_object),
        cmocka_unit_test(two_letters_are_a_slip),
        cmocka_unit_test(a_page_has_what_is_built),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
