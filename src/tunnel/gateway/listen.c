/* listen.c - from a WebSocket to a caller's TLS.
 *
 * The published proxy stands behind a connector that dials out, and waits for it with a plain WebSocket whose
 * byte stream is the caller's TLS. So does this: an HTTP server (http/server) of its own, each connection on
 * its fiber. Whoever reaches the address is a stranger, the connector included: who the caller is and what it
 * wants is decided behind the TLS, which ends here. The name in its ClientHello takes the place of the name
 * that the edge says elsewhere, and is no more believed (inner.c, forward.c): a caller gets no certificate
 * for another name. What is no WebSocket gets 426 or 400, what is no ClientHello within ten seconds an end,
 * and a name that is not ours the alert that a caller at the edge gets. */
#include "tunnel/gateway/listen.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "fiber/fiber.h"
#include "http/server/server.h"
#include "http/server/websocket.h"
#include "io/client_hello.h"
#include "io/sock.h"
#include "io/stream.h"

#include <string.h>
#include <sys/resource.h>

#define PLACES_MOST 8192
#define HELLO_MS    10000
#define HELLO_STEP  2048
#define LOOKS_FREE  32 /* reads of a ClientHello before it is taken for one that comes in crumbs */
#define CRUMB_MS    10
#define SERVERS     2 /* one a family */

struct listener {
    const struct inner_options *o;
    struct http_server *servers[SERVERS];
    size_t n;
    size_t callers;
    char address[LISTENER_TEXT_MAX];
};

/* ---- one caller ---- */

/* Reads until it is whole. 0 with the name; -E_PARSE, or a code of the connection. */
static int read_hello(struct stream *s, struct buf *bytes, struct host *ret)
{
    AUTO_FREE struct client_hello *hello = mem_new(struct client_hello);
    struct err ignored = {0};
    const char *why;
    int r = -EAGAIN;
    for (unsigned looks = 0; r == -EAGAIN; looks++) {
        r = looks > LOOKS_FREE ? fiber_sleep_ms(CRUMB_MS) : 0;
        size_t left = CLIENT_HELLO_PEEK_MAX - bytes->len;
        char *to = r == 0 ? buf_room(bytes, left < HELLO_STEP ? left : HELLO_STEP) : NULL;
        if (!to)
            return r < 0 ? r : buf_err(bytes);
        ssize_t n = stream_read(s, to, left < HELLO_STEP ? left : HELLO_STEP);
        if (n <= 0)
            return n < 0 ? (int)n : -E_CLOSED;
        buf_commit(bytes, (size_t)n);
        r = client_hello_parse(bytes->data, bytes->len, hello, &why);
    }
    if (r == 0 && host_parse(hello->server_name, hello->n_server_name, 0, ret, &ignored) < 0)
        *ret = (struct host){.kind = HOST_NONE};
    return r;
}

/* unrecognized_name in the clear (RFC 8446 6, RFC 6066 3). */
static void refuse_name(struct stream *s)
{
    static const unsigned char alert[] = {0x15, 0x03, 0x03, 0, 2, 2, 112};
    inner_refused();
    if (stream_write(s, alert, sizeof(alert)) == 0)
        (void)!stream_finish(s);
}

/* 0 when it is one of ours, and has been put back; negative: it is to end. */
static int welcome(struct listener *l, struct stream *s, struct host *ret)
{
    AUTO(buf) bytes = BUF_INIT(CLIENT_HELLO_PEEK_MAX);
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(HELLO_MS);
    int r = read_hello(s, &bytes, ret);
    if (r < 0) {
        log_debug("a caller was refused", "why=\"it did not begin with a ClientHello\"");
        return r;
    }
    struct gateway_face *now = l->o->face(l->o->arg);
    bool ours = inner_knows(now->config, ret);
    face_unref(now);
    if (ours)
        http_websocket_unread(s, bytes.data, bytes.len);
    else
        refuse_name(s);
    return ours ? 0 : -ENOENT;
}

static void say(struct http_exchange *x, int status, const char *text)
{
    (void)http_reply(x, status, "text/plain; charset=utf-8", text, strlen(text));
}

