/* test_reference.c - docs/gateway-reference.md is what the table says. With GATEWAY_REFERENCE_WRITE set
 * the page is written instead. */
#include "unit/unit.h"
#include "base/buf.h"
#include "tunnel/gateway/config_fields.h"

#include <stdio.h>
#include <string.h>

#define PAGE "docs/gateway-reference.md"

static void the_page_is_made_from_the_table(void **state)
{
    AUTO(buf) want = BUF_INIT(1 << 20);
    AUTO(buf) got = BUF_INIT(1 << 20);
    (void)state;
    gateway_reference_page(&want);
    if (getenv("GATEWAY_REFERENCE_WRITE")) {
        FILE *f = fopen(PAGE, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(want.data, 1, want.len, f), want.len);
        assert_int_equal(fclose(f), 0);
    }
    FILE *f = fopen(PAGE, "r");
    assert_non_null(f);
    char chunk[1024];
    for (size_t n; (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
        assert_int_equal(buf_add(&got, chunk, n), 0);
    (void)fclose(f);
    if (strcmp(buf_str(&got), buf_str(&want)) != 0)
        fail_msg(PAGE " is not what the table says; write it with GATEWAY_REFERENCE_WRITE=1 "
                      "meson test -C build tunnel/gateway/config_reference");
}

static void every_field_says_what_it_is(void **state)
{
    (void)state;
    for (const struct field *f = gateway_fields.fields; f->key; f++)
        if (!f->type[0] || !f->fallback[0] || (!f->meaning[0] && strcmp(f->key, "type") != 0) ||
            strpbrk(f->meaning, "|\n"))
            fail_msg("%s of %s", f->key, gateway_fields.objects[f->object].title);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_is_made_from_the_table),
        cmocka_unit_test(every_field_says_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
