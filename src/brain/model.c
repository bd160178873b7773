/* model.c - what all providers share: releasing a result, and the meaning of a status.
 *
 * Called by providers and by the turn, on the fiber that asked; pure. The status comes from the
 * peer that answers at the provider's address, so every number has a meaning here: a status that is
 * not known as a client's mistake counts as trouble that may pass. */
#include "brain/model.h"

void model_result_done(struct model_result *r)
{
    if (!r)
        return;
    json_decref(r->content);
    json_decref(r->stop_details);
    r->content = r->stop_details = NULL;
}

enum model_error model_error_of_status(int status)
{
    switch (status) {
    case 401:
    case 403:
        return MODEL_UNAUTHORIZED;
    case 402:
        return MODEL_BILLING;
    case 408:
    case 409:
        return MODEL_FAILED; /* a timeout or a conflict on their side: may be tried again */
    case 413:
        return MODEL_TOO_LONG;
    case 429:
        return MODEL_RATE_LIMITED;
    case 529:
        return MODEL_OVERLOADED;
    }
    return status >= 400 && status < 500 ? MODEL_REJECTED : MODEL_FAILED;
}
