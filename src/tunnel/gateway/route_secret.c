/* route_secret.c - keeps the secret of a route, and a table of what may not come back.
 *
 * Called on the loop's thread: opened when files are read, renewed on the fiber of each request before
 * anything goes out. The sources decide when a value is read anew (secret/source.h); what is seen here is
 * another pointer. The value of before is remembered for an hour, four of them at most, so that a server
 * that has kept it cannot hand it to a caller after the rotation; so are those of the face of before. A table
 * is compiled when something has changed, not for each request, and serves all routes to that server: it may
 * repeat to the callers of one what it was given by another. Fibers that wait for a source together come
 * back one after the other: each compares with what is there then.
 *
 * Of a route with something else for each caller the route's own entry has no value; each caller's token, which a
 * stranger chooses, has an entry beside it, by hash: with a ceiling, the one that called longest ago goes first, none
 * goes while a request has it. Its table is its own, and made anew when a route to that server has changed. */
#include "tunnel/gateway/route_secret.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/digest.h"
#include "scrub/http/value.h"
#include "scrub/scrub.h"
#include "secret/source.h"
#include "secret/subjects.h"

static const char standin[] = "[secret of the gateway]";
static uint64_t numbers; /* one for each secret that was ever used here */
static uint64_t changes; /* of what routes look for */

