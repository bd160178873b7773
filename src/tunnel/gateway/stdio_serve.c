/* stdio_serve.c - MCP's streamable HTTP, as a stdio server's callers see it, in both eras.
 *
 * On the fiber of a connection of the bridge, for a caller whose request forward.c has let through; the body is the caller's. POST
 * brings one message; a request of the newer era (2026-07-28) goes to the process of that era, one of the older needs a
 * session, which `initialize` makes. GET is the session's stream, DELETE ends it. An answer that is all there is to say is JSON, with
 * the status that the newer era has for some errors; when something else is said before it, or nothing for some
 * seconds, the answer is a stream of events, so that whoever is on the way sees that it lives.
 *
 * Who leaves: in the newer era that cancels, and the process is told at once; in the older it does not, and the answer, when it
 * comes, is dropped. Whatever the program does ends in an answer with whose fault it was. */
#include "tunnel/gateway/stdio_internal.h"

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/fiber.h"
#include "mcp/policy/mirror.h"
#include "mcp/wire/body.h"

#include <string.h>

#define BEGIN_MS      5000 /* of silence, after which the answer is a stream */
#define PIECE_BYTES   (16u << 10)
#define CODE_PARSE    (-32700)
#define CODE_INVALID  (-32600)
#define CODE_METHOD   (-32601)
#define CODE_SESSION  (-32001)
#define CODE_MISMATCH (-32020)
#define CODE_VERSION  (-32022)

struct request {
    struct stdio_route *route;
    struct http_pipe *p;
    struct http_head head;
    struct buf text;
    struct mcp_body body;
    struct mcp_envelope m;
    bool modern;
};

/* ---- who leaves ---- */

struct watch {
    struct http_pipe *p;
    bool *gone;
    struct waitq *wake;
};

static int watch_caller(void *arg)
{
    const struct watch *w = arg;
    fiber_deadline_clear();
    if (http_wait_gone(w->p) == 0) {
        *w->gone = true;
        waitq_wake_all(w->wake);
    }
    return 0;
}

/* ---- a request at a process ---- */

/* Of an answer that is one message. The newer era has statuses for some errors (basic/transports/streamable-http). */
static int status_of(const struct request *q, const struct stdio_message *m)
{
    AUTO_JSON json_t *j = NULL;
    struct err ignored = {0};
    if (!q->modern || json_parse_few(m->text, m->n, MCP_ENVELOPE_VALUES_MAX, &j, &ignored) < 0)
        return 200;
    const json_t *error = json_object_get(j, "error");
    const int64_t code = json_get_int(error, "code", 0);
    return code == CODE_METHOD ? 404 : code <= CODE_MISMATCH && code >= CODE_VERSION ? 400 : 200;
}

static enum stdio_source why_over(const struct stdio_call *c, const char **ret_words)
{
    const struct stdio_process *p = c->process;
    *ret_words = "the session has ended";
    if (c->overrun)
        *ret_words = "more waits for the caller than the gateway holds";
    else if (p->dead)
        *ret_words = p->words;
    return c->overrun ? STDIO_BUSY : p->dead ? p->source : STDIO_CLOSED;
}

static bool is_over(const struct stdio_call *c)
{
    return c->overrun || c->process->dead || (c->session && c->session->ended);
}

/* Words for a caller; those of the log say more. */
static const char *caller_words(enum stdio_source s)
{
    return s == STDIO_BUSY       ? "the gateway holds no more for a caller that does not read"
           : s == STDIO_PROTOCOL ? "the route's server broke the protocol"
           : s == STDIO_TIMEOUT  ? "the route's server took too long"
                                 : "the route's server ended without an answer";
}

static int answer_over(struct request *q, const struct stdio_call *c, bool begun)
{
    const char *words;
    const enum stdio_source source = why_over(c, &words);
    AUTO_FREE char *text = mem_printf("the stdio server %s", words);
    if (begun)
        return stdio_send_failure(q->p, q->route->what.route, c->caller_id, source,
                                  caller_words(source));
    return stdio_answer_failure(q->p, source, text);
}

/* 1: it waits for nothing any more, 0: a message may be there, -EAGAIN: it has been silent, or a code. */
static int wait_for_message(struct stdio_call *c, bool begun)
{
    int r = 0;
    struct fiber_deadline d =
        fiber_deadline_push(begun ? FIBER_NO_DEADLINE : time_mono_ns() + BEGIN_MS * NS_PER_MS);
    while (r == 0 && list_empty(&c->queue.items) && !c->gone && !is_over(c))
        r = waitq_wait(&c->wake);
    fiber_deadline_pop(&d);
    return r == -ETIMEDOUT && !begun ? -EAGAIN : r;
}

