/* connection.c - what becomes of one connection of which it is known what it wants.
 *
 * On the connection's own fiber, called by capture/front. Three ways: it is passed through (relay.c),
 * when the policy allows it and needs to see nothing; it is looked into, when something depends on
 * what is inside; or it is refused. A refusal of HTTP is an answer that a model can read, so such a
 * connection is served, too, and each of its requests is told no (exchange.c asks the policy again).
 * Another protocol is reset. Each of the three leaves a record.
 *
 * A head that cannot be read is no exchange. It is answered here, and leaves a record when its connection
 * ends: one for all of them, since HTTP/2 can bring any number. */
#include "egress/proxy/world.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "egress/capture/forward.h"
#include "egress/policy/refusal.h"
#include "io/stream.h"

#define HANDSHAKE_MS 15000
#define NOTE_MS      2000

/* Heads of a connection that could not be taken, of one kind: the first of them, and how many. */
struct refused {
    int status;
    const char *why; /* constant */
    unsigned long n;
};

struct connection {
    struct sandbox *sb;
    const struct front_claim *claim;
    struct exchange_world x;
    struct refused malformed, disagree, reset;
};

/* ---- records of what is not a request ---- */

static void note_status(struct sandbox *sb, const char *verdict, const char *reason,
                        const struct host *h, uint16_t port, int status, const char *words)
{
    AUTO(audit_room) room = AUDIT_ROOM_NONE;
    struct err e = {.code = 0};
    if (audit_reserve(sb->w->audit, 1, &room, &e) < 0) {
        log_warn("a refusal could not be recorded", "sandbox=%s error=%s", sb->id, log_q(e.msg));
        return;
    }
    struct redact *d = sb->w->redact;
    redact_prepare(d, sb->x.policy);
    audit_append(&room,
                 &(struct audit_record){.kind = AUDIT_REQUEST,
                                        .session = audit_text(sb->session),
                                        .call = audit_text(sb->call),
                                        .sandbox = audit_text(sb->id),
                                        .verdict = audit_text(verdict),
                                        .reason = audit_text(reason),
                                        .policy = audit_text(policy_hash(sb->x.policy)),
                                        .host = redact_text(d, h ? h->text : NULL, h ? h->n : 0),
                                        .port = port,
                                        .status = (uint64_t)status,
                                        .note = redact_text(d, words, words ? strlen(words) : 0)});
}

static void note(struct sandbox *sb, const char *verdict, const char *reason, const struct host *h,
                 uint16_t port, const char *words)
{
    note_status(sb, verdict, reason, h, port, 0, words);
}

void connection_note(void *arg, struct front_binding *b, const struct front_note *n)
{
    char words[512];
    (void)arg;
    if (n->suppressed)
        (void)snprintf(words, sizeof(words), "%.400s (and %llu more since the last record)",
                       n->words ? n->words : front_why_text(n->why),
                       (unsigned long long)n->suppressed);
    note(front_binding_arg(b), "deny", front_why_text(n->why), n->host, n->port,
         n->suppressed ? words : n->words);
}

/* ---- HTTP ---- */

static void serve_one(void *arg, struct http_pipe *p)
{
    struct connection *c = arg;
    exchange_run(&c->x, p);
}

