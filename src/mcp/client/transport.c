/* transport.c - MCP over the program's ordinary HTTP client.
 *
 * One http_client for each MCP client: a connection that was opened with a credential carries no
 * request of another (invariant 7). It runs on the loop of whoever opened it; every exchange is a
 * stream, and closing one in the middle closes its connection, which in the era of 2026-07-28 is how a
 * call is cancelled. Redirects are not followed and certificates are verified there. */
#include "mcp/client/transport.h"
#include "base/err.h"

struct http_transport {
    struct mcp_transport base;
    struct http_client *http;
};

static int http_open(struct mcp_transport *t, const struct client_request *q, void **ret_stream,
                     struct client_response *ret_head, struct err *e)
{
    struct client_stream *s = NULL;
    int r = client_open(CONTAINER_OF(t, struct http_transport, base)->http, q, &s, ret_head, e);
    if (r == 0)
        *ret_stream = s;
    return r;
}

static ssize_t http_read(struct mcp_transport *t, void *stream, void *p, size_t n, struct err *e)
{
    (void)t;
    return client_read(stream, p, n, e);
}

static void http_close(struct mcp_transport *t, void *stream)
{
    (void)t;
    client_stream_close(stream);
}

static void http_free(struct mcp_transport *t)
{
    struct http_transport *h = CONTAINER_OF(t, struct http_transport, base);
    http_client_free(h->http);
    free(h);
}

static const struct mcp_transport_ops ops = {
    .open = http_open,
    .read = http_read,
    .close = http_close,
    .free = http_free,
};

struct mcp_transport *mcp_transport_http(const char *ca_file, const char *connect_to, struct err *e)
{
    struct http_client *http = http_client_new("sallyport/" SALLYPORT_VERSION, e);
    if (!http)
        return NULL;
    if (ca_file)
        http_client_set_ca(http, ca_file);
    if (connect_to && http_client_set_connect_to(http, connect_to, e) < 0) {
        http_client_free(http);
        return NULL;
    }
    struct http_transport *h = mem_new(struct http_transport);
    *h = (struct http_transport){.base.ops = &ops, .http = http};
    return &h->base;
}
