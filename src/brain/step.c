/* step.c - the two transactions of a step.
 *
 * Called by turn.c through db_write, on the store's writer thread; may be run again from the start,
 * so the batch is emptied first and nothing outside the argument is touched. Between the two lies a
 * model request that may take minutes: the second transaction trusts nothing of the first but the
 * span id, and writes only if that span is still the open one.
 *
 * A crash between the two leaves a span without an end. The next step_begin_tx ends it (is_error)
 * and asks again; since what a model says is written only together with the end of its span,
 * nothing is doubled. */
#include "brain/step.h"

#include "base/id.h"
#include "base/limits.h"
#include "base/str.h"
#include "brain/answer.h"
#include "brain/compact.h"

#include <string.h>

#define INTERRUPTED_TEXT "Tool execution was interrupted before completion. Please retry."

void step_begin_done(struct step_begin *s)
{
    log_batch_done(&s->batch);
    json_decref(s->ret_agent);
    s->ret_agent = NULL;
}

void step_end_done(struct step_end *s)
{
    log_batch_done(&s->batch);
}

/* ---- spans ---- */

/* The id of the span that is open, "" when none is. */
static int open_span(struct tx *tx, const char *session_id, char ret[64])
{
    struct stmt *st = tx_prepare(
        tx, "SELECT type, id FROM events WHERE session_id = $1 AND type IN"
            " ('span.model_request_start', 'span.model_request_end') ORDER BY seq DESC LIMIT 1");
    stmt_bind_text(st, 1, session_id);
    int r = stmt_step(st);
    ret[0] = '\0';
    if (r > 0 && str_eq(stmt_text(st, 0, NULL), "span.model_request_start") &&
        !str_copy(ret, 64, stmt_text(st, 1, NULL)))
        r = -E_CORRUPT;
    stmt_reset(st);
    return r < 0 ? r : 0;
}

/* `note` (mostly NULL) stays hidden: how the answer ended, for run_of. */
static int end_span(struct tx *tx, struct log_session *s, struct log_batch *b, const char *span_id,
                    bool is_error, const struct model_usage *u, const char *note)
{
    json_t *usage = json_new_object(), *body = json_new_object();
    json_put_int(usage, "input_tokens", u->input_tokens);
    json_put_int(usage, "output_tokens", u->output_tokens);
    json_put_int(usage, "cache_creation_input_tokens", u->cache_creation_input_tokens);
    json_put_int(usage, "cache_read_input_tokens", u->cache_read_input_tokens);
    json_put_str(usage, "speed", u->speed[0] ? u->speed : NULL);
    json_put_str(body, "model_request_start_id", span_id);
    json_put_bool(body, "is_error", is_error);
    json_put(body, "model_usage", usage);
    log_usage_add(s, u->input_tokens, u->output_tokens, u->cache_creation_input_tokens,
                  u->cache_read_input_tokens);
    AUTO_JSON json_t *hidden = note ? json_new_object() : NULL;
    if (note)
        json_put_str(hidden, "ended", note);
    return log_append_tx(tx, s, b, "span.model_request_end", NULL, body, hidden, NULL);
}

/* How many of the turn's last answers in a row ended with this note; failed requests do not count. */
static int run_of(struct tx *tx, const char *session_id, const char *note)
{
    struct stmt *st = tx_prepare(
        tx, "SELECT type, body, hidden FROM events WHERE session_id = $1 AND type IN"
            " ('span.model_request_end', 'session.status_idle') ORDER BY seq DESC LIMIT 200");
    stmt_bind_text(st, 1, session_id);
    int r, n = 0;
    while ((r = stmt_step(st)) > 0) {
        const char *type = stmt_text(st, 0, NULL), *body = stmt_text(st, 1, NULL),
                   *hidden = stmt_text(st, 2, NULL);
        AUTO_JSON json_t *o = NULL, *h = NULL;
        if (!str_eq(type, "span.model_request_end") || !body)
            break;
        int k = json_parse_stored(body, strlen(body), &o);
        if (k == 0 && json_get_bool(o, "is_error", false))
            continue;
        if (k == 0 && hidden)
            k = json_parse_stored(hidden, strlen(hidden), &h);
        if (k == -ENOMEM)
            r = k;
        if (k < 0 || !str_eq(json_get_str(h, "ended"), note))
            break;
        n++;
    }
    stmt_reset(st);
    return r < 0 ? r : n;
}

/* ---- ends of turns ---- */

static int idle(struct tx *tx, struct log_session *s, struct log_batch *b, const char *stop_type)
{
    return log_idle_tx(tx, s, b, json_typed(stop_type));
}

