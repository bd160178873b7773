/* failure - why a call to an MCP server came to nothing: who said no, and in which words. */
#pragma once

#include "base/err.h"
#include "base/json.h"

/* Where a failure comes from. MCP_AUTH is told apart from the rest: the caller lacks a credential, or
 * has the wrong one. */
enum mcp_source {
    MCP_NO_FAILURE = 0,
    MCP_HERE,      /* what was asked makes no sense, or memory is exhausted */
    MCP_CANCELLED, /* the fiber was cancelled */
    MCP_DNS,
    MCP_CONNECT,
    MCP_TLS,
    MCP_TIMEOUT,
    MCP_CLOSED,   /* the connection ended before the answer */
    MCP_HTTP,     /* a status that is no success */
    MCP_AUTH,     /* 401 or 403 */
    MCP_PROTOCOL, /* what came is no MCP */
    MCP_LIMIT,    /* more than the ceilings allow */
    MCP_INPUT,    /* the server asks for input that this client cannot give */
    MCP_SERVER,   /* a JSON-RPC error */
};

/* What a WWW-Authenticate header says (RFC 9110 11.6.1, RFC 6750 3, RFC 9728 5.1). Empty: not said. */
struct mcp_challenge {
    char scheme[24];
    char error[64];
    char scope[256];
    char resource_metadata[512];
};

struct mcp_failure {
    enum mcp_source source;
    int status;                     /* of HTTP; 0: none */
    int64_t rpc_code;               /* of a JSON-RPC error; 0: none */
    json_t *rpc_error;              /* that error, whole; owned; may be NULL */
    struct mcp_challenge challenge; /* with MCP_AUTH */
    struct err err;                 /* words; what a peer sent stands escaped in it */
};
/* `f` may be NULL. Afterwards as zeroed. */
void mcp_failure_done(struct mcp_failure *f);
/* "dns", "tls", "auth", ...: never NULL. */
const char *mcp_source_name(enum mcp_source s);

/* Sets source, code and words; returns `code`, which is negative. */
int mcp_fail(struct mcp_failure *f, enum mcp_source source, int code, const char *fmt, ...)
    PRINTF(4, 5);
/* For a code of the HTTP client, whose words are in f->err: the source follows from it. Returns it. */
int mcp_fail_transport(struct mcp_failure *f, int code);

/* Reads the challenge of the scheme Bearer, or else the first one. What cannot be read is left empty.
 * Pure. */
void mcp_challenge_read(const char *header, struct mcp_challenge *ret);
