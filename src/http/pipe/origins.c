/* origins.c - a table of keys, each with its links, and a fiber that closes what is not used.
 *
 * Called on the fibers of exchanges. A key becomes one text, each part behind its length, so that two
 * keys are equal only when all of their parts are (c-anchors failure class 10); the table compares
 * nothing else. An entry lives while it has a link, a dial or a waiter, and as the memory of a version
 * until `keys_max` pushes it out.
 *
 * A link is in use (leased), idle, or dying. Closing may suspend (TLS, HTTP/2 fibers), and giving back
 * may not, so a link that is not kept goes to the list of the dying, which the pool's own fiber empties;
 * that fiber also ends what has been idle for too long, and looks every few seconds which idle ones
 * their origins have closed. The client (of egress, a sandbox) controls how many keys it makes up,
 * within what it is allowed, and how many exchanges it runs; both ceilings on idle links and the one on
 * keys hold however many there are. */
#include "http/pipe/origins.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/sync.h"
#include "io/stream.h"

#define IDLE_PER_KEY 128 /* a client that sends in bursts finds all of its links idle at once */
#define IDLE_MAX     1024
#define IDLE_MS      30000
#define KEYS_MAX     4096
#define LOOK_MS      5000
#define KEY_MAX      16384

struct entry {
    struct list lru; /* in origins.unused while it has no links, dials or waiters */
    char *key, *binding;
    struct list links;
    size_t n_links, n_idle, n_dials, n_waiters;
    struct waitq dialled;
    bool known; /* `version` is what the origin chose last */
    bool gone;  /* its binding was closed: it is in the table no more */
    enum http_version version;
};

struct origin_link {
    struct list of_entry; /* used last first */
    struct list idle;     /* in origins.idle, idle for longest first */
    struct entry *entry;
    struct http_link *link;
    size_t users;
    uint64_t serial;
    int64_t idle_since_ns;
    bool doomed; /* takes no further exchange */
    char peer[ORIGIN_PEER_MAX];
};

struct origins {
    struct scope scope;
    struct origins_options o;
    struct map entries;
    struct list unused, idle, dying;
    size_t n_unused, n_idle, n_links;
    uint64_t serial;
    struct waitq work; /* for the pool's fiber */
};

/* ---- keys ---- */

/* Of a fixed width. Each request makes a key: printf would be a fiftieth of it. */
static void add_number(struct buf *b, size_t n)
{
    char digits[4];
    for (unsigned i = 0; i < sizeof(digits); i++)
        digits[i] = "0123456789abcdef"[n >> 4 * (3 - i) & 15];
    buf_add(b, digits, sizeof(digits));
}

static void add_part(struct buf *b, const char *s)
{
    size_t n = s ? strlen(s) : 0;
    if (!s) {
        buf_add(b, "-", 1);
        return;
    }
    add_number(b, n); /* more than four digits is more than a key takes */
    buf_add(b, s, n);
}

/* -E_LIMIT for one that is too long. */
static int key_text(const struct origin_key *k, struct buf *out)
{
    add_number(out, k->port);
    add_number(out, (size_t)k->host->kind);
    add_number(out, (size_t)k->tls << 1 | k->offers_h2);
    add_part(out, k->binding);
    add_part(out, k->host->text);
    add_part(out, k->verified);
    add_part(out, k->policy_hash);
    add_part(out, k->credentials);
    return buf_err(out) < 0 ? -E_LIMIT : 0;
}

static bool entry_is_used(const struct entry *en)
{
    return en->n_links || en->n_dials || en->n_waiters;
}

static void entry_free(struct origins *p, struct entry *en)
{
    if (!en->gone)
        (void)map_remove(&p->entries, en->key);
    free(en->key);
    free(en->binding);
    free(en);
}

static void entry_leave_unused(struct origins *p, struct entry *en)
{
    if (!list_linked(&en->lru))
        return;
    list_remove(&en->lru);
    p->n_unused--;
}

/* After a link, a dial or a waiter has left it. */
static void entry_settle(struct origins *p, struct entry *en)
{
    if (entry_is_used(en))
        return;
    if (en->gone || !en->known) {
        entry_free(p, en);
        return;
    }
    if (p->n_unused >= p->o.keys_max) {
        struct entry *oldest = LIST_ENTRY(p->unused.prev, struct entry, lru);
        entry_leave_unused(p, oldest);
        entry_free(p, oldest);
    }
    list_push_front(&p->unused, &en->lru);
    p->n_unused++;
}

