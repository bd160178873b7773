/* edge.c - which gateways there are, and which of them gets a caller.
 *
 * A gateway's fiber is that of its HTTP connection (platform/tunnels/tunnel_connect): it puts the link in
 * the table, waits until the link ends, and takes it out; a link is freed when the last caller has left it.
 * Callers run on fibers of their own and only hold a gateway between edge_open and edge_close.
 *
 * The table has tunnels that are connected, by domain. Facts (certificates, the token, whether it is
 * archived) are those of the last look: a hint (edge_changed) makes the next one come at once, the clock
 * makes it come anyway. Names of strangers are looked up in the table first; only a name that no gateway
 * stands for costs a question to the store.
 *
 * Gateways are customers' machines with a token, callers are strangers. A gateway controls when it answers
 * (answer_ms), how many callers it takes (SETTINGS), and what it says; nothing that it says is shown to
 * callers but the kind of failure. How fast both sides read is theirs; what lies here meanwhile is counted
 * in one budget, with a quarter of it for each tunnel: where it ends, who holds most is cut off (h2_windows.c), or
 * who wants more (carry.c). */
#include "tunnel/edge/edge.h"

#include "base/budget.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/sync.h"
#include "http/pipe/pipe.h"

#include <stdio.h>
#include <string.h>

#define LOOK_MS            5000
#define ANSWER_MS          10000
#define PING_MS            5000
#define DEAD_MS            10000
#define GATEWAYS_MOST      64
#define STREAMS_MOST       (1u << 20)   /* of one link: what the gateway takes is less */
#define STREAM_WINDOW      (256u << 10) /* of one caller, on its way from the gateway */
#define STREAM_WINDOW_MOST (4u << 20)   /* while hardly any caller is slow to read */
#define CONN_WINDOW        (4u << 20)
#define HEAD_BYTES         (8u << 10)  /* of a gateway's answer */
#define HELD_MOST          (16u << 20) /* of all callers of one connection that do not read */
#define LOOKS_MOST                                                                                 \
    8              /* at the store, for the name of a stranger: of so many labels below a tunnel */
#define TRIES    3 /* gateways that a caller is offered to */
#define PORT     443
#define PARTS    4    /* of the memory; a tunnel has one of them at most */
#define LEAVE_MS 1000 /* between two looks at a gateway that leaves, while it has callers */

struct tunnel {
    struct edge *edge;
    struct list node;
    struct edge_facts facts;
    struct list gateways;
    size_t n_gateways;
    struct budget memory;
    uint64_t looked; /* the round of looking that has seen it */
    bool look;       /* before the clock says so */
};

struct edge_gateway {
    struct list node; /* in tunnel->gateways */
    struct tunnel *tunnel;
    struct http_link *link;
    uint64_t number; /* of all that have ever come */
    char token_id[ID_MAX], peer[128];
    size_t callers;       /* joined, or being so */
    struct list joins;    /* those that are joined */
    bool leaving;         /* takes no new callers */
    const char *cut;      /* why we have ended it, or NULL */
    struct waitq changed; /* a caller has left */
};

struct edge {
    struct edge_options o;
    struct map by_domain; /* text -> struct tunnel */
    struct list tunnels;
    struct waitq look; /* wakes edge_run */
    struct budget memory;
    size_t n_gateways, n_callers;
    uint64_t round, arrivals, disconnects;
    bool stopping;
};

const char *edge_why_text(enum edge_why w)
{
    static const char *const texts[] = {
        [EDGE_JOINED] = "joined",
        [EDGE_UNKNOWN] = "unknown_name",
        [EDGE_NO_AUTHORITY] = "no_certificate",
        [EDGE_NO_GATEWAY] = "no_gateway",
        [EDGE_NO_ROUTE] = "no_route",
        [EDGE_LOST] = "gateway_lost",
        [EDGE_FAILED] = "failed",
    };
    return texts[w];
}

/* ---- life ---- */

