/* certifi - certificates that programs bring along, in files of their own. */
#pragma once

#include "base/base.h"

struct buf;
struct sandbox_spec;

#define CERTIFI_MAX 16

/* Paths below a root, relative, without a link on their way, in UTF-8. */
struct certifi {
    char *path[CERTIFI_MAX];
    size_t n;
};
void certifi_done(struct certifi *c);

/* Finds what is where Python's certifi and conda usually have it, below `system` (an untrusted
 * directory). What is beyond CERTIFI_MAX, larger than any such file is, not ours to read, or has a name
 * that config.json could not have, is left alone. */
void certifi_find(int system, struct certifi *ret);

/* Appends to `ret` file `path` of those with the certificate of `spec` at its end. 0 or a negative code. */
int certifi_text(int system, const char *path, const struct sandbox_spec *spec, struct buf *ret)
    WARN_UNUSED;