static int session_error(struct tx *tx, struct log_session *s, struct log_batch *b,
                         const char *type, const char *message, const char *retry,
                         const json_t *hidden)
{
    json_t *error = json_typed(type), *body = json_new_object();
    json_put_str(error, "message", message);
    json_put(error, "retry_status", json_typed(retry));
    json_put(body, "error", error);
    return log_append_tx(tx, s, b, "session.error", NULL, body, hidden, NULL);
}

/* session.error{exhausted}, idle{retries_exhausted}; what was queued is recorded
 * and not acted on. */
static int give_up(struct tx *tx, struct log_session *s, struct log_batch *b, const char *type,
                   const char *message)
{
    int r = log_inbox_drop_tx(tx, s, b);
    if (r >= 0)
        r = session_error(tx, s, b, type, message, "exhausted", NULL);
    return r < 0 ? r : idle(tx, s, b, "retries_exhausted");
}

/* An interrupt waits: it takes its place, open calls get error results, the turn ends; inputs
 * behind it start another. */
static int interrupted(struct tx *tx, struct log_session *s, struct log_batch *b)
{
    int r = log_deliver_tx(tx, s, b, true);
    if (r >= 0)
        r = log_close_calls_tx(tx, s, b, INTERRUPTED_TEXT);
    if (r >= 0)
        r = idle(tx, s, b, "end_turn");
    return r;
}

/* After the end of a turn or of a request: is there more to say to the model? Starts a new turn
 * when the session idles. */
static int more_input(struct tx *tx, struct log_session *s, struct log_batch *b, enum step *ret)
{
    int n = log_inbox_count_tx(tx, s->id);
    *ret = n > 0 ? STEP_AGAIN : STEP_REST;
    if (n > 0 && str_eq(s->status, "idle"))
        return log_running_tx(tx, s, b);
    return n < 0 ? n : 0;
}

/* ---- begin ---- */

static bool at_work(const struct log_session *s)
{
    return !s->archived_at && (str_eq(s->status, "running") || str_eq(s->status, "rescheduling"));
}

static int ask(struct tx *tx, struct log_session *s, struct step_begin *q)
{
    int r = log_deliver_tx(tx, s, &q->batch, false);
    if (r < 0)
        return r;
    if (!q->has_model) {
        q->ret = STEP_REST;
        return give_up(tx, s, &q->batch, "sallyport_model_not_configured_error",
                       "This server has no model. Set ANTHROPIC_API_KEY where `sallyport server` "
                       "or `sallyport up` starts (and "
                       "SALLYPORT_MODEL_BASE_URL for another endpoint), restart it, and send the "
                       "message again.");
    }
    q->ret = STEP_ASK;
    q->ret_seq = s->next_seq;
    q->ret_agent = json_incref(log_session_agent(s));
    return log_append_tx(tx, s, &q->batch, "span.model_request_start", NULL, json_new_object(),
                         NULL, q->ret_span_id);
}

static int begin(struct tx *tx, struct log_session *s, struct step_begin *q)
{
    char span[64];
    int r = open_span(tx, s->id, span);
    if (r == 0 && span[0])
        r = end_span(tx, s, &q->batch, span, true, &(struct model_usage){0}, NULL);
    if (r < 0)
        return r;
    int cut = log_interrupted_tx(tx, s->id);
    if (cut < 0)
        return cut;
    if (cut) {
        enum step next = STEP_REST;
        r = interrupted(tx, s, &q->batch);
        if (r == 0)
            r = more_input(tx, s, &q->batch, &next);
        if (r < 0 || next == STEP_REST)
            return r;
    }
    if (str_eq(s->status, "rescheduling")) {
        q->ret = STEP_WAIT;
        if (!q->resume)
            return 0;
        r = log_running_tx(tx, s, &q->batch);
        if (r < 0)
            return r;
    }
    return ask(tx, s, q);
}

int step_begin_tx(struct tx *tx, void *arg)
{
    struct step_begin *q = arg;
    log_batch_reset(&q->batch);
    json_decref(q->ret_agent);
    q->ret_agent = NULL;
    q->ret = STEP_REST;
    AUTO(log_session) s = {0};
    int r = log_session_load_tx(tx, q->session_id, &s);
    if (r == -ENOENT)
        return 0;
    if (r < 0 || !at_work(&s))
        return r;
    r = begin(tx, &s, q);
    return r < 0 ? r : log_session_store_tx(tx, &s);
}

/* ---- end ---- */