struct edge *edge_new(const struct edge_options *o)
{
    struct edge *e = mem_new(struct edge);
    e->o = *o;
    e->o.look_ms = o->look_ms ? o->look_ms : LOOK_MS;
    e->o.answer_ms = o->answer_ms ? o->answer_ms : ANSWER_MS;
    e->o.ping_ms = o->ping_ms ? o->ping_ms : PING_MS;
    e->o.dead_ms = o->dead_ms ? o->dead_ms : DEAD_MS;
    e->o.gateways_most = o->gateways_most ? o->gateways_most : GATEWAYS_MOST;
    e->memory.max = o->memory_most ? o->memory_most : LIMIT_EDGE_BYTES;
    map_init(&e->by_domain);
    list_init(&e->tunnels);
    waitq_init(&e->look);
    return e;
}

void edge_free(struct edge *e)
{
    if (!e)
        return;
    MUST(e->n_gateways == 0 && e->n_callers == 0 && list_empty(&e->tunnels));
    map_done(&e->by_domain);
    free(e);
}

/* ---- tunnels that are connected ---- */

static struct tunnel *tunnel_by_id(const struct edge *e, const char *id)
{
    LIST_FOREACH (t, &e->tunnels, struct tunnel, node) {
        if (str_eq(t->facts.id, id))
            return t;
    }
    return NULL;
}

static struct tunnel *tunnel_enter(struct edge *e, const struct edge_facts *f)
{
    struct tunnel *t = tunnel_by_id(e, f->id);
    if (!t) {
        t = mem_new(struct tunnel);
        t->edge = e;
        t->memory = (struct budget){.max = e->memory.max / PARTS, .outer = &e->memory};
        list_init(&t->gateways);
        list_push_back(&e->tunnels, &t->node);
        map_put(&e->by_domain, f->domain, t);
    }
    t->facts = *f;
    return t;
}

static void tunnel_leave(struct edge *e, struct tunnel *t)
{
    if (t->n_gateways > 0)
        return;
    (void)map_remove(&e->by_domain, t->facts.domain);
    list_remove(&t->node);
    free(t);
}

/* The tunnel that has this name, or the domain that it lies below. */
static struct tunnel *tunnel_of(const struct edge *e, const struct host *h)
{
    for (const char *at = h->text; at; at = strchr(at, '.')) {
        at += *at == '.';
        struct tunnel *t = map_get(&e->by_domain, at);
        if (t)
            return t;
    }
    return NULL;
}

/* ---- gateways ---- */

static void cut(struct edge_gateway *g, const char *why)
{
    g->cut = why;
    g->leaving = true;
    http_link_cut(g->link, -ECONNRESET);
}

static void cut_all(struct tunnel *t, const char *why)
{
    LIST_FOREACH (g, &t->gateways, struct edge_gateway, node)
        cut(g, why);
}

static int may_serve(struct edge *e, const struct edge_arrival *a, struct edge_facts *f,
                     struct err *err)
{
    int r = e->o.by_id(e->o.arg, a->tunnel_id, f);
    if (r < 0)
        return err_set(err, r, "the tunnel could not be looked up: %s", err_text(r));
    if (f->archived || !str_eq(f->token_id, a->token_id))
        return err_set(err, -E_DENIED, "the tunnel's token has been replaced meanwhile");
    if (e->stopping)
        return err_set(err, -ECANCELED, "the server stops");
    size_t n = edge_gateways_of(e, f->id);
    if (n >= e->o.gateways_most)
        return err_set(err, -EBUSY, "the tunnel has %zu connections already, which is the most", n);
    return 0;
}

/* Their connections are over, whatever they wait for: one that does not read would wait for ever. */
static void end_callers(struct edge_gateway *g)
{
    LIST_FOREACH (j, &g->joins, struct edge_join, node)
        fiber_cancel(j->fiber);
}

/* Until it takes no more callers, and the last one has left. */
static int attend(struct edge_gateway *g, struct err *err)
{
    int r = http_link_wait(g->link, err);
    g->leaving = true;
    while (g->callers > 0) {
        if (r < 0 || fiber_cancelled() || http_link_broken(g->link)) {
            http_link_cut(g->link, -ECONNRESET);
            end_callers(g);
        }
        struct fiber_shield shield = fiber_shield_begin(LEAVE_MS);
        (void)!waitq_wait(&g->changed);
        fiber_shield_end(&shield);
    }
    return r;
}

