/* forward_policy.c - a request of a route with rules: read, judged, and only then sent.
 *
 * Called on the request's fiber before a link to the server is taken. A caller controls the body and every
 * header, and wants a call to be judged as one thing and understood as another. So the whole body is read
 * here, bounded for each request, for each route and for all together, taken only if it has one reading
 * (mcp/wire/body), and goes on byte for byte; what a server may read in another way because of a header (a
 * coding, a charset, another method) is refused. Headers never authorize: they are compared with the body
 * and decide nothing. A refused call is answered as JSON-RPC with the request's own id, so that a client
 * reports it as the failure of that call. */
#include "tunnel/gateway/forward_internal.h"

#include <string.h>

#include "base/str.h"
#include "fiber/fiber.h"
#include "mcp/policy/lists.h"
#include "mcp/policy/mirror.h"
#include "scrub/http/content.h"

#define PIECE_BYTES (16u << 10)
#define BODY_MS     60000
#define ROUTE_MAX   (FORWARD_HELD_MAX / 4) /* of one route, of one reading of the files */

static int refuse(struct gateway_request *q, int status, int code, const char *rule,
                  const char *words)
{
    AUTO_JSON json_t *j = forward_failure_json(q, POLICY, q->call.id, code, rule, words);
    forward_note_refusal(q, status, rule, words);
    forward_refuse(q, status, j);
    return -E_DENIED;
}

/* ---- what is read as JSON ---- */

/* Only UTF-8 is read here: in another charset the same bytes are another text. */
static bool has_charset(const struct http_field *f)
{
    static const char word[] = "charset";
    const size_t n = sizeof(word) - 1;
    for (size_t i = 0; i + n <= f->value.n; i++) {
        if (!http_text_ieq((struct http_text){f->value.p + i, n}, word))
            continue;
        const char *p = f->value.p + i + n, *end = f->value.p + f->value.n;
        while (p < end && (*p == '=' || *p == '"' || *p == ' '))
            p++;
        size_t left = (size_t)(end - p);
        bool utf8 = left >= 5 && http_text_ieq((struct http_text){p, 5}, "utf-8") &&
                    (left == 5 || p[5] == '"' || p[5] == ';' || p[5] == ' ');
        if (!utf8)
            return true;
    }
    return false;
}

static const char *wrong_kind(const struct http_head *h)
{
    const struct http_field *f = http_fields_get(&h->fields, "content-encoding", NULL);
    struct http_text type;
    for (; f; f = http_fields_get(&h->fields, "content-encoding", f))
        if (!http_text_ieq(f->value, "identity"))
            return "the body is compressed, and this route reads it: send it as it is";
    if (content_type(h, &type) < 0 || (type.p && !http_text_ieq(type, "application/json")))
        return "this route takes application/json";
    f = http_fields_get(&h->fields, "content-type", NULL);
    return f && has_charset(f) ? "this route takes JSON in UTF-8" : NULL;
}

/* ---- the body ---- */

int forward_hold(struct gateway_request *q, size_t more)
{
    struct budget *route = route_secret_memory(q->secret);
    if (!route->max)
        *route = (struct budget){.max = ROUTE_MAX, .outer = &q->f->memory};
    q->share.of = route;
    return budget_set(&q->share, q->body.len + more) ? 0 : -EBUSY;
}

static int add_piece(struct gateway_request *q, const char *piece, size_t n)
{
    int r = forward_hold(q, n);
    return r < 0 ? r : buf_add(&q->body, piece, n);
}

static int read_body(struct gateway_request *q)
{
    AUTO_FREE char *piece = mem_array(PIECE_BYTES, 1);
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(BODY_MS);
    ssize_t n = 0;
    int r = q->head.has_length && q->head.length > MCP_BODY_BYTES ? -EMSGSIZE : 0;
    while (r == 0 && (n = http_read_body(q->caller, piece, PIECE_BYTES, NULL)) > 0)
        r = add_piece(q, piece, (size_t)n);
    return n < 0 ? (int)n : r;
}

static int take_body(struct gateway_request *q)
{
    buf_init(&q->body, MCP_BODY_BYTES);
    int r = q->head.body == HTTP_BODY_NONE ? 0 : read_body(q);
    if (r < 0) { /* not when the refusal has gone out: others are served meanwhile */
        buf_done(&q->body);
        (void)!forward_hold(q, 0);
    }
    if (r == -EMSGSIZE)
        return refuse(q, 413, MCP_CODE_INVALID, "size", "a message has 4 MiB at most");
    if (r == -EBUSY) {
        forward_fail(q, 503, BUSY, "bodies of requests fill the memory set aside for them");
        return r;
    }
    if (r == -ETIMEDOUT)
        return refuse(q, 408, MCP_CODE_INVALID, "time", "the body took more than a minute");
    if (r < 0)
        q->caller_failed = true;
    return r;
}

/* ---- the verdict ---- */

/* An answer for each message of a batch that waits for one: none was sent. */
static json_t *batch_json(const struct gateway_request *q, const struct judge_verdict *v)
{
    json_t *list = json_array();
    for (size_t i = 0; i < q->call.n; i++) {
        const struct mcp_entry *m = &q->call.entries[i];
        if (m->method && m->id)
            (void)json_array_append_new(
                list, forward_failure_json(
                          q, POLICY, m->id, i == v->entry ? v->code : MCP_CODE_REFUSED, v->rule,
                          i == v->entry ? v->words
                                        : "nothing of this batch was sent, because "
                                          "another message of it was refused"));
    }
    return list;
}

