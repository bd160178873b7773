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
#include "worker/post.h"
#include "worker/remote.h"
#include "worker/watch.h"

#include <string.h>

#define CALL_TIMEOUT_MS  120000
#define CALL_TIMEOUT_MAX 3600000
#define CALL_SLACK_MS    30000 /* beyond the tool's own time: for an init that does not answer */

static const char rested[] = "idle"; /* why a session was let go that may come back */

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

    struct box *box; /* NULL: none yet, or not any more */
    bool opening;
    struct waitq opened;  /* a call waits here for the end of an opening */
    struct err box_error; /* of the last opening, when there is no box */
};

/* A call and what came of it; lives on the session fiber's stack while it runs. */
struct call {
    struct runner *of;
    char *id, *tool; /* owned */
    bool custom;
    json_t *input;            /* owned */
    struct box_result result; /* without content: it was cut off before there was one */
};

void runner_wake_all(struct runner_env *env)
{
    LIST_FOREACH (s, &env->sessions, struct runner, node)
        waitq_wake_all(&s->changed);
}

/* ---- the sandbox ---- */

static int open_box(void *arg)
{
    struct runner *s = arg;
    struct box_spec spec = {.session_id = s->item.session_id, .sandbox = s->env->cfg->sandbox};
    struct box *box = NULL;
    s->box_error = (struct err){0};
    int r = box_open(s->env->boxes, &spec, &box, &s->box_error);
    s->box = r < 0 ? NULL : box;
    if (r < 0 && s->box_error.code == 0)
        err_set(&s->box_error, r, "the sandbox could not be started: %s", err_text(r));
    s->opening = false;
    waitq_wake_all(&s->opened);
    return 0;
}

/* Begins to open a sandbox, unless there is one, or one on its way. */
static void start_opening(struct runner *s)
{
    if (s->box || s->opening)
        return;
    s->box = kept_take(s->env->kept, s->item.session_id);
    if (s->box)
        return;
    s->opening = true;
    int r = fiber_spawn(&s->scope, "box-open", open_box, s, NULL);
    if (r < 0) {
        s->opening = false;
        err_set(&s->box_error, r, "no fiber for opening the sandbox");
    }
}

/* Returns when there is a sandbox or the reason why there is none (box_error). Suspends. 0,
 * -ECANCELED or -ETIMEDOUT. */
