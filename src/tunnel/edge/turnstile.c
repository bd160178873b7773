/* turnstile.c - networks, rates and shares of the ingress's callers.
 *
 * Called by the ingress on the loop thread, for each connection once when it comes and once when its tunnel
 * is known. Callers decide how many come, from how many addresses, and how fast. What is kept for each of
 * them is bounded: an entry lives while its peer or tunnel holds a connection, or its rate remembers one
 * (two seconds), and of those that hold nothing there are REMEMBERED_MOST; beyond that the oldest is
 * forgotten, which forgives somebody a second of hurry. IPv6 is counted by /64, since whoever has one
 * address of it has all.
 *
 * A rate is kept as one number, the moment at which it is all there again: each connection puts it off by
 * 1/rate of a second, and one that would put it off by more than two seconds is refused (GCRA). A tunnel's share
 * without a number of its own is half of what is free: one that is alone gets half of all, the next one half of
 * the rest, and none the last place. A peer's is an eighth, since one peer must not fill a tunnel. */
#include "tunnel/edge/turnstile.h"

#include "base/err.h"
#include "base/id.h"
#include "base/map.h"
#include "base/str.h"
#include "base/time.h"

#include <string.h>

#define REMEMBERED_MOST 16384
#define AT_ONCE_NS      (2 * NS_PER_S)
#define PEER_PART       8 /* so that several of them fit into the half that one tunnel may have */

struct rule {
    char tunnel[ID_MAX]; /* "": of every caller */
    struct cidr net;
};

struct turnstile {
    struct turnstile_limits l;
    struct rule rules[TURNSTILE_RULES_MAX];
    size_t n_rules, most;
    size_t n, n_joined; /* callers; those of them whose tunnel is known */
    struct map holders; /* key -> struct turnstile_holder */
    struct list idle;   /* those that hold nothing, the longest first */
    size_t n_idle;
};

/* ---- rules ---- */

static int read_rule(const char *text, struct rule *ret, struct err *e)
{
    const char *equals = strchr(text, '='), *net = text;
    ret->tunnel[0] = '\0';
    if (equals) {
        size_t n = (size_t)(equals - text);
        if (n >= sizeof(ret->tunnel))
            n = 0;
        memcpy(ret->tunnel, text, n);
        ret->tunnel[n] = '\0';
        net = equals + 1;
        if (!id_is(ret->tunnel, "tnl_"))
            return err_set(e, -EINVAL,
                           "\"%.80s\": what stands before \"=\" must be a tunnel's id, tnl_...",
                           text);
    }
    int r = cidr_parse(net, strlen(net), &ret->net, e);
    return r < 0 ? err_wrap(e, r, "\"%.80s\"", text) : 0;
}

static bool allows(const struct turnstile *a, const char *tunnel, const struct address *from)
{
    bool ruled = false;
    for (size_t i = 0; i < a->n_rules; i++) {
        const struct rule *rule = &a->rules[i];
        if (!str_eq(rule->tunnel, tunnel))
            continue;
        if (from && cidr_contains(&rule->net, from))
            return true;
        ruled = true;
    }
    return !ruled;
}

/* ---- holders ---- */

static void forget(struct turnstile *a, struct turnstile_holder *h)
{
    list_remove(&h->node);
    a->n_idle--;
    (void)map_remove(&a->holders, h->key);
    free(h);
}

/* Those whose rate is all there again say no more than somebody new. */
static void forget_some(struct turnstile *a, int64_t now_ns)
{
    while (!list_empty(&a->idle)) {
        struct turnstile_holder *h = LIST_ENTRY(a->idle.next, struct turnstile_holder, node);
        if (h->due_ns > now_ns && a->n_idle <= REMEMBERED_MOST)
            return;
        forget(a, h);
    }
}

static struct turnstile_holder *holder(struct turnstile *a, const char *key)
{
    struct turnstile_holder *h = map_get(&a->holders, key);
    if (h)
        return h;
    h = mem_new(struct turnstile_holder);
    list_init(&h->mute);
    (void)str_copy(h->key, sizeof(h->key), key);
    (void)map_put(&a->holders, h->key, h);
    list_push_back(&a->idle, &h->node);
    a->n_idle++;
    return h;
}

static void hold(struct turnstile *a, struct turnstile_holder *h)
{
    if (h->n++ > 0)
        return;
    list_remove(&h->node);
    a->n_idle--;
}

