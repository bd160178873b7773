/* position - how far a log has been sent: a small file beside it, one process at a time. */
#pragma once

#include "audit/chain.h"
#include "base/id.h"

struct err;

struct audit_position {
    bool known;                            /* false: nothing was sent yet; the rest is empty */
    char log[ID_MAX];                      /* the log's id; "": not seen yet */
    char session[AUDIT_SESSION_MAX + 1];   /* "": all */
    uint64_t next;                         /* number of the first line that was not */
    unsigned char chain[AUDIT_HASH_BYTES]; /* behind line next - 1 */
};

/* Locks PATH.lock and reads PATH, which may not be there. The descriptor of the lock, to be closed
 * last; or a negative code with words: -EBUSY while another process has it, -E_CORRUPT. Blocks. */
int audit_position_open(const char *path, const char *session, struct audit_position *ret,
                        struct err *e) WARN_UNUSED;
/* Puts it on disk: the old one, or this. 0 or a negative code with words. Blocks. */
int audit_position_save(const char *path, const struct audit_position *p, struct err *e)
    WARN_UNUSED;
