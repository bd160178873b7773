/* route_secret.c - keeps the secret of a route, and a table of what may not come back.
 *
 * Called on the loop's thread: opened when files are read, renewed on the fiber of each request before
 * anything goes out. The sources decide when a value is read anew (secret/source.h); what is seen here is
 * another pointer. The value of before is remembered for an hour, four of them at most, so that a server
 * that has kept it cannot hand it to a caller after the rotation; so are those of the face of before. A table
 * is compiled when something has changed, not for each request, and serves all routes to that server: it may
 * repeat to the callers of one what it was given by another. Fibers that wait for a source together come
 * back one after the other: each compares with what is there then. */
#include "tunnel/gateway/route_secret.h"

#include <stdio.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "scrub/http/value.h"
#include "scrub/scrub.h"
#include "secret/source.h"

static const char standin[] = "[secret of the gateway]";
static uint64_t numbers; /* one for each secret that was ever used here */

static bool same_server(const struct gateway_upstream *a, const struct gateway_upstream *b)
{
    return a->scheme == b->scheme && a->port == b->port && host_eq(&a->host, &b->host) &&
           (a->path && b->path ? str_eq(a->path, b->path) : a->path == b->path);
}

/* Closes a ring of the routes to one server. With a credential in it every one has a table from the start,
 * for a stream that began without one cannot get it later. */
static void join(struct route_secret *list, const struct gateway_config *c)
{
    for (size_t i = 0; i < c->n_routes; i++) {
        struct route_secret *s = &list[i];
        for (size_t k = 0; k < i && s->peer == s; k++)
            if (same_server(&c->routes[k].upstream, &c->routes[i].upstream)) {
                s->peer = list[k].peer;
                list[k].peer = s;
            }
    }
    for (size_t i = 0; i < c->n_routes; i++)
        for (struct route_secret *x = list[i].peer; x != &list[i]; x = x->peer)
            list[i].decodes = list[i].decodes || c->routes[x - list].credential;
}

int route_secrets_open(struct secret_sources *all, const struct gateway_config *c, const char *file,
                       struct route_secret **ret, struct err *e)
{
    struct route_secret *list = mem_array(c->n_routes, sizeof(*list));
    int r = 0;
    for (size_t i = 0; i < c->n_routes; i++)
        list[i] = (struct route_secret){.id = "", .peer = &list[i]};
    *ret = list;
    for (size_t i = 0; r == 0 && i < c->n_routes; i++) {
        const struct gateway_route *route = &c->routes[i];
        if (route->pass_authorization)
            (void)snprintf(list[i].id, sizeof(list[i].id), "the caller's");
        list[i].decodes = route->tools != NULL;
        if (!route->credential)
            continue;
        list[i].name = route->credential->name;
        r = secret_source_new(all, route->credential->source, 0, &list[i].source, e);
        if (r < 0)
            return err_wrap(e, r, "%.200s:%u: routes.%s.credential", file, route->line,
                            route->host.text);
    }
    if (r == 0)
        join(list, c);
    return r;
}

static void forget(struct route_secret *s, size_t i)
{
    secret_value_unref(s->former[i].value);
    for (; i + 1 < ROUTE_SECRET_FORMER; i++)
        s->former[i] = s->former[i + 1];
    s->n_former--;
}

/* Of all routes to the server. */
static void drop_table(struct route_secret *s)
{
    struct route_secret *x = s;
    do {
        scrub_table_unref(x->table);
        x->table = NULL;
        x = x->peer;
    } while (x != s);
}

/* Takes the reference over. */
static void remember(struct route_secret *s, struct secret_value *v, int64_t until_ns)
{
    for (size_t i = 0; i < s->n_former; i++)
        if (s->former[i].value == v)
            forget(s, i--);
    if (s->n_former == ROUTE_SECRET_FORMER)
        forget(s, s->n_former - 1);
    for (size_t i = s->n_former++; i > 0; i--)
        s->former[i] = s->former[i - 1];
    s->former[0].value = v;
    s->former[0].until_ns = until_ns;
    drop_table(s);
}

static int64_t for_an_hour(void)
{
    return time_mono_ns() + (int64_t)ROUTE_SECRET_MEMORY_MS * NS_PER_MS;
}

static void inherit(struct route_secret *s, const struct route_secret *old)
{
    for (size_t f = old->n_former; f-- > 0;)
        remember(s, secret_value_ref(old->former[f].value), old->former[f].until_ns);
    if (old->now)
        remember(s, secret_value_ref(old->now), for_an_hour());
}

