/* test_oauth2.c - tokens from an authorization server: grants, how long one is used, and trouble there. */
#include "unit/secret/secret_world.h"
#include "unit/secret/token_peer.h"
#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
    struct secret_world w;
    struct token_peer peer;
};

static void begin(struct world *t)
{
    *t = (struct world){.peer = {.life_s = 3600}};
    world_begin(&t->w);
    world_write(&t->w, "secret", "the%secret of:us\n");
    token_peer_begin(&t->peer);
}

static void end(struct world *t)
{
    time_test_reset();
    token_peer_end(&t->peer);
    world_end(&t->w);
}

#define CLIENT ",'client_id':'us','client_secret':{'file':'$DIR/secret'}"

static struct secret_source *source(struct world *t, const char *more, const char *outer)
{
    AUTO_FREE char *config = mem_printf("{'oauth2':{'token_url':'http://%s/token?tenant=7'%s}%s}",
                                        t->peer.address, more, outer);
    return world_source(&t->w, config);
}

/* Made for this test. */
static const char key[] = "-----BEGIN PRIVATE KEY-----\n"
                          "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgMxmZmmGqGFJYex6x\n"
                          "bGSCbrGs5J5UhFTcgOuH5EedeWWhRANCAARkSBEn8rfMisedkJHXh/0Yx4SBCtlu\n"
                          "bpRB45jsMzKEYi+CqSt9fhIqXhqbyBFWDDhxC6VekbzEVBUK8KbmFNpl\n"
                          "-----END PRIVATE KEY-----\n";

static void says(const struct token_peer *p, const char *words)
{
    if (!strstr(p->form, words))
        fail_msg("%s is not in %s", words, p->form);
}

static int the_client_is_told_as_the_rfcs_say(void *arg)
{
    (void)arg;
    struct world t;
    begin(&t);
    struct secret_source *s =
        source(&t, CLIENT ",'scope':'a b','resource':['https://a/x','urn:b'],'audience':'c&d'", "");
    expect_got(s, "token-1");
    expect_got(s, "token-1");
    assert_string_equal(t.peer.form, "grant_type=client_credentials&scope=a%20b&audience=c%26d&"
                                     "resource=https%3A%2F%2Fa%2Fx&resource=urn%3Ab");
    /* us:the%25secret%20of%3Aus */
    assert_string_equal(t.peer.authorization, "Basic dXM6dGhlJTI1c2VjcmV0JTIwb2YlM0F1cw==");
    assert_int_equal(t.peer.asked, 1);
    secret_source_unref(s);
    s = source(&t, CLIENT ",'auth':'post'", "");
    expect_got(s, "token-2");
    assert_string_equal(t.peer.form, "grant_type=client_credentials&client_id=us&"
                                     "client_secret=the%25secret%20of%3Aus");
    assert_string_equal(t.peer.authorization, "");
    secret_source_unref(s);
    end(&t);
    return 0;
}
ON_LOOP(the_client_is_told_as_the_rfcs_say)

static int what_is_exchanged_comes_from_its_source(void *arg)
{
    (void)arg;
    struct world t;
    begin(&t);
    world_write(&t.w, "subject", "subject-token");
    struct secret_source *s =
        source(&t,
               ",'grant':'token_exchange','subject':{'file':'$DIR/subject'},'subject_type':'jwt',"
               "'actor':{'file':'$DIR/secret'},'requested_type':'urn:x:y','resource':'https://up/'",
               "");
    t.peer.body = "{'access_token':'exchanged','token_type':'N_A'}";
    expect_failure(s, -E_PROTO, "the token's type is neither");
    t.peer.body = "{'access_token':'exchanged','token_type':'Bearer','issued_token_type':"
                  "'urn:ietf:params:oauth:token-type:refresh_token'}";
    secret_sources_expire(t.w.all);
    expect_failure(s, -E_PROTO, "another type of token");
    t.peer.body =
        "{'access_token':'exchanged','token_type':'Bearer','issued_token_type':'urn:x:y'}";
    secret_sources_expire(t.w.all);
    expect_got(s, "exchanged");
    says(&t.peer, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&"
                  "subject_token=subject-token&subject_token_type="
                  "urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt&actor_token=");
    says(&t.peer, "&requested_token_type=urn%3Ax%3Ay&resource=https%3A%2F%2Fup%2F");
    assert_string_equal(t.peer.authorization, "");
    secret_source_unref(s);

    s = source(&t, ",'grant':'jwt_bearer','assertion':{'file':'$DIR/subject'}", "");
    t.peer.body = NULL;
    expect_got(s, "token-4");
    assert_string_equal(t.peer.form,
                        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&"
                        "assertion=subject-token");
    secret_source_unref(s);
    end(&t);
    return 0;
}
ON_LOOP(what_is_exchanged_comes_from_its_source)

