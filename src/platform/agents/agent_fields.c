/* agent_fields.c - the parts of an agent, checked and normalised.
 *
 * Called on the loop thread with parsed request bodies (32 MB, 64 levels at most), before any
 * transaction. Everything here is the caller's. The first broken rule fills the refusal with a
 * sentence that names field and rule; nothing is repaired. What is returned has every default
 * written out, so that readers of a stored agent (brain, sessions, clients) need no defaults of
 * their own. Capabilities of the hosted service that this program lacks are refused here, not
 * dropped. */
#include "platform/agents/agent_fields.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/toolset.h"
#include "platform/api/metadata.h"
#include "platform/api/validate.h"

#include <stdio.h>
#include <string.h>

#define MAX_TOOLS            128 /* entries; a toolset counts once */
#define MAX_TOOL_NAME        128
#define MAX_TOOL_DESCRIPTION 16384
#define TOOLSET              "agent_toolset_20260401"

static const char *const policies[] = {"always_allow", "always_ask", "auto", NULL};

/* ---- model ---- */

/* "high" or {"type": "high"}. */
static json_t *effort_of(struct v *model)
{
    static const char *const levels[] = {"low", "medium", "high", "xhigh", "max", NULL};
    const json_t *j = v_any(model, "effort", V_NULLABLE);
    const char *level;
    if (!j)
        return NULL;
    if (json_is_object(j)) {
        struct v e = v_sub(model, "effort", V_NULLABLE);
        level = v_enum(&e, "type", V_REQUIRED, levels);
        v_end(&e);
    } else {
        level = v_enum(model, "effort", V_NULLABLE, levels);
    }
    return level && !v_failed(model) ? json_typed(level) : NULL;
}

json_t *agent_fields_model(struct v *v, const char *key, int flags)
{
    static const char *const speeds[] = {"standard", "fast", NULL};
    const json_t *j = v_any(v, key, flags);
    if (!j)
        return NULL;
    AUTO_JSON json_t *out = json_object();
    const char *id, *speed = NULL;
    if (json_is_string(j)) {
        id = v_str(v, key, flags, 1, 256);
    } else {
        struct v m = v_sub(v, key, flags);
        id = v_str(&m, "id", V_REQUIRED, 1, 256);
        AUTO_JSON json_t *effort = effort_of(&m);
        speed = v_enum(&m, "speed", V_NULLABLE, speeds);
        v_unsupported(
            &m, "inference_geo",
            "choosing a region for inference is not built yet in this server; leave it out");
        v_end(&m);
        if (effort)
            json_put(out, "effort", TAKE(effort));
    }
    if (v_failed(v))
        return NULL;
    json_put_str(out, "id", id);
    json_put_str(out, "speed", speed ? speed : "standard");
    return TAKE(out);
}

/* ---- tools ---- */

/* A nested object of an array: "tools[3]." in front of what is wrong in it. */
static struct v entry(struct v *v, const char *key, size_t i, const json_t *o)
{
    char path[sizeof(v->path)];
    snprintf(path, sizeof(path), "%.80s%s[%zu].", v->path, key, i);
    return v_object(v->r, o, path);
}

/* Sets enabled and permission_policy in `out`, from `v` or else from `defaults`. */
static void switches(struct v *v, json_t *out, const json_t *defaults)
{
    bool enabled = v_bool(v, "enabled", V_NULLABLE, json_get_bool(defaults, "enabled", true));
    struct v p = v_sub(v, "permission_policy", V_NULLABLE);
    const char *policy = NULL;
    if (p.o) {
        policy = v_enum(&p, "type", V_REQUIRED, policies);
        if (str_eq(policy, "auto"))
            v_fail(
                &p, "type",
                "the \"auto\" policy, which lets the server judge each call, is not built yet; use "
                "always_allow or always_ask");
        v_end(&p);
    }
    if (!policy)
        policy = json_get_str(json_object_get(defaults, "permission_policy"), "type");
    json_put_bool(out, "enabled", enabled);
    json_put(out, "permission_policy", json_typed(policy ? policy : "always_allow"));
}

