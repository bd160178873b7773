/* sessions.c - one session: retrieve, update, archive, delete.
 *
 * Every change is one transaction that loads the session, checks its state, and writes; events that
 * come of it are published after the commit. A running session is neither archived nor deleted nor
 * given another agent: its turn owns the log. Updating title and metadata is always possible while
 * the session is not archived.
 */
#include "platform/sessions/sessions.h"

#include "base/err.h"
#include "base/id.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/api/session_call.h"
#include "platform/api/validate.h"
#include "platform/api/wire.h"
#include "platform/sessions/session_agent.h"
#include "platform/sessions/session_delete.h"
#include "platform/sessions/session_wire.h"
#include "session/hub.h"

#include <string.h>

/* One changing call. Lives on the heap: fiber stacks are small and this holds messages and a
 * session. */
struct change {
    struct api_call *c;
    const char *id;
    const char *title;
    bool has_title;
    const json_t *metadata;
    json_t *agent; /* a patch of the session's agent, owned */
    struct log_session s;
    struct log_batch b;
    struct refusal r;
    json_t *answer;
};

static struct change *change_new(struct api_call *c)
{
    struct change *k = mem_new(struct change);
    k->c = c;
    k->id = api_param(c, 0);
    log_batch_init(&k->b, "");
    return k;
}

static void change_free(struct change *k)
{
    json_decref(k->agent);
    log_session_done(&k->s);
    api_free(k->c, k->answer);
    log_batch_done(&k->b);
    free(k);
}

/* Runs `fn`, publishes, answers, frees. */
static void change_run(struct change *k, tx_fn *fn)
{
    struct api_call *c = k->c;
    int r = db_write(c->p->log.db, fn, k);
    session_call_end(c, r, &k->b, k->answer, &k->r);
    change_free(k);
}

static int change_begin(struct tx *tx, struct change *k)
{
    json_decref(TAKE(k->answer));
    log_session_done(&k->s);
    log_batch_reset(&k->b);
    k->r = (struct refusal){0};
    int r = session_load_tx(tx, &k->c->caller, k->id, &k->r, &k->s);
    if (r == 0)
        str_copy(k->b.session_id, sizeof(k->b.session_id), k->s.id);
    return r;
}

static bool running(const struct log_session *s)
{
    return str_eq(s->status, "running") || str_eq(s->status, "rescheduling");
}

void sessions_retrieve(struct api_call *c)
{
    struct log_session s;
    if (session_load(c, api_param(c, 0), &s) < 0)
        return;
    json_t *j = session_json(&s, time_real_us());
    log_session_done(&s);
    (void)api_reply(c, 200, j);
    api_free(c, j);
}

void sessions_no_resources(struct api_call *c)
{
    api_not_found(c, "Not found: session resources are not part of this version of Sallyport.");
}

/* ---- update ---- */

/* Merges `patch` into a copy of the session's metadata; *ret_changed tells whether anything
 * differs. */
static json_t *merge_metadata(const json_t *now, const json_t *patch, bool *ret_changed)
{
    json_t *merged = now ? json_copy((json_t *)(uintptr_t)now) : json_object();
    json_t *p = (json_t *)(uintptr_t)patch;
    for (void *it = json_object_iter(p); it; it = json_object_iter_next(p, it)) {
        const char *key = json_object_iter_key(it);
        json_t *value = json_object_iter_value(it);
        if (json_is_null(value))
            json_object_del(merged, key);
        else
            json_object_set(merged, key, value);
    }
    *ret_changed = !json_equal(merged, now);
    return merged;
}

static int apply_title(struct tx *tx, struct change *k, json_t *event)
{
    if (!k->has_title || str_eq(k->title, k->s.title))
        return 0;
    json_put_str(event, "title", k->title);
    free(k->s.title);
    k->s.title = k->title ? mem_strdup(k->title) : NULL;
    return tx_exec(tx, "UPDATE sessions SET title = $1 WHERE id = $2", "tt", k->title, k->s.id);
}

static int apply_metadata(struct tx *tx, struct change *k, json_t *event)
{
    bool changed = false;
    if (!k->metadata)
        return 0;
    AUTO_JSON json_t *merged = merge_metadata(k->s.metadata, k->metadata, &changed);
    if (!changed)
        return 0;
    if (json_object_size(merged) > 16)
        return refuse(&k->r, 400, "invalid_request_error",
                      "metadata: must have at most 16 pairs, has %zu after this update",
                      json_object_size(merged));
    json_put(event, "metadata", json_incref(merged));
    json_decref(k->s.metadata);
    k->s.metadata = json_incref(merged);
    AUTO_FREE char *text = json_text(merged, NULL);
    return tx_exec(tx, "UPDATE sessions SET metadata = $1 WHERE id = $2", "tt", text, k->s.id);
}

