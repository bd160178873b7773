/* test_jks.c - PEM in, Java's trust store out, byte by byte; box/test_doors_names.c has a Java read one. */
#include "unit/unit.h"

#include <string.h>

#include "base/buf.h"
#include "sandbox/build/jks.h"
#include "unit/boundary_ca.h"

static uint32_t u32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

/* Walks the store; the number of entries, each of which must be a certificate in DER. */
static unsigned walk(const struct buf *b)
{
    assert_true(b->len >= 32);
    assert_int_equal(u32(b->data), 0xfeedfeed);
    assert_int_equal(u32(b->data + 4), 2);
    const unsigned n = u32(b->data + 8);
    size_t at = 12;
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(u32(b->data + at), 2);
        const size_t alias = (unsigned char)b->data[at + 5];
        assert_int_equal(b->data[at + 4], 0);
        at += 6 + alias + 8;
        assert_memory_equal(b->data + at, "\0\5X.509", 7);
        const uint32_t der = u32(b->data + at + 7);
        at += 11;
        assert_true(at + der + 20 <= b->len);
        assert_int_equal((unsigned char)b->data[at], 0x30);
        at += der;
    }
    assert_int_equal(b->len - at, 20);
    return n;
}

static void certificates_become_entries(void **state)
{
    (void)state;
    static const struct {
        const char *pem;
        unsigned n;
    } table[] = {
        {"", 0},
        {"nothing", 0},
        {BOUNDARY_CA, 1},
        {"# a name\n" BOUNDARY_CA "text\n" BOUNDARY_LEAF "more", 2},
        {BOUNDARY_CA_TRIMMED, 1},
        {BOUNDARY_CA "-----BEGIN CERTIFICATE-----\n", 1},
        {"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n" BOUNDARY_CA, 1},
        {"-----BEGIN CERTIFICATE----------END CERTIFICATE-----\n" BOUNDARY_CA, 1},
        {"-----BEGIN TRUSTED CERTIFICATE-----\nMAA=\n-----END TRUSTED CERTIFICATE-----\n", 0},
        {BOUNDARY_LEAF_KEY, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO(buf) b = BUF_INIT(1u << 20);
        assert_int_equal(jks_from_pem(&b, table[i].pem, strlen(table[i].pem)), table[i].n);
        assert_int_equal(walk(&b), table[i].n);
    }
}

static void a_store_that_does_not_fit_is_an_error(void **state)
{
    (void)state;
    AUTO(buf) b = BUF_INIT(100);
    assert_true(jks_from_pem(&b, BOUNDARY_CA, strlen(BOUNDARY_CA)) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_become_entries),
        cmocka_unit_test(a_store_that_does_not_fit_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
