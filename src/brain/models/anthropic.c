/* anthropic.c - the Messages API as a model: one streamed POST per request.
 *
 * Made when the server starts with ANTHROPIC_API_KEY; called on the fiber of a model request. The
 * key lives in locked memory and leaves it in one header of a request to the configured origin,
 * over TLS (plain HTTP is taken for loopback only, for tests and local gateways); redirects are not
 * followed, the connection pool is this object's own. What comes back is untrusted: heads and error
 * bodies are bounded, the stream goes through http/wire/sse_parser and anthropic_stream, and should
 * a peer put the key into an error message, the message is dropped, because error texts reach the
 * session's log.
 *
 * Failures are sorted into model_error; repeating is the brain's business. One thing is repeated
 * here: a refusal that names how long an answer of this model may be is asked again with that
 * number, which is remembered for as long as the server runs. Silence on the stream for SILENCE_MS
 * counts as a cut (the API sends pings), and the fiber's deadline bounds the whole. */
#include "brain/model.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/secret.h"
#include "base/str.h"
#include "brain/models/anthropic_mend.h"
#include "brain/models/anthropic_refusal.h"
#include "brain/models/anthropic_stream.h"
#include "http/client/client.h"
#include "http/wire/sse_parser.h"

#include <string.h>

#define PUBLIC_URL      "https://api.anthropic.com"
#define API_VERSION     "2023-06-01"
#define FAST_BETA       "fast-mode-2026-02-01" /* some models want it for any `speed` */
#define SILENCE_MS      90000
#define CONNECT_MS      10000
#define EVENT_BYTES_MAX (4u << 20) /* one server-sent event: a delta, or a block given whole */
#define ERROR_BODY_MAX  (64u << 10)
#define ESCAPES_TAIL    12 /* of an escaped character, and of half a pair */
#define READ_BYTES      (16u << 10)
#define CEILINGS        16
#define ATTEMPTS        3 /* with another max_tokens: the model's own, then what the prompt leaves */
#define KEY_START_BYTES 16 /* of a key: longer than what all keys of the provider begin with */

/* A model whose output ceiling the provider has told. */
struct ceiling {
    char model[128];
    int64_t max_tokens;
};

struct anthropic {
    struct model model;
    struct http_client *http;
    struct secret key;
    char *url;
    int64_t max_tokens; /* the operator's; 0: what fits the model */
    struct ceiling learned[CEILINGS];
    size_t n_learned; /* counts on; the oldest is overwritten */
};

/* One question and its answer. */
struct asking {
    struct anthropic *a;
    const struct model_request *q;
    const struct model_sink *sink;
    struct model_result *r;
    int64_t max_tokens;
    int64_t next_max_tokens; /* ask again with this one; 0: not */
};

/* ---- how long an answer may be ---- */

static int64_t ceiling_of(const struct anthropic *a, const char *model)
{
    size_t n = a->n_learned < CEILINGS ? a->n_learned : CEILINGS;
    int64_t most = anthropic_output_ceiling(model);
    for (size_t i = 0; i < n; i++)
        if (str_eq(a->learned[i].model, model))
            most = a->learned[i].max_tokens;
    return a->max_tokens && a->max_tokens < most ? a->max_tokens : most;
}

static void learn(struct anthropic *a, const char *model, int64_t max_tokens)
{
    size_t n = a->n_learned < CEILINGS ? a->n_learned : CEILINGS, i = 0;
    while (i < n && !str_eq(a->learned[i].model, model))
        i++;
    struct ceiling *c = &a->learned[i < n ? i : a->n_learned++ % CEILINGS];
    str_copy(c->model, sizeof(c->model), model);
    c->max_tokens = max_tokens;
}

/* ---- the request ---- */

static json_t *cache_marker(void)
{
    json_t *o = json_object();
    MUST(o);
    json_put_str(o, "type", "ephemeral");
    return o;
}

static json_t *system_blocks(const char *system)
{
    json_t *list = json_array(), *o = json_object();
    MUST(list && o);
    json_put_str(o, "type", "text");
    json_put_str(o, "text", system);
    json_put(o, "cache_control", cache_marker());
    json_array_append_new(list, o);
    return list;
}

/* A copy of the array whose last element is a deep copy, to be marked without touching the
 * caller's. */
static json_t *with_own_last(const json_t *array, json_t **ret_last)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)array); /* shallow; the source is not changed */
    MUST(copy);
    size_t n = json_array_size(copy);
    *ret_last = NULL;
    if (n) {
        *ret_last = json_deep_copy(json_array_get(copy, n - 1));
        json_array_set_new(copy, n - 1, *ret_last);
    }
    return copy;
}

