/* session_agent.c - from the `agent` parameter to the snapshot a session runs.
 *
 * Called by sessions_create (reading on the loop thread, resolving inside its transaction) and
 * sessions_update. A snapshot has the keys of the API's session agent and nothing that belongs to
 * the agent as a resource (metadata, times). Overrides are checked by the same functions as an
 * agent's own fields and replace each field whole; a model of the same id keeps its effort. */
#include "platform/sessions/session_agent.h"

#include "base/err.h"
#include "base/str.h"
#include "platform/agents/agent_fields.h"
#include "platform/agents/agents.h"
#include "platform/api/validate.h"

#include <inttypes.h>
#include <string.h>

#define SYSTEM_MAX 100000

void agent_choice_done(struct agent_choice *a)
{
    json_decref(TAKE(a->patch));
}

/* The fields that a session may replace, as a patch of the stored form. */
static json_t *read_patch(struct v *a, bool whole)
{
    json_t *patch = json_object();
    if (whole) {
        if (v_is_null(a, "model"))
            v_fail(a, "model", "a session needs a model; it cannot be null (agent_model_required)");
        json_t *model = v_failed(a) ? NULL : agent_fields_model(a, "model", V_NULLABLE);
        if (model)
            json_put(patch, "model", model);
        const char *system = v_str(a, "system", V_NULLABLE, 0, SYSTEM_MAX);
        if (v_has(a, "system"))
            json_put_str(patch, "system", system && system[0] ? system : NULL);
    }
    v_not_null(a, "tools");
    json_t *tools = v_failed(a) || !v_has(a, "tools") ? NULL : agent_fields_tools(a, "tools");
    if (tools)
        json_put(patch, "tools", tools);
    (void)v_any(a, "model", V_NULLABLE); /* asked for even when something before was wrong */
    (void)v_any(a, "tools", V_NULLABLE);
    v_unsupported(a, "mcp_servers", "MCP servers are not part of this version of Sallyport");
    if (whole)
        v_unsupported(a, "skills", "skills are not part of this version of Sallyport");
    return patch;
}

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
        ret->version = v_int(&a, "version", V_OPTIONAL, 1, INT32_MAX, 0);
        if (str_eq(type, "agent_with_overrides"))
            ret->patch = read_patch(&a, true);
        v_end(&a);
    }
    if (!v_failed(v) && !str_copy(ret->id, sizeof(ret->id), id))
        v_fail(v, "agent", "is not the id of an agent");
}

json_t *session_agent_read_update(struct v *v)
{
    struct v a = v_sub(v, "agent", V_OPTIONAL);
    if (!a.o)
        return NULL;
    AUTO_JSON json_t *patch = read_patch(&a, false);
    if (v_has(&a, "model"))
        v_fail(&a, "model", "cannot be changed in a session; tools and mcp_servers can");
    v_end(&a);
    return v_failed(v) || json_object_size(patch) == 0 ? NULL : TAKE(patch);
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
                          "cannot run this agent",
                          missing[i].key, missing[i].what);
    }
    return 0;
}

static int load(struct tx *tx, const struct agent_choice *a, struct refusal *r, json_t **ret)
{
    bool archived = false;
    int code = agent_load_tx(tx, a->id, a->version, ret, &archived);
    if (code == -ENOENT)
        return refuse(r, 404, "not_found_error", "agent: %s not found", v_clip(a->id));
    if (code == -ESRCH)
        return refuse(r, 404, "not_found_error", "agent.version: %" PRId64 " not found",
                      a->version);
    if (code == 0 && archived)
        return refuse(r, 400, "invalid_request_error",
                      "agent: %s is archived and takes no new sessions", a->id);
    return code;
}

int session_agent_resolve_tx(struct tx *tx, const struct agent_choice *a, struct refusal *r,
                             json_t **ret)
{
    AUTO_JSON json_t *body = NULL;
    int code = load(tx, a, r, &body);
    if (code < 0)
        return code;
    AUTO_JSON json_t *patched =
        a->patch ? agent_fields_apply(body, a->patch, r) : json_incref(body);
    if (!patched)
        return -E_DENIED;
    AUTO_JSON json_t *agent = snapshot_of(patched, a->id, json_get_int(body, "version", 0));
    code = check_runnable(agent, r);
    if (code == 0)
        *ret = TAKE(agent);
    return code;
}

json_t *session_agent_apply(const json_t *agent, const json_t *patch, struct refusal *r)
{
    AUTO_JSON json_t *out = agent_fields_apply(agent, patch, r);
    return out && check_runnable(out, r) == 0 ? TAKE(out) : NULL;
}
