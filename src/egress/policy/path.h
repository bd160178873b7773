/* path - the one canonical form of a request's path, and the patterns of rules.
 *
 * A rule about paths is worth something only when we and the origin read the same path. Where
 * origins are known to differ the path is ambiguous, and a request whose fate depends on a path rule
 * is then refused (boundary-anchors A8, boundary A23):
 *
 *   /a/../b  /a/./b  /a/%2e%2e/b    dot segments, however spelled, also in front of ';'
 *   /a//b                           an empty segment, but for the last
 *   /a;x=1/b                        ';': some servers cut what follows
 *   /a\b  /a%5cb                    a backslash: a slash to some
 *   /a%252fb                        encoded twice
 *   /a%c0%afb, malformed %, control bytes, spaces, '#'
 *
 * Spellings that mean the same to everyone are made equal (RFC 3986 6.2.2): what need not be encoded
 * is decoded, hex digits are upper case. An encoded slash (%2F) is part of its segment for some and
 * a separator for others: it stays, no '*' matches it, and so it passes only where a pattern spells
 * it out, as GitLab's "/api/v4/projects/acme%2Fweb/" + "**" does. A deny rule matches either reading,
 * its '*' matches an encoded slash, too, and case does not count.
 *
 * Pure; nothing suspends or allocates. */
#pragma once

#include "base/base.h"

struct err;

#define PATH_TARGET_MAX  (16u << 10) /* bytes of a request's target */
#define PATH_PATTERN_MAX 512         /* bytes of a pattern */
#define PATH_STARS_MAX   8           /* stars of a pattern: bounds the work of matching */

/* The path of an origin-form target (RFC 9112 3.2.1): up to its '?'. "*" (of OPTIONS) is "*".
 * `ret` has room for 3 * n + 1 bytes; *ret_n is its length, and it ends with NUL. 0; -E_PARSE when
 * it is no path or an ambiguous one: *ret_why, static, says what is wrong in words that follow "the
 * path". */
int path_canonical(const char *target, size_t n, char *ret, size_t *ret_n, const char **ret_why)
    WARN_UNUSED;

/* The canonical form of a pattern: a path in which a segment "**" stands for any number of segments
 * (the last: one or more, the empty one behind a slash counts) and '*' for any bytes of one segment
 * but an encoded slash. `ret` has room for 3 * PATH_PATTERN_MAX + 1 bytes. -E_PARSE with words. */
int path_pattern(const char *text, size_t n, char *ret, size_t *ret_n, struct err *e) WARN_UNUSED;

/* Whether a canonical path matches a canonical pattern. Case counts. At most about n * pattern_n
 * steps. */
bool path_matches(const char *pattern, size_t pattern_n, const char *path, size_t n);
/* Whether some origin could take it for a path that matches: a star matches encoded slashes, too, and
 * case does not count. For deny rules. */
bool path_matches_broadly(const char *pattern, size_t pattern_n, const char *path, size_t n);

/* Whether some path could match both patterns. Exact for patterns without '*' inside of a segment;
 * otherwise it may say yes where there is none, never no where there is one. */
bool path_patterns_meet(const char *a, size_t a_n, const char *b, size_t b_n);
