/* cert_issue.c - a CA that lies in files, and the server certificates that it signs.
 *
 * Theory of operation. Called by `gateway init` and `gateway renew-cert`, on a person's or a timer's
 * behalf; the files are the operator's. A CA from elsewhere is taken as it is, as long as it is a CA's and
 * its key fits: whether a tunnel would take it is for authority.c to say. Keys lie on libcrypto's heap while
 * they are used, as any key there, and their text in locked memory or in buffers that are wiped; the
 * processes are not dumpable. libcrypto fails here only when memory is exhausted or it is broken, which
 * is reported: a command can fail. */
#include "crypto/cert_issue.h"

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/cert_internal.h"
#include "crypto/pem.h"

#include <stdio.h>
#include <string.h>

#define PEM_MOST        (128u << 10)
#define COMMON_NAME_MAX 64 /* RFC 5280, appendix A: ub-common-name */
#define PEM_LINE        64
#define BROKEN          "libcrypto cannot make a certificate"

struct cert_issuer {
    X509 *cert;
    EVP_PKEY *key; /* NULL: elsewhere */
    char *pem;
    int64_t begins_s, ends_s;
};

static const unsigned char ca_constraints[] = {0x30, 0x03, 0x01, 0x01, 0xff};
static const unsigned char ca_usage[] = {0x03, 0x02, 0x02, 0x04}; /* keyCertSign */
static const unsigned char server_constraints[] = {0x30, 0x00};
static const unsigned char server_usage[] = {0x03, 0x02, 0x07, 0x80}; /* digitalSignature */
static const unsigned char server_purpose[] = {0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06,
                                               0x01, 0x05, 0x05, 0x07, 0x03, 0x01}; /* serverAuth */

void cert_issuer_free(struct cert_issuer *i)
{
    if (!i)
        return;
    X509_free(i->cert);
    EVP_PKEY_free(i->key);
    free(i->pem);
    free(i);
}

const char *cert_issuer_pem(const struct cert_issuer *i)
{
    return i->pem;
}

bool cert_issuer_has_key(const struct cert_issuer *i)
{
    return i->key != NULL;
}

void cert_issuer_times(const struct cert_issuer *i, int64_t *ret_begins_s, int64_t *ret_ends_s)
{
    *ret_begins_s = i->begins_s;
    *ret_ends_s = i->ends_s;
}

/* ---- keys as text ---- */

/* PEM of a P-256 key, behind `n_front` bytes of `front`. */
static int key_text(EVP_PKEY *key, const char *front, size_t n_front, struct secret *ret)
{
    static const char begin[] = "-----BEGIN EC PRIVATE KEY-----\n",
                      end[] = "-----END EC PRIVATE KEY-----\n";
    unsigned char der[256], *p = der;
    char base64[400];
    AUTO(buf) text = BUF_INIT(sizeof(base64));
    const EC_KEY *ec = EVP_PKEY_get0_EC_KEY(key);
    int n = ec ? i2d_ECPrivateKey(ec, NULL) : -1;
    if (n <= 0 || (size_t)n > sizeof(der))
        return -ENOMEM;
    /* Room at once, so that no copy is left behind by growing. */
    bool ok = buf_room(&text, sizeof(base64)) && i2d_ECPrivateKey(ec, &p) == n &&
              enc_base64(&text, der, (size_t)n) == 0;
    size_t lines = (text.len + PEM_LINE - 1) / PEM_LINE;
    int r = ok ? secret_room(ret, n_front + sizeof(begin) - 1 + text.len + lines + sizeof(end) - 1)
               : -ENOMEM;
    if (r == 0) {
        char *at = ret->data;
        memcpy(at, front, n_front);
        at += n_front;
        memcpy(at, begin, sizeof(begin) - 1);
        at += sizeof(begin) - 1;
        for (size_t done = 0; done < text.len; done += PEM_LINE) {
            size_t k = text.len - done < PEM_LINE ? text.len - done : PEM_LINE;
            memcpy(at, text.data + done, k);
            at[k] = '\n';
            at += k + 1;
        }
        memcpy(at, end, sizeof(end) - 1);
    }
    secret_wipe(der, sizeof(der));
    if (text.data)
        secret_wipe(text.data, text.cap);
    return r;
}

int cert_issuer_key(const struct cert_issuer *i, struct secret *ret)
{
    return key_text(i->key, "", 0, ret);
}

/* ---- certificates as text ---- */

static char *text_of(X509 *x)
{
    unsigned char *der = NULL;
    int n = i2d_X509(x, &der);
    char *pem = n > 0 ? pem_certificate(der, (size_t)n) : NULL;
    OPENSSL_free(der);
    return pem;
}

