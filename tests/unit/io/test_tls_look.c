/* test_tls_look.c - who answers is seen, trusted or not, and nothing is said to it. */
#include "unit/io/tls_world.h"
#include "crypto/digest.h"

static struct world w;

static int setup(void **state)
{
    (void)state;
    return world_init(&w);
}

static int teardown(void **state)
{
    (void)state;
    return world_done(&w);
}

/* One look at an echo with `identity`. */
static struct tls_seen look(struct tls_trust *trust, struct cert_identity *identity,
                            const char *host)
{
    AUTO(scope) scope;
    scope_init(&scope);
    struct echo t;
    struct stream under;
    struct tls_seen seen;
    struct err e = {0};
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(20000);
    echo_start(&t, &scope, w.ctx, identity, NULL, &under);
    if (tls_look(trust, &(struct tls_connect_options){.host = host}, &under, &seen, &e) < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(scope_join(&scope), 0);
    assert_int_equal(t.handshake, 0);
    return seen;
}

static int trusted(void *arg)
{
    (void)arg;
    struct tls_trust *trust = world_trust(w.ca_file);
    struct cert_identity *id = world_leaf(w.ca, "a.example", false);
    struct tls_seen s = look(trust, id, "a.example");
    assert_true(s.verified);
    assert_string_equal(s.why, "");
    assert_string_equal(s.issuer, "CN=World CA");
    assert_string_equal(s.top, "CN=World CA");
    assert_int_equal(strlen(s.top_hash), DIGEST_SHA256_HEX - 1);
    s = look(trust, id, "b.example");
    assert_false(s.verified);
    assert_non_null(strstr(s.why, "for other hosts: a.example"));
    cert_identity_unref(id);
    tls_trust_free(trust);
    return 0;
}
ON_LOOP(trusted)

static int not_trusted(void *arg)
{
    (void)arg;
    struct cert_ca *box = world_ca("Zscaler \"Root\" CA\n\x1b[31m", NULL, 0);
    struct cert_identity *id = world_leaf(box, "a.example", false);
    struct tls_trust *trust = world_trust(w.ca_file);
    struct tls_seen s = look(trust, id, "a.example");
    assert_false(s.verified);
    assert_non_null(strstr(s.why, "unknown authority"));
    assert_non_null(strstr(s.top, "Zscaler"));
    assert_string_equal(s.top_hash, "");
    for (const char *p = s.top; *p; p++)
        assert_true(*p >= ' ' && *p < 127);
    /* A look leaves nothing behind that makes the next connection believe. */
    AUTO(scope) scope;
    scope_init(&scope);
    struct echo t;
    struct stream under, stream;
    struct err e = {0};
    echo_start(&t, &scope, w.ctx, id, NULL, &under);
    assert_int_equal(tls_connect(trust, &(struct tls_connect_options){.host = "a.example"}, &under,
                                 &stream, NULL, &e),
                     -E_TLS);
    assert_int_equal(scope_join(&scope), 0);
    cert_identity_unref(id);
    tls_trust_free(trust);
    cert_ca_free(box);
    return 0;
}
ON_LOOP(not_trusted)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(trusted),
        CASE(not_trusted),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
