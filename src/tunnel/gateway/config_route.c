/* config_route.c - which host leads to which server.
 *
 * Reading is called by config.c when a file is loaded; finding by whoever serves a call, for a host
 * that the caller controls and that host_parse has made canonical. One map has every route under the
 * host that the file gives it. A caller's host is looked for as it is, then without the tunnel's
 * domain, so a route has up to two meanings: itself, and itself under the domain. Two routes that share
 * one are refused when they are read, so the order of the two looks decides nothing. */
#include "tunnel/gateway/config_route.h"

#include <string.h>

#include "base/document.h"
#include "base/err.h"
#include "tunnel/gateway/config_callers.h"
#include "tunnel/gateway/config_credential.h"
#include "tunnel/gateway/config_fields.h"
#include "tunnel/gateway/config_reach.h"
#include "tunnel/gateway/config_stdio.h"
#include "tunnel/gateway/config_tools.h"
#include "tunnel/gateway/config_value.h"

/* Bytes of `h` in front of ".tunnel_domain"; 0 when it is not below that. */
static size_t below(const struct gateway_config *c, const struct host *h)
{
    const struct host *d = &c->tunnel_domain;
    if (d->kind != HOST_NAME || h->n < d->n + 2)
        return 0;
    const size_t n = h->n - d->n - 1u;
    return h->text[n] == '.' && memcmp(h->text + n + 1, d->text, d->n) == 0 ? n : 0;
}

/* The route of the name that is left of `h` without the domain, or NULL. */
static struct gateway_route *under(const struct gateway_config *c, const struct host *h)
{
    char name[HOST_TEXT_MAX + 1];
    const size_t n = below(c, h);
    if (n == 0)
        return NULL;
    memcpy(name, h->text, n);
    name[n] = '\0';
    return map_get(&c->by_host, name);
}

/* The route of `h` with the domain behind it, or NULL. */
static struct gateway_route *above(const struct gateway_config *c, const struct host *h)
{
    char name[2 * HOST_TEXT_MAX + 2];
    memcpy(name, h->text, h->n);
    name[h->n] = '.';
    memcpy(name + h->n + 1, c->tunnel_domain.text, c->tunnel_domain.n + 1u);
    return map_get(&c->by_host, name);
}

const struct gateway_route *gateway_config_route(const struct gateway_config *c,
                                                 const struct host *h)
{
    if (h->kind != HOST_NAME)
        return NULL;
    const struct gateway_route *r = map_get(&c->by_host, h->text);
    return r ? r : under(c, h);
}

static int read_host(const struct place *at, const struct gateway_config *c, struct host *ret)
{
    const struct host *d = &c->tunnel_domain;
    struct err why = {0};
    int r = host_parse(at->key, strlen(at->key), HOST_UNICODE, ret, &why);
    if (r < 0)
        return place_wrap(at, &why);
    if (ret->labels > 1)
        return 0;
    if (d->kind != HOST_NAME)
        return place_fail(at, "is a name under \"tunnel_domain\", which is missing");
    if (ret->n + 1u + d->n > HOST_TEXT_MAX)
        return place_fail(at, "has more than %d bytes together with \"tunnel_domain\"",
                          HOST_TEXT_MAX);
    return 0;
}

/* What can be told of an upstream before it is resolved. */
static int check_upstream(const struct place *at, const struct gateway_config *c,
                          const struct gateway_upstream *u)
{
    const bool six = u->host.kind == HOST_IPV6;
    struct err why = {0};
    struct address a;
    if (u->scheme == GATEWAY_HTTPS && !c->upstream_ca_file && !c->upstream_system_cas)
        return place_fail(at,
                          "nobody is trusted for https: give \"upstream.tls.ca_file\", or leave "
                          "\"include_system_cas\" out");
    if (u->host.kind != HOST_IPV4 && !six)
        return 0;
    int r = address_parse(u->host.text + six, u->host.n - 2u * six, &a, &why);
    if (r == 0)
        r = gateway_config_may_connect(c, &a, NULL, &why);
    return r < 0 ? place_fail(at, "%s", why.msg) : 0;
}

/* The upstream itself, or an object with it. */
static int read_upstream(const struct place *at, const struct gateway_config *c,
                         const struct host *host, struct gateway_upstream *ret)
{
    struct place upstream = *at;
    int r = 0;
    if (json_is_object(at->value)) {
        r = place_object(at, FIELD_ROUTE);
        upstream = place_member(at, "upstream");
        if (r == 0 && config_stdio_is(at))
            return config_stdio(at, host, ret);
    } else if (!json_is_string(at->value))
        return place_fail(at, "an upstream is expected, as in http://10.0.3.7:9000, or an object");
    if (r == 0)
        r = config_upstream(&upstream, ret);
    return r < 0 ? r : check_upstream(&upstream, c, ret);
}

static int add(const struct place *at, struct gateway_config *c)
{
    struct gateway_route *route = &c->routes[c->n_routes];
    c->n_read = c->n_routes + 1; /* also of one that is refused something may have been made */
    int r = read_host(at, c, &route->host);
    if (r == 0)
        r = read_upstream(at, c, &route->host, &route->upstream);
    if (r == 0 && json_is_object(at->value))
        r = config_credential(at, route);
    if (r == 0 && json_is_object(at->value))
        r = config_tools(at, route);
    if (r == 0)
        r = config_callers_route(at, c, route);
    if (r < 0)
        return r;
    const struct gateway_route *other = map_get(&c->by_host, route->host.text);
    other = other ? other : under(c, &route->host);
    other = other ? other : above(c, &route->host);
    if (other)
        return place_fail(at, "means the same host as %.253s in line %u", other->host.text,
                          other->line);
    route->line = (uint32_t)place_line(at);
    c->keeps_state =
        c->keeps_state || route->pins != PIN_OFF || (route->tools && route->tools->confirm.n > 0);
    c->n_routes++;
    map_put(&c->by_host, route->host.text, route);
    return 0;
}

int config_routes(const struct place *routes, struct gateway_config *c)
{
    const char *name;
    json_t *value;
    if (!routes->value)
        return place_fail(routes, "is missing");
    const size_t n = json_object_size(routes->value);
    if (n == 0)
        return place_fail(routes, "hosts with their upstreams are expected, as in {wiki: "
                                  "http://10.0.3.7:9000}");
    if (n > GATEWAY_ROUTES_MAX)
        return place_fail(routes, "has %zu routes, at most %d are allowed", n, GATEWAY_ROUTES_MAX);
    c->routes = mem_array(n, sizeof(*c->routes));
    json_object_foreach ((json_t *)(uintptr_t)routes->value, name, value) {
        struct place at = place_member(routes, name);
        int r = add(&at, c);
        if (r < 0)
            return r;
    }
    return 0;
}
