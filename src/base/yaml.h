/* yaml - configuration and script files: a strict subset of YAML 1.1 as JSON values.
 *
 * One document of mappings, sequences and scalars, at most 64 levels deep. Plain scalars are typed
 * as JSON spells them (null, true, false, numbers; also ~ and nothing for null); everything else is
 * a string: no, 0x10, 1_000, 2026-05-28 stay text, quoted scalars always do. Refused, with line and
 * column: anchors and aliases (a short file could name gigabytes), tags, duplicate keys, keys that
 * are not scalars, NUL, more than one document. */
#pragma once

#include "base/base.h"
#include <jansson.h>

struct err;

/* Returns 0 with a new reference in *ret (an empty file is JSON null), -E_PARSE or -EMSGSIZE
 * (LIMIT_YAML_BYTES) with words in `e` ("line 3 column 5: ...") that quote at most a key, or
 * -ENOMEM. Never suspends. */
int yaml_parse_json(const char *text, size_t n, json_t **ret, struct err *e) WARN_UNUSED;

/* Same, and notes where everything begins, for messages about what a well-formed file says. `lines`
 * is initialised by the caller and good as long as *ret lives unchanged. */
struct map;
int yaml_parse_json_lines(const char *text, size_t n, json_t **ret, struct map *lines,
                          struct err *e) WARN_UNUSED;
/* The line (from 1) where a mapping or sequence of that tree begins, 0 when it is not one. */
size_t yaml_line_of(const struct map *lines, const json_t *container);
/* Likewise of a key of that mapping, and of an item of that sequence; 0 when there is none. */
size_t yaml_line_of_key(const struct map *lines, const json_t *mapping, const char *key);
size_t yaml_line_of_item(const struct map *lines, const json_t *sequence, size_t i);
