/* threads.c - a session's threads. This version has the primary one only: one agent per session.
 *
 * Its id belongs to the session row, its status is the session's, and its log is the session's log;
 * so these handlers check the id and answer with the session's own means. */
#include "platform/sessions/threads.h"

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/api/pages.h"
#include "platform/api/session_call.h"
#include "platform/api/validate.h"
#include "platform/events/event_stream.h"
#include "platform/events/events.h"
#include "platform/sessions/session_wire.h"

#include <string.h>

/* Loads the session of a call on one thread; 0, or -E_DENIED after answering. Suspends. */
static int load(struct api_call *c, struct log_session *ret)
{
    const char *thread_id = api_param(c, 1);
    if (session_load(c, api_param(c, 0), ret) < 0)
        return -E_DENIED;
    if (str_eq(ret->thread_id, thread_id))
        return 0;
    api_not_found(c, "Thread %s not found in session %s.", v_clip(thread_id), ret->id);
    log_session_done(ret);
    return -E_DENIED;
}

/* 1 wanted, 0 not, -E_DENIED after answering. */
static int status_wanted(struct api_call *c, const char *status)
{
    static const char *const known[] = {"running", "idle", "rescheduling", "terminated"};
    const char *s;
    int wanted = query_get(c->x, "statuses[]", 0) ? 0 : 1;
    for (size_t k = 0; (s = query_get(c->x, "statuses[]", k)); k++) {
        bool ok = false;
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            ok = ok || !strcmp(known[i], s);
        if (!ok) {
            api_invalid(c,
                        "statuses: \"%s\" is not a valid value; expected one of running, idle, "
                        "rescheduling, terminated",
                        v_clip(s));
            return -E_DENIED;
        }
        if (!strcmp(s, status))
            wanted = 1;
    }
    return wanted;
}

void threads_list(struct api_call *c)
{
    struct log_session s;
    struct page p;
    if (page_parse(c, "threads", 20, 1000, true, &p) < 0 ||
        session_load(c, api_param(c, 0), &s) < 0)
        return;
    int wanted = status_wanted(c, s.status);
    if (wanted >= 0) {
        json_t *rows = json_array();
        if (wanted && !p.has_cursor)
            json_array_append_new(rows, thread_json(&s, time_real_us()));
        json_t *page = page_json(rows, NULL);
        log_session_done(&s);
        (void)api_reply(c, 200, page);
        api_free(c, page);
    }
    log_session_done(&s);
}

void threads_retrieve(struct api_call *c)
{
    struct log_session s;
    if (load(c, &s) < 0)
        return;
    json_t *j = thread_json(&s, time_real_us());
    log_session_done(&s);
    (void)api_reply(c, 200, j);
    api_free(c, j);
}

void threads_archive(struct api_call *c)
{
    struct log_session s;
    if (load(c, &s) < 0)
        return;
    api_invalid(c,
                "Thread %s is the primary thread of its session and cannot be archived by itself; "
                "archive the session.",
                s.thread_id);
    log_session_done(&s);
}

/* What suspends next must not hold a session loaded before it. */
static int check(struct api_call *c)
{
    struct log_session s;
    int r = load(c, &s);
    if (r == 0)
        log_session_done(&s);
    return r;
}

void threads_events(struct api_call *c)
{
    if (check(c) == 0)
        event_list_answer(c, api_param(c, 0));
}

void threads_stream(struct api_call *c)
{
    if (check(c) == 0)
        event_stream_answer(c, api_param(c, 0));
}
