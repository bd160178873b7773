/* mcp_look.c - does a server speak MCP, of which era, and how many tools has it.
 *
 * On the doctor's fiber. Each question has a connection of its own, made as a call's (reach). The newer era
 * is asked first (2026-07-28: server/discover, every request complete in itself); a server of the older one
 * says in its own way that it does not know that, and is asked to initialize; the session that this opens is
 * ended with DELETE. What is asked changes nothing at a server that keeps to the specification, and calls no
 * tool. What it answers is a stranger's: bounded, and shown escaped. */
#include "tunnel/gateway/mcp_look.h"

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "tunnel/gateway/question.h"

#include <stdio.h>
#include <string.h>

#define LOOK_MS    20000
#define VALUES_MAX 200000
#define MODERN     "2026-07-28"
#define LEGACY     "2025-11-25"
#define META                                                                                       \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"" MODERN "\","                       \
    "\"io.modelcontextprotocol/clientInfo\":{\"name\":\"sallyport-doctor\",\"version\":\"1\"},"    \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}"

static const char discover[] =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server/discover\",\"params\":{" META "}}";
static const char list_modern[] =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{" META "}}";
static const char initialize[] =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
    "\"" LEGACY "\","
    "\"capabilities\":{},\"clientInfo\":{\"name\":\"sallyport-doctor\",\"version\":\"1\"}}}";
static const char initialized[] = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";
static const char list_legacy[] =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{}}";

struct look {
    const struct reach_how *how;
    const struct gateway_upstream *up;
    const char *path;
    char version[MCP_LOOK_TEXT];    /* to be said; "" : none */
    char session[ANSWER_VALUE_MAX]; /* likewise */
    int64_t took_us;                /* of the last question */
};

/* The answer to our request is among what a server may send: its id tells. */
static json_t *message_in(const char *text, size_t n)
{
    struct err ignored = {0};
    json_t *j;
    if (json_parse_few(text, n, VALUES_MAX, &j, &ignored) < 0)
        return NULL;
    if (json_get_int(j, "id", 0) == 1 &&
        (json_object_get(j, "result") || json_object_get(j, "error")))
        return j;
    json_decref(j);
    return NULL;
}

static bool is_ours(const char *data, size_t n)
{
    AUTO_JSON json_t *j = message_in(data, n);
    return j != NULL;
}

static void add(struct http_field *list, size_t *n, const char *name, const char *value)
{
    if (value[0])
        list[(*n)++] =
            (struct http_field){.name = http_text_of(name), .value = http_text_of(value)};
}

/* One request. *ret (NULL when the answer is no message of JSON-RPC) is a new reference. */
static int ask(struct look *l, const char *http_method, const char *method, const char *body,
               int *ret_status, json_t **ret, struct err *e)
{
    struct stream s;
    struct reach_seen seen;
    enum http_version version;
    struct http_field fields[6];
    size_t n = 0;
    char authority[HOST_TEXT_MAX + 8] = "localhost";
    if (l->up->scheme == GATEWAY_HTTP || l->up->scheme == GATEWAY_HTTPS)
        (void)snprintf(authority, sizeof(authority), "%s:%u", l->up->host.text, l->up->port);
    if (body)
        add(fields, &n, "content-type", "application/json");
    add(fields, &n, "accept", "application/json, text/event-stream");
    add(fields, &n, "mcp-protocol-version", l->version);
    add(fields, &n, "mcp-session-id", l->session);
    if (str_eq(l->version, MODERN))
        add(fields, &n, "mcp-method", method);
    const struct question q = {.method = http_method,
                               .path = l->path,
                               .authority = authority,
                               .tls = l->up->scheme == GATEWAY_HTTPS,
                               .fields = fields,
                               .n_fields = n,
                               .body = body};
    AUTO(answer) a = {.status = 0};
    *ret = NULL;
    *ret_status = 0;
    int64_t began_ns = time_mono_ns();
    int r = gateway_reach(l->how, l->up, &s, &version, &seen, e);
    if (r == 0)
        r = question_ask(version, &s, &q, is_ours, &a, e);
    l->took_us = (time_mono_ns() - began_ns) / 1000;
    if (r < 0)
        return r;
    *ret_status = a.status;
    if (l->up->stdio && a.status >= 500) { /* the bridge's own words (stdio_answer) */
        AUTO(buf) words = BUF_INIT(1024);
        str_escape(&words, buf_str(&a.body), a.body.len, 200);
        return err_set(e, -EIO, "%s", buf_str(&words));
    }
    *ret = message_in(buf_str(&a.body), a.body.len);
    if (a.session[0] && str_eq(method, "initialize"))
        memcpy(l->session, a.session, sizeof(l->session));
    return 0;
}

