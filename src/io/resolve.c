/* resolve.c - look-ups: who asks for the same waits for the same, what is known is not asked again.
 *
 * Called by the boundary for each connection it makes. A look-up runs on a fiber of the resolver's
 * scope (an "ask"); those who want its answer wait on its list, each for as long as its own deadline
 * allows. When the last of them leaves, the ask is cancelled. An answer is kept as its TTL says, for
 * ttl_max_ms at most; that there is none for five seconds, a failure for one. A sandbox chooses names
 * (those its policy allows, wildcards among them), so everything has a ceiling: asks under way, asks
 * that wait for a place, names that are remembered (the one used least lately goes). Those who answer
 * choose addresses and TTLs. */
#include "io/resolve_internal.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/list.h"
#include "base/time.h"
#include "fiber/sync.h"

#define QUEUE_PER_PLACE 8    /* asks that wait, for each that may run */
#define NEGATIVE_MS     5000 /* RFC 2308 allows hours; a name may just have been made */
#define FAILURE_MS      1000
#define PARTIAL_MS      5000

struct cached {
    struct list lru;
    char *name;
    struct resolve_answer answer;
    int64_t until_ns;
};

struct ask {
    struct resolver *owner;
    char *name;
    struct waitq done_q;
    size_t n_waiters, refs; /* refs: waiters and the fiber */
    struct fiber *fiber;    /* NULL once it has ended */
    bool done;
    int result; /* of the fiber; 0: `answer` counts */
    struct resolve_answer answer;
};

struct resolver {
    struct scope scope;
    struct resolve_files files;
    int64_t timeout_ms, try_ms, ttl_max_ms;
    size_t cache_max, asks_max, n_asks;
    struct map cache, asks;
    struct list lru; /* of cached: lately used first */
    struct fsem places;
};

const char *resolve_why_rcode(enum resolve_why w)
{
    switch (w) {
    case RESOLVE_NO_NAME:
        return "NXDOMAIN";
    case RESOLVE_NO_DATA:
        return "NOERROR";
    case RESOLVE_SERVFAIL:
        return "SERVFAIL";
    case RESOLVE_REFUSED:
        return "REFUSED";
    default:
        return NULL;
    }
}

/* ---- what is remembered ---- */

static void cached_drop(struct resolver *r, struct cached *c)
{
    (void)map_remove(&r->cache, c->name);
    list_remove(&c->lru);
    free(c->name);
    free(c);
}

static const struct resolve_answer *cache_get(struct resolver *r, const char *name)
{
    struct cached *c = map_get(&r->cache, name);
    if (!c)
        return NULL;
    if (time_mono_ns() >= c->until_ns) {
        cached_drop(r, c);
        return NULL;
    }
    list_remove(&c->lru);
    list_push_front(&r->lru, &c->lru);
    return &c->answer;
}

static int64_t keep_ms(const struct resolver *r, const struct resolve_answer *a)
{
    int64_t ms = a->why == RESOLVE_NO_NAME || a->why == RESOLVE_NO_DATA ? NEGATIVE_MS : FAILURE_MS;
    if (a->why == RESOLVE_OK) {
        ms = a->ttl_s > INT_MAX ? INT_MAX : a->ttl_s * 1000;
        if (a->partial && ms > PARTIAL_MS)
            ms = PARTIAL_MS;
    }
    return ms < r->ttl_max_ms ? ms : r->ttl_max_ms;
}

static void cache_put(struct resolver *r, const char *name, const struct resolve_answer *a)
{
    int64_t ms = keep_ms(r, a);
    struct cached *c = map_get(&r->cache, name);
    if (c)
        cached_drop(r, c);
    if (ms <= 0)
        return;
    if (r->cache.n >= r->cache_max)
        cached_drop(r, LIST_ENTRY(r->lru.prev, struct cached, lru));
    c = mem_new(struct cached);
    c->name = mem_strdup(name);
    c->answer = *a;
    c->until_ns = time_mono_ns() + ms * NS_PER_MS;
    list_push_front(&r->lru, &c->lru);
    (void)map_put(&r->cache, name, c);
}

void resolver_forget(struct resolver *r)
{
    while (!list_empty(&r->lru))
        cached_drop(r, LIST_ENTRY(r->lru.next, struct cached, lru));
}

