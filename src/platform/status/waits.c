/* waits.c - why a session does not go on, in a sentence.
 *
 * Called when an operator asks. The store tells the facts (open calls, where the session's work item
 * is, its last error), on a reader's thread; who polls is known in memory. From both one sentence is
 * chosen for each session by a list of cases, the first that fits. A session waits for
 *
 *   a person       a call asks for permission, or a custom tool is the client's to answer
 *   a worker       a call may run, and its item lies in the queue
 *   a tool         a worker has it
 *   a model        it is rescheduled after an error, or runs and has not said anything for long
 *
 * Texts of peers (names of tools, messages of errors) are cut; they are JSON strings in the end. */
#include "platform/status/waits.h"

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/api/wire.h"
#include "platform/work/work_clock.h"
#include "platform/work/work_sightings.h"

#include <stdio.h>
#include <string.h>

#define SILENT_US  (120 * US_PER_S) /* a model that thinks this long is worth a line */
#define RUNNING_US (60 * US_PER_S)  /* and so is a tool */

struct wait {
    char session_id[64], environment_id[64], status[16];
    char call_id[80], tool[80], kind[16];
    bool call, allowed; /* a call is open; it may run */
    int64_t since_us;   /* last event of the session */
    char work_state[16];
    bool claimed;
    int64_t requeues, held_until_us; /* work clock */
    char error[300];
};

struct waits {
    struct wait list[WAITS_MAX];
    size_t n;
    bool more;
    int64_t now_us, work_now_us;
};

static void copy_col(struct stmt *s, int col, char *dst, size_t cap)
{
    const char *v = stmt_text(s, col, NULL);
    if (!v)
        v = "";
    size_t n = strnlen(v, cap - 1);
    while (n > 0 && v[n] != '\0' && ((unsigned char)v[n] & 0xc0) == 0x80)
        n--; /* not in the middle of a character */
    memcpy(dst, v, n);
    dst[n] = '\0';
}

/* One row a session: its first open call. */
static int read_calls(struct tx *tx, struct waits *w)
{
    struct stmt *s =
        tx_prepare(tx, "SELECT c.session_id, s.environment_id, s.status, c.name, c.kind,"
                       " c.permission = 'allow' OR c.decision = 'allow', s.updated_at, w.state,"
                       " w.claimed_at IS NOT NULL, w.requeues, w.queued_at, c.id"
                       " FROM calls c JOIN sessions s ON s.id = c.session_id"
                       " LEFT JOIN work w ON w.session_id = c.session_id AND w.state <> 'stopped'"
                       " WHERE c.answered_by IS NULL LIMIT $1");
    stmt_bind_int(s, 1, 4 * WAITS_MAX);
    int r;
    while ((r = stmt_step(s)) > 0) {
        const char *id = stmt_text(s, 0, NULL);
        if (w->n > 0 && str_eq(w->list[w->n - 1].session_id, id))
            continue; /* another call of the same one */
        if (w->n == WAITS_MAX) {
            w->more = true;
            break;
        }
        struct wait *x = &w->list[w->n++];
        *x = (struct wait){.call = true};
        copy_col(s, 0, x->session_id, sizeof(x->session_id));
        copy_col(s, 1, x->environment_id, sizeof(x->environment_id));
        copy_col(s, 2, x->status, sizeof(x->status));
        copy_col(s, 3, x->tool, sizeof(x->tool));
        copy_col(s, 4, x->kind, sizeof(x->kind));
        x->allowed = stmt_int(s, 5);
        x->since_us = stmt_int(s, 6);
        copy_col(s, 7, x->work_state, sizeof(x->work_state));
        x->claimed = stmt_int(s, 8);
        x->requeues = stmt_int(s, 9);
        x->held_until_us = stmt_int(s, 10);
        copy_col(s, 11, x->call_id, sizeof(x->call_id));
    }
    stmt_reset(s);
    return r < 0 ? r : 0;
}

static int read_error(struct tx *tx, struct wait *x)
{
    struct stmt *s = tx_prepare(tx, "SELECT body FROM events WHERE session_id = $1 AND type = "
                                    "'session.error' ORDER BY seq DESC LIMIT 1");
    stmt_bind_text(s, 1, x->session_id);
    int r = stmt_step(s);
    if (r > 0) {
        size_t n = 0;
        AUTO_JSON json_t *body = NULL;
        const char *text = stmt_text(s, 0, &n);
        if (text && json_parse(text, n, &body, NULL) == 0) {
            const char *m = json_get_str(json_object_get(body, "error"), "message");
            snprintf(x->error, sizeof(x->error), "%.250s", m ? m : "");
        }
    }
    stmt_reset(s);
    return r < 0 ? r : 0;
}

