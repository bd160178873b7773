/* forward.c - checks where a request goes, and passes it on.
 *
 * Runs on the request's fiber, with a second one for the body while the answer comes. The caller controls
 * everything in the request; the private server is the customer's, and is nevertheless parsed strictly
 * (http/pipe). What a request may decide is its method, its path and its fields: never the host (it was
 * decided by the name that the caller got a certificate for), never the address (the route's name is
 * resolved here, each address checked, and connected to as checked), and never who is asking: the
 * Authorization field is the platform's affair with its caller and does not reach a server that it was not
 * meant for (no token passthrough).
 *
 * Answers go on as they come: heads at once, bodies piece by piece. When the caller leaves, the request to
 * the server is cut off; when the server breaks in the middle, so is the caller's answer, and never ended as
 * if it were whole. What fails before an answer has begun is told as JSON that a model or a person can act
 * on, with whose fault it was (gateway_failure). */
#include "tunnel/gateway/forward_internal.h"

#include "base/buf.h"
#include "base/enc.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/fiber.h"
#include "secret/source.h"
#include "tunnel/gateway/query.h"
#include "tunnel/gateway/stdio.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define REQUESTS_MOST  16384
#define FILES_FOR_REST 128
#define TOKEN_MAX      (16u << 10) /* bytes of a caller's */

/* ---- life ---- */

static size_t files_for_requests(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur == RLIM_INFINITY ||
        l.rlim_cur > REQUESTS_MOST)
        return REQUESTS_MOST;
    /* A quarter is for callers of a connector (listen.c). */
    const size_t n = (size_t)l.rlim_cur / 4 * 3;
    return n > 2 * FILES_FOR_REST ? n - FILES_FOR_REST : n / 2;
}

int gateway_forward_new(const struct gateway_forward_options *o, struct gateway_forward **ret,
                        struct err *e)
{
    struct gateway_forward *f = mem_new(struct gateway_forward);
    f->o = *o;
    f->memory.max = FORWARD_HELD_MAX;
    map_init(&f->uses);
    map_init(&f->mappings);
    tasks_init(&f->tasks);
    if (!f->o.requests_most)
        f->o.requests_most = files_for_requests();
    int r = origins_new(&(struct origins_options){0}, &f->origins, e);
    if (r < 0)
        free(f);
    else
        *ret = f;
    return r;
}

void gateway_forward_free(struct gateway_forward *f)
{
    if (!f)
        return;
    origins_free(f->origins);
    own_addresses_done(&f->own);
    forward_uses_done(f);
    forward_mappings_done(f);
    tasks_done(&f->tasks);
    free(f);
}

/* ---- the request ---- */

/* Names are compared as those compare them who make variables of them: '_' is '-'. */
static bool begins(struct http_text name, const char *with, bool whole)
{
    size_t n = strlen(with);
    if (whole ? name.n != n : name.n < n)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((name.p[i] == '_' ? '-' : name.p[i]) != with[i])
            return false;
    return true;
}

/* Credentials that were meant for somebody else, what only a proxy in front may say, and what the route's
 * credential is to say alone. */
static bool is_dropped(const struct gateway_request *q, const struct http_field *f)
{
    const struct gateway_route *route = q->route;
    const char *token = q->face->config->callers.header;
    static const char *const names[] = {"proxy-authorization", "forwarded", "x-real-ip",
                                        "x-original-url", "x-rewrite-url"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (begins(f->name, names[i], true))
            return true;
    const char *passed = q->face->config->callers.pass_as;
    if (token && !str_eq(token, "authorization") && begins(f->name, token, true))
        return true;
    if (passed && begins(f->name, passed, true))
        return true;
    if (begins(f->name, "authorization", true))
        return !route->pass_authorization || !http_text_eq(f->name, "authorization");
    if (route->credential && route->credential->header &&
        begins(f->name, route->credential->header, true))
        return true;
    if (route->upstream.stdio && begins(f->name, STDIO_CALLER_HEADER, true))
        return true;
    return begins(f->name, "x-forwarded-", false);
}

/* Some schemes log a connection in, and connections are shared: who came next would be the one before. */
static bool logs_connection_in(const struct gateway_request *q)
{
    static const char *const schemes[] = {"negotiate", "ntlm"};
    const struct http_fields *fs = &q->head.fields;
    for (const struct http_field *f = http_fields_get(fs, "authorization", NULL); f;
         f = http_fields_get(fs, "authorization", f))
        for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
            size_t n = strlen(schemes[i]);
            if (f->value.n >= n && http_text_ieq((struct http_text){f->value.p, n}, schemes[i]))
                return true;
        }
    return false;
}

