/* hush - what may be said about a failure: words of others, without what could be a secret. */
#pragma once

#include "base/base.h"

#define HUSH_MAX 200 /* bytes of others that a complaint quotes */

/* Quotes the last line (with `last_line`) or all of `said` for a complaint: printable, at most
 * HUSH_MAX bytes. Words of 16 and more letters, digits, + - _ = that hold a letter and a digit are
 * left out ("[...]"): keys look like that. When eight bytes in a row of `known`, a value or what may
 * hold one, are in it (or a whole word of four to seven), nothing is quoted at all. `known` may be
 * NULL.
 * Returns `ret`, "" when there is nothing to quote. Pure. */
char *hush_quote(const char *said, size_t n, bool last_line, const char *known, size_t known_n,
                 char ret[HUSH_MAX + 8]);
