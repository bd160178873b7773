/* operator.c - /healthz, /readyz and /metrics on a listener of their own.
 *
 * An HTTP server like the API's, with few connections, on fibers of the same loop: an answer from
 * /healthz says that the loop turns. Whoever reaches the address may ask; what is answered is fixed
 * text and counts (base/metrics.h). A request's target picks one of three answers, a body is never
 * read. */
#include "http/server/operator.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/host.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "io/sock.h"
#include "io/vitals.h"

#include <string.h>

#define MAX_CONNECTIONS 64
#define PAGE_MAX        (1u << 20) /* of 1024 routes at a gateway */
#define TEXT            "text/plain; charset=utf-8"
#define JSON            "application/json"
#define EXPOSITION      "text/plain; version=0.0.4; charset=utf-8"

struct operator_page {
    struct operator_config c;
    struct http_server *http;
};

static int say(struct http_exchange *x, int status, const char *text)
{
    return http_reply(x, status, TEXT, text, strlen(text));
}

static int say_where(const struct operator_page *p, struct http_exchange *x)
{
    AUTO_FREE char *text = mem_printf("/healthz, /readyz%s and /metrics are here\n",
                                      p->c.own_paths ? p->c.own_paths : "");
    return say(x, 404, text);
}

static int answer_ready(struct operator_page *p, struct http_exchange *x)
{
    const char *why = p->c.not_ready(p->c.arg);
    AUTO_FREE char *text = mem_printf("%s\n", why ? why : "ready");
    return say(x, why ? 503 : 200, text);
}

static int answer_metrics(struct operator_page *p, struct http_exchange *x)
{
    AUTO(buf) page = BUF_INIT(PAGE_MAX);
    if (p->c.refresh)
        p->c.refresh(p->c.arg);
    vitals_refresh();
    int r = metrics_render(&page, p->c.prefixes);
    if (r == 0 && p->c.series) {
        p->c.series(p->c.arg, &page);
        r = buf_err(&page);
    }
    if (r < 0)
        return say(x, 500, "the page is too large\n");
    return http_reply(x, 200, EXPOSITION, buf_str(&page), page.len);
}

/* A page of the process's own says more than counts. Whoever owns a name may let it lead here, and its pages then
 * read with the browser of somebody on this machine (DNS rebinding): so it is asked for by address, or as localhost. */
static bool is_asked_by_address(const struct http_exchange *x)
{
    const char *host = h1_header_get(http_request(x), "host", NULL);
    struct host h;
    uint16_t port;
    struct err ignored = {0};
    return !host ||
           (host_parse_authority(host, strlen(host), HOST_LITERALS, &h, &port, &ignored) == 0 &&
            (h.kind != HOST_NAME || str_eq(h.text, "localhost")));
}

/* 0 or the connection's code after answering; -ENOENT: it is none of the process's own. */
static int answer_own(struct operator_page *p, struct http_exchange *x)
{
    AUTO(buf) page = BUF_INIT(PAGE_MAX);
    int status = 500,
        r = p->c.own ? p->c.own(p->c.arg, http_request(x)->path, &page, &status) : -ENOENT;
    if (r == -ENOENT)
        return r;
    if (!is_asked_by_address(x))
        return say(x, 421, "ask for this page by address, or as localhost\n");
    if (r < 0)
        return say(x, 500, "the page is too large\n");
    (void)buf_addc(&page, '\n');
    (void)http_reply(x, status, JSON, buf_str(&page), page.len);
    return 0;
}

static void answer(struct http_exchange *x, void *arg)
{
    struct operator_page *p = arg;
    const struct h1_request *q = http_request(x);
    int r;
    if (!str_eq(q->method, "GET") && !str_eq(q->method, "HEAD"))
        r = say(x, 405, "GET only\n");
    else if (answer_own(p, x) == 0)
        return;
    else if (str_eq(q->path, "/healthz"))
        r = say(x, 200, "ok\n");
    else if (str_eq(q->path, "/readyz"))
        r = answer_ready(p, x);
    else if (str_eq(q->path, "/metrics"))
        r = answer_metrics(p, x);
    else
        r = say_where(p, x);
    (void)r; /* the connection's end is the connection's business */
}

int operator_open(const struct operator_config *c, struct operator_page **ret, struct err *e)
{
    *ret = NULL;
    if (str_eq(c->listen, "none"))
        return 0;
    struct operator_page *p = mem_new(struct operator_page);
    char address[SOCK_ADDR_MAX];
    struct err why = {0};
    p->c = *c;
    struct http_server_config http = {.listen = c->listen ? c->listen : c->by_default,
                                      .max_connections = MAX_CONNECTIONS,
                                      .handler = answer,
                                      .arg = p};
    p->http = http_server_new(&http, address, &why);
    if (!p->http) {
        free(p);
        if (c->listen)
            return err_set(e, why.code < 0 ? why.code : -EINVAL, "--metrics: %s", why.msg);
        log_warn("no /metrics: the address is taken; --metrics names another", "address=%s",
                 c->by_default);
        return 0;
    }
    log_info("metrics", "listen=%s", address);
    *ret = p;
    return 0;
}

int operator_run(void *arg)
{
    struct operator_page *p = arg;
    return http_server_run(p->http);
}

void operator_free(struct operator_page *p)
{
    if (!p)
        return;
    http_server_free(p->http);
    free(p);
}