/* Everything that is said about the call, until its answer. */
static int relay(struct request *q, struct stdio_call *c)
{
    bool begun = false, done = false;
    int r = 0;
    while (r == 0 && !done) {
        r = wait_for_message(c, begun);
        if (c->gone)
            return -E_CLOSED;
        if (r < 0 && r != -EAGAIN)
            return r;
        struct stdio_message *m = stdio_queue_pop(&c->queue);
        if (!m && r == 0) /* it is over */
            return answer_over(q, c, begun);
        if (m && m->final && !begun)
            r = stdio_answer(q->p, status_of(q, m), "application/json", NULL, m->text, m->n);
        else {
            r = begun ? 0 : stdio_begin_events(q->p, NULL);
            begun = true;
            if (r == 0 && m)
                r = stdio_send_event(q->p, m->text, m->n);
            if (r == 0 && m && m->final)
                r = http_send_end(q->p, NULL);
        }
        done = m && m->final;
        stdio_message_free(m);
    }
    return r;
}

static void cancel(struct stdio_call *c)
{
    AUTO(buf) line = BUF_INIT(256);
    AUTO(fiber_shield) shield = fiber_shield_begin(1000);
    stdio_call_cancel_text(c, &line);
    (void)!stdio_process_write(c->process, &line);
}

static int ask(struct request *q, struct stdio_process *p, struct stdio_session *s)
{
    struct stdio_call c;
    struct err e = {0};
    AUTO(buf) line = BUF_INIT(MCP_BODY_BYTES + 4096);
    int r = stdio_call_begin(&c, p, s, buf_str(&q->text), q->text.len, &q->m, &line, &e);
    if (r < 0)
        return stdio_answer_failure(q->p, STDIO_BUSY, e.msg);
    /* Its memory is the process's now, and an answer may take as long as the server likes. */
    buf_done(&q->text);
    struct watch w = {.p = q->p, .gone = &c.gone, .wake = &c.wake};
    {
        AUTO(scope) watching;
        scope_init(&watching);
        r = fiber_spawn(&watching, "stdio caller", watch_caller, &w, NULL);
        if (r == 0 && stdio_process_write(p, &line) < 0 && !is_over(&c))
            r = -ECANCELED;
        buf_done(&line);
        if (r == 0)
            r = relay(q, &c);
    }
    if (r < 0 && q->modern)
        cancel(&c);
    stdio_call_end(&c);
    return r;
}

/* ---- the newer era ---- */

static int refuse_modern(struct request *q)
{
    static const char *const known[] = {"2025-11-25", "2025-06-18", "2025-03-26"};
    json_t *data = json_new_object(), *list = json_array();
    const char *asked = json_get_str(json_object_get(q->m.m.params, "_meta"),
                                     "io.modelcontextprotocol/protocolVersion");
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        json_array_append_new(list, json_string(known[i]));
    json_put(data, "supported", list);
    json_put_str(data, "requested", asked);
    return stdio_answer_error(q->p, 400, q->m.m.json_id, CODE_VERSION,
                              "the route's server knows the revisions up to 2025-11-25 alone",
                              data);
}

/* What the revision has no more, and would change the process for all of its callers. */
static bool was_removed(const char *method)
{
    static const char *const removed[] = {"initialize", "ping", "logging/setLevel",
                                          "resources/subscribe", "resources/unsubscribe"};
    for (size_t i = 0; i < ARRAY_LEN(removed); i++)
        if (str_eq(method, removed[i]))
            return true;
    return false;
}

static int post_modern(struct request *q)
{
    struct stdio_process *p;
    enum stdio_source source;
    struct err e = {0};
    if (q->m.m.kind == MCP_RESULT || q->m.m.kind == MCP_ERROR)
        return stdio_answer_error(q->p, 400, NULL, CODE_INVALID,
                                  "in this revision a server asks nothing that is answered", NULL);
    /* A caller cancels by leaving; what else it says is not meant of the others, who share the process. */
    if (q->m.m.kind == MCP_NOTIFICATION)
        return stdio_answer(q->p, 202, NULL, NULL, NULL, 0);
    if (was_removed(q->m.m.method))
        return stdio_answer_error(q->p, 404, q->m.m.json_id, CODE_METHOD,
                                  "this revision has no such method", NULL);
    int r = stdio_shared_get(q->route, true, &p, &source, &e);
    if (r == -EPROTONOSUPPORT)
        return refuse_modern(q);
    if (r < 0)
        return r == -ECANCELED ? r : stdio_answer_failure(q->p, source, e.msg);
    r = ask(q, p, NULL);
    stdio_process_leave(p);
    return r;
}

