/* worker.c - the claim loop: back-to-back long polls, one session fiber per claimed item.
 *
 * One fiber polls with the environment key; every claim is acknowledged here and then served by a
 * fiber of the sessions' scope (runner.c). Capacity is counted in slots (slots.c): nothing is polled while
 * every slot is at work; while a session at rest has one, whoever is claimed takes its place. The first poll does not wait for work, so that its answer says at once that key and
 * environment are good: then the worker is ready. Errors of the poll back off with jitter (1 s to
 * 60 s, Retry-After honoured), and polls keep a pace whatever comes back; a permanent 4xx ends the worker with words that name the setting to
 * look at.
 *
 * worker_stop, called from the signal fiber, moves the phase: draining cancels the poll and lets
 * running calls finish for the grace period, stopping cuts them off. An item whose answer was under
 * way to a cancelled poll, or that came just before, is not acknowledged and so offered again after
 * `reclaim_older_than_ms`; an acknowledgement that is under way is not cut off, because an item
 * that might be acknowledged and that no worker serves would wait until its lease is over. The
 * platform controls the poll's answer; ids are checked where they are used. */
#include "worker/worker.h"
#include "base/err.h"
#include "base/id.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/time.h"
#include "box/box.h"
#include "fiber/sync.h"
#include "worker/kept.h"
#include "worker/ledger.h"
#include "worker/page.h"
#include "worker/remote.h"
#include "worker/runner.h"
#include "worker/slots.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_MS     999   /* the longest the platform takes (api.md section 4) */
#define ACK_MS       10000 /* for an acknowledgement, which a stop waits for */
#define ACK_AGAIN_MS 3000  /* in which it may be repeated */

/* How long a claim is held for a slot: it is offered again 5 s after the poll. */
#define CLAIM_MS 4000

/* The hosted platform takes 1,200 reading requests a minute: a burst of claims and a steady flow stay
 * below that in any minute. A server of our own, which is known by the key it made, has no such limit.
 * On either, polls that find nothing do not follow one another faster than those that wait for the
 * platform's longest time, also when it answers them at once. */
/* Having every slot at work is worth a line when it lasts so long, and not more often. */
#define FULL_MS       5000
#define FULL_AGAIN_NS (60 * NS_PER_S)

#define POLLS_AT_ONCE  20
#define POLLS_PER_S    19
#define OWN_KEY_PREFIX "sk-sp-env-"
#define EMPTY_POLL_MS  1000

METRIC_COUNTER(given_back, "sallyport_worker_claims_given_back_total", "",
               "Items that were claimed and left for another poll: no slot, no acknowledgement, or "
               "the worker stops.")

struct worker {
    const struct worker_config *cfg;
    struct runner_env env;
    struct slots slots;
    struct ledger ledger;
    struct scope sessions;
    struct fiber *poller, *starter; /* starter: while the engine starts */
    struct remote remote;
    struct secret *key;
    struct pace pace;
    struct page page;
    int64_t next_poll_ns; /* not before */
    int64_t said_full_ns; /* 0: never */
    void (*on_ready)(void *arg);
    void *on_ready_arg;
    struct err *e;
};

/* The one worker of the process: worker_stop is called by a fiber that knows nothing of it. */
static struct worker *the_worker;

size_t worker_default_capacity(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE),
         cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (pages <= 0 || page <= 0 || cores <= 0)
        return 4;
    size_t by_memory = (size_t)pages / ((256u << 20) / (size_t)page);
    size_t by_cores = (size_t)cores * 16;
    size_t n = by_memory < by_cores ? by_memory : by_cores;
    return n < 1 ? 1 : n;
}

struct claim {
    struct worker *w;
    json_t *work;
};

static int session_fiber(void *arg)
{
    struct claim *c = arg;
    runner_serve(&c->w->env, c->work);
    json_decref(c->work);
    free(c);
    return 0;
}

/* Repeats what had no answer or a failure: it may have been taken, and then nobody else is offered the
 * item before its lease is over. A refusal counts, also of a repeated one. Not for so long that the
 * claim may be another worker's. */
