/* face - what the gateway's files say, as one thing: read again when they change, and replaced as a whole. */
#pragma once

#include "tunnel/gateway/config.h"
#include "tunnel/gateway/route_secret.h"

struct caller_keys;
struct cert_identity;
struct ctl;
struct err;
struct pool;
struct tls_trust;

#define FACE_NUMBER_MAX 24
#define FACE_HASH_MAX   65

/* Read-only. Counted: who has a reference may use all of it. */
struct gateway_face {
    unsigned refs;
    struct gateway_config *config;
    struct cert_identity *identity;
    struct cert_identity *shown;      /* to servers that ask; NULL: nothing */
    struct tls_trust *upstream_trust; /* NULL: the configuration has no server by https */
    struct tls_trust *client_trust;   /* NULL: callers need no certificate */
    char client_hash[FACE_HASH_MAX];  /* of those that they are signed by; "" */
    struct caller_keys *caller_keys;  /* NULL: callers need no token */
    struct route_secret *secrets;     /* one for each route; these change */
    char hash[FACE_HASH_MAX];         /* of what the configuration says, in hex: for records */
    char number[FACE_NUMBER_MAX];     /* of no other one in this process */
    uint64_t mark;                    /* of the files, from before they were read: supply_mark */
    int64_t supplied;                 /* what the keeper calls them: supply_taken */
};
/* Asks the keeper for all files and reads them, on `pool` when there may be threads; sources of secrets are
 * made. `config_path` stands in words. `before` (NULL: none): what it is to take the place of. Suspends. 0
 * with one reference, or a code with words. */
int face_read(struct ctl *keeper, struct pool *pool, struct secret_sources *sources,
              const char *config_path, const struct gateway_face *before, struct gateway_face **ret,
              struct err *e) WARN_UNUSED;
struct gateway_face *face_ref(struct gateway_face *f);
void face_unref(struct gateway_face *f); /* Suspends with the last one. NULL is fine */
/* The secret of a route of this face. */
struct route_secret *face_secret(const struct gateway_face *f, const struct gateway_route *route);
/* The certificate and key alone, whatever their dates are. Blocks. 0, or a code with words. */
int face_identity(const struct gateway_config *c, struct cert_identity **ret, struct err *e)
    WARN_UNUSED;
/* The same of upstream.tls, of a configuration that has it. */
int face_shown(const struct gateway_config *c, struct cert_identity **ret, struct err *e)
    WARN_UNUSED;
/* By which callers' tokens are checked, of a configuration with callers.jwt.jwks_file. Blocks. 0 with one reference, or
 * a code with words. */
int face_caller_keys(const struct gateway_config *c, struct caller_keys **ret, struct err *e)
    WARN_UNUSED;
/* Whom callers have to be signed by, of a configuration with tls.client_ca_file. Blocks. 0, or a code with words. */
int face_client_trust(const struct gateway_config *c, struct tls_trust **ret, struct err *e)
    WARN_UNUSED;
/* Opens one of the files; a key's must be nobody else's to read. A descriptor, the caller's, or a code with
 * words. Blocks. */
int face_file_open(const char *path, bool is_key, struct err *e) WARN_UNUSED;
