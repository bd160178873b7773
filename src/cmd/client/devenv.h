/* devenv - the file `sallyport up` writes for programs: base URL, API key, environment and its key,
 * as shell exports. */
#pragma once

#include "base/secret.h"

struct err;
struct devenv {
    char *base_url;       /* owned, or NULL */
    char *environment_id; /* owned, or NULL */
    struct secret api_key, environment_key;
};
/* Reads DIR/dev.env. -ENOENT when there is none; -E_PARSE with words
 * for a line that is not ours. */
int devenv_read(const char *dir, struct devenv *ret, struct err *e) WARN_UNUSED;
/* Writes it anew (0600, atomically). */
int devenv_write(const char *dir, const struct devenv *d, struct err *e) WARN_UNUSED;
void devenv_done(struct devenv *d);
