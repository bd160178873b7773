/* health.c - the table of routes, and the failures that were told last.
 *
 * On the gateway's loop; nothing suspends and nothing is opened. The routes are the operator's, so there are
 * as many entries and series as the configuration has, at most; callers choose nothing but counts, and in the
 * list of failures the host that they asked for, which is a name of ours and bounded. Words are those of the
 * log, cut. Counts of a route begin anew when it was gone in between, as counters may. */
#include "tunnel/gateway/health.h"

#include "base/buf.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 256

static const char *const sources[] = {
    "policy", "dns",        "tls",   "connect",     "timeout",  "protocol", "upstream_closed",
    "busy",   "credential", "audit", "caller_keys", "internal", "other"};
#define SOURCES ARRAY_LEN(sources)
static const char *const outcomes[] = {"answered", "refused", "failed", "abandoned"};

struct counts {
    uint64_t requests[HEALTH_OUTCOMES];
    uint64_t failures[SOURCES];
    uint64_t took_us, n_took;
};

struct entry {
    char name[HOST_TEXT_MAX + 1];
    char *upstream;
    enum health_state state;
    size_t source; /* of the last probe that failed */
    char words[WORDS_MAX];
    int64_t probed_us, changed_us, took_us;
    size_t last_source; /* of the last failure that a caller was told; SOURCES: none */
    int64_t last_us;
    struct counts n;
};

struct told {
    int64_t at_us;
    size_t source;
    int status;
    char host[HOST_TEXT_MAX + 1], route[HOST_TEXT_MAX + 1], words[WORDS_MAX];
};

struct health {
    struct map by_name; /* struct entry */
    struct entry **all; /* in the order of the file */
    size_t n;
    struct told told[HEALTH_FAILURES_MAX];
    uint64_t n_told; /* that there have ever been */
};

METRIC_HISTOGRAM(seconds, "sallyport_gateway_request_seconds", "",
                 "How long requests took, their answers' bodies included")

static size_t source_of(const char *text)
{
    size_t i = 0;
    while (i < SOURCES - 1 && !str_eq(sources[i], text))
        i++;
    return i;
}

static void free_entry(struct entry *r)
{
    free(r->upstream);
    free(r);
}

struct health *health_new(void)
{
    struct health *h = mem_new(struct health);
    map_init(&h->by_name);
    return h;
}

void health_free(struct health *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->n; i++)
        free_entry(h->all[i]);
    free(h->all);
    map_done(&h->by_name);
    free(h);
}

char *health_upstream_text(const struct gateway_upstream *up)
{
    if (up->scheme == GATEWAY_UNIX)
        return mem_printf("unix:%s", up->path);
    if (up->scheme == GATEWAY_STDIO)
        return mem_printf("stdio:%s", up->stdio->command[0]);
    return mem_printf("%s://%s:%u", up->scheme == GATEWAY_HTTPS ? "https" : "http", up->host.text,
                      up->port);
}

static struct entry *new_entry(const char *name)
{
    struct entry *r = mem_new(struct entry);
    (void)str_copy(r->name, sizeof(r->name), name);
    r->last_source = SOURCES;
    return r;
}

/* Takes the text over. */
static void lead_to(struct entry *r, char *upstream)
{
    if (str_eq(r->upstream, upstream)) {
        free(upstream);
        return;
    }
    free(r->upstream);
    r->upstream = upstream;
    r->state = HEALTH_UNPROBED;
    r->words[0] = '\0';
}

void health_take(struct health *h, const struct gateway_config *c)
{
    struct map before = h->by_name;
    free(h->all);
    map_init(&h->by_name);
    h->all = mem_array(c->n_routes, sizeof(struct entry *));
    h->n = 0;
    for (size_t i = 0; i < c->n_routes; i++) {
        const char *name = c->routes[i].host.text;
        struct entry *r = map_remove(&before, name);
        r = r ? r : new_entry(name);
        lead_to(r, health_upstream_text(&c->routes[i].upstream));
        map_put(&h->by_name, name, r);
        h->all[h->n++] = r;
    }
    size_t pos = 0;
    void *gone;
    while (map_next(&before, &pos, NULL, &gone))
        free_entry(gone);
    map_done(&before);
}

/* ---- what happens ---- */

