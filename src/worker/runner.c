/* runner.c - one claimed session, from the first heartbeat to the stop.
 *
 * Fibers of a session, all in its scope: the session fiber itself (runner_serve: decides, posts),
 * the heartbeat (lease_run), the follower (reads history and stream into the feed), the opener
 * (makes the sandbox while the rest goes on), and one fiber for the call that runs. They share
 * struct runner and wake one another through `changed`; whoever wakes looks at everything again.
 * Nothing is run before the first heartbeat was accepted, and nothing is posted once the lease may
 * be somebody else's: that is what keeps two workers from answering one call.
 *
 * The platform controls events and answers; the sandbox controls results, which go to the platform
 * as they are, bounded by the sandbox client. Tokens stay in struct secret and in libcurl. */
#include "worker/runner.h"
#include "base/enc.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "base/toolset.h"
#include "http/wire/sse_parser.h"
#include "box/box.h"
#include "worker/feed.h"
#include "worker/hook.h"
#include "worker/lease.h"
#include "worker/park.h"
#include "worker/remote.h"

#include <string.h>

#define STOP_SHIELD_MS   10000 /* posting the last results and the stop, even when cancelled */
#define STOP_NOW_MS      3000  /* the same after a second signal */
#define CALL_TIMEOUT_MS  120000
#define CALL_TIMEOUT_MAX 3600000
#define CALL_SLACK_MS    30000 /* beyond the tool's own time: for an init that does not answer */
#define PAGE_EVENTS      1000
#define STREAM_GOOD_MS   5000 /* a stream that lasted so long was no failure */

static const char rested[] = "idle"; /* why a session was let go that may come back */

struct runner {
    struct runner_env *env;
    struct list node;
    char work_id[64], session_id[64];
    struct secret token;
    struct remote remote;
    struct lease lease;
    struct feed feed;
    struct waitq changed;
    struct scope scope;
    const char *custom_names[WORKER_TOOLS_MAX + 1];

    struct box *box;
    bool box_opening;
    struct err box_error;

    bool follow_failed; /* the platform will not let us read the session */
    char follow_words[256];
    int64_t rest_since_ns; /* 0: not at rest */

    char *metadata; /* of the session, for the hooks; NULL: not read */

    /* the call that runs */
    char call_id[64], call_tool[64];
    bool call_custom;
    json_t *call_input;
    struct box_result result;
    bool call_done;
};

/* One run of a hook. */
struct hook_call {
    struct runner *s;
    const char *name, *command;
    bool in_a_hurry, done;
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
    struct box_spec spec = {.session_id = s->session_id, .sandbox = s->env->cfg->sandbox};
    struct box *box = NULL;
    s->box_error = (struct err){0};
    int r = box_open(s->env->boxes, &spec, &box, &s->box_error);
    s->box = r < 0 ? NULL : box;
    if (r < 0 && s->box_error.code == 0)
        err_set(&s->box_error, r, "the sandbox could not be started: %s", err_text(r));
    s->box_opening = false;
    waitq_wake_all(&s->changed);
    return 0;
}

static void start_opening(struct runner *s)
{
    if (s->box || s->box_opening)
        return;
    s->box = park_take(s->env->park, s->session_id);
    if (s->box)
        return;
    s->box_opening = true;
    int r = fiber_spawn(&s->scope, "box-open", open_box, s, NULL);
    if (r < 0) {
        s->box_opening = false;
        err_set(&s->box_error, r, "no fiber for opening the sandbox");
    }
}

static void result_text(struct box_result *ret, const char *text)
{
    json_decref(ret->content);
    ret->content = json_pack("[{s:s,s:s}]", "type", "text", "text", text);
    ret->is_error = true;
}

static int64_t call_timeout_ms(const json_t *input)
{
    int64_t ms = json_get_int(input, "timeout_ms", CALL_TIMEOUT_MS);
    return ms < 1 ? CALL_TIMEOUT_MS : ms > CALL_TIMEOUT_MAX ? CALL_TIMEOUT_MAX : ms;
}

