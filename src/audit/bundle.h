/* bundle - one session's records, with what a stranger needs to see that they stand in the signed
 * chain and that between its first and last line none is missing (docs/audit.md, "A bundle"). */
#pragma once

#include "crypto/ed25519.h"

struct err;

struct audit_bundle_report {
    uint64_t records;  /* of the session, in the bundle */
    uint64_t left_out; /* newer than the last checkpoint */
    uint64_t from, to; /* numbers of the first and the last line */
    char from_time[40], to_time[40];
};

/* Verifies the whole log and writes the bundle to `fd`, from the last checkpoint before the
 * session's first record to the first one behind its last; with `whole` from the log's first
 * checkpoint to its last. Blocks. 0; -ENOENT when no record of the session is covered by a
 * checkpoint; -E_CORRUPT when the log does not hold; or another code; with words. */
int audit_bundle_write(const char *path, const struct ed25519 *key, const char *session, bool whole,
                       int fd, struct audit_bundle_report *ret, struct err *e) WARN_UNUSED;
