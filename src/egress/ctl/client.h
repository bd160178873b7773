/* client - egress as whoever holds sandboxes uses it: worker, exec.
 *
 * What lives in this folder: this, the list of messages between the processes of egress (messages.h; the
 * channel is io/ctl.h), and the CA as it travels (ca). What does not: what either side does with one.
 *
 *     egress_start           one keeper with its proxies
 *     egress_grant           before a sandbox is made: what to make it with
 *     egress_bind            after: the sockets that were born in it
 *     egress_set_session, egress_set_call     whose it is, and what runs in it
 *     egress_release         it is gone
 *
 * A keeper that dies is replaced, and gets every binding back; meanwhile sandboxes have no network,
 * and new ones wait. Everything on the fiber's loop that called egress_start. */
#pragma once

#include "base/json.h"

struct egress;
struct err;

struct egress_options {
    const json_t *policy;   /* the section, as read; borrowed during the call */
    const char *at;         /* what errors call it: "egress" */
    const char *audit_file; /* where the policy names none */
    bool audit_named;       /* a person has named audit_file: it comes before the policy's */
    unsigned proxies;       /* processes that serve; 0: 1 */
    bool trial; /* this policy is for a trial: what should be said of it is not; egress_set_policy
                   says it of the one that follows */
    const char
        *variable; /* "NAME=value" that the first keeper gets besides our environment; or NULL */
    /* Told of what should be said to a person (warnings, a keeper that is replaced); NULL: the
     * log. */
    void (*tell)(const char *sentence);
    /* Takes a variable of an `env` source out of this process's environment, value wiped. */
    void (*forget)(const char *name);
};

/* Checks the policy, starts egress, which inherits the environment, forgets the variables of `env`
 * sources, and waits until it serves. The calling fiber must be the one that stops it. Suspends. 0, or
 * a negative code with words. */
int egress_start(const struct egress_options *o, struct egress **ret, struct err *e) WARN_UNUSED;
void egress_stop(struct egress *eg); /* Suspends; NULL is fine */

struct egress_door {
    char address[48]; /* "*": any */
    uint16_t port;
    bool udp;
};
struct egress_grant {
    char binding[64];
    json_t *env; /* {NAME: placeholder}; owned */
    struct egress_door *doors;
    size_t n_doors;
    const char *ca_pem; /* borrowed from the client */
};
void egress_grant_done(struct egress_grant *g); /* zeroed is fine */

/* Suspends, also until a keeper that has died is replaced. */
int egress_grant(struct egress *eg, struct egress_grant *ret, struct err *e) WARN_UNUSED;
/* Hands the sockets over, in the order of the doors; they are taken in every case. They are kept here,
 * too, for a keeper to come. Suspends. */
int egress_bind(struct egress *eg, const char *binding, int *fds, size_t n, struct err *e)
    WARN_UNUSED;
void egress_set_session(struct egress *eg, const char *binding, const char *session); /* Suspends */
/* The tool call that runs, and its tool; NULL: none. Suspends. */
void egress_set_call(struct egress *eg, const char *binding, const char *call, const char *tool);
void egress_release(struct egress *eg, const char *binding); /* Suspends */

/* A new policy, for everything from now on. On failure the old one stays. Suspends. */
int egress_set_policy(struct egress *eg, const json_t *policy, struct err *e) WARN_UNUSED;
void egress_reread(struct egress *eg); /* secrets; Suspends */
bool egress_serves(const struct egress *eg);
const char *egress_ca_pem(const struct egress *eg);