/* An answer may end so that the model is asked again at once, without anybody having done anything:
 * its only call was cut off, all its calls were refused, or its provider paused. How often that may
 * happen in a row. */
static const struct {
    const char *note, *error, *words;
    int most;
} runs[] = {
    {"cut", "tool_use_limit_reached_error",
     "The model's answer reached its output or context limit in the middle of a tool call five "
     "times in a row. None of these calls was run. Ask for smaller steps, or, if it was the "
     "output limit, raise SALLYPORT_MODEL_MAX_TOKENS where it is set.",
     5},
    {"refused", "tool_use_limit_reached_error",
     "The model made nothing but tool calls that cannot be run, twenty times in a row.", 20},
    {"pause", "model_request_failed_error",
     "The model provider paused the answer ten times in a row without finishing it.", 10},
};

/* The note of this answer, NULL for an ordinary end. */
static const char *note_of(const struct model_result *r, const struct answer_calls *calls)
{
    if (r->cut_call && calls->made == 1)
        return "cut";
    if (calls->made > 0)
        return calls->refused == calls->made ? "refused" : NULL;
    return str_eq(r->stop_reason, "pause_turn") ? "pause" : NULL;
}

/* 1 when the run is over its limit, and the turn was ended for it. */
static int run_over(struct tx *tx, struct log_session *s, struct step_end *q, const char *note)
{
    for (size_t i = 0; note && i < ARRAY_LEN(runs); i++) {
        if (!str_eq(note, runs[i].note))
            continue;
        int n = run_of(tx, s->id, note);
        if (n < runs[i].most)
            return n < 0 ? n : 0;
        int r = log_close_calls_tx(tx, s, &q->batch, NULL);
        if (r == 0)
            r = give_up(tx, s, &q->batch, runs[i].error, runs[i].words);
        return r < 0 ? r : 1;
    }
    return 0;
}

/* Nothing of a refused answer is acted on, whatever calls it holds. */
static int after_refusal(struct tx *tx, struct log_session *s, struct step_end *q)
{
    int r = log_close_calls_tx(tx, s, &q->batch, NULL);
    if (r == 0)
        r = log_inbox_count_tx(tx, s->id);
    if (r > 0)
        q->ret = STEP_AGAIN;
    return r != 0 ? (r > 0 ? 0 : r) : log_refused_tx(tx, s, &q->batch, q->result->stop_details);
}

static int after_answer(struct tx *tx, struct log_session *s, struct step_end *q,
                        const struct answer_calls *calls)
{
    const char *stop = q->result->stop_reason;
    if (str_eq(stop, "refusal") && !q->cut)
        return after_refusal(tx, s, q);
    int r = run_over(tx, s, q, note_of(q->result, calls));
    if (r != 0)
        return r < 0 ? r : 0;
    if (str_eq(stop, "model_context_window_exceeded"))
        r = compact_tx(tx, s, &q->batch, 0); /* the next request would be refused */
    if (r < 0)
        return r;
    if (calls->made > 0) {
        r = log_settle_tx(tx, s, &q->batch);
        q->ret = str_eq(s->status, "running") ? STEP_AGAIN : STEP_REST;
        return r;
    }
    r = more_input(tx, s, &q->batch, &q->ret);
    if (r < 0 || q->ret == STEP_AGAIN)
        return r;
    if (str_eq(stop, "pause_turn")) {
        q->ret = STEP_AGAIN;
        return 0;
    }
    return idle(tx, s, &q->batch, "end_turn");
}

static const char *error_name(const json_t *body)
{
    const char *type = json_get_str(json_object_get(body, "error"), "type");
    return type ? type : "";
}

/* How often the request has failed in a row before now: session.errors with `retrying` since the
 * last request that came through, or since the turn began. */
static int failures_before(struct tx *tx, const char *session_id)
{
    struct stmt *st = tx_prepare(
        tx, "SELECT type, body FROM events WHERE session_id = $1 AND type IN ('session.error',"
            " 'span.model_request_end', 'session.status_idle') ORDER BY seq DESC LIMIT 200");
    stmt_bind_text(st, 1, session_id);
    int r, n = 0;
    while ((r = stmt_step(st)) > 0) {
        const char *type = stmt_text(st, 0, NULL), *body = stmt_text(st, 1, NULL);
        AUTO_JSON json_t *o = NULL;
        int k = type ? json_parse_stored(body, body ? strlen(body) : 0, &o) : -E_CORRUPT;
        if (k == -ENOMEM) {
            r = k;
            break;
        }
        if (k < 0)
            continue;
        bool failed_span =
            str_eq(type, "span.model_request_end") && json_get_bool(o, "is_error", false);
        bool error = str_eq(type, "session.error");
        if (error && str_starts(error_name(o), "sallyport_"))
            continue; /* a worker's trouble, not the model's */
        if (!failed_span && !error)
            break;
        n += error;
    }
    stmt_reset(st);
    return r < 0 ? r : n;
}

