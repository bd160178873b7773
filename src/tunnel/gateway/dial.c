/* dial.c - one attempt to reach the edge.
 *
 * Runs on the fiber of an uplink. The edge is the operator's word and is verified by TLS; what answers is
 * parsed as a stranger's all the same, for it may be a box in between: strictly, a head of bounded size, read
 * byte by byte so that not a byte behind it is taken. The token is read from its file, by the keeper, for each attempt, so
 * that a rotated one is picked up; it lies in locked memory and in a buffer that is wiped. */
#include "tunnel/gateway/dial.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "http/pipe/answer.h"
#include "http/pipe/proxy.h"
#include "tunnel/gateway/environment.h"
#include "io/file.h"
#include "io/pool.h"
#include "io/race.h"
#include "io/resolve.h"
#include "io/tls.h"
#include "tunnel/gateway/supply.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DIAL_MS      45000
#define CONNECT_MS   10000
#define REQUEST_MAX  2048
#define AUTHORITY    (HOST_TEXT_MAX + 8)
#define VERSION_TEXT "1"

/* ---- the token ---- */

struct token_file {
    const char *field, *path; /* for words; where it is */
    struct secret *ret;
    struct err err;
};

/* On a thread. */
static int read_secret_file(void *arg)
{
    struct token_file *f = arg;
    char text[GATEWAY_TOKEN_MAX + 1];
    AUTO_CLOSE int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return err_set(&f->err, -errno, "cannot open %s %s: %s", f->field, f->path,
                       err_text(-errno));
    int r = file_is_private(fd, f->path, &f->err);
    if (r < 0)
        return r;
    ssize_t n = file_read_small(fd, text, sizeof(text));
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    for (ssize_t i = 0; i < n; i++)
        if (text[i] <= 0x20 || text[i] >= 0x7f)
            n = 0;
    if (n <= 0)
        r = err_set(&f->err, n < 0 ? (int)n : -E_PARSE,
                    "%s %s does not hold one line of printable text", f->field, f->path);
    else
        r = secret_set(f->ret, text, (size_t)n);
    secret_wipe(text, sizeof(text));
    return r;
}

/* ---- addresses ---- */

static int addresses_of(const struct dial_how *h, const struct host *host, struct address *list,
                        size_t *ret_n, struct err *e)
{
    *ret_n = 1;
    if (host->kind == HOST_IPV4)
        return address_parse(host->text, host->n, &list[0], e);
    if (host->kind == HOST_IPV6)
        return address_parse(host->text + 1, host->n - 2u, &list[0], e);
    struct resolved all;
    int r = resolver_lookup(h->resolver, host->text, &all, NULL, e);
    if (r < 0)
        return r;
    *ret_n = all.n;
    for (size_t i = 0; i < all.n; i++)
        memcpy(list[i].b, all.address[(i + h->turn) % all.n], sizeof(list[i].b));
    return 0;
}

static int connect_to(const struct dial_how *h, const struct host *host, uint16_t port,
                      struct stream *ret, struct dial_seen *seen, struct err *e)
{
    struct address list[RACE_MAX];
    size_t n, which;
    seen->step = DIAL_NAME;
    int fd, r = addresses_of(h, host, list, &n, e);
    if (r == 0) {
        seen->addresses = n;
        seen->step = DIAL_CONNECT;
        r = race_connect(list, n, port, CONNECT_MS, &fd, &which, e);
    }
    if (r == 0 && (r = stream_from_fd(ret, fd)) < 0)
        (void)close(fd);
    return r;
}

/* ---- the way there ---- */

static int start_tls(const struct dial_how *h, const struct host *host, struct stream *s,
                     struct err *e)
{
    static const char *const http1[] = {"http/1.1", NULL};
    const struct tls_connect_options o = {
        .host = host->text, .is_ip = host->kind != HOST_NAME, .alpn = http1};
    struct stream under;
    stream_move(&under, s);
    return tls_connect(h->trust, &o, &under, s, NULL, e);
}

int gateway_dial_secret(struct pool *pool, const char *field, const char *path, struct secret *ret,
                        struct err *e)
{
    struct token_file f = {.field = field, .path = path, .ret = ret};
    int r = pool_call(pool, read_secret_file, &f);
    if (r < 0)
        *e = f.err;
    return r;
}

static int read_secret(const struct dial_how *h, const char *field, const char *path,
                       struct secret *ret, struct err *e)
{
    if (!h->keeper && !path)
        return gateway_environment_password(ret, e);
    return h->keeper ? supply_line(h->keeper, field, ret, e)
                     : gateway_dial_secret(h->pool, field, path, ret, e);
}

static int through_proxy(const struct dial_how *h, struct stream *ret, struct dial_seen *seen,
                         struct err *e)
{
    const struct gateway_edge *edge = &h->config->edge;
    const struct gateway_proxy *p = &edge->proxy;
    struct secret password = {0};
    char authority[AUTHORITY];
    (void)snprintf(authority, sizeof(authority), "%s:%u", edge->host.text, edge->port);
    int r = connect_to(h, &p->host, p->port, ret, seen, e);
    if (r == 0)
        seen->step = DIAL_PROXY;
    if (r == 0 && p->tls)
        r = start_tls(h, &p->host, ret, e);
    if (r == 0 && (p->password_file || p->has_password))
        r = read_secret(h, "proxy_password_file", p->password_file, &password, e);
    if (r == 0) {
        const struct http_proxy ask = {
            .word = "the proxy",
            .name = p->host.text,
            .user = p->user,
            .user_source = p->from_environment ? "HTTPS_PROXY" : "the configuration",
            .user_advice = p->from_environment ? "give them as http://user:password@host:port in "
                                                 "HTTPS_PROXY"
                                               : "give them as http://user@host and "
                                                 "proxy_password_file"};
        const char *kind;
        r = http_proxy_connect(ret, &ask, authority, p->user ? &password : NULL,
                               &seen->proxy_status, &kind, e);
    }
    secret_done(&password);
    return r;
}

