/* cert_ca.c - a certificate authority in memory (RFC 5280).
 *
 * Theory of operation. The keeper makes one at its start, the proxies import it. Nobody outside has
 * any influence on what is in it; the policy has, through constraints. libcrypto fails here only when
 * memory is exhausted or it is broken, which is reported: a start can fail. It never suspends. */
#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/cert_internal.h"
#include "crypto/pem.h"

#include <string.h>

#define CERT_BYTES_MAX  (128u << 10)
#define LIFETIME_MIN_S  60
#define LIFETIME_MAX_S  (3653LL * CERT_DAY_S)
#define COMMON_NAME_MAX 64 /* RFC 5280, appendix A: ub-common-name */

static const unsigned char ca_constraints[] = {0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x00};
static const unsigned char ca_usage[] = {0x03, 0x02, 0x01, 0x06}; /* keyCertSign, cRLSign */
static const unsigned char leaf_constraints[] = {0x30, 0x00};
static const unsigned char leaf_usage[] = {0x03, 0x02, 0x07, 0x80}; /* digitalSignature */
static const unsigned char leaf_purpose[] = {0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06,
                                             0x01, 0x05, 0x05, 0x07, 0x03, 0x01}; /* serverAuth */

/* The text of one certificate. */
static X509 *x509_of(const char *pem, size_t n)
{
    AUTO(buf) der = BUF_INIT(CERT_BYTES_MAX);
    struct cursor text = cursor_of(pem, n);
    struct pem_block b, other;
    if (n > CERT_BYTES_MAX || pem_next(&text, &b, NULL) != 1 || !pem_is(&b, PEM_CERTIFICATE) ||
        pem_bytes(&b, &der) < 0 || pem_next(&text, &other, NULL) != 0)
        return NULL;
    const unsigned char *p = (const unsigned char *)buf_str(&der);
    const unsigned char *end = p + der.len;
    X509 *x = d2i_X509(NULL, &p, (long)der.len);
    if (x && p != end) {
        X509_free(x);
        x = NULL;
    }
    return x;
}

/* ---- both ways to have one ---- */

static bool make_common(struct cert_ca *ca)
{
    unsigned char id[CERT_KEY_ID_BYTES], ski[CERT_SKI_BYTES], aki[CERT_AKI_BYTES];
    X509 *probe = X509_new();
    if (!probe || X509_set_pubkey(probe, ca->leaf_key) != 1) {
        X509_free(probe);
        return false;
    }
    cert_key_id(probe, id);
    X509_free(probe);
    cert_ski(id, ski);
    cert_key_id(ca->cert, id);
    cert_aki(id, aki);
    ca->common[0] =
        cert_extension(NID_basic_constraints, true, leaf_constraints, sizeof(leaf_constraints));
    ca->common[1] = cert_extension(NID_key_usage, true, leaf_usage, sizeof(leaf_usage));
    ca->common[2] = cert_extension(NID_ext_key_usage, false, leaf_purpose, sizeof(leaf_purpose));
    ca->common[3] = cert_extension(NID_subject_key_identifier, false, ski, sizeof(ski));
    ca->common[4] = cert_extension(NID_authority_key_identifier, false, aki, sizeof(aki));
    for (size_t i = 0; i < ARRAY_LEN(ca->common); i++) {
        if (!ca->common[i])
            return false;
    }
    return true;
}

/* With certificate and key there, the rest. */
static int complete(struct cert_ca *ca, struct err *e)
{
    unsigned char *der = NULL;
    int n = i2d_X509(ca->cert, &der);
    if (n <= 0)
        return err_set(e, -E_TLS, "libcrypto cannot encode a certificate");
    ca->pem = pem_certificate(der, (size_t)n);
    OPENSSL_free(der);
    ca->leaf_key = cert_key_new();
    ca->ends_s = cert_seconds(X509_get0_notAfter(ca->cert));
    if (!ca->pem || !ca->leaf_key || !make_common(ca))
        return err_set(e, -E_TLS, "libcrypto cannot make a certificate");
    return 0;
}

/* ---- a new one ---- */

