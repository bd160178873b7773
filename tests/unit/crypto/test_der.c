/* test_der.c - DER has one encoding for each value; everything else is refused. */
#include "unit/unit.h"

#include <string.h>

#include "base/cursor.h"
#include "base/err.h"
#include "crypto/der.h"

#define BYTES(text) (text), sizeof(text) - 1

static void one_value_is_checked_to_its_last_byte(void **state)
{
    (void)state;
    static const struct {
        const char *p;
        size_t n;
        int r;
        size_t behind;
    } table[] = {
        {BYTES("\x30\x00"), 0, 0},
        {BYTES("\x30\x03\x02\x01\x01"), 0, 0},
        {BYTES("\x30\x07\x31\x05\xa0\x03\x01\x01\xff"), 0, 0},
        {BYTES("\x30\x06\x02\x01\x80\x01\x01\x00"), 0, 0},
        {BYTES("\x30\x04\x02\x02\x00\x80"), 0, 0},
        {BYTES("\x30\x04\x02\x02\xff\x7f"), 0, 0},
        {BYTES("\x30\x07\x03\x02\x07\x80\x03\x01\x00"), 0, 0},
        {BYTES("\x30\x02\x04\x00"), 0, 0},
        /* what follows it */
        {BYTES("\x30\x00\x00"), -E_PARSE, 1},
        {BYTES("\x30\x03\x02\x01\x01\x30\x00"), -E_PARSE, 2},
        /* lengths: cut off, indefinite, too long a form, longer than the value around */
        {BYTES(""), -E_PARSE, 0},
        {BYTES("\x30"), -E_PARSE, 0},
        {BYTES("\x30\x01"), -E_PARSE, 0},
        {BYTES("\x30\x80\x00\x00"), -E_PARSE, 0},
        {BYTES("\x30\x80"), -E_PARSE, 0},
        {BYTES("\x30\x81\x02\x04\x00"), -E_PARSE, 0},
        {BYTES("\x30\x82\x00\x00"), -E_PARSE, 0},
        {BYTES("\x30\x85\x01\x00\x00\x00\x00"), -E_PARSE, 0},
        {BYTES("\x30\x84\xff\xff\xff\xff"), -E_PARSE, 0},
        {BYTES("\x30\xff\x01"), -E_PARSE, 0},
        {BYTES("\x30\x02\x04\x01\x00"), -E_PARSE, 0},
        {BYTES("\x30\x01\x04"), -E_PARSE, 0},
        /* tags: a long one, a constructed string, a primitive sequence, a single primitive */
        {BYTES("\x30\x03\x1f\x01\x00"), -E_PARSE, 0},
        {BYTES("\x30\x04\x24\x02\x04\x00"), -E_PARSE, 0},
        {BYTES("\x30\x02\x10\x00"), -E_PARSE, 0},
        {BYTES("\x02\x01\x01"), -E_PARSE, 0},
        /* values */
        {BYTES("\x30\x03\x01\x01\x01"), -E_PARSE, 0},
        {BYTES("\x30\x02\x01\x00"), -E_PARSE, 0},
        {BYTES("\x30\x04\x01\x02\xff\xff"), -E_PARSE, 0},
        {BYTES("\x30\x02\x02\x00"), -E_PARSE, 0},
        {BYTES("\x30\x04\x02\x02\x00\x7f"), -E_PARSE, 0},
        {BYTES("\x30\x04\x02\x02\xff\x80"), -E_PARSE, 0},
        {BYTES("\x30\x02\x03\x00"), -E_PARSE, 0},
        {BYTES("\x30\x03\x03\x01\x01"), -E_PARSE, 0},
        {BYTES("\x30\x04\x03\x02\x08\x00"), -E_PARSE, 0},
        {BYTES("\x30\x04\x03\x02\x01\x01"), -E_PARSE, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        size_t behind = 77;
        /* Alone, so that a sanitizer sees who reads past its end. */
        AUTO_FREE unsigned char *alone = mem_zalloc(table[i].n);
        memcpy(alone, table[i].p, table[i].n);
        int r = der_check(alone, table[i].n, &behind);
        if (r != table[i].r || behind != table[i].behind)
            fail_msg("row %zu: %d, %zu behind", i, r, behind);
    }
}

static void depth_has_an_end(void **state)
{
    (void)state;
    unsigned char deep[100];
    for (size_t depth = 1; depth <= 50; depth++) {
        for (size_t i = 0; i < depth; i++) {
            deep[2 * i] = DER_SEQUENCE;
            deep[2 * i + 1] = (unsigned char)(2 * (depth - i - 1));
        }
        size_t behind;
        assert_int_equal(der_check(deep, 2 * depth, &behind), depth < 32 ? 0 : -E_PARSE);
    }
}

static void a_taken_value_moves_the_cursor_and_another_does_not(void **state)
{
    (void)state;
    static const char bytes[] = "\x02\x01\x05\x04\x00\x30\x05\x01";
    struct cursor c = cursor_of(bytes, sizeof(bytes) - 1), value;
    unsigned char tag;
    assert_int_equal(der_take(&c, DER_OCTET_STRING, &value), -E_PARSE);
    assert_int_equal(der_take(&c, DER_INTEGER, &value), 0);
    assert_int_equal(cursor_left(&value), 1);
    assert_int_equal(value.p[0], 5);
    assert_int_equal(der_any(&c, &tag, &value), 0);
    assert_int_equal(tag, DER_OCTET_STRING);
    assert_int_equal(cursor_left(&value), 0);
    assert_int_equal(der_take(&c, DER_SEQUENCE, &value), -E_PARSE);
    assert_int_equal(cursor_left(&c), 3);
    static const unsigned char longer[130] = {0x04, 0x81, 0x80 - 1};
    c = cursor_of(longer, sizeof(longer));
    assert_int_equal(der_any(&c, &tag, &value), -E_PARSE);
    static const unsigned char long_enough[131] = {0x04, 0x81, 0x80};
    c = cursor_of(long_enough, sizeof(long_enough));
    assert_int_equal(der_any(&c, &tag, &value), 0);
    assert_int_equal(cursor_left(&value), 128);
    assert_int_equal(cursor_left(&c), 0);
}

static void object_identifiers_are_dotted(void **state)
{
    (void)state;
    static const struct {
        const char *p;
        size_t n;
        const char *text;
    } table[] = {
        {BYTES("\x2a\x86\x48\x86\xf7\x0d"), "1.2.840.113549"},
        {BYTES("\x00"), "0.0"},
        {BYTES("\x27"), "0.39"},
        {BYTES("\x28"), "1.0"},
        {BYTES("\x50"), "2.0"},
        {BYTES("\x88\x37\x03"), "2.999.3"},
        {BYTES("\x2a\x81\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), "1.2.18446744073709551615"},
        {BYTES("\x2a\x82\x80\x80\x80\x80\x80\x80\x80\x80\x00"),
         "(an object identifier of 11 bytes)"},
        {BYTES(""), "(an object identifier of 0 bytes)"},
        {BYTES("\x2a\x86"), "(an object identifier of 2 bytes)"},
        {BYTES("\x2a\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x01"),
         "1.2.127.127.127.127.127.127.127.127.127.127.127.127.127.127.127.127.127.127.1"},
        {BYTES("\x2a\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f"),
         "1.2.127.127.127.127.127.127.127.127.127.127.127.127.127.127.127.127.127.127.127"},
        {BYTES("\x2a\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f"
               "\x01"),
         "(an object identifier of 21 bytes)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char text[DER_OID_TEXT];
        assert_string_equal(der_oid_text((const unsigned char *)table[i].p, table[i].n, text),
                            table[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_value_is_checked_to_its_last_byte),
        cmocka_unit_test(depth_has_an_end),
        cmocka_unit_test(a_taken_value_moves_the_cursor_and_another_does_not),
        cmocka_unit_test(object_identifiers_are_dotted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
