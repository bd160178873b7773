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
#include "tunnel/gateway/forward.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/time.h"
#include "http/pipe/origins.h"
#include "http/pipe/pipe.h"
#include "io/own_addresses.h"
#include "io/race.h"
#include "io/resolve.h"
#include "io/sock.h"
#include "io/tls.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define CONNECT_MS     10000
#define TLS_MS         10000
#define PIECE_BYTES    (16u << 10)
#define PIECE_SMALL    512
#define CALM_MS        2000
#define AUTHORITY      (HOST_TEXT_MAX + 8)
#define FAILURE_BYTES  4096
#define REQUESTS_MOST  16384
#define FILES_FOR_REST 128

struct piece {
    char *p;
    size_t n;
};

static void piece_done(struct piece *p)
{
    free(p->p);
}
struct gateway_forward {
    struct gateway_forward_options o;
    struct origins *origins;
    size_t busy; /* requests */
    struct own_addresses own;
    int64_t told_ns; /* when the last failure was told */
};

/* Who has said no. */
enum source { POLICY, DNS, TLS, CONNECT, TIMEOUT, PROTOCOL, UPSTREAM_CLOSED, BUSY, INTERNAL };
static const char *const source_texts[] = {"policy",          "dns",     "tls",
                                           "connect",         "timeout", "protocol",
                                           "upstream_closed", "busy",    "internal"};

struct request {
    struct gateway_forward *f;
    const struct gateway_face *face;
    const struct gateway_route *route;
    const struct host *host;
    struct http_pipe *caller, *upstream;
    struct origin_lease lease;
    struct http_head head; /* the caller's */
    struct http_head out;  /* ours to the server: borrows from `head` */
    char authority[AUTHORITY];
    enum source source;
    bool caller_failed;
    bool answered; /* a final head has gone to the caller */
};

METRIC_COUNTER(n_requests, "sallyport_gateway_requests_total", "outcome=\"answered\"",
               "Requests that came through the tunnel, by their outcome")
METRIC_COUNTER(n_refused, "sallyport_gateway_requests_total", "outcome=\"refused\"",
               "Requests that came through the tunnel, by their outcome")
METRIC_COUNTER(n_broken, "sallyport_gateway_requests_total", "outcome=\"failed\"",
               "Requests that came through the tunnel, by their outcome")

/* ---- life ---- */

static size_t files_for_requests(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur == RLIM_INFINITY ||
        l.rlim_cur > REQUESTS_MOST)
        return REQUESTS_MOST;
    return l.rlim_cur > 2 * FILES_FOR_REST ? (size_t)l.rlim_cur - FILES_FOR_REST
                                           : (size_t)l.rlim_cur / 2;
}

int gateway_forward_new(const struct gateway_forward_options *o, struct gateway_forward **ret,
                        struct err *e)
{
    struct gateway_forward *f = mem_new(struct gateway_forward);
    f->o = *o;
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
    free(f);
}

/* ---- refusals ---- */

/* {"jsonrpc": ..., "error": {...}}: the shape that a client of MCP can read, whatever it has asked. */
static int failure_text(const struct request *q, const char *words, struct buf *ret)
{
    AUTO_JSON json_t *o = json_object(), *failure = json_object();
    json_t *data = json_object(), *error = json_object();
    json_put_str(failure, "source", source_texts[q->source]);
    if (q->route)
        json_put_str(failure, "route", q->route->host.text);
    json_put(data, "gateway_failure", json_incref(failure));
    json_put(error, "code", json_integer(-32000));
    json_put_str(error, "message", words);
    json_put(error, "data", data);
    json_put_str(o, "jsonrpc", "2.0");
    json_put(o, "id", json_null());
    json_put(o, "error", error);
    return json_print(ret, o);
}

