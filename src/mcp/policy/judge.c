/* judge.c - one verdict about one body.
 *
 * Called on the request's fiber before anything goes to the server. The caller controls the body, of which
 * mcp_body_read has made sure that it has one reading. Denied until it is allowed, in one place. What is
 * judged is a call of a tool; everything else passes, because the rules are about tools. A method that is
 * `tools/call` in another case is refused and not passed: a server that does not care would run it. Words
 * quote the tool's name, shortened and escaped, and nothing else of what the caller sent. */
#include "mcp/policy/judge.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"

#define NAME_MAX_BYTES 256

const char *judge_tool(const struct mcp_entry *m)
{
    return m->method && str_eq(m->method, "tools/call") ? json_get_str(m->params, "name") : NULL;
}

/* Whether it is one of the methods that name a task. */
static bool asks_about_task(const struct mcp_entry *m)
{
    static const char *const methods[] = {"tasks/get", "tasks/result", "tasks/update",
                                          "tasks/cancel"};
    for (size_t i = 0; m->method && i < ARRAY_LEN(methods); i++)
        if (str_eq(m->method, methods[i]))
            return true;
    return false;
}

const char *judge_task(const struct mcp_entry *m)
{
    const char *id = asks_about_task(m) ? json_get_str(m->params, "taskId") : NULL;
    return id && *id ? id : NULL;
}

static bool refuse(struct judge_verdict *v, int code, const char *rule, const char *words)
{
    v->code = code;
    (void)snprintf(v->rule, sizeof(v->rule), "%s", rule);
    (void)snprintf(v->words, sizeof(v->words), "%s", words);
    return false;
}

/* Spaces around a name, and characters that nobody sees, are how a name looks like another one. */
static bool is_plain(const char *name)
{
    const size_t n = strlen(name);
    if (n == 0 || n > NAME_MAX_BYTES || name[0] == ' ' || name[n - 1] == ' ')
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < ' ' || (unsigned char)name[i] > '~')
            return false;
    return true;
}

/* The schema is the operator's, and said; the value is not repeated. */
static bool judge_arguments(const struct tool_policy *p, const char *name, const json_t *arguments,
                            struct schema_budget *budget, struct judge_verdict *v)
{
    struct argument_fault f;
    if (arguments && !json_is_object(arguments))
        return refuse(v, MCP_CODE_PARAMS, "tools.arguments", "arguments is an object");
    if (argument_policy_meets(&p->arguments, name, arguments, budget, &f))
        return true;
    v->code = MCP_CODE_REFUSED;
    (void)snprintf(v->rule, sizeof(v->rule), "tools.arguments.%.60s.%.40s: %s", f.tool, f.name,
                   f.keyword);
    (void)snprintf(
        v->words, sizeof(v->words),
        "the gateway does not let anybody call this tool with such a value: the argument "
        "\"%.60s%s\" does not meet tools.arguments.%.60s (%s)",
        f.name, f.path, f.tool, f.keyword);
    return false;
}

static bool judge_call(const struct tool_policy *p, const struct mcp_entry *m,
                       struct schema_budget *budget, struct judge_verdict *v)
{
    AUTO(buf) shown = BUF_INIT(4 * NAME_MAX_BYTES + 16);
    const char *name = judge_tool(m), *rule, *pattern;
    if (!name)
        return refuse(v, MCP_CODE_PARAMS, "tools", "the call names no tool");
    if (!is_plain(name))
        return refuse(v, MCP_CODE_REFUSED, "tools",
                      "a tool's name has 1 to 256 characters of ASCII, and no space around it");
    if (tool_policy_allows(p, name, &rule, &pattern))
        return judge_arguments(p, name, json_object_get(m->params, "arguments"), budget, v);
    str_escape(&shown, name, strlen(name), 100);
    v->code = MCP_CODE_REFUSED;
    (void)snprintf(v->rule, sizeof(v->rule), pattern ? "%s: %s" : "%s", rule, pattern);
    (void)snprintf(v->words, sizeof(v->words),
                   pattern
                       ? "the gateway does not let anybody call the tool \"%s\" here: %s has "
                         "%s; an operator of the gateway can change that"
                       : "the gateway does not let anybody call the tool \"%s\" here: it is not "
                         "in %s; an operator of the gateway can change that",
                   buf_str(&shown), rule, pattern);
    return false;
}

static bool judge_entry(const struct tool_policy *p, const struct mcp_entry *m,
                        struct schema_budget *budget, struct judge_verdict *v)
{
    static const char *const exact[] = {"tools/call",   "tools/list",   "tasks/get", "tasks/result",
                                        "tasks/update", "tasks/cancel", "tasks/list"};
    if (!m->method)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(exact); i++)
        if (!str_eq(m->method, exact[i]) && str_ieq(m->method, exact[i]))
            return refuse(v, MCP_CODE_INVALID, "tools",
                          "the method is one about tools or tasks in another spelling");
    if (asks_about_task(m) && !judge_task(m))
        return refuse(v, MCP_CODE_PARAMS, "tasks", "the request names no task");
    return str_eq(m->method, "tools/call") ? judge_call(p, m, budget, v) : true;
}

void judge_body(const struct tool_policy *p, const struct mcp_body *b, struct judge_verdict *ret)
{
    struct schema_budget budget = SCHEMA_BUDGET; /* of a whole batch: its calls come at once */
    *ret = (struct judge_verdict){.allowed = false, .code = MCP_CODE_REFUSED};
    for (; ret->entry < b->n; ret->entry++)
        if (!judge_entry(p, &b->entries[ret->entry], &budget, ret))
            return;
    ret->entry = 0;
    ret->allowed = b->n > 0;
}
