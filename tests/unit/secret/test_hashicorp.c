/* test_hashicorp.c - secrets from a vault: logins, refusals, standbys, and servers that misbehave. */
#include "unit/io/certificate.h"
#include "unit/secret/secret_world.h"
#include "unit/secret/vault_peer.h"
#include "base/log.h"
#include "base/time.h"
#include "secret/kind.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
    struct secret_world w;
    struct vault_peer peer, other;
};

static void begin(struct world *t)
{
    *t = (struct world){.peer = {.token = "hvs.root-token-1", .value = "hunter2"}};
    world_begin(&t->w);
    world_write(&t->w, "token", "hvs.root-token-1\n");
    vault_peer_begin(&t->peer);
}

static void end(struct world *t)
{
    static const char *const names[] = {"token", "secret_id", "role_id"};
    time_test_reset();
    vault_peer_end(&t->peer);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void)unlink(world_path(&t->w, names[i]));
    world_end(&t->w);
}

/* A source whose hashicorp member begins with the address of the peer, has `server` and `rest`. */
static struct secret_source *source(struct world *t, const char *more, const char *auth,
                                    const char *outer)
{
    AUTO_FREE char *config = mem_printf("{'hashicorp':{'address':'http://%s'%s,'auth':{%s}},%s}",
                                        t->peer.address, more, auth, outer);
    return world_source(&t->w, config);
}

#define TOKEN "'token':{'file':'$DIR/token'}"
#define APP   ",'path':'app'"
#define KEY   "'json_key':'key'"
#define ROLE  "'approle':{'role_id':'role-1','secret_id':{'file':'$DIR/secret_id'}}"

static int both_versions_and_dynamic_secrets_are_read(void *arg)
{
    (void)arg;
    static const struct {
        const char *more, *outer, *want;
    } rows[] = {
        {APP, KEY, "hunter2"},
        {APP ",'kv':2,'version':3", KEY, "hunter2"},
        {APP, "'json_key':'n'", "7"},
        {",'kv':1,'mount':'kv/team a','path':'app'", KEY, "hunter2"},
        {",'kv':1,'mount':'database','path':'creds/ro'", "'json_key':'password'", "hunter2"},
    };
    struct world t;
    begin(&t);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct secret_source *s = source(&t, rows[i].more, TOKEN, rows[i].outer);
        expect_got(s, rows[i].want);
        expect_got(s, rows[i].want);
        secret_source_unref(s);
    }
    assert_int_equal(t.peer.reads, ARRAY_LEN(rows));
    end(&t);
    return 0;
}
ON_LOOP(both_versions_and_dynamic_secrets_are_read)

/* 90 seconds: two thirds of them, then it is read again, long before the ttl. */
static int a_lease_ends_a_value_before_its_ttl(void *arg)
{
    (void)arg;
    struct world t;
    begin(&t);
    time_test_set(time_mono_ns(), time_real_us());
    struct secret_source *s = source(&t, ",'kv':1,'mount':'database','path':'creds/ro'", TOKEN,
                                     "'json_key':'password','ttl':'10m'");
    expect_got(s, "hunter2");
    t.peer.value = "hunter3";
    time_test_advance(60 * NS_PER_S - 1);
    expect_got(s, "hunter2");
    time_test_advance(1);
    expect_got(s, "hunter3");
    secret_source_unref(s);
    end(&t);
    return 0;
}
ON_LOOP(a_lease_ends_a_value_before_its_ttl)

