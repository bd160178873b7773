/* form - application/x-www-form-urlencoded, written and read. Pure. */
#pragma once

#include "base/base.h"

struct buf;

/* Appends NAME=VALUE, with "&" in front of all but the first: every byte but letters, digits and -._~ as
 * %XX. `value` NULL or "": nothing. Returns buf's error. */
int auth_form_put(struct buf *out, const char *name, const char *value);
/* Appends `s` as above, alone (RFC 6749 2.3.1 wants it in Basic, too). */
int auth_form_escape(struct buf *out, const char *s);

/* The value of `name` in `n` bytes of a query, decoded. 1 with a malloc'ed string; 0: it is not there;
 * -E_PARSE: it is there twice, or is no text (%00, a broken escape). */
int auth_query_get(const char *query, size_t n, const char *name, char **ret) WARN_UNUSED;