/* The value of the field, in the memory of the head, which is wiped. */
static int credential_text(struct gateway_request *q, const struct gateway_credential *c,
                           struct http_text *ret)
{
    const struct secret *v = secret_value_secret(q->secret->now);
    const char *before = c->user ? c->user : c->before, *after = c->user ? "" : c->after;
    const size_t n_before = strlen(before), n_after = strlen(after), colon = c->user ? 1 : 0;
    const size_t n = n_before + colon + v->len + n_after;
    char *text = http_head_alloc(&q->out, n + 1);
    memcpy(text, before, n_before);
    memcpy(text + n_before, ":", colon);
    memcpy(text + n_before + colon, secret_borrow(v), v->len);
    memcpy(text + n_before + colon + v->len, after, n_after);
    if (!c->user) {
        *ret = (struct http_text){text, n};
        return 0;
    }
    static const char scheme[] = "Basic ";
    const size_t room = sizeof(scheme) + (n + 2) / 3 * 4;
    struct buf coded = {.data = http_head_alloc(&q->out, room + 1), .cap = room + 1, .max = room};
    (void)buf_adds(&coded, scheme);
    int r = enc_base64(&coded, text, n);
    *ret = (struct http_text){coded.data, coded.len};
    return r;
}

static int add_to_query(struct gateway_request *q, const char *name, struct http_text text)
{
    const size_t n = q->out.path.n + 3 * (strlen(name) + text.n) + 2;
    struct buf path = {.data = http_head_alloc(&q->out, n + 1), .cap = n + 1, .max = n};
    if (q->out.path.n == 0 || q->out.path.p[0] != '/') /* OPTIONS of the server itself */
        return 0;
    int r = query_with(q->out.path, name, text.p, text.n, &path);
    q->out.path = (struct http_text){path.data, path.len};
    q->out.path_sensitive = true;
    return r < 0 || path.len > LIMIT_TARGET_BYTES ? -E_LIMIT : 0;
}

/* Last, when nothing decides any more where the request goes. */
static int add_credential(struct gateway_request *q)
{
    const struct gateway_credential *c = q->route->credential;
    struct http_text text;
    if (!c)
        return 0;
    q->out.arena.secret = true;
    int r = credential_text(q, c, &text);
    if (r == 0 && c->query)
        return add_to_query(q, c->query, text);
    if (r == 0)
        r = http_head_add(&q->out, http_text_of(c->header), text);
    if (r == 0)
        q->out.fields.items[q->out.fields.n - 1].sensitive = true;
    return r;
}

/* The token that was checked, where servers are to see it. */
static int add_identity(struct gateway_request *q)
{
    const char *name = q->face->config->callers.pass_as;
    if (!name || q->token.n == 0)
        return 0;
    int r = http_head_add(&q->out, http_text_of(name), q->token);
    if (r == 0)
        q->out.fields.items[q->out.fields.n - 1].sensitive = true;
    return r;
}

/* What was not to be indexed is not on the next hop either (RFC 7541 6.2.3). */
static int add_field(struct http_head *out, const struct http_field *f)
{
    int r = http_head_add(out, f->name, f->value);
    if (r == 0)
        out->fields.items[out->fields.n - 1].sensitive = f->sensitive;
    return r;
}

