/* forward_failure.c - what a caller hears when its request is not forwarded, and what the log says.
 *
 * Called on the request's fiber. Who has said no is in every answer (gateway_failure), so that a model or a
 * person can act on it. Callers are strangers: names and addresses of the private side, and words of its
 * servers, stay in the log, which anyone may make grow and which is therefore written once a second. What
 * fails after an answer has begun is a cut: half an answer is never ended as if it were whole. */
#include "tunnel/gateway/forward_internal.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/fiber.h"

#include <string.h>

#define FAILURE_BYTES (256u << 10) /* of a batch: one for each message */

static const char *const source_texts[] = {"policy",          "dns",         "tls",
                                           "connect",         "timeout",     "protocol",
                                           "upstream_closed", "busy",        "credential",
                                           "audit",           "caller_keys", "internal"};

METRIC_COUNTER(n_requests, "sallyport_gateway_requests_total", "outcome=\"answered\"",
               "Requests that came through the tunnel, by their outcome")
METRIC_COUNTER(n_refused, "sallyport_gateway_requests_total", "outcome=\"refused\"",
               "Requests that came through the tunnel, by their outcome")
METRIC_COUNTER(n_broken, "sallyport_gateway_requests_total", "outcome=\"failed\"",
               "Requests that came through the tunnel, by their outcome")

void forward_count_answer(void)
{
    metric_add(&n_requests, 1);
}

json_t *forward_failure_json(const struct gateway_request *q, enum failure_source source,
                             const json_t *id, int code, const char *rule, const char *words)
{
    json_t *o = json_new_object(), *failure = json_new_object();
    json_t *data = json_new_object(), *error = json_new_object();
    json_put_str(failure, "source", source_texts[source]);
    if (q->route)
        json_put_str(failure, "route", q->route->host.text);
    if (source == CREDENTIAL && q->route && q->route->credential)
        json_put_str(failure, "credential", q->route->credential->name);
    if (rule)
        json_put_str(failure, "rule", rule);
    json_put(data, "gateway_failure", failure);
    json_put_int(error, "code", code);
    json_put_str(error, "message", words);
    json_put(error, "data", data);
    json_put_str(o, "jsonrpc", "2.0");
    json_put(o, "id", id ? json_deep_copy(id) : json_null());
    json_put(o, "error", error);
    return o;
}

/* The caller's doing, and not a failure of the route: a rule, or what it has not shown. */
static bool is_refusal(int status, enum failure_source s)
{
    return s == POLICY || (s == CREDENTIAL && status == 401);
}

/* What a caller hears: whose fault it was. Names and addresses of the private side stay in the log. */
static const char *words_for(int status, enum failure_source s, const char *own)
{
    static const char *const texts[] = {
        [DNS] = "the name of the route's server has no address",
        [TLS] = "the route's server has not shown a certificate that the gateway trusts",
        [CONNECT] = "the route's server cannot be reached",
        [TIMEOUT] = "the route's server took too long",
        [PROTOCOL] = "what the route's server answered is not HTTP with one reading",
        [UPSTREAM_CLOSED] = "the route's server ended the connection without an answer",
        [BUSY] = "the gateway has too many requests; try again later",
        [CREDENTIAL] = "the gateway cannot read the route's credential now",
        [AUDIT] = "the gateway cannot record the call, and makes none that is not recorded",
        [CALLER_KEYS] = "the keys by which callers' tokens are checked cannot be had; try later",
        [INTERNAL] = "the gateway failed",
    };
    return is_refusal(status, s) ? own : texts[s];
}

/* Everyone may cause these: told once a second, and counted always. */
void forward_tell(const struct gateway_request *q, int status, const char *words)
{
    int64_t now = time_mono_ns();
    struct gateway_forward *f = q->f;
    if (now - f->told_ns >= NS_PER_S) {
        f->told_ns = now;
        log_info("a request was not forwarded", "host=%s status=%d source=%s why=%s", q->host->text,
                 status, source_texts[q->source], log_q(words));
        return;
    }
    log_debug("a request was not forwarded", "host=%s status=%d source=%s why=%s", q->host->text,
              status, source_texts[q->source], log_q(words));
}

int forward_print_event(struct buf *out, const char *message, size_t n)
{
    const char *p = message, *end = message + n;
    (void)buf_adds(out, "event: message\n");
    while (p < end) { /* white space between the values of a message may be lines */
        const char *stop = p;
        while (stop < end && *stop != '\n' && *stop != '\r')
            stop++;
        (void)buf_adds(out, "data: ");
        (void)buf_add(out, p, (size_t)(stop - p));
        (void)buf_addc(out, '\n');
        p = stop < end ? stop + 1 : end;
    }
    return buf_addc(out, '\n');
}

