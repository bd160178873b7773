/* source - where a secret comes from, in one word: env:NAME, file:PATH, exec:COMMAND (by the shell),
 * systemd:NAME. */
#pragma once

#include "base/json.h"

struct err;

/* What secret_source_new takes, a new reference. 0, or -EINVAL with words that begin with `flag` and
 * never quote the word. */
int source_from_word(const char *flag, const char *text, size_t n, json_t **ret, struct err *e)
    WARN_UNUSED;
