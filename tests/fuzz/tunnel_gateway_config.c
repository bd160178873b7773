/* tunnel_gateway_config.c - fuzzes a gateway's configuration, and what it then decides.
 *
 * Theory of operation: one input is one file, or, after a NUL, a file and a line for each host that a
 * caller names. A refusal has words. What loads must load alike again, lead every route's host to that
 * route, lead a host to no route but one of its name, and keep shut what only its own name opens. */
#include "fuzz.h"
#include "base/err.h"
#include "tunnel/gateway/config.h"

#include <string.h>

#define TEXT_MAX 16384 /* libyaml is slow on some input, and there is a target for that */

static struct address address_at(const char *text)
{
    struct address a;
    MUST(address_parse(text, strlen(text), &a, NULL) == 0);
    return a;
}

/* Networks as wide as these open none of the addresses below. */
static bool names(const struct cidr_list *l, const struct address *a, unsigned bits)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->items[i].bits >= bits && cidr_contains(&l->items[i], a))
            return true;
    return false;
}

static void check_reach(const struct gateway_config *c)
{
    static const struct {
        const char *text;
        unsigned bits;
    } rows[] = {{"127.0.0.1", 104},       {"::1", 128},
                {"169.254.1.1", 112},     {"fe80::1", 10},
                {"169.254.169.254", 128}, {"fd00:ec2::254", 128},
                {"64:ff9b::7f00:1", 128}, {"0.0.0.0", 129},
                {"ff02::1", 129}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct address a = address_at(rows[i].text);
        struct err e = {0};
        int r = gateway_config_may_connect(c, &a, NULL, &e);
        MUST((r == 0) == names(&c->allowed, &a, rows[i].bits));
        MUST(r == 0 || (r == -E_DENIED && e.msg[0]));
    }
}

static void check_routes(const struct gateway_config *c)
{
    MUST(c->n_routes > 0 && c->n_routes <= GATEWAY_ROUTES_MAX);
    for (size_t i = 0; i < c->n_routes; i++) {
        const struct gateway_route *r = &c->routes[i];
        const struct gateway_upstream *u = &r->upstream;
        MUST(r->host.kind == HOST_NAME && r->line > 0);
        MUST(gateway_config_route(c, &r->host) == r);
        if (u->scheme == GATEWAY_UNIX)
            MUST(u->path && u->path[0] == '/' && u->host.kind == HOST_NONE);
        else
            MUST(!u->path && u->host.kind != HOST_NONE && u->port);
        if (c->tunnel_domain.kind == HOST_NONE)
            continue;
        char text[2 * HOST_TEXT_MAX + 2];
        memcpy(text, r->host.text, r->host.n);
        text[r->host.n] = '.';
        memcpy(text + r->host.n + 1, c->tunnel_domain.text, c->tunnel_domain.n + 1u);
        struct host under;
        if (host_parse(text, strlen(text), 0, &under, NULL) == 0)
            MUST(gateway_config_route(c, &under) == r);
    }
}

static void ask(const struct gateway_config *c, const char *text, size_t n)
{
    struct host h;
    if (host_parse(text, n, HOST_LITERALS, &h, NULL) < 0)
        return;
    const struct gateway_route *r = gateway_config_route(c, &h);
    if (!r || host_eq(&r->host, &h))
        return;
    const struct host *d = &c->tunnel_domain;
    MUST(d->kind == HOST_NAME && h.n == r->host.n + 1 + d->n && h.text[r->host.n] == '.');
    MUST(memcmp(h.text, r->host.text, r->host.n) == 0);
    MUST(memcmp(h.text + r->host.n + 1, d->text, d->n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *text = (const char *)data;
    const char *end = n ? memchr(text, '\0', n) : NULL;
    size_t len = end ? (size_t)(end - text) : n;
    struct gateway_config *c = NULL, *again = NULL;
    struct err e = {0};
    if (len > TEXT_MAX)
        return 0;
    int r = gateway_config_parse("f", text, len, &c, &e);
    if (r < 0) {
        MUST(!c && e.code == r && e.msg[0]);
        return 0;
    }
    MUST(gateway_config_parse("f", text, len, &again, &e) == 0);
    MUST(again->n_routes == c->n_routes && again->allowed.n == c->allowed.n);
    gateway_config_unref(again);
    MUST(c->cert_file && c->key_file && (c->listen.port || c->edge.host.kind != HOST_NONE));
    MUST(c->edge.host.kind == HOST_NONE || (c->edge.token_file && c->edge.port));
    check_reach(c);
    check_routes(c);
    for (const char *q = end ? end + 1 : text + n; q < text + n;) {
        const char *line = memchr(q, '\n', (size_t)(text + n - q));
        const char *stop = line ? line : text + n;
        ask(c, q, (size_t)(stop - q));
        q = stop + 1;
    }
    gateway_config_unref(c);
    return 0;
}
