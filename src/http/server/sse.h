/* sse - server-sent events out: frames, a bounded queue per subscriber. (In: http/wire/sse_parser.)
 *
 * Producers push without suspending; the subscriber's fiber writes. A reader who cannot keep up is
 * cut off: sse_push returns -EMSGSIZE, the writer ends the response, the client resumes by event
 * id. */
#pragma once

#include "http/server/server.h"
#include "base/list.h"

/* One frame shared by many subscribers. */
struct sse_frame {
    unsigned refs;
    size_t len;
    char bytes[];
};
/* "event: TYPE\n" ["id: ID\n"] "data: JSON\n\n". `id` may be NULL. TYPE and ID
 * must hold no CR/LF. */
struct sse_frame *sse_frame_new(const char *type, const char *id, const char *json_one_line,
                                size_t n);
struct sse_frame *sse_frame_ref(struct sse_frame *f);
void sse_frame_unref(struct sse_frame *f);

struct sse_writer {
    struct http_exchange *x;
    struct list queue;
    size_t queued_bytes, max_bytes;
    bool overflow, ended;
    struct waitq wake;
};
void sse_writer_init(struct sse_writer *w, struct http_exchange *x, size_t max_bytes);
void sse_writer_done(struct sse_writer *w);
/* Does not suspend. A frame larger than `max_bytes` is taken when nothing else is queued. 0,
 * -EMSGSIZE (cut off from now on), -EPIPE (ended). */
int sse_push(struct sse_writer *w, struct sse_frame *f);
void sse_end(struct sse_writer *w); /* no more frames; sse_run returns when the queue is written */
/* Sends the response head, for a caller who writes something of its own (http_stream_write) before
 * sse_run. 0 or an error of the connection. Suspends. */
int sse_begin(struct sse_writer *w);
/* Sends the response head if that has not been done, then frames as they come and a comment every
 * `keepalive_ms` of silence. Suspends until the client leaves (-E_CLOSED), the writer overflowed
 * (-EMSGSIZE), it was ended (0), or the fiber is cancelled. */
int sse_run(struct sse_writer *w, int64_t keepalive_ms);
