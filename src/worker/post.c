/* post.c - results on their way to the platform.
 *
 * Called on the session's fiber (runner.c). Nothing is posted once another worker may hold the
 * lease: that, with the first heartbeat before the first call, is what keeps two workers from
 * answering one call. On the way out the tries are bounded by phase_shield_ms. Across a suspension
 * a call is held by its id: the feed may have learnt meanwhile that it is answered. The sandbox
 * controls the content, which goes out as it is. */
#include "worker/post.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/time.h"

#define RESULTS(var, outcome)                                                                      \
    METRIC_COUNTER(var, "sallyport_worker_results_total", "outcome=\"" outcome "\"",               \
                   "Results for the platform: taken, taken when tried again, refused for good.")
RESULTS(posted, "posted")
RESULTS(posted_again, "posted_again")
RESULTS(refused_results, "refused")

void post_error_text(struct box_result *ret, const char *text)
{
    json_decref(ret->content);
    ret->content = json_pack("[{s:s,s:s}]", "type", "text", "text", text);
    ret->is_error = true;
}

static json_t *result_event(const char *call_id, bool custom, struct box_result *result)
{
    json_t *ev = json_object();
    json_put_str(ev, "type", custom ? "user.custom_tool_result" : "user.tool_result");
    json_put_str(ev, custom ? "custom_tool_use_id" : "tool_use_id", call_id);
    json_put(ev, "content", TAKE(result->content));
    json_put_bool(ev, "is_error", result->is_error);
    return ev;
}

/* Waits before another try, until then or until the worker's phase or the lease changes. 0, or
 * negative when the fiber is cancelled or the shield it is under has run out: then nothing suspends
 * any more, and another try would only spin. */
static int pause_until(struct post *p, int64_t until_ns)
{
    enum worker_phase phase = p->phase->at;
    int r = 0;
    while (r == 0 && phase == p->phase->at && lease_ours(p->lease) && time_mono_ns() < until_ns) {
        struct fiber_deadline d = fiber_deadline_push(until_ns);
        r = waitq_wait(p->changed);
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

/* Posts one result, again and again while the lease is ours. Returns 0 when it was taken, or is not
 * wanted any more, or the status with which the platform refused it for good. Negative when it could
 * not be posted. `again`: it has been posted before. */
static int send_event(struct post *p, const char *call_id, json_t *ev, bool again)
{
    struct backoff retry = {.base_ms = 250, .cap_ms = 30000};
    int64_t leave_ns = FIBER_NO_DEADLINE; /* the end of it when the worker is to leave */
    while (lease_ours(p->lease)) {
        int64_t leave_by_ns = time_mono_ns() + phase_shield_ms(p->phase) * NS_PER_MS;
        if (phase_must_leave(p->phase) && leave_by_ns < leave_ns)
            leave_ns = leave_by_ns;
        if (time_mono_ns() >= leave_ns)
            return -ETIMEDOUT;
        struct feed_call *c = feed_find(p->feed, call_id);
        if (!c || c->closed)
            return 0;
        struct remote_answer a;
        struct fiber_deadline d = fiber_deadline_push(
            leave_ns < p->lease->good_until_ns ? leave_ns : p->lease->good_until_ns);
        int r = remote_send(p->remote, p->session_id, json_incref(ev), &a);
        fiber_deadline_pop(&d);
        bool sent = r == 0 && a.status >= 200 && a.status < 300;
        int refused = r == 0 && remote_is_permanent(&a) ? a.status : 0;
        int64_t after = a.retry_after_ms;
        if (refused)
            log_warn("result refused by the platform", "session=%s call=%s status=%d why=%s",
                     p->session_id, log_q(call_id), a.status, log_q(a.words));
        remote_answer_done(&a);
        if (sent || refused) {
            metric_add(refused ? &refused_results : again ? &posted_again : &posted, 1);
            return refused;
        }
        again = true;
        if (r != -ECANCELED)
            r = pause_until(p, time_mono_ns() + backoff_next_ms(&retry, after) * NS_PER_MS);
        if (r < 0)
            return r;
    }
    return -E_CONFLICT;
}

/* Posts a result (stolen) and tells the feed what became of it. `of_tool`: its content is a tool's,
 * and may be what the platform does not like about it. */
static void post_event(struct post *p, const char *call_id, bool custom, bool of_tool, bool again,
                       json_t *event)
{
    AUTO_JSON json_t *ev = event;
    int status = send_event(p, call_id, ev, again);
    if (of_tool && is_unfit(status)) {
        AUTO_FREE char *text =
            mem_printf("The tool ran, but the platform did not accept its result (status %d).",
                       status);
        struct box_result instead = {0};
        post_error_text(&instead, text);
        AUTO_JSON json_t *error = result_event(call_id, custom, &instead);
        status = send_event(p, call_id, error, false);
    }
    struct feed_call *c = feed_find(p->feed, call_id);
    if (!c || c->closed || status < 0)
        return;
    if (status == 0)
        feed_mark_answered(p->feed, c);
    else
        feed_mark_refused(p->feed, c, json_incref(ev));
}

void post_result(struct post *p, const char *call_id, bool custom, struct box_result *result)
{
    post_event(p, call_id, custom, true, false, result_event(call_id, custom, result));
}

void post_again(struct post *p, const char *call_id)
{
    struct feed_call *c = feed_find(p->feed, call_id);
    if (c && c->kept)
        post_event(p, call_id, c->custom, true, true, json_incref(c->kept));
}

void post_error(struct post *p, const char *call_id, bool custom, const char *text)
{
    struct box_result result = {0};
    post_error_text(&result, text);
    post_event(p, call_id, custom, false, false, result_event(call_id, custom, &result));
}

void post_rest(struct post *p, const char *text)
{
    struct feed_call *c;
    while (lease_ours(p->lease) && (c = feed_next(p->feed)) != NULL) {
        AUTO_FREE char *id = mem_strdup(c->id);
        if (feed_todo(c) == FEED_RESEND)
            post_again(p, id);
        else
            post_error(p, id, c->custom, c->refusal ? c->refusal : text);
        c = feed_find(p->feed, id);
        if (c && !c->closed)
            return; /* it could not be posted; do not try for ever */
    }
}