/* One entry of a toolset's configs. */
static json_t *config_of(struct v *c, const json_t *defaults)
{
    const char *names[TOOLSET_N + 1];
    toolset_names(names);
    const char *name = v_enum(c, "name", V_REQUIRED, names);
    if (!name)
        return NULL;
    const char *only[] = {name, NULL};
    AUTO_JSON json_t *out = json_object();
    json_put_str(out, "type", name);
    json_put_str(out, "name", name);
    (void)v_enum(c, "type", V_OPTIONAL, only);
    switches(c, out, defaults);
    if (toolset_find(name)->served == TOOLSET_NOBODY) {
        static const char *const more[] = {"allowed_domains", "blocked_domains", "user_location",
                                           "max_content_tokens", "url_sources"};
        for (size_t i = 0; i < ARRAY_LEN(more); i++)
            v_unsupported(c, more[i],
                          "the web tools are not built yet in this server; leave it out");
        if (json_get_bool(out, "enabled", true))
            v_fail(
                c, "name",
                "%s is not built yet in this server; leave its config out or set enabled to false",
                name);
    }
    v_end(c);
    return v_failed(c) ? NULL : TAKE(out);
}

/* The way the hosted service names a builtin tool in this one message. */
static void upper(char *out, size_t cap, const char *name)
{
    size_t i = 0;
    for (; name[i] && i + 1 < cap; i++)
        out[i] = name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 'a' + 'A') : name[i];
    out[i] = '\0';
}

static json_t *toolset_of(struct v *t, size_t place)
{
    AUTO_JSON json_t *out = json_typed(TOOLSET), *defaults = json_object(), *list = json_array();
    struct v d = v_sub(t, "default_config", V_NULLABLE);
    switches(&d, defaults, NULL);
    v_end(&d);
    const json_t *configs = v_array(t, "configs", V_OPTIONAL, 64);
    size_t seen = 0, i;
    json_t *item;
    json_array_foreach ((json_t *)(uintptr_t)configs, i, item) {
        struct v c = entry(t, "configs", i, item);
        json_t *one = config_of(&c, defaults);
        if (!one)
            return NULL;
        json_array_append_new(list, one);
        const struct toolset_tool *row = toolset_find(json_get_str(one, "name"));
        size_t bit = (size_t)1 << (row - toolset_rows);
        if (seen & bit) {
            char big[24];
            upper(big, sizeof(big), row->name);
            (void)!refuse(t->r, 400, "invalid_request_error",
                          "tools.%zu." TOOLSET ".configs.%zu: duplicate entry for tool "
                          "\"AGENT_TOOL_NAME_%s\"",
                          place, i, big);
            return NULL;
        }
        seen |= bit;
    }
    v_end(t);
    if (v_failed(t))
        return NULL;
    json_put(out, "default_config", TAKE(defaults));
    json_put(out, "configs", TAKE(list));
    return TAKE(out);
}

/* True when some object below `schema` has the key. Depth-first over an explicit stack; the parser
 * capped the depth. */
static bool has_key(const json_t *schema, const char *want)
{
    struct {
        json_t *j;
        void *it;
        size_t i;
    } stack[LIMIT_JSON_DEPTH + 1];
    size_t depth = 0;
    stack[0].j = (json_t *)(uintptr_t)schema; /* iterators take non-const; nothing is changed */
    stack[0].it = json_object_iter(stack[0].j);
    stack[0].i = 0;
    for (;;) {
        json_t *child = NULL;
        if (json_is_object(stack[depth].j) && stack[depth].it) {
            if (!strcmp(json_object_iter_key(stack[depth].it), want))
                return true;
            child = json_object_iter_value(stack[depth].it);
            stack[depth].it = json_object_iter_next(stack[depth].j, stack[depth].it);
        } else if (json_is_array(stack[depth].j)) {
            child = json_array_get(stack[depth].j, stack[depth].i++);
        }
        if (!child) {
            if (depth == 0)
                return false;
            depth--;
        } else if ((json_is_object(child) || json_is_array(child)) && depth < LIMIT_JSON_DEPTH) {
            depth++;
            stack[depth].j = child;
            stack[depth].it = json_object_iter(child);
            stack[depth].i = 0;
        }
    }
}

static json_t *schema_of(struct v *t)
{
    static const char *const object_only[] = {"object", NULL};
    static const char *const combinators[] = {"oneOf", "anyOf", "allOf"};
    struct v s = v_sub(t, "input_schema", V_REQUIRED);
    if (!s.o)
        return NULL;
    (void)v_enum(&s, "type", V_REQUIRED, object_only);
    (void)v_sub(&s, "properties", V_NULLABLE);
    const json_t *required = v_array(&s, "required", V_NULLABLE, 1024);
    size_t i;
    json_t *item;
    json_array_foreach ((json_t *)(uintptr_t)required, i, item)
        if (!json_is_string(item))
            v_fail(&s, "required", "must be a list of property names");
    for (i = 0; i < ARRAY_LEN(combinators); i++)
        if (v_has(&s, combinators[i]))
            v_fail(&s, combinators[i], "is not allowed at the top level of an input schema");
    if (!v_failed(t) && has_key(s.o, "$ref"))
        v_fail(t, "input_schema", "must not contain $ref; write the referenced schema out");
    return v_failed(t) ? NULL : json_incref((json_t *)(uintptr_t)s.o);
}

