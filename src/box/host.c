/* host.c - one zygote per worker: started, watched, replaced, and asked for sandboxes.
 *
 * A host has one fiber, the keeper, which takes the zygote's datagrams and hands replies to the
 * fiber in box_open that waits for them by number; a reply nobody waits for any more (cancelled)
 * has its descriptors closed, and that ends the sandbox. A zygote that dies takes its sandboxes
 * along; the keeper starts another. The zygote is trusted; what it hands over is a socket to a
 * process that is not (box.c). */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "io/sock.h"
#include "sandbox/sandbox.h"
#include "sandbox/spec.h"
#include "box/internal.h"

#define CREATE_MS  60000 /* for the zygote, which makes one after the other, to make one */
#define RESTART_MS 1000

/* A box_open that waits for the zygote's reply. */
struct opening {
    struct list link;
    int64_t seq;
    bool done;
    int channel, pidfd, pid;
    struct err err;
    struct waitq wait;
};

/* ---- the host ---- */

static void hand_over(struct box_host *h, const json_t *o, int *channel, int *pidfd)
{
    int64_t seq = json_get_int(o, "seq", 0);
    LIST_FOREACH (w, &h->opening, struct opening, link) {
        if (w->seq != seq)
            continue;
        w->done = true;
        if (json_get_bool(o, "ok", false) && *channel >= 0 && *pidfd >= 0) {
            w->channel = TAKE_FD(*channel);
            w->pidfd = TAKE_FD(*pidfd);
            w->pid = (int)json_get_int(o, "pid", 0);
        } else if (json_get_bool(o, "ok", false)) { /* it goes: nobody holds its channel */
            err_set(&w->err, -EMFILE,
                    "the worker has too many files open to take the sandbox over; raise its limit "
                    "(ulimit -n) or serve fewer sessions at once");
        } else {
            const char *words = json_get_str(o, "error");
            err_set(&w->err, box_reported_code(o), "%s",
                    words ? words : "the zygote gave no reason");
        }
        waitq_wake_all(&w->wait);
        return;
    }
}

/* One datagram from the zygote. 1 with the object, or a negative code. The first two descriptors go
 * to the caller. */
static int receive(struct box_host *h, json_t **ret, int *channel, int *pidfd)
{
    AUTO_FREE char *text = mem_array(SANDBOX_SPEC_MAX, 1);
    int fds[16];
    size_t n_fds = 0;
    ssize_t n = io_recv_fds(&h->ctl, text, SANDBOX_SPEC_MAX, fds, &n_fds);
    for (size_t i = n_fds == 2 ? 2 : 0; i < n_fds; i++)
        close(fds[i]);
    if (n_fds == 2) {
        *channel = fds[0];
        *pidfd = fds[1];
    }
    if (n <= 0)
        return n < 0 ? (int)n : -E_CLOSED;
    struct err e;
    int r = json_parse(text, (size_t)n, ret, &e);
    return r < 0 ? r : 1;
}

/* Reads until the zygote is gone; then everybody who waits for it is told. */
static int read_zygote(struct box_host *h)
{
    int r;
    for (;;) {
        AUTO_JSON json_t *o = NULL;
        AUTO_CLOSE int channel = -1, pidfd = -1;
        r = receive(h, &o, &channel, &pidfd);
        if (r < 0)
            break;
        if (json_object_get(o, "ended"))
            log_debug("sandbox ended", "pid=%lld status=%lld",
                      (long long)json_get_int(o, "ended", 0),
                      (long long)json_get_int(o, "status", 0));
        else
            hand_over(h, o, &channel, &pidfd);
    }
    h->alive = false;
    LIST_FOREACH (w, &h->opening, struct opening, link) {
        w->done = true;
        err_set(&w->err, -E_CLOSED, "the zygote ended");
        waitq_wake_all(&w->wait);
    }
    return r;
}

static int wait_ready(struct box_host *h, struct err *e)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(BOX_START_MS);
    AUTO_JSON json_t *hello = NULL;
    AUTO_CLOSE int channel = -1, pidfd = -1;
    int r = receive(h, &hello, &channel, &pidfd);
    if (r < 0)
        return err_set(e, r, "the zygote did not start: %s", err_text(r));
    const char *why_not = json_get_str(hello, "why_not");
    if (why_not)
        log_info("limits are not all capped by the kernel", "why=%s", log_q(why_not));
    if (json_get_bool(hello, "ready", false))
        return 0;
    const char *words = json_get_str(hello, "error");
    return err_set(e, -EIO, "no sandboxes on this host: %s",
                   words ? words : "the zygote gave no reason");
}

static void stop_zygote(struct box_host *h)
{
    io_fd_close(&h->ctl);
    if (h->zygote.pid) {
        AUTO(fiber_shield) s = fiber_shield_begin(BOX_CLOSE_MS);
        int status;
        if (proc_wait(&h->zygote, &status) < 0)
            log_warn("zygote did not end by itself", "pid=%d", (int)h->zygote.pid);
    }
    proc_done(&h->zygote);
    h->alive = false;
}

