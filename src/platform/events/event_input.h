/* event_input - the shape of inbound events (api.md 6.1), checked before the session is looked at.
 * Pure. */
#pragma once

#include "session/refusal.h"

/* Checks every event of `events` (the array under field `name`: "events" or "initial_events") for
 * type, fields, sizes and encodings; the first thing wrong fills `r` with its path. `initial`
 * allows only what may open a session. 0 or -E_DENIED. */
int event_input_check(struct refusal *r, const json_t *events, const char *name, size_t max_events,
                      bool initial) WARN_UNUSED;

/* True when `type` is a type an events list may be filtered by. */
bool event_type_known(const char *type);
