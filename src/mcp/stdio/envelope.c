/* envelope.c - finds ids and tokens in a message, and writes others in their place.
 *
 * Called by the bridge between HTTP and a stdio server (tunnel/gateway/stdio*) for each message in either
 * direction; caller and server control every byte of theirs. A message is parsed once to know what it is, and
 * then its text is copied around the values that change: numbers keep their digits and texts their escapes, so
 * that `requestState`, results and arguments pass as they were written. base/json has refused what has two
 * readings before a span is looked for. */
#include "mcp/stdio/envelope.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define SUBSCRIPTION "io.modelcontextprotocol/subscriptionId"

static struct span member(struct span object, const char *name)
{
    return object.p ? span_member(object, name) : object;
}

static void look_at_params(struct mcp_envelope *m, struct span all)
{
    const struct span params = member(all, "params"), meta = member(params, "_meta");
    const json_t *meta_json = json_object_get(m->m.params, "_meta");
    if (m->m.kind == MCP_REQUEST) {
        m->token_json = json_object_get(meta_json, "progressToken");
        m->token = member(meta, "progressToken");
        return;
    }
    if (str_eq(m->m.method, "notifications/progress")) {
        m->token_json = json_object_get(m->m.params, "progressToken");
        m->token = member(params, "progressToken");
    } else if (str_eq(m->m.method, "notifications/cancelled")) {
        m->cancelled_json = json_object_get(m->m.params, "requestId");
        m->cancelled = member(params, "requestId");
    }
    m->subscription_json = json_object_get(meta_json, SUBSCRIPTION);
    m->subscription = member(meta, SUBSCRIPTION);
}

int mcp_envelope_read(const char *text, size_t n, struct mcp_envelope *ret, struct err *e)
{
    *ret = (struct mcp_envelope){.json = NULL};
    int r = json_parse_few(text, n, MCP_ENVELOPE_VALUES_MAX, &ret->json, e);
    if (r < 0)
        return r;
    r = mcp_message_read(ret->json, &ret->m, e);
    if (r < 0)
        return r;
    const struct span all = span_value(text, n);
    ret->id = span_member(all, "id");
    if (ret->m.kind == MCP_REQUEST || ret->m.kind == MCP_NOTIFICATION) {
        look_at_params(ret, all);
    } else if (ret->m.kind == MCP_RESULT) {
        ret->subscription_json =
            json_object_get(json_object_get(ret->m.result, "_meta"), SUBSCRIPTION);
        ret->subscription = member(member(span_member(all, "result"), "_meta"), SUBSCRIPTION);
    }
    return 0;
}

void mcp_envelope_done(struct mcp_envelope *m)
{
    json_decref(m->json);
    *m = (struct mcp_envelope){.json = NULL};
}

/* Between values a line break is space; inside of a text it cannot stand. */
static int add_flat(struct buf *out, const char *p, size_t n)
{
    char *to = buf_room(out, n + 1);
    if (!to)
        return buf_err(out);
    for (size_t i = 0; i < n; i++)
        to[i] = p[i] == '\n' || p[i] == '\r' ? ' ' : p[i];
    buf_commit(out, n);
    return 0;
}

int mcp_splice(struct buf *out, const char *text, size_t n, const struct mcp_splice *list,
               size_t n_list)
{
    const char *p = text, *end = text + n;
    int r = 0;
    MUST(n_list <= MCP_SPLICES_MAX);
    for (;;) {
        const struct mcp_splice *next = NULL;
        for (size_t i = 0; i < n_list; i++)
            if (list[i].at.p && list[i].at.p >= p && (!next || list[i].at.p < next->at.p))
                next = &list[i];
        if (!next || r < 0)
            break;
        r = add_flat(out, p, (size_t)(next->at.p - p));
        if (r == 0)
            r = buf_add(out, next->with, next->n);
        p = next->at.p + next->at.n;
    }
    return r < 0 ? r : add_flat(out, p, (size_t)(end - p));
}
