/* authority.c - what the certificate of a customer's CA must be before an MCP tunnel trusts it.
 *
 * Theory of operation. Called by the platform for each one that is registered, on the fiber of the
 * request, with a text that the caller of the API controls to the last byte. From the outside in:
 * the text, its one block, the DER, then the rules of X.509 (authority_usage.c, authority_key.c), so
 * that the first one that is broken is the most useful to hear of. A private key comes before all: its
 * owner must know. The text is at most 8 KiB, and nothing here is more than quadratic in it.
 *
 * libcrypto parses the certificate, since it is libcrypto that will use it; DER is checked beforehand,
 * because libcrypto takes BER, too, and one certificate would have many fingerprints. What can be read
 * from bytes is read here, without memory; where libcrypto is asked, a no may be want of memory, which is
 * found out at the end. No words hold anything from the text but labels and names of algorithms. */
#include "crypto/authority.h"

#include "base/buf.h"
#include "base/cursor.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/time.h"
#include "crypto/authority_internal.h"
#include "crypto/pem.h"

#include <stdio.h>
#include <string.h>

#define NO_MEMORY   "there is no memory to check the certificate with"
#define PROBE_BYTES (256u << 10) /* more than any one allocation of a check */

const char *authority_name(const ASN1_OBJECT *o, char ret[DER_OID_TEXT])
{
    const int nid = OBJ_obj2nid(o);
    return nid != NID_undef ? OBJ_nid2ln(nid) : der_oid_text(OBJ_get0_data(o), OBJ_length(o), ret);
}

/* ---- the text ---- */

/* How often `word` is in the text. */
static size_t count(const char *text, size_t n, const char *word)
{
    const char *end = text + n, *at = text;
    size_t found = 0;
    while ((at = memmem(at, (size_t)(end - at), word, strlen(word))) != NULL) {
        at += strlen(word);
        found++;
    }
    return found;
}

/* The one block. */
static int find_block(const char *pem, size_t n, struct pem_block *ret, struct err *e)
{
    struct cursor text = cursor_of(pem, n);
    struct err why = {0};
    struct pem_block b;
    char name[PEM_LABEL_TEXT];
    size_t blocks = 0;
    int r;
    while ((r = pem_next(&text, &b, &why)) == 1) {
        if (!pem_is(&b, PEM_CERTIFICATE))
            return err_set(e, -E_DENIED, "it holds a %s, not a CERTIFICATE",
                           pem_label_text(&b, name));
        *ret = b;
        blocks++;
    }
    if (r < 0)
        return err_set(e, -E_DENIED, "%s", why.msg);
    /* Another reader might take it for one. */
    if (count(pem, n, "-----BEGIN ") != blocks)
        return err_set(e, -E_DENIED,
                       "a BEGIN line must begin in the first column and end with its dashes");
    if (blocks == 0)
        return err_set(
            e, -E_DENIED,
            "there is no -----BEGIN CERTIFICATE----- line; one certificate in PEM is needed");
    if (blocks > 1)
        return err_set(e, -E_DENIED,
                       "it holds %zu certificates; one is needed, that of the CA which signs the "
                       "gateway's certificate",
                       blocks);
    return 0;
}

static int read_text(const char *pem, size_t n, struct buf *ret_der, struct err *e)
{
    if (n == 0)
        return err_set(e, -E_DENIED, "it is empty; one certificate in PEM is needed");
    /* Of a BEGIN line, an END line, or of what is left of one. */
    if (count(pem, n, "PRIVATE KEY") > 0)
        return err_set(
            e, -E_DENIED,
            "it holds a private key. It was not stored, but consider it as seen: make a new "
            "key, and send its certificate alone");
    if (n > AUTHORITY_PEM_MAX)
        return err_set(e, -E_DENIED, "it has %zu bytes; %d are the most", n, AUTHORITY_PEM_MAX);
    const char *nul = memchr(pem, '\0', n);
    if (nul)
        return err_set(e, -E_DENIED, "there is a NUL at byte %zu; PEM is text",
                       (size_t)(nul - pem) + 1);
    struct pem_block b = {0};
    int r = find_block(pem, n, &b, e);
    if (r < 0)
        return r;
    r = pem_bytes(&b, ret_der);
    if (r == -E_PARSE || (r == 0 && ret_der->len == 0))
        return err_set(e, -E_DENIED, "there is no base64 between the BEGIN and the END line");
    return r < 0 ? err_set(e, -ENOMEM, NO_MEMORY) : 0;
}

/* ---- the certificate ---- */

