/* own_files - files of /etc that depend on the specification: where names are resolved, and whom to
 * trust (trust.h). */
#pragma once

#include "sandbox/spec.h"

struct err;

/* Whether a sandbox has any, and so needs an /etc of its own. */
bool own_files_wanted(const struct sandbox_spec *s);

/* Writes them below `upper`, where nothing lies but ours, for a root whose files are below `lower`: the
 * same directory, or one that will be under it. `lower` may be an untrusted image. 0, or a negative
 * code with words. */
int own_files_write(int lower, int upper, const struct sandbox_spec *s, struct err *e) WARN_UNUSED;