static int refusals_are_told_and_withdraw_the_value(void *arg)
{
    (void)arg;
    static const struct {
        const char *more;
        int code;
        const char *words;
    } rows[] = {
        {",'path':'none'", -ENOENT, "there is no such secret; check mount, path and kv (HTTP 404)"},
        {",'path':'deleted'", -ENOENT, "this version was deleted"},
        {",'path':'destroyed'", -ENOENT, "this version was destroyed"},
        {",'path':'app','kv':1,'mount':'database/creds'", -ENOENT, "there is no such secret"},
    };
    struct world t;
    begin(&t);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct secret_source *s = source(&t, rows[i].more, TOKEN, KEY);
        expect_failure(s, rows[i].code, rows[i].words);
        secret_source_unref(s);
    }
    struct secret_source *s = source(&t, APP, TOKEN, "'json_key':'kee'");
    expect_failure(s, -ENOENT, "its JSON has no member \"kee\"");
    secret_source_unref(s);

    s = source(&t, APP, TOKEN, KEY);
    expect_got(s, "hunter2");
    t.peer.token = "hvs.another"; /* ours was revoked */
    secret_sources_expire(t.w.all);
    expect_failure(s, -E_DENIED, "(HTTP 403: 1 error occurred:  * permission denied)");
    secret_source_unref(s);
    end(&t);
    return 0;
}
ON_LOOP(refusals_are_told_and_withdraw_the_value)

static int a_sealed_or_absent_server_leaves_the_old_value(void *arg)
{
    (void)arg;
    struct world t;
    begin(&t);
    struct secret_source *s = source(&t, APP, TOKEN, KEY ",'failure_ttl':0");
    expect_got(s, "hunter2");
    static const int statuses[] = {503, 500, 501, 429, 472, 473, 412};
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        t.peer.status = statuses[i];
        secret_sources_expire(t.w.all);
        expect_got(s, "hunter2");
    }
    vault_peer_end(&t.peer);
    secret_sources_expire(t.w.all);
    expect_got(s, "hunter2");
    struct secret_source *none = source(&t, APP, TOKEN, KEY ",'ttl':'1m'");
    expect_failure(none, -ECONNREFUSED, "secret secret/data/app of http://127.0.0.1:");
    secret_source_unref(none);
    secret_source_unref(s);
    vault_peer_begin(&t.peer);
    t.peer.status = 503;
    none = source(&t, APP, TOKEN, KEY ",'ttl':'2m'");
    expect_failure(none, -EAGAIN, "unseal it (HTTP 503: Vault is sealed)");
    secret_source_unref(none);
    end(&t);
    return 0;
}
ON_LOOP(a_sealed_or_absent_server_leaves_the_old_value)

static int a_token_that_was_replaced_is_read_anew(void *arg)
{
    (void)arg;
    struct world t;
    begin(&t);
    AUTO_FREE char *auth = mem_strdup("'token':{'exec':'cat $DIR/token','ttl':'1h'}");
    struct secret_source *s = source(&t, APP, auth, KEY);
    expect_got(s, "hunter2");
    t.peer.token = "hvs.root-token-2";
    world_write(&t.w, "token", "hvs.root-token-2");
    t.peer.value = "hunter3";
    s->fresh_until_ns = 0; /* its ttl is over, that of the token is not */
    expect_got(s, "hunter3");
    assert_int_equal(t.peer.requests, 3);
    secret_source_unref(s);
    end(&t);
    return 0;
}
ON_LOOP(a_token_that_was_replaced_is_read_anew)

static void approle(struct world *t)
{
    begin(t);
    t->peer.token = "hvs.made-by-login";
    t->peer.role_id = "role-1";
    t->peer.secret_id = "s-1";
    t->peer.lease_s = 3600;
    world_write(&t->w, "secret_id", "s-1\n");
}

static int a_login_serves_all_secrets_of_a_server(void *arg)
{
    (void)arg;
    struct world t;
    approle(&t);
    struct secret_source *a = source(&t, APP, ROLE, KEY);
    struct secret_source *b = source(&t, APP, ROLE, "'json_key':'n'");
    expect_got(a, "hunter2");
    expect_got(b, "7");
    assert_int_equal(t.peer.logins, 1);
    assert_int_equal(t.peer.tokens_seen, 2); /* none with the login */
    t.peer.deny_once = true; /* so soon after the login it is the policy: no other login */
    secret_sources_expire(t.w.all);
    expect_failure(a, -E_DENIED, "permission denied");
    assert_int_equal(t.peer.logins, 1);
    time_test_set(time_mono_ns() + 60 * NS_PER_S, time_real_us());
    t.peer.deny_once = true; /* the token was revoked: one more login, one more try */
    secret_sources_expire(t.w.all);
    expect_got(a, "hunter2");
    assert_int_equal(t.peer.logins, 2);
    secret_source_unref(a);
    secret_source_unref(b);
    end(&t);
    return 0;
}
ON_LOOP(a_login_serves_all_secrets_of_a_server)

