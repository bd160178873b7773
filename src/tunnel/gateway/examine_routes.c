/* examine_routes.c - every route's server: can it be reached, and does it speak MCP.
 *
 * A few at a time, each on a fiber of its own, and told in the order of the file. Reaching is what a call
 * does (reach), the questions are those of mcp_look. A server that is no MCP server is told and is no failure:
 * a route may lead to anything that speaks HTTP. */
#include "base/str.h"
#include "io/tls.h"
#include "tunnel/gateway/examine_internal.h"
#include "tunnel/gateway/health.h"
#include "tunnel/gateway/mcp_look.h"

#define AT_ONCE 8
#define SLOW_US 5000000

struct result {
    struct reach_seen seen;
    struct err e, mcp_e;
    int r, mcp_r;
    bool program;
    struct mcp_seen mcp;
};

struct round {
    struct examine *x;
    struct tls_trust *trust;
    struct stdio_bridge *stdio;
    struct result *all;
    size_t next;
};

static void look_at(struct round *d, const struct gateway_upstream *up, struct result *ret)
{
    struct stream s;
    enum http_version version;
    const struct reach_how how = {.config = d->x->config,
                                  .trust = d->trust,
                                  .shown = d->x->shown,
                                  .stdio = d->stdio,
                                  .resolver = d->x->resolver,
                                  .own = &d->x->own};
    ret->program = up->stdio;
    ret->r = gateway_reach(&how, up, &s, &version, &ret->seen, &ret->e);
    stream_done(&s);
    if (ret->r == 0)
        ret->mcp_r = mcp_look(&how, up, &ret->mcp, &ret->mcp_e);
}

static int help(void *arg)
{
    struct round *d = arg;
    while (d->next < d->x->config->n_routes) {
        size_t i = d->next++;
        look_at(d, &d->x->config->routes[i].upstream, &d->all[i]);
    }
    return 0;
}

/* ---- words ---- */

static const char *fix_for(const char *source, enum gateway_scheme scheme)
{
    if (str_eq(source, "dns"))
        return "look at the route's host, and at this machine's DNS (getent hosts NAME)";
    if (str_eq(source, "policy"))
        return "name its network in upstream.allowed_ips, if it is meant to be reached";
    if (str_eq(source, "tls"))
        return "upstream.tls.ca_file: FILE, when the server's authority is your own; or a "
               "certificate for this name";
    if (scheme == GATEWAY_UNIX)
        return "is the server running, and may the gateway's user open its socket?";
    return "is the server running, and does a firewall let this machine to it?";
}

/* Its process is what is reached, so one answer says all. */
static void tell_program(const struct examine *x, const struct gateway_route *route,
                         const struct result *t)
{
    AUTO_FREE char *up = health_upstream_text(&route->upstream);
    const char *said = x->o->last_words(x->o->stdio.arg, route->host.text);
    if (t->r == 0 && t->mcp_r == 0 && t->mcp.speaks)
        TELL(x, EXAMINE_ROUTES, "route_reach", route->host.text, FINDING_OK, NULL, NULL,
             "%s is started in its sandbox, and answers", up);
    else
        TELL(x, EXAMINE_ROUTES, "route_reach", route->host.text, FINDING_FAIL,
             "callers of this route get an error",
             "what the program says is above; sandbox.binds shows it what it needs", "%s: %s%s%s",
             up,
             t->r < 0       ? t->e.msg
             : t->mcp_r < 0 ? t->mcp_e.msg
                            : "it does not answer initialize as MCP has it",
             said ? "; its last words: " : "", said ? said : "");
}

static void tell_reach(const struct examine *x, const struct gateway_route *route,
                       const struct result *t)
{
    if (route->upstream.stdio) {
        tell_program(x, route, t);
        return;
    }
    AUTO_FREE char *up = health_upstream_text(&route->upstream);
    const char *name = route->host.text;
    if (t->r < 0)
        TELL(x, EXAMINE_ROUTES, "route_reach", name, FINDING_FAIL,
             "callers of this route get an error", fix_for(t->seen.source, route->upstream.scheme),
             "%s: %s: %s", up, t->seen.source, t->e.msg[0] ? t->e.msg : err_text(t->r));
    else
        TELL(x, EXAMINE_ROUTES, "route_reach", name, FINDING_OK, NULL, NULL, "%s%s%s answers%s", up,
             t->seen.peer[0] ? " at " : "", t->seen.peer,
             route->upstream.scheme == GATEWAY_HTTPS ? ", its certificate is good" : "");
}

