/* api - one API call: who calls, the request's JSON, and the one way to answer. Spec: api.md
 * section 1. */
#pragma once

#include "http/server/router.h"
#include "platform/platform.h"
#include "session/refusal.h"

enum caller_kind { CALLER_NONE, CALLER_API_KEY, CALLER_ENV_KEY, CALLER_SESSION_TOKEN };
struct caller {
    enum caller_kind kind;
    char key_id[64];         /* apikey_…, or id of the environment key */
    char environment_id[64]; /* ENV_KEY, SESSION_TOKEN */
    char session_id[64];     /* SESSION_TOKEN */
    char work_id[64];        /* SESSION_TOKEN */
    char token_hash[65];     /* SHA-256 of what was presented, hex */
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

/* Pages (api.md 1.6). Parses limit, page and order; the cursor is the position inside an opaque
 * page token bound to `order` and `kind`. Returns 0 or -E_DENIED after answering 400. */
struct page {
    int limit;
    bool ascending;
    bool backwards; /* a prev_page token of the sessions list */
    bool has_cursor;
    int64_t cursor_time; /* created_at or seq of the last row seen */
    char cursor_id[64];
};
int page_parse(struct api_call *c, const char *kind, int default_limit, int max_limit,
               bool default_ascending, struct page *ret) WARN_UNUSED;
/* The token alone (pure, for page_parse and tests): 0, -E_PARSE (not one of ours for this `kind`)
 * or -E_CONFLICT (made for the other order than ret->ascending). Fills backwards, has_cursor and
 * the cursor. */
int page_token_parse(const char *kind, const char *token, struct page *ret) WARN_UNUSED;
/* "page_…" for a position; malloc'ed. */
char *page_token(const char *kind, const struct page *p, bool backwards, int64_t time,
                 const char *id);
/* {"data": rows, "next_page": token or null}; steals rows and token. */
json_t *page_json(json_t *rows, char *next_token);

/* NAME[gt], NAME[gte], NAME[lt], NAME[lte] as one inclusive range of microseconds; the whole range
 * when absent. 0 or -E_DENIED after answering 400. */
struct time_range {
    int64_t from, to;
};
int time_range_parse(struct api_call *c, const char *name, struct time_range *ret) WARN_UNUSED;

/* Validation of request objects: struct v walks one, refuses unknown fields by path, and gathers
 * the first error.
 *
 *     struct refusal r = {0};
 *     struct v v = v_object(&r, c->body, "");  // "" or the path in front of names: "tools[0]."
 *     const char *name = v_str(&v, "name", V_REQUIRED, 1, 256);
 *     const json_t *metadata = v_metadata(&v, "metadata");
 *     v_unsupported(&v, "vault_ids", "vaults are not built yet in this server");
 *     v_end(&v);                               // complains about fields nobody asked for
 *     if (v_failed(&v)) {
 *         api_refuse(c, &r);                   // sends the 400
 *         return;
 *     }
 */
enum { V_OPTIONAL = 0, V_REQUIRED = 1, V_NULLABLE = 2 };
struct v {
    struct refusal *r; /* where the first error goes */
    const json_t *o;   /* NULL: absent, reads as an empty object */
    char path[128];
    const char *seen[48]; /* keys asked for, so that v_end finds the others */
    size_t n_seen;
};
struct v v_object(struct refusal *r, const json_t *o, const char *path);
/* A nested object; v.o NULL when absent. */
struct v v_sub(struct v *parent, const char *key, int flags);
/* NULL when absent, null or wrong. */
const char *v_str(struct v *v, const char *key, int flags, size_t min_chars, size_t max_chars);
const json_t *v_array(struct v *v, const char *key, int flags, size_t max_items);
const json_t *v_any(struct v *v, const char *key, int flags);
int64_t v_int(struct v *v, const char *key, int flags, int64_t min, int64_t max, int64_t fallback);
bool v_bool(struct v *v, const char *key, int flags, bool fallback);
bool v_is_null(const struct v *v, const char *key); /* present and null */
bool v_has(const struct v *v, const char *key);     /* present, null or not */
const char *v_enum(struct v *v, const char *key, int flags, const char *const *allowed);
/* At most 16 pairs; keys up to 64 characters, values up to 512 or null. */
const json_t *v_metadata(struct v *v, const char *key);
/* Refused when present and not null or empty. */
void v_unsupported(struct v *v, const char *key, const char *why);
void v_fail(struct v *v, const char *key, const char *fmt, ...) PRINTF(3, 4);
void v_end(struct v *v);
static inline bool v_failed(const struct v *v)
{
    return v->r->status != 0;
}
/* A string cut to what fits an error message: at most 80 characters of `s`, in one of 4 rotating
 * buffers. */
const char *v_clip(const char *s);

/* Row helpers. */
json_t *time_json(int64_t real_us); /* RFC 3339 string */
json_t *time_json_or_null(bool is_null, int64_t real_us);
