/* h1_class - which bytes may stand where (RFC 9110 5.6.2, 5.5; RFC 3986), one table for
 * every reader in this room. tests/unit/http/wire/test_h1.c holds it against the rules
 * written out in words. */
#pragma once

#include "base/base.h"

enum {
    H1_TOKEN = 0x01, /* tchar: method and field names */
    H1_VALUE = 0x02, /* field content: HTAB, SP, VCHAR, obs-text */
    H1_PATH = 0x04,  /* VCHAR that may stand in a path: none of # " < > \ ^ ` { | } ? */
    H1_QUERY = 0x08, /* VCHAR that may stand in a query: none of # " < >; clients send [ ] { } | */
    H1_HEX = 0x10,
    H1_HOST = 0x20, /* reg-name (RFC 3986 3.2.2) without the comma, which joins doubled fields */
};
extern const uint8_t h1_class_table[256];
static inline bool h1_is(char c, unsigned what)
{
    return (h1_class_table[(unsigned char)c] & what) != 0;
}
