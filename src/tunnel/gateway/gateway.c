/* gateway.c - the parts of the gateway, put together in one process, which may open no file (process.c).
 *
 * On the loop's root fiber, which owns everything here. Opening gets all files from the keeper, so that what is wrong with
 * them is told at the start; from then on they are looked at every few seconds, and a set that is good takes
 * the place of the one before: callers that are there keep the old one, the next get the new one. A set that
 * is not good is told once, and changes nothing. Where the edge is and how many connections there are is read
 * at the start alone. */
#include "tunnel/gateway/gateway.h"

#include "audit/client.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/cert.h"
#include "fiber/sync.h"
#include "http/server/operator.h"
#include "io/file.h"
#include "io/pool.h"
#include "io/resolve.h"
#include "io/slack.h"
#include "io/tls.h"
#include "secret/source.h"
#include "tunnel/gateway/face.h"
#include "tunnel/gateway/forward.h"
#include "tunnel/gateway/health.h"
#include "tunnel/gateway/listen.h"
#include "tunnel/gateway/probe.h"
#include "tunnel/gateway/decisions.h"
#include "tunnel/gateway/status.h"
#include "tunnel/gateway/stdio.h"
#include "tunnel/gateway/supply.h"
#include "tunnel/gateway/uplink.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOOK_MS        5000
#define THREADS        2
#define CLOSE_AUDIT_MS 5000

struct gateway {
    struct gateway_options o;
    struct pool *pool;
    struct secret_sources *secrets;
    struct resolver *resolver;
    struct tls_trust *edge_trust; /* NULL: nothing on the way there has TLS */
    struct slack slack;           /* callers */
    struct tls_ctx *tls;
    struct gateway_face *face;
    uint64_t mark;
    struct audit_client *records; /* NULL: nothing is recorded */
    struct decisions *decisions;  /* NULL: no route of the configuration at the start keeps any */
    struct gateway_forward *forward;
    struct stdio_bridge *stdio; /* to routes that are programs */
    struct uplinks *uplinks;
    struct listener *listener; /* NULL: no connector comes */
    struct gateway_listen listen;
    struct health *health;
    struct probes *probes;
    struct operator_page *page;
    char admin[ADDRESS_TEXT_MAX + 10]; /* of the configuration, as an address to listen on */
    struct inner_options inner;
    struct waitq look;
    int64_t started_us, taken_us, trouble_us;
    uint64_t generation;
    struct err trouble; /* why the last change of the files was not taken */
    bool stopping, ended, was_up;
    struct waitq changed; /* it has ended */
};

METRIC_GAUGE(gauge_up, "sallyport_gateway_connections", "", "Connections to the edge that are up")
METRIC_GAUGE(gauge_callers, "sallyport_gateway_callers", "", "Callers that are connected now")
METRIC_GAUGE(gauge_ends, "sallyport_gateway_certificate_expires_seconds", "",
             "When the certificate ends, in seconds since 1970")

/* ---- what the parts ask for ---- */

static struct gateway_face *give_face(void *arg)
{
    const struct gateway *g = arg;
    return face_ref(g->face);
}

static void serve_caller(void *arg, struct http_pipe *p)
{
    struct gateway *g = arg;
    g->slack.turns++;
    inner_serve(&g->inner, p);
    g->slack.turns++;
}

static void serve_request(void *arg, const struct gateway_face *face,
                          const struct inner_caller *caller, struct http_pipe *p)
{
    const struct gateway *g = arg;
    gateway_forward_serve(g->forward, face, caller, p);
}

static void is_up(void *arg)
{
    struct gateway *g = arg;
    const bool first = !g->was_up;
    g->was_up = true;
    if (first && g->o.on_ready)
        g->o.on_ready(g->o.arg);
}

static size_t callers(const struct gateway *g)
{
    return uplinks_callers(g->uplinks) + (g->listener ? listener_callers(g->listener) : 0);
}

/* The page's own paths. */
static int tell(void *arg, const char *path, struct buf *out, int *ret_status)
{
    const struct gateway *g = arg;
    const struct status_view v = {.face = g->face,
                                  .uplinks = g->uplinks,
                                  .health = g->health,
                                  .stdio = g->stdio,
                                  .decisions = g->decisions,
                                  .config_path = g->o.config_path,
                                  .started_us = g->started_us,
                                  .generation = g->generation,
                                  .taken_us = g->taken_us,
                                  .trouble = g->trouble.msg,
                                  .trouble_us = g->trouble_us,
                                  .listens = gateway_listens(g),
                                  .callers = callers(g),
                                  .stopping = g->stopping};
    AUTO_JSON json_t *o = NULL;
    bool ready = true;
    if (str_eq(path, "/readyz"))
        o = status_ready_json(&v, &ready);
    else if (str_eq(path, "/status"))
        o = status_json(&v);
    else
        return -ENOENT;
    *ret_status = ready ? 200 : 503;
    return json_print(out, o);
}

