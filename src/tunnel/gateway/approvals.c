/* approvals.c - the list of calls that wait for a person.
 *
 * Each entry lies in the memory of the request's fiber that waits; the control socket's fiber marks it as decided and
 * wakes that one. Callers decide what is asked for, and how often: so there are ceilings for one route and for all, and
 * what would be shown shortened is refused before it comes here. A decision is about one call that is held as it
 * came: nothing of it can change meanwhile, nobody else can use it, and when the caller has left there is
 * nothing to decide. Ids are random (128 bits), and are not told to callers. */
#include "tunnel/gateway/approvals.h"

#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

void approvals_init(struct approvals *l)
{
    map_init(&l->waiting);
}

void approvals_done(struct approvals *l)
{
    map_done(&l->waiting);
}

void approval_done(struct approval *a)
{
    free(a->tool);
    free(a->arguments);
    free(a->also);
    free(a->path);
    free(a->who);
    free(a->client);
    free(a->key);
    *a = (struct approval){.state = APPROVAL_WAITS};
}

static size_t of_route(const struct approvals *l, const char *route)
{
    size_t pos = 0, n = 0;
    void *x;
    while (map_next(&l->waiting, &pos, NULL, &x))
        n += str_eq(((const struct approval *)x)->route, route);
    return n;
}

int approvals_ask(struct approvals *l, struct approval *a, struct err *e)
{
    if (l->waiting.n >= APPROVALS_MAX || of_route(l, a->route) >= APPROVALS_ROUTE_MAX)
        return err_set(
            e, -E_LIMIT,
            "as many calls as can be held wait for a person's approval already; try again "
            "when some are decided");
    a->state = APPROVAL_WAITS;
    waitq_init(&a->changed);
    (void)id_make(a->id, "appr_");
    MUST(map_put(&l->waiting, a->id, a) == NULL);
    return 0;
}

static void settle(struct approvals *l, struct approval *a, enum approval_state state,
                   const char *reason)
{
    a->state = state;
    (void)str_copy(a->reason, sizeof(a->reason), reason ? reason : "");
    (void)map_remove(&l->waiting, a->id);
    waitq_wake_all(&a->changed);
}

enum approval_state approvals_wait(struct approvals *l, struct approval *a, int64_t look_ns)
{
    const int64_t end_ns = look_ns < a->until_ns ? look_ns : a->until_ns;
    AUTO(fiber_deadline) d = fiber_deadline_push(end_ns);
    int r = 0;
    while (a->state == APPROVAL_WAITS && r == 0)
        r = waitq_wait(&a->changed);
    if (a->state != APPROVAL_WAITS)
        return a->state; /* decided before its time was over */
    if (r != -ETIMEDOUT)
        settle(l, a, APPROVAL_WITHDRAWN, "the gateway has ended the request");
    else if (end_ns == a->until_ns)
        settle(l, a, APPROVAL_EXPIRED, NULL);
    return a->state;
}

int approvals_decide(struct approvals *l, const char *id, bool yes, uid_t uid, const char *reason,
                     struct err *e)
{
    struct approval *a = map_get(&l->waiting, id);
    if (!a)
        return err_set(
            e, -ENOENT,
            "no call of this id waits: it was decided, its time is over, or its caller has "
            "left; sallyport gateway pending shows what waits");
    a->uid = uid;
    settle(l, a, yes ? APPROVAL_GIVEN : APPROVAL_DENIED, reason);
    return 0;
}

void approvals_take_back(struct approvals *l, struct approval *a, const char *reason)
{
    if (a->state == APPROVAL_WAITS)
        settle(l, a, APPROVAL_WITHDRAWN, reason);
}

void approvals_withdraw(struct approvals *l, const char *key, const char *reason)
{
    size_t pos = 0;
    void *x;
    while (map_next(&l->waiting, &pos, NULL, &x)) {
        struct approval *a = x;
        if (!key || (a->key && str_eq(a->key, key)))
            settle(l, a, APPROVAL_WITHDRAWN, reason);
    }
}

size_t approvals_count(const struct approvals *l)
{
    return l->waiting.n;
}

static int by_time(const void *x, const void *y)
{
    const struct approval *a = *(const struct approval *const *)x;
    const struct approval *b = *(const struct approval *const *)y;
    return a->asked_us != b->asked_us ? (a->asked_us > b->asked_us) - (a->asked_us < b->asked_us)
                                      : strcmp(a->id, b->id);
}

static void put_time(json_t *o, const char *key, int64_t us)
{
    char text[TIME_RFC3339_MAX];
    json_put_str(o, key, time_format(text, us));
}

static json_t *one_json(const struct approval *a)
{
    json_t *o = json_new_object();
    json_put_str(o, "id", a->id);
    json_put_str(o, "route", a->route);
    json_put_str(o, "tool", a->tool);
    json_put_str(o, "rule", a->rule);
    json_put_str(o, "arguments", a->arguments);
    json_put_str(o, "also", a->also);
    json_put_str(o, "path", a->path);
    json_put_str(o, "caller", a->who);
    json_put_str(o, "client", a->client);
    json_put_str(o, "digest", a->digest);
    put_time(o, "asked_at", a->asked_us);
    put_time(o, "expires_at", a->until_us);
    return o;
}

json_t *approvals_json(const struct approvals *l)
{
    AUTO_FREE const struct approval **all = mem_array(l->waiting.n + 1, sizeof(*all));
    json_t *list = json_array();
    size_t pos = 0, n = 0;
    void *x;
    while (n < l->waiting.n && map_next(&l->waiting, &pos, NULL, &x))
        all[n++] = x;
    qsort(all, n, sizeof(*all), by_time);
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(list, one_json(all[i]));
    return list;
}
