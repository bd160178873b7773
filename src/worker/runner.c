/* runner.c - one claimed session, from the first heartbeat to the stop.
 *
 * Fibers of a session, all in its scope: the session fiber itself (runner_serve: decides, posts),
 * the heartbeat (lease_run), the follower (follow_run: reads history and stream into the feed), the
 * opener (makes the sandbox while the rest goes on), and one fiber for what runs at the moment: the
 * reading of the session, a call or a hook (watch_run). Only the session fiber waits on `changed`; every event wakes it, and
 * it looks at everything again. Nothing is run before the first heartbeat was accepted, and nothing
 * is posted once another worker may hold the lease: that is what keeps two workers from answering
 * one call.
 *
 * The platform controls events and answers; the sandbox controls results, which go to the platform
 * as they are, bounded by the sandbox client. Tokens stay in struct secret and in libcurl. */
#include "worker/runner.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/time.h"
#include "base/toolset.h"
#include "box/box.h"
#include "worker/admit.h"
#include "worker/feed.h"
#include "worker/follow.h"
#include "worker/hooks.h"
#include "worker/item.h"
#include "worker/lease.h"
#include "worker/kept.h"
#include "worker/ledger.h"
#include "worker/place.h"
#include "worker/post.h"
#include "worker/remote.h"
#include "worker/slots.h"
#include "worker/watch.h"

#include <string.h>

static const char rested[] = "idle"; /* why a session was let go that may come back */
static const char let_go[] = "idle, and its place was needed";

#define CALLS(var, outcome)                                                                        \
    METRIC_COUNTER(var, "sallyport_worker_calls_total", "outcome=\"" outcome "\"",                 \
                   "Tool calls that were run; cut: ended before they were done.")
CALLS(calls_ok, "ok")
CALLS(calls_error, "error")
CALLS(calls_cut, "cut")
METRIC_HISTOGRAM(call_time, "sallyport_worker_call_seconds", "",
                 "Time of a tool call, the wait for its sandbox included.")

struct runner {
    struct runner_env *env;
    struct list node;
    struct item item;
    struct admit admit;
    struct remote remote;
    struct lease lease;
    struct feed feed;
    struct follow follow;
    struct post post;
    struct hooks hooks;
    struct waitq changed; /* the session fiber waits here */
    struct scope scope;
    const char *custom_names[WORKER_TOOLS_MAX + 1];
    int64_t rest_since_ns; /* 0: not at rest */
    unsigned rests;        /* feed.rests of it */
    unsigned breaks;       /* of follow.breaks, those that were looked into */
    struct slot slot;

    struct place place; /* its sandbox */
};

/* A call that is run; lives on the session fiber's stack. */
struct call {
    struct runner *of;
    char *id; /* owned */
    struct place_call run;
};

void runner_env_init(struct runner_env *env)
{
    list_init(&env->sessions);
    waitq_init(&env->left);
}

size_t runner_count_boxes(const struct runner_env *env)
{
    size_t n = 0;
    LIST_FOREACH (s, &env->sessions, struct runner, node)
        n += s->place.box != NULL;
    return n;
}

void runner_wake_all(struct runner_env *env)
{
    LIST_FOREACH (s, &env->sessions, struct runner, node)
        waitq_wake_all(&s->changed);
}

/* ---- deciding ---- */

/* True when what runs for this session has no use any more (arg: struct runner). */
static bool session_is_over(void *arg)
{
    struct runner *s = arg;
    return !lease_ours(&s->lease) || s->lease.state == LEASE_STOPPING || s->feed.ended ||
           phase_must_leave(&s->env->phase);
}

/* True when the running call has to be cut off. */
static bool call_is_over(void *arg)
{
    struct call *call = arg;
    struct runner *s = call->of;
    const struct feed_call *c = feed_find(&s->feed, call->id);
    return session_is_over(s) || s->follow.refused || !c || c->closed || c->refusal;
}

