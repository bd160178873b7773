/* watch - looking for a session's placeholders and secrets; for the files of this folder. */
#pragma once

#include "base/map.h"
#include "egress/inject/inject.h"

struct watched {
    char *credential, *text; /* text: the placeholder, NUL-terminated */
    size_t n;
};

struct inject_watch {
    unsigned refs;
    struct scrub_table *table; /* pairs: the placeholders, then the secrets */
    struct watched *placeholders;
    size_t n_placeholders;
    struct map by_credential; /* to one of them */
};

/* The placeholder of a credential, or NULL. */
const struct watched *watch_of(const struct inject_watch *w, const char *credential);

/* For a stream on the watch's table, find only. The name of a credential whose secret was found, or
 * NULL. */
const char *watch_secret_found(const struct inject_watch *w, const struct scrub_stream *s);
/* The first placeholder from number `from` on that was found, or n_placeholders. */
size_t watch_placeholder_found(const struct inject_watch *w, const struct scrub_stream *s,
                               size_t from);

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
