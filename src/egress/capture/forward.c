/* forward.c - reading what a client of the explicit proxy wants, and doing it.
 *
 * Theory of operation. On the connection's fiber. The head is peeked at, never consumed but for that of
 * a CONNECT: what follows it in the socket is then read by whoever serves the connection, which is
 * looked at like one that was made to the host itself. A request in absolute form is handed on unread.
 * The client controls everything; heads are read by the strict reader of http/wire (RFC 9112), hosts
 * by the canonical one of the policy.
 *
 * CONNECT is decided here once, without knowing what will be spoken, because this is the one moment
 * when a refusal can be given in words without TLS; the handler decides again. A name that comes this
 * way was never asked of the resolver: it is counted here (A27).
 *
 * Every answer of our own ends the connection. */
#include "egress/capture/forward.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/time.h"
#include "egress/capture/front_internal.h"
#include "egress/policy/refusal.h"
#include "http/pipe/message.h"
#include "http/wire/h1.h"

#include <string.h>

#define HEAD_MS 10000

void forward_strip(struct http_head *h)
{
    (void)http_fields_remove(&h->fields, "proxy-authorization");
}

/* ---- reading ---- */

static void bad(struct forward_head *ret, int status, const char *why)
{
    ret->kind = FORWARD_BAD;
    ret->status = status;
    (void)str_copy(ret->why, sizeof(ret->why), why);
}

/* The authority of the target. Port 0 when it says none. */
static bool read_authority(const char *p, struct h1_part a, struct forward_head *ret)
{
    struct err e = {0};
    if (host_parse_authority(p + a.at, a.n, HOST_LITERALS, &ret->host, &ret->port, &e) == 0)
        return true;
    bad(ret, 400, e.msg);
    return false;
}

static void read_connect(const char *p, const struct h1_head *h, struct forward_head *ret)
{
    if (!read_authority(p, h->authority, ret))
        return;
    if (ret->port == 0)
        bad(ret, 400, "The target of CONNECT has no port.");
    else
        ret->kind = FORWARD_CONNECT;
}

static void read_absolute(const char *p, const struct h1_head *h, struct forward_head *ret)
{
    if (h->target_https) {
        bad(ret, 400, "This proxy does not speak TLS for its clients; ask for https with CONNECT.");
        return;
    }
    if (!read_authority(p, h->authority, ret))
        return;
    if (ret->port == 0)
        ret->port = 80;
    ret->kind = str_eq(ret->host.text, LOOKUP_SELF) ? FORWARD_SELF : FORWARD_ABSOLUTE;
}

static bool part_is(const char *p, struct h1_part a, const char *text)
{
    return a.n == strlen(text) && memcmp(p + a.at, text, a.n) == 0;
}

int forward_read(const char *p, size_t n, struct forward_head *ret)
{
    static const struct h1_limits limits = {.bytes = LIMIT_HEADER_BYTES,
                                            .fields = LIMIT_HEADER_COUNT,
                                            .target = LIMIT_TARGET_BYTES,
                                            .connect = true};
    AUTO_FREE struct h1_head *h = mem_new(struct h1_head); /* too large for a fiber's frame */
    int status = 400;
    const char *why = "";
    *ret = (struct forward_head){.kind = FORWARD_BAD};
    ssize_t r = h1_request_scan(p, n, &limits, h, &status, &why);
    if (r == -EAGAIN)
        return -EAGAIN;
    if (r < 0) {
        bad(ret, status, why);
        return 0;
    }
    ret->bytes = (size_t)r;
    if (part_is(p, h->method, "CONNECT"))
        read_connect(p, h, ret);
    else if (part_is(p, h->target, "*"))
        ret->kind = FORWARD_OPTIONS;
    else if (h->authority.n == 0)
        bad(ret, 400,
            "This is a proxy: the target of a request is a whole URL, http://HOST/PATH, or CONNECT "
            "HOST:PORT.");
    else
        read_absolute(p, h, ret);
    return 0;
}

/* ---- serving ---- */

/* Waits for the whole head. 0 or a code; what it is about is in *ret. */
static int wait_for_head(struct conn *c, struct forward_head *ret)
{
    /* Filled and judged without a suspension between; the process has one loop. */
    static char room[LIMIT_HEADER_BYTES + 2];
    struct peek k;
    peek_begin(&k, time_mono_ns() + HEAD_MS * NS_PER_MS);
    for (;;) {
        ssize_t n = peek_look(&k, &c->stream.io, room, sizeof(room));
        if (n < 0)
            return (int)n;
        if (n == 0 && k.ended)
            return -E_CLOSED;
        if (n > 0 && forward_read(room, (size_t)n, ret) == 0)
            return 0;
        if (k.ended) {
            bad(ret, 400, "The request ends within its head.");
            return 0;
        }
        int r = peek_wait(&k, &c->stream.io, FIBER_NO_DEADLINE);
        if (r < 0)
            return r;
    }
}

