/* directory - the data directory: whose it is, and what it has held. */
#pragma once

#include "base/base.h"

struct err;

struct directory {
    int lock_fd;                   /* the server's lock; closing it gives the lock back */
    bool had_database;             /* an earlier start has made one here */
    bool made_lock, made_database; /* by this start */
};
#define DIRECTORY_NONE ((struct directory){.lock_fd = -1})

/* Makes `dir` when it is missing and takes the server's lock on it. Blocks. 0, -EBUSY when another
 * process has it, or another negative code, with words. */
int directory_open(const char *dir, struct directory *ret, struct err *e) WARN_UNUSED;
/* Notes that there is a database now, so that a start without one is refused. Blocks. */
int directory_note_database(struct directory *d, struct err *e) WARN_UNUSED;
/* Notes that the owner stops, and by when it will have gone: for a start that would wait. Blocks. */
void directory_note_stopping(struct directory *d, int64_t at_most_ms);
/* Removes what this start has made: database, logs beside it, lock. The caller has closed them but
 * for the lock, which it closes afterwards. Blocks. */
void directory_discard(const char *dir, struct directory *d);
/* While the server that has `dir` stops, as it has noted: tells its pid and how long it takes at
 * most, once, and waits for its end, or until it should have ended. Blocks, for that long. */
void directory_await(const char *dir, void (*tell)(const char *pid, int64_t at_most_s));
/* Puts the names in `dir` on disk. Blocks. 0 or -errno, with words. */
int directory_flush(const char *dir, struct err *e) WARN_UNUSED;
