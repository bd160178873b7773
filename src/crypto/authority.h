/* authority - what the certificate of a customer's CA must be before an MCP tunnel trusts it.
 *
 * The platform asks when one is registered (POST /v1/tunnels/{id}/certificates, field
 * ca_certificate_pem); the rules are those of the hosted service and of RFC 5280. Who reads the text
 * again later reads it with crypto/pem: it has one reading there. Nothing suspends; any thread. */
#pragma once

#include "base/base.h"
#include "crypto/digest.h"

struct err;

#define AUTHORITY_PEM_MAX 8192 /* bytes of text, as on the hosted service */

struct authority_facts {
    char fingerprint[DIGEST_SHA256_HEX]; /* lower-case hex SHA-256 of the DER */
    /* false: notAfter is 99991231235959Z, which says that it never does (RFC 5280 4.1.2.5) */
    bool ends;
    int64_t ends_us; /* notAfter, microseconds since 1970; UTC */
};

/* Checks one PEM certificate of `n` bytes against the rules for a tunnel's CA as of `now_us`. 0 with
 * the facts; -E_DENIED with words that tell which rule is broken and what was found, fit to stand
 * behind "ca_certificate_pem: "; -ENOMEM; -ENOENT with words: no libcrypto. The words hold nothing of
 * the text but a label and names of algorithms. One that is not valid yet is accepted: it is prepared
 * for a rotation, and each handshake looks again. Does not suspend; takes 0.1 ms, with the
 * largest RSA key and exponent some 15. */
int authority_check(const char *pem, size_t n, int64_t now_us, struct authority_facts *ret,
                    struct err *e) WARN_UNUSED;
