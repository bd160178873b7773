/* body.c - request bodies on their way from bytes to values and back to nothing.
 *
 * Called by serve.c on the connection's fiber, after the credential and before the handler. Sizes,
 * shapes and speeds are the caller's. So each step has a ceiling that depends on the route and on
 * who calls: bytes while they arrive (http_body_read, charged to the caller's account), values
 * before the parser sees them. Neither may hold up the loop: what is not small is parsed, hashed,
 * checked and freed on a thread (one, so that large documents come one after the other, and their
 * memory lies together and goes back together). */
#include "platform/api/body.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/digest.h"
#include "platform/api/account.h"
#include "platform/api/idem.h"

#include <malloc.h>
#include <string.h>

#define TRIM_EVERY_NS    NS_PER_S
#define PARSE_HERE_BYTES (32u << 10) /* half a millisecond of parsing, at the worst */

static size_t most_bytes(const struct api_call *c)
{
    size_t most = c->caller.kind == CALLER_API_KEY ? LIMIT_BODY_BYTES : LIMIT_BODY_WORKER_BYTES;
    size_t route = c->flags & ROUTE_SMALL_BODY   ? LIMIT_BODY_SMALL_BYTES
                   : c->flags & ROUTE_AGENT_BODY ? LIMIT_BODY_AGENT_BYTES
                                                 : most;
    return route < most ? route : most;
}

static size_t most_values(const struct api_call *c)
{
    return c->caller.kind == CALLER_API_KEY ? LIMIT_BODY_VALUES : LIMIT_BODY_WORKER_VALUES;
}

int body_work(struct api_call *c, int (*fn)(void *arg), void *arg)
{
    return c->large ? platform_off_loop(c->p, fn, arg) : fn(arg);
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

struct parse {
    const struct buf *raw;
    size_t max_values;
    json_t *j;
    char *hash; /* of the raw text, when it is wanted */
    struct err e;
};

static int parse(void *arg)
{
    struct parse *p = arg;
    if (p->hash)
        digest_sha256_hex(buf_str(p->raw), p->raw->len, p->hash);
    if (p->raw->len == 0)
        return 0;
    return json_parse_few(p->raw->data, p->raw->len, p->max_values, &p->j, &p->e);
}

static int busy(struct api_call *c)
{
    http_set_header(c->x, "Retry-After", "1");
    api_error(c, 503, "overloaded_error",
              "The server holds as much of request bodies as it may; repeat the request later.");
    return 1;
}

/* Answers a body that could not be read. Returns 1. */
static int unread(struct api_call *c, int r, size_t most)
{
    if (r == -EMSGSIZE) {
        if (most >= 1u << 20)
            api_error(c, 413, "request_too_large",
                      "The request body is larger than %zu MB, the most this endpoint takes from "
                      "this kind of key.",
                      most >> 20);
        else
            api_error(c, 413, "request_too_large",
                      "The request body is larger than %zu KB, the most this endpoint takes.",
                      most >> 10);
    } else if (r == -E_PARSE) {
        api_invalid(c, "The request body's transfer encoding is malformed.");
    } else if (r == -EBUSY || r == -ENOMEM) {
        return busy(c);
    }
    return 1;
}

/* The body as c->body. 0, or 1 after answering. Suspends. */
static int take_json(struct api_call *c, const struct buf *raw, char *hash)
{
    struct parse p = {.raw = raw, .max_values = most_values(c), .hash = hash};
    if (raw->len && !is_json_type(h1_header_get(http_request(c->x), "content-type", NULL))) {
        api_invalid(c, "content-type: the request body must be application/json");
        return 1;
    }
    const char *encoding = h1_header_get(http_request(c->x), "content-encoding", NULL);
    if (raw->len && encoding && !str_ieq_n(encoding, strlen(encoding), "identity", 8)) {
        api_invalid(c, "content-encoding: the request body must not be compressed");
        return 1;
    }
    int r = body_work(c, parse, &p);
    if (r == -ENOMEM)
        return busy(c);
    if (r == -E_LIMIT) {
        api_error(c, 413, "request_too_large", "The request body is too large: %s.", p.e.msg);
        return 1;
    }
    if (r < 0) {
        api_invalid(c, "Failed to parse request: the body is not valid JSON: %s", p.e.msg);
        return 1;
    }
    c->body = p.j;
    if (raw->len && !json_is_object(c->body)) {
        api_invalid(c, "Failed to parse request: the body must be a JSON object");
        return 1;
    }
    return 0;
}

int body_take(struct api_call *c)
{
    size_t most = most_bytes(c);
    AUTO(buf) raw = BUF_INIT(most);
    c->body_share.of = &c->account->bodies;
    int r = http_body_read(c->x, most, &raw, &c->body_share);
    if (r < 0)
        return unread(c, r, most);
    c->large = raw.len >= PARSE_HERE_BYTES;
    char hash[DIGEST_SHA256_HEX] = "";
    bool once = h1_header_get(http_request(c->x), "idempotency-key", NULL) != NULL;
    if (take_json(c, &raw, once ? hash : NULL) != 0)
        return 1;
    return once ? idem_begin(c, hash) != 0 : 0;
}

/* Many small values leave the heap full of holes, which only this gives back. On the one thread that
 * body_work has. */
static int drop(void *arg)
{
    static int64_t last_ns;
    json_decref(arg);
    int64_t now = time_mono_ns();
    if (last_ns == 0 || now - last_ns > TRIM_EVERY_NS) {
        (void)malloc_trim(0);
        last_ns = now;
    }
    return 0;
}

void body_drop(struct api_call *c)
{
    json_t *j = TAKE(c->body);
    if (j && c->large)
        (void)body_work(c, drop, j);
    else
        json_decref(j);
}
