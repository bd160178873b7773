/* step - one step of a turn as two transactions around a model request. The log decides; nothing is
 * kept in between.
 *
 * step_begin_tx looks at the session and either rests (nothing to do), waits (a failed request is
 * to be repeated later), or opens a span and asks for a model request. step_end_tx writes what came
 * of it. Both also handle what happened meanwhile: interrupts, steered messages, a session that is
 * gone. */
#pragma once

#include "brain/answer.h"
#include "brain/model.h"
#include "base/err.h"
#include "session/log.h"

enum step {
    STEP_REST,  /* idle, terminated or gone */
    STEP_ASK,   /* a span is open: make the model request */
    STEP_WAIT,  /* rescheduled: begin again after the back-off */
    STEP_AGAIN, /* begin the next step at once */
};

struct step_begin {
    const char *session_id;
    bool has_model;
    bool resume;            /* the back-off is over: a rescheduled session may run again */
    struct log_batch batch; /* initialised by the caller; published by it after the commit */
    enum step ret;
    char ret_span_id[64]; /* STEP_ASK */
    int64_t ret_seq;      /* events before this place make the request */
    json_t *ret_agent;    /* the session's agent snapshot (new reference) */
};
void step_begin_done(struct step_begin *s);
int step_begin_tx(struct tx *tx, void *arg /* struct step_begin */);

struct step_end {
    const char *session_id, *span_id;
    struct model_result *result;
    const struct err *error;  /* words of a failure */
    int code;                 /* 0, or what model_generate returned */
    bool cut;                 /* cancelled because of an interrupt */
    bool too_many;            /* no request was made: the turn has had its number of them */
    const json_t *left_out;   /* a refused request is made again without these; NULL: it is not */
    const char *partial_text; /* of a text block the cut left incomplete; NULL: none */
    char (*block_ids)[64];    /* ANSWER_BLOCKS_MAX of them, "" where none was given out */
    int max_attempts;
    struct log_batch batch;
    enum step ret;
    int ret_attempt; /* STEP_WAIT: how often this request has failed by now, 1.. */
};
void step_end_done(struct step_end *s);
int step_end_tx(struct tx *tx, void *arg /* struct step_end */);