static void put_series(void *arg, struct buf *out)
{
    const struct gateway *g = arg;
    (void)health_series(g->health, out);
}

static void refresh(void *arg)
{
    struct gateway *g = arg;
    int64_t begins_s, ends_s;
    cert_identity_times(g->face->identity, &begins_s, &ends_s);
    metric_set(&gauge_up, (int64_t)uplinks_up(g->uplinks));
    metric_set(&gauge_callers, (int64_t)callers(g));
    metric_set(&gauge_ends, ends_s);
    if (g->decisions)
        decisions_refresh(g->decisions);
}

/* ---- files ---- */

/* A caller would find out by its own error, and a person here by none. */
static void warn_of_names(const struct gateway_face *f)
{
    const struct gateway_config *c = f->config;
    for (size_t i = 0; i < c->n_routes; i++) {
        char below[2 * HOST_TEXT_MAX + 2];
        const char *name = c->routes[i].host.text;
        if (c->tunnel_domain.kind == HOST_NAME) {
            (void)snprintf(below, sizeof(below), "%s.%s", name, c->tunnel_domain.text);
            if (cert_identity_is_for(f->identity, below))
                continue;
        }
        if (!cert_identity_is_for(f->identity, name))
            log_warn("callers will refuse the certificate for a route", "route=%s cert_file=%s",
                     name, log_q(c->cert_file));
    }
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && str_eq(a, b));
}

/* What is read at the start alone. */
static bool same_way_out(const struct gateway_edge *a, const struct gateway_edge *b)
{
    const struct gateway_proxy *p = &a->proxy, *q = &b->proxy;
    return host_eq(&a->host, &b->host) && a->port == b->port && a->tls == b->tls &&
           a->connections == b->connections && same_text(a->token_file, b->token_file) &&
           same_text(a->ca_file, b->ca_file) && p->host.kind == q->host.kind &&
           same_text(p->host.text, q->host.text) && p->port == q->port && p->tls == q->tls &&
           same_text(p->user, q->user) && same_text(p->password_file, q->password_file);
}

static bool same_listener(const struct gateway_listen *a, const struct gateway_listen *b)
{
    return a->port == b->port && a->every == b->every &&
           memcmp(&a->address, &b->address, sizeof(a->address)) == 0;
}

/* Takes a set of files as what is served from now on. Suspends. Connections to servers that were made by the rules of
 * before are not used again. */
static void put_on(struct gateway *g, struct gateway_face *f)
{
    struct gateway_face *before = g->face;
    g->face = f;
    g->mark = f->mark;
    g->generation++;
    g->taken_us = time_real_us();
    g->trouble = (struct err){0};
    health_take(g->health, f->config);
    stdio_take(g->stdio, f->config);
    probes_again(g->probes);
    if (g->decisions)
        decisions_withdraw(g->decisions, "the rules were read anew; call again");
    if (!g->o.level_given)
        log_set_level(f->config->log_level);
    warn_of_names(f);
    supply_taken(g->o.keeper, f->supplied);
    face_unref(before);
}

static void look_again(struct gateway *g, bool always)
{
    struct gateway_face *f;
    struct err e = {0};
    uint64_t mark = g->mark;
    int r = supply_mark(g->o.keeper, &mark, &e);
    if (r < 0 || (mark == g->mark && !always)) /* without a keeper there is soon no gateway */
        return;
    g->mark = mark;
    r = face_read(g->o.keeper, g->pool, g->secrets, g->o.config_path, g->face, &f, &e);
    if (r == 0 && f->config->keeps_state && !g->decisions) {
        face_unref(f);
        r = err_set(&e, -E_DENIED,
                    "%s: pin_tools or tools.confirm is new in it: restart to take it",
                    g->o.config_path);
    }
    if (r < 0) {
        g->trouble = e;
        g->trouble_us = time_real_us();
        log_error("the changed files cannot be used; what was read before goes on", "why=%s",
                  log_q(e.msg));
        return;
    }
    if (!same_way_out(&f->config->edge, uplinks_edge(g->uplinks)) ||
        !same_listener(&f->config->listen, &g->listen))
        log_warn("the way to the edge is another one in the changed file: restart to take it",
                 "file=%s", log_q(g->o.config_path));
    if (!same_text(f->config->audit_file, g->face->config->audit_file))
        log_warn("the audit log is another one in the changed file: restart to take it", "file=%s",
                 log_q(g->o.config_path));
    if (g->decisions && !same_text(f->config->state_dir, g->face->config->state_dir))
        log_warn("the state directory is another one in the changed file: restart to take it",
                 "file=%s", log_q(g->o.config_path));
    put_on(g, f);
    log_info("files read anew", "routes=%zu", g->face->config->n_routes);
}

