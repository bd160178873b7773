/* probe.c - rounds over all routes, a few at a time.
 *
 * On a fiber of the gateway, with helpers as long as a round takes. A probe goes the way of a call (reach:
 * name, address check, connection, TLS) and says nothing to the server, which it costs an accept and a
 * handshake; for one that is a program none is started. So "up" is: a call would get as far as its request. Rounds are spread by chance, so that many
 * gateways do not knock at once. When routes change meanwhile the round is given up for a new one; what is
 * found about a route that is gone is dropped by its name (health).
 *
 * A server that is slow to refuse holds up its helper, not the others. */
#include "tunnel/gateway/probe.h"

#include "base/err.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/time.h"
#include "fiber/sync.h"
#include "tunnel/gateway/health.h"
#include "tunnel/gateway/reach.h"
#include "tunnel/gateway/stdio.h"

#define EVERY_MS 30000
#define AT_ONCE  16 /* a dead address takes ten seconds each */

struct probes {
    struct probes_options o;
    struct own_addresses own;
    struct waitq wake;
    uint64_t changes; /* how often the routes have become others */
};

struct round {
    struct probes *p;
    struct gateway_face *face;
    size_t next; /* route */
    uint64_t changes;
};

struct probes *probes_new(const struct probes_options *o)
{
    struct probes *p = mem_new(struct probes);
    p->o = *o;
    p->o.every_ms = o->every_ms ? o->every_ms : EVERY_MS;
    waitq_init(&p->wake);
    return p;
}

void probes_free(struct probes *p)
{
    if (!p)
        return;
    own_addresses_done(&p->own);
    free(p);
}

void probes_again(struct probes *p)
{
    p->changes++;
    waitq_wake_all(&p->wake);
}

static void look_at(struct round *d, const struct gateway_route *route)
{
    struct probes *p = d->p;
    struct err e = {0};
    struct stream s;
    struct reach_seen seen;
    enum http_version version;
    const struct reach_how how = {.config = d->face->config,
                                  .trust = d->face->upstream_trust,
                                  .shown = d->face->shown,
                                  .resolver = p->o.resolver,
                                  .own = &p->own,
                                  .keeper = p->o.keeper};
    int64_t began_ns = time_mono_ns();
    int r;
    if (route->upstream.scheme == GATEWAY_STDIO) {
        seen.source = "connect";
        r = stdio_well(p->o.stdio, route->upstream.stdio, &e);
    } else {
        r = gateway_reach(&how, &route->upstream, &s, &version, &seen, &e);
        stream_done(&s);
    }
    if (r == -ECANCELED || d->changes != p->changes)
        return; /* what it leads to may be something else by now */
    const char *words = r == 0 ? NULL : e.msg[0] ? e.msg : err_text(r), *name = route->host.text;
    enum health_state before = health_probed(p->o.health, name, r == 0, seen.source, words,
                                             (time_mono_ns() - began_ns) / 1000);
    if (r < 0 && before != HEALTH_DOWN)
        log_warn("the server of a route cannot be reached", "route=%s source=%s why=%s", name,
                 seen.source, log_q(words));
    else if (r == 0 && before == HEALTH_DOWN)
        log_info("the server of a route can be reached again", "route=%s", name);
}

static int help(void *arg)
{
    struct round *d = arg;
    const struct gateway_config *c = d->face->config;
    while (d->next < c->n_routes && d->changes == d->p->changes && !fiber_cancelled())
        look_at(d, &c->routes[d->next++]);
    return 0;
}

static int look_at_all(struct probes *p)
{
    struct round d = {.p = p, .face = p->o.face(p->o.arg), .changes = p->changes};
    AUTO(scope) s;
    scope_init(&s);
    int r = 0;
    for (size_t i = 0; r == 0 && i < AT_ONCE && i < d.face->config->n_routes; i++)
        r = fiber_spawn(&s, "probe", help, &d, NULL);
    if (r == 0)
        r = scope_join(&s);
    scope_done(&s);
    face_unref(d.face);
    return r;
}

/* Until it is time again, or the routes are others. */
static int rest(struct probes *p, uint64_t seen)
{
    int64_t span = p->o.every_ms / 2, r = 0;
    AUTO(fiber_deadline) d =
        fiber_deadline_push_ms(p->o.every_ms - span / 2 + (int64_t)rng_below((uint64_t)span + 1));
    while (r == 0 && p->changes == seen)
        r = waitq_wait(&p->wake);
    return r == -ECANCELED ? -ECANCELED : 0;
}

int probes_run(void *probes)
{
    struct probes *p = probes;
    for (;;) {
        uint64_t seen = p->changes;
        int r = look_at_all(p);
        if (r == 0)
            r = rest(p, seen);
        if (r == -ECANCELED)
            return 0;
        if (r < 0) /* no fiber to be had now */
            r = fiber_sleep_ms(1000);
        if (r < 0)
            return 0;
    }
}
