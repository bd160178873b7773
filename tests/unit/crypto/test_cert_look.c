/* test_cert_look.c - for whom a certificate is, and who has signed it. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "crypto/cert.h"

#include <string.h>

static struct cert_ca *ca_of(const char *name)
{
    struct cert_ca *ca = NULL;
    struct err e = {0};
    if (cert_ca_new(&(struct cert_ca_options){.name = name, .lifetime_s = 86400}, &ca, &e) < 0)
        fail_msg("%s", e.msg);
    return ca;
}

static struct cert_identity *leaf_of(struct cert_ca *ca, const char *host, bool is_ip)
{
    struct cert_identity *id = NULL;
    struct err e = {0};
    if (cert_leaf(ca, host, is_ip, &id, &e) < 0)
        fail_msg("%s", e.msg);
    return id;
}

static void names_and_addresses_are_shown(void **state)
{
    static const struct {
        const char *host;
        bool is_ip;
    } rows[] = {{"a.example", false}, {"10.0.0.7", true}, {"fd00::7", true}};
    (void)state;
    struct cert_ca *ca = ca_of("One CA\n\x1b[31m");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cert_identity *id = leaf_of(ca, rows[i].host, rows[i].is_ip);
        AUTO(buf) hosts = BUF_INIT(1024), issuer = BUF_INIT(1024);
        assert_int_equal(cert_identity_hosts(id, &hosts), 0);
        assert_string_equal(buf_str(&hosts), rows[i].host);
        assert_int_equal(cert_identity_issuer(id, &issuer), 0);
        assert_non_null(strstr(buf_str(&issuer), "CN=One CA"));
        for (const char *p = buf_str(&issuer); *p; p++)
            assert_true(*p >= ' ' && *p < 127);
        cert_identity_unref(id);
    }
    cert_ca_free(ca);
}

static int signed_by(const struct cert_identity *id, const char *pem, struct err *e)
{
    *e = (struct err){0};
    return cert_identity_signed_by(id, pem, strlen(pem), e);
}

/* One of the same name has another key: the name decides nothing. */
static void only_who_has_signed_it_has(void **state)
{
    struct err e;
    (void)state;
    struct cert_ca *one = ca_of("One CA"), *same_name = ca_of("One CA"), *other = ca_of("Other CA");
    struct cert_identity *id = leaf_of(one, "a.example", false);
    assert_int_equal(signed_by(id, cert_ca_pem(one), &e), 0);
    assert_int_equal(signed_by(id, cert_ca_pem(same_name), &e), -E_DENIED);
    assert_non_null(strstr(e.msg, "One CA\" has not signed it"));
    assert_int_equal(signed_by(id, cert_ca_pem(other), &e), -E_DENIED);
    assert_int_equal(signed_by(id, "nothing", &e), -E_PARSE);
    assert_int_equal(signed_by(id, "", &e), -E_PARSE);
    cert_identity_unref(id);
    cert_ca_free(one);
    cert_ca_free(same_name);
    cert_ca_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_addresses_are_shown),
        cmocka_unit_test(only_who_has_signed_it_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
