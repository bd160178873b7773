/* cert_issue - a CA that lies in files, and the server certificates that it signs (RFC 5280).
 *
 * What `gateway init` and `renew-cert` make. Other than the authority of cert.h, which lives as long as a
 * process, this one is written down, may be somebody else's (RSA, too), and signs for names with "*".
 * Nothing suspends. One thread. */
#pragma once

#include "crypto/cert.h"

struct err;
struct secret;

struct cert_issuer;

/* Certificates begin this long before they are made: a clock that is a day late does no harm. */
#define CERT_ISSUE_BACKDATE_S 86400
#define CERT_ISSUE_LEAST_S    60
#define CERT_ISSUE_MOST_S     (3653LL * 86400)

/* A new CA: self-signed, with a P-256 key, basicConstraints CA and keyUsage keyCertSign, both critical, and
 * a subject key identifier. Common name `name` (1 to 64 bytes of UTF-8), valid for `lifetime_s` from now
 * (CERT_ISSUE_LEAST_S to _MOST_S). With `key` (PEM, EC or RSA, not encrypted) it is of that key; NULL: of a
 * new one. 0; -E_PARSE with words about the key, which is called `key_name`; -EINVAL with words. */
int cert_issuer_new(const char *name, int64_t lifetime_s, const struct secret *key,
                    const char *key_name, struct cert_issuer **ret, struct err *e) WARN_UNUSED;
/* One from files: `cert` is PEM whose first certificate is the CA's, `key` PEM with its private key, NULL:
 * the key is elsewhere, and nothing can be signed. 0; -E_PARSE or -E_DENIED with words that begin with
 * `cert_name` or `key_name`: no CA's, damaged, or they do not belong together. */
int cert_issuer_read(const char *cert, size_t n_cert, const char *cert_name,
                     const struct secret *key, const char *key_name, struct cert_issuer **ret,
                     struct err *e) WARN_UNUSED;
/* The CA's certificate as PEM; lives as long as the issuer. */
const char *cert_issuer_pem(const struct cert_issuer *i);
/* The CA's private key as PEM (RFC 5915) into `ret`, which is unset; one that was made here. 0 or -ENOMEM. */
int cert_issuer_key(const struct cert_issuer *i, struct secret *ret) WARN_UNUSED;
bool cert_issuer_has_key(const struct cert_issuer *i);
/* Seconds since 1970 from and until which the CA is valid. */
void cert_issuer_times(const struct cert_issuer *i, int64_t *ret_begins_s, int64_t *ret_ends_s);
/* Whether this CA has signed the certificate itself: names, key identifiers and signature. */
bool cert_issuer_has_signed(const struct cert_issuer *i, const struct cert_identity *id);
void cert_issuer_free(struct cert_issuer *i); /* NULL is fine */

/* Signs a server's certificate with a new P-256 key: SAN dNSName `name` ("*." in front is one whole label)
 * or, with `like`, the names of that certificate; EKU serverAuth; keyUsage digitalSignature; AKI = the CA's
 * SKI; valid for `lifetime_s` from now, and never longer than the CA. Certificate, and behind it the key,
 * as PEM into `ret`, which is unset; *ret_n_cert bytes of it are the certificate. 0; -EINVAL with words: no
 * name, no key, or the CA is not valid now. */
int cert_issue(const struct cert_issuer *i, const char *name, const struct cert_identity *like,
               int64_t lifetime_s, struct secret *ret, size_t *ret_n_cert, struct err *e)
    WARN_UNUSED;
