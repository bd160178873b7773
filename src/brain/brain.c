/* brain.c - which sessions are being stepped, and the doorbell.
 *
 * One fiber per session that has something to do, all in one scope owned by the fiber that started
 * the brain (the server's root). A ring for a session whose fiber lives is noted there; any other
 * ring starts a fiber. The registry is only a cache of "who is awake": the truth is sessions.wake
 * in the store, and a sweep over it at the start - and again whenever a fiber could not be started
 * - finds what the registry lost.
 *
 * Everything runs on the loop thread. brain_wake does not suspend, so a ring cannot fall between a
 * turn's last look at its flag and its removal from the registry. */
#include "brain/brain.h"

#include "base/err.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "brain/model.h"
#include "brain/turn.h"
#include "session/log.h"

#define SWEEP_PAUSE_MS 1000
#define SWEEP_PAGE     256

struct brain {
    struct session_log *log;
    struct model *m;
    struct scope scope;
    struct map active; /* session id -> struct turn */
    struct waitq sweep;
    bool missed; /* a session could not be started: look for it in the store */
    bool stopping;
    int64_t retry_base_ms;
    int max_attempts;
};

struct session_fiber {
    struct brain *b;
    struct turn turn;
};

static int session_main(void *arg)
{
    struct session_fiber *f = arg;
    fiber_set_context(f->turn.session_id);
    (void)turn_run(&f->turn); /* -ECANCELED: the log takes up from here at the next start */
    map_remove(&f->b->active, f->turn.session_id);
    free(f);
    return 0;
}

void brain_wake(void *arg, const char *session_id)
{
    struct brain *b = arg;
    if (b->stopping)
        return;
    struct session_fiber *f = map_get(&b->active, session_id);
    if (f) {
        f->turn.rung = true;
        waitq_wake_all(&f->turn.bell);
        return;
    }
    f = mem_new(struct session_fiber);
    f->b = b;
    f->turn.log = b->log;
    f->turn.m = b->m;
    f->turn.retry_base_ms = b->retry_base_ms;
    f->turn.max_attempts = b->max_attempts;
    waitq_init(&f->turn.bell);
    int r = str_copy(f->turn.session_id, sizeof(f->turn.session_id), session_id) ? 0 : -EINVAL;
    if (r == 0)
        r = fiber_spawn(&b->scope, "turn", session_main, f, NULL);
    if (r < 0) {
        log_warn("no fiber for a session; the next sweep will retry it", "session=%s error=%s",
                 log_q(session_id), err_name(r));
        free(f);
        b->missed = true;
        waitq_wake_all(&b->sweep);
        return;
    }
    map_put(&b->active, session_id, f);
}

/* ---- the sweep ---- */

struct wake_page {
    char after[64];
    char ids[SWEEP_PAGE][64];
    int n;
};

static int wake_page_tx(struct tx *tx, void *arg)
{
    struct wake_page *page = arg;
    struct stmt *st =
        tx_prepare(tx, "SELECT id FROM sessions WHERE wake = 1 AND id > $1 ORDER BY id LIMIT 256");
    stmt_bind_text(st, 1, page->after);
    page->n = 0;
    int r;
    while ((r = stmt_step(st)) > 0 && page->n < SWEEP_PAGE)
        if (str_copy(page->ids[page->n], sizeof(page->ids[0]), stmt_text(st, 0, NULL)))
            page->n++;
    stmt_reset(st);
    return r < 0 ? r : 0;
}

/* Rings for every session the store says has something to do. */
static int sweep_once(struct brain *b)
{
    AUTO_FREE struct wake_page *page = mem_new(struct wake_page);
    int total = 0;
    do {
        int r = db_read(b->log->db, wake_page_tx, page);
        if (r < 0)
            return r;
        for (int i = 0; i < page->n && !b->stopping; i++)
            brain_wake(b, page->ids[i]);
        total += page->n;
        if (page->n)
            str_copy(page->after, sizeof(page->after), page->ids[page->n - 1]);
    } while (page->n == SWEEP_PAGE && !fiber_cancelled());
    if (total)
        log_info("sessions with work to do were found in the store", "sessions=%d", total);
    return 0;
}

static int sweep_main(void *arg)
{
    struct brain *b = arg;
    b->missed = true; /* the first look: what the last server left */
    for (;;) {
        while (!b->missed)
            if (waitq_wait(&b->sweep) < 0)
                return 0;
        b->missed = false;
        int r = sweep_once(b);
        if (r < 0) {
            log_error("the store could not be searched for sessions to resume", "error=%s",
                      err_name(r));
            b->missed = true;
        }
        if (fiber_sleep_ms(SWEEP_PAUSE_MS) < 0)
            return 0;
    }
}

/* ---- life ---- */

int brain_start(struct session_log *log, struct model *m, struct brain **ret, struct err *e)
{
    struct brain *b = mem_new(struct brain);
    b->log = log;
    b->m = m;
    b->retry_base_ms = 500;
    b->max_attempts = 8;
    map_init(&b->active);
    waitq_init(&b->sweep);
    scope_init(&b->scope);
    int r = fiber_spawn(&b->scope, "brain sweep", sweep_main, b, NULL);
    if (r < 0) {
        scope_done(&b->scope);
        map_done(&b->active);
        free(b);
        return err_set(e, r, "the brain could not start a fiber: %s", err_text(r));
    }
    log_info("brain started", "model=%s", log_q(m ? m->name : "none"));
    *ret = b;
    return 0;
}

void brain_stop(struct brain *b)
{
    if (!b)
        return;
    b->stopping = true;
    scope_done(&b->scope);
    MUST(b->active.n == 0);
    map_done(&b->active);
    free(b);
}

void brain_set_retry(struct brain *b, int64_t base_ms, int attempts)
{
    b->retry_base_ms = base_ms;
    b->max_attempts = attempts;
}
