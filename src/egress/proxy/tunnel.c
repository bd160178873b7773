/* tunnel.c - one question to an upstream proxy, and the bridge behind TLS.
 *
 * Called by dial.c on the fiber of the connection that is dialled. The operator has named the proxy;
 * what it answers is nevertheless parsed as a stranger's: strictly, within TUNNEL_HEAD_MAX, interim
 * answers counted. The head is read byte by byte, so nothing behind it is taken out of the socket: the
 * origin may speak first, and what it says belongs to who speaks next (c-anchors failure class 12).
 * Words of a refusal do not repeat what the proxy said. The header with the password is built in
 * memory that is wiped. */
#include "egress/proxy/tunnel.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/secret.h"
#include "http/wire/h1_response.h"
#include "io/sock.h"

#define INTERIM_MAX   4
#define PASSWORD_MAX  4096
#define BRIDGE_BYTES  (16u << 10)
#define AUTHORITY_MAX 300

/* ---- asking ---- */

/* "Proxy-Authorization: Basic ..." (RFC 7617 2). The buffer never grows, so no copy is left behind. */
static int add_credentials(struct buf *out, const struct policy_proxy *proxy,
                           const struct secret *password, struct err *e)
{
    size_t user = strlen(proxy->user), n = user + 1 + password->len;
    if (password->len > PASSWORD_MAX)
        return err_set(e, -E_LIMIT, "the password of upstream_proxy has more than %d bytes",
                       PASSWORD_MAX);
    struct secret pair = {0};
    int r = secret_room(&pair, n);
    if (r < 0)
        return err_set(e, r, "no memory for the password of upstream_proxy");
    memcpy(pair.data, proxy->user, user);
    pair.data[user] = ':';
    memcpy(pair.data + user + 1, secret_borrow(password), password->len);
    (void)buf_adds(out, "Proxy-Authorization: Basic ");
    (void)enc_base64(out, pair.data, n);
    (void)buf_adds(out, "\r\n");
    secret_done(&pair);
    return buf_err(out);
}

static int send_question(struct stream *s, const struct policy_proxy *proxy, const char *authority,
                         const struct secret *password, struct err *e)
{
    AUTO(buf) b = BUF_INIT(16384);
    int r = 0;
    if (!buf_room(&b, 16000))
        return err_set(e, -ENOMEM, "no memory for a request to upstream_proxy");
    (void)buf_addf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", authority, authority);
    if (proxy->user)
        r = add_credentials(&b, proxy, password, e);
    (void)buf_adds(&b, "\r\n");
    if (r == 0)
        r = buf_err(&b);
    if (r == 0 && (r = stream_write(s, b.data, b.len)) < 0)
        (void)err_set(e, r, "asking upstream_proxy %s: %s", proxy->host.text, err_text(r));
    secret_wipe(b.data, b.cap);
    return r;
}

/* Reads one head into `b`, exactly. */
static int read_head(struct stream *s, struct buf *b, struct h1_head *head, const char **ret_why)
{
    static const struct h1_limits limits = {.bytes = TUNNEL_HEAD_MAX, .fields = H1_FIELDS_MAX};
    enum h1_framing framing;
    buf_reset(b);
    for (;;) {
        char c;
        ssize_t n = stream_read(s, &c, 1);
        if (n <= 0)
            return n == 0 ? -E_CLOSED : (int)n;
        if (buf_addc(b, c) < 0)
            return -E_LIMIT;
        if (c != '\n')
            continue;
        n = h1_response_scan(b->data, b->len, &limits, H1_ASKED_CONNECT, head, &framing, ret_why);
        if (n >= 0)
            return (size_t)n == b->len ? 0 : -E_PROTO;
        if (n != -EAGAIN)
            return (int)n;
    }
}

static int no_answer(const struct policy_proxy *proxy, int r, const char *why,
                     const char **ret_error, struct err *e)
{
    const char *name = proxy->host.text;
    if (r == -ETIMEDOUT) {
        *ret_error = "http_response_timeout";
        return err_set(e, r, "upstream_proxy %s did not answer in time", name);
    }
    if (r == -ECANCELED)
        return err_set(e, r, "asking upstream_proxy %s was cancelled", name);
    if (r == -E_PARSE || r == -E_LIMIT || r == -E_PROTO) {
        *ret_error = "http_protocol_error";
        return err_set(e, -E_PROTO, "upstream_proxy %s does not answer as a proxy does%s%s", name,
                       *why ? ": " : "", why);
    }
    *ret_error = "http_response_incomplete";
    return err_set(e, r, "upstream_proxy %s ended the connection without an answer: %s", name,
                   err_text(r));
}