/* The claims of the signed text that a parameter of the form is. */
static json_t *claims_in(const struct token_peer *p, const char *parameter, json_t **ret_head)
{
    const char *at = strstr(p->form, parameter);
    assert_non_null(at);
    at += strlen(parameter);
    const char *dot = strchr(at, '.');
    AUTO(buf) head = BUF_INIT(4096), claims = BUF_INIT(4096);
    json_t *j = NULL;
    assert_int_equal(enc_base64url_decode(&head, at, (size_t)(dot - at)), 0);
    assert_int_equal(enc_base64url_decode(&claims, dot + 1, strcspn(dot + 1, ".")), 0);
    assert_int_equal(json_parse(head.data, head.len, ret_head, NULL), 0);
    assert_int_equal(json_parse(claims.data, claims.len, &j, NULL), 0);
    return j;
}

static int a_key_signs_for_the_client_or_a_subject(void *arg)
{
    (void)arg;
    struct world t;
    begin(&t);
    world_write(&t.w, "key", "-----BEGIN PRIVATE KEY-----\nno\n-----END PRIVATE KEY-----\n");
    struct secret_source *s = source(&t,
                                     ",'client_id':'us','client_key':{'file':'$DIR/key'},"
                                     "'key_id':'k1','jwt_audience':'https://as'",
                                     ",'failure_ttl':0");
    expect_failure(s, -E_PARSE, "its client_key");
    assert_int_equal(t.peer.asked, 0);
    world_swap(&t.w, "key", key);
    expect_got(s, "token-1");
    says(&t.peer, "grant_type=client_credentials&client_id=us&client_assertion_type="
                  "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&");
    AUTO_JSON json_t *head = NULL, *claims = claims_in(&t.peer, "&client_assertion=", &head);
    expect_json(head, "{'alg':'ES256','typ':'JWT','kid':'k1'}");
    assert_string_equal(json_get_str(claims, "aud"), "https://as");
    assert_string_equal(json_get_str(claims, "sub"), "us");
    secret_source_unref(s);

    s = source(&t,
               ",'client_id':'us','client_key':{'file':'$DIR/key'},'grant':'jwt_bearer','sub':"
               "'ann@corp'",
               "");
    expect_got(s, "token-2");
    AUTO_JSON json_t *other = NULL, *grant = claims_in(&t.peer, "&assertion=", &other);
    assert_string_equal(json_get_str(grant, "iss"), "us");
    assert_string_equal(json_get_str(grant, "sub"), "ann@corp");
    assert_true(str_starts(json_get_str(grant, "aud"), "http://127.0.0.1:"));
    assert_null(json_object_get(other, "kid"));
    int64_t now_us = 0;
    assert_int_equal(time_parse_http("Sun, 06 Nov 1994 08:49:37 GMT", &now_us), 0);
    t.peer.status = 401;
    t.peer.body = "{'error':'invalid_client'}";
    t.peer.headers = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    time_test_set(time_mono_ns(), now_us + 300 * US_PER_S);
    secret_sources_expire(t.w.all);
    expect_failure(s, -E_DENIED, "this machine's clock is 300 s ahead of its own");
    time_test_set(time_mono_ns(), now_us - 90 * US_PER_S);
    secret_sources_expire(t.w.all);
    expect_failure(s, -E_DENIED, "this machine's clock is 90 s behind its own");
    time_test_set(time_mono_ns(), now_us - 50 * US_PER_S);
    secret_sources_expire(t.w.all);
    expect_failure(s, -E_DENIED, "(HTTP 401, invalid_client)");
    secret_source_unref(s);
    end(&t);
    return 0;
}
ON_LOOP(a_key_signs_for_the_client_or_a_subject)