static int acknowledge(struct worker *w, const char *id, struct remote_answer *ret)
{
    AUTO(fiber_shield) s = fiber_shield_begin(ACK_MS);
    struct backoff retry = {.base_ms = 250, .cap_ms = 1000};
    int64_t until_ns = time_mono_ns() + ACK_AGAIN_MS * NS_PER_MS;
    int r;
    for (;;) {
        r = remote_ack(&w->remote, w->cfg->environment_id, id, ret);
        bool answered = r == 0 && ret->status < 500;
        if (answered || r == -ECANCELED || time_mono_ns() >= until_ns)
            return r;
        if (fiber_sleep_ms(backoff_next_ms(&retry, -1)) < 0)
            return r;
        remote_answer_done(ret);
    }
}

static int spawn_session(struct worker *w, json_t *work)
{
    struct claim *c = mem_new(struct claim);
    c->w = w;
    c->work = json_incref(work);
    int r = fiber_spawn(&w->sessions, "session", session_fiber, c, NULL);
    if (r < 0) {
        json_decref(c->work);
        free(c);
    }
    return r;
}

/* A slot for what was claimed. Whoever rested when it was polled for may have something to do now; then
 * the claim waits a little for the next one. */
static int take_slot(struct worker *w)
{
    struct fiber_deadline d = fiber_deadline_push_ms(CLAIM_MS);
    int r;
    while ((r = slots_take(&w->slots)) == -EBUSY)
        if ((r = slots_wait(&w->slots)) < 0)
            break;
    fiber_deadline_pop(&d);
    return r;
}

/* Acknowledges the item and starts its session. An item that cannot be acknowledged is left: it is
 * offered again. */
static int take_on(struct worker *w, json_t *work)
{
    const char *id = json_get_str(work, "id");
    struct remote_answer a;
    if (w->env.phase.at != WORKER_SERVING) {
        log_info("claim left for another worker", "work=%s", log_q(id));
        return -ECANCELED;
    }
    int r = id ? take_slot(w) : -E_PROTO;
    if (r == -ETIMEDOUT)
        log_info("claim left: every slot is at work", "work=%s", log_q(id));
    if (r < 0)
        return r;
    r = acknowledge(w, id, &a);
    if (r < 0 || a.status != 200) {
        log_warn("claim not acknowledged, left for another poll", "work=%s status=%d why=%s",
                 log_q(id), a.status, log_q(a.words));
        r = r < 0 ? r : -EAGAIN;
    }
    remote_answer_done(&a);
    if (r == 0)
        r = spawn_session(w, work);
    if (r < 0)
        slots_give(&w->slots);
    return r;
}

static int start_session(struct worker *w, json_t *work)
{
    int r = take_on(w, work);
    if (r < 0)
        metric_add(&given_back, 1);
    return r;
}

/* Words for an answer that more polls will not change. */
static int permanent(struct worker *w, const struct remote_answer *a)
{
    const char *what =
        a->status == 401 ? "the environment key is not accepted; check --environment-key-file"
        : a->status == 403
            ? "the environment key may not poll this environment; check --environment-id"
        : a->status == 404
            ? "there is no such environment for this key; check --environment-id and --base-url"
            : "the platform refuses the poll; check --base-url and --environment-id";
    return err_set(w->e, -E_DENIED, "%s (status %d: %s)", what, a->status, a->words);
}

/* How long to wait after a poll that was answered, from its beginning on. A first poll does not wait
 * for work, so its empty answer says nothing about the next one. */
static int64_t pace_ms(struct worker *w, int64_t began_ns, bool waited, bool empty)
{
    int64_t now_ns = time_mono_ns();
    bool own = str_starts(secret_borrow(w->key), OWN_KEY_PREFIX);
    int64_t wait_ms = own ? 0 : pace_next_ms(&w->pace, now_ns);
    int64_t left_ms = EMPTY_POLL_MS - (now_ns - began_ns) / NS_PER_MS;
    if (waited && empty && left_ms > 0) /* apart from its fellows, if it was answered early */
        left_ms += left_ms > EMPTY_POLL_MS / 10 ? (int64_t)rng_below(EMPTY_POLL_MS / 4) : 0;
    else
        left_ms = 0;
    return left_ms > wait_ms ? left_ms : wait_ms;
}

