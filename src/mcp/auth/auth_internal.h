/* auth_internal - what the files of the authorization share. */
#pragma once

#include "base/buf.h"
#include "fiber/sync.h"
#include "http/client/client.h"
#include "mcp/auth/auth.h"
#include "mcp/auth/metadata.h"
#include "oauth/token.h"

#define AUTH_ANSWER_MAX (256u << 10) /* bytes of a document or an answer */
#define AUTH_VALUES_MAX 5000         /* values of JSON in it */
#define AUTH_REQUEST_MS 30000        /* for one request and its answer */
#define AUTH_CLIENT_MAX 2048         /* bytes of a client's id or secret */
#define AUTH_STEP_UPS   3            /* times that a server may want more than was granted */
#define AUTH_NONCE_MAX  256
#define AUTH_OFFLINE    "offline_access"

/* Who we are at one authorization server. */
struct auth_client {
    char *id;
    struct secret secret;
    enum auth_method method;
    char *redirect; /* it was registered with; NULL: any */
    bool given;     /* by the caller: its secret is not kept */
};
void auth_client_done(struct auth_client *c);

struct mcp_auth {
    struct mcp_auth_options o; /* texts are owned */
    struct http_client *http;  /* NULL: not made yet */
    struct fmutex lock;
    bool loaded;
    struct auth_resource resource;
    struct auth_server as;     /* token endpoint NULL: not looked at yet */
    char *issuer;              /* `client` and `token` are of this one; NULL: none */
    char *bound;               /* the resource that `token` is for */
    struct auth_client client; /* id NULL: none yet */
    struct auth_token token;
    char *asked;       /* scopes that `token` was asked for */
    bool wants_dpop;   /* the server takes no token without a proof */
    struct es256 *key; /* of proofs; NULL: none yet */
    char as_nonce[AUTH_NONCE_MAX], rs_nonce[AUTH_NONCE_MAX];
    unsigned step_ups;
    unsigned held; /* times that auth_hold has gone well */
};

/* fetch.c */
struct auth_answer {
    int status;
    json_t *json; /* NULL: it is none */
    char nonce[AUTH_NONCE_MAX];
};
void auth_answer_done(struct auth_answer *r);
/* GET of a document. Suspends. 0 whatever the status, or a negative code with words that name `what`. */
int auth_fetch(struct mcp_auth *a, const char *what, const char *url, struct auth_answer *ret,
               struct err *e) WARN_UNUSED;
/* POST. `authorization` and `proof` may be NULL. As auth_fetch. */
struct auth_post {
    const char *what, *url, *type; /* media type of the body */
    const struct buf *body;
    const char *authorization, *proof;
};
int auth_send(struct mcp_auth *a, const struct auth_post *p, struct auth_answer *ret, struct err *e)
    WARN_UNUSED;
/* Wipes what is in it, then as buf_done. */
void auth_buf_wipe(struct buf *b);

/* discover.c. Both suspend; 0 or a negative code with words. */
/* Finds resource and issuer, from the address of `named` when that is not "". A change of the issuer drops
 * client and token. */
int auth_discover(struct mcp_auth *a, const char *named, struct err *e) WARN_UNUSED;
/* The metadata of a->issuer, if it is not there. */
int auth_discover_server(struct mcp_auth *a, struct err *e) WARN_UNUSED;
/* Metadata of any issuer that the caller trusts. */
int auth_server_fetch(struct mcp_auth *a, const char *issuer, const char *server,
                      struct auth_server *ret, struct err *e) WARN_UNUSED;

/* client.c */
/* Sees to it that a->client is one that the authorization server knows, and has `redirect` (may be NULL).
 * Suspends when it registers. */
int auth_client_ensure(struct mcp_auth *a, const char *redirect, struct err *e) WARN_UNUSED;
/* Puts who we are into a form, or into `authorization`. */
int auth_client_say(struct mcp_auth *a, struct buf *form, struct buf *authorization, struct err *e)
    WARN_UNUSED;
/* Chooses how, of what the server takes (0: not said) and what there is. 0: none fits. Pure. */
enum auth_method auth_method_choose(unsigned taken, bool has_secret, bool has_key);

/* register.c (RFC 7591): pure, both. */
json_t *auth_registration(const char *redirect, enum auth_method method, const char *scope);
int auth_registration_read(const json_t *j, enum auth_method asked, struct auth_client *ret,
                           struct err *e) WARN_UNUSED;

/* grant.c. All suspend; 0 or a negative code with words. */
int auth_grant(struct mcp_auth *a, const char *scope, struct err *e) WARN_UNUSED;
/* Under auth_hold. 1: it cannot be renewed; a refresh token is dropped only when the issuer says that it is no
 * good any more. Other failures leave it. */
int auth_refresh(struct mcp_auth *a, struct err *e) WARN_UNUSED;
/* 1: the issuer revokes no tokens. */
int auth_revoke(struct mcp_auth *a, struct err *e) WARN_UNUSED;

/* keep.c */
json_t *auth_keep(const struct mcp_auth *a); /* new reference */
/* Takes what was kept, if it is whole and of this server; else nothing. */
void auth_unkeep(struct mcp_auth *a, const json_t *j);
enum auth_kept {
    AUTH_KEPT_SAME, /* the token that we have */
    AUTH_KEPT_NEWER, /* another one of the same issuer and resource, which we have now, with its client and key */
    AUTH_KEPT_GONE, /* none, or nothing that is ours */
};
/* What is kept now, against what we have. */
enum auth_kept auth_unkeep_newer(struct mcp_auth *a, const json_t *j);

/* hold.c */
/* Has what is kept for ourselves; nests. Suspends. 0 or a negative code with words. */
int auth_hold(struct mcp_auth *a, bool soon, struct err *e) WARN_UNUSED;
void auth_release(struct mcp_auth *a);
/* An enum auth_kept, as above, or a negative code with words. May block. */
int auth_look(struct mcp_auth *a, struct err *e) WARN_UNUSED;
