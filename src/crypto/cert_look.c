/* cert_look.c - what an identity says of itself, for people, and who has signed it.
 *
 * Called by the gateway's status and doctor. The certificate is the operator's own, but somebody else's tool
 * has made it: what is shown is escaped and cut. Nothing suspends. */
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "crypto/cert_internal.h"

#include <arpa/inet.h>
#include <string.h>

#define HOSTS_MOST 64
#define NAME_BYTES 256

static void add_host(struct buf *out, const GENERAL_NAME *name)
{
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    const unsigned char *p =
        value && (type == GEN_DNS || type == GEN_IPADD) ? ASN1_STRING_get0_data(value) : NULL;
    int n = p ? ASN1_STRING_length(value) : 0;
    char text[INET6_ADDRSTRLEN];
    if (!p || n < 0)
        (void)buf_adds(out, "something else");
    else if (type == GEN_DNS)
        str_escape(out, (const char *)p, (size_t)n, NAME_BYTES);
    else if ((n == 4 || n == 16) && inet_ntop(n == 4 ? AF_INET : AF_INET6, p, text, sizeof(text)))
        (void)buf_adds(out, text);
}

int cert_identity_hosts(const struct cert_identity *id, struct buf *out)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(id->leaf, NID_subject_alt_name, NULL, NULL);
    int n = names ? OPENSSL_sk_num((const OPENSSL_STACK *)names) : 0;
    for (int i = 0; i < n && i < HOSTS_MOST; i++) {
        if (i > 0)
            (void)buf_adds(out, ", ");
        add_host(out, OPENSSL_sk_value((const OPENSSL_STACK *)names, i));
    }
    if (n > HOSTS_MOST)
        (void)buf_addf(out, " and %d more", n - HOSTS_MOST);
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    return buf_err(out);
}

static void add_name(struct buf *out, const X509_NAME *name)
{
    char text[NAME_BYTES];
    if (!name || !X509_NAME_oneline(name, text, sizeof(text)))
        return;
    const char *from = text[0] == '/' ? text + 1 : text;
    str_escape(out, from, strlen(from), NAME_BYTES);
}

int cert_identity_issuer(const struct cert_identity *id, struct buf *out)
{
    add_name(out, X509_get_issuer_name(id->leaf));
    return buf_err(out);
}

int cert_identity_signed_by(const struct cert_identity *id, const char *pem, size_t n,
                            struct err *e)
{
    X509 *ca = cert_first(pem, n, "the authority's certificate", e);
    if (!ca)
        return -E_PARSE;
    bool is = X509_check_issued(ca, id->leaf) == X509_V_OK &&
              X509_verify(id->leaf, X509_get0_pubkey(ca)) == 1;
    ERR_clear_error();
    int r = 0;
    if (!is) {
        AUTO(buf) name = BUF_INIT(1024);
        add_name(&name, X509_get_subject_name(ca));
        r = err_set(e, -E_DENIED, "\"%s\" has not signed it", buf_str(&name));
    }
    X509_free(ca);
    return r;
}
