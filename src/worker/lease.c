/* lease.c - heartbeats of one claimed work item.
 *
 * Runs on a fiber of the session's scope from the moment of the claim. Period: half the TTL,
 * between 1 s and 30 s; one beat is cut off after one period. The clock of the lease starts when a
 * beat is *sent*, so that our idea of its end is never later than the platform's. Without an
 * accepted beat for a whole TTL the lease is taken as lost. The platform controls stamp and TTL:
 * the stamp is bounded and echoed to the byte, the TTL kept within 2 s and 1 h. */
#include "worker/lease.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"

#include <string.h>

#define TTL_DEFAULT_MS 90000
#define NO_HEARTBEAT   "NO_HEARTBEAT"

void lease_init(struct lease *l, struct remote *remote, const char *environment_id,
                const char *work_id, struct waitq *changed)
{
    *l = (struct lease){.remote = remote,
                        .environment_id = environment_id,
                        .work_id = work_id,
                        .ttl_ms = TTL_DEFAULT_MS,
                        .changed = changed};
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
    become(l, LEASE_HELD, "");
}

/* One beat. Returns how long to wait for the next, or a negative code when the fiber is to end. */
static int64_t beat(struct lease *l, struct backoff *retry)
{
    struct remote_answer a;
    int64_t sent_ns = time_mono_ns();
    /* Also cut off when the lease ends, so that its end is noticed then and not a period later. */
    int64_t period_end_ns = sent_ns + period_ms(l) * NS_PER_MS;
    struct fiber_deadline d =
        fiber_deadline_push(period_end_ns < l->good_until_ns ? period_end_ns : l->good_until_ns);
    int r = remote_heartbeat(l->remote, l->environment_id, l->work_id,
                             l->no_stamp ? NULL : l->stamp, &a);
    fiber_deadline_pop(&d);
    int64_t wait_ms = period_ms(l);

    if (r == -ECANCELED) {
        wait_ms = r;
    } else if (r == 0 && a.status == 200 && json_is_object(a.body)) {
        accepted(l, a.body, sent_ns);
        retry->tries = 0;
        wait_ms = period_ms(l);
    } else if (r == 0 && a.status == 412) {
        become(l, LEASE_LOST, "another worker holds the lease");
    } else if (r == 0 && remote_is_permanent(&a)) {
        become(l, LEASE_REFUSED, a.words);
    } else {
        log_warn("heartbeat failed, will retry", "work=%s status=%d why=%s", l->work_id, a.status,
                 log_q(a.status == 200 ? "the answer is no heartbeat" : a.words));
        wait_ms = backoff_next_ms(retry, a.retry_after_ms);
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
        int64_t next_ns = time_mono_ns() + wait_ms * NS_PER_MS;
        int r = fiber_sleep_until(next_ns < l->good_until_ns ? next_ns : l->good_until_ns);
        if (r < 0)
            return r;
        if (time_mono_ns() >= l->good_until_ns)
            become(l, LEASE_LOST, "no heartbeat was accepted for a whole lease time");
    }
    return 0;
}
