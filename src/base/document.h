/* document - reading what a person wrote, as JSON values, with errors that say where.
 *
 * A place in the document is a chain of these structs on the stack; an error walks it up: "egress.
 * allow[3].methods[0] (line 12): ...", or "gateway.yaml:12: routes.wiki: ..." where the document has a
 * name. Every reader returns 0, or -E_PARSE with such words, and writes its output on success only.
 * Pointers to text are borrowed from the document. */
#pragma once

#include "base/json.h"

struct field_table;
struct err;

struct map;

struct document {
    const struct field_table *fields; /* what its objects may say */
    const char *file;                 /* its name in errors; may be NULL */
    const struct map *lines;          /* of yaml_parse_json_lines; NULL when the text had none */
    struct err *e;                    /* may be NULL */
};

struct place {
    const struct document *doc;
    const struct place *up;
    const char *key; /* NULL: an item of a list, or a root without a name */
    size_t index;
    const json_t *value; /* NULL: not there */
};

/* `name` stands in front of every place; may be NULL. */
struct place place_root(const struct document *doc, const char *name, const json_t *value);
struct place place_member(const struct place *object, const char *key);
struct place place_item(const struct place *list, size_t i);
/* Where it begins, or, when it is not there, what is around it; 0: unknown. */
size_t place_line(const struct place *p);

/* Puts where in front of the words; returns -E_PARSE. */
int place_fail(const struct place *p, const char *fmt, ...) PRINTF(2, 3);
/* Likewise, around words that a reader below has left in `inner`. Returns its code. */
int place_wrap(const struct place *p, const struct err *inner);

/* It is an object, and all its keys are fields of `object` of the document's table; those not built yet
 * are refused by name. */
int place_object(const struct place *p, unsigned object) WARN_UNUSED;
/* It is a list of at most `max` items. */
int place_list(const struct place *p, size_t max, size_t *ret_n) WARN_UNUSED;
/* Text of 1 to `max` bytes without control characters. */
int place_text(const struct place *p, size_t max, const char **ret) WARN_UNUSED;
/* The readers below leave *ret alone when the place is not there. */
int place_bool(const struct place *p, bool *ret) WARN_UNUSED;
int place_number(const struct place *p, int64_t min, int64_t max, int64_t *ret) WARN_UNUSED;
/* One of the names, which end with NULL: its index. */
int place_choice(const struct place *p, const char *const *names, unsigned *ret) WARN_UNUSED;
/* "30s", "5m", "2h", "1d". */
int place_duration(const struct place *p, int64_t *ret_ms) WARN_UNUSED;
/* "100/m": a count of 1 to 1e9 in a window of one s, m, h or d. */
int place_rate(const struct place *p, uint32_t *ret_count, int64_t *ret_window_ms) WARN_UNUSED;
