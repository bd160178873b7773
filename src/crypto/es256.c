/* es256.c - ECDSA on P-256 through libcrypto, for JSON Web Signatures.
 *
 * Called by the MCP client's authorization, on its fiber: for the assertion that a client authenticates
 * with, and for proofs that it has a key (RFC 9449). The key comes from the caller's own source or is made
 * here; no peer chooses a byte of it. What is no key on P-256 is refused before it signs anything. A
 * signature of libcrypto is DER, two integers of at most 33 bytes, which are laid out here in 32 each. */
#include "crypto/es256.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/str.h"
#include "crypto/crypto_lib.h"
#include "crypto/der.h"
#include "crypto/pem.h"

#include <openssl/bn.h>
#include <string.h>

struct es256 {
    EVP_PKEY *key;
};

static struct es256 *of_key(EVP_PKEY *key)
{
    struct es256 *k = mem_new(struct es256);
    k->key = key;
    return k;
}

struct es256 *es256_new(void)
{
    MUST(crypto_lib_open(NULL) == 0);
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    MUST(key);
    return of_key(key);
}

int es256_of_der(const void *p, size_t n, struct es256 **ret)
{
    MUST(crypto_lib_open(NULL) == 0);
    const unsigned char *at = p;
    EVP_PKEY *key = n <= ES256_DER_MAX ? d2i_AutoPrivateKey(NULL, &at, (long)n) : NULL;
    char curve[32] = "";
    size_t len = 0;
    if (key && EVP_PKEY_get_group_name(key, curve, sizeof(curve), &len) == 1 &&
        (str_eq(curve, "prime256v1") || str_eq(curve, "P-256"))) {
        *ret = of_key(key);
        return 0;
    }
    if (key)
        EVP_PKEY_free(key);
    ERR_clear_error();
    return -E_PARSE;
}

int es256_of_pem(const char *text, size_t n, struct es256 **ret, struct err *e)
{
    struct cursor c = cursor_of(text, n);
    struct pem_block b;
    int r;
    while ((r = pem_next(&c, &b, NULL)) == 1) {
        if (!pem_is(&b, "PRIVATE KEY") && !pem_is(&b, "EC PRIVATE KEY"))
            continue; /* openssl writes the curve in front of an EC key */
        AUTO(buf) der = BUF_INIT(ES256_DER_MAX);
        r = pem_bytes(&b, &der);
        if (r == 0)
            r = es256_of_der(der.data, der.len, ret);
        if (der.data)
            secret_wipe(der.data, der.cap);
        if (r == 0)
            return 0;
        break;
    }
    return err_set(
        e, -E_PARSE,
        "the key is no private key on the curve P-256 in PEM (openssl genpkey -algorithm EC "
        "-pkeyopt ec_paramgen_curve:P-256)");
}

void es256_free(struct es256 *k)
{
    if (k)
        EVP_PKEY_free(k->key);
    free(k);
}

int es256_der(const struct es256 *k, struct secret *ret)
{
    int n = i2d_PrivateKey(k->key, NULL);
    MUST(n > 0 && n <= ES256_DER_MAX);
    int r = secret_room(ret, (size_t)n);
    if (r < 0)
        return r;
    unsigned char *p = (unsigned char *)ret->data;
    MUST(i2d_PrivateKey(k->key, &p) == n);
    return 0;
}

static void coordinate(const struct es256 *k, const char *name, unsigned char *ret)
{
    BIGNUM *v = NULL;
    MUST(EVP_PKEY_get_bn_param(k->key, name, &v) == 1);
    MUST(BN_bn2binpad(v, ret, ES256_COORDINATE_BYTES) == ES256_COORDINATE_BYTES);
    BN_free(v);
}

void es256_public(const struct es256 *k, unsigned char x[ES256_COORDINATE_BYTES],
                  unsigned char y[ES256_COORDINATE_BYTES])
{
    coordinate(k, "qx", x);
    coordinate(k, "qy", y);
}

/* An INTEGER of DER, which is never negative here, in 32 bytes. */
static void integer(struct cursor *c, unsigned char *ret)
{
    struct cursor v;
    MUST(der_take(c, DER_INTEGER, &v) == 0);
    size_t n = cursor_left(&v);
    const unsigned char *p = NULL;
    MUST(cursor_take(&v, n, &p) == 0);
    while (n > 0 && *p == 0) {
        p++;
        n--;
    }
    MUST(n <= ES256_COORDINATE_BYTES);
    memset(ret, 0, ES256_COORDINATE_BYTES);
    memcpy(ret + ES256_COORDINATE_BYTES - n, p, n);
}

void es256_sign(const struct es256 *k, const void *p, size_t n,
                unsigned char ret[ES256_SIGNATURE_BYTES])
{
    unsigned char der[80];
    size_t len = sizeof(der);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    MUST(ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->key) == 1);
    MUST(EVP_DigestSign(ctx, der, &len, p, n) == 1);
    EVP_MD_CTX_free(ctx);
    struct cursor c = cursor_of(der, len), pair;
    MUST(der_take(&c, DER_SEQUENCE, &pair) == 0);
    integer(&pair, ret);
    integer(&pair, ret + ES256_COORDINATE_BYTES);
}
