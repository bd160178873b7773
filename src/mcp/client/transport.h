/* transport - how a request of the MCP client gets to a server and its answer back: HTTP exchanges, one
 * interface. mcp_transport_http is libcurl; the tunnel's edge can be another, which reaches a private
 * server in this process. */
#pragma once

#include "http/client/client.h"

struct err;
struct mcp_transport;

/* A streamed answer, as client.h has it: `open` returns when the head is there (any status), or a
 * negative code of client_fetch with words; `read` gives bytes as they come, 0 at the end, and may be
 * called again after -ETIMEDOUT, which loses nothing; `close` may
 * come in the middle, and ends the exchange at once. All but close and free suspend. */
struct mcp_transport_ops {
    int (*open)(struct mcp_transport *t, const struct client_request *q, void **ret_stream,
                struct client_response *ret_head, struct err *e);
    ssize_t (*read)(struct mcp_transport *t, void *stream, void *p, size_t n, struct err *e);
    void (*close)(struct mcp_transport *t, void *stream);
    void (*free)(struct mcp_transport *t); /* suspends; no stream is open */
};
struct mcp_transport {
    const struct mcp_transport_ops *ops;
};

/* libcurl, with connections of its own: none is shared with another credential. `ca_file` (PEM, NULL:
 * the system's) and `connect_to` (HOST1:PORT1:HOST2:PORT2, NULL: none) are copied. NULL with words. */
struct mcp_transport *mcp_transport_http(const char *ca_file, const char *connect_to,
                                         struct err *e);
