/* Authorities and leaves, as the openssl command line sees them. */
#include "unit/io/certificate.h"
#include "unit/loop.h"
#include "base/rng.h"
#include "base/secret.h"
#include "base/time.h"
#include "crypto/cert.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define YEAR_S (365 * 86400)

static char dir[64], ca_file[96], leaf_file[96], text_file[96];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/sallyport-test-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(ca_file, sizeof(ca_file), "%s/ca.pem", dir);
    (void)snprintf(leaf_file, sizeof(leaf_file), "%s/leaf.der", dir);
    (void)snprintf(text_file, sizeof(text_file), "%s/text", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(ca_file);
    (void)unlink(leaf_file);
    (void)unlink(text_file);
    return rmdir(dir);
}

static void write_file(const char *path, const void *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), (ssize_t)n);
    (void)close(fd);
}

static struct cert_ca *ca_of(const char *const *permitted, size_t n)
{
    struct cert_ca_options o = {
        .lifetime_s = YEAR_S, .permitted = permitted, .n_permitted = n, .name = "Test CA"};
    struct cert_ca *ca;
    struct err e = {0};
    if (cert_ca_new(&o, &ca, &e) < 0)
        fail_msg("%s", e.msg);
    return ca;
}

static struct cert_identity *leaf_of(struct cert_ca *ca, const char *host, bool is_ip)
{
    struct cert_identity *id;
    struct err e = {0};
    if (cert_leaf(ca, host, is_ip, &id, &e) < 0)
        fail_msg("%s", e.msg);
    return id;
}

static void write_files(const struct cert_ca *ca, const struct cert_identity *id)
{
    size_t n;
    const unsigned char *der = cert_identity_der(id, &n);
    write_file(ca_file, cert_ca_pem(ca), strlen(cert_ca_pem(ca)));
    write_file(leaf_file, der, n);
}

/* What openssl says to the leaf in the file. On a loop. */
static bool verifies(const char *host, bool is_ip)
{
    const char *const argv[] = {"openssl",
                                "verify",
                                "-x509_strict",
                                "-check_ss_sig",
                                "-purpose",
                                "sslserver",
                                "-CAfile",
                                ca_file,
                                is_ip ? "-verify_ip" : "-verify_hostname",
                                host,
                                leaf_file,
                                NULL};
    return openssl_run(argv) == 0;
}

