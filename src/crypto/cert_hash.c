/* cert_hash.c - X509_NAME_hash of one certificate.
 *
 * Called for the certificate of our own boundary, once for each sandbox's specification that has none
 * yet (box/open.c). Programs that look in a directory (SSL_CERT_DIR) open "HASH.0". libcrypto is opened
 * on the first call; a certificate comes from the process that made it, and is still taken for data:
 * the parser is the library's, lengths are bounded by the caller's text. */
#include "crypto/cert_hash.h"

#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/library.h"
#include "crypto/pem.h"

#define FUNCTIONS(X)                                                                               \
    X(X509_NAME_hash_ex)                                                                           \
    X(X509_free)                                                                                   \
    X(X509_get_subject_name)                                                                       \
    X(d2i_X509)

static struct {
#define FIELD(f) __typeof__(&f) f##_;
    FUNCTIONS(FIELD)
#undef FIELD
} lib;

#define SYM(f) {#f, offsetof(__typeof__(lib), f##_)},
static const struct library_symbol symbols[] = {FUNCTIONS(SYM)};
#undef SYM

static struct err failure;

static void open_once(void)
{
    (void)!library_open("libcrypto.so.3", "libssl3", symbols, ARRAY_LEN(symbols), &lib, &failure);
}

/* The bytes of the first certificate. */
static int decode(const char *pem, struct buf *ret)
{
    struct cursor text = cursor_of(pem, strlen(pem));
    struct pem_block b;
    int r;
    do {
        r = pem_next(&text, &b, NULL);
    } while (r == 1 && !pem_is(&b, PEM_CERTIFICATE));
    return r == 1 ? pem_bytes(&b, ret) : -E_PARSE;
}

int cert_hash_of_pem(const char *pem, char ret[CERT_HASH_BYTES], struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    MUST(pthread_once(&once, open_once) == 0);
    if (failure.code < 0) {
        *e = failure;
        return failure.code;
    }
    AUTO(buf) der = BUF_INIT(1u << 20);
    if (decode(pem, &der) < 0 || der.len == 0)
        return err_set(e, -E_PARSE, "there is no certificate in PEM");
    const unsigned char *p = (const unsigned char *)der.data;
    X509 *cert = lib.d2i_X509_(NULL, &p, (long)der.len);
    int ok = 0;
    unsigned long hash =
        cert ? lib.X509_NAME_hash_ex_(lib.X509_get_subject_name_(cert), NULL, NULL, &ok) : 0;
    lib.X509_free_(cert);
    if (!ok)
        return err_set(e, -E_PARSE, "the certificate in PEM cannot be read");
    snprintf(ret, CERT_HASH_BYTES, "%08lx", hash & 0xffffffffu);
    return 0;
}
