/* pick - from what a source has given to the value itself. Pure. */
#pragma once

#include "base/secret.h"

struct err;

/* Takes "data.keys.0" apart: names of members, or places in arrays, between dots; \. is a dot in a
 * name, \\ a backslash. At most 16, none empty. *ret: a NULL-terminated list, pick_path_free's. 0 or
 * -EINVAL with words. */
int pick_path_parse(const char *text, char ***ret, struct err *e) WARN_UNUSED;
void pick_path_free(char **path);

/* The value in the `n` bytes at `raw`: with a path the text or whole number there in the JSON
 * document that they are, else they themselves; without the newline that ends them, if there is one;
 * checked to be 1 to SECRET_VALUE_MAX bytes without NUL, and without CR and LF unless `lines`.
 * `ret` must be unset. 0, -E_PARSE (not JSON, or not what can be a value) or -ENOENT (nothing there),
 * with words that hold nothing of what was read but names out of the path. */
int pick_value(const char *raw, size_t n, char *const *path, bool lines, struct secret *ret,
               struct err *e) WARN_UNUSED;