static bool tool_name_ok(const char *name)
{
    return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") ==
           strlen(name);
}

static json_t *custom_of(struct v *t)
{
    const char *name = v_str(t, "name", V_REQUIRED, 1, MAX_TOOL_NAME);
    if (name && !tool_name_ok(name))
        v_fail(t, "name", "\"%s\" may only have letters, digits, underscores and hyphens",
               v_clip(name));
    else if (name && (toolset_find(name) || str_starts(name, "mcp__")))
        v_fail(t, "name",
               "\"%s\" is reserved: builtin tool names and the mcp__ prefix cannot be used",
               v_clip(name));
    const char *description = v_str(t, "description", V_REQUIRED, 0, MAX_TOOL_DESCRIPTION);
    AUTO_JSON json_t *schema = schema_of(t);
    v_end(t);
    if (v_failed(t))
        return NULL;
    json_t *out = json_typed("custom");
    json_put_str(out, "name", name);
    json_put_str(out, "description", description);
    json_put(out, "input_schema", TAKE(schema));
    return out;
}

static json_t *tool_of(struct v *t, size_t place)
{
    static const char *const types[] = {TOOLSET, "custom", "mcp_toolset", NULL};
    const char *type = v_enum(t, "type", V_REQUIRED, types);
    if (!type)
        return NULL;
    if (str_eq(type, TOOLSET))
        return toolset_of(t, place);
    if (str_eq(type, "custom"))
        return custom_of(t);
    v_fail(t, "type",
           "MCP servers are not built yet in this server, so there is nothing for an mcp_toolset "
           "to use");
    return NULL;
}

/* Rules between entries: one toolset, no custom name twice. */
static void check_together(struct v *v, const json_t *tools)
{
    bool toolset = false;
    size_t i, k;
    json_t *t, *other;
    json_array_foreach ((json_t *)(uintptr_t)tools, i, t) {
        const char *name = json_get_str(t, "name");
        if (!name) {
            if (toolset)
                (void)!refuse(v->r, 400, "invalid_request_error",
                              "tools.%zu." TOOLSET ": duplicate entry; at most one " TOOLSET
                              " is allowed",
                              i);
            toolset = true;
        }
        json_array_foreach ((json_t *)(uintptr_t)tools, k, other)
            if (name && k < i && str_eq(json_get_str(other, "name"), name))
                (void)!refuse(v->r, 400, "invalid_request_error",
                              "tools.%zu.custom: duplicate entry for tool \"%s\"", i, name);
        if (v_failed(v))
            return;
    }
}

json_t *agent_fields_tools(struct v *v, const char *key)
{
    const json_t *j = v_array(v, key, V_NULLABLE, MAX_TOOLS);
    AUTO_JSON json_t *out = json_array();
    size_t i;
    json_t *item;
    json_array_foreach ((json_t *)(uintptr_t)j, i, item) {
        struct v t = entry(v, key, i, item);
        json_t *one = v_failed(v) ? NULL : tool_of(&t, i);
        if (!one)
            return NULL;
        json_array_append_new(out, one);
    }
    check_together(v, out);
    return v_failed(v) ? NULL : TAKE(out);
}

/* ---- the rest ---- */

json_t *agent_fields_identity(struct v *v, const char *key)
{
    static const char *const types[] = {"service_account", "aws_role", NULL};
    struct v e = v_sub(v, key, V_NULLABLE);
    if (e.o) {
        const char *type = v_enum(&e, "type", V_REQUIRED, types);
        (void)v_any(&e, "role_arn", V_NULLABLE);
        if (str_eq(type, "aws_role"))
            v_fail(&e, "type",
                   "running as an AWS role is not built yet in this server; use service_account");
        else if (v_has(&e, "role_arn"))
            v_fail(&e, "role_arn", "belongs to the aws_role identity only");
        v_end(&e);
    }
    return v_failed(v) ? NULL : json_typed("service_account");
}

void agent_fields_unbuilt(struct v *v)
{
    v_unsupported(v, "mcp_servers",
                  "MCP servers are not built yet in this server; leave the list empty");
    v_unsupported(v, "skills", "skills are not built yet in this server; leave the list empty");
    v_unsupported(v, "multiagent",
                  "multi-agent orchestration is not built yet in this server; leave it out");
    /* Of the wrong type they are wrong all the same. */
    (void)v_array(v, "mcp_servers", V_NULLABLE, 20);
    (void)v_array(v, "skills", V_NULLABLE, 500);
    (void)v_sub(v, "multiagent", V_NULLABLE);
}