/* http_serve_options.refuse. */
static void refuse_head(void *arg, int status, const char *why, struct http_head *ret,
                        struct http_text *ret_body)
{
    struct connection *c = arg;
    const bool disagree = status == 421;
    const char *reason = disagree ? "claims_disagree" : "bad_request";
    struct refused *seen = disagree ? &c->disagree : &c->malformed;
    if (seen->n++ == 0) {
        seen->status = status;
        seen->why = why;
    }
    AUTO_JSON json_t *j = json_typed("error");
    json_t *error = json_typed(reason);
    json_put_str(error, "message", why);
    json_put(j, "error", error);
    if (c->x.host) {
        json_put_str(j, "host", c->x.host->text);
        json_put_int(j, "port", c->x.port);
    }
    AUTO(buf) body = BUF_INIT(REFUSAL_BODY_MAX);
    AUTO(buf) proxy_status = BUF_INIT(REFUSAL_PROXY_STATUS_MAX);
    (void)json_print(&body, j);
    refusal_proxy_status(disagree ? "http_request_denied" : "http_request_error", why,
                         &proxy_status);
    *ret_body = http_head_copy(ret, body.data, body.len);
    ret->status = status;
    int r = http_head_add(ret, HTTP_TEXT("content-type"), HTTP_TEXT("application/json"));
    if (r == 0)
        r = http_head_add(ret, HTTP_TEXT("cache-control"), HTTP_TEXT("no-store"));
    if (r == 0)
        r = http_head_add(ret, HTTP_TEXT("proxy-status"),
                          http_head_copy(ret, proxy_status.data, proxy_status.len));
    MUST(r == 0);
}

/* http_serve_options.reset. */
static void note_reset(void *arg)
{
    struct connection *c = arg;
    c->reset.why = "A message of HTTP/2 is malformed (RFC 9113 8.1.1).";
    c->reset.n++;
}

static void note_refused(struct connection *c, const struct refused *seen, const char *verdict,
                         const char *reason)
{
    char words[256];
    if (seen->n == 0)
        return;
    if (seen->n == 1)
        str_copy(words, sizeof(words), seen->why);
    else
        (void)snprintf(words, sizeof(words), "%s And %lu more like it on this connection.",
                       seen->why, seen->n - 1);
    note_status(c->sb, verdict, reason, c->x.host, c->x.port, seen->status, words);
}

/* It has been answered or reset, so it is recorded, also when the sandbox ends meanwhile. `broken`: why the
 * connection itself was ended, or NULL. */
static void note_all_refused(struct connection *c, const char *broken)
{
    if (!broken && c->malformed.n == 0 && c->disagree.n == 0 && c->reset.n == 0)
        return;
    AUTO(fiber_shield) shield = fiber_shield_begin(NOTE_MS);
    note_refused(c, &c->malformed, "error", "bad_request");
    note_refused(c, &c->disagree, "deny", "claims_disagree");
    note_refused(c, &c->reset, "error", "bad_request");
    if (broken)
        note(c->sb, "error", "bad_request", c->x.host, c->x.port, broken);
}

static void serve_http(struct connection *c, enum http_version v, struct stream *s)
{
    const struct http_serve_options o = {.tls = c->x.tls,
                                         .connect_protocol = true,
                                         .refuse = refuse_head,
                                         .reset = note_reset,
                                         .serve = serve_one,
                                         .arg = c};
    struct err e = {.code = 0};
    int r = http_serve(v, s, &o, &e);
    if (r < 0 && r != -ECANCELED)
        log_debug("a connection of a sandbox ended", "sandbox=%s code=%s error=%s", c->sb->id,
                  err_name(r), log_q(e.msg));
    note_all_refused(c, v == HTTP_2 && (r == -E_PROTO || r == -E_LIMIT) ? e.msg : NULL);
}

/* What the sandbox's client gets to choose from: what the origin speaks, when it can be asked. */
static enum http_version offered(struct connection *c, const struct policy_decision *d,
                                 struct policy *p)
{
    const struct front_claim *f = c->claim;
    if (!f->alpn_h2)
        return HTTP_1_1;
    if (d->verdict != POLICY_ALLOW && d->verdict != POLICY_OBSERVE)
        return f->alpn_http1 ? HTTP_1_1 : HTTP_2;
    return upstream_version(c->sb->w, c->sb, p, d, f->host, f->port);
}