static void let_go(struct turnstile *a, struct turnstile_holder *h)
{
    MUST(h->n > 0);
    if (--h->n > 0)
        return;
    list_push_back(&a->idle, &h->node);
    a->n_idle++;
}

static bool keeps_to_rate(struct turnstile_holder *h, int64_t rate, int64_t now_ns)
{
    if (rate == 0)
        return true;
    int64_t from_ns = h->due_ns > now_ns ? h->due_ns : now_ns;
    int64_t due_ns = from_ns + NS_PER_S / rate;
    if (due_ns - now_ns > AT_ONCE_NS)
        return false;
    h->due_ns = due_ns;
    return true;
}

/* Whether one that holds `n` of the `taken` places may have another one, of `part` of what is free when it
 * has no number of its own. */
static bool has_share(const struct turnstile *a, size_t n, size_t share, size_t taken, size_t part)
{
    return share ? n < share : taken < a->most && n < (a->most - taken + part - 1) / part;
}

/* ---- callers ---- */

enum turnstile_verdict turnstile_peer(struct turnstile *a, const struct address *from,
                                      int64_t now_ns, struct turnstile_pass *ret)
{
    char key[ADDRESS_TEXT_MAX];
    *ret = (struct turnstile_pass){.peer = NULL};
    forget_some(a, now_ns);
    if (!allows(a, "", from))
        return TURNSTILE_FORBIDDEN;
    if (from) {
        struct address network = *from;
        if (!address_is_ipv4(from))
            memset(network.b + 8, 0, 8);
        struct turnstile_holder *h = holder(a, address_text(&network, key));
        if (!keeps_to_rate(h, a->l.peer_rate, now_ns))
            return TURNSTILE_TOO_FAST;
        hold(a, h);
        ret->peer = h;
        ret->from = *from;
    }
    ret->counted = true;
    a->n++;
    return TURNSTILE_GRANTED;
}

bool turnstile_peer_has_room(const struct turnstile *a, const struct turnstile_pass *p)
{
    return !p->peer || has_share(a, p->peer->n - 1, a->l.peer_most, a->n - 1, PEER_PART);
}

bool turnstile_has_room(const struct turnstile *a)
{
    return a->n <= a->most;
}

enum turnstile_verdict turnstile_tunnel(struct turnstile *a, struct turnstile_pass *p,
                                        const char *tunnel_id, int64_t now_ns)
{
    MUST(p->counted && !p->tunnel);
    if (!allows(a, tunnel_id, p->peer ? &p->from : NULL))
        return TURNSTILE_FORBIDDEN;
    struct turnstile_holder *h = holder(a, tunnel_id);
    if (!has_share(a, h->n, a->l.tunnel_most, a->n_joined, 1))
        return TURNSTILE_TOO_MANY;
    if (!keeps_to_rate(h, a->l.tunnel_rate, now_ns))
        return TURNSTILE_TOO_FAST;
    hold(a, h);
    p->tunnel = h;
    a->n_joined++;
    return TURNSTILE_GRANTED;
}

void turnstile_leave(struct turnstile *a, struct turnstile_pass *p)
{
    if (!p->counted)
        return;
    if (p->peer)
        let_go(a, p->peer);
    if (p->tunnel) {
        let_go(a, p->tunnel);
        a->n_joined--;
    }
    a->n--;
    *p = (struct turnstile_pass){.peer = NULL};
}

size_t turnstile_remembered(const struct turnstile *a)
{
    return a->holders.n;
}

/* ---- life ---- */

int turnstile_new(const struct turnstile_limits *l, size_t most, struct turnstile **ret,
                  struct err *e)
{
    if (l->n_allow_from > TURNSTILE_RULES_MAX)
        return err_set(e, -EINVAL, "more than %d networks", TURNSTILE_RULES_MAX);
    struct turnstile *a = mem_new(struct turnstile);
    a->l = *l;
    a->l.allow_from = NULL;
    a->most = most;
    map_init(&a->holders);
    list_init(&a->idle);
    int r = 0;
    for (size_t i = 0; r == 0 && i < l->n_allow_from; i++)
        r = read_rule(l->allow_from[i], &a->rules[a->n_rules++], e);
    if (r < 0)
        turnstile_free(a);
    else
        *ret = a;
    return r;
}

void turnstile_free(struct turnstile *a)
{
    if (!a)
        return;
    MUST(a->n == 0);
    while (!list_empty(&a->idle))
        forget(a, LIST_ENTRY(a->idle.next, struct turnstile_holder, node));
    map_done(&a->holders);
    free(a);
}