int edge_serve(struct edge *e, const struct edge_arrival *a, struct stream *s, struct err *err)
{
    struct edge_facts f;
    struct edge_gateway g = {.leaving = a->draining};
    uint64_t seen;
    int r;
    do { /* again when connections were ended meanwhile: it was not among them */
        seen = e->disconnects;
        r = may_serve(e, a, &f, err);
    } while (r == 0 && seen != e->disconnects);
    if (r < 0) {
        stream_done(s);
        return r;
    }
    struct tunnel *t = tunnel_enter(e, &f);
    const struct http_link_options o = {
        .tls = true,
        .streams_max = STREAMS_MOST,
        .head_bytes_max = HEAD_BYTES,
        .line = {.ping_ms = e->o.ping_ms,
                 .dead_ms = e->o.dead_ms,
                 .stream_window = STREAM_WINDOW,
                 .stream_window_most = STREAM_WINDOW_MOST,
                 .conn_window = CONN_WINDOW,
                 .held_max = HELD_MOST,
                 .budget = &t->memory},
    };
    t->n_gateways++;
    r = http_link_new(HTTP_2, s, &o, &g.link, err);
    if (r < 0) {
        t->n_gateways--;
        tunnel_leave(e, t);
        return r;
    }
    (void)str_copy(g.token_id, sizeof(g.token_id), a->token_id);
    (void)str_copy(g.peer, sizeof(g.peer), a->peer);
    waitq_init(&g.changed);
    list_init(&g.joins);
    g.number = ++e->arrivals;
    g.tunnel = t;
    list_push_back(&t->gateways, &g.node);
    e->n_gateways++;
    log_info("gateway connected",
             "tunnel=%s token=%s peer=%s connector=%s version=%s connections=%zu", f.id,
             a->token_id, log_q(a->peer), log_q(a->connector), log_q(a->version), t->n_gateways);
    int64_t began_ns = time_mono_ns();
    r = attend(&g, err);
    log_info("gateway gone", "tunnel=%s peer=%s seconds=%lld why=%s", f.id, log_q(a->peer),
             (long long)((time_mono_ns() - began_ns) / NS_PER_S),
             log_q(g.cut   ? g.cut
                   : r < 0 ? err->msg
                           : "it left"));
    list_remove(&g.node);
    e->n_gateways--;
    http_link_free(g.link); /* it gives back what it has of the tunnel's memory */
    t->n_gateways--;
    tunnel_leave(e, t);
    return r;
}

void edge_stop(struct edge *e)
{
    e->stopping = true;
    LIST_FOREACH (t, &e->tunnels, struct tunnel, node)
        cut_all(t, "the server stops");
}

int edge_disconnect(struct edge *e, const char *tunnel_id)
{
    struct edge_facts f;
    int n = 0, r = e->o.by_id(e->o.arg, tunnel_id, &f);
    e->disconnects++;
    struct tunnel *t = tunnel_by_id(e, tunnel_id);
    if (r < 0 || !t)
        return r;
    LIST_FOREACH (g, &t->gateways, struct edge_gateway, node) {
        if (str_eq(g->token_id, f.token_id))
            continue;
        cut(g, "its token was replaced");
        n++;
    }
    return n;
}

/* ---- facts ---- */

void edge_changed(struct edge *e, const char *tunnel_id)
{
    struct tunnel *t = tunnel_by_id(e, tunnel_id);
    if (!t)
        return;
    t->look = true;
    waitq_wake_all(&e->look);
}

/* Without a certificate the tunnel carries nothing, not even what it carried before: the last CA is taken
 * away because nobody shall trust what it has signed. The connections of gateways stay. */
static void end_untrusted(struct tunnel *t)
{
    size_t n = 0;
    LIST_FOREACH (g, &t->gateways, struct edge_gateway, node) {
        n += g->callers;
        end_callers(g);
    }
    if (n > 0)
        log_info("callers cut off", "tunnel=%s callers=%zu why=\"it has no certificate\"",
                 t->facts.id, n);
}

