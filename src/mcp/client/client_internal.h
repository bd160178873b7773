/* client_internal - what the files of the MCP client share. */
#pragma once

#include "base/list.h"
#include "base/str.h"
#include "fiber/sync.h"
#include "http/wire/sse_parser.h"
#include "mcp/client/client.h"
#include "mcp/client/headers.h"
#include "mcp/client/message.h"

#define MCP_MODERN      "2026-07-28"
#define MCP_SESSION_MAX 512         /* of a session's id; longer ones are refused */
#define MCP_ERROR_BODY  (64u << 10) /* of an answer that is no success */
#define MCP_FOREIGN_MAX 4096        /* messages of one exchange that are not for it */
#define MCP_ASKED_MAX   64          /* requests of the server during one exchange */
#define MCP_HEARD_MS    60000       /* on a stream for all both hold for so long */
#define MCP_CLOSE_MS    2000        /* for what is said when the caller has no more time */
#define MCP_REFUSED_MS  5000        /* for the body of an answer that is no success */
#define MCP_READY_MS    5000        /* for the stream of the server's own to open */
#define MCP_RETRY_MS    1000 /* before a stream is opened again, when the server names no time */
#define MCP_RETRY_MAX   30000
#define MCP_RESUMES     5 /* in a row that bring no event */

enum mcp_wire {
    MCP_WIRE_MODERN, /* stateless: closing a stream cancels */
    MCP_WIRE_2025,   /* one endpoint, sessions, streams that go on */
    MCP_WIRE_SSE,    /* answers come on a stream of their own */
};

/* What came on a stream besides answers. */
struct mcp_heard {
    size_t foreign, asked;
};

struct mcp_client {
    struct mcp_options o; /* url, headers, ca_file, connect_to: not used, see below */
    struct mcp_limits limits;
    struct mcp_transport *t;
    char *url;
    struct mcp_headers headers; /* the caller's */
    enum mcp_wire wire;
    char version[16]; /* empty until it is agreed */
    char session[MCP_SESSION_MAX + 1];
    char offered[MCP_SESSION_MAX + 1]; /* of the last answer to initialize: not agreed yet */
    bool lost;           /* the server has ended the session: the next request opens another one */
    unsigned generation; /* of sessions: a call that finds its session gone looks at it */
    struct fmutex opening;
    uint64_t last_id;
    json_t *server;
    struct list pending;    /* of struct mcp_pending */
    struct scope scope;     /* the listener */
    bool listening;         /* the fiber runs */
    bool heard_head;        /* its stream is open, or it will not be */
    struct mcp_heard heard; /* on its streams since heard_ns */
    int64_t heard_ns;
    size_t asking; /* questions of those streams that wait for a person */

    /* HTTP+SSE */
    char *post_url;        /* NULL: the server has not told it yet */
    struct waitq endpoint; /* that, or heard_head */
    bool ended;            /* the stream is gone */
    struct mcp_failure ended_by;

    json_t *tools; /* the last list; NULL: none, or out of date */
    int64_t tools_until_ns;
    size_t tools_left_out;
};

/* A request that waits for its answer: on its fiber's stack, and on the client's list. */
struct mcp_pending {
    struct list node;
    uint64_t id;
    json_t *result, *error; /* owned */
    bool done, broken;
    bool in_session; /* sent with a session's id: 404 says that it is gone */
    struct waitq wake;
    const struct mcp_call_options *call; /* may be NULL */
    int64_t began_ns, progress_ns;       /* the latter: when something of it was last heard */
    struct mcp_heard heard;
    size_t bytes;
    char last_event[256];
    int64_t retry_ms;
};

/* What is sent: `text` is the JSON of a request, or of a notification or an answer. */
struct mcp_outgoing {
    const char *method; /* NULL: an answer */
    const char *name;   /* of Mcp-Name; NULL: none */
    const char *text;
    size_t len;
    const struct mcp_headers *params; /* Mcp-Param-*; may be NULL */
    bool repeatable;                  /* twice is as good as once */
};

struct mcp_reply {
    struct client_response head;
    void *stream; /* NULL: none, or closed */
};

/* exchange.c */
void mcp_pending_begin(struct mcp_client *c, struct mcp_pending *p, uint64_t id);
void mcp_pending_end(struct mcp_pending *p); /* takes it off the list, drops what it holds */
/* Sends a request and reads until its answer is in `p`. 0 (a JSON-RPC error is an answer, too), or a
 * negative code with the failure: -E_CONFLICT when the session is gone and nothing was done. */
