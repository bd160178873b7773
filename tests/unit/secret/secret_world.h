/* secret_world - a directory of the test's own, sources made of JSON with ' for ", and values. */
#pragma once

#include "unit/json.h"
#include "unit/loop.h"
#include "secret/source.h"

struct secret_world {
    char dir[64];
    struct secret_sources *all;
    struct pool *pool;
};
/* On a fiber. */
void world_begin(struct secret_world *w);
void world_end(struct secret_world *w); /* removes the directory and what is in it */
/* DIR/name, in one of four buffers. */
const char *world_path(const struct secret_world *w, const char *name);
/* Writes DIR/name anew, in place. */
void world_write(const struct secret_world *w, const char *name, const char *text);
/* The same by renaming a finished file over it. */
void world_swap(const struct secret_world *w, const char *name, const char *text);
/* How many bytes DIR/name has, 0 when it is not there. */
size_t world_bytes(const struct secret_world *w, const char *name);

/* A source of `config`: JSON with ' for ", in which $DIR is the directory. The test fails when it is
 * refused. */
struct secret_source *world_source(struct secret_world *w, const char *config);
/* Expects that it is refused with -EINVAL and words that hold `words`. */
void world_refuses(struct secret_world *w, const char *config, const char *words);
/* Expects that the source has `want`. */
void expect_got(struct secret_source *s, const char *want);
/* Expects that the source fails with `code` and words that hold `words`. */
void expect_failure(struct secret_source *s, int code, const char *words);