static int apply_agent(struct tx *tx, struct change *k, json_t *event)
{
    if (!k->agent)
        return 0;
    if (!str_eq(k->s.status, "idle"))
        return refuse(&k->r, 400, "invalid_request_error",
                      "agent: can only be changed while the session is idle; its status is \"%s\"",
                      k->s.status);
    AUTO_JSON json_t *agent = session_agent_apply(log_session_agent(&k->s), k->agent, &k->r);
    if (!agent)
        return -E_DENIED;
    if (json_equal(agent, log_session_agent(&k->s)))
        return 0;
    json_put(event, "agent", json_incref(agent));
    json_decref(k->s.agent);
    k->s.agent = json_incref(agent);
    AUTO_FREE char *text = json_text(agent, NULL);
    return tx_exec(tx, "UPDATE sessions SET agent = $1 WHERE id = $2", "tt", text, k->s.id);
}

static int update_tx(struct tx *tx, void *arg)
{
    struct change *k = arg;
    int r = change_begin(tx, k);
    if (r < 0)
        return r;
    if (k->s.archived_at || str_eq(k->s.status, "terminated"))
        return refuse(&k->r, 400, "invalid_request_error", "Session %s is %s.", k->s.id,
                      k->s.archived_at ? "archived" : "terminated");
    AUTO_JSON json_t *event = json_object();
    r = apply_title(tx, k, event);
    if (r == 0)
        r = apply_metadata(tx, k, event);
    if (r == 0)
        r = apply_agent(tx, k, event);
    if (r == 0 && json_object_size(event) > 0) {
        r = log_append_tx(tx, &k->s, &k->b, "session.updated", NULL, json_incref(event), NULL,
                          NULL);
        if (r == 0)
            r = log_session_store_tx(tx, &k->s);
    }
    if (r < 0)
        return r;
    k->answer = session_json(&k->s, time_real_us());
    return 0;
}

void sessions_update(struct api_call *c)
{
    struct change *k = change_new(c);
    struct v v = v_object(&k->r, c->body, "");
    k->has_title = v_has(&v, "title");
    k->title = v_str(&v, "title", V_NULLABLE, 0, 512);
    k->metadata = v_metadata(&v, "metadata");
    k->agent = session_agent_read_update(&v);
    v_unsupported(&v, "vault_ids", "vaults are not part of this version of Sallyport");
    v_unsupported(&v, "budget", "budgets are not part of this version of Sallyport");
    v_end(&v);
    if (v_failed(&v)) {
        (void)api_refuse(c, &k->r);
        change_free(k);
        return;
    }
    change_run(k, update_tx);
}

/* ---- archive ---- */

static int archive_tx(struct tx *tx, void *arg)
{
    struct change *k = arg;
    int r = change_begin(tx, k);
    if (r < 0)
        return r;
    if (running(&k->s))
        return refuse(&k->r, 400, "invalid_request_error",
                      "Session %s cannot be archived while its status is \"%s\". Only pending or "
                      "idle sessions may be archived.",
                      k->s.id, k->s.status);
    if (!k->s.archived_at) {
        if (!str_eq(k->s.status, "terminated"))
            r = log_terminated_tx(tx, &k->s, &k->b);
        if (r == 0)
            r = log_session_store_tx(tx, &k->s);
        k->s.archived_at = k->s.updated_at = time_real_us();
        if (r == 0)
            r = tx_exec(tx, "UPDATE sessions SET archived_at = $1, updated_at = $2 WHERE id = $3",
                        "iit", k->s.archived_at, k->s.updated_at, k->s.id);
    }
    if (r < 0)
        return r;
    k->answer = session_json(&k->s, time_real_us());
    return 0;
}

static bool body_is_empty(struct api_call *c)
{
    struct refusal r = {0};
    struct v v = v_object(&r, c->body, "");
    v_end(&v);
    if (v_failed(&v))
        (void)api_refuse(c, &r);
    return !v_failed(&v);
}

void sessions_archive(struct api_call *c)
{
    if (body_is_empty(c))
        change_run(change_new(c), archive_tx);
}

/* ---- delete ---- */

static int delete_tx(struct tx *tx, void *arg)
{
    struct change *k = arg;
    int r = change_begin(tx, k);
    if (r < 0)
        return r;
    if (running(&k->s))
        return refuse(&k->r, 400, "invalid_request_error",
                      "Cannot delete session while it is running. Send an interrupt event or wait "
                      "for the session to complete.");
    r = session_delete_tx(tx, &k->s, &k->b);
    if (r < 0)
        return r;
    k->answer = json_object();
    json_put_str(k->answer, "id", k->s.id);
    json_put_str(k->answer, "type", "session_deleted");
    return 0;
}

void sessions_delete(struct api_call *c)
{
    change_run(change_new(c), delete_tx);
}