/* Tells with the first result that is posted what the session has to do without. */
static void add_notice(struct runner *s, struct box_result *result)
{
    if (!s->admit.notice || !json_is_array(result->content))
        return;
    AUTO_FREE char *text = TAKE(s->admit.notice);
    json_array_append_new(result->content, json_pack("{s:s,s:s}", "type", "text", "text", text));
}

/* Posts a result. When that cannot be done (the platform is away, the lease has ended), it waits for
 * the time when the session is ours again. */
static void post_or_keep(struct runner *s, struct call *call)
{
    AUTO_JSON json_t *content = json_incref(call->run.result.content);
    feed_expect_status(&s->feed);
    bool is_error = call->run.result.is_error;
    post_result(&s->post, call->id, call->run.custom, &call->run.result);
    struct feed_call *c = feed_find(&s->feed, call->id);
    if (c && !c->closed && !c->refusal && !s->feed.ended)
        ledger_keep(s->env->ledger, call->id, content, is_error);
    else
        ledger_forget(s->env->ledger, call->id);
}

/* Posts what came of a call, unless the log has an answer already. */
static void answer_call(struct runner *s, struct call *call, bool cut)
{
    struct feed_call *c = feed_find(&s->feed, call->id);
    if (!c || c->closed)
        return;
    if (call->run.result.content) { /* also one that came while it was being cut off */
        add_notice(s, &call->run.result);
        post_or_keep(s, call);
    } else if (cut && c->refusal) {
        post_error(&s->post, call->id, call->run.custom, c->refusal);
    } else if (cut && lease_ours(&s->lease) && !s->feed.ended) {
        post_error(&s->post, call->id, call->run.custom,
                   phase_must_leave(&s->env->phase)
                       ? "The call was cut off because the worker is shutting down. Please retry."
                       : "The call was cut off because the platform stopped the work item.");
    }
}

static void count_call(bool cut, bool is_error, int64_t us)
{
    metric_add(cut ? &calls_cut : is_error ? &calls_error : &calls_ok, 1);
    metric_time_us(&call_time, us);
}

/* Runs a call to its end. True when it was cut off. */
static bool run_to_end(struct runner *s, struct call *call)
{
    struct watch w = {
        .changed = &s->changed, .over = call_is_over, .arg = call, .phase = &s->env->phase};
    bool cut = false;
    int64_t began_ns = time_mono_ns();
    if (watch_run(&w, "call", place_run, &call->run, &cut) < 0)
        post_error_text(&call->run.result, "The worker is out of memory; please retry.");
    int64_t us = (time_mono_ns() - began_ns) / (NS_PER_MS / 1000);
    count_call(cut, call->run.result.is_error, us);
    log_info("call served", "session=%s tool=%s call=%s attempt=%d ms=%lld error=%d cut=%d",
             s->item.session_id, call->run.tool, log_q(call->id), call->run.attempt,
             (long long)(us / 1000), call->run.result.is_error, cut);
    return cut;
}

/* Runs a call and posts what came of it; one that has run here before without its result being
 * posted is not run again. */
static void run_one(struct runner *s, struct feed_call *c)
{
    struct call call = {.of = s,
                        .id = mem_strdup(c->id),
                        .run = {.at = &s->place,
                                .tool = mem_strdup(c->name),
                                .custom = c->custom,
                                .input = json_incref(c->input)}};
    call.run.id = call.id;
    c->started = true;
    if (ledger_take(s->env->ledger, call.id, &call.run.result.content, &call.run.result.is_error)) {
        log_info("result of an earlier run posted", "session=%s call=%s", s->item.session_id,
                 log_q(call.id));
        answer_call(s, &call, false);
    } else {
        int here = ledger_begin(s->env->ledger, call.id);
        call.run.attempt = here > c->begun_before + 1 ? here : c->begun_before + 1;
        answer_call(s, &call, run_to_end(s, &call));
    }
    place_call_done(&call.run);
    free(call.id);
}

