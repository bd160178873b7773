/* gather - looking for secrets in many short texts at once, as the fields of a head. */
#pragma once

#include "http/pipe/message.h"
#include "scrub/scrub.h"

/* How many needles of a table there are in texts that are added one after the other. They are put
 * together, so that a head costs one or two searches and not one for each field. A NUL between them,
 * which no field has, is within no needle and ends every escape. */
#define GATHER_BYTES 2048u
struct gather {
    struct scrub_table *table;
    uint64_t hits;
    int error;
    size_t n;
    char bytes[GATHER_BYTES];
};
void gather_add(struct gather *g, struct http_text t);
/* 0 with the number of hits, or -ENOMEM. What was put together is wiped. */
int gather_end(struct gather *g, uint64_t *ret_hits) WARN_UNUSED;
