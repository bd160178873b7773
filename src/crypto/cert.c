/* cert.c - leaves: the certificates of hosts that are impersonated.
 *
 * Theory of operation. A proxy asks for one when a sandbox connects to a host that is intercepted;
 * most come from the cache. What differs between leaves is the serial number, the time and the name;
 * the key and all other extensions are made once with the authority. The host was parsed before, but a
 * text that is none is refused here, too: it would stand in a certificate. An identity is kept by
 * the cache and by every connection that uses it, so it is counted. */
#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"
#include "crypto/cert_internal.h"

#include <string.h>

#define COMMON_NAME_MAX 64

struct cert_identity *cert_identity_ref(struct cert_identity *id)
{
    id->refs++;
    return id;
}

void cert_identity_unref(struct cert_identity *id)
{
    if (!id || --id->refs > 0)
        return;
    X509_free(id->leaf);
    EVP_PKEY_free(id->key);
    OPENSSL_free(id->der);
    free(id);
}

const unsigned char *cert_identity_der(const struct cert_identity *id, size_t *ret_n)
{
    *ret_n = id->n_der;
    return id->der;
}

void *cert_identity_x509(const struct cert_identity *id)
{
    return id->leaf;
}

void *cert_identity_pkey(const struct cert_identity *id)
{
    return id->key;
}

/* ---- signing ---- */

/* subjectAltName (RFC 5280 4.2.1.6). It is critical when there is no subject. */
static bool add_alt_name(X509 *x, const char *host, const unsigned char *address, size_t n_address,
                         bool critical)
{
    AUTO(buf) name = BUF_INIT(300);
    AUTO(buf) names = BUF_INIT(300);
    if (n_address > 0)
        cert_der_put(&name, 0x87, address, n_address);
    else
        cert_der_put(&name, 0x82, host, strlen(host));
    cert_der_put(&names, 0x30, buf_str(&name), name.len);
    return buf_err(&name) == 0 && buf_err(&names) == 0 &&
           cert_add_extension(x, NID_subject_alt_name, critical, names.data, names.len);
}

static bool build(X509 *x, const struct cert_ca *ca, const char *host, const unsigned char *address,
                  size_t n_address, int64_t now_s)
{
    int64_t ends_s = now_s + CERT_LEAF_LIFETIME_S;
    if (ends_s > ca->ends_s)
        ends_s = ca->ends_s;
    /* An address would be taken for a name, which constraints on names do not permit. */
    bool has_subject = n_address == 0 && strlen(host) <= COMMON_NAME_MAX;
    if (!cert_begin(x, ca->leaf_key, now_s, ends_s) ||
        (has_subject && !cert_set_name(X509_get_subject_name(x), host)) ||
        X509_set_issuer_name(x, X509_get_subject_name(ca->cert)) != 1 ||
        !add_alt_name(x, host, address, n_address, !has_subject))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(ca->common); i++) {
        if (X509_add_ext(x, ca->common[i], -1) != 1)
            return false;
    }
    return X509_sign(x, ca->key, EVP_sha256()) > 0;
}

int cert_leaf(struct cert_ca *ca, const char *host, bool is_ip, struct cert_identity **ret,
              struct err *e)
{
    unsigned char address[16];
    size_t n_address = is_ip ? cert_address(host, address) : 0;
    if (is_ip ? n_address == 0 : !cert_is_name(host))
        return err_set(e, -EINVAL, "a certificate is for a host name or an address");
    int64_t now_s = time_real_us() / US_PER_S;
    if (now_s >= ca->ends_s)
        return err_set(e, -EINVAL, "the certificate authority has expired; restart egress");
    struct cert_identity *id = mem_new(struct cert_identity);
    id->refs = 1;
    id->leaf = X509_new();
    bool ok = id->leaf && build(id->leaf, ca, host, address, n_address, now_s);
    int n = ok ? i2d_X509(id->leaf, &id->der) : -1;
    ERR_clear_error();
    if (n <= 0) {
        cert_identity_unref(id);
        return err_set(e, -E_TLS, "libcrypto cannot sign a certificate");
    }
    MUST(EVP_PKEY_up_ref(ca->leaf_key) == 1);
    id->key = ca->leaf_key;
    id->n_der = (size_t)n;
    *ret = id;
    return 0;
}