static void put_text(json_t *out, struct v *v, const char *key, size_t max)
{
    const char *text = v_str(v, key, V_NULLABLE, 0, max);
    json_put_str(out, key, text && text[0] ? text : NULL);
}

json_t *agent_fields_create(const json_t *body, struct refusal *r)
{
    AUTO_JSON json_t *out = json_object(), *metadata = json_object();
    AUTO_JSON json_t *empty = body ? NULL : json_object();
    struct v v = v_object(r, body ? body : empty, "");
    json_put_str(out, "name", v_str(&v, "name", V_REQUIRED, 1, 256));
    put_text(out, &v, "description", 2048);
    AUTO_JSON json_t *model = agent_fields_model(&v, "model", V_REQUIRED);
    put_text(out, &v, "system", 100000);
    agent_fields_unbuilt(&v);
    v_not_null(&v, "tools");
    v_not_null(&v, "metadata");
    AUTO_JSON json_t *tools = v_failed(&v) ? NULL : agent_fields_tools(&v, "tools");
    AUTO_JSON json_t *identity = agent_fields_identity(&v, "execution_identity");
    const json_t *patch = v_metadata(&v, "metadata");
    (void)v_any(&v, "tools", V_NULLABLE); /* asked for even when an earlier field was wrong */
    v_end(&v);
    if (v_failed(&v) || metadata_merge(metadata, patch, false, r) < 0)
        return NULL;
    json_put(out, "model", TAKE(model));
    json_put(out, "tools", TAKE(tools));
    json_put(out, "mcp_servers", json_array());
    json_put(out, "skills", json_array());
    json_put_null(out, "multiagent");
    json_put(out, "metadata", TAKE(metadata));
    json_put(out, "execution_identity", TAKE(identity));
    return TAKE(out);
}

json_t *agent_fields_update(const json_t *body, int64_t *ret_version, struct refusal *r)
{
    AUTO_JSON json_t *out = json_object();
    AUTO_JSON json_t *empty = body ? NULL : json_object();
    struct v v = v_object(r, body ? body : empty, "");
    int64_t version = v_int(&v, "version", V_OPTIONAL, 1, INT64_MAX, 0);
    const char *name = v_str(&v, "name", V_OPTIONAL, 1, 256);
    if (name)
        json_put_str(out, "name", name);
    if (v_has(&v, "description"))
        put_text(out, &v, "description", 2048);
    AUTO_JSON json_t *model = agent_fields_model(&v, "model", V_OPTIONAL);
    if (model)
        json_put(out, "model", TAKE(model));
    if (v_has(&v, "system"))
        put_text(out, &v, "system", 100000);
    agent_fields_unbuilt(&v);
    json_t *tools = !v_failed(&v) && v_has(&v, "tools") ? agent_fields_tools(&v, "tools") : NULL;
    if (tools)
        json_put(out, "tools", tools);
    json_t *identity =
        v_has(&v, "execution_identity") ? agent_fields_identity(&v, "execution_identity") : NULL;
    if (identity)
        json_put(out, "execution_identity", identity);
    const json_t *metadata = v_metadata(&v, "metadata");
    if (metadata)
        json_put(out, "metadata", json_incref((json_t *)(uintptr_t)metadata));
    static const char *const asked[] = {"description", "system", "tools", "execution_identity"};
    for (size_t i = 0; i < ARRAY_LEN(asked); i++)
        (void)v_any(&v, asked[i], V_NULLABLE);
    v_end(&v);
    if (v_failed(&v))
        return NULL;
    *ret_version = version;
    return TAKE(out);
}

json_t *agent_fields_apply(const json_t *current, const json_t *patch, struct refusal *r)
{
    AUTO_JSON json_t *out = json_deep_copy(current);
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)patch, key, value) {
        if (!strcmp(key, "metadata"))
            continue;
        json_t *copy = json_deep_copy(value);
        if (!strcmp(key, "model")) {
            const json_t *before = json_object_get(current, "model");
            json_t *effort = json_object_get(before, "effort");
            bool same = str_eq(json_get_str(before, "id"), json_get_str(copy, "id"));
            if (same && effort && !json_object_get(copy, "effort"))
                json_put(copy, "effort", json_deep_copy(effort));
        }
        json_put(out, key, copy);
    }
    json_t *metadata = json_object_get(out, "metadata");
    if (metadata_merge(metadata, json_object_get(patch, "metadata"), false, r) < 0)
        return NULL;
    return TAKE(out);
}
