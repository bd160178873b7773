/* forward_audit.c - one record for each call, and one for each use of a credential.
 *
 * Called on the request's fiber. Room in the log is reserved before anything is done: without it nothing
 * goes out. Then a record is sure to fit, however the request ends, also when its fiber is
 * cancelled: appending neither fails nor suspends. A use of a credential is in the file before the credential
 * goes out. What a caller sent stands in a record as far as it is a name (method, tool, id, path without its
 * query); arguments only when the operator wants them, freed of the route's secrets, and cut. Secrets never
 * do. */
#include "tunnel/gateway/forward_internal.h"

#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/time.h"
#include "scrub/scrub.h"

#define ARGUMENTS_MAX (64u << 10) /* looked through for secrets; a record takes much less */

int forward_audit_begin(struct gateway_request *q, struct err *e)
{
    q->began_ns = time_mono_ns();
    if (!q->f->o.audit)
        return 0;
    /* Of the call, and of each use of a credential: a token may be used, and then another one. */
    const struct gateway_credential *c = q->route->credential;
    return audit_reserve(q->f->o.audit, !c ? 1 : c->renewable ? 3 : 2, &q->room, e);
}

/* A batch has a record for each message. */
int forward_audit_more(struct gateway_request *q, struct err *e)
{
    if (!q->f->o.audit || q->call.n < 2)
        return 0;
    return audit_reserve(q->f->o.audit, q->call.n - 1, &q->more, e);
}

static struct audit_record record_of(const struct gateway_request *q)
{
    const struct gateway_upstream *up = &q->route->upstream;
    return (struct audit_record){.kind = AUDIT_REQUEST,
                                 .verdict = audit_text(q->verdict),
                                 .reason = audit_text(q->reason),
                                 .rule = audit_text(q->rule[0] ? q->rule : NULL),
                                 .policy = audit_text(q->face->hash),
                                 .credential = audit_text(
                                     q->route->credential ? q->route->credential->name : NULL),
                                 .protocol = audit_text("mcp"),
                                 .host = {q->host->text, q->host->n},
                                 .path = {q->head.path.p, q->head.path.n},
                                 .caller = audit_text(q->who[0] ? q->who : NULL),
                                 .peer = audit_text(q->peer[0] ? q->peer : NULL),
                                 .method = {q->head.method.p, q->head.method.n},
                                 .port = up->port,
                                 .status = (uint64_t)q->status,
                                 .sent = q->sent,
                                 .received = q->received,
                                 .duration_us = (uint64_t)(time_mono_ns() - q->began_ns) / 1000};
}

int forward_audit_credential(struct gateway_request *q, struct err *e)
{
    if (!q->f->o.audit || !q->route->credential || q->told_credential)
        return 0;
    struct audit_record r = record_of(q);
    r.kind = AUDIT_CREDENTIAL;
    r.verdict = audit_text("allow");
    r.reason = r.rule = audit_text(NULL);
    const struct gateway_credential *c = q->route->credential;
    r.place = audit_text(c->header ? c->header : c->query);
    q->told_credential = true;
    audit_append(&q->room, &r);
    return audit_wait(q->f->o.audit, e);
}

static void append(struct gateway_request *q, const struct audit_record *r)
{
    audit_append(q->room.n ? &q->room : &q->more, r);
}

int forward_audit_text(const struct gateway_request *q, const json_t *value, struct buf *ret)
{
    AUTO(buf) text = BUF_INIT(ARGUMENTS_MAX);
    int r = json_print(&text, value);
    if (r == 0 && q->secret->table)
        r = scrub_text(q->secret->table, text.data, text.len, SCRUB_QUOTE_JSON, ret, NULL);
    else if (r == 0)
        r = buf_add(ret, text.data, text.len);
    return r;
}

/* The text of a message's arguments as it will be recorded. NULL: there is none to record. */
static json_t *text_of_arguments(const struct gateway_request *q, const struct mcp_entry *m)
{
    AUTO(buf) text = BUF_INIT(4 * ARGUMENTS_MAX);
    const json_t *arguments = json_object_get(m->params, "arguments");
    if (!q->f->o.audit || !q->face->config->audit_arguments || !arguments)
        return NULL;
    if (!route_secret_is_known(q->secret))
        return json_string("[arguments are withheld: a secret of this server was not read yet]");
    if (forward_audit_text(q, arguments, &text) < 0)
        return json_string("[arguments that are too large]");
    return json_stringn(text.data, text.len);
}

void forward_audit_shrink(struct gateway_request *q)
{
    json_t *texts[MCP_BODY_ENTRIES_MAX] = {NULL}, *tools[MCP_BODY_ENTRIES_MAX] = {NULL};
    for (size_t i = 0; i < q->call.n; i++) {
        texts[i] = text_of_arguments(q, &q->call.entries[i]);
        tools[i] = forward_tasks_note(q, &q->call.entries[i]);
    }
    mcp_body_shrink(&q->call);
    for (size_t i = 0; i < q->call.n; i++)
        if (tools[i])
            forward_tasks_keep(&q->call.entries[i], tools[i]);
    for (size_t i = 0; i < q->call.n; i++)
        if (texts[i])
            (void)json_object_set_new((json_t *)(uintptr_t)q->call.entries[i].params, "arguments",
                                      texts[i]);
}

static void append_entry(struct gateway_request *q, const struct mcp_entry *m)
{
    const json_t *arguments = json_object_get(m->params, "arguments");
    AUTO(buf) id = BUF_INIT(8 * MCP_ID_MAX), note = BUF_INIT(MCP_NAME_KEPT_MAX + 16);
    const char *tool = forward_tool_of(m), *task = json_get_str(m->params, "taskId");
    struct audit_record r = record_of(q);
    if (judge_tool(m))
        r.kind = AUDIT_TOOL_CALL;
    r.method = audit_text(m->method);
    r.tool = audit_text(tool);
    if (m->id)
        (void)json_print(&id, m->id);
    r.call = (struct audit_text){id.data, id.len};
    if (task && buf_addf(&note, "task %s", task) == 0)
        r.note = (struct audit_text){note.data, note.len};
    if (json_is_string(arguments)) /* forward_audit_shrink */
        r.note = (struct audit_text){json_string_value(arguments), json_string_length(arguments)};
    append(q, &r);
}

void forward_audit_end(struct gateway_request *q)
{
    bool any = false;
    if (!q->f->o.audit || !q->audited)
        return;
    for (size_t i = 0; i < q->call.n; i++) {
        const struct mcp_entry *m = &q->call.entries[i];
        if (!m->method || (i > 0 && q->more.n == 0))
            continue;
        append_entry(q, m);
        any = true;
    }
    if (!any) {
        struct audit_record r = record_of(q);
        append(q, &r);
    }
    audit_room_done(&q->room);
    audit_room_done(&q->more);
}
