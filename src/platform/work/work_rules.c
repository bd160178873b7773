/* work_rules.c - the state machine of a work item.
 *
 * Called inside transaction functions on a freshly loaded item, which is written back if the rule
 * agrees. The workers are the peers: what they send is an id (looked up), an expected heartbeat
 * (compared byte for byte) and a time to live (ranged by the handler). Refusals say what state the
 * item is in, so that a worker's log explains itself. */
#include "platform/work/work_rules.h"

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/api/validate.h"
#include "platform/api/wire.h"

#include <string.h>

#define NO_HEARTBEAT "NO_HEARTBEAT"

void work_item_done(struct work_item *w)
{
    json_decref(w->metadata);
    w->metadata = NULL;
}

static bool is(const struct work_item *w, const char *state)
{
    return !strcmp(w->state, state);
}

static void become(struct work_item *w, const char *state)
{
    str_copy(w->state, sizeof(w->state), state);
}

static void extend(struct work_item *w, const struct work_time *t)
{
    w->lease_expires_at = t->lease_us + w->ttl_seconds * US_PER_S;
}

int work_rule_ack(struct work_item *w, const struct work_time *t, struct refusal *r)
{
    if (is(w, "starting")) /* the same ack again, after a lost answer */
        return 0;
    if (!is(w, "queued"))
        return refuse(r, 409, "conflict_error", "Work item %s is %s and cannot be acknowledged.",
                      w->id, w->state);
    if (!w->claimed_at)
        return refuse(r, 409, "conflict_error",
                      "Work item %s was not claimed by a poll, so it cannot be acknowledged.",
                      w->id);
    become(w, "starting");
    w->acknowledged_at = t->wall_us;
    extend(w, t);
    return 0;
}

static int refuse_heartbeat(const struct work_item *w, const char *expected, struct refusal *r)
{
    json_t *state = json_object();
    json_put_str(state, "state", w->state);
    json_put_str(state, "last_heartbeat", w->last_heartbeat[0] ? w->last_heartbeat : NULL);
    json_put(state, "lease_updated_at", time_json_or_null(!w->heartbeat_at, w->heartbeat_at));
    json_put_bool(state, "lease_extended", false);
    json_put_int(state, "ttl_seconds", w->ttl_seconds);
    r->details = json_object();
    json_put_str(r->details, "error_code", "heartbeat_precondition_failed");
    json_put_str(r->details, "error_visibility", "user_facing");
    json_put(r->details, "current_state", state);
    r->no_retry = true;
    return refuse(r, 412, "invalid_request_error",
                  "Heartbeat precondition failed: expected %s, actual was %s", v_clip(expected),
                  w->last_heartbeat[0] ? w->last_heartbeat : NO_HEARTBEAT);
}

static int64_t silent_us(const struct work_item *w, const struct work_time *t)
{
    return t->lease_us - (w->lease_expires_at - w->ttl_seconds * US_PER_S);
}

/* A worker that has the answer to its first beat sends the next one after half the time to live, or
 * after 30 s. */
static int64_t patience_us(const struct work_item *w)
{
    int64_t period = w->ttl_seconds * US_PER_S / 2;
    period = period < US_PER_S ? US_PER_S : period > 30 * US_PER_S ? 30 * US_PER_S : period;
    return period + period / 2;
}

enum fit { FIT_NEXT, FIT_AGAIN, FIT_NOT };

/* Whether the beat follows the last accepted one, or is that one once more: its answer was lost on
 * the way. A repetition is only believed of who has the token of this very claim: another worker's
 * chain has other stamps. NO_HEARTBEAT is in nobody's chain: two who were handed one item both say
 * it. So it is a repetition when the client says so, and a beginning when the one who has the stamp
 * has let its beat pass. */
static enum fit fits(const struct work_item *w, const struct work_time *t,
                     const struct work_beat *b)
{
    const char *actual = w->last_heartbeat[0] ? w->last_heartbeat : NO_HEARTBEAT;
    if (!b->expected || strcmp(b->expected, actual) == 0)
        return FIT_NEXT;
    if (!b->by_token || !w->last_heartbeat[0] || !is(w, "active"))
        return FIT_NOT;
    if (w->prev_heartbeat[0])
        return strcmp(b->expected, w->prev_heartbeat) == 0 ? FIT_AGAIN : FIT_NOT;
    if (strcmp(b->expected, NO_HEARTBEAT) != 0)
        return FIT_NOT;
    return b->again ? FIT_AGAIN : silent_us(w, t) > patience_us(w) ? FIT_NEXT : FIT_NOT;
}

/* A new stamp. Two beats in one microsecond, or a clock set back, must still give a new text. What
 * was not compared is in no chain, so nothing can be its repetition. */
static void stamp(struct work_item *w, const struct work_time *t, const struct work_beat *b)
{
    int64_t now = t->wall_us > w->heartbeat_at ? t->wall_us : w->heartbeat_at + 1;
    char text[TIME_RFC3339_MAX];
    time_format(text, now);
    const char *echoed = !b->expected                             ? text
                         : strcmp(b->expected, NO_HEARTBEAT) == 0 ? ""
                                                                  : b->expected;
    str_copy(w->prev_heartbeat, sizeof(w->prev_heartbeat), echoed);
    str_copy(w->last_heartbeat, sizeof(w->last_heartbeat), text);
    w->heartbeat_at = now;
    if (!w->started_at)
        w->started_at = now;
}

