/* api.c - the life of one API call.
 *
 * platform_handle runs on the connection's fiber, once per request. Everything in the request is
 * the caller's: path, headers, body. The order of checks is the one observed on the hosted service
 * (api.md 1.2): unknown path, method, credential, beta header, version header, who may call, body.
 * Only then does a handler of one resource see the call. A handler answers exactly once, through
 * api_reply or a refusal; every answer carries the request id, in the header and in error bodies.
 *
 * Limits: bodies of LIMIT_BODY_BYTES, JSON 64 levels deep, messages cut to one screen line. A
 * caller learns nothing about a credential that failed, nor about an internal failure; the log line
 * with the request id says more. */
#include "platform/api/api.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/api/auth.h"
#include "platform/api/idem.h"
#include "platform/api/routes.h"
#include "platform/state.h"
#include "io/pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BETA_AGENTS      "managed-agents-2026-04-01"
#define MESSAGE_BYTES    1024
#define PARSE_HERE_BYTES (256u << 10) /* about a millisecond of parsing */
#define LONG_WORD        64           /* no field, id, model or event has a longer name */

/* Adds the headers every answer has. */
static void common_headers(struct api_call *c)
{
    if (c->request_id[0])
        http_set_header(c->x, "request-id", c->request_id);
    if (c->p->organization_id[0])
        http_set_header(c->x, "anthropic-organization-id", c->p->organization_id);
}

int api_reply_text(struct api_call *c, int status, const char *text, size_t n)
{
    /* What was promised for repetitions must be durable before the first answer leaves. */
    if (c->idem && !c->idem->stored && status < 300) {
        int r = idem_store(c, status, text);
        if (r < 0) {
            log_error("answer not kept for repetitions", "request=%s code=%s", c->request_id,
                      err_name(r));
            return api_error(c, 500, "api_error",
                             "The request was carried out, but its answer could not be stored for "
                             "repetitions under its Idempotency-Key: look at the result before you "
                             "repeat it.");
        }
    }
    common_headers(c);
    return http_reply(c->x, status, "application/json", text, n);
}

int api_reply(struct api_call *c, int status, const json_t *j)
{
    size_t n;
    AUTO_FREE char *text = json_text(j, &n);
    return api_reply_text(c, status, text, n);
}