static int refused(const struct policy_proxy *proxy, const char *authority, int status,
                   const char **ret_error, struct err *e)
{
    const char *name = proxy->host.text;
    switch (status) {
    case 407:
        *ret_error = "proxy_configuration_error";
        return err_set(e, -EACCES,
                       proxy->user
                           ? "upstream_proxy %s refuses the user and password of the policy (407)"
                           : "upstream_proxy %s wants a user (407); give \"user\" and \"password\"",
                       name);
    case 403:
    case 401:
        *ret_error = "connection_refused";
        return err_set(e, -EACCES, "upstream_proxy %s does not allow %s (%d)", name, authority,
                       status);
    case 504:
        *ret_error = "connection_timeout";
        return err_set(e, -ETIMEDOUT, "upstream_proxy %s could not reach %s in time (504)", name,
                       authority);
    case 502:
    case 503:
        *ret_error = "destination_unavailable";
        return err_set(e, -EHOSTUNREACH, "upstream_proxy %s could not reach %s (%d)", name,
                       authority, status);
    default:
        *ret_error = "proxy_configuration_error";
        return err_set(e, -E_PROTO, "upstream_proxy %s answers %d to CONNECT %s", name, status,
                       authority);
    }
}

int tunnel_ask(struct stream *s, const struct policy_proxy *proxy, const char *authority,
               const struct secret *password, int *ret_status, const char **ret_error,
               struct err *e)
{
    *ret_status = 0;
    *ret_error = "proxy_configuration_error";
    if (proxy->user && !password)
        return err_set(e, -EACCES, "the password of upstream_proxy %s is not known",
                       proxy->host.text);
    int r = send_question(s, proxy, authority, password, e);
    if (r < 0) {
        *ret_error = r == -ETIMEDOUT ? "connection_write_timeout" : "connection_terminated";
        return r;
    }
    AUTO(buf) b = BUF_INIT(TUNNEL_HEAD_MAX);
    AUTO_FREE struct h1_head *head = mem_new(struct h1_head);
    const char *why = "";
    for (int i = 0; i <= INTERIM_MAX; i++) {
        r = read_head(s, &b, head, &why);
        if (r < 0)
            return no_answer(proxy, r, why, ret_error, e);
        if (head->status >= 200 || head->status == 101)
            break;
    }
    *ret_status = head->status;
    if (head->status < 200)
        return no_answer(proxy, -E_PROTO, "", ret_error, e);
    if (head->status >= 300)
        return refused(proxy, authority, head->status, ret_error, e);
    *ret_error = NULL;
    return 0;
}

/* ---- the bridge ---- */

struct bridge {
    struct scope scope;
    struct stream far, near; /* the proxy's, and our end of the pair */
};
struct half {
    struct bridge *bridge;
    struct stream *from, *to;
};

static int carry(void *arg)
{
    struct half *h = arg;
    AUTO_FREE char *bytes = mem_array(BRIDGE_BYTES, 1);
    fiber_deadline_clear();
    ssize_t n;
    int r = 0;
    while (r == 0 && (n = stream_read(h->from, bytes, BRIDGE_BYTES)) != 0)
        r = n < 0 ? (int)n : stream_write(h->to, bytes, (size_t)n);
    secret_wipe(bytes, BRIDGE_BYTES);
    if (r == 0)
        r = stream_finish(h->to);
    if (r < 0)
        scope_cancel(&h->bridge->scope); /* the other way is of no use any more */
    return r;
}

static int bridge_main(void *arg)
{
    struct bridge *b = arg;
    struct half there = {b, &b->near, &b->far}, back = {b, &b->far, &b->near};
    fiber_deadline_clear();
    scope_init(&b->scope);
    if (fiber_spawn(&b->scope, "bridge", carry, &there, NULL) == 0 &&
        fiber_spawn(&b->scope, "bridge", carry, &back, NULL) == 0)
        (void)!scope_join(&b->scope);
    scope_done(&b->scope);
    stream_done(&b->far);
    stream_done(&b->near);
    free(b);
    return 0;
}

int tunnel_bridge(struct scope *scope, struct stream *s, int *ret_fd, struct err *e)
{
    int pair[2];
    struct bridge *b = mem_new(struct bridge);
    int r = sock_pair(SOCK_STREAM, pair);
    if (r == 0 && (r = stream_from_fd(&b->near, pair[0])) < 0) {
        (void)close(pair[0]);
        (void)close(pair[1]);
    }
    if (r < 0) {
        stream_done(s);
        free(b);
        return err_set(e, r, "cannot join a connection through upstream_proxy: %s", err_text(r));
    }
    stream_move(&b->far, s);
    r = fiber_spawn(scope, "bridge", bridge_main, b, NULL);
    if (r < 0) {
        stream_done(&b->far);
        stream_done(&b->near);
        (void)close(pair[1]);
        free(b);
        return err_set(e, r, "cannot join a connection through upstream_proxy: %s", err_text(r));
    }
    *ret_fd = pair[1];
    return 0;
}