static void serve_tls(struct connection *c, const struct policy_decision *d, struct policy *p,
                      struct stream *s)
{
    static const char *const h1[] = {"http/1.1", NULL}, *const h2[] = {"h2", "http/1.1", NULL};
    struct world *w = c->sb->w;
    const struct host *h = c->claim->host;
    struct err e = {.code = 0};
    struct cert_identity *leaf = NULL;
    AUTO(fiber_deadline) deadline = fiber_deadline_push_ms(HANDSHAKE_MS);
    const enum http_version v = offered(c, d, p);
    int r = cert_cache_get(w->leaves, h->text, h->kind != HOST_NAME, &leaf, &e);
    if (r < 0) {
        note(c->sb, "error", "no_certificate", h, c->claim->port, e.msg);
        stream_reset(s);
        return;
    }
    const struct tls_serve_options o = {.identity = leaf,
                                        .alpn = c->claim->alpn ? (v == HTTP_2 ? h2 : h1) : NULL};
    struct stream under;
    const char *alpn = NULL;
    stream_move(&under, s);
    r = tls_serve(w->tls, &o, &under, s, &alpn, &e);
    cert_identity_unref(leaf);
    fiber_deadline_pop(&deadline);
    if (r < 0) {
        if (r != -ECANCELED)
            note(c->sb, "error", "tls", h, c->claim->port, e.msg);
        return;
    }
    serve_http(c, str_eq(alpn, "h2") ? HTTP_2 : HTTP_1_1, s);
}

static void look_into(struct sandbox *sb, const struct front_claim *f,
                      const struct policy_decision *d, struct policy *p, struct stream *s)
{
    struct connection c = {
        .sb = sb,
        .claim = f,
        .x = {.sandbox = &sb->x,
              .calls = &upstream_calls,
              .arg = sb,
              .audit = sb->w->audit,
              .spares = &sb->w->spares,
              .claims = f->claims,
              .n_claims = f->n_claims,
              .host = f->each ? NULL : f->host,
              .port = f->port,
              .tls = f->transport == POLICY_TLS},
    };
    if (f->kind == DETECT_TLS)
        serve_tls(&c, d, p, s);
    else
        serve_http(&c, f->kind == DETECT_HTTP2 ? HTTP_2 : HTTP_1_1, s);
}

/* ---- one connection ---- */

bool connection_is_http(const struct front_claim *f)
{
    return f->kind == DETECT_TLS || f->kind == DETECT_HTTP1 || f->kind == DETECT_HTTP2;
}

void connection_serve(void *arg, struct front_claim *f, struct stream *s)
{
    (void)arg;
    struct sandbox *sb = front_binding_arg(f->binding);
    struct world *w = sb->w; /* outlives the sandbox */
    struct policy *p = policy_ref(sb->x.policy);
    struct policy_decision d = {.verdict = POLICY_DENY};
    w->slack.turns++;
    if (!f->each) {
        const struct policy_query q = {.host = f->host, .port = f->port, .transport = f->transport};
        policy_decide(p, &q, &d);
        d.intercept = d.intercept || former_gave(&w->former, &q);
    }
    const bool allowed = d.verdict == POLICY_ALLOW || d.verdict == POLICY_OBSERVE;
    /* Plain HTTP is looked into on whichever port: its Host field says another name for free. */
    const bool plain_http = f->transport == POLICY_PLAIN && connection_is_http(f);
    /* The name that an encrypted ClientHello is for is not the one that can be read (boundary-anchors A4),
     * unless TLS ends here. Who only pretends to have one, as browsers do, does not notice. */
    if (f->each || (connection_is_http(f) && (f->disagree < 0 || !allowed || d.intercept ||
                                              d.counted || plain_http || f->ech)))
        look_into(sb, f, &d, p, s);
    else if (allowed && f->disagree == 0 && !d.intercept)
        relay_run(sb, f, &d, p, s);
    else {
        note(sb, "deny", allowed ? "not_http" : "no_rule", f->host, f->port,
             f->disagree < 0 ? f->why : NULL);
        stream_reset(s);
    }
    policy_unref(p);
    w->slack.turns++;
}