enum health_state health_probed(struct health *h, const char *route, bool up, const char *source,
                                const char *words, int64_t took_us)
{
    struct entry *r = map_get(&h->by_name, route);
    const enum health_state now = up ? HEALTH_UP : HEALTH_DOWN, before = r ? r->state : now;
    if (!r)
        return before;
    r->probed_us = time_real_us();
    r->took_us = took_us;
    if (before != now)
        r->changed_us = r->probed_us;
    r->state = now;
    r->source = source_of(source);
    (void)str_copy(r->words, sizeof(r->words), up || !words ? "" : words);
    return before;
}

void health_request(struct health *h, const char *route, enum health_outcome outcome,
                    int64_t took_us)
{
    struct entry *r = map_get(&h->by_name, route);
    metric_time_us(&seconds, took_us);
    if (!r)
        return;
    r->n.requests[outcome]++;
    r->n.n_took++;
    r->n.took_us += took_us > 0 ? (uint64_t)took_us : 0;
}

void health_failed(struct health *h, const struct health_failure *f)
{
    struct told *t = &h->told[h->n_told++ % HEALTH_FAILURES_MAX];
    struct entry *r = f->route ? map_get(&h->by_name, f->route) : NULL;
    *t =
        (struct told){.at_us = time_real_us(), .source = source_of(f->source), .status = f->status};
    (void)str_copy(t->host, sizeof(t->host), f->host);
    (void)str_copy(t->route, sizeof(t->route), f->route ? f->route : "");
    (void)str_copy(t->words, sizeof(t->words), f->words);
    if (!r)
        return;
    r->last_source = t->source;
    r->last_us = t->at_us;
    r->n.failures[t->source]++;
}

/* ---- what is known ---- */

void health_count(const struct health *h, struct health_counts *ret)
{
    *ret = (struct health_counts){.routes = h->n};
    for (size_t i = 0; i < h->n; i++) {
        ret->unprobed += h->all[i]->state == HEALTH_UNPROBED;
        ret->up += h->all[i]->state == HEALTH_UP;
        ret->down += h->all[i]->state == HEALTH_DOWN;
    }
}

static void put_time(json_t *o, const char *key, int64_t us)
{
    char text[TIME_RFC3339_MAX];
    json_put_str(o, key, us ? time_format(text, us) : NULL);
}

static void put_probe(json_t *o, const struct entry *r)
{
    static const char *const states[] = {"unprobed", "up", "down"};
    json_put_str(o, "route", r->name);
    json_put_str(o, "state", states[r->state]);
    if (r->state == HEALTH_DOWN) {
        json_put_str(o, "source", sources[r->source]);
        json_put_str(o, "why", r->words);
    }
}

static void put_rest(json_t *o, const struct entry *r)
{
    json_t *n = json_new_object();
    json_put_str(o, "upstream", r->upstream);
    put_time(o, "probed_at", r->probed_us);
    put_time(o, "changed_at", r->changed_us);
    json_put_int(o, "probe_us", r->took_us);
    for (size_t i = 0; i < HEALTH_OUTCOMES; i++)
        json_put_int(n, outcomes[i], (int64_t)r->n.requests[i]);
    json_put(o, "requests", n);
    json_put_str(o, "last_failure", r->last_source < SOURCES ? sources[r->last_source] : NULL);
    put_time(o, "last_failure_at", r->last_us);
}

json_t *health_routes_json(const struct health *h, bool down_only)
{
    json_t *list = json_array();
    for (size_t i = 0; i < h->n; i++) {
        const struct entry *r = h->all[i];
        if (down_only && r->state == HEALTH_UP)
            continue;
        json_t *o = json_new_object();
        put_probe(o, r);
        if (!down_only)
            put_rest(o, r);
        json_array_append_new(list, o);
    }
    return list;
}

json_t *health_failures_json(const struct health *h)
{
    json_t *list = json_array();
    size_t n = h->n_told < HEALTH_FAILURES_MAX ? (size_t)h->n_told : HEALTH_FAILURES_MAX;
    for (size_t i = 0; i < n; i++) {
        const struct told *t = &h->told[(h->n_told - 1 - i) % HEALTH_FAILURES_MAX];
        json_t *o = json_new_object();
        put_time(o, "at", t->at_us);
        json_put_str(o, "host", t->host);
        json_put_str(o, "route", t->route[0] ? t->route : NULL);
        json_put_str(o, "source", sources[t->source]);
        json_put_int(o, "status", t->status);
        json_put_str(o, "why", t->words);
        json_array_append_new(list, o);
    }
    return list;
}