static int a_refresh_token_that_was_replaced_is_used_until_the_file_has_another(void *arg)
{
    (void)arg;
    struct world t;
    begin(&t);
    world_write(&t.w, "refresh", "refresh-1");
    struct secret_source *s =
        source(&t,
               ",'client_id':'us','grant':'refresh_token','refresh_token':{'file':'$DIR/refresh'}",
               "");
    t.peer.refresh = "refresh-2";
    expect_got(s, "token-1");
    says(&t.peer, "&refresh_token=refresh-1&client_id=us");
    t.peer.refresh = NULL; /* the one that we have goes on */
    secret_sources_expire(t.w.all);
    expect_got(s, "token-2");
    says(&t.peer, "&refresh_token=refresh-2&");
    secret_sources_expire(t.w.all);
    expect_got(s, "token-3");
    says(&t.peer, "&refresh_token=refresh-2&");
    world_swap(&t.w, "refresh", "refresh-9");
    secret_sources_expire(t.w.all);
    expect_got(s, "token-4");
    says(&t.peer, "&refresh_token=refresh-9&");
    t.peer.refresh = "refresh-10";
    secret_sources_expire(t.w.all);
    expect_got(s, "token-5");
    /* Whoever else has the file has used ours up: its own is tried once more, and no third time. */
    t.peer.status = 400;
    t.peer.body = "{'error':'invalid_grant','error_description':'refresh-10'}";
    secret_sources_expire(t.w.all);
    expect_failure(s, -E_DENIED, "put a new one in its place (HTTP 400, invalid_grant)");
    assert_int_equal(t.peer.asked, 7);
    says(&t.peer, "&refresh_token=refresh-9&");
    secret_source_unref(s);
    end(&t);
    return 0;
}
ON_LOOP(a_refresh_token_that_was_replaced_is_used_until_the_file_has_another)

/* A restart goes on with the newer one, as long as the source has the one that it grew from. */
static int a_refresh_token_that_was_replaced_is_kept(void *arg)
{
    (void)arg;
    struct world t;
    static const char how[] = ",'client_id':'us','grant':'refresh_token','refresh_token':{'file':"
                              "'$DIR/refresh'},'keep_in':'$DIR/kept'";
    begin(&t);
    world_write(&t.w, "refresh", "refresh-1");
    AUTO_FREE char *path = mem_printf("%s/kept", t.w.dir);
    struct secret_source *s = source(&t, how, "");
    t.peer.refresh = "refresh-2";
    expect_got(s, "token-1");
    says(&t.peer, "&refresh_token=refresh-1&");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    secret_source_unref(s);

    t.peer.refresh = "refresh-3";
    s = source(&t, how, "");
    expect_got(s, "token-2");
    says(&t.peer, "&refresh_token=refresh-2&");
    secret_source_unref(s);
    t.peer.refresh = NULL;
    s = source(&t, how, "");
    expect_got(s, "token-3");
    says(&t.peer, "&refresh_token=refresh-3&");
    secret_source_unref(s);

    world_swap(&t.w, "refresh", "refresh-9"); /* a person has put another one there */
    s = source(&t, how, "");
    expect_got(s, "token-4");
    says(&t.peer, "&refresh_token=refresh-9&");
    secret_source_unref(s);

    /* What would be lost is not asked for. */
    const size_t asked = t.peer.asked;
    assert_int_equal(chmod(path, 0644), 0);
    s = source(&t, how, "");
    expect_failure(s, -EPERM, "keep_in: ");
    secret_source_unref(s);
    assert_int_equal(chmod(path, 0600), 0);
    world_swap(&t.w, "kept", "garbage");
    s = source(&t, how, "");
    expect_failure(s, -E_PARSE, "no token that was kept");
    secret_source_unref(s);
    s = source(&t,
               ",'client_id':'us','grant':'refresh_token','refresh_token':{'file':'$DIR/refresh'},"
               "'keep_in':'/nowhere/at/all'",
               "");
    expect_failure(s, -ENOENT, "keep_in: ");
    secret_source_unref(s);
    assert_int_equal(t.peer.asked, asked);
    assert_int_equal(unlink(path), 0);
    end(&t);
    return 0;
}
ON_LOOP(a_refresh_token_that_was_replaced_is_kept)

/* ---- how long ---- */

static void wait_until_asked(const struct token_peer *p, size_t n)
{
    for (int i = 0; p->asked < n && i < 5000; i++)
        assert_int_equal(fiber_sleep_ms(1), 0);
    assert_int_equal(p->asked, n);
}

