/* world - what one proxy process has: made at its start, shared by all its connections. One thread. */
#pragma once

#include "audit/client.h"
#include "base/map.h"
#include "crypto/cert.h"
#include "egress/capture/front.h"
#include "egress/proxy/dial.h"
#include "egress/proxy/exchange.h"
#include "egress/proxy/former.h"
#include "egress/proxy/redact.h"
#include "egress/proxy/splice.h"
#include "egress/proxy/values.h"
#include "fiber/fiber.h"
#include "http/pipe/origins.h"
#include "io/own_addresses.h"
#include "io/resolve.h"
#include "io/slack.h"
#include "io/tls.h"

struct ctl;

struct world {
    struct ctl *keeper;
    struct scope scope; /* the fibers of sandboxes */
    struct policy *policy;
    struct former former; /* those before it */
    struct placeholders *placeholders;
    struct values *values;
    struct redact *redact;
    struct audit_client *audit;
    struct front *front;
    struct map sandboxes; /* binding → struct sandbox */
    struct cert_ca *ca;
    struct cert_cache *leaves;
    struct tls_ctx *tls;     /* towards sandboxes */
    struct tls_trust *trust; /* towards origins */
    struct resolver *resolver;
    struct dialer *dialer;
    struct origins *origins;
    struct splice_pool *splices;
    struct exchange_spares spares;
    struct slack slack; /* connections */
    int failed;         /* a code: what came from the keeper could not be used */
    struct waitq told;  /* something of what is needed before serving has come */
};

/* A sandbox. Lives until its last connection has ended. */
struct sandbox {
    struct world *w;
    struct exchange_sandbox x; /* id, session, call, policy, watch, limits */
    char id[64], session[72], call[72];
    struct front_binding *front; /* NULL until its sockets have all come */
    struct front_door *doors;
    size_t n_doors;
    bool lost;    /* of its sockets some have not come: the process had no descriptor for them */
    bool serving; /* there is a fiber that serves, and will free it */
    struct scrub_table *table; /* what answers are scrubbed with; NULL: no secret is known */
    uint64_t generation;       /* of the values that watch and table were made of; 0: never */
    struct list relays;        /* connections that are passed through (relay.c) */
    bool released;
};

/* ---- sandbox.c ---- */

struct sandbox *sandbox_new(struct world *w, const char *id);
/* Serves until it is released, then frees it. On a fiber. */
int sandbox_serve(void *arg);
/* No connection may be open. */
void sandbox_free(struct sandbox *s);
/* Ends it; when nobody serves it yet it is gone. */
void sandbox_release(struct sandbox *s);
/* Closes the sockets that have come. */
void sandbox_drop_doors(struct sandbox *s);
/* At once: what the new policy does not allow is cut off. */
void sandbox_set_policy(struct sandbox *s, struct policy *p);
/* Watch and table as the secrets are now. 0, or a code with words: a secret that cannot be guarded. */
int sandbox_refresh(struct sandbox *s, struct err *e) WARN_UNUSED;
/* They may have something in them that is not remembered any more. */
void sandbox_forget(struct sandbox *s);

/* ---- connection.c, relay.c: front_options.serve, and one passed through ---- */

void connection_serve(void *arg, struct front_claim *f, struct stream *s);
void connection_note(void *arg, struct front_binding *b, const struct front_note *n);
/* Whether what begins like that is looked into: TLS and HTTP are. */
bool connection_is_http(const struct front_claim *f);
/* Passes a connection through that `d` allows without looking into it. Suspends. */
void relay_run(struct sandbox *sb, const struct front_claim *c, const struct policy_decision *d,
               struct policy *p, struct stream *s);
/* Cuts off those that `p` does not allow any more. */
void relays_check(struct sandbox *sb, const struct policy *p);

/* ---- upstream.c: exchange_calls, and dialling ---- */

extern const struct exchange_calls upstream_calls; /* arg: struct sandbox */
/* Dials as the policy says, with the upstream proxy's password if need be. Suspends. */
int upstream_dial(struct world *w, const struct policy *p, const struct policy_decision *d,
                  const struct host *h, uint16_t port, int *ret_fd, struct dial_info *info,
                  struct err *e) WARN_UNUSED;
/* Which version the origin speaks with one who offers both: of a link that is kept, or by connecting,
 * and keeping the link. Suspends. HTTP_1_1 when it cannot be told. */
enum http_version upstream_version(struct world *w, struct sandbox *sb, struct policy *p,
                                   const struct policy_decision *d, const struct host *h,
                                   uint16_t port);
