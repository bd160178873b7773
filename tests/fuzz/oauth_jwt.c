/* oauth_jwt.c - fuzzes tokens that somebody shows, and sets of keys that somebody publishes.
 *
 * Theory of operation: the first byte chooses. A set that is taken has keys, as many as may be. A token that comes
 * apart has a known algorithm and lies within its text; no bytes of a fuzzer are signed by the key that there is, so
 * none is ever taken. Of the claims of one that is taken for signed, what was asked is there. Words are printable
 * and repeat nothing of the input. */
#include "fuzz.h"
#include "base/err.h"
#include "oauth/jwks.h"
#include "oauth/jwt_check.h"

#include <string.h>

#define SAID "zZfuzzSecretZz"

static const char set[] =
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
    "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"kid\":\"k\"},"
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

static void is_words(const struct err *e, int r)
{
    MUST(e->code == r && e->msg[0] && !strstr(e->msg, SAID));
    for (const char *p = e->msg; *p; p++)
        MUST(*p >= ' ' && *p <= '~');
}

static void keys(const char *text, size_t n)
{
    struct jwks *s = NULL;
    struct err e = {0};
    int r = jwks_parse(text, n, &s, &e);
    if (r < 0) {
        is_words(&e, r);
        return;
    }
    MUST(jwks_count(s) > 0 && jwks_count(s) <= JWKS_KEYS_MAX);
    for (unsigned a = 0; a < JWS_ALGS; a++) {
        const struct jws_key *k = jwks_find(s, NULL, (enum jws_alg)a, NULL);
        MUST(!k || jws_key_fits(k, (enum jws_alg)a));
    }
    jwks_unref(s);
}

static void token(const char *text, size_t n)
{
    static const char *const audiences[] = {"a"};
    static struct jwks *s;
    static const struct jwt_rules rules = {.algorithms = JWS_ALL,
                                           .issuer = "i",
                                           .audiences = audiences,
                                           .n_audiences = 1,
                                           .skew_s = 60};
    AUTO(jwt) t = {.claims = NULL};
    struct err e = {0};
    char id[DIGEST_SHA256_HEX];
    if (!s)
        MUST(jwks_parse(set, sizeof(set) - 1, &s, NULL) == 0);
    int r = jwt_open(text, n, &t, &e);
    if (r < 0) {
        is_words(&e, r);
        return;
    }
    MUST(json_is_object(t.claims) && t.alg < JWS_ALGS && n <= JWT_BYTES_MAX);
    MUST(t.signed_text == text && t.n_signed < n && t.n_signature <= JWS_SIGNATURE_BYTES);
    r = jwt_check_signature(&t, s, &rules, &e);
    MUST(r < 0);
    is_words(&e, r);
    r = jwt_check_claims(&t, &rules, 1700000000, &e);
    if (r < 0) {
        is_words(&e, r);
        return;
    }
    MUST(jwt_subject(&t) && jwt_subject(&t)[0]);
    MUST(!json_object_get(t.claims, "cnf") && json_object_get(t.claims, "exp"));
    jwt_identity(&t, id);
    (void)jwt_has_scopes(&t, "a b");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    const char *text = (const char *)data + 1;
    if (data[0] & 1)
        keys(text, n - 1);
    else
        token(text, n - 1);
    return 0;
}