/* What a caller hears: whose fault it was. Names and addresses of the private side stay in the log. */
static const char *words_for(enum source s, const char *own)
{
    static const char *const texts[] = {
        [DNS] = "the name of the route's server has no address",
        [TLS] = "the route's server has not shown a certificate that the gateway trusts",
        [CONNECT] = "the route's server cannot be reached",
        [TIMEOUT] = "the route's server took too long",
        [PROTOCOL] = "what the route's server answered is not HTTP with one reading",
        [UPSTREAM_CLOSED] = "the route's server ended the connection without an answer",
        [BUSY] = "the gateway has too many requests; try again later",
        [INTERNAL] = "the gateway failed",
    };
    return s == POLICY ? own : texts[s];
}

/* Everyone may cause these: told once a second, and counted always. */
static void tell(const struct request *q, int status, const char *words)
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

/* `words` are ours, fit for a caller, with POLICY; else they are for the log. */
static void fail_with(struct request *q, int status, enum source source, const char *words)
{
    AUTO(buf) text = BUF_INIT(FAILURE_BYTES);
    q->source = source;
    metric_add(source == POLICY ? &n_refused : &n_broken, 1);
    tell(q, status, words);
    if (q->answered) {
        http_reset(q->caller, HTTP_RESET_INTERNAL);
        return;
    }
    int r = failure_text(q, words_for(source, words), &text);
    bool head_only = http_text_eq(q->head.method, "HEAD");
    struct http_head h;
    http_head_init(&h);
    h.status = status;
    h.body = head_only ? HTTP_BODY_NONE : HTTP_BODY_LENGTH;
    h.has_length = true;
    h.length = text.len;
    if (r == 0)
        r = http_head_add(&h, HTTP_TEXT("content-type"), HTTP_TEXT("application/json"));
    if (r == 0)
        r = http_send_head(q->caller, &h);
    if (r == 0 && !head_only)
        r = http_send_body(q->caller, text.data, text.len, false);
    if (r == 0 && !head_only)
        (void)!http_send_end(q->caller, NULL);
    q->answered = true;
    http_head_done(&h);
}

static int status_of(enum source s)
{
    return s == POLICY ? 403 : s == TIMEOUT ? 504 : s == INTERNAL ? 500 : 502;
}

/* ---- the way to the server ---- */

static int look_up(struct request *q, struct address *list, size_t *ret_n, struct err *e)
{
    const struct host *h = &q->route->upstream.host;
    *ret_n = 1;
    if (h->kind == HOST_IPV4)
        return address_parse(h->text, h->n, &list[0], e);
    if (h->kind == HOST_IPV6)
        return address_parse(h->text + 1, h->n - 2u, &list[0], e);
    struct resolved all;
    int r = resolver_lookup(q->f->o.resolver, h->text, &all, NULL, e);
    if (r < 0) {
        q->source = r == -ETIMEDOUT ? TIMEOUT : DNS;
        return r;
    }
    *ret_n = all.n;
    for (size_t i = 0; i < all.n; i++)
        memcpy(list[i].b, all.address[i], sizeof(list[i].b));
    return 0;
}

/* Leaves those that may be connected to. */
static int keep_allowed(struct request *q, struct address *list, size_t *n, struct err *e)
{
    struct gateway_forward *f = q->f;
    int r = own_addresses_refresh(&f->own, e);
    if (r < 0)
        return r;
    AUTO_FREE struct cidr *own = mem_array(f->own.n, sizeof(*own));
    for (size_t i = 0; i < f->own.n; i++) {
        memcpy(own[i].net.b, f->own.items[i], sizeof(own[i].net.b));
        own[i].bits = 128;
    }
    const struct cidr_list ours = {own, f->own.n};
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++)
        if (gateway_config_may_connect(q->face->config, &list[i], &ours, e) == 0)
            list[kept++] = list[i];
    *n = kept;
    if (kept)
        *e = (struct err){0}; /* of those that were left out */
    q->source = POLICY;
    return kept ? 0 : -E_DENIED;
}

