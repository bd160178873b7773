/* stdio_session.c - sessions of the revisions up to 2025-11-25, and what a server says outside of calls.
 *
 * A session is known by an id that cannot be guessed, and belongs to the caller who has made it, where callers are told
 * apart: for another one it is unknown. In a route that is not shared it has
 * a process of its own and passes everything: what the server asks (sampling, elicitation, roots, ping) goes to the
 * session's stream, or, when it has none, to the latest request that is under way, and waits for one otherwise; answers go
 * back if that question is open. A server that asks and asks fills a bounded queue, and its oldest notifications are lost first;
 * a question that finds no room ends the session, since nobody would ever answer it.
 *
 * `notifications/initialized` goes to the process when the caller sends it, or just before the first request of the session if that
 * comes first: whatever a caller, or the order of two connections, does to it, the server hears it once, after
 * initialize and before all else. */
#include "tunnel/gateway/stdio_internal.h"

#include "base/enc.h"
#include "base/err.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/time.h"

#include <string.h>

static const char initialized[] = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";

struct stdio_session *stdio_session_new(struct stdio_process *p, struct http_text caller)
{
    struct stdio_session *s = mem_new(struct stdio_session);
    unsigned char id[(STDIO_ID_TEXT - 1) / 2];
    rng_bytes(id, sizeof(id));
    enc_hex(id, sizeof(id), s->id);
    s->refs = 1;
    s->caller = mem_strndup(caller.p, caller.n);
    s->route = stdio_route_ref(p->route);
    s->process = p;
    s->asked = json_array();
    s->last_ns = time_mono_ns();
    s->initialized = p->kind == STDIO_SHARED;
    stdio_queue_init(&s->queue);
    list_init(&s->calls);
    waitq_init(&s->wake);
    if (p->kind == STDIO_SESSION)
        p->session = s;
    return s;
}

struct stdio_session *stdio_session_ref(struct stdio_session *s)
{
    s->refs++;
    return s;
}

void stdio_session_unref(struct stdio_session *s)
{
    if (--s->refs)
        return;
    stdio_queue_done(&s->queue);
    json_decref(s->asked);
    free(s->caller);
    stdio_route_unref(s->route);
    free(s);
}

void stdio_session_open(struct stdio_session *s)
{
    if (!s->ended)
        (void)map_put(&s->route->sessions, s->id, stdio_session_ref(s));
}

void stdio_session_end(struct stdio_session *s)
{
    if (s->ended)
        return;
    stdio_session_ref(s);
    s->ended = true;
    waitq_wake_all(&s->wake);
    struct stdio_process *p = TAKE(s->process);
    if (p->session == s)
        p->session = NULL;
    LIST_FOREACH (c, &s->calls, struct stdio_call, of_session)
        waitq_wake_all(&c->wake);
    if (map_remove(&s->route->sessions, s->id))
        stdio_session_unref(s);
    stdio_process_leave(p);
    stdio_session_unref(s);
}

/* ---- what the server says ---- */

/* The oldest that nobody waits for. */
static bool drop_one(struct stdio_queue *q)
{
    LIST_FOREACH (m, &q->items, struct stdio_message, node)
        if (!m->request) {
            list_remove(&m->node);
            q->bytes -= m->n;
            stdio_message_free(m);
            return true;
        }
    return false;
}

static int push(struct stdio_session *s, struct buf *line, bool request)
{
    struct budget *memory = &s->route->bridge->memory;
    struct stdio_call *latest =
        list_empty(&s->calls) ? NULL : LIST_ENTRY(s->calls.prev, struct stdio_call, of_session);
    int r;
    if (latest && !s->has_stream) {
        r = stdio_queue_push(&latest->queue, memory, line, false, request);
        waitq_wake_all(&latest->wake);
        return r;
    }
    while ((r = stdio_queue_push(&s->queue, memory, line, false, request)) < 0 &&
           drop_one(&s->queue))
        s->process->useless++;
    waitq_wake_all(&s->wake);
    return r;
}

void stdio_session_hear(struct stdio_session *s, const char *text, size_t n,
                        const struct mcp_envelope *m)
{
    AUTO(buf) line = BUF_INIT(STDIO_LINE_MAX + 1);
    const bool request = m->m.kind == MCP_REQUEST;
    int r = request && json_array_size(s->asked) >= STDIO_ASKED_MAX ? -ENOBUFS : 0;
    if (r == 0)
        r = mcp_splice(&line, text, n, NULL, 0);
    if (r == 0)
        r = push(s, &line, request);
    if (r == 0 && request)
        json_array_append_new(s->asked, json_deep_copy(m->m.json_id));
    if (r < 0 && request) {
        log_warn("a stdio server asks more than its caller answers; the session is ended",
                 "route=%s", s->route->what.route);
        stdio_session_end(s);
    }
}

bool stdio_session_answers(struct stdio_session *s, const json_t *id)
{
    for (size_t i = 0; id && i < json_array_size(s->asked); i++)
        if (json_equal(json_array_get(s->asked, i), (json_t *)(uintptr_t)id)) {
            json_array_remove(s->asked, i);
            return true;
        }
    return false;
}

int stdio_session_initialize(struct stdio_session *s)
{
    AUTO(buf) line = BUF_INIT(sizeof(initialized) + 2);
    if (s->initialized || s->ended)
        return 0;
    s->initialized = true;
    (void)buf_adds(&line, initialized);
    return stdio_process_write(s->process, &line);
}
