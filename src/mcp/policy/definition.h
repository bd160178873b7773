/* definition - one text for a tool's definition, so that two can be compared. Pure. */
#pragma once

#include "base/json.h"
#include "crypto/digest.h"

struct buf;

#define DEFINITION_MAX (128u << 10) /* bytes of the text of one tool */

/* Appends the text of a tool as a list has it: every member, also those that nobody knows (a client may show
 * them to a model), names sorted at each level, lists in their order, escapes undone, and a number with no
 * fraction as an integer: 1.0 and 1 are the same to JSON Schema, and to a server that was written anew.
 * Nothing is left out. 0; -E_LIMIT: it has more than DEFINITION_MAX bytes; the error of `out`. */
int definition_print(const json_t *tool, struct buf *out) WARN_UNUSED;
/* SHA-256 of such a text in hex; and of the same without `name`, by which one is known that was renamed. */
struct definition_digest {
    char whole[DIGEST_SHA256_HEX], nameless[DIGEST_SHA256_HEX];
};
/* 0 or -E_CORRUPT: `text` is not what definition_print appends for one object. */
int definition_digest(const char *text, size_t n, struct definition_digest *ret) WARN_UNUSED;
