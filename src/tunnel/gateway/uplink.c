/* uplink.c - a fiber for each connection: dial, serve, wait, dial again.
 *
 * After a connection that was lost the first attempt comes within a second, the others with full jitter,
 * thirty seconds apart at most, for ever: an edge that comes back, a network that changes and a machine
 * that was asleep need nobody's help. Names are resolved anew each time, and the connections of one process
 * begin with different addresses of the edge, where it has several. An edge that says how long to wait is
 * believed, up to that limit.
 *
 * The edge decides what comes over a connection: callers, as CONNECT streams (inner.c). It was verified,
 * and is not trusted with anything: what is in the streams is ciphertext to it. */
#include "tunnel/gateway/uplink.h"

#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/sync.h"
#include "http/pipe/pipe.h"
#include "tunnel/gateway/dial.h"

#include <stdio.h>

#define FIRST_MS           1000
#define CAP_MS             30000
#define STEADY_MS          10000 /* a connection that lasted so long starts the count anew */
#define IDLE_MS            (INT64_C(365) * 86400 * 1000) /* without callers; it is pinged */
#define PING_MS            5000
#define DEAD_MS            10000
#define STREAMS_MOST       16384        /* callers on one connection */
#define STREAM_WINDOW      (256u << 10) /* of one caller, on its way to us */
#define STREAM_WINDOW_MOST (4u << 20)   /* while hardly any server is slow to read */
#define CONN_WINDOW        (4u << 20)
#define HELD_MOST          (64u << 20) /* of all callers of one connection whose servers do not read */
#define TELL_AGAIN_NS      (300 * NS_PER_S)
#define CONNECTOR          24

struct uplink {
    struct uplinks *all;
    struct fiber *fiber;
    unsigned number;
    struct http_serving serving;
    bool up;
    int64_t since_ns;  /* when it came up, or was lost */
    unsigned failures; /* in a row */
};

struct uplinks {
    struct uplinks_options o;
    struct uplink links[GATEWAY_CONNECTIONS_MAX];
    unsigned n;
    char connector[CONNECTOR];
    bool draining;
    size_t callers;
    struct err trouble;
    int64_t told_ns; /* when it was last told */
};

METRIC_COUNTER(n_dialled, "sallyport_gateway_dials_total", "outcome=\"ok\"",
               "Attempts to reach the edge, by their outcome")
METRIC_COUNTER(n_failed, "sallyport_gateway_dials_total", "outcome=\"failed\"",
               "Attempts to reach the edge, by their outcome")

struct uplinks *uplinks_new(const struct uplinks_options *o)
{
    struct uplinks *u = mem_new(struct uplinks);
    u->o = *o;
    u->o.config = gateway_config_ref(o->config);
    u->n = o->config->edge.host.kind == HOST_NONE ? 0 : o->config->edge.connections;
    (void)snprintf(u->connector, sizeof(u->connector), "gw-%016llx", (unsigned long long)rng_u64());
    for (unsigned i = 0; i < u->n; i++)
        u->links[i] = (struct uplink){.all = u, .number = i};
    return u;
}

void uplinks_free(struct uplinks *u)
{
    if (!u)
        return;
    gateway_config_unref(u->o.config);
    free(u);
}

/* ---- one connection ---- */

static void serve(void *arg, struct http_pipe *p)
{
    struct uplink *l = arg;
    l->all->callers++;
    l->all->o.serve(l->all->o.arg, p);
    l->all->callers--;
}

/* Until the connection ends. */
static int attend(struct uplink *l, struct stream *s, struct err *e)
{
    const struct http_serve_options o = {
        .tls = true,
        .idle_timeout_ms = IDLE_MS,
        .streams_max = STREAMS_MOST,
        .line = {.ping_ms = PING_MS,
                 .dead_ms = DEAD_MS,
                 .stream_window = STREAM_WINDOW,
                 .stream_window_most = STREAM_WINDOW_MOST,
                 .conn_window = CONN_WINDOW,
                 .held_max = HELD_MOST},
        .serve = serve,
        .arg = l,
        .serving = &l->serving,
    };
    l->serving = (struct http_serving){.draining = l->all->draining};
    l->since_ns = time_mono_ns();
    l->up = true;
    int r = http_serve(HTTP_2, s, &o, e);
    l->up = false;
    l->since_ns = time_mono_ns();
    return r;
}

