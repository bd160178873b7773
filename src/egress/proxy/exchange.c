/* exchange.c - one exchange: its order, its end, its record; and the sandbox's policy above it.
 *
 * Called by whoever serves a connection, on the fiber of the exchange. States: judged, sent, answered,
 * over; each file of this module takes it one step on, and whatever fails answers and ends it here.
 * Nothing goes out before there is room in the audit log for what will be said about it. A second fiber
 * exists only while a request has a body: then this one brings the body out, that one the answer in, and
 * each cuts the other's pipe off when its own side fails. Nothing here is kept from one exchange to the
 * next but wiped blocks.
 *
 * The exchanges of a sandbox are in a list. When its policy is replaced each is judged again at once,
 * and cut off when it would not be allowed now; one that has not been sent yet is answered with 403. */
#include "egress/proxy/exchange.h"

#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/time.h"
#include "egress/policy/explain.h"
#include "egress/proxy/exchange_internal.h"

/* ---- the sandbox ---- */

void exchange_sandbox_init(struct exchange_sandbox *s, const char *id, struct policy *p)
{
    *s = (struct exchange_sandbox){.id = id, .policy = policy_ref(p)};
    list_init(&s->open);
}

void exchange_sandbox_done(struct exchange_sandbox *s)
{
    if (!s || !s->policy)
        return;
    MUST(list_empty(&s->open));
    policy_unref(s->policy);
    *s = (struct exchange_sandbox){.id = NULL};
}

static void stop(struct exchange *x)
{
    x->stopped = true;
    if (!x->origin.pipe)
        return;
    exchange_blame(x, "deny", "policy_changed", NULL);
    http_reset(x->origin.pipe, HTTP_RESET_CANCEL);
    if (x->answered)
        http_reset(x->client, HTTP_RESET_CANCEL);
}

size_t exchange_set_policy(struct exchange_sandbox *s, struct policy *p)
{
    size_t n = 0;
    struct policy *old = s->policy;
    s->policy = policy_ref(p);
    policy_unref(old);
    LIST_FOREACH (x, &s->open, struct exchange, in_sandbox) {
        if (x->stopped || exchange_still_allowed(x, p))
            continue;
        stop(x);
        n++;
    }
    return n;
}

/* ---- the record ---- */

size_t exchange_head_bytes(const struct http_head *h)
{
    size_t n = h->method.n + h->path.n + h->authority.n;
    for (size_t i = 0; i < h->fields.n; i++)
        n += h->fields.items[i].name.n + h->fields.items[i].value.n;
    return n;
}

/* What else a person should find in the log: placeholders that were quoted, secrets that came back. */
static void note(const struct exchange *x, struct buf *out)
{
    (void)buf_adds(out, x->note);
    const char *quoted[8];
    size_t n = x->looks ? inject_body_quoted(&x->body, quoted, ARRAY_LEN(quoted)) : 0;
    for (size_t i = 0; i < n; i++)
        (void)buf_addf(out, "%s%s", i ? ", " : out->len ? "; quoted: " : "quoted: ", quoted[i]);
    uint64_t hits = reply_hits(&x->reply);
    if (hits)
        (void)buf_addf(out, "%sscrubbed: %llu", out->len ? "; " : "", (unsigned long long)hits);
}

/* In words; most requests are decided by the rule that decided the one before. */
static const char *rule_text(struct exchange *x)
{
    const struct policy_rule *rule = x->decision.rule;
    struct exchange_spares *s = x->w->spares;
    if (!rule)
        return NULL;
    const char *policy = policy_hash(x->policy);
    if (rule->deny || !s->rule.known || s->rule.position != rule->position ||
        strcmp(s->rule.policy, policy) != 0) {
        AUTO(buf) words = BUF_INIT(4096);
        explain_rule(rule, &words);
        str_copy(s->rule.text, sizeof(s->rule.text), buf_str(&words));
        str_copy(s->rule.policy, sizeof(s->rule.policy), policy);
        s->rule.position = rule->position;
        s->rule.known = !rule->deny;
    }
    return s->rule.text;
}

struct audit_text exchange_recorded(const struct exchange *x, struct http_text t)
{
    const struct exchange_calls *c = x->w->calls;
    struct inject_watch *w = x->sandbox->watch;
    const bool secret =
        (w && inject_watch_sees_secret(w, t)) || (c->sees_secret && c->sees_secret(x->w->arg, t));
    return secret ? audit_text("(a secret)") : (struct audit_text){t.n ? t.p : NULL, t.n};
}

