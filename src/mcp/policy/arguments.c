/* arguments.c - rules about the arguments of a call.
 *
 * Read from an operator's file; checked for each call, whose arguments a caller controls. What a rule names
 * has to be there unless it says otherwise, because what is left out gets the server's default, which may be
 * everything. A member that differs from a named one by case alone is refused: some servers would take it
 * for that one. Arguments that no rule names pass. Rules for a tool are found by its name without regard to
 * case, as those of `deny`; all that fit have to be met. */
#include "mcp/policy/arguments.h"

#include <string.h>

#include "base/str.h"
#include "mcp/policy/pattern.h"
#include "mcp/wire/body.h"

static int read_tool(const struct place *at, struct argument_rules *rules)
{
    const char *key;
    json_t *v;
    if (!json_is_object(at->value) || json_object_size(at->value) == 0)
        return place_fail(at, "arguments with their schemas are expected, as in {project: {enum: "
                              "[ACME]}}");
    if (json_object_size(at->value) > ARGUMENT_RULES_MAX)
        return place_fail(at, "at most %d arguments are allowed", ARGUMENT_RULES_MAX);
    rules->items = mem_array(json_object_size(at->value), sizeof(*rules->items));
    /* jansson's iteration only reads; its prototype predates const. */
    json_object_foreach ((json_t *)(uintptr_t)at->value, key, v) {
        struct place one = place_member(at, key);
        const bool optional = str_ends(key, "?");
        struct argument_rule *rule = &rules->items[rules->n++];
        *rule = (struct argument_rule){.optional = optional};
        rule->name = optional ? mem_strndup(key, strlen(key) - 1) : mem_strdup(key);
        int r = schema_read(&one, &rule->schema);
        if (r < 0)
            return r;
    }
    return 0;
}

int argument_policy_read(const struct place *at, struct argument_policy *ret)
{
    const char *key;
    json_t *v;
    if (!at->value)
        return 0;
    if (!json_is_object(at->value) || json_object_size(at->value) == 0)
        return place_fail(at, "tools with their arguments are expected, as in {get_ticket: "
                              "{project: {enum: [ACME]}}}");
    if (json_object_size(at->value) > ARGUMENT_RULES_MAX)
        return place_fail(at, "at most %d tools are allowed", ARGUMENT_RULES_MAX);
    ret->tools = mem_array(json_object_size(at->value), sizeof(*ret->tools));
    /* jansson's iteration only reads; its prototype predates const. */
    json_object_foreach ((json_t *)(uintptr_t)at->value, key, v) {
        struct place one = place_member(at, key);
        struct argument_rules *rules = &ret->tools[ret->n++];
        *rules = (struct argument_rules){.tool = key};
        int r = tool_pattern_is_one(key) ? read_tool(&one, rules)
                                         : place_fail(&one, TOOL_PATTERN_WORDS);
        if (r < 0)
            return r;
    }
    return 0;
}

void argument_policy_done(struct argument_policy *p)
{
    for (size_t i = 0; p && i < p->n; i++) {
        for (size_t k = 0; k < p->tools[i].n; k++) {
            schema_free(p->tools[i].items[k].schema);
            free((void *)(uintptr_t)p->tools[i].items[k].name);
        }
        free(p->tools[i].items);
    }
    if (!p)
        return;
    free(p->tools);
    *p = (struct argument_policy){.n = 0};
}

static bool has_look_alike(const json_t *arguments, const char *name)
{
    const char *key;
    json_t *v;
    /* jansson's iteration only reads; its prototype predates const. */
    json_object_foreach ((json_t *)(uintptr_t)arguments, key, v)
        if (!str_eq(key, name) && mcp_name_folds(key, name))
            return true;
    return false;
}

static bool meets_rule(const struct argument_rule *rule, const json_t *arguments,
                       struct schema_budget *budget, struct argument_fault *f)
{
    struct schema_fault inside = {.path = ""};
    const json_t *v = json_object_get(arguments, rule->name);
    f->name = rule->name;
    f->path[0] = '\0';
    f->keyword = "in another spelling";
    if (has_look_alike(arguments, rule->name))
        return false;
    f->keyword = "required";
    if (!v)
        return rule->optional;
    if (schema_meets(rule->schema, v, budget, &inside))
        return true;
    f->keyword = inside.keyword;
    memcpy(f->path, inside.path, sizeof(f->path));
    return false;
}

bool argument_policy_meets(const struct argument_policy *p, const char *tool,
                           const json_t *arguments, struct schema_budget *budget,
                           struct argument_fault *ret)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct argument_rules *rules = &p->tools[i];
        if (!tool_pattern_matches(rules->tool, tool, true))
            continue;
        ret->tool = rules->tool;
        for (size_t k = 0; k < rules->n; k++)
            if (!meets_rule(&rules->items[k], arguments, budget, ret))
                return false;
    }
    return true;
}
