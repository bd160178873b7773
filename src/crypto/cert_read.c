/* cert_read.c - an identity that somebody else has made: certificate and key as PEM.
 *
 * The operator's own files, read by a process that serves with them (the tunnel's gateway). What callers
 * would refuse anyway is refused here, with words, rather than at the first handshake. A copy of the key in
 * the clear lies in a buffer that is wiped. Nothing suspends. */
#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/secret.h"
#include "crypto/cert_internal.h"
#include "crypto/pem.h"

#include <string.h>

#define TEXT_MAX       (128u << 10)
#define RSA_BITS_LEAST 2048

X509 *cert_first(const char *pem, size_t n, const char *name, struct err *e)
{
    AUTO(buf) der = BUF_INIT(TEXT_MAX);
    struct cursor text = cursor_of(pem, n);
    struct pem_block b;
    struct err why = {0};
    int r = pem_next(&text, &b, &why);
    if (r < 0) {
        (void)err_set(e, -E_PARSE, "%s: %s", name, why.msg);
        return NULL;
    }
    if (r == 0 || !pem_is(&b, PEM_CERTIFICATE)) {
        (void)err_set(e, -E_PARSE, "%s does not begin with a certificate as PEM", name);
        return NULL;
    }
    X509 *x = NULL;
    if (pem_bytes(&b, &der) == 0) {
        const unsigned char *p = (const unsigned char *)buf_str(&der), *end = p + der.len;
        x = d2i_X509(NULL, &p, (long)der.len);
        if (x && p != end) {
            X509_free(x);
            x = NULL;
        }
    }
    if (!x)
        (void)err_set(e, -E_PARSE, "%s: the first certificate in it is damaged", name);
    return x;
}

static bool is_key(const struct pem_block *b)
{
    return pem_is(b, "PRIVATE KEY") || pem_is(b, "EC PRIVATE KEY") || pem_is(b, "RSA PRIVATE KEY");
}

/* The key in one block. */
static EVP_PKEY *key_in(const struct pem_block *b)
{
    AUTO(buf) der = BUF_INIT(TEXT_MAX);
    EVP_PKEY *key = NULL;
    /* Room at once, so that no copy is left behind by growing. */
    if (buf_room(&der, b->n_body) && pem_bytes(b, &der) == 0) {
        const unsigned char *p = (const unsigned char *)buf_str(&der), *end = p + der.len;
        key = d2i_AutoPrivateKey(NULL, &p, (long)der.len);
        if (key && p != end) {
            EVP_PKEY_free(key);
            key = NULL;
        }
    }
    if (der.data)
        secret_wipe(der.data, der.cap);
    return key;
}

/* Of either form: PKCS #8, or a header of old (RFC 1421 4.6.1.1). */
static bool is_encrypted(const struct pem_block *b)
{
    static const char mark[] = "ENCRYPTED";
    return pem_is(b, "ENCRYPTED PRIVATE KEY") ||
           (is_key(b) && memmem(b->body, b->n_body, mark, sizeof(mark) - 1));
}

EVP_PKEY *cert_key_read(const char *pem, size_t n, const char *name, struct err *e)
{
    struct cursor text = cursor_of(pem, n);
    struct pem_block b;
    struct err why = {0};
    int r;
    do /* certificates may stand in the same file, and the curve's name */
        r = pem_next(&text, &b, &why);
    while (r == 1 && !is_key(&b) && !is_encrypted(&b));
    EVP_PKEY *key = r == 1 && !is_encrypted(&b) ? key_in(&b) : NULL;
    if (key)
        return key;
    if (r < 0)
        (void)err_set(e, -E_PARSE, "%s: %s", name, why.msg);
    else if (r == 1 && is_encrypted(&b))
        (void)err_set(e, -E_PARSE,
                      "%s is encrypted with a passphrase, which nobody is there to type; store it "
                      "without one, readable for nobody else",
                      name);
    else
        (void)err_set(e, -E_PARSE, "%s holds no private key that can be read", name);
    return NULL;
}

static int check(X509 *x, EVP_PKEY *key, const char *cert_name, const char *key_name, struct err *e)
{
    int kind = EVP_PKEY_get_base_id(key), bits = EVP_PKEY_get_bits(key);
    if (EVP_PKEY_eq(X509_get0_pubkey(x), key) != 1)
        return err_set(e, -E_DENIED, "the key in %s does not belong to the certificate in %s",
                       key_name, cert_name);
    if (X509_check_ca(x) == 1)
        return err_set(e, -E_DENIED,
                       "%s is the certificate of an authority; a server shows one that the "
                       "authority has signed",
                       cert_name);
    if (kind == EVP_PKEY_RSA && bits < RSA_BITS_LEAST)
        return err_set(e, -E_DENIED, "the RSA key in %s has %d bits; callers want %d at least",
                       key_name, bits, RSA_BITS_LEAST);
    if (kind != EVP_PKEY_RSA && kind != EVP_PKEY_EC)
        return err_set(e, -E_DENIED, "the key in %s is neither RSA nor EC, which callers want",
                       key_name);
    return 0;
}

int cert_identity_read(const char *cert, size_t n_cert, const char *cert_name, const char *key,
                       size_t n_key, const char *key_name, struct cert_identity **ret,
                       struct err *e)
{
    int r = cert_lib_open(e);
    if (r < 0)
        return r;
    if (n_cert > TEXT_MAX || n_key > TEXT_MAX)
        return err_set(e, -E_PARSE, "%s is too large", n_key > TEXT_MAX ? key_name : cert_name);
    struct cert_identity *id = mem_new(struct cert_identity);
    id->refs = 1;
    r = -E_PARSE;
    id->leaf = cert_first(cert, n_cert, cert_name, e);
    if (id->leaf && !key)
        r = 0;
    else if (id->leaf && (id->key = cert_key_read(key, n_key, key_name, e)))
        r = check(id->leaf, id->key, cert_name, key_name, e);
    if (r == 0) {
        int n = i2d_X509(id->leaf, &id->der);
        r = n > 0 ? 0 : err_set(e, -ENOMEM, "no memory for the certificate in %s", cert_name);
        id->n_der = n > 0 ? (size_t)n : 0;
    }
    ERR_clear_error();
    if (r < 0)
        cert_identity_unref(id);
    else
        *ret = id;
    return r;
}

void cert_identity_times(const struct cert_identity *id, int64_t *ret_begins_s, int64_t *ret_ends_s)
{
    *ret_begins_s = cert_seconds(X509_get0_notBefore(id->leaf));
    *ret_ends_s = cert_seconds(X509_get0_notAfter(id->leaf));
}

bool cert_identity_is_for(const struct cert_identity *id, const char *host)
{
    bool is =
        X509_check_host(id->leaf, host, strlen(host),
                        X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
                        NULL) == 1;
    ERR_clear_error();
    return is;
}
