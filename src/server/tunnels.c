/* tunnels.c - the platform's tables on one side, the edge on the other; neither knows the other.
 *
 * Owned by server.c. Facts about tunnels go one way, gateways that were let in the other, as plain structs
 * that are copied here. Called on the fibers of whoever asks; gateways and callers are strangers, whom the
 * edge looks after. It lives as long as the server does, and the platform has no gateways after it. */
#include "server/tunnels.h"

#include "base/budget.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "platform/tunnels/tunnel_facts.h"
#include "tunnel/edge/edge.h"
#include "tunnel/edge/ingress.h"

struct tunnels {
    struct platform *p;
    struct edge *edge;
    struct ingress *ingress; /* NULL: none */
    struct gateways gateways;
    char address[SOCK_ADDR_MAX];
};

METRIC_GAUGE(gauge_gateways, "sallyport_server_tunnel_gateways", "",
             "Connections of gateways that are open")
METRIC_GAUGE(gauge_callers, "sallyport_server_tunnel_callers", "",
             "Connections that are carried through tunnels now")
METRIC_GAUGE(gauge_held, "sallyport_server_tunnel_held_bytes", "",
             "What lies at the edge for callers and gateways that do not read")

static int take(const struct tunnel_facts *f, struct edge_facts *ret)
{
    ret->archived = f->archived;
    ret->authorities = f->authorities;
    return str_copy(ret->id, sizeof(ret->id), f->id) &&
                   str_copy(ret->domain, sizeof(ret->domain), f->domain) &&
                   str_copy(ret->token_id, sizeof(ret->token_id), f->token_id)
               ? 0
               : -E_CORRUPT;
}

static int by_domain(void *arg, const char *domain, struct edge_facts *ret)
{
    const struct tunnels *t = arg;
    struct tunnel_facts f;
    int r = tunnel_facts_by_domain(t->p, domain, &f);
    return r < 0 ? r : take(&f, ret);
}

static int by_id(void *arg, const char *id, struct edge_facts *ret)
{
    const struct tunnels *t = arg;
    struct tunnel_facts f;
    int r = tunnel_facts_by_id(t->p, id, &f);
    return r < 0 ? r : take(&f, ret);
}

static void show(struct tunnels *t)
{
    struct edge_stats s;
    edge_get_stats(t->edge, &s);
    metric_set(&gauge_gateways, (int64_t)s.gateways);
    metric_set(&gauge_callers, (int64_t)s.callers);
    metric_set(&gauge_held, (int64_t)edge_budget(t->edge)->used);
}

static void serve(void *arg, const struct gateway_arrival *g, struct stream *s)
{
    struct tunnels *t = arg;
    struct err e = {0};
    const struct edge_arrival a = {.tunnel_id = g->tunnel_id,
                                   .token_id = g->token_id,
                                   .peer = g->peer,
                                   .connector = g->connector,
                                   .version = g->version,
                                   .draining = g->draining};
    int r = edge_serve(t->edge, &a, s, &e);
    if (r == -E_DENIED || r == -EBUSY)
        log_info("gateway refused", "tunnel=%s peer=%s why=%s", g->tunnel_id, log_q(g->peer),
                 log_q(e.msg));
}

static void changed(void *arg, const char *tunnel_id)
{
    const struct tunnels *t = arg;
    edge_changed(t->edge, tunnel_id);
}

static int disconnect(void *arg, const char *tunnel_id)
{
    const struct tunnels *t = arg;
    return edge_disconnect(t->edge, tunnel_id);
}

struct tunnels *tunnels_open(struct platform *p, const char *ingress,
                             const struct turnstile_limits *limits, struct err *e)
{
    struct tunnels *t = mem_new(struct tunnels);
    t->p = p;
    t->edge = edge_new(&(struct edge_options){.by_domain = by_domain, .by_id = by_id, .arg = t});
    if (ingress && !str_eq(ingress, "none") &&
        ingress_open(
            &(struct ingress_options){.listen = ingress, .edge = t->edge, .limits = *limits},
            &t->ingress, t->address, e) < 0) {
        edge_free(t->edge);
        free(t);
        return NULL;
    }
    t->gateways =
        (struct gateways){.serve = serve, .changed = changed, .disconnect = disconnect, .arg = t};
    p->gateways = &t->gateways;
    return t;
}

const char *tunnels_ingress_address(const struct tunnels *t)
{
    return t->address;
}

void tunnels_refresh_metrics(struct tunnels *t)
{
    if (t)
        show(t);
}

int tunnels_start(struct tunnels *t, struct scope *s)
{
    int r = fiber_spawn(s, "edge", edge_run, t->edge, NULL);
    if (r == 0 && t->ingress)
        r = fiber_spawn(s, "ingress", ingress_run, t->ingress, NULL);
    return r;
}

void tunnels_stop(struct tunnels *t)
{
    if (t)
        edge_stop(t->edge);
}

void tunnels_close(struct tunnels *t)
{
    if (!t)
        return;
    t->p->gateways = NULL;
    ingress_free(t->ingress);
    edge_free(t->edge);
    free(t);
}
