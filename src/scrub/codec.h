/* codec - what inflate.c wants of each wrapper of a library; for the files of this folder. */
#pragma once

#include "base/base.h"

struct err;

struct codec {
    const char *name;
    /* A state for one body. -ENOENT with words when the library is missing, -ENOMEM. */
    int (*open)(bool bare, void **ret, struct err *e); /* bare: deflate without its zlib header */
    /* As inflate_step, without the limits; *ret_ended: a whole body, or a whole part of one, has
     * come. */
    int (*step)(void *state, const uint8_t **p, size_t *n, uint8_t *out, size_t room, size_t *ret_n,
                bool *ret_ended, struct err *e);
    void (*free)(void *state);
};

extern const struct codec codec_gzip, codec_deflate, codec_brotli, codec_zstd;

/* Memory for a library that takes an allocator: wiped when it is freed, because windows hold
 * what bodies say, and NULL above the ceiling of one body. `opaque` is a size_t: the bytes in
 * use. */
#define CODEC_MEMORY_MAX (17u << 20) /* brotli: a window of 16 MiB and its tables */
void *codec_alloc(void *opaque, size_t bytes);
void codec_release(void *opaque, void *p);