static int connect_tcp(struct request *q, struct stream *ret, char ret_peer[ORIGIN_PEER_MAX],
                       struct err *e)
{
    struct address list[RACE_MAX];
    size_t n, which;
    int fd;
    q->source = DNS;
    int r = look_up(q, list, &n, e);
    if (r == 0)
        r = keep_allowed(q, list, &n, e);
    if (r < 0)
        return r;
    q->source = CONNECT;
    r = race_connect(list, n, q->route->upstream.port, CONNECT_MS, &fd, &which, e);
    if (r == -ETIMEDOUT)
        q->source = TIMEOUT;
    if (r == 0 && (r = stream_from_fd(ret, fd)) < 0)
        (void)close(fd);
    if (r == 0)
        address_text(&list[which], ret_peer);
    return r;
}

static int connect_unix(struct request *q, struct stream *ret, struct err *e)
{
    AUTO_FREE char *at = mem_printf("unix:%s", q->route->upstream.path);
    struct io_fd io = IO_FD_NONE;
    q->source = CONNECT;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(CONNECT_MS);
    int r = sock_connect(at, &io, e);
    if (r < 0)
        return r;
    int fd = io_fd_release(&io);
    r = stream_from_fd(ret, fd);
    if (r < 0)
        (void)close(fd);
    return r;
}

/* origins_dial. */
static int reach(void *arg, struct stream *ret, enum http_version *ret_version,
                 char ret_peer[ORIGIN_PEER_MAX], struct err *e)
{
    static const char *const offers[] = {"h2", "http/1.1", NULL};
    struct request *q = arg;
    const struct gateway_upstream *up = &q->route->upstream;
    *ret_version = HTTP_1_1;
    ret_peer[0] = '\0';
    if (up->scheme == GATEWAY_UNIX)
        return connect_unix(q, ret, e);
    int r = connect_tcp(q, ret, ret_peer, e);
    if (r < 0 || up->scheme != GATEWAY_HTTPS)
        return r;
    q->source = TLS;
    const struct tls_connect_options o = {
        .host = up->host.text, .is_ip = up->host.kind != HOST_NAME, .alpn = offers};
    const char *alpn = NULL;
    struct stream under;
    stream_move(&under, ret);
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(TLS_MS);
    r = tls_connect(q->face->upstream_trust, &o, &under, ret, &alpn, e);
    *ret_version = alpn == offers[0] ? HTTP_2 : HTTP_1_1;
    return r;
}

