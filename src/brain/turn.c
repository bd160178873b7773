/* turn.c - the step loop: read the log, ask the model, write the log, until there is nothing to do.
 *
 * Runs on a fiber of its own per active session (brain.c). It keeps nothing between steps but the
 * time until which a failed request waits. While the model answers, the request runs on a child
 * fiber in a scope of its own, and this fiber listens to the doorbell: an interrupt that waits in
 * the inbox cuts the request by cancelling that child. Everything else that arrives meanwhile is
 * found by the next transaction.
 *
 * Faults: a store that refuses (disk full, busy) is tried again with growing pauses for as long as
 * the server runs - what was acknowledged stays to be done. What the model says comes from outside;
 * sizes are bounded by the provider (LIMIT_MODEL_STREAM_BYTES) and by the log
 * (LIMIT_EVENT_BYTES). */
#include "brain/turn.h"

#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/time.h"
#include "brain/context.h"
#include "brain/step.h"
#include "brain/tools.h"
#include "session/hub.h"

#include <string.h>

#define REQUESTS_PER_TURN  500 /* a turn that asks more often than this is going in circles */
#define REQUEST_MAX_MS     (30 * 60000) /* one model request, all of it */
#define RETRY_MAX_MS       30000
#define RETRY_AFTER_MAX_MS (10 * 60000) /* a provider may not put a session to sleep for longer */
#define STORE_RETRY_MAX_MS 30000
#define STORE_ATTEMPTS     6 /* 0.5 s doubling: half a minute */

struct request {
    struct turn *t;
    struct model_request q;
    struct model_result result;
    struct err error;
    int code;
    bool done;
    char ids[ANSWER_BLOCKS_MAX][64];
    int text_index; /* block whose text is in `text`, -1: none */
    struct buf text;
    json_t *origins;  /* of the messages: model_context_load.ret_origins */
    json_t *left_out; /* what a refused request is made again without; NULL: it is not */
};

/* ---- what the model says while it says it; none of these suspends ---- */

static void on_block(void *arg, int index, const char *type)
{
    struct request *g = arg;
    bool text = str_eq(type, "text"), thinking = str_eq(type, "thinking");
    buf_reset(&g->text);
    g->text_index = text ? index : -1;
    if (index < 0 || index >= ANSWER_BLOCKS_MAX || (!text && !thinking))
        return;
    id_make(g->ids[index], "sevt_");
    hub_event_start(g->t->log->hub, g->t->session_id, g->ids[index],
                    text ? "agent.message" : "agent.thinking");
}

static void on_text(void *arg, int index, const char *text, size_t n)
{
    struct request *g = arg;
    if (index != g->text_index)
        return;
    (void)buf_add(&g->text, text, n);
    if (index < ANSWER_BLOCKS_MAX)
        hub_event_delta(g->t->log->hub, g->t->session_id, g->ids[index], 0, text, n);
}

static int generate(void *arg)
{
    struct request *g = arg;
    struct model_sink sink = {.block_start = on_block, .text_delta = on_text, .arg = g};
    struct fiber_deadline d = fiber_deadline_push_ms(REQUEST_MAX_MS);
    fiber_set_context(g->t->session_id);
    g->code = model_generate(g->t->m, &g->q, &sink, &g->result, &g->error);
    fiber_deadline_pop(&d);
    g->done = true;
    waitq_wake_all(&g->t->bell);
    return 0;
}

/* ---- the request ---- */

struct interrupt_query {
    const char *session_id;
};

static int interrupt_tx(struct tx *tx, void *arg)
{
    return log_interrupted_tx(tx, ((struct interrupt_query *)arg)->session_id);
}

/* Makes the request and waits for its end. *ret_cut: an interrupt cut it. -ECANCELED when the
 * server stops. */
static int run_request(struct turn *t, struct request *g, bool *ret_cut)
{
    AUTO(scope) scope;
    scope_init(&scope);
    struct fiber *child;
    int r = fiber_spawn(&scope, "model request", generate, g, &child);
    if (r < 0) {
        g->code = r;
        g->result.error = MODEL_FAILED;
        err_set(&g->error, r, "The server is too busy to make another model request.");
        return 0;
    }
    t->rung = true; /* an interrupt may have come since the step began */
    while (!g->done) {
        if (t->rung && !*ret_cut) {
            struct interrupt_query q = {t->session_id};
            t->rung = false;
            if (db_read(t->log->db, interrupt_tx, &q) == 1 && !g->done) {
                *ret_cut = true;
                fiber_cancel(child);
            }
            continue;
        }
        r = waitq_wait(&t->bell);
        if (r < 0)
            return r;
    }
    return scope_join(&scope);
}

