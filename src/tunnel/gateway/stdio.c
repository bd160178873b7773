/* stdio.c - routes whose servers are programs: what there is of each, and the connections to them.
 *
 * On the gateway's fibers. Who reaches such a route (reach) gets one end of a socket pair; at the other end a fiber of the
 * bridge serves HTTP/1.1, so that policy, limits, pins, approvals, audit and streams of a call are those of any other route. What
 * comes through that end is what forward.c sends, and behind it a caller's body. A program is named by its route alone:
 * the keeper knows what it is.
 *
 * A route is kept by its host and what its program is. When a file is read in which that is another one, or is not there,
 * the old one is retired: it is found no more, so its sessions are unknown (404: callers begin anew), requests
 * that are under way end as they would, and then its processes. */
#include "tunnel/gateway/stdio_internal.h"

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "io/sock.h"

#include <sys/socket.h>
#include <unistd.h>

#define SWEEP_MS 1000
#define IDLE_MS  3600000 /* of a connection that lies in the pool, which ends it sooner */
#define HEAD_MS  30000

struct stdio_route *stdio_route_ref(struct stdio_route *r)
{
    r->refs++;
    return r;
}

void stdio_route_unref(struct stdio_route *r)
{
    if (--r->refs)
        return;
    map_done(&r->sessions);
    free(r->what.command);
    json_decref(r->definition);
    free((char *)(uintptr_t)r->what.route);
    free(r);
}

static struct stdio_route *route_new(struct stdio_bridge *b, const struct gateway_stdio *s)
{
    struct stdio_route *r = mem_new(struct stdio_route);
    r->refs = 1;
    r->bridge = b;
    r->definition = json_deep_copy(s->definition);
    r->what = (struct gateway_stdio){.route = mem_strdup(s->route),
                                     .command = mem_array(s->n + 1, sizeof(*s->command)),
                                     .n = s->n,
                                     .shared = s->shared,
                                     .sessions = s->sessions,
                                     .idle_ms = s->idle_ms,
                                     .sandbox = json_object_get(r->definition, "sandbox"),
                                     .definition = r->definition};
    const json_t *words = json_object_get(r->definition, "command");
    for (size_t i = 0; i < s->n; i++)
        r->what.command[i] = json_string_value(json_array_get(words, i));
    r->what.command[s->n] = NULL;
    fmutex_init(&r->starting);
    map_init(&r->sessions);
    return r;
}

/* ---- what ends ---- */

static void let_shared_go(struct stdio_route *r)
{
    struct stdio_process *legacy = TAKE(r->legacy), *modern = TAKE(r->modern);
    stdio_process_leave(legacy);
    stdio_process_leave(modern);
}

/* Takes the reference of the map. */
static void retire(struct stdio_route *r)
{
    size_t pos = 0;
    void *session;
    r->retired = true;
    while (map_next(&r->sessions, &pos, NULL, &session)) {
        stdio_session_end(session);
        pos = 0;
    }
    let_shared_go(r);
    stdio_route_unref(r);
}

static bool is_idle(const struct stdio_process *p, const struct stdio_route *r, int64_t now_ns)
{
    return p && !p->n_pending && now_ns - p->idle_since_ns > r->what.idle_ms * NS_PER_MS;
}

static void sweep_route(struct stdio_route *r, int64_t now_ns)
{
    size_t pos = 0;
    void *value;
    while (map_next(&r->sessions, &pos, NULL, &value)) {
        struct stdio_session *s = value;
        if (!s->has_stream && list_empty(&s->calls) &&
            now_ns - s->last_ns > r->what.idle_ms * NS_PER_MS) {
            log_debug("an idle session has ended", "route=%s", r->what.route);
            stdio_session_end(s);
            pos = 0;
        }
    }
    if (r->sessions.n == 0 && is_idle(r->legacy, r, now_ns))
        stdio_process_leave(TAKE(r->legacy));
    if (is_idle(r->modern, r, now_ns))
        stdio_process_leave(TAKE(r->modern));
}

static int sweep(void *arg)
{
    struct stdio_bridge *b = arg;
    fiber_deadline_clear();
    while (fiber_sleep_ms(SWEEP_MS) == 0) {
        size_t pos = 0;
        void *r;
        while (map_next(&b->routes, &pos, NULL, &r))
            sweep_route(r, time_mono_ns());
    }
    return 0;
}

