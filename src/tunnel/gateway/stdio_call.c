/* stdio_call.c - one caller's request at a process that others use, too.
 *
 * A caller chooses its ids and tokens freely, so two may choose the same: at the process each request has a number of
 * ours, which is its progress token as well, and what comes back under it gets the caller's own id and token again, as they
 * were written. A number is never used twice, so an answer that comes late, or a second time, finds nobody. The call lies on the
 * stack of the fiber that serves it and is taken off the process's list before that returns.
 *
 * What a server says about a call waits in its queue, which the caller's fiber writes: progress up to a ceiling, after
 * which the call is given up, for a caller that does not read must not hold up the others of the process. */
#include "tunnel/gateway/stdio_internal.h"

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"

#include <stdio.h>
#include <string.h>

/* ---- messages ---- */

void stdio_queue_init(struct stdio_queue *q)
{
    list_init(&q->items);
    q->bytes = 0;
}

void stdio_message_free(struct stdio_message *m)
{
    if (!m)
        return;
    budget_end(&m->share);
    free(m);
}

struct stdio_message *stdio_queue_pop(struct stdio_queue *q)
{
    struct list *n = list_pop_front(&q->items);
    struct stdio_message *m = n ? LIST_ENTRY(n, struct stdio_message, node) : NULL;
    if (m)
        q->bytes -= m->n;
    return m;
}

void stdio_queue_done(struct stdio_queue *q)
{
    struct stdio_message *m;
    while ((m = stdio_queue_pop(q)))
        stdio_message_free(m);
}

int stdio_queue_push(struct stdio_queue *q, struct budget *memory, struct buf *line, bool final,
                     bool request)
{
    if (buf_err(line) < 0 || (!final && q->bytes + line->len > STDIO_QUEUE_BYTES))
        return -ENOBUFS;
    struct stdio_message *m = mem_for_library(sizeof(*m) + line->len + 1);
    if (!m)
        return -ENOBUFS;
    *m = (struct stdio_message){
        .share = {.of = memory}, .n = line->len, .final = final, .request = request};
    if (!budget_set(&m->share, line->len)) {
        free(m);
        return -ENOBUFS;
    }
    memcpy(m->text, buf_str(line), line->len + 1);
    list_push_back(&q->items, &m->node);
    q->bytes += m->n;
    return 0;
}

/* ---- the request ---- */

static char *text_of(struct span s)
{
    return s.p ? mem_strndup(s.p, s.n) : NULL;
}

int stdio_call_begin(struct stdio_call *c, struct stdio_process *p, struct stdio_session *s,
                     const char *text, size_t n, const struct mcp_envelope *m, struct buf *line,
                     struct err *e)
{
    if (p->n_pending >= STDIO_PENDING_MAX)
        return err_set(e, -EBUSY, "%d requests are under way at the program", STDIO_PENDING_MAX);
    *c = (struct stdio_call){.session = s};
    (void)snprintf(c->id, sizeof(c->id), "%lld", (long long)++p->last_id);
    const struct mcp_splice changes[] = {
        {m->id, c->id, strlen(c->id)},
        {m->token, c->id, strlen(c->id)},
    };
    int r = mcp_splice(line, text, n, changes, ARRAY_LEN(changes));
    if (r < 0)
        return err_set(e, -EBUSY, "there is no memory for the request");
    c->process = stdio_process_use(p);
    c->caller_id = json_deep_copy(m->m.json_id);
    c->caller_id_text = text_of(m->id);
    c->token_text = text_of(m->token);
    stdio_queue_init(&c->queue);
    waitq_init(&c->wake);
    (void)map_put(&p->pending, c->id, c);
    p->n_pending++;
    if (s)
        list_push_back(&s->calls, &c->of_session);
    return 0;
}

void stdio_call_end(struct stdio_call *c)
{
    struct stdio_process *p = TAKE(c->process);
    if (!p)
        return;
    (void)map_remove(&p->pending, c->id);
    p->n_pending--;
    p->idle_since_ns = time_mono_ns();
    if (c->session) {
        list_remove(&c->of_session);
        c->session->last_ns = p->idle_since_ns;
    }
    stdio_queue_done(&c->queue);
    json_decref(c->caller_id);
    free(c->caller_id_text);
    free(c->token_text);
    stdio_process_leave(p);
}

void stdio_call_cancel_text(const struct stdio_call *c, struct buf *line)
{
    (void)buf_addf(line,
                   "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
                   "\"requestId\":%s,\"reason\":\"the caller has left\"}}",
                   c->id);
}

