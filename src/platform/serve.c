/* serve.c - the life of one API call.
 *
 * platform_handle runs on the connection's fiber, once per request. Everything in the request is
 * the caller's: path, headers, body. The order of checks is the one observed on the hosted service
 * (api.md 1.2): unknown path, method, credential, beta header, version header, who may call, body.
 * Only then does a handler of one resource see the call. A handler answers exactly once, through
 * api_reply or a refusal.
 *
 * Limits: what a caller's calls hold together (account.c), bodies by route and kind of caller
 * (body.c). A caller learns nothing about a credential that failed. */
#include "platform/platform.h"

#include "base/err.h"
#include "base/id.h"
#include "base/str.h"
#include "platform/api/account.h"
#include "platform/api/auth.h"
#include "platform/api/body.h"
#include "platform/api/idem.h"
#include "platform/api/validate.h"
#include "platform/routes.h"

#include <string.h>

#define BETA_AGENTS "managed-agents-2026-04-01"
/* An older client names the first of them. */
static const char *const beta_tunnels[] = {"mcp-tunnels-2026-05-19", "mcp-tunnels-2026-06-22"};

/* True when one of the (possibly several, comma separated) values of the header is `want`. */
static bool header_lists(const struct h1_request *q, const char *name, const char *want)
{
    size_t want_len = strlen(want);
    for (size_t i = 0; i < q->n_headers; i++) {
        if (!str_ieq(q->headers[i].name, name))
            continue;
        const char *p = q->headers[i].value;
        while (*p) {
            p += strspn(p, ", \t");
            size_t n = strcspn(p, ", \t");
            if (n == want_len && !memcmp(p, want, n))
                return true;
            p += n;
        }
    }
    return false;
}

static bool may_call(const struct caller *who, unsigned flags)
{
    switch (who->kind) {
    case CALLER_API_KEY:
        return flags & ALLOW_API;
    case CALLER_ENV_KEY:
        return flags & ALLOW_ENV;
    case CALLER_SESSION_TOKEN:
        return flags & ALLOW_SESSION;
    case CALLER_TUNNEL:
        return flags & ALLOW_TUNNEL;
    default:
        return false;
    }
}

/* "2026-10-21"; which date does not matter. */
static bool is_date(const char *s)
{
    static const char shape[] = "dddd-dd-dd";
    size_t i = 0;
    for (; shape[i]; i++)
        if (shape[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != shape[i])
            return false;
    return s[i] == '\0';
}

static bool names_beta(const struct h1_request *q, unsigned flags)
{
    if (!(flags & ROUTE_TUNNELS))
        return header_lists(q, "anthropic-beta", BETA_AGENTS);
    for (size_t i = 0; i < ARRAY_LEN(beta_tunnels); i++)
        if (header_lists(q, "anthropic-beta", beta_tunnels[i]))
            return true;
    return false;
}

/* 0, or 1 after answering. */
static int check_headers(struct api_call *c)
{
    const struct h1_request *q = http_request(c->x);
    if (c->flags & ROUTE_OWN)
        return 0;
    if (!names_beta(q, c->flags)) {
        api_not_found(c, "not found");
        return 1;
    }
    const char *version = h1_header_get(q, "anthropic-version", NULL);
    if (!version || !version[0]) {
        api_invalid(c, "anthropic-version: header is required");
        return 1;
    }
    if (!is_date(version)) {
        api_invalid(
            c, "anthropic-version: \"%s\" is not a valid version; it is a date like 2023-06-01",
            v_clip(version));
        return 1;
    }
    return 0;
}

static void serve(struct api_call *c)
{
    const struct h1_request *q = http_request(c->x);
    struct route_params params = {0};
    char allow[64] = "";
    api_handler *fn = NULL;
    int r = routes_find(c->x, &params, &c->flags, &fn, allow);
    if (r == -ENOENT) {
        const char *noun = routes_unbuilt(q->path);
        if (noun)
            api_not_found(c, "Not found: %s are not part of this version of Sallyport.", noun);
        else
            api_not_found(c, "Not found");
        return;
    }
    if (r == -EOPNOTSUPP) {
        http_set_header(c->x, "Allow", allow);
        api_error(c, 405, "invalid_request_error", "Method Not Allowed");
        return;
    }
    if (r < 0) {
        api_invalid(c, "The path is not valid percent-encoding.");
        return;
    }
    c->params = &params;
    if (c->flags & ALLOW_ANYONE) {
        fn(c);
        return;
    }
    r = auth_caller(c);
    if (r == -E_DENIED) {
        api_error(c, 401, "authentication_error", "Authentication failed");
        return;
    }
    if (r < 0) {
        api_failed(c, r, NULL);
        return;
    }
    http_known(c->x);
    c->account = account_enter(c->p, &c->caller);
    if (check_headers(c) != 0)
        return;
    if (!may_call(&c->caller, c->flags)) {
        api_error(c, 403, "permission_error", "This endpoint cannot be called with %s.",
                  c->caller.kind == CALLER_ENV_KEY         ? "an environment key"
                  : c->caller.kind == CALLER_SESSION_TOKEN ? "a session's token"
                  : c->caller.kind == CALLER_TUNNEL        ? "a tunnel's token"
                                                           : "an API key");
        return;
    }
    if (!strcmp(q->method, "POST") && body_take(c) != 0)
        return;
    fn(c);
    idem_end(c);
}

void platform_handle(struct http_exchange *x, void *arg)
{
    struct api_call c = {.p = arg, .x = x};
    id_make(c.request_id, "req_");
    fiber_set_context(c.request_id);
    serve(&c);
    body_drop(&c);
    budget_end(&c.body_share);
    if (c.account)
        account_leave(c.p, &c.caller);
}