void stdio_take(struct stdio_bridge *b, const struct gateway_config *c)
{
    size_t pos = 0;
    const char *name;
    void *value;
    while (map_next(&b->routes, &pos, &name, &value)) {
        struct stdio_route *r = value;
        const struct gateway_stdio *now = NULL;
        for (size_t i = 0; i < c->n_routes && !now; i++)
            if (c->routes[i].upstream.stdio && str_eq(c->routes[i].host.text, name))
                now = c->routes[i].upstream.stdio;
        if (now && json_equal(now->definition, r->definition))
            continue;
        (void)map_remove(&b->routes, name);
        retire(r);
        pos = 0;
    }
}

/* ---- connections ---- */

struct connection {
    struct stdio_route *route;
    struct stream stream;
};

static int serve_connection(void *arg)
{
    struct connection *k = arg;
    struct err e = {0};
    const struct http_serve_options o = {.head_timeout_ms = HEAD_MS,
                                         .idle_timeout_ms = IDLE_MS,
                                         .serve = stdio_serve,
                                         .arg = k->route};
    fiber_deadline_clear();
    (void)!http_serve(HTTP_1_1, &k->stream, &o, &e);
    stream_done(&k->stream);
    stdio_route_unref(k->route);
    free(k);
    return 0;
}

static struct stdio_route *route_of(struct stdio_bridge *b, const struct gateway_stdio *s)
{
    struct stdio_route *r = map_get(&b->routes, s->route);
    if (r && !json_equal(r->definition, s->definition)) {
        (void)map_remove(&b->routes, s->route);
        retire(r);
        r = NULL;
    }
    if (!r) {
        r = route_new(b, s);
        (void)map_put(&b->routes, s->route, r);
    }
    return r;
}

int stdio_connect(struct stdio_bridge *b, const struct gateway_stdio *s, struct stream *ret,
                  struct err *e)
{
    int pair[2];
    int r = sock_pair(SOCK_STREAM, pair);
    if (r < 0)
        return err_set(e, r, "could not make a socket: %s", err_text(r));
    struct connection *k = mem_new(struct connection);
    k->route = stdio_route_ref(route_of(b, s));
    r = stream_from_fd(&k->stream, pair[0]);
    if (r < 0)
        (void)close(pair[0]);
    if (r == 0 && (r = stream_from_fd(ret, pair[1])) == 0) {
        r = fiber_spawn(&b->scope, "stdio connection", serve_connection, k, NULL);
        if (r == 0)
            return 0;
        stream_done(ret);
    } else {
        (void)close(pair[1]);
    }
    stream_done(&k->stream);
    stdio_route_unref(k->route);
    free(k);
    return err_set(e, r, "no connection to the bridge: %s", err_text(r));
}

int stdio_well(const struct stdio_bridge *b, const struct gateway_stdio *s, struct err *e)
{
    const struct stdio_route *r = map_get(&b->routes, s->route);
    if (!r || r->deaths == 0 || time_mono_ns() >= r->not_before_ns)
        return 0;
    return err_set(e, -EAGAIN, "%s", r->why);
}

void stdio_count(const struct stdio_bridge *b, const char *route, size_t *ret_processes,
                 size_t *ret_sessions)
{
    const struct stdio_route *r = map_get(&b->routes, route);
    *ret_processes = r ? r->n_processes : 0;
    *ret_sessions = r ? r->sessions.n : 0;
}

/* ---- life ---- */

struct stdio_bridge *stdio_new(const struct stdio_options *o)
{
    struct stdio_bridge *b = mem_new(struct stdio_bridge);
    b->o = *o;
    b->memory.max = STDIO_MEMORY_MAX;
    scope_init(&b->scope);
    map_init(&b->routes);
    (void)!fiber_spawn(&b->scope, "stdio sweep", sweep, b, NULL);
    return b;
}

void stdio_free(struct stdio_bridge *b)
{
    if (!b)
        return;
    size_t pos = 0;
    const char *name;
    void *r;
    while (map_next(&b->routes, &pos, &name, &r)) {
        (void)map_remove(&b->routes, name);
        retire(r);
        pos = 0;
    }
    scope_done(&b->scope);
    map_done(&b->routes);
    free(b);
}
