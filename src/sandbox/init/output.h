/* output - what a command prints, kept within bounds: the first and the last part in memory, all of
 * it in a file. */
#pragma once

#include "base/base.h"

struct buf;

#define OUTPUT_PART_BYTES (50u << 10) /* each of the two parts; together the 100 KiB of api.md 13 */

struct output {
    char *head, *tail; /* OUTPUT_PART_BYTES each; tail is a ring */
    size_t head_len;
    uint64_t total;      /* bytes seen since output_begin */
    uint64_t ceiling;    /* output_add reports when total passes it */
    int dir_fd;          /* where whole outputs go; the caller's */
    int spill_fd;        /* -1 until the two parts no longer hold everything */
    char spill_name[32]; /* file name, "" when there is none */
    int spill_error;     /* -errno once writing it has failed */
};

/* `dir_fd` may be -1: then nothing is spilled. */
void output_init(struct output *o, int dir_fd, uint64_t ceiling);
void output_done(struct output *o);

/* Forgets the last command. `name` is the file's name should one be needed ("output-3.txt"). */
void output_begin(struct output *o, const char *name);

/* Takes bytes. 0, or -E_LIMIT when the ceiling has been passed (what lies above is dropped). */
int output_add(struct output *o, const void *bytes, size_t n);

/* The text for the model: valid UTF-8 (bad bytes become U+FFFD), terminal colour sequences and
 * trailing newlines removed, the middle replaced by a line that says how much is missing and where
 * the whole is. */
void output_text(struct output *o, struct buf *out);

/* The cleaning on its own: appends the `n` bytes cleaned as above to `out`. */
void output_clean(struct buf *out, const char *p, size_t n);
