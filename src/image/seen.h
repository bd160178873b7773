/* seen - which paths a layer has brought: a set that only grows. */
#pragma once

#include "base/base.h"

struct seen {
    uint64_t *slots; /* 0: free */
    size_t n, cap;   /* cap is a power of two */
    uint64_t key[2];
};
void seen_init(struct seen *s);
void seen_done(struct seen *s);
/* Adds the path (without a slash at either end) and the directories it lies in. */
void seen_add(struct seen *s, const char *path, size_t n);
bool seen_has(const struct seen *s, const char *path, size_t n);
