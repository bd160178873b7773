/* ledger.c - calls that were begun, and results that wait for a lease.
 *
 * Used by session fibers (runner.c); nothing suspends. A platform that is away for longer than a
 * lease must not make a tool run twice that has long finished: its result waits here, by the id of
 * its call, until this worker has the session again, and is posted in place of another run. It leaves
 * with its answer. The platform controls the ids, the sandbox the results; both are bounded here. */
#include "worker/ledger.h"
#include "base/limits.h"

struct entry {
    struct list node;
    char *id;
    int begun;
    json_t *content; /* NULL: no result */
    size_t bytes;
    bool is_error;
};

void ledger_init(struct ledger *l)
{
    *l = (struct ledger){0};
    map_init(&l->calls);
    list_init(&l->recent);
}

static void drop_result(struct ledger *l, struct entry *e)
{
    l->bytes -= e->bytes;
    e->bytes = 0;
    json_decref(TAKE(e->content));
}

static void remove_entry(struct ledger *l, struct entry *e)
{
    drop_result(l, e);
    list_remove(&e->node);
    map_remove(&l->calls, e->id);
    free(e->id);
    free(e);
}

void ledger_done(struct ledger *l)
{
    while (!list_empty(&l->recent))
        remove_entry(l, LIST_ENTRY(l->recent.next, struct entry, node));
    map_done(&l->calls);
}

/* The call's entry, made if need be, as the most recent one. */
static struct entry *touch(struct ledger *l, const char *call_id)
{
    struct entry *e = map_get(&l->calls, call_id);
    if (e) {
        list_remove(&e->node);
    } else {
        if (l->calls.n >= LIMIT_LEDGER_CALLS)
            remove_entry(l, LIST_ENTRY(l->recent.next, struct entry, node));
        e = mem_new(struct entry);
        e->id = mem_strdup(call_id);
        map_put(&l->calls, call_id, e);
    }
    list_push_back(&l->recent, &e->node);
    return e;
}

int ledger_begin(struct ledger *l, const char *call_id)
{
    return ++touch(l, call_id)->begun;
}

void ledger_keep(struct ledger *l, const char *call_id, json_t *content, bool is_error)
{
    struct entry *e = touch(l, call_id);
    size_t n = json_weight(content, LIMIT_LEDGER_BYTES + 1);
    drop_result(l, e);
    if (n > LIMIT_LEDGER_BYTES)
        return;
    LIST_FOREACH (old, &l->recent, struct entry, node) {
        if (l->bytes + n <= LIMIT_LEDGER_BYTES)
            break;
        drop_result(l, old);
    }
    e->content = json_incref(content);
    e->is_error = is_error;
    e->bytes = n;
    l->bytes += n;
}

bool ledger_take(struct ledger *l, const char *call_id, json_t **ret_content, bool *ret_is_error)
{
    struct entry *e = map_get(&l->calls, call_id);
    if (!e || !e->content)
        return false;
    *ret_content = json_incref(e->content);
    *ret_is_error = e->is_error;
    drop_result(l, e);
    return true;
}

void ledger_forget(struct ledger *l, const char *call_id)
{
    struct entry *e = map_get(&l->calls, call_id);
    if (e)
        remove_entry(l, e);
}