/* *ret_was_up: it was, and has ended; else why not is in the words. */
static int one_connection(struct uplink *l, bool *ret_was_up, int64_t *ret_after_ms, struct err *e)
{
    struct uplinks *u = l->all;
    const char *edge = u->o.config->edge.host.text;
    AUTO(stream) s = {.ops = NULL};
    const struct dial_how how = {.config = u->o.config,
                                 .keeper = u->o.keeper,
                                 .resolver = u->o.resolver,
                                 .trust = u->o.trust,
                                 .connector = u->connector,
                                 .turn = l->number};
    int r = gateway_dial(&how, &s, ret_after_ms, e);
    metric_add(r == 0 ? &n_dialled : &n_failed, 1);
    *ret_was_up = r == 0;
    if (r < 0)
        return r;
    u->trouble.msg[0] = '\0';
    log_info("connected to the edge", "edge=%s:%u connection=%u", edge, u->o.config->edge.port,
             l->number);
    u->o.up(u->o.arg);
    int64_t began_ns = time_mono_ns();
    r = attend(l, &s, e);
    int64_t lasted_ms = (time_mono_ns() - began_ns) / NS_PER_MS;
    if (lasted_ms >= STEADY_MS)
        l->failures = 0;
    if (r != -ECANCELED && !u->draining)
        log_info("the connection to the edge has ended",
                 "edge=%s:%u connection=%u seconds=%lld why=%s", edge, u->o.config->edge.port,
                 l->number, (long long)(lasted_ms / 1000),
                 r < 0 ? log_q(e->msg) : "\"the edge ended it\"");
    return r;
}

/* Full jitter: anything up to the ceiling, which doubles. */
static int64_t pause_ms(unsigned failures, int64_t after_ms)
{
    int64_t ceiling = failures > 5 ? CAP_MS : (int64_t)FIRST_MS << failures;
    ceiling = ceiling < CAP_MS ? ceiling : CAP_MS;
    int64_t d = (int64_t)rng_below((uint64_t)ceiling) + 1;
    after_ms = after_ms < CAP_MS ? after_ms : CAP_MS;
    return after_ms > d ? after_ms : d;
}

static void keep_up(struct uplink *l)
{
    struct uplinks *u = l->all;
    for (;;) {
        struct err e = {0};
        int64_t after_ms = -1;
        bool was_up = false;
        int r = one_connection(l, &was_up, &after_ms, &e);
        if (r == -ECANCELED || u->draining)
            return;
        int64_t wait_ms = pause_ms(l->failures, after_ms);
        if (!was_up) {
            /* Each new sentence at `warn`, and now and then; in between the same one is no news. */
            int64_t now = time_mono_ns();
            if (!str_eq(u->trouble.msg, e.msg) || now - u->told_ns >= TELL_AGAIN_NS) {
                u->told_ns = now;
                log_warn("the edge cannot be reached, will retry", "why=%s", log_q(e.msg));
            }
            u->trouble = e;
        }
        l->failures++;
        r = fiber_sleep_ms(wait_ms);
        if (r < 0)
            return;
    }
}

static int uplink_main(void *arg)
{
    struct uplink *l = arg;
    fiber_deadline_clear();
    keep_up(l);
    l->fiber = NULL;
    return 0;
}

/* ---- all of them ---- */

int uplinks_run(void *uplinks)
{
    struct uplinks *u = uplinks;
    AUTO(scope) s;
    scope_init(&s);
    for (unsigned i = 0; i < u->n; i++) {
        int r = fiber_spawn(&s, "uplink", uplink_main, &u->links[i], &u->links[i].fiber);
        if (r < 0)
            return r;
    }
    return scope_join(&s);
}

void uplinks_drain(struct uplinks *u)
{
    u->draining = true;
    for (unsigned i = 0; i < u->n; i++) {
        struct uplink *l = &u->links[i];
        if (l->up)
            http_serve_drain(&l->serving);
        else if (l->fiber)
            fiber_cancel(l->fiber);
    }
}

void uplinks_cut(struct uplinks *u)
{
    u->draining = true;
    for (unsigned i = 0; i < u->n; i++)
        if (u->links[i].fiber)
            fiber_cancel(u->links[i].fiber);
}

const struct gateway_edge *uplinks_edge(const struct uplinks *u)
{
    return &u->o.config->edge;
}

size_t uplinks_up(const struct uplinks *u)
{
    size_t n = 0;
    for (unsigned i = 0; i < u->n; i++)
        n += u->links[i].up;
    return n;
}

size_t uplinks_callers(const struct uplinks *u)
{
    return u->callers;
}

const char *uplinks_trouble(const struct uplinks *u)
{
    return u->trouble.msg;
}

unsigned uplinks_count(const struct uplinks *u)
{
    return u->n;
}

void uplinks_look(const struct uplinks *u, unsigned number, struct uplink_facts *ret)
{
    const struct uplink *l = &u->links[number];
    *ret = (struct uplink_facts){.up = l->up,
                                 .since_ns = l->since_ns,
                                 .rtt_ns = http_serve_rtt_ns(&l->serving),
                                 .callers = http_serve_streams(&l->serving),
                                 .failures = l->failures};
}

const char *uplinks_connector(const struct uplinks *u)
{
    return u->connector;
}
