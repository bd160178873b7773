/* pattern - glob patterns: * ? [...] {a,b} {1..9} ** and \ to take one literally. */
#pragma once

#include "base/base.h"

#define PATTERN_MAX_ALTERNATIVES 256 /* after braces have been expanded */
#define PATTERN_MAX_SEGMENTS     63  /* parts between slashes in each; a set fits one word */
#define PATTERN_MAX_BYTES        4096

struct pattern;

/* Parses. NULL with a sentence in *ret_error (constant) when it is too long, has too many
 * alternatives or too many parts. */
struct pattern *pattern_new(const char *text, const char **ret_error);
void pattern_free(struct pattern *p); /* NULL is fine */

/* Matching goes down a path one name at a time. A state says, for every alternative, which segments
 * may come next; pattern_state_words() words of memory hold one. */
size_t pattern_state_words(const struct pattern *p);
void pattern_start(const struct pattern *p, uint64_t *state);

struct pattern_step {
    bool matches; /* the path down to this name matches as a whole */
    bool deeper;  /* something below this name may match */
    bool literal; /* deeper, and the name was spelled out: a link may be followed, noise is meant */
};
/* Takes one name (no slash). `next` may not be `state`. */
struct pattern_step pattern_advance(const struct pattern *p, const uint64_t *state,
                                    const char *name, uint64_t *next);

/* One segment against one name. A leading dot is only matched by a dot. Linear in space, at worst
 * quadratic in time. */
bool pattern_match_name(const char *segment, const char *name);
