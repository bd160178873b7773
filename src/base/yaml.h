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
