/* ed25519.c - signatures by Ed25519 (RFC 8032) through libcrypto.
 *
 * Theory of operation: keys are 32 raw bytes, so PEM is a constant in front of them (RFC 8410) and
 * needs no parser of ASN.1: what has another form is refused, encrypted keys among it. Signing is
 * deterministic and wants no randomness. Any thread or fiber; never suspends. libcrypto fails here
 * only when it is broken or memory is exhausted, which aborts; a signature that does not fit is a
 * value. What is verified may come from anybody. */
#include "crypto/ed25519.h"
#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/secret.h"
#include "crypto/crypto_lib.h"

#include <string.h>

#define PRIVATE_FIRST "-----BEGIN PRIVATE KEY-----\n"
#define PRIVATE_LAST  "\n-----END PRIVATE KEY-----\n"
#define PUBLIC_FIRST  "-----BEGIN PUBLIC KEY-----\n"
#define PUBLIC_LAST   "\n-----END PUBLIC KEY-----\n"

static const unsigned char private_prefix[16] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
                                                 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};
static const unsigned char public_prefix[12] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                                0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

struct ed25519 {
    EVP_PKEY *key;
};

static struct ed25519 *of_key(EVP_PKEY *key)
{
    struct ed25519 *k = mem_new(struct ed25519);
    k->key = key;
    return k;
}

struct ed25519 *ed25519_private(const unsigned char seed[ED25519_SEED_BYTES])
{
    MUST(crypto_lib_open(NULL) == 0);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, ED25519_SEED_BYTES);
    MUST(key);
    return of_key(key);
}

struct ed25519 *ed25519_public(const unsigned char key[ED25519_PUBLIC_BYTES])
{
    MUST(crypto_lib_open(NULL) == 0);
    EVP_PKEY *k = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, ED25519_PUBLIC_BYTES);
    return k ? of_key(k) : NULL;
}

void ed25519_free(struct ed25519 *k)
{
    if (k)
        EVP_PKEY_free(k->key);
    free(k);
}

void ed25519_get_public(const struct ed25519 *k, unsigned char ret[ED25519_PUBLIC_BYTES])
{
    size_t n = ED25519_PUBLIC_BYTES;
    MUST(EVP_PKEY_get_raw_public_key(k->key, ret, &n) == 1 && n == ED25519_PUBLIC_BYTES);
}

void ed25519_sign(const struct ed25519 *k, const void *p, size_t n,
                  unsigned char ret[ED25519_SIGNATURE_BYTES])
{
    size_t len = ED25519_SIGNATURE_BYTES;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    MUST(ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->key) == 1);
    MUST(EVP_DigestSign(ctx, ret, &len, p, n) == 1 && len == ED25519_SIGNATURE_BYTES);
    EVP_MD_CTX_free(ctx);
}

bool ed25519_verify(const struct ed25519 *k, const void *p, size_t n,
                    const unsigned char signature[ED25519_SIGNATURE_BYTES])
{
    bool good = false;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    MUST(ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k->key) == 1);
    if (EVP_DigestVerify(ctx, signature, ED25519_SIGNATURE_BYTES, p, n) == 1)
        good = true;
    EVP_MD_CTX_free(ctx);
    return good;
}

/* `ret` has room: the sizes are constants. */
static void pem(const char *first, const char *last, const unsigned char *prefix, size_t n_prefix,
                const unsigned char raw[32], char *ret)
{
    unsigned char der[sizeof(private_prefix) + 32];
    struct buf out = BUF_INIT(ED25519_PEM_MAX - 1);
    MUST(buf_room(&out, ED25519_PEM_MAX - 1)); /* once: growing would leave copies behind */
    memcpy(der, prefix, n_prefix);
    memcpy(der + n_prefix, raw, 32);
    buf_adds(&out, first);
    (void)!enc_base64(&out, der, n_prefix + 32);
    buf_adds(&out, last);
    MUST(buf_err(&out) == 0);
    memcpy(ret, out.data, out.len + 1);
    secret_wipe(out.data, out.len);
    secret_wipe(der, sizeof(der));
    buf_done(&out);
}

void ed25519_private_pem(const unsigned char seed[ED25519_SEED_BYTES], char ret[ED25519_PEM_MAX])
{
    pem(PRIVATE_FIRST, PRIVATE_LAST, private_prefix, sizeof(private_prefix), seed, ret);
}

void ed25519_public_pem(const unsigned char key[ED25519_PUBLIC_BYTES], char ret[ED25519_PEM_MAX])
{
    pem(PUBLIC_FIRST, PUBLIC_LAST, public_prefix, sizeof(public_prefix), key, ret);
}

static int of_pem(const char *first, const char *last, const unsigned char *prefix, size_t n_prefix,
                  const char *text, size_t n, unsigned char ret[32])
{
    const size_t n_first = strlen(first), n_last = strlen(last) - 1, n_der = n_prefix + 32;
    const size_t n_base64 = (n_der + 2) / 3 * 4;
    while (n > 0 && strchr(" \r\n\t", text[n - 1]))
        n--;
    if (n != n_first + n_base64 + n_last || memcmp(text, first, n_first) != 0 ||
        memcmp(text + n_first + n_base64, last, n_last) != 0)
        return -E_PARSE;
    struct buf der = BUF_INIT(n_der);
    if (!buf_room(&der, n_der))
        return -ENOMEM;
    int r = enc_base64_decode(&der, text + n_first, n_base64);
    if (r == 0 && der.len == n_der && memcmp(der.data, prefix, n_prefix) == 0)
        memcpy(ret, der.data + n_prefix, 32);
    else
        r = -E_PARSE;
    if (der.data)
        secret_wipe(der.data, der.cap);
    buf_done(&der);
    return r;
}

int ed25519_private_of_pem(const char *text, size_t n, unsigned char ret[ED25519_SEED_BYTES])
{
    return of_pem(PRIVATE_FIRST, PRIVATE_LAST, private_prefix, sizeof(private_prefix), text, n,
                  ret);
}

int ed25519_public_of_pem(const char *text, size_t n, unsigned char ret[ED25519_PUBLIC_BYTES])
{
    return of_pem(PUBLIC_FIRST, PUBLIC_LAST, public_prefix, sizeof(public_prefix), text, n, ret);
}