static void tell_tools(const struct examine *x, const char *name, const struct mcp_seen *m)
{
    AUTO_FREE char *tools = m->tools < 0 ? mem_strdup("it did not list its tools")
                                         : mem_printf("%lld%s tool%s", (long long)m->tools,
                                                      m->more_tools ? " and more" : "",
                                                      m->tools == 1 && !m->more_tools ? "" : "s");
    bool slow = m->took_us > SLOW_US;
    TELL(x, EXAMINE_ROUTES, "route_mcp", name, slow ? FINDING_NOTE : FINDING_OK,
         slow ? "callers with short deadlines give up" : NULL,
         slow ? "find out why the server takes so long" : NULL,
         "speaks MCP %s at %s%s%s, %s, first answer after %.1f ms", m->version, m->path,
         m->name[0] ? " as " : "", m->name, tools, (double)m->took_us / 1000);
}

static void tell_mcp(const struct examine *x, const char *name, const struct result *t)
{
    const struct mcp_seen *m = &t->mcp;
    if (t->program && (t->r < 0 || t->mcp_r < 0 || !m->speaks))
        return; /* it is told */
    if (t->r < 0)
        TELL(x, EXAMINE_ROUTES, "route_mcp", name, FINDING_UNTRIED, NULL, NULL,
             "MCP: its server cannot be reached");
    else if (t->mcp_r < 0)
        TELL(x, EXAMINE_ROUTES, "route_mcp", name, FINDING_FAIL,
             "callers of this route get an error",
             "is that the server's HTTP port, and http or https as the route says?",
             "no answer in HTTP: %s", t->mcp_e.msg[0] ? t->mcp_e.msg : err_text(t->mcp_r));
    else if (m->speaks)
        tell_tools(x, name, m);
    else if (m->status == 401 || m->status == 403)
        TELL(x, EXAMINE_ROUTES, "route_mcp", name, FINDING_NOTE, NULL, NULL,
             "it answers, and wants a credential (%d): whether it speaks MCP was not seen",
             m->status);
    else
        TELL(x, EXAMINE_ROUTES, "route_mcp", name, FINDING_NOTE, NULL,
             "if it is an MCP server at another path, callers have to name that path",
             "it answers HTTP (%d), and does not speak MCP at /mcp or /", m->status);
}

/* Only those of https need it; NULL when none does, or with words. */
static struct tls_trust *trust_of(const struct gateway_config *c, struct err *e)
{
    bool https = false;
    for (size_t i = 0; i < c->n_routes; i++)
        https = https || c->routes[i].upstream.scheme == GATEWAY_HTTPS;
    if (!https)
        return NULL;
    return c->upstream_system_cas ? tls_trust_new(c->upstream_ca_file, e)
                                  : tls_trust_only(c->upstream_ca_file, e);
}

void examine_routes(struct examine *x)
{
    const struct gateway_config *c = x->config;
    struct err e = {0};
    struct round d = {.x = x, .trust = trust_of(c, &e)};
    if (e.msg[0]) {
        TELL(x, EXAMINE_ROUTES, "routes", "routes", FINDING_FAIL, "the gateway does not start",
             NULL, "%s", e.msg);
        return;
    }
    d.stdio = stdio_new(&x->o->stdio);
    d.all = mem_zalloc(c->n_routes * sizeof(*d.all));
    AUTO(scope) s;
    scope_init(&s);
    int r = 0;
    for (size_t i = 0; r == 0 && i < AT_ONCE && i < c->n_routes; i++)
        r = fiber_spawn(&s, "route", help, &d, NULL);
    if (r == 0)
        r = scope_join(&s);
    scope_done(&s);
    for (size_t i = 0; r == 0 && i < c->n_routes; i++) {
        tell_reach(x, &c->routes[i], &d.all[i]);
        tell_mcp(x, c->routes[i].host.text, &d.all[i]);
        examine_tools(x, &c->routes[i], d.all[i].mcp.names, d.all[i].mcp.more_tools);
    }
    for (size_t i = 0; i < c->n_routes; i++)
        json_decref(d.all[i].mcp.names);
    if (r < 0)
        TELL(x, EXAMINE_ROUTES, "routes", "routes", FINDING_UNTRIED, NULL, NULL, "%s", err_text(r));
    free(d.all);
    stdio_free(d.stdio);
    tls_trust_free(d.trust);
}