static int a_login_is_made_again_when_its_token_has_ended(void *arg)
{
    (void)arg;
    struct world t;
    approle(&t);
    time_test_set(time_mono_ns(), time_real_us());
    struct secret_source *s = source(&t, APP, ROLE, KEY ",'ttl':'1m'");
    expect_got(s, "hunter2");
    time_test_advance(3600 * NS_PER_S - 1);
    expect_got(s, "hunter2");
    assert_int_equal(t.peer.logins, 1);
    time_test_advance(60 * NS_PER_S);
    expect_got(s, "hunter2");
    assert_int_equal(t.peer.logins, 2);
    secret_source_unref(s);
    end(&t);
    return 0;
}
ON_LOOP(a_login_is_made_again_when_its_token_has_ended)

static int a_refused_login_is_told_without_its_secret(void *arg)
{
    (void)arg;
    struct world t;
    approle(&t);
    world_write(&t.w, "secret_id", "wrong-secret-id");
    struct secret_source *s = source(&t, APP, ROLE, KEY);
    expect_failure(s, -EINVAL,
                   "the AppRole login: it does not accept the request (HTTP 400: invalid "
                   "role or secret ID)");
    secret_source_unref(s);
    world_write(&t.w, "secret_id", "a\\\"b");
    s = source(&t, APP, ROLE, KEY ",'ttl':'1m'");
    expect_failure(s, -EINVAL, "its secret_id is not what a vault gives out");
    secret_source_unref(s);
    assert_int_equal(unlink(world_path(&t.w, "secret_id")), 0);
    s = source(&t, APP, ROLE, KEY ",'ttl':'2m'");
    expect_failure(s, -ENOENT, "its secret_id: file ");
    secret_source_unref(s);
    end(&t);
    return 0;
}
ON_LOOP(a_refused_login_is_told_without_its_secret)

/* Three seconds of lease: renewed after two, by itself. */
static int a_token_is_renewed_while_it_can_be(void *arg)
{
    (void)arg;
    struct world t;
    approle(&t);
    t.peer.lease_s = 3;
    t.peer.renewable = true;
    struct secret_source *s = source(&t, APP, ROLE, KEY);
    expect_got(s, "hunter2");
    for (int i = 0; i < 1000 && t.peer.renewals == 0; i++)
        assert_int_equal(fiber_sleep_ms(10), 0);
    assert_int_equal(t.peer.renewals, 1);
    t.peer.refuse_renewal = true;
    for (int i = 0; i < 1000 && t.peer.renewals == 1; i++)
        assert_int_equal(fiber_sleep_ms(10), 0);
    assert_int_equal(t.peer.renewals, 2);
    assert_int_equal(t.peer.logins, 1);
    secret_source_unref(s);
    end(&t);
    return 0;
}
ON_LOOP(a_token_is_renewed_while_it_can_be)

static int a_namespace_is_asked_for(void *arg)
{
    (void)arg;
    struct world t;
    begin(&t);
    t.peer.namespace = "team/a";
    struct secret_source *s = source(&t, APP ",'namespace':'team/a'", TOKEN, KEY);
    expect_got(s, "hunter2");
    secret_source_unref(s);
    s = source(&t, APP, TOKEN, KEY);
    expect_failure(s, -ENOENT, "no handler for route");
    secret_source_unref(s);
    end(&t);
    return 0;
}
ON_LOOP(a_namespace_is_asked_for)