/* Subject key identifier: that of the key. */
static bool add_key_id(X509 *x)
{
    unsigned char id[CERT_KEY_ID_BYTES], ski[CERT_SKI_BYTES];
    cert_key_id(x, id);
    cert_ski(id, ski);
    return cert_add_extension(x, NID_subject_key_identifier, false, ski, sizeof(ski));
}

/* ---- the CA ---- */

static int complete(struct cert_issuer *i, struct err *e)
{
    i->pem = text_of(i->cert);
    if (!i->pem)
        return err_set(e, -E_TLS, BROKEN);
    i->begins_s = cert_seconds(X509_get0_notBefore(i->cert));
    i->ends_s = cert_seconds(X509_get0_notAfter(i->cert));
    return 0;
}

static bool build_ca(struct cert_issuer *i, const char *name, int64_t lifetime_s)
{
    int64_t now_s = time_real_us() / US_PER_S;
    X509 *x = i->cert;
    return cert_begin(x, i->key, now_s, now_s + lifetime_s) &&
           cert_set_name(X509_get_subject_name(x), name) &&
           X509_set_issuer_name(x, X509_get_subject_name(x)) == 1 &&
           cert_add_extension(x, NID_basic_constraints, true, ca_constraints,
                              sizeof(ca_constraints)) &&
           cert_add_extension(x, NID_key_usage, true, ca_usage, sizeof(ca_usage)) &&
           add_key_id(x) && X509_sign(x, i->key, EVP_sha256()) > 0;
}

int cert_issuer_new(const char *name, int64_t lifetime_s, const struct secret *key,
                    const char *key_name, struct cert_issuer **ret, struct err *e)
{
    if (lifetime_s < CERT_ISSUE_LEAST_S || lifetime_s > CERT_ISSUE_MOST_S)
        return err_set(e, -EINVAL, "the life of a CA is one minute to ten years");
    if (!*name || strlen(name) > COMMON_NAME_MAX || !str_is_utf8(name, strlen(name)))
        return err_set(e, -EINVAL, "the name of a CA is 1 to %d bytes of UTF-8", COMMON_NAME_MAX);
    int r = cert_lib_open(e);
    if (r < 0)
        return r;
    struct cert_issuer *i = mem_new(struct cert_issuer);
    i->cert = X509_new();
    i->key = key ? cert_key_read(secret_borrow(key), key->len, key_name, e) : cert_key_new();
    if (key && !i->key)
        r = -E_PARSE;
    else if (!i->cert || !i->key || !build_ca(i, name, lifetime_s))
        r = err_set(e, -E_TLS, BROKEN);
    else
        r = complete(i, e);
    ERR_clear_error();
    if (r < 0)
        cert_issuer_free(i);
    else
        *ret = i;
    return r;
}

static int check_ca(const struct cert_issuer *i, const char *cert_name, const char *key_name,
                    struct err *e)
{
    if (X509_check_ca(i->cert) != 1)
        return err_set(e, -E_DENIED, "%s is not the certificate of a CA", cert_name);
    if (!X509_get0_subject_key_id(i->cert))
        return err_set(e, -E_DENIED,
                       "%s has no subject key identifier, by which what it signs names it",
                       cert_name);
    if (i->key && EVP_PKEY_eq(X509_get0_pubkey(i->cert), i->key) != 1)
        return err_set(e, -E_DENIED, "the key in %s does not belong to the CA in %s", key_name,
                       cert_name);
    return 0;
}

int cert_issuer_read(const char *cert, size_t n_cert, const char *cert_name,
                     const struct secret *key, const char *key_name, struct cert_issuer **ret,
                     struct err *e)
{
    int r = cert_lib_open(e);
    if (r < 0)
        return r;
    if (n_cert > PEM_MOST)
        return err_set(e, -E_PARSE, "%s is too large", cert_name);
    struct cert_issuer *i = mem_new(struct cert_issuer);
    r = -E_PARSE;
    i->cert = cert_first(cert, n_cert, cert_name, e);
    if (i->cert && (!key || (i->key = cert_key_read(secret_borrow(key), key->len, key_name, e))))
        r = check_ca(i, cert_name, key_name, e);
    if (r == 0)
        r = complete(i, e);
    ERR_clear_error();
    if (r < 0)
        cert_issuer_free(i);
    else
        *ret = i;
    return r;
}

bool cert_issuer_has_signed(const struct cert_issuer *i, const struct cert_identity *id)
{
    bool has = X509_check_issued(i->cert, id->leaf) == X509_V_OK &&
               X509_verify(id->leaf, X509_get0_pubkey(i->cert)) == 1;
    ERR_clear_error();
    return has;
}

