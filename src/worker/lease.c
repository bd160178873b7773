/* lease.c - heartbeats of one claimed work item.
 *
 * Runs on a fiber of the session's scope from the moment of the claim. Period: half the TTL, between
 * 1 s and 30 s, from one beat's sending to the next; one beat is cut off after one period. One that
 * failed is sent again the sooner the nearer the lease's end is. The clock of the lease starts when a
 * beat is *sent*, so that our idea of its end is never later than the platform's. Without an accepted
 * beat for a whole TTL the lease is no longer ours to act on; it is ours again when the platform
 * accepts the last stamp, which it does only if nobody else has had the item since. The platform
 * controls stamp and TTL: the stamp is bounded and echoed to the byte, the TTL kept within 2 s and 1 h. */
#include "worker/lease.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/time.h"

#include <string.h>

#define TTL_DEFAULT_MS 90000
#define NO_HEARTBEAT   "NO_HEARTBEAT"
#define LAPSED_MS      600000 /* so long a lease is tried to be had again */

#define BEATS(var, outcome)                                                                        \
    METRIC_COUNTER(var, "sallyport_worker_heartbeats_total", "outcome=\"" outcome "\"",            \
                   "Heartbeats of claimed items: answered with 200, or not.")
BEATS(beats_ok, "ok")
BEATS(beats_failed, "failed")

void lease_init(struct lease *l, struct remote *remote, const char *environment_id,
                const char *work_id, struct waitq *changed)
{
    *l = (struct lease){.remote = remote,
                        .environment_id = environment_id,
                        .work_id = work_id,
                        .ttl_ms = TTL_DEFAULT_MS,
                        .changed = changed,
                        .since_ns = time_mono_ns()};
    waitq_init(&l->waits);
    l->good_until_ns = time_mono_ns() + l->ttl_ms * NS_PER_MS;
    str_copy(l->stamp, sizeof(l->stamp), NO_HEARTBEAT);
}

bool lease_ours(const struct lease *l)
{
    return (l->state == LEASE_HELD || l->state == LEASE_STOPPING) &&
           time_mono_ns() < l->good_until_ns;
}

static int64_t period_ms(const struct lease *l)
{
    int64_t p = l->ttl_ms / 2;
    return p < 1000 ? 1000 : p > 30000 ? 30000 : p;
}

static void become(struct lease *l, enum lease_state s, const char *words)
{
    if (l->state == s)
        return;
    l->state = s;
    str_copy(l->words, sizeof(l->words), words);
    waitq_wake_all(l->changed);
}

void lease_hurry(struct lease *l)
{
    l->hurry = true;
    waitq_wake_all(&l->waits);
}

static bool is_final(const struct lease *l)
{
    return l->state == LEASE_STOPPING || l->state == LEASE_LOST || l->state == LEASE_REFUSED;
}

/* Takes in a 200. An answer that does not say that the lease was extended has not extended it. */
static void accepted(struct lease *l, const json_t *body, int64_t sent_ns)
{
    const char *stamp = json_get_str(body, "last_heartbeat");
    const char *state = json_get_str(body, "state");
    double ttl = json_number_value(json_object_get(body, "ttl_seconds")); /* no number: 0 */
    if (ttl > 0)
        l->ttl_ms = ttl < 2 ? 2000 : ttl > 3600 ? 3600000 : (int64_t)(ttl * 1000);
    if (str_eq(state, "stopping")) {
        become(l, LEASE_STOPPING, "the platform stops the item");
        return;
    }
    /* What is stopped or not extended may be another worker's by now. */
    if (str_eq(state, "stopped") || !json_get_bool(body, "lease_extended", false)) {
        become(l, LEASE_REFUSED,
               str_eq(state, "stopped") ? "the platform has stopped the item"
                                        : "the platform does not extend the lease");
        return;
    }
    l->no_stamp = !stamp;
    if (stamp && !str_copy(l->stamp, sizeof(l->stamp), stamp)) {
        become(l, LEASE_LOST, "the heartbeat stamp is too long");
        return;
    }
    l->good_until_ns = sent_ns + l->ttl_ms * NS_PER_MS;
    l->unsure = false;
    become(l, LEASE_HELD, "");
}

/* After a beat without an answer, 412: the platform may have taken that beat, and then the stamp it
 * names is ours. It is, while the time to live that our last accepted beat began (or the claim) has
 * not run out: the platform's began later, so nobody else can have been given the item. 0 when the
 * stamp was taken over. */
