/* api_client.c - the platform's API as the subcommands use it.
 *
 * A subcommand makes one client, asks a few things and ends. Server and key are taken as a pair
 * from one place, so that a key never goes to a server it does not belong to: both from the
 * environment, or both from dev.env. The server's error sentence becomes the error's text; no error
 * text contains the key. */
#include "cmd/client/api_client.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"
#include "cmd/client/devenv.h"
#include "cmd/line/start.h"
#include "io/loop.h"

#include <stdio.h>
#include <string.h>

#define CALL_TIMEOUT_MS 60000
#define SECRET_MOST     (64u << 10) /* of an answer with a token in it */
#define LIST_MAX        100000

static int from_environment(struct api_client *c, const char *base_url, struct err *e)
{
    int r = cmd_take_env_secret("ANTHROPIC_API_KEY", &c->key);
    if (r < 0)
        return err_set(e, r, "ANTHROPIC_API_KEY could not be kept in locked memory: %s",
                       err_text(r));
    if (r == 0)
        return err_set(e, -ENOENT,
                       "--base-url or ANTHROPIC_BASE_URL names a server, but ANTHROPIC_API_KEY is "
                       "not set; set it to a key of that server, or source its dev.env");
    c->base_url = mem_strdup(base_url);
    const char *env = getenv("ANTHROPIC_ENVIRONMENT_ID");
    c->environment_id = env && *env ? mem_strdup(env) : NULL;
    return 0;
}

static int from_file(struct api_client *c, const char *data_dir, struct err *e)
{
    struct devenv d = {0};
    int r = devenv_read(data_dir, &d, e);
    if (r == -ENOENT)
        return err_set(e, r,
                       "no server is known: run `sallyport up`, or set ANTHROPIC_BASE_URL and "
                       "ANTHROPIC_API_KEY"
                       " (looked for %s/dev.env)",
                       data_dir);
    if (r < 0)
        return r;
    c->base_url = TAKE(d.base_url);
    c->environment_id = TAKE(d.environment_id);
    if (!c->base_url || !d.api_key.len)
        r = err_set(
            e, -E_PARSE,
            "%s/dev.env lacks ANTHROPIC_BASE_URL or ANTHROPIC_API_KEY; run sallyport up again",
            data_dir);
    else
        r = secret_set(&c->key, secret_borrow(&d.api_key), d.api_key.len);
    devenv_done(&d);
    return r;
}

int api_client_open(struct api_client *c, const char *base_url, const char *data_dir, struct err *e)
{
    *c = (struct api_client){0};
    http_client_trust(getenv("SSL_CERT_FILE"));
    const char *url = base_url ? base_url : getenv("ANTHROPIC_BASE_URL");
    int r = url && *url ? from_environment(c, url, e) : from_file(c, data_dir, e);
    if (r == 0) {
        size_t n = strlen(c->base_url);
        while (n > 0 && c->base_url[n - 1] == '/')
            c->base_url[--n] = '\0';
        c->http = http_client_new("sallyport-cli/" SALLYPORT_VERSION, e);
        r = c->http ? 0 : -EIO;
    }
    if (r < 0)
        api_client_close(c);
    return r;
}

void api_client_close(struct api_client *c)
{
    http_client_free(c->http);
    free(c->base_url);
    free(c->environment_id);
    secret_done(&c->key);
    *c = (struct api_client){0};
}

static const struct client_header common[] = {
    {"anthropic-version", "2023-06-01"},
    {"anthropic-beta", "managed-agents-2026-04-01,mcp-tunnels-2026-06-22"},
    {"content-type", "application/json"},
};

static int refused(int status, const json_t *body, struct err *e)
{
    const char *m = json_get_str(json_object_get(body, "error"), "message");
    int code = status == 404   ? -ENOENT
               : status == 409 ? -E_CONFLICT
               : status == 401 ? -EACCES
                               : -E_DENIED;
    if (status == 401)
        return err_set(e, code, "the server does not accept the API key");
    if (!m)
        return err_set(e, code, "the server refused the request and gave no reason (status %d)",
                       status);
    /* It may repeat what others have written: nothing in it drives the terminal. */
    struct buf words = BUF_INIT(4096);
    str_escape(&words, m, strlen(m), 400);
    const char *id = status >= 500 ? json_get_str(body, "request_id") : NULL;
    bool has_id = id && api_client_is_id(id);
    err_set(e, code, "%s (status %d%s%s)", buf_str(&words), status, has_id ? ", " : "",
            has_id ? id : "");
    buf_done(&words);
    return code;
}

static int unreachable(const struct api_client *c, struct err *e)
{
    return err_set(e, -ECONNREFUSED,
                   "%s: cannot be reached; is the server running? (sallyport up starts one)",
                   c->base_url);
}