struct route_caller {
    struct list node;
    size_t requests; /* that have it */
    int64_t used_ns; /* when the last one came */
    unsigned char hash[DIGEST_SHA256_BYTES];
    struct secret token;
    char refused[DIGEST_SHA256_HEX]; /* "": nothing that is to be told */
    struct route_secret secret;
};

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
    for (size_t i = 0; i < c->n_routes; i++) {
        list[i] = (struct route_secret){.id = "", .peer = &list[i]};
        list_init(&list[i].callers);
    }
    *ret = list;
    for (size_t i = 0; r == 0 && i < c->n_routes; i++) {
        const struct gateway_route *route = &c->routes[i];
        if (route->pass_authorization)
            (void)snprintf(list[i].id, sizeof(list[i].id), "the caller's");
        list[i].decodes = route->tools != NULL;
        if (!route->credential)
            continue;
        list[i].name = route->credential->name;
        r = secret_source_new(all, route->credential->source,
                              route->credential->of_caller ? SECRET_CALLERS : 0, &list[i].source,
                              e);
        if (r < 0)
            return err_wrap(e, r, "%.200s:%u: routes.%s.credential", file, route->line,
                            route->host.text);
        if (route->credential->of_caller)
            list[i].subjects = secret_subjects_new(list[i].source);
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
    changes += s->route == NULL;
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

static void secret_done_with(struct route_secret *s)
{
    while (s->n_former)
        forget(s, 0);
    secret_value_unref(s->now);
    scrub_table_unref(s->table);
}

static void drop_caller(struct route_secret *route, struct route_caller *c)
{
    list_remove(&c->node);
    route->n_callers--;
    secret_done_with(&c->secret);
    secret_done(&c->token);
    free(c);
}

void route_secrets_free(struct route_secret *list, size_t n)
{
    for (size_t i = 0; list && i < n; i++) {
        struct route_secret *s = &list[i];
        LIST_FOREACH_SAFE (c, &s->callers, struct route_caller, node) {
            MUST(c->requests == 0); /* they hold the face */
            drop_caller(s, c);
        }
        secret_done_with(s);
        secret_subjects_free(s->subjects);
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

/* Of all routes to that server; there has to be room. */
static size_t add_ring(const struct route_secret *s, struct scrub_pair *to)
{
    const struct route_secret *x = s;
    size_t n = 0;
    do
        n += add_pairs(x, to + n);
    while ((x = x->peer) != s);
    return n;
}

static size_t routes_in(const struct route_secret *s)
{
    const struct route_secret *x = s;
    size_t n = 0;
    do
        n++;
    while ((x = x->peer) != s);
    return n;
}

/* One for all routes to the server. */
static int make_table(struct route_secret *s, struct err *e)
{
    AUTO_FREE struct scrub_pair *pairs =
        mem_array(routes_in(s) * (ROUTE_SECRET_FORMER + 1), sizeof(*pairs));
    size_t n = add_ring(s, pairs);
    if (n == 0 && !s->decodes)
        return 0;
    drop_table(s); /* an empty one of another route */
    int r = scrub_table_new(pairs, n, SCRUB_ALL, &s->table, e);
    for (struct route_secret *x = s->peer; r == 0 && x != s; x = x->peer)
        if (n || x->decodes)
            x->table = scrub_table_ref(s->table);
    return r;
}

/* What one caller's answers are looked through for: its own, and what is the routes'. */
static int make_table_of_caller(struct route_secret *s, struct err *e)
{
    AUTO_FREE struct scrub_pair *pairs =
        mem_array((routes_in(s->route) + 1) * (ROUTE_SECRET_FORMER + 1), sizeof(*pairs));
    size_t n = add_pairs(s, pairs);
    n += add_ring(s->route, pairs + n);
    drop_table(s);
    s->made_at = changes;
    return scrub_table_new(pairs, n, SCRUB_ALL, &s->table, e);
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

/* ---- callers ---- */

static struct route_caller *find_caller(struct route_secret *route, const unsigned char *hash)
{
    LIST_FOREACH (c, &route->callers, struct route_caller, node)
        if (memcmp(c->hash, hash, sizeof(c->hash)) == 0)
            return c;
    return NULL;
}

static bool make_room(struct route_secret *route)
{
    const int64_t before_ns = time_mono_ns() - (int64_t)ROUTE_SECRET_MEMORY_MS * NS_PER_MS;
    LIST_FOREACH_SAFE (c, &route->callers, struct route_caller, node) {
        if (c->requests > 0 || c->used_ns > before_ns)
            break;
        drop_caller(route, c);
    }
    if (route->n_callers < ROUTE_SECRET_CALLERS)
        return true;
    LIST_FOREACH (c, &route->callers, struct route_caller, node)
        if (c->requests == 0) {
            drop_caller(route, c);
            return true;
        }
    return false;
}

static int add_caller(struct route_secret *route, const unsigned char *hash, const char *token,
                      size_t n, struct route_caller **ret, struct err *e)
{
    if (!make_room(route))
        return err_set(e, -EBUSY, "too many callers of this route have requests under way");
    struct route_caller *c = mem_new(struct route_caller);
    int r = secret_set(&c->token, token, n);
    if (r < 0) {
        free(c);
        return err_set(e, r, "no memory for a caller's token");
    }
    memcpy(c->hash, hash, sizeof(c->hash));
    c->secret = (struct route_secret){.id = "",
                                      .name = route->name,
                                      .source = route->source,
                                      .peer = &c->secret,
                                      .decodes = true,
                                      .route = route,
                                      .caller = c};
    list_push_back(&route->callers, &c->node);
    route->n_callers++;
    *ret = c;
    return 0;
}

int route_secret_of_caller(struct route_secret *route, const char *token, size_t n,
                           struct route_secret **ret, struct err *e)
{
    unsigned char hash[DIGEST_SHA256_BYTES];
    digest_sha256(token, n, hash);
    struct route_caller *c = find_caller(route, hash);
    int r = c ? 0 : add_caller(route, hash, token, n, &c, e);
    if (r < 0)
        return r;
    list_remove(&c->node);
    list_push_back(&route->callers, &c->node);
    c->requests++;
    c->used_ns = time_mono_ns();
    *ret = &c->secret;
    return 0;
}

void route_secret_leave(struct route_secret *s)
{
    if (!s || !s->caller)
        return;
    MUST(s->caller->requests > 0);
    s->caller->requests--;
}

void route_secret_refused(struct route_secret *s)
{
    char hash[DIGEST_SHA256_HEX];
    if (!s->now)
        return;
    const struct secret *v = secret_value_secret(s->now);
    digest_sha256_hex(secret_borrow(v), v->len, hash);
    if (s->caller)
        memcpy(s->caller->refused, hash, sizeof(hash));
    else
        secret_source_distrust(s->source, hash);
}

/* ---- for a request ---- */

static bool ring_is_known(const struct route_secret *s)
{
    const struct route_secret *x = s;
    do
        if (x->source && !x->subjects && !x->now)
            return false;
    while ((x = x->peer) != s);
    return true;
}

bool route_secret_is_known(const struct route_secret *s)
{
    const struct route_secret *of = s->route ? s->route : s;
    bool some = s->caller != NULL;
    const struct route_secret *x = of;
    do
        some = some || (x->source && !x->subjects);
    while ((x = x->peer) != of);
    return ring_is_known(s) && ring_is_known(of) && (!some || s->table);
}

struct budget *route_secret_memory(struct route_secret *s)
{
    return s->route ? &s->route->memory : &s->memory;
}

/* Before it suspends the caller's word is taken: it is told once. */
static int ask(struct route_secret *s, struct secret_value **ret, struct err *e)
{
    char refused[DIGEST_SHA256_HEX];
    if (!s->caller)
        return secret_source_get(s->source, ret, e);
    struct route_caller *c = s->caller;
    memcpy(refused, c->refused, sizeof(refused));
    c->refused[0] = '\0';
    return secret_subjects_get(s->route->subjects, secret_borrow(&c->token), c->token.len,
                               refused[0] ? refused : NULL, ret, e);
}

static void forget_old_of_ring(struct route_secret *s)
{
    struct route_secret *x = s;
    do
        forget_old(x);
    while ((x = x->peer) != s);
}

int route_secret_renew(struct route_secret *s, struct err *e)
{
    struct secret_value *v;
    if (s->source && !s->subjects) {
        int r = ask(s, &v, e);
        if (r == 0)
            r = take(s, v, e);
        if (r < 0)
            return r;
    }
    forget_old_of_ring(s);
    if (!s->route)
        return s->table ? 0 : make_table(s, e);
    forget_old_of_ring(s->route);
    return s->table && s->made_at == changes ? 0 : make_table_of_caller(s, e);
}
