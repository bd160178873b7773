/* status.c - the parts of a running gateway, read into JSON.
 *
 * Called on the admin listener's fiber, between two suspensions of everybody else, so that what is told fits
 * together. Who asks is on this machine: names and addresses of the private side may be told, secrets may
 * not, and none is in what is read here. Ready is a gateway that can serve: one connection to the edge at
 * least is up (where it dials one), every route's server has been looked at, and one of them answers. One dead server among
 * several is told and does not make the whole not ready: the others are served. */
#include "tunnel/gateway/status.h"

#include "base/buf.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/cert.h"
#include "tunnel/gateway/decisions.h"
#include "tunnel/gateway/health.h"
#include "tunnel/gateway/stdio.h"
#include "tunnel/gateway/uplink.h"

#include <stdio.h>

#define NAMES_BYTES 16384

static void put_time(json_t *o, const char *key, int64_t us)
{
    char text[TIME_RFC3339_MAX];
    json_put_str(o, key, us > 0 ? time_format(text, us) : NULL);
}

static json_t *edge_json(const struct status_view *v)
{
    const struct gateway_edge *edge = uplinks_edge(v->uplinks);
    if (edge->host.kind == HOST_NONE)
        return json_null();
    json_t *o = json_new_object();
    json_put_str(o, "host", edge->host.text);
    json_put_int(o, "port", edge->port);
    json_put_bool(o, "tls", edge->tls);
    json_put_str(o, "proxy", edge->proxy.host.kind == HOST_NONE ? NULL : edge->proxy.host.text);
    json_put_str(o, "proxy_from",
                 edge->proxy.host.kind == HOST_NONE ? NULL
                 : edge->proxy.from_environment     ? "HTTPS_PROXY"
                                                    : "configuration");
    json_put_str(o, "trouble", uplinks_trouble(v->uplinks)[0] ? uplinks_trouble(v->uplinks) : NULL);
    return o;
}

static json_t *connections_json(const struct status_view *v)
{
    json_t *list = json_array();
    int64_t now_ns = time_mono_ns();
    for (unsigned i = 0; i < uplinks_count(v->uplinks); i++) {
        struct uplink_facts f;
        uplinks_look(v->uplinks, i, &f);
        json_t *o = json_new_object();
        json_put_int(o, "connection", i);
        json_put_str(o, "state", f.up ? "up" : "down");
        json_put(o, "seconds",
                 f.since_ns ? json_integer((now_ns - f.since_ns) / NS_PER_S) : json_null());
        json_put(o, "rtt_us", f.rtt_ns ? json_integer(f.rtt_ns / 1000) : json_null());
        json_put_int(o, "callers", (int64_t)f.callers);
        json_put_int(o, "failures", f.failures);
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *certificate_json(const struct gateway_face *f)
{
    AUTO(buf) hosts = BUF_INIT(NAMES_BYTES), issuer = BUF_INIT(NAMES_BYTES);
    int64_t begins_s, ends_s;
    json_t *o = json_new_object();
    cert_identity_times(f->identity, &begins_s, &ends_s);
    (void)cert_identity_hosts(f->identity, &hosts);
    (void)cert_identity_issuer(f->identity, &issuer);
    json_put_str(o, "file", f->config->cert_file);
    json_put_str(o, "hosts", buf_str(&hosts));
    json_put_str(o, "issuer", buf_str(&issuer));
    put_time(o, "begins_at", begins_s * US_PER_S);
    put_time(o, "ends_at", ends_s * US_PER_S);
    return o;
}

static json_t *config_json(const struct status_view *v)
{
    json_t *o = json_new_object();
    json_put_str(o, "file", v->config_path);
    json_put_int(o, "generation", (int64_t)v->generation);
    put_time(o, "taken_at", v->taken_us);
    json_put_str(o, "trouble", v->trouble[0] ? v->trouble : NULL);
    put_time(o, "trouble_at", v->trouble[0] ? v->trouble_us : 0);
    return o;
}

/* Of those that are programs, what runs. */
static json_t *routes_json(const struct status_view *v)
{
    json_t *list = health_routes_json(v->health, false), *o;
    const struct gateway_config *c = v->face->config;
    size_t i;
    json_array_foreach (list, i, o) {
        const char *name = json_get_str(o, "route");
        size_t processes, sessions;
        for (size_t k = 0; k < c->n_routes; k++) {
            if (!c->routes[k].upstream.stdio || !str_eq(c->routes[k].host.text, name))
                continue;
            stdio_count(v->stdio, name, &processes, &sessions);
            json_put_int(o, "processes", (int64_t)processes);
            json_put_int(o, "sessions", (int64_t)sessions);
        }
    }
    return list;
}

json_t *status_json(const struct status_view *v)
{
    const struct host *domain = &v->face->config->tunnel_domain;
    json_t *o = json_typed("gateway_status");
    int64_t now_us = time_real_us();
    json_put_str(o, "version", SALLYPORT_VERSION);
    json_put_str(o, "connector", uplinks_connector(v->uplinks));
    put_time(o, "now", now_us);
    put_time(o, "started_at", v->started_us);
    json_put_bool(o, "stopping", v->stopping);
    json_put_str(o, "tunnel_domain", domain->kind == HOST_NAME ? domain->text : NULL);
    json_put(o, "edge", edge_json(v));
    json_put(o, "connections", connections_json(v));
    json_put_str(o, "listen", v->listens);
    json_put_int(o, "callers", (int64_t)v->callers);
    json_put(o, "certificate", certificate_json(v->face));
    json_put(o, "config", config_json(v));
    json_put(o, "routes", routes_json(v));
    json_put(o, "decisions", v->decisions ? decisions_json(v->decisions) : json_null());
    json_put(o, "failures", health_failures_json(v->health));
    return o;
}

json_t *status_ready_json(const struct status_view *v, bool *ret_ready)
{
    struct health_counts n;
    health_count(v->health, &n);
    size_t up = uplinks_up(v->uplinks);
    bool dials =
        uplinks_count(v->uplinks) > 0; /* else a connector does, of which nothing is known */
    const char *why = v->stopping                 ? "the gateway stops"
                      : up == 0 && dials          ? "no connection to the edge is up"
                      : n.unprobed > 0            ? "not every route has been probed yet"
                      : n.routes > 0 && n.up == 0 ? "the server of no route can be reached"
                                                  : NULL;
    json_t *o = json_new_object();
    *ret_ready = !why;
    json_put_bool(o, "ready", *ret_ready);
    json_put_str(o, "why", why);
    json_put_int(o, "connections", (int64_t)up);
    json_put_int(o, "routes", (int64_t)n.routes);
    json_put_int(o, "routes_up", (int64_t)n.up);
    json_put(o, "not_up", health_routes_json(v->health, true));
    return o;
}
