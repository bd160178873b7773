/* remote.c - the platform's API as the worker uses it.
 *
 * Called from the poller's fiber (environment key) and from session fibers (sessions token); every
 * session has an object, and so a connection pool, of its own: a connection never carries two
 * credentials. Answers are bounded: JSON up to 32 MiB, because an event list may hold large tool
 * results. Ids are checked before they are put into a path. The platform's error text is the only
 * peer text that travels on, escaped and capped, and the key is never part of it. */
#include "worker/remote.h"
#include "base/enc.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "worker/aside.h"
#include "worker/salvage.h"

#include <stdio.h>
#include <string.h>

#define CALL_TIMEOUT_MS 30000
#define SLOW_LINE_BYTES 65536 /* per second: what a large body gets more time for */

int remote_init(struct remote *r, const char *base_url, struct secret *bearer,
                const char *worker_id, struct err *e)
{
    *r = (struct remote){.bearer = bearer};
    r->http = http_client_new("sallyport-worker/" SALLYPORT_VERSION, e);
    if (!r->http)
        return e && e->code ? e->code : -EIO;
    size_t n = strlen(base_url);
    while (n > 0 && base_url[n - 1] == '/')
        n--;
    r->base_url = mem_strndup(base_url, n);
    r->worker_id = worker_id ? mem_strdup(worker_id) : NULL;
    return 0;
}

void remote_done(struct remote *r)
{
    http_client_free(r->http);
    free(r->base_url);
    free(r->worker_id);
    *r = (struct remote){0};
}

void remote_answer_done(struct remote_answer *a)
{
    aside_drop(a->body);
    *a = (struct remote_answer){.retry_after_ms = -1};
}

bool remote_is_permanent(const struct remote_answer *a)
{
    return a->status >= 400 && a->status < 500 && a->status != 408 && a->status != 409 &&
           a->status != 429;
}

/* The words of an error answer, fit for a log line. */
static void take_words(struct remote_answer *a, const char *text, size_t n)
{
    struct buf b = BUF_INIT(sizeof(a->words) * 4);
    str_escape(&b, text, n, 200);
    str_copy(a->words, sizeof(a->words), buf_str(&b));
    buf_done(&b);
}

static void read_retry_after(const struct client_response *resp, struct remote_answer *a)
{
    char ms[64], after[64], date[64];
    bool has_ms = client_response_header(resp, "retry-after-ms", ms, sizeof(ms)) != NULL;
    bool has_after = client_response_header(resp, "retry-after", after, sizeof(after)) != NULL;
    bool has_date = client_response_header(resp, "date", date, sizeof(date)) != NULL;
    a->retry_after_ms = retry_after_ms(has_ms ? ms : NULL, has_after ? after : NULL,
                                       has_date ? date : NULL, time_real_us());
}

/* Suspends. */
static void read_body(const char *text, size_t n, struct remote_answer *a)
{
    struct err e = {0};
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark is no JSON */
        text += 3;
        n -= 3;
    }
    if (n > 0 && aside_parse(text, n, &a->body, &e) < 0 && !a->body)
        log_debug("an answer is not JSON", "why=%s", log_q(e.msg));
    if (a->status >= 400) {
        const char *m = json_get_str(json_object_get(a->body, "error"), "message");
        if (m)
            take_words(a, m, strlen(m));
        else
            snprintf(a->words, sizeof(a->words), "HTTP status %d", a->status);
    } else if (n > 0 && !a->body) {
        snprintf(a->words, sizeof(a->words), "the answer is not JSON");
        a->status = 0; /* whoever answers 200 with something else is not the platform; try again */
    }
}

enum kind {
    PLAIN,
    POLL,    /* with the worker's id */
    AT_REST, /* a stop by which nothing is lost */
    BEAT, /* sent once at most: when its answer is lost, we must know that there may have been one */
};