/* ---- initialize ---- */

static struct http_text caller_of(const struct request *q)
{
    const struct http_field *f = http_fields_get(&q->head.fields, STDIO_CALLER_HEADER, NULL);
    return f ? f->value : HTTP_TEXT("");
}

static int open_session(struct request *q, struct stdio_process *p, const char *text, size_t n)
{
    struct stdio_session *s = p->session;
    AUTO_FREE char *id = mem_strdup(s->id);
    stdio_session_open(s);
    return stdio_answer(q->p, 200, "application/json", id, text, n);
}

/* The caller's own words go to a process of its own, and what that says comes back. */
static int greet_own(struct request *q, struct stdio_process *p)
{
    struct stdio_call c;
    struct err e = {0};
    AUTO(buf) line = BUF_INIT(MCP_BODY_BYTES + 4096);
    int r = stdio_call_begin(&c, p, NULL, buf_str(&q->text), q->text.len, &q->m, &line, &e);
    if (r < 0)
        return stdio_answer_failure(q->p, STDIO_BUSY, e.msg);
    struct watch w = {.p = q->p, .gone = &c.gone, .wake = &c.wake};
    {
        AUTO(scope) watching;
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(STDIO_START_MS);
        scope_init(&watching);
        r = fiber_spawn(&watching, "stdio caller", watch_caller, &w, NULL);
        if (r == 0)
            (void)!stdio_process_write(p, &line);
        while (r == 0 && list_empty(&c.queue.items) && !c.gone && !p->dead && !c.overrun)
            r = waitq_wait(&c.wake);
    }
    struct stdio_message *m = stdio_queue_pop(&c.queue);
    AUTO_JSON json_t *j = NULL;
    if (c.gone)
        r = -E_CLOSED;
    else if (m && m->final && json_parse_few(m->text, m->n, MCP_ENVELOPE_VALUES_MAX, &j, &e) == 0) {
        stdio_process_answers(p);
        r = json_object_get(j, "result") && p->session
                ? open_session(q, p, m->text, m->n)
                : stdio_answer(q->p, 200, "application/json", NULL, m->text, m->n);
    } else if (r == -ETIMEDOUT)
        r = stdio_answer_failure(q->p, STDIO_TIMEOUT,
                                 "the stdio server does not answer initialize");
    else if (r == 0)
        r = answer_over(q, &c, false);
    stdio_message_free(m);
    stdio_call_end(&c);
    return r;
}

static int initialize_own(struct request *q)
{
    struct stdio_process *p;
    struct err e = {0};
    int r = stdio_process_start(q->route, STDIO_SESSION, &p, &e);
    if (r < 0)
        return r == -ECANCELED
                   ? r
                   : stdio_answer_failure(q->p, r == -EBUSY ? STDIO_BUSY : STDIO_CONNECT, e.msg);
    struct stdio_session *s = stdio_session_new(p, caller_of(q));
    stdio_process_use(p);
    r = greet_own(q, p);
    if (!map_get(&q->route->sessions, s->id))
        stdio_session_end(s);
    stdio_process_leave(p);
    stdio_session_unref(s);
    return r;
}

static int initialize_shared(struct request *q)
{
    struct stdio_process *p;
    enum stdio_source source;
    struct err e = {0};
    int r = stdio_shared_get(q->route, false, &p, &source, &e);
    if (r < 0)
        return r == -ECANCELED ? r : stdio_answer_failure(q->p, source, e.msg);
    struct stdio_session *s =
        stdio_session_new(p, caller_of(q)); /* whose use of it is ours from here on */
    AUTO_JSON json_t *hello = stdio_shared_hello(p, json_get_str(q->m.m.params, "protocolVersion"));
    AUTO_JSON json_t *o = mcp_message_answer(q->m.m.json_id, json_incref(hello), 0, NULL);
    size_t n;
    AUTO_FREE char *text = json_text(o, &n);
    stdio_session_open(s);
    r = stdio_answer(q->p, 200, "application/json", s->id, text, n);
    if (r < 0)
        stdio_session_end(s);
    stdio_session_unref(s);
    return r;
}

static int initialize(struct request *q)
{
    struct stdio_route *route = q->route;
    if (route->sessions.n + route->opening >= (size_t)route->what.sessions)
        return stdio_answer_failure(q->p, STDIO_BUSY,
                                    "the route has as many sessions as `sessions` lets it have");
    route->opening++;
    int r = route->what.shared ? initialize_shared(q) : initialize_own(q);
    route->opening--;
    return r;
}

