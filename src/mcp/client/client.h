/* client - an MCP client: one server, its tools, and calls of them.
 *
 * What lives in this folder: the protocol of both eras as a client speaks it (era chooses one, request
 * repeats what may be repeated, exchange is one HTTP exchange, listen follows a stream of the server's
 * own, tools lists and calls), JSON-RPC (message), headers made of arguments (headers), provenance of
 * failures (failure) and the way there (transport). What does not: a policy, which is mcp/policy's; the
 * agent loop; how a credential is got.
 *
 * The eras, in the order they are tried: 2026-07-28 (stateless); 2025-11-25, 2025-06-18 and 2025-03-26
 * (initialize, perhaps a session); HTTP+SSE of 2024-11-05. Any number of fibers may call at once. */
#pragma once

#include "base/secret.h"
#include "mcp/client/failure.h"
#include "mcp/client/transport.h"

enum mcp_era {
    MCP_ERA_AUTO = 0, /* find out */
    MCP_ERA_MODERN,   /* 2026-07-28 only */
    MCP_ERA_LEGACY,   /* initialize; HTTP+SSE where that is refused */
};

/* Every ceiling of a client. 0: the default of mcp_limits_default. */
struct mcp_limits {
    size_t message_bytes; /* one JSON-RPC message, so one event, too */
    size_t answer_bytes;  /* all that one exchange brings, comments and notifications included */
    size_t values;        /* of JSON in one message */
    size_t tools, pages;  /* of one list */
    size_t rounds;        /* of input_required in one call */
    int64_t silence_ms;   /* a request without an answer or progress for so long fails */
    int64_t whole_ms;     /* and after so long in any case */
};
extern const struct mcp_limits mcp_limits_default;

struct mcp_client;

/* What a server said when it refused a request. All of it is borrowed. */
struct mcp_refusal {
    int status; /* 401 or 403 */
    const struct mcp_challenge *challenge;
    const char *nonce;          /* DPoP-Nonce; "": none */
    const struct secret *token; /* what was refused; unset: none was sent */
    unsigned tries;             /* refusals of this request before this one */
    bool granted;               /* for this request a grant was made already */
};
/* A request that is about to be made, perhaps once more. */
struct mcp_sending {
    const char *method, *url;
    const struct mcp_refusal *refused; /* NULL: it was not made yet */
    bool quiet; /* it may as well fail: what there is will do, and nobody is asked */
};
/* Zeroed: none. With a proof the token is sent by the scheme DPoP (RFC 9449), else by Bearer. */
struct mcp_credential {
    struct secret token;
    struct buf proof;
    bool granted; /* by a grant that was made for this request */
};
void mcp_credential_done(struct mcp_credential *c);

/* One that gets tokens by itself (mcp/auth), asked before each request and after each refusal: 401, or
 * 403 with a challenge. 0 with a credential, which may be none before the first refusal; 1: there is no
 * other, and the refusal stands; or a negative code with words. May suspend for as long as a person takes. */
struct mcp_authorizer {
    int (*give)(void *arg, const struct mcp_sending *s, struct mcp_credential *ret, struct err *e);
    void *arg;
};

/* What a client is given. All of it is copied but for the functions' arguments, which must outlive the
 * client. */
struct mcp_options {
    const char *url; /* http or https, of the MCP endpoint */
    /* Sent with every request, and to this origin only. Names that the protocol uses are refused. */
    const struct client_header *headers;
    size_t n_headers;
    /* The bearer token of a request; NULL: none. Asked before each request; `refused`: it was answered
     * with 401, and when another one is given, the request is made once more. 0; 1: there is none, or
     * no other; or a negative code with words. May suspend. */
    int (*bearer)(void *arg, bool refused, struct secret *ret, struct err *e);
    void *bearer_arg;
    struct mcp_authorizer authorizer; /* in place of `bearer`; give NULL: none */
    /* What the server asks for in the middle of a call ("elicitation/create" alone). NULL: the client
     * declares no such capability. 0 with a new reference, or negative: declined. May suspend. */
    int (*ask)(void *arg, const char *method, const json_t *params, json_t **ret);
    void *ask_arg;
    /* Notifications that belong to no call; may be NULL. Must not suspend. */
    void (*notify)(void *arg, const char *method, const json_t *params);
    void *notify_arg;
    enum mcp_era era;
    /* Follow the stream that a server of 2025 may have for what belongs to no call. With `ask` it is
     * followed in any case. */
    bool listen;
    struct mcp_limits limits;
    struct mcp_transport *transport; /* the client's from now on; NULL: HTTP with the two below */
    const char *ca_file, *connect_to;
};

/* Finds out the era and opens the session, if that era has one. Suspends. 0, or a negative code with
 * the failure: then there is no client, and a given transport, with no stream open, is the caller's
 * again. */
int mcp_client_open(const struct mcp_options *o, struct mcp_client **ret, struct mcp_failure *f)
    WARN_UNUSED;
/* Ends the session (for at most 2 s, even when cancelled) and frees. No call may be live. NULL is fine.
 * Suspends. */
void mcp_client_close(struct mcp_client *c);

const char *mcp_client_version(const struct mcp_client *c);  /* "2026-07-28" and the like */
const json_t *mcp_client_server(const struct mcp_client *c); /* name and version; NULL: not told */

/* Progress of one call: numbers as the server sent them. Must not suspend. */
struct mcp_call_options {
    void (*progress)(void *arg, double progress, double total, const char *message);
    void *arg;
};

/* All tools, an array of what the server says of each (new reference). One list is kept for as long as
 * the server allows (ttlMs), unless it tells that it has changed. A tool whose x-mcp-header breaks the
 * rules is left out; their number goes to *ret_left_out (may be NULL). Suspends. */
int mcp_client_list_tools(struct mcp_client *c, json_t **ret, size_t *ret_left_out,
                          struct mcp_failure *f) WARN_UNUSED;
/* Calls a tool; `arguments` is an object or NULL. The result as the server gave it (new reference):
 * `isError` in it is for the caller to look at. When the fiber is cancelled or its deadline passes, the
 * server is told. `o` may be NULL. Suspends. */
int mcp_client_call_tool(struct mcp_client *c, const char *name, const json_t *arguments,
                         const struct mcp_call_options *o, json_t **ret, struct mcp_failure *f)
    WARN_UNUSED;
/* Any other request whose answer is complete at once. `params` may be NULL. Suspends. */
int mcp_client_request(struct mcp_client *c, const char *method, const json_t *params, json_t **ret,
                       struct mcp_failure *f) WARN_UNUSED;
