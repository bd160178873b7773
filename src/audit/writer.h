/* writer - the one who writes a log: the chain's end, the space ahead, checkpoints, rotation.
 *
 * For one process and one thread; PATH.lock keeps others out. Nothing here suspends: every call
 * blocks for as long as the page cache takes, but for those that say more. The layer for other
 * processes is server.h. */
#pragma once

#include "audit/chain.h"
#include "audit/record.h"

struct err;
struct audit_writer;

/* File space that is set aside for each record before its request may begin. A line is shorter by
 * more than a checkpoint's length, so that checkpoints are paid for, too. */
#define AUDIT_SLOT_BYTES 4096

struct audit_options {
    const char *path;            /* absolute, or from the working directory; not through a link */
    int64_t rotate_bytes;        /* a file this long is closed and a new one begun; 0: 64 MiB */
    unsigned checkpoint_records; /* a checkpoint after so many lines; 0: 1024 */
};

/* Opens or makes the log, cuts off what a crash has left unfinished, and goes on with its chain;
 * the key is made together with a new log only. Blocks: reads the file's end. 0; -EBUSY when another
 * process writes it; -E_CORRUPT when its last checkpoint does not hold; or another code; with
 * words. */
int audit_writer_open(const struct audit_options *o, struct audit_writer **ret, struct err *e)
    WARN_UNUSED;
/* Whether audit_writer_open could open the log at `path`, or make it: looks at the same files, and changes and
 * makes nothing. One that is being written by somebody is none the worse. Blocks: reads the file's end. 0, or
 * a negative code with words. */
int audit_writer_look(const char *path, struct err *e) WARN_UNUSED;
/* Writes the last checkpoint, puts everything on disk, gives unused space back. Blocks. NULL is
 * fine. 0, or a negative code with words. */
int audit_writer_close(struct audit_writer *w, struct err *e);

/* Sets file space aside for `n` more records. 0; -ENOSPC, -EDQUOT, -EFBIG when there is none; or why
 * the writer has stopped; with words for whoever asked for a request. */
int audit_writer_reserve(struct audit_writer *w, size_t n, struct err *e) WARN_UNUSED;
void audit_writer_release(struct audit_writer *w, size_t n); /* of what was reserved */
size_t audit_writer_reserved(const struct audit_writer *w);

/* Adds a record to what the next flush writes; uses up one reservation (MUST have one). `by` is
 * [a-z0-9-], 1 to 31 bytes; `id`: "CLIENT:N" or NULL; at_us: when it was made, 0 for now. Writes
 * when much has gathered. 0, or why the writer has stopped, with words; the reservation is used up
 * all the same. */
int audit_writer_add(struct audit_writer *w, const char *by, const char *id, int64_t at_us,
                     const struct audit_record *r, struct err *e) WARN_UNUSED;
/* A note of the writer's own, from the space kept for such; -ENOSPC when that is used up. */
int audit_writer_note(struct audit_writer *w, const char *note, struct err *e) WARN_UNUSED;
/* Writes what was added. After 0 it survives the end of this process. Rotates when it is time: then
 * it waits for the disk. Blocks. */
int audit_writer_flush(struct audit_writer *w, struct err *e) WARN_UNUSED;
/* Flush, and a signed checkpoint when there are lines behind the last one. */
int audit_writer_checkpoint(struct audit_writer *w, const char *why, struct err *e) WARN_UNUSED;
/* A descriptor to be given to fdatasync, on another thread if need be; the caller's. Or a negative
 * code. */
int audit_writer_sync_fd(struct audit_writer *w) WARN_UNUSED;
/* Tells what the disk said. A failure stops the writer. */
void audit_writer_synced(struct audit_writer *w, int r);

bool audit_writer_due(const struct audit_writer *w); /* are there lines behind the checkpoint? */
/* 0, or why it has stopped for good: then nothing more is reserved. With words. */
int audit_writer_state(const struct audit_writer *w, struct err *e);
uint64_t audit_writer_seq(const struct audit_writer *w); /* of the next line */

/* The last N of "BY/CLIENT" in the log's end as it was found; 0 when none. */
uint64_t audit_writer_last_of(const struct audit_writer *w, const char *client);
