/* upkeep - what a database needs beside its work: its size, a look at its soundness, space given
 * back. */
#pragma once

#include "store/db.h"

struct err;

struct upkeep_size {
    int64_t file_bytes; /* of the database, without the log beside it */
    int64_t free_bytes; /* of these, not used: new rows go there first */
};
/* Suspends. 0 or a negative code. */
int upkeep_get_size(struct db *d, struct upkeep_size *ret) WARN_UNUSED;

/* Reads the whole file and looks whether its parts fit together; takes as long as that. Suspends.
 * 0, -E_CORRUPT with words, or another negative code. */
int upkeep_check(struct db *d, struct err *e) WARN_UNUSED;

/* Gives back up to UPKEEP_PORTION_BYTES of unused space to the file system; the writer is busy
 * meanwhile. Databases that were made before this program could do that keep their size; they give
 * space back by backup and restore. Suspends. 0 or a negative code. */
#define UPKEEP_PORTION_BYTES (2 << 20)
int upkeep_give_back(struct db *d) WARN_UNUSED;