/* What goes to the server. */
static int make_head(struct gateway_request *q)
{
    const struct gateway_upstream *up = &q->route->upstream;
    const struct http_head *in = &q->head;
    struct http_head *out = &q->out;
    if (up->scheme == GATEWAY_UNIX || up->scheme == GATEWAY_STDIO)
        (void)snprintf(q->authority, sizeof(q->authority), "localhost");
    else
        (void)snprintf(q->authority, sizeof(q->authority), "%s:%u", up->host.text, up->port);
    out->method = in->method;
    out->scheme = up->scheme == GATEWAY_HTTPS ? HTTP_TEXT("https") : HTTP_TEXT("http");
    out->authority = http_text_of(q->authority);
    out->path = in->path;
    out->body = q->has_body ? HTTP_BODY_LENGTH : in->body;
    out->length = q->has_body ? q->body.len : in->length;
    out->has_length = q->has_body || in->has_length;
    out->has_te_trailers = in->has_te_trailers;
    int r = 0;
    for (size_t i = 0; r == 0 && i < in->fields.n; i++)
        if (!is_dropped(q, &in->fields.items[i]))
            r = add_field(out, &in->fields.items[i]);
    if (r == 0)
        r = http_head_add(out, HTTP_TEXT("x-forwarded-host"), in->authority);
    if (r == 0)
        r = http_head_add(out, HTTP_TEXT("x-forwarded-proto"), HTTP_TEXT("https"));
    if (r == 0 && up->scheme == GATEWAY_STDIO)
        r = http_head_add(out, HTTP_TEXT(STDIO_CALLER_HEADER), http_text_of(q->who_id));
    if (r == 0)
        r = add_identity(q);
    if (r == 0 && (q->reply.table || forward_asks_for_metadata(q)))
        r = reply_ask(out);
    return r < 0 ? r : add_credential(q);
}

/* Passes the body on as it comes. 0 at the end, or whose code it was in *ret_from_caller. */
static int pump_up(struct gateway_request *q, bool *ret_from_caller)
{
    AUTO(piece) piece;
    piece_init(&piece);
    for (;;) {
        bool idle = false;
        ssize_t n = piece_read(&piece, q->caller, &idle);
        *ret_from_caller = n < 0;
        if (n <= 0)
            return (int)n;
        q->sent += (size_t)n;
        int r = http_send_body(q->upstream, piece.p, (size_t)n, !idle);
        if (r < 0)
            return r;
    }
}

/* The body on its way up, and then whether the caller is still there: one that leaves ends the request at
 * the server, at once. Cancelled when the answer is complete. */
static int attend_caller(void *arg)
{
    struct gateway_request *q = arg;
    bool from_caller = false;
    fiber_deadline_clear();
    int r = q->out.body == HTTP_BODY_NONE ? 0
            : q->has_body ? http_send_body(q->upstream, q->body.data, q->body.len, true)
                          : pump_up(q, &from_caller);
    if (r == -ECANCELED)
        return 0; /* the answer is over */
    if (q->has_body)
        q->sent = q->body.len;
    if (r == 0 && q->out.body != HTTP_BODY_NONE)
        r = http_send_end(q->upstream, NULL);
    /* A server that takes no more may have answered all the same. */
    if (!from_caller) {
        r = piece_wait_gone(q->caller);
        from_caller = r == 0;
    }
    if (from_caller) {
        q->caller_failed = true;
        http_reset(q->upstream, HTTP_RESET_CANCEL);
    }
    return 0;
}

/* Whether the server has refused the token and there is another one by now, with which the request is sent once
 * more: one that was refused was not acted on (RFC 9110 15.5.2), and what is sent is all here. Suspends. */