/* Does what is to be done about a call. */
static void serve_call(struct runner *s, struct feed_call *c)
{
    AUTO_FREE char *id = mem_strdup(c->id);
    const char *refusal = s->admit.refusal ? s->admit.refusal : c->refusal;
    if (feed_todo(c) == FEED_RESEND) {
        post_again(&s->post, id);
    } else if (refusal) {
        log_info("call answered, not run", "session=%s call=%s why=%s", s->item.session_id,
                 log_q(id), log_q(refusal));
        post_error(&s->post, id, c->custom, refusal);
    } else {
        run_one(s, c);
    }
}

/* The wait between decisions: until something changed, or rest has lasted long enough, or draining
 * is over. */
static int wait_for_change(struct runner *s)
{
    int64_t until = FIBER_NO_DEADLINE;
    int64_t idle_ms = s->env->cfg->max_idle_ms ? s->env->cfg->max_idle_ms : 60000;
    if (s->rest_since_ns && idle_ms > 0)
        until = s->rest_since_ns + idle_ms * NS_PER_MS;
    struct fiber_deadline d = fiber_deadline_push(until);
    int r = waitq_wait(&s->changed);
    fiber_deadline_pop(&d);
    return r;
}

static bool rested_enough(struct runner *s)
{
    bool rests = s->feed.at_rest && !s->feed.listing && !feed_holds(&s->feed);
    if (!rests || s->rests != s->feed.rests)
        s->rest_since_ns = 0;
    s->rests = s->feed.rests;
    if (!rests)
        return false;
    if (!s->rest_since_ns)
        s->rest_since_ns = time_mono_ns();
    int64_t idle_ms = s->env->cfg->max_idle_ms ? s->env->cfg->max_idle_ms : 60000;
    return idle_ms > 0 && time_mono_ns() >= s->rest_since_ns + idle_ms * NS_PER_MS;
}

/* Tells whether the session could leave for another one: nothing is to be done for it, and what it
 * waits for comes as an input, with which the platform offers it again. */
static bool rests_for_others(struct runner *s)
{
    bool rests = s->feed.idle && !s->feed.listing && !feed_next(&s->feed);
    slot_rest(&s->slot, rests);
    if (!rests || !s->slot.asked)
        return false;
    log_info("session let go for another one", "session=%s", s->item.session_id);
    slot_give_up(&s->slot); /* here, where it is decided: leaving takes a while */
    return true;
}

/* True while it is worth waiting for a lease that has run out without another worker's having it: a call
 * is open, which may have a result already. */
static bool hopes(struct runner *s)
{
    return (s->lease.state == LEASE_HELD || s->lease.state == LEASE_LAPSED) && !s->feed.ended &&
           s->env->phase.at == WORKER_SERVING && !fiber_cancelled() && feed_next(&s->feed);
}

/* The stream has ended: so it does when the platform takes an item back. */
static void look_after_break(struct runner *s)
{
    if (s->breaks == s->follow.breaks)
        return;
    s->breaks = s->follow.breaks;
    lease_hurry(&s->lease);
}

/* Serves calls until there is a reason to leave; returns it in words. */
static const char *serve_session(struct runner *s)
{
    for (;;) {
        look_after_break(s);
        if (!lease_ours(&s->lease) && hopes(s)) {
            slot_rest(&s->slot, false);
            s->rest_since_ns = 0;
            int r = wait_for_change(s);
            if (r < 0 && r != -ETIMEDOUT)
                return "internal error";
            continue;
        }
        if (s->lease.state == LEASE_LOST || !lease_ours(&s->lease))
            return s->lease.state == LEASE_REFUSED ? "lease refused" : "lease lost";
        if (s->lease.state == LEASE_STOPPING) {
            post_rest(&s->post, "The platform stopped the work item before this call ran.");
            return "stopped by the platform";
        }
        if (s->feed.ended)
            return "session ended";
        if (s->follow.refused)
            return "session cannot be read";
        if (s->env->phase.at != WORKER_SERVING || fiber_cancelled()) {
            struct fiber_shield shield = fiber_shield_begin(phase_shield_ms(&s->env->phase));
            post_rest(&s->post, "The worker was shut down before this call ran. Please retry.");
            fiber_shield_end(&shield);
            return "worker shutting down";
        }
        struct feed_call *c = feed_next(&s->feed);
        if (c) {
            s->rest_since_ns = 0;
            slot_rest(&s->slot, false);
            serve_call(s, c);
            continue;
        }
        if (rested_enough(s))
            return rested;
        if (rests_for_others(s))
            return let_go;
        int r = wait_for_change(s);
        if (r < 0 && r != -ETIMEDOUT && r != -ECANCELED)
            return "internal error";
    }
}