static int keep_looking(void *arg)
{
    struct gateway *g = arg;
    for (;;) {
        struct fiber_deadline d = fiber_deadline_push_ms(LOOK_MS);
        int r = waitq_wait(&g->look);
        fiber_deadline_pop(&d);
        if (r == -ECANCELED)
            return 0;
        look_again(g, r == 0);
    }
}

void gateway_reload(struct gateway *g)
{
    secret_sources_expire(g->secrets);
    waitq_wake_all(&g->look);
}

/* ---- life ---- */

/* The log has one writer, the keeper, and one who brings records: room is reserved before anything is done. */
static int open_audit(struct gateway *g, struct err *e)
{
    if (!g->face->config->audit_file)
        return 0;
    AUTO_CLOSE int fd = supply_audit(g->o.keeper, e);
    if (fd < 0)
        return fd;
    g->records = audit_client_new();
    int r = audit_client_connect(g->records, fd, e);
    if (r == 0)
        fd = -1;
    return r;
}

static int open_decisions(struct gateway *g, struct err *e)
{
    const struct gateway_config *c = g->face->config;
    if (!c->keeps_state)
        return 0;
    return decisions_open(&(struct decisions_options){.keeper = g->o.keeper,
                                                      .audit = g->records,
                                                      .face = give_face,
                                                      .arg = g},
                          &g->decisions, e);
}

static int open_forward(struct gateway *g, struct err *e)
{
    struct gateway_forward_options o = {.resolver = g->resolver,
                                        .keeper = g->o.keeper,
                                        .stdio = g->stdio,
                                        .health = g->health,
                                        .audit = g->records};
    if (g->decisions) {
        o.pins = decisions_pins(g->decisions);
        o.pins_file = decisions_pins_file(g->decisions);
        o.approvals = decisions_approvals(g->decisions);
    }
    return gateway_forward_new(&o, &g->forward, e);
}

static int open_edge(struct gateway *g, struct err *e)
{
    struct gateway_config *c = g->face->config;
    if ((c->edge.tls || c->edge.proxy.tls) && !(g->edge_trust = tls_trust_new(c->edge.ca_file, e)))
        return -E_TLS;
    g->uplinks = uplinks_new(&(struct uplinks_options){.config = c,
                                                       .keeper = g->o.keeper,
                                                       .resolver = g->resolver,
                                                       .trust = g->edge_trust,
                                                       .serve = serve_caller,
                                                       .up = is_up,
                                                       .arg = g});
    return 0;
}

static int open_page(struct gateway *g, struct err *e)
{
    static const char *const prefixes[] = {"sallyport_gateway_", "sallyport_process_", NULL};
    const struct gateway_listen *admin = &g->face->config->admin;
    if (!g->o.metrics && admin->port) {
        char text[ADDRESS_TEXT_MAX];
        (void)snprintf(g->admin, sizeof(g->admin),
                       address_is_ipv4(&admin->address) ? "%s:%u" : "[%s]:%u",
                       address_text(&admin->address, text), admin->port);
        g->o.metrics = g->admin;
    }
    const struct operator_config c = {.listen = g->o.metrics,
                                      .by_default = "127.0.0.1:8403",
                                      .prefixes = prefixes,
                                      .own = tell,
                                      .own_paths = ", /status",
                                      .series = put_series,
                                      .refresh = refresh,
                                      .arg = g};
    return operator_open(&c, &g->page, e);
}

static int open_all(struct gateway *g, struct err *e)
{
    struct gateway_face *f;
    g->secrets =
        secret_sources_new(&(struct secret_options){.ask = supply_secret, .ask_arg = g->o.keeper});
    int r =
        resolver_new(&(struct resolver_options){.open = supply_resolver, .open_arg = g->o.keeper},
                     &g->resolver, e);
    if (r == 0 && !(g->tls = tls_identities_new(e)))
        r = -E_TLS;
    if (r == 0)
        r = face_read(g->o.keeper, NULL, g->secrets, g->o.config_path, NULL, &f, e);
    if (r < 0)
        return r;
    g->probes = probes_new(&(struct probes_options){.resolver = g->resolver,
                                                    .keeper = g->o.keeper,
                                                    .stdio = g->stdio,
                                                    .health = g->health,
                                                    .face = give_face,
                                                    .arg = g});
    put_on(g, f);
    r = open_audit(g, e);
    if (r == 0)
        r = open_edge(g, e);
    if (r == 0)
        r = open_page(g, e);
    g->listen = g->face->config->listen;
    if (r == 0 && g->listen.port)
        r = listener_open(&g->listen, &g->inner, &g->listener, e);
    return r;
}