/* ---- what is heard about it ---- */

/* Only numbers that we have given: an integer, as it would be printed. */
static struct stdio_call *find(const struct stdio_process *p, const json_t *id)
{
    char text[24];
    if (!json_is_integer(id))
        return NULL;
    (void)snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(id));
    return map_get(&p->pending, text);
}

static void push(struct stdio_process *p, struct stdio_call *c, struct buf *line, bool final)
{
    if (c->overrun ||
        stdio_queue_push(&c->queue, &p->route->bridge->memory, line, final, false) < 0) {
        c->overrun = true;
        p->useless++;
    }
    waitq_wake_all(&c->wake);
}

static void give(struct stdio_process *p, struct stdio_call *c, const char *text, size_t n,
                 const struct mcp_splice *changes, size_t n_changes, bool final)
{
    AUTO(buf) line = BUF_INIT(STDIO_LINE_MAX + 4096);
    (void)!mcp_splice(&line, text, n, changes, n_changes); /* the queue looks at the buffer */
    push(p, c, &line, final);
}

bool stdio_call_hear(struct stdio_process *p, const char *text, size_t n,
                     const struct mcp_envelope *m)
{
    struct stdio_call *c = NULL;
    if (m->m.kind == MCP_RESULT || m->m.kind == MCP_ERROR) {
        c = find(p, m->m.json_id);
        if (!c) {
            log_debug("a stdio server answers what nobody waits for", "route=%s",
                      p->route->what.route);
            p->useless++;
            return true;
        }
        /* A second answer must not find it. */
        (void)map_remove(&p->pending, c->id);
        const bool ours =
            m->subscription_json && json_equal((json_t *)(uintptr_t)m->subscription_json,
                                               (json_t *)(uintptr_t)m->m.json_id);
        const struct mcp_splice changes[] = {{m->id, c->caller_id_text, strlen(c->caller_id_text)},
                                             {ours ? m->subscription : (struct span){NULL, 0},
                                              c->caller_id_text, strlen(c->caller_id_text)}};
        give(p, c, text, n, changes, ARRAY_LEN(changes), true);
        return true;
    }
    if (m->m.kind != MCP_NOTIFICATION)
        return false;
    if (str_eq(m->m.method, "notifications/progress")) {
        c = find(p, m->token_json);
        const struct mcp_splice change = {m->token, c ? c->token_text : NULL,
                                          c && c->token_text ? strlen(c->token_text) : 0};
        if (c && c->token_text)
            give(p, c, text, n, &change, 1, false);
        else
            p->useless++;
        return true; /* of a call that is over */
    }
    if (m->subscription_json) {
        c = find(p, m->subscription_json);
        const struct mcp_splice change = {m->subscription, c ? c->caller_id_text : NULL,
                                          c ? strlen(c->caller_id_text) : 0};
        if (c)
            give(p, c, text, n, &change, 1, false);
        else
            p->useless++;
        return true;
    }
    return false;
}

/* ---- our own ---- */

static int wait_for_answer(struct stdio_call *c, json_t **ret)
{
    struct stdio_message *m = NULL;
    int r = 0;
    while (r == 0 && !c->process->dead && !c->overrun) {
        while ((m = stdio_queue_pop(&c->queue)) && !m->final)
            stdio_message_free(m);
        if (m)
            break;
        r = waitq_wait(&c->wake);
    }
    struct err ignored = {0};
    if (m)
        r = json_parse_few(m->text, m->n, MCP_ENVELOPE_VALUES_MAX, ret, &ignored);
    else if (r == 0)
        r = -E_CLOSED;
    stdio_message_free(m);
    return r;
}

int stdio_ask(struct stdio_process *p, const char *method, const char *params, json_t **ret)
{
    AUTO_FREE char *text =
        mem_printf("{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"%s\",\"params\":%s}", method,
                   params);
    AUTO(buf) line = BUF_INIT(4096);
    struct mcp_envelope m;
    struct stdio_call c;
    struct err e = {0};
    int r = mcp_envelope_read(text, strlen(text), &m, &e);
    if (r == 0)
        r = stdio_call_begin(&c, p, NULL, text, strlen(text), &m, &line, &e);
    mcp_envelope_done(&m);
    if (r < 0)
        return r;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(STDIO_START_MS);
    r = stdio_process_write(p, &line);
    if (r == 0)
        r = wait_for_answer(&c, ret);
    stdio_call_end(&c);
    return r;
}