int api_client_call(struct api_client *c, const char *method, const char *path, const json_t *body,
                    json_t **ret, struct err *e)
{
    AUTO_FREE char *url = mem_printf("%s%s", c->base_url, path);
    size_t n = 0;
    AUTO_FREE char *text = body ? json_text(body, &n) : NULL;
    struct client_header headers[ARRAY_LEN(common) + 1];
    memcpy(headers, common, sizeof(common));
    headers[ARRAY_LEN(common)] = (struct client_header){"idempotency-key", c->attempt};
    struct client_request q = {.method = method,
                               .url = url,
                               .headers = headers,
                               .n_headers = ARRAY_LEN(common) + (c->attempt != NULL),
                               .secret = c->secret,
                               .bearer = secret_borrow(&c->key),
                               .body = text,
                               .body_len = n};
    struct client_response resp = {0};
    struct fiber_deadline d = fiber_deadline_push_ms(CALL_TIMEOUT_MS);
    int r = client_fetch(c->http, &q, c->secret ? SECRET_MOST : LIMIT_BODY_BYTES, &resp, e);
    fiber_deadline_pop(&d);
    if (r == -ECONNREFUSED)
        return unreachable(c, e);
    if (r < 0)
        return err_wrap(e, r, "%s", c->base_url);
    AUTO_JSON json_t *j = NULL;
    if (resp.body.len > 0 && json_parse(buf_str(&resp.body), resp.body.len, &j, NULL) < 0 &&
        resp.status < 300)
        r = err_set(e, -E_PROTO, "%s does not answer like a Sallyport server (no JSON)",
                    c->base_url);
    else if (resp.status < 200 || resp.status >= 300)
        r = refused(resp.status, j, e);
    else if (ret)
        *ret = TAKE(j);
    client_response_done(&resp);
    return r;
}

int api_client_all(struct api_client *c, const char *path, bool archived, json_t **ret,
                   struct err *e)
{
    AUTO_JSON json_t *all = json_array();
    AUTO_FREE char *next = NULL;
    do {
        AUTO_FREE char *url =
            mem_printf("%s?limit=100%s%s%s", path, archived ? "&include_archived=true" : "",
                       next ? "&page=" : "", next ? next : "");
        AUTO_JSON json_t *j = NULL;
        int r = api_client_call(c, "GET", url, NULL, &j, e);
        if (r < 0)
            return r;
        json_array_extend(all, json_object_get(j, "data"));
        const char *more = json_get_str(j, "next_page");
        if (more &&
            (!api_client_is_id(more) || str_eq(more, next) || json_array_size(all) > LIST_MAX))
            return err_set(e, -E_PROTO,
                           "the server's list does not end in a way that can be followed");
        free(next);
        next = more ? mem_strdup(more) : NULL;
    } while (next);
    *ret = TAKE(all);
    return 0;
}

int api_client_stream(struct api_client *c, const char *session_id, const char *after,
                      struct client_stream **ret, struct err *e)
{
    AUTO_FREE char *url = mem_printf("%s/v1/sessions/%s/events/stream%s%s", c->base_url, session_id,
                                     after ? "?after=" : "", after ? after : "");
    struct client_request q = {.method = "GET",
                               .url = url,
                               .headers = common,
                               .n_headers = 2,
                               .bearer = secret_borrow(&c->key),
                               .low_speed_timeout_ms = 120000};
    struct client_response head = {0};
    struct client_stream *s = NULL;
    int r = client_open(c->http, &q, &s, &head, e);
    if (r == -ECONNREFUSED)
        return unreachable(c, e);
    if (r < 0)
        return err_wrap(e, r, "%s", c->base_url);
    if (head.status != 200) {
        char bytes[2048];
        ssize_t n = client_read(s, bytes, sizeof(bytes), e);
        AUTO_JSON json_t *j = NULL;
        if (n <= 0 || json_parse(bytes, (size_t)n, &j, NULL) < 0)
            j = NULL;
        r = refused(head.status, j, e);
        client_stream_close(s);
    } else {
        *ret = s;
    }
    client_response_done(&head);
    return r;
}

bool api_client_is_id(const char *text)
{
    for (const char *p = text; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
              *p == '_' || *p == '-'))
            return false;
    return *text != '\0';
}

int api_client_run(int (*fn)(void *arg), void *arg)
{
    log_init("cli", LOG_ERROR); /* a person reads standard error: sentences only */
    int r = loop_init();
    if (r < 0) {
        fprintf(stderr, "sallyport: the event loop could not be made: %s\n", err_text(r));
        return 1;
    }
    r = loop_run(fn, arg);
    loop_done();
    return r < 0 ? 1 : r;
}
