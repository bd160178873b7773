/* events - posting to a session's log and reading it, in pages (api.md section 6). */
#pragma once

#include "platform/api/api.h"

/* Answers GET .../events for this session (which the caller may see: checked here). Suspends. */
void event_list_answer(struct api_call *c, const char *session_id);

api_handler events_send, events_list, events_stream;
