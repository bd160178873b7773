/* index - finding what concerns a host, among any number of patterns.
 *
 * Two hash tables: of hosts that are named exactly, and of the suffixes of wildcards. A look-up
 * costs one probe for the host and one for each of its suffixes that is not longer than the longest
 * in the table. Built once, then only read. */
#pragma once

#include "egress/policy/model.h"

/* One thing under a pattern. */
struct index_entry {
    const struct host_pattern *host; /* borrowed, as is what follows */
    const void *what;
    const void *detail;
};

/* All entries of one pattern, in the order they were given. What a look-up needs is in one cache
 * line, the text apart: most patterns have one entry. */
struct index_bucket {
    const char *text;                  /* of the host or suffix; empty of "*" */
    const struct index_entry *entries; /* &only when there is one */
    const struct host_pattern *host;
    uint32_t n;
    uint8_t text_n;
    struct index_entry only;
};

struct index_table {
    uint64_t key[2]; /* a sandbox chooses what is looked up */
    uint64_t *slots; /* hash and number of the bucket from 1; 0: empty */
    uint32_t mask;
    struct index_bucket *buckets;
    uint32_t n;
};

struct index {
    struct index_table exact, below;
    struct index_bucket any;
    struct index_entry *entries; /* grouped by bucket */
    char *texts;                 /* of all buckets, one behind the other */
    unsigned most_labels;        /* of a suffix in `below` */
};

/* The most buckets that one host can be in. */
#define INDEX_BUCKETS_MAX 129

/* Groups and copies the entries. `n` < 2^31. */
void index_build(struct index *ix, const struct index_entry *entries, size_t n);
void index_done(struct index *ix);
/* The bucket of the host itself, of each wildcard from the longest suffix to the shortest, of "*".
 * How many. */
size_t index_find(const struct index *ix, const struct host *h,
                  const struct index_bucket *ret[INDEX_BUCKETS_MAX]);
