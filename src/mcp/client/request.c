/* request.c - a request in the agreed era, and once more where that does no harm.
 *
 * Runs on the fiber that calls. An era adds to the parameters: 2026-07-28 carries version, name and
 * capabilities of the client in `_meta` of every request, since nothing is remembered between two. A
 * session that the server has forgotten (404, 2025: basic/transports) is opened anew and the request is
 * made again: the server has told that it did not take the first. Where no other session could be had,
 * every later request tries that before anything else. Nothing else is made twice here. */
#include "mcp/client/client_internal.h"

#include <string.h>

json_t *mcp_client_info(void)
{
    json_t *j = json_new_object();
    json_put_str(j, "name", "sallyport");
    json_put_str(j, "version", SALLYPORT_VERSION);
    return j;
}

json_t *mcp_capabilities(const struct mcp_client *c)
{
    json_t *j = json_new_object();
    if (!c->o.ask)
        return j;
    json_t *elicitation = json_new_object();
    json_put(elicitation, "form", json_new_object());
    json_put(j, "elicitation", elicitation);
    return j;
}

/* A copy of the parameters with what the era adds (new reference). */
static json_t *complete(const struct mcp_client *c, const struct mcp_ask_for *a, uint64_t id)
{
    json_t *params = a->params ? json_copy((json_t *)(uintptr_t)a->params) : json_new_object();
    const json_t *given = json_object_get(params, "_meta");
    json_t *meta = json_is_object(given) ? json_deep_copy(given) : json_new_object();
    if (c->wire == MCP_WIRE_MODERN) {
        json_put_str(meta, "io.modelcontextprotocol/protocolVersion", c->version);
        json_put(meta, "io.modelcontextprotocol/clientInfo", mcp_client_info());
        json_put(meta, "io.modelcontextprotocol/clientCapabilities", mcp_capabilities(c));
    }
    if (a->call)
        json_put_int(meta, "progressToken", (int64_t)id);
    if (json_object_size(meta) > 0)
        json_put(params, "_meta", json_incref(meta));
    json_decref(meta);
    return params;
}

static int make_once(struct mcp_client *c, const struct mcp_ask_for *a, json_t **ret,
                     struct mcp_failure *f)
{
    uint64_t id = ++c->last_id;
    AUTO_JSON json_t *params = complete(c, a, id);
    AUTO_JSON json_t *j = mcp_message_request(id, a->method, params);
    size_t n = 0;
    AUTO_FREE char *text = json_text(j, &n);
    const struct mcp_outgoing o = {.method = a->method,
                                   .name = a->name,
                                   .text = text,
                                   .len = n,
                                   .params = a->headers,
                                   .repeatable = a->repeatable};
    struct mcp_pending p;
    mcp_pending_begin(c, &p, id);
    p.call = a->call;
    int r = mcp_exchange(c, &p, &o, f);
    if (r == 0 && p.error)
        r = mcp_fail_rpc(f, 0, p.error);
    else if (r == 0)
        *ret = TAKE(p.result);
    mcp_pending_end(&p);
    return r;
}

int mcp_request_make(struct mcp_client *c, const struct mcp_ask_for *a, json_t **ret,
                     struct mcp_failure *f)
{
    if (c->wire == MCP_WIRE_SSE && c->ended)
        return mcp_fail(f, c->ended_by.source ? c->ended_by.source : MCP_CLOSED, -E_CLOSED, "%s",
                        c->ended_by.err.msg[0] ? c->ended_by.err.msg
                                               : "the server ended its stream");
    bool opening = str_eq(a->method, "initialize");
    int r = c->lost && !opening ? mcp_era_reopen(c, c->generation, f) : 0;
    if (r < 0)
        return r;
    unsigned generation = c->generation;
    r = make_once(c, a, ret, f);
    if (r != -E_CONFLICT || opening)
        return r;
    mcp_failure_done(f);
    if (c->generation == generation)
        c->lost = true;
    r = mcp_era_reopen(c, generation, f);
    if (r < 0)
        return r;
    return make_once(c, a, ret, f);
}

int mcp_client_request(struct mcp_client *c, const char *method, const json_t *params, json_t **ret,
                       struct mcp_failure *f)
{
    AUTO_JSON json_t *result = NULL;
    const char *name = NULL;
    if (str_eq(method, "resources/read"))
        name = json_get_str(params, "uri");
    else if (str_eq(method, "prompts/get") || str_eq(method, "tools/call"))
        name = json_get_str(params, "name");
    int r =
        mcp_request_make(c, &(struct mcp_ask_for){.method = method, .params = params, .name = name},
                         &result, f);
    if (r < 0)
        return r;
    const json_t *type = json_object_get(result, "resultType");
    if (c->wire == MCP_WIRE_MODERN && type && !str_eq(json_string_value(type), "complete"))
        return mcp_fail(f, MCP_INPUT, -E_PROTO, "the server's result is not complete");
    *ret = TAKE(result);
    return 0;
}