/* Sessions that a model keeps waiting: running ones without a word for long, rescheduled ones. */
static int read_models(struct tx *tx, struct waits *w, const char *status, int64_t before_us)
{
    struct stmt *s =
        tx_prepare(tx, "SELECT id, environment_id, updated_at FROM sessions WHERE status = $1 AND "
                       "archived_at IS NULL AND updated_at <= $2 ORDER BY created_at, id LIMIT $3");
    stmt_bind_text(s, 1, status);
    stmt_bind_int(s, 2, before_us);
    stmt_bind_int(s, 3, WAITS_MAX);
    int r;
    size_t from = w->n;
    while ((r = stmt_step(s)) > 0) {
        if (w->n == WAITS_MAX) {
            w->more = true;
            break;
        }
        struct wait *x = &w->list[w->n++];
        *x = (struct wait){.since_us = stmt_int(s, 2)};
        copy_col(s, 0, x->session_id, sizeof(x->session_id));
        copy_col(s, 1, x->environment_id, sizeof(x->environment_id));
        str_copy(x->status, sizeof(x->status), status);
    }
    stmt_reset(s);
    for (size_t i = from; r >= 0 && i < w->n; i++)
        r = read_error(tx, &w->list[i]);
    return r < 0 ? r : 0;
}

static int waits_tx(struct tx *tx, void *arg)
{
    struct waits *w = arg;
    w->n = 0;
    w->more = false;
    int r = read_calls(tx, w);
    if (r == 0)
        r = read_models(tx, w, "rescheduling", INT64_MAX);
    return r < 0 ? r : read_models(tx, w, "running", w->now_us - SILENT_US);
}

/* ---- the sentence ---- */

struct words {
    const char *type; /* "person", "worker", "tool", "model" */
    char *why, *todo; /* owned; todo may be NULL */
};

static void words_done(struct words *w)
{
    free(w->why);
    free(w->todo);
}

/* A call may run, and no worker has the session. */
static struct words say_queued(struct platform *p, const struct waits *all, const struct wait *x)
{
    struct words w = {.type = "worker"};
    int64_t polling = work_workers_polling(p, x->environment_id);
    if (x->requeues > 1 && x->held_until_us > all->work_now_us) {
        w.why =
            mem_printf("%lld workers in a row ended without getting further, so it is held back "
                       "for another %lld s",
                       (long long)x->requeues,
                       (long long)((x->held_until_us - all->work_now_us) / US_PER_S));
        w.todo = mem_strdup("look into the workers' logs");
    } else if (polling == 0) {
        w.why = mem_printf("no worker has asked for work of environment %s for 30 s",
                           x->environment_id);
        w.todo = mem_printf("start one: sallyport worker --environment-id %s", x->environment_id);
    } else {
        w.why = mem_printf("%lld worker%s of the environment ask%s for work and none has taken it "
                           "yet",
                           (long long)polling, polling == 1 ? "" : "s", polling == 1 ? "s" : "");
    }
    return w;
}

static struct words say_call(struct platform *p, const struct waits *all, const struct wait *x)
{
    struct words w = {.type = "person"};
    const bool held = x->work_state[0] && strcmp(x->work_state, "queued") != 0;
    if (!x->allowed) {
        w.why = mem_printf("a person must allow or deny the call of %s", x->tool);
        w.todo = mem_printf("sallyport session confirm %s %s --allow (or --deny)", x->session_id,
                            x->call_id);
    } else if (str_eq(x->kind, "custom") && !held) {
        w.why = mem_printf("the result of custom tool %s must come from a client or a worker that "
                           "serves it",
                           x->tool);
    } else if (x->work_state[0] && !held && !x->claimed) {
        return say_queued(p, all, x);
    } else if (!x->work_state[0]) {
        w.type = "worker";
        w.why =
            mem_printf("the call of %s has no work item: the environment is not self-hosted, or "
                       "its worker has just let go",
                       x->tool);
    } else {
        w.type = "tool";
        w.why = mem_printf("a worker runs %s", x->tool);
    }
    return w;
}

static struct words say_model(const struct wait *x)
{
    struct words w = {.type = "model"};
    if (str_eq(x->status, "rescheduling"))
        w.why = mem_printf("the model failed and is asked again: %s",
                           x->error[0] ? x->error : "no reason was given");
    else
        w.why = mem_strdup("its model has said nothing since");
    return w;
}

static int longest_first(const void *a, const void *b)
{
    const struct wait *x = a, *y = b;
    return x->since_us < y->since_us ? -1 : x->since_us > y->since_us;
}

static json_t *wait_json(struct platform *p, const struct waits *all, const struct wait *x)
{
    __attribute__((cleanup(words_done))) struct words words =
        x->call ? say_call(p, all, x) : say_model(x);
    /* A tool that has just begun is no news. */
    if (str_eq(words.type, "tool") && all->now_us - x->since_us < RUNNING_US)
        return NULL;
    json_t *o = json_object();
    json_put_str(o, "type", words.type);
    json_put_str(o, "session_id", x->session_id);
    json_put_str(o, "environment_id", x->environment_id);
    json_put_str(o, "status", x->status);
    json_put(o, "since", time_json(x->since_us));
    json_put_str(o, "why", words.why);
    json_put_str(o, "todo", words.todo);
    return o;
}

int waits_list(struct platform *p, json_t **ret, bool *ret_more)
{
    struct waits *w = mem_new(struct waits);
    w->now_us = time_real_us();
    w->work_now_us = work_now_us(p);
    int r = db_read(p->log.db, waits_tx, w);
    if (r == 0) {
        qsort(w->list, w->n, sizeof(w->list[0]), longest_first);
        *ret = json_array();
        for (size_t i = 0; i < w->n; i++) {
            json_t *o = wait_json(p, w, &w->list[i]);
            if (o)
                json_array_append_new(*ret, o);
        }
        *ret_more = w->more;
    }
    free(w);
    return r;
}
