/* writer_internal - what the two files of the writer share: writer.c (lines, space) and
 * writer_files.c (opening, rotation, closing). For them alone. */
#pragma once

#include "audit/recover.h"
#include "audit/writer.h"
#include "base/err.h"
#include "base/id.h"

#define ROTATE_BYTES           (64 << 20)
#define CHECKPOINT_RECORDS     1024
#define CHECKPOINT_RECORDS_MAX 2048 /* recover.c reads so many */
#define BATCH_BYTES            (256 << 10)
#define GROW_BYTES             (4 << 20) /* how much is set aside at once, when there is so much */
#define MARGIN_CLOSE           (8 << 10)
#define MARGIN                 (40 << 10)
#define OWN                    "log" /* `by` of the writer's own lines */

struct audit_writer {
    char *path;
    int64_t rotate_bytes;
    unsigned checkpoint_records, number; /* of the last full file */
    int lock_fd, fd;
    struct ed25519 *key;
    char key_id[AUDIT_KEY_ID_MAX], log_id[ID_MAX];
    struct audit_chain chain;
    struct map clients;                /* of the end that was found, see recover.h */
    int64_t written, allocated;        /* bytes of the file; where the space set aside ends */
    int64_t rotate_next;               /* when to try; later than rotate_bytes after a failure */
    size_t reserved, since_checkpoint; /* slots; lines */
    int state;                         /* 0, or why it has stopped */
    struct err why;
    unsigned char salts[64][AUDIT_SALT_BYTES];
    size_t n_salts; /* unused */
    size_t n_batch, n_batch_records;
    char batch[BATCH_BYTES + AUDIT_LINE_MAX + AUDIT_CHECKPOINT_MAX + 2];
};

/* For good; the words are kept. Returns the code. */
int writer_stop(struct audit_writer *w, int r, const struct err *e);
/* Space behind the end of `fd`. 0 or a negative code. */
int writer_set_aside(int fd, int64_t from, int64_t to) WARN_UNUSED;
int writer_say_no_space(const struct audit_writer *w, int r, struct err *e);
/* Space for `slots` in all and `margin`. 0, or a negative code with words. */
int writer_make_room(struct audit_writer *w, size_t slots, int64_t margin, struct err *e)
    WARN_UNUSED;
struct audit_head writer_head(struct audit_writer *w, const char *by);
/* Takes the line of `n` bytes that lies at the batch's end into the chain. */
void writer_take_line(struct audit_writer *w, size_t n, const char *session, size_t n_session);
void writer_add_checkpoint(struct audit_writer *w, const char *why);
int writer_write_batch(struct audit_writer *w, struct err *e) WARN_UNUSED;
/* Begins the next file, unless there is no room for it: then later. 0, or why the writer stopped. */
int writer_rotate(struct audit_writer *w, struct err *e) WARN_UNUSED;
