/* world.c - see world.h. The hub_ functions here replace the room's: the linker
 * takes ours first. */
#include "unit/brain/world.h"
#include "unit/json.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "io/loop.h"

#include <fcntl.h>

struct buf world_hub = BUF_INIT(16u << 20);
json_t *world_published;

/* ---- the hub ---- */

void hub_event(struct hub *h, const char *session_id, int64_t place, const json_t *event)
{
    (void)h;
    (void)session_id;
    (void)place;
    buf_addf(&world_hub, "%s ", json_get_str(event, "type"));
    if (world_published)
        json_array_append_new(world_published, json_deep_copy(event));
}
void hub_skip(struct hub *h, const char *session_id, int64_t place)
{
    (void)h;
    (void)session_id;
    (void)place;
    fail_msg("a commit of more events than a test has");
}
void hub_event_start(struct hub *h, const char *session_id, const char *event_id, const char *type)
{
    (void)h;
    (void)session_id;
    buf_addf(&world_hub, "+%s=%s ", type, event_id);
}
void hub_event_delta(struct hub *h, const char *session_id, const char *event_id, int index,
                     const char *text, size_t n)
{
    (void)h;
    (void)session_id;
    (void)event_id;
    (void)index;
    buf_addf(&world_hub, "~%.*s ", (int)n, text);
}
void hub_end(struct hub *h, const char *session_id)
{
    (void)h;
    (void)session_id;
    buf_adds(&world_hub, "END ");
}
void hub_work_ready(struct hub *h, const char *environment_id)
{
    (void)h;
    assert_string_equal(environment_id, ENV);
    buf_adds(&world_hub, "WORK ");
}

/* ---- JSON ---- */

json_t *J(const char *text)
{
    return js(text);
}

/* ---- the model ---- */

static int wait_for(struct world *w, size_t asked)
{
    (void)asked;
    while (!w->gate) {
        int r = waitq_wait(&w->changed);
        if (r < 0)
            return r;
    }
    w->gate = false;
    return 0;
}

static int stream(struct world *w, const struct answer *a, const struct model_sink *sink,
                  struct model_result *r)
{
    AUTO_JSON json_t *content = J(a->content ? a->content : "[]");
    size_t i;
    json_t *block;
    json_array_foreach (content, i, block) {
        const char *type = json_get_str(block, "type"), *text = json_get_str(block, "text");
        sink->block_start(sink->arg, (int)i, type);
        if (text)
            sink->text_delta(sink->arg, (int)i, text, strlen(text));
        json_array_append(r->content, block);
        if (str_eq(type, "tool_use"))
            str_copy(r->stop_reason, sizeof(r->stop_reason), "tool_use");
    }
    if (a->partial) {
        sink->block_start(sink->arg, (int)i, "text");
        sink->text_delta(sink->arg, (int)i, a->partial, strlen(a->partial));
    }
    return a->wait ? wait_for(w, w->asked) : 0;
}

static int generate(struct model *m, const struct model_request *q, const struct model_sink *sink,
                    struct model_result *r, struct err *e)
{
    struct world *w = CONTAINER_OF(m, struct world, model);
    assert_string_equal(q->session_id, SESSION);
    size_t k = w->asked++;
    if (w->loop_answers && w->n_answers)
        k %= w->n_answers;
    free(w->last_request);
    w->last_request = json_text(q->messages, NULL);
    *r = (struct model_result){.content = json_array(), .retry_after_ms = -1};
    str_copy(r->stop_reason, sizeof(r->stop_reason), "end_turn");
    waitq_wake_all(&w->changed);
    if (k >= w->n_answers)
        fail_msg("the model was asked %zu times, %zu answers were given", k + 1, w->n_answers);
    const struct answer *a = &w->answers[k];
    if (a->wants && !strstr(w->last_request, a->wants))
        fail_msg("request %zu lacks '%s': %s", k, a->wants, w->last_request);
    if (a->lacks && strstr(w->last_request, a->lacks))
        fail_msg("request %zu holds '%s': %s", k, a->lacks, w->last_request);
    int code = stream(w, a, sink, r);
    r->cut_call = a->cut_call;
    r->fit_percent = a->fit_percent;
    r->stop_details = a->details ? J(a->details) : NULL;
    str_copy(r->blame, sizeof(r->blame), a->blame ? a->blame : "");
    r->usage = (struct model_usage){.input_tokens = 10,
                                    .output_tokens = 3,
                                    .cache_read_input_tokens = 2,
                                    .cache_creation_input_tokens = 1};
    if (a->stop_reason)
        str_copy(r->stop_reason, sizeof(r->stop_reason), a->stop_reason);
    if (code < 0) {
        r->error = MODEL_FAILED;
        return code;
    }
    if (a->error) {
        r->error = a->error;
        r->retry_after_ms = a->retry_after_ms;
        return err_set(e, -E_PROTO, "the test says no");
    }
    return 0;
}
static const struct model_ops model_ops = {.generate = generate};

