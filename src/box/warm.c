/* warm.c - sandboxes made ahead of the session that takes them.
 *
 * One fiber, the filler, makes them one at a time and only while no session waits for a sandbox of
 * its own. Each that is ready has a fiber that watches for its end; a dead one is thrown away and
 * replaced. Taking one unlinks it for good: nothing ever comes back, so no session can see what
 * another has left. Before it is given away it must answer once, because the process at the other
 * end may be dying (its zygote was just killed) or stopped without its pidfd saying so.
 *
 * A refill that fails is tried again after 1 s, 2 s, ... 60 s, and logged when the reason changes.
 * The watcher owns a sandbox's end: a fiber that wants to end it cancels the watcher. */
#include "box/warm.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/list.h"
#include "box/engine.h"
#include "box/open.h"
#include "sandbox/spec.h"

#define PING_MS      250  /* a sandbox that takes longer to say anything is not ready */
#define RETRY_MS     1000 /* after the first failed refill; doubles */
#define RETRY_MAX_MS 60000
#define BREATH_MS    10 /* after a claim: the session's first call has the processors to itself */

METRIC_COUNTER(ended, "sallyport_worker_sandboxes_ended_total", "when=\"warm\"",
               "Sandboxes that ended though nobody had ended them.")

struct box_warm {
    struct box_host *host;
    size_t want, n;
    size_t opening_now; /* sessions that wait for a sandbox */
    struct list ready;
    char *spec_text; /* what they are made of; a request must say exactly this */
    const struct sandbox_spec *spec;
    struct waitq changed;
    char *trouble; /* why the last refill failed; NULL: it did not */
};

struct warm_box {
    struct list link;
    struct box_warm *pool;
    struct box *box;    /* NULL: given away */
    struct io_fd watch; /* a pidfd of our own: the box's belongs to box_close */
    struct fiber *watcher;
};

static char *spec_text(const struct sandbox_spec *spec)
{
    struct sandbox_spec defaults;
    sandbox_spec_init(&defaults);
    AUTO_JSON json_t *o = sandbox_spec_json(spec ? spec : &defaults);
    return json_text(o, NULL);
}

static int watch_one(void *arg)
{
    struct warm_box *wb = arg;
    struct box_warm *w = wb->pool;
    int r = box_wait_end(&wb->watch);
    io_fd_close(&wb->watch);
    if (wb->box) {
        if (r == 0)
            metric_add(&ended, 1);
        log_warn("a warm sandbox has ended", "pid=%d", box_pid(wb->box));
        list_remove(&wb->link);
        w->n--;
        box_close(wb->box);
        waitq_wake_all(&w->changed);
    }
    free(wb);
    return 0;
}

/* Makes one and puts it on the list. Suspends. */
static int add_one(struct box_warm *w, struct err *e)
{
    struct box *b = NULL;
    struct box_spec spec = {.sandbox = w->spec};
    int r = box_open_cold(w->host, &spec, &b, e);
    if (r < 0)
        return r;
    struct warm_box *wb = mem_new(struct warm_box);
    *wb = (struct warm_box){.pool = w, .box = b, .watch = IO_FD_NONE};
    int fd = fcntl(b->pidfd.fd, F_DUPFD_CLOEXEC, 3);
    r = fd < 0 ? -errno : io_fd_add(&wb->watch, fd);
    if (r < 0 && fd >= 0)
        close(fd);
    if (r == 0)
        r = fiber_spawn(&w->host->scope, "warm-watch", watch_one, wb, &wb->watcher);
    if (r < 0) {
        io_fd_close(&wb->watch);
        free(wb);
        box_close(b);
        return err_set(e, r, "a sandbox that is ready cannot be watched: %s", err_text(r));
    }
    list_push_back(&w->ready, &wb->link);
    w->n++;
    log_debug("a warm sandbox is ready", "pid=%d ready=%zu of=%zu", b->pid, w->n, w->want);
    return 0;
}

static void note_failure(struct box_warm *w, const struct err *e, int64_t pause_ms)
{
    if (str_eq(w->trouble, e->msg))
        return;
    log_warn("no warm sandbox could be made, will retry", "pause_ms=%lld why=%s",
             (long long)pause_ms, log_q(e->msg));
    free(w->trouble);
    w->trouble = mem_strdup(e->msg);
}

/* Keeps the pool full. */
static int fill(void *arg)
{
    struct box_warm *w = arg;
    int64_t pause_ms = RETRY_MS;
    int r = 0;
    while (r == 0) {
        if (w->n >= w->want || w->opening_now > 0) {
            r = waitq_wait(&w->changed);
            if (r == 0)
                r = fiber_sleep_ms(BREATH_MS);
            continue;
        }
        struct err e = {.code = 0};
        int added = add_one(w, &e);
        if (added == 0) {
            if (w->trouble)
                log_info("warm sandboxes can be made again", "ready=%zu", w->n);
            free(TAKE(w->trouble));
            pause_ms = RETRY_MS;
        } else if (added != -ECANCELED) {
            if (e.code == 0)
                err_set(&e, added, "%s", err_text(added));
            note_failure(w, &e, pause_ms);
            r = fiber_sleep_ms(pause_ms);
            pause_ms = pause_ms * 2 < RETRY_MAX_MS ? pause_ms * 2 : RETRY_MAX_MS;
        } else {
            r = added;
        }
    }
    return 0;
}

struct box_warm *box_warm_new(struct box_host *h, size_t n, const struct sandbox_spec *spec)
{
    struct box_warm *w = mem_new(struct box_warm);
    w->host = h;
    list_init(&w->ready);
    waitq_init(&w->changed);
    w->want = n;
    w->spec = spec;
    if (n > 0)
        w->spec_text = spec_text(spec);
    return w;
}

void box_warm_free(struct box_warm *w)
{
    if (!w)
        return;
    free(w->spec_text);
    free(w->trouble);
    free(w);
}

int box_warm_first(struct box_warm *w, struct err *e)
{
    return add_one(w, e);
}

int box_warm_start(struct box_warm *w)
{
    return w->want > 0 ? fiber_spawn(&w->host->scope, "warm", fill, w, NULL) : 0;
}

void box_warm_hold(struct box_warm *w)
{
    w->opening_now++;
}

void box_warm_go_on(struct box_warm *w)
{
    w->opening_now--;
    waitq_wake_all(&w->changed);
}

struct box *box_warm_take(struct box_warm *w, const struct sandbox_spec *spec)
{
    if (w->n == 0)
        return NULL;
    AUTO_FREE char *wanted = spec_text(spec);
    if (!str_eq(wanted, w->spec_text))
        return NULL;
    while (!list_empty(&w->ready)) {
        struct warm_box *wb = LIST_ENTRY(list_pop_front(&w->ready), struct warm_box, link);
        w->n--;
        struct box *b = TAKE(wb->box);
        bool dead = box_has_ended(b);
        fiber_cancel(wb->watcher); /* frees wb */
        waitq_wake_all(&w->changed);
        int r = dead ? -E_CLOSED : box_ping(b, PING_MS);
        if (r == 0)
            return b;
        bool cancelled = fiber_cancelled();
        if (!cancelled)
            log_warn("a warm sandbox does not answer", "pid=%d code=%s", box_pid(b), err_name(r));
        box_close(b);
        if (cancelled)
            return NULL; /* the caller's next suspension says so */
    }
    return NULL;
}

size_t box_warm_ready(const struct box_warm *w)
{
    return w->n;
}
