/* event_list - reading a session's log in pages, for lists and for streams that resume. */
#pragma once

#include "platform/api/api.h"

struct buf;
/* Appends an event's wire form, {"id", "type", the stored body's own keys, "processed_at"}, without
 * parsing the body: it is an object we printed ourselves. `stamp` 0: processed_at is null. 0,
 * -E_CORRUPT, or buf's error. */
int event_text(struct buf *out, const char *id, const char *type, int64_t stamp, const char *body,
               size_t n) WARN_UNUSED;

/* Answers GET .../events for this session (which the caller may see: checked here). Suspends. */
void event_list_answer(struct api_call *c, const char *session_id);
/* Answers GET .../stream likewise: server-sent events from now on, or from behind an event
 * (Last-Event-ID, ?after=). */
void event_stream_answer(struct api_call *c, const char *session_id);
