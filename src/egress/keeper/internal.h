/* internal - the keeper's parts, for each other. No file outside this folder includes it. */
#pragma once

#include "audit/client.h"
#include "audit/server.h"
#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/list.h"
#include "base/map.h"
#include "egress/ctl/messages.h"
#include "egress/keeper/keeper.h"
#include "egress/policy/policy.h"
#include "io/ctl.h"
#include "io/pool.h"
#include "io/proc.h"
#include "secret/placeholder.h"
#include "secret/source.h"

#define KEEPER_PROXIES_MAX 64
#define BINDINGS_MAX       20000
#define SESSION_MAX        64

struct keeper;

/* One process that serves connections. */
struct proxy {
    struct keeper *k;
    unsigned number;
    struct proc proc;
    struct ctl *ctl;  /* NULL while there is none */
    bool ready, told; /* told: which bindings there were; it may get more */
    bool ending;      /* the channel is gone, the process may not be */
    unsigned life;    /* counts processes that have ended */
    size_t bindings;
};

struct binding {
    char id[ID_MAX];
    char session[SESSION_MAX + 1], call[SESSION_MAX + 1], tool[SESSION_MAX + 1]; /* "": none */
    int64_t call_began_ns;
    json_t *env; /* {NAME: placeholder} */
    int *fds;    /* the sockets: kept for a proxy that takes another's place */
    size_t n_fds;
    bool bound; /* all of them are there */
    struct proxy *at;
};

/* A credential's source. */
struct keeper_secret {
    struct secret_source *source;
    struct placeholder_format *format; /* NULL: it is never sent by a client */
    struct secret_value *known;        /* by all proxies: what they may put into requests */
};

/* Values of the headers of audit.otlp, in the policy's order. */
struct keeper_headers {
    struct secret_source *source[POLICY_OTLP_HEADERS_MAX];
    size_t n;
};

/* The process that sends the audit log to a collector. */
struct exporter {
    struct scope scope; /* the fiber that keeps it */
    struct waitq changed;
    struct proc proc;
    struct ctl *ctl; /* NULL while there is none */
    unsigned wanted; /* counts what it was told to do */
    bool stopping;
};

/* `start`, handed from the channel's fiber to the keeper's own. */
struct start_request {
    const json_t *o;
    struct ctl_fds *fds;
    struct ctl_answer *answer;
    struct err *e;
    int result;
};

struct keeper {
    struct ctl *boss;
    struct start_request asked;
    struct scope scope; /* the fibers that keep proxies */
    struct waitq changed;
    struct fmutex taking;  /* a policy, of which secrets and text come one after the other */
    struct fmutex telling; /* held while proxies are told of a secret */
    struct pool *pool;
    struct policy *policy;
    int policy_fd, ca_fd; /* sealed: the policy's text, the CA's key */
    char *ca_pem;
    struct map secrets; /* credential name → struct keeper_secret */
    struct secret_source *proxy_password;
    struct keeper_headers headers;
    struct map old_secrets; /* of the policy before, until they are let go */
    struct secret_source *old_password;
    struct keeper_headers old_headers;
    struct secret_sources *sources;
    struct placeholders *placeholders;
    struct audit_server *audit;
    char *audit_path;
    struct exporter exporter;
    struct audit_client *records; /* the keeper's own */
    struct map bindings;          /* id → struct binding */
    struct proxy proxies[KEEPER_PROXIES_MAX];
    size_t n_proxies;
    bool started, serving, stopping;
    bool only_check; /* a policy is tried, and no secret is read (try.c) */
};

/* ---- secrets.c ---- */

/* Makes the sources of a policy's credentials, then puts them in the place of those there are, without
 * suspending between that and its return. Suspends. -EINVAL and others with words that name the
 * credential; then nothing has changed. */
int secrets_take_policy(struct keeper *k, const struct policy *p, struct err *e) WARN_UNUSED;
/* Those of before. Once proxies have been told of the policy: until then one would put a new secret
 * where the old policy says. Suspends, for the connections of vaults. */