/* The last event of a stream that was begun so that the caller is not left in silence. */
static void refuse_in_stream(struct gateway_request *q, const struct buf *text)
{
    AUTO(buf) event = BUF_INIT(FAILURE_BYTES + 64);
    AUTO(fiber_deadline) d = fiber_deadline_push(forward_write_until_ns(q));
    int r = forward_print_event(&event, buf_str(text), text->len);
    if (r == 0)
        r = http_send_body(q->caller, event.data, event.len, true);
    q->received += r == 0 ? event.len : 0;
    if (r == 0)
        r = http_send_end(q->caller, NULL);
    (void)!forward_written(q, r);
    q->answered = true;
}

void forward_refuse(struct gateway_request *q, int status, const json_t *body)
{
    AUTO(buf) text = BUF_INIT(FAILURE_BYTES);
    if (q->answered) {
        http_reset(q->caller, HTTP_RESET_INTERNAL);
        return;
    }
    if (q->stream_begun) {
        (void)json_print(&text, body);
        refuse_in_stream(q, &text);
        return;
    }
    int r = json_print(&text, body);
    bool head_only = http_text_eq(q->head.method, "HEAD");
    struct http_head h;
    http_head_init(&h);
    h.status = q->status = status;
    h.body = head_only ? HTTP_BODY_NONE : HTTP_BODY_LENGTH;
    h.has_length = true;
    h.length = text.len;
    AUTO(fiber_deadline) d = fiber_deadline_push(forward_write_until_ns(q));
    if (r == 0)
        r = http_head_add(&h, HTTP_TEXT("content-type"), HTTP_TEXT("application/json"));
    if (r == 0 && q->challenge)
        r = http_head_add(&h, HTTP_TEXT("www-authenticate"), http_text_of(q->challenge));
    if (r == 0)
        r = http_send_head(q->caller, &h);
    if (r == 0 && !head_only)
        r = http_send_body(q->caller, text.data, text.len, false);
    q->received += r == 0 ? text.len : 0;
    if (r == 0 && !head_only)
        r = http_send_end(q->caller, NULL);
    (void)!forward_written(q, r);
    q->answered = true;
    http_head_done(&h);
}

enum failure_source forward_source_of(const char *text)
{
    for (size_t i = 0; text && i < ARRAY_LEN(source_texts); i++)
        if (str_eq(text, source_texts[i]))
            return (enum failure_source)i;
    return INTERNAL;
}

/* For /status and the route's series; the words of the log have been told to nobody else. */
static void note_failure(struct gateway_request *q, int status, const char *words)
{
    const struct health_failure f = {.host = q->host->text,
                                     .route = q->route ? q->route->host.text : NULL,
                                     .source = source_texts[q->source],
                                     .words = words,
                                     .status = status};
    q->outcome = is_refusal(status, q->source) ? HEALTH_REFUSED : HEALTH_FAILED;
    health_failed(q->f->o.health, &f);
}

void forward_fail(struct gateway_request *q, int status, enum failure_source source,
                  const char *words)
{
    q->source = source;
    q->verdict = is_refusal(status, source) ? "deny" : "error";
    q->reason = source_texts[source];
    metric_add(is_refusal(status, source) ? &n_refused : &n_broken, 1);
    forward_tell(q, status, words);
    note_failure(q, status, words);
    AUTO_JSON json_t *j =
        forward_failure_json(q, source, q->call.id, -32000, NULL, words_for(status, source, words));
    forward_refuse(q, status, j);
}

void forward_note_refusal(struct gateway_request *q, int status, const char *rule,
                          const char *words)
{
    q->source = POLICY;
    q->verdict = "deny";
    q->reason = source_texts[POLICY];
    (void)str_copy(q->rule, sizeof(q->rule), rule);
    metric_add(&n_refused, 1);
    forward_tell(q, status, words);
    note_failure(q, status, words);
}

static int status_of(enum failure_source s)
{
    return s == POLICY ? 403 : s == TIMEOUT ? 504 : s == INTERNAL ? 500 : 502;
}

void forward_fail_to_reach(struct gateway_request *q, const struct err *e)
{
    static const char closed[] =
        "the route leads to an address that the gateway may not connect to";
    if (q->source == POLICY) {
        forward_tell(q, 403, e->msg);
        forward_fail(q, 403, POLICY, closed);
    } else {
        forward_fail(q, status_of(q->source), q->source, e->msg);
    }
}