/* ---- what it signs ---- */

/* "*.example.com" or "example.com". */
static bool is_fit(const char *name)
{
    return cert_is_name(strncmp(name, "*.", 2) == 0 ? name + 2 : name);
}

static bool add_names(X509 *x, const char *name, const struct cert_identity *like)
{
    if (like) {
        int at = X509_get_ext_by_NID(like->leaf, NID_subject_alt_name, -1);
        X509_EXTENSION *ext = at >= 0 ? X509_get_ext(like->leaf, at) : NULL;
        return ext && X509_add_ext(x, ext, -1) == 1;
    }
    AUTO(buf) one = BUF_INIT(300);
    AUTO(buf) names = BUF_INIT(300);
    cert_der_put(&one, 0x82, name, strlen(name)); /* GeneralName, dNSName [2] */
    cert_der_put(&names, 0x30, buf_str(&one), one.len);
    return buf_err(&one) == 0 && buf_err(&names) == 0 &&
           cert_add_extension(x, NID_subject_alt_name, false, names.data, names.len);
}

/* The key identifier is the one that the CA says it has, whatever it was made from. */
static bool add_authority(X509 *x, X509 *ca)
{
    const ASN1_OCTET_STRING *ski = X509_get0_subject_key_id(ca);
    AUTO(buf) id = BUF_INIT(300);
    AUTO(buf) value = BUF_INIT(300);
    if (!ski || ASN1_STRING_length(ski) > 200)
        return false;
    cert_der_put(&id, 0x80, ASN1_STRING_get0_data(ski), (size_t)ASN1_STRING_length(ski));
    cert_der_put(&value, 0x30, buf_str(&id), id.len);
    return buf_err(&value) == 0 &&
           cert_add_extension(x, NID_authority_key_identifier, false, value.data, value.len);
}

static bool build_server(X509 *x, EVP_PKEY *key, const struct cert_issuer *i, const char *name,
                         const struct cert_identity *like, int64_t ends_s)
{
    return cert_begin(x, key, time_real_us() / US_PER_S, ends_s) &&
           cert_set_name(X509_get_subject_name(x), "Sallyport gateway") &&
           X509_set_issuer_name(x, X509_get_subject_name(i->cert)) == 1 &&
           add_names(x, name, like) &&
           cert_add_extension(x, NID_basic_constraints, true, server_constraints,
                              sizeof(server_constraints)) &&
           cert_add_extension(x, NID_key_usage, true, server_usage, sizeof(server_usage)) &&
           cert_add_extension(x, NID_ext_key_usage, false, server_purpose,
                              sizeof(server_purpose)) &&
           add_key_id(x) && add_authority(x, i->cert) && X509_sign(x, i->key, EVP_sha256()) > 0;
}

static int check_issue(const struct cert_issuer *i, const char *name,
                       const struct cert_identity *like, int64_t lifetime_s, struct err *e)
{
    int64_t now_s = time_real_us() / US_PER_S;
    if (!i->key)
        return err_set(e, -EINVAL, "the CA's key is not here");
    if (!like && !is_fit(name))
        return err_set(e, -EINVAL, "a server's certificate is for a host name");
    if (lifetime_s < CERT_ISSUE_LEAST_S || lifetime_s > CERT_ISSUE_MOST_S)
        return err_set(e, -EINVAL, "the life of a certificate is one minute to ten years");
    if (now_s < i->begins_s)
        return err_set(e, -EINVAL, "the CA is not valid yet: is the clock of this machine right?");
    if (now_s >= i->ends_s)
        return err_set(e, -EINVAL, "the CA has expired");
    return 0;
}

int cert_issue(const struct cert_issuer *i, const char *name, const struct cert_identity *like,
               int64_t lifetime_s, struct secret *ret, size_t *ret_n_cert, struct err *e)
{
    int r = check_issue(i, name, like, lifetime_s, e);
    if (r < 0)
        return r;
    int64_t ends_s = time_real_us() / US_PER_S + lifetime_s;
    X509 *x = X509_new();
    EVP_PKEY *key = cert_key_new();
    bool ok =
        x && key && build_server(x, key, i, name, like, ends_s < i->ends_s ? ends_s : i->ends_s);
    AUTO_FREE char *pem = ok ? text_of(x) : NULL;
    r = pem ? key_text(key, pem, strlen(pem), ret) : -E_TLS;
    X509_free(x);
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (r < 0)
        return err_set(e, r, BROKEN);
    *ret_n_cert = strlen(pem);
    return 0;
}
