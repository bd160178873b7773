/* session_create.c - POST /v1/sessions.
 *
 * The body is checked on the loop thread; one transaction then looks the agent and the environment
 * up, takes a snapshot of the agent (a running session keeps it whatever happens to the agent),
 * makes the session, queues its first work item and applies the initial events. All or nothing: a
 * refused event leaves no session behind. The answer is stored with it when the call carries an
 * Idempotency-Key, so a repetition after a crash finds the same session.
 *
 * What an agent may declare but this version cannot run (skills, MCP servers, other agents) is
 * refused here, in words: the record is harmless, a session that silently lacks its tools is not.
 * So are environments of a kind that has no sandbox. */
#include "platform/sessions/sessions.h"

#include "base/err.h"
#include "base/id.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/api/body.h"
#include "platform/api/idem.h"
#include "platform/api/session_call.h"
#include "platform/api/validate.h"
#include "platform/environments/environments.h"
#include "platform/events/event_input.h"
#include "platform/sessions/session_agent.h"
#include "platform/sessions/session_wire.h"

#include <string.h>

#define INITIAL_EVENTS_MAX 50

struct create {
    struct api_call *c;
    struct agent_choice agent;
    const char *environment_id, *title;
    const json_t *metadata, *initial_events;
    /* made by the transaction */
    struct log_session s;
    struct log_batch b;
    struct refusal r;
    json_t *answer;
};

static int check_environment(struct tx *tx, struct create *k)
{
    struct environment env;
    int r = environment_load_tx(tx, k->environment_id, &env);
    if (r == -ENOENT)
        return refuse(&k->r, 404, "not_found_error", "environment_id: %s not found",
                      v_clip(k->environment_id));
    if (r < 0)
        return r;
    if (env.archived)
        return refuse(&k->r, 400, "invalid_request_error", "Environment %s is archived.",
                      k->environment_id);
    if (!str_eq(env.type, "self_hosted"))
        return refuse(&k->r, 400, "invalid_request_error",
                      "environment_id: %s is a cloud environment, and this version of Sallyport "
                      "runs tools in self_hosted environments only; create one with config "
                      "{\"type\": \"self_hosted\"} and start a worker for it",
                      k->environment_id);
    return 0;
}

static int insert(struct tx *tx, struct create *k, const json_t *agent, char id[ID_MAX])
{
    char thread_id[ID_MAX];
    int64_t now = time_real_us();
    AUTO_FREE char *agent_text = json_text(agent, NULL);
    AUTO_FREE char *metadata = k->metadata ? json_text(k->metadata, NULL) : mem_strdup("{}");
    id_make(id, "sesn_");
    id_make(thread_id, "sthr_");
    struct stmt *st = tx_prepare(
        tx,
        "INSERT INTO sessions (id, thread_id, agent_id, agent_version, environment_id, title,"
        " metadata, agent, created_at, status, usage, next_seq, last_stamp, active_us, wake,"
        " updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'idle', '{}', 1, 0, 0, 0, 0)");
    stmt_bind_text(st, 1, id);
    stmt_bind_text(st, 2, thread_id);
    stmt_bind_text(st, 3, k->agent.id);
    stmt_bind_int(st, 4, json_get_int(agent, "version", 0));
    stmt_bind_text(st, 5, k->environment_id);
    stmt_bind_text(st, 6, k->title);
    stmt_bind_text(st, 7, metadata);
    stmt_bind_text(st, 8, agent_text);
    stmt_bind_int(st, 9, now);
    int r = stmt_step(st);
    if (r < 0)
        return r;
    /* Later than this is what every event's stamp must be. */
    return tx_exec(tx, "UPDATE sessions SET last_stamp = $1, updated_at = $2 WHERE id = $3", "iit",
                   now, now, id);
}

static int begin(struct tx *tx, struct create *k)
{
    if (json_array_size(k->initial_events) > 0) {
        AUTO_JSON json_t *echo = NULL;
        return log_accept_tx(tx, &k->s, &k->b, k->initial_events, &echo, &k->r);
    }
    return log_queue_work_tx(tx, &k->s, &k->b);
}

static int create_tx(struct tx *tx, void *arg)
{
    struct create *k = arg;
    AUTO_JSON json_t *agent = NULL;
    char id[ID_MAX];
    json_decref(TAKE(k->answer));
    log_session_done(&k->s);
    log_batch_reset(&k->b);
    k->r = (struct refusal){0};

    int r = check_environment(tx, k);
    if (r == 0)
        r = session_agent_resolve_tx(tx, &k->agent, &k->r, &agent);
    if (r == 0)
        r = insert(tx, k, agent, id);
    if (r == 0)
        r = log_session_load_tx(tx, id, &k->s);
    if (r < 0)
        return r;
    str_copy(k->b.session_id, sizeof(k->b.session_id), id);
    r = begin(tx, k);
    if (r == 0 && json_array_size(k->initial_events) > 0)
        r = log_session_store_tx(tx, &k->s);
    if (r < 0)
        return r;
    k->answer = session_json(&k->s, time_real_us());
    return k->c->idem ? idem_store_tx(tx, k->c->idem, 200, k->answer) : 0;
}

static bool has_null(const json_t *metadata)
{
    void *it;
    json_t *o = (json_t *)(uintptr_t)metadata;
    for (it = json_object_iter(o); it; it = json_object_iter_next(o, it))
        if (json_is_null(json_object_iter_value(it)))
            return true;
    return false;
}

static int read_request(void *arg)
{
    struct create *k = arg;
    struct v v = v_object(&k->r, k->c->body, "");
    session_agent_read(&v, &k->agent);
    k->environment_id = v_str(&v, "environment_id", V_REQUIRED, 1, 128);
    k->title = v_str(&v, "title", V_NULLABLE, 0, 512);
    v_not_null(&v, "metadata");
    k->metadata = v_metadata(&v, "metadata");
    if (k->metadata && has_null(k->metadata))
        v_fail(&v, "metadata", "values must be strings; null is for updates");
    v_unsupported(&v, "resources",
                  "session resources (files, repositories, memory stores) are not part of this "
                  "version of Sallyport");
    v_unsupported(&v, "vault_ids", "vaults are not part of this version of Sallyport");
    v_unsupported(&v, "budget", "budgets are not part of this version of Sallyport");
    k->initial_events = v_array(&v, "initial_events", V_OPTIONAL, INITIAL_EVENTS_MAX);
    v_end(&v);
    if (v_failed(&v))
        return -E_DENIED;
    return event_input_check(&k->r, k->initial_events, "initial_events", INITIAL_EVENTS_MAX, true);
}

void sessions_create(struct api_call *c)
{
    if (api_refuse_draining(c))
        return;
    struct create *k = mem_new(struct create);
    k->c = c;
    log_batch_init(&k->b, "");
    int r = body_work(c, read_request, k);
    if (r == 0)
        r = db_write(c->p->log.db, create_tx, k);
    if (r == 0)
        idem_stored(c);
    session_call_end(c, r, &k->b, k->answer, &k->r);
    log_session_done(&k->s);
    api_free(c, k->answer);
    log_batch_done(&k->b);
    agent_choice_done(&k->agent);
    free(k);
}
