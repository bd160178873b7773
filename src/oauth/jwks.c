/* jwks.c - from the text of a JSON Web Key Set to keys.
 *
 * Called when a file of keys is read, or when an answer with keys has come (tunnel/gateway/caller_keys.c), and
 * by the fuzzer. Pure. Whoever issues tokens wrote the text, or whoever has its address now: size, number of values
 * and of keys are bounded before one is made. A key counts for what it says of itself and nothing more: one for
 * encryption checks no signature, one for another algorithm none of that. Which key checks a token is decided by
 * its name and its kind; where two could, neither does. Certificates in a key (x5c, x5u) are not looked at:
 * who trusts the set has no need of them. */
#include "oauth/jwks.h"

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

#include <string.h>

#define VALUES_MAX 8192
#define NUMBER_MAX (JWS_RSA_MOST_BITS / 8)

struct jwk {
    char *kid;  /* NULL: it has no name */
    bool fixed; /* `alg` is the only one */
    enum jws_alg alg;
    struct jws_key *key;
};

struct jwks {
    unsigned refs;
    size_t n;
    struct jwk *keys;
    unsigned char (
        *known)[DIGEST_SHA256_BYTES]; /* JWKS_KNOWN_MAX; NULL: none yet. By the first byte */
};

struct jwks *jwks_ref(struct jwks *s)
{
    s->refs++;
    return s;
}

void jwks_unref(struct jwks *s)
{
    if (!s || --s->refs > 0)
        return;
    for (size_t i = 0; i < s->n; i++) {
        free(s->keys[i].kid);
        jws_key_free(s->keys[i].key);
    }
    free(s->keys);
    free(s->known);
    free(s);
}

size_t jwks_count(const struct jwks *s)
{
    return s->n;
}

/* ---- tokens ---- */

/* Only what a key has signed comes here: no stranger can push anything out. Zeros are nobody's SHA-256. */
void jwks_remember(struct jwks *s, const unsigned char hash[DIGEST_SHA256_BYTES])
{
    _Static_assert(JWKS_KNOWN_MAX == 256, "a place for each first byte");
    if (!s->known)
        s->known = mem_array(JWKS_KNOWN_MAX, sizeof(*s->known));
    memcpy(s->known[hash[0]], hash, DIGEST_SHA256_BYTES);
}

bool jwks_remembers(const struct jwks *s, const unsigned char hash[DIGEST_SHA256_BYTES])
{
    return s->known && memcmp(s->known[hash[0]], hash, DIGEST_SHA256_BYTES) == 0;
}

/* ---- one key ---- */

/* A member of base64url without padding. -E_PARSE: there is none. */
static int number(const json_t *j, const char *name, struct buf *ret)
{
    const char *s = json_get_str(j, name);
    const size_t n = s ? strlen(s) : 0;
    return n == 0 || s[n - 1] == '=' ? -E_PARSE : enc_base64url_decode(ret, s, n);
}

static int two_numbers(const json_t *j, const char *a, const char *b, struct buf *ret_a,
                       struct buf *ret_b)
{
    int r = number(j, a, ret_a);
    return r < 0 ? r : number(j, b, ret_b);
}

static int read_ec(const json_t *j, struct jws_key **ret)
{
    AUTO(buf) x = BUF_INIT(NUMBER_MAX), y = BUF_INIT(NUMBER_MAX);
    const char *curve = json_get_str(j, "crv");
    const size_t size = str_eq(curve, "P-256") ? 32 : str_eq(curve, "P-384") ? 48 : 0;
    int r = two_numbers(j, "x", "y", &x, &y);
    if (r < 0 || size == 0 || x.len != size)
        return r < 0 ? r : -E_PARSE;
    return jws_key_ec((const unsigned char *)x.data, x.len, (const unsigned char *)y.data, y.len,
                      ret);
}

static int read_rsa(const json_t *j, struct jws_key **ret)
{
    AUTO(buf) n = BUF_INIT(NUMBER_MAX), e = BUF_INIT(NUMBER_MAX);
    int r = two_numbers(j, "n", "e", &n, &e);
    return r < 0 ? r
                 : jws_key_rsa((const unsigned char *)n.data, n.len, (const unsigned char *)e.data,
                               e.len, ret);
}

static int read_okp(const json_t *j, struct jws_key **ret)
{
    AUTO(buf) x = BUF_INIT(NUMBER_MAX);
    int r = str_eq(json_get_str(j, "crv"), "Ed25519") ? number(j, "x", &x) : -E_PARSE;
    return r < 0 ? r : jws_key_ed25519((const unsigned char *)x.data, x.len, ret);
}

