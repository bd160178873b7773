/* stdio_shared.c - a process that has more than one caller.
 *
 * Of the revision 2026-07-28 on every request is complete in itself, so all callers of that era share one process, which is
 * asked `server/discover` first: a program that does not know it knows the older revisions alone, and its callers of the newer one are told so.
 * Of the older revisions a process is shared when the route says `shared`: then the bridge is its client, and callers'
 * sessions are the bridge's affair.
 *
 * A server cannot tell callers of one process apart. So what one of them could do to, or learn of, the others is not there in a
 * shared process: it is told that its client can neither be asked nor has roots; log levels, subscriptions to resources and tasks are taken out of
 * what it can do, and refused; of what it says to nobody in particular only "the list has changed" goes to all. */
#include "tunnel/gateway/stdio_internal.h"

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"

#include <string.h>

#define NEWEST_LEGACY "2025-11-25"
#define MODERN        "2026-07-28"
#define LEGACY_MS     600000 /* a program may be replaced by a newer one */

static const char hello[] = "{\"protocolVersion\":\"" NEWEST_LEGACY
                            "\",\"capabilities\":{},\"clientInfo\":{\"name\":\"sallyport-gateway\","
                            "\"version\":\"1\"}}";
static const char discover[] =
    "{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"" MODERN "\","
    "\"io.modelcontextprotocol/clientInfo\":{\"name\":\"sallyport-gateway\",\"version\":\"1\"},"
    "\"io.modelcontextprotocol/clientCapabilities\":{}}}";

/* ---- the start ---- */

static int write_text(struct stdio_process *p, const char *text)
{
    AUTO(buf) line = BUF_INIT(4096);
    (void)buf_adds(&line, text);
    return stdio_process_write(p, &line);
}

static int greet(struct stdio_process *p, bool modern, struct err *e)
{
    AUTO_JSON json_t *a = NULL;
    int r = stdio_ask(p, modern ? "server/discover" : "initialize", modern ? discover : hello, &a);
    if (r < 0)
        return err_set(e, r, r == -ETIMEDOUT ? "the program does not answer" : "the program %s",
                       p->words ? p->words : "has ended");
    const json_t *result = json_object_get(a, "result");
    stdio_process_answers(p);
    if (modern)
        return json_is_object(result) ? 0 : -EPROTONOSUPPORT;
    if (!json_is_object(result))
        return err_set(e, -E_PROTO, "the program has refused to be initialized");
    p->hello = json_deep_copy(result);
    return write_text(p, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
}

static enum stdio_source source_of(const struct stdio_process *p, int r)
{
    return r == -ETIMEDOUT           ? STDIO_TIMEOUT
           : r == -E_PROTO           ? STDIO_PROTOCOL
           : p->source != STDIO_FINE ? p->source
                                     : STDIO_CLOSED;
}

static int start(struct stdio_route *route, bool modern, enum stdio_source *ret_source,
                 struct err *e)
{
    struct stdio_process **slot = modern ? &route->modern : &route->legacy, *p;
    *ret_source = STDIO_CONNECT;
    int r = stdio_process_start(route, modern ? STDIO_MODERN : STDIO_SHARED, &p, e);
    if (r < 0)
        return r;
    r = greet(p, modern, e);
    if (r == -EPROTONOSUPPORT)
        route->legacy_until_ns = time_mono_ns() + LEGACY_MS * NS_PER_MS;
    if (r < 0) {
        *ret_source = source_of(p, r);
        if (r == -ETIMEDOUT)
            stdio_process_fail(p, STDIO_TIMEOUT, "does not answer");
        stdio_process_leave(p);
        return r;
    }
    if (p->dead || route->retired) {
        *ret_source = STDIO_CLOSED;
        stdio_process_leave(p);
        return err_set(e, -E_CLOSED, "the program has ended");
    }
    *slot = p; /* a user */
    return 0;
}

int stdio_shared_get(struct stdio_route *route, bool modern, struct stdio_process **ret,
                     enum stdio_source *ret_source, struct err *e)
{
    struct stdio_process **slot = modern ? &route->modern : &route->legacy;
    int r = fmutex_lock(&route->starting);
    if (r < 0)
        return r;
    if (modern && time_mono_ns() < route->legacy_until_ns)
        r = -EPROTONOSUPPORT;
    else if (!*slot)
        r = start(route, modern, ret_source, e);
    if (r == 0)
        *ret = stdio_process_use(*slot);
    fmutex_unlock(&route->starting);
    return r;
}

/* ---- what it can do ---- */

json_t *stdio_shared_hello(const struct stdio_process *p, const char *asked)
{
    static const char *const known[] = {"2024-11-05", "2025-03-26", "2025-06-18", NEWEST_LEGACY};
    json_t *h = json_deep_copy(p->hello), *can = json_object_get(h, "capabilities");
    const char *chosen = json_get_str(h, "protocolVersion");
    json_object_del(can, "logging");
    json_object_del(can, "tasks");
    json_object_del(json_object_get(can, "resources"), "subscribe");
    /* An older revision is spoken by who speaks the newer one: what it does not know is not used. */
    for (size_t i = 0; asked && chosen && i < ARRAY_LEN(known); i++)
        if (str_eq(asked, known[i]) && strcmp(asked, chosen) < 0) {
            json_put_str(h, "protocolVersion", asked);
            break;
        }
    return h;
}

bool stdio_shared_takes(const char *method)
{
    static const char *const others[] = {"logging/setLevel", "resources/subscribe",
                                         "resources/unsubscribe"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (str_eq(method, others[i]))
            return false;
    return !str_starts(method, "tasks/");
}

/* ---- what it says ---- */

static void answer_it(struct stdio_process *p, const struct mcp_envelope *m)
{
    AUTO(buf) line = BUF_INIT(4096);
    AUTO_JSON json_t *a =
        str_eq(m->m.method, "ping") && p->kind == STDIO_SHARED
            ? mcp_message_answer(m->m.json_id, json_new_object(), 0, NULL)
            : mcp_message_answer(m->m.json_id, NULL, -32601,
                                 "the client of a shared process cannot be asked");
    if (json_print(&line, a) == 0)
        (void)!stdio_process_write(p, &line);
}

void stdio_shared_hear(struct stdio_process *p, const char *text, size_t n,
                       const struct mcp_envelope *m)
{
    size_t pos = 0;
    void *s;
    const bool changed = p->kind == STDIO_SHARED && m->m.kind == MCP_NOTIFICATION &&
                         str_starts(m->m.method, "notifications/") &&
                         str_ends(m->m.method, "/list_changed");
    if (m->m.kind == MCP_REQUEST)
        answer_it(p, m);
    else if (!changed)
        p->useless++;
    while (changed && map_next(&p->route->sessions, &pos, NULL, &s))
        if (((struct stdio_session *)s)->process == p)
            stdio_session_hear(s, text, n, m);
}
