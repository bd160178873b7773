/* sse - server-sent events out: frames, a bounded queue per subscriber. (In: http/wire/sse_parser.)
 *
 * Producers push without suspending; the subscriber's fiber writes. What finds no room in the queue
 * is not lost to the reader: whoever pushes marks the writer as behind, and its fiber fetches what
 * is missing from where it is kept (catch_up), at the reader's pace. */
#pragma once

#include "http/server/server.h"
#include "base/budget.h"
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
    struct budget_share share; /* what the queue holds of its owner's budget; set by the caller */
    bool ended, cut;
    bool behind; /* more is to be had through catch_up, after what is queued */
    int (*catch_up)(void *arg);
    void *catch_up_arg;
    struct waitq wake;
};
void sse_writer_init(struct sse_writer *w, struct http_exchange *x, size_t max_bytes);
void sse_writer_done(struct sse_writer *w);
/* Does not suspend. 0, -EMSGSIZE (no room; nothing has changed), -EPIPE (ended). */
int sse_push(struct sse_writer *w, struct sse_frame *f);
/* A last word: queued in spite of the ceiling. Small ones only. Does not suspend. */
void sse_push_last(struct sse_writer *w, struct sse_frame *f);
/* From now on the writer is behind: its fiber calls catch_up(catch_up_arg) when the queue is
 * written, again and again while `behind` is set. catch_up suspends, writes whole frames with
 * http_stream_write, and clears `behind` when nothing is missing any more; a negative code ends the
 * stream. */
void sse_fall_behind(struct sse_writer *w);
/* No more frames: sse_run returns when the queue is written and nothing is behind. */
void sse_end(struct sse_writer *w);
/* The reader gets nothing more, not even what is queued. */
void sse_cut(struct sse_writer *w);
/* Sends the response head, and a comment right behind it: a proxy may hold a head back until the
 * first byte of the body. 0 or an error of the connection. Suspends. */
int sse_begin(struct sse_writer *w);
/* Sends the response head if that has not been done, then frames as they come and a comment every
 * `keepalive_ms` of silence. Suspends until the client leaves (-E_CLOSED) or takes nothing for the
 * server's body_timeout (-ETIMEDOUT), the writer was ended or cut (0), catch_up failed, or the fiber
 * is cancelled. */
int sse_run(struct sse_writer *w, int64_t keepalive_ms);