/* A custom tool is a command in the shell of the sandbox, its input a here-document: one line of
 * JSON, which begins with a brace and so can not be the line that ends it. */
static json_t *custom_input(const struct runner *s)
{
    const struct worker_config *cfg = s->env->cfg;
    const char *command = NULL;
    for (size_t i = 0; i < cfg->n_tools; i++)
        if (str_eq(cfg->tools[i].name, s->call_tool))
            command = cfg->tools[i].command;
    MUST(command); /* the feed offers no other */
    AUTO_FREE char *json = json_text(s->call_input, NULL);
    AUTO_FREE char *text =
        mem_printf("(cd '%s' && %s\n) <<'SALLYPORT_INPUT'\n%s\nSALLYPORT_INPUT\n", box_home(s->box),
                   command, json);
    return json_pack("{s:s}", "command", text);
}

/* The call fiber. */
static int run_call(void *arg)
{
    struct runner *s = arg;
    struct err e = {0};
    int r = 0;

    while (s->box_opening && r == 0)
        r = waitq_wait(&s->changed);
    if (r == 0 && !s->box) {
        start_opening(s);
        while (s->box_opening && r == 0)
            r = waitq_wait(&s->changed);
    }
    if (r == 0 && !s->box) {
        r = s->box_error.code ? s->box_error.code : -EIO;
        AUTO_FREE char *text = mem_printf("The sandbox could not be started: %s", s->box_error.msg);
        log_error("sandbox not started", "session=%s why=%s", s->session_id,
                  log_q(s->box_error.msg));
        result_text(&s->result, text);
    } else if (r == 0 && box_has_ended(s->box)) {
        log_warn("sandbox ended between calls", "session=%s tool=%s", s->session_id, s->call_tool);
        result_text(&s->result,
                    "This call was not run: the sandbox had ended since the one before. "
                    "A new one is used from now on; files and shell state of the old "
                    "one are gone.");
        box_close(TAKE(s->box));
    } else if (r == 0) {
        AUTO_JSON json_t *input = s->call_custom ? custom_input(s) : json_incref(s->call_input);
        int64_t ms = call_timeout_ms(s->call_input);
        struct fiber_deadline d = fiber_deadline_push_ms(ms + CALL_SLACK_MS);
        r = box_call(s->box, s->call_custom ? "bash" : s->call_tool, input, ms, &s->result, &e);
        fiber_deadline_pop(&d);
        if (r < 0 && r != -ECANCELED) {
            log_warn("sandbox ended during a call", "session=%s tool=%s why=%s", s->session_id,
                     s->call_tool, log_q(e.msg));
            AUTO_FREE char *text = mem_printf("The sandbox ended while the tool was running (%s). "
                                              "A new one is used from now on; files "
                                              "and shell state of the old one are gone.",
                                              e.msg[0] ? e.msg : err_text(r));
            result_text(&s->result, text);
            box_close(TAKE(s->box));
        }
    }
    s->call_done = true;
    waitq_wake_all(&s->changed);
    return 0;
}

/* ---- following the session ---- */

static int on_stream_event(void *arg, const char *event, const char *id, const char *data, size_t n)
{
    struct runner *s = arg;
    (void)id;
    if (!event || str_eq(event, "ping"))
        return 0;
    AUTO_JSON json_t *ev = NULL;
    struct err e = {0};
    if (json_parse(data, n, &ev, &e) < 0) {
        log_warn("unreadable event ignored", "session=%s why=%s", s->session_id, log_q(e.msg));
        return 0;
    }
    feed_event(&s->feed, ev);
    waitq_wake_all(&s->changed);
    return 0;
}

/* One page of the history; -EMSGSIZE: it is too large to be taken, ask for fewer events. */
static int read_page(struct runner *s, int limit, char **page)
{
    struct remote_answer a;
    int r = remote_events(&s->remote, s->session_id, *page, limit, &a);
    if (r == 0 && a.status != 200) {
        r = -EIO;
        if (remote_is_permanent(&a)) {
            s->follow_failed = true;
            str_copy(s->follow_words, sizeof(s->follow_words), a.words);
        }
    }
    if (r == 0) {
        size_t i;
        json_t *ev;
        json_array_foreach (json_object_get(a.body, "data"), i, ev)
            feed_event(&s->feed, ev);
        const char *next = json_get_str(a.body, "next_page");
        free(*page);
        *page = next ? mem_strdup(next) : NULL;
    }
    remote_answer_done(&a);
    return r;
}