static int consume(struct conn *c, size_t n)
{
    char dropped[1024];
    while (n > 0) {
        ssize_t k = stream_read(&c->stream, dropped, n < sizeof(dropped) ? n : sizeof(dropped));
        if (k <= 0)
            return k < 0 ? (int)k : -E_CLOSED;
        n -= (size_t)k;
    }
    return 0;
}

/* A client that has resolved the name itself asks for its synthetic address. False: answered. */
static bool name_of_literal(struct conn *c, struct host *h)
{
    struct address a;
    uint32_t index;
    bool v6 = h->kind == HOST_IPV6;
    if (h->kind == HOST_NAME || address_parse(h->text + v6, h->n - 2u * v6, &a, NULL) < 0 ||
        names_index_of(&a, &index) < 0)
        return true;
    struct name *name = names_of_index(c->binding->names, index);
    if (!name) {
        front_tell(c->binding, FRONT_NO_NAME, h, c->port, "CONNECT to an address without a name");
        reply_error(c, 403, "egress_denied", "destination_ip_prohibited",
                    "This address stands for no name; ask for the name.");
        return false;
    }
    names_hold(c->binding->names, name);
    c->name = name;
    *h = name->host;
    return true;
}

static void answer_denied(struct conn *c, const struct policy_query *q,
                          const struct policy_decision *d)
{
    /* The words are made first: telling suspends, and the policy may be another one then. */
    AUTO(buf) body = BUF_INIT(REFUSAL_BODY_MAX);
    refusal_body(q, d, &body);
    front_tell(c->binding, FRONT_DENIED, q->host, q->port, "no rule allows CONNECT to it");
    reply_and_end(c, 403, "application/json", "", "http_request_denied", "no rule allows this host",
                  buf_str(&body), body.len);
}

/* Whether the policy lets it pass. False: answered. */
static bool policy_lets(struct conn *c)
{
    struct policy_decision d;
    struct policy_query q = {.host = &c->target, .port = c->port};
    policy_decide(c->binding->policy, &q, &d);
    if (d.verdict != POLICY_DENY)
        return true;
    answer_denied(c, &q, &d);
    return false;
}

/* Whether the name may be used like one that was asked for. False: answered. */
static bool name_counts(struct conn *c)
{
    struct err e = {0};
    int r = c->name ? 0 : front_count_name(c->binding, &c->target, c->port, &e);
    if (r == -E_LIMIT)
        reply_error(c, 429, "rate_limit_error", "http_request_denied", e.msg);
    else if (r == -EBUSY)
        reply_error(c, 503, "overloaded_error", "proxy_internal_error", e.msg);
    else if (r < 0)
        reply_error(c, 403, "egress_denied", "http_request_denied", e.msg);
    return r == 0;
}

static void serve_connect(struct conn *c, struct forward_head *h)
{
    static const char ok[] = "HTTP/1.1 200 Connection established\r\n\r\n";
    c->port = h->port;
    c->target = h->host;
    bool self = str_eq(c->target.text, LOOKUP_SELF);
    if (!name_of_literal(c, &c->target) || (!self && (!policy_lets(c) || !name_counts(c))))
        return;
    struct fiber_deadline d = fiber_deadline_push_ms(HEAD_MS);
    int r = consume(c, h->bytes);
    if (r == 0)
        r = stream_write(&c->stream, ok, sizeof(ok) - 1);
    fiber_deadline_pop(&d);
    if (r == 0)
        claim_speak(c);
}

static void serve_absolute(struct conn *c)
{
    const struct front *f = c->binding->front;
    c->claim = (struct front_claim){
        .binding = c->binding, .kind = DETECT_HTTP1, .transport = POLICY_PLAIN, .each = true};
    f->o.serve(f->o.arg, &c->claim, &c->stream);
}

static void serve_head(struct conn *c, struct forward_head *h)
{
    switch (h->kind) {
    case FORWARD_CONNECT:
        serve_connect(c, h);
        break;
    case FORWARD_ABSOLUTE:
        serve_absolute(c);
        break;
    case FORWARD_SELF:
        self_serve(c);
        break;
    case FORWARD_OPTIONS:
        reply_and_end(c, 200, NULL,
                      "Allow: CONNECT, DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT\r\n", NULL,
                      NULL, "", 0);
        break;
    case FORWARD_BAD:
        front_tell(c->binding, FRONT_BAD_REQUEST, NULL, c->port, h->why);
        reply_error(c, h->status, "invalid_request_error", "http_request_error", h->why);
        break;
    }
}

void forward_serve(struct conn *c)
{
    struct forward_head h;
    int r = wait_for_head(c, &h);
    if (r == -ETIMEDOUT) {
        front_tell(c->binding, FRONT_NOT_TOLD, NULL, c->port,
                   "the client of the proxy did not send a request in time");
        stream_reset(&c->stream);
    } else if (r == 0) {
        serve_head(c, &h);
    }
}