__attribute__((noinline)) static bool has_other_token(struct gateway_request *q,
                                                      const struct http_head *answer)
{
    struct err e = {0};
    if (answer->status != 401 || !q->route->credential || !q->route->credential->renewable)
        return false;
    route_secret_refused(q->secret);
    if (q->token_replaced || (q->out.body != HTTP_BODY_NONE && !q->has_body))
        return false;
    AUTO(fiber_deadline) d = fiber_deadline_push(forward_until_ns(q));
    struct secret_value *old = secret_value_ref(q->secret->now);
    q->token_replaced = route_secret_renew(q->secret, &e) == 0 && q->secret->now != old;
    secret_value_unref(old);
    return q->token_replaced && !q->caller_failed;
}

/* Sends the request over the link of the lease, and the answer back. 0; 1: it is to be sent once more; -E_CLOSED:
 * the server has not seen it; or negative, after the caller was told what there was to tell. */
static int exchange(struct gateway_request *q, struct err *e)
{
    struct http_head answer;
    int r = http_link_ask(q->lease.link, &q->upstream);
    if (r < 0) { /* the server has spoken first, or ended, before it was asked */
        origins_put(q->f->origins, &q->lease, false);
        return err_set(e, -E_CLOSED, "the connection to the server takes no request");
    }
    AUTO(scope) body;
    scope_init(&body);
    http_head_init(&answer);
    r = http_send_head(q->upstream, &q->out);
    if (r == 0)
        r = fiber_spawn(&body, "gateway-body", attend_caller, q, NULL);
    if (r == 0)
        r = forward_hear(q, &answer, e);
    if (r == 0)
        r = forward_stdio_failure(q, &answer);
    if (r == 0)
        r = has_other_token(q, &answer);
    if (r == 0)
        r = forward_send_back(q, &answer, e);
    scope_done(&body);
    http_head_done(&answer);
    bool keep = r == 0;
    if (!keep)
        http_reset(q->upstream, HTTP_RESET_CANCEL);
    http_pipe_close(TAKE(q->upstream));
    origins_put(q->f->origins, &q->lease, keep);
    return r;
}

/* With the token that there is now. */
static int make_head_again(struct gateway_request *q)
{
    http_head_done(&q->out);
    http_head_init(&q->out);
    reply_change_table(&q->reply, q->secret->table);
    q->told_credential = false;
    return make_head(q);
}

/* What the server may have acted on before it closed is not sent twice (RFC 9110 9.2.2). */
static bool may_repeat(const struct gateway_request *q)
{
    return q->out.body == HTTP_BODY_NONE &&
           (http_text_eq(q->out.method, "GET") || http_text_eq(q->out.method, "HEAD") ||
            http_text_eq(q->out.method, "OPTIONS"));
}

/* The token that the caller has shown: one, and one that can be sent. */
static bool token_of_caller(const struct gateway_request *q, struct http_text *ret)
{
    *ret = q->token;
    if (ret->n > 0) /* checked, wherever it stood */
        return true;
    static const char scheme[] = "bearer ";
    const size_t n = sizeof(scheme) - 1;
    const struct http_fields *fs = &q->head.fields;
    const struct http_field *f = http_fields_get(fs, "authorization", NULL);
    if (!f || http_fields_get(fs, "authorization", f) || f->value.n <= n ||
        !http_text_ieq((struct http_text){f->value.p, n}, scheme))
        return false;
    *ret = (struct http_text){f->value.p + n, f->value.n - n};
    for (size_t i = 0; i < ret->n; i++)
        if (ret->p[i] <= ' ' || ret->p[i] > '~')
            return false;
    return ret->n <= TOKEN_MAX;
}

static int ask_for_token(struct gateway_request *q)
{
    q->challenge = "Bearer";
    forward_fail(q, 401, CREDENTIAL,
                 "this route exchanges the caller's token for one of its server: send yours as "
                 "Authorization: Bearer");
    return -E_DENIED;
}

/* What is this caller's takes the place of what is the route's. 0, or negative after the caller was told. */
static int take_caller(struct gateway_request *q)
{
    struct http_text token;
    struct err e = {0};
    if (!token_of_caller(q, &token))
        return ask_for_token(q);
    int r = route_secret_of_caller(q->secret, token.p, token.n, &q->secret, &e);
    if (r < 0)
        forward_fail(q, 503, BUSY, e.msg);
    return r;
}

