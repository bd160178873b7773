/* message.c - JSON-RPC 2.0 as the client reads and writes it.
 *
 * Pure; called on the fiber that reads a server's stream or sends a request. The text was parsed by
 * base/json (depth, number of values and duplicate keys are settled there); here it is decided what the
 * object is. A message that could be two things, such as a result with an error beside it, is none. Our
 * own ids are integers from 1; an answer under any other id answers nothing of ours and is left to the
 * caller to ignore. */
#include "mcp/client/message.h"
#include "base/err.h"
#include "base/str.h"

#include <string.h>

static bool is_id(const json_t *id)
{
    return json_is_integer(id) || json_is_string(id);
}

static int read_answer(const json_t *j, struct mcp_message *m, struct err *e)
{
    if (m->result && m->error)
        return err_set(e, -E_PARSE, "a response has both result and error");
    if (m->result && !json_is_object(m->result))
        return err_set(e, -E_PARSE, "result is no object");
    if (m->result && !is_id(m->json_id))
        return err_set(e, -E_PARSE, "a result has no id that is a string or an integer");
    if (m->error && (!json_is_integer(json_object_get(m->error, "code")) ||
                     !json_is_string(json_object_get(m->error, "message"))))
        return err_set(e, -E_PARSE, "error has no code (an integer) and message (a string)");
    /* A server that could not read the request has no id to answer under. */
    if (m->error && m->json_id && !is_id(m->json_id) && !json_is_null(m->json_id))
        return err_set(e, -E_PARSE, "the id of an error is neither string, integer nor null");
    (void)j;
    m->kind = m->result ? MCP_RESULT : MCP_ERROR;
    json_int_t id = json_is_integer(m->json_id) ? json_integer_value(m->json_id) : 0;
    m->id = id > 0 ? (uint64_t)id : 0;
    return 0;
}

int mcp_message_read(const json_t *j, struct mcp_message *ret, struct err *e)
{
    if (!json_is_object(j))
        return err_set(e, -E_PARSE, "a message is no JSON object");
    if (!str_eq(json_get_str(j, "jsonrpc"), "2.0"))
        return err_set(e, -E_PARSE, "jsonrpc is not \"2.0\"");
    struct mcp_message m = {
        .json_id = json_object_get(j, "id"),
        .method = json_get_str(j, "method"),
        .params = json_object_get(j, "params"),
        .result = json_object_get(j, "result"),
        .error = json_object_get(j, "error"),
    };
    const json_t *method = json_object_get(j, "method");
    int r = 0;
    if (!method && !m.result && !m.error)
        return err_set(e, -E_PARSE, "a message has neither method, result nor error");
    if (!method) {
        r = read_answer(j, &m, e);
    } else {
        if (!m.method || m.result || m.error)
            return err_set(e, -E_PARSE,
                           "method is no string, or a result or error stands beside it");
        if (m.params && !json_is_object(m.params) && !json_is_array(m.params))
            return err_set(e, -E_PARSE, "params is neither object nor array");
        if (m.json_id && !is_id(m.json_id))
            return err_set(e, -E_PARSE, "the id of a request is neither string nor integer");
        m.kind = m.json_id ? MCP_REQUEST : MCP_NOTIFICATION;
    }
    if (r == 0)
        *ret = m;
    return r;
}

json_t *mcp_message_request(uint64_t id, const char *method, json_t *params)
{
    json_t *j = json_new_object();
    json_put_str(j, "jsonrpc", "2.0");
    if (id)
        json_put_int(j, "id", (int64_t)id);
    json_put_str(j, "method", method);
    if (params)
        json_put(j, "params", json_incref(params));
    return j;
}

json_t *mcp_message_answer(const json_t *id, json_t *result, int code, const char *message)
{
    json_t *j = json_new_object();
    json_put_str(j, "jsonrpc", "2.0");
    json_put(j, "id", json_deep_copy(id));
    if (result) {
        json_put(j, "result", result);
        return j;
    }
    json_t *error = json_new_object();
    json_put_int(error, "code", code);
    json_put_str(error, "message", message);
    json_put(j, "error", error);
    return j;
}
