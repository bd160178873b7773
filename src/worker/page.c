/* page.c - gauges and readiness of the worker.
 *
 * Opened and closed by worker_run; the claim loop (worker.c) notes its polls here. The listener has
 * a fiber of its own and is open from before the engine starts until the sessions have gone, so that
 * /readyz tells of both. Counters stand where things happen; gauges are read from the worker's parts
 * when somebody asks, on the loop's thread, and without suspending, so that no part goes meanwhile. */
#include "worker/page.h"
#include "base/err.h"
#include "base/metrics.h"
#include "base/time.h"
#include "box/box.h"
#include "http/server/operator.h"
#include "worker/kept.h"
#include "worker/runner.h"
#include "worker/slots.h"

#define LEASE_MS 90000 /* of the platform, until it has said another one */

#define SESSIONS(var, state)                                                                       \
    METRIC_GAUGE(var, "sallyport_worker_sessions", "state=\"" state "\"",                          \
                 "Sessions that hold a slot; resting ones give it up when another one needs it.")
#define BOXES(var, state)                                                                          \
    METRIC_GAUGE(var, "sallyport_worker_sandboxes", "state=\"" state "\"",                         \
                 "Sandboxes: open for a session, kept for one that was released, ready (warm).")
#define POLLS(var, outcome)                                                                        \
    METRIC_COUNTER(var, "sallyport_worker_polls_total", "outcome=\"" outcome "\"",                 \
                   "Polls for work; ok: answered with work or with none.")
METRIC_GAUGE(capacity, "sallyport_worker_slots", "", "Sessions that can be served at once.")
SESSIONS(serving, "serving")
SESSIONS(resting, "resting")
BOXES(boxes_open, "open")
BOXES(boxes_kept, "kept")
BOXES(boxes_warm, "warm")
POLLS(polls_ok, "ok")
POLLS(polls_failed, "failed")

void page_note_poll(struct page *p, bool good, int64_t began_ns)
{
    metric_add(good ? &polls_ok : &polls_failed, 1);
    p->polled = p->polled || good;
    if (good)
        p->failing_since_ns = 0;
    else if (!p->failing_since_ns)
        p->failing_since_ns = began_ns;
}

const char *page_not_ready(const struct page *p)
{
    int64_t lease_ms = p->env->lease_ms ? p->env->lease_ms : LEASE_MS;
    if (p->env->phase.at != WORKER_SERVING)
        return "the worker stops";
    if (!p->polled)
        return "the platform has not answered a poll yet";
    if (p->failing_since_ns && time_mono_ns() - p->failing_since_ns >= lease_ms * NS_PER_MS)
        return "polls have failed for longer than a lease lasts";
    return NULL;
}

static const char *not_ready(void *arg)
{
    return page_not_ready(arg);
}

static void refresh(void *arg)
{
    const struct page *p = arg;
    const struct slots *s = p->env->slots;
    metric_set(&capacity, (int64_t)s->capacity);
    metric_set(&serving, (int64_t)(s->held - s->n_resting));
    metric_set(&resting, (int64_t)s->n_resting);
    metric_set(&boxes_open, (int64_t)runner_count_boxes(p->env));
    metric_set(&boxes_kept, (int64_t)p->env->kept->n);
    metric_set(&boxes_warm, p->env->boxes ? (int64_t)box_host_warm(p->env->boxes) : 0);
}

int page_open(struct page *p, const struct runner_env *env, const char *listen, struct err *e)
{
    static const char *const prefixes[] = {"sallyport_worker_", "sallyport_process_", NULL};
    struct operator_config c = {.listen = listen,
                                .by_default = PAGE_DEFAULT,
                                .prefixes = prefixes,
                                .not_ready = not_ready,
                                .refresh = refresh,
                                .arg = p};
    *p = (struct page){.env = env};
    scope_init(&p->scope);
    int r = operator_open(&c, &p->shown, e);
    if (r == 0 && p->shown)
        r = fiber_spawn(&p->scope, "operator", operator_run, p->shown, NULL);
    if (r < 0)
        page_close(p);
    return r;
}

void page_close(struct page *p)
{
    scope_done(&p->scope);
    operator_free(p->shown);
    p->shown = NULL;
}
