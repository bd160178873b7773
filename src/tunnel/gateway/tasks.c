/* tasks.c - the table of tasks that are known to the gateway.
 *
 * Called on the fibers of requests; nothing suspends. A server decides which ids there are, and how many; a caller how
 * often it makes one. So both are bounded: a caller that makes more than its share at a route pushes out its own
 * oldest ones, and not those of others; all together the one that was not used for longest goes. What is
 * forgotten becomes unknown, which passes: the table makes callers strangers to each other's tasks and keeps them under
 * their tools' rules for as long as it knows them. Ids are kept as their digest, so that one of any length takes
 * as much room as another. */
#include "tunnel/gateway/tasks.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "crypto/digest.h"

void tasks_init(struct tasks *t)
{
    map_init(&t->by_key);
    list_init(&t->all);
}

static void forget(struct tasks *t, struct task *k)
{
    (void)map_remove(&t->by_key, k->key);
    list_remove(&k->in);
    free(k->key);
    free(k->owner);
    free(k);
}

void tasks_done(struct tasks *t)
{
    while (!list_empty(&t->all))
        forget(t, LIST_ENTRY(t->all.next, struct task, in));
    map_done(&t->by_key);
}

/* A host has no newline. malloc'ed. */
static char *key_of(const char *route, const char *id)
{
    char digest[DIGEST_SHA256_HEX];
    (void)digest_sha256_hex(id, strlen(id), digest);
    return mem_printf("%s\n%s", route, digest);
}

static char *owner_of(const char *route, const char *who)
{
    return mem_printf("%s\n%s", route, who);
}

/* Those of one ttl are over in their order; others are found when they are asked for, or pushed out. */
static void make_room(struct tasks *t, const char *owner, int64_t now_ns)
{
    struct task *oldest = NULL;
    size_t n = 0;
    for (struct list *at = t->all.next, *next; at != &t->all; at = next) {
        struct task *k = LIST_ENTRY(at, struct task, in);
        next = at->next;
        if (k->until_ns <= now_ns) {
            forget(t, k);
            continue;
        }
        const bool same = str_eq(k->owner, owner);
        oldest = oldest || !same ? oldest : k;
        n += same;
    }
    if (n >= TASKS_OWNER_MAX)
        forget(t, oldest);
    else if (t->by_key.n >= TASKS_MAX)
        forget(t, LIST_ENTRY(t->all.next, struct task, in));
}

bool tasks_put(struct tasks *t, const struct task_made *m, int64_t now_ns)
{
    if (strlen(m->tool) >= TASK_TOOL)
        return false;
    struct task *k = mem_new(struct task);
    k->key = key_of(m->route, m->id);
    k->owner = owner_of(m->route, m->who);
    struct task *before = map_get(&t->by_key, k->key);
    if (before)
        forget(t, before);
    make_room(t, k->owner, now_ns);
    (void)str_copy(k->tool, sizeof(k->tool), m->tool);
    (void)str_copy(k->upstream, sizeof(k->upstream), m->upstream);
    k->ttl_ms = m->ttl_ms < 0 || m->ttl_ms > TASK_TTL_MOST ? TASK_TTL_MOST
                : m->ttl_ms < TASK_TTL_LEAST               ? TASK_TTL_LEAST
                                                           : m->ttl_ms;
    k->until_ns = now_ns + k->ttl_ms * NS_PER_MS;
    list_push_back(&t->all, &k->in);
    (void)map_put(&t->by_key, k->key, k);
    return true;
}

static struct task *find(struct tasks *t, const char *route, const char *id, int64_t now_ns)
{
    AUTO_FREE char *key = key_of(route, id);
    struct task *k = map_get(&t->by_key, key);
    if (k && k->until_ns <= now_ns) {
        forget(t, k);
        return NULL;
    }
    return k;
}

const struct task *tasks_get(struct tasks *t, const char *route, const char *id, int64_t now_ns)
{
    return find(t, route, id, now_ns);
}

const struct task *tasks_use(struct tasks *t, const char *route, const char *id, int64_t now_ns)
{
    struct task *k = find(t, route, id, now_ns);
    if (!k)
        return NULL;
    k->until_ns = now_ns + k->ttl_ms * NS_PER_MS;
    list_remove(&k->in);
    list_push_back(&t->all, &k->in);
    return k;
}

bool task_is_of(const struct task *k, const char *route, const char *who)
{
    AUTO_FREE char *owner = owner_of(route, who);
    return str_eq(k->owner, owner);
}

size_t tasks_count(const struct tasks *t)
{
    return t->by_key.n;
}
