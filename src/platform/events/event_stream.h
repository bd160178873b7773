/* event_stream - a session's events as they come (api.md 6.4). */
#pragma once

#include "platform/api/api.h"

/* Answers GET .../stream for this session (which the caller may see: checked here): server-sent
 * events from now on, or from behind an event (Last-Event-ID, ?after=). */
void event_stream_answer(struct api_call *c, const char *session_id);
