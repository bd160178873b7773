/* server - owns a log and writes into it what clients of other processes, or of this one, send.
 *
 * On one loop. Its process should be one that no stranger's bytes reach: it has the key, and a client
 * that was taken over can add records, as itself, but change none. */
#pragma once

#include "audit/writer.h"

struct audit_server;

/* How long a line may stand without a checkpoint and without being flushed to the disk. */
#define AUDIT_CHECKPOINT_MS 1000

/* Opens the log (audit_writer_open) and begins to look after it. On a fiber, which is the one that
 * closes. `checkpoint_ms` 0: AUDIT_CHECKPOINT_MS. Blocks. 0 or a negative code with words. */
int audit_server_open(const struct audit_options *o, int64_t checkpoint_ms,
                      struct audit_server **ret, struct err *e) WARN_UNUSED;
/* Serves a client on `fd`, a connected stream socket, which is taken over, until it ends. `name` is
 * [a-z0-9-], 1 to 31 bytes, and stands as "by" in its records. 0 or a negative code with words; then
 * `fd` is still the caller's. */
int audit_server_add(struct audit_server *s, int fd, const char *name, struct err *e) WARN_UNUSED;
/* 0, or why nothing can be written any more, with words. */
int audit_server_state(const struct audit_server *s, struct err *e);
/* Ends all clients, what they have sent so far is written; closes the log. Suspends and blocks. NULL
 * is fine. 0 or a negative code with words. */
int audit_server_close(struct audit_server *s, struct err *e);
