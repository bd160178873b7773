/* authority_internal - what the files authority*.c share. Not for others. */
#pragma once

#include "crypto/authority_lib.h"
#include "crypto/der.h"

/* ---- authority.c ---- */

/* A short name of an object, else its dotted form. Returns it, or `ret` where it is. */
const char *authority_name(const ASN1_OBJECT *o, char ret[DER_OID_TEXT]);

/* The rules. 0, or -E_DENIED with words. Where libcrypto cannot do what was asked, the words say that a
 * rule is broken, which want of memory explains as well: authority.c finds out. */

/* ---- authority_usage.c: what the extensions say it may be used for (RFC 5280 4.2) ---- */

int authority_usage(X509 *x, struct err *e) WARN_UNUSED;

/* ---- authority_key.c: key and signature ---- */

int authority_key(const X509 *x, struct err *e) WARN_UNUSED;
int authority_signature(X509 *x, struct err *e) WARN_UNUSED;
