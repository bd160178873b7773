/* waits - which sessions wait for something, since when, and for what. */
#pragma once

#include "base/json.h"
#include "platform/api/state.h"

#define WAITS_MAX 200

/* An array of at most WAITS_MAX objects {type, session_id, environment_id, status, since, why, todo}
 * (new reference), those that wait longest first; *ret_more when there are others. Suspends. 0 or a
 * negative code. */
int waits_list(struct platform *p, json_t **ret, bool *ret_more) WARN_UNUSED;