/* ---- life ---- */

static const char *agent_default =
    "{'id':'agent_01a','type':'agent','version':1,'name':'tester','model':{'id':'test-model'},'"
    "system':'Be brief.','tools':["
    "{'type':'agent_toolset_20260401','default_config':{'enabled':true,'permission_policy':{'type':"
    "'always_allow'}},"
    "'configs':[{'name':'edit','enabled':true,'permission_policy':{'type':'always_ask'}},"
    "{'name':'write','enabled':true,'permission_policy':{'type':'auto'}},"
    "{'name':'glob','enabled':false}]},"
    "{'type':'custom','name':'lookup','description':'looks','input_schema':{'type':'object'}}]}";

struct setup {
    const char *agent, *env_type;
};

static int setup_tx(struct tx *tx, void *arg)
{
    struct setup *s = arg;
    struct stmt *st = tx_prepare(tx, "SELECT 1 FROM sessions");
    int r = stmt_step(st);
    stmt_reset(st);
    if (r != 0)
        return r < 0 ? r : 0;
    r = tx_exec(tx,
                "INSERT INTO environments (id, type, body, created_at, updated_at) VALUES ($1, $2, "
                "'{}', 1, 1)",
                "tt", ENV, s->env_type);
    if (r < 0)
        return r;
    return tx_exec(tx,
                   "INSERT INTO sessions (id, thread_id, agent_id, agent_version, environment_id, "
                   "status, metadata, agent,"
                   " usage, next_seq, last_stamp, active_us, wake, created_at, updated_at)"
                   " VALUES ($1, $2, 'agent_01a', 1, $3, 'idle', '{}', $4, '{}', 1, 0, 0, 0, 1, 1)",
                   "tttt", SESSION, THREAD, ENV, s->agent);
}

void world_open(struct world *w, const char *agent_json, bool self_hosted)
{
    struct err e = {0};
    if (!w->scratch.dir[0])
        scratch_init(&w->scratch);
    if (db_open(w->scratch.dir, &w->log.db, &e) < 0)
        fail_msg("%s", e.msg);
    w->model = (struct model){.ops = &model_ops, .name = "test"};
    waitq_init(&w->changed);
    AUTO_JSON json_t *agent = J(agent_json ? agent_json : agent_default);
    AUTO_FREE char *text = json_text(agent, NULL);
    struct setup s = {.agent = text, .env_type = self_hosted ? "self_hosted" : "cloud"};
    w->self_hosted = self_hosted;
    assert_int_equal(db_write(w->log.db, setup_tx, &s), 0);
    buf_reset(&world_hub);
    json_decref(world_published);
    world_published = json_array();
}

void world_start_brain(struct world *w)
{
    struct err e = {0};
    assert_int_equal(brain_start(&w->log, &w->model, &w->brain, &e), 0);
    brain_set_retry(w->brain, 1, 3);
    w->log.wake = brain_wake;
    w->log.wake_arg = w->brain;
}

void world_close(struct world *w)
{
    brain_stop(w->brain);
    w->brain = NULL;
    w->log.wake = NULL;
    db_close(w->log.db);
    w->log.db = NULL;
    free(w->last_request);
    w->last_request = NULL;
    json_decref(world_published);
    world_published = NULL;
    buf_done(&world_hub);
    buf_init(&world_hub, 16u << 20);
}

void world_remove(struct world *w)
{
    scratch_done(&w->scratch);
    w->scratch.dir[0] = '\0';
}

struct runner {
    void (*fn)(struct world *w);
    struct world *w;
};

static int run_root(void *arg)
{
    struct runner *r = arg;
    r->fn(r->w);
    return 0;
}

void world_run(void (*fn)(struct world *w), struct world *w)
{
    struct runner r = {fn, w};
    log_init("test", LOG_ERROR);
    assert_int_equal(loop_init(), 0);
    assert_int_equal(loop_run(run_root, &r), 0);
    loop_done();
}

