/* forward_pins.c - pinned tools on the way: calls, lists, and streams that are told of a decision.
 *
 * Called on the fiber of a request of a route with pin_tools. What a call names has to be pinned and to have
 * been listed as it is pinned; lists are seen after the route's secrets were taken out, as the caller sees
 * them, so that none is ever in the file of pins. What was pinned at sight is on disk before the list goes
 * on: a gateway that falls in between would trust anew. A caller decides when lists are asked for, the
 * server what is in them; both are bounded in pins.c. */
#include "tunnel/gateway/forward_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/time.h"
#include "tunnel/gateway/pins_file.h"

#define CURSOR_MAX 4096 /* bytes; a list that goes on with a longer one stays unfinished */

METRIC_COUNTER(n_unseen, "sallyport_gateway_pin_refusals_total", "why=\"unseen\"",
               "Calls of tools that are not pinned as they are listed, by what is wrong")
METRIC_COUNTER(n_new, "sallyport_gateway_pin_refusals_total", "why=\"new\"",
               "Calls of tools that are not pinned as they are listed, by what is wrong")
METRIC_COUNTER(n_changed, "sallyport_gateway_pin_refusals_total", "why=\"changed\"",
               "Calls of tools that are not pinned as they are listed, by what is wrong")

/* ---- lists ---- */

void forward_pins_look(struct gateway_request *q, const json_t *message, const json_t *tools,
                       bool *keep)
{
    const json_t *id = json_object_get(message, "id");
    const char *next = json_get_str(json_object_get(message, "result"), "nextCursor");
    const bool fits = !next || strlen(next) <= CURSOR_MAX;
    const struct pin_sight s = {.route = q->route->host.text,
                                .mode = q->route->pins,
                                .asked = q->pin.alone && fits && id && json_equal(id, q->call.id),
                                .cursor = q->pin.cursor,
                                .next = next,
                                .now_us = time_real_us()};
    pins_look(q->f->o.pins, &s, tools, keep);
}

void forward_pins_ask(struct gateway_request *q)
{
    const struct mcp_entry *m = q->call.entries;
    if (q->route->pins == PIN_OFF || q->call.batch || q->call.n != 1 || !m->method || !m->id)
        return;
    const json_t *cursor = json_object_get(m->params, "cursor");
    if (str_eq(m->method, "tools/list") &&
        (!cursor || (json_is_string(cursor) && json_string_length(cursor) <= CURSOR_MAX))) {
        q->pin.alone = true;
        q->pin.cursor = cursor ? mem_strdup(json_string_value(cursor)) : NULL;
    }
    q->pin.subscribes = str_eq(m->method, "subscriptions/listen");
}

void forward_pins_begin(struct gateway_request *q)
{
    if (q->route->pins != PIN_OFF)
        q->pin.changes = q->f->o.pins->changes;
}

int forward_pins_keep(struct gateway_request *q, struct err *e)
{
    struct err why = {0};
    if (q->route->pins == PIN_OFF)
        return 0;
    int r = pins_file_keep(q->f->o.pins_file, &why);
    if (r == 0 || r == -ECANCELED)
        return r;
    log_error("pins cannot be kept; lists with new ones are not passed on", "why=%s",
              log_q(why.msg));
    return err_set(e, -EBUSY, "what was pinned cannot be kept: %s", why.msg);
}

void forward_pins_done(struct gateway_request *q)
{
    free(q->pin.cursor);
    q->pin.cursor = NULL;
}

/* ---- calls ---- */

static void say(struct judge_verdict *v, const char *tool, const char *route,
                enum pin_verdict verdict)
{
    AUTO(buf) shown = BUF_INIT(1024);
    str_escape(&shown, tool, strlen(tool), 64); /* judge_body has let only plain names through */
    const char *name = buf_str(&shown);
    v->code = MCP_CODE_REFUSED;
    if (verdict == PIN_UNSEEN) {
        metric_add(&n_unseen, 1);
        (void)snprintf(v->rule, sizeof(v->rule), "pin_tools: unseen");
        (void)snprintf(
            v->words, sizeof(v->words),
            "the tools of this route are pinned, and \"%s\" was not in a list that came through "
            "the gateway, or not in a form that can be pinned: ask for tools/list first",
            name);
        return;
    }
    metric_add(verdict == PIN_NEW ? &n_new : &n_changed, 1);
    (void)snprintf(v->rule, sizeof(v->rule), "pin_tools: %s",
                   verdict == PIN_NEW ? "new" : "changed");
    (void)snprintf(
        v->words, sizeof(v->words),
        verdict == PIN_NEW
            ? "the tools of this route are pinned, and nobody has accepted \"%s\"; an "
              "operator of the gateway can: sallyport gateway pins accept %.80s %s"
            : "the tools of this route are pinned, and the description or schema of \"%s\" "
              "is not the one that was accepted; an operator of the gateway can look and "
              "accept it: sallyport gateway pins accept %.80s %s",
        name, route, name);
}

int forward_pins_judge(const struct gateway_request *q, struct judge_verdict *v)
{
    const char *route = q->route->host.text;
    if (q->route->pins == PIN_OFF)
        return 0;
    for (size_t i = 0; i < q->call.n; i++) {
        const char *tool = forward_tool_used(&q->call.entries[i]);
        const enum pin_verdict verdict = tool ? pins_judge(q->f->o.pins, route, tool) : PIN_GOOD;
        if (verdict == PIN_GOOD)
            continue;
        v->entry = i;
        v->allowed = false;
        say(v, tool, route, verdict);
        return -E_DENIED;
    }
    return 0;
}

/* ---- streams ---- */

bool forward_pins_listens(const struct gateway_request *q)
{
    return q->route->pins != PIN_OFF && (http_text_eq(q->head.method, "GET") || q->pin.subscribes);
}

/* In 2026-07-28 only what the server has promised on this stream is sent, under its id. */
int forward_pins_event(struct gateway_request *q, struct buf *out)
{
    static const char method[] = "notifications/tools/list_changed";
    const uint64_t changes = q->f->o.pins->changes;
    if (q->pin.changes == changes)
        return 0;
    q->pin.changes = changes;
    if (q->pin.subscribes && !q->events.promises_tools)
        return 0;
    AUTO_JSON json_t *o = json_new_object();
    json_put_str(o, "jsonrpc", "2.0");
    json_put_str(o, "method", method);
    if (q->pin.subscribes) {
        json_t *meta = json_new_object(), *params = json_new_object();
        json_put(meta, "io.modelcontextprotocol/subscriptionId", json_deep_copy(q->call.id));
        json_put(params, "_meta", meta);
        json_put(o, "params", params);
    }
    (void)buf_adds(out, "event: message\ndata: ");
    (void)json_print(out, o);
    return buf_adds(out, "\n\n");
}