/* One poll. 1: an item was taken on; 0: none; negative: end of the loop. */
static int poll_once(struct worker *w, struct backoff *retry, bool *ready)
{
    int64_t began_ns = time_mono_ns();
    if (w->next_poll_ns > began_ns) {
        int r = fiber_sleep_until(w->next_poll_ns);
        if (r < 0)
            return r;
        began_ns = time_mono_ns();
    }
    struct remote_answer a;
    bool waited = *ready;
    int r = remote_poll(&w->remote, w->cfg->environment_id, waited ? BLOCK_MS : 0, &a);
    int64_t wait_ms = 0;
    int took = 0;
    bool good = r == 0 && (a.status == 200 || a.status == 204);
    if (r != -ECANCELED)
        page_note_poll(&w->page, good, began_ns);
    if (good) {
        if (!*ready && w->on_ready)
            w->on_ready(w->on_ready_arg);
        *ready = true;
        bool empty = !json_is_object(a.body);
        wait_ms = pace_ms(w, began_ns, waited, empty);
        if (!empty) {
            r = start_session(w, a.body);
            took = r == 0;
            if (r == -ETIMEDOUT) {
                r = 0;
            } else if (r < 0 && r != -ECANCELED) {
                wait_ms = backoff_next_ms(retry, -1); /* it may be offered again at once */
                r = 0;
            }
        }
        if (took || empty)
            retry->tries = 0;
    } else if (r == 0 && remote_is_permanent(&a)) {
        r = permanent(w, &a);
    } else if (r != -ECANCELED) {
        wait_ms = backoff_next_ms(retry, a.retry_after_ms);
        log_warn("poll failed, will retry", "status=%d wait_ms=%lld why=%s", a.status,
                 (long long)wait_ms, log_q(a.words));
        r = 0;
    }
    remote_answer_done(&a);
    w->next_poll_ns = time_mono_ns() + wait_ms * NS_PER_MS;
    return r < 0 ? r : took;
}

/* Waits until a session could be served. Work may wait meanwhile, and nobody is asked for it. */
static int await_slot(struct worker *w)
{
    struct fiber_deadline d = fiber_deadline_push_ms(FULL_MS);
    int64_t began_ns = time_mono_ns();
    int r = slots_wait(&w->slots);
    fiber_deadline_pop(&d);
    if (r != -ETIMEDOUT)
        return r;
    bool say = !w->said_full_ns || began_ns - w->said_full_ns >= FULL_AGAIN_NS;
    if (say) {
        w->said_full_ns = began_ns;
        log_info("every slot is at work, no work is asked for", "slots=%zu kept=%zu",
                 w->slots.capacity, w->env.kept->n);
    }
    r = slots_wait(&w->slots);
    if (r == 0 && say)
        log_info("a slot is free, work is asked for again", "after_ms=%lld",
                 (long long)((time_mono_ns() - began_ns) / NS_PER_MS));
    return r;
}

static int poll_loop(void *arg)
{
    struct worker *w = arg;
    struct backoff retry = {.base_ms = 1000, .cap_ms = 60000};
    bool ready = false;
    int r = 0;
    while (w->env.phase.at == WORKER_SERVING) {
        r = await_slot(w);
        if (r == 0)
            r = poll_once(w, &retry, &ready);
        if (r < 0)
            break;
    }
    w->poller = NULL;
    return r == -ECANCELED ? 0 : r < 0 ? r : 0;
}

/* Kept sandboxes go when their time is over, also when nothing else happens. */
static int sweep_loop(void *arg)
{
    struct kept *p = arg;
    int r;
    while ((r = fiber_sleep_ms(p->keep_ms < 60000 ? p->keep_ms : 60000)) == 0)
        kept_sweep(p);
    return r;
}

