/* test_cert_issue.c - a CA in files and what it signs, read back here and judged by the openssl command line. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/secret.h"
#include "base/time.h"
#include "crypto/authority.h"
#include "crypto/cert_issue.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_MAX 16384
#define DAY_S    86400
#define YEARS_S  (5 * 365LL * DAY_S)
#define LIFE_S   (90LL * DAY_S)

static char dir[] = "/tmp/sallyport-test-XXXXXX";

/* Runs one line of shell in the directory, its output in the file "out". Its wait status, or -1. */
static int run(const char *line)
{
    AUTO_FREE char *command = mem_printf("cd %s && { %s ; } >out 2>&1", dir, line);
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

static void put(const char *name, const char *text, size_t n)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, n), 0);
}

static size_t get(const char *name, char ret[TEXT_MAX])
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, ret, TEXT_MAX - 1);
    assert_in_range(n, 0, TEXT_MAX - 2);
    ret[n] = '\0';
    return (size_t)n;
}

static void sh(const char *line)
{
    static char said[TEXT_MAX];
    if (run(line) != 0) {
        (void)get("out", said);
        fail_msg("%s: %s", line, said);
    }
}

/* Expects that the last command has printed this. */
static void has(const char *words)
{
    static char said[TEXT_MAX];
    (void)get("out", said);
    if (!strstr(said, words))
        fail_msg("no \"%s\" in: %s", words, said);
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    AUTO_FREE char *command = mem_printf("rm -rf %s", dir);
    return run(command) == 0 ? 0 : -1;
}

static struct cert_issuer *new_ca(int64_t lifetime_s)
{
    struct cert_issuer *ca = NULL;
    struct err e = {0};
    if (cert_issuer_new("Sallyport CA", lifetime_s, NULL, NULL, &ca, &e) < 0)
        fail_msg("%s", e.msg);
    return ca;
}

/* One server's certificate with its key in the file "server.pem". */
static struct cert_identity *issue(const struct cert_issuer *ca, const char *name,
                                   const struct cert_identity *like, int64_t lifetime_s)
{
    struct secret text = {0};
    struct cert_identity *id = NULL;
    struct err e = {0};
    size_t n = 0;
    if (cert_issue(ca, name, like, lifetime_s, &text, &n, &e) < 0)
        fail_msg("%s", e.msg);
    put("server.pem", text.data, text.len);
    if (cert_identity_read(text.data, n, "cert", text.data + n, text.len - n, "key", &id, &e) < 0)
        fail_msg("%s", e.msg);
    secret_done(&text);
    return id;
}

static void a_new_ca_is_what_a_tunnel_takes(void **state)
{
    struct authority_facts facts;
    struct err e = {0};
    int64_t begins_s, ends_s, now_s = time_real_us() / US_PER_S;
    (void)state;
    struct cert_issuer *ca = new_ca(YEARS_S);
    const char *pem = cert_issuer_pem(ca);
    if (authority_check(pem, strlen(pem), time_real_us(), &facts, &e) < 0)
        fail_msg("%s", e.msg);
    cert_issuer_times(ca, &begins_s, &ends_s);
    assert_in_range(begins_s, now_s - CERT_ISSUE_BACKDATE_S, now_s - CERT_ISSUE_BACKDATE_S + 60);
    assert_in_range(ends_s, now_s + YEARS_S, now_s + YEARS_S + 60);
    assert_int_equal(facts.ends_us, ends_s * US_PER_S);
    put("ca.pem", pem, strlen(pem));
    sh("openssl x509 -in ca.pem -noout -text");
    static const char *const fields[] = {
        "Version: 3 (0x2)",
        "Signature Algorithm: ecdsa-with-SHA256",
        "Issuer: CN = Sallyport CA\n",
        "Subject: CN = Sallyport CA\n",
        "NIST CURVE: P-256",
        "X509v3 Basic Constraints: critical\n                CA:TRUE\n",
        "X509v3 Key Usage: critical\n                Certificate Sign\n",
        "X509v3 Subject Key Identifier: \n",
    };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        has(fields[i]);
    sh("openssl verify -x509_strict -CAfile ca.pem ca.pem");
    cert_issuer_free(ca);
}

