/* fingerprint - one hash for all spellings of a document. */
#pragma once

#include "base/json.h"
#include "crypto/digest.h"

/* SHA-256, in hex, of `before` (or NULL) and the JSON text of `j` with the keys of each object in
 * order of their bytes. `j` nests at most LIMIT_JSON_DEPTH levels. Returns `ret`. */
char *fingerprint(const char *before, const json_t *j, char ret[DIGEST_SHA256_HEX]);