static void record(struct exchange *x)
{
    const struct exchange_sandbox *s = x->sandbox;
    const struct exchange_calls *c = x->w->calls;
    AUTO(buf) words = BUF_INIT(1024);
    if (c->before_record)
        c->before_record(x->w->arg);
    note(x, &words);
    const char *protocol = x->websocket ? x->w->tls ? "wss" : "ws" : x->w->tls ? "https" : "http";
    struct audit_record r = {
        .kind = AUDIT_REQUEST,
        .session = audit_text(s->session),
        .call = audit_text(x->call[0] ? x->call : NULL),
        .sandbox = audit_text(s->id),
        .verdict = audit_text(x->verdict ? x->verdict : "allow"),
        .reason = audit_text(x->reason),
        .rule = audit_text(rule_text(x)),
        .policy = audit_text(policy_hash(x->policy)),
        .credential = audit_text(x->plan.n_uses ? x->plan.uses[0].credential->name : NULL),
        .protocol = audit_text(protocol),
        .method = exchange_recorded(x, x->request.method),
        .host = exchange_recorded(x, (struct http_text){x->host.text, x->host.n}),
        .path = exchange_recorded(x, x->path),
        .peer = audit_text(x->peer[0] ? x->peer : NULL),
        .note = exchange_recorded(x, (struct http_text){words.data, words.len}),
        .port = x->port,
        .status = (uint64_t)x->status,
        .sent = x->sent,
        .received = x->received,
        .duration_us = (uint64_t)(time_mono_ns() - x->began_ns) / 1000};
    audit_append(&x->room, &r);
}

/* ---- the exchange ---- */

static int reply_fiber(void *arg)
{
    exchange_reply(arg);
    return 0;
}

/* The body is out; now the answer must begin. */
static void await_answer(struct exchange *x)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(LIMIT_EXCHANGE_HEAD_MS);
    int r = 0;
    while (r == 0 && !x->answered)
        r = waitq_wait(&x->changed);
    if (r == 0)
        return;
    x->timed_out = r == -ETIMEDOUT;
    http_reset(x->origin.pipe, HTTP_RESET_CANCEL);
}

static void both_ways(struct exchange *x)
{
    AUTO(scope) answers;
    scope_init(&answers);
    x->uploading = true;
    int r = fiber_spawn(&answers, "exchange answer", reply_fiber, x, NULL);
    if (r < 0) {
        x->uploading = false;
        exchange_fail(x, 503, "proxy_internal_error", "internal", err_text(r));
        return;
    }
    exchange_upload(x);
    await_answer(x);
    if (scope_join(&answers) < 0)
        exchange_blame(x, "error", "cancelled", NULL);
}

static bool reserve(struct exchange *x)
{
    int r = audit_reserve(x->w->audit, 1, &x->room, &x->err);
    if (r == 0)
        return true;
    exchange_fail(x, 503, "proxy_internal_error", "audit", x->err.msg);
    return false;
}

static void serve(struct exchange *x)
{
    if (!reserve(x) || !exchange_judge(x) || !exchange_send(x))
        return;
    if (x->request.body != HTTP_BODY_NONE && !x->websocket)
        both_ways(x);
    else
        exchange_reply(x);
}

/* The rest of an upload that was answered before its end. Over HTTP/2 a stream that is reset while
 * curl 7.88 still sends takes the answer along, even with NO_ERROR (RFC 9113 8.1); version 1 does this
 * between requests (pipe/h1_serve.c). */
static void drain(struct exchange *x)
{
    char dropped[2048];
    size_t total = 0;
    ssize_t n = 1;
    if (x->client->version != HTTP_2 || x->request.body == HTTP_BODY_NONE || x->websocket)
        return;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(LIMIT_EXCHANGE_DRAIN_MS);
    for (; n > 0 && total<LIMIT_EXCHANGE_DRAIN_BYTES; total += n> 0 ? (size_t)n : 0)
        n = http_read_body(x->client, dropped, sizeof(dropped), NULL);
}

static void finish(struct exchange *x)
{
    list_remove(&x->in_sandbox);
    exchange_drop_origin(x);
    if (x->room.n > 0)
        record(x);
    audit_room_done(&x->room);
    audit_room_done(&x->uses_room);
    drain(x);
    http_pipe_close(x->client);
    reply_done(&x->reply);
    inject_body_done(&x->body);
    inject_plan_done(&x->plan);
    if (x->has_collected)
        exchange_buf_give(x->w->spares, &x->collected, true);
    if (x->has_values) {
        scrub_table_unref(x->values.table);
        x->w->calls->secrets_done(x->w->arg, &x->values);
    }
    http_head_done(&x->request);
    http_head_done(&x->response);
    policy_unref(x->policy);
}

void exchange_run(const struct exchange_world *w, struct http_pipe *client)
{
    struct exchange *x = spare_take(&w->spares->exchanges, sizeof(*x));
    memset(x, 0, sizeof(*x));
    x->w = w;
    x->sandbox = w->sandbox;
    x->client = client;
    x->began_ns = time_mono_ns();
    x->policy = policy_ref(w->sandbox->policy);
    if (w->host) {
        x->host = *w->host;
        x->port = w->port;
    }
    if (w->sandbox->call)
        str_copy(x->call, sizeof(x->call), w->sandbox->call);
    waitq_init(&x->changed);
    list_push_back(&w->sandbox->open, &x->in_sandbox);
    int r = http_read_head(client, &x->request, &x->err);
    if (r == 0) {
        x->sent = exchange_head_bytes(&x->request);
        serve(x);
    }
    finish(x);
    spare_give(&w->spares->exchanges, x);
}
