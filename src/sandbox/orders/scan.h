/* scan - finds what is to be guarded in a directory that is about to be shown writable. */
#pragma once

#include "base/base.h"

struct err;

enum orders_how {
    ORDERS_READ_ONLY, /* to be covered with itself, read-only */
    ORDERS_HELD,      /* with itself as it is: a mount point can neither be moved away nor removed
                         from inside, and with it what lies in it */
    ORDERS_NOTED,     /* cannot be covered: it is a link or a pipe, or is not there but would be
                         read if it were */
};

enum orders_what {
    ORDERS_NAME,       /* a name of the tables, or what one leads to */
    ORDERS_REPOSITORY, /* a .git, or a directory of git's below one */
    ORDERS_GIT,        /* one of orders_git in a repository */
};

struct orders_place {
    const char *path; /* relative to the directory; "." is itself. Valid during the call */
    enum orders_how how;
    enum orders_what what;
};

/* Called for each place, parents first. 0, or a negative code with words, which ends the scan. */
typedef int orders_place_fn(void *arg, const struct orders_place *place, struct err *e);

/* Looks through the directory `path` below `dir` (both as for mounts_open), ORDERS_DEPTH levels down;
 * links are not followed, node_modules is left out. Never fails because of what lies there: what
 * cannot be read is not looked through. 0, or what `fn` has returned. */
int orders_scan(int dir, const char *path, orders_place_fn *fn, void *arg, struct err *e)
    WARN_UNUSED;

/* The value of core.hooksPath in the text of a git configuration, when it is a relative path that
 * stays below the work tree; malloc'ed, or NULL. */
char *orders_hooks_path(const char *config);
