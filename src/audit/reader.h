/* reader - all lines of a log in order, over its full files and the one that is written. */
#pragma once

#include "base/base.h"

struct err;
struct audit_reader;

enum audit_reader_from {
    AUDIT_FROM_FIRST,    /* the first file there is */
    AUDIT_FROM_LAST_TWO, /* the last full one and the one that is written */
};

struct audit_place {
    const char *file;   /* borrowed until the next call */
    uint64_t line;      /* in it, from 1 */
    bool first_of_file; /* the first line */
};

/* Opens the first file. Blocks, as all calls here. 0; -ENOENT when there is no log; or another code;
 * with words. */
int audit_reader_open(const char *path, enum audit_reader_from from, struct audit_reader **ret,
                      struct err *e) WARN_UNUSED;
/* The same, at the beginning of the newest file that begins with line `seq` or an earlier one; of the
 * first file when there is none. */
int audit_reader_open_near(const char *path, uint64_t seq, struct audit_reader **ret, struct err *e)
    WARN_UNUSED;
void audit_reader_free(struct audit_reader *r); /* NULL is fine */
/* Puts what was read on disk: then no power failure makes the log shorter than that. Files before
 * the one that is read were flushed by who wrote them. */
int audit_reader_flush(struct audit_reader *r, struct err *e) WARN_UNUSED;
/* The next line, without its newline, borrowed until the next call. 1 when there is one; 0 at the
 * end of what is there so far (ask again later); -E_CORRUPT when a line is too long to be one, or a
 * full file ends within a line, and the next call goes on behind that; or another negative code; with words, without the place. */
int audit_reader_next(struct audit_reader *r, const char **ret, size_t *ret_n,
                      struct audit_place *ret_place, struct err *e) WARN_UNUSED;
/* Where it stands: for what is wrong there. */
struct audit_place audit_reader_place(const struct audit_reader *r);
/* At the end: bytes behind the last line that are not one yet. */
size_t audit_reader_unfinished(const struct audit_reader *r);
