/* exchange_judge.c - whether a request may go out, and as what.
 *
 * Called on the exchange's fiber, when the head has come and room for one record is sure. All of the
 * head is what a sandbox wrote. Every place that names the host must name the same one; what goes on to
 * the origin is our own spelling of it, so that the name that was judged is the name that is sent. The
 * path is judged in its canonical form and sent as it came: where the two could mean different things
 * the policy has refused it (policy/path.h). WebSocket over HTTP/2 is a CONNECT that stands for a GET
 * (RFC 8441 5), and is judged as one. */
#include <string.h>

#include "base/time.h"
#include "egress/inject/limits.h"
#include "egress/policy/path.h"
#include "egress/proxy/exchange_internal.h"

static bool fail(struct exchange *x, int status, const char *reason, const char *words)
{
    exchange_fail(x, status, "http_request_error", reason, words);
    return false;
}

static bool deny(struct exchange *x, int status, const char *reason, const char *words)
{
    exchange_fail(x, status, "http_request_denied", reason, words);
    return false;
}

/* What a request to a forward proxy said to it is not for the origin (RFC 9110 11.7). */
static void strip(struct exchange *x)
{
    if (!x->w->host)
        (void)http_fields_remove(&x->request.fields, "proxy-authorization");
}

/* What the request wants to speak from here on. */
static bool judge_protocol(struct exchange *x)
{
    struct http_head *h = &x->request;
    x->connect = http_text_eq(h->method, "CONNECT");
    x->head_only = http_text_eq(h->method, "HEAD");
    /* who offers HTTP/2 in clear text goes on without it (RFC 9110 7.8) */
    if (http_text_ieq(h->protocol, "h2c"))
        h->protocol = (struct http_text){NULL, 0};
    x->websocket = http_text_ieq(h->protocol, "websocket");
    if (h->protocol.p && !x->websocket)
        return fail(x, 501, "unknown_upgrade",
                    "only WebSocket can be spoken through the boundary after an Upgrade, because "
                    "what is inside has to be looked at");
    if (x->connect && !x->websocket)
        return fail(x, 501, "nested_connect", "a tunnel within this connection is not possible");
    if (x->websocket && h->body != HTTP_BODY_NONE && !x->connect)
        return fail(x, 400, "bad_upgrade", "a WebSocket is asked for without a body");
    return true;
}

static bool judge_host(struct exchange *x)
{
    const struct exchange_world *w = x->w;
    struct http_head *h = &x->request;
    struct host said;
    uint16_t port;
    struct err *e = &x->err;
    if (host_parse_authority(h->authority.p, h->authority.n, HOST_LITERALS, &said, &port, e) < 0)
        return deny(x, 421, "claims_disagree", e->msg);
    struct host_claim claims[EXCHANGE_CLAIMS_MAX + 1];
    MUST(w->n_claims <= EXCHANGE_CLAIMS_MAX);
    size_t n = 0;
    for (; n < w->n_claims; n++)
        claims[n] = w->claims[n];
    claims[n++] =
        (struct host_claim){x->client->version == HTTP_2 ? ":authority" : "Host", &said, port};
    if (!w->host) {
        x->host = said;
        x->port = port ? port : 80;
    }
    if (host_claims_agree(claims, n, e) < 0)
        return deny(x, 421, "claims_disagree", e->msg);
    /* the connection's own, even when nobody claimed it */
    if (!host_eq(&x->host, &said) || (w->host && port && port != w->port))
        return deny(x, 421, "claims_disagree",
                    "Host names another host or port than this connection is for");
    char text[HOST_TEXT_MAX + 8];
    int k = port ? snprintf(text, sizeof(text), "%s:%u", said.text, (unsigned)port)
                 : snprintf(text, sizeof(text), "%s", said.text);
    h->authority = http_head_copy(h, text, (size_t)k);
    h->scheme = w->tls ? HTTP_TEXT("https") : HTTP_TEXT("http");
    return true;
}

static bool judge_path(struct exchange *x)
{
    struct http_head *h = &x->request;
    struct policy_query *q = &x->query;
    x->path = h->path;
    if (h->path.n > PATH_TARGET_MAX)
        return fail(x, 414, "target_too_long", "the target of the request is longer than 16 KiB");
    char *canonical = arena_alloc(&h->arena, NULL, 3 * h->path.n + 1);
    size_t n;
    if (path_canonical(h->path.p, h->path.n, canonical, &n, &q->path_why) == 0) {
        q->path = canonical;
        q->path_n = n;
    }
    return true;
}

