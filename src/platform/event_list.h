/* event_list - reading a session's log in pages, for lists and for streams that resume. */
#pragma once

#include "platform/api.h"

/* Answers GET .../events for this session (which the caller may see: checked here). Suspends. */
void event_list_answer(struct api_call *c, const char *session_id);
/* Answers GET .../stream likewise: server-sent events from now on, or from behind an event
 * (Last-Event-ID, ?after=). */
void event_stream_answer(struct api_call *c, const char *session_id);
