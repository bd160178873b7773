/* incoming.c - what a server says: answers, progress, and questions of its own.
 *
 * Called by the fiber that reads the stream on which the message came: that of one request, or the one
 * that listens for all. The server controls every byte: the text is parsed with ceilings, an answer
 * counts only for the request on whose stream it came (or, on a stream for all, for the request whose id
 * it names), and a second answer for none. A question is answered as a client answers that has declared
 * nothing but what its owner can do: `ping` is answered, `elicitation/create` goes to the owner, and
 * every other method does not exist. In the era of 2026-07-28 a server may ask nothing this way, so
 * questions are ignored. What is for nobody is counted, and too much of it ends the exchange. */
#include "base/time.h"
#include "mcp/client/client_internal.h"

#include <string.h>

static struct mcp_pending *find(struct mcp_client *c, struct mcp_pending *own, const json_t *id)
{
    json_int_t n = json_is_integer(id) ? json_integer_value(id) : 0;
    if (n <= 0)
        return NULL;
    if (own)
        return own->id == (uint64_t)n ? own : NULL;
    LIST_FOREACH (p, &c->pending, struct mcp_pending, node)
        if (p->id == (uint64_t)n)
            return p;
    return NULL;
}

/* Of the stream that is being read. A stream for all may live as long as the client: its numbers begin
 * anew after a while, but not with every stream, since the server says how many there are. */
static struct mcp_heard *heard_on(struct mcp_client *c, struct mcp_pending *own)
{
    if (own)
        return &own->heard;
    int64_t now = time_mono_ns();
    if (now - c->heard_ns > MCP_HEARD_MS * NS_PER_MS) {
        c->heard = (struct mcp_heard){0};
        c->heard_ns = now;
    }
    return &c->heard;
}

static int for_nobody(struct mcp_client *c, struct mcp_pending *own, struct mcp_failure *f)
{
    if (++heard_on(c, own)->foreign <= MCP_FOREIGN_MAX)
        return 0;
    return mcp_fail(f, MCP_PROTOCOL, -E_PROTO,
                    "the server keeps sending messages that are for nobody");
}

static int take_answer(struct mcp_client *c, struct mcp_pending *own, const struct mcp_message *m,
                       struct mcp_failure *f)
{
    struct mcp_pending *p = find(c, own, m->json_id);
    /* A server that could not read the request has no id to give. */
    if (!p && own && m->kind == MCP_ERROR && (!m->json_id || json_is_null(m->json_id)))
        p = own;
    if (!p || p->done)
        return for_nobody(c, own, f);
    p->result = json_incref((json_t *)(uintptr_t)m->result);
    p->error = json_incref((json_t *)(uintptr_t)m->error);
    p->done = true;
    waitq_wake_all(&p->wake);
    return 0;
}

/* Asks the owner, whose thinking is no silence of the server; whole_ms goes on. */
static int ask_owner(struct mcp_client *c, struct mcp_pending *own, const struct mcp_message *m,
                     json_t **ret)
{
    int64_t from = own ? own->began_ns : time_mono_ns();
    struct fiber_deadline d = fiber_deadline_push(from + c->limits.whole_ms * NS_PER_MS);
    c->asking += !own;
    int r = c->o.ask(c->o.ask_arg, m->method, m->params, ret);
    c->asking -= !own;
    fiber_deadline_pop(&d);
    int64_t now = time_mono_ns();
    if (own)
        own->progress_ns = now;
    else
        LIST_FOREACH (p, &c->pending, struct mcp_pending, node)
            p->progress_ns = now;
    return r;
}

bool mcp_ask_is_form(const json_t *params)
{
    const json_t *mode = json_object_get(params, "mode");
    return !mode || str_eq(json_string_value(mode), "form");
}

static json_t *answer(struct mcp_client *c, struct mcp_pending *own, const struct mcp_message *m)
{
    json_t *result = NULL;
    if (str_eq(m->method, "ping"))
        return mcp_message_answer(m->json_id, json_new_object(), 0, NULL);
    if (!c->o.ask || !str_eq(m->method, "elicitation/create"))
        return mcp_message_answer(m->json_id, NULL, -32601, "Method not found");
    if (!mcp_ask_is_form(m->params))
        return mcp_message_answer(m->json_id, NULL, -32602, "Only the mode form is declared");
    if (ask_owner(c, own, m, &result) < 0)
        return mcp_message_answer(m->json_id, NULL, -32603, "The request could not be answered");
    return mcp_message_answer(m->json_id, result, 0, NULL);
}

