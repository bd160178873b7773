/* inner.c - from a CONNECT stream to requests.
 *
 * Runs on the stream's fiber. The edge says which host the caller asked for; it is compared with what is
 * configured here before anything is answered, and every request has to name the same host (forward.c):
 * what the edge says decides nothing alone, because a caller would not get a certificate for another name.
 * A host that is not ours is refused with 404, which the edge turns into unrecognized_name; one below our
 * domain that has no route gets its TLS, so that a person can be told what is missing.
 *
 * The certificate is that of the moment in which the caller came; routes and rules are those of the moment of
 * each request, so that one that was taken away is gone for those who are connected, too. Where callers have to
 * show certificates of their own, the same goes for whom these are signed by. */
#include "tunnel/gateway/inner.h"

#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "crypto/cert.h"
#include "fiber/fiber.h"
#include "http/pipe/pipe.h"
#include "io/tls.h"

#include <string.h>

#define HANDSHAKE_MS 15000
#define IDLE_MS      300000 /* between requests; a stream of events is one, and is not cut */
#define HEAD_BYTES   (64u << 10)
#define STREAMS_MOST 64 /* requests of one caller at once */
#define GOODBYE_MS   1000
#define LINGER_MS    2000

METRIC_COUNTER(n_callers, "sallyport_gateway_callers_total", "outcome=\"ok\"",
               "Callers that came through the tunnel, by what became of them")
METRIC_COUNTER(n_no_route, "sallyport_gateway_callers_total", "outcome=\"no_route\"",
               "Callers that came through the tunnel, by what became of them")
METRIC_COUNTER(n_no_tls, "sallyport_gateway_callers_total", "outcome=\"no_tls\"",
               "Callers that came through the tunnel, by what became of them")

struct inner {
    const struct inner_options *o;
    struct gateway_face *face; /* that it came to */
    struct inner_caller caller;
};

static void serve_request(void *arg, struct http_pipe *p)
{
    struct inner *in = arg;
    struct gateway_face *now = in->o->face(in->o->arg);
    struct inner_caller caller = in->caller;
    caller.outdated = !str_eq(now->client_hash, in->face->client_hash);
    in->o->serve(in->o->arg, now, &caller, p);
    face_unref(now);
}

/* http_serve_options.refuse: a head that cannot be taken. `why` is constant, without quotes. */
static void refuse(void *arg, int status, const char *why, struct http_head *ret,
                   struct http_text *ret_body)
{
    (void)arg, (void)status;
    AUTO_FREE char *text =
        mem_printf("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":"
                   "\"%s\",\"data\":{\"gateway_failure\":{\"source\":\"protocol\"}}}}",
                   why);
    *ret_body = http_head_copy(ret, text, strlen(text));
    (void)!http_head_add(ret, HTTP_TEXT("content-type"), HTTP_TEXT("application/json"));
}

void inner_refused(void)
{
    metric_add(&n_no_route, 1);
    log_debug("a caller was refused", "why=\"it asks for a host that is not of this tunnel\"");
}

static int answer(struct http_pipe *p, int status)
{
    const struct http_head h = {.status = status,
                                .body = status == 200 ? HTTP_BODY_STREAM : HTTP_BODY_NONE};
    return http_send_head(p, &h);
}

static bool is_below(const struct host *h, const struct host *domain)
{
    return domain->kind == HOST_NAME && h->n > domain->n && h->text[h->n - domain->n - 1] == '.' &&
           memcmp(h->text + h->n - domain->n, domain->text, domain->n) == 0;
}

bool inner_knows(const struct gateway_config *c, const struct host *host)
{
    return host->kind == HOST_NAME &&
           (is_below(host, &c->tunnel_domain) || gateway_config_route(c, host));
}

/* Whether the caller's host is one of ours; its answer has gone out. 0, or negative. Not inlined, nor are some others:
 * what they need is not to lie below a fiber that waits for hours. */
__attribute__((noinline)) static int welcome(struct inner *in, struct http_pipe *p)
{
    struct http_head h;
    struct err e = {0};
    uint16_t port;
    http_head_init(&h);
    int r = http_read_head(p, &h, &e);
    bool ours =
        r == 0 && http_text_eq(h.method, "CONNECT") && !h.protocol.p &&
        host_parse_authority(h.authority.p, h.authority.n, 0, &in->caller.host, &port, &e) == 0 &&
        inner_knows(in->face->config, &in->caller.host);
    http_head_done(&h);
    if (r < 0)
        return r;
    if (ours)
        return answer(p, 200);
    inner_refused();
    r = answer(p, 404);
    return r < 0 ? r : -ENOENT;
}

/* Takes `under` over. */
__attribute__((noinline)) static int start_tls(struct inner *in, struct stream *under,
                                               struct stream *ret, enum http_version *ret_version,
                                               struct err *e)
{
    static const char *const offers[] = {"h2", "http/1.1", NULL};
    const struct tls_serve_options o = {.identity = in->face->identity,
                                        .alpn = offers,
                                        .clients = in->face->client_trust,
                                        .linger_ms = LINGER_MS};
    const char *alpn = NULL;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(HANDSHAKE_MS);
    int r = tls_serve(in->o->tls, &o, under, ret, &alpn, e);
    *ret_version = alpn == offers[0] ? HTTP_2 : HTTP_1_1;
    if (r == 0) {
        tls_client_name(ret, in->caller.name);
        tls_client_id(ret, in->caller.id);
    }
    return r;
}

/* Takes `under` over. */
static void serve_stream(struct inner *in, struct stream *under)
{
    struct err e = {0};
    enum http_version version;
    AUTO(stream) s = {.ops = NULL};
    int r = start_tls(in, under, &s, &version, &e);
    if (r < 0) {
        metric_add(&n_no_tls, 1);
        log_debug("a caller has left without TLS", "host=%s why=%s", in->caller.host.text,
                  log_q(e.msg));
        return;
    }
    metric_add(&n_callers, 1);
    const struct http_serve_options o = {.tls = true,
                                         .head_bytes_max = HEAD_BYTES,
                                         .streams_max = STREAMS_MOST,
                                         .idle_timeout_ms = IDLE_MS,
                                         .refuse = refuse,
                                         .serve = serve_request,
                                         .arg = in};
    r = http_serve(version, &s, &o, &e);
    if (r < 0)
        log_debug("a caller's connection has ended", "host=%s why=%s", in->caller.host.text,
                  log_q(e.msg));
    struct fiber_shield shield = fiber_shield_begin(GOODBYE_MS);
    (void)!stream_finish(&s);
    fiber_shield_end(&shield);
}

void inner_serve(const struct inner_options *o, struct http_pipe *p)
{
    struct inner in = {.o = o, .face = o->face(o->arg)};
    struct stream s;
    if (welcome(&in, p) < 0) {
        http_pipe_close(p);
    } else {
        http_pipe_stream(p, &s);
        serve_stream(&in, &s);
    }
    face_unref(in.face);
}

void inner_serve_stream(const struct inner_options *o, const struct host *host,
                        struct stream *under)
{
    struct inner in = {.o = o, .face = o->face(o->arg), .caller = {.host = *host}};
    serve_stream(&in, under);
    face_unref(in.face);
}
