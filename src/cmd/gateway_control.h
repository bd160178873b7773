/* gateway_control - asking a running gateway for a decision. */
#pragma once

#include "base/json.h"

struct err;

/* One request to the gateway of the configuration at `config` (NULL: the usual one), by the control socket in its state
 * directory. Suspends. 0 with its answer, or a code with words: also those of the gateway when it says no. */
int gateway_control(const char *config, const json_t *request, json_t **ret, struct err *e)
    WARN_UNUSED;
