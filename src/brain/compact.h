/* compact - leaving out the oldest part of a conversation that no longer fits.
 *
 * The log keeps everything; an agent.thread_context_compacted event says, in its hidden part, from
 * where on the next model requests are built and what stands for the rest. */
#pragma once

#include "session/log.h"

struct compaction {
    int64_t from;     /* events before this place are left out; 0: nothing is */
    int64_t task;     /* but the messages of the turn under way, which begin here; 0: none */
    int64_t requests; /* the turn's model requests among what is left out */
    char *digest;     /* what stands for it, a text for the model; owned, NULL with from 0 */
};
void compaction_done(struct compaction *c);
/* The one in force. 0 or negative. */
int compaction_load_tx(struct tx *tx, const char *session_id, struct compaction *ret) WARN_UNUSED;

/* Leaves out more: enough that `fit_percent` of the conversation would remain, with some room (0:
 * half of it). Appends the event. 1, or 0 when what would remain is not clearly less: the newest
 * turn's own messages are never left out. Negative on error. */
int compact_tx(struct tx *tx, struct log_session *s, struct log_batch *b, int fit_percent)
    WARN_UNUSED;
