/* tools.c - the agent's tools.
 *
 * Called by context (what the model is offered) and step (what a call means), on loop and store
 * threads; pure. The agent snapshot was validated when the agent was made; anything of an
 * unexpected shape counts as absent, so that a tool is never offered or run by accident. Names and
 * input shapes are api.md sections 2 and 13; the descriptions are ours. base/toolset.def lists the
 * builtin tools.
 *
 * web_fetch and web_search may be enabled in a toolset (they are part of the default), but this
 * server has not built them: they are not offered, and a model that calls one anyway is told so. */
#include "brain/tools.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/toolset.h"

/* The entry of agent.tools of this type (and name, for custom ones); borrowed, or NULL. */
static const json_t *entry(const json_t *agent, const char *type, const char *name)
{
    size_t i;
    json_t *t;
    json_array_foreach (json_object_get(agent, "tools"), i, t)
        if (str_eq(json_get_str(t, "type"), type) &&
            (!name || str_eq(json_get_str(t, "name"), name)))
            return t;
    return NULL;
}

static void apply(const json_t *config, bool *enabled, const char **policy)
{
    if (!json_is_object(config))
        return;
    *enabled = json_get_bool(config, "enabled", *enabled);
    const char *p = json_get_str(json_object_get(config, "permission_policy"), "type");
    if (p)
        *policy = p;
}

/* Whether the toolset has `name` enabled, and under which policy. */
static bool toolset_has(const json_t *toolset, const char *name, const char **ret_policy)
{
    bool enabled = true;
    const char *policy = "always_allow";
    apply(json_object_get(toolset, "default_config"), &enabled, &policy);
    size_t i;
    json_t *config;
    json_array_foreach (json_object_get(toolset, "configs"), i, config)
        if (str_eq(json_get_str(config, "name"), name))
            apply(config, &enabled, &policy);
    *ret_policy = policy;
    return enabled;
}

struct tool tools_find(const json_t *agent, const char *name)
{
    struct tool t = {.kind = TOOL_UNKNOWN};
    if (entry(agent, "custom", name)) {
        t.kind = TOOL_CUSTOM;
        return t;
    }
    const json_t *toolset = entry(agent, "agent_toolset_20260401", NULL);
    const char *policy;
    if (!toolset || !toolset_has(toolset, name, &policy))
        return t;
    const struct toolset_tool *row = toolset_find(name);
    if (row && row->served == TOOLSET_NOBODY)
        t.kind = TOOL_UNBUILT;
    else if (row && str_copy(t.policy, sizeof(t.policy), policy))
        t.kind = TOOL_BUILTIN;
    return t;
}

static json_t *schema_of(const struct toolset_tool *row)
{
    json_t *schema = NULL;
    MUST(json_parse(row->schema, __builtin_strlen(row->schema), &schema, NULL) == 0);
    return schema;
}

static void add_tool(json_t *out, const char *name, const char *description, json_t *schema)
{
    json_t *o = json_object();
    MUST(o);
    json_put_str(o, "name", name);
    if (description)
        json_put_str(o, "description", description);
    json_put(o, "input_schema", schema);
    json_array_append_new(out, o);
}

json_t *tools_for_model(const json_t *agent)
{
    json_t *out = json_array();
    MUST(out);
    for (size_t i = 0; i < TOOLSET_N; i++)
        if (tools_find(agent, toolset_rows[i].name).kind == TOOL_BUILTIN)
            add_tool(out, toolset_rows[i].name, toolset_rows[i].description,
                     schema_of(&toolset_rows[i]));
    size_t i;
    json_t *t;
    json_array_foreach (json_object_get(agent, "tools"), i, t) {
        json_t *schema = json_object_get(t, "input_schema");
        const char *name = json_get_str(t, "name");
        if (str_eq(json_get_str(t, "type"), "custom") && name && json_is_object(schema))
            add_tool(out, name, json_get_str(t, "description"), json_incref(schema));
    }
    return out;
}

char *tools_refusal(const json_t *agent, const char *name, enum tool_kind kind)
{
    struct buf quoted = BUF_INIT(400), list = BUF_INIT(16u << 10);
    str_escape(&quoted, name, __builtin_strlen(name), 80);
    char *text;
    if (kind == TOOL_UNBUILT) {
        text = mem_printf("The tool %s is not built in this server.", buf_str(&quoted));
    } else {
        AUTO_JSON json_t *tools = tools_for_model(agent);
        size_t i;
        json_t *t;
        json_array_foreach (tools, i, t)
            buf_addf(&list, "%s%s", i ? ", " : "", json_get_str(t, "name"));
        text = list.len ? mem_printf("There is no tool named %s. Tools of this agent: %s.",
                                     buf_str(&quoted), buf_str(&list))
                        : mem_printf("There is no tool named %s. This agent has no tools.",
                                     buf_str(&quoted));
    }
    buf_done(&quoted);
    buf_done(&list);
    return text;
}
