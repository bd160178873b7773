/* cert_key.c - the keys of certificates, and what every certificate has.
 *
 * Theory of operation. Keys are P-256, of the kind that OpenSSL 3 calls legacy (EC_KEY): with one of
 * its own kind X509_set_pubkey encodes the key and decodes it again through its providers, which
 * takes 160 us where this takes 5, and a leaf is to cost less than 100. The private key of an
 * authority leaves as DER into a secret; within libcrypto it lies on the heap, as any key does, and
 * the processes that have one are not dumpable. */
#include "base/rng.h"
#include "base/secret.h"
#include "crypto/cert_internal.h"

#include <string.h>

#define SERIAL_BYTES 16 /* RFC 5280 4.1.2.2: up to 20; unique by being random */

static EVP_PKEY *of_ec(EC_KEY *ec)
{
    EVP_PKEY *key = ec ? EVP_PKEY_new() : NULL;
    if (key && EVP_PKEY_set1_EC_KEY(key, ec) != 1) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    EC_KEY_free(ec);
    return key;
}

EVP_PKEY *cert_key_new(void)
{
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    if (ec && EC_KEY_generate_key(ec) != 1) {
        EC_KEY_free(ec);
        ec = NULL;
    }
    return of_ec(ec);
}

EVP_PKEY *cert_key_import(const struct secret *der)
{
    const unsigned char *p = (const unsigned char *)secret_borrow(der);
    const unsigned char *end = p + der->len;
    EC_KEY *ec = d2i_ECPrivateKey(NULL, &p, (long)der->len);
    if (ec && p != end) {
        EC_KEY_free(ec);
        ec = NULL;
    }
    return of_ec(ec);
}

int cert_ca_key(const struct cert_ca *ca, struct secret *ret)
{
    const EC_KEY *ec = EVP_PKEY_get0_EC_KEY(ca->key);
    int n = i2d_ECPrivateKey(ec, NULL);
    MUST(n > 0);
    int r = secret_room(ret, (size_t)n);
    if (r < 0)
        return r;
    unsigned char *p = (unsigned char *)ret->data;
    MUST(i2d_ECPrivateKey(ec, &p) == n);
    return 0;
}

bool cert_set_name(X509_NAME *name, const char *text)
{
    return X509_NAME_add_entry_by_NID(name, NID_commonName, V_ASN1_UTF8STRING,
                                      (const unsigned char *)text, -1, -1, 0) == 1;
}

bool cert_begin(X509 *x, EVP_PKEY *key, int64_t now_s, int64_t ends_s)
{
    unsigned char serial[SERIAL_BYTES];
    rng_bytes(serial, sizeof(serial));
    serial[0] = (unsigned char)((serial[0] & 0x3f) | 0x40); /* positive, and never shorter */
    return X509_set_version(x, 2) == 1 &&                   /* version 3 */
           ASN1_STRING_set(X509_get_serialNumber(x), serial, sizeof(serial)) == 1 &&
           ASN1_TIME_set(X509_getm_notBefore(x), now_s - CERT_DAY_S) &&
           ASN1_TIME_set(X509_getm_notAfter(x), ends_s) && X509_set_pubkey(x, key) == 1;
}

int64_t cert_seconds(const ASN1_TIME *t)
{
    int days = 0, seconds = 0;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    bool ok = epoch && ASN1_TIME_diff(&days, &seconds, epoch, t) == 1;
    ASN1_TIME_free(epoch);
    return ok ? (int64_t)days * CERT_DAY_S + seconds : 0;
}
