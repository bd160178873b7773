/* forward_confirm.c - holds a call until a person has let it go on.
 *
 * Called on the fiber of a request of a route with tools.confirm, after everything else that is known beforehand has
 * said yes. The body was read and is kept as it came: what is approved is what goes out, once. A caller controls the
 * arguments, and wants a person to overlook something: so the person sees all of them, without secrets, and what is too
 * long to be shown, comes in a batch or has no id is refused. One that takes events gets a stream after a silence of
 * fifteen seconds, with a comment now and then, and the answer in it. A second fiber watches the caller: one that leaves,
 * or sends notifications/cancelled, takes the call back. Who waits holds a body of 128 KiB at most, its text, and
 * room for its records in the audit log. */
#include "tunnel/gateway/forward_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/fiber.h"
#include "mcp/policy/definition.h"
#include "tunnel/gateway/approvals.h"

#define BODY_MAX    (128u << 10)
#define CLIENT_SHOW 100

METRIC_COUNTER(n_given, "sallyport_gateway_approvals_total", "outcome=\"approved\"",
               "Calls that a person was asked about, by what came of it")
METRIC_COUNTER(n_denied, "sallyport_gateway_approvals_total", "outcome=\"denied\"",
               "Calls that a person was asked about, by what came of it")
METRIC_COUNTER(n_expired, "sallyport_gateway_approvals_total", "outcome=\"expired\"",
               "Calls that a person was asked about, by what came of it")
METRIC_COUNTER(n_withdrawn, "sallyport_gateway_approvals_total", "outcome=\"withdrawn\"",
               "Calls that a person was asked about, by what came of it")

/* By which a caller can take back one call: whose certificate it has shown, its session, and the request's id. malloc'ed.
 * NULL: it has neither, and ids alone are everybody's; or the key is too long. Such a call is taken back by leaving. */
static char *key_of(const struct gateway_request *q, const json_t *id)
{
    const struct http_field *f = http_fields_get(&q->head.fields, "mcp-session-id", NULL);
    AUTO(buf) key = BUF_INIT(LIMIT_HEADER_BYTES + 2048);
    size_t n;
    if (!f && !q->who_id[0])
        return NULL;
    (void)buf_adds(&key, q->route->host.text);
    (void)buf_addc(&key, '\n');
    (void)buf_adds(&key, q->who_id);
    (void)buf_addc(&key, '\n');
    if (f)
        (void)buf_add(&key, f->value.p, f->value.n);
    (void)buf_addc(&key, '\n');
    int r = json_print(&key, id);
    return r < 0 ? NULL : buf_take(&key, &n);
}

/* Of _meta what MCP itself says there and does nothing at a tool; the rest is shown. `params` is a shallow copy. */
static void drop_meta(json_t *params)
{
    static const char *const known[] = {"progressToken",
                                        "traceparent",
                                        "tracestate",
                                        "baggage",
                                        "io.modelcontextprotocol/protocolVersion",
                                        "io.modelcontextprotocol/clientInfo",
                                        "io.modelcontextprotocol/clientCapabilities"};
    json_t *meta = json_object_get(params, "_meta");
    if (!json_is_object(meta))
        return;
    meta = json_copy(meta);
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        (void)json_object_del(meta, known[i]);
    if (json_object_size(meta) == 0)
        (void)json_object_del(params, "_meta");
    else
        (void)json_object_set(params, "_meta", meta);
    json_decref(meta);
}

/* Members of the params that are not shown otherwise. */
static char *also(const struct gateway_request *q, const json_t *params, bool *ret_fits)
{
    AUTO_JSON json_t *rest = json_copy((json_t *)(uintptr_t)params);
    AUTO(buf) text = BUF_INIT(APPROVAL_TEXT_MAX);
    size_t n;
    (void)json_object_del(rest, "name");
    (void)json_object_del(rest, "arguments");
    drop_meta(rest);
    *ret_fits = true;
    if (json_object_size(rest) == 0)
        return NULL;
    *ret_fits = forward_audit_text(q, rest, &text) == 0;
    return buf_take(&text, &n);
}

