/* harness - an exchange between a sandbox and an origin that the test plays, with a real policy,
 * placeholders, injection, scrubbing and audit client. */
#pragma once

#include "egress/proxy/exchange.h"
#include "unit/egress/policy/load.h"
#include "unit/egress/proxy/fake_pipe.h"
#include "unit/loop.h"

#define HOST        "api.example"
#define SECRET      "ghp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9t"
#define PLACEHOLDER "sp_ph_0123456789abcdefghijABCDEFGHIJ12"
#define OTHER       "sp_ph_9876543210abcdefghijABCDEFGHIJ12" /* of another host's credential */
#define POLICY                                                                                     \
    "allow:\n"                                                                                     \
    "  - host: api.example\n"                                                                      \
    "    methods: [GET, HEAD, POST, PUT]\n"                                                        \
    "    paths: ['/v1/**']\n"                                                                      \
    "  - host: plain.example\n"                                                                    \
    "credentials:\n"                                                                               \
    "  - name: TOKEN\n"                                                                            \
    "    source: {env: T}\n"                                                                       \
    "    hosts: [api.example]\n"                                                                   \
    "    inject: {header: [authorization, x-key], body: [application/json], websocket: all}\n"     \
    "  - name: ELSEWHERE\n"                                                                        \
    "    source: {env: E}\n"                                                                       \
    "    hosts: [else.example]\n"

struct harness {
    struct exchange_world world;
    struct exchange_sandbox sandbox;
    struct exchange_spares spares;
    struct placeholders *placeholders;
    struct secret secret;
    struct host host;
    struct host_claim claims[2];
    struct fake_pipe client, origins[2];
    size_t n_origins;    /* handed out so far */
    size_t n_done;       /* given back */
    bool reused[2];      /* that link */
    const char *peer;    /* its address; NULL: a public one */
    bool failing_source; /* nothing can be read */
    bool unguarded;      /* what is known cannot be searched for */
    int origin_error;
    const char *origin_type;
    int (*ask)(void *arg, const struct policy_query *q, const struct policy_decision *d,
               struct err *e);
    bool last_fresh;
    struct policy *changes_to; /* while the origin is dialled */
    struct policy *learns_of;  /* while secrets become known */
    bool may_know;             /* the host may know a secret that the policy does not give it */
    bool came_and_went;        /* so it is once the origin is dialled */
    struct buf log;            /* one line for each record */
    struct waitq logged;
    int audit_refuses; /* a code: no room is granted */
    int audit_fd;
    struct audit_client *audit;
    struct scope scope;
    struct fiber *fiber; /* of the exchange */
    bool over;
};

/* On a fiber. `v`: what both pipes speak. */
void harness_start(struct harness *h, const char *policy, enum http_version v);
/* Waits for the exchange, and for its records in `log`. Suspends. */
void harness_end(struct harness *h);
/* Begins the exchange with this head (fake_pipe.h). */
void harness_ask(struct harness *h, const char *head);
/* Waits until the exchange has returned. */
void harness_join(struct harness *h);
/* Waits until the log has the text. */
void harness_await_log(struct harness *h, const char *text);
bool harness_logged(const struct harness *h, const char *text);
/* A new policy, at once. Returns how many exchanges it cut off. */
size_t harness_policy(struct harness *h, const char *yaml);
