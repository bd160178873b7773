/* cert - a certificate authority in memory, and the leaves it signs for the hosts that the boundary
 * impersonates towards its own sandboxes (RFC 5280).
 *
 * The keeper makes the authority and gives it to the proxies as PEM and a secret key. All keys are
 * P-256, all signatures ECDSA with SHA-256. Nothing suspends. One thread. */
#pragma once

#include "base/base.h"

struct buf;
struct err;
struct secret;

/* ---- the authority ---- */

struct cert_ca;
struct cert_ca_options {
    const char *name;   /* the common name that people see, up to 64 bytes; NULL: "Sallyport CA" */
    int64_t lifetime_s; /* from now, 1 minute to 10 years; it is valid one day into the past, too */
    /* Name constraints (RFC 5280 4.2.1.10), critical, when n_permitted > 0: "example.com" is that
     * name and all below it; "10.0.0.0/8", "10.1.2.3", "fd00::/8" are addresses. When only names are
     * given no address is permitted, and the other way round. */
    const char *const *permitted;
    size_t n_permitted; /* up to CERT_PERMITTED_MAX */
};
#define CERT_PERMITTED_MAX 1024

/* A fresh one: random key and serial number, basicConstraints CA with pathlen 0, keyUsage keyCertSign
 * and cRLSign. 0; -EINVAL with words about what was given; -ENOENT with words: no libcrypto. */
int cert_ca_new(const struct cert_ca_options *o, struct cert_ca **ret, struct err *e) WARN_UNUSED;
/* The one whose parts these are: PEM with exactly one certificate, and its key as cert_ca_key gave
 * it. -E_PARSE with words, also when the two do not belong together or it is no authority. */
int cert_ca_import(const char *pem, size_t n, const struct secret *key, struct cert_ca **ret,
                   struct err *e) WARN_UNUSED;
/* The certificate, NUL-terminated; lives as long as the authority. */
const char *cert_ca_pem(const struct cert_ca *ca);
/* The private key as DER (RFC 5915) into `ret`, which is unset. 0 or -ENOMEM. */
int cert_ca_key(const struct cert_ca *ca, struct secret *ret) WARN_UNUSED;
/* Seconds since 1970 until which it is valid. Leaves of it end no later. */
int64_t cert_ca_ends_s(const struct cert_ca *ca);
/* Leaves that are in use stay valid. NULL is fine. */
void cert_ca_free(struct cert_ca *ca);

/* ---- leaves ---- */

/* A certificate with its key, ready for a handshake. Counted; whoever holds a reference may use it. */
struct cert_identity;
struct cert_identity *cert_identity_ref(struct cert_identity *id);
void cert_identity_unref(struct cert_identity *id); /* NULL is fine */
/* One from elsewhere: `cert` is PEM whose first certificate is the leaf (those behind it are its issuers,
 * which are not sent), `key` PEM with its private key, not encrypted: EC on P-256, P-384 or P-521, or RSA of
 * 2048 bits at least. 0; -E_PARSE with words that begin with `cert_name` or `key_name`, what they are
 * called to a person; -E_DENIED with words: an authority's, too weak, or they do not belong together.
 * With `key` NULL it is the certificate alone, whoever's: to be looked at, for no handshake. */
int cert_identity_read(const char *cert, size_t n_cert, const char *cert_name, const char *key,
                       size_t n_key, const char *key_name, struct cert_identity **ret,
                       struct err *e) WARN_UNUSED;
/* Seconds since 1970 from and until which it is valid. */
void cert_identity_times(const struct cert_identity *id, int64_t *ret_begins_s,
                         int64_t *ret_ends_s);
/* Whether the certificate is for this host name (RFC 9525: SAN alone, "*" for one whole label). */
bool cert_identity_is_for(const struct cert_identity *id, const char *host);
/* For people: the names and addresses that it is for, ", " between them, and whom it was signed by. Appended,
 * what is odd in them escaped; buf's error. */
int cert_identity_hosts(const struct cert_identity *id, struct buf *out);
int cert_identity_issuer(const struct cert_identity *id, struct buf *out);
/* Whether the authority whose certificate `pem` begins with has signed it: name, key identifier, usage and
 * signature. 0; -E_DENIED: it has not; -E_PARSE: that is no certificate. Both with words. */
int cert_identity_signed_by(const struct cert_identity *id, const char *pem, size_t n,
                            struct err *e) WARN_UNUSED;
/* The certificate as DER; lives as long as the identity. */
const unsigned char *cert_identity_der(const struct cert_identity *id, size_t *ret_n);
/* Its X509 and EVP_PKEY, for io/tls alone; borrowed. */
void *cert_identity_x509(const struct cert_identity *id);
void *cert_identity_pkey(const struct cert_identity *id);

#define CERT_LEAF_LIFETIME_S (90 * 86400) /* clients cap what they accept: Apple's is 398 days */

/* Signs a leaf for `host`: a name (lower case, up to 253 bytes) or, with is_ip, an address without
 * brackets. SAN dNSName or iPAddress and nothing else, CN when a name fits, EKU serverAuth, valid one
 * day into the past and CERT_LEAF_LIFETIME_S on, never longer than its authority. All leaves of an
 * authority object have one key, made with the object. Whether the authority's constraints permit
 * the host is not looked at: the client will. About 40 us. 0; -EINVAL with words: not a host. */
int cert_leaf(struct cert_ca *ca, const char *host, bool is_ip, struct cert_identity **ret,
              struct err *e) WARN_UNUSED;

/* Leaves by host, the least recently used goes first; one is signed anew when half of its life is
 * over. Does not own the authority, which outlives it. */
struct cert_cache;
struct cert_cache *cert_cache_new(struct cert_ca *ca, size_t max_leaves)
    __attribute__((returns_nonnull));
/* The leaf of `host`, from the cache or new; the reference is the caller's. As cert_leaf. */
int cert_cache_get(struct cert_cache *c, const char *host, bool is_ip, struct cert_identity **ret,
                   struct err *e) WARN_UNUSED;
size_t cert_cache_n(const struct cert_cache *c);
void cert_cache_free(struct cert_cache *c); /* NULL is fine */
