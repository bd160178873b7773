/* state_dir - the directory in which a gateway keeps what persons have decided, as whoever opens it finds it. */
#pragma once

#include "base/base.h"

struct err;
struct gateway_config;

/* Where the configuration says, else where it is itself. malloc'ed. */
char *state_dir_of(const struct gateway_config *c, const char *config_path)
    __attribute__((returns_nonnull));
/* Whether it is this process's user's, and nobody else may write to it. Blocks. 0, or a code with words. */
int state_dir_check(const char *dir, struct err *e) WARN_UNUSED;
/* Reads a file in it, which has to be the user's likewise; SUPPLY_KEPT_MAX bytes at most. Blocks. 0 with a
 * text of the caller's, NULL where there is no file; or a code with words. */
int state_dir_read(const char *path, char **ret, size_t *ret_n, struct err *e) WARN_UNUSED;
