/* json - jansson with our limits: depth capped at 64, values counted, duplicate keys refused, NUL
 * refused.
 *
 * jansson's own types are used throughout the program; parsing and printing go through here.
 * `AUTO_JSON json_t *j` drops its reference when the scope is left. */
#pragma once

#include "base/base.h"
#include <jansson.h>

struct buf;
struct err;

#define AUTO_JSON __attribute__((cleanup(json_cleanup)))
void json_cleanup(json_t **j);

/* From now on the memory of values, and of jansson's parser, is wiped before it is given back. For
 * a process whose memory others are copied from. Before the first value is made. */
void json_wipe_when_freed(void);

/* Parses exactly one JSON value that fills the input (white space around it allowed). Depth and the
 * number of values are checked before jansson sees the text (LIMIT_JSON_DEPTH, LIMIT_JSON_VALUES);
 * integers beyond 64 bits become reals. Returns 0 with a new reference in *ret, -E_PARSE with words
 * in `e` ("line 1 column 7: ...") that never quote the input, or -ENOMEM: nothing was parsed. */
int json_parse(const char *text, size_t n, json_t **ret, struct err *e) WARN_UNUSED;
/* The same for what we stored ourselves (NULL: it is missing). 0, -ENOMEM, or -E_CORRUPT: that there
 * is no memory now is no damage. */
int json_parse_stored(const char *text, size_t n, json_t **ret) WARN_UNUSED;
/* The same with a ceiling of its own: -E_LIMIT when there are more than `max_values` values, names of
 * members included. */
int json_parse_few(const char *text, size_t n, size_t max_values, json_t **ret, struct err *e)
    WARN_UNUSED;

/* About how many bytes its text has; counts no further than `enough`. */
size_t json_weight(const json_t *j, size_t enough);

/* Compact one-line text, keys in insertion order. Appends to `out`; returns buf's error. NULL
 * prints as null. Values nested deeper than 96 levels are a mistake of the program (MUST). */
int json_print(struct buf *out, const json_t *j);
/* Same, as a malloc'ed string (never NULL; aborts on exhaustion like the mem_ family). */
char *json_text(const json_t *j, size_t *ret_len);

/* Getters on objects; NULL-safe; the string is borrowed. Return NULL / fallback when absent or of
 * another type. */
const char *json_get_str(const json_t *o, const char *key);
int64_t json_get_int(const json_t *o, const char *key, int64_t fallback);
bool json_get_bool(const json_t *o, const char *key, bool fallback);

/* A new, empty object. Never NULL. */
json_t *json_new_object(void);
/* A new object {"type": type}. Never NULL. */
json_t *json_typed(const char *type);

/* A string value of any bytes: what is not UTF-8, and NUL, becomes U+FFFD. Never NULL. New
 * reference. */
json_t *json_str_lossy(const char *s, size_t n);

/* Sets; `v` may be NULL, which stores null. `o` is an object, `key` UTF-8; strings go through
 * json_str_lossy. */
void json_put_str(json_t *o, const char *key, const char *v);
void json_put_int(json_t *o, const char *key, int64_t v);
void json_put_bool(json_t *o, const char *key, bool v);
void json_put_null(json_t *o, const char *key);
void json_put(json_t *o, const char *key, json_t *steals_v);
