/* session_wire.c - the wire form of a session.
 *
 * Called by the handlers of sessions and threads, on the loop thread or inside their transaction
 * functions, with a session that is loaded. Times that run are read at the moment the caller names,
 * so that all numbers of one answer agree. Capabilities that are not built show the empty values of
 * their types. */
#include "platform/sessions/session_wire.h"

#include "platform/api/wire.h"

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