/* ---- the older era ---- */

/* A reference, or NULL when the caller has its answer in *ret. */
static struct stdio_session *session_of(struct request *q, int *ret)
{
    const struct http_field *f = http_fields_get(&q->head.fields, "mcp-session-id", NULL);
    char id[STDIO_ID_TEXT] = "";
    if (!f) {
        *ret = stdio_answer_error(q->p, 400, q->m.m.json_id, -32000,
                                  "the header Mcp-Session-Id is missing: initialize first", NULL);
        return NULL;
    }
    if (f->value.n < sizeof(id)) {
        memcpy(id, f->value.p, f->value.n);
        id[f->value.n] = '\0';
    }
    struct stdio_session *s = map_get(&q->route->sessions, id);
    if (!s || !http_text_eq(caller_of(q), s->caller)) {
        *ret = stdio_answer_error(q->p, 404, q->m.m.json_id, CODE_SESSION,
                                  "there is no such session any more: initialize again", NULL);
        return NULL;
    }
    s->last_ns = time_mono_ns();
    return stdio_session_ref(s);
}

/* The caller's name of a request becomes ours. */
static int cancel_named(struct request *q, struct stdio_session *s, struct buf *line)
{
    LIST_FOREACH (c, &s->calls, struct stdio_call, of_session) {
        if (!json_equal(c->caller_id, (json_t *)(uintptr_t)q->m.cancelled_json))
            continue;
        const struct mcp_splice change = {q->m.cancelled, c->id, strlen(c->id)};
        return mcp_splice(line, buf_str(&q->text), q->text.len, &change, 1);
    }
    return -ENOENT;
}

/* What goes to the process of a message that wants no answer: 0, or it does not go. */
static int line_of(struct request *q, struct stdio_session *s, struct buf *line)
{
    const struct mcp_envelope *m = &q->m;
    if (m->m.kind == MCP_RESULT || m->m.kind == MCP_ERROR)
        return stdio_session_answers(s, m->m.json_id)
                   ? mcp_splice(line, buf_str(&q->text), q->text.len, NULL, 0)
                   : -ENOENT;
    if (m->cancelled.p)
        return cancel_named(q, s, line);
    if (s->process->kind == STDIO_SHARED) /* what one says is not meant of the others */
        return -ENOENT;
    return mcp_splice(line, buf_str(&q->text), q->text.len, NULL, 0);
}

static int tell(struct request *q, struct stdio_session *s)
{
    AUTO(buf) line = BUF_INIT(MCP_BODY_BYTES + 4096);
    int r = 0;
    if (str_eq(q->m.m.method, "notifications/initialized"))
        r = stdio_session_initialize(s);
    else if (line_of(q, s, &line) == 0)
        r = stdio_process_write(s->process, &line);
    if (r < 0 && r != -E_CLOSED)
        return r;
    return r < 0 ? stdio_answer_failure(q->p, STDIO_CLOSED, "the stdio server has ended")
                 : stdio_answer(q->p, 202, NULL, NULL, NULL, 0);
}

static int post_legacy(struct request *q)
{
    int r = 0;
    if (q->m.m.kind == MCP_REQUEST && str_eq(q->m.m.method, "initialize"))
        return initialize(q);
    struct stdio_session *s = session_of(q, &r);
    if (!s)
        return r;
    struct stdio_process *p = stdio_process_use(s->process);
    if (q->m.m.kind != MCP_REQUEST)
        r = tell(q, s);
    else if (p->kind == STDIO_SHARED && !stdio_shared_takes(q->m.m.method))
        r = stdio_answer_error(q->p, 200, q->m.m.json_id, CODE_METHOD,
                               "not for a server that callers share", NULL);
    else if (stdio_session_initialize(s) == -ECANCELED)
        r = -ECANCELED;
    else
        r = ask(q, p, s);
    stdio_process_leave(p);
    stdio_session_unref(s);
    return r;
}

/* ---- the stream of a session ---- */

static int stream(struct request *q, struct stdio_session *s)
{
    const unsigned mine = ++s->stream; /* a newer one takes its place */
    bool gone = false;
    struct watch w = {.p = q->p, .gone = &gone, .wake = &s->wake};
    AUTO(scope) watching;
    scope_init(&watching);
    s->has_stream = true;
    waitq_wake_all(&s->wake);
    int r = fiber_spawn(&watching, "stdio caller", watch_caller, &w, NULL);
    if (r == 0)
        r = stdio_begin_events(q->p, NULL);
    while (r == 0 && !gone && !s->ended && s->stream == mine) {
        struct stdio_message *m = stdio_queue_pop(&s->queue);
        r = m ? stdio_send_event(q->p, m->text, m->n) : waitq_wait(&s->wake);
        stdio_message_free(m);
    }
    if (s->stream == mine)
        s->has_stream = false;
    s->last_ns = time_mono_ns();
    return r == 0 && !gone ? http_send_end(q->p, NULL) : r == 0 ? -E_CLOSED : r;
}