/* `openssl x509 -text` of a file. On a loop. */
static char *text_of(const char *file)
{
    static char text[8192];
    const char *const argv[] = {"openssl", "x509", "-noout", "-text", "-in", file, NULL};
    int fd = open(text_file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(openssl_run_to(argv, fd), 0);
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    assert_true(n > 0);
    text[n] = '\0';
    (void)close(fd);
    return text;
}

static void assert_says(const char *text, const char *words)
{
    if (!strstr(text, words))
        fail_msg("\"%s\" is not in: %s", words, text);
}

/* ---- tests ---- */

static char long_name[] =
    "a-label-that-is-long.another-label-that-is-long.yet-another-label-of-some-length."
    "example.com";

static int strict(void *arg)
{
    (void)arg;
    struct cert_ca *ca = ca_of(NULL, 0);
    const struct {
        const char *host;
        bool is_ip;
    } cases[] = {
        {"api.example.com", false}, {"x", false},        {"_service.under-score.example", false},
        {long_name, false},         {"127.0.0.1", true}, {"fd00::1", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cert_identity *id = leaf_of(ca, cases[i].host, cases[i].is_ip);
        write_files(ca, id);
        assert_true(verifies(cases[i].host, cases[i].is_ip));
        assert_false(verifies("other.example.com", false));
        assert_false(verifies("127.0.0.2", true));
        cert_identity_unref(id);
    }
    struct cert_ca *other = ca_of(NULL, 0);
    struct cert_identity *id = leaf_of(other, "api.example.com", false);
    write_files(ca, id);
    assert_false(verifies("api.example.com", false));
    cert_identity_unref(id);
    cert_ca_free(other);
    cert_ca_free(ca);
    return 0;
}
ON_LOOP(strict)

static int fields(void *arg)
{
    (void)arg;
    struct cert_ca *ca = ca_of(NULL, 0);
    struct cert_identity *id = leaf_of(ca, "api.example.com", false);
    write_files(ca, id);
    const char *text = text_of(ca_file);
    assert_says(text, "Subject: CN = Test CA");
    assert_says(text, "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0");
    assert_says(text, "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign");
    assert_says(text, "Subject Key Identifier");
    assert_null(strstr(text, "Name Constraints"));
    text = text_of(leaf_file);
    assert_says(text, "Version: 3");
    assert_says(text, "Signature Algorithm: ecdsa-with-SHA256");
    assert_says(text, "Issuer: CN = Test CA");
    assert_says(text, "Subject: CN = api.example.com");
    assert_says(text, "NIST CURVE: P-256");
    assert_says(text, "X509v3 Subject Alternative Name: \n                DNS:api.example.com\n");
    assert_says(text, "X509v3 Basic Constraints: critical\n                CA:FALSE");
    assert_says(text, "X509v3 Key Usage: critical\n                Digital Signature\n");
    assert_says(text,
                "X509v3 Extended Key Usage: \n                TLS Web Server Authentication\n");
    assert_says(text, "Authority Key Identifier");
    cert_identity_unref(id);
    id = leaf_of(ca, "10.1.2.3", true);
    write_files(ca, id);
    assert_says(text_of(leaf_file),
                "X509v3 Subject Alternative Name: critical\n                IP Address:10.1.2.3\n");
    cert_identity_unref(id);
    id = leaf_of(ca, long_name, false);
    write_files(ca, id);
    text = text_of(leaf_file);
    assert_says(text, "Subject: \n");
    assert_says(text, "X509v3 Subject Alternative Name: critical");
    cert_identity_unref(id);
    cert_ca_free(ca);
    return 0;
}
ON_LOOP(fields)

static int constraints(void *arg)
{
    (void)arg;
    static const char *const names[] = {"example.com", "db.internal"};
    static const char *const both[] = {"example.com", "10.0.0.0/8", "fd00::/8", "192.168.1.7"};
    static const char *const addresses[] = {"10.20.0.0/15"};
    static const struct {
        const char *const *permitted;
        size_t n;
        const char *host;
        bool is_ip, good;
    } cases[] = {
        {names, 2, "example.com", false, true},      {names, 2, "api.example.com", false, true},
        {names, 2, "db.internal", false, true},      {names, 2, "notexample.com", false, false},
        {names, 2, "example.org", false, false},     {names, 2, "10.0.0.1", true, false},
        {both, 4, "api.example.com", false, true},   {both, 4, "10.255.0.1", true, true},
        {both, 4, "11.0.0.1", true, false},          {both, 4, "fd12::1", true, true},
        {both, 4, "fe80::1", true, false},           {both, 4, "192.168.1.7", true, true},
        {both, 4, "192.168.1.8", true, false},       {both, 4, "example.org", false, false},
        {addresses, 1, "10.21.255.255", true, true}, {addresses, 1, "10.22.0.0", true, false},
        {addresses, 1, "example.com", false, false}, {addresses, 1, "fd00::1", true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cert_ca *ca = ca_of(cases[i].permitted, cases[i].n);
        struct cert_identity *id = leaf_of(ca, cases[i].host, cases[i].is_ip);
        write_files(ca, id);
        if (verifies(cases[i].host, cases[i].is_ip) != cases[i].good)
            fail_msg("%s: expected %d", cases[i].host, cases[i].good);
        assert_says(text_of(ca_file), "X509v3 Name Constraints: critical");
        cert_identity_unref(id);
        cert_ca_free(ca);
    }
    return 0;
}
ON_LOOP(constraints)

static int transfer(void *arg)
{
    (void)arg;
    struct cert_ca *ca = ca_of(NULL, 0), *copy;
    AUTO(secret) key = {0};
    struct err e = {0};
    const char *pem = cert_ca_pem(ca);
    assert_int_equal(cert_ca_key(ca, &key), 0);
    assert_int_equal(cert_ca_import(pem, strlen(pem), &key, &copy, &e), 0);
    assert_string_equal(cert_ca_pem(copy), pem);
    assert_int_equal(cert_ca_ends_s(copy), cert_ca_ends_s(ca));
    cert_ca_free(ca);
    struct cert_identity *id = leaf_of(copy, "api.example.com", false);
    write_files(copy, id);
    cert_ca_free(copy); /* the leaf stays */
    assert_true(verifies("api.example.com", false));
    cert_identity_unref(id);
    return 0;
}
ON_LOOP(transfer)

static void what_is_no_authority_is_not_imported(void **state)
{
    (void)state;
    struct cert_ca *ca = ca_of(NULL, 0), *other = ca_of(NULL, 0), *copy = NULL;
    AUTO(secret) key = {0};
    AUTO(secret) other_key = {0};
    AUTO(secret) bad = {0};
    AUTO(secret) longer = {0};
    AUTO(secret) unset = {0};
    assert_int_equal(cert_ca_key(ca, &key), 0);
    assert_int_equal(cert_ca_key(other, &other_key), 0);
    assert_int_equal(secret_set(&bad, "\x30\x03\x02\x01\x01", 5), 0);
    assert_int_equal(secret_room(&longer, key.len + 1), 0);
    memcpy(longer.data, key.data, key.len);
    const char *pem = cert_ca_pem(ca);
    AUTO_FREE char *twice = mem_printf("%s%s", pem, pem);
    AUTO_FREE char *cut = mem_strndup(pem, strlen(pem) - 30);
    AUTO_FREE char *bent = mem_strdup(pem);
    bent[60] = bent[60] == 'A' ? 'B' : 'A';
    const struct {
        const char *pem;
        const struct secret *key;
        const char *words;
    } cases[] = {
        {pem, &other_key, "does not belong"},
        {pem, &bad, "no EC key"},
        {pem, &longer, "no EC key"},
        {pem, &unset, "no EC key"},
        {twice, &key, "not one certificate"},
        {cut, &key, "not one certificate"},
        {"", &key, "not one certificate"},
        {"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", &key, "not one certificate"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = {0};
        int r = cert_ca_import(cases[i].pem, strlen(cases[i].pem), cases[i].key, &copy, &e);
        assert_int_equal(r, -E_PARSE);
        assert_says(e.msg, cases[i].words);
        assert_null(copy);
    }
    struct err e = {0};
    if (cert_ca_import(bent, strlen(bent), &key, &copy, &e) == 0) /* a bit of a signature, say */
        cert_ca_free(copy);
    cert_ca_free(ca);
    cert_ca_free(other);
}

static void bad_options_and_hosts_are_refused_with_words(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Example.com",   "a,DNS:b",      "10.0.0.0/33",   "",    "10.0.0.0/-1", "a..b", ".a",
        "*.example.com", "10.0.0.0/8/8", "example.com/8", "a b", "fd00::/129"};
    struct err e = {0};
    struct cert_ca *ca = NULL;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct cert_ca_options o = {.lifetime_s = YEAR_S, .permitted = &bad[i], .n_permitted = 1};
        assert_int_equal(cert_ca_new(&o, &ca, &e), -EINVAL);
        assert_says(e.msg, "name constraint");
    }
    assert_int_equal(cert_ca_new(&(struct cert_ca_options){.lifetime_s = 1}, &ca, &e), -EINVAL);
    assert_int_equal(cert_ca_new(&(struct cert_ca_options){.lifetime_s = 20LL * YEAR_S}, &ca, &e),
                     -EINVAL);
    struct cert_ca_options unnamed = {.lifetime_s = YEAR_S, .name = ""};
    assert_int_equal(cert_ca_new(&unnamed, &ca, &e), -EINVAL);
    assert_null(ca);
    ca = ca_of(NULL, 0);
    static const struct {
        const char *host;
        bool is_ip;
    } hosts[] = {{"", false},     {"a b", false},  {"A", false},    {"a\n", false}, {"*.a", false},
                 {"a..b", false}, {".a", false},   {"a.", false},   {"", true},     {"a", true},
                 {"[::1]", true}, {"1.2.3", true}, {"a\x80", false}};
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        struct cert_identity *id = NULL;
        assert_int_equal(cert_leaf(ca, hosts[i].host, hosts[i].is_ip, &id, &e), -EINVAL);
        assert_null(id);
    }
    char host[300];
    memset(host, 'a', sizeof(host));
    host[254] = '\0';
    struct cert_identity *id = NULL;
    assert_int_equal(cert_leaf(ca, host, false, &id, &e), -EINVAL);
    host[253] = '\0';
    assert_int_equal(cert_leaf(ca, host, false, &id, &e), 0);
    cert_identity_unref(id);
    cert_ca_free(ca);
}

static int validity(void *arg)
{
    (void)arg;
    const int64_t now_us = 1790000000LL * US_PER_S; /* 2026-09-21T14:13:20Z */
    time_test_set(0, now_us);
    struct cert_ca *ca = ca_of(NULL, 0);
    struct cert_identity *id = leaf_of(ca, "a.example", false);
    write_files(ca, id);
    cert_identity_unref(id);
    time_test_reset();
    assert_says(text_of(ca_file), "Not Before: Sep 20 14:13:20 2026 GMT");
    assert_says(text_of(ca_file), "Not After : Sep 21 14:13:20 2027 GMT");
    assert_says(text_of(leaf_file), "Not Before: Sep 20 14:13:20 2026 GMT");
    assert_says(text_of(leaf_file), "Not After : Dec 20 14:13:20 2026 GMT");
    time_test_set(0, now_us + (YEAR_S - 10LL) * US_PER_S); /* its authority ends in 10 s */
    id = leaf_of(ca, "a.example", false);
    write_files(ca, id);
    cert_identity_unref(id);
    time_test_reset();
    assert_says(text_of(leaf_file), "Not After : Sep 21 14:13:20 2027 GMT");
    time_test_set(0, now_us + (int64_t)YEAR_S * US_PER_S);
    struct err e = {0};
    assert_int_equal(cert_leaf(ca, "a.example", false, &id, &e), -EINVAL);
    assert_says(e.msg, "expired");
    time_test_reset();
    cert_ca_free(ca);
    return 0;
}
ON_LOOP(validity)

static int serials(void *arg)
{
    (void)arg;
    char first[128], *at;
    struct cert_ca *ca = ca_of(NULL, 0);
    struct cert_identity *id = leaf_of(ca, "a.example", false);
    write_files(ca, id);
    at = strstr(text_of(leaf_file), "Serial Number:");
    assert_non_null(at);
    (void)snprintf(first, sizeof(first), "%.80s", at);
    cert_identity_unref(id);
    id = leaf_of(ca, "a.example", false);
    write_files(ca, id);
    at = strstr(text_of(leaf_file), "Serial Number:");
    assert_non_null(at);
    assert_int_not_equal(strncmp(first, at, 80), 0);
    assert_null(strstr(first, "(Negative)"));
    cert_identity_unref(id);
    cert_ca_free(ca);
    return 0;
}
ON_LOOP(serials)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(strict),
        CASE(fields),
        CASE(constraints),
        CASE(transfer),
        cmocka_unit_test(what_is_no_authority_is_not_imported),
        cmocka_unit_test(bad_options_and_hosts_are_refused_with_words),
        CASE(validity),
        CASE(serials),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