static int call(struct remote *r, const char *method, const char *url, const char *body,
                int64_t timeout_ms, enum kind kind, struct remote_answer *ret)
{
    *ret = (struct remote_answer){.retry_after_ms = -1};
    struct client_header headers[] = {
        {"anthropic-version", "2023-06-01"},
        {"anthropic-beta", "managed-agents-2026-04-01"},
        {"accept", "application/json"},
        {body ? "content-type" : "x-sallyport-role", body       ? "application/json"
                                                     : r->keeps ? "worker, keeps"
                                                                : "worker"},
        {kind == AT_REST ? "x-sallyport-role" : "anthropic-worker-id", kind == AT_REST
                                                                           ? "worker, at rest"
                                                                       : r->worker_id ? r->worker_id
                                                                                      : ""},
    };
    struct client_request q = {
        .method = method,
        .url = url,
        .headers = headers,
        .n_headers =
            ARRAY_LEN(headers) - ((kind == POLL && r->worker_id) || kind == AT_REST ? 0 : 1),
        .bearer = secret_borrow(r->bearer),
        .body = body,
        .body_len = body ? strlen(body) : 0,
        .connect_timeout_ms = 10000,
        .once = kind == BEAT,
    };
    struct client_response resp = {0};
    struct err e = {0};
    struct fiber_deadline d = fiber_deadline_push_ms(timeout_ms);
    int rc = client_fetch(r->http, &q, LIMIT_BODY_BYTES, &resp, &e);
    fiber_deadline_pop(&d);
    if (rc < 0) {
        take_words(ret, e.msg, strlen(e.msg));
        return rc;
    }
    ret->status = resp.status;
    read_retry_after(&resp, ret);
    read_body(buf_str(&resp.body), resp.body.len, ret);
    if (ret->status == 0 && resp.body.len > SALVAGE_BYTES_MAX)
        rc = -EMSGSIZE; /* less of it may be readable */
    client_response_done(&resp);
    return rc;
}

bool remote_id_ok(const char *id)
{
    size_t n = id ? strlen(id) : 0;
    if (n == 0 || n > REMOTE_ID_MAX || str_eq(id, ".") || str_eq(id, ".."))
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = id[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  strchr("_-.~:@+=,", c);
        if (!ok)
            return false;
    }
    return true;
}

static int bad_id(struct remote_answer *ret)
{
    *ret = (struct remote_answer){.status = 400, .retry_after_ms = -1};
    str_copy(ret->words, sizeof(ret->words),
             "the id holds characters that are not allowed in an id");
    return 0;
}

/* Percent-encodes everything that is not unreserved (RFC 3986 2.3). */
static void add_encoded(struct buf *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            strchr("-._~", c))
            buf_addc(out, (char)c);
        else
            buf_addf(out, "%%%02X", c);
    }
}

static char *work_url(struct remote *r, const char *env_id, const char *work_id, const char *tail)
{
    return mem_printf("%s/v1/environments/%s/work/%s%s", r->base_url, env_id, work_id, tail);
}

int remote_poll(struct remote *r, const char *env_id, int block_ms, struct remote_answer *ret)
{
    if (!remote_id_ok(env_id))
        return bad_id(ret);
    /* 0 is no value of it: whoever does not want to wait leaves it out (api.md section 4). */
    AUTO_FREE char *query = block_ms > 0 ? mem_printf("?block_ms=%d", block_ms) : mem_strdup("");
    AUTO_FREE char *url = work_url(r, env_id, "poll", query);
    return call(r, "GET", url, NULL, block_ms + CALL_TIMEOUT_MS, POLL, ret);
}

int remote_ack(struct remote *r, const char *env_id, const char *work_id, struct remote_answer *ret)
{
    if (!remote_id_ok(env_id) || !remote_id_ok(work_id))
        return bad_id(ret);
    AUTO_FREE char *url = work_url(r, env_id, work_id, "/ack");
    return call(r, "POST", url, NULL, CALL_TIMEOUT_MS, PLAIN, ret);
}

int remote_heartbeat(struct remote *r, const char *env_id, const char *work_id,
                     const char *expected, struct remote_answer *ret)
{
    if (!remote_id_ok(env_id) || !remote_id_ok(work_id))
        return bad_id(ret);
    struct buf q = BUF_INIT(4096);
    buf_adds(&q, "/heartbeat");
    if (expected) {
        buf_adds(&q, "?expected_last_heartbeat=");
        add_encoded(&q, expected); /* the stamp is echoed to the byte, an empty one too */
    }
    AUTO_FREE char *url = work_url(r, env_id, work_id, buf_str(&q));
    buf_done(&q);
    return call(r, "POST", url, NULL, CALL_TIMEOUT_MS, BEAT, ret);
}

