/* place.c - a session's sandbox, and its calls in it.
 *
 * Called on a session's fibers (runner.c): the opener makes the sandbox while the session is read, a call waits
 * for it. A sandbox kept from an earlier claim of the session is taken again. The platform controls a call's
 * name and input, the sandbox its result; both are bounded by the sandbox client. */
#include "worker/place.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "sandbox/sandbox.h"
#include "worker/config.h"
#include "worker/kept.h"
#include "worker/post.h"

#define CALL_TIMEOUT_MS  120000
#define CALL_TIMEOUT_MAX 3600000
#define CALL_SLACK_MS    30000 /* beyond the tool's own time: for an init that does not answer */

#define ENDED(var, when)                                                                           \
    METRIC_COUNTER(var, "sallyport_worker_sandboxes_ended_total", "when=\"" when "\"",             \
                   "Sandboxes that ended though nobody had ended them.")
ENDED(ended_in_call, "call")
ENDED(ended_between, "between_calls")

void place_init(struct place *s, const struct worker_config *cfg, struct box_host *boxes,
                struct kept *kept, const char *session_id, struct scope *scope)
{
    *s = (struct place){
        .cfg = cfg, .boxes = boxes, .kept = kept, .session_id = session_id, .scope = scope};
    waitq_init(&s->opened);
}

void place_call_done(struct place_call *c)
{
    json_decref(TAKE(c->input));
    box_result_done(&c->result);
    free(TAKE(c->tool));
}

static int open_box(void *arg)
{
    struct place *s = arg;
    struct box_spec spec = {.session_id = s->session_id, .sandbox = s->cfg->sandbox};
    struct box *box = NULL;
    s->error = (struct err){0};
    int r = box_open(s->boxes, &spec, &box, &s->error);
    s->box = r < 0 ? NULL : box;
    if (r < 0 && s->error.code == 0)
        err_set(&s->error, r, "the sandbox could not be started: %s", err_text(r));
    s->opening = false;
    waitq_wake_all(&s->opened);
    return 0;
}

void place_open(struct place *s)
{
    if (s->box || s->opening)
        return;
    s->box = kept_take(s->kept, s->session_id);
    if (s->box)
        return;
    s->opening = true;
    int r = fiber_spawn(s->scope, "box-open", open_box, s, NULL);
    if (r < 0) {
        s->opening = false;
        err_set(&s->error, r, "no fiber for opening the sandbox");
    }
}

/* Returns when there is a sandbox or the reason why there is none (error). Suspends. 0,
 * -ECANCELED or -ETIMEDOUT. */
static int await_box(struct place *s)
{
    place_open(s);
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
static json_t *custom_input(const struct place_call *c)
{
    const struct worker_config *cfg = c->at->cfg;
    const char *command = NULL;
    for (size_t i = 0; i < cfg->n_tools; i++)
        if (str_eq(cfg->tools[i].name, c->tool))
            command = cfg->tools[i].command;
    MUST(command); /* the feed offers no other */
    AUTO_FREE char *json = json_text(c->input, NULL);
    AUTO_FREE char *text =
        mem_printf("(cd '%s' && %s\n) <<'SALLYPORT_INPUT'\n%s\nSALLYPORT_INPUT\n",
                   box_home(c->at->box), command, json);
    return json_pack("{s:s}", "command", text);
}

/* The sandbox is of no use any more: the call's answer says so, and the next one opens another. */
static void lose_box(struct place_call *c, const char *text)
{
    post_error_text(&c->result, text);
    box_close(TAKE(c->at->box));
}

/* Has the sandbox run it. */
static int run_in_box(struct place_call *c)
{
    struct place *s = c->at;
    struct err e = {0};
    const char *tool = c->custom ? "bash" : c->tool;
    AUTO_JSON json_t *input = c->custom ? custom_input(c) : json_copy(c->input);
    MUST(input);
    if (str_eq(tool, "bash"))
        json_put_int(input, SANDBOX_ATTEMPT_KEY, c->attempt);
    int64_t ms = call_timeout_ms(c->input);
    struct fiber_deadline d = fiber_deadline_push_ms(ms + CALL_SLACK_MS);
    box_set_call(s->box, c->id, c->tool);
    int r = box_call(s->box, tool, input, ms, &c->result, &e);
    box_set_call(s->box, NULL, NULL);
    fiber_deadline_pop(&d);
    if (r == 0 || r == -ECANCELED)
        return r;
    metric_add(&ended_in_call, 1);
    log_warn("sandbox ended during a call", "session=%s tool=%s why=%s", s->session_id, c->tool,
             log_q(e.msg));
    AUTO_FREE char *text = mem_printf("The sandbox ended while the tool was running (%s). "
                                      "A new one is used from now on; files "
                                      "and shell state of the old one are gone.",
                                      e.msg[0] ? e.msg : err_text(r));
    lose_box(c, text);
    return r;
}

int place_run(void *arg)
{
    struct place_call *c = arg;
    struct place *s = c->at;
    int r = await_box(s);
    if (r < 0)
        return r;
    if (!s->box) {
        AUTO_FREE char *text = mem_printf("The sandbox could not be started: %s", s->error.msg);
        log_error("sandbox not started", "session=%s why=%s", s->session_id, log_q(s->error.msg));
        post_error_text(&c->result, text);
        return 0;
    }
    if (box_has_ended(s->box)) {
        metric_add(&ended_between, 1);
        log_warn("sandbox ended between calls", "session=%s tool=%s", s->session_id, c->tool);
        lose_box(c, "This call was not run: the sandbox had ended since the one before. "
                    "A new one is used from now on; files and shell state of the old "
                    "one are gone.");
        return 0;
    }
    return run_in_box(c);
}