static int read_material(const json_t *j, struct jws_key **ret)
{
    const char *type = json_get_str(j, "kty");
    if (str_eq(type, "EC"))
        return read_ec(j, ret);
    if (str_eq(type, "RSA"))
        return read_rsa(j, ret);
    return str_eq(type, "OKP") ? read_okp(j, ret) : -E_PARSE;
}

/* RFC 7517 4.2, 4.3: what is not said is not limited. */
static bool is_for_signatures(const json_t *j)
{
    const json_t *use = json_object_get(j, "use"), *ops = json_object_get(j, "key_ops");
    if (use && !str_eq(json_string_value(use), "sig"))
        return false;
    for (size_t i = 0; i < json_array_size(ops); i++)
        if (str_eq(json_string_value(json_array_get(ops, i)), "verify"))
            return true;
    return !ops;
}

/* Members that a public key has not (RFC 7518 6.2.2, 6.3.2; RFC 8037 2). */
static bool is_private(const json_t *j)
{
    return json_object_get(j, "d") != NULL;
}

static int read_key(const json_t *j, struct jwk *ret)
{
    const json_t *alg = json_object_get(j, "alg"), *kid = json_object_get(j, "kid");
    if (!is_for_signatures(j) || (kid && !json_is_string(kid)) ||
        json_string_length(kid) > JWKS_KID_MAX)
        return -E_PARSE;
    ret->fixed = alg != NULL;
    if (alg && jws_alg_of(json_string_value(alg), &ret->alg) < 0)
        return -E_PARSE;
    int r = read_material(j, &ret->key);
    if (r < 0)
        return r;
    if (alg && !jws_key_fits(ret->key, ret->alg)) {
        jws_key_free(TAKE(ret->key));
        return -E_PARSE;
    }
    ret->kid = kid ? mem_strdup(json_string_value(kid)) : NULL;
    return 0;
}

/* ---- the set ---- */

static int read_keys(const json_t *list, struct jwks *s, struct err *e)
{
    const size_t n = json_array_size(list);
    if (n > JWKS_KEYS_MAX)
        return err_set(e, -E_LIMIT, "the set has %zu keys, at most %d are read", n, JWKS_KEYS_MAX);
    s->keys = mem_array(n + 1, sizeof(*s->keys));
    for (size_t i = 0; i < n; i++) {
        const json_t *j = json_array_get(list, i);
        if (is_private(j))
            return err_set(e, -E_PARSE,
                           "keys[%zu] is a private key: whoever reads the set can sign with it; "
                           "publish the public half, and another key",
                           i);
        int r = read_key(j, &s->keys[s->n]);
        if (r == 0)
            s->n++;
        else if (r == -ENOMEM)
            return err_set(e, r, "no memory for keys");
    }
    if (s->n == 0)
        return err_set(e, -E_PARSE,
                       "none of the %zu keys of the set can check a signature by ES256, ES384, "
                       "RS256, PS256 (RSA of 2048 bits at least) or EdDSA",
                       n);
    return 0;
}

int jwks_parse(const char *text, size_t n, struct jwks **ret, struct err *e)
{
    AUTO_JSON json_t *j = NULL;
    struct err why = {0};
    if (n > JWKS_BYTES_MAX)
        return err_set(e, -E_LIMIT, "the set of keys has more than %u bytes", JWKS_BYTES_MAX);
    int r = json_parse_few(text, n, VALUES_MAX, &j, &why);
    if (r < 0)
        return err_set(e, r, "the set of keys is no JSON with one reading: %s",
                       why.msg[0] ? why.msg : err_text(r));
    const json_t *list = json_object_get(j, "keys");
    if (!json_is_array(list))
        return err_set(e, -E_PARSE, "it is no set of keys: {\"keys\": [...]} is expected");
    struct jwks *s = mem_new(struct jwks);
    s->refs = 1;
    r = read_keys(list, s, e);
    if (r < 0)
        jwks_unref(s);
    else
        *ret = s;
    return r;
}

const struct jws_key *jwks_find(const struct jwks *s, const char *kid, enum jws_alg alg,
                                bool *ret_many)
{
    const struct jws_key *found = NULL;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct jwk *k = &s->keys[i];
        if (!jws_key_fits(k->key, alg) || (k->fixed && k->alg != alg) ||
            (kid && !str_eq(kid, k->kid)))
            continue;
        found = k->key;
        n++;
    }
    if (ret_many)
        *ret_many = n > 1;
    return n == 1 ? found : NULL;
}
