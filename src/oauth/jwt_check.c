/* jwt_check.c - the rules of RFC 8725 for tokens that somebody shows.
 *
 * Pure; called on the fiber of a request before anything of it counts (tunnel/gateway/forward_caller.c), and by the
 * fuzzer. Every byte of a token is a stranger's until its signature has been checked, and the signature counts
 * only for who has the key of the issuer. So: the size is bounded before anything is decoded, base64url has one
 * spelling, JSON has one reading (no member twice). The token chooses among the algorithms and keys that the operator
 * allows and brings neither: `none` and HMAC do not exist here, a key in the head (jwk, x5c) or the address of one
 * (jku, x5u) is a no, and so is what has to be understood and is not (crit, cnf). A check begins at "no" and
 * says yes in one place. */
#include "oauth/jwt_check.h"

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/str.h"
#include "oauth/jwks.h"
#include "oauth/scope.h"

#include <math.h>
#include <string.h>

#define VALUES_MAX   1000
#define HEAD_MAX     4096
#define AUDIENCE_MAX 64 /* that one token may name */

/* ---- the form ---- */

/* A part of the token, which ends at `end`. -E_PARSE: it is no base64url without padding. */
static int decode(const char *p, const char *end, size_t max, struct buf *ret)
{
    *ret = BUF_INIT(max);
    const size_t n = (size_t)(end - p);
    if (n == 0 || end[-1] == '=')
        return -E_PARSE;
    return enc_base64url_decode(ret, p, n);
}

static int decode_object(const char *p, const char *end, size_t max, json_t **ret)
{
    AUTO(buf) text;
    json_t *j = NULL;
    int r = decode(p, end, max, &text);
    if (r == 0)
        r = json_parse_few(buf_str(&text), text.len, VALUES_MAX, &j, NULL);
    if (r == 0 && !json_is_object(j)) {
        json_decref(j);
        r = -E_PARSE;
    }
    if (r == 0)
        *ret = j;
    return r;
}

/* A text, if it is there: a copy. -E_PARSE: something else. */
static int take_text(const json_t *head, const char *name, char **ret)
{
    const json_t *v = json_object_get(head, name);
    if (v && (!json_is_string(v) || json_string_length(v) > JWKS_KID_MAX))
        return -E_PARSE;
    *ret = v ? mem_strdup(json_string_value(v)) : NULL;
    return 0;
}

