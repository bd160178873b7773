/* sse - server-sent events, outgoing: shared frames, a bounded queue per subscriber, one writing
 * fiber each.
 *
 * Producers (any fiber of the thread) push and never wait; sse_run, on the connection's fiber,
 * writes. A frame is built once and shared by all subscribers, so a queue holds pointers; its
 * ceiling counts bytes all the same, because a reader who stops reading would otherwise hold every
 * frame of the program alive. When the ceiling is hit the queue is dropped, the response ends
 * without its last chunk, and the client resumes by event id: it has lost nothing, and nobody else
 * noticed. One frame alone may be larger than the ceiling, or no reader, however fast, would ever
 * get past it. Silence is filled with a comment line, so that proxies keep the connection and we
 * notice dead clients. */
#include "http/server/sse.h"

#include "base/err.h"
#include "base/time.h"
#include "http/server/internal.h"

#include <string.h>

struct queued {
    struct list link;
    struct sse_frame *frame;
};

static bool one_line(const char *s)
{
    return !strpbrk(s, "\r\n");
}

struct sse_frame *sse_frame_new(const char *type, const char *id, const char *json_one_line,
                                size_t n)
{
    MUST(one_line(type) && (!id || one_line(id)) && n <= SIZE_MAX / 2);
    MUST(!memchr(json_one_line, '\n', n) && !memchr(json_one_line, '\r', n));
    size_t tn = strlen(type), in = id ? strlen(id) : 0;
    size_t len = 7 + tn + 1 + (id ? 4 + in + 1 : 0) + 6 + n + 2;
    struct sse_frame *f = mem_zalloc(sizeof(*f) + len + 1);
    f->refs = 1;
    f->len = len;
    char *w = f->bytes;
    w = mempcpy(w, "event: ", 7);
    w = mempcpy(w, type, tn);
    *w++ = '\n';
    if (id) {
        w = mempcpy(w, "id: ", 4);
        w = mempcpy(w, id, in);
        *w++ = '\n';
    }
    w = mempcpy(w, "data: ", 6);
    w = mempcpy(w, json_one_line, n);
    w = mempcpy(w, "\n\n", 2);
    MUST((size_t)(w - f->bytes) == len);
    return f;
}

struct sse_frame *sse_frame_ref(struct sse_frame *f)
{
    f->refs++;
    return f;
}

void sse_frame_unref(struct sse_frame *f)
{
    if (!f)
        return;
    MUST(f->refs > 0);
    if (--f->refs == 0)
        free(f);
}

void sse_writer_init(struct sse_writer *w, struct http_exchange *x, size_t max_bytes)
{
    *w = (struct sse_writer){.x = x, .max_bytes = max_bytes};
    list_init(&w->queue);
    waitq_init(&w->wake);
}

static struct sse_frame *queue_pop(struct sse_writer *w)
{
    struct list *n = list_pop_front(&w->queue);
    if (!n)
        return NULL;
    struct queued *q = LIST_ENTRY(n, struct queued, link);
    struct sse_frame *f = q->frame;
    free(q);
    w->queued_bytes -= f->len;
    return f;
}

static void queue_drop(struct sse_writer *w)
{
    struct sse_frame *f;
    while ((f = queue_pop(w)))
        sse_frame_unref(f);
}

void sse_writer_done(struct sse_writer *w)
{
    w->ended = true;
    if (w->queue.next)
        queue_drop(w);
}

static bool fits(const struct sse_writer *w, const struct sse_frame *f)
{
    /* A first frame may have been larger than the ceiling. */
    return w->queued_bytes < w->max_bytes && f->len <= w->max_bytes - w->queued_bytes;
}

int sse_push(struct sse_writer *w, struct sse_frame *f)
{
    if (w->overflow)
        return -EMSGSIZE;
    if (w->ended)
        return -EPIPE;
    if (!list_empty(&w->queue) && !fits(w, f)) {
        w->overflow = true;
        queue_drop(w);
        waitq_wake_all(&w->wake);
        /* Its fiber may be in the middle of a write that never ends. */
        if (w->x)
            exchange_abort(w->x, -EMSGSIZE);
        return -EMSGSIZE;
    }
    struct queued *q = mem_new(struct queued);
    q->frame = sse_frame_ref(f);
    list_push_back(&w->queue, &q->link);
    w->queued_bytes += f->len;
    waitq_wake_all(&w->wake);
    return 0;
}

void sse_end(struct sse_writer *w)
{
    w->ended = true;
    waitq_wake_all(&w->wake);
}

/* Writes what is queued, many small frames as one chunk. A frame being written no longer counts as
 * queued. */
static int write_queued(struct sse_writer *w)
{
    while (!list_empty(&w->queue)) {
        struct sse_frame *f = queue_pop(w);
        int r;
        if (list_empty(&w->queue) || f->len >= CONN_SCRATCH_BYTES / 2) {
            r = http_stream_write(w->x, f->bytes, f->len);
            sse_frame_unref(f);
        } else {
            char *together = mem_zalloc(CONN_SCRATCH_BYTES);
            size_t n = 0;
            while (f) {
                memcpy(together + n, f->bytes, f->len);
                n += f->len;
                sse_frame_unref(f);
                f = NULL;
                if (!list_empty(&w->queue)) {
                    const struct queued *next = LIST_ENTRY(w->queue.next, struct queued, link);
                    if (next->frame->len <= CONN_SCRATCH_BYTES - n)
                        f = queue_pop(w);
                }
            }
            r = http_stream_write(w->x, together, n);
            free(together);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

static int run(struct sse_writer *w, int64_t keepalive_ms)
{
    static const char comment[] = ": keep-alive\n\n";
    for (;;) {
        int r = write_queued(w);
        if (r < 0)
            return r;
        if (w->overflow)
            return -EMSGSIZE;
        if (!list_empty(&w->queue))
            continue;
        if (w->ended)
            return 0;
        int64_t silent_until_ns = conn_now_ns() + keepalive_ms * NS_PER_MS;
        bool ours = silent_until_ns < fiber_deadline_ns();
        struct fiber_deadline d = fiber_deadline_push(silent_until_ns);
        r = http_wait(w->x, &w->wake);
        fiber_deadline_pop(&d);
        if (r == -ETIMEDOUT && ours)
            r = http_stream_write(w->x, comment, sizeof(comment) - 1);
        if (r < 0)
            return r;
    }
}

int sse_begin(struct sse_writer *w)
{
    http_set_header(w->x, "Cache-Control", "no-cache");
    /* nginx in front of us would hold frames back. */
    http_set_header(w->x, "X-Accel-Buffering", "no");
    return http_stream_begin(w->x, 200, "text/event-stream");
}

int sse_run(struct sse_writer *w, int64_t keepalive_ms)
{
    int r = http_replied(w->x) ? 0 : sse_begin(w);
    if (r == 0 && !w->x->head_only)
        r = run(w, keepalive_ms);
    if (r == 0)
        r = http_stream_end(w->x);
    w->ended = true; /* a fiber that still pushes learns that the reader is gone */
    queue_drop(w);
    return r;
}
