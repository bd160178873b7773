/* lanes - the search behind escapes, for the files of this folder. */
#pragma once

#include "scrub/search.h"

#define LANES_MAX 3u /* layers of escapes that are undone: JSON within JSON within a URL */
/* An occurrence may be so many times as long as its needle, and LANES_SLACK bytes more. */
#define LANES_STRETCH 12u
#define LANES_SLACK   16u
/* Bytes that no decided-on hit needs but that tell how to read what follows: one unit of each
 * layer. */
#define LANES_CONTEXT_MAX (12u * 12u * 12u)

/* Adds every needle that is there when the escapes of `p` are undone once, twice, three times,
 * and is not there as it stands; and where one may have begun, as search_flat. `p` begins where
 * no unit of any layer goes on from before. Leaves in the table's scratch which parts were
 * looked at. 0 or an error of the results. */
int lanes_search(struct scrub_table *t, const uint8_t *p, size_t n, bool last, struct hits *ret);

/* After lanes_search on the same text: the nearest place at or before `at` that lies within no
 * unit of any layer, so that reading can begin there. */
size_t lanes_boundary(struct scrub_table *t, const uint8_t *p, size_t n, bool last, size_t at);
