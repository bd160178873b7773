/* api - one API call: who calls, the request's JSON, and the one way to answer. Spec: api.md
 * section 1. */
#pragma once

#include "http/server/router.h"
#include "platform/api/caller.h"
#include "platform/api/state.h"
#include "session/refusal.h"

/* Who may call a route (flags of struct route). */
enum {
    ALLOW_API = 1,
    ALLOW_ENV = 2,     /* environment key; the handler checks the object's environment */
    ALLOW_SESSION = 4, /* sessions token; likewise for its session / work item */
    ROUTE_OWN = 8,     /* an addition of ours: no anthropic-beta or anthropic-version asked for */
    ROUTE_SHOWN_ONCE = 16,  /* holds a secret shown once: an Idempotency-Key keeps no text */
    ROUTE_SMALL_BODY = 32,  /* names and metadata at most (limits.h); else what the caller may */
    ROUTE_AGENT_BODY = 64,  /* an agent or environment */
    ROUTE_TUNNELS = 128,    /* asks for the anthropic-beta of tunnels instead of that of agents */
    ROUTE_REVEALED = 256,   /* with ROUTE_SHOWN_ONCE: reveal_token shows it again */
    ROUTE_REPEATABLE = 512, /* a POST that changes nothing: an Idempotency-Key is of no use */
    ALLOW_TUNNEL = 1024,    /* a gateway, with its tunnel's token */
    ALLOW_ANYONE = 2048, /* a GET, without a credential and without anything that is a caller's */
};

struct idem;    /* the call's Idempotency-Key, see idem.h */
struct account; /* what its credential holds, see account.h */
struct api_call {
    struct platform *p;
    struct http_exchange *x;
    const struct route_params *params;
    struct caller caller;
    char request_id[64];
    unsigned flags; /* of the route: ALLOW_*, ROUTE_* */
    json_t *body;   /* parsed: an object for POST with a body, else NULL; the call's */
    bool large;     /* the body: whatever looks at all of it does so on a thread (body.h) */
    struct account *account; /* once the caller is known */
    struct budget_share body_share;
    struct idem *idem; /* NULL when the call carries no Idempotency-Key */
};
/* Path parameter k of the route's pattern (0-based), decoded; "" when there is none. */
static inline const char *api_param(const struct api_call *c, size_t k)
{
    return c->params && k < c->params->n ? c->params->value[k] : "";
}

/* Answers. Each sends exactly one response and returns nothing of interest (0). Suspend. The call's
 * request id goes into the header and error bodies. Messages: api.md 1.5 (dotted paths, expected values
 * named). */
int api_reply(struct api_call *c, int status, const json_t *j);
/* The same with text that is printed already. */
int api_reply_text(struct api_call *c, int status, const char *json_text, size_t n);
/* json_decref of what an answer was made of; on a thread when it is large. NULL is fine. Suspends. */
void api_free(struct api_call *c, json_t *j);
int api_error(struct api_call *c, int status, const char *type, const char *fmt, ...) PRINTF(4, 5);
/* 400 invalid_request_error. */
int api_invalid(struct api_call *c, const char *fmt, ...) PRINTF(2, 3);
int api_not_found(struct api_call *c, const char *fmt, ...) PRINTF(2, 3); /* 404 not_found_error */
/* 409, x-should-retry: false. */
int api_conflict(struct api_call *c, const char *type, const char *fmt, ...) PRINTF(3, 4);
/* With error.details (stolen) */
int api_error_details(struct api_call *c, int status, const char *type, json_t *details,
                      const char *fmt, ...) PRINTF(5, 6);
/* While the server drains: answers 503 with Retry-After and returns true. For what would begin work
 * that nobody does any more; what ends or reads it goes on. */
bool api_refuse_draining(struct api_call *c);
/* An internal failure: logs `e` with the request id, answers 500 api_error with no detail. What can
 * pass by itself or by an operator's hand says so: 507 when storage is full, 503 when it fails, is
 * read-only or busy, when memory is short or the server stops; all with Retry-After. */
int api_failed(struct api_call *c, int code, const struct err *e);

/* Sends a refusal that was found on the way (session/refusal.h). */
int api_refuse(struct api_call *c, struct refusal *r);
/* Ends a handler whose transaction returned `code` < 0: sends the refusal it filled, or the
 * failure. `r` may be NULL when it refuses nothing. */
void api_tx_failed(struct api_call *c, int code, struct refusal *r);

/* What a route leads to: answers its call exactly once, through api_reply or one of the refusals
 * above. May suspend. */
typedef void api_handler(struct api_call *c);