static int take_question(struct mcp_client *c, struct mcp_pending *own, const struct mcp_message *m,
                         struct mcp_failure *f)
{
    if (c->wire == MCP_WIRE_MODERN)
        return for_nobody(c, own, f);
    if (++heard_on(c, own)->asked > MCP_ASKED_MAX)
        return mcp_fail(f, MCP_PROTOCOL, -E_PROTO, "the server asked more than %d things %s",
                        MCP_ASKED_MAX, own ? "during one request" : "in a minute");
    AUTO_JSON json_t *j = answer(c, own, m);
    size_t n = 0;
    AUTO_FREE char *text = json_text(j, &n);
    /* That an answer was refused is the server's affair; its request ends one way or another. */
    struct mcp_failure why = {0};
    int r = mcp_exchange_send(c, &(struct mcp_outgoing){.text = text, .len = n}, &why);
    if (r == -ECANCELED || r == -ETIMEDOUT)
        r = mcp_fail(f, why.source, r, "%s", why.err.msg);
    else
        r = 0;
    mcp_failure_done(&why);
    return r;
}

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : -1;
}

static int take_notification(struct mcp_client *c, struct mcp_pending *own,
                             const struct mcp_message *m, struct mcp_failure *f)
{
    if (str_eq(m->method, "notifications/progress")) {
        struct mcp_pending *p = find(c, own, json_object_get(m->params, "progressToken"));
        if (!p)
            return for_nobody(c, own, f);
        p->progress_ns = time_mono_ns();
        if (p->call && p->call->progress)
            p->call->progress(p->call->arg, number(m->params, "progress"),
                              number(m->params, "total"), json_get_str(m->params, "message"));
        return 0;
    }
    if (str_eq(m->method, "notifications/tools/list_changed")) {
        json_decref(c->tools);
        c->tools = NULL;
    }
    if (c->o.notify)
        c->o.notify(c->o.notify_arg, m->method, m->params);
    return for_nobody(c, own, f);
}

static int take_one(struct mcp_client *c, struct mcp_pending *own, const json_t *j,
                    struct mcp_failure *f)
{
    struct mcp_message m;
    struct err e = {0};
    if (mcp_message_read(j, &m, &e) < 0)
        return mcp_fail(f, MCP_PROTOCOL, -E_PROTO, "what the server sent is no JSON-RPC: %s",
                        e.msg);
    switch (m.kind) {
    case MCP_REQUEST:
        return take_question(c, own, &m, f);
    case MCP_NOTIFICATION:
        return take_notification(c, own, &m, f);
    default:
        return take_answer(c, own, &m, f);
    }
}

int mcp_incoming(struct mcp_client *c, struct mcp_pending *p, const char *text, size_t n,
                 struct mcp_failure *f)
{
    AUTO_JSON json_t *j = NULL;
    struct err e = {0};
    if (n > c->limits.message_bytes)
        return mcp_fail(f, MCP_LIMIT, -EMSGSIZE, "a message of the server is larger than %zu bytes",
                        c->limits.message_bytes);
    int r = json_parse_few(text, n, c->limits.values, &j, &e);
    if (r == -E_PARSE)
        return mcp_fail(f, MCP_PROTOCOL, -E_PROTO, "what the server sent is no JSON: %s", e.msg);
    if (r < 0)
        return mcp_fail(f, r == -E_LIMIT ? MCP_LIMIT : MCP_HERE, r,
                        "a message of the server cannot be taken: %s", e.msg);
    /* Batches: 2025-03-26 alone has them, but nothing is lost by reading one. */
    if (!json_is_array(j) || c->wire == MCP_WIRE_MODERN)
        return take_one(c, p, j, f);
    for (size_t i = 0; r == 0 && i < json_array_size(j); i++)
        r = take_one(c, p, json_array_get(j, i), f);
    return r;
}