static int await_box(struct runner *s)
{
    start_opening(s);
    while (s->opening) {
        int r = waitq_wait(&s->opened);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- one call ---- */

static int64_t call_timeout_ms(const json_t *input)
{
    int64_t ms = json_get_int(input, "timeout_ms", CALL_TIMEOUT_MS);
    return ms < 1 ? CALL_TIMEOUT_MS : ms > CALL_TIMEOUT_MAX ? CALL_TIMEOUT_MAX : ms;
}

/* A custom tool is a command in the shell of the sandbox, its input a here-document: one line of
 * JSON, which begins with a brace and so cannot be the line that ends it. */
static json_t *custom_input(const struct call *c)
{
    const struct worker_config *cfg = c->of->env->cfg;
    const char *command = NULL;
    for (size_t i = 0; i < cfg->n_tools; i++)
        if (str_eq(cfg->tools[i].name, c->tool))
            command = cfg->tools[i].command;
    MUST(command); /* the feed offers no other */
    AUTO_FREE char *json = json_text(c->input, NULL);
    AUTO_FREE char *text =
        mem_printf("(cd '%s' && %s\n) <<'SALLYPORT_INPUT'\n%s\nSALLYPORT_INPUT\n",
                   box_home(c->of->box), command, json);
    return json_pack("{s:s}", "command", text);
}

/* The sandbox is of no use any more: the call's answer says so, and the next one opens another. */
static void lose_box(struct call *c, const char *text)
{
    post_error_text(&c->result, text);
    box_close(TAKE(c->of->box));
}

/* Has the sandbox run it. */
static int run_in_box(struct call *c)
{
    struct runner *s = c->of;
    struct err e = {0};
    AUTO_JSON json_t *input = c->custom ? custom_input(c) : json_incref(c->input);
    int64_t ms = call_timeout_ms(c->input);
    struct fiber_deadline d = fiber_deadline_push_ms(ms + CALL_SLACK_MS);
    int r = box_call(s->box, c->custom ? "bash" : c->tool, input, ms, &c->result, &e);
    fiber_deadline_pop(&d);
    if (r == 0 || r == -ECANCELED)
        return r;
    log_warn("sandbox ended during a call", "session=%s tool=%s why=%s", s->item.session_id,
             c->tool, log_q(e.msg));
    AUTO_FREE char *text = mem_printf("The sandbox ended while the tool was running (%s). "
                                      "A new one is used from now on; files "
                                      "and shell state of the old one are gone.",
                                      e.msg[0] ? e.msg : err_text(r));
    lose_box(c, text);
    return r;
}

/* The call fiber. */
static int run_call(void *arg)
{
    struct call *c = arg;
    struct runner *s = c->of;
    int r = await_box(s);
    if (r < 0)
        return r;
    if (!s->box) {
        AUTO_FREE char *text = mem_printf("The sandbox could not be started: %s", s->box_error.msg);
        log_error("sandbox not started", "session=%s why=%s", s->item.session_id,
                  log_q(s->box_error.msg));
        post_error_text(&c->result, text);
        return 0;
    }
    if (box_has_ended(s->box)) {
        log_warn("sandbox ended between calls", "session=%s tool=%s", s->item.session_id, c->tool);
        lose_box(c, "This call was not run: the sandbox had ended since the one before. "
                    "A new one is used from now on; files and shell state of the old "
                    "one are gone.");
        return 0;
    }
    return run_in_box(c);
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

/* Posts what came of a call, unless the log has an answer already. */
static void answer_call(struct runner *s, struct call *call, bool cut)
{
    struct feed_call *c = feed_find(&s->feed, call->id);
    if (!c || c->closed)
        return;
    if (call->result.content) { /* also one that came while it was being cut off */
        add_notice(s, &call->result);
        post_result(&s->post, call->id, call->custom, &call->result);
    } else if (cut && c->refusal) {
        post_error(&s->post, call->id, call->custom, c->refusal);
    } else if (cut && lease_ours(&s->lease) && !s->feed.ended) {
        post_error(&s->post, call->id, call->custom,
                   phase_must_leave(&s->env->phase)
                       ? "The call was cut off because the worker is shutting down. Please retry."
                       : "The call was cut off because the platform stopped the work item.");
    }
}

/* Runs a call to its end and posts what came of it. */
static void run_one(struct runner *s, struct feed_call *c)
{
    struct call call = {.of = s,
                        .id = mem_strdup(c->id),
                        .tool = mem_strdup(c->name),
                        .custom = c->custom,
                        .input = json_incref(c->input)};
    c->started = true;
    struct watch w = {
        .changed = &s->changed, .over = call_is_over, .arg = &call, .phase = &s->env->phase};
    bool cut = false;
    int64_t began_ns = time_mono_ns();
    if (watch_run(&w, "call", run_call, &call, &cut) < 0)
        post_error_text(&call.result, "The worker is out of memory; please retry.");
    json_decref(TAKE(call.input));
    log_info("call served", "session=%s tool=%s call=%s ms=%lld error=%d cut=%d",
             s->item.session_id, call.tool, log_q(call.id),
             (long long)((time_mono_ns() - began_ns) / NS_PER_MS), call.result.is_error, cut);
    answer_call(s, &call, cut);
    box_result_done(&call.result);
    free(call.id);
    free(call.tool);
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

/* Serves calls until there is a reason to leave; returns it in words. */
static const char *serve_session(struct runner *s)
{
    for (;;) {
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
            serve_call(s, c);
            continue;
        }
        if (rested_enough(s))
            return rested;
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

static void stop_item(struct runner *s)
{
    struct fiber_shield shield = fiber_shield_begin(phase_shield_ms(&s->env->phase));
    item_stop(&s->item, &s->remote, s->env->cfg->environment_id);
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

/* Serves a session that has been read; why it was left, in words. */
static const char *serve_admitted(struct runner *s)
{
    start_opening(s);
    if (fiber_spawn(&s->scope, "follow", follow_run, &s->follow, NULL) < 0)
        return "internal error";
    hooks_run_claim(&s->hooks, session_is_over, s);
    const char *why = serve_session(s);
    hooks_run_end(&s->hooks);
    return why;
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
    /* At rest, and ours to the end: the next claim of this session finds its files. Before the
     * stop, which lets it be claimed again. */
    if (s->box && str_eq(why, rested) && !s->feed.ended)
        kept_put(s->env->kept, s->item.session_id, TAKE(s->box));
    box_close(TAKE(s->box));
    if (stop && time_mono_ns() < until_ns)
        stop_item(s);
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
        stop_item(s); /* a health check, or nothing we know: nothing is run */
    list_remove(&s->node);
    remote_done(&s->remote);
}

void runner_serve(struct runner_env *env, const json_t *work)
{
    struct runner *s = mem_new(struct runner);
    s->env = env;
    waitq_init(&s->changed);
    waitq_init(&s->opened);
    for (size_t i = 0; i < env->cfg->n_tools && i < WORKER_TOOLS_MAX; i++)
        s->custom_names[i] = env->cfg->tools[i].name;
    feed_init(&s->feed, toolset_served, s->custom_names);
    if (item_init(&s->item, work, &env->cfg->environment_key) == 0) {
        fiber_set_context(s->item.session_id ? s->item.session_id : s->item.work_id);
        serve_item(s);
    }
    feed_done(&s->feed);
    admit_done(&s->admit);
    item_done(&s->item);
    free(s);
}
