/* verify - whether a log is what was written. */
#pragma once

#include "audit/line.h"
#include "audit/reader.h"

struct audit_report {
    uint64_t files, lines, checkpoints, restarts, torn_ends;
    uint64_t first_seq, last_seq; /* of the lines that hold */
    bool begins_late;             /* older files are not there */
    char log_id[64], key_id[AUDIT_KEY_ID_MAX];
    uint64_t checkpoint_seq;                    /* the last one */
    unsigned char checkpoint[AUDIT_HASH_BYTES]; /* the chain behind it */
    char checkpoint_time[40];
    uint64_t open_lines; /* behind it */
    size_t unfinished;   /* bytes behind the last line */
    bool expected_found;
    /* The first thing that is wrong. */
    char *bad_file; /* malloc'ed, NULL: nothing; done */
    uint64_t bad_line;
};
void audit_report_done(struct audit_report *r);

/* A place in the chain that somebody has kept elsewhere: the chain behind line `seq`. */
struct audit_expectation {
    uint64_t seq;
    unsigned char chain[AUDIT_HASH_BYTES];
};

/* Called for each line that holds, with the chain behind it. Not 0 ends the scan with that. */
typedef int audit_line_fn(void *arg, const struct audit_line *l, const struct audit_chain *behind);

/* Reads the whole log at `path`: each line, each checkpoint's signature by `key`, and whether the
 * chain passes where `expect` (or NULL) says. Calls `fn` (or NULL) for each line. Blocks. 0 when all
 * holds; -E_CORRUPT with words and the place in ret->bad_*; or another negative code with words.
 * `ret` is filled in any case and the caller's to be done. */
int audit_verify(const char *path, const struct ed25519 *key,
                 const struct audit_expectation *expect, audit_line_fn *fn, void *arg,
                 struct audit_report *ret, struct err *e) WARN_UNUSED;
