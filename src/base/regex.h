/* regex - PCRE2 with a budget, in the one file that touches it (regex.c).
 *
 * Patterns and texts are UTF-8 bytes; invalid UTF-8 in a text is matched as it is, byte by byte,
 * and never an error. A match may use a bounded number of steps and bounded memory: a pattern that
 * would run away ends with -E_LIMIT. */
#pragma once

#include "base/base.h"

struct err;
struct regex;

enum {
    REGEX_ICASE = 1,
    REGEX_END = 2,     /* "$" is the very end, not in front of a last newline */
    REGEX_METERED = 4, /* for regex_find_metered alone */
};

/* NULL with words ("position 7: missing closing parenthesis") when the pattern is bad or longer
 * than 32 KiB. */
struct regex *regex_new(const char *pattern, unsigned flags, struct err *e);
void regex_free(struct regex *r); /* NULL is fine */

#define REGEX_GROUPS 10
struct regex_match {
    size_t n;                                       /* groups set, the whole match counted: 1.. */
    ptrdiff_t from[REGEX_GROUPS], to[REGEX_GROUPS]; /* byte offsets; -1: took no part */
};
/* Looks for the pattern in text[start..n). 1 with *ret filled (`ret` may be NULL), 0 when it is not
 * there, -E_LIMIT when the budget ran out, -ENOMEM. Does not suspend. */
int regex_find(const struct regex *r, const char *text, size_t n, size_t start,
               struct regex_match *ret) WARN_UNUSED;
/* Looks for a metered pattern in text[0..n). Each item of the pattern that is tried, at whatever place, takes
 * one of *steps, which many matches can share. 1, 0, -E_LIMIT when *steps is used up or the limits of one match
 * are: then nobody knows whether it is there; -ENOMEM. One step may read the whole text, so callers bound `n`,
 * too. Does not suspend. */
int regex_find_metered(const struct regex *r, const char *text, size_t n, size_t *steps)
    WARN_UNUSED;