static void serve(struct http_exchange *x, void *arg)
{
    struct listener *l = arg;
    struct stream s;
    struct host host;
    /* A connector is no browser. WebSockets have no rule about origins: a page of any site could come from the
     * browser of somebody who reaches this address, with TLS in its script. */
    if (h1_header_get(http_request(x), "origin", NULL)) {
        http_set_header(x, "Connection", "close");
        say(x, 403, "A connector of a tunnel comes here, and no page of a browser.\n");
        return;
    }
    int r = http_switch_websocket(x, &s);
    if (r == -EINVAL && !http_asks_upgrade(x, "websocket")) {
        http_set_header(x, "Upgrade", "websocket");
        say(x, 426, "A connector of a tunnel comes here, by WebSocket.\n");
    } else if (r == -EINVAL || r == -E_PROTO) {
        http_set_header(x, "Sec-WebSocket-Version", "13");
        http_set_header(x, "Connection", "close");
        say(x, 400, "This is no opening handshake of RFC 6455.\n");
    }
    if (r < 0)
        return;
    l->callers++;
    r = welcome(l, &s, &host);
    if (r == 0) {
        http_known(x);
        inner_serve_stream(l->o, &host, &s);
    }
    stream_done(&s);
    l->callers--;
}

/* ---- life ---- */

/* An eighth of the files that the process may open, for each of two families: strangers come here, and the
 * rest is for the edge and for servers. */
static size_t places(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur / 8 > PLACES_MOST)
        return PLACES_MOST;
    return files.rlim_cur / 8 + 1;
}

static int open_one(struct listener *l, const char *at, struct err *e)
{
    char bound[SOCK_ADDR_MAX];
    const struct http_server_config c = {
        .listen = at, .max_connections = places(), .handler = serve, .arg = l};
    struct http_server *s = http_server_new(&c, bound, e);
    if (!s)
        return e->code < 0 ? e->code : -EINVAL;
    size_t n = strlen(l->address);
    (void)snprintf(l->address + n, sizeof(l->address) - n, "%s%s", n ? " and " : "", bound);
    l->servers[l->n++] = s;
    return 0;
}

/* Every address of both families; a machine without IPv6 has one. */
static int open_every(struct listener *l, uint16_t port, struct err *e)
{
    char at[ADDRESS_TEXT_MAX + 10];
    struct err ignored = {0};
    (void)snprintf(at, sizeof(at), "0.0.0.0:%u", port);
    int r = open_one(l, at, e);
    (void)snprintf(at, sizeof(at), "[::]:%u", port);
    if (r == 0 && open_one(l, at, &ignored) < 0)
        log_info("no listener for IPv6", "why=%s", log_q(ignored.msg));
    return r;
}

int listener_open(const struct gateway_listen *at, const struct inner_options *o,
                  struct listener **ret, struct err *e)
{
    struct listener *l = mem_new(struct listener);
    char text[ADDRESS_TEXT_MAX], full[ADDRESS_TEXT_MAX + 10];
    l->o = o;
    (void)snprintf(full, sizeof(full), address_is_ipv4(&at->address) ? "%s:%u" : "[%s]:%u",
                   address_text(&at->address, text), at->port);
    int r = at->every ? open_every(l, at->port, e) : open_one(l, full, e);
    if (r < 0) {
        listener_free(l);
        return err_wrap(e, r, "listen_addr");
    }
    if (at->every || address_classify(&at->address, NULL) != ADDRESS_LOOPBACK)
        log_warn("the listener can be reached from other machines: whoever does may try",
                 "listen=%s", log_q(l->address));
    else
        log_info("listening for a connector", "listen=%s", log_q(l->address));
    *ret = l;
    return 0;
}

const char *listener_address(const struct listener *l)
{
    return l->address;
}

size_t listener_callers(const struct listener *l)
{
    return l->callers;
}

static int run_one(void *server)
{
    fiber_deadline_clear();
    return http_server_run(server);
}

int listener_run(void *listener)
{
    struct listener *l = listener;
    AUTO(scope) s;
    scope_init(&s);
    int r = 0;
    for (size_t i = 0; r == 0 && i < l->n; i++)
        r = fiber_spawn(&s, "listener", run_one, l->servers[i], NULL);
    return r == 0 ? scope_join(&s) : r;
}

void listener_stop(struct listener *l, int64_t grace_ms)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(grace_ms);
    for (size_t i = 0; i < l->n; i++)
        http_server_stop(l->servers[i], grace_ms);
}

void listener_free(struct listener *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->n; i++)
        http_server_free(l->servers[i]);
    free(l);
}
