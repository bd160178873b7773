/* gateway_tunnel - what `gateway init` asks the platform for: a tunnel, its token, trust in a CA. */
#pragma once

#include "base/base.h"

struct api_client;
struct cert_issuer;
struct err;
struct setup;

struct gateway_tunnel {
    struct api_client *api;
    struct setup *s;  /* an open directory; its tunnel_id and domain are set by the first step */
    const char *name; /* of a new tunnel, and */
    const char *tunnel_id; /* one that is there: what the command line says; may be NULL both */
    /* what came of it */
    bool resumed; /* an earlier run was cut off while it made the tunnel */
    bool made_tunnel, made_token, registered;
    char *certificate_id; /* of the CA on the tunnel; the caller's */
};

/* The tunnel: the one of the directory, else the one that is named, else a new one. -E_DENIED with words:
 * it is archived; -ENOENT with words: the server does not know it. Suspends, as the others do. */
int gateway_tunnel_settle(struct gateway_tunnel *t, struct err *e) WARN_UNUSED;
/* The token in its file. -E_DENIED with words: there is one, and it is not the tunnel's any more. */
int gateway_tunnel_token(struct gateway_tunnel *t, struct err *e) WARN_UNUSED;
/* The CA on the tunnel. -E_DENIED with words: it breaks a rule, was archived, or would be the third. */
int gateway_tunnel_register(struct gateway_tunnel *t, const struct cert_issuer *ca, struct err *e)
    WARN_UNUSED;