/* 0, or negative after the caller was told. */
__attribute__((noinline)) static int renew_secret(struct gateway_request *q)
{
    struct err e = {0};
    int r = q->secret->subjects ? take_caller(q) : 0;
    if (r < 0)
        return r;
    r = route_secret_renew(q->secret, &e);
    if (r == -EACCES && q->secret->caller) {
        q->challenge = "Bearer error=\"invalid_token\"";
        forward_tell(q, 401, e.msg);
        forward_fail(q, 401, CREDENTIAL,
                     "the caller's token was not taken where it is exchanged for one of the "
                     "route's server");
    } else if (r < 0 && r != -ECANCELED) {
        forward_fail(q, r == -EBUSY ? 503 : 502, r == -EBUSY ? BUSY : CREDENTIAL, e.msg);
    }
    return r;
}

/* `e` is the caller's for its room alone: many thousand requests may wait here, on stacks of a few pages. */
static void forward_it(struct gateway_request *q, struct err *e)
{
    /* Arguments are recorded, and shown, without the secret, which has to be known then. */
    const bool early = (q->f->o.audit && q->face->config->audit_arguments) ||
                       (q->route->tools && q->route->tools->confirm.n > 0);
    int r = forward_caller(q);
    if (r != 0)
        return;
    r = early ? renew_secret(q) : 0;
    if (r == 0 && q->route->tools)
        r = forward_judge(q);
    if (r == 0 && (!early || q->confirm)) /* a person may have taken hours */
        r = renew_secret(q);
    if (r < 0)
        return;
    reply_init(&q->reply, q->secret->table);
    r = make_head(q);
    if (r < 0) {
        forward_fail(q, 431, POLICY, "the request has too many header fields");
        return;
    }
    bool again;
    do {
        *e = (struct err){0};
        r = forward_link(q, false, e);
        if (r < 0) {
            if (r != -ECANCELED)
                forward_fail_to_reach(q, e);
            return;
        }
        (void)str_copy(q->peer, sizeof(q->peer), q->lease.peer);
        r = forward_audit_credential(q, e);
        if (r < 0) {
            origins_put(q->f->origins, &q->lease, true);
            if (r != -ECANCELED)
                forward_fail(q, 503, AUDIT, e->msg);
            return;
        }
        /* One that lay idle may have been closed meanwhile, which is nobody's fault. */
        bool reused = q->lease.reused;
        r = exchange(q, e);
        again = r == -E_CLOSED && reused && may_repeat(q) && !q->answered;
        if (r == 1) {
            r = make_head_again(q);
            again = r == 0;
        }
    } while (again);
    if (r < 0 && q->outcome != HEALTH_REFUSED)
        q->outcome = q->caller_failed ? HEALTH_ABANDONED : HEALTH_FAILED;
    if (r == 0) {
        q->outcome = HEALTH_ANSWERED;
        q->verdict = "allow";
        q->reason = NULL;
        forward_count_answer();
    }
    if (r < 0 && !q->answered && !q->caller_failed && r != -ECANCELED)
        forward_fail(q,
                     r == -ETIMEDOUT ? 504
                     : r == -EBUSY   ? 503
                                     : 502,
                     r == -E_PARSE || r == -E_LIMIT ? PROTOCOL
                     : r == -EBUSY                  ? BUSY
                     : r == -ETIMEDOUT              ? TIMEOUT
                                                    : UPSTREAM_CLOSED,
                     e->msg[0] ? e->msg : err_text(r));
}

static void forward_counted(struct gateway_request *q, struct err *e)
{
    q->f->busy++;
    q->verdict = "error";
    q->reason = "client_gone"; /* until something else is known */
    int r = forward_audit_begin(q, e);
    q->audited = r == 0;
    if (r == 0)
        forward_it(q, e);
    else if (r != -ECANCELED)
        forward_fail(q, 503, AUDIT, e->msg);
    forward_audit_end(q);
    q->f->busy--;
}

