/* jws.c - public keys of JSON Web Keys in libcrypto, and their signatures.
 *
 * Called on the fiber of whoever checks a token (oauth/jwks.c, oauth/jwt_check.c); never suspends. The key comes
 * from the one who issues tokens, whom the operator trusts, and is nevertheless checked: a point off its curve, a
 * modulus that is too short to protect anything or so long that checking costs seconds, an exponent that makes
 * a check a formality. Text and signature come from anybody. What the caller's token says it was signed by has
 * to fit the kind of key: so no public key is ever taken for the secret of an HMAC (RFC 8725 3.1), for there is
 * none here, and nothing but RSA has two algorithms. ECDSA's signature is two numbers of a fixed width here (RFC 7518
 * 3.4), and DER in libcrypto. */
#include "crypto/jws.h"

#include "base/err.h"
#include "base/str.h"
#include "crypto/crypto_lib.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>

#define EC_MOST 48 /* bytes of a coordinate */

enum kind { KIND_P256, KIND_P384, KIND_RSA, KIND_ED25519 };

struct jws_key {
    enum kind kind;
    EVP_PKEY *key;
};

static const struct {
    const char *name;
    enum kind kind;
} algs[JWS_ALGS] = {
    [JWS_ES256] = {"ES256", KIND_P256},    [JWS_ES384] = {"ES384", KIND_P384},
    [JWS_RS256] = {"RS256", KIND_RSA},     [JWS_PS256] = {"PS256", KIND_RSA},
    [JWS_EDDSA] = {"EdDSA", KIND_ED25519},
};

const char *jws_alg_name(enum jws_alg a)
{
    return algs[a].name;
}

int jws_alg_of(const char *name, enum jws_alg *ret)
{
    for (unsigned i = 0; i < JWS_ALGS; i++)
        if (str_eq(name, algs[i].name)) {
            *ret = (enum jws_alg)i;
            return 0;
        }
    return -ENOENT;
}

/* ---- keys ---- */

static int of_pkey(enum kind kind, EVP_PKEY *key, struct jws_key **ret)
{
    if (!key) {
        ERR_clear_error();
        return -E_PARSE;
    }
    struct jws_key *k = mem_new(struct jws_key);
    k->kind = kind;
    k->key = key;
    *ret = k;
    return 0;
}

static EVP_PKEY *of_params(const char *type, OSSL_PARAM *params)
{
    MUST(crypto_lib_open(NULL) == 0);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;
    MUST(ctx && EVP_PKEY_fromdata_init(ctx) == 1);
    if (EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

int jws_key_ec(const unsigned char *x, size_t n_x, const unsigned char *y, size_t n_y,
               struct jws_key **ret)
{
    unsigned char point[1 + 2 * EC_MOST] = {4}; /* uncompressed: SEC 1, 2.3.3 */
    char p256[] = "P-256", p384[] = "P-384";
    if ((n_x != 32 && n_x != EC_MOST) || n_y != n_x)
        return -E_PARSE;
    char *const group = n_x == 32 ? p256 : p384;
    memcpy(point + 1, x, n_x);
    memcpy(point + 1 + n_x, y, n_y);
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 5),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * n_x),
        OSSL_PARAM_END,
    };
    /* libcrypto looks whether the point is on the curve when it reads one (test_jws). */
    return of_pkey(n_x == 32 ? KIND_P256 : KIND_P384, of_params("EC", params), ret);
}

/* A number as this machine has it. */
static void to_native(const unsigned char *p, size_t n, unsigned char *ret)
{
    for (size_t i = 0; i < n; i++)
        ret[i] = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? p[n - 1 - i] : p[i];
}

static bool is_modulus(const unsigned char *p, size_t n)
{
    if (n < JWS_RSA_LEAST_BITS / 8 || n > JWS_RSA_MOST_BITS / 8 || !(p[n - 1] & 1))
        return false;
    return n > JWS_RSA_LEAST_BITS / 8 ? p[0] != 0 : p[0] & 0x80;
}

static bool is_exponent(const unsigned char *p, size_t n)
{
    return n > 0 && n <= 4 && p[0] != 0 && (p[n - 1] & 1) && !(n == 1 && p[0] == 1);
}

int jws_key_rsa(const unsigned char *n, size_t n_n, const unsigned char *e, size_t n_e,
                struct jws_key **ret)
{
    unsigned char modulus[JWS_RSA_MOST_BITS / 8], exponent[4];
    if (!is_modulus(n, n_n) || !is_exponent(e, n_e))
        return -E_PARSE;
    to_native(n, n_n, modulus);
    to_native(e, n_e, exponent);
    OSSL_PARAM params[] = {
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, modulus, n_n),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, exponent, n_e),
        OSSL_PARAM_END,
    };
    return of_pkey(KIND_RSA, of_params("RSA", params), ret);
}

int jws_key_ed25519(const unsigned char *x, size_t n, struct jws_key **ret)
{
    MUST(crypto_lib_open(NULL) == 0);
    if (n != 32)
        return -E_PARSE;
    return of_pkey(KIND_ED25519, EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, n), ret);
}

void jws_key_free(struct jws_key *k)
{
    if (k)
        EVP_PKEY_free(k->key);
    free(k);
}

/* ---- signatures ---- */

bool jws_key_fits(const struct jws_key *k, enum jws_alg a)
{
    return algs[a].kind == k->kind;
}

static size_t put_integer(unsigned char *to, const unsigned char *p, size_t n)
{
    while (n > 1 && *p == 0) {
        p++;
        n--;
    }
    const size_t sign = *p >> 7;
    to[0] = 0x02;
    to[1] = (unsigned char)(n + sign);
    to[2] = 0;
    memcpy(to + 2 + sign, p, n);
    return 2 + sign + n;
}

/* Two numbers of `n` bytes as DER; its size, at most 104. */
static size_t der_of_pair(const unsigned char *pair, size_t n, unsigned char *to)
{
    size_t k = put_integer(to + 2, pair, n);
    k += put_integer(to + 2 + k, pair + n, n);
    to[0] = 0x30;
    to[1] = (unsigned char)k; /* less than 128 */
    return 2 + k;
}

static const EVP_MD *md_of(enum jws_alg a)
{
    return a == JWS_EDDSA ? NULL : a == JWS_ES384 ? EVP_sha384() : EVP_sha256();
}

bool jws_verify(const struct jws_key *k, enum jws_alg a, const void *text, size_t n,
                const unsigned char *signature, size_t n_signature)
{
    unsigned char der[2 + 2 * (3 + EC_MOST)];
    const size_t half = a == JWS_ES256 ? 32 : a == JWS_ES384 ? EC_MOST : 0;
    if (!jws_key_fits(k, a) || n_signature > JWS_SIGNATURE_BYTES ||
        (half && n_signature != 2 * half))
        return false;
    const size_t n_der = half ? der_of_pair(signature, half, der) : 0;
    bool good = false;
    EVP_PKEY_CTX *how = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    MUST(ctx && EVP_DigestVerifyInit(ctx, &how, md_of(a), NULL, k->key) == 1);
    if (a ==
        JWS_PS256) /* RFC 7518 3.5: as many bytes of salt as of the digest, and MGF1 with the same */
        MUST(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST) == 1);
    if (EVP_DigestVerify(ctx, half ? der : signature, half ? n_der : n_signature, text, n) == 1)
        good = true;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good;
}