/* Everything up to the last user block may be cached: the next request begins with it. */
static json_t *messages_marked(const json_t *messages)
{
    json_t *last, *copy = with_own_last(messages, &last);
    json_t *content = json_object_get(last, "content");
    size_t n = json_array_size(content);
    if (n && str_eq(json_get_str(last, "role"), "user"))
        json_put(json_array_get(content, n - 1), "cache_control", cache_marker());
    return copy;
}

static json_t *tools_marked(const json_t *tools)
{
    json_t *last, *copy = with_own_last(tools, &last);
    if (last)
        json_put(last, "cache_control", cache_marker());
    return copy;
}

static bool fast(const struct model_request *q)
{
    return str_eq(q->speed, "fast");
}

static json_t *request_body(const struct model_request *q, int64_t max_tokens)
{
    json_t *o = json_object();
    MUST(o);
    json_put_str(o, "model", q->model);
    json_put_int(o, "max_tokens", max_tokens);
    json_put_bool(o, "stream", true);
    if (q->system && *q->system)
        json_put(o, "system", system_blocks(q->system));
    if (json_array_size(q->tools) > 0)
        json_put(o, "tools", tools_marked(q->tools));
    if (q->effort) {
        json_t *config = json_object();
        MUST(config);
        json_put_str(config, "effort", q->effort);
        json_put(o, "output_config", config);
    }
    if (fast(q))
        json_put_str(o, "speed", q->speed);
    json_put(o, "messages", messages_marked(q->messages));
    return o;
}

/* ---- failures ---- */

static int64_t retry_after_ms(const struct client_response *head)
{
    char text[32];
    uint64_t v;
    if (client_response_header(head, "retry-after-ms", text, sizeof(text)) &&
        str_to_u64(text, strlen(text), 86400000, &v) == 0)
        return (int64_t)v;
    if (!client_response_header(head, "retry-after", text, sizeof(text)))
        return -1;
    size_t whole = strspn(text, "0123456789");
    if (text[whole] && text[whole] != '.')
        return -1; /* a date: our own back-off will do */
    return str_to_u64(text, whole, 86400, &v) == 0 ? (int64_t)v * 1000 : -1;
}

/* No key in any error, whoever put it there; nor the beginning of one, which is what is left when
 * the message was cut to length. */
static void scrub(const struct anthropic *a, struct err *e)
{
    char start[KEY_START_BYTES + 1] = "";
    memcpy(start, secret_borrow(&a->key),
           a->key.len < KEY_START_BYTES ? a->key.len : KEY_START_BYTES);
    if (e && strstr(e->msg, start))
        (void)err_set(
            e, e->code,
            "The model provider's error message is not shown because it contains the API key.");
}

static int transport_failed(struct model_result *r, int code, struct err *e)
{
    r->error = MODEL_FAILED;
    if (code == -ECANCELED)
        return code;
    return err_wrap(e, code, "The model provider could not be reached or closed the connection");
}

/* Whether another max_tokens would mend it, and which. */
static void take_ceiling(struct asking *k, const struct anthropic_refusal *why)
{
    int64_t to = why->max_tokens ? why->max_tokens : why->max_tokens_now;
    if (why->max_tokens)
        learn(k->a, k->q->model, why->max_tokens);
    k->next_max_tokens = to < k->max_tokens ? to : 0;
}

/* What type and message an error body has, borrowed from *ret_body. Gateways put a whole conversation
 * into the message: one that is longer than what was read ends there, for its first words matter. */
static void read_error(const struct buf *body, json_t **ret_body, const char **ret_type,
                       const char **ret_message)
{
    bool mended;
    AUTO_FREE char *closed = NULL;
    if (anthropic_mend_parse(buf_str(body), body->len, ret_body, &mended) < 0 &&
        buf_err(body) == -EMSGSIZE && body->len > ESCAPES_TAIL) {
        size_t n = body->len - ESCAPES_TAIL;
        const char *escape = memchr(buf_str(body) + n, '\\', ESCAPES_TAIL);
        n = escape ? (size_t)(escape - buf_str(body)) : body->len;
        closed = mem_printf("%.*s\"}}", (int)n, buf_str(body));
        if (anthropic_mend_parse(closed, strlen(closed), ret_body, &mended) < 0)
            return;
    }
    const json_t *error = json_object_get(*ret_body, "error");
    *ret_type = json_get_str(error, "type");
    *ret_message = json_get_str(error, "message");
}

