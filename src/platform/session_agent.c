/* session_agent.c - from the `agent` parameter to the snapshot a session runs.
 *
 * Called by sessions_create (reading on the loop thread, resolving inside its transaction). A
 * snapshot has the keys of the API's session agent and nothing that belongs to the agent as a
 * resource (metadata, times). */
#include "platform/session_agent.h"

#include "base/err.h"
#include "base/str.h"

#include <inttypes.h>
#include <string.h>

void session_agent_read(struct v *v, struct agent_choice *ret)
{
    static const char *const types[] = {"agent", "agent_with_overrides", NULL};
    *ret = (struct agent_choice){0};
    const json_t *agent = v_any(v, "agent", V_REQUIRED);
    const char *id = NULL;
    if (json_is_string(agent)) {
        id = json_string_value(agent);
    } else if (agent) {
        struct v a = v_sub(v, "agent", V_REQUIRED);
        const char *type = v_enum(&a, "type", V_REQUIRED, types);
        id = v_str(&a, "id", V_REQUIRED, 1, 128);
        ret->version = v_int(&a, "version", V_NULLABLE, 1, INT32_MAX, 0);
        if (type && !strcmp(type, "agent_with_overrides")) {
            static const char *const parts[] = {"model", "system", "tools", "mcp_servers",
                                                "skills"};
            for (size_t i = 0; i < ARRAY_LEN(parts); i++)
                v_any(&a, parts[i], V_NULLABLE);
            ret->overrides = agent;
        }
        v_end(&a);
    }
    if (!v_failed(v) && !str_copy(ret->id, sizeof(ret->id), id))
        v_fail(v, "agent", "is not the id of an agent");
}

static int find_agent(struct tx *tx, const struct agent_choice *a, struct refusal *r,
                      int64_t *ret_version)
{
    struct stmt *st = tx_prepare(tx, "SELECT version, archived_at FROM agents WHERE id = $1");
    stmt_bind_text(st, 1, a->id);
    int code = stmt_step(st);
    if (code < 0)
        return code;
    if (code == 0)
        return refuse(r, 404, "not_found_error", "agent: %s not found", v_clip(a->id));
    bool archived = !stmt_is_null(st, 1);
    int64_t latest = stmt_int(st, 0);
    stmt_reset(st);
    if (archived)
        return refuse(r, 400, "invalid_request_error",
                      "agent: %s is archived and takes no new sessions", a->id);
    *ret_version = a->version ? a->version : latest;
    return 0;
}

static int load_version(struct tx *tx, const struct agent_choice *a, int64_t version,
                        struct refusal *r, json_t **ret)
{
    struct stmt *st =
        tx_prepare(tx, "SELECT body FROM agent_versions WHERE agent_id = $1 AND version = $2");
    stmt_bind_text(st, 1, a->id);
    stmt_bind_int(st, 2, version);
    int code = stmt_step(st);
    if (code < 0)
        return code;
    if (code == 0)
        return refuse(r, 404, "not_found_error", "agent.version: %" PRId64 " not found", version);
    size_t n;
    const char *text = stmt_text(st, 0, &n);
    code = json_parse(text, n, ret, NULL) < 0 ? -E_CORRUPT : 0;
    stmt_reset(st);
    return code;
}

static json_t *snapshot_of(const json_t *body, const char *id, int64_t version)
{
    static const char *const kept[] = {"name",   "description", "system",
                                       "model",  "tools",       "mcp_servers",
                                       "skills", "multiagent",  "execution_identity"};
    json_t *o = json_object();
    json_put_str(o, "id", id);
    json_put_str(o, "type", "agent");
    json_put_int(o, "version", version);
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        json_t *j = json_object_get(body, kept[i]);
        json_put(o, kept[i], j ? json_incref(j) : json_null());
    }
    return o;
}

/* What an agent may declare and this version has no part for. */
static int check_runnable(const json_t *agent, struct refusal *r)
{
    static const struct {
        const char *key, *what;
    } missing[] = {
        {"skills", "skills"},
        {"mcp_servers", "MCP servers"},
        {"multiagent", "multi-agent configurations"},
    };
    for (size_t i = 0; i < ARRAY_LEN(missing); i++) {
        const json_t *j = json_object_get(agent, missing[i].key);
        if (json_is_object(j) || json_array_size(j) > 0)
            return refuse(r, 400, "invalid_request_error",
                          "agent.%s: %s are not part of this version of Sallyport, so a session "
                          "can not run this agent",
                          missing[i].key, missing[i].what);
    }
    return 0;
}

int session_agent_resolve_tx(struct tx *tx, const struct agent_choice *a, struct refusal *r,
                             json_t **ret)
{
    int64_t version = 0;
    AUTO_JSON json_t *body = NULL;
    int code = find_agent(tx, a, r, &version);
    if (code == 0)
        code = load_version(tx, a, version, r, &body);
    if (code < 0)
        return code;
    AUTO_JSON json_t *agent = snapshot_of(body, a->id, version);
    if (a->overrides)
        return refuse(r, 400, "invalid_request_error",
                      "agent.type: agent_with_overrides is not part of this version of Sallyport");
    code = check_runnable(agent, r);
    if (code < 0)
        return code;
    *ret = TAKE(agent);
    return 0;
}

int session_agent_update(json_t *agent, const json_t *change, struct refusal *r)
{
    (void)agent, (void)change;
    return refuse(r, 400, "invalid_request_error",
                  "agent: changing a session's agent is not part of this version of Sallyport");
}