static int start_zygote(struct box_host *h, struct err *e)
{
    int pair[2];
    int r = sock_pair(SOCK_SEQPACKET, pair);
    if (r < 0)
        return err_set(e, r, "could not make a socket: %s", err_text(r));
    AUTO_CLOSE int ours = pair[0], theirs = pair[1];
    /* What it finds of other runs is nothing for a person who wants to see their own program. */
    const char *const argv[] = {"sallyport", "zygote", log_enabled(LOG_WARN) ? NULL : "quiet",
                                NULL};
    static const char *const envp[] = {NULL};
    struct proc_spec spec = {.path = "/proc/self/exe",
                             .argv = argv,
                             .envp = envp,
                             .stdin_fd = -1,
                             .stdout_fd = -1,
                             .stderr_fd = 2,
                             .extra_fds = &theirs,
                             .n_extra_fds = 1,
                             .own_session = true,
                             .die_with_parent = true};
    r = proc_start(&h->zygote, &spec, e);
    close(TAKE_FD(theirs)); /* the zygote's is the only one, and ends with it */
    if (r < 0)
        return r;
    r = io_fd_add(&h->ctl, ours);
    if (r < 0) {
        proc_done(&h->zygote);
        return err_set(e, r, "could not watch the zygote: %s", err_text(r));
    }
    ours = -1;
    r = wait_ready(h, e);
    if (r < 0)
        stop_zygote(h);
    h->alive = r >= 0;
    return r;
}

/* The keeper: reads, and replaces a zygote that has died, at most one a second. */
static int keep_zygote(void *arg)
{
    struct box_host *h = arg;
    int64_t started_ns = time_mono_ns();
    for (;;) {
        int r = h->alive ? read_zygote(h) : 0;
        if (r == -ECANCELED)
            return 0;
        if (r < 0) {
            log_error("zygote ended; starting another", "code=%s", err_name(r));
            stop_zygote(h);
        }
        if (fiber_sleep_until(started_ns + RESTART_MS * NS_PER_MS) == -ECANCELED)
            return 0;
        started_ns = time_mono_ns();
        h->start_err = (struct err){.code = 0};
        (void)!start_zygote(h, &h->start_err);
        h->starts++;
        waitq_wake_all(&h->changed);
    }
}

static int native_start(struct box_host *h, const struct box_host_config *cfg, struct err *e)
{
    (void)cfg;
    int r = start_zygote(h, e);
    if (r < 0)
        return r;
    r = fiber_spawn(&h->scope, "zygote", keep_zygote, h, NULL);
    if (r < 0) {
        stop_zygote(h);
        return err_set(e, r, "no fiber for the zygote");
    }
    return 0;
}

/* ---- opening ---- */

static int send_create(struct box_host *h, const struct sandbox_spec *spec, int64_t seq,
                       struct err *e)
{
    AUTO_JSON json_t *o = json_object();
    json_put_str(o, "op", "create");
    json_put_int(o, "seq", seq);
    json_put(o, "spec", sandbox_spec_json(spec));
    size_t n;
    AUTO_FREE char *text = json_text(o, &n);
    if (n > SANDBOX_SPEC_MAX)
        return err_set(e, -E2BIG, "the sandbox's specification is longer than %u bytes",
                       SANDBOX_SPEC_MAX);
    int r = fmutex_lock(&h->sending);
    if (r < 0)
        return r;
    ssize_t sent = io_send_fds(&h->ctl, text, n, NULL, 0);
    fmutex_unlock(&h->sending);
    explicit_bzero(text, n);
    return sent < 0 ? err_set(e, (int)sent, "could not reach the zygote: %s", err_text((int)sent))
                    : 0;
}

/* Waits for a zygote that is being replaced: until it is there or one more attempt has failed. */
static int ensure_zygote(struct box_host *h, struct err *e)
{
    uint64_t starts = h->starts;
    int r = 0;
    while (r >= 0 && !h->alive && h->starts == starts)
        r = waitq_wait(&h->changed);
    if (r >= 0 && !h->alive) {
        *e = h->start_err;
        r = e->code;
    }
    return r;
}

static int request(struct box_host *h, const struct sandbox_spec *spec, struct opening *w,
                   struct err *e)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(CREATE_MS);
    w->seq = ++h->seq;
    list_push_back(&h->opening, &w->link);
    int r = send_create(h, spec, w->seq, e);
    while (r >= 0 && !w->done)
        r = waitq_wait(&w->wait);
    list_remove(&w->link);
    if (r == -ETIMEDOUT)
        return err_set(e, r, "the zygote made no sandbox within %d s; is a --bind source hanging?",
                       CREATE_MS / 1000);
    if (r >= 0 && w->channel < 0) {
        *e = w->err;
        r = w->err.code;
    }
    return r;
}

