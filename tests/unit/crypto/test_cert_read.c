/* test_cert_read.c - certificates and keys as the openssl command line makes them. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"
#include "crypto/cert.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_MAX 16384

static char dir[] = "/tmp/sallyport-test-XXXXXX";

/* Runs one line of shell in the directory. Its wait status, or -1. */
static int run(const char *line)
{
    AUTO_FREE char *command = mem_printf("cd %s && { %s ; } >/dev/null 2>&1", dir, line);
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

static void sh(const char *line)
{
    if (run(line) != 0)
        fail_msg("%s", line);
}

static size_t text_of(const char *name, char ret[TEXT_MAX])
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, ret, TEXT_MAX);
    assert_in_range(n, 1, TEXT_MAX - 1);
    return (size_t)n;
}

#define REQ                                                                                        \
    "openssl req -x509 -nodes -subj /CN=x -days 30 -addext "                                       \
    "subjectAltName=DNS:*.t.example,DNS:a.example -addext basicConstraints=critical,CA:FALSE "

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    sh(REQ "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout ec.key -out ec.pem");
    sh(REQ "-newkey rsa:2048 -keyout rsa.key -out rsa.pem");
    sh(REQ "-newkey rsa:1024 -keyout weak.key -out weak.pem");
    sh(REQ "-newkey ed25519 -keyout ed.key -out ed.pem");
    sh("openssl req -x509 -nodes -subj /CN=ca -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
       "-addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem");
    sh("openssl ec -in ec.key -out sec1.key");
    sh("openssl rsa -in rsa.key -traditional -out pkcs1.key");
    sh("openssl ec -in ec.key -aes256 -passout pass:secret -out locked1.key");
    sh("openssl pkcs8 -topk8 -in ec.key -passout pass:secret -out locked8.key");
    sh("cat ec.pem ca.pem > chain.pem; { openssl ecparam -name P-256; cat sec1.key; } > param.key");
    sh("sed 's/^MII./AAAA/' ec.pem > damaged.pem; head -c 200 ec.key > cut.key; : > empty; echo x "
       "> none");
    sh("cat ec.key ec.pem > both.pem; cat ec.pem ec.key > onefile.pem");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    int r = run("rm *");
    return r == 0 ? rmdir(dir) : r;
}

static int read_pair(const char *cert, const char *key, struct cert_identity **ret, struct err *e)
{
    static char c[TEXT_MAX], k[TEXT_MAX];
    size_t n_c = text_of(cert, c), n_k = text_of(key, k);
    return cert_identity_read(c, n_c, "tls.cert_file", k, n_k, "tls.key_file", ret, e);
}

static void what_servers_use_is_read(void **state)
{
    static const char *const good[][2] = {
        {"ec.pem", "ec.key"},           {"ec.pem", "sec1.key"},  {"rsa.pem", "rsa.key"},
        {"rsa.pem", "pkcs1.key"},       {"chain.pem", "ec.key"}, {"ec.pem", "param.key"},
        {"onefile.pem", "onefile.pem"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct cert_identity *id = NULL;
        struct err e = {0};
        if (read_pair(good[i][0], good[i][1], &id, &e) < 0)
            fail_msg("%s, %s: %s", good[i][0], good[i][1], e.msg);
        size_t n;
        assert_non_null(cert_identity_der(id, &n));
        assert_true(n > 100);
        cert_identity_unref(id);
    }
}

static void what_cannot_serve_is_refused(void **state)
{
    static const struct {
        const char *cert, *key, *words;
        int code;
    } bad[] = {
        {"ec.pem", "rsa.key",
         "the key in tls.key_file does not belong to the certificate in tls.cert_file", -E_DENIED},
        {"ca.pem", "ca.key",
         "tls.cert_file is the certificate of an authority; a server shows one that the authority "
         "has signed",
         -E_DENIED},
        {"weak.pem", "weak.key",
         "the RSA key in tls.key_file has 1024 bits; callers want 2048 at least", -E_DENIED},
        {"ed.pem", "ed.key", "the key in tls.key_file is neither RSA nor EC, which callers want",
         -E_DENIED},
        {"ec.pem", "locked8.key",
         "tls.key_file is encrypted with a passphrase, which nobody is there to type; store it "
         "without one, readable for nobody else",
         -E_PARSE},
        {"ec.pem", "locked1.key",
         "tls.key_file is encrypted with a passphrase, which nobody is there to type; store it "
         "without one, readable for nobody else",
         -E_PARSE},
        {"ec.pem", "ec.pem", "tls.key_file holds no private key that can be read", -E_PARSE},
        {"ec.pem", "none", "tls.key_file holds no private key that can be read", -E_PARSE},
        {"none", "ec.key", "tls.cert_file does not begin with a certificate as PEM", -E_PARSE},
        {"both.pem", "ec.key", "tls.cert_file does not begin with a certificate as PEM", -E_PARSE},
        {"damaged.pem", "ec.key", "tls.cert_file: the first certificate in it is damaged",
         -E_PARSE},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct cert_identity *id = NULL;
        struct err e = {0};
        assert_int_equal(read_pair(bad[i].cert, bad[i].key, &id, &e), bad[i].code);
        assert_string_equal(e.msg, bad[i].words);
        assert_null(id);
    }
}

static void a_cut_key_is_told(void **state)
{
    struct cert_identity *id = NULL;
    struct err e = {0};
    (void)state;
    assert_int_equal(read_pair("ec.pem", "cut.key", &id, &e), -E_PARSE);
    assert_memory_equal(e.msg, "tls.key_file: ", 14);
}

static void it_tells_when_and_for_whom_it_is_valid(void **state)
{
    struct cert_identity *id = NULL;
    struct err e = {0};
    int64_t begins_s, ends_s, now_s = time_real_us() / US_PER_S;
    (void)state;
    assert_int_equal(read_pair("ec.pem", "ec.key", &id, &e), 0);
    cert_identity_times(id, &begins_s, &ends_s);
    assert_in_range(begins_s, now_s - 600, now_s);
    assert_int_equal(ends_s - begins_s, 30 * 86400);
    assert_true(cert_identity_is_for(id, "wiki.t.example"));
    assert_true(cert_identity_is_for(id, "a.example"));
    assert_false(cert_identity_is_for(id, "t.example"));
    assert_false(cert_identity_is_for(id, "a.wiki.t.example"));
    assert_false(cert_identity_is_for(id, "x"));
    cert_identity_unref(id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_servers_use_is_read),
        cmocka_unit_test(what_cannot_serve_is_refused),
        cmocka_unit_test(a_cut_key_is_told),
        cmocka_unit_test(it_tells_when_and_for_whom_it_is_valid),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