static int serve_get(struct request *q)
{
    int r = 0;
    struct stdio_session *s = session_of(q, &r);
    if (!s)
        return r;
    r = stream(q, s);
    stdio_session_unref(s);
    return r;
}

static int serve_delete(struct request *q)
{
    int r = 0;
    struct stdio_session *s = session_of(q, &r);
    if (!s)
        return r;
    stdio_session_end(s);
    stdio_session_unref(s);
    return stdio_answer(q->p, 200, NULL, NULL, NULL, 0);
}

/* ---- all of it ---- */

/* -EMSGSIZE: it is too long. */
static int read_body(struct request *q)
{
    AUTO_FREE char *piece = mem_array(PIECE_BYTES, 1);
    ssize_t n;
    int r = 0;
    while (r == 0 && (n = http_read_body(q->p, piece, PIECE_BYTES, NULL)) != 0)
        r = n < 0 ? (int)n : buf_add(&q->text, piece, (size_t)n);
    return r;
}

static int serve_post(struct request *q)
{
    struct err e = {0};
    int r = read_body(q);
    if (r == -EMSGSIZE || r == -ENOMEM)
        return stdio_answer_error(q->p, 413, NULL, CODE_INVALID, "the body is too large", NULL);
    if (r < 0)
        return r;
    r = mcp_body_read(buf_str(&q->text), q->text.len, &q->body, &e);
    if (r == 0 && q->body.batch)
        r = err_set(&e, -E_PARSE, "a stdio server takes one message at a time, and no batch");
    if (r == 0)
        r = mcp_envelope_read(buf_str(&q->text), q->text.len, &q->m, &e);
    if (r < 0)
        return stdio_answer_error(q->p, 400, q->body.id, q->body.json ? CODE_INVALID : CODE_PARSE,
                                  e.msg, NULL);
    q->modern = mirror_is_modern(&q->head.fields, &q->body);
    r = mirror_check(&q->head.fields, &q->body, &e);
    mcp_body_done(&q->body);
    q->body = (struct mcp_body){.json = NULL};
    if (r < 0)
        return stdio_answer_error(q->p, 400, q->m.m.json_id, CODE_MISMATCH, e.msg, NULL);
    return q->modern ? post_modern(q) : post_legacy(q);
}

static bool is_endpoint(struct http_text path)
{
    const char *query = memchr(path.p, '?', path.n);
    const struct http_text alone = {path.p, query ? (size_t)(query - path.p) : path.n};
    return http_text_eq(alone, "/mcp") || http_text_eq(alone, "/");
}

static int dispatch(struct request *q)
{
    const struct http_field *version =
        http_fields_get(&q->head.fields, "mcp-protocol-version", NULL);
    const bool post = http_text_eq(q->head.method, "POST");
    /* The newer era has POST alone. */
    const bool modern = version && version->value.n == sizeof(MIRROR_MODERN) - 1 &&
                        memcmp(version->value.p, MIRROR_MODERN, version->value.n) >= 0;
    if (!is_endpoint(q->head.path))
        return stdio_answer(q->p, 404, NULL, NULL, NULL, 0);
    if (post)
        return serve_post(q);
    if (!modern && http_text_eq(q->head.method, "GET"))
        return serve_get(q);
    if (!modern && http_text_eq(q->head.method, "DELETE"))
        return serve_delete(q);
    return stdio_answer(q->p, 405, NULL, NULL, NULL, 0);
}

void stdio_serve(void *arg, struct http_pipe *p)
{
    struct request q = {.route = arg, .p = p, .text = BUF_INIT(MCP_BODY_BYTES)};
    struct err e = {0};
    http_head_init(&q.head);
    int r = http_read_head(p, &q.head, &e);
    if (r == 0)
        r = dispatch(&q);
    if (r < 0 && r != -E_CLOSED && r != -ECANCELED)
        log_debug("a request at a stdio server was not answered", "route=%s why=%s",
                  q.route->what.route, err_text(r));
    mcp_envelope_done(&q.m);
    mcp_body_done(&q.body);
    buf_done(&q.text);
    http_head_done(&q.head);
    http_pipe_close(p);
}
