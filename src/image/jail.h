/* jail - what the process that unpacks an archive gives up before it reads the first byte. */
#pragma once

#include "base/base.h"

struct err;

struct image_jail {
    /* The only directory it may work below from now on; it lies alone in a directory, which becomes
     * the root of a process that may change that. */
    int root_fd;
    uint64_t max_file_bytes; /* no file can become larger */
    uint64_t max_files;      /* what it keeps in memory grows with these */
};

/* Locks the calling process in for good; nothing but open descriptors and files below root_fd is
 * left to it. *ret_landlock says whether the kernel has Landlock; without it all the rest holds.
 * The process must have one thread. Fails closed, with words: then it may be half locked in and
 * must end. */
int image_jail_enter(const struct image_jail *j, bool *ret_landlock, struct err *e) WARN_UNUSED;

/* Compares the text of /proc/self/status with what must be; `bounded` when the bounding set could
 * be emptied. 0, or -E_DENIED with what surprised. */
int image_jail_check_status(const char *text, bool bounded, struct err *e) WARN_UNUSED;
