/* anthropic_refusal - what an error of the Messages API means for the session, and the few numbers
 * that can be learned from its words. Pure. */
#pragma once

#include "brain/model.h"

struct anthropic_refusal {
    enum model_error error;
    char blame[32];         /* as in model_result */
    int fit_percent;        /* as in model_result */
    int64_t max_tokens;     /* the model's own ceiling was named; 0: not */
    int64_t max_tokens_now; /* what this one prompt leaves for the answer; 0: not named */
};

/* `status` 0: an error event in the middle of a stream. `type` and `message` of the error body, NULL
 * when there is none. */
void anthropic_refusal_read(int status, const char *type, const char *message,
                            struct anthropic_refusal *ret);

/* The most output a model of this name takes, as far as it is known; what is not known is asked for
 * generously, because the provider names the true ceiling when it refuses. */
int64_t anthropic_output_ceiling(const char *model);
