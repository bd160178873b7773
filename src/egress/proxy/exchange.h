/* exchange - one intercepted request from head to end, whichever version of HTTP it came in.
 *
 * What lives in this folder: the way of a request between a sandbox and an origin (exchange, one
 * file for each part of it; websocket), and the way to the origin (dial, splice). What does
 * not: finding out which host a connection is for (capture), deciding (policy), what is done with
 * secrets (inject), framing and links that are kept (http/pipe).
 *
 *     read the head; the claims agree; policy; plan              exchange_judge
 *     room in the audit log; secrets; link to the origin         exchange_send
 *     request body out, answer back, at the same time            exchange_upload, exchange_reply
 *     one record, whatever happened                              exchange
 *
 * docs/internals/exchange.md has every answer of our own as a row. */
#pragma once

#include "audit/client.h"
#include "base/arena.h"
#include "base/list.h"
#include "egress/inject/inject.h"
#include "http/pipe/pipe.h"

/* A sandbox, as far as its exchanges care. The owner fills it in and keeps it up to date; it must live
 * until its last exchange has returned. */
struct exchange_sandbox {
    const char *id;      /* of its binding: its placeholders are issued to this name */
    const char *session; /* NULL: nobody's yet */
    const char *call;    /* id of the tool call that runs now; NULL: none */
    const struct placeholders *placeholders;
    struct inject_watch *watch; /* a new one takes the place of the old at any time; NULL before the
                                     first `learn`, and while no exchange is open */
    struct inject_limits *limits; /* NULL: nothing is counted */
    struct policy *policy;        /* through exchange_set_policy only */
    struct list open;             /* its exchanges */
};
/* Takes a reference to the policy. The other members are the caller's to set. */
void exchange_sandbox_init(struct exchange_sandbox *s, const char *id, struct policy *p);
/* No exchange may be open. NULL and zeroed are fine. */
void exchange_sandbox_done(struct exchange_sandbox *s);
/* A new policy, at once: exchanges that it would not have allowed, or whose credential it does not give
 * any more, are cut off. A reference is taken. Does not suspend. Returns how many were cut off. */
size_t exchange_set_policy(struct exchange_sandbox *s, struct policy *p);

/* Blocks that outlive an exchange, of one proxy process. Zeroed at the start. */
struct exchange_spares {
    struct spare exchanges, small, large;
    struct {
        struct buf bufs[16];
        size_t n;
    } kept;
    struct { /* the words for the rule that decided last */
        char policy[POLICY_HASH_HEX];
        uint32_t position;
        bool known;
        char text[128];
    } rule;
};
void exchange_spares_done(struct exchange_spares *s);

/* The secrets of a plan. values[i] is that of plan->uses[i], NULL when it could not be had. */
struct exchange_values {
    const struct secret *values[POLICY_CANDIDATES_MAX];
    struct scrub_table
        *table; /* of the session, those values in it: what answers are scrubbed with; a
                                  reference. NULL: no secret of the session is known */
    void *hold; /* the callback's own */
};

struct exchange_want {
    const struct host *host;
    uint16_t port;
    bool tls;
    const struct policy_decision *decision; /* for policy_check_address; lives during the call */
    struct policy *policy;                  /* likewise */
    enum http_version version; /* what the client speaks; to one of HTTP/1.1 the link is, too */
    bool fresh;                /* not one that has been used: the last one had been closed */
};
/* A link to the origin, for one request. */
struct exchange_origin {
    struct http_pipe *pipe; /* closed by the exchange, before origin_done */
    bool reused;            /* the link has served another request before, and lay idle */
    char peer[64];          /* the address connected to; "" when only an upstream proxy knows it */
    void *hold;             /* the callback's own */
};

/* What an exchange needs of the world around it. All are called on the exchange's fiber. */
struct exchange_calls {
    /* A person decides: suspends until then. 0: allowed; -E_DENIED with words. NULL: always denied. Called
     * for each request: who was asked for this host, port and session before is not asked again. */
    int (*ask)(void *arg, const struct policy_query *q, const struct policy_decision *d,
               struct err *e);
    /* Counts a host that a request to a forward proxy has named, which no resolver was asked for. The
     * policy has let it pass. May suspend. 0; -E_LIMIT (429), -EBUSY (503), others (403), with words.
     * NULL: nobody counts. */
    int (*count_name)(void *arg, const struct host *h, uint16_t port, struct err *e);
    /* Before the request is looked at: sees to it that the watch and the table have the secrets of all
     * candidates, also when this request does not use them: an origin may remember what another one
     * brought, and a sandbox may have got it elsewhere. Called without candidates, too: what is known
     * of other hosts is searched for in every request. Suspends. Negative with words, which may be
     * about the host: the request is refused. NULL: they are known. */
    int (*learn)(void *arg, const struct policy_decision *d, struct err *e);
    /* Brings the secrets of the plan. Suspends. Called when the plan has uses, or the host has
     * credentials (then for the table alone). 0, also when some could not be had, with words about one
     * of them; negative with words when none could. No words may hold a secret. */
    int (*secrets)(void *arg, struct exchange_sandbox *s, const struct inject_plan *plan,
                   struct exchange_values *ret, struct err *e);
    void (*secrets_done)(void *arg, struct exchange_values *v); /* after 0; does not suspend */
    /* Whether the host of `q`, which has no credential, may know a secret all the same. Then its answers
     * are scrubbed. Does not suspend. NULL: none does. */
    bool (*may_know)(void *arg, const struct policy_query *q);
    /* Before texts of a request are recorded, then for each of them: whether there is a secret in it that
     * the watch does not know. The first one suspends, and comes before each record. Both NULL: there is none. */
    void (*before_record)(void *arg);
    bool (*sees_secret)(void *arg, struct http_text t);
    /* Asked whenever something more of an answer has come: puts the table of now in the place of v->table,
     * whose reference it gives up. Does not suspend. 1 when it is another one, 0 when not, negative with
     * words when there can be none: the answer is cut off. NULL: it never changes. */
    int (*renew)(void *arg, struct exchange_values *v, struct err *e);
    /* A link. Suspends. Negative with words: -E_DENIED when the address is not allowed (403), -ETIMEDOUT
     * (504), others (502). *ret_type (static): the error of RFC 9209 2.3 that fits, "dns_error",
     * "connection_refused", "tls_certificate_error", ...; untouched when none does. */
    int (*origin)(void *arg, const struct exchange_want *want, struct exchange_origin *ret,
                  const char **ret_type, struct err *e);
    void (*origin_done)(void *arg, struct exchange_origin *o); /* its pipe is closed; may suspend */
};

/* One connection on which requests come in. All is borrowed, for as long as exchanges run on it. */
struct exchange_world {
    struct exchange_sandbox *sandbox;
    const struct exchange_calls *calls;
    void *arg;
    struct audit_client *audit;
    struct exchange_spares *spares;
    /* What the connection said about its host: the name that was resolved, SNI, target of CONNECT. */
    const struct host_claim *claims;
    size_t n_claims; /* at most EXCHANGE_CLAIMS_MAX */
    const struct host
        *host;     /* what it is for; NULL: each request names its own (a forward proxy) */
    uint16_t port; /* 0 without a host */
    bool tls;      /* and the origin's certificate is verified */
};
#define EXCHANGE_CLAIMS_MAX 3

/* Serves one request: reads its head from `client`, which has come, and sends the answer: the origin's,
 * or one of our own. Owns the pipe and closes it. One record in the audit log, and one for each use of
 * a credential, also when it is cut off or cancelled. Suspends. For http_serve_options.serve. */
void exchange_run(const struct exchange_world *w, struct http_pipe *client);
