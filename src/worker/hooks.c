/* hooks.c - the operator's commands at the begin and the end of a session.
 *
 * Called on the session's fiber (runner.c), which watches while a command runs, heartbeat and
 * follower beside it. The session's metadata was read before (admit.h); a command that fails is logged, and
 * the session goes on. */
#include "worker/hooks.h"
#include "base/log.h"
#include "worker/hook.h"

struct hook_call {
    struct hooks *of;
    const char *name, *command;
    bool in_a_hurry; /* the worker was stopping when it began */
};

static int run_hook(void *arg)
{
    struct hook_call *c = arg;
    struct hooks *h = c->of;
    struct err e = {0};
    AUTO(fiber_deadline)
    d = fiber_deadline_push_ms(c->in_a_hurry ? PHASE_STOP_NOW_MS : HOOK_MAX_MS);
    struct hook hook = {.name = c->name,
                        .command = c->command,
                        .session_id = h->session_id,
                        .work_id = h->work_id,
                        .environment_id = h->cfg->environment_id,
                        .metadata = h->metadata ? h->metadata : "{}"};
    int r = hook_run(&hook, &e);
    if (r < 0)
        log_warn("hook failed", "session=%s why=%s", h->session_id, log_q(e.msg));
    else
        log_info("hook done", "session=%s hook=%s", h->session_id, c->name);
    return r;
}

static void run(struct hook_call *c, const struct watch *w)
{
    int r = watch_run(w, "hook", run_hook, c, NULL);
    if (r < 0)
        log_error("hook not run", "session=%s hook=%s why=%s", c->of->session_id, c->name,
                  err_name(r));
}

void hooks_run_claim(struct hooks *h, bool (*over)(void *arg), void *arg)
{
    struct hook_call c = {.of = h, .name = "on_claim", .command = h->cfg->on_claim};
    struct watch w = {.changed = h->changed, .over = over, .arg = arg, .phase = h->phase};
    if (c.command)
        run(&c, &w);
}

static bool end_is_over(void *arg)
{
    const struct hook_call *c = arg;
    return c->of->phase->at == WORKER_STOPPING && !c->in_a_hurry;
}

void hooks_run_end(struct hooks *h)
{
    struct hook_call c = {.of = h,
                          .name = "on_end",
                          .command = h->cfg->on_end,
                          .in_a_hurry = h->phase->at == WORKER_STOPPING};
    struct watch w = {.changed = h->changed, .over = end_is_over, .arg = &c};
    if (c.command)
        run(&c, &w);
}