/* An answer that is not 200: reads its body and says what it meant. */
static int refused(struct asking *k, struct client_stream *s, const struct client_response *head,
                   struct err *e)
{
    struct model_result *r = k->r;
    AUTO(buf) body = BUF_INIT(ERROR_BODY_MAX);
    AUTO_FREE char *chunk = mem_zalloc(READ_BYTES);
    ssize_t n;
    struct err ignored;
    while ((n = client_read(s, chunk, READ_BYTES, &ignored)) > 0 &&
           buf_add(&body, chunk, (size_t)n) == 0)
        ;
    if (n == -ECANCELED)
        return -ECANCELED;
    AUTO_JSON json_t *o = NULL;
    const char *type = NULL, *message = NULL;
    read_error(&body, &o, &type, &message);
    struct anthropic_refusal why;
    anthropic_refusal_read(head->status, type, message, &why);
    r->error = why.error;
    r->fit_percent = why.fit_percent;
    str_copy(r->blame, sizeof(r->blame), why.blame);
    take_ceiling(k, &why);
    /* Not the API's own refusal: the address is wrong, which the operator can mend. */
    if (r->error == MODEL_REJECTED && !type)
        r->error = MODEL_UNAUTHORIZED;
    r->retry_after_ms = retry_after_ms(head);
    if (head->status < 300)
        return err_set(e, -E_PROTO,
                       "The model provider answered with status %d, which is no answer to a "
                       "message; check SALLYPORT_MODEL_BASE_URL.",
                       head->status);
    if (head->status < 400)
        return err_set(e, -E_PROTO,
                       "The model provider answered with a redirect (status %d), which is never "
                       "followed; check "
                       "SALLYPORT_MODEL_BASE_URL.",
                       head->status);
    return err_set(e, -E_PROTO, "The model provider answered with status %d: %.60s: %.300s",
                   head->status, type ? type : "no error body",
                   message ? message : "check SALLYPORT_MODEL_BASE_URL");
}

/* ---- the stream ---- */

static int read_stream(struct client_stream *s, struct anthropic_stream *as, struct err *e)
{
    struct sse_parser parser;
    AUTO_FREE char *chunk = mem_zalloc(READ_BYTES);
    size_t total = 0;
    int r = 0;
    sse_parser_init(&parser, EVENT_BYTES_MAX, anthropic_stream_event, as);
    while (r == 0 && !as->stopped) {
        ssize_t n = client_read(s, chunk, READ_BYTES, e);
        if (n <= 0) {
            r = n < 0 ? transport_failed(as->r, (int)n, e) : 1;
            break;
        }
        total += (size_t)n;
        r = sse_parser_feed(&parser, chunk, (size_t)n);
        if (total > LIMIT_MODEL_STREAM_BYTES)
            r = -EMSGSIZE;
        if (r < 0 && as->r->error == MODEL_OK) {
            as->r->error = MODEL_FAILED;
            err_set(e, r, "The model provider's stream is malformed or too large.");
        }
    }
    sse_parser_done(&parser);
    return r < 0 ? r : anthropic_stream_finish(as);
}

static int answered(struct asking *k, struct client_stream *s, const struct client_response *head,
                    struct err *e)
{
    char type[64] = "";
    if (head->status != 200)
        return refused(k, s, head, e);
    client_response_header(head, "content-type", type, sizeof(type));
    if (!str_ieq_n(type, strnlen(type, 17), "text/event-stream", 17)) {
        k->r->error = MODEL_FAILED;
        return err_set(
            e, -E_PROTO,
            "The model provider answered with something other than an event stream; check "
            "SALLYPORT_MODEL_BASE_URL.");
    }
    struct anthropic_stream as;
    json_decref(k->r->content);
    anthropic_stream_init(&as, k->r, k->sink, e);
    int code = read_stream(s, &as, e);
    anthropic_stream_done(&as);
    return code;
}

