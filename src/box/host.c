/* host.c - a worker's host of sandboxes: started, tried, stopped, and asked for a box.
 *
 * Neutral to what makes sandboxes: an engine (engine.h) is chosen at start and does that. What is
 * the host's: the state directory, swept of what dead runs have left before anything is made; a
 * pool of threads for what blocks; the warm pool; and one trial at start, so that a setting that
 * cannot work fails there. Fibers only. Nothing that comes out of a sandbox is looked at here. */
#include "base/log.h"
#include "base/str.h"
#include "box/engine.h"
#include "box/open.h"
#include "box/warm.h"
#include "sandbox/spec.h"

/* A first sandbox, which is the pool's when there is one. */
static int try_one(struct box_host *h, const struct box_host_config *cfg, struct err *e)
{
    struct box *b = NULL;
    struct box_spec wanted = {.session_id = "start", .sandbox = cfg->warm_spec};
    int r = cfg->warm > 0 ? box_warm_first(h->warm, e) : box_open_cold(h, &wanted, &b, e);
    if (r < 0 && e->code == 0)
        err_set(e, r, "%s", err_text(r));
    if (box_may_pass(r)) {
        log_warn("no sandbox could be made at start; sessions will try again", "code=%s why=%s",
                 err_name(r), log_q(e->msg));
        *e = (struct err){.code = 0};
        return 0;
    }
    if (r < 0 && r != -EINVAL && h->made_by) /* -EINVAL: a setting, whatever the runtime */
        return err_wrap(e, r, "isolation \"%s\" does not work with %s", h->engine->name,
                        h->made_by);
    if (r < 0)
        return err_wrap(e, r, "no session could be served");
    box_close(b);
    return 0;
}

/* On a thread: sessions may have left trees that take a minute to remove. */
struct state_job {
    const char *dir;
    struct state *state;
    size_t swept;
    struct err err;
};

static int open_swept(void *arg)
{
    struct state_job *j = arg;
    return state_open(j->dir, j->state, &j->swept, &j->err);
}

static int open_state(struct box_host *h, const char *dir, struct err *e)
{
    if (!dir)
        return 0;
    box_oci_sweep(dir);
    struct state_job j = {.dir = dir, .state = &h->state};
    int r = pool_call(h->pool, open_swept, &j);
    h->have_state = r >= 0;
    if (r < 0)
        *e = j.err;
    if (j.swept)
        log_info("removed files of earlier runs", "runs=%zu", j.swept);
    return r;
}

static int remove_state(void *arg)
{
    state_done(arg);
    return 0;
}

static void host_free(struct box_host *h)
{
    if (h->have_state)
        (void)pool_call(h->pool, remove_state, &h->state);
    /* Not before: pool_call suspends, and until the end other fibers may still look at the host. */
    box_warm_free(TAKE(h->warm));
    pool_free(h->pool);
    free(h);
}

int box_host_start(const struct box_host_config *cfg, struct box_host **ret, struct err *e)
{
    static const struct box_engine *const engines[] = {
        [BOX_NATIVE] = &box_native, [BOX_OCI] = &box_oci, [BOX_NONE] = &box_none};
    static const struct box_host_config plain = {.state_dir = NULL};
    cfg = cfg ? cfg : &plain;
    struct box_host *h = mem_new(struct box_host);
    h->engine = engines[cfg->isolation];
    h->state = STATE_NONE;
    h->outside = cfg->outside;
    h->pool = pool_new("box", 2);
    scope_init(&h->scope);
    int r = open_state(h, cfg->state_dir, e);
    if (r >= 0)
        r = h->engine->start(h, cfg, e);
    if (r < 0) {
        host_free(h);
        return r;
    }
    h->warm = box_warm_new(h, cfg->warm, cfg->warm_spec);
    if (cfg->trial)
        r = try_one(h, cfg, e);
    if (r >= 0) {
        r = box_warm_start(h->warm);
        if (r < 0)
            err_set(e, r, "the fiber of the warm pool could not be started");
    }
    if (r < 0) {
        box_host_stop(h);
        return r;
    }
    *ret = h;
    return 0;
}

void box_host_stop(struct box_host *h)
{
    if (!h)
        return;
    scope_done(&h->scope);
    h->engine->stop(h);
    host_free(h);
}

/* ---- opening ---- */

int box_open(struct box_host *h, const struct box_spec *spec, struct box **ret, struct err *e)
{
    struct err ignored;
    e = e ? e : &ignored;
    box_warm_hold(h->warm);
    struct box *b = spec->disk_workspace ? NULL : box_warm_take(h->warm, spec->sandbox);
    const bool warm = b != NULL;
    int r = warm ? 0 : box_open_cold(h, spec, &b, e);
    box_warm_go_on(h->warm);
    if (r < 0)
        return r;
    if (h->engine->warning)
        log_warn(h->engine->warning, "session=%s pid=%d", log_q(spec->session_id), b->pid);
    if (h->outside && spec->session_id)
        h->outside->session(h->outside->arg, b->outside, spec->session_id);
    log_debug("sandbox opened", "session=%s pid=%d warm=%d", log_q(spec->session_id), b->pid, warm);
    *ret = b;
    return 0;
}

size_t box_host_warm(const struct box_host *h)
{
    return box_warm_ready(h->warm);
}