static bool in_word(char ch)
{
    return (ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') ||
           ch == '_' || ch == '-' || ch == '+' || ch == '=';
}

/* Messages quote what callers sent, and callers send keys in the wrong place. What begins like a
 * key, or is one word longer than anything we have a name for, is not repeated. */
static void add_without_keys(struct buf *out, const char *message)
{
    for (const char *p = message; *p;) {
        size_t n = 0;
        while (in_word(p[n]))
            n++;
        if (n >= LONG_WORD || (n > 3 && !strncasecmp(p, "sk-", 3)))
            buf_adds(out, "[not shown]");
        else
            buf_add(out, p, n);
        p += n;
        if (*p)
            buf_addc(out, *p++);
    }
}

static int error_body(struct api_call *c, int status, const char *type, json_t *details,
                      const char *message)
{
    AUTO_JSON json_t *error = json_object(), *body = json_object();
    json_put_str(error, "type", type);
    AUTO(buf) shown = BUF_INIT(16 * MESSAGE_BYTES);
    add_without_keys(&shown, message);
    json_put_str(error, "message", buf_str(&shown));
    if (details)
        json_put(error, "details", details);
    json_put_str(body, "type", "error");
    json_put(body, "error", json_incref(error));
    json_put_str(body, "request_id", c->request_id);
    size_t n;
    AUTO_FREE char *text = json_text(body, &n);
    common_headers(c);
    log_debug("call refused", "request=%s status=%d type=%s", c->request_id, status, type);
    return http_reply(c->x, status, "application/json", text, n);
}

/* Formats a message that may quote the caller: cut at a character, and escaped when it is not
 * UTF-8. */
__attribute__((format(printf, 5, 0))) static int error_v(struct api_call *c, int status,
                                                         const char *type, json_t *details,
                                                         const char *fmt, va_list ap)
{
    char message[MESSAGE_BYTES];
    int n = vsnprintf(message, sizeof(message), fmt, ap);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(message) ? (size_t)n : sizeof(message) - 1;
    if (str_is_utf8(message, len))
        return error_body(c, status, type, details, message);
    if (len == sizeof(message) - 1) {
        message[str_utf8_cut(message, len, len - 4)] = '\0';
        if (str_is_utf8(message, strlen(message)))
            return error_body(c, status, type, details, message);
    }
    AUTO(buf) safe = BUF_INIT(4 * MESSAGE_BYTES + 8);
    str_escape(&safe, message, strlen(message), sizeof(message));
    return error_body(c, status, type, details, buf_str(&safe));
}

int api_error(struct api_call *c, int status, const char *type, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = error_v(c, status, type, NULL, fmt, ap);
    va_end(ap);
    return r;
}

int api_error_details(struct api_call *c, int status, const char *type, json_t *details,
                      const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = error_v(c, status, type, details, fmt, ap);
    va_end(ap);
    return r;
}

int api_invalid(struct api_call *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = error_v(c, 400, "invalid_request_error", NULL, fmt, ap);
    va_end(ap);
    return r;
}

int api_not_found(struct api_call *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = error_v(c, 404, "not_found_error", NULL, fmt, ap);
    va_end(ap);
    return r;
}

int api_conflict(struct api_call *c, const char *type, const char *fmt, ...)
{
    va_list ap;
    /* SDKs repeat a 409 by themselves; ours never gets better by being repeated. */
    http_set_header(c->x, "x-should-retry", "false");
    va_start(ap, fmt);
    int r = error_v(c, 409, type, NULL, fmt, ap);
    va_end(ap);
    return r;
}

int api_failed(struct api_call *c, int code, const struct err *e)
{
    if (http_replied(c->x))
        return 0;
    log_error("call failed", "request=%s code=%s detail=%s", c->request_id, err_name(code),
              log_q(e && e->msg[0] ? e->msg : err_text(code)));
    switch (code) {
    case -ENOSPC:
        return api_error(
            c, 500, "api_error",
            "The server's storage is full; nothing was changed. Free some space in its "
            "data directory, then repeat the request.");
    case -EROFS:
        return api_error(c, 500, "api_error",
                         "The server's storage is read-only; nothing was changed.");
    case -ECANCELED:
        return api_error(c, 503, "api_error", "The server is shutting down; repeat the request.");
    default:
        return api_error(c, 500, "api_error",
                         "Internal server error. The server's log has a line for this request id.");
    }
}

int api_refuse(struct api_call *c, struct refusal *r)
{
    json_t *details = TAKE(r->details);
    MUST(r->status != 0);
    if (r->no_retry || r->status == 409)
        http_set_header(c->x, "x-should-retry", "false");
    if (details)
        return api_error_details(c, r->status, r->type, details, "%s", r->message);
    return api_error(c, r->status, r->type, "%s", r->message);
}

json_t *time_json(int64_t real_us)
{
    char text[TIME_RFC3339_MAX];
    return json_string(time_format(text, real_us));
}

json_t *time_json_or_null(bool is_null, int64_t real_us)
{
    return is_null ? json_null() : time_json(real_us);
}

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

/* True when the body may be JSON: no content type, application/json, or another type of it. */
static bool is_json_type(const char *type)
{
    if (!type || !type[0])
        return true;
    size_t n = strcspn(type, "; \t");
    return str_ieq_n(type, n, "application/json", 16) ||
           (n > 5 && str_ieq_n(type + n - 5, 5, "+json", 5));
}

/* 0, or 1 after answering. */
static int check_headers(struct api_call *c)
{
    const struct h1_request *q = http_request(c->x);
    if (c->flags & ROUTE_OWN)
        return 0;
    if (!header_lists(q, "anthropic-beta", BETA_AGENTS)) {
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

struct parse {
    const struct buf *raw;
    json_t *j;
    struct err e;
};

static int parse(void *arg)
{
    struct parse *p = arg;
    return json_parse(p->raw->data, p->raw->len, &p->j, &p->e);
}

/* A large body would hold everybody up for as long as it takes to parse; it goes to a thread.
 * Suspends. */
static int parse_body(struct api_call *c, struct parse *p)
{
    if (p->raw->len < PARSE_HERE_BYTES)
        return parse(p);
    struct platform_state *st = platform_state(c->p);
    if (!st->parser)
        st->parser = pool_new("parse", 1);
    return pool_call(st->parser, parse, p);
}

/* Reads and parses the body of a POST; takes care of its Idempotency-Key. 0, or 1 after answering
 * (or when nobody is left to answer). Suspends. */
static int read_body(struct api_call *c)
{
    AUTO(buf) raw = BUF_INIT(LIMIT_BODY_BYTES);
    int r = http_body_read(c->x, LIMIT_BODY_BYTES, &raw);
    if (r == -EMSGSIZE)
        return api_error(c, 413, "request_too_large",
                         "The request body is larger than %u MB, the most this endpoint takes.",
                         LIMIT_BODY_BYTES >> 20),
               1;
    if (r == -E_PARSE)
        return api_invalid(c, "The request body's transfer encoding is malformed."), 1;
    if (r < 0)
        return 1;
    if (raw.len && !is_json_type(h1_header_get(http_request(c->x), "content-type", NULL)))
        return api_invalid(c, "content-type: the request body must be application/json"), 1;
    if (raw.len) {
        struct parse p = {.raw = &raw};
        if (parse_body(c, &p) < 0)
            return api_invalid(c, "Failed to parse request: the body is not valid JSON: %s",
                               p.e.msg),
                   1;
        c->body = p.j;
        if (!json_is_object(c->body))
            return api_invalid(c, "Failed to parse request: the body must be a JSON object"), 1;
    }
    r = idem_begin(c, buf_str(&raw), raw.len);
    return r != 0;
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

    r = auth_caller(c);
    if (r == -E_DENIED) {
        api_error(c, 401, "authentication_error", "Authentication failed");
        return;
    }
    if (r < 0) {
        api_failed(c, r, NULL);
        return;
    }
    if (check_headers(c) != 0)
        return;
    if (!may_call(&c->caller, c->flags)) {
        api_error(c, 403, "permission_error", "This endpoint can not be called with %s.",
                  c->caller.kind == CALLER_ENV_KEY         ? "an environment key"
                  : c->caller.kind == CALLER_SESSION_TOKEN ? "a session's token"
                                                           : "an API key");
        return;
    }
    if (!strcmp(q->method, "POST") && read_body(c) != 0)
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
    json_decref(c.body);
}
