/* stdio_answer.c - answers of HTTP that the bridge gives, in the forms of MCP's streamable HTTP.
 *
 * Called on the fiber of a connection. Everything in a head is ours; what a server wrote stands in bodies alone, so that
 * the header of a failure, which forward.c believes, cannot come from one. Bodies are one message of JSON, or events
 * with one message each, in one line. */
#include "tunnel/gateway/stdio_internal.h"

#include "base/str.h"

#include <string.h>

#define ERROR_BYTES 4096

static const char *const sources[] = {
    [STDIO_FINE] = "internal",     [STDIO_CONNECT] = "connect", [STDIO_CLOSED] = "upstream_closed",
    [STDIO_PROTOCOL] = "protocol", [STDIO_TIMEOUT] = "timeout", [STDIO_BUSY] = "busy",
};

static int send_all(struct http_pipe *p, struct http_head *h, const char *body, size_t n)
{
    int r = http_send_head(p, h);
    if (r == 0 && h->body == HTTP_BODY_LENGTH && n > 0)
        r = http_send_body(p, body, n, false);
    return r == 0 && h->body == HTTP_BODY_LENGTH ? http_send_end(p, NULL) : r;
}

static int add(struct http_head *h, const char *name, const char *value)
{
    return value ? http_head_add(h, http_text_of(name), http_text_of(value)) : 0;
}

int stdio_answer(struct http_pipe *p, int status, const char *type, const char *session,
                 const char *body, size_t n)
{
    struct http_head h;
    http_head_init(&h);
    h.status = status;
    h.body = HTTP_BODY_LENGTH;
    h.has_length = true;
    h.length = n;
    int r = add(&h, "content-type", type);
    if (r == 0)
        r = add(&h, "mcp-session-id", session);
    if (r == 0 && status == 405)
        r = add(&h, "allow", "GET, POST, DELETE");
    if (r == 0)
        r = send_all(p, &h, body, n);
    http_head_done(&h);
    return r;
}

static json_t *error_json(const json_t *id, int code, const char *words, json_t *steals_data)
{
    json_t *o = json_new_object(), *error = json_new_object();
    json_put_int(error, "code", code);
    json_put_str(error, "message", words);
    if (steals_data)
        json_put(error, "data", steals_data);
    json_put_str(o, "jsonrpc", "2.0");
    json_put(o, "id", id ? json_deep_copy(id) : json_null());
    json_put(o, "error", error);
    return o;
}

int stdio_answer_error(struct http_pipe *p, int status, const json_t *id, int code,
                       const char *words, json_t *steals_data)
{
    AUTO_JSON json_t *o = error_json(id, code, words, steals_data);
    size_t n;
    AUTO_FREE char *text = json_text(o, &n);
    return stdio_answer(p, status, "application/json", NULL, text, n);
}

int stdio_answer_failure(struct http_pipe *p, enum stdio_source source, const char *words)
{
    struct http_head h;
    http_head_init(&h);
    h.status = source == STDIO_TIMEOUT ? 504 : source == STDIO_BUSY ? 503 : 502;
    h.body = HTTP_BODY_LENGTH;
    h.has_length = true;
    h.length = strlen(words);
    int r = add(&h, "content-type", "text/plain");
    if (r == 0)
        r = add(&h, STDIO_FAILURE_HEADER, sources[source]);
    if (r == 0)
        r = send_all(p, &h, words, strlen(words));
    http_head_done(&h);
    return r;
}

int stdio_begin_events(struct http_pipe *p, const char *session)
{
    struct http_head h;
    http_head_init(&h);
    h.status = 200;
    h.body = HTTP_BODY_STREAM;
    int r = add(&h, "content-type", "text/event-stream");
    if (r == 0)
        r = add(&h, "cache-control", "no-cache, no-transform");
    if (r == 0)
        r = add(&h, "x-accel-buffering", "no");
    if (r == 0)
        r = add(&h, "mcp-session-id", session);
    if (r == 0)
        r = http_send_head(p, &h);
    if (r == 0)
        r = http_flush(p);
    http_head_done(&h);
    return r;
}

int stdio_send_event(struct http_pipe *p, const char *text, size_t n)
{
    static const char before[] = "event: message\ndata: ", after[] = "\n\n";
    int r = http_send_body(p, before, sizeof(before) - 1, true);
    if (r == 0)
        r = http_send_body(p, text, n, true);
    return r == 0 ? http_send_body(p, after, sizeof(after) - 1, false) : r;
}

int stdio_send_failure(struct http_pipe *p, const char *route, const json_t *id,
                       enum stdio_source source, const char *words)
{
    json_t *data = json_new_object(), *failure = json_new_object();
    json_put_str(failure, "source", sources[source]);
    json_put_str(failure, "route", route);
    json_put(data, "gateway_failure", failure);
    AUTO_JSON json_t *o = error_json(id, -32000, words, data);
    size_t n;
    AUTO_FREE char *text = json_text(o, &n);
    int r = stdio_send_event(p, text, n);
    return r == 0 ? http_send_end(p, NULL) : r;
}
