/* What a check of a tunnel's CA says when memory runs out: that there is none, never that a rule is
 * broken, and never that a broken one is kept. */
#include "base/err.h"
#include "crypto/authority.h"
#include "unit/crypto/authority_certs.h"

#include "unit/exhaust.h"

#define NOW_US 1796000000000000LL /* 2026-11-30 */

static const struct row {
    const char *name, *pem;
    int verdict;
} rows[] = {
    {"COMPRESSED", CERT_COMPRESSED, 0}, /* of all it makes libcrypto fail in the most ways */
    {"DAMAGED", CERT_DAMAGED, -E_DENIED},
};
static const struct row *row;

static void check(void)
{
    struct authority_facts facts = {.ends_us = 7};
    struct err e = {0};
    int r = authority_check(row->pem, strlen(row->pem), NOW_US, &facts, &e);
    const bool failed = exhaust.failed;
    exhaust.armed = false; /* what follows needs memory */
    if (r != row->verdict && !(failed && r == -ENOMEM)) {
        fprintf(stderr, "%s: %d, %s\n", row->name, r, e.msg);
        _exit(3);
    }
    if (r < 0 && (e.code != r || facts.ends_us != 7))
        _exit(4);
}

static void a_check_without_memory(void **state)
{
    (void)state;
    for (row = rows; row < rows + ARRAY_LEN(rows); row++)
        exhaust_each(row->name, check);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_check_without_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
