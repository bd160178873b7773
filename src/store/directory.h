/* directory - the data directory: whose it is, and what it has held. */
#pragma once

#include "base/base.h"

struct err;

struct directory {
    int lock_fd;       /* the server's lock; closing it gives the lock back */
    bool had_database; /* an earlier start has made one here */
};
#define DIRECTORY_NONE ((struct directory){.lock_fd = -1})

/* Makes `dir` when it is missing and takes the server's lock on it. Blocks. 0, -EBUSY when another
 * process has it, or another negative code, with words. */
int directory_open(const char *dir, struct directory *ret, struct err *e) WARN_UNUSED;
/* Notes that there is a database now, so that a start without one is refused. Blocks. */
int directory_note_database(struct directory *d, struct err *e) WARN_UNUSED;
/* Puts the names in `dir` on disk. Blocks. 0 or -errno, with words. */
int directory_flush(const char *dir, struct err *e) WARN_UNUSED;
