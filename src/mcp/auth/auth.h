/* auth - how an MCP client gets its token: OAuth 2.1 as MCP 2026-07-28 (basic/authorization) has it, and
 * its extensions.
 *
 * What lives in this folder: which address describes what (place), the two documents (metadata), sets of
 * scopes (scope), forms (form), answers with tokens (token), signed texts (jwt), all of them pure; and
 * what asks: requests with bounds (fetch), finding (discover), who the client is (client, register), the
 * grants (grant), what is kept between two commands (keep) and held by one of them (hold), and the decisions
 * in between (auth). What does not: a browser, a listener and a file, which are the caller's; the requests to the MCP server.
 *
 * A token is bound to the issuer that gave it and to the resource it was asked for. It goes to the MCP
 * server alone, a refresh token and a client's secret to that issuer's endpoints alone. */
#pragma once

#include "base/secret.h"
#include "mcp/client/client.h"

struct es256;
struct mcp_auth;

enum auth_grant {
    AUTH_GRANT_CODE = 0,  /* a person agrees, in a browser */
    AUTH_GRANT_CLIENT,    /* client credentials: the client acts for itself */
    AUTH_GRANT_ASSERTION, /* a workload's own JWT (RFC 7523) */
    AUTH_GRANT_EXCHANGE,  /* an ID token, exchanged at the company's provider (RFC 8693, ID-JAG) */
};

/* Texts are copied; secrets, the key and `arg` are borrowed and must outlive the object. */
struct mcp_auth_options {
    const char *server; /* address of the MCP server */
    enum auth_grant grant;
    const char *ca_file, *connect_to;   /* as in mcp_options */
    int64_t request_ms;                 /* for one request and its answer; 0, or more: 30 s */
    const char *issuer;                 /* no other will do; NULL: any, and then no client_secret */
    const char *scope;                  /* in place of what the server proposes; NULL: that */
    const char *client_id;              /* registered beforehand; NULL: not */
    const struct secret *client_secret; /* of that; may be NULL */
    const struct es256 *client_key;     /* of that, for private_key_jwt; may be NULL */
    const char *client_url;             /* of a client-id metadata document; NULL: none */
    const struct secret *assertion;     /* the JWT, or the ID token, of the last two grants */
    const char *idp, *idp_client_id;    /* issuer of the ID token, and our id there */

    /* Where the browser shall come back to: gets `preferred` (may be NULL) if that is possible. malloc'ed.
     * NULL: nobody can be asked, and AUTH_GRANT_CODE fails with words. Suspends not. */
    int (*open)(void *arg, const char *preferred, char **ret_redirect, struct err *e);
    /* Sends the person to `url` and waits for the query that comes back with `state` (malloc'ed, without
     * "?"); what comes with another one is somebody else's and does not end the wait. Suspends. */
    int (*browse)(void *arg, const char *url, const char *state, char **ret_query, struct err *e);
    /* What was kept: *ret stays NULL where nothing is. NULL: nothing is ever kept. Both may block. */
    int (*load)(void *arg, json_t **ret, struct err *e);
    int (*save)(void *arg, const json_t *state, struct err *e); /* `state` NULL: forget */
    /* Keeps other processes from what was kept until `release`; `soon`: there is less time to wait. NULL:
     * nobody else has it. Suspends. 0; -ETIMEDOUT, or another negative code, with words. */
    int (*hold)(void *arg, bool soon, struct err *e);
    void (*release)(void *arg);
    void *arg;
};

/* On any fiber; suspends not. 0, or -EINVAL with words. */
int mcp_auth_new(const struct mcp_auth_options *o, struct mcp_auth **ret, struct err *e)
    WARN_UNUSED;
void mcp_auth_free(struct mcp_auth *a); /* suspends; NULL is fine */

/* For mcp_options.authorizer; `arg` is the object. */
int mcp_auth_give(void *arg, const struct mcp_sending *s, struct mcp_credential *ret, struct err *e)
    WARN_UNUSED;

/* Drops the token, so that the next refusal leads to another one; who we are stays. May block. */
int mcp_auth_begin_anew(struct mcp_auth *a, struct err *e) WARN_UNUSED;
bool mcp_auth_has_token(const struct mcp_auth *a);
const char *mcp_auth_issuer(const struct mcp_auth *a); /* NULL: none yet; until the next call */
const char *mcp_auth_scope(const struct mcp_auth *a);  /* granted, else asked for; NULL: not said */
/* Gets a token now, whatever there is, of a server that has refused nothing. Suspends. 0, or a negative code
 * with words; -EINVAL: it names no authorization server. */
int mcp_auth_login(struct mcp_auth *a, struct err *e) WARN_UNUSED;
/* What a logout came to. Neither revoked nor a failure: the issuer revokes no tokens. */
struct mcp_auth_ending {
    bool had; /* a login, or what could not be read */
    bool revoked, forgotten;
};
/* Has the tokens revoked where the issuer can (RFC 7009), and forgets them in any case, also those that
 * cannot be read. Suspends. 0, or a negative code with words of what failed: `ret` tells what did not. */
int mcp_auth_logout(struct mcp_auth *a, struct mcp_auth_ending *ret, struct err *e) WARN_UNUSED;

/* Of a query that came back to the redirect: 0 with the code (malloc'ed); -EACCES with words: the state is
 * not ours, the issuer is another or missing though `says_iss` (RFC 9207), or it is a refusal. Pure. */
int auth_code_of_query(const char *query, const char *state, const char *issuer, bool says_iss,
                       char **ret, struct err *e) WARN_UNUSED;