/* ---- asks ---- */

static void ask_unref(struct ask *a)
{
    if (--a->refs > 0)
        return;
    free(a->name);
    free(a);
}

/* Nobody joins it from here on. */
static void ask_leave_map(struct ask *a)
{
    if (map_get(&a->owner->asks, a->name) == a)
        (void)map_remove(&a->owner->asks, a->name);
}

static int ask_run(struct ask *a)
{
    struct resolver *r = a->owner;
    fiber_deadline_clear(); /* it was that of the first who asked */
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(r->timeout_ms);
    int code = fsem_take(&r->places);
    if (code < 0)
        return code;
    code = resolve_ask(&r->files.servers, a->name, r->try_ms, &a->answer);
    fsem_give(&r->places);
    return code;
}

/* c-ares does not say that it got no socket. That is nothing about the name, and not remembered. */
static bool without_descriptors(void)
{
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd < 0 && (errno == EMFILE || errno == ENFILE);
}

static int ask_main(void *arg)
{
    struct ask *a = arg;
    struct resolver *r = a->owner;
    a->result = ask_run(a);
    if (a->result == -ETIMEDOUT) {
        a->answer = (struct resolve_answer){.why = RESOLVE_TIMEOUT};
        a->result = 0;
    }
    if (a->result == 0 && a->answer.why == RESOLVE_FAILED && without_descriptors())
        a->answer.why = RESOLVE_LOCAL;
    else if (a->result == 0)
        cache_put(r, a->name, &a->answer);
    ask_leave_map(a);
    r->n_asks--;
    a->fiber = NULL;
    a->done = true;
    waitq_wake_all(&a->done_q);
    ask_unref(a);
    return 0;
}

static int ask_start(struct resolver *r, const char *name, struct ask **ret, struct err *e)
{
    if (r->n_asks >= r->asks_max * (QUEUE_PER_PLACE + 1))
        return err_set(e, -E_LIMIT, "too many names are being looked up at once (%zu)", r->n_asks);
    struct ask *a = mem_new(struct ask);
    *a = (struct ask){.owner = r, .name = mem_strdup(name), .refs = 1};
    waitq_init(&a->done_q);
    int code = fiber_spawn(&r->scope, "resolve", ask_main, a, &a->fiber);
    if (code < 0) {
        ask_unref(a);
        return err_set(e, code, "cannot look %s up: no fiber for it", name);
    }
    r->n_asks++;
    (void)map_put(&r->asks, name, a);
    *ret = a;
    return 0;
}

/* Waits for the ask's end. Suspends. */
static int ask_wait(struct ask *a, struct resolve_answer *ret)
{
    int code = 0;
    a->refs++;
    a->n_waiters++;
    while (code == 0 && !a->done)
        code = waitq_wait(&a->done_q);
    a->n_waiters--;
    if (a->done && code == 0) {
        code = a->result;
        *ret = a->answer;
    } else if (!a->done && a->n_waiters == 0) {
        ask_leave_map(a);
        fiber_cancel(a->fiber);
    }
    ask_unref(a);
    return code;
}

/* ---- the API ---- */

static bool is_name(const char *s)
{
    size_t label = 0, n = 0;
    bool digits = true;
    for (; *s; s++, n++) {
        if (*s == '.') {
            if (label == 0)
                return false;
            label = 0;
            digits = true;
            continue;
        }
        bool digit = *s >= '0' && *s <= '9';
        if (!digit && !(*s >= 'a' && *s <= 'z') && *s != '-' && *s != '_')
            return false;
        digits = digits && digit;
        if (++label > 63)
            return false;
    }
    return label > 0 && !digits && n <= RESOLVE_NAME_MAX; /* an address is no name */
}

