/* kept.c - sandboxes of sessions that rest.
 *
 * Used by session fibers (runner.c: a session let go at rest leaves its sandbox here, a claim looks
 * here first) and by the worker's sweeper fiber. Closing a sandbox suspends, so an entry is
 * unlinked before its sandbox is closed: a fiber that looks meanwhile does not find it. The worker
 * runs nothing in a parked sandbox; what a command left in the background goes on inside. Keys are
 * session ids from the platform, compared whole. */
#include "worker/kept.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "box/box.h"

struct parked {
    struct list node;
    char *session_id;
    struct box *box;
    bool busy;
    int64_t since_ns;
};

void kept_init(struct kept *p, size_t max, int64_t keep_ms)
{
    *p = (struct kept){.max = keep_ms > 0 ? max : 0, .keep_ms = keep_ms};
    list_init(&p->boxes);
}

static struct box *unlink_entry(struct kept *p, struct parked *e)
{
    struct box *b = e->box;
    list_remove(&e->node);
    p->n--;
    p->n_busy -= e->busy;
    free(e->session_id);
    free(e);
    return b;
}

static void close_entry(struct kept *p, struct parked *e)
{
    log_info("kept sandbox removed", "session=%s", e->session_id);
    box_close(unlink_entry(p, e));
}

static void close_oldest(struct kept *p)
{
    close_entry(p, LIST_ENTRY(p->boxes.next, struct parked, node));
}

/* Of those at rest, or of the others. */
static void close_oldest_of(struct kept *p, bool busy)
{
    LIST_FOREACH (e, &p->boxes, struct parked, node) {
        if (e->busy == busy) {
            close_entry(p, e);
            return;
        }
    }
}

void kept_put(struct kept *p, const char *session_id, struct box *b, bool busy)
{
    if (p->max == 0) {
        box_close(b);
        return;
    }
    struct parked *e = mem_new(struct parked);
    e->session_id = mem_strdup(session_id);
    e->box = b;
    e->busy = busy;
    e->since_ns = time_mono_ns();
    list_push_back(&p->boxes, &e->node);
    p->n++;
    p->n_busy += busy;
    while (p->n - p->n_busy > p->max)
        close_oldest_of(p, false);
    while (p->n_busy > p->max * KEPT_BUSY_FACTOR)
        close_oldest_of(p, true);
}

struct box *kept_take(struct kept *p, const char *session_id)
{
    LIST_FOREACH (e, &p->boxes, struct parked, node)
        if (str_eq(e->session_id, session_id))
            return unlink_entry(p, e);
    return NULL;
}

void kept_sweep(struct kept *p)
{
    int64_t limit_ns = time_mono_ns() - p->keep_ms * NS_PER_MS;
    while (!list_empty(&p->boxes) &&
           LIST_ENTRY(p->boxes.next, struct parked, node)->since_ns <= limit_ns)
        close_oldest(p);
}

void kept_done(struct kept *p)
{
    while (!list_empty(&p->boxes))
        close_oldest(p);
}
