/* route_secret - the secret of one route, and what its answers have to be kept free of.
 *
 * One for each route of a face, also for those without a credential: a server that once got a secret may
 * say it again, to whoever asks it. So routes to the same server (scheme, host, port, path) have one table. */
#pragma once

#include "base/budget.h"
#include "tunnel/gateway/config.h"

struct err;
struct scrub_table;
struct secret_source;
struct secret_sources;
struct secret_value;

#define ROUTE_SECRET_FORMER    4
#define ROUTE_SECRET_MEMORY_MS (60 * 60 * 1000)
#define ROUTE_SECRET_ID_MAX    100

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

/* Makes s->now what the source has, and s->table what is to be looked for. Suspends. 0, also of one without
 * a source; -EINVAL with words: it cannot stand in a field, or answers could not be kept free of it; what the
 * source says, with words that hold nothing of a secret. */
int route_secret_renew(struct route_secret *s, struct err *e) WARN_UNUSED;