static int check_options(const struct cert_ca_options *o, struct err *e)
{
    if (o->lifetime_s < LIFETIME_MIN_S || o->lifetime_s > LIFETIME_MAX_S)
        return err_set(e, -EINVAL, "the life of an authority is one minute to ten years");
    if (o->name && (strlen(o->name) == 0 || strlen(o->name) > COMMON_NAME_MAX ||
                    !str_is_utf8(o->name, strlen(o->name))))
        return err_set(e, -EINVAL, "the name of an authority is 1 to %d bytes of UTF-8",
                       COMMON_NAME_MAX);
    return 0;
}

static bool build(struct cert_ca *ca, const struct cert_ca_options *o,
                  const struct buf *constraints)
{
    unsigned char id[CERT_KEY_ID_BYTES], ski[CERT_SKI_BYTES];
    int64_t now_s = time_real_us() / US_PER_S;
    X509 *x = ca->cert;
    if (!cert_begin(x, ca->key, now_s, now_s + o->lifetime_s) ||
        !cert_set_name(X509_get_subject_name(x), o->name ? o->name : "Sallyport CA") ||
        X509_set_issuer_name(x, X509_get_subject_name(x)) != 1)
        return false;
    cert_key_id(x, id);
    cert_ski(id, ski);
    return cert_add_extension(x, NID_basic_constraints, true, ca_constraints,
                              sizeof(ca_constraints)) &&
           cert_add_extension(x, NID_key_usage, true, ca_usage, sizeof(ca_usage)) &&
           cert_add_extension(x, NID_subject_key_identifier, false, ski, sizeof(ski)) &&
           (constraints->len == 0 || cert_add_extension(x, NID_name_constraints, true,
                                                        constraints->data, constraints->len)) &&
           X509_sign(x, ca->key, EVP_sha256()) > 0;
}

int cert_ca_new(const struct cert_ca_options *o, struct cert_ca **ret, struct err *e)
{
    AUTO(buf) constraints = BUF_INIT(CERT_BYTES_MAX);
    int r = check_options(o, e);
    if (r == 0 && o->n_permitted > 0)
        r = cert_name_constraints(o, &constraints, e);
    if (r == 0)
        r = cert_lib_open(e);
    if (r < 0)
        return r;
    struct cert_ca *ca = mem_new(struct cert_ca);
    ca->cert = X509_new();
    ca->key = cert_key_new();
    if (!ca->cert || !ca->key || !build(ca, o, &constraints))
        r = err_set(e, -E_TLS, "libcrypto cannot make a certificate");
    else
        r = complete(ca, e);
    ERR_clear_error();
    if (r < 0)
        cert_ca_free(ca);
    else
        *ret = ca;
    return r;
}

int cert_ca_import(const char *pem, size_t n, const struct secret *key, struct cert_ca **ret,
                   struct err *e)
{
    int r = cert_lib_open(e);
    if (r < 0)
        return r;
    struct cert_ca *ca = mem_new(struct cert_ca);
    ca->cert = x509_of(pem, n);
    ca->key = cert_key_import(key);
    if (!ca->cert)
        r = err_set(e, -E_PARSE, "the authority is not one certificate as PEM");
    else if (!ca->key)
        r = err_set(e, -E_PARSE, "the key of the authority is no EC key as DER");
    else if (X509_check_ca(ca->cert) != 1)
        r = err_set(e, -E_PARSE, "the certificate is not that of an authority");
    else if (EVP_PKEY_eq(X509_get0_pubkey(ca->cert), ca->key) != 1)
        r = err_set(e, -E_PARSE, "the key does not belong to the certificate of the authority");
    else
        r = complete(ca, e);
    ERR_clear_error();
    if (r < 0)
        cert_ca_free(ca);
    else
        *ret = ca;
    return r;
}

const char *cert_ca_pem(const struct cert_ca *ca)
{
    return ca->pem;
}

int64_t cert_ca_ends_s(const struct cert_ca *ca)
{
    return ca->ends_s;
}

void cert_ca_free(struct cert_ca *ca)
{
    if (!ca)
        return;
    for (size_t i = 0; i < ARRAY_LEN(ca->common); i++)
        X509_EXTENSION_free(ca->common[i]);
    EVP_PKEY_free(ca->leaf_key);
    EVP_PKEY_free(ca->key);
    X509_free(ca->cert);
    free(ca->pem);
    free(ca);
}