/* The first heartbeat decides whether the item is ours at all. A worker that is told to stop before
 * that lets go at once: nothing of the session has been read, so the item is left for another one
 * rather than stopped. */
static int await_lease(struct runner *s)
{
    while (s->lease.state == LEASE_NEW) {
        if (s->env->phase.at != WORKER_SERVING)
            return -ECANCELED;
        int r = waitq_wait(&s->changed);
        if (r < 0)
            return r;
    }
    return s->lease.state == LEASE_HELD ? 0 : -E_DENIED;
}

static void stop_item(struct runner *s, bool at_rest)
{
    struct fiber_shield shield = fiber_shield_begin(phase_shield_ms(&s->env->phase));
    item_stop(&s->item, &s->remote, s->env->cfg->environment_id, at_rest);
    fiber_shield_end(&shield);
}

/* Reads the session; what it says to do next. Suspends. */
static enum admit_verdict admit_session(struct runner *s)
{
    s->admit = (struct admit){.remote = &s->remote, .session_id = s->item.session_id};
    struct watch w = {
        .changed = &s->changed, .over = session_is_over, .arg = s, .phase = &s->env->phase};
    if (watch_run(&w, "admit", admit_run, &s->admit, NULL) < 0)
        return ADMIT_NOT_READ;
    if (s->admit.refusal)
        log_error("the session has a memory store; its calls are not run", "session=%s",
                  s->item.session_id);
    if (s->admit.notice)
        log_warn("the agent has skills, which are not installed", "session=%s", s->item.session_id);
    s->hooks.metadata = s->admit.metadata;
    return s->admit.verdict;
}

/* Another runner of this worker that has the same session, under an item that has ended. */
static struct runner *predecessor(struct runner *s)
{
    LIST_FOREACH (o, &s->env->sessions, struct runner, node)
        if (o != s && str_eq(o->item.session_id, s->item.session_id))
            return o;
    return NULL;
}

/* Waits until it has left its sandbox to us. 0, or negative when the session is over for us, too. */
static int await_predecessor(struct runner *s)
{
    struct runner *o;
    int r = 0;
    while (r == 0 && (o = predecessor(s)) != NULL) {
        if (session_is_over(s))
            return -ECANCELED;
        lease_hurry(&o->lease);
        struct fiber_deadline d = fiber_deadline_push_ms(1000);
        r = waitq_wait(&s->env->left);
        fiber_deadline_pop(&d);
        r = r == -ETIMEDOUT ? 0 : r;
    }
    return r;
}

/* Serves a session that has been read; why it was left, in words. */
static const char *serve_admitted(struct runner *s)
{
    if (await_predecessor(s) < 0)
        return serve_session(s);
    place_open(&s->place);
    if (fiber_spawn(&s->scope, "follow", follow_run, &s->follow, NULL) < 0)
        return "internal error";
    hooks_run_claim(&s->hooks, session_is_over, s);
    const char *why = serve_session(s);
    if (s->slot.rests)
        slot_give_up(&s->slot);
    hooks_run_end(&s->hooks);
    return why;
}

/* After its end: it was not the session's own end, nor the worker's. A refused stream does not say
 * whose it was: so an item that was taken back is noticed, too, when heartbeats do not get through. */
static bool may_come_back(struct runner *s)
{
    return !s->feed.ended && s->env->phase.at == WORKER_SERVING && !box_has_ended(s->place.box);
}

