/* oauth - the flags of an authorization, and what mcp/auth wants of a command: secrets, browser, store. */
#pragma once

#include "cmd/line/flags.h"
#include "cmd/mcp/browser.h"
#include "mcp/auth/auth.h"

struct pool;
struct secret_sources;
struct secret_source;

/* Zeroed and with oauth_flags' defaults; then flags are parsed, then oauth_open. */
struct oauth {
    const char *client_id, *client_secret, *client_key, *client_metadata, *scope, *issuer, *grant,
        *assertion, *idp, *idp_client_id, *data;
    int64_t request_ms; /* for one request and its answer; 0: mcp/auth's own */
    struct browser browser;
    char *path; /* of the store */
    int lock;   /* of that, while it is held */
    struct pool *pool;
    struct secret_sources *sources;
    struct secret secret, key_text, token; /* of the client, its key, the assertion */
    struct es256 *key;
    struct mcp_auth *auth;
};

/* Appends the flags to a set. */
void oauth_flags(struct oauth *o, struct flag_set *set);

/* What a command is for. */
enum oauth_use {
    OAUTH_USE,   /* a token, where there is one or one was asked for by flags */
    OAUTH_LOGIN, /* a person is there */
    OAUTH_LOGOUT,
};
/* Makes o->auth; it stays NULL where nothing speaks for an authorization. On a fiber; suspends. 0 or a
 * negative code with words. */
int oauth_open(struct oauth *o, enum oauth_use use, const char *server, const char *ca_file,
               const char *connect_to, struct err *e) WARN_UNUSED;
/* Suspends. */
void oauth_close(struct oauth *o);