/* Reads the whole history into the feed. 0, or negative; a permanent refusal sets follow_failed. */
static int read_history(struct runner *s)
{
    AUTO_FREE char *page = NULL;
    int limit = PAGE_EVENTS, r;
    do {
        r = read_page(s, limit, &page);
        /* Results may be megabytes long, and a body is bounded: one event always fits. */
        if (r == -EMSGSIZE && limit > 1) {
            limit = limit > 10 ? limit / 10 : 1;
            r = 0;
            continue;
        }
        if (!page)
            break;
    } while (r == 0);
    return r;
}

static int read_stream(struct runner *s, struct client_stream *stream)
{
    struct sse_parser parser;
    sse_parser_init(&parser, LIMIT_EVENT_BYTES, on_stream_event, s);
    struct err e = {0};
    ssize_t n;
    do {
        char bytes[2048];
        n = client_read(stream, bytes, sizeof(bytes), &e);
        if (n > 0 && sse_parser_feed(&parser, bytes, (size_t)n) < 0)
            n = -EMSGSIZE;
    } while (n > 0);
    sse_parser_done(&parser);
    return (int)n;
}

/* The follower fiber: stream first, then history, then live; again from the start when the stream
 * breaks. */
static int follow(void *arg)
{
    struct runner *s = arg;
    struct backoff retry = {.base_ms = 500, .cap_ms = 10000};
    while (!s->feed.ended && !s->follow_failed) {
        struct client_stream *stream = NULL;
        struct remote_answer a;
        int r = remote_stream(&s->remote, s->session_id, &stream, &a);
        int64_t retry_after_ms = a.retry_after_ms;
        if (r == 0 && !stream) {
            r = -EIO;
            if (remote_is_permanent(&a)) {
                s->follow_failed = true;
                str_copy(s->follow_words, sizeof(s->follow_words), a.words);
            }
        }
        remote_answer_done(&a);
        if (stream) {
            feed_begin_list(&s->feed);
            r = read_history(s);
            if (r == 0) {
                feed_end_list(&s->feed);
                waitq_wake_all(&s->changed);
                int64_t began_ns = time_mono_ns();
                r = read_stream(s, stream);
                /* A stream that something between cuts at once must not have the whole history
                 * read twice a second. */
                if (time_mono_ns() - began_ns >= STREAM_GOOD_MS * NS_PER_MS)
                    retry.tries = 0;
            }
            client_stream_close(stream);
        }
        waitq_wake_all(&s->changed);
        if (r == -ECANCELED)
            return r;
        if (s->feed.ended || s->follow_failed)
            break;
        log_debug("event stream ended, reconnecting", "session=%s code=%s", s->session_id,
                  err_name(r));
        r = fiber_sleep_ms(backoff_next_ms(&retry, retry_after_ms));
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- results ---- */

static json_t *result_event(const char *call_id, bool custom, struct box_result *result)
{
    json_t *ev = json_object();
    json_put_str(ev, "type", custom ? "user.custom_tool_result" : "user.tool_result");
    json_put_str(ev, custom ? "custom_tool_use_id" : "tool_use_id", call_id);
    json_put(ev, "content", TAKE(result->content));
    json_put_bool(ev, "is_error", result->is_error);
    return ev;
}

static bool must_leave(const struct runner *s)
{
    return s->env->phase == WORKER_STOPPING || fiber_cancelled() ||
           (s->env->phase == WORKER_DRAINING && time_mono_ns() >= s->env->drain_until_ns);
}

/* How long the last words to the platform may take: a second signal means now. */
static int64_t shield_ms(const struct runner *s)
{
    return s->env->phase == WORKER_STOPPING ? STOP_NOW_MS : STOP_SHIELD_MS;
}

/* Waits before another try, until then or until the worker's phase or the lease changes. 0, or
 * negative when the fiber is cancelled or the shield it is under has run out: then nothing suspends
 * any more, and another try would only spin. */
static int pause_post(struct runner *s, int64_t until_ns)
{
    enum worker_phase phase = s->env->phase;
    int r = 0;
    while (r == 0 && phase == s->env->phase && lease_ours(&s->lease) && time_mono_ns() < until_ns) {
        struct fiber_deadline d = fiber_deadline_push(until_ns);
        r = waitq_wait(&s->changed);
        fiber_deadline_pop(&d);
        if (r == -ETIMEDOUT && time_mono_ns() >= until_ns)
            r = 0;
    }
    return r;
}

/* True when the platform has looked at the result and will not have it, as it is. */
static bool is_unfit(int status)
{
    return status == 400 || status == 413 || status == 422;
}

/* Posts one result, again and again while the lease is ours. The event's reference is stolen.
 * Returns 0, or the status with which the platform refused it for good; the call counts as answered
 * in both cases. Negative when it could not be posted. */
static int post_event(struct runner *s, const char *call_id, json_t *event)
{
    AUTO_JSON json_t *ev = event;
    struct backoff retry = {.base_ms = 250, .cap_ms = 30000};
    int64_t leave_ns = FIBER_NO_DEADLINE; /* the end of it when the worker is to leave */
    while (lease_ours(&s->lease)) {
        int64_t leave_by_ns = time_mono_ns() + shield_ms(s) * NS_PER_MS;
        if (must_leave(s) && leave_by_ns < leave_ns)
            leave_ns = leave_by_ns;
        if (time_mono_ns() >= leave_ns)
            return -ETIMEDOUT;
        struct feed_call *c = feed_find(&s->feed, call_id);
        if (!c || c->answered)
            return 0;
        struct remote_answer a;
        struct fiber_deadline d = fiber_deadline_push(
            leave_ns < s->lease.good_until_ns ? leave_ns : s->lease.good_until_ns);
        int r = remote_send(&s->remote, s->session_id, json_incref(ev), &a);
        fiber_deadline_pop(&d);
        bool sent = r == 0 && a.status >= 200 && a.status < 300;
        int refused = r == 0 && remote_is_permanent(&a) ? a.status : 0;
        int64_t after = a.retry_after_ms;
        if (refused)
            log_warn("result refused by the platform", "session=%s call=%s status=%d why=%s",
                     s->session_id, call_id, a.status, log_q(a.words));
        remote_answer_done(&a);
        if (sent || refused) {
            c = feed_find(&s->feed, call_id);
            if (c && !c->answered)
                feed_mark_answered(&s->feed, c);
            return refused;
        }
        if (r != -ECANCELED)
            r = pause_post(s, time_mono_ns() + backoff_next_ms(&retry, after) * NS_PER_MS);
        if (r < 0)
            return r;
    }
    return -E_CONFLICT;
}

/* Posts a result; one that the platform does not take as it is becomes an error result, so that the
 * session does not wait for an answer that never comes. */
static void post_result(struct runner *s, const char *call_id, bool custom, json_t *event)
{
    int status = post_event(s, call_id, event);
    struct feed_call *c = feed_find(&s->feed, call_id);
    if (!is_unfit(status) || !c)
        return;
    AUTO_FREE char *text =
        mem_printf("The tool ran, but the platform did not accept its result (status %d).", status);
    struct box_result instead = {0};
    result_text(&instead, text);
    c->answered = false; /* it is not in feed.open any more: nothing runs it again */
    (void)post_event(s, call_id, result_event(call_id, custom, &instead));
    c = feed_find(&s->feed, call_id);
    if (c)
        c->answered = true;
}

static void post_error(struct runner *s, const char *call_id, bool custom, const char *text)
{
    struct box_result result = {0};
    result_text(&result, text);
    (void)post_event(s, call_id, result_event(call_id, custom, &result));
}

/* ---- deciding ---- */

/* True when the running call has to be cut off. */
static bool must_cut(struct runner *s)
{
    struct feed_call *c = feed_find(&s->feed, s->call_id);
    return !lease_ours(&s->lease) || s->lease.state == LEASE_STOPPING || s->feed.ended ||
           s->follow_failed || must_leave(s) || !c || c->answered || c->interrupted;
}

/* Runs one call to its end and posts what came of it. */
static void serve_call(struct runner *s, struct feed_call *c)
{
    str_copy(s->call_id, sizeof(s->call_id), c->id);
    str_copy(s->call_tool, sizeof(s->call_tool), c->name);
    s->call_custom = c->custom;
    s->call_input = json_incref(c->input);
    s->call_done = false;
    s->result = (struct box_result){0};

    struct scope scope;
    scope_init(&scope);
    struct fiber *running = NULL;
    bool cut = false;
    int64_t began_ns = time_mono_ns();
    int r = fiber_spawn(&scope, "call", run_call, s, &running);
    if (r < 0) {
        s->call_done = true;
        result_text(&s->result, "The worker is out of memory; please retry.");
    }
    while (!s->call_done) {
        if (!cut && must_cut(s)) {
            cut = true;
            fiber_cancel(running);
        }
        struct fiber_deadline d = fiber_deadline_push(
            s->env->phase == WORKER_DRAINING && !cut ? s->env->drain_until_ns : FIBER_NO_DEADLINE);
        r = waitq_wait(&s->changed);
        fiber_deadline_pop(&d);
        if (r == -ECANCELED) {
            scope_done(&scope); /* cancels the call and waits for it */
            break;
        }
    }
    scope_done(&scope);
    json_decref(TAKE(s->call_input));

    log_info("call served", "session=%s tool=%s call=%s ms=%lld error=%d cut=%d", s->session_id,
             s->call_tool, s->call_id, (long long)((time_mono_ns() - began_ns) / NS_PER_MS),
             s->result.is_error, cut);
    c = feed_find(&s->feed, s->call_id);
    if (cut && c && c->interrupted) {
        feed_mark_answered(&s->feed, c); /* the platform closes interrupted calls itself */
    } else if (s->result.content) {      /* also one that came while it was being cut off */
        post_result(s, s->call_id, s->call_custom,
                    result_event(s->call_id, s->call_custom, &s->result));
    } else if (cut && lease_ours(&s->lease) && !s->feed.ended) {
        post_error(s, s->call_id, s->call_custom,
                   must_leave(s)
                       ? "The call was cut off because the worker is shutting down. Please retry."
                       : "The call was cut off because the platform stopped the work item.");
    }
    box_result_done(&s->result);
    s->call_id[0] = '\0';
}

/* Answers what still waits with an error: on the way out, when nobody
 * else may come for this item. */
static void answer_rest(struct runner *s, const char *text)
{
    struct feed_call *c;
    while (lease_ours(&s->lease) && (c = feed_next(&s->feed)) != NULL) {
        char id[64];
        str_copy(id, sizeof(id), c->id);
        post_error(s, id, c->custom, text);
        c = feed_find(&s->feed, id);
        if (c && !c->answered)
            return; /* it could not be posted; do not try for ever */
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
    bool rests = s->feed.at_rest && !s->feed.listing && list_empty(&s->feed.open);
    if (!rests) {
        s->rest_since_ns = 0;
        return false;
    }
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
            answer_rest(s, "The platform stopped the work item before this call ran.");
            return "stopped by the platform";
        }
        if (s->feed.ended)
            return "session ended";
        if (s->follow_failed)
            return "session can not be read";
        if (s->env->phase != WORKER_SERVING || fiber_cancelled()) {
            struct fiber_shield shield = fiber_shield_begin(shield_ms(s));
            answer_rest(s, "The worker was shut down before this call ran. Please retry.");
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

/* ---- the operator's commands ---- */

/* Keeps the session's metadata for the hooks, as JSON. */
static void read_metadata(struct runner *s)
{
    struct remote_answer a;
    int r = remote_session(&s->remote, s->session_id, &a);
    const json_t *metadata = r == 0 && a.status == 200 ? json_object_get(a.body, "metadata") : NULL;
    if (json_is_object(metadata))
        s->metadata = json_text(metadata, NULL);
    else
        log_warn("the session's metadata could not be read; the hook gets {}",
                 "session=%s status=%d why=%s", s->session_id, a.status, log_q(a.words));
    remote_answer_done(&a);
}

static int hook_fiber(void *arg)
{
    struct hook_call *h = arg;
    struct runner *s = h->s;
    struct err e = {0};
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(h->in_a_hurry ? STOP_NOW_MS : HOOK_MAX_MS);
    if (!s->metadata && !h->in_a_hurry)
        read_metadata(s);
    struct hook hook = {.name = h->name,
                        .command = h->command,
                        .session_id = s->session_id,
                        .work_id = s->work_id,
                        .environment_id = s->env->cfg->environment_id,
                        .metadata = s->metadata ? s->metadata : "{}"};
    int r = hook_run(&hook, &e);
    if (r < 0)
        log_warn("hook failed", "session=%s why=%s", s->session_id, log_q(e.msg));
    else
        log_info("hook done", "session=%s hook=%s", s->session_id, h->name);
    h->done = true;
    waitq_wake_all(&s->changed);
    return 0;
}

/* Runs one of the operator's commands while heartbeat and follower go on. on_claim is
 * cut off when the session is not to be served any more; on_end, which has to clean
 * up, only by a second signal. */
static void run_hook(struct runner *s, const char *name, const char *command, bool at_end)
{
    if (!command)
        return;
    struct hook_call h = {.s = s,
                          .name = name,
                          .command = command,
                          .in_a_hurry = at_end && s->env->phase == WORKER_STOPPING};
    struct scope scope;
    scope_init(&scope);
    struct fiber *running = NULL;
    int r = fiber_spawn(&scope, "hook", hook_fiber, &h, &running);
    if (r < 0) {
        log_error("hook not run", "session=%s hook=%s why=%s", s->session_id, name, err_name(r));
        h.done = true;
    }
    for (bool cut = false; !h.done && r == 0;) {
        bool leave = at_end ? s->env->phase == WORKER_STOPPING && !h.in_a_hurry
                            : must_leave(s) || !lease_ours(&s->lease) || s->feed.ended ||
                                  s->lease.state == LEASE_STOPPING;
        if (leave && !cut) {
            cut = true;
            fiber_cancel(running);
        }
        struct fiber_deadline d = fiber_deadline_push(
            !at_end && !cut && s->env->phase == WORKER_DRAINING ? s->env->drain_until_ns
                                                                : FIBER_NO_DEADLINE);
        r = waitq_wait(&s->changed);
        fiber_deadline_pop(&d);
        if (r == -ETIMEDOUT)
            r = 0;
    }
    scope_done(&scope);
}

/* The first heartbeat decides whether the item is ours at all. A worker that is told to stop before
 * that lets go at once: nothing of the session has been read, so the item is left for another one
 * rather than stopped. */
static int await_lease(struct runner *s)
{
    while (s->lease.state == LEASE_NEW) {
        if (s->env->phase != WORKER_SERVING)
            return -ECANCELED;
        int r = waitq_wait(&s->changed);
        if (r < 0)
            return r;
    }
    return s->lease.state == LEASE_HELD ? 0 : -E_DENIED;
}

static void stop_item(struct runner *s)
{
    struct fiber_shield shield = fiber_shield_begin(shield_ms(s));
    struct backoff retry = {.base_ms = 250, .cap_ms = 2000};
    for (int i = 0; i < 5; i++) {
        struct remote_answer a;
        int r = remote_stop(&s->remote, s->env->cfg->environment_id, s->work_id, true, &a);
        bool done = r == 0 && (a.status < 500 && a.status != 429 && a.status != 408);
        if (!done)
            log_warn("stop failed, will retry", "work=%s status=%d why=%s", s->work_id, a.status,
                     log_q(a.words));
        remote_answer_done(&a);
        if (done || fiber_sleep_ms(backoff_next_ms(&retry, -1)) < 0)
            break;
    }
    fiber_shield_end(&shield);
}

/* Takes the sessions token out of the item's secret; without one the environment key serves (api.md
 * 4). 0, or -ENOMEM. */
static int take_token(struct runner *s, const json_t *work)
{
    const char *text = json_get_str(work, "secret");
    struct buf raw = BUF_INIT(16384);
    AUTO_JSON json_t *j = NULL;
    const char *token = NULL;
    if (text && enc_base64url_decode(&raw, text, strlen(text)) == 0 &&
        json_parse(buf_str(&raw), raw.len, &j, NULL) == 0)
        token = json_get_str(j, "sessions_token");
    int r = token ? secret_set(&s->token, token, strlen(token)) : -ENOENT;
    if (token) { /* jansson's own copy: nobody else reads it */
        char *copy;
        memcpy(&copy, &token, sizeof(copy));
        secret_wipe(copy, strlen(copy));
    }
    if (raw.data)
        secret_wipe(raw.data, raw.len);
    buf_done(&raw);
    if (r == 0)
        return 0;
    const struct secret *key = &s->env->cfg->environment_key;
    return secret_set(&s->token, secret_borrow(key), key->len);
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
    start_opening(s);
    r = fiber_spawn(&s->scope, "follow", follow, s, NULL);
    if (r < 0)
        goto leave;
    log_info("session claimed", "session=%s work=%s", s->session_id, s->work_id);
    run_hook(s, "on_claim", s->env->cfg->on_claim, false);
    why = serve_session(s);
    run_hook(s, "on_end", s->env->cfg->on_end, true);
leave:
    stop = s->lease.state != LEASE_LOST && s->lease.state != LEASE_NEW;
    int64_t until_ns = s->lease.good_until_ns;
    scope_done(&s->scope); /* ends heartbeat, follower and opener */
    /* At rest, and ours to the end: the next claim of this session finds its files. Before the
     * stop, which lets it be claimed again. */
    if (s->box && str_eq(why, rested) && !s->feed.ended)
        park_put(s->env->park, s->session_id, TAKE(s->box));
    box_close(TAKE(s->box));
    if (stop && time_mono_ns() < until_ns)
        stop_item(s);
    log_info("session released", "session=%s work=%s why=%s lease=%s", s->session_id, s->work_id,
             log_q(why), log_q(s->lease.words));
}

void runner_serve(struct runner_env *env, const json_t *work)
{
    struct runner *s = mem_new(struct runner);
    s->env = env;
    const json_t *data = json_object_get(work, "data");
    const char *work_id = json_get_str(work, "id"), *session_id = json_get_str(data, "id");
    if (!remote_id_ok(work_id) || !remote_id_ok(session_id) ||
        !str_copy(s->work_id, sizeof(s->work_id), work_id) ||
        !str_copy(s->session_id, sizeof(s->session_id), session_id)) {
        log_warn("work item without usable ids ignored", "work=%s", log_q(work_id));
        free(s);
        return;
    }
    fiber_set_context(s->session_id);
    int r = take_token(s, work);
    waitq_init(&s->changed);
    for (size_t i = 0; i < env->cfg->n_tools && i < WORKER_TOOLS_MAX; i++)
        s->custom_names[i] = env->cfg->tools[i].name;
    feed_init(&s->feed, toolset_served, s->custom_names);

    struct err e = {0};
    if (r < 0)
        err_set(&e, r, "the session's token could not be kept: %s", err_text(r));
    else
        r = remote_init(&s->remote, env->cfg->base_url, &s->token, NULL, &e);
    if (r < 0) {
        log_error("session not served", "session=%s why=%s", s->session_id, log_q(e.msg));
    } else {
        lease_init(&s->lease, &s->remote, env->cfg->environment_id, s->work_id, &s->changed);
        list_push_back(&env->sessions, &s->node);
        if (str_eq(json_get_str(data, "type"), "session"))
            run_session(s);
        else
            stop_item(s); /* a health check: nothing is run */
        list_remove(&s->node);
        remote_done(&s->remote);
    }
    feed_done(&s->feed);
    secret_done(&s->token);
    free(s->metadata);
    free(s);
}
