/* test_jwt_check.c - tokens that are taken, and each way not to be one (RFC 8725). */
#include "unit/unit.h"
#include "jwt_samples.h"
#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/str.h"
#include "crypto/digest.h"
#include "crypto/es256.h"
#include "oauth/jwks.h"
#include "oauth/jwt_check.h"

#include <string.h>

#define NOW 1700000100

static const char *const audiences[] = {"https://wiki.example", "https://other.example"};
static const struct jwt_rules rules = {.algorithms = JWS_ALL,
                                       .issuer = "https://idp.example",
                                       .audiences = audiences,
                                       .n_audiences = 2,
                                       .skew_s = 60};
static struct es256 *key;
static struct jwks *keys;

static void add_base64url(struct buf *out, const char *text)
{
    assert_int_equal(enc_base64url(out, text, strlen(text)), 0);
}

static int set_up(void **state)
{
    (void)state;
    unsigned char x[32], y[32];
    AUTO(buf) text = BUF_INIT(1000);
    key = es256_new();
    es256_public(key, x, y);
    (void)buf_adds(&text, "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\",\"x\":\"");
    (void)enc_base64url(&text, x, 32);
    (void)buf_adds(&text, "\",\"y\":\"");
    (void)enc_base64url(&text, y, 32);
    (void)buf_adds(&text, "\"}]}");
    return jwks_parse(buf_str(&text), text.len, &keys, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    es256_free(key);
    jwks_unref(keys);
    return 0;
}

/* A token of any head and claims, signed by `key`. malloc'ed. */
static char *sign(const char *head, const char *claims)
{
    AUTO(buf) t = BUF_INIT(64u << 10);
    unsigned char s[ES256_SIGNATURE_BYTES];
    add_base64url(&t, head);
    (void)buf_addc(&t, '.');
    add_base64url(&t, claims);
    es256_sign(key, t.data, t.len, s);
    (void)buf_addc(&t, '.');
    (void)enc_base64url(&t, s, sizeof(s));
    assert_int_equal(buf_err(&t), 0);
    return buf_take(&t, NULL);
}

/* As the gateway does it. */
static int check(const char *token, struct jwks *set, const struct jwt_rules *r, struct err *e)
{
    AUTO(jwt) t = {.claims = NULL};
    *e = (struct err){0};
    int k = jwt_open(token, strlen(token), &t, e);
    if (k == 0)
        k = jwt_check_signature(&t, set, r, e);
    return k < 0 ? k : jwt_check_claims(&t, r, NOW, e);
}

#define HEAD    "{\"alg\":\"ES256\",\"kid\":\"k\"}"
#define WHO     "\"iss\":\"https://idp.example\",\"sub\":\"alice\""
#define FOR     "\"aud\":\"https://wiki.example\""
#define UNTIL   "\"exp\":1700000300"
#define CLAIMS  "{" WHO "," FOR "," UNTIL "}"
#define WITH(x) "{" WHO "," FOR "," UNTIL "," x "}"

static void tokens_of_another_library_are_taken(void **state)
{
    (void)state;
    static const char *const tokens[] = {sample_es256, sample_es384, sample_rs256, sample_ps256,
                                         sample_eddsa};
    struct jwks *set;
    struct err e;
    assert_int_equal(jwks_parse(sample_keys, strlen(sample_keys), &set, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
        assert_int_equal(check(tokens[i], set, &rules, &e), 0);
        struct jwt_rules other = rules;
        other.algorithms &= ~(1u << i);
        assert_int_equal(check(tokens[i], set, &other, &e), -E_DENIED);
        assert_non_null(strstr(e.msg, "not signed by an algorithm that is taken (alg)"));
        AUTO_FREE char *changed = mem_strdup(tokens[i]);
        char *last = changed + strlen(changed) - 20;
        *last = *last == 'A' ? 'B' : 'A';
        assert_int_equal(check(changed, set, &rules, &e), -E_DENIED);
        assert_non_null(strstr(e.msg, "signature is not of the issuer's key"));
    }
    jwks_unref(set);
}

static void heads(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        int code; /* 0: it is taken */
        const char *words;
    } rows[] = {
        {HEAD, 0, NULL},
        {"{\"alg\":\"ES256\"}", 0, NULL}, /* there is one key */
        {"{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"JWT\"}", 0, NULL},
        {"{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"jwt\"}", 0, NULL},
        {"{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"at+jwt\"}", 0, NULL},
        {"{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"application/at+jwt\"}", 0, NULL},
        {"{\"alg\":\"ES256\",\"kid\":\"k\",\"x5t\":\"abc\",\"cty\":\"JWT\"}", 0, NULL},
        {"{\"alg\":\"none\"}", -E_DENIED, "not signed (alg none)"},
        {"{\"alg\":\"NonE\",\"kid\":\"k\"}", -E_DENIED, "not signed (alg none)"},
        {"{\"alg\":\"HS256\",\"kid\":\"k\"}", -E_DENIED, "an algorithm that is taken"},
        {"{\"alg\":\"ES256K\",\"kid\":\"k\"}", -E_DENIED, "an algorithm that is taken"},
        {"{\"alg\":\"es256\",\"kid\":\"k\"}", -E_DENIED, "an algorithm that is taken"},
        {"{\"alg\":[\"ES256\"],\"kid\":\"k\"}", -E_PARSE, "does not say how it is signed"},
        {"{\"kid\":\"k\"}", -E_PARSE, "does not say how it is signed"},
        {"{\"alg\":\"RS256\",\"kid\":\"k\"}", -ENOENT, "has no key by which"},
        {"{\"alg\":\"ES384\",\"kid\":\"k\"}", -ENOENT, "has no key by which"},
        {"{\"alg\":\"ES256\",\"kid\":\"K\"}", -ENOENT, "has no key by which"},
        {"{\"alg\":\"ES256\",\"kid\":\"../../dev/null\"}", -ENOENT, "has no key by which"},
        {"{\"alg\":\"ES256\",\"kid\":\"\"}", -ENOENT, "has no key by which"},
        {"{\"alg\":\"ES256\",\"kid\":7}", -E_PARSE, "no texts where kid and typ are"},
        {"{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":null}", -E_PARSE, "no texts where"},
        {"{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"dpop+jwt\"}", -E_DENIED, "another type"},
        {"{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"secevent+jwt\"}", -E_DENIED, "another type"},
        {"{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"\"}", -E_DENIED, "another type"},
        {"{\"alg\":\"ES256\",\"kid\":\"k\",\"jwk\":{\"kty\":\"EC\"}}", -E_DENIED, "own key (jwk)"},
        {"{\"alg\":\"ES256\",\"kid\":\"k\",\"jku\":\"https://x.example\"}", -E_DENIED, "(jku)"},
        {"{\"alg\":\"ES256\",\"kid\":\"k\",\"x5u\":\"https://x.example\"}", -E_DENIED, "(x5u)"},
        {"{\"alg\":\"ES256\",\"kid\":\"k\",\"x5c\":[]}", -E_DENIED, "(x5c)"},
        {"{\"alg\":\"ES256\",\"kid\":\"k\",\"crit\":[\"exp\"]}", -E_DENIED, "(crit)"},
        {"{\"alg\":\"ES256\",\"kid\":\"k\",\"crit\":[]}", -E_DENIED, "(crit)"},
        {"{\"alg\":\"ES256\",\"kid\":\"k\",\"b64\":false}", -E_DENIED, "(b64)"},
        {"{\"alg\":\"ES256\",\"alg\":\"ES256\"}", -E_PARSE, "no JSON object with one reading"},
        {"{\"alg\":\"none\",\"alg\":\"ES256\"}", -E_PARSE, "no JSON object with one reading"},
        {"[]", -E_PARSE, "no JSON object with one reading"},
        {"{\"alg\":\"ES256\"} x", -E_PARSE, "no JSON object with one reading"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e;
        AUTO_FREE char *token = sign(rows[i].head, CLAIMS);
        int r = check(token, keys, &rules, &e);
        if (r != rows[i].code || (r < 0 && !strstr(e.msg, rows[i].words)))
            fail_msg("%s: %d %s", rows[i].head, r, e.msg);
    }
}

static void claims(void **state)
{
    (void)state;
    static const struct {
        const char *claims, *words; /* NULL: it is taken */
    } rows[] = {
        {CLAIMS, NULL},
        {"{" WHO ",\"aud\":[\"a\",\"https://other.example\"]," UNTIL "}", NULL},
        {"{" WHO "," FOR ",\"exp\":1700000040.5}", NULL}, /* a minute and a half second ago */
        {WITH("\"nbf\":1700000160,\"iat\":1700000160.0"), NULL},
        {WITH("\"scope\":\"read\",\"groups\":[\"dev\"]"), NULL},
        {"{" FOR "," UNTIL ",\"sub\":\"alice\"}", "of another issuer"},
        {"{" FOR "," UNTIL ",\"sub\":\"alice\",\"iss\":\"https://idp.example/\"}",
         "of another issuer"},
        {"{" FOR "," UNTIL ",\"sub\":\"alice\",\"iss\":\"https://idp.exampl\"}",
         "of another issuer"},
        {"{" FOR "," UNTIL ",\"sub\":\"alice\",\"iss\":[\"https://idp.example\"]}",
         "of another issuer"},
        {"{" WHO "," UNTIL "}", "for another audience"},
        {"{" WHO "," UNTIL ",\"aud\":[]}", "for another audience"},
        {"{" WHO "," UNTIL ",\"aud\":null}", "for another audience"},
        {"{" WHO "," UNTIL ",\"aud\":\"https://wiki.example/\"}", "for another audience"},
        {"{" WHO "," UNTIL ",\"aud\":\"https://WIKI.example\"}", "for another audience"},
        {"{" WHO "," UNTIL ",\"aud\":[[\"https://wiki.example\"]]}", "for another audience"},
        {"{" WHO "," UNTIL ",\"aud\":{\"https://wiki.example\":1}}", "for another audience"},
        {"{" WHO "," FOR "}", "does not say when it expires"},
        {"{" WHO "," FOR ",\"exp\":\"1700000300\"}", "does not say when it expires"},
        {"{" WHO "," FOR ",\"exp\":null}", "does not say when it expires"},
        {"{" WHO "," FOR ",\"exp\":-1}", "does not say when it expires"},
        {"{" WHO "," FOR ",\"exp\":1700000040}", "has expired"},
        {"{" WHO "," FOR ",\"exp\":0}", "has expired"},
        {WITH("\"nbf\":1700000161"), "not valid yet"},
        {WITH("\"nbf\":\"1\""), "not valid yet"},
        {WITH("\"nbf\":1e300"), "not valid yet"},
        {WITH("\"iat\":1700000161"), "issued in the future"},
        {WITH("\"iat\":true"), "issued in the future"},
        {WITH("\"cnf\":{\"jkt\":\"x\"}"), "goes with the proof of a key (cnf)"},
        {"{" FOR "," UNTIL ",\"iss\":\"https://idp.example\"}", "does not say whose it is"},
        {"{" FOR "," UNTIL ",\"iss\":\"https://idp.example\",\"sub\":\"\"}",
         "does not say whose it is"},
        {"{" FOR "," UNTIL ",\"iss\":\"https://idp.example\",\"sub\":7}",
         "does not say whose it is"},
        {"{" WHO "," FOR "," UNTIL "," UNTIL "}", "with one reading (each name once)"},
        {"{" WHO "," FOR ",\"exp\":1,\"exp\":1700000300}", "with one reading (each name once)"},
        {WITH("\"a\":\"\\u0000\""), "with one reading"},
        {"[1]", "no JSON object"},
        {"alice", "no JSON object"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e;
        AUTO_FREE char *token = sign(HEAD, rows[i].claims);
        int r = check(token, keys, &rules, &e);
        if ((r < 0) != (rows[i].words != NULL) || (r < 0 && !strstr(e.msg, rows[i].words)))
            fail_msg("%s: %d %s", rows[i].claims, r, e.msg);
        assert_null(strstr(e.msg, "alice"));
    }
}

/* RFC 8725 2.1: the public key, which everybody has, as the secret of an HMAC. */
static void a_public_key_is_no_secret(void **state)
{
    (void)state;
    struct err e;
    unsigned char mac[DIGEST_SHA256_BYTES];
    AUTO(buf) t = BUF_INIT(4000);
    add_base64url(&t, "{\"alg\":\"HS256\",\"kid\":\"rs256\"}");
    (void)buf_addc(&t, '.');
    add_base64url(&t, CLAIMS);
    digest_hmac_sha256(sample_keys, strlen(sample_keys), t.data, t.len, mac);
    (void)buf_addc(&t, '.');
    (void)enc_base64url(&t, mac, sizeof(mac));
    struct jwks *set;
    assert_int_equal(jwks_parse(sample_keys, strlen(sample_keys), &set, NULL), 0);
    assert_int_equal(check(buf_str(&t), set, &rules, &e), -E_DENIED);
    assert_non_null(strstr(e.msg, "an algorithm that is taken (alg)"));
    jwks_unref(set);
}

static void the_form_is_three_parts_of_base64url(void **state)
{
    (void)state;
    AUTO_FREE char *good = sign(HEAD, CLAIMS);
    const char *sig = strrchr(good, '.');
    AUTO_FREE char *padded = mem_printf("%s=", good);
    AUTO_FREE char *padded_two = mem_printf("%s==", good);
    AUTO_FREE char *unsigned_ = mem_printf("%.*s.", (int)(sig - good), good);
    AUTO_FREE char *four = mem_printf("%s.e30", good);
    AUTO_FREE char *five = mem_printf("%s.e30.e30", good);
    AUTO_FREE char *space = mem_printf(" %s", good);
    AUTO_FREE char *plus = mem_printf("%.*s.+/++", (int)(sig - good), good);
    AUTO_FREE char *json = mem_printf("{\"payload\":\"%s\"}", good);
    const char *const rows[] = {"",   ".",       "..", "a.b.c", "e30.e30", padded, padded_two,
                                four, unsigned_, five, space,   plus,      json};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e;
        assert_int_equal(check(rows[i], keys, &rules, &e), -E_PARSE);
        assert_true(e.msg[0]);
    }
}

static void sizes_are_bounded(void **state)
{
    (void)state;
    struct err e;
    AUTO(buf) c = BUF_INIT(64u << 10);
    (void)buf_addf(&c, "{" WHO "," FOR "," UNTIL ",\"x\":\"");
    while (c.len < 20000)
        (void)buf_adds(&c, "yyyyyyyyyy");
    (void)buf_adds(&c, "\"}");
    AUTO_FREE char *large = sign(HEAD, buf_str(&c));
    assert_int_equal(check(large, keys, &rules, &e), -E_LIMIT);
    assert_non_null(strstr(e.msg, "more than 16384 bytes"));
    buf_done(&c);
    c = (struct buf)BUF_INIT(64u << 10);
    (void)buf_adds(&c, "{" WHO "," FOR "," UNTIL ",\"x\":[");
    for (int i = 0; i < 3000; i++)
        (void)buf_adds(&c, "1,");
    (void)buf_adds(&c, "1]}");
    AUTO_FREE char *many = sign(HEAD, buf_str(&c));
    assert_int_equal(check(many, keys, &rules, &e), -E_PARSE);
    buf_done(&c);
    c = (struct buf)BUF_INIT(64u << 10);
    (void)buf_adds(&c, "{" WHO "," FOR "," UNTIL ",\"x\":");
    for (int i = 0; i < 100; i++)
        (void)buf_adds(&c, "[");
    for (int i = 0; i < 100; i++)
        (void)buf_adds(&c, "]");
    (void)buf_adds(&c, "}");
    AUTO_FREE char *deep = sign(HEAD, buf_str(&c));
    assert_int_equal(check(deep, keys, &rules, &e), -E_PARSE);
}

/* What is remembered is the token as a whole, of one set. */
static void a_good_signature_is_remembered(void **state)
{
    (void)state;
    struct err e;
    struct jwks *set, *later;
    unsigned char hash[DIGEST_SHA256_BYTES], bad[DIGEST_SHA256_BYTES];
    const size_t n = strlen(sample_es256);
    AUTO_FREE char *changed = mem_strdup(sample_es256);
    changed[n - 20] = changed[n - 20] == 'A' ? 'B' : 'A';
    digest_sha256(sample_es256, n, hash);
    digest_sha256(changed, n, bad);
    assert_int_equal(jwks_parse(sample_keys, strlen(sample_keys), &set, NULL), 0);
    assert_int_equal(jwks_parse(sample_keys, strlen(sample_keys), &later, NULL), 0);
    assert_int_equal(check(changed, set, &rules, &e), -E_DENIED);
    assert_false(jwks_remembers(set, bad));
    for (int i = 0; i < 2; i++) {
        assert_false(i == 0 && jwks_remembers(set, hash));
        assert_int_equal(check(sample_es256, set, &rules, &e), 0);
        assert_true(jwks_remembers(set, hash));
        assert_int_equal(check(changed, set, &rules, &e), -E_DENIED);
    }
    assert_false(jwks_remembers(later, hash));
    /* What else a token has to be is looked at each time. */
    struct jwt_rules other = rules;
    other.algorithms = 1u << JWS_RS256;
    assert_int_equal(check(sample_es256, set, &other, &e), -E_DENIED);
    other = rules;
    other.issuer = "https://another.example";
    assert_int_equal(check(sample_es256, set, &other, &e), -E_DENIED);
    jwks_unref(set);
    jwks_unref(later);
}

static void types_that_are_asked_for(void **state)
{
    (void)state;
    struct err e;
    struct jwt_rules r = rules;
    r.type = "at+jwt";
    static const struct {
        const char *head;
        int code;
    } rows[] = {
        {"{\"alg\":\"ES256\",\"typ\":\"at+jwt\"}", 0},
        {"{\"alg\":\"ES256\",\"typ\":\"application/AT+JWT\"}", 0},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\"}", -E_DENIED},
        {"{\"alg\":\"ES256\"}", -E_DENIED},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *token = sign(rows[i].head, CLAIMS);
        assert_int_equal(check(token, keys, &r, &e), rows[i].code);
    }
}

static void open_it(const char *claims_, struct jwt *ret)
{
    struct err e;
    /* The token may go: what is borrowed from it is its signature's. */
    AUTO_FREE char *token = sign(HEAD, claims_);
    assert_int_equal(jwt_open(token, strlen(token), ret, &e), 0);
}

static void an_identity_is_of_issuer_and_subject(void **state)
{
    (void)state;
    char a[DIGEST_SHA256_HEX], b[DIGEST_SHA256_HEX];
    AUTO(jwt) t, u, v, w;
    open_it("{\"iss\":\"x\",\"sub\":\"yz\"}", &t);
    open_it("{\"iss\":\"x\",\"sub\":\"yz\",\"jti\":\"2\"}", &u);
    open_it("{\"iss\":\"xy\",\"sub\":\"z\"}", &v);
    open_it("{\"iss\":\"x\",\"sub\":\"YZ\"}", &w);
    assert_string_equal(jwt_subject(&t), "yz");
    jwt_identity(&t, a);
    jwt_identity(&u, b);
    assert_string_equal(a, b);
    jwt_identity(&v, b);
    assert_string_not_equal(a, b);
    jwt_identity(&w, b);
    assert_string_not_equal(a, b);
}

static void claims_and_scopes_that_are_wanted(void **state)
{
    (void)state;
    AUTO(jwt) t, scp, list, none;
    AUTO_JSON json_t *acme = json_pack("[s,i,b]", "acme", 7, 1);
    open_it(
        "{\"tenant\":\"acme\",\"level\":7,\"admin\":true,\"groups\":[\"x\",\"acme\"],\"n\":\"7\","
        "\"o\":{\"acme\":1},\"scope\":\"read  write\"}",
        &t);
    assert_true(jwt_claim_is(&t, "tenant", acme));
    assert_true(jwt_claim_is(&t, "level", acme));
    assert_true(jwt_claim_is(&t, "admin", acme));
    assert_true(jwt_claim_is(&t, "groups", acme));
    assert_false(jwt_claim_is(&t, "n", acme));
    assert_false(jwt_claim_is(&t, "o", acme));
    assert_false(jwt_claim_is(&t, "missing", acme));
    assert_true(jwt_has_scopes(&t, "write"));
    assert_true(jwt_has_scopes(&t, "write read"));
    assert_false(jwt_has_scopes(&t, "write delete"));
    assert_false(jwt_has_scopes(&t, "rea"));
    open_it("{\"scp\":\"read\"}", &scp);
    open_it("{\"scp\":[\"read\",\"write\"]}", &list);
    open_it("{\"scope\":7,\"scp\":\"read\"}", &none);
    assert_true(jwt_has_scopes(&scp, "read"));
    assert_true(jwt_has_scopes(&list, "read write"));
    assert_false(jwt_has_scopes(&list, "read all"));
    assert_false(jwt_has_scopes(&none, "read"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_of_another_library_are_taken),
        cmocka_unit_test(heads),
        cmocka_unit_test(claims),
        cmocka_unit_test(a_public_key_is_no_secret),
        cmocka_unit_test(the_form_is_three_parts_of_base64url),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(a_good_signature_is_remembered),
        cmocka_unit_test(types_that_are_asked_for),
        cmocka_unit_test(an_identity_is_of_issuer_and_subject),
        cmocka_unit_test(claims_and_scopes_that_are_wanted),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
