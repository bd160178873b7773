/* route_secret - the secret of one route, and what its answers have to be kept free of.
 *
 * One for each route of a face, also for those without a credential: a server that once got a secret may
 * say it again, to whoever asks it. So routes to the same server (scheme, host, port, path) have one table. */
#pragma once

#include "base/budget.h"
#include "base/list.h"
#include "tunnel/gateway/config.h"

struct err;
struct scrub_table;
struct secret_source;
struct secret_sources;
struct secret_subjects;
struct secret_value;

#define ROUTE_SECRET_FORMER    4
#define ROUTE_SECRET_MEMORY_MS (60 * 60 * 1000)
#define ROUTE_SECRET_ID_MAX    100
#define ROUTE_SECRET_CALLERS   1024 /* of one route, with what they were given */

struct route_secret {
    struct secret_source *source; /* NULL: nothing is added */
    const char *name;             /* of the credential; lives as long as the configuration */
    struct secret_value *now;     /* as it was read last; NULL: not yet */
    struct {
        struct secret_value *value;
        int64_t until_ns;
    } former[ROUTE_SECRET_FORMER]; /* the latest first */
    size_t n_former;
    struct route_secret *peer;    /* the next route to the same server, in a ring; itself: none */
    struct budget memory;         /* of its requests: forward_policy.c */
    bool decodes;                 /* answers are looked into for something else, too */
    struct scrub_table *table;    /* of all these; NULL: there is none, and nothing to look into */
    char id[ROUTE_SECRET_ID_MAX]; /* tells apart what may not share a connection */

    /* Of a route with something else for each caller, which then is never `now` here: */
    struct secret_subjects *subjects; /* NULL: it is the same for all */
    struct list callers;              /* that have one; the one that called last is at the end */
    size_t n_callers;
    /* Of one of these: */
    struct route_secret *route; /* NULL: this is a route's */
    struct route_caller *caller;
    uint64_t made_at; /* changes of routes that the table knows of */
};

/* One for each route, in their order, *ret free's with route_secrets_free, also after a failure. Reads no
 * secret; takes environment variables out of the environment. `file` stands in words. 0, -EINVAL with words
 * that name route and rule. */
int route_secrets_open(struct secret_sources *all, const struct gateway_config *c, const char *file,
                       struct route_secret **ret, struct err *e) WARN_UNUSED;
/* What servers have been given under `old` is looked for under `c`, too: by routes of the same host, and by
 * those to the same server. */
void route_secrets_inherit(struct route_secret *list, const struct gateway_config *c,
                           const struct route_secret *old, const struct gateway_config *old_c);
/* Suspends. NULL is fine. */
void route_secrets_free(struct route_secret *list, size_t n);

/* What that route gives to the server for the caller with this token, 1 to 16 KiB, until route_secret_leave; its
 * table also has what the route's own has. 0; -EBUSY with words: there are too many callers at a time. */
int route_secret_of_caller(struct route_secret *route, const char *token, size_t n,
                           struct route_secret **ret, struct err *e) WARN_UNUSED;
/* Of a route's own: nothing. NULL is fine. */
void route_secret_leave(struct route_secret *s);
/* The server has refused s->now: whoever keeps it may get another one. */
void route_secret_refused(struct route_secret *s);
/* Whether s->table has all that must not be shown of this server. */
bool route_secret_is_known(const struct route_secret *s);
/* Of the requests of its route. */
struct budget *route_secret_memory(struct route_secret *s);

/* Makes s->now what the source has, and s->table what is to be looked for. Suspends. 0, also of one without
 * a source; -EINVAL with words: it cannot stand in a field, or answers could not be kept free of it; what the
 * source says, with words that hold nothing of a secret. */
int route_secret_renew(struct route_secret *s, struct err *e) WARN_UNUSED;
