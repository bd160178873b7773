/* answer.c - the blocks of an answer as events.
 *
 * Called by step.c within step_end_tx, on the store's writer thread. What a model says is
 * untrusted: names and inputs are checked here, by size, by depth and against the agent's tools.
 * Every call becomes an event and a row of `calls`, also one that cannot be run: it is denied, with
 * the words that the model will be told, so that the conversation can be sent back. */
#include "brain/answer.h"

#include "base/str.h"
#include "brain/permissions.h"
#include "brain/tools.h"

#include <string.h>

#define NO_CLOUD_TEXT                                                                              \
    "This server runs no sandboxes itself: tools run on the workers of self_hosted environments, " \
    "and this session's "                                                                          \
    "environment is not self_hosted."
#define BAD_INPUT_TEXT "The input of this call could not be used: it is nested too deeply."

static int write_text(struct tx *tx, struct log_session *s, struct log_batch *b, const char *id,
                      const char *text)
{
    if (!text || !*text)
        return 0;
    json_t *content = json_array(), *block = json_typed("text"), *body = json_new_object();
    MUST(content);
    json_put_str(block, "text", text);
    json_array_append_new(content, block);
    json_put(body, "content", content);
    return log_append_tx(tx, s, b, "agent.message", id, body, NULL, NULL);
}

/* True when the event's text can be read back under our own depth limit. */
static bool storable(const json_t *body)
{
    size_t n;
    AUTO_FREE char *text = json_text(body, &n);
    AUTO_JSON json_t *back = NULL;
    int r = json_parse(text, n, &back, NULL);
    MUST(r != -ENOMEM); /* it would be called the model's mistake */
    return r == 0;
}

static int write_call(struct tx *tx, struct log_session *s, struct log_batch *b,
                      const json_t *block, struct answer_calls *calls)
{
    const char *name = json_get_str(block, "name");
    char short_name[129]; /* names longer than the API allows are nobody's tool */
    str_copy(short_name, sizeof(short_name), name ? name : "");
    struct tool tool = tools_find(log_session_agent(s), short_name);
    bool custom = tool.kind == TOOL_CUSTOM;
    AUTO(permission) p = {.evaluated = "deny"};
    AUTO_FREE char *refusal = NULL;
    const char *fault = json_get_str(block, "fault");
    json_t *input = json_object_get(block, "input");
    json_t *body = json_new_object();
    json_put_str(body, "name", short_name);
    json_put(body, "input", json_is_object(input) ? json_incref(input) : json_new_object());
    if (!storable(body)) {
        json_put(body, "input", json_new_object());
        refusal = mem_strdup(BAD_INPUT_TEXT);
        custom = false;
    } else if (fault) {
        refusal = mem_strdup(fault);
        custom = false;
    } else if (custom) {
        p.evaluated = "allow";
    } else if (tool.kind != TOOL_BUILTIN) {
        refusal = tools_refusal(log_session_agent(s), short_name, tool.kind);
    } else if (!s->environment_self_hosted) {
        refusal = mem_strdup(NO_CLOUD_TEXT);
    } else {
        p = permission_evaluate(tool.policy, short_name);
    }
    if (!custom) {
        json_put_str(body, "evaluated_permission", p.evaluated);
        if (p.evaluation)
            json_put(body, "evaluation", json_incref(p.evaluation));
    }
    json_put_null(body, "session_thread_id");
    char id[64];
    int r = log_append_tx(tx, s, b, custom ? "agent.custom_tool_use" : "agent.tool_use", NULL, body,
                          NULL, id);
    if (r < 0)
        return r;
    calls->made++;
    calls->refused += str_eq(p.evaluated, "deny");
    return log_call_tx(tx, s, id, custom ? "custom" : "builtin", short_name, p.evaluated, refusal);
}

static const char *given_id(const struct model_answer *a, size_t index)
{
    return a->block_ids && index < ANSWER_BLOCKS_MAX && a->block_ids[index][0] ? a->block_ids[index]
                                                                               : NULL;
}

static int write_block(struct tx *tx, struct log_session *s, struct log_batch *b,
                       const struct model_answer *a, size_t index, const json_t *block,
                       struct answer_calls *calls)
{
    const char *type = json_get_str(block, "type");
    if (str_eq(type, "text"))
        return write_text(tx, s, b, given_id(a, index), json_get_str(block, "text"));
    if (str_eq(type, "thinking") || str_eq(type, "redacted_thinking"))
        return log_append_tx(tx, s, b, "agent.thinking", given_id(a, index), json_new_object(),
                             block, NULL); /* context.c knows what to send */
    if (str_eq(type, "tool_use"))
        return write_call(tx, s, b, block, calls);
    return 0; /* a kind of block we did not ask for */
}

int answer_write_tx(struct tx *tx, struct log_session *s, struct log_batch *b,
                    const struct model_answer *a, struct answer_calls *calls)
{
    size_t i;
    json_t *block;
    json_array_foreach (a->result->content, i, block) {
        int r = write_block(tx, s, b, a, i, block, calls);
        if (r < 0)
            return r;
    }
    return write_text(tx, s, b, given_id(a, i), a->partial_text);
}