static void what_it_signs_is_what_callers_want(void **state)
{
    int64_t begins_s, ends_s, now_s = time_real_us() / US_PER_S;
    (void)state;
    struct cert_issuer *ca = new_ca(YEARS_S), *other = new_ca(YEARS_S);
    struct cert_identity *id = issue(ca, "*.t-1.tunnel.example", NULL, LIFE_S);
    cert_identity_times(id, &begins_s, &ends_s);
    assert_in_range(begins_s, now_s - CERT_ISSUE_BACKDATE_S, now_s - CERT_ISSUE_BACKDATE_S + 60);
    assert_in_range(ends_s, now_s + LIFE_S, now_s + LIFE_S + 60);
    assert_true(cert_identity_is_for(id, "wiki.t-1.tunnel.example"));
    assert_false(cert_identity_is_for(id, "t-1.tunnel.example"));
    assert_false(cert_identity_is_for(id, "a.wiki.t-1.tunnel.example"));
    assert_true(cert_issuer_has_signed(ca, id));
    assert_false(cert_issuer_has_signed(other, id)); /* of the same name, with another key */
    put("ca.pem", cert_issuer_pem(ca), strlen(cert_issuer_pem(ca)));
    sh("openssl verify -x509_strict -purpose sslserver -verify_hostname wiki.t-1.tunnel.example "
       "-CAfile ca.pem server.pem");
    assert_int_not_equal(run("openssl verify -purpose sslclient -CAfile ca.pem server.pem"), 0);
    sh("openssl x509 -in server.pem -noout -text");
    static const char *const fields[] = {
        "Version: 3 (0x2)",
        "Signature Algorithm: ecdsa-with-SHA256",
        "Issuer: CN = Sallyport CA\n",
        "Subject: CN = Sallyport gateway\n",
        "NIST CURVE: P-256",
        "X509v3 Subject Alternative Name: \n                DNS:*.t-1.tunnel.example\n",
        "X509v3 Basic Constraints: critical\n                CA:FALSE\n",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Extended Key Usage: \n                TLS Web Server Authentication\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        has(fields[i]);
    sh("a=$(openssl x509 -in server.pem -noout -ext authorityKeyIdentifier | tail -1 | tr -d ' ');"
       "s=$(openssl x509 -in ca.pem -noout -ext subjectKeyIdentifier | tail -1 | tr -d ' ');"
       "[ -n \"$a\" ] && [ \"$a\" = \"$s\" ]");
    cert_identity_unref(id);
    cert_issuer_free(other);
    cert_issuer_free(ca);
}

static void no_two_have_a_key_or_a_number_in_common(void **state)
{
    (void)state;
    struct cert_issuer *ca = new_ca(YEARS_S);
    cert_identity_unref(issue(ca, "*.a.example", NULL, LIFE_S));
    sh("openssl x509 -in server.pem -noout -serial -pubkey > first; openssl pkey -in server.pem "
       ">/dev/null");
    cert_identity_unref(issue(ca, "*.a.example", NULL, LIFE_S));
    sh("openssl x509 -in server.pem -noout -serial -pubkey > second;"
       "[ $(head -1 first) != $(head -1 second) ] && [ \"$(tail -n +2 first)\" != \"$(tail -n +2 "
       "second)\" ]");
    cert_issuer_free(ca);
}

static void a_ca_is_the_same_when_it_is_read_again(void **state)
{
    struct cert_issuer *again = NULL, *same_key = NULL, *without = NULL, *other = new_ca(YEARS_S);
    struct secret key = {0}, key2 = {0}, none = {0};
    struct err e = {0};
    size_t n;
    (void)state;
    struct cert_issuer *ca = new_ca(YEARS_S);
    const char *pem = cert_issuer_pem(ca);
    assert_int_equal(cert_issuer_key(ca, &key), 0);
    put("ca.key", key.data, key.len);
    sh("openssl pkey -in ca.key -noout -check");
    assert_int_equal(cert_issuer_read(pem, strlen(pem), "ca.pem", &key, "ca.key", &again, &e), 0);
    assert_string_equal(cert_issuer_pem(again), pem);
    struct cert_identity *id = issue(again, "*.a.example", NULL, LIFE_S);
    assert_true(cert_issuer_has_signed(ca, id));
    /* a certificate that was lost is made anew for the key: what was signed stays good */
    assert_int_equal(cert_issuer_new("Sallyport CA", YEARS_S, &key, "ca.key", &same_key, &e), 0);
    assert_true(cert_issuer_has_signed(same_key, id));
    /* without its key it can look, and not sign */
    assert_int_equal(cert_issuer_read(pem, strlen(pem), "ca.pem", NULL, NULL, &without, &e), 0);
    assert_false(cert_issuer_has_key(without));
    assert_true(cert_issuer_has_signed(without, id));
    assert_int_equal(cert_issue(without, "*.a.example", NULL, LIFE_S, &none, &n, &e), -EINVAL);
    assert_string_equal(e.msg, "the CA's key is not here");
    struct cert_issuer *wrong = NULL;
    assert_int_equal(cert_issuer_key(other, &key2), 0);
    assert_int_equal(cert_issuer_read(pem, strlen(pem), "ca.pem", &key2, "ca.key", &wrong, &e),
                     -E_DENIED);
    assert_string_equal(e.msg, "the key in ca.key does not belong to the CA in ca.pem");
    secret_done(&key);
    secret_done(&key2);
    cert_identity_unref(id);
    cert_issuer_free(without);
    cert_issuer_free(same_key);
    cert_issuer_free(other);
    cert_issuer_free(again);
    cert_issuer_free(ca);
}

/* One of somebody else's, with RSA, and names that are kept. */
static void the_openssl_commands_ca_signs_too(void **state)
{
    static char pem[TEXT_MAX], key[TEXT_MAX], old[TEXT_MAX];
    struct cert_issuer *ca = NULL;
    struct cert_identity *before = NULL;
    struct secret secret = {0};
    struct err e = {0};
    (void)state;
    sh("openssl req -x509 -nodes -newkey rsa:2048 -subj /CN=theirs -days 30 -addext "
       "keyUsage=critical,keyCertSign -keyout r.key -out r.pem");
    sh("openssl req -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-384 -subj /CN=x -keyout l.key "
       "-out l.csr; printf 'subjectAltName=DNS:*.t.example,DNS:a.b.t.example\\n"
       "authorityKeyIdentifier=keyid\\n' > ext; openssl x509 -req -in l.csr -CA r.pem -CAkey r.key "
       "-CAcreateserial -days 3 -extfile ext -out l.pem");
    size_t n = get("r.pem", pem), k = get("r.key", key), o = get("l.pem", old);
    assert_int_equal(secret_set(&secret, key, k), 0);
    if (cert_issuer_read(pem, n, "r.pem", &secret, "r.key", &ca, &e) < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(cert_identity_read(old, o, "l.pem", NULL, 0, "", &before, &e), 0);
    assert_true(cert_issuer_has_signed(ca, before));
    struct cert_identity *id = issue(ca, NULL, before, LIFE_S);
    assert_true(cert_identity_is_for(id, "a.b.t.example"));
    assert_true(cert_identity_is_for(id, "wiki.t.example"));
    int64_t begins_s, ends_s, ca_begins_s, ca_ends_s;
    cert_identity_times(id, &begins_s, &ends_s);
    cert_issuer_times(ca, &ca_begins_s, &ca_ends_s);
    assert_int_equal(ends_s, ca_ends_s); /* 30 days, not 90 */
    sh("openssl verify -x509_strict -purpose sslserver -verify_hostname a.b.t.example -CAfile "
       "r.pem "
       "server.pem");
    cert_identity_unref(id);
    cert_identity_unref(before);
    secret_done(&secret);
    cert_issuer_free(ca);
}

static void what_is_no_ca_is_refused(void **state)
{
    static const struct {
        const char *make, *words;
    } rows[] = {
        {"openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=x -days 3 "
         "-addext basicConstraints=critical,CA:FALSE -keyout x.key -out x.pem",
         "x.pem is not the certificate of a CA"},
        {"openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=x -days 3 "
         "-addext subjectKeyIdentifier=none -keyout x.key -out x.pem",
         "x.pem has no subject key identifier, by which what it signs names it"},
        {"echo hello > x.pem", "x.pem does not begin with a certificate as PEM"},
    };
    static char pem[TEXT_MAX];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cert_issuer *ca = NULL;
        struct err e = {0};
        sh(rows[i].make);
        size_t n = get("x.pem", pem);
        assert_true(cert_issuer_read(pem, n, "x.pem", NULL, NULL, &ca, &e) < 0);
        assert_string_equal(e.msg, rows[i].words);
    }
}

static void names_times_and_clocks_are_looked_at(void **state)
{
    struct secret out = {0};
    struct err e = {0};
    size_t n;
    (void)state;
    struct cert_issuer *ca = new_ca(10 * DAY_S), *none = NULL;
    static const char *const bad[] = {"",          "*",      "*.", "a b", "*.*.x.example",
                                      "A.example", "x,DNS:y"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(cert_issue(ca, bad[i], NULL, LIFE_S, &out, &n, &e), -EINVAL);
    assert_int_equal(cert_issue(ca, "*.a.example", NULL, 59, &out, &n, &e), -EINVAL);
    assert_int_equal(cert_issuer_new("", YEARS_S, NULL, NULL, &none, &e), -EINVAL);
    int64_t now_us = time_real_us();
    time_test_set(time_mono_ns(), now_us + 11LL * DAY_S * US_PER_S);
    assert_int_equal(cert_issue(ca, "*.a.example", NULL, LIFE_S, &out, &n, &e), -EINVAL);
    assert_string_equal(e.msg, "the CA has expired");
    time_test_set(time_mono_ns(), now_us - 2LL * DAY_S * US_PER_S);
    assert_int_equal(cert_issue(ca, "*.a.example", NULL, LIFE_S, &out, &n, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "is the clock of this machine right?"));
    time_test_reset();
    assert_null(out.data);
    cert_issuer_free(ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_ca_is_what_a_tunnel_takes),
        cmocka_unit_test(what_it_signs_is_what_callers_want),
        cmocka_unit_test(no_two_have_a_key_or_a_number_in_common),
        cmocka_unit_test(a_ca_is_the_same_when_it_is_read_again),
        cmocka_unit_test(the_openssl_commands_ca_signs_too),
        cmocka_unit_test(what_is_no_ca_is_refused),
        cmocka_unit_test(names_times_and_clocks_are_looked_at),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