/* A standby sends to its active server. The token goes there only when it is named. */
static int a_token_follows_no_redirect_to_a_stranger(void *arg)
{
    (void)arg;
    struct world t;
    begin(&t);
    t.other = (struct vault_peer){.token = "hvs.root-token-1", .value = "hunter2"};
    vault_peer_begin(&t.other);
    AUTO_FREE char *origin = mem_printf("http://%s", t.other.address);
    t.peer.redirect = origin;
    struct secret_source *s = source(&t, APP, TOKEN, KEY);
    expect_failure(s, -E_DENIED, "sends us to a server that is not in peers");
    secret_source_unref(s);
    assert_int_equal(t.other.connections, 0);

    AUTO_FREE char *more = mem_printf(APP ",'peers':['%s']", origin);
    s = source(&t, more, TOKEN, KEY);
    expect_got(s, "hunter2");
    assert_int_equal(t.other.reads, 1);
    t.other.redirect = origin; /* in a circle */
    secret_sources_expire(t.w.all);
    expect_got(s, "hunter2");
    assert_int_equal(t.other.requests, 2);
    secret_source_unref(s);

    /* The first is not there: the next is asked. */
    vault_peer_end(&t.peer);
    t.other.redirect = NULL;
    s = source(&t, more, TOKEN, KEY ",'ttl':'1m'");
    expect_got(s, "hunter2");
    secret_source_unref(s);
    vault_peer_begin(&t.peer);
    vault_peer_end(&t.other);
    end(&t);
    return 0;
}
ON_LOOP(a_token_follows_no_redirect_to_a_stranger)

#define HEAD(n) "HTTP/1.1 200 OK\r\nContent-Length: " n "\r\n\r\n"

static int a_server_that_misbehaves_is_an_error_in_words(void *arg)
{
    (void)arg;
    static const struct {
        const char *answer;
        int code;
        const char *words;
    } rows[] = {
        {HEAD("500") "{\"data\":{\"data\":{\"key\":\"hunter2\"}}}", -E_CLOSED, ""},
        {HEAD("20") "{\"data\":{\"data\":{\"key\":\"hunter2\"}}}", -E_PROTO, "not JSON"},
        {HEAD("99999999999") "x", -E_CLOSED, ""},
        {HEAD("7") "hunter2", -E_PROTO, "not JSON; is address that of a vault"},
        {HEAD("9") "\"hunter2\"", -E_PROTO, "not an object"},
        {HEAD("2") "{}", -ENOENT, "no member \"data\""},
        {HEAD("13") "{\"data\":null}", -ENOENT, "no member \"data\""},
        {HEAD("31") "{\"data\":{\"data\":{\"key\":[\"h\"]}}}", -E_PARSE, "not a text"},
        {HEAD("37") "{\"data\":{\"data\":{\"key\":\"a\\r\\nb: c\"}}}", -E_PARSE, "carriage return"},
        {"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
         -E_PROTO, "HTTP 301"},
        {"HTTP/1.1 307 X\r\nContent-Length: 0\r\n\r\n", -E_DENIED, "not in peers"},
        {"SSH-2.0-OpenSSH\r\n", -E_PROTO, ""},
        {"", -E_CLOSED, ""},
    };
    struct world t;
    begin(&t);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        t.peer.answer = rows[i].answer;
        struct secret_source *s = source(&t, APP, TOKEN, KEY);
        struct secret_value *v = NULL;
        struct err e = {0};
        int r = secret_source_get(s, &v, &e);
        if (r != rows[i].code || !strstr(e.msg, rows[i].words) || strstr(e.msg, "hunter2"))
            fail_msg("row %zu: %d %s", i, r, e.msg);
        secret_source_unref(s);
    }
    end(&t);
    return 0;
}
ON_LOOP(a_server_that_misbehaves_is_an_error_in_words)