static int parse(const struct buf *der, X509 **ret, struct err *e)
{
    size_t behind;
    if (der_check(der->data, der->len, &behind) < 0) {
        if (behind > 0)
            return err_set(e, -E_DENIED, "%zu bytes follow the end of the certificate in its block",
                           behind);
        return err_set(e, -E_DENIED, "what the block holds is not DER, or was cut off");
    }
    const unsigned char *p = (const unsigned char *)der->data;
    *ret = d2i_X509(NULL, &p, (long)der->len);
    if (!*ret)
        return err_set(e, -E_DENIED, "what the block holds is DER, but not a certificate");
    switch (X509_get_version(*ret)) {
    case X509_VERSION_3:
        return 0;
    case X509_VERSION_2:
        return err_set(e, -E_DENIED, "it is X.509 version 2; version 3 is needed");
    case X509_VERSION_1:
        return err_set(e, -E_DENIED, "it is X.509 version 1; version 3 is needed");
    default:
        return err_set(e, -E_DENIED, "it is of an unknown X.509 version; version 3 is needed");
    }
}

/* UTCTime as YYMMDDHHMMSSZ, from 1950 on, or GeneralizedTime as YYYYMMDDHHMMSSZ (RFC 5280 4.1.2.5). */
static int read_date(const ASN1_TIME *t, const char *name, int64_t *ret_us, struct err *e)
{
    const int type = ASN1_STRING_type(t), n = ASN1_STRING_length(t);
    const char *s = (const char *)ASN1_STRING_get0_data(t);
    char text[TIME_RFC3339_MAX];
    const char *century = "";
    int n_year = 4;
    if (type == V_ASN1_UTCTIME) {
        n_year = 2;
        century = n > 0 && s[0] >= '5' ? "19" : "20";
    }
    if (n == n_year + 11) {
        const char *m = s + n_year;
        (void)snprintf(text, sizeof(text), "%s%.*s-%.2s-%.2sT%.2s:%.2s:%.2s%.1s", century, n_year,
                       s, m, m + 2, m + 4, m + 6, m + 8, m + 10);
        /* Leap seconds and a "z" are fine for RFC 3339, not for libcrypto. */
        if (s[n - 1] == 'Z' && memcmp(m + 8, "60", 2) != 0 && time_parse(text, ret_us) == 0)
            return 0;
    }
    return err_set(e, -E_DENIED, "%s is not a date of the years 1970 to 9999 in UTC", name);
}

static int check_dates(const X509 *x, int64_t now_us, struct authority_facts *facts, struct err *e)
{
    static const char never[] = "99991231235959Z";
    const ASN1_TIME *end = X509_get0_notAfter(x);
    int64_t begins_us;
    char text[TIME_RFC3339_MAX];
    int r = read_date(X509_get0_notBefore(x), "notBefore", &begins_us, e);
    if (r == 0)
        r = read_date(end, "notAfter", &facts->ends_us, e);
    if (r < 0)
        return r;
    facts->ends = (size_t)ASN1_STRING_length(end) != strlen(never) ||
                  memcmp(ASN1_STRING_get0_data(end), never, strlen(never)) != 0;
    if (facts->ends_us < begins_us)
        return err_set(e, -E_DENIED, "notAfter is before notBefore; it is never valid");
    if (facts->ends && facts->ends_us <= now_us) /* as libcrypto counts it */
        return err_set(e, -E_DENIED, "it expired at %.19sZ", time_format(text, facts->ends_us));
    return 0;
}

static int digest(const struct buf *der, struct authority_facts *facts, struct err *e)
{
    unsigned char sum[DIGEST_SHA256_BYTES];
    if (EVP_Digest(der->data, der->len, sum, NULL, EVP_sha256(), NULL) != 1)
        return err_set(e, -ENOMEM, NO_MEMORY);
    enc_hex(sum, sizeof(sum), facts->fingerprint);
    return 0;
}

/* One look at the certificate. */
static int judge(const struct buf *der, int64_t now_us, struct authority_facts *facts,
                 struct err *e)
{
    X509 *x = NULL;
    int r = parse(der, &x, e);
    if (r == 0)
        r = authority_usage(x, e);
    if (r == 0)
        r = authority_key(x, e);
    if (r == 0)
        r = authority_signature(x, e);
    if (r == 0)
        r = check_dates(x, now_us, facts, e);
    if (r == 0)
        r = digest(der, facts, e);
    X509_free(x);
    ERR_clear_error();
    return r;
}

/* Is there memory for anything that libcrypto needs? */
static bool has_memory(void)
{
    AUTO(buf) probe = BUF_INIT(PROBE_BYTES);
    return buf_room(&probe, PROBE_BYTES) != NULL;
}

int authority_check(const char *pem, size_t n, int64_t now_us, struct authority_facts *ret,
                    struct err *e)
{
    AUTO(buf) der = BUF_INIT(AUTHORITY_PEM_MAX);
    struct authority_facts facts = {0};
    int r = read_text(pem, n, &der, e);
    if (r == 0)
        r = authority_lib_open(e);
    if (r < 0)
        return r;
    r = judge(&der, now_us, &facts, e);
    /* A no for want of memory must not be told as a broken rule, and libcrypto's errors do not show it:
     * X509_verify and X509_check_ca leave none. So a no counts when it is given again, with memory. */
    if (r == -E_DENIED)
        r = judge(&der, now_us, &facts, e);
    if (r == -E_DENIED && !has_memory())
        r = err_set(e, -ENOMEM, NO_MEMORY);
    if (r == 0)
        *ret = facts;
    return r;
}
