/* tools.c - the tools of a server: their list, and a call of one.
 *
 * Runs on the fiber that calls. The list comes in pages, as many as the server likes up to a ceiling; a
 * page that names the page before it is an error, not a loop. What the server says of a tool is passed
 * on as it is, but a tool whose name or schema is none, whose name was there before, or whose
 * x-mcp-header breaks the rules is left out: it cannot be called in a way that has one reading. A list
 * is kept for as long as the server allows (ttlMs), up to an hour; the last one also says which
 * arguments become headers. A result may ask for input (2026-07-28, basic/patterns/mrtr): then the call
 * is made again with the answers, under another id, and with the server's state bit for bit. */
#include "base/log.h"
#include "base/time.h"
#include "mcp/client/client_internal.h"

#include <string.h>

#define NAME_BYTES 256
#define TTL_MAX_MS (3600 * 1000)
#define CURSOR_MAX 8192

/* ---- the list ---- */

struct listing {
    json_t *tools; /* an array */
    json_t *names; /* those that were there, as keys */
    size_t left_out;
    int64_t ttl_ms; /* the least of all pages */
    char *cursor;   /* NULL: no further page */
};

static const char *fault_of(const struct mcp_client *c, const struct listing *l, const json_t *tool,
                            struct err *e)
{
    const char *name = json_get_str(tool, "name");
    const json_t *schema = json_object_get(tool, "inputSchema");
    if (!name || !*name || strlen(name) > NAME_BYTES)
        return "it has no name of 1 to 256 bytes";
    if (json_object_get(l->names, name))
        return "its name is that of another tool";
    if (!json_is_object(schema))
        return "it has no inputSchema";
    if (c->wire == MCP_WIRE_MODERN && mcp_params_check(schema, e) < 0)
        return e->msg;
    return NULL;
}

static int take_page(struct mcp_client *c, struct listing *l, const json_t *page,
                     struct mcp_failure *f)
{
    const json_t *tools = json_object_get(page, "tools");
    if (!json_is_array(tools))
        return mcp_fail(f, MCP_PROTOCOL, -E_PROTO, "the list of tools is no array");
    if (json_array_size(l->tools) + l->left_out + json_array_size(tools) > c->limits.tools)
        return mcp_fail(f, MCP_LIMIT, -E_LIMIT, "the server has more than %zu tools",
                        c->limits.tools);
    for (size_t i = 0; i < json_array_size(tools); i++) {
        json_t *tool = json_array_get(tools, i);
        struct err e = {0};
        const char *fault = fault_of(c, l, tool, &e);
        if (fault) {
            l->left_out++;
            log_warn("a tool of an MCP server is left out", "tool=%s why=%s",
                     log_q(json_get_str(tool, "name")), log_q(fault));
            continue;
        }
        json_put_bool(l->names, json_get_str(tool, "name"), true);
        json_array_append(l->tools, tool);
    }
    int64_t ttl = json_get_int(page, "ttlMs", 0);
    if (l->ttl_ms < 0 || ttl < l->ttl_ms)
        l->ttl_ms = ttl < 0 ? 0 : ttl < TTL_MAX_MS ? ttl : TTL_MAX_MS;
    return 0;
}

static int next_cursor(struct listing *l, const json_t *page, struct mcp_failure *f)
{
    const json_t *next = json_object_get(page, "nextCursor");
    const char *text = json_string_value(next);
    bool same = text && str_eq(text, l->cursor);
    free(l->cursor);
    l->cursor = NULL;
    if (!text || !*text)
        return 0;
    if (same || json_string_length(next) > CURSOR_MAX)
        return mcp_fail(f, MCP_PROTOCOL, -E_PROTO,
                        "the server's list of tools does not end in a way that can be followed");
    l->cursor = mem_strdup(text);
    return 0;
}

static int list_page(struct mcp_client *c, struct listing *l, struct mcp_failure *f)
{
    AUTO_JSON json_t *params = json_new_object(), *page = NULL;
    if (l->cursor)
        json_put_str(params, "cursor", l->cursor);
    int r = mcp_request_make(
        c, &(struct mcp_ask_for){.method = "tools/list", .params = params, .repeatable = true},
        &page, f);
    if (r == 0)
        r = take_page(c, l, page, f);
    return r < 0 ? r : next_cursor(l, page, f);
}

static int list_all(struct mcp_client *c, struct listing *l, struct mcp_failure *f)
{
    for (size_t pages = 0; pages == 0 || l->cursor; pages++) {
        if (pages == c->limits.pages)
            return mcp_fail(f, MCP_LIMIT, -E_LIMIT,
                            "the server's list of tools has more than %zu pages", c->limits.pages);
        int r = list_page(c, l, f);
        if (r < 0 && pages == 0 && f->source == MCP_SERVER && f->rpc_code == -32601) {
            mcp_failure_done(f); /* a server without tools */
            return 0;
        }
        if (r < 0)
            return r;
    }
    return 0;
}

static int list_anew(struct mcp_client *c, struct mcp_failure *f)
{
    struct listing l = {.tools = json_array(), .names = json_new_object(), .ttl_ms = -1};
    int r = list_all(c, &l, f);
    if (r == 0) {
        json_decref(c->tools);
        c->tools = json_incref(l.tools);
        c->tools_left_out = l.left_out;
        c->tools_until_ns = time_mono_ns() +
                            (c->wire == MCP_WIRE_MODERN && l.ttl_ms > 0 ? l.ttl_ms : 0) * NS_PER_MS;
    }
    json_decref(l.tools);
    json_decref(l.names);
    free(l.cursor);
    return r;
}

