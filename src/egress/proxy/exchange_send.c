/* exchange_send.c - from the plan to the head of the request on its way to the origin.
 *
 * Called on the exchange's fiber. Nothing has gone out yet, so everything that fails here is answered
 * with words. Secrets are borrowed from here until the head is sent, and no longer than the exchange.
 *
 * The use of a credential is in the audit log's queue before its first byte goes out, and not waited
 * for: room was reserved, so it cannot be refused any more; it is kept by the client until the writer
 * has it, and sent again when the writer comes back. Waiting would cost every request a round trip and
 * a write to the disk; what it would gain is the record of a request that is under way while this
 * process and its queue die within the same turn of the loop. */
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"
#include "egress/policy/inject.h"
#include "egress/proxy/websocket.h"

static bool internal(struct exchange *x, int r)
{
    exchange_fail(x, 500, "proxy_internal_error", "internal", err_text(r));
    return false;
}

/* Room for one record for each use. */
static bool reserve(struct exchange *x)
{
    if (x->plan.n_uses == 0)
        return true;
    int r = audit_reserve(x->w->audit, x->plan.n_uses, &x->uses_room, &x->err);
    if (r < 0)
        exchange_fail(x, 503, "proxy_internal_error", "audit", x->err.msg);
    else if (x->w->calls
                 ->before_record) /* here, since nothing may suspend between record and head */
        x->w->calls->before_record(x->w->arg);
    return r == 0;
}

void exchange_fail_source(struct exchange *x)
{
    exchange_fail(x, 502, "proxy_internal_error", "source_unavailable",
                  "a secret could not be read from its source, or could not be guarded; "
                  "a person who runs this worker finds the reason in its audit log");
    /* for the log alone: it says things about the host */
    str_copy(x->note, sizeof(x->note), x->err.msg);
}

static bool fetch(struct exchange *x)
{
    const struct exchange_calls *c = x->w->calls;
    if (x->plan.n_uses == 0 && x->decision.n_candidates == 0 &&
        !(c->may_know && c->may_know(x->w->arg, &x->query)))
        return true;
    x->err.msg[0] = '\0';
    int r = c->secrets(x->w->arg, x->sandbox, &x->plan, &x->values, &x->err);
    if (r < 0) {
        exchange_fail_source(x);
        return false;
    }
    x->has_values = true;
    /* Without a table an answer cannot be scrubbed. A policy that came meanwhile may have none of these
     * credentials any more; then the request is refused next (x->stopped). */
    if (x->values.table || x->plan.n_uses == 0 || x->stopped)
        return true;
    exchange_fail_source(x);
    return false;
}

/* Reads the whole body, through the plan, into x->collected. */
static int collect(struct exchange *x, struct inject_refusal *no)
{
    struct exchange_room room = {.n = 0};
    x->collected = exchange_buf_take(x->w->spares);
    x->has_collected = true;
    x->request.expect_continue = false; /* it is our own wait now */
    int r = 0;
    for (ssize_t n = 1; r >= 0 && n > 0;) {
        exchange_room_fit(x->w->spares, &room, true);
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(LIMIT_EXCHANGE_SILENCE_MS);
        n = http_read_body(x->client, room.p, room.n, NULL);
        if (n < 0)
            r = (int)n;
        if (n <= 0)
            break;
        if ((size_t)n > room.used)
            room.used = (size_t)n;
        x->sent += (uint64_t)n;
        const uint8_t *p = room.p;
        size_t left = (size_t)n;
        do
            r = inject_body_feed(&x->body, &p, &left, &x->collected, no);
        while (r > 0);
    }
    exchange_room_done(x->w->spares, &room);
    if (r == 0)
        r = inject_body_end(&x->body, &x->collected, no);
    if (r == 0)
        inject_body_set_length(&x->request, x->collected.len);
    return r;
}

/* Puts the secrets in. */
static bool apply(struct exchange *x)
{
    struct http_head *h = &x->request;
    struct inject_refusal no;
    int r = 0;
    bool carries = h->body != HTTP_BODY_NONE || x->websocket;
    bool whole = carries && inject_body_wants_whole(&x->plan, h);
    if (carries) {
        r = inject_body_begin(&x->body, &x->plan, x->values.values, h);
        x->looks = r == 0;
    }
    if (r == 0)
        r = inject_apply(&x->plan, x->values.values, h, &no);
    if (r == 0 && whole) {
        r = collect(x, &no);
        if (r < 0 && r != -E_DENIED && r != -EMSGSIZE && r != -ENOMEM) {
            x->client_failed = true;
            exchange_blame_cut(x, r, "client_gone");
            return false;
        }
    }
    if (r == 0 && (x->values.table || (x->websocket && websocket_looks(x))))
        r = reply_ask(h);
    if (r == -E_DENIED) {
        exchange_refuse_inject(x, &no);
        if (no.why == INJECT_UNSUBSTITUTED && x->err.msg[0])
            str_copy(x->note, sizeof(x->note), x->err.msg);
        return false;
    }
    return r == 0 ? true : internal(x, r);
}

static const char *type_of(int r)
{
    return r == -ETIMEDOUT  ? "connection_timeout"
           : r == -E_DENIED ? "destination_ip_prohibited"
           : r == -E_TLS    ? "tls_protocol_error"
                            : "destination_unavailable";
}