/* A zygote that ends before it has answered is replaced, and its successor asked once more. */
static int request_again(struct box_host *h, const struct sandbox_spec *spec, struct opening *w,
                         struct err *e)
{
    for (int tries = 0;; tries++) {
        int r = ensure_zygote(h, e);
        if (r < 0)
            return r;
        uint64_t starts = h->starts;
        *w = (struct opening){.channel = -1, .pidfd = -1};
        waitq_init(&w->wait);
        r = request(h, spec, w, e);
        bool gone = r == -EPIPE || r == -ECONNRESET || r == -EBADF || r == -E_CLOSED;
        if (!gone || tries > 0)
            return r;
        if (h->starts == starts)
            h->alive = false; /* the keeper is about to notice; nobody else should ask this one */
    }
}

static int native_open(struct box *b, const struct sandbox_spec *spec, struct err *e)
{
    struct opening w = {.channel = -1, .pidfd = -1};
    int r = request_again(b->host, spec, &w, e);
    if (r >= 0)
        r = box_attach(b, &w.channel, &w.pidfd, w.pid, e);
    if (w.channel >= 0)
        close(w.channel);
    if (w.pidfd >= 0)
        close(w.pidfd);
    return r;
}

const struct box_engine box_native = {
    .name = "native", .start = native_start, .stop = stop_zygote, .open = native_open};

/* ---- hosts of any kind ---- */

/* A first sandbox, which is the pool's when there is one. */
static int try_one(struct box_host *h, const struct sandbox_spec *spec, struct err *e)
{
    struct box *b = NULL;
    struct box_spec wanted = {.session_id = "start", .sandbox = spec};
    int r = h->warm.want > 0 ? box_warm_first(h, e) : box_open_cold(h, &wanted, &b, e);
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
        log_info("removed what earlier runs left", "runs=%zu", j.swept);
    return r;
}

static int remove_state(void *arg)
{
    state_done(arg);
    return 0;
}

static void host_free(struct box_host *h)
{
    box_warm_done(h);
    if (h->have_state)
        (void)pool_call(h->pool, remove_state, &h->state);
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
    h->ctl = IO_FD_NONE;
    h->state = STATE_NONE;
    h->zygote.pidfd = IO_FD_NONE;
    list_init(&h->opening);
    fmutex_init(&h->sending);
    waitq_init(&h->changed);
    h->pool = pool_new("box", 2);
    scope_init(&h->scope);
    int r = open_state(h, cfg->state_dir, e);
    if (r >= 0)
        r = h->engine->start(h, cfg, e);
    if (r < 0) {
        host_free(h);
        return r;
    }
    box_warm_init(h, cfg->warm, cfg->warm_spec);
    if (cfg->trial)
        r = try_one(h, cfg->warm_spec, e);
    if (r >= 0) {
        r = box_warm_start(h);
        if (r < 0)
            err_set(e, r, "no fiber for the warm pool");
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

/* ---- opening, whatever the engine ---- */

static int open_with(struct box *b, const struct box_spec *spec, struct err *e)
{
    struct box_host *h = b->host;
    struct sandbox_spec chosen;
    sandbox_spec_init(&chosen);
    /* A shallow copy: only workspace_dir is ours to set, and to take out again. */
    if (spec->sandbox)
        chosen = *spec->sandbox;
    if (spec->disk_workspace) {
        if (!h->have_state)
            return err_set(e, -EINVAL, "a workspace on disk needs a state directory");
        b->dir = state_make(&h->state, e);
        if (!b->dir)
            return e->code;
        chosen.workspace_dir = b->dir;
    }
    return h->engine->open(b, &chosen, e);
}

int box_open_cold(struct box_host *h, const struct box_spec *spec, struct box **ret, struct err *e)
{
    struct box *b = box_new(h);
    int r = open_with(b, spec, e);
    if (r < 0) {
        box_close(b);
        return r;
    }
    *ret = b;
    return 0;
}

int box_open(struct box_host *h, const struct box_spec *spec, struct box **ret, struct err *e)
{
    struct err ignored;
    e = e ? e : &ignored;
    h->opening_now++;
    struct box *b = spec->disk_workspace ? NULL : box_warm_take(h, spec->sandbox);
    const bool warm = b != NULL;
    int r = warm ? 0 : box_open_cold(h, spec, &b, e);
    h->opening_now--;
    waitq_wake_all(&h->warm.changed);
    if (r < 0)
        return r;
    if (h->engine->warning)
        log_warn(h->engine->warning, "session=%s pid=%d", log_q(spec->session_id), b->pid);
    log_debug("sandbox opened", "session=%s pid=%d warm=%d", log_q(spec->session_id), b->pid, warm);
    *ret = b;
    return 0;
}