int work_rule_heartbeat(struct work_item *w, const struct work_time *t, const struct work_beat *b,
                        bool *ret_extended, struct refusal *r)
{
    *ret_extended = false;
    if (is(w, "stopping") || is(w, "stopped")) /* not compared: the worker is to learn the state */
        return 0;
    enum fit fit = fits(w, t, b);
    if (fit == FIT_NOT)
        return refuse_heartbeat(w, b->expected, r);
    if (is(w, "queued"))
        return refuse(r, 400, "invalid_request_error",
                      "Work item %s is queued; acknowledge it before its first heartbeat.", w->id);
    if (fit == FIT_NEXT)
        stamp(w, t, b);
    if (b->ttl_seconds)
        w->ttl_seconds = b->ttl_seconds;
    if (b->by_token)
        w->holder |= WORK_HOLDER_TOKEN;
    else
        w->holder &= ~(int64_t)WORK_HOLDER_TOKEN;
    become(w, "active");
    extend(w, t);
    *ret_extended = true;
    return 0;
}

void work_rule_take_back(struct work_item *w, const struct work_time *t)
{
    if (!w->stop_requested_at)
        w->stop_requested_at = t->wall_us;
    if (!(w->holder & WORK_HOLDER_TOKEN)) {
        become(w, "stopping");
        return;
    }
    work_rule_end(w, t);
    w->drop_token = false;
}

void work_rule_end(struct work_item *w, const struct work_time *t)
{
    become(w, "stopped");
    w->stopped_at = t->wall_us;
    w->lease_expires_at = 0;
    w->drop_token = true;
}

int work_rule_stop(struct work_item *w, const struct work_time *t, bool force, struct refusal *r)
{
    if (is(w, "stopped"))
        return refuse(r, 409, "conflict_error", "Work item %s is already stopped.", w->id);
    if (!w->stop_requested_at)
        w->stop_requested_at = t->wall_us;
    if (force || is(w, "queued")) /* nobody runs a queued item, so nobody needs time to wind down */
        work_rule_end(w, t);
    else
        become(w, "stopping");
    return 0;
}

bool work_rule_expire(struct work_item *w, const struct work_time *t)
{
    if (is(w, "stopping") || is(w, "stopped")) {
        work_rule_end(w, t);
        return false;
    }
    become(w, "queued");
    w->queued_at = t->wall_us;
    w->claimed_at = w->acknowledged_at = w->started_at = w->heartbeat_at = w->lease_expires_at = 0;
    w->last_heartbeat[0] = w->prev_heartbeat[0] = '\0';
    w->holder = 0;
    w->requeues = 0;
    w->drop_token = true;
    return true;
}

int64_t work_hold_back_s(int64_t requeues)
{
    if (requeues <= 1)
        return 0; /* the first time may be an accident */
    int64_t s = requeues < 8 ? 1LL << (requeues - 1) : WORK_HOLD_BACK_MAX_S;
    return s < WORK_HOLD_BACK_MAX_S ? s : WORK_HOLD_BACK_MAX_S;
}

static json_t *at(int64_t wall_us)
{
    return time_json_or_null(!wall_us, wall_us);
}

json_t *work_json(const struct work_item *w, const char *secret)
{
    json_t *o = json_object(), *data = json_object();
    json_put_str(data, "type", "session");
    json_put_str(data, "id", w->session_id);
    json_put_str(o, "id", w->id);
    json_put_str(o, "type", "work");
    json_put_str(o, "environment_id", w->environment_id);
    json_put(o, "data", data);
    json_put_str(o, "state", w->state);
    json_put(o, "metadata", w->metadata ? json_deep_copy(w->metadata) : json_object());
    json_put_str(o, "secret", secret);
    json_put(o, "created_at", time_json(w->created_at));
    json_put(o, "acknowledged_at", at(w->acknowledged_at));
    json_put(o, "started_at", at(w->started_at));
    json_put(o, "latest_heartbeat_at", at(w->heartbeat_at));
    json_put(o, "stop_requested_at", at(w->stop_requested_at));
    json_put(o, "stopped_at", at(w->stopped_at));
    return o;
}

json_t *work_heartbeat_json(const struct work_item *w, bool extended)
{
    json_t *o = json_object();
    json_put_str(o, "type", "work_heartbeat");
    json_put_str(o, "last_heartbeat", w->last_heartbeat);
    json_put_bool(o, "lease_extended", extended);
    json_put_str(o, "state", w->state);
    json_put_int(o, "ttl_seconds", w->ttl_seconds);
    return o;
}

char *work_secret(const char *token, const char *api_base_url)
{
    AUTO_JSON json_t *o = json_object();
    json_put_str(o, "sessions_token", token);
    if (api_base_url)
        json_put_str(o, "api_base_url", api_base_url);
    size_t n;
    char *text = json_text(o, &n);
    AUTO(buf) out = BUF_INIT(4096);
    enc_base64url(&out, text, n);
    secret_wipe(text, n);
    free(text);
    MUST(buf_err(&out) == 0);
    return buf_take(&out, NULL);
}
