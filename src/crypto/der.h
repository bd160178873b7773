/* der - reading DER (X.690) strictly: each value has one encoding. For what libcrypto reads laxly, or
 * without a word about what was wrong. Pure. */
#pragma once

#include "base/base.h"

struct cursor;

enum {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_OID = 0x06,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_CONTEXT_0 = 0xa0, /* [0], constructed; [1] is one more */
};

/* The next value, whatever it is: its tag and its content. Tags above 30, lengths that are indefinite,
 * longer than they need be or longer than what is left: -E_PARSE, and the cursor stays. */
int der_any(struct cursor *c, unsigned char *ret_tag, struct cursor *ret) WARN_UNUSED;
/* The next one if it has this tag; -E_PARSE otherwise. */
int der_take(struct cursor *c, unsigned char tag, struct cursor *ret) WARN_UNUSED;

/* Are these bytes one value, and all within it values of DER? Depth is up to 32. The content of OCTET
 * and BIT STRINGs is not looked into. `ret_behind` is how many bytes follow the value (0 unless that
 * is what is wrong). 0 or -E_PARSE. */
int der_check(const void *p, size_t n, size_t *ret_behind) WARN_UNUSED;

/* An object identifier's content as "1.2.840.113549"; "(an object identifier of N bytes)" when it is
 * none or too long. Returns `ret`. */
#define DER_OID_TEXT 80
char *der_oid_text(const unsigned char *p, size_t n, char ret[DER_OID_TEXT]);
