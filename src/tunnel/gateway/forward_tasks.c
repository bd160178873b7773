/* forward_tasks.c - tasks on the way: what makes one, and what is asked of one later.
 *
 * Called on the fiber of a request of a route with rules. A server answers a call with a task (2025-11-25:
 * result.task; SEP-2663: a result whose resultType is task), and its result is fetched later by whoever knows
 * the id. So the id is remembered with its caller, its tool and the server that has made it (tasks.h); what names it
 * then is judged as the call was, goes to the same server, and is nobody else's where callers show certificates. A
 * task may always be cancelled by its own caller, whatever became of its tool. The list of all tasks has those of
 * others in it, and is refused to callers with certificates. A request that is cut off is only that: nothing here
 * cancels a task. */
#include "tunnel/gateway/forward_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"

#define OWN_TOOL "taskTool" /* of params, after forward_audit_shrink */

static bool cancels(const struct mcp_entry *m)
{
    return str_eq(m->method, "tasks/cancel");
}

static const struct task *known(const struct gateway_request *q, const char *id)
{
    return tasks_get(&q->f->tasks, q->route->host.text, id, time_mono_ns());
}

/* ---- what is asked of one ---- */

static int no(struct judge_verdict *v, int code, const char *rule, const char *words)
{
    v->allowed = false;
    v->code = code;
    (void)str_copy(v->rule, sizeof(v->rule), rule);
    (void)str_copy(v->words, sizeof(v->words), words);
    return -E_DENIED;
}

static int judge_one(struct gateway_request *q, const struct mcp_entry *m, struct judge_verdict *v)
{
    const char *id = judge_task(m), *rule, *pattern;
    if (q->who_id[0] && m->method && str_eq(m->method, "tasks/list"))
        return no(v, MCP_CODE_REFUSED, "tasks: list",
                  "a list of tasks has those of other callers in it; ask for each by its id");
    const struct task *k = id ? known(q, id) : NULL;
    if (!k)
        return 0;
    if (!task_is_of(k, q->route->host.text, q->who_id))
        return no(v, MCP_CODE_PARAMS, "tasks", "no task of this id is known");
    k = tasks_use(&q->f->tasks, q->route->host.text, id, time_mono_ns());
    (void)str_copy(q->sticky, sizeof(q->sticky), k->upstream);
    if (cancels(m) || tool_policy_allows(q->route->tools, k->tool, &rule, &pattern))
        return 0;
    (void)no(v, MCP_CODE_REFUSED, "", "");
    (void)snprintf(v->rule, sizeof(v->rule), pattern ? "%s: %s" : "%s", rule, pattern);
    (void)snprintf(v->words, sizeof(v->words),
                   "the gateway does not let anybody call the tool \"%.100s\" here, which has made "
                   "this task: %s; an operator of the gateway can change that",
                   k->tool, v->rule);
    return -E_DENIED;
}

int forward_tasks_judge(struct gateway_request *q, struct judge_verdict *v)
{
    for (size_t i = 0; i < q->call.n; i++) {
        int r = judge_one(q, &q->call.entries[i], v);
        v->entry = r < 0 ? i : v->entry;
        if (r < 0)
            return r;
    }
    return 0;
}

json_t *forward_tasks_note(const struct gateway_request *q, const struct mcp_entry *m)
{
    const char *id = judge_task(m);
    const struct task *k = id ? known(q, id) : NULL;
    return k ? json_string(k->tool) : NULL;
}

void forward_tasks_keep(const struct mcp_entry *m, json_t *tool)
{
    (void)json_object_set_new((json_t *)(uintptr_t)m->params, OWN_TOOL, tool);
}

const char *forward_tool_of(const struct mcp_entry *m)
{
    const char *tool = judge_tool(m);
    return tool ? tool : judge_task(m) ? json_get_str(m->params, OWN_TOOL) : NULL;
}

const char *forward_tool_used(const struct mcp_entry *m)
{
    return m->method && cancels(m) ? NULL : forward_tool_of(m);
}

/* ---- what makes one ---- */

/* The task that a result is, or NULL. */
static const json_t *made(const json_t *result)
{
    const json_t *nested = json_object_get(result, "task");
    const char *type = json_get_str(result, "resultType");
    if (json_get_str(nested, "taskId"))
        return nested;
    return type && str_eq(type, "task") && json_get_str(result, "taskId") ? result : NULL;
}

static int64_t ttl_of(const json_t *task)
{
    const json_t *ttl = json_object_get(task, "ttlMs");
    ttl = ttl ? ttl : json_object_get(task, "ttl");
    const double ms = json_is_number(ttl) ? json_number_value(ttl) : -1;
    return ms < 0 ? -1 : ms > (double)TASK_TTL_MOST ? TASK_TTL_MOST : (int64_t)ms;
}

void forward_tasks_learn(struct gateway_request *q, const json_t *message)
{
    const json_t *task = made(json_object_get(message, "result"));
    const json_t *id = json_object_get(message, "id");
    for (size_t i = 0; task && i < q->call.n; i++) {
        const struct mcp_entry *m = &q->call.entries[i];
        const char *tool = judge_tool(m);
        if (!tool || !m->id || !id || !json_equal(id, m->id))
            continue;
        const struct task_made x = {.route = q->route->host.text,
                                    .id = json_get_str(task, "taskId"),
                                    .who = q->who_id,
                                    .tool = tool,
                                    .upstream = q->peer,
                                    .ttl_ms = ttl_of(task)};
        if (tasks_put(&q->f->tasks, &x, time_mono_ns()) && strlen(x.id) <= MCP_NAME_KEPT_MAX)
            (void)json_object_set_new((json_t *)(uintptr_t)m->params, "taskId",
                                      json_string(x.id)); /* for the record */
        return;
    }
}