/* The route to a server that has the most room for what no route remembers any more. */
static struct route_secret *heir(struct route_secret *list, const struct gateway_config *c,
                                 const struct gateway_upstream *up)
{
    struct route_secret *best = NULL;
    for (size_t i = 0; i < c->n_routes; i++)
        if (same_server(&c->routes[i].upstream, up) && (!best || list[i].n_former < best->n_former))
            best = &list[i];
    return best;
}

void route_secrets_inherit(struct route_secret *list, const struct gateway_config *c,
                           const struct route_secret *old, const struct gateway_config *old_c)
{
    for (size_t k = 0; k < old_c->n_routes; k++) {
        const struct gateway_upstream *up = &old_c->routes[k].upstream;
        bool kept = false; /* for the server that has it */
        for (size_t i = 0; i < c->n_routes; i++) {
            if (!host_eq(&c->routes[i].host, &old_c->routes[k].host))
                continue;
            inherit(&list[i], &old[k]);
            kept = same_server(&c->routes[i].upstream, up);
        }
        struct route_secret *other = kept ? NULL : heir(list, c, up);
        if (other)
            inherit(other, &old[k]);
    }
}

void route_secrets_free(struct route_secret *list, size_t n)
{
    for (size_t i = 0; list && i < n; i++) {
        struct route_secret *s = &list[i];
        while (s->n_former)
            forget(s, 0);
        secret_value_unref(s->now);
        scrub_table_unref(s->table);
        secret_source_unref(s->source);
    }
    free(list);
}

static void forget_old(struct route_secret *s)
{
    const int64_t now_ns = time_mono_ns();
    for (size_t i = s->n_former; i-- > 0;)
        if (s->former[i].until_ns <= now_ns || s->former[i].value == s->now) {
            forget(s, i);
            drop_table(s);
        }
}

static struct scrub_pair pair_of(const char *name, const struct secret_value *value)
{
    const struct secret *v = secret_value_secret(value);
    return (struct scrub_pair){name, secret_borrow(v), v->len, standin, sizeof(standin) - 1};
}

static size_t add_pairs(const struct route_secret *s, struct scrub_pair *to)
{
    size_t n = 0;
    if (s->now)
        to[n++] = pair_of(s->name, s->now);
    for (size_t i = 0; i < s->n_former; i++)
        to[n++] = pair_of("of before", s->former[i].value);
    return n;
}

/* One for all routes to the server. */
static int make_table(struct route_secret *s, struct err *e)
{
    size_t n = 0, routes = 0;
    struct route_secret *x = s;
    do
        routes++;
    while ((x = x->peer) != s);
    AUTO_FREE struct scrub_pair *pairs =
        mem_array(routes * (ROUTE_SECRET_FORMER + 1), sizeof(*pairs));
    do
        n += add_pairs(x, pairs + n);
    while ((x = x->peer) != s);
    if (n == 0 && !s->decodes)
        return 0;
    drop_table(s); /* an empty one of another route */
    int r = scrub_table_new(pairs, n, SCRUB_ALL, &s->table, e);
    for (x = s->peer; r == 0 && x != s; x = x->peer)
        if (n || x->decodes)
            x->table = scrub_table_ref(s->table);
    return r;
}

static int take(struct route_secret *s, struct secret_value *v, struct err *e)
{
    if (v == s->now) {
        secret_value_unref(v);
        return 0;
    }
    /* All of it before it is taken: what was is remembered for an hour, and no table would be made. */
    const char *wrong = value_wrong(secret_value_secret(v), true);
    const struct scrub_pair pair = pair_of(s->name, v);
    int r = wrong
                ? err_set(e, -EINVAL, "the secret of %s %s", secret_source_place(s->source), wrong)
                : scrub_pair_check(&pair, e);
    if (r < 0) {
        secret_value_unref(v);
        return r;
    }
    if (s->now)
        remember(s, s->now, for_an_hour());
    s->now = v;
    (void)snprintf(s->id, sizeof(s->id), "%.64s/%llu", s->name, (unsigned long long)++numbers);
    drop_table(s);
    return 0;
}

int route_secret_renew(struct route_secret *s, struct err *e)
{
    struct secret_value *v;
    if (s->source) {
        int r = secret_source_get(s->source, &v, e);
        if (r == 0)
            r = take(s, v, e);
        if (r < 0)
            return r;
    }
    struct route_secret *x = s;
    do
        forget_old(x);
    while ((x = x->peer) != s);
    return s->table ? 0 : make_table(s, e);
}