static char *client_of(const struct gateway_request *q)
{
    const struct http_field *f = http_fields_get(&q->head.fields, "user-agent", NULL);
    AUTO(buf) text = BUF_INIT(4096);
    size_t n;
    if (!f)
        return NULL;
    str_escape(&text, f->value.p, f->value.n, CLIENT_SHOW);
    return buf_take(&text, &n);
}

/* Where it goes at the server, which may be another tenant or mode there. malloc'ed. */
static char *path_of(const struct gateway_request *q)
{
    AUTO(buf) text = BUF_INIT(APPROVAL_TEXT_MAX);
    size_t n;
    (void)buf_add(&text, q->head.path.p, q->head.path.n);
    return buf_take(&text, &n);
}

/* 0, or negative: 9e15 is longer when it is written out, so what fits elsewhere may not fit here. */
static int hash(const struct gateway_request *q, const char *path, const char *tool,
                const json_t *arguments, char ret[DIGEST_SHA256_HEX])
{
    AUTO(buf) text = BUF_INIT(DEFINITION_MAX);
    AUTO_JSON json_t *all = json_array();
    (void)json_array_append_new(all, json_string(q->route->host.text));
    (void)json_array_append_new(all, json_str_lossy(path, strlen(path)));
    (void)json_array_append_new(all, json_string(tool));
    (void)json_array_append(all, arguments ? (json_t *)(uintptr_t)arguments : json_null());
    int r = definition_print(all, &text);
    if (r == 0)
        (void)digest_sha256_hex(text.data, text.len, ret);
    return r;
}

/* The first call of the body that a person has to approve, with the pattern. */
static const struct mcp_entry *confirmed_entry(const struct gateway_request *q,
                                               const char **ret_pattern)
{
    for (size_t i = 0; i < q->call.n; i++) {
        const char *tool = judge_tool(&q->call.entries[i]);
        if (tool && (*ret_pattern = tool_policy_confirms(q->route->tools, tool)))
            return &q->call.entries[i];
    }
    return NULL;
}

/* A caller that gives up takes back what it has asked for. */
static void hear_cancelled(const struct gateway_request *q)
{
    for (size_t i = 0; i < q->call.n; i++) {
        const struct mcp_entry *m = &q->call.entries[i];
        const json_t *id = json_object_get(m->params, "requestId");
        if (!m->method || !str_eq(m->method, "notifications/cancelled") || !id)
            continue;
        AUTO_FREE char *key = key_of(q, id);
        if (key)
            approvals_withdraw(q->f->o.approvals, key, "the caller has cancelled it");
    }
}

static struct confirm_use *make(const struct gateway_request *q, const struct mcp_entry *m)
{
    struct confirm_use *c = mem_new(struct confirm_use);
    struct approval *a = &c->approval;
    const json_t *arguments = json_object_get(m->params, "arguments");
    AUTO(buf) text = BUF_INIT(APPROVAL_TEXT_MAX);
    AUTO_JSON json_t *none = json_new_object();
    bool fits = true;
    size_t n;
    if (q->call.batch)
        c->wrong = "a call that a person has to approve comes alone, not in a batch";
    else if (!m->id)
        c->wrong = "a call that a person has to approve has an id, so that it can be answered";
    else if (q->body.len > BODY_MAX)
        c->wrong = "a call that a person has to approve is small enough to be looked at: 128 KiB";
    if (c->wrong)
        return c;
    a->tool = mem_strdup(judge_tool(m));
    a->path = path_of(q);
    a->who = q->who[0] ? mem_strdup(q->who) : NULL;
    a->also = also(q, m->params, &fits);
    if (!fits || forward_audit_text(q, arguments ? arguments : none, &text) < 0 ||
        hash(q, a->path, a->tool, arguments, a->digest) < 0)
        c->wrong = "the arguments of a call that a person has to approve are small enough to be "
                   "looked at: 64 KiB";
    a->arguments = buf_take(&text, &n);
    a->client = client_of(q);
    a->key = key_of(q, m->id);
    a->route = q->route->host.text;
    return c;
}