static int words(const struct resolver *r, const char *name, const struct resolve_answer *a,
                 struct err *e)
{
    const char *server = r->files.servers.n ? r->files.servers.items[0].text : "?";
    switch (a->why) {
    case RESOLVE_NO_NAME:
        return err_set(e, -ENOENT, "there is no host %s (NXDOMAIN)", name);
    case RESOLVE_NO_DATA:
        return err_set(e, -ENOENT, "%s has no address", name);
    case RESOLVE_TIMEOUT:
        return err_set(e, -ETIMEDOUT,
                       "the name servers (%s, ...) did not tell the address of %s in time", server,
                       name);
    case RESOLVE_SERVFAIL:
    case RESOLVE_REFUSED:
        return err_set(e, -E_PROTO, "the name servers (%s, ...) answer %s for %s", server,
                       resolve_why_rcode(a->why), name);
    case RESOLVE_LOCAL:
        return err_set(
            e, -EMFILE,
            "no descriptor is left to ask the name servers for %s: too many open files; try "
            "again, or raise the limit (LimitNOFILE=, ulimit -n)",
            name);
    default:
        return err_set(e, -E_PROTO, "the name servers (%s, ...) cannot be asked for %s", server,
                       name);
    }
}

static int answer(const struct resolver *r, const char *name, const struct resolve_answer *a,
                  struct resolved *ret, enum resolve_why *ret_why, struct err *e)
{
    *ret_why = a->why;
    if (a->why != RESOLVE_OK)
        return words(r, name, a, e);
    *ret = a->found;
    return 0;
}

int resolver_lookup(struct resolver *r, const char *name, struct resolved *ret,
                    enum resolve_why *ret_why, struct err *e)
{
    enum resolve_why ignored;
    ret_why = ret_why ? ret_why : &ignored;
    *ret_why = RESOLVE_LOCAL;
    if (!is_name(name))
        return err_set(e, -EINVAL, "it is no name that can be looked up");
    resolve_files_refresh(&r->files);
    if (resolve_files_get(&r->files, name, ret)) {
        *ret_why = RESOLVE_OK;
        return 0;
    }
    const struct resolve_answer *known = cache_get(r, name);
    if (known)
        return answer(r, name, known, ret, ret_why, e);
    struct ask *a = map_get(&r->asks, name);
    int code = a ? 0 : ask_start(r, name, &a, e);
    if (code < 0)
        return code;
    struct resolve_answer found = {0};
    code = ask_wait(a, &found);
    if (code == -ETIMEDOUT)
        *ret_why = RESOLVE_TIMEOUT;
    if (code < 0)
        return err_set(e, code, "looking %s up: %s", name, err_text(code));
    return answer(r, name, &found, ret, ret_why, e);
}

int resolver_new(const struct resolver_options *o, struct resolver **ret, struct err *e)
{
    static const struct resolver_options defaults;
    o = o ? o : &defaults;
    int code = resolve_ares_open(e);
    if (code < 0)
        return code;
    struct resolver *r = mem_new(struct resolver);
    code = resolve_files_init(&r->files, o->resolv_conf, o->hosts, o->servers, e);
    if (code < 0) {
        free(r);
        return code;
    }
    r->files.open = o->open;
    r->files.open_arg = o->open_arg;
    r->timeout_ms = o->timeout_ms ? o->timeout_ms : 10000;
    r->try_ms = o->try_ms ? o->try_ms : 2000;
    r->ttl_max_ms = o->ttl_max_ms ? o->ttl_max_ms : 60000;
    r->cache_max = o->cache_max ? o->cache_max : 1024;
    r->asks_max = o->asks_max ? o->asks_max : 128;
    scope_init(&r->scope);
    map_init(&r->cache);
    map_init(&r->asks);
    list_init(&r->lru);
    fsem_init(&r->places, r->asks_max);
    *ret = r;
    return 0;
}

void resolver_free(struct resolver *r)
{
    if (!r)
        return;
    scope_done(&r->scope);
    resolver_forget(r);
    map_done(&r->cache);
    map_done(&r->asks);
    resolve_files_done(&r->files);
    free(r);
}

/* ---- for who locks the process ---- */

static void folder_of(const char *path, char *ret, size_t room)
{
    AUTO_FREE char *real = realpath(path, NULL);
    ret[0] = '\0';
    if (!real)
        return;
    char *slash = strrchr(real, '/');
    slash[slash == real ? 1 : 0] = '\0';
    if (strlen(real) < room)
        memcpy(ret, real, strlen(real) + 1);
}

void resolver_folders(const struct resolver *r, char *ret_resolv_conf, char *ret_hosts, size_t room)
{
    folder_of(r->files.own_servers ? "" : r->files.resolv_conf, ret_resolv_conf, room);
    folder_of(r->files.hosts, ret_hosts, room);
}