/* By the policy of this moment: it may have been replaced while there was a wait. */
static void decide(struct exchange *x)
{
    struct policy *p = policy_ref(x->sandbox->policy);
    policy_unref(x->policy);
    x->policy = p;
    policy_decide(p, &x->query, &x->decision);
}

/* Whether the policy gives this query what it gives the request: verdict, and credentials. */
static bool gives_the_same(const struct exchange *x, const struct policy_query *q)
{
    struct policy_decision d;
    policy_decide(x->policy, q, &d);
    if (d.verdict != x->decision.verdict || d.n_candidates != x->decision.n_candidates)
        return false;
    for (size_t i = 0; i < d.n_candidates; i++)
        if (x->decision.candidates[i].fit == POLICY_FIT && d.candidates[i].fit != POLICY_FIT)
            return false;
    return true;
}

/* In any case, as those do who obey such a field. A list of methods is none: which of them counts is
 * theirs to say. */
static bool allows_method(struct exchange *x, struct http_text value)
{
    struct policy_query q = x->query;
    char *method = http_head_alloc(&x->request, value.n + 1);
    for (size_t i = 0; i < value.n; i++) {
        const char c = value.p[i];
        if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_')
            return false;
        method[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    method[value.n] = '\0';
    q.method = method;
    return gives_the_same(x, &q);
}

static bool allows_path(struct exchange *x, struct http_text value)
{
    struct policy_query q = x->query;
    q.path = NULL;
    q.path_why = "its length";
    char *canonical = http_head_alloc(&x->request, 3 * value.n + 1);
    if (value.n <= PATH_TARGET_MAX &&
        path_canonical(value.p, value.n, canonical, &q.path_n, &q.path_why) == 0)
        q.path = canonical;
    return gives_the_same(x, &q);
}

/* Many frameworks let a field say another method or path than the request's first line has. What it says
 * must be allowed as well. */
static bool judge_overrides(struct exchange *x)
{
    static const struct {
        const char *name;
        bool (*allows)(struct exchange *x, struct http_text value);
    } fields[] = {
        {"x-http-method-override", allows_method},
        {"x-http-method", allows_method},
        {"x-method-override", allows_method},
        {"x-original-url", allows_path},
        {"x-rewrite-url", allows_path},
    };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        for (const struct http_field *f = http_fields_get(&x->request.fields, fields[i].name, NULL);
             f; f = http_fields_get(&x->request.fields, fields[i].name, f))
            if (!fields[i].allows(x, f->value)) {
                (void)err_set(&x->err, -E_DENIED,
                              "%s asks for what the policy does not allow: it is judged as the "
                              "request's own method or path would be",
                              fields[i].name);
                return deny(x, 403, "override", x->err.msg);
            }
    return true;
}

static bool judge_policy(struct exchange *x)
{
    struct policy_query *q = &x->query;
    q->host = &x->host;
    q->port = x->port;
    q->transport = x->w->tls ? POLICY_TLS : POLICY_PLAIN;
    q->method = x->connect
                    ? "GET"
                    : http_head_copy(&x->request, x->request.method.p, x->request.method.n).p;
    decide(x);
    if (x->decision.verdict == POLICY_ASK) {
        const struct exchange_calls *c = x->w->calls;
        int r = c->ask ? c->ask(x->w->arg, q, &x->decision, &x->err)
                       : err_set(&x->err, -E_DENIED,
                                 "this rule wants a person to decide, and nobody "
                                 "can be asked here");
        if (r < 0)
            return deny(x, 403, "not_granted", x->err.msg);
    }
    if (x->decision.verdict == POLICY_DENY || x->stopped) {
        exchange_refuse(x);
        return false;
    }
    x->verdict = x->decision.verdict == POLICY_OBSERVE ? "observe" : NULL;
    return judge_overrides(x);
}

/* Names under a wildcard are a channel out: those that came past the resolver count, too. */
static bool judge_name(struct exchange *x)
{
    const struct exchange_calls *c = x->w->calls;
    if (x->w->host || !c->count_name)
        return true;
    int r = c->count_name(x->w->arg, &x->host, x->port, &x->err);
    if (r >= 0)
        return true;
    return deny(x, r == -E_LIMIT ? 429 : r == -EBUSY ? 503 : 403, "names", x->err.msg);
}

static bool judge_rate(struct exchange *x, bool take)
{
    const struct policy_rule *rule = x->decision.rule;
    struct inject_limits *l = x->sandbox->limits;
    if (!l || !x->decision.counted)
        return true;
    int64_t now_ms = time_mono_ns() / NS_PER_MS;
    if (take) {
        inject_limits_take_rule(l, rule, now_ms);
        return true;
    }
    int64_t wait_ms = inject_limits_wait_rule(l, rule, now_ms);
    if (wait_ms == 0)
        return true;
    exchange_refuse_rate(x, wait_ms,
                         wait_ms < 0 ? "this session has made all requests to this host that the "
                                       "policy lets it make"
                                     : "the policy limits how many requests may be made to this "
                                       "host in a time; try again later");
    return false;
}

/* What is not known can be neither seen nor scrubbed. */
static bool judge_known(struct exchange *x)
{
    const struct exchange_calls *c = x->w->calls;
    if (!c->learn)
        return true;
    x->err.msg[0] = '\0';
    if (c->learn(x->w->arg, &x->decision, &x->err) < 0) {
        exchange_fail_source(x);
        return false;
    }
    if (x->stopped) { /* by a policy that came meanwhile */
        exchange_refuse(x);
        return false;
    }
    return true;
}

static bool judge_plan(struct exchange *x)
{
    struct exchange_sandbox *s = x->sandbox;
    struct inject_world world = {.session = s->id,
                                 .placeholders = s->placeholders,
                                 .watch = s->watch,
                                 .limits = s->limits,
                                 .now_ms = time_mono_ns() / NS_PER_MS};
    struct inject_target to = {&x->host, x->port, x->query.transport};
    struct inject_refusal no;
    int r = inject_plan(&world, &x->decision, &to, &x->request, &x->plan, &no);
    if (r == -E_DENIED)
        exchange_refuse_inject(x, &no);
    else if (r < 0)
        exchange_fail(x, 500, "proxy_internal_error", "internal", err_text(r));
    return r == 0;
}

bool exchange_judge(struct exchange *x)
{
    strip(x);
    if (!judge_protocol(x) || !judge_host(x) || !judge_path(x))
        return false;
    do {
        if (!judge_policy(x) || !judge_name(x) || !judge_rate(x, false) || !judge_known(x))
            return false;
    } while (x->policy != x->sandbox->policy); /* replaced during a wait: it may give less now */
    return judge_plan(x) && judge_rate(x, true);
}

static bool keeps_uses(const struct exchange *x, const struct policy_decision *d)
{
    for (size_t i = 0; i < x->plan.n_uses; i++) {
        bool kept = false;
        for (size_t k = 0; k < d->n_candidates && !kept; k++)
            kept = d->candidates[k].fit == POLICY_FIT &&
                   strcmp(d->candidates[k].credential->name, x->plan.uses[i].credential->name) == 0;
        if (!kept)
            return false;
    }
    return true;
}

/* Whether the address that the link leads to would be connected to. */
static bool keeps_address(const struct exchange *x, const struct policy *p,
                          const struct policy_decision *d)
{
    struct address a;
    struct err why;
    return !x->peer[0] /* none yet, or only an upstream proxy knows it */
           || (address_parse(x->peer, strlen(x->peer), &a, &why) == 0 &&
               policy_check_address(p, d, &x->host, &a, NULL, &why) == 0);
}

bool exchange_still_allowed(const struct exchange *x, struct policy *p)
{
    struct policy_decision d;
    if (!x->query.host)
        return true; /* not judged yet */
    policy_decide(p, &x->query, &d);
    bool allowed = false;
    switch (d.verdict) {
    case POLICY_ALLOW:
        allowed = true;
        break;
    case POLICY_ASK:
        allowed = x->decision.verdict == POLICY_ASK;
        break;
    case POLICY_OBSERVE:
        allowed = x->decision.verdict == POLICY_OBSERVE;
        break;
    case POLICY_DENY:
        break;
    }
    /* An answer that began unscrubbed ends when its host gets a credential. */
    const bool scrubbed = !x->origin.pipe || x->values.table || d.n_candidates == 0;
    return allowed && scrubbed && keeps_uses(x, &d) && keeps_address(x, p, &d);
}
