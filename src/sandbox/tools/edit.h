/* edit - replacing a string in a text. */
#pragma once

#include "base/base.h"

struct buf;

/* How often `old` (length > 0) occurs in text, not overlapping. */
size_t edit_count(const char *text, size_t n, const char *old, size_t old_len);

/* Appends `text` to `out` with the first `max` occurrences of `old` replaced. buf's error. */
int edit_replace(struct buf *out, const char *text, size_t n, const char *old, size_t old_len,
                 const char *new, size_t new_len, size_t max) WARN_UNUSED;
