/* recover - finding the end of a log that somebody has written before. */
#pragma once

#include "audit/chain.h"
#include "base/map.h"

struct err;

struct audit_end {
    struct audit_chain chain;  /* behind the last good line */
    char log_id[64];           /* "" when there is no line at all */
    int64_t bytes;             /* of good lines in the file */
    int64_t torn;              /* bytes behind them that are none */
    uint64_t since_checkpoint; /* lines behind the last one */
    int64_t looked;            /* bytes in which clients were looked for */
    struct map clients;        /* "BY/CLIENT" -> malloc'ed uint64_t: the last N seen */
};
void audit_end_init(struct audit_end *end);
void audit_end_done(struct audit_end *end);

/* Reads the end of `fd`: from the last checkpoint, which must be signed by `key`, as far as lines
 * fit each other. Changes nothing. Blocks: up to 10 MiB are read. 0; -E_CORRUPT with words when no
 * checkpoint holds. An empty file has no end: 0 with an empty log_id. */
int audit_recover(int fd, const char *path, const struct ed25519 *key, struct audit_end *end,
                  struct err *e) WARN_UNUSED;

/* Notes the last numbers of clients in the end of a full file too, when not much has been looked at
 * so far: a client may send records again that were written before the last rotation. Blocks. False
 * when enough was looked at. */
bool audit_recover_clients(int fd, struct audit_end *end);
