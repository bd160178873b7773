/* exchange_answer.c - the answers that do not come from the origin.
 *
 * Called on the fiber that answers. The reader is a model, or a person behind it: the body is JSON
 * whatever the request accepts, says what was wrong and what helps, and never what the sandbox sent but
 * as JSON strings. Every one has Proxy-Status (RFC 9209), so that it can be told from the origin's. When
 * the origin's answer has begun already nothing can be said any more: the exchange is cut off. */
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"
#include "egress/policy/refusal.h"
#include "egress/proxy/exchange_internal.h"

#define BODY_MAX (32u << 10)

void exchange_blame(struct exchange *x, const char *verdict, const char *reason, const char *words)
{
    if (x->reason)
        return;
    x->verdict = verdict;
    x->reason = reason;
    if (words)
        str_copy(x->note, sizeof(x->note), words);
}

void exchange_blame_cut(struct exchange *x, int r, const char *reason)
{
    if (x->stopped)
        exchange_blame(x, "deny", "policy_changed", NULL);
    else if (r == -ETIMEDOUT)
        exchange_blame(x, "error", "timeout", NULL);
    else if (fiber_cancelled()) /* HTTP/2 does so when the client resets its stream */
        exchange_blame(x, "error", http_gone(x->client) ? "client_gone" : "cancelled", NULL);
    else
        exchange_blame(x, "error", reason, NULL);
}

static int send_answer(struct exchange *x, const struct http_head *h, const struct buf *body)
{
    int r = http_send_head(x->client, h);
    if (r == 0 && h->body != HTTP_BODY_NONE) {
        r = http_send_body(x->client, body->data, body->len, true);
        if (r == 0)
            r = http_send_end(x->client, NULL);
    }
    return r;
}

/* Sends body, which is JSON. */
static void answer(struct exchange *x, int status, const char *type, const char *details,
                   struct buf *body, int64_t retry_after_ms)
{
    if (x->answered) {
        http_reset(x->client, HTTP_RESET_INTERNAL);
        return;
    }
    x->answered = true;
    x->status = status;
    AUTO(buf) proxy_status = BUF_INIT(REFUSAL_PROXY_STATUS_MAX);
    refusal_proxy_status(type, details, &proxy_status);
    struct http_head h;
    http_head_init(&h);
    h.status = status;
    h.body = x->head_only ? HTTP_BODY_NONE : HTTP_BODY_LENGTH;
    h.has_length = true;
    h.length = body->len;
    int r = http_head_add(&h, HTTP_TEXT("content-type"), HTTP_TEXT("application/json"));
    if (r == 0)
        r = http_head_add(&h, HTTP_TEXT("cache-control"), HTTP_TEXT("no-store"));
    if (r == 0)
        r = http_head_add(&h, HTTP_TEXT("proxy-status"),
                          (struct http_text){buf_str(&proxy_status), proxy_status.len});
    char seconds[24];
    if (r == 0 && retry_after_ms > 0) {
        int n =
            snprintf(seconds, sizeof(seconds), "%lld", (long long)(retry_after_ms + 999) / 1000);
        r = http_head_add(&h, HTTP_TEXT("retry-after"), (struct http_text){seconds, (size_t)n});
    }
    MUST(r == 0);
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(LIMIT_EXCHANGE_SILENCE_MS);
    r = send_answer(x, &h, body);
    http_head_done(&h);
    if (r < 0) {
        x->client_failed = true;
        return;
    }
    x->received += body->len;
    x->complete = true;
}

void exchange_refuse(struct exchange *x)
{
    struct policy_decision now;
    const struct policy_decision *d = &x->decision;
    if (x->stopped) {
        policy_decide(x->sandbox->policy, &x->query, &now);
        d = &now;
    }
    if (d->verdict != POLICY_DENY) {
        exchange_fail(
            x, 403, "http_request_denied", "policy_changed",
            "the egress policy has changed while this request was under way; send it again");
        return;
    }
    exchange_blame(x, "deny", x->stopped ? "policy_changed" : "policy", NULL);
    AUTO(buf) body = BUF_INIT(REFUSAL_BODY_MAX);
    refusal_body(&x->query, d, &body);
    answer(x, 403, "http_request_denied", "the egress policy of this sandbox does not allow it",
           &body, 0);
}

void exchange_refuse_inject(struct exchange *x, const struct inject_refusal *no)
{
    exchange_blame(x, no->why == INJECT_UNSUBSTITUTED ? "error" : "deny", inject_why_name(no->why),
                   no->words);
    AUTO(buf) body = BUF_INIT(BODY_MAX);
    inject_refusal_body(no, &x->host, &body);
    answer(x, no->status, inject_proxy_error(no), no->words, &body,
           no->why == INJECT_LIMITED ? no->retry_after_ms : 0);
}

static void say(struct exchange *x, int status, const char *type, const char *reason,
                const char *words, int64_t retry_after_ms)
{
    AUTO_JSON json_t *j = json_typed("error");
    json_t *error = json_typed(reason);
    json_put_str(error, "message", words);
    json_put(j, "error", error);
    if (x->host.kind != HOST_NONE) {
        json_put_str(j, "host", x->host.text);
        json_put_int(j, "port", x->port);
    }
    AUTO(buf) body = BUF_INIT(BODY_MAX);
    (void)json_print(&body, j);
    answer(x, status, type, words, &body, retry_after_ms);
}

void exchange_fail(struct exchange *x, int status, const char *type, const char *reason,
                   const char *words)
{
    exchange_blame(x, status == 403 || status == 421 ? "deny" : "error", reason, words);
    say(x, status, type, reason, words, 0);
}

void exchange_refuse_rate(struct exchange *x, int64_t wait_ms, const char *words)
{
    exchange_blame(x, "deny", "rate_limited", words);
    say(x, 429, "http_request_denied", "rate_limited", words, wait_ms);
}
