/* api - one API call: who calls, the request's JSON, and the one way to answer. Spec: api.md
 * section 1. */
#pragma once

#include "http/server/router.h"
#include "platform/api/state.h"
#include "session/refusal.h"

enum caller_kind { CALLER_NONE, CALLER_API_KEY, CALLER_ENV_KEY, CALLER_SESSION_TOKEN };
struct caller {
    enum caller_kind kind;
    char key_id[64];         /* apikey_…, or id of the environment key */
    char environment_id[64]; /* ENV_KEY, SESSION_TOKEN */
    char session_id[64];     /* SESSION_TOKEN */
    char work_id[64];        /* SESSION_TOKEN */
    char token_hash[65];     /* SHA-256 of what was presented, hex */
    /* SESSION_TOKEN of an item that was taken back: good for hearing that, and for nothing else. */
    bool over;
};

/* Who may call a route (flags of struct route). */
enum {
    ALLOW_API = 1,
    ALLOW_ENV = 2,     /* environment key; the handler checks the object's environment */
    ALLOW_SESSION = 4, /* sessions token; likewise for its session / work item */
    ROUTE_OWN = 8,     /* an addition of ours: no anthropic-beta or anthropic-version asked for */
    ROUTE_SHOWN_ONCE = 16, /* holds a secret shown once: an Idempotency-Key keeps no text */
};

struct idem; /* the call's Idempotency-Key, see idem.h */
struct api_call {
    struct platform *p;
    struct http_exchange *x;
    const struct route_params *params;
    struct caller caller;
    char request_id[64];
    unsigned flags;    /* of the route: ALLOW_*, ROUTE_* */
    json_t *body;      /* parsed: an object for POST with a body, else NULL; the call's */
    struct idem *idem; /* NULL when the call carries no Idempotency-Key */
};
/* Path parameter k of the route's pattern (0-based), decoded; "" when there is none. */
static inline const char *api_param(const struct api_call *c, size_t k)
{
    return c->params && k < c->params->n ? c->params->value[k] : "";
}

/* Answers. Each sends exactly one response and returns nothing of interest (0). The call's request
 * id goes into the header and error bodies. Messages: api.md 1.5 (dotted paths, expected values
 * named). */
int api_reply(struct api_call *c, int status, const json_t *j);
/* The same with text that is printed already. */
int api_reply_text(struct api_call *c, int status, const char *json_text, size_t n);
int api_error(struct api_call *c, int status, const char *type, const char *fmt, ...) PRINTF(4, 5);
/* 400 invalid_request_error. */
int api_invalid(struct api_call *c, const char *fmt, ...) PRINTF(2, 3);
int api_not_found(struct api_call *c, const char *fmt, ...) PRINTF(2, 3); /* 404 not_found_error */
/* 409, x-should-retry: false. */
int api_conflict(struct api_call *c, const char *type, const char *fmt, ...) PRINTF(3, 4);
/* With error.details (stolen) */
int api_error_details(struct api_call *c, int status, const char *type, json_t *details,
                      const char *fmt, ...) PRINTF(5, 6);
/* An internal failure: logs `e` with the request id, answers 500 api_error with no detail (or
 * 507-like words for a full disk: 500 "storage is full; nothing was changed"). */
int api_failed(struct api_call *c, int code, const struct err *e);

/* Sends a refusal that was found on the way (session/refusal.h). */
int api_refuse(struct api_call *c, struct refusal *r);
/* Ends a handler whose transaction returned `code` < 0: sends the refusal it filled, or the
 * failure. `r` may be NULL when it refuses nothing. */
void api_tx_failed(struct api_call *c, int code, struct refusal *r);

/* What a route leads to: answers its call exactly once, through api_reply or one of the refusals
 * above. May suspend. */
typedef void api_handler(struct api_call *c);