int mcp_client_list_tools(struct mcp_client *c, json_t **ret, size_t *ret_left_out,
                          struct mcp_failure *f)
{
    if (!c->tools || time_mono_ns() >= c->tools_until_ns) {
        int r = list_anew(c, f);
        if (r < 0)
            return r;
    }
    *ret = json_incref(c->tools);
    if (ret_left_out)
        *ret_left_out = c->tools_left_out;
    return 0;
}

/* ---- a call ---- */

static const json_t *schema_of(const struct mcp_client *c, const char *name)
{
    for (size_t i = 0; i < json_array_size(c->tools); i++) {
        const json_t *tool = json_array_get(c->tools, i);
        if (str_eq(json_get_str(tool, "name"), name))
            return json_object_get(tool, "inputSchema");
    }
    return NULL;
}

static int call_once(struct mcp_client *c, const char *name, const json_t *params,
                     const struct mcp_call_options *o, json_t **ret, struct mcp_failure *f)
{
    AUTO(mcp_headers) headers = {0};
    const json_t *schema = c->wire == MCP_WIRE_MODERN ? schema_of(c, name) : NULL;
    if (schema) {
        int r = mcp_params_add(schema, json_object_get(params, "arguments"), &headers, &f->err);
        if (r < 0) {
            f->source = MCP_HERE;
            return r;
        }
    }
    return mcp_request_make(
        c,
        &(struct mcp_ask_for){
            .method = "tools/call", .params = params, .name = name, .headers = &headers, .call = o},
        ret, f);
}

/* The server says that our headers are not those of its schema (-32020), which so has changed: the call
 * was not made, and is made once more by the new one. */
static int call_checked(struct mcp_client *c, const char *name, const json_t *params,
                        const struct mcp_call_options *o, json_t **ret, struct mcp_failure *f)
{
    int r = c->wire == MCP_WIRE_MODERN && !c->tools ? list_anew(c, f) : 0;
    if (r == 0)
        r = call_once(c, name, params, o, ret, f);
    if (r == 0 || f->source != MCP_SERVER || f->rpc_code != -32020)
        return r;
    mcp_failure_done(f);
    r = list_anew(c, f);
    return r < 0 ? r : call_once(c, name, params, o, ret, f);
}

static int answer_inputs(struct mcp_client *c, const json_t *requests, json_t *answers,
                         struct mcp_failure *f)
{
    void *i;
    json_t *all = (json_t *)(uintptr_t)requests;
    if (json_object_size(requests) > MCP_ASKED_MAX)
        return mcp_fail(f, MCP_LIMIT, -E_LIMIT, "the server asks for more than %d inputs at once",
                        MCP_ASKED_MAX);
    for (i = json_object_iter(all); i; i = json_object_iter_next(all, i)) {
        const json_t *q = json_object_iter_value(i);
        const char *method = json_get_str(q, "method");
        json_t *one = NULL;
        if (!c->o.ask || !str_eq(method, "elicitation/create"))
            return mcp_fail(f, MCP_INPUT, -E_DENIED,
                            "the server asks for input (%s), which this client cannot give",
                            str_eq(method, "sampling/createMessage") ? "sampling"
                            : str_eq(method, "roots/list")           ? "roots"
                            : str_eq(method, "elicitation/create")   ? "elicitation"
                                                                     : "of an unknown kind");
        if (!mcp_ask_is_form(json_object_get(q, "params")))
            return mcp_fail(f, MCP_INPUT, -E_DENIED,
                            "the server asks for input in another way than by a form, which this "
                            "client cannot give");
        if (c->o.ask(c->o.ask_arg, method, json_object_get(q, "params"), &one) < 0)
            return mcp_fail(f, MCP_INPUT, -E_DENIED,
                            "the input that the server asks for was declined");
        json_put(answers, json_object_iter_key(i), one);
    }
    return 0;
}

/* Makes the parameters of the next round from a result that asks. */
static int next_round(struct mcp_client *c, const json_t *result, json_t *params,
                      struct mcp_failure *f)
{
    const json_t *requests = json_object_get(result, "inputRequests");
    json_t *state = json_object_get(result, "requestState");
    if ((requests && !json_is_object(requests)) || (state && !json_is_string(state)) ||
        (!requests && !state))
        return mcp_fail(f, MCP_PROTOCOL, -E_PROTO, "a result asks for input without saying which");
    json_object_del(params, "inputResponses");
    json_object_del(params, "requestState");
    if (state)
        json_put(params, "requestState", json_incref(state));
    if (!requests)
        return 0;
    AUTO_JSON json_t *answers = json_new_object();
    int r = answer_inputs(c, requests, answers, f);
    if (r == 0)
        json_put(params, "inputResponses", json_incref(answers));
    return r;
}

int mcp_client_call_tool(struct mcp_client *c, const char *name, const json_t *arguments,
                         const struct mcp_call_options *o, json_t **ret, struct mcp_failure *f)
{
    AUTO_JSON json_t *params = json_new_object();
    json_put_str(params, "name", name);
    json_put(params, "arguments", arguments ? json_deep_copy(arguments) : json_new_object());
    for (size_t round = 0; round < c->limits.rounds; round++) {
        AUTO_JSON json_t *result = NULL;
        int r = call_checked(c, name, params, o, &result, f);
        if (r < 0)
            return r;
        const json_t *type = json_object_get(result, "resultType");
        if (c->wire != MCP_WIRE_MODERN || !type || str_eq(json_string_value(type), "complete")) {
            *ret = TAKE(result);
            return 0;
        }
        if (!str_eq(json_string_value(type), "input_required"))
            return mcp_fail(f, MCP_PROTOCOL, -E_PROTO,
                            "the result is of a type this client does not know");
        r = next_round(c, result, params, f);
        if (r < 0)
            return r;
    }
    return mcp_fail(f, MCP_LIMIT, -E_LIMIT, "the server asks for input again and again");
}