static int a_huge_answer_is_cut_off(void *arg)
{
    (void)arg;
    struct world t;
    begin(&t);
    size_t n = 3u << 20;
    char *text = mem_zalloc(n + 1);
    (void)snprintf(text, 100, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"data\":\"");
    size_t head = strlen(text);
    memset(text + head, 'k', n - head);
    t.peer.answer = text;
    struct secret_source *s = source(&t, APP, TOKEN, KEY);
    expect_failure(s, -EMSGSIZE, "larger than allowed");
    secret_source_unref(s);
    end(&t);
    free(text);
    return 0;
}
ON_LOOP(a_huge_answer_is_cut_off)

static int a_silent_server_is_not_waited_for_longer_than_said(void *arg)
{
    (void)arg;
    struct world t;
    begin(&t);
    t.peer.silent = true;
    struct secret_source *s = source(&t, APP, TOKEN, KEY ",'timeout':'300ms'");
    expect_failure(s, -ETIMEDOUT, "no answer within 300 ms");
    secret_source_unref(s);
    end(&t);
    return 0;
}
ON_LOOP(a_silent_server_is_not_waited_for_longer_than_said)

/* A server whose certificate is not to be trusted gets no token. */
static int a_server_is_verified(void *arg)
{
    (void)arg;
    static const struct {
        const char *ca;
        int result;
    } rows[] = {
        {",'ca_file':'$DIR/cert'", 0},       {"", -E_TLS},
        {",'ca_file':'$DIR/other'", -E_TLS}, {",'ca_file':'$DIR/none'", -E_TLS},
        {",'ca_file':'$DIR/token'", -E_TLS},
    };
    struct secret_world w;
    struct proc vault;
    world_begin(&w);
    assert_int_equal(
        certificate_make(world_path(&w, "pem"), world_path(&w, "other"), "IP:127.0.0.1"), 0);
    assert_int_equal(
        certificate_make(world_path(&w, "pem"), world_path(&w, "cert"), "IP:127.0.0.1"), 0);
    assert_int_equal(mkdir(world_path(&w, "v1"), 0700), 0);
    assert_int_equal(mkdir(world_path(&w, "v1/kv"), 0700), 0);
    world_write(&w, "v1/kv/app", "HTTP/1.0 200 OK\r\n\r\n{\"data\":{\"key\":\"hunter2\"}}");
    world_write(&w, "token", "hvs.1");
    int port = vault_tls_start(w.dir, &vault);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *config = mem_printf("{'hashicorp':{'address':'https://127.0.0.1:%d'%s,"
                                            "'auth':{" TOKEN "},'kv':1,'mount':'kv','path':'app'},"
                                            "'json_key':'key'}",
                                            port, rows[i].ca);
        struct secret_source *s = world_source(&w, config);
        if (rows[i].result == 0)
            expect_got(s, "hunter2");
        else
            expect_failure(s, rows[i].result, "");
        secret_source_unref(s);
    }
    proc_done(&vault);
    assert_int_equal(unlink(world_path(&w, "v1/kv/app")), 0);
    assert_int_equal(rmdir(world_path(&w, "v1/kv")), 0);
    world_end(&w);
    return 0;
}
ON_LOOP(a_server_is_verified)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(both_versions_and_dynamic_secrets_are_read),
        CASE(a_lease_ends_a_value_before_its_ttl),
        CASE(refusals_are_told_and_withdraw_the_value),
        CASE(a_sealed_or_absent_server_leaves_the_old_value),
        CASE(a_token_that_was_replaced_is_read_anew),
        CASE(a_login_serves_all_secrets_of_a_server),
        CASE(a_login_is_made_again_when_its_token_has_ended),
        CASE(a_refused_login_is_told_without_its_secret),
        CASE(a_token_is_renewed_while_it_can_be),
        CASE(a_namespace_is_asked_for),
        CASE(a_token_follows_no_redirect_to_a_stranger),
        CASE(a_server_that_misbehaves_is_an_error_in_words),
        CASE(a_huge_answer_is_cut_off),
        CASE(a_silent_server_is_not_waited_for_longer_than_said),
        CASE(a_server_is_verified),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