static bool connect_origin(struct exchange *x, bool fresh)
{
    const char *type = NULL;
    struct exchange_want want = {.host = &x->host,
                                 .port = x->port,
                                 .tls = x->w->tls,
                                 .decision = &x->decision,
                                 .policy = x->policy,
                                 .version = x->client->version,
                                 .fresh = fresh};
    int r = x->w->calls->origin(x->w->arg, &want, &x->origin, &type, &x->err);
    if (r < 0) {
        exchange_fail(x,
                      r == -E_DENIED    ? 403
                      : r == -ETIMEDOUT ? 504
                                        : 502,
                      type ? type : type_of(r),
                      r == -E_DENIED ? "address_denied" : "origin_unreachable", x->err.msg);
        return false;
    }
    str_copy(x->peer, sizeof(x->peer), x->origin.peer);
    if (x->websocket && x->origin.pipe->version != x->client->version) {
        exchange_fail(x, 502, "proxy_internal_error", "version",
                      "a WebSocket cannot be carried from one version of HTTP to another");
        return false;
    }
    return true;
}

void exchange_drop_origin(struct exchange *x)
{
    if (!x->origin.pipe)
        return;
    http_pipe_close(TAKE(x->origin.pipe));
    x->w->calls->origin_done(x->w->arg, &x->origin);
}

static void places_text(unsigned places, struct buf *out)
{
    for (unsigned k = 0; k < INJECT_KINDS; k++)
        if (places & 1u << k)
            (void)buf_addf(out, "%s%s", out->len ? "," : "", inject_kind_name((enum inject_kind)k));
}

static void record_uses(struct exchange *x)
{
    const struct exchange_sandbox *s = x->sandbox;
    for (size_t i = 0; i < x->plan.n_uses && x->uses_room.n > 0; i++) {
        const struct inject_use *u = &x->plan.uses[i];
        if (!x->values.values[i])
            continue;
        AUTO(buf) places = BUF_INIT(256);
        places_text(u->places, &places);
        struct audit_record r = {
            .kind = AUDIT_CREDENTIAL,
            .session = audit_text(s->session),
            .call = audit_text(x->call[0] ? x->call : NULL),
            .sandbox = audit_text(s->id),
            .policy = audit_text(policy_hash(x->policy)),
            .credential = audit_text(u->credential->name),
            .place = audit_text(buf_str(&places)),
            .method = exchange_recorded(x, x->request.method),
            .host = exchange_recorded(x, (struct http_text){x->host.text, x->host.n}),
            .path = exchange_recorded(x, x->path),
            .peer = audit_text(x->peer),
            .port = x->port};
        audit_append(&x->uses_room, &r);
    }
}

static bool idempotent(struct http_text method)
{
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (http_text_eq(method, methods[i]))
            return true;
    return false;
}

bool exchange_may_retry(const struct exchange *x, int r)
{
    /* an idle link that its origin has closed while the request was on its way (RFC 9112 9.3.1) */
    return (r == -E_CLOSED || r == -ECONNRESET || r == -EPIPE) && x->origin.reused && !x->stopped &&
           x->request.body == HTTP_BODY_NONE && idempotent(x->request.method);
}

/* Whether it may go to the link that is there now: when a policy came while it was dialled, the exchange
 * had neither link nor address to be judged by, and of two policies the first may have given the host what
 * the second has taken away. */
static bool may_send(const struct exchange *x, struct policy *now)
{
    const struct exchange_calls *c = x->w->calls;
    return x->policy == now ||
           (exchange_still_allowed(x, now) &&
            (x->values.table || !c->may_know || !c->may_know(x->w->arg, &x->query)));
}

/* The head, and when there is no body the first head of the answer, so that a dead link is noticed while
 * another can be had. What came of it is x->first. */
static bool send_head(struct exchange *x)
{
    for (bool fresh = false;; fresh = true) {
        if (!connect_origin(x, fresh))
            return false;
        if (!may_send(x, x->sandbox->policy))
            x->stopped = true;
        if (x->stopped) {
            exchange_refuse(x);
            return false;
        }
        if (!fresh)
            record_uses(x);
        x->err.msg[0] = '\0';
        int r = http_send_head(x->origin.pipe, &x->request);
        /* with what follows in one write, when that is here */
        bool more = x->request.body != HTTP_BODY_NONE || x->websocket;
        if (r == 0 && more && (x->websocket || !(x->has_collected || http_ready(x->client))))
            r = http_flush(x->origin.pipe);
        if (r == 0 && x->request.body == HTTP_BODY_NONE && !x->connect)
            r = exchange_read_head(x);
        if (r == 0) {
            x->first = x->response.status ? 1 : 0;
            return true;
        }
        if (fresh || !exchange_may_retry(x, r)) {
            x->first = r;
            return true;
        }
        exchange_drop_origin(x);
    }
}

bool exchange_send(struct exchange *x)
{
    if (!reserve(x) || !fetch(x))
        return false;
    if (x->stopped) {
        exchange_refuse(x);
        return false;
    }
    return apply(x) && send_head(x);
}
