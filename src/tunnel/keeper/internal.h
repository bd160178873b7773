/* internal - the keeper's parts, for each other. No file outside this folder includes it. */
#pragma once

#include "fiber/sync.h"
#include "io/ctl.h"
#include "io/proc.h"
#include "tunnel/gateway/config.h"
#include "tunnel/keeper/keeper.h"

struct audit_server;
struct keeper_state;
struct pool;
struct programs;
struct secret_source;
struct secret_sources;
struct secret_subjects;

/* A configuration, and the sources of its routes' credentials. */
struct keeper_set {
    int64_t number;
    struct gateway_config *config;
    struct secret_source **sources;    /* of the route with that index; NULL: none */
    struct secret_subjects **subjects; /* likewise, of one that depends on who calls */
};

struct gateway_keeper {
    struct gateway_keeper_options o;
    struct pool *pool;
    struct secret_sources *secrets;
    struct audit_server *audit; /* NULL: nothing is recorded */
    struct programs *programs;  /* of routes */
    struct proc proc;
    struct ctl *ctl;       /* NULL while there is no gateway */
    struct fmutex reading; /* one set of files at a time */
    int64_t numbers;
    /* What the gateway was offered last, what it serves, and what it served before: requests that are under
     * way may still ask for a secret of that. */
    struct keeper_set *offered, *used, *before;
    struct gateway_config *first; /* that this gateway began with: the way to the edge is of it */
    struct keeper_state *state;   /* NULL: nothing is kept, or nobody has asked yet */
    size_t connecting;            /* to Unix sockets of routes */
    size_t asking_keys;           /* questions to issuers of callers' tokens */
    bool ready, was_ready, stopping;
    struct waitq wake; /* it is to stop */
};

/* ctl_handler for the gateway, with the keeper as `arg`. */
int keeper_hear(void *arg, const char *op, const json_t *o, struct ctl_fds *fds,
                struct ctl_answer *answer, struct err *e);
/* state.c: questions about what is kept. Suspend. 0 or a code with words. */
int keeper_answer_state(struct gateway_keeper *k, struct ctl_answer *answer, struct err *e)
    WARN_UNUSED;
int keeper_answer_sheet(struct gateway_keeper *k, struct ctl_answer *answer, struct err *e)
    WARN_UNUSED;
int keeper_answer_keep(struct gateway_keeper *k, struct err *e) WARN_UNUSED;
/* keys.c: the public keys of the issuer of callers' tokens. Suspends; 0 or a code with words. */
int keeper_answer_keys(struct gateway_keeper *k, const json_t *o, struct ctl_answer *answer,
                       struct err *e) WARN_UNUSED;
/* No question may be under way. */
void keeper_state_close(struct gateway_keeper *k);
/* When a gateway is gone: nothing is kept for it. Suspends. */
void keeper_sets_done(struct gateway_keeper *k);