void secrets_let_go(struct keeper *k);
void secrets_done(struct keeper *k); /* Suspends */
/* The value, read if need be; the reference is the caller's. Suspends. 0 or a code with words. */
int secrets_get(struct keeper *k, const char *credential, struct secret_value **ret, struct err *e)
    WARN_UNUSED;
int secrets_copy(const struct secret_value *v, struct secret *ret, struct err *e) WARN_UNUSED;
/* Whether every proxy knows this value of it. */
bool secrets_is_known(const struct keeper *k, const char *credential, const struct secret_value *v);
/* They do. Nothing happens when the policy does not have it any more. */
void secrets_set_known(struct keeper *k, const char *credential, struct secret_value *v);
int secrets_proxy_password(struct keeper *k, struct secret *ret, struct err *e) WARN_UNUSED;
/* The value of a header of audit.otlp. By its name: a new policy may name them in another order. */
int secrets_header(struct keeper *k, const char *name, struct secret *ret, struct err *e)
    WARN_UNUSED;
/* What should be said of the secrets that can be looked at for nothing (env, file, systemd), one line
 * each: those that are not there, or too short to be guarded; and that memory is not locked. Suspends. */
void secrets_warnings(struct keeper *k, struct buf *out);
/* A placeholder for each credential that a client sends: {NAME: text}. Suspends when a format is made
 * like the secret. */
int secrets_issue(struct keeper *k, const char *binding, json_t **ret, struct err *e) WARN_UNUSED;
int secrets_adopt(struct keeper *k, const char *binding, const json_t *env, struct err *e)
    WARN_UNUSED;

/* ---- exporter.c ---- */

/* Whether audit.otlp of a policy can be used. 0, or -EINVAL with words. */
int exporter_check(const struct policy *p, struct err *e) WARN_UNUSED;
/* Keeps one from now on, whenever the policy wants it. The log is open. */
int exporter_start(struct keeper *k, struct err *e) WARN_UNUSED;
/* The policy has changed from `before`, which may be NULL, to that of k. Does not suspend. */
void exporter_policy_changed(struct keeper *k, const struct policy *before);
/* The log is closed: waits a moment until the rest is sent. Suspends. */
void exporter_stop(struct keeper *k);

/* ---- bindings.c ---- */

int binding_new(struct keeper *k, const char *id, json_t *env, struct binding **ret, struct err *e)
    WARN_UNUSED;
struct binding *binding_find(struct keeper *k, const json_t *o);
int binding_add_fds(struct keeper *k, struct binding *b, const json_t *o, struct ctl_fds *fds,
                    struct err *e) WARN_UNUSED;
/* Gives it to the proxy that has it. Suspends; the binding may be gone afterwards. */
int binding_send(struct keeper *k, const char *id);
void binding_release(struct keeper *k, struct binding *b); /* Suspends; b is gone */
void bindings_done(struct keeper *k);

/* Whose it is, or what runs in it. Suspends. */
void binding_set_session(struct keeper *k, struct binding *b, const char *session);
void binding_set_call(struct keeper *k, struct binding *b, const char *call, const char *tool);

/* ---- proxies.c ---- */

/* Starts `n` of them and waits until they serve. Suspends. */
int proxies_start(struct keeper *k, unsigned n, struct err *e) WARN_UNUSED;
void proxies_stop(struct keeper *k); /* Suspends */
/* The one with the fewest bindings of those that serve, or are about to; NULL while there is none. */
struct proxy *proxies_choose(struct keeper *k);
/* A notice. Suspends for a few seconds at most: a proxy that takes nothing is ended, since nobody else
 * shall wait for it. NULL and one that has no channel are fine. 0 or a negative code. */
int proxy_tell(struct proxy *p, json_t *o, const int *fds, size_t n_fds);
ctl_handler proxy_hear;                     /* what one says and asks; `arg` is the struct proxy */
void proxies_tell_policy(struct keeper *k); /* Suspends */
