/* authority.c - fuzzes crypto/authority, and with it crypto/pem and crypto/der.
 *
 * Theory of operation: what begins with 0x30 is taken for DER and given as a block, anything else is the
 * text itself. With memory enough the answer is yes or no, never that there is none. A no has words of
 * printable ASCII. A yes has one reading: the block, written anew, is accepted with the same facts, its
 * DER is one value, other readers of ours find the same certificate, and a private key beside it or
 * another certificate turns it into a no. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "crypto/authority.h"
#include "crypto/cert_hash.h"
#include "crypto/der.h"
#include "crypto/pem.h"

#include <string.h>

#define NOW_US 1796000000000000LL /* 2026-11-30 */

static bool accepted(const char *pem, size_t n, struct authority_facts *ret)
{
    struct err e = {0};
    *ret = (struct authority_facts){.fingerprint = "kept"};
    int r = authority_check(pem, n, NOW_US, ret, &e);
    if (r == 0) {
        MUST(strlen(ret->fingerprint) == DIGEST_SHA256_HEX - 1);
        MUST(ret->ends_us > NOW_US);
        return true;
    }
    MUST(r == -E_DENIED && e.code == r && e.msg[0] != '\0');
    for (const char *p = e.msg; *p; p++)
        MUST(*p >= ' ' && *p <= '~');
    MUST(strcmp(ret->fingerprint, "kept") == 0);
    return false;
}

static void check_yes(const char *pem, size_t n, const struct authority_facts *facts)
{
    AUTO(buf) der = BUF_INIT(AUTHORITY_PEM_MAX), longer = BUF_INIT(4 * AUTHORITY_PEM_MAX);
    struct cursor text = cursor_of(pem, n);
    struct pem_block b, other;
    struct authority_facts again;
    char hash[CERT_HASH_BYTES], fingerprint[DIGEST_SHA256_HEX];
    size_t behind;
    MUST(pem_next(&text, &b, NULL) == 1 && pem_is(&b, PEM_CERTIFICATE));
    MUST(pem_bytes(&b, &der) == 0 && pem_next(&text, &other, NULL) == 0);
    MUST(der_check(der.data, der.len, &behind) == 0);
    MUST(strcmp(digest_sha256_hex(der.data, der.len, fingerprint), facts->fingerprint) == 0);
    AUTO_FREE char *anew = pem_certificate((const unsigned char *)der.data, der.len);
    MUST(anew && (strlen(anew) > AUTHORITY_PEM_MAX || accepted(anew, strlen(anew), &again)));
    if (strlen(anew) <= AUTHORITY_PEM_MAX)
        MUST(strcmp(again.fingerprint, facts->fingerprint) == 0 && again.ends == facts->ends &&
             again.ends_us == facts->ends_us);
    struct err e;
    MUST(cert_hash_of_pem(anew, hash, &e) == 0);
    MUST(buf_add(&longer, pem, n) == 0 && buf_addf(&longer, "\n%s", anew) == 0);
    MUST(!accepted(longer.data, longer.len, &again));
    buf_reset(&longer);
    MUST(buf_add(&longer, pem, n) == 0 && buf_adds(&longer, "-----BEGIN PRIVATE KEY-----") == 0);
    MUST(!accepted(longer.data, longer.len, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct authority_facts facts;
    AUTO_FREE char *wrapped = n > 0 && data[0] == 0x30 ? pem_certificate(data, n) : NULL;
    const char *pem = wrapped ? wrapped : (const char *)data;
    const size_t n_pem = wrapped ? strlen(wrapped) : n;
    if (accepted(pem, n_pem, &facts))
        check_yes(pem, n_pem, &facts);
    return 0;
}
