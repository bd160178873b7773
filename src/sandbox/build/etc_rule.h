/* etc_rule - which entries of the host's /etc a sandbox sees: one table, a reason on each line. */
#pragma once

#include "base/base.h"

#include <sys/stat.h>

enum etc_verdict {
    ETC_HIDE,   /* left out */
    ETC_SHOW,   /* the host's, read-only; of a directory: its entries are asked about one by one */
    ETC_LISTED, /* only in the table: shown when a package lists this very path */
    ETC_MADE,   /* the sandbox has one of our own (skeleton.c) */
};

struct etc_entry {
    const char *path; /* below /etc, without a slash in front: "ssl/private" */
    mode_t mode;      /* as lstat(2) gives it */
    bool packaged;    /* a package of this host brings the first part of the path (etc_known.h) */
    bool listed;      /* and this very path */
};

/* Decides about one entry whose parent directories are shown. *ret_reason, which may be NULL, is a
 * short text for people. Pure. */
enum etc_verdict etc_rule(const struct etc_entry *entry, const char **ret_reason);

/* Whether a bind may stand at `path` (below /etc, as above): not where the sandbox's own files
 * are, nor where the loader and libc look before a program has a say. *ret_reason as above. */
bool etc_rule_bindable(const char *path, const char **ret_reason);

/* A number that changes with the table, for copies that were made by it. */
uint64_t etc_rule_fingerprint(void);