static int get_link(struct request *q, bool fresh, struct err *e)
{
    const struct gateway_upstream *up = &q->route->upstream;
    bool tls = up->scheme == GATEWAY_HTTPS;
    const struct origin_key key = {.binding = up->path ? up->path : q->route->host.text,
                                   .tls = tls,
                                   .host = up->scheme == GATEWAY_UNIX ? &q->route->host : &up->host,
                                   .port = up->port,
                                   .verified = tls ? up->host.text : NULL,
                                   .offers_h2 = tls,
                                   .policy_hash = q->face->number,
                                   .credentials = ""};
    return origins_get(q->f->origins, &key, fresh, reach, q, &q->lease, e);
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

/* Credentials that were meant for somebody else, and what only a proxy in front may say. */
static bool is_dropped(const struct http_field *f)
{
    static const char *const names[] = {"authorization", "proxy-authorization", "forwarded",
                                        "x-real-ip",     "x-original-url",      "x-rewrite-url"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (begins(f->name, names[i], true))
            return true;
    return begins(f->name, "x-forwarded-", false);
}

/* What goes to the server. */
static int make_head(struct request *q)
{
    const struct gateway_upstream *up = &q->route->upstream;
    const struct http_head *in = &q->head;
    struct http_head *out = &q->out;
    if (up->scheme == GATEWAY_UNIX)
        (void)snprintf(q->authority, sizeof(q->authority), "localhost");
    else
        (void)snprintf(q->authority, sizeof(q->authority), "%s:%u", up->host.text, up->port);
    out->method = in->method;
    out->scheme = up->scheme == GATEWAY_HTTPS ? HTTP_TEXT("https") : HTTP_TEXT("http");
    out->authority = http_text_of(q->authority);
    out->path = in->path;
    out->body = in->body;
    out->length = in->length;
    out->has_length = in->has_length;
    out->has_te_trailers = in->has_te_trailers;
    int r = 0;
    for (size_t i = 0; r == 0 && i < in->fields.n; i++)
        if (!is_dropped(&in->fields.items[i]))
            r = http_head_add(out, in->fields.items[i].name, in->fields.items[i].value);
    if (r == 0)
        r = http_head_add(out, HTTP_TEXT("x-forwarded-host"), http_text_of(q->host->text));
    if (r == 0)
        r = http_head_add(out, HTTP_TEXT("x-forwarded-proto"), HTTP_TEXT("https"));
    return r;
}

/* As http_read_body, into *piece. While nothing comes for a while, a small piece and no stack below. */
static ssize_t read_piece(struct http_pipe *from, struct piece *piece, bool *ret_idle)
{
    ssize_t n;
    if (piece->n > PIECE_SMALL) {
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(CALM_MS);
        n = http_read_body(from, piece->p, piece->n, ret_idle);
        if (n != -ETIMEDOUT)
            return n;
    }
    free(piece->p);
    *piece = (struct piece){mem_array(PIECE_SMALL, 1), PIECE_SMALL};
    fiber_trim_stack();
    n = http_read_body(from, piece->p, piece->n, ret_idle);
    if (n <= 0)
        return n;
    char *more = mem_array(PIECE_BYTES, 1);
    memcpy(more, piece->p, (size_t)n);
    free(piece->p);
    *piece = (struct piece){more, PIECE_BYTES};
    return n;
}

/* Passes bytes on as they come. 0 at the end, or whose code it was in *ret_from_reader. */
static int pump(struct http_pipe *from, struct http_pipe *to, bool *ret_from_reader)
{
    AUTO(piece) piece = {mem_array(PIECE_BYTES, 1), PIECE_BYTES};
    for (;;) {
        bool idle = false;
        ssize_t n = read_piece(from, &piece, &idle);
        *ret_from_reader = n < 0;
        if (n <= 0)
            return (int)n;
        int r = http_send_body(to, piece.p, (size_t)n, !idle);
        if (r < 0)
            return r;
    }
}

static int wait_gone(struct http_pipe *p)
{
    {
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(CALM_MS);
        int r = http_wait_gone(p);
        if (r != -ETIMEDOUT)
            return r;
    }
    fiber_trim_stack();
    return http_wait_gone(p);
}

/* The body on its way up, and then whether the caller is still there: one that leaves ends the request at
 * the server, at once. Cancelled when the answer is complete. */
static int attend_caller(void *arg)
{
    struct request *q = arg;
    bool from_caller = false;
    fiber_deadline_clear();
    int r = q->out.body == HTTP_BODY_NONE ? 0 : pump(q->caller, q->upstream, &from_caller);
    if (r == -ECANCELED)
        return 0; /* the answer is over */
    if (r == 0 && q->out.body != HTTP_BODY_NONE)
        r = http_send_end(q->upstream, NULL);
    /* A server that takes no more may have answered all the same. */
    if (!from_caller)
        from_caller = wait_gone(q->caller) == 0;
    if (from_caller) {
        q->caller_failed = true;
        http_reset(q->upstream, HTTP_RESET_CANCEL);
    }
    return 0;
}

/* ---- the answer ---- */

/* The server's final head. */
static int hear(struct request *q, struct http_head *ret, struct err *e)
{
    int r;
    do
        r = http_read_head(q->upstream, ret, e);
    while (r == 0 && ret->status < 200);
    return r;
}

static int send_back(struct request *q, struct http_head *h)
{
    bool from_server = false, head_only = h->body == HTTP_BODY_NONE;
    int r = http_send_head(q->caller, h);
    q->answered = true;
    if (r == 0 && !head_only)
        r = http_flush(q->caller);
    if (r == 0 && !head_only)
        r = pump(q->upstream, q->caller, &from_server);
    if (r == 0 && !head_only)
        r = http_send_end(q->caller, http_trailers(q->upstream));
    if (r < 0 && from_server && !q->caller_failed) {
        log_debug("an answer was cut short", "host=%s why=%s", q->host->text, err_text(r));
        http_reset(q->caller, HTTP_RESET_INTERNAL);
    }
    return r;
}

/* Sends the request over the link of the lease, and the answer back. 0; -E_CLOSED: the server has not seen
 * it; or negative, after the caller was told what there was to tell. */
static int exchange(struct request *q, struct err *e)
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
        r = hear(q, &answer, e);
    if (r == 0)
        r = send_back(q, &answer);
    scope_done(&body);
    http_head_done(&answer);
    bool keep = r == 0;
    if (!keep)
        http_reset(q->upstream, HTTP_RESET_CANCEL);
    http_pipe_close(TAKE(q->upstream));
    origins_put(q->f->origins, &q->lease, keep);
    return r;
}

/* What the server may have acted on before it closed is not sent twice (RFC 9110 9.2.2). */
static bool may_repeat(const struct request *q)
{
    return q->out.body == HTTP_BODY_NONE &&
           (http_text_eq(q->out.method, "GET") || http_text_eq(q->out.method, "HEAD") ||
            http_text_eq(q->out.method, "OPTIONS"));
}

static void refuse_to_reach(struct request *q, const struct err *e)
{
    static const char closed[] =
        "the route leads to an address that the gateway may not connect to";
    if (q->source == POLICY) {
        tell(q, 403, e->msg);
        fail_with(q, 403, POLICY, closed);
    } else {
        fail_with(q, status_of(q->source), q->source, e->msg);
    }
}

static void forward_it(struct request *q)
{
    struct err e = {0};
    int r = make_head(q);
    if (r < 0) {
        fail_with(q, 431, POLICY, "the request has too many header fields");
        return;
    }
    bool again;
    do {
        e = (struct err){0};
        r = get_link(q, false, &e);
        if (r < 0) {
            if (r != -ECANCELED)
                refuse_to_reach(q, &e);
            return;
        }
        /* One that lay idle may have been closed meanwhile, which is nobody's fault. */
        bool reused = q->lease.reused;
        r = exchange(q, &e);
        again = r == -E_CLOSED && reused && may_repeat(q) && !q->answered;
    } while (again);
    if (r == 0)
        metric_add(&n_requests, 1);
    else if (!q->answered && !q->caller_failed && r != -ECANCELED)
        fail_with(q, r == -ETIMEDOUT ? 504 : 502,
                  r == -E_PARSE || r == -E_LIMIT ? PROTOCOL
                  : r == -ETIMEDOUT              ? TIMEOUT
                                                 : UPSTREAM_CLOSED,
                  e.msg[0] ? e.msg : err_text(r));
}

static void forward_counted(struct request *q)
{
    q->f->busy++;
    forward_it(q);
    q->f->busy--;
}

/* Whether the request is for the host that the caller has a certificate of. */
static bool is_for_host(const struct request *q)
{
    struct host h;
    struct err e = {0};
    uint16_t port;
    return host_parse_authority(q->head.authority.p, q->head.authority.n, 0, &h, &port, &e) == 0 &&
           host_eq(&h, q->host);
}

void gateway_forward_serve(void *arg, const struct gateway_face *face, const struct host *host,
                           struct http_pipe *p)
{
    struct request q = {.f = arg, .face = face, .host = host, .caller = p};
    struct err e = {0};
    http_head_init(&q.head);
    http_head_init(&q.out);
    int r = http_read_head(p, &q.head, &e);
    if (r == 0) {
        q.route = gateway_config_route(face->config, host);
        if (q.head.authority.n == 0)
            fail_with(&q, 400, POLICY, "the request names no host");
        else if (!is_for_host(&q))
            fail_with(&q, 421, POLICY, "Host names another host than the TLS connection is for");
        else if (!q.route)
            fail_with(&q, 404, POLICY, "the gateway has no route for this host");
        else if (http_text_eq(q.head.method, "CONNECT") || q.head.protocol.p)
            fail_with(&q, 501, POLICY, "the gateway forwards no CONNECT and no upgrades");
        else if (q.f->busy >= q.f->o.requests_most)
            fail_with(&q, 503, BUSY, "more requests at once than this process may open files for");
        else
            forward_counted(&q);
    }
    http_head_done(&q.out);
    http_head_done(&q.head);
    http_pipe_close(p);
}
