/* str - strict text: numbers to the last digit, ASCII case, UTF-8, escaping for people and logs. */
#pragma once

#include "base/base.h"

struct buf;

/* Decimal digits only, no sign (u64) or an optional '-' (i64), no spaces, no leading '+', whole
 * input consumed, range checked. Return 0, -EINVAL, or -ERANGE. */
int str_to_u64(const char *s, size_t n, uint64_t max, uint64_t *ret) WARN_UNUSED;
int str_to_i64(const char *s, size_t n, int64_t min, int64_t max, int64_t *ret) WARN_UNUSED;
/* Hexadecimal digits, 1 to 16 of them. */
int str_hex_to_u64(const char *s, size_t n, uint64_t *ret) WARN_UNUSED;

bool str_eq(const char *a, const char *b);  /* both may be NULL */
bool str_ieq(const char *a, const char *b); /* ASCII case-insensitive */
bool str_ieq_n(const char *a, size_t an, const char *b, size_t bn);
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
char str_lower_c(char c); /* ASCII only */

/* True when the `n` bytes are well-formed UTF-8 (no surrogates, no overlong forms, <= U+10FFFF). */
bool str_is_utf8(const char *s, size_t n);
/* Number of code points of well-formed UTF-8. */
size_t str_utf8_len(const char *s, size_t n);
/* The longest prefix length <= max that does not cut a code point in two. */
size_t str_utf8_cut(const char *s, size_t n, size_t max);

/* Bytes of the well-formed UTF-8 sequence at the front of `s`, 1 to 4; 0 when there is none. */
size_t str_utf8_sequence(const char *s, size_t n);

/* Appends `s` for a human or a log line: printable ASCII as is (a backslash doubled, so that the
 * result has one reading), everything else as \xNN, at most `max` source bytes followed by "..."
 * when cut. */
void str_escape(struct buf *out, const char *s, size_t n, size_t max);

/* Copies with truncation and NUL; returns true when all of it fitted. */
bool str_copy(char *dst, size_t cap, const char *src);