static int take_over(struct lease *l, const json_t *body)
{
    const json_t *error = json_object_get(body, "error");
    const json_t *now = json_object_get(json_object_get(error, "details"), "current_state");
    const char *stamp = json_get_str(now, "last_heartbeat");
    int64_t until_ns = l->good_until_ns, ttl = json_get_int(now, "ttl_seconds", 0);
    if (l->state == LEASE_NEW) /* what it is then, the claim did not say */
        until_ns = ttl > 0 && ttl <= 3600 ? l->since_ns + ttl * 1000 * NS_PER_MS : 0;
    if (!l->unsure || time_mono_ns() >= until_ns || !stamp || !*stamp ||
        !str_eq(json_get_str(now, "state"), "active") ||
        !str_copy(l->stamp, sizeof(l->stamp), stamp))
        return -E_CONFLICT;
    log_info("a heartbeat was accepted whose answer was lost", "work=%s", log_q(l->work_id));
    l->unsure = false;
    return 0;
}

/* `ns`, or when the lease ends if that is sooner: its end is noticed then, and not a period later. */
static int64_t not_after(const struct lease *l, int64_t ns)
{
    return l->state == LEASE_LAPSED || ns < l->good_until_ns ? ns : l->good_until_ns;
}

/* The time to live is over. Without a stamp to compare, a beat would be accepted though another
 * worker has the item. */
static void lapse(struct lease *l)
{
    int64_t now_ns = time_mono_ns();
    bool known = l->stamp[0] && !l->no_stamp;
    if (l->state == LEASE_HELD && known && now_ns >= l->good_until_ns) {
        log_warn("the lease has run out, and is tried to be had again", "work=%s",
                 log_q(l->work_id));
        become(l, LEASE_LAPSED, "no heartbeat was accepted for a whole lease time");
    } else if (now_ns >=
               l->good_until_ns + (l->state == LEASE_LAPSED ? LAPSED_MS * NS_PER_MS : 0)) {
        become(l, LEASE_LOST, "no heartbeat was accepted for a whole lease time");
    }
}

/* Waits for the next beat. 0 or -ECANCELED. */
static int wait_for_beat(struct lease *l, int64_t wait_ms)
{
    int64_t next_ns = not_after(l, time_mono_ns() + wait_ms * NS_PER_MS);
    int r = 0;
    struct fiber_deadline d = fiber_deadline_push(next_ns);
    while (r == 0 && !l->hurry && time_mono_ns() < next_ns)
        r = waitq_wait(&l->waits);
    fiber_deadline_pop(&d);
    l->hurry = false;
    return r == -ETIMEDOUT ? 0 : r;
}

/* One beat. Returns how long to wait for the next, or a negative code when the fiber is to end. */
static int64_t beat(struct lease *l, struct backoff *retry)
{
    struct remote_answer a;
    int64_t sent_ns = time_mono_ns();
    int64_t period_end_ns = sent_ns + period_ms(l) * NS_PER_MS;
    struct fiber_deadline d = fiber_deadline_push(not_after(l, period_end_ns));
    int r = remote_heartbeat(l->remote, l->environment_id, l->work_id,
                             l->no_stamp ? NULL : l->stamp, &a);
    fiber_deadline_pop(&d);
    int64_t wait_ms = period_ms(l);
    bool good = r == 0 && a.status == 200 && json_is_object(a.body);
    if (r != -ECANCELED)
        metric_add(good ? &beats_ok : &beats_failed, 1);

    if (r == -ECANCELED) {
        wait_ms = r;
    } else if (good) {
        accepted(l, a.body, sent_ns);
        retry->tries = 0;
        int64_t took_ms = (time_mono_ns() - sent_ns) / NS_PER_MS;
        wait_ms = took_ms < period_ms(l) ? period_ms(l) - took_ms : 0;
    } else if (r == 0 && a.status == 412 && take_over(l, a.body) == 0) {
        wait_ms = 0;
    } else if (r == 0 && a.status == 412) {
        become(l, LEASE_LOST, "another worker holds the lease");
    } else if (r == 0 && remote_is_permanent(&a)) {
        become(l, LEASE_REFUSED, a.words);
    } else {
        log_warn("heartbeat failed, will retry", "work=%s status=%d why=%s", l->work_id, a.status,
                 log_q(a.status == 200 ? "the answer is no heartbeat" : a.words));
        l->unsure = l->unsure || r < 0 || a.status < 400 || a.status >= 500;
        wait_ms = l->state == LEASE_LAPSED
                      ? backoff_next_ms(retry, a.retry_after_ms)
                      : backoff_before_ms(retry, a.retry_after_ms,
                                          (l->good_until_ns - time_mono_ns()) / NS_PER_MS);
        if (wait_ms > period_ms(l))
            wait_ms = period_ms(l);
    }
    remote_answer_done(&a);
    return wait_ms;
}

int lease_run(void *arg)
{
    struct lease *l = arg;
    struct backoff retry = {.base_ms = 250, .cap_ms = 5000};
    while (!is_final(l)) {
        int64_t wait_ms = beat(l, &retry);
        if (wait_ms < 0)
            return (int)wait_ms;
        if (is_final(l))
            break;
        int r = wait_for_beat(l, wait_ms);
        if (r < 0)
            return r;
        lapse(l);
    }
    return 0;
}
