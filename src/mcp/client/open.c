/* open.c - one HTTP exchange of ours up to the head of its answer: headers, and a credential.
 *
 * Runs on the fiber that makes the request, or on the listener. The caller's headers, those of the protocol
 * and a token are put together; when the server refuses (401, 403), whoever gives the credentials is asked
 * for another one, and the request, which the server has told that it did not take, is made once more: a few
 * times, and then the refusal stands. The server chooses status and challenge, nothing else. Tokens are
 * wiped when the head is there. */
#include "base/time.h"
#include "mcp/client/client_internal.h"

#include <stdio.h>
#include <string.h>

static bool add_ours(struct mcp_client *c, const char *method, const struct mcp_outgoing *o,
                     const char *last_event, struct mcp_headers *h)
{
    bool ok = true, opening = o && str_eq(o->method, "initialize");
    for (size_t i = 0; i < c->headers.n; i++)
        ok = ok && mcp_headers_add(h, c->headers.rows[i].name, c->headers.rows[i].value);
    bool get = str_eq(method, "GET");
    ok = ok && mcp_headers_add(h, "Accept",
                               get ? "text/event-stream" : "application/json, text/event-stream");
    if (o)
        ok = ok && mcp_headers_add(h, "Content-Type", "application/json");
    if (c->version[0] && !opening && c->wire != MCP_WIRE_SSE)
        ok = ok && mcp_headers_add(h, "MCP-Protocol-Version", c->version);
    if (c->session[0] && !opening)
        ok = ok && mcp_headers_add(h, "Mcp-Session-Id", c->session);
    if (last_event && *last_event)
        ok = ok && mcp_headers_add(h, "Last-Event-ID", last_event);
    if (!o || c->wire != MCP_WIRE_MODERN)
        return ok;
    if (o->method)
        ok = ok && mcp_headers_add(h, "Mcp-Method", o->method);
    if (o->name) {
        AUTO(buf) value = BUF_INIT(MCP_HEADER_VALUE_MAX);
        ok = ok && mcp_header_value(&value, o->name, strlen(o->name)) == 0 &&
             mcp_headers_add(h, "Mcp-Name", buf_str(&value));
    }
    for (size_t i = 0; o->params && i < o->params->n; i++)
        ok = ok && mcp_headers_add(h, o->params->rows[i].name, o->params->rows[i].value);
    return ok;
}

/* ---- with a credential ---- */

#define REFUSALS_MAX 4 /* of one request, before the last one stands */

void mcp_credential_done(struct mcp_credential *c)
{
    secret_done(&c->token);
    buf_done(&c->proof);
    *c = (struct mcp_credential){0};
}

/* The time is that of the server: what a person takes before is not its. */
static int open_in_time(struct mcp_client *c, const struct mcp_pending *p,
                        const struct client_request *q, struct mcp_reply *ret,
                        struct mcp_failure *f)
{
    int64_t until = p ? mcp_pending_until(c, p) : time_mono_ns() + c->limits.silence_ms * NS_PER_MS;
    struct fiber_deadline d = fiber_deadline_push(until);
    int r = c->t->ops->open(c->t, q, &ret->stream, &ret->head, &f->err);
    fiber_deadline_pop(&d);
    return r < 0 ? mcp_fail_transport(f, r) : 0;
}

static int open_bearer(struct mcp_client *c, const struct mcp_pending *p,
                       const struct client_request *ask, const struct mcp_credential *cr,
                       struct mcp_reply *ret, struct mcp_failure *f)
{
    struct client_request q = *ask;
    if (cr->token.len)
        q.bearer = secret_borrow(&cr->token);
    return open_in_time(c, p, &q, ret, f);
}

static int open_dpop(struct mcp_client *c, const struct mcp_pending *p,
                     const struct client_request *ask, const struct mcp_credential *cr,
                     struct mcp_reply *ret, struct mcp_failure *f)
{
    AUTO_FREE struct client_header *rows = mem_array(ask->n_headers + 2, sizeof(*rows));
    size_t n = 0, bytes = cr->token.len + 6;
    AUTO(secret) text = {0};
    int r = secret_room(&text, bytes);
    if (r < 0)
        return mcp_fail(f, MCP_HERE, r, "no memory for a token");
    (void)snprintf(text.data, bytes, "DPoP %s", secret_borrow(&cr->token));
    for (; n < ask->n_headers; n++)
        rows[n] = ask->headers[n];
    rows[n++] = (struct client_header){"Authorization", secret_borrow(&text)};
    rows[n++] = (struct client_header){"DPoP", buf_str(&cr->proof)};
    struct client_request q = *ask;
    q.headers = rows;
    q.n_headers = n;
    return open_in_time(c, p, &q, ret, f);
}