void forward_confirm_ask(struct gateway_request *q)
{
    const char *pattern = NULL;
    if (q->f->o.approvals)
        hear_cancelled(q);
    const struct mcp_entry *m = confirmed_entry(q, &pattern);
    if (!m)
        return;
    q->confirm = make(q, m);
    if (!q->f->o.approvals)
        q->confirm->wrong =
            "a person has to approve this call, and the gateway was started without "
            "anybody who could be asked";
    (void)snprintf(q->confirm->rule, sizeof(q->confirm->rule), "tools.confirm: %s", pattern);
    q->confirm->approval.rule = q->confirm->rule;
    q->confirm->entry = (size_t)(m - q->call.entries);
}

void forward_confirm_done(struct gateway_request *q)
{
    if (!q->confirm)
        return;
    audit_room_done(&q->confirm->room);
    approval_done(&q->confirm->approval);
    free(q->confirm);
    q->confirm = NULL;
}

/* ---- waiting ---- */

static void record(struct gateway_request *q, const char *verdict, const char *reason)
{
    const struct approval *a = &q->confirm->approval;
    char note[320], who[32] = "";
    if (a->state == APPROVAL_GIVEN || a->state == APPROVAL_DENIED)
        (void)snprintf(who, sizeof(who), "uid %lu, ", (unsigned long)a->uid);
    log_info("a call that a person has to approve", "id=%s route=%s tool=%s what=%s who=%s", a->id,
             a->route, log_q(a->tool), reason, log_q(who));
    if (!q->f->o.audit)
        return;
    (void)snprintf(note, sizeof(note), "%ssha256 %s%s%s", who, a->digest, a->reason[0] ? ", " : "",
                   a->reason);
    audit_append(&q->confirm->room, &(struct audit_record){.kind = AUDIT_NOTE,
                                                           .verdict = audit_text(verdict),
                                                           .reason = audit_text(reason),
                                                           .rule = audit_text(a->rule),
                                                           .policy = audit_text(q->face->hash),
                                                           .host = {q->host->text, q->host->n},
                                                           .tool = audit_text(a->tool),
                                                           .caller = audit_text(a->who),
                                                           .call = audit_text(a->id),
                                                           .note = audit_text(note)});
}

/* Beside the fiber that waits; cancelled when that has an answer. */
static int watch_caller(void *arg)
{
    struct gateway_request *q = arg;
    fiber_deadline_clear();
    if (piece_wait_gone(q->caller) == 0) {
        q->caller_failed = true;
        approvals_take_back(q->f->o.approvals, &q->confirm->approval, "the caller has left");
    }
    return 0;
}

/* Whether the caller takes a stream of events, which every client has to that speaks MCP over HTTP. */
static bool takes_events(const struct gateway_request *q)
{
    static const char type[] = "text/event-stream";
    const size_t n = sizeof(type) - 1;
    const struct http_fields *fs = &q->head.fields;
    for (const struct http_field *f = http_fields_get(fs, "accept", NULL); f;
         f = http_fields_get(fs, "accept", f))
        for (size_t i = 0; i + n <= f->value.n; i++)
            if (http_text_ieq((struct http_text){f->value.p + i, n}, type))
                return true;
    return false;
}

static int begin_stream(struct gateway_request *q)
{
    struct http_head h;
    http_head_init(&h);
    h.status = q->status = 200;
    h.body = HTTP_BODY_STREAM;
    int r = http_head_add(&h, HTTP_TEXT("content-type"), HTTP_TEXT("text/event-stream"));
    if (r == 0)
        r = http_head_add(&h, HTTP_TEXT("cache-control"), HTTP_TEXT("no-cache"));
    if (r == 0)
        r = http_head_add(&h, HTTP_TEXT("x-accel-buffering"), HTTP_TEXT("no"));
    if (r == 0)
        r = http_send_head(q->caller, &h);
    q->stream_begun = true;
    http_head_done(&h);
    return r;
}

