/* scope - sets of scopes (RFC 6749 3.3) as text with single spaces. Pure; NULL and "" are empty. */
#pragma once

#include "base/json.h"

#define AUTH_SCOPE_MAX 4096 /* bytes of a set */

/* Whether it is such a text: tokens of printable ASCII without " and \. */
bool auth_scope_is_valid(const char *s);
bool auth_scope_has(const char *set, const char *one, size_t n);
/* Whether all of `inner` are in `outer`. */
bool auth_scope_within(const char *inner, const char *outer);
/* Both, those of `a` first. malloc'ed; NULL where it would be empty or larger than AUTH_SCOPE_MAX. */
char *auth_scope_union(const char *a, const char *b);
/* An array of strings; others in it are left out. malloc'ed; NULL where nothing is left. */
char *auth_scope_of_json(const json_t *array);
