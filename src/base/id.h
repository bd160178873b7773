/* id - identifiers (`sesn_01` + 22 base58 characters) and random tokens. */
#pragma once

#include "base/base.h"

#define ID_MAX 64 /* bytes a buffer for an identifier needs, NUL included */

/* Writes prefix + "01" + 22 base58 characters, 128 random bits. `prefix` includes the underscore
 * ("sesn_"). Returns `ret`. */
char *id_make(char ret[ID_MAX], const char *prefix);

/* True for prefix + 1..40 characters of [A-Za-z0-9]. What a client sends as an id goes through here
 * before it is looked up. */
bool id_is(const char *s, const char *prefix);

/* Writes prefix + 43 base62 characters (256 bits): "sk-sp-env-" and the like. `cap` >=
 * strlen(prefix) + 44. */
void id_make_token(char *ret, size_t cap, const char *prefix);
