/* front - accepts what a sandbox connects to, and finds out which host each connection is for.
 *
 * The listener that a connection was accepted on tells which sandbox, hence which policy; the local
 * address of the connection tells which name was resolved. Nothing that the sandbox says about itself
 * counts. What cannot be told is refused here, with a reset and a note; the rest goes to the handler,
 * which decides. docs/internals/capture.md has every refusal as a row.
 *
 * One `struct front` in a process, one `struct front_binding` for each sandbox. */
#pragma once

#include "egress/capture/detect.h"
#include "egress/capture/names.h"
#include "egress/policy/policy.h"

struct front;
struct front_binding;
struct stream;

/* Why something was refused here, or left a trace. For the audit. */
enum front_why {
    FRONT_NO_NAME,        /* connection to an address that stands for no name */
    FRONT_NOT_TOLD,       /* the first bytes did not come in time */
    FRONT_BAD_TLS,        /* begins like TLS and is none */
    FRONT_WRONG_PROTOCOL, /* SSH, or nothing known, on 80 or 443 */
    FRONT_DISAGREE,       /* the places that name the host do not agree; the handler answers 421 */
    FRONT_DENIED,         /* CONNECT: the policy says no; answered with 403 */
    FRONT_BAD_REQUEST,    /* to the explicit proxy: not HTTP, or no request for a proxy */
    FRONT_NAME_TOO_LONG,  /* a name under a wildcard */
    FRONT_NAMES_TOO_MANY, /* different names under a wildcard */
    FRONT_NAMES_FULL,     /* every address is in use */
    FRONT_NAME_DENIED,    /* dns: strict: no rule has the name, so it does not resolve */
    FRONT_CONNECTIONS,    /* the sandbox has as many connections as it may: the next ones wait */
    FRONT_WHYS
};
/* "no_name", ...: static. */
const char *front_why_text(enum front_why w);

struct front_note {
    enum front_why why;
    const struct host *host; /* NULL: not known */
    uint16_t port;           /* 0: not known (DNS) */
    const char *words;       /* one sentence */
    uint64_t suppressed;     /* so many like it were not noted before: DNS only */
};

/* One connection, as the handler gets it. Everything is borrowed until the handler returns. */
struct front_claim {
    struct front_binding *binding;
    enum detect_kind kind; /* TLS, HTTP1, HTTP2, SSH, OTHER, SILENT */
    enum policy_transport transport;
    uint16_t port; /* that the client connected to, or asked the proxy for; 0 with `each` */
    /* Requests to the explicit proxy: HTTP/1, and each names its own host (absolute form). Each is
     * decided, goes through forward_strip, and its host through front_count_name. */
    bool each;
    /* What all places say; the target of CONNECT, else the resolved name, when they do not agree;
     * NULL with `each`. */
    const struct host *host;
    const struct host *resolved, *target, *sni; /* what each place said, or NULL */
    struct host_claim claims[3];                /* the same, for host_claims_agree with Host */
    size_t n_claims;
    int disagree;                        /* -E_DENIED: answer 421; 0 */
    char why[512];                       /* of `disagree` */
    bool alpn, alpn_h2, alpn_http1, ech; /* what a ClientHello has: see detect.h */
};

struct front_options {
    size_t connections_max;         /* of the process; 0: LIMIT_CAPTURE_OPEN */
    size_t connections_binding_max; /* of one sandbox; 0: LIMIT_CAPTURE_OPEN_ONE */
    struct detect_limits detect;
    /* Serves one connection, on a fiber of its own. The stream is the front's, which closes what is
     * left of it afterwards: the handler may move it away, or reset it. Suspends. */
    void (*serve)(void *arg, struct front_claim *c, struct stream *s);
    /* Records a refusal. May suspend. NULL: nobody wants to know. */
    void (*note)(void *arg, struct front_binding *b, const struct front_note *n);
    void *arg;
    const char *ca_pem; /* what http://egress.sallyport/ca.pem gives; borrowed; NULL: nothing */
};

struct front *front_new(const struct front_options *o);
void front_free(struct front *f); /* no binding may be left; NULL is fine */
/* Connections open now, of all sandboxes. */
size_t front_connections(const struct front *f);

enum front_door_kind {
    FRONT_DOOR_TCP,     /* 80, 443, and what the policy names */
    FRONT_DOOR_PROXY,   /* the explicit proxy */
    FRONT_DOOR_DNS_TCP, /* a listener */
    FRONT_DOOR_DNS_UDP, /* a bound socket */
};
struct front_door {
    enum front_door_kind kind;
    int fd;
    uint16_t port; /* 0: the socket's own */
};

/* A sandbox. Takes the descriptors of the doors over, on failure too. `id` (copied) is for the log,
 * `arg` for the handler. 0, or a code with words. */
int front_binding_new(struct front *f, const char *id, struct policy *policy,
                      const struct front_door *doors, size_t n_doors, void *arg,
                      struct front_binding **ret, struct err *e) WARN_UNUSED;
/* Serves the doors until front_binding_stop or cancellation; then cancels what is open and joins it.
 * In a fiber of its own. Suspends. */
int front_binding_run(struct front_binding *b);
/* Ends front_binding_run. Does not suspend. */
void front_binding_stop(struct front_binding *b);
/* After front_binding_run has returned, or was never called. NULL is fine. */
void front_binding_free(struct front_binding *b);

/* From now on. Open connections are the handler's: it decides again. */
void front_binding_set_policy(struct front_binding *b, struct policy *p);
/* Take a reference to keep it across a suspension. */
struct policy *front_binding_policy(const struct front_binding *b);
/* Another tool call runs: what was noted of the last one is noted again. */
void front_binding_new_call(struct front_binding *b);
const char *front_binding_id(const struct front_binding *b);
void *front_binding_arg(const struct front_binding *b);
/* To reserve fixed addresses (before front_binding_run), and to look. */
struct names *front_binding_names(struct front_binding *b);
size_t front_binding_connections(const struct front_binding *b);

/* For a host that a client has named without asking the resolver, after the policy has let it pass:
 * counts it against its wildcard rule, as a question would have been. 0; -E_LIMIT: too many different
 * names (429); -EBUSY: every name is in use (503); -E_DENIED: localhost, or not there (403); with words
 * for the client, and noted. Suspends when it is not 0. */
int front_count_name(struct front_binding *b, const struct host *h, uint16_t port, struct err *e)
    WARN_UNUSED;