static void run_session(struct runner *s)
{
    const char *why = "internal error";
    bool stop = true;

    scope_init(&s->scope);
    int r = fiber_spawn(&s->scope, "heartbeat", lease_run, &s->lease, NULL);
    if (r == 0)
        r = await_lease(s);
    if (r < 0) {
        why = s->lease.state == LEASE_LOST  ? "lease lost"
              : s->lease.state == LEASE_NEW ? "worker shutting down"
                                            : "item not granted";
        goto leave;
    }
    s->env->lease_ms = s->lease.ttl_ms;
    log_info("session claimed", "session=%s work=%s", s->item.session_id, s->item.work_id);
    switch (admit_session(s)) {
    case ADMIT_SERVE:
        why = serve_admitted(s);
        break;
    case ADMIT_OVER:
        why = "the session was over before it was claimed";
        break;
    case ADMIT_UNKNOWN:
        why = "the session cannot be read";
        break;
    case ADMIT_NOT_READ: /* cut off, for a reason that serve_session tells */
        why = session_is_over(s) ? serve_session(s) : why;
        break;
    }
leave:
    stop = s->lease.state != LEASE_LOST && s->lease.state != LEASE_NEW;
    int64_t until_ns = s->lease.good_until_ns;
    scope_done(&s->scope); /* ends heartbeat, follower and opener */
    /* The session may come back, and finds its files then. Before the stop, which lets it be claimed
     * again. */
    if (s->place.box && may_come_back(s))
        kept_put(s->env->kept, s->item.session_id, TAKE(s->place.box), !s->feed.idle);
    box_close(TAKE(s->place.box));
    if (stop && time_mono_ns() < until_ns)
        stop_item(s, str_eq(why, rested) || str_eq(why, let_go));
    log_info("session released", "session=%s work=%s why=%s lease=%s", s->item.session_id,
             s->item.work_id, log_q(why), log_q(s->lease.words));
}

/* Tells those who work for the session about one another. */
static void tell_parts(struct runner *s)
{
    follow_init(&s->follow, &s->remote, s->item.session_id, &s->feed, &s->changed);
    s->post = (struct post){.remote = &s->remote,
                            .session_id = s->item.session_id,
                            .lease = &s->lease,
                            .feed = &s->feed,
                            .phase = &s->env->phase,
                            .changed = &s->changed};
    place_init(&s->place, s->env->cfg, s->env->boxes, s->env->kept, s->item.session_id, &s->scope);
    s->hooks = (struct hooks){.cfg = s->env->cfg,
                              .session_id = s->item.session_id,
                              .work_id = s->item.work_id,
                              .phase = &s->env->phase,
                              .changed = &s->changed};
}

/* Serves the item with the credential it came with. */
static void serve_item(struct runner *s)
{
    struct err e = {0};
    if (remote_init(&s->remote, s->env->cfg->base_url, &s->item.token, NULL, &e) < 0) {
        log_error("session not served", "session=%s why=%s", s->item.session_id, log_q(e.msg));
        return;
    }
    lease_init(&s->lease, &s->remote, s->env->cfg->environment_id, s->item.work_id, &s->changed);
    tell_parts(s);
    list_push_back(&s->env->sessions, &s->node);
    if (s->item.session_id)
        run_session(s);
    else
        stop_item(s, false); /* a health check, or nothing we know: nothing is run */
    list_remove(&s->node);
    waitq_wake_all(&s->env->left);
    remote_done(&s->remote);
}

void runner_serve(struct runner_env *env, const json_t *work)
{
    struct runner *s = mem_new(struct runner);
    s->env = env;
    waitq_init(&s->changed);
    slot_init(&s->slot, env->slots, &s->changed);
    for (size_t i = 0; i < env->cfg->n_tools && i < WORKER_TOOLS_MAX; i++)
        s->custom_names[i] = env->cfg->tools[i].name;
    feed_init(&s->feed, toolset_served, s->custom_names);
    if (item_init(&s->item, work, &env->cfg->environment_key) == 0) {
        fiber_set_context(s->item.session_id ? s->item.session_id : s->item.work_id);
        serve_item(s);
    }
    slot_give_up(&s->slot);
    feed_done(&s->feed);
    admit_done(&s->admit);
    item_done(&s->item);
    free(s);
}