static const char *error_type(enum model_error e)
{
    switch (e) {
    case MODEL_OVERLOADED:
        return "model_overloaded_error";
    case MODEL_RATE_LIMITED:
        return "model_rate_limited_error";
    case MODEL_BILLING:
        return "billing_error";
    case MODEL_OK:
    case MODEL_FAILED:
    case MODEL_TOO_LONG:
    case MODEL_REJECTED:
    case MODEL_UNAUTHORIZED:
        break;
    }
    return "model_request_failed_error";
}

/* Asks again with less, or, when nothing can be left out, rests: a next message may be a shorter
 * one, and what is too long then lies behind it. */
static int after_too_long(struct tx *tx, struct log_session *s, struct step_end *q,
                          const char *words)
{
    int r = compact_tx(tx, s, &q->batch, q->result->fit_percent);
    if (r > 0)
        q->ret = STEP_AGAIN;
    return r != 0 ? (r > 0 ? 0 : r)
                  : give_up(tx, s, &q->batch, "compaction_limit_reached_error", words);
}

static int after_failure(struct tx *tx, struct log_session *s, struct step_end *q)
{
    enum model_error kind = q->result->error;
    const char *type = error_type(kind),
               *words = q->error->msg[0] ? q->error->msg : "The model request failed.";
    q->ret = STEP_REST;
    if (q->too_many)
        return give_up(tx, s, &q->batch, "tool_use_limit_reached_error", words);
    if (kind == MODEL_TOO_LONG)
        return after_too_long(tx, s, q, words);
    if (kind == MODEL_REJECTED && !q->left_out)
        return give_up(tx, s, &q->batch, type, words);
    if (kind == MODEL_UNAUTHORIZED || kind == MODEL_BILLING)
        return give_up(tx, s, &q->batch, type, words);
    int before = failures_before(tx, s->id);
    if (before < 0)
        return before;
    if (before + 1 >= q->max_attempts)
        return give_up(tx, s, &q->batch, type, words);
    q->ret = STEP_WAIT;
    q->ret_attempt = before + 1;
    AUTO_JSON json_t *hidden = q->left_out ? json_new_object() : NULL;
    if (q->left_out)
        json_put(hidden, "left_out", json_deep_copy(q->left_out));
    int r = session_error(tx, s, &q->batch, type, words, "retrying", hidden);
    return r < 0 ? r : log_rescheduled_tx(tx, s, &q->batch);
}

static int end(struct tx *tx, struct log_session *s, struct step_end *q)
{
    struct answer_calls calls = {0};
    bool answered = q->code == 0 || q->cut;
    struct model_answer a = {.result = q->result,
                             .block_ids = q->block_ids,
                             .partial_text = q->cut ? q->partial_text : NULL};
    int r = answered ? answer_write_tx(tx, s, &q->batch, &a, &calls) : 0;
    if (r == 0)
        r = end_span(tx, s, &q->batch, q->span_id, q->code < 0, &q->result->usage,
                     answered ? note_of(q->result, &calls) : NULL);
    if (r < 0)
        return r;
    int cut = log_interrupted_tx(tx, s->id);
    if (cut < 0)
        return cut;
    if (cut) {
        r = interrupted(tx, s, &q->batch);
        return r < 0 ? r : more_input(tx, s, &q->batch, &q->ret);
    }
    return answered ? after_answer(tx, s, q, &calls) : after_failure(tx, s, q);
}

int step_end_tx(struct tx *tx, void *arg)
{
    struct step_end *q = arg;
    log_batch_reset(&q->batch);
    q->ret = STEP_REST;
    AUTO(log_session) s = {0};
    int r = log_session_load_tx(tx, q->session_id, &s);
    if (r == -ENOENT)
        return 0; /* deleted meanwhile */
    char span[64];
    if (r == 0)
        r = open_span(tx, q->session_id, span);
    if (r < 0 || !at_work(&s))
        return r;
    if (!str_eq(span, q->span_id)) {
        q->ret = STEP_AGAIN; /* somebody else ended it; what came of it is not ours to write */
        return 0;
    }
    r = end(tx, &s, q);
    return r < 0 ? r : log_session_store_tx(tx, &s);
}