/* ---- the question ---- */

static int ask(const struct dial_how *h, struct stream *s, struct err *e)
{
    const struct gateway_edge *edge = &h->config->edge;
    struct secret token = {0};
    int r = read_secret(h, "token_file", edge->token_file, &token, e);
    if (r < 0)
        return r;
    AUTO(buf) b = BUF_INIT(REQUEST_MAX);
    if (!buf_room(&b, REQUEST_MAX - 1)) /* at once: no copy is left behind by growing */
        r = -ENOMEM;
    (void)buf_addf(&b,
                   "GET /v1/tunnels/connect HTTP/1.1\r\nHost: %s:%u\r\n"
                   "Connection: Upgrade\r\nUpgrade: ptth\r\nALPN: h2\r\n"
                   "Sallyport-Version: " VERSION_TEXT "\r\nSallyport-Connector: %s\r\n%s"
                   "Authorization: Bearer ",
                   edge->host.text, edge->port, h->connector,
                   h->draining ? "Sallyport-Draining: 1\r\n" : "");
    (void)buf_add(&b, secret_borrow(&token), token.len);
    (void)buf_adds(&b, "\r\n\r\n");
    r = buf_err(&b);
    if (r == 0)
        r = stream_write(s, b.data, b.len);
    if (r < 0)
        (void)err_set(e, r, "asking the edge: %s", err_text(r));
    if (b.data)
        secret_wipe(b.data, b.cap);
    secret_done(&token);
    return r;
}

static int refused(const struct http_answer *a, const char *name, int64_t *ret_after_ms,
                   struct err *e)
{
    switch (a->head.status) {
    case 401:
        return err_set(e, -E_DENIED,
                       "the edge %s does not know the token: it was rotated, the tunnel was "
                       "archived, or it is another edge's",
                       name);
    case 403:
        return err_set(e, -E_DENIED,
                       "the edge %s knows what is in token_file, but it is no tunnel's token (403)",
                       name);
    case 404:
        return err_set(e, -ENOENT,
                       "%s answers 404: no edge of Sallyport is there, or it was started without "
                       "tunnels",
                       name);
    case 426:
        return err_set(e, -E_PROTO,
                       "the edge %s has not seen that we ask for an upgrade: a proxy in between "
                       "takes `Upgrade` out of requests, and has to be told to let it pass",
                       name);
    case 429:
    case 503:
        *ret_after_ms = http_answer_retry_after_ms(a);
        return err_set(e, -EAGAIN, "the edge %s takes nobody now (%d)", name, a->head.status);
    default:
        return err_set(e, -E_PROTO, "the edge %s answers %d", name, a->head.status);
    }
}

static int hear(const struct dial_how *h, struct stream *s, int64_t *ret_after_ms, struct err *e)
{
    const char *name = h->config->edge.host.text, *why = "";
    AUTO(http_answer) a;
    http_answer_init(&a);
    int r = http_answer_read(s, H1_ASKED_OTHER, &a, &why);
    if (r == -E_PARSE || r == -E_LIMIT || r == -E_PROTO)
        return err_set(e, -E_PROTO, "what answers at %s is no edge: %s", name, why);
    if (r < 0)
        return err_set(e, r, "the edge %s ended the connection without an answer: %s", name,
                       err_text(r));
    if (a.head.status != 101)
        return refused(&a, name, ret_after_ms, e);
    if (!a.head.upgrade || !http_answer_lists(&a, "upgrade", "ptth") ||
        !http_answer_lists(&a, "alpn", "h2"))
        return err_set(e, -E_PROTO, "the edge %s switches to something else than was asked for",
                       name);
    return 0;
}

/* The edge's addresses are asked for only where networks of no_proxy could have one: behind a proxy there
 * is often nobody who knows them. Suspends. */
static bool goes_direct(const struct dial_how *h)
{
    struct address list[RACE_MAX];
    struct err ignored = {0};
    size_t n;
    if (gateway_config_goes_direct(h->config, NULL))
        return true;
    if (!h->config->direct_networks.n ||
        addresses_of(h, &h->config->edge.host, list, &n, &ignored) < 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (gateway_config_goes_direct(h->config, &list[i]))
            return true;
    return false;
}

int gateway_dial_open(const struct dial_how *h, bool tls, struct stream *ret,
                      struct dial_seen *ret_seen, struct err *e)
{
    const struct gateway_edge *edge = &h->config->edge;
    *ret = (struct stream){.io = IO_FD_NONE};
    *ret_seen = (struct dial_seen){.direct = goes_direct(h)};
    int r = ret_seen->direct ? connect_to(h, &edge->host, edge->port, ret, ret_seen, e)
                             : through_proxy(h, ret, ret_seen, e);
    if (r == 0)
        ret_seen->step = DIAL_TLS;
    if (r == 0 && tls)
        r = start_tls(h, &edge->host, ret, e);
    if (r < 0)
        stream_done(ret);
    return r;
}

int gateway_dial(const struct dial_how *h, struct stream *ret, int64_t *ret_after_ms, struct err *e)
{
    AUTO(fiber_deadline) limit = fiber_deadline_push_ms(DIAL_MS);
    struct dial_seen seen;
    *ret_after_ms = -1;
    int r = gateway_dial_open(h, h->config->edge.tls, ret, &seen, e);
    if (r == 0)
        r = ask(h, ret, e);
    if (r == 0)
        r = hear(h, ret, ret_after_ms, e);
    if (r < 0)
        stream_done(ret);
    return r;
}
