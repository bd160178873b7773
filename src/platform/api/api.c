/* api.c - answering one API call.
 *
 * Called by handlers and by the checks before them (serve), on the connection's fiber. Each call is
 * answered exactly once, through api_reply or a refusal; every answer carries the request id, in
 * the header and in error bodies. An answer under an Idempotency-Key is durable before it leaves.
 *
 * Limits: messages are cut to one screen line, and what looks like a key in them is not repeated. A
 * caller learns nothing about an internal failure; the log line with the request id says more. */
#include "platform/api/api.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/api/account.h"
#include "platform/api/idem_store.h"
#include "platform/api/tally.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MESSAGE_BYTES 1024
#define LONG_WORD     64          /* no field, id, model or event has a longer name */
#define LARGE_BYTES   (64u << 10) /* an answer from here on is printed on a thread, and counted */

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
        int r = idem_store(c->p->log.db, c->idem, c->flags & ROUTE_SHOWN_ONCE, status, text);
        if (r < 0) {
            log_error("answer not kept for repetitions", "request=%s code=%s", c->request_id,
                      err_name(r));
            return api_error(c, 500, "api_error",
                             "The request was carried out, but its answer could not be stored for "
                             "repetitions under its Idempotency-Key: look at the result before you "
                             "repeat it.");
        }
    }
    struct budget_share share = {0};
    int r = n > LARGE_BYTES ? account_answer_begin(c->p, c->account, c->x, n, &share) : 0;
    if (r == -EBUSY) {
        http_set_header(c->x, "Retry-After", "1");
        return api_error(c, 503, "overloaded_error",
                         "Too many large answers are on their way; repeat the request later.");
    }
    common_headers(c);
    tally_answer(status);
    r = http_reply(c->x, status, "application/json", text, n);
    account_answer_end(c->p, &share);
    return r;
}

struct print {
    const json_t *j;
    char *text;
    size_t n;
};

static int print(void *arg)
{
    struct print *p = arg;
    p->text = json_text(p->j, &p->n);
    return 0;
}

int api_reply(struct api_call *c, int status, const json_t *j)
{
    struct print p = {.j = j};
    if (json_weight(j, LARGE_BYTES) < LARGE_BYTES)
        (void)print(&p);
    else
        (void)platform_off_loop(c->p, print, &p);
    int r = api_reply_text(c, status, p.text, p.n);
    free(p.text);
    return r;
}

static int drop(void *arg)
{
    json_decref(arg);
    return 0;
}

void api_free(struct api_call *c, json_t *j)
{
    if (j && json_weight(j, LARGE_BYTES) >= LARGE_BYTES)
        (void)platform_off_loop(c->p, drop, j);
    else
        json_decref(j);
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
    tally_refusal(type);
    log_debug("call refused", "request=%s status=%d type=%s", c->request_id, status, type);
    tally_answer(status);
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

bool api_refuse_draining(struct api_call *c)
{
    if (!c->p->stops_at_ns)
        return false;
    int64_t left_ns = c->p->stops_at_ns - time_mono_ns();
    long long left_s = left_ns > 0 ? (left_ns + NS_PER_S - 1) / NS_PER_S : 1;
    char text[24];
    snprintf(text, sizeof(text), "%lld", left_s);
    http_set_header(c->x, "Retry-After", text);
    (void)api_error(c, 503, "api_error",
                    "The server is stopping, in %lld s at the latest, and begins nothing new; "
                    "nothing was changed. Repeat the request when it runs again.",
                    left_s);
    return true;
}

int api_failed(struct api_call *c, int code, const struct err *e)
{
    if (http_replied(c->x))
        return 0;
    log_error("call failed", "request=%s code=%s detail=%s", c->request_id, err_name(code),
              log_q(e && e->msg[0] ? e->msg : err_text(code)));
    switch (code) {
    case -ENOSPC:
        http_set_header(c->x, "Retry-After", "10");
        return api_error(
            c, 507, "api_error",
            "The server's storage is full; nothing was changed. Free some space in its "
            "data directory, then repeat the request.");
    case -EIO:
    case -EROFS:
        http_set_header(c->x, "Retry-After", "10");
        return api_error(
            c, 503, "api_error",
            code == -EIO ? "The server's storage failed; nothing was changed. Its log says more."
                         : "The server's storage is read-only; nothing was changed.");
    case -EBUSY:
    case -ENOMEM:
        http_set_header(c->x, "Retry-After", "1");
        return api_error(c, 503, "overloaded_error",
                         code == -EBUSY ? "The server's storage is busy; repeat the request."
                                        : "The server is short of memory; repeat the request.");
    case -ECANCELED:
        http_set_header(c->x, "Retry-After", "1");
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

void api_tx_failed(struct api_call *c, int code, struct refusal *r)
{
    if (code == -E_DENIED && r && r->status)
        (void)api_refuse(c, r);
    else
        (void)api_failed(c, code, NULL);
}
