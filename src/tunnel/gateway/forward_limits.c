/* forward_limits.c - how many calls, how many at once, and how long one may take.
 *
 * Called on the request's fiber when its body has been judged. Callers are strangers who share what a route
 * may take: counts are kept by the route's host, over changes of the files, and a call is counted before
 * anything goes out and given back when its answer is over. A rate of 20/s is a bucket of twenty that fills
 * evenly: kept as the moment at which it is full again. Deadlines are of the request and not of the
 * connection: the first begins anew with each notification of progress, the second never. A stream that waits
 * for events has none, and gets a comment now and then so that nobody in between cuts it. */
#include "tunnel/gateway/forward_internal.h"

#include <stdio.h>

#include "base/str.h"
#include "base/time.h"
#include "fiber/fiber.h"

#define UNREAD_MS     60000 /* a caller that takes nothing for so long has gone */
#define LAST_WORDS_MS 2000  /* to be told that the last deadline is over */

struct route_use {
    int64_t full_ns; /* the bucket is full again */
    int64_t calls;   /* under way */
};

static struct route_use *use_of(struct gateway_request *q)
{
    struct route_use *u = map_get(&q->f->uses, q->route->host.text);
    if (!u) {
        u = mem_new(struct route_use);
        (void)map_put(&q->f->uses, q->route->host.text, u);
    }
    return u;
}

void forward_uses_done(struct gateway_forward *f)
{
    size_t pos = 0;
    void *use;
    while (map_next(&f->uses, &pos, NULL, &use))
        free(use);
    map_done(&f->uses);
}

static int64_t calls_in(const struct mcp_body *b)
{
    int64_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        n += b->entries[i].method && str_eq(b->entries[i].method, "tools/call");
    return n;
}

/* In how many milliseconds `n` more calls would be within the rate; 0: now, and they are counted. */
static int64_t take_rate(const struct gateway_limits *l, struct route_use *u, int64_t n)
{
    if (!l->rate)
        return 0;
    const int64_t window_ns = l->rate_window_ms * NS_PER_MS, one_ns = window_ns / l->rate;
    const int64_t now_ns = time_mono_ns();
    const int64_t full_ns = (u->full_ns > now_ns ? u->full_ns : now_ns) + n * one_ns;
    if (full_ns - now_ns > window_ns)
        return (full_ns - now_ns - window_ns) / NS_PER_MS + 1;
    u->full_ns = full_ns;
    return 0;
}

static void start_deadlines(struct gateway_request *q)
{
    const struct gateway_limits *l = &q->route->limits;
    const int64_t now_ns = time_mono_ns();
    bool waits = false;
    for (size_t i = 0; i < q->call.n; i++) {
        const struct mcp_entry *m = &q->call.entries[i];
        waits = waits || (m->method && m->id && !str_eq(m->method, "subscriptions/listen"));
    }
    if (waits && l->max_deadline_ms)
        q->last_ns = now_ns + l->max_deadline_ms * NS_PER_MS;
    if (waits && l->deadline_ms)
        q->deadline_ns = now_ns + l->deadline_ms * NS_PER_MS;
}

int forward_limits_take(struct gateway_request *q, struct judge_verdict *v)
{
    const struct gateway_limits *l = &q->route->limits;
    const int64_t n = calls_in(&q->call);
    struct route_use *u = use_of(q);
    int64_t wait_ms = 0;
    v->code = MCP_CODE_REFUSED;
    if (l->concurrent && n && u->calls + n > l->concurrent) {
        (void)snprintf(v->rule, sizeof(v->rule), "limits.concurrent");
        (void)snprintf(
            v->words, sizeof(v->words),
            "the gateway lets %lld calls be under way at once here, and these are; try again "
            "when one is over",
            (long long)l->concurrent);
        return -E_DENIED;
    }
    if (n && (wait_ms = take_rate(l, u, n)) > 0) {
        (void)snprintf(v->rule, sizeof(v->rule), "limits.rate");
        (void)snprintf(v->words, sizeof(v->words),
                       "there were too many calls; the gateway takes the next one in %lld ms",
                       (long long)wait_ms);
        return -E_DENIED;
    }
    u->calls += n;
    q->use = u;
    q->counted = n;
    start_deadlines(q);
    return 0;
}

void forward_limits_done(struct gateway_request *q)
{
    if (q->use)
        q->use->calls -= q->counted;
    q->use = NULL;
}

void forward_progress(struct gateway_request *q)
{
    if (q->deadline_ns)
        q->deadline_ns = time_mono_ns() + q->route->limits.deadline_ms * NS_PER_MS;
}

int64_t forward_until_ns(const struct gateway_request *q)
{
    int64_t until_ns = FIBER_NO_DEADLINE;
    if (q->deadline_ns)
        until_ns = q->deadline_ns;
    return q->last_ns && q->last_ns < until_ns ? q->last_ns : until_ns;
}

int64_t forward_write_until_ns(const struct gateway_request *q)
{
    const int64_t now_ns = time_mono_ns(), until_ns = now_ns + (int64_t)UNREAD_MS * NS_PER_MS;
    const int64_t last_ns = q->last_ns ? q->last_ns + (int64_t)LAST_WORDS_MS * NS_PER_MS : until_ns;
    return last_ns < until_ns ? last_ns : until_ns;
}

int forward_written(struct gateway_request *q, int r)
{
    if (r != -ETIMEDOUT)
        return r;
    q->caller_failed = true;
    http_reset(q->caller, HTTP_RESET_CANCEL);
    return r;
}

ssize_t forward_read_answer(struct gateway_request *q, struct piece *to, int64_t quiet_ms,
                            bool *ret_idle)
{
    const int64_t until_ns = forward_until_ns(q);
    const int64_t quiet_ns = time_mono_ns() + quiet_ms * NS_PER_MS;
    AUTO(fiber_deadline) d =
        fiber_deadline_push(quiet_ms && quiet_ns < until_ns ? quiet_ns : until_ns);
    ssize_t n = piece_read(to, q->upstream, ret_idle);
    return n == -ETIMEDOUT && quiet_ms && time_mono_ns() < until_ns ? -EAGAIN : n;
}