/* A comment, so that nobody in between takes a person's silence for the end. */
static void keep_alive(struct gateway_request *q)
{
    AUTO(fiber_deadline) d = fiber_deadline_push(forward_write_until_ns(q));
    int r = q->stream_begun ? 0 : begin_stream(q);
    if (r == 0)
        r = http_send_body(q->caller, ":\n\n", 3, false);
    if (r == 0)
        r = http_flush(q->caller);
    if (forward_written(q, r) == 0)
        return;
    q->caller_failed = true;
    approvals_take_back(q->f->o.approvals, &q->confirm->approval, "the caller has left");
}

static enum approval_state wait_for_person(struct gateway_request *q)
{
    const bool events = takes_events(q);
    enum approval_state state;
    struct approval *a = &q->confirm->approval;
    AUTO(scope) beside;
    scope_init(&beside);
    if (fiber_spawn(&beside, "gateway-approval", watch_caller, q, NULL) < 0)
        approvals_take_back(q->f->o.approvals, a, "the gateway has no memory to hold it");
    fiber_trim_stack();
    for (;;) {
        const int64_t look_ns = time_mono_ns() + (int64_t)FORWARD_KEEP_ALIVE_MS * NS_PER_MS;
        state = approvals_wait(q->f->o.approvals, a, events ? look_ns : FIBER_NO_DEADLINE);
        if (state != APPROVAL_WAITS)
            return state;
        keep_alive(q);
    }
}

static int no(struct judge_verdict *v, const struct gateway_request *q, const char *fmt,
              const char *more)
{
    v->allowed = false;
    v->entry = q->confirm->entry;
    v->code = MCP_CODE_REFUSED;
    (void)str_copy(v->rule, sizeof(v->rule), q->confirm->rule);
    (void)snprintf(v->words, sizeof(v->words), "%s%s%s", fmt, more[0] ? ": " : "", more);
    return -E_DENIED;
}

/* What came of it: record, counter, words. 0 when it goes on. */
static int settle(struct gateway_request *q, struct judge_verdict *v, enum approval_state state)
{
    const struct approval *a = &q->confirm->approval;
    switch (state) {
    case APPROVAL_GIVEN:
        metric_add(&n_given, 1);
        record(q, "allow", "approval_given");
        (void)str_copy(q->rule, sizeof(q->rule), q->confirm->rule);
        return 0;
    case APPROVAL_DENIED:
        metric_add(&n_denied, 1);
        record(q, "deny", "approval_denied");
        return no(v, q, "a person at the gateway was asked, and has denied this call", a->reason);
    case APPROVAL_EXPIRED:
        metric_add(&n_expired, 1);
        record(q, "deny", "approval_expired");
        return no(v, q, "a person at the gateway was asked, and has not answered in time",
                  "ask again later");
    default:
        metric_add(&n_withdrawn, 1);
        record(q, "deny", "approval_withdrawn");
        return no(v, q, "a person at the gateway was asked, and the question was taken back",
                  a->reason);
    }
}

int forward_confirm(struct gateway_request *q, struct judge_verdict *v)
{
    struct confirm_use *c = q->confirm;
    struct err e = {0};
    if (!c)
        return 0;
    if (c->wrong)
        return no(v, q, c->wrong, "");
    const int64_t within_ms = q->route->tools->confirm_within_ms;
    c->approval.asked_us = time_real_us();
    c->approval.until_us = c->approval.asked_us + within_ms * 1000;
    c->approval.until_ns = time_mono_ns() + within_ms * NS_PER_MS;
    int r = q->f->o.audit ? audit_reserve(q->f->o.audit, 2, &c->room, &e) : 0;
    if (r < 0) {
        forward_fail(q, 503, AUDIT, e.msg);
        return r;
    }
    if (approvals_ask(q->f->o.approvals, &c->approval, &e) < 0)
        return no(v, q, e.msg, "");
    record(q, "wait", "approval_asked");
    r = settle(q, v, wait_for_person(q));
    if (r == 0 && q->f->o.audit && (r = audit_wait(q->f->o.audit, &e)) < 0 && r != -ECANCELED)
        forward_fail(q, 503, AUDIT, e.msg);
    if ((r == 0 || r == -E_DENIED) && q->caller_failed)
        r = -E_CLOSED; /* nobody is there to be told, also when both came at once */
    return r;
}
