/* The cache of leaves: what stays, what goes, what is signed anew. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/time.h"
#include "crypto/cert.h"

#include <stdio.h>
#include <string.h>

#define DAY_US (86400 * US_PER_S)

static struct cert_ca *ca;

static int setup(void **state)
{
    (void)state;
    struct err e = {0};
    time_test_set(0, 1790000000LL * US_PER_S);
    return cert_ca_new(&(struct cert_ca_options){.lifetime_s = 365 * 86400}, &ca, &e);
}

static int teardown(void **state)
{
    (void)state;
    cert_ca_free(ca);
    time_test_reset();
    return 0;
}

static struct cert_identity *get(struct cert_cache *c, const char *host, bool is_ip)
{
    struct cert_identity *id;
    struct err e = {0};
    if (cert_cache_get(c, host, is_ip, &id, &e) < 0)
        fail_msg("%s", e.msg);
    return id;
}

/* Whether the cache gives the same one as before. */
static bool same(struct cert_cache *c, const char *host, bool is_ip, struct cert_identity *before)
{
    struct cert_identity *id = get(c, host, is_ip);
    bool r = id == before;
    cert_identity_unref(id);
    return r;
}

static void the_least_recently_used_leaf_goes_first(void **state)
{
    (void)state;
    struct cert_cache *c = cert_cache_new(ca, 3);
    struct cert_identity *a = get(c, "a.example", false), *b = get(c, "b.example", false);
    struct cert_identity *d = get(c, "d.example", false);
    assert_true(same(c, "a.example", false, a)); /* a is the most recent now, b the least */
    struct cert_identity *e = get(c, "e.example", false);
    assert_int_equal(cert_cache_n(c), 3);
    assert_true(same(c, "a.example", false, a));
    assert_true(same(c, "d.example", false, d));
    assert_true(same(c, "e.example", false, e));
    assert_false(same(c, "b.example", false, b)); /* signed anew */
    size_t n;
    assert_non_null(cert_identity_der(b, &n)); /* and the one in use is still there */
    assert_true(n > 200);
    cert_identity_unref(a);
    cert_identity_unref(b);
    cert_identity_unref(d);
    cert_identity_unref(e);
    cert_cache_free(c);
}

static void a_leaf_is_signed_anew_at_half_of_its_life(void **state)
{
    (void)state;
    struct cert_cache *c = cert_cache_new(ca, 3);
    struct cert_identity *a = get(c, "a.example", false);
    time_test_advance(44 * DAY_US * 1000);
    assert_true(same(c, "a.example", false, a));
    time_test_advance(2 * DAY_US * 1000);
    assert_false(same(c, "a.example", false, a));
    assert_int_equal(cert_cache_n(c), 1);
    cert_identity_unref(a);
    cert_cache_free(c);
}

static void names_and_addresses_are_told_apart(void **state)
{
    (void)state;
    struct cert_cache *c = cert_cache_new(ca, 10);
    struct cert_identity *name = get(c, "10.0.0.1", false);
    assert_false(same(c, "10.0.0.1", true, name));
    assert_int_equal(cert_cache_n(c), 2);
    cert_identity_unref(name);
    struct cert_identity *id = NULL;
    char host[400];
    struct err e = {0};
    memset(host, 'a', sizeof(host));
    for (size_t n = 252; n < sizeof(host); n++) {
        host[n] = '\0';
        assert_int_equal(cert_cache_get(c, host, false, &id, &e), n <= 253 ? 0 : -EINVAL);
        if (n <= 253)
            cert_identity_unref(id);
        host[n] = 'a';
    }
    assert_int_equal(cert_cache_get(c, "no host", false, &id, &e), -EINVAL);
    assert_int_equal(cert_cache_n(c), 4);
    cert_cache_free(c);
    cert_cache_free(NULL);
    cert_identity_unref(NULL);
    cert_ca_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_recently_used_leaf_goes_first),
        cmocka_unit_test(a_leaf_is_signed_anew_at_half_of_its_life),
        cmocka_unit_test(names_and_addresses_are_told_apart),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