void worker_stop(void)
{
    struct worker *w = the_worker;
    if (!w)
        return;
    if (w->env.phase.at == WORKER_SERVING) {
        w->env.phase.at = WORKER_DRAINING;
        int64_t grace_ms = w->cfg->grace_ms ? w->cfg->grace_ms : 30000;
        w->env.phase.drain_until_ns = time_mono_ns() + grace_ms * NS_PER_MS;
        log_info("draining", "sessions=%zu grace_ms=%lld", w->sessions.n_children,
                 (long long)grace_ms);
        if (w->poller)
            fiber_cancel(w->poller);
        if (w->starter)
            fiber_cancel(w->starter);
    } else {
        w->env.phase.at = WORKER_STOPPING;
    }
    runner_wake_all(&w->env);
}

int worker_run(const struct worker_config *cfg, void (*on_ready)(void *arg), void *arg,
               struct err *e)
{
    struct worker w = {.cfg = cfg, .on_ready = on_ready, .on_ready_arg = arg, .e = e};
    char host[64] = "worker", unique[ID_MAX], name[160];
    gethostname(host, sizeof(host) - 1);
    snprintf(name, sizeof(name), "%s-%s", host, id_make(unique, ""));
    runner_env_init(&w.env);
    scope_init(&w.sessions);
    w.env.cfg = cfg;
    size_t capacity = cfg->capacity ? cfg->capacity : worker_default_capacity();
    struct kept kept;
    kept_init(&kept, cfg->keep_max ? cfg->keep_max : capacity, cfg->keep_ms);
    w.env.kept = &kept;
    slots_init(&w.slots, capacity);
    w.env.slots = &w.slots;
    ledger_init(&w.ledger);
    w.env.ledger = &w.ledger;
    pace_init(&w.pace, POLLS_AT_ONCE, POLLS_PER_S);
    struct secret key = {0};
    int r = secret_set(&key, secret_borrow(&cfg->environment_key), cfg->environment_key.len);
    w.key = &key;
    if (r == 0)
        r = remote_init(&w.remote, cfg->base_url, &key, cfg->worker_id ? cfg->worker_id : name, e);
    if (r < 0)
        goto out_key;
    w.remote.keeps = cfg->keep_ms > 0;
    struct box_host_config boxes = {.state_dir = cfg->state_dir,
                                    .isolation = cfg->isolation,
                                    .oci_runtime = cfg->oci_runtime,
                                    .search_path = cfg->search_path,
                                    .warm = cfg->warm,
                                    .warm_spec = cfg->sandbox,
                                    .outside = cfg->outside,
                                    .trial = true};
    r = page_open(&w.page, &w.env, cfg->metrics, e);
    if (r < 0)
        goto out_remote;
    the_worker = &w; /* from here on, so that a stop is not missed while the engine starts */
    w.starter = fiber_self();
    r = box_host_start(&boxes, &w.env.boxes, e);
    w.starter = NULL;
    if (r < 0)
        goto out_page;

    struct scope sweeping;
    scope_init(&sweeping);
    struct scope polling;
    scope_init(&polling);
    r = cfg->keep_ms > 0 ? fiber_spawn(&sweeping, "sweep", sweep_loop, &kept, NULL) : 0;
    if (r == 0)
        r = fiber_spawn(&polling, "poll", poll_loop, &w, &w.poller);
    if (r == 0)
        r = scope_join(&polling);
    w.poller = NULL;
    if (r == 0)
        r = polling.first_error;
    scope_done(&polling);
    /* Sessions end by themselves: the phase tells them to. After an error of the poll (a revoked
     * key, say) they get the grace period too, because their own tokens may still be good. */
    if (r < 0 && w.env.phase.at == WORKER_SERVING)
        worker_stop();
    int joined = scope_join(&w.sessions);
    if (joined < 0)
        log_debug("sessions cut off", "code=%s", err_name(joined));
    scope_done(&w.sessions);
    scope_done(&sweeping);
    page_close(&w.page); /* before what it looks at */
    kept_done(&kept);
    box_host_stop(w.env.boxes);
out_page:
    page_close(&w.page);
out_remote:
    the_worker = NULL;
    remote_done(&w.remote);
out_key:
    if (r == -ECANCELED && w.env.phase.at != WORKER_SERVING)
        r = 0; /* told to stop before it was ready */
    ledger_done(&w.ledger);
    secret_done(&key);
    return r;
}