/* Whether the request is for the host that the caller has a certificate of. */
__attribute__((noinline)) static bool is_for_host(const struct gateway_request *q)
{
    struct host h;
    struct err e = {0};
    uint16_t port;
    return host_parse_authority(q->head.authority.p, q->head.authority.n, 0, &h, &port, &e) == 0 &&
           host_eq(&h, q->host);
}

/* A page of another site must not use what its reader's browser can reach (MCP, transports: DNS rebinding).
 * Who is no browser sends no Origin. */
__attribute__((noinline)) static bool is_open_to_origin(const struct gateway_request *q)
{
    const struct http_field *f = http_fields_get(&q->head.fields, "origin", NULL);
    const struct gateway_config *c = q->face->config;
    static const char scheme[] = "https://";
    const size_t n = sizeof(scheme) - 1;
    struct host h;
    struct err e = {0};
    uint16_t port;
    if (!f)
        return true;
    if (http_fields_get(&q->head.fields, "origin", f))
        return false;
    for (size_t i = 0; i < c->n_origins; i++)
        if (http_text_ieq(f->value, c->origins[i]))
            return true;
    return f->value.n > n && memcmp(f->value.p, scheme, n) == 0 &&
           host_parse_authority(f->value.p + n, f->value.n - n, 0, &h, &port, &e) == 0 &&
           host_eq(&h, q->host);
}

void gateway_forward_serve(void *arg, const struct gateway_face *face,
                           const struct inner_caller *caller, struct http_pipe *p)
{
    struct gateway_request q = {.f = arg,
                                .face = face,
                                .host = &caller->host,
                                .who = caller->name,
                                .who_id = caller->id,
                                .caller = p,
                                .outcome = HEALTH_ABANDONED};
    struct err e = {0};
    http_head_init(&q.head);
    http_head_init(&q.out);
    int r = http_read_head(p, &q.head, &e);
    if (r == 0) {
        int64_t began_ns = time_mono_ns();
        q.route = gateway_config_route(face->config, q.host);
        q.secret = q.route ? face_secret(face, q.route) : NULL;
        if (caller->outdated) /* RFC 9110 15.5.20: on another connection it may be served */
            forward_fail(&q, 421, POLICY,
                         "callers are asked for another certificate now: connect again");
        else if (q.head.authority.n == 0)
            forward_fail(&q, 400, POLICY, "the request names no host");
        else if (!is_for_host(&q))
            forward_fail(&q, 421, POLICY, "Host names another host than the TLS connection is for");
        else if (!is_open_to_origin(&q))
            forward_fail(&q, 403, POLICY,
                         "a page of this Origin may not call here; an operator of the "
                         "gateway can name it in allowed_origins");
        else if (!q.route)
            forward_fail(&q, 404, POLICY, "the gateway has no route for this host");
        else if (http_text_eq(q.head.method, "CONNECT") || q.head.protocol.p)
            forward_fail(&q, 501, POLICY, "the gateway forwards no CONNECT and no upgrades");
        else if (q.route->pass_authorization && logs_connection_in(&q))
            forward_fail(&q, 403, POLICY,
                         "Negotiate and NTLM log a connection in, and the gateway "
                         "shares connections between callers");
        else if (q.f->busy >= q.f->o.requests_most)
            forward_fail(&q, 503, BUSY,
                         "more requests at once than this process may open files for");
        else
            forward_counted(&q, &e);
        health_request(q.f->o.health, q.route ? q.route->host.text : "", q.outcome,
                       (time_mono_ns() - began_ns) / 1000);
    }
    reply_done(&q.reply);
    forward_limits_done(&q);
    forward_judge_done(&q);
    route_secret_leave(q.secret);
    http_head_done(&q.out);
    http_head_done(&q.head);
    http_pipe_close(p);
}
