/* names - what programs of the host act on by themselves, when it lies in a directory that somebody
 * opens, enters or commits in: one table, a reason on each line. */
#pragma once

#include "base/base.h"

struct orders_name {
    const char *path; /* one name, or several with slashes between them */
    const char *why;
};

/* Anywhere in a writable bind, down to ORDERS_DEPTH; all of one name. */
extern const struct orders_name orders_anywhere[];
extern const size_t orders_n_anywhere;
/* At the top of a writable bind: of a home directory, for the most part. */
extern const struct orders_name orders_top[];
extern const size_t orders_n_top;
/* In a directory of git's: .git, and those of its modules. */
extern const struct orders_name orders_git[];
extern const size_t orders_n_git;

#define ORDERS_DEPTH 3     /* levels below the top of a bind that are looked through */
#define ORDERS_LOOKS 20000 /* names that are looked at in one bind; the upper levels come first */

/* Whether `name` is one of orders_anywhere. */
bool orders_know(const char *name);
