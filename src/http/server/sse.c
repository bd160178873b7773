/* sse - server-sent events, outgoing: shared frames, a bounded queue per subscriber, one writing
 * fiber each.
 *
 * Producers (any fiber of the thread) push and never wait; sse_run, on the connection's fiber,
 * writes. A frame is built once and shared by all subscribers, so a queue holds pointers; its
 * ceiling counts bytes all the same, and so does the budget of whoever opened the stream, because a
 * reader who stops reading would otherwise hold every frame of the program alive. A frame that
 * finds no room is left out, and the reader is `behind`: when its queue is written, its own fiber
 * fetches the rest at its pace, so a slow reader costs no memory and loses nothing. Only one that
 * takes no byte for the server's body_timeout is given up (conn.c). Silence is filled with a
 * comment line, so that proxies keep the connection and we notice dead clients. */
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

/* What has been written is held no longer. (A last word is not counted.) */
static void settle(struct sse_writer *w)
{
    if (w->queued_bytes < w->share.n) {
        bool less = budget_set(&w->share, w->queued_bytes);
        MUST(less);
    }
}

static void queue_drop(struct sse_writer *w)
{
    struct sse_frame *f;
    while ((f = queue_pop(w)))
        sse_frame_unref(f);
    budget_end(&w->share);
}

void sse_writer_done(struct sse_writer *w)
{
    w->ended = true;
    if (w->queue.next)
        queue_drop(w);
}

static void queue_push(struct sse_writer *w, struct sse_frame *f)
{
    struct queued *q = mem_new(struct queued);
    q->frame = sse_frame_ref(f);
    list_push_back(&w->queue, &q->link);
    w->queued_bytes += f->len;
    waitq_wake_all(&w->wake);
}

int sse_push(struct sse_writer *w, struct sse_frame *f)
{
    if (w->ended)
        return -EPIPE;
    if (w->queued_bytes > w->max_bytes || f->len > w->max_bytes - w->queued_bytes ||
        !budget_set(&w->share, w->share.n + f->len))
        return -EMSGSIZE;
    queue_push(w, f);
    return 0;
}

void sse_push_last(struct sse_writer *w, struct sse_frame *f)
{
    if (!w->ended)
        queue_push(w, f);
}

void sse_fall_behind(struct sse_writer *w)
{
    MUST(w->catch_up || !w->x);
    w->behind = true;
    waitq_wake_all(&w->wake);
}

void sse_end(struct sse_writer *w)
{
    w->ended = true;
    waitq_wake_all(&w->wake);
}

void sse_cut(struct sse_writer *w)
{
    w->cut = true;
    sse_end(w);
}

/* Writes what is queued, many small frames as one chunk. */
static int write_queued(struct sse_writer *w)
{
    while (!list_empty(&w->queue) && !w->cut) {
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
        settle(w);
    }
    return 0;
}

static int run(struct sse_writer *w, int64_t keepalive_ms)
{
    static const char comment[] = ": keep-alive\n\n";
    for (;;) {
        int r = write_queued(w);
        if (r == 0 && w->behind && !w->cut)
            r = w->catch_up(w->catch_up_arg);
        if (r < 0)
            return r;
        if (w->cut)
            return 0;
        if (!list_empty(&w->queue) || w->behind)
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
    int r = http_stream_begin(w->x, 200, "text/event-stream");
    return r < 0 ? r : http_stream_write(w->x, ": open\n\n", 8);
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