/* The store may have failed: what was known stays, and is looked at again. */
static void look_at(struct edge *e, struct tunnel *t)
{
    char id[ID_MAX];
    struct edge_facts f;
    (void)str_copy(id, sizeof(id), t->facts.id);
    t->look = false;
    int r = e->o.by_id(e->o.arg, id, &f);
    t = tunnel_by_id(e, id); /* it may have left meanwhile */
    if (!t || (r < 0 && r != -ENOENT))
        return;
    if (r == 0)
        t->facts = f;
    if (r < 0 || f.archived)
        cut_all(t, "the tunnel was archived");
    else if (f.authorities == 0)
        end_untrusted(t);
}

/* One that was not looked at in this round, or asks for it. */
static struct tunnel *next_to_look(const struct edge *e)
{
    LIST_FOREACH (t, &e->tunnels, struct tunnel, node) {
        if (t->look || t->looked != e->round)
            return t;
    }
    return NULL;
}

int edge_run(void *edge)
{
    struct edge *e = edge;
    int64_t next_ns = time_mono_ns() + e->o.look_ms * NS_PER_MS;
    for (;;) {
        for (struct tunnel *t; (t = next_to_look(e)) && !fiber_cancelled();) {
            t->looked = e->round;
            look_at(e, t);
        }
        struct fiber_deadline d = fiber_deadline_push(next_ns);
        int r = waitq_wait(&e->look);
        fiber_deadline_pop(&d);
        if (r == -ECANCELED)
            return r;
        if (time_mono_ns() >= next_ns) { /* hints do not put it off */
            next_ns = time_mono_ns() + e->o.look_ms * NS_PER_MS;
            e->round++;
        }
    }
}

/* ---- callers ---- */

/* Gateways that one caller was offered to, in vain. */
struct tried {
    uint64_t number[TRIES];
    size_t n;
};

static bool was_tried(const struct tried *t, const struct edge_gateway *g)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->number[i] == g->number)
            return true;
    return false;
}

/* The one with the fewest callers. */
static struct edge_gateway *pick(struct tunnel *t, const struct tried *not_these)
{
    struct edge_gateway *best = NULL;
    LIST_FOREACH (g, &t->gateways, struct edge_gateway, node) {
        if (g->leaving || http_link_ended(g->link) || http_link_room(g->link) == 0 ||
            was_tried(not_these, g))
            continue;
        if (!best || g->callers < best->callers)
            best = g;
    }
    return best;
}

static void leave(struct edge *e, struct edge_gateway *g)
{
    e->n_callers--;
    if (--g->callers == 0)
        waitq_wake_all(&g->changed);
}

static int say_connect(struct http_pipe *p, const struct host *host, const void *first, size_t n)
{
    char authority[HOST_TEXT_MAX + 8];
    int len = snprintf(authority, sizeof(authority), "%s:%d", host->text, PORT);
    const struct http_head h = {.method = HTTP_TEXT("CONNECT"),
                                .authority = {authority, (size_t)len},
                                .body = HTTP_BODY_STREAM};
    int r = http_send_head(p, &h);
    return r < 0 ? r : http_send_body(p, first, n, false);
}

/* The final answer's status, or a code. */
static int hear(struct http_pipe *p, struct err *err)
{
    struct http_head h;
    int r;
    http_head_init(&h);
    do
        r = http_read_head(p, &h, err);
    while (r == 0 && h.status < 200);
    if (r == 0)
        r = h.status;
    http_head_done(&h);
    return r;
}

/* Offers the caller to one gateway. 0, or negative with *ret_why; -E_CLOSED: nobody has seen it there, so
 * that another one may be asked. */
static int offer(struct edge *e, struct edge_gateway *g, const struct host *host, const void *first,
                 size_t n, struct edge_join *ret, enum edge_why *ret_why, struct err *err)
{
    struct http_pipe *p;
    *ret_why = EDGE_NO_GATEWAY;
    int r = http_link_ask(g->link, &p);
    if (r < 0)
        return -E_CLOSED;
    g->callers++;
    e->n_callers++;
    struct fiber_deadline d = fiber_deadline_push_ms(e->o.answer_ms);
    r = say_connect(p, host, first, n);
    if (r == 0)
        r = hear(p, err);
    fiber_deadline_pop(&d);
    if (r >= 200 && r < 300) {
        http_pipe_stream(p, &ret->s);
        ret->at = g;
        ret->fiber = fiber_self();
        list_push_back(&g->joins, &ret->node);
        *ret_why = EDGE_JOINED;
        return 0;
    }
    http_pipe_close(p);
    leave(e, g);
    if (r == 404) {
        *ret_why = EDGE_NO_ROUTE;
        return err_set(err, -ENOENT, "the gateway has no route for %s", host->text);
    }
    if (r == 503 || r == -E_CLOSED)
        return -E_CLOSED;
    *ret_why = EDGE_LOST;
    if (r > 0)
        return err_set(err, -E_PROTO, "the gateway answered %d", r);
    return err_set(err, r, "the gateway did not answer: %s", err_text(r));
}