static int ask(struct asking *k, struct err *e)
{
    struct anthropic *a = k->a;
    model_result_done(k->r);
    *k->r =
        (struct model_result){.content = json_array(), .retry_after_ms = -1, .error = MODEL_FAILED};
    MUST(k->r->content);
    AUTO_JSON json_t *body = request_body(k->q, k->max_tokens);
    size_t n = 0;
    AUTO_FREE char *text = model_print(body, &n, NULL, NULL);
    const struct client_header headers[] = {
        {"x-api-key", secret_borrow(&a->key)}, {"anthropic-version", API_VERSION},
        {"content-type", "application/json"},  {"accept", "text/event-stream"},
        {"anthropic-beta", FAST_BETA}, /* last: left out when not needed */
    };
    const struct client_request hq = {.method = "POST",
                                      .url = a->url,
                                      .headers = headers,
                                      .n_headers = ARRAY_LEN(headers) - (fast(k->q) ? 0 : 1),
                                      .body = text,
                                      .body_len = n,
                                      .connect_timeout_ms = CONNECT_MS,
                                      .low_speed_timeout_ms = SILENCE_MS,
                                      .decode = true};
    struct client_stream *s = NULL;
    AUTO(client_response) head = {0};
    int code = client_open(a->http, &hq, &s, &head, e);
    if (code < 0)
        code = transport_failed(k->r, code, e);
    else
        code = answered(k, s, &head, e);
    client_stream_close(s);
    return code;
}

static int generate(struct model *m, const struct model_request *q, const struct model_sink *sink,
                    struct model_result *r, struct err *e)
{
    struct anthropic *a = CONTAINER_OF(m, struct anthropic, model);
    struct asking k = {.a = a, .q = q, .sink = sink, .r = r};
    int code, attempts = 0;
    *r = (struct model_result){0};
    k.next_max_tokens = ceiling_of(a, q->model);
    do {
        k.max_tokens = k.next_max_tokens;
        k.next_max_tokens = 0;
        code = ask(&k, e);
    } while (code < 0 && code != -ECANCELED && k.next_max_tokens && ++attempts < ATTEMPTS);
    if (code < 0)
        scrub(a, e);
    else
        r->error = MODEL_OK;
    return code;
}

/* ---- life ---- */

static void anthropic_free(struct model *m)
{
    struct anthropic *a = CONTAINER_OF(m, struct anthropic, model);
    http_client_free(a->http);
    secret_done(&a->key);
    free(a->url);
    free(a);
}

static const struct model_ops ops = {.generate = generate, .free = anthropic_free};

static bool host_is(const char *rest, const char *host)
{
    size_t n = strlen(host);
    return strncmp(rest, host, n) == 0 && (rest[n] == '\0' || rest[n] == ':' || rest[n] == '/');
}

static int check_url(const char *url, struct err *e)
{
    static const char *const loopback[] = {"127.0.0.1", "localhost", "[::1]"};
    if (strpbrk(url, "?#@ \t\r\n"))
        return err_set(
            e, -EINVAL,
            "SALLYPORT_MODEL_BASE_URL must be a plain address like https://host[:port][/path]");
    if (str_starts(url, "https://") && url[8])
        return 0;
    if (!str_starts(url, "http://"))
        return err_set(e, -EINVAL, "SALLYPORT_MODEL_BASE_URL must begin with https://");
    for (size_t i = 0; i < ARRAY_LEN(loopback); i++)
        if (host_is(url + 7, loopback[i]))
            return 0;
    return err_set(
        e, -E_DENIED,
        "SALLYPORT_MODEL_BASE_URL: the key is sent over https only, or over http to this host "
        "(127.0.0.1, localhost, [::1])");
}

struct model *model_anthropic_new(const char *api_key, const char *base_url, int64_t max_tokens,
                                  struct err *e)
{
    const char *base = base_url && *base_url ? base_url : PUBLIC_URL;
    if (!api_key || !*api_key || strpbrk(api_key, "\r\n")) {
        err_set(e, -EINVAL, "ANTHROPIC_API_KEY is empty or holds a line break");
        return NULL;
    }
    if (str_starts(api_key, "sk-sp-")) {
        err_set(e, -E_DENIED,
                "ANTHROPIC_API_KEY holds a key of Sallyport (sk-sp-…), which no model provider "
                "knows: set the provider's "
                "key where the server starts");
        return NULL;
    }
    if (check_url(base, e) < 0)
        return NULL;
    struct anthropic *a = mem_new(struct anthropic);
    a->model = (struct model){.ops = &ops, .name = "anthropic"};
    a->max_tokens = max_tokens;
    size_t n = strlen(base);
    while (n && base[n - 1] == '/')
        n--;
    a->url = mem_printf("%.*s/v1/messages", (int)n, base);
    int r = secret_set(&a->key, api_key, strlen(api_key));
    if (r < 0)
        err_set(e, r, "the model key could not be stored in locked memory: %s", err_text(r));
    else
        a->http = http_client_new("sallyport/" SALLYPORT_VERSION, e);
    if (!a->http) {
        anthropic_free(&a->model);
        return NULL;
    }
    return &a->model;
}
