/* client.c - an MCP client from its options to its end.
 *
 * Made by whoever wants tools of a server (the brain, `sallyport mcp`) on a fiber of theirs; any fiber of
 * the same loop may call. Headers of the caller, which may be credentials, are copied, sent to the one
 * origin of the address, and wiped at the end. Names of headers that the protocol or HTTP itself uses
 * are refused: two readings of one request would follow. A token, and a header that
 * is known to be one, is not sent in clear to another host.
 * At the end a session of 2025 is deleted, for two seconds at most, and the listener is joined. */
#include "base/limits.h"
#include "http/wire/h1_class.h"
#include "mcp/client/client_internal.h"

#include <string.h>

const struct mcp_limits mcp_limits_default = {
    .message_bytes = 16u << 20,
    .answer_bytes = 64u << 20,
    .values = 500000,
    .tools = 2000,
    .pages = 200,
    .rounds = 10,
    .silence_ms = 60000,
    .whole_ms = 30 * 60000,
};

static void set_limits(struct mcp_limits *l, const struct mcp_limits *given)
{
    const struct mcp_limits *d = &mcp_limits_default;
    *l = (struct mcp_limits){
        .message_bytes = given->message_bytes ? given->message_bytes : d->message_bytes,
        .answer_bytes = given->answer_bytes ? given->answer_bytes : d->answer_bytes,
        .values = given->values ? given->values : d->values,
        .tools = given->tools ? given->tools : d->tools,
        .pages = given->pages ? given->pages : d->pages,
        .rounds = given->rounds ? given->rounds : d->rounds,
        .silence_ms = given->silence_ms ? given->silence_ms : d->silence_ms,
        .whole_ms = given->whole_ms ? given->whole_ms : d->whole_ms,
    };
}

static int check_header(const struct client_header *h, struct err *e)
{
    static const char *const ours[] = {
        "accept",       "accept-encoding",
        "connection",   "content-length",
        "content-type", "expect",
        "host",         "last-event-id",
        "te",           "mcp-protocol-version",
        "mcp-method",   "mcp-name",
        "keep-alive",   "mcp-session-id",
        "trailer",      "transfer-encoding",
        "upgrade",
    };
    if (!*h->name || strlen(h->name) > 128 || strlen(h->value) > MCP_HEADER_VALUE_MAX)
        return err_set(e, -EINVAL, "a header's name is empty, or header too long");
    for (const char *p = h->name; *p; p++)
        if (!h1_is(*p, H1_TOKEN))
            return err_set(e, -EINVAL, "a header's name holds a character that no name has");
    for (const char *p = h->value; *p; p++)
        if (!h1_is(*p, H1_VALUE))
            return err_set(e, -EINVAL, "the value of the header %s holds a control character",
                           h->name);
    bool param = strlen(h->name) > 10 && str_ieq_n(h->name, 10, "mcp-param-", 10);
    for (size_t i = 0; !param && i < ARRAY_LEN(ours); i++)
        param = str_ieq(h->name, ours[i]);
    return param ? err_set(e, -EINVAL, "the header %s is the protocol's own", h->name) : 0;
}

/* Whether others could read what goes to the address: no TLS, and not within this host. */
static bool in_clear(const struct mcp_options *o)
{
    if (!str_starts(o->url, "http://"))
        return false;
    if (!http_client_is_loopback(o->url))
        return true;
    const char *target = o->connect_to ? http_client_connect_target(o->connect_to) : NULL;
    AUTO_FREE char *url = mem_printf("http://%s", target ? target : "localhost");
    return !http_client_is_loopback(url);
}

static bool is_credential(const char *name)
{
    static const char *const names[] = {
        "authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_ieq(name, names[i]))
            return true;
    return false;
}

static int check_options(const struct mcp_options *o, struct err *e)
{
    int r = mcp_endpoint_check(o->url, e);
    if (r == 0 && o->bearer && o->authorizer.give)
        r = err_set(e, -EINVAL, "a token and a way to get one are given: one of them");
    if (r == 0 && o->n_headers > 32)
        r = err_set(e, -EINVAL, "more than 32 headers");
    for (size_t i = 0; r == 0 && i < o->n_headers; i++) {
        r = check_header(&o->headers[i], e);
        if (r == 0 && (o->bearer || o->authorizer.give) &&
            str_ieq(o->headers[i].name, "authorization"))
            r = err_set(e, -EINVAL, "a token and a header Authorization are given: one of them");
    }
    if (r < 0 || !in_clear(o))
        return r;
    for (size_t i = 0; i < o->n_headers; i++)
        if (is_credential(o->headers[i].name))
            return err_set(e, -EINVAL,
                           "the header %s is not sent to another host without TLS; use https://",
                           o->headers[i].name);
    return o->bearer || o->authorizer.give
               ? err_set(e, -EINVAL,
                         "a token is not sent to another host without TLS; use https://")
               : 0;
}

static struct mcp_client *client_new(const struct mcp_options *o)
{
    struct mcp_client *c = mem_new(struct mcp_client);
    c->o = *o;
    c->o.url = c->o.ca_file = c->o.connect_to = NULL;
    c->o.headers = NULL;
    set_limits(&c->limits, &o->limits);
    c->url = mem_strdup(o->url);
    for (size_t i = 0; i < o->n_headers; i++)
        MUST(mcp_headers_add(&c->headers, o->headers[i].name, o->headers[i].value));
    list_init(&c->pending);
    waitq_init(&c->endpoint);
    fmutex_init(&c->opening);
    scope_init(&c->scope);
    return c;
}

static void delete_session(struct mcp_client *c)
{
    struct fiber_shield s = fiber_shield_begin(MCP_CLOSE_MS);
    struct mcp_failure f = {0};
    struct mcp_reply r = {0};
    int code = mcp_exchange_open(c, NULL, "DELETE", c->url, NULL, NULL, &r, &f);
    (void)code; /* a server may refuse (405), or be gone */
    mcp_reply_done(c, &r);
    mcp_failure_done(&f);
    fiber_shield_end(&s);
}

/* All but the transport: the listener and the session end by means of it. */
static void client_end(struct mcp_client *c)
{
    MUST(list_empty(&c->pending));
    scope_adopt(&c->scope); /* whoever closes joins the listener */
    scope_done(&c->scope);
    if (c->session[0])
        delete_session(c);
    mcp_headers_done(&c->headers);
    mcp_failure_done(&c->ended_by);
    json_decref(c->server);
    json_decref(c->tools);
    free(c->post_url);
    free(c->url);
    free(c);
}

int mcp_client_open(const struct mcp_options *o, struct mcp_client **ret, struct mcp_failure *f)
{
    *f = (struct mcp_failure){0};
    int r = check_options(o, &f->err);
    if (r < 0) {
        f->source = MCP_HERE;
        return r;
    }
    struct mcp_transport *t =
        o->transport ? o->transport : mcp_transport_http(o->ca_file, o->connect_to, &f->err);
    if (!t) {
        f->source = MCP_HERE;
        return f->err.code;
    }
    struct mcp_client *c = client_new(o);
    c->t = t;
    r = mcp_era_open(c, f);
    if (r < 0) {
        client_end(c);
        if (!o->transport)
            t->ops->free(t);
        return r;
    }
    *ret = c;
    return 0;
}

void mcp_client_close(struct mcp_client *c)
{
    if (!c)
        return;
    struct mcp_transport *t = c->t;
    client_end(c);
    t->ops->free(t);
}

const char *mcp_client_version(const struct mcp_client *c)
{
    return c->version;
}

const json_t *mcp_client_server(const struct mcp_client *c)
{
    return c->server;
}