static void prepare(struct request *g, struct turn *t, const json_t *agent)
{
    const json_t *model = json_object_get(agent, "model");
    g->q.session_id = t->session_id;
    g->q.model = json_get_str(model, "id");
    if (!g->q.model)
        g->q.model = "";
    g->q.system = json_get_str(agent, "system");
    g->q.effort = json_get_str(json_object_get(model, "effort"), "type");
    g->q.speed = json_get_str(model, "speed");
}

static int publish(struct turn *t, int r, struct log_batch *b)
{
    if (r < 0)
        return r;
    b->wake = false; /* we are awake */
    log_publish(t->log, b);
    return 0;
}

static int64_t backoff_ms(const struct turn *t, const struct model_result *r, int attempt)
{
    if (r->retry_after_ms >= 0)
        return r->retry_after_ms < RETRY_AFTER_MAX_MS ? r->retry_after_ms : RETRY_AFTER_MAX_MS;
    int64_t ms = t->retry_base_ms;
    for (int i = 1; i < attempt && ms < RETRY_MAX_MS; i++)
        ms *= 2;
    if (ms > RETRY_MAX_MS)
        ms = RETRY_MAX_MS;
    /* Up to a quarter off, so that sessions spread. */
    return ms - (int64_t)rng_below((uint64_t)(ms / 4 + 1));
}

static const char *partial_text(const struct request *g, bool cut)
{
    bool open = g->text_index >= 0 && (size_t)g->text_index == json_array_size(g->result.content);
    return cut && open && g->text.len && !buf_err(&g->text) ? buf_str(&g->text) : NULL;
}

/* An answer was paid for: a store that refuses for a moment (full disk) is asked again before the
 * answer is let go. */
static int write_patiently(struct turn *t, struct step_end *q)
{
    for (int i = 0;; i++) {
        int r = db_write(t->log->db, step_end_tx, q);
        bool may_pass = r == -ENOSPC || r == -EIO || r == -EROFS || r == -EBUSY;
        if (!may_pass || i == STORE_ATTEMPTS)
            return r;
        log_error("a model's answer could not be stored, will retry", "session=%s error=%s",
                  t->session_id, err_name(r));
        r = fiber_sleep_ms(t->retry_base_ms << i);
        if (r < 0)
            return r;
    }
}

static bool says_something(const json_t *content)
{
    size_t i;
    json_t *block;
    json_array_foreach ((json_t *)(uintptr_t)content, i, block) {
        const char *type = json_get_str(block, "type"), *text = json_get_str(block, "text");
        bool blank = !text || text[strspn(text, " \t\r\n")] == '\0';
        if (str_eq(type, "tool_use") || (str_eq(type, "text") && !blank))
            return true;
    }
    return false;
}

/* An answer without a word or a call, whose end says that there should have been some, is a
 * failure: acted upon it would be asked for again without an end, or pass for a finished turn. */
static void refuse_empty(struct request *g)
{
    static const struct {
        const char *stop;
        enum model_error error;
        const char *words;
    } empty[] = {
        {"pause_turn", MODEL_FAILED, "The model provider paused without having said anything."},
        {"tool_use", MODEL_FAILED, "The model's answer was to hold a tool call and holds none."},
        {"compaction", MODEL_FAILED,
         "The model provider answered with a compaction, which was not asked for."},
        {"max_tokens", MODEL_REJECTED,
         "The model reached its length limit before it said anything. Ask for less at once, lower "
         "the agent's effort, or raise SALLYPORT_MODEL_MAX_TOKENS if it is set."},
        {"model_context_window_exceeded", MODEL_TOO_LONG,
         "The conversation fills the model's context window: there was no room for an answer."},
    };
    if (g->code < 0 || says_something(g->result.content))
        return;
    for (size_t i = 0; i < ARRAY_LEN(empty); i++)
        if (str_eq(g->result.stop_reason, empty[i].stop)) {
            g->result.error = empty[i].error;
            g->code = err_set(&g->error, -E_PROTO, "%s", empty[i].words);
        }
}

/* What a refused request can be made without, if the provider said what was wrong with it. */
static void find_blamed(struct request *g)
{
    if (g->code >= 0 || g->result.error != MODEL_REJECTED)
        return;
    g->left_out = model_context_blamed(g->q.messages, g->origins, g->result.blame);
    if (g->left_out)
        g->result.retry_after_ms = 0;
}

/* Writes what came of the request. An answer that does not fit into the log is a failure like
 * another. */