static int a_token_serves_while_the_next_one_is_asked_for(void *arg)
{
    (void)arg;
    struct world t;
    begin(&t);
    struct secret_source *s = source(&t, CLIENT, ",'failure_ttl':'1m','timeout':'5m'");
    time_test_set(time_mono_ns(), time_real_us());
    expect_got(s, "token-1");
    time_test_advance((3600 - 31) * NS_PER_S);
    expect_got(s, "token-1");
    assert_int_equal(t.peer.asked, 1);
    time_test_advance(2 * NS_PER_S);
    time_test_reset(); /* what waits below needs a clock that runs */
    secret_source_unref(s);
    end(&t);

    begin(&t);
    t.peer.life_s = 4; /* a quarter of a short life is enough */
    s = source(&t, CLIENT, "");
    expect_got(s, "token-1");
    t.peer.silent = true;
    assert_int_equal(fiber_sleep_ms(3100), 0);
    expect_got(s, "token-1"); /* and does not wait */
    expect_got(s, "token-1");
    wait_until_asked(&t.peer, 2);
    expect_got(s, "token-1");
    t.peer.silent = false;
    for (int i = 0; i < 1000; i++) {
        struct secret_value *v = NULL;
        assert_int_equal(secret_source_get(s, &v, NULL), 0);
        bool next = str_eq(secret_borrow(secret_value_secret(v)), "token-2");
        secret_value_unref(v);
        if (next)
            break;
        assert_int_equal(fiber_sleep_ms(1), 0);
    }
    expect_got(s, "token-2");
    assert_int_equal(t.peer.asked, 2);
    secret_source_unref(s);
    end(&t);
    return 0;
}
ON_LOOP(a_token_serves_while_the_next_one_is_asked_for)

/* In trouble: used to its end and not beyond, whatever stale_ttl says. */
static int a_token_is_not_used_after_its_end(void *arg)
{
    (void)arg;
    struct world t;
    begin(&t);
    t.peer.life_s = 4;
    struct secret_source *s = source(&t, CLIENT, ",'failure_ttl':0,'stale_ttl':'1h'");
    time_test_set(time_mono_ns(), time_real_us());
    expect_got(s, "token-1");
    t.peer.status = 503;
    t.peer.body = "<html>";
    secret_sources_expire(t.w.all);
    time_test_advance(3900 * NS_PER_MS);
    expect_got(s, "token-1");
    assert_int_equal(t.peer.asked, 2);
    time_test_advance(200 * NS_PER_MS);
    expect_failure(s, -EAGAIN, "it is in trouble (HTTP 503)");
    secret_source_unref(s);
    end(&t);
    return 0;
}
ON_LOOP(a_token_is_not_used_after_its_end)

static int retry_after_is_kept_to(void *arg)
{
    (void)arg;
    struct world t;
    begin(&t);
    struct secret_source *s = source(&t, CLIENT, ",'failure_ttl':'1s'");
    time_test_set(time_mono_ns(), time_real_us());
    t.peer.status = 429;
    t.peer.headers = "Retry-After: 60\r\n";
    expect_failure(s, -EAGAIN, "it was asked too often (HTTP 429)");
    time_test_advance(59 * NS_PER_S);
    expect_failure(s, -EAGAIN, "it was asked too often (HTTP 429)");
    assert_int_equal(t.peer.asked, 1);
    time_test_advance(2 * NS_PER_S);
    t.peer.status = 0;
    expect_got(s, "token-2");
    secret_source_unref(s);
    end(&t);
    return 0;
}
ON_LOOP(retry_after_is_kept_to)

static int a_refusal_lets_go_at_once_and_a_mended_file_is_tried_at_once(void *arg)
{
    (void)arg;
    struct world t;
    begin(&t);
    struct secret_source *s = source(&t, CLIENT, ",'failure_ttl':'1h'");
    expect_got(s, "token-1");
    t.peer.status = 401;
    t.peer.body = "{'error':'invalid_client','error_description':'the%secret of:us'}";
    secret_sources_expire(t.w.all);
    expect_failure(s, -E_DENIED,
                   "see client_id, client_secret or client_key, and auth (HTTP 401, "
                   "invalid_client)");
    expect_failure(s, -E_DENIED, "invalid_client");
    assert_int_equal(t.peer.asked, 2);
    t.peer.status = 0;
    t.peer.body = NULL;
    world_swap(&t.w, "secret", "another-secret");
    expect_failure(s, -E_DENIED, "invalid_client"); /* not at each request: once a second */
    assert_int_equal(t.peer.asked, 2);
    time_test_set(time_mono_ns() + NS_PER_S, time_real_us());
    expect_got(s, "token-3");
    assert_string_equal(t.peer.authorization, "Basic dXM6YW5vdGhlci1zZWNyZXQ=");
    secret_source_unref(s);
    end(&t);
    return 0;
}
ON_LOOP(a_refusal_lets_go_at_once_and_a_mended_file_is_tried_at_once)

