/* api_client - the platform's API as the subcommands use it: one
 * server, one key, JSON in and out. */
#pragma once

#include "base/json.h"
#include "base/secret.h"
#include "http/client/client.h"

struct err;
struct api_client {
    struct http_client *http;
    char *base_url;
    struct secret key;
    char *environment_id; /* where known from the environment or dev.env; may be NULL */
    const char *attempt;  /* sent as Idempotency-Key with the calls from now on; NULL: none */
    bool secret;          /* what the calls from now on answer is secret, and small */
};
/* Server and key, as a pair: ANTHROPIC_BASE_URL with ANTHROPIC_API_KEY (taken out of the
 * environment), else dev.env in `data_dir`. `base_url` (may be NULL) overrides the first. Suspends
 * not. Words tell what to set. */
int api_client_open(struct api_client *c, const char *base_url, const char *data_dir, struct err *e)
    WARN_UNUSED;
void api_client_close(struct api_client *c);

/* One call. 2xx: 0 with the body (may be NULL). Otherwise a negative code; words are the server's
 * own message. Suspends. */
int api_client_call(struct api_client *c, const char *method, const char *path, const json_t *body,
                    json_t **ret, struct err *e) WARN_UNUSED;
/* All pages of a list, as one array (new reference); `path` has no query. As api_client_call. */
int api_client_all(struct api_client *c, const char *path, bool archived, json_t **ret,
                   struct err *e) WARN_UNUSED;
/* Opens an event stream. `after` (may be NULL): resume behind this event id. Suspends. */
int api_client_stream(struct api_client *c, const char *session_id, const char *after,
                      struct client_stream **ret, struct err *e) WARN_UNUSED;
/* Whether `text` can be an id in a path: letters, digits, _ and -, not empty. */
bool api_client_is_id(const char *text);

/* Runs fn(arg) on an event loop of its own; its non-negative result is the exit code, a negative
 * one becomes 1. */
int api_client_run(int (*fn)(void *arg), void *arg);