int gateway_begin(struct gateway *g, struct err *e)
{
    int r = open_decisions(g, e);
    return r < 0 ? r : open_forward(g, e);
}

struct gateway *gateway_open(const struct gateway_options *o, struct err *e)
{
    struct gateway *g = mem_new(struct gateway);
    g->o = *o;
    g->started_us = time_real_us();
    g->health = health_new();
    g->stdio = stdio_new(&(struct stdio_options){.start = supply_stdio, .arg = o->keeper});
    g->inner = (struct inner_options){.face = give_face, .serve = serve_request, .arg = g};
    waitq_init(&g->look);
    waitq_init(&g->changed);
    if (open_all(g, e) < 0) {
        gateway_close(g);
        return NULL;
    }
    g->inner.tls = g->tls;
    return g;
}

/* Until both ways in have ended. */
static int serve_all(struct gateway *g)
{
    AUTO(scope) ways;
    scope_init(&ways);
    int r = 0;
    if (g->listener)
        r = fiber_spawn(&ways, "listeners", listener_run, g->listener, NULL);
    if (r == 0 && uplinks_count(g->uplinks) > 0)
        r = fiber_spawn(&ways, "uplinks", uplinks_run, g->uplinks, NULL);
    else if (r == 0)
        is_up(g);
    if (r == 0)
        r = scope_join(&ways);
    return r < 0 ? r : ways.first_error;
}

int gateway_run(struct gateway *g)
{
    AUTO(scope) background;
    scope_init(&background);
    g->pool = pool_new("gateway-files", THREADS);
    int r = fiber_spawn(&background, "files", keep_looking, g, NULL);
    if (r == 0)
        r = fiber_spawn(&background, "slack", slack_run, &g->slack, NULL);
    if (r == 0)
        r = fiber_spawn(&background, "probes", probes_run, g->probes, NULL);
    if (r == 0 && g->decisions)
        r = fiber_spawn(&background, "state", decisions_run, g->decisions, NULL);
    if (r == 0 && g->page)
        r = fiber_spawn(&background, "operator", operator_run, g->page, NULL);
    if (r == 0)
        r = serve_all(g);
    g->ended = true;
    waitq_wake_all(&g->changed);
    return r;
}

void gateway_stop(struct gateway *g)
{
    int64_t most_ms = g->face->config->shutdown_timeout_ms;
    g->stopping = true;
    log_info("stopping", "callers=%zu at_most_ms=%lld", callers(g), (long long)most_ms);
    uplinks_drain(g->uplinks);
    if (g->decisions)
        decisions_withdraw(g->decisions, "the gateway ends; call again");
    struct fiber_deadline d = fiber_deadline_push_ms(most_ms);
    if (g->listener)
        listener_stop(g->listener, most_ms);
    while (!g->ended && waitq_wait(&g->changed) == 0)
        ;
    fiber_deadline_pop(&d);
    if (!g->ended)
        uplinks_cut(g->uplinks);
}

static void close_audit(struct gateway *g)
{
    size_t left = audit_client_free(g->records, CLOSE_AUDIT_MS);
    if (left)
        log_error("the last records of the audit log were not written", "records=%zu", left);
}

void gateway_close(struct gateway *g)
{
    if (!g)
        return;
    operator_free(g->page);
    listener_free(g->listener);
    uplinks_free(g->uplinks);
    gateway_forward_free(g->forward);
    stdio_free(g->stdio);
    decisions_free(g->decisions);
    close_audit(g);
    probes_free(g->probes);
    health_free(g->health);
    face_unref(g->face);
    secret_sources_free(g->secrets);
    tls_ctx_free(g->tls);
    tls_trust_free(g->edge_trust);
    resolver_free(g->resolver);
    pool_free(g->pool);
    free(g);
}

uint16_t gateway_edge_port(const struct gateway *g)
{
    return uplinks_edge(g->uplinks)->port;
}

const char *gateway_listens(const struct gateway *g)
{
    return g->listener ? listener_address(g->listener) : NULL;
}

size_t gateway_routes(const struct gateway *g)
{
    return g->face->config->n_routes;
}

const char *gateway_edge_name(const struct gateway *g)
{
    return uplinks_edge(g->uplinks)->host.text;
}
