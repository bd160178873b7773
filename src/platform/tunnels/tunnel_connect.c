/* tunnel_connect.c - a gateway's connection changes its direction (tunnel.md 2).
 *
 * A gateway sends `GET /v1/tunnels/connect` with `Upgrade: ptth` and `ALPN: h2` (RFC 7639); after the 101
 * this side asks, in HTTP/2, and the gateway answers. Its token was looked up like any other credential
 * (api/auth.c); what it says of itself goes into logs and status, and decides nothing. The handler's
 * fiber stays with the connection until it ends. */
#include "platform/tunnels/tunnel_connect.h"

#include "base/err.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/str.h"
#include "http/wire/h1_class.h"
#include "io/stream.h"
#include "platform/api/validate.h"
#include "platform/api/wire.h"
#include "platform/tunnels/tunnel_check.h"
#include "platform/tunnels/tunnel_row.h"

#include <string.h>

#define PROTOCOL   "ptth"
#define SAYS_MAX   64 /* of what a gateway says of itself */
#define NO_GATEWAY "This server joins no tunnels: it was started without an edge."

/* RFC 7639 2: a list of protocols, percent-encoded; "h2" needs no encoding. */
static bool offers_h2(const struct h1_request *q)
{
    for (size_t i = 0; i < q->n_headers; i++) {
        if (!str_ieq(q->headers[i].name, "alpn"))
            continue;
        for (const char *p = q->headers[i].value; *p;) {
            p += strspn(p, ", \t");
            size_t n = strcspn(p, ", \t");
            if (n == 2 && memcmp(p, "h2", 2) == 0)
                return true;
            p += n;
        }
    }
    return false;
}

/* A token (RFC 9110 5.6.2) of the gateway's, or "". */
static const char *says(const struct h1_request *q, const char *name)
{
    const char *v = h1_header_get(q, name, NULL);
    if (!v || strnlen(v, SAYS_MAX + 1) > SAYS_MAX)
        return "";
    for (const char *p = v; *p; p++)
        if (!h1_is(*p, H1_TOKEN))
            return "";
    return v;
}

/* 0, or 1 after answering. */
static int check(struct api_call *c)
{
    if (!c->p->gateways) {
        api_not_found(c, NO_GATEWAY);
        return 1;
    }
    if (api_refuse_draining(c))
        return 1;
    if (!http_asks_upgrade(c->x, PROTOCOL)) {
        api_error(c, 426, "invalid_request_error",
                  "This endpoint is for gateways, which ask for `Connection: Upgrade` and "
                  "`Upgrade: " PROTOCOL "`. A proxy on the way may have taken the fields out: "
                  "it has to let upgrades pass.");
        return 1;
    }
    if (!offers_h2(http_request(c->x))) {
        api_invalid(c, "alpn: the gateway must offer h2 (`ALPN: h2`), which is all this server "
                       "speaks after the upgrade");
        return 1;
    }
    return 0;
}

/* The request's text lives as long as the connection does, which may be for days. */
static void forget_token(const struct h1_request *q)
{
    for (size_t i = 0; i < q->n_headers; i++) {
        union {
            const char *from;
            char *to;
        } value = {q->headers[i].value};
        if (str_ieq(q->headers[i].name, "authorization") ||
            str_ieq(q->headers[i].name, "x-api-key"))
            secret_wipe(value.to, strlen(value.to));
    }
}

void tunnel_connect(struct api_call *c)
{
    if (check(c) != 0)
        return;
    const struct h1_request *q = http_request(c->x);
    if (str_eq(says(q, TUNNEL_HEADER_CHECK), "1")) {
        tunnel_check(c);
        return;
    }
    const struct gateway_arrival g = {
        .tunnel_id = c->caller.tunnel_id,
        .token_id = c->caller.key_id,
        .peer = http_peer(c->x),
        .connector = says(q, TUNNEL_HEADER_CONNECTOR),
        .version = says(q, TUNNEL_HEADER_VERSION),
        .draining = str_eq(says(q, TUNNEL_HEADER_DRAINING), "1"),
    };
    struct stream s;
    http_set_header(c->x, "request-id", c->request_id);
    http_set_header(c->x, "ALPN", "h2");
    int r = http_switch(c->x, PROTOCOL, &s);
    forget_token(q);
    if (r == -E_PROTO) {
        http_set_header(c->x, "Connection", "close");
        api_invalid(c, "the gateway has sent bytes before it was answered");
    } else if (r == -EINVAL) {
        api_invalid(c, "a request that asks for an upgrade has no body");
    } else if (r == 0) {
        c->p->gateways->serve(c->p->gateways->arg, &g, &s);
    }
    stream_done(&s);
}

/* ---- ending connections ---- */

struct ending {
    const char *id;
    struct refusal refusal;
};

static void ending_done(struct ending *x)
{
    json_decref(x->refusal.details);
}

static int find_tx(struct tx *tx, void *arg)
{
    struct ending *x = arg;
    return tunnel_find_tx(tx, x->id, &x->refusal);
}

void tunnel_disconnect(struct api_call *c)
{
    AUTO(ending) x = {.id = api_param(c, 0)};
    struct v v = v_object(&x.refusal, c->body, "");
    v_end(&v);
    int r = v_failed(&v) ? -E_DENIED : db_read(c->p->log.db, find_tx, &x);
    if (r < 0) {
        api_tx_failed(c, r, &x.refusal);
        return;
    }
    if (!c->p->gateways) {
        api_not_found(c, NO_GATEWAY);
        return;
    }
    r = c->p->gateways->disconnect(c->p->gateways->arg, x.id);
    if (r < 0) {
        api_failed(c, r, NULL);
        return;
    }
    log_info("tunnel disconnected", "tunnel=%s connections=%d key=%s", x.id, r, c->caller.key_id);
    AUTO_JSON json_t *o = json_object();
    json_put_str(o, "id", x.id);
    json_put_str(o, "type", "tunnel_disconnected");
    json_put(o, "connections", json_integer(r));
    api_reply(c, 200, o);
}