/* A text of the server's, printable and cut. */
static void take_text(const json_t *o, const char *key, char ret[MCP_LOOK_TEXT])
{
    const char *text = json_get_str(o, key);
    AUTO(buf) b = BUF_INIT(1024);
    if (text)
        str_escape(&b, text, strlen(text), MCP_LOOK_TEXT / 4 - 4);
    (void)str_copy(ret, MCP_LOOK_TEXT, buf_str(&b));
}

static void take_tools(struct look *l, const char *body, struct mcp_seen *ret)
{
    AUTO_JSON json_t *j = NULL;
    struct err ignored = {0};
    int status;
    if (ask(l, "POST", "tools/list", body, &status, &j, &ignored) < 0)
        return;
    const json_t *result = json_object_get(j, "result"), *tools = json_object_get(result, "tools");
    if (!json_is_array(tools))
        return;
    ret->tools = (int64_t)json_array_size(tools);
    ret->names = json_array();
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const char *name = json_get_str(json_array_get(tools, i), "name");
        if (name)
            (void)json_array_append_new(ret->names, json_string(name));
    }
    ret->more_tools = json_get_str(result, "nextCursor") != NULL;
}

/* 1: it answers, 0: it does not. */
static int look_modern(struct look *l, struct mcp_seen *ret, struct err *e)
{
    AUTO_JSON json_t *j = NULL;
    l->session[0] = '\0';
    (void)str_copy(l->version, sizeof(l->version), MODERN);
    int r = ask(l, "POST", "server/discover", discover, &ret->status, &j, e);
    const json_t *result = json_object_get(j, "result"), *meta = json_object_get(result, "_meta");
    if (r < 0 || !json_is_object(result))
        return r;
    ret->speaks = ret->modern = true;
    ret->took_us = l->took_us;
    (void)str_copy(ret->version, sizeof(ret->version), MODERN);
    const json_t *info = json_object_get(meta, "io.modelcontextprotocol/serverInfo");
    take_text(info ? info : json_object_get(result, "serverInfo"), "name", ret->name);
    take_tools(l, list_modern, ret);
    return 1;
}

static int look_legacy(struct look *l, struct mcp_seen *ret, struct err *e)
{
    AUTO_JSON json_t *j = NULL, *none = NULL, *bye = NULL;
    struct err ignored = {0};
    int status;
    l->version[0] = l->session[0] = '\0';
    int r = ask(l, "POST", "initialize", initialize, &ret->status, &j, e);
    const json_t *result = json_object_get(j, "result");
    if (r < 0 || !json_is_object(result))
        return r;
    ret->speaks = true;
    ret->took_us = l->took_us;
    take_text(result, "protocolVersion", ret->version);
    take_text(json_object_get(result, "serverInfo"), "name", ret->name);
    memcpy(l->version, ret->version, sizeof(l->version));
    (void)ask(l, "POST", "notifications/initialized", initialized, &status, &none, &ignored);
    take_tools(l, list_legacy, ret);
    if (l->session[0])
        (void)ask(l, "DELETE", "", NULL, &status, &bye, &ignored);
    return 1;
}

int mcp_look(const struct reach_how *how, const struct gateway_upstream *up, struct mcp_seen *ret,
             struct err *e)
{
    static const char *const paths[] = {"/mcp", "/"};
    AUTO(fiber_deadline) limit = fiber_deadline_push_ms(LOOK_MS);
    int r = 0;
    for (size_t i = 0; i < ARRAY_LEN(paths) && r == 0; i++) {
        struct look l = {.how = how, .up = up, .path = paths[i]};
        *ret = (struct mcp_seen){.path = paths[i], .tools = -1};
        r = look_modern(&l, ret, e);
        if (r == 0 && ret->status != 401 && ret->status != 403)
            r = look_legacy(&l, ret, e);
        if (ret->status != 404 && ret->status != 405)
            break;
    }
    return r < 0 ? r : 0;
}
