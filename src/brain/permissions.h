/* permissions - what a tool's policy says about one call (api.md 6.2, evaluated_permission and
 * evaluation). */
#pragma once

#include "base/json.h"

struct permission {
    const char *evaluated; /* "allow", "ask" or "deny"; constant */
    json_t *evaluation;    /* owned; NULL when no policy of the API's list applied (a refusal) */
};

/* `policy`: always_allow, always_ask, auto, always_deny; any other text denies. `name`: a built-in
 * tool. */
struct permission permission_evaluate(const char *policy, const char *name);
void permission_done(struct permission *p);
