/* tools.c - the agent's tools.
 *
 * Called by context (what the model is offered) and step (what a call means), on loop and store
 * threads; pure. The agent snapshot was validated when the agent was made; anything of an
 * unexpected shape counts as absent, so that a tool is never offered or run by accident. Names and
 * input shapes are api.md sections 2 and 13; the descriptions are ours.
 *
 * web_fetch and web_search may be enabled in a toolset (they are part of the default), but this
 * server has not built them: they are not offered, and a model that calls one anyway is told so. */
#include "brain/tools.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct builtin {
    const char *name, *description, *schema;
};

static const struct builtin builtins[] = {
    {"bash",
     "Runs a command in a persistent bash session inside the sandbox and returns what it printed. "
     "Directory, variables and "
     "background jobs stay from call to call. A non-zero exit status is reported as an error. Long "
     "output keeps its end. "
     "Set restart to true to start a fresh shell when the old one hangs; command may then be left "
     "out.",
     "{\"type\":\"object\",\"properties\":{"
     "\"command\":{\"type\":\"string\",\"description\":\"The command line to run.\"},"
     "\"restart\":{\"type\":\"boolean\",\"description\":\"Ends the shell and starts a new one "
     "first.\"},"
     "\"timeout_ms\":{\"type\":\"integer\",\"minimum\":1,\"description\":\"Ends the command after "
     "this many milliseconds.\"}}}"},
    {"read",
     "Returns the text of a file. With view_range [first, last], only those lines, counted from 1; "
     "last may be -1 for the "
     "end of the file.",
     "{\"type\":\"object\",\"properties\":{"
     "\"file_path\":{\"type\":\"string\",\"description\":\"Path of the file.\"},"
     "\"view_range\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":2,"
     "\"maxItems\":2,"
     "\"description\":\"First and last line, counted from 1.\"}},"
     "\"required\":[\"file_path\"]}"},
    {"write", "Writes a file, making missing directories; a file that exists is replaced.",
     "{\"type\":\"object\",\"properties\":{"
     "\"file_path\":{\"type\":\"string\",\"description\":\"Path of the file.\"},"
     "\"content\":{\"type\":\"string\",\"description\":\"The whole new content.\"}},"
     "\"required\":[\"file_path\",\"content\"]}"},
    {"edit",
     "Replaces text in a file. old_string must occur exactly once, character for character, unless "
     "replace_all is true.",
     "{\"type\":\"object\",\"properties\":{"
     "\"file_path\":{\"type\":\"string\",\"description\":\"Path of the file.\"},"
     "\"old_string\":{\"type\":\"string\",\"description\":\"The text to replace.\"},"
     "\"new_string\":{\"type\":\"string\",\"description\":\"What to put in its place.\"},"
     "\"replace_all\":{\"type\":\"boolean\",\"description\":\"Replace every occurrence.\"}},"
     "\"required\":[\"file_path\",\"old_string\",\"new_string\"]}"},
    {"glob",
     "Lists files whose path matches a pattern with *, ?, [...] and ** (any number of "
     "directories), newest first.",
     "{\"type\":\"object\",\"properties\":{"
     "\"pattern\":{\"type\":\"string\",\"description\":\"The pattern.\"},"
     "\"path\":{\"type\":\"string\",\"description\":\"Directory to search; the working directory "
     "when left out.\"}},"
     "\"required\":[\"pattern\"]}"},
    {"grep",
     "Searches files for a regular expression (PCRE) and returns matching lines with file name and "
     "line number.",
     "{\"type\":\"object\",\"properties\":{"
     "\"pattern\":{\"type\":\"string\",\"description\":\"The regular expression.\"},"
     "\"path\":{\"type\":\"string\",\"description\":\"File or directory to search; the working "
     "directory when left out.\"}},"
     "\"required\":[\"pattern\"]}"},
};
static const char *const unbuilt[] = {"web_fetch", "web_search"};

static const struct builtin *find_builtin(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(builtins); i++)
        if (str_eq(builtins[i].name, name))
            return &builtins[i];
    return NULL;
}

static bool is_unbuilt(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(unbuilt); i++)
        if (str_eq(unbuilt[i], name))
            return true;
    return false;
}

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
    if (is_unbuilt(name))
        t.kind = TOOL_UNBUILT;
    else if (find_builtin(name) && str_copy(t.policy, sizeof(t.policy), policy))
        t.kind = TOOL_BUILTIN;
    return t;
}

static json_t *schema_of(const struct builtin *b)
{
    json_t *schema = NULL;
    MUST(json_parse(b->schema, __builtin_strlen(b->schema), &schema, NULL) == 0);
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
    for (size_t i = 0; i < ARRAY_LEN(builtins); i++)
        if (tools_find(agent, builtins[i].name).kind == TOOL_BUILTIN)
            add_tool(out, builtins[i].name, builtins[i].description, schema_of(&builtins[i]));
    size_t i;
    json_t *t;
    json_array_foreach (json_object_get(agent, "tools"), i, t) {
        json_t *schema = json_object_get(t, "input_schema");
        const char *name = json_get_str(t, "name");
        if (str_eq(json_get_str(t, "type"), "custom") && name && json_is_object(schema))
            add_tool(out, name, json_get_str(t, "description"), json_deep_copy(schema));
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