/* Why there is no such tunnel in the table. */
static int absent(struct edge *e, const struct host *h, enum edge_why *ret_why, struct err *err)
{
    *ret_why = EDGE_UNKNOWN;
    int r = -ENOENT;
    struct edge_facts f;
    int looks = 0;
    for (const char *at = h->text; at && r == -ENOENT && looks < LOOKS_MOST; at = strchr(at, '.')) {
        at += *at == '.';
        looks++;
        if (strchr(at, '.')) /* a tunnel's domain has two labels at least */
            r = e->o.by_domain(e->o.arg, at, &f);
    }
    if (r == -ENOENT || (r == 0 && f.archived))
        return err_set(err, -ENOENT, "there is no tunnel for %s", h->text);
    *ret_why = r < 0 ? EDGE_FAILED : f.authorities == 0 ? EDGE_NO_AUTHORITY : EDGE_NO_GATEWAY;
    if (r < 0)
        return err_set(err, r, "the tunnel of %s could not be looked up: %s", h->text, err_text(r));
    return err_set(err, -EHOSTUNREACH, "no gateway of the tunnel is connected");
}

int edge_tunnel_id(const struct edge *e, const struct host *host, char ret[ID_MAX])
{
    const struct tunnel *t = tunnel_of(e, host);
    if (!t)
        return -ENOENT;
    (void)str_copy(ret, ID_MAX, t->facts.id);
    return 0;
}

int edge_open(struct edge *e, const struct host *host, const void *first, size_t n,
              struct edge_join *ret, enum edge_why *ret_why, struct err *err)
{
    *ret = (struct edge_join){.s = {.io = IO_FD_NONE}};
    struct tried tried = {.n = 0};
    while (tried.n < TRIES) {
        struct tunnel *t = tunnel_of(e, host);
        if (!t || t->facts.archived)
            return absent(e, host, ret_why, err);
        if (t->facts.authorities == 0) {
            *ret_why = EDGE_NO_AUTHORITY;
            return err_set(err, -E_DENIED, "the tunnel has no certificate that is trusted");
        }
        struct edge_gateway *g = pick(t, &tried);
        if (!g)
            break;
        tried.number[tried.n++] = g->number;
        int r = offer(e, g, host, first, n, ret, ret_why, err);
        if (r != -E_CLOSED)
            return r;
    }
    *ret_why = EDGE_NO_GATEWAY;
    return err_set(err, -EHOSTUNREACH, "no gateway of the tunnel takes callers now");
}

void edge_close(struct edge_join *j)
{
    if (!j->at)
        return;
    struct edge_gateway *g = TAKE(j->at);
    list_remove(&j->node);
    stream_done(&j->s);
    leave(g->tunnel->edge, g);
}

void edge_join_done(struct edge_join *j)
{
    edge_close(j);
}

struct budget *edge_join_budget(const struct edge_join *j)
{
    return &j->at->tunnel->memory;
}

struct budget *edge_budget(struct edge *e)
{
    return &e->memory;
}

/* ---- for status ---- */

void edge_get_stats(const struct edge *e, struct edge_stats *ret)
{
    *ret = (struct edge_stats){.gateways = e->n_gateways, .callers = e->n_callers};
    LIST_FOREACH (t, &e->tunnels, struct tunnel, node)
        ret->tunnels++;
}

size_t edge_gateways_of(const struct edge *e, const char *tunnel_id)
{
    const struct tunnel *t = tunnel_by_id(e, tunnel_id);
    size_t n = 0;
    if (!t)
        return 0;
    LIST_FOREACH (g, &t->gateways, struct edge_gateway, node)
        n += !g->leaving && !http_link_ended(g->link);
    return n;
}