static int write_end(struct turn *t, const char *span_id, struct request *g, bool cut,
                     bool too_many, enum step *ret)
{
    struct step_end q = {.session_id = t->session_id,
                         .span_id = span_id,
                         .result = &g->result,
                         .error = &g->error,
                         .code = g->code,
                         .cut = cut,
                         .too_many = too_many,
                         .left_out = g->left_out,
                         .partial_text = partial_text(g, cut),
                         .block_ids = g->ids,
                         .max_attempts = t->max_attempts};
    log_batch_init(&q.batch, t->session_id);
    int r = write_patiently(t, &q);
    if (r == -EMSGSIZE) {
        q.code =
            err_set(&g->error, -EMSGSIZE, "The model's answer is too large for the session log.");
        q.cut = false;
        g->result.error = MODEL_FAILED;
        q.left_out = NULL;
        r = write_patiently(t, &q);
    }
    r = publish(t, r, &q.batch);
    if (r == 0 && q.ret == STEP_WAIT) {
        int64_t ms = backoff_ms(t, &g->result, q.ret_attempt);
        t->resume_at_ns = time_mono_ns() + ms * NS_PER_MS;
        log_info("model request will be repeated", "session=%s attempt=%d wait_ms=%lld error=%s",
                 t->session_id, q.ret_attempt, (long long)ms, err_name(g->code));
    }
    *ret = q.ret;
    step_end_done(&q);
    return r;
}

static void request_done(struct request *g)
{
    model_result_done(&g->result);
    buf_done(&g->text);
    json_decref(g->origins);
    json_decref(g->left_out);
    json_decref((json_t *)(uintptr_t)g->q.messages);
    json_decref((json_t *)(uintptr_t)g->q.tools);
    free(g);
}

static void too_large(struct request *g)
{
    g->result.error = MODEL_TOO_LONG;
    g->code = err_set(&g->error, -EMSGSIZE,
                      "This message and what belongs to it are larger than %u MB, the most one "
                      "model request can carry; send less at once.",
                      LIMIT_MODEL_CONTEXT_BYTES >> 20);
}

static int ask(struct turn *t, const struct step_begin *b, enum step *ret)
{
    struct model_context_load c = {.session_id = t->session_id, .until = b->ret_seq};
    int r = db_read(t->log->db, model_context_load_tx, &c);
    if (r < 0)
        return r;
    struct request *g = mem_new(struct request);
    g->t = t;
    g->text_index = -1;
    g->result.retry_after_ms = -1;
    buf_init(&g->text, LIMIT_EVENT_BYTES);
    prepare(g, t, b->ret_agent);
    g->q.messages = c.ret_messages;
    g->origins = c.ret_origins;
    g->q.tools = tools_for_model(b->ret_agent);
    bool cut = false, too_many = c.ret_requests >= REQUESTS_PER_TURN;
    if (too_many)
        g->code = err_set(&g->error, -E_LIMIT,
                          "The turn made %d model requests and did not finish.", REQUESTS_PER_TURN);
    else if (c.ret_too_large)
        too_large(g);
    else
        r = run_request(t, g, &cut);
    if (r == 0 && !cut) {
        refuse_empty(g);
        find_blamed(g);
    }
    if (r == 0)
        r = write_end(t, b->ret_span_id, g, cut, too_many, ret);
    request_done(g);
    return r;
}

/* ---- the loop ---- */

static int step(struct turn *t, enum step *ret)
{
    struct step_begin b = {.session_id = t->session_id, .has_model = t->m != NULL};
    b.resume = time_mono_ns() >= t->resume_at_ns;
    log_batch_init(&b.batch, t->session_id);
    int r = publish(t, db_write(t->log->db, step_begin_tx, &b), &b.batch);
    *ret = b.ret;
    if (r == 0 && b.ret == STEP_ASK)
        r = ask(t, &b, ret);
    step_begin_done(&b);
    return r;
}

/* Until `mono_ns`, or the bell. -ECANCELED when the fiber is. */
static int wait_until(struct turn *t, int64_t mono_ns)
{
    int r = 0;
    struct fiber_deadline d = fiber_deadline_push(mono_ns);
    while (!t->rung && r == 0 && time_mono_ns() < mono_ns)
        r = waitq_wait(&t->bell);
    fiber_deadline_pop(&d);
    return r == -ECANCELED ? r : 0;
}

static int pause_after_fault(struct turn *t, int code, int *faults)
{
    int64_t ms = 250LL << (*faults < 7 ? *faults : 7);
    (*faults)++;
    log_error("a step of a session failed and will be tried again",
              "session=%s error=%s wait_ms=%lld", t->session_id, err_name(code), (long long)ms);
    return wait_until(t, time_mono_ns() +
                             (ms < STORE_RETRY_MAX_MS ? ms : STORE_RETRY_MAX_MS) * NS_PER_MS);
}

int turn_run(struct turn *t)
{
    int faults = 0;
    enum step next = STEP_AGAIN;
    while (next != STEP_REST || t->rung) {
        t->rung = false;
        int r = step(t, &next);
        if (r == -ECANCELED)
            return r;
        if (r < 0) {
            next = STEP_AGAIN;
            r = pause_after_fault(t, r, &faults);
        } else {
            faults = 0;
            if (next == STEP_WAIT)
                r = wait_until(t, t->resume_at_ns);
        }
        if (r < 0 || fiber_cancelled())
            return -ECANCELED;
    }
    return 0;
}
