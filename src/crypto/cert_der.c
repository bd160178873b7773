/* cert_der.c - the few bytes of DER (X.690) that extensions of certificates are made of (RFC 5280
 * 4.2.1).
 *
 * Theory of operation. libcrypto builds and signs certificates; the values of their extensions are
 * written here, because its own way goes through texts of a configuration file, where a comma in a
 * name would be another name. The bytes come from the policy (constraints) and, for leaves, from a
 * host that was parsed before. Pure but for what libcrypto allocates. */
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "crypto/cert_internal.h"
#include "crypto/digest.h"

#include <arpa/inet.h>
#include <string.h>

enum {
    DER_SEQUENCE = 0x30,
    DER_PERMITTED = 0xa0,  /* permittedSubtrees [0] */
    DER_EXCLUDED = 0xa1,   /* excludedSubtrees [1] */
    DER_DNS_NAME = 0x82,   /* GeneralName, dNSName [2] */
    DER_IP_ADDRESS = 0x87, /* GeneralName, iPAddress [7] */
};

#define CONSTRAINTS_MAX 65000 /* a certificate goes into files of the sandbox, not over the wire */

void cert_der_put(struct buf *out, unsigned char tag, const void *p, size_t n)
{
    (void)buf_addc(out, (char)tag);
    if (n >= 256) {
        (void)buf_addc(out, (char)0x82);
        (void)buf_addc(out, (char)(n >> 8));
    } else if (n >= 128) {
        (void)buf_addc(out, (char)0x81);
    }
    (void)buf_addc(out, (char)(n & 0xff));
    (void)buf_add(out, p, n);
}

/* ---- extensions ---- */

X509_EXTENSION *cert_extension(int nid, bool critical, const void *der, size_t n)
{
    X509_EXTENSION *x = NULL;
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    if (value && ASN1_STRING_set(value, der, (int)n) == 1)
        x = X509_EXTENSION_create_by_NID(NULL, nid, critical, value);
    ASN1_OCTET_STRING_free(value);
    return x;
}

bool cert_add_extension(X509 *x, int nid, bool critical, const void *der, size_t n)
{
    X509_EXTENSION *ext = cert_extension(nid, critical, der, n);
    bool ok = ext && X509_add_ext(x, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

void cert_key_id(X509 *x, unsigned char ret[CERT_KEY_ID_BYTES])
{
    unsigned char sum[DIGEST_SHA256_BYTES];
    const ASN1_BIT_STRING *bits = X509_get0_pubkey_bitstr(x);
    digest_sha256(ASN1_STRING_get0_data(bits), (size_t)ASN1_STRING_length(bits), sum);
    memcpy(ret, sum, CERT_KEY_ID_BYTES);
}

void cert_ski(const unsigned char id[CERT_KEY_ID_BYTES], unsigned char ret[CERT_SKI_BYTES])
{
    ret[0] = 0x04; /* OCTET STRING */
    ret[1] = CERT_KEY_ID_BYTES;
    memcpy(ret + 2, id, CERT_KEY_ID_BYTES);
}

void cert_aki(const unsigned char id[CERT_KEY_ID_BYTES], unsigned char ret[CERT_AKI_BYTES])
{
    ret[0] = DER_SEQUENCE;
    ret[1] = 2 + CERT_KEY_ID_BYTES;
    ret[2] = 0x80; /* keyIdentifier [0] */
    ret[3] = CERT_KEY_ID_BYTES;
    memcpy(ret + 4, id, CERT_KEY_ID_BYTES);
}

/* ---- hosts and subtrees ---- */

size_t cert_address(const char *text, unsigned char ret[16])
{
    if (inet_pton(AF_INET, text, ret) == 1)
        return 4;
    return inet_pton(AF_INET6, text, ret) == 1 ? 16 : 0;
}

bool cert_is_name(const char *text)
{
    size_t n = strlen(text);
    if (n == 0 || n > 253 || text[0] == '.' || text[n - 1] == '.' || strstr(text, ".."))
        return false;
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == n;
}

/* "10.0.0.0/8" as address and mask (RFC 5280 4.2.1.10); bytes of both together, 0 when it is none. */
static size_t subtree_address(const char *text, unsigned char ret[32])
{
    char address[64];
    const char *slash = strchr(text, '/');
    size_t n_text = slash ? (size_t)(slash - text) : strlen(text);
    if (n_text >= sizeof(address))
        return 0;
    memcpy(address, text, n_text);
    address[n_text] = '\0';
    size_t n = cert_address(address, ret);
    if (n == 0)
        return 0;
    uint64_t bits = n * 8;
    if (slash && str_to_u64(slash + 1, strlen(slash + 1), bits, &bits) < 0)
        return 0;
    for (size_t i = 0; i < n; i++, bits -= bits < 8 ? bits : 8) {
        ret[n + i] = (unsigned char)(bits >= 8 ? 0xff : 0xff00 >> bits);
        ret[i] &= ret[n + i];
    }
    return 2 * n;
}

/* A GeneralSubtree: minimum is 0, its default, and maximum is absent. */
static void put_subtree(struct buf *out, unsigned char tag, const void *p, size_t n)
{
    AUTO(buf) name = BUF_INIT(300);
    cert_der_put(&name, tag, p, n);
    cert_der_put(out, DER_SEQUENCE, buf_str(&name), name.len);
}

/* Of a kind that is not mentioned everything is permitted, so the other kind is excluded whole. */
static void exclude_others(bool names, bool addresses, struct buf *out)
{
    static const unsigned char all[32];
    AUTO(buf) excluded = BUF_INIT(300);
    if (!names)
        put_subtree(&excluded, DER_DNS_NAME, "", 0);
    if (!addresses) {
        put_subtree(&excluded, DER_IP_ADDRESS, all, 8);
        put_subtree(&excluded, DER_IP_ADDRESS, all, 32);
    }
    if (excluded.len > 0)
        cert_der_put(out, DER_EXCLUDED, buf_str(&excluded), excluded.len);
}

int cert_name_constraints(const struct cert_ca_options *o, struct buf *out, struct err *e)
{
    AUTO(buf) permitted = BUF_INIT(CONSTRAINTS_MAX);
    AUTO(buf) both = BUF_INIT(CONSTRAINTS_MAX + 300);
    bool names = false, addresses = false;
    if (o->n_permitted > CERT_PERMITTED_MAX)
        return err_set(e, -EINVAL, "more than %d name constraints", CERT_PERMITTED_MAX);
    for (size_t i = 0; i < o->n_permitted; i++) {
        unsigned char bytes[32];
        const char *text = o->permitted[i];
        size_t n = subtree_address(text, bytes);
        if (n > 0) {
            put_subtree(&permitted, DER_IP_ADDRESS, bytes, n);
            addresses = true;
        } else if (cert_is_name(text)) {
            put_subtree(&permitted, DER_DNS_NAME, text, strlen(text));
            names = true;
        } else {
            return err_set(e, -EINVAL, "a name constraint is neither a name nor an address");
        }
    }
    cert_der_put(&both, DER_PERMITTED, buf_str(&permitted), permitted.len);
    exclude_others(names, addresses, &both);
    if (buf_err(&permitted) < 0 || buf_err(&both) < 0 || both.len > CONSTRAINTS_MAX)
        return err_set(e, -EINVAL, "the name constraints are too long together");
    cert_der_put(out, DER_SEQUENCE, buf_str(&both), both.len);
    return buf_err(out) < 0 ? err_set(e, buf_err(out), "the name constraints are too long") : 0;
}
