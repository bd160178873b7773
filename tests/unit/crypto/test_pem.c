/* test_pem.c - blocks of RFC 7468: what is one, what is in it, and what is written. */
#include "unit/unit.h"

#include <string.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "crypto/pem.h"

#define BEGIN "-----BEGIN A B-----\n"
#define END   "-----END A B-----\n"

static void blocks_come_one_after_another(void **state)
{
    (void)state;
    static const char text[] = "before\n" BEGIN "AAEC\n" END "between\n-----END C-----\n"
                               "-----BEGIN C----- \t\r\nAw\r\n== \r\n-----END C-----";
    struct cursor c = cursor_of(text, strlen(text));
    struct pem_block b;
    AUTO(buf) bytes = BUF_INIT(10);
    assert_int_equal(pem_next(&c, &b, NULL), 1);
    assert_true(pem_is(&b, "A B"));
    assert_false(pem_is(&b, "A"));
    assert_false(pem_is(&b, "A C"));
    assert_int_equal(pem_bytes(&b, &bytes), 0);
    assert_int_equal(bytes.len, 3);
    assert_memory_equal(bytes.data, "\0\1\2", 3);
    assert_int_equal(pem_next(&c, &b, NULL), 1);
    assert_true(pem_is(&b, "C"));
    assert_int_equal(pem_bytes(&b, &bytes), 0); /* appended */
    assert_int_equal(bytes.len, 4);
    assert_memory_equal(bytes.data, "\0\1\2\3", 4);
    assert_int_equal(pem_next(&c, &b, NULL), 0);
    assert_int_equal(pem_next(&c, &b, NULL), 0);
}

static void what_is_no_block_is_text_or_an_error(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words; /* NULL: text */
    } table[] = {
        {"", NULL},
        {"-----BEGIN A-----x\n", NULL},
        {" -----BEGIN A-----\n", NULL},
        {"-----BEGIN A----\n", NULL},
        {"-----BEGIN -----", "the block  has no END line"},
        {"-----BEGIN ----\n", NULL}, /* the dashes are not counted twice */
        {"-----BEGIN A-----", "the block A has no END line"},
        {"-----BEGIN A-----\n-----END A----\n", "the block A has no END line"},
        {"-----BEGIN A-----\n-----BEGIN A-----\n-----END A-----\n", "the block A has no END line"},
        {BEGIN "-----END A-----\n", "the block A B ends as A"},
        {BEGIN "-----END A C-----\n", "the block A B ends as A C"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct cursor c = cursor_of(table[i].text, strlen(table[i].text));
        struct pem_block b = {.n_label = 77};
        struct err e = {0};
        int r = pem_next(&c, &b, &e);
        assert_string_equal(e.msg, table[i].words ? table[i].words : "");
        assert_int_equal(r, table[i].words ? -E_PARSE : 0);
        assert_int_equal(b.n_label, 77);
    }
}

static void a_body_is_base64_in_lines(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int r;
    } table[] = {
        {"", 0},
        {"AA==\n", 0},
        {"A\nA\n=\n=\n", 0},
        {"\n\nAA== \t\r\n\n", 0},
        {"AAAAAAAAAAAAAAAA\n", -EMSGSIZE}, /* of the buffer */
        {"AA=\n", -E_PARSE},
        {"AB==\n", -E_PARSE}, /* bits left over */
        {"AA==AAAA\n", -E_PARSE},
        {" AA==\n", -E_PARSE},
        {"A A==\n", -E_PARSE},
        {"A\rA==\n", -E_PARSE},
        {"AA-_\n", -E_PARSE},
        {"Key: value\n\nAA==\n", -E_PARSE},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct pem_block b = {.body = table[i].body, .n_body = strlen(table[i].body)};
        AUTO(buf) bytes = BUF_INIT(10);
        assert_int_equal(pem_bytes(&b, &bytes), table[i].r);
    }
}

static void a_label_is_shown_printable_and_short(void **state)
{
    (void)state;
    char text[PEM_LABEL_TEXT];
    struct pem_block b = {.label = "A\n\x7f\xff", .n_label = 4};
    assert_string_equal(pem_label_text(&b, text), "A???");
    b = (struct pem_block){.label = "0123456789012345678901234567890123456789", .n_label = 40};
    assert_string_equal(pem_label_text(&b, text), b.label);
    b = (struct pem_block){.label = "01234567890123456789012345678901234567890", .n_label = 41};
    assert_string_equal(pem_label_text(&b, text), "0123456789012345678901234567890123456789...");
}

static void a_certificate_is_written_in_lines_of_64(void **state)
{
    (void)state;
    static const unsigned char der[49] = {0};
    static const struct {
        size_t n;
        const char *body;
    } table[] = {
        {0, ""},
        {1, "AA==\n"},
        {48, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"},
        {49, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nAA==\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO_FREE char *text = pem_certificate(der, table[i].n);
        AUTO_FREE char *expected =
            mem_printf("-----BEGIN CERTIFICATE-----\n%s-----END CERTIFICATE-----\n", table[i].body);
        assert_non_null(text);
        assert_string_equal(text, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_come_one_after_another),
        cmocka_unit_test(what_is_no_block_is_text_or_an_error),
        cmocka_unit_test(a_body_is_base64_in_lines),
        cmocka_unit_test(a_label_is_shown_printable_and_short),
        cmocka_unit_test(a_certificate_is_written_in_lines_of_64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