/* ---- posting ---- */

struct post {
    json_t *events, *echo;
    struct log_batch batch;
    struct refusal refusal;
};

static int post_tx(struct tx *tx, void *arg)
{
    struct post *q = arg;
    log_batch_reset(&q->batch);
    AUTO(log_session) s = {0};
    int r = log_session_load_tx(tx, SESSION, &s);
    if (r == 0)
        r = log_accept_tx(tx, &s, &q->batch, q->events, &q->echo, &q->refusal);
    return r < 0 ? r : log_session_store_tx(tx, &s);
}

json_t *world_post(struct world *w, const char *events, char why[600])
{
    struct post q = {.events = J(events)};
    log_batch_init(&q.batch, SESSION);
    int r = db_write(w->log.db, post_tx, &q);
    if (r == 0)
        log_publish(&w->log, &q.batch);
    else if (r != -E_DENIED)
        fail_msg("post failed: %s", err_name(r));
    if (why)
        memcpy(why, q.refusal.message, 600);
    else if (r < 0)
        fail_msg("refused: %s", q.refusal.message);
    if (r < 0)
        assert_int_equal(q.refusal.status, 400);
    log_batch_done(&q.batch);
    json_decref(q.events);
    return q.echo;
}

void world_send(struct world *w, const char *fmt, ...)
{
    struct buf text = BUF_INIT(1u << 20);
    va_list ap;
    va_start(ap, fmt);
    buf_addv(&text, fmt, ap);
    va_end(ap);
    json_t *echo = world_post(w, buf_str(&text), NULL);
    json_decref(echo);
    buf_done(&text);
}

/* ---- looking ---- */

struct look {
    json_t *events;
    char status[32];
    const char *sql, *param;
    int64_t number;
};

/* An event's row as its wire JSON, by means that are not the program's own. */
static json_t *event_of_row(struct stmt *st)
{
    char text[TIME_RFC3339_MAX];
    json_t *body = json_loads(stmt_text(st, 3, NULL), 0, NULL);
    if (!json_is_object(body))
        return NULL;
    json_put_str(body, "id", stmt_text(st, 0, NULL));
    json_put_str(body, "type", stmt_text(st, 1, NULL));
    json_put_str(body, "processed_at", time_format(text, stmt_int(st, 2)));
    return body;
}

static int log_tx(struct tx *tx, void *arg)
{
    struct look *q = arg;
    struct stmt *st = tx_prepare(
        tx, "SELECT id, type, processed_at, body FROM events WHERE session_id = $1 ORDER BY seq");
    stmt_bind_text(st, 1, SESSION);
    int r;
    while ((r = stmt_step(st)) > 0) {
        json_t *o = event_of_row(st);
        if (!o)
            return -E_CORRUPT;
        json_array_append_new(q->events, o);
    }
    return r;
}

static int status_tx(struct tx *tx, void *arg)
{
    struct look *q = arg;
    struct stmt *st = tx_prepare(tx, "SELECT status FROM sessions WHERE id = $1");
    stmt_bind_text(st, 1, SESSION);
    int r = stmt_step(st);
    if (r > 0)
        str_copy(q->status, sizeof(q->status), stmt_text(st, 0, NULL));
    stmt_reset(st);
    return r < 0 ? r : 0;
}

static int number_tx(struct tx *tx, void *arg)
{
    struct look *q = arg;
    struct stmt *st = tx_prepare(tx, q->sql);
    stmt_bind_text(st, 1, q->param);
    int r = stmt_step(st);
    q->number = r > 0 ? stmt_int(st, 0) : -1;
    stmt_reset(st);
    return r < 0 ? r : 0;
}

int64_t world_sql(struct world *w, const char *sql, const char *param)
{
    struct look q = {.sql = sql, .param = param};
    assert_int_equal(db_read(w->log.db, number_tx, &q), 0);
    return q.number;
}

json_t *world_log(struct world *w)
{
    struct look q = {.events = json_array()};
    assert_int_equal(db_read(w->log.db, log_tx, &q), 0);
    return q.events;
}