static struct entry *entry_get(struct origins *p, const char *key, const char *binding)
{
    struct entry *en = map_get(&p->entries, key);
    if (en) {
        entry_leave_unused(p, en);
        return en;
    }
    en = mem_new(struct entry);
    en->key = mem_strdup(key);
    en->binding = mem_strdup(binding);
    list_init(&en->links);
    waitq_init(&en->dialled);
    (void)map_put(&p->entries, key, en);
    return en;
}

/* ---- links ---- */

static void leave_idle(struct origins *p, struct origin_link *l)
{
    if (!list_linked(&l->idle))
        return;
    list_remove(&l->idle);
    l->entry->n_idle--;
    p->n_idle--;
}

/* Of a link that nobody uses. */
static void link_bury(struct origins *p, struct origin_link *l)
{
    struct entry *en = l->entry;
    MUST(l->users == 0);
    leave_idle(p, l);
    list_remove(&l->of_entry);
    en->n_links--;
    l->entry = NULL;
    list_push_back(&p->dying, &l->idle);
    waitq_wake_all(&p->work);
    entry_settle(p, en);
}

static void link_rest(struct origins *p, struct origin_link *l)
{
    struct entry *en = l->entry;
    l->idle_since_ns = time_mono_ns();
    list_push_back(&p->idle, &l->idle);
    en->n_idle++;
    p->n_idle++;
    if (p->n_idle == 1)
        waitq_wake_all(&p->work);
    if (en->n_idle > p->o.idle_per_key)
        LIST_FOREACH (x, &p->idle, struct origin_link, idle)
            if (x->entry == en) {
                link_bury(p, x);
                break;
            }
    if (p->n_idle > p->o.idle_max)
        link_bury(p, LIST_ENTRY(p->idle.next, struct origin_link, idle));
}

static bool has_room(struct origin_link *l)
{
    if (l->doomed || http_link_ended(l->link))
        return false;
    return http_link_version(l->link) == HTTP_1_1 ? l->users == 0 : http_link_room(l->link) > 0;
}

/* A link made after `after` that takes an exchange, or NULL. Those that have ended are buried. */
static struct origin_link *pick(struct origins *p, struct entry *en, uint64_t after)
{
    struct origin_link *found = NULL;
    en->n_waiters++; /* it stays while its links go */
    LIST_FOREACH_SAFE (l, &en->links, struct origin_link, of_entry) {
        if (l->serial > after && has_room(l)) {
            found = l;
            break;
        }
        if (l->users == 0 && http_link_ended(l->link))
            link_bury(p, l);
    }
    en->n_waiters--;
    return found;
}

static void lease(struct origins *p, struct origin_link *l, bool reused, struct origin_lease *ret)
{
    leave_idle(p, l);
    list_remove(&l->of_entry);
    list_push_front(&l->entry->links, &l->of_entry);
    l->users++;
    *ret = (struct origin_lease){.link = l->link, .reused = reused, .peer = l->peer, .holder = l};
}

/* ---- getting and giving back ---- */

static int make_link(struct origins *p, struct entry *en, bool tls, origins_dial *dial, void *arg,
                     struct origin_link **ret, struct err *e)
{
    struct stream s = {.ops = NULL};
    enum http_version v = HTTP_1_1;
    struct origin_link *l = mem_new(struct origin_link);
    const struct http_link_options o = {.tls = tls};
    en->n_dials++;
    int r = dial(arg, &s, &v, l->peer, e);
    if (r >= 0) {
        en->known = true;
        en->version = v;
        r = http_link_new(v, &s, &o, &l->link, e);
    }
    en->n_dials--;
    waitq_wake_all(&en->dialled);
    if (r < 0) {
        free(l);
        return r;
    }
    l->entry = en;
    l->serial = ++p->serial;
    l->doomed = en->gone;
    list_push_front(&en->links, &l->of_entry);
    en->n_links++;
    p->n_links++;
    *ret = l;
    return 0;
}

int origins_get(struct origins *p, const struct origin_key *k, bool fresh, origins_dial *dial,
                void *arg, struct origin_lease *ret, struct err *e)
{
    AUTO(buf) key = BUF_INIT(KEY_MAX);
    if (key_text(k, &key) < 0)
        return err_set(e, -E_LIMIT, "%s has too many credentials", k->host->text);
    struct entry *en = entry_get(p, buf_str(&key), k->binding);
    uint64_t after = fresh ? p->serial : 0;
    struct origin_link *l = pick(p, en, after);
    int r = 0;
    bool reused = l;
    if (!l && en->known && en->version == HTTP_2 && en->n_dials > 0) {
        en->n_waiters++;
        r = waitq_wait(&en->dialled);
        en->n_waiters--;
        if (r < 0)
            (void)err_set(e, r, "waiting for a connection to %s: %s", k->host->text, err_text(r));
        else if (!en->gone)
            l = pick(p, en, after);
    }
    if (r == 0 && !l)
        r = make_link(p, en, k->tls, dial, arg, &l, e);
    if (r == 0)
        lease(p, l, reused, ret);
    else
        entry_settle(p, en);
    return r;
}