static int refuse_call(struct gateway_request *q, const struct judge_verdict *v)
{
    if (!q->call.batch)
        return refuse(q, q->call.id ? 200 : 403, v->code, v->rule, v->words);
    AUTO_JSON json_t *list = batch_json(q, v);
    if (json_array_size(list) == 0)
        return refuse(q, 403, v->code, v->rule, v->words);
    forward_note_refusal(q, 200, v->rule, v->words);
    forward_refuse(q, 200, list);
    return -E_DENIED;
}

static int judge_post(struct gateway_request *q)
{
    struct judge_verdict v;
    struct err e = {0};
    const char *wrong = wrong_kind(&q->head);
    if (wrong)
        return refuse(q, 415, MCP_CODE_INVALID, "one reading", wrong);
    int r = take_body(q);
    if (r < 0)
        return r;
    r = mcp_body_read(buf_str(&q->body), q->body.len, &q->call, &e);
    if (r == -ENOMEM) {
        forward_audit_shrink(q);
        forward_fail(q, 503, BUSY, e.msg);
        return r;
    }
    const int code = q->call.json ? MCP_CODE_INVALID : MCP_CODE_PARSE;
    if (r < 0) {
        forward_audit_shrink(q);
        return refuse(q, 400, code, "one reading", e.msg);
    }
    r = forward_audit_more(q, &e);
    if (r < 0) {
        forward_fail(q, 503, AUDIT, e.msg);
        return r;
    }
    q->modern = mirror_is_modern(&q->head.fields, &q->call);
    r = mirror_check(&q->head.fields, &q->call, &e);
    if (r == 0)
        r = forward_mapping_check(q, &e);
    judge_body(q->route->tools, &q->call, &v);
    if (r == 0 && v.allowed)
        (void)!forward_tasks_judge(q, &v);
    forward_pins_ask(q);
    if (r == 0 && v.allowed)
        forward_confirm_ask(q);
    /* From here on only names and ids are needed: an answer may take as long as the caller likes. */
    forward_audit_shrink(q);
    if (r < 0)
        return refuse(q, 400, MCP_CODE_MISMATCH, "headers say what the body says", e.msg);
    if (!v.allowed || forward_pins_judge(q, &v) < 0)
        return refuse_call(q, &v);
    r = forward_confirm(q, &v);
    if (r == 0 && q->confirm) /* what was listed meanwhile counts */
        r = forward_pins_judge(q, &v);
    if (r == 0)
        r = forward_limits_take(q, &v);
    if (r < 0)
        return r == -E_DENIED ? refuse_call(q, &v) : r;
    q->has_body = true;
    return 0;
}

int forward_judge(struct gateway_request *q)
{
    static const char *const silent[] = {"GET", "HEAD", "DELETE", "OPTIONS"};
    if (http_text_eq(q->head.method, "POST"))
        return judge_post(q);
    for (size_t i = 0; i < ARRAY_LEN(silent); i++)
        if (http_text_eq(q->head.method, silent[i]))
            return q->head.body == HTTP_BODY_NONE
                       ? 0
                       : refuse(q, 400, MCP_CODE_INVALID, "one reading",
                                "messages come by POST: this method has no body here");
    return refuse(q, 405, MCP_CODE_INVALID, "one reading",
                  "this route takes GET, HEAD, POST, DELETE and OPTIONS");
}

void forward_judge_done(struct gateway_request *q)
{
    budget_end(&q->share);
    mcp_events_done(&q->events);
    forward_pins_done(q);
    forward_confirm_done(q);
    mcp_body_done(&q->call);
    buf_done(&q->body);
}

/* ---- answers ---- */

bool forward_is_events(const struct http_head *h)
{
    struct http_text type;
    return content_type(h, &type) == 0 && http_text_ieq(type, "text/event-stream");
}

/* What says nothing of its kind may be taken for a message. */
enum forward_filter forward_filter_of(const struct gateway_request *q, const struct http_head *h)
{
    struct http_text type;
    if (!q->route->tools || h->body == HTTP_BODY_NONE)
        return FILTER_NONE;
    if (forward_is_events(h))
        return FILTER_EVENTS;
    return content_type(h, &type) < 0 || !type.p || content_quoting(type) == SCRUB_QUOTE_JSON
               ? FILTER_MESSAGE
               : FILTER_NONE;
}

int forward_filter_message(struct gateway_request *q, struct buf *text, struct err *e)
{
    struct buf other = BUF_INIT(text->max);
    const struct list_sieve *sieve = forward_sieve(q);
    const bool looks = tool_policy_hides(q->route->tools) || q->route->pins != PIN_OFF;
    /* In UTF-16 or UTF-32, which some clients guess, a list looks like that. Events are UTF-8 to everybody. */
    if (looks && text->len && memchr(text->data, '\0', text->len))
        return err_set(e, -E_PARSE, "what may be a list of tools is not in UTF-8: it has NULs");
    int r = mcp_messages_look(sieve, buf_str(text), text->len, e);
    if (r != 0)
        return r < 0 ? r : err_set(e, -E_PARSE, "the server asks something where it has to answer");
    r = mcp_list_filter(q->route->tools, sieve, q->modern, buf_str(text), text->len, &other, e);
    if (r > 0) {
        int k = forward_pins_keep(q, e);
        r = k < 0 ? k : r;
    }
    if (r <= 0) {
        buf_done(&other);
        return r;
    }
    buf_done(text);
    *text = other;
    return 0;
}