void world_settle(struct world *w)
{
    int64_t stop = time_mono_ns() + 60 * NS_PER_S;
    for (;;) {
        struct look q = {0};
        assert_int_equal(db_read(w->log.db, status_tx, &q), 0);
        bool rests = str_eq(q.status, "idle") || str_eq(q.status, "terminated");
        /* a reader may see a commit before its writer has been told and could publish it */
        int64_t stored = world_sql(w, "SELECT COUNT(*) FROM events WHERE session_id = $1", SESSION);
        if (rests && (!world_published || (size_t)stored == json_array_size(world_published)))
            return;
        if (time_mono_ns() > stop) {
            AUTO_JSON json_t *log = world_log(w);
            AUTO_FREE char *words = world_words(log);
            fail_msg("still %s after a minute: %s", q.status, words);
        }
    }
}

void world_asked(struct world *w, size_t n)
{
    struct fiber_deadline d = fiber_deadline_push_ms(60000);
    while (w->asked < n)
        assert_int_equal(waitq_wait(&w->changed), 0);
    fiber_deadline_pop(&d);
}

/* ---- words ---- */

static const struct {
    const char *type, *word;
} words[] = {
    {"session.status_running", "running"},
    {"session.thread_status_running", "t-running"},
    {"session.status_rescheduled", "rescheduled"},
    {"session.thread_status_rescheduled", "t-rescheduled"},
    {"session.status_terminated", "terminated"},
    {"session.thread_status_terminated", "t-terminated"},
    {"session.usage", "usage"},
    {"span.model_request_start", "["},
    {"user.message", "user"},
    {"agent.message", "says"},
    {"agent.thinking", "thinks"},
    {"agent.thread_context_compacted", "compacted"},
    {"agent.tool_use", "calls"},
    {"agent.custom_tool_use", "custom"},
    {"agent.tool_result", "result"},
    {"user.tool_result", "u-result"},
    {"user.custom_tool_result", "u-custom"},
    {"user.tool_confirmation", "confirms"},
    {"user.interrupt", "interrupt"},
};

static void word_of(struct buf *b, const json_t *event)
{
    const char *type = json_get_str(event, "type");
    const json_t *stop = json_object_get(event, "stop_reason"),
                 *error = json_object_get(event, "error");
    if (str_eq(type, "span.model_request_end")) {
        buf_adds(b, json_get_bool(event, "is_error", false) ? "!]" : "]");
    } else if (str_eq(type, "session.thread_status_idle")) {
        buf_adds(b, "t-idle");
    } else if (str_eq(type, "session.status_idle")) {
        buf_addf(b, "idle:%s", json_get_str(stop, "type"));
        if (json_object_get(stop, "event_ids"))
            buf_addf(b, "%zu", json_array_size(json_object_get(stop, "event_ids")));
    } else if (str_eq(type, "session.error")) {
        buf_addf(b, "error:%s", json_get_str(json_object_get(error, "retry_status"), "type"));
    } else {
        for (size_t i = 0; i < ARRAY_LEN(words); i++)
            if (str_eq(words[i].type, type)) {
                buf_adds(b, words[i].word);
                return;
            }
        buf_adds(b, type);
    }
}

char *world_words(const json_t *log)
{
    struct buf b = BUF_INIT(1u << 20);
    size_t i;
    json_t *event;
    json_array_foreach ((json_t *)(uintptr_t)log, i, event) {
        if (i)
            buf_addc(&b, ' ');
        word_of(&b, event);
    }
    return buf_take(&b, NULL);
}

void world_expect(struct world *w, const char *want)
{
    AUTO_JSON json_t *log = world_log(w);
    AUTO_FREE char *got = world_words(log);
    assert_string_equal(got, want);
}

const char *world_id(const json_t *log, const char *type, size_t k)
{
    size_t i;
    json_t *event;
    json_array_foreach ((json_t *)(uintptr_t)log, i, event)
        if (str_eq(json_get_str(event, "type"), type) && k-- == 0)
            return json_get_str(event, "id");
    return "";
}

void world_check_invariants(struct world *w)
{
    AUTO_JSON json_t *log = world_log(w);
    size_t i;
    json_t *event;
    const char *before = "";
    AUTO_JSON json_t *answered = json_object();
    json_array_foreach (log, i, event) {
        const char *stamp = json_get_str(event, "processed_at"),
                   *type = json_get_str(event, "type");
        assert_true(strcmp(stamp, before) > 0);
        before = stamp;
        const char *of = json_get_str(event, "tool_use_id");
        if (!of)
            of = json_get_str(event, "custom_tool_use_id");
        if (of && strstr(type, "result")) {
            assert_null(json_object_get(answered, of));
            json_put_bool(answered, of, true);
        }
    }
    if (world_published)
        assert_true(json_equal(world_published, log));
}