/* ---- series ---- */

/* Counts of the routes from `from` on, which share a label. */
static struct counts sum_of(const struct health *h, size_t from)
{
    struct counts all = {.n_took = 0};
    for (size_t i = from; i < h->n; i++) {
        const struct counts *n = &h->all[i]->n;
        for (size_t k = 0; k < HEALTH_OUTCOMES; k++)
            all.requests[k] += n->requests[k];
        for (size_t k = 0; k < SOURCES; k++)
            all.failures[k] += n->failures[k];
        all.took_us += n->took_us;
        all.n_took += n->n_took;
    }
    return all;
}

typedef void put_fn(struct buf *out, const char *route, const struct counts *n);

static void put_requests(struct buf *out, const char *route, const struct counts *n)
{
    for (size_t k = 0; k < HEALTH_OUTCOMES; k++)
        (void)buf_addf(
            out,
            "sallyport_gateway_route_requests_total{route=\"%s\",outcome=\"%s\"} %" PRIu64 "\n",
            route, outcomes[k], n->requests[k]);
}

/* Those that there were: most sources never say anything. */
static void put_failures(struct buf *out, const char *route, const struct counts *n)
{
    for (size_t k = 0; k < SOURCES; k++)
        if (n->failures[k])
            (void)buf_addf(
                out,
                "sallyport_gateway_route_failures_total{route=\"%s\",source=\"%s\"} %" PRIu64 "\n",
                route, sources[k], n->failures[k]);
}

static void put_durations(struct buf *out, const char *route, const struct counts *n)
{
    (void)buf_addf(out, "sallyport_gateway_route_duration_seconds_sum{route=\"%s\"} %.6f\n", route,
                   (double)n->took_us / 1e6);
    (void)buf_addf(out,
                   "sallyport_gateway_route_duration_seconds_count{route=\"%s\"} %" PRIu64 "\n",
                   route, n->n_took);
}

static void put_all(const struct health *h, struct buf *out, const char *name, const char *type,
                    const char *help, put_fn *put)
{
    (void)buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
    for (size_t i = 0; i < h->n && i < HEALTH_SERIES_MAX; i++)
        put(out, h->all[i]->name, &h->all[i]->n);
    if (h->n > HEALTH_SERIES_MAX) {
        const struct counts others = sum_of(h, HEALTH_SERIES_MAX);
        put(out, "*", &others);
    }
}

static void put_up(const struct health *h, struct buf *out)
{
    struct health_counts n;
    health_count(h, &n);
    (void)buf_adds(out,
                   "# HELP sallyport_gateway_route_up Whether the route's server answered the last "
                   "probe\n# TYPE sallyport_gateway_route_up gauge\n");
    for (size_t i = 0; i < h->n && i < HEALTH_SERIES_MAX; i++)
        if (h->all[i]->state != HEALTH_UNPROBED)
            (void)buf_addf(out, "sallyport_gateway_route_up{route=\"%s\"} %d\n", h->all[i]->name,
                           h->all[i]->state == HEALTH_UP);
    (void)buf_addf(out,
                   "# HELP sallyport_gateway_routes Routes by what the last probe found\n"
                   "# TYPE sallyport_gateway_routes gauge\n"
                   "sallyport_gateway_routes{state=\"down\"} %zu\n"
                   "sallyport_gateway_routes{state=\"unprobed\"} %zu\n"
                   "sallyport_gateway_routes{state=\"up\"} %zu\n",
                   n.down, n.unprobed, n.up);
}

int health_series(const struct health *h, struct buf *out)
{
    put_up(h, out);
    put_all(h, out, "sallyport_gateway_route_requests_total", "counter",
            "Requests of a route, by their outcome", put_requests);
    put_all(h, out, "sallyport_gateway_route_failures_total", "counter",
            "What callers of a route were told (gateway_failure)", put_failures);
    put_all(h, out, "sallyport_gateway_route_duration_seconds", "summary",
            "How long requests of a route took, their answers' bodies included", put_durations);
    return buf_err(out);
}
