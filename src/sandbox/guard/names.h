/* names - what programs of the host act on by themselves, when it lies in a directory that somebody
 * opens, enters or commits in: one table, a reason on each line. */
#pragma once

#include "base/base.h"

struct guard_name {
    const char *path; /* one name, or several with slashes between them */
    const char *why;
};

/* Anywhere in a writable bind, down to GUARD_DEPTH; all of one name. */
extern const struct guard_name guard_anywhere[];
extern const size_t guard_n_anywhere;
/* At the top of a writable bind: of a home directory, for the most part. */
extern const struct guard_name guard_top[];
extern const size_t guard_n_top;
/* In a directory of git's: .git, and those of its modules. */
extern const struct guard_name guard_git[];
extern const size_t guard_n_git;

#define GUARD_DEPTH 3     /* levels below the top of a bind that are looked through */
#define GUARD_LOOKS 20000 /* names that are looked at in one bind; the upper levels come first */

/* Whether `name` is one of guard_anywhere. */
bool guard_knows(const char *name);