static int odd_answers_are_none(void *arg)
{
    (void)arg;
    static const struct {
        int status;
        const char *headers, *body;
        int code;
        const char *words;
    } rows[] = {
        {200, NULL, "<html>welcome</html>", -E_PROTO, "no JSON object: see token_url"},
        {200, NULL, "[]", -E_PROTO, "no JSON object"},
        {200, NULL, "{}", -E_PROTO, "no token to be used"},
        {200, NULL, "{'access_token':'a b','token_type':'Bearer'}", -E_PROTO, "no token"},
        {200, NULL, "{'access_token':'a\\r\\nx: y','token_type':'Bearer'}", -E_PROTO, "no token"},
        {200, NULL, "{'access_token':'abc','token_type':'mac'}", -E_PROTO, "neither"},
        {200, NULL, "{'access_token':'abc','token_type':'DPoP'}", -E_PROTO, "DPoP"},
        {204, NULL, "", -E_DENIED, "it refuses (HTTP 204)"},
        {302, "Location: http://127.0.0.1:1/\r\n", "", -E_PROTO, "where no secret follows"},
        {404, NULL, "", -E_DENIED, "there is no token endpoint"},
        {400, NULL, "{'error':'invalid_target'}", -E_DENIED, "see resource and audience"},
        {400, NULL, "{'error':'the%secret of:us'}", -E_DENIED, "it refuses (HTTP 400)"},
        {200, "Content-Encoding: gzip\r\n", "{'access_token':'abc','token_type':'Bearer'}",
         -E_PROTO, ""},
    };
    struct world t;
    begin(&t);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        t.peer.status = rows[i].status;
        t.peer.headers = rows[i].headers;
        t.peer.body = rows[i].body;
        struct secret_source *s = source(&t, CLIENT, "");
        expect_failure(s, rows[i].code, rows[i].words);
        assert_int_equal(t.peer.asked, i + 1);
        secret_source_unref(s);
    }
    char *huge = mem_zalloc((1u << 20) + 1);
    memset(huge, 'a', 1u << 20);
    t.peer.body = huge;
    t.peer.headers = NULL;
    struct secret_source *s = source(&t, CLIENT, "");
    expect_failure(s, -EMSGSIZE, "");
    free(huge);
    secret_source_unref(s);
    t.peer.hangs_up = true;
    s = source(&t, CLIENT, "");
    expect_failure(s, -E_CLOSED, "");
    assert_int_equal(t.peer.asked, ARRAY_LEN(rows) + 2); /* a body with a secret goes out once */
    secret_source_unref(s);
    t.peer.hangs_up = false;
    t.peer.silent = true;
    s = source(&t, CLIENT, ",'timeout':'200ms'");
    expect_failure(s, -ETIMEDOUT, "no answer within 200 ms");
    secret_source_unref(s);
    end(&t);
    return 0;
}
ON_LOOP(odd_answers_are_none)

/* ---- many at once ---- */

static int get_one(void *arg)
{
    expect_got(arg, "token-1");
    return 0;
}

static int one_request_serves_all_who_wait(void *arg)
{
    (void)arg;
    struct world t;
    begin(&t);
    t.peer.silent = true;
    struct secret_source *s = source(&t, CLIENT, "");
    struct scope all;
    scope_init(&all);
    for (int i = 0; i < 50; i++)
        assert_int_equal(fiber_spawn(&all, "get", get_one, s, NULL), 0);
    wait_until_asked(&t.peer, 1);
    t.peer.silent = false;
    assert_int_equal(scope_join(&all), 0);
    scope_done(&all);
    assert_int_equal(t.peer.asked, 1);
    secret_source_unref(s);
    end(&t);
    return 0;
}
ON_LOOP(one_request_serves_all_who_wait)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_client_is_told_as_the_rfcs_say),
        CASE(what_is_exchanged_comes_from_its_source),
        CASE(a_key_signs_for_the_client_or_a_subject),
        CASE(a_refresh_token_that_was_replaced_is_used_until_the_file_has_another),
        CASE(a_refresh_token_that_was_replaced_is_kept),
        CASE(a_token_serves_while_the_next_one_is_asked_for),
        CASE(a_token_is_not_used_after_its_end),
        CASE(retry_after_is_kept_to),
        CASE(a_refusal_lets_go_at_once_and_a_mended_file_is_tried_at_once),
        CASE(odd_answers_are_none),
        CASE(one_request_serves_all_who_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