void origins_put(struct origins *p, struct origin_lease *lease, bool keep)
{
    struct origin_link *l = TAKE(lease->holder);
    lease->link = NULL;
    lease->peer = NULL;
    if (!l)
        return;
    MUST(l->users > 0);
    l->users--;
    l->doomed = l->doomed || !keep || http_link_ended(l->link);
    if (l->users > 0)
        return;
    if (l->doomed)
        link_bury(p, l);
    else
        link_rest(p, l);
}

bool origins_version(const struct origins *p, const struct origin_key *k, enum http_version *ret)
{
    AUTO(buf) key = BUF_INIT(KEY_MAX);
    const struct entry *en = key_text(k, &key) == 0 ? map_get(&p->entries, buf_str(&key)) : NULL;
    if (!en || !en->known)
        return false;
    *ret = en->version;
    return true;
}

size_t origins_count(const struct origins *p)
{
    return p->n_links;
}

/* Takes it out of the table; it goes when the last link, dial and waiter have. */
static void entry_close(struct origins *p, struct entry *en)
{
    (void)map_remove(&p->entries, en->key);
    en->gone = true;
    entry_leave_unused(p, en);
    en->n_waiters++;
    LIST_FOREACH_SAFE (l, &en->links, struct origin_link, of_entry) {
        l->doomed = true;
        if (l->users == 0)
            link_bury(p, l);
    }
    en->n_waiters--;
    entry_settle(p, en);
}

void origins_close_binding(struct origins *p, const char *binding)
{
    size_t pos = 0;
    void *value;
    while (map_next(&p->entries, &pos, NULL, &value)) {
        struct entry *en = value;
        if (str_eq(en->binding, binding))
            entry_close(p, en);
    }
}

/* ---- the pool's fiber ---- */

static void bury_idle(struct origins *p, int64_t now)
{
    LIST_FOREACH_SAFE (l, &p->idle, struct origin_link, idle)
        if (now - l->idle_since_ns >= p->o.idle_ms * NS_PER_MS || http_link_ended(l->link))
            link_bury(p, l);
}

static void free_dying(struct origins *p)
{
    for (struct list *n; (n = list_pop_front(&p->dying));) {
        struct origin_link *l = LIST_ENTRY(n, struct origin_link, idle);
        http_link_free(l->link); /* may suspend */
        p->n_links--;
        free(l);
    }
}

static int keep_house(void *arg)
{
    struct origins *p = arg;
    fiber_deadline_clear();
    for (int r = 0; r == 0 || r == -ETIMEDOUT;) {
        free_dying(p);
        int64_t look = p->o.idle_ms < LOOK_MS ? p->o.idle_ms : LOOK_MS;
        struct fiber_deadline d = {.active = false};
        if (p->n_idle > 0)
            d = fiber_deadline_push_ms(look);
        r = list_empty(&p->dying) ? waitq_wait(&p->work) : 0;
        fiber_deadline_pop(&d);
        if (r == -ETIMEDOUT)
            bury_idle(p, time_mono_ns());
    }
    return 0;
}

int origins_new(const struct origins_options *o, struct origins **ret, struct err *e)
{
    struct origins *p = mem_new(struct origins);
    if (o)
        p->o = *o;
    p->o.idle_per_key = p->o.idle_per_key ? p->o.idle_per_key : IDLE_PER_KEY;
    p->o.idle_max = p->o.idle_max ? p->o.idle_max : IDLE_MAX;
    p->o.idle_ms = p->o.idle_ms ? p->o.idle_ms : IDLE_MS;
    p->o.keys_max = p->o.keys_max ? p->o.keys_max : KEYS_MAX;
    map_init(&p->entries);
    list_init(&p->unused);
    list_init(&p->idle);
    list_init(&p->dying);
    waitq_init(&p->work);
    scope_init(&p->scope);
    int r = fiber_spawn(&p->scope, "origins", keep_house, p, NULL);
    if (r < 0) {
        map_done(&p->entries);
        free(p);
        return err_set(e, r, "no fiber for the connections to origins");
    }
    *ret = p;
    return 0;
}

void origins_free(struct origins *p)
{
    if (!p)
        return;
    scope_done(&p->scope);
    size_t pos = 0;
    void *value;
    while (map_next(&p->entries, &pos, NULL, &value))
        entry_close(p, value);
    free_dying(p);
    MUST(p->n_links == 0); /* else one is still leased */
    map_done(&p->entries);
    free(p);
}
