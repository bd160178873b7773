/* transcript - a session's events as a person reads them, or one JSON object a line. */
#pragma once

#include "base/json.h"
#include "cmd/line/term.h"
#include <stdio.h>

struct transcript {
    FILE *out;
    bool json;      /* print every event as it came */
    bool streaming; /* deltas of a message are being printed */
    char streaming_id[64];
    size_t streamed;         /* bytes of that message already printed */
    struct term_writer said; /* where they go */
};
void transcript_event(struct transcript *t, const json_t *event);
/* What the last event says about waiting for more: the session is at rest (an idle that needs no
 * action), asks for a confirmation, or has ended. */
enum transcript_state {
    TRANSCRIPT_GOES_ON,
    TRANSCRIPT_AT_REST,
    TRANSCRIPT_NEEDS_ACTION,
    TRANSCRIPT_ENDED
};
enum transcript_state transcript_state(const json_t *event);