int remote_stop(struct remote *r, const char *env_id, const char *work_id, bool at_rest,
                struct remote_answer *ret)
{
    if (!remote_id_ok(env_id) || !remote_id_ok(work_id))
        return bad_id(ret);
    AUTO_FREE char *url = work_url(r, env_id, work_id, "/stop");
    return call(r, "POST", url, "{\"force\":true}", CALL_TIMEOUT_MS, at_rest ? AT_REST : PLAIN,
                ret);
}

int remote_session(struct remote *r, const char *session_id, struct remote_answer *ret)
{
    if (!remote_id_ok(session_id))
        return bad_id(ret);
    AUTO_FREE char *url = mem_printf("%s/v1/sessions/%s", r->base_url, session_id);
    return call(r, "GET", url, NULL, CALL_TIMEOUT_MS, PLAIN, ret);
}

int remote_events(struct remote *r, const char *session_id, const char *page, int limit,
                  struct remote_answer *ret)
{
    if (!remote_id_ok(session_id))
        return bad_id(ret);
    struct buf q = BUF_INIT(16384);
    if (page) {
        buf_adds(&q, "&page=");
        add_encoded(&q, page);
    }
    AUTO_FREE char *url = mem_printf("%s/v1/sessions/%s/events?limit=%d%s", r->base_url, session_id,
                                     limit, buf_str(&q));
    int too_long = buf_err(&q);
    buf_done(&q);
    if (too_long)
        return bad_id(ret);
    return call(r, "GET", url, NULL, 4 * CALL_TIMEOUT_MS, PLAIN, ret);
}

int remote_send(struct remote *r, const char *session_id, json_t *event, struct remote_answer *ret)
{
    AUTO_JSON json_t *body = json_pack("{s:[o]}", "events", event);
    if (!body || !remote_id_ok(session_id))
        return bad_id(ret);
    size_t n;
    AUTO_FREE char *text = aside_text(body, &n);
    AUTO_FREE char *url = mem_printf("%s/v1/sessions/%s/events", r->base_url, session_id);
    int64_t timeout_ms = CALL_TIMEOUT_MS + (int64_t)(n / SLOW_LINE_BYTES) * 1000;
    return call(r, "POST", url, text, timeout_ms, PLAIN, ret);
}

int remote_stream(struct remote *r, const char *session_id, struct client_stream **ret_stream,
                  struct remote_answer *ret)
{
    *ret = (struct remote_answer){.retry_after_ms = -1};
    if (!remote_id_ok(session_id))
        return bad_id(ret);
    AUTO_FREE char *url = mem_printf("%s/v1/sessions/%s/events/stream", r->base_url, session_id);
    struct client_header headers[] = {
        {"anthropic-version", "2023-06-01"},
        {"anthropic-beta", "managed-agents-2026-04-01"},
        {"accept", "text/event-stream"},
    };
    struct client_request q = {.method = "GET",
                               .url = url,
                               .headers = headers,
                               .n_headers = ARRAY_LEN(headers),
                               .bearer = secret_borrow(r->bearer),
                               .connect_timeout_ms = 10000,
                               .low_speed_timeout_ms = 120000};
    struct client_response head = {0};
    struct client_stream *s = NULL;
    struct err e = {0};
    struct fiber_deadline d = fiber_deadline_push_ms(CALL_TIMEOUT_MS);
    int rc = client_open(r->http, &q, &s, &head, &e);
    fiber_deadline_pop(&d);
    if (rc < 0) {
        take_words(ret, e.msg, strlen(e.msg));
        return rc;
    }
    ret->status = head.status;
    read_retry_after(&head, ret);
    client_response_done(&head);
    if (ret->status != 200) {
        snprintf(ret->words, sizeof(ret->words), "HTTP status %d", ret->status);
        client_stream_close(s);
        return 0;
    }
    *ret_stream = s;
    return 0;
}