/* A credential for a request, or another one than that which was refused. 1: there is none. While a person
 * is asked no request is late. */
static int ask_credential(struct mcp_client *c, const struct mcp_sending *s,
                          struct mcp_credential *ret, struct mcp_failure *f)
{
    int r = 1;
    if (c->o.bearer && !(s->refused && (s->refused->status != 401 || s->refused->tries > 0)))
        r = c->o.bearer(c->o.bearer_arg, s->refused != NULL, &ret->token, &f->err);
    if (c->o.authorizer.give) {
        c->asking++;
        r = c->o.authorizer.give(c->o.authorizer.arg, s, ret, &f->err);
        c->asking--;
        int64_t now = time_mono_ns();
        LIST_FOREACH (p, &c->pending, struct mcp_pending, node)
            p->progress_ns = s->refused ? now : p->progress_ns;
    }
    if (r < 0)
        f->source = r == -ECANCELED ? MCP_CANCELLED : MCP_AUTH;
    return r;
}

void mcp_reply_challenge(const struct mcp_reply *r, struct mcp_challenge *ret)
{
    AUTO_FREE char *header = mem_zalloc(4096);
    *ret = (struct mcp_challenge){0};
    if (client_response_header(&r->head, "www-authenticate", header, 4096))
        mcp_challenge_read(header, ret);
}

/* What an authorizer has in place of what was refused. */
static int after_refusal(struct mcp_client *c, struct mcp_sending s, unsigned tries,
                         const struct mcp_reply *r, struct mcp_credential *cr,
                         struct mcp_failure *f)
{
    struct mcp_challenge challenge;
    char nonce[256] = "";
    mcp_reply_challenge(r, &challenge);
    (void)client_response_header(&r->head, "dpop-nonce", nonce, sizeof(nonce));
    const struct mcp_refusal refusal = {.status = r->head.status,
                                        .challenge = &challenge,
                                        .nonce = nonce,
                                        .token = &cr->token,
                                        .tries = tries,
                                        .granted = cr->granted};
    s.refused = &refusal;
    AUTO(mcp_credential) other = {.proof = BUF_INIT(MCP_HEADER_VALUE_MAX)};
    int code = ask_credential(c, &s, &other, f);
    if (code != 0)
        return code;
    other.granted = other.granted || cr->granted;
    mcp_credential_done(cr);
    *cr = other;
    other = (struct mcp_credential){0};
    return 0;
}

static int open_authorized(struct mcp_client *c, const struct mcp_pending *p, bool quiet,
                           struct client_request *q, struct mcp_reply *ret, struct mcp_failure *f)
{
    AUTO(mcp_credential) cr = {.proof = BUF_INIT(MCP_HEADER_VALUE_MAX)};
    const struct mcp_sending s = {.method = q->method, .url = q->url, .quiet = quiet};
    int r = ask_credential(c, &s, &cr, f);
    for (unsigned tries = 0; r >= 0; tries++) {
        r = cr.proof.len ? open_dpop(c, p, q, &cr, ret, f) : open_bearer(c, p, q, &cr, ret, f);
        bool refused = r == 0 && (ret->head.status == 401 || ret->head.status == 403);
        if (!refused || tries == REFUSALS_MAX)
            return r;
        r = after_refusal(c, s, tries, ret, &cr, f);
        if (r == 1)
            return 0; /* the refusal is the answer */
        mcp_reply_done(c, ret);
        /* A person may have taken minutes, and the server has closed what was open meanwhile. */
        q->once = c->o.authorizer.give != NULL;
    }
    return r;
}

/* What only tells that something is over. (notifications/initialized is part of opening a session, which
 * a server may want a token for.) */
static bool is_farewell(const char *method, const struct mcp_outgoing *o)
{
    return str_eq(method, "DELETE") || (o && str_eq(o->method, "notifications/cancelled"));
}

int mcp_exchange_open(struct mcp_client *c, const struct mcp_pending *p, const char *method,
                      const char *url, const struct mcp_outgoing *o, const char *last_event,
                      struct mcp_reply *ret, struct mcp_failure *f)
{
    AUTO(mcp_headers) h = {0};
    *ret = (struct mcp_reply){0};
    if (!add_ours(c, method, o, last_event, &h))
        return mcp_fail(f, MCP_HERE, -EINVAL, "the request needs more headers than are sent");
    struct client_request q = {
        .method = method,
        .url = url,
        .headers = h.rows,
        .n_headers = h.n,
        .body = o ? o->text : NULL,
        .body_len = o ? o->len : 0,
        .no_repeat = o && !o->repeatable,
        .decode = true,
    };
    return open_authorized(c, p, is_farewell(method, o), &q, ret, f);
}
