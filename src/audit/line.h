/* line - reading one line of a log: what its head says, and whether it can be one at all. */
#pragma once

#include "audit/chain.h"
#include "base/json.h"

struct err;

struct audit_line {
    const char *p; /* borrowed; its newline is not counted */
    size_t n;
    json_t *json; /* owned: done */
    uint64_t seq;
    unsigned char prev[AUDIT_HASH_BYTES];
    int kind;
    const char *session; /* "" when it has none; borrowed from `json`, like those below */
    const char *time, *by;
    const char *id;           /* NULL when it has none */
    const char *log, *key_id; /* of a start and of a checkpoint; else NULL */
};
#define AUDIT_LINE_NONE ((struct audit_line){0})

/* Parses a line, which may come from anybody. 0, or -E_PARSE with words that never quote it. `ret`
 * is written on success; audit_line_done frees. */
int audit_line_parse(const char *p, size_t n, struct audit_line *ret, struct err *e) WARN_UNUSED;
void audit_line_done(struct audit_line *l);