/* What would let the token say by which key it is checked, or has to be understood. */
static const char *strange_member(const json_t *head)
{
    static const struct {
        const char *name, *words;
    } rows[] = {
        {"jwk", "the token brings its own key (jwk), which proves nothing"},
        {"jku", "the token names an address of keys (jku), which is not asked"},
        {"x5c", "the token brings its own certificate (x5c), which proves nothing"},
        {"x5u", "the token names an address of a certificate (x5u), which is not asked"},
        {"crit", "the token has a critical extension (crit), and none is understood"},
        {"b64", "the token's content is not encoded (b64), which is not understood"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (json_object_get(head, rows[i].name))
            return rows[i].words;
    return NULL;
}

static int read_head(const json_t *head, struct jwt *t, struct err *e)
{
    const char *strange = strange_member(head), *alg = json_get_str(head, "alg");
    if (strange)
        return err_set(e, -E_DENIED, "%s", strange);
    if (!alg)
        return err_set(e, -E_PARSE, "the token does not say how it is signed (alg)");
    if (str_ieq(alg, "none"))
        return err_set(e, -E_DENIED, "the token is not signed (alg none)");
    if (jws_alg_of(alg, &t->alg) < 0)
        return err_set(e, -E_DENIED, "the token is not signed by an algorithm that is taken (alg)");
    if (take_text(head, "kid", &t->kid) < 0 || take_text(head, "typ", &t->type) < 0)
        return err_set(e, -E_PARSE, "the token's head has no texts where kid and typ are");
    return 0;
}

/* The two dots of a token that has two. */
static bool split(const char *p, size_t n, const char *ret_dots[2])
{
    size_t dots = 0;
    for (size_t i = 0; i < n; i++)
        if (p[i] == '.') {
            if (dots < 2)
                ret_dots[dots] = p + i;
            dots++;
        }
    return dots == 2;
}

static int open_parts(const char *token, const char *const dots[2], const char *end, struct jwt *t,
                      struct err *e)
{
    AUTO_JSON json_t *head = NULL;
    AUTO(buf) signature;
    int r = decode(dots[1] + 1, end, JWS_SIGNATURE_BYTES, &signature);
    if (r == 0)
        r = decode_object(token, dots[0], HEAD_MAX, &head);
    if (r < 0)
        return err_set(e, -E_PARSE,
                       "the token is no JWT: its head is no JSON object with one reading, or its "
                       "signature no base64url");
    r = read_head(head, t, e);
    if (r < 0)
        return r;
    if (decode_object(dots[0] + 1, dots[1], JWT_BYTES_MAX, &t->claims) < 0)
        return err_set(e, -E_PARSE,
                       "the token's claims are no JSON object with one reading (each name once)");
    t->signature = buf_take(&signature, &t->n_signature);
    t->signed_text = token;
    t->n_signed = (size_t)(dots[1] - token);
    t->n_token = (size_t)(end - token);
    return 0;
}

int jwt_open(const char *token, size_t n, struct jwt *ret, struct err *e)
{
    const char *dots[2];
    *ret = (struct jwt){.claims = NULL};
    if (n > JWT_BYTES_MAX)
        return err_set(e, -E_LIMIT, "the token has more than %u bytes", JWT_BYTES_MAX);
    if (!split(token, n, dots))
        return err_set(e, -E_PARSE, "the token is no signed JWT: it has not three parts");
    return open_parts(token, dots, token + n, ret, e);
}

void jwt_done(struct jwt *t)
{
    json_decref(t->claims);
    free(t->kid);
    free(t->type);
    free(t->signature);
    *t = (struct jwt){.claims = NULL};
}

/* ---- who has signed it ---- */

/* RFC 7515 4.1.9, RFC 8725 3.11: what is a token of another sort is none here. */
static bool is_type(const char *type, const char *wanted)
{
    static const char prefix[] = "application/";
    const size_t n = sizeof(prefix) - 1;
    if (!type)
        return !wanted;
    if (str_ieq_n(type, strnlen(type, n), prefix, n))
        type += n;
    return wanted ? str_ieq(type, wanted) : str_ieq(type, "JWT") || str_ieq(type, "at+jwt");
}

/* Known is the token as a whole: its head, which names key and algorithm, and its signature, too. */
static bool is_signed(const struct jwt *t, struct jwks *keys, const struct jws_key *k)
{
    unsigned char hash[DIGEST_SHA256_BYTES];
    digest_sha256(t->signed_text, t->n_token, hash);
    if (jwks_remembers(keys, hash))
        return true;
    if (!jws_verify(k, t->alg, t->signed_text, t->n_signed, (const unsigned char *)t->signature,
                    t->n_signature))
        return false;
    jwks_remember(keys, hash);
    return true;
}

int jwt_check_signature(const struct jwt *t, struct jwks *keys, const struct jwt_rules *rules,
                        struct err *e)
{
    bool many = false;
    if (!(rules->algorithms & (1u << t->alg)))
        return err_set(e, -E_DENIED, "the token is not signed by an algorithm that is taken (alg)");
    if (!is_type(t->type, rules->type))
        return err_set(e, -E_DENIED, "the token is of another type than is taken (typ)");
    const struct jws_key *k = jwks_find(keys, t->kid, t->alg, &many);
    if (!k && many)
        return err_set(e, -E_DENIED,
                       t->kid ? "more than one key of the issuer has the token's name of a key "
                                "(kid)"
                              : "the token does not say which of the issuer's keys has signed it "
                                "(kid)");
    if (!k)
        return err_set(e, -ENOENT,
                       "the issuer has no key by which the token says it is signed (kid, alg)");
    if (is_signed(t, keys, k))
        return 0;
    return err_set(e, -E_DENIED, "the token's signature is not of the issuer's key");
}

/* ---- what it says ---- */

static bool is_for_one(const json_t *aud, const struct jwt_rules *rules)
{
    const char *s = json_string_value(aud);
    for (size_t i = 0; s && i < rules->n_audiences; i++)
        if (str_eq(s, rules->audiences[i]))
            return true;
    return false;
}

static bool is_for_us(const json_t *aud, const struct jwt_rules *rules)
{
    const size_t n = json_array_size(aud);
    for (size_t i = 0; i < n && n <= AUDIENCE_MAX; i++)
        if (is_for_one(json_array_get(aud, i), rules))
            return true;
    return is_for_one(aud, rules);
}

enum moment { MOMENT_NONE, MOMENT_GOOD, MOMENT_BAD };

/* A NumericDate (RFC 7519 2): seconds, which may have a fraction. */
static enum moment moment(const struct jwt *t, const char *name, double *ret)
{
    const json_t *v = json_object_get(t->claims, name);
    if (!v)
        return MOMENT_NONE;
    if (!json_is_number(v) || !isfinite(json_number_value(v)) || json_number_value(v) < 0)
        return MOMENT_BAD;
    *ret = json_number_value(v);
    return MOMENT_GOOD;
}

static int check_time(const struct jwt *t, double now, double skew, struct err *e)
{
    double at = 0;
    enum moment m = moment(t, "exp", &at);
    if (m != MOMENT_GOOD)
        return err_set(e, -E_DENIED, "the token does not say when it expires (exp)");
    if (now >= at + skew)
        return err_set(e, -E_DENIED, "the token has expired (exp): get a new one");
    m = moment(t, "nbf", &at);
    if (m == MOMENT_BAD || (m == MOMENT_GOOD && now < at - skew))
        return err_set(e, -E_DENIED, "the token is not valid yet (nbf): are the clocks right?");
    m = moment(t, "iat", &at);
    if (m == MOMENT_BAD || (m == MOMENT_GOOD && now < at - skew))
        return err_set(e, -E_DENIED,
                       "the token was issued in the future (iat): are the clocks right?");
    return 0;
}

int jwt_check_claims(const struct jwt *t, const struct jwt_rules *rules, int64_t now_s,
                     struct err *e)
{
    const json_t *sub = json_object_get(t->claims, "sub");
    const char *iss = json_get_str(t->claims, "iss");
    if (!iss || !str_eq(iss, rules->issuer))
        return err_set(e, -E_DENIED, "the token is of another issuer (iss)");
    if (!is_for_us(json_object_get(t->claims, "aud"), rules))
        return err_set(e, -E_DENIED, "the token is for another audience (aud)");
    if (check_time(t, (double)now_s, (double)rules->skew_s, e) < 0)
        return -E_DENIED;
    if (!json_is_string(sub) || json_string_length(sub) == 0 ||
        json_string_length(sub) > JWT_SUBJECT_MAX)
        return err_set(e, -E_DENIED, "the token does not say whose it is (sub)");
    if (json_object_get(t->claims, "cnf"))
        return err_set(e, -E_DENIED,
                       "the token goes with the proof of a key (cnf), which is not asked for here: "
                       "get a bearer token");
    return 0;
}

const char *jwt_subject(const struct jwt *t)
{
    return json_get_str(t->claims, "sub");
}

void jwt_identity(const struct jwt *t, char ret[DIGEST_SHA256_HEX])
{
    const char *iss = json_get_str(t->claims, "iss"), *sub = jwt_subject(t);
    MUST(iss && sub);
    /* Neither holds a NUL: json_parse refuses it. */
    AUTO(buf) both = BUF_INIT(JWT_BYTES_MAX);
    (void)buf_add(&both, iss, strlen(iss) + 1);
    (void)buf_adds(&both, sub);
    MUST(buf_err(&both) == 0);
    (void)digest_sha256_hex(both.data, both.len, ret);
}

static bool is_allowed(const json_t *v, const json_t *allowed)
{
    for (size_t i = 0; i < json_array_size(allowed); i++)
        if (json_equal((json_t *)(uintptr_t)v, json_array_get(allowed, i)))
            return true;
    return false;
}

bool jwt_claim_is(const struct jwt *t, const char *name, const json_t *allowed)
{
    const json_t *v = json_object_get(t->claims, name);
    for (size_t i = 0; i < json_array_size(v); i++)
        if (is_allowed(json_array_get(v, i), allowed))
            return true;
    return v && is_allowed(v, allowed);
}

bool jwt_has_scopes(const struct jwt *t, const char *scopes)
{
    const json_t *scope = json_object_get(t->claims, "scope");
    scope = scope ? scope : json_object_get(t->claims, "scp");
    if (!json_is_array(scope))
        return auth_scope_within(scopes, json_string_value(scope));
    AUTO_FREE char *list = auth_scope_of_json(scope);
    return auth_scope_within(scopes, list);
}
