/* answer - what the model said, written into the log. */
#pragma once

#include "brain/model.h"
#include "session/log.h"

/* Event ids given out while the answer streamed, by block index, so that the event has the id its
 * preview had. */
#define ANSWER_BLOCKS_MAX 128

struct model_answer {
    const struct model_result *result;
    char (*block_ids)[64];    /* ANSWER_BLOCKS_MAX of them, "" where none was given out; or NULL */
    const char *partial_text; /* of a text block that an interrupt left incomplete; NULL: none */
};

struct answer_calls {
    size_t made, refused; /* refused: of those made, by the server, so that nobody will run them */
};

/* Appends the blocks in order, then the partial text; adds up the calls in *calls. 0 or negative. */
int answer_write_tx(struct tx *tx, struct log_session *s, struct log_batch *b,
                    const struct model_answer *a, struct answer_calls *calls) WARN_UNUSED;
