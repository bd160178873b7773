/* digest.c - SHA-256 and HMAC-SHA-256 through libcrypto.
 *
 * Theory of operation: digests of bytes in memory (key hashes in the database, the audit chain,
 * request signing), and of streams too long for it (layers of an image). Any thread or fiber; never
 * suspends. libcrypto can only fail here when it is not installed, when memory is exhausted or its
 * providers are broken, and there is no sane continuation without a digest, so that aborts. Nothing is logged. */
#include "crypto/digest.h"
#include "base/enc.h"
#include "crypto/crypto_lib.h"

void digest_sha256(const void *p, size_t n, unsigned char ret[DIGEST_SHA256_BYTES])
{
    unsigned len = 0;
    MUST(crypto_lib_open(NULL) == 0);
    MUST(EVP_Digest(n ? p : "", n, ret, &len, EVP_sha256(), NULL) == 1);
    MUST(len == DIGEST_SHA256_BYTES);
}

void digest_sha1(const void *p, size_t n, unsigned char ret[DIGEST_SHA1_BYTES])
{
    unsigned len = 0;
    MUST(crypto_lib_open(NULL) == 0);
    MUST(EVP_Digest(n ? p : "", n, ret, &len, EVP_sha1(), NULL) == 1);
    MUST(len == DIGEST_SHA1_BYTES);
}

char *digest_sha256_hex(const void *p, size_t n, char ret[DIGEST_SHA256_HEX])
{
    unsigned char sum[DIGEST_SHA256_BYTES];
    digest_sha256(p, n, sum);
    enc_hex(sum, sizeof(sum), ret);
    return ret;
}

struct digest_stream {
    EVP_MD_CTX *ctx;
};

struct digest_stream *digest_stream_new(void)
{
    struct digest_stream *d = mem_new(struct digest_stream);
    MUST(crypto_lib_open(NULL) == 0);
    d->ctx = EVP_MD_CTX_new();
    MUST(d->ctx && EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) == 1);
    return d;
}

void digest_stream_add(struct digest_stream *d, const void *p, size_t n)
{
    MUST(EVP_DigestUpdate(d->ctx, p, n) == 1);
}

char *digest_stream_hex(struct digest_stream *d, char ret[DIGEST_SHA256_HEX])
{
    unsigned char sum[DIGEST_SHA256_BYTES];
    unsigned len = 0;
    MUST(EVP_DigestFinal_ex(d->ctx, sum, &len) == 1 && len == DIGEST_SHA256_BYTES);
    enc_hex(sum, sizeof(sum), ret);
    return ret;
}

void digest_stream_free(struct digest_stream *d)
{
    if (d)
        EVP_MD_CTX_free(d->ctx);
    free(d);
}

void digest_hmac_sha256(const void *key, size_t key_bytes, const void *p, size_t n,
                        unsigned char ret[DIGEST_SHA256_BYTES])
{
    MUST(key_bytes <= INT32_MAX && crypto_lib_open(NULL) == 0);
    unsigned len = 0;
    MUST(HMAC(EVP_sha256(), key_bytes ? key : "", (int)key_bytes, n ? p : (const void *)"", n, ret,
              &len) != NULL);
    MUST(len == DIGEST_SHA256_BYTES);
}

struct digest_again {
    EVP_MD_CTX *ctx;
};

struct digest_again *digest_again_new(void)
{
    struct digest_again *d = mem_new(struct digest_again);
    MUST(crypto_lib_open(NULL) == 0);
    d->ctx = EVP_MD_CTX_new();
    MUST(d->ctx && EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) == 1);
    return d;
}

/* Without a type the context keeps the one it has, and nothing is looked up. */
void digest_again_begin(struct digest_again *d)
{
    MUST(EVP_DigestInit_ex(d->ctx, NULL, NULL) == 1);
}

void digest_again_add(struct digest_again *d, const void *p, size_t n)
{
    MUST(n == 0 || EVP_DigestUpdate(d->ctx, p, n) == 1);
}

void digest_again_end(struct digest_again *d, unsigned char ret[DIGEST_SHA256_BYTES])
{
    unsigned len = 0;
    MUST(EVP_DigestFinal_ex(d->ctx, ret, &len) == 1 && len == DIGEST_SHA256_BYTES);
}

void digest_again_free(struct digest_again *d)
{
    if (d)
        EVP_MD_CTX_free(d->ctx);
    free(d);
}
