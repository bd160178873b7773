/* session_wire.c - the wire form of a session, and finding the one a call is about.
 *
 * Called by the handlers of sessions, events and threads. A session that does not exist and one
 * that the caller may not see are the same 404: an environment key must not learn which other
 * sessions there are. Capabilities that are not built show the empty values of their types. */
#include "platform/sessions/session_wire.h"

#include "base/err.h"
#include "base/id.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/api/auth.h"

#include <string.h>

static json_t *stats_json(const struct log_session *s, int64_t now_us, bool thread)
{
    json_t *o = json_object();
    int64_t active = s->active_us, until = s->updated_at;
    if (s->running_since) {
        until = now_us;
        if (now_us > s->running_since)
            active += now_us - s->running_since;
    }
    json_put(o, "active_seconds", log_seconds_json(active));
    json_put(o, "duration_seconds", log_seconds_json(until - s->created_at));
    if (thread)
        json_put(o, "startup_seconds", log_seconds_json(0));
    return o;
}

json_t *session_json(struct log_session *s, int64_t now_us)
{
    json_t *o = json_object();
    json_put_str(o, "id", s->id);
    json_put_str(o, "type", "session");
    json_put(o, "agent", json_incref(log_session_agent(s)));
    json_put_str(o, "environment_id", s->environment_id);
    json_put_str(o, "title", s->title);
    json_put(o, "metadata", s->metadata ? json_incref(s->metadata) : json_object());
    json_put_str(o, "status", s->status);
    json_put(o, "resources", json_array());
    json_put(o, "vault_ids", json_array());
    json_put_null(o, "deployment_id");
    json_put_null(o, "budget");
    json_put(o, "usage", log_usage_json(s, now_us));
    json_put(o, "stats", stats_json(s, now_us, false));
    json_put(o, "outcome_evaluations", json_array());
    json_put(o, "created_at", time_json(s->created_at));
    json_put(o, "updated_at", time_json(s->updated_at));
    json_put(o, "archived_at", time_json_or_null(!s->archived_at, s->archived_at));
    return o;
}

json_t *thread_json(struct log_session *s, int64_t now_us)
{
    json_t *o = json_object(), *agent = json_copy(log_session_agent(s));
    json_put_str(o, "id", s->thread_id);
    json_put_str(o, "type", "session_thread");
    json_put_str(o, "session_id", s->id);
    json_put_null(o, "parent_thread_id");
    json_object_del(agent, "multiagent"); /* a thread's agent is one agent */
    json_put(o, "agent", agent);
    json_put_str(o, "status", s->status);
    json_put(o, "usage", log_usage_json(s, now_us));
    json_put(o, "stats", stats_json(s, now_us, true));
    json_put_null(o, "workflow_run_id");
    json_put(o, "created_at", time_json(s->created_at));
    json_put(o, "updated_at", time_json(s->updated_at));
    json_put(o, "archived_at", time_json_or_null(!s->archived_at, s->archived_at));
    return o;
}

int session_load_tx(struct tx *tx, const struct caller *who, const char *session_id,
                    struct refusal *r, struct log_session *ret)
{
    int code = id_is(session_id, "sesn_") ? log_session_load_tx(tx, session_id, ret) : -ENOENT;
    if (code == 0 && !auth_may_see(who, ret->id, ret->environment_id)) {
        log_session_done(ret);
        code = -ENOENT;
    }
    if (code == -ENOENT)
        return refuse(r, 404, "not_found_error", "Session %s not found.", v_clip(session_id));
    return code;
}

struct load {
    const struct caller *who;
    const char *id;
    struct log_session s;
    struct refusal r;
};

static int load_tx(struct tx *tx, void *arg)
{
    struct load *l = arg;
    log_session_done(&l->s);
    l->r = (struct refusal){0};
    return session_load_tx(tx, l->who, l->id, &l->r, &l->s);
}

int session_load(struct api_call *c, const char *session_id, struct log_session *ret)
{
    struct load l = {.who = &c->caller, .id = session_id};
    int r = db_read(c->p->log.db, load_tx, &l);
    if (r < 0) {
        log_session_done(&l.s);
        session_write_failed(c, r, &l.r);
        return -E_DENIED;
    }
    *ret = l.s;
    return 0;
}

void session_write_failed(struct api_call *c, int code, struct refusal *r)
{
    if (code == -E_DENIED && r->status)
        (void)api_refuse(c, r);
    else if (code == -EMSGSIZE)
        (void)api_error(c, 413, "request_too_large", "One event is larger than this server keeps.");
    else
        (void)api_failed(c, code, NULL);
}