int mcp_exchange(struct mcp_client *c, struct mcp_pending *p, const struct mcp_outgoing *o,
                 struct mcp_failure *f) WARN_UNUSED;
/* Sends what has no answer. */
int mcp_exchange_send(struct mcp_client *c, const struct mcp_outgoing *o, struct mcp_failure *f)
    WARN_UNUSED;

/* open.c */
/* One HTTP exchange with all headers of ours; a 401 or 403 asks for another credential. The server has
 * the time of `p`, or silence_ms where that is NULL; a person who is asked in between has the fiber's. */
int mcp_exchange_open(struct mcp_client *c, const struct mcp_pending *p, const char *method,
                      const char *url, const struct mcp_outgoing *o, const char *last_event,
                      struct mcp_reply *ret, struct mcp_failure *f) WARN_UNUSED;
/* What a refusal says of the credential it wants. */
void mcp_reply_challenge(const struct mcp_reply *r, struct mcp_challenge *ret);

/* exchange.c */
void mcp_reply_done(struct mcp_client *c, struct mcp_reply *r);
bool mcp_reply_is(const struct mcp_reply *r, const char *media_type);
/* The failure of a status that is no success. Reads the body. */
int mcp_reply_refused(struct mcp_client *c, struct mcp_reply *r, struct mcp_failure *f);
/* When a read must have ended: silence, which does not begin while a person is asked, and the whole. */
int64_t mcp_pending_until(const struct mcp_client *c, const struct mcp_pending *p);

/* The failure that a JSON-RPC error is; takes a reference of it. */
int mcp_fail_rpc(struct mcp_failure *f, int status, json_t *error);

/* incoming.c */
/* One text that a server sent, perhaps a batch. `p` is the request whose stream it came on; NULL: it
 * came on a stream for all. Suspends when the server asks something. */
int mcp_incoming(struct mcp_client *c, struct mcp_pending *p, const char *text, size_t n,
                 struct mcp_failure *f) WARN_UNUSED;

/* Whether these parameters of elicitation/create are of the one mode that is declared, "form": the mode
 * "url" would have the owner open an address that the server chose. Pure. */
bool mcp_ask_is_form(const json_t *params);

/* listen.c */
int mcp_listen_start(struct mcp_client *c, struct mcp_failure *f) WARN_UNUSED;
/* Waits, but not for long, until that stream is open: what a server sends before is lost. */
int mcp_listen_ready(struct mcp_client *c, struct mcp_failure *f) WARN_UNUSED;
/* HTTP+SSE: waits until the server has said where requests go. */
int mcp_listen_endpoint(struct mcp_client *c, struct mcp_failure *f) WARN_UNUSED;

/* request.c */
/* A request in the agreed era, with what that era adds to it, once more where that is harmless. The
 * answer's result (new reference). */
struct mcp_ask_for {
    const char *method;
    const json_t *params; /* may be NULL */
    const char *name;
    const struct mcp_headers *headers;
    const struct mcp_call_options *call;
    bool repeatable;
};
int mcp_request_make(struct mcp_client *c, const struct mcp_ask_for *a, json_t **ret,
                     struct mcp_failure *f) WARN_UNUSED;
json_t *mcp_capabilities(const struct mcp_client *c); /* what we declare; new reference */
json_t *mcp_client_info(void);

/* era.c */
int mcp_era_open(struct mcp_client *c, struct mcp_failure *f) WARN_UNUSED;
/* Opens the session anew, unless another fiber has since `generation`. */
int mcp_era_reopen(struct mcp_client *c, unsigned generation, struct mcp_failure *f) WARN_UNUSED;

/* endpoint.c */
/* Where requests go, as the event `endpoint` of `base` says it: of the same origin. malloc'ed in *ret.
 * 0 or -E_PROTO with words. Pure. */
int mcp_endpoint_resolve(const char *base, const char *said, size_t n, char **ret, struct err *e)
    WARN_UNUSED;
/* Whether `url` is one that the client takes: http or https, a host, nothing that could be read in two
 * ways. -EINVAL with words. Pure. */
int mcp_endpoint_check(const char *url, struct err *e) WARN_UNUSED;
