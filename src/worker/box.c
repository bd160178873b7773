/* box.c - talking to the zygote and to the init of each sandbox.
 *
 * A host has one fiber, the keeper, which takes the zygote's datagrams and hands replies to the
 * fiber in box_open that waits for them by number; a reply nobody waits for any more (cancelled)
 * has its descriptors closed, and that ends the sandbox. A zygote that dies takes its sandboxes
 * along; the keeper starts another. A box has no fiber of its own: box_call writes one frame and
 * reads frames until its answer comes, under a lock, so calls of a box take turns.
 *
 * Cancellation is real: a cancelled box_call tells init, waits for the answer under a shield, and
 * only then returns, so that nothing the call has started runs on. When init does not answer in
 * time, or the stream breaks in the middle of a message, the sandbox is killed.
 *
 * An attacker who had taken over init controls what comes out of a box's socket: frame sizes are
 * capped before memory is used, JSON is depth-limited, ids and shapes are checked, and no
 * descriptor is ever accepted from it. */
#include "worker/box.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/sync.h"
#include "io/loop.h"
#include "io/pool.h"
#include "io/proc.h"
#include "io/sock.h"
#include "sandbox/frame.h"
#include "sandbox/sandbox.h"
#include "sandbox/spec.h"
#include "sandbox/state.h"

#define START_MS   10000 /* for a zygote to come up, and for a sandbox */
#define CREATE_MS  60000 /* for the zygote, which makes one after the other, to make one */
#define CANCEL_MS  3000  /* for init to answer a cancelled call; it needs some 100 */
#define CLOSE_MS   5000  /* for a killed sandbox to be gone */
#define RESTART_MS 1000
#define READ_STEP  65536

struct box_host {
    struct proc zygote;
    struct io_fd ctl;
    struct scope scope; /* the keeper */
    struct list opening;
    struct fmutex sending;
    bool alive;
    struct waitq changed; /* alive, or another start has failed */
    uint64_t starts;
    struct err start_err;
    int64_t seq;
    struct state state;
    bool have_state;
    struct pool *pool;
};

/* A box_open that waits for the zygote's reply. */
struct opening {
    struct list link;
    int64_t seq;
    bool done;
    int channel, pidfd, pid;
    struct err err;
    struct waitq wait;
};

struct box {
    struct box_host *host;
    struct io_fd channel, pidfd;
    struct buf in;
    struct fmutex calls, writing;
    int64_t last_id, current; /* current: id of the call in progress, 0 */
    bool broken;
    int pid;
    char *dir;
};

void box_result_done(struct box_result *r)
{
    json_decref(r->content);
    *r = (struct box_result){.content = NULL};
}

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
        } else {
            const char *words = json_get_str(o, "error");
            err_set(&w->err, -EIO, "%s", words ? words : "the zygote gave no reason");
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
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(START_MS);
    AUTO_JSON json_t *hello = NULL;
    AUTO_CLOSE int channel = -1, pidfd = -1;
    int r = receive(h, &hello, &channel, &pidfd);
    if (r < 0)
        return err_set(e, r, "the zygote did not start: %s", err_text(r));
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
        AUTO(fiber_shield) s = fiber_shield_begin(CLOSE_MS);
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
    static const char *const argv[] = {"sallyport", "zygote", NULL};
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

int box_host_start(const char *state_dir, struct box_host **ret, struct err *e)
{
    struct box_host *h = mem_new(struct box_host);
    h->ctl = IO_FD_NONE;
    h->state = STATE_NONE;
    h->zygote.pidfd = IO_FD_NONE;
    list_init(&h->opening);
    fmutex_init(&h->sending);
    waitq_init(&h->changed);
    h->pool = pool_new("box", 2);
    size_t swept = 0;
    int r = state_dir ? state_open(state_dir, &h->state, &swept, e) : 0;
    h->have_state = state_dir && r >= 0;
    if (swept)
        log_info("removed what earlier runs left", "runs=%zu", swept);
    if (r >= 0)
        r = start_zygote(h, e);
    scope_init(&h->scope);
    if (r >= 0) {
        r = fiber_spawn(&h->scope, "zygote", keep_zygote, h, NULL);
        if (r < 0) {
            stop_zygote(h);
            err_set(e, r, "no fiber for the zygote");
        }
    }
    if (r < 0) {
        state_done(&h->state);
        pool_free(h->pool);
        free(h);
        return r;
    }
    *ret = h;
    return 0;
}

static int remove_state(void *arg)
{
    state_done(arg);
    return 0;
}

void box_host_stop(struct box_host *h)
{
    if (!h)
        return;
    scope_done(&h->scope);
    stop_zygote(h);
    if (h->have_state)
        (void)pool_call(h->pool, remove_state, &h->state);
    pool_free(h->pool);
    free(h);
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

/* Next message of the box. 1 with a new reference, or a negative code. */
static int next_message(struct box *b, json_t **ret, struct err *e)
{
    for (;;) {
        int r = frame_next(&b->in, ret, e);
        if (r != 0)
            return r;
        char *room = buf_room(&b->in, READ_STEP);
        if (!room)
            return err_set(e, -EMSGSIZE, "the sandbox sent more than it may");
        ssize_t n = io_read(&b->channel, room, READ_STEP);
        if (n == 0)
            return err_set(e, -E_CLOSED, "the sandbox has ended");
        if (n < 0)
            return (int)n;
        buf_commit(&b->in, (size_t)n);
    }
}

static int wait_hello(struct box *b, struct err *e)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(START_MS);
    AUTO_JSON json_t *o = NULL;
    int r = next_message(b, &o, e);
    if (r < 0)
        return r;
    if (json_get_bool(o, "ready", false))
        return 0;
    const char *words = json_get_str(o, "error");
    return err_set(e, -EIO, "the sandbox could not be built: %s",
                   words ? words : "no reason given");
}

static int attach(struct box *b, struct opening *w, struct err *e)
{
    int r = io_fd_add(&b->channel, w->channel);
    if (r >= 0) {
        w->channel = -1;
        r = io_fd_add(&b->pidfd, w->pidfd);
    }
    if (r < 0)
        return err_set(e, r, "could not watch the sandbox: %s", err_text(r));
    w->pidfd = -1;
    b->pid = w->pid;
    return wait_hello(b, e);
}

static int open_with(struct box *b, const struct box_spec *spec, struct err *e)
{
    struct box_host *h = b->host;
    struct sandbox_spec chosen;
    sandbox_spec_init(&chosen);
    if (spec->sandbox) /* a shallow copy: only workspace_dir is ours to set, and to take out again
                        */
        chosen = *spec->sandbox;
    if (spec->disk_workspace) {
        if (!h->have_state)
            return err_set(e, -EINVAL, "a workspace on disk needs a state directory");
        b->dir = state_make(&h->state, e);
        if (!b->dir)
            return e->code;
        chosen.workspace_dir = b->dir;
    }
    struct opening w = {.channel = -1, .pidfd = -1};
    int r = request_again(h, &chosen, &w, e);
    if (r >= 0)
        r = attach(b, &w, e);
    if (w.channel >= 0)
        close(w.channel);
    if (w.pidfd >= 0)
        close(w.pidfd);
    return r;
}

int box_open(struct box_host *h, const struct box_spec *spec, struct box **ret, struct err *e)
{
    struct err ignored;
    e = e ? e : &ignored;
    struct box *b = mem_new(struct box);
    b->host = h;
    b->channel = b->pidfd = IO_FD_NONE;
    buf_init(&b->in, SANDBOX_FRAME_MAX + 4u + READ_STEP);
    fmutex_init(&b->calls);
    fmutex_init(&b->writing);
    int r = open_with(b, spec, e);
    if (r < 0) {
        box_close(b);
        return r;
    }
    log_debug("sandbox opened", "session=%s pid=%d", log_q(spec->session_id), b->pid);
    *ret = b;
    return 0;
}

int box_pid(const struct box *b)
{
    return b->pid;
}

struct io_fd *box_channel(struct box *b)
{
    return &b->channel;
}

/* ---- calls ---- */

static void kill_box(struct box *b)
{
    b->broken = true;
    if (b->pidfd.fd >= 0)
        (void)pidfd_send_signal(b->pidfd.fd, SIGKILL, NULL, 0);
}

static int send_frame(struct box *b, const json_t *o)
{
    AUTO(buf) out = BUF_INIT(SANDBOX_FRAME_MAX + 4u);
    int r = frame_add(&out, o);
    if (r < 0)
        return r;
    r = fmutex_lock(&b->writing);
    if (r < 0)
        return r;
    if (b->broken)
        r = -E_CLOSED;
    size_t left = out.len;
    while (r >= 0 && left > 0) {
        ssize_t n = io_send_fds(&b->channel, out.data + out.len - left, left, NULL, 0);
        r = n < 0 ? (int)n : 0;
        left -= n < 0 ? 0 : (size_t)n;
    }
    if (r < 0 && left != out.len)
        kill_box(b); /* half a message: the stream can not be followed any more */
    fmutex_unlock(&b->writing);
    return r;
}

/* Content blocks as the platform knows them: text or base64 image. Anything else is not passed on.
 */
static bool content_ok(const json_t *content)
{
    if (!json_is_array(content) || json_array_size(content) == 0 || json_array_size(content) > 64)
        return false;
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *block = json_array_get(content, i),
                     *source = json_object_get(block, "source");
        const char *type = json_get_str(block, "type");
        bool text = str_eq(type, "text") && json_get_str(block, "text");
        bool image = str_eq(type, "image") && str_eq(json_get_str(source, "type"), "base64") &&
                     json_get_str(source, "media_type") && json_get_str(source, "data");
        if (!text && !image)
            return false;
    }
    return true;
}

/* Waits for the answer to `id`. 0 with *ret set, or a negative code. */
static int await_answer(struct box *b, int64_t id, struct box_result *ret, struct err *e)
{
    for (;;) {
        AUTO_JSON json_t *o = NULL;
        int r = next_message(b, &o, e);
        if (r < 0)
            return r;
        if (json_get_int(o, "id", 0) != id)
            continue;
        json_t *content = json_object_get(o, "content");
        if (!content_ok(content))
            return err_set(e, -E_PROTO,
                           "the sandbox's answer has no content that could be passed on");
        *ret = (struct box_result){.content = json_incref(content),
                                   .is_error = json_get_bool(o, "is_error", true),
                                   .duration_ms = json_get_int(o, "duration_ms", 0)};
        return 0;
    }
}

static int send_cancel(struct box *b, int64_t id)
{
    AUTO_JSON json_t *o = json_object();
    json_put_str(o, "op", "cancel");
    json_put_int(o, "id", id);
    return send_frame(b, o);
}

/* After a cancellation: the call is over inside when this returns, one way or the other. */
static void finish_cancelled(struct box *b, int64_t id)
{
    AUTO(fiber_shield) s = fiber_shield_begin(CANCEL_MS);
    struct box_result unused = {.content = NULL};
    struct err e;
    int r = send_cancel(b, id);
    if (r >= 0)
        r = await_answer(b, id, &unused, &e);
    box_result_done(&unused);
    if (r < 0)
        kill_box(b);
}

static int call_locked(struct box *b, const char *tool, const json_t *input, int64_t timeout_ms,
                       struct box_result *ret, struct err *e)
{
    if (b->broken)
        return err_set(e, -E_CLOSED, "the sandbox has ended");
    int64_t id = ++b->last_id;
    AUTO_JSON json_t *o = json_object();
    json_put_str(o, "op", "call");
    json_put_int(o, "id", id);
    json_put_str(o, "tool", tool);
    /* The input is only read; jansson counts references on it all the same. */
    json_put(o, "input", json_incref((json_t *)(uintptr_t)input));
    if (timeout_ms > 0)
        json_put_int(o, "timeout_ms", timeout_ms);
    int r = send_frame(b, o);
    if (r == -EMSGSIZE)
        return err_set(e, r, "the call's input is larger than a sandbox takes");
    if (r >= 0) {
        b->current = id;
        r = await_answer(b, id, ret, e);
        b->current = 0;
        if (r == -ECANCELED || r == -ETIMEDOUT)
            finish_cancelled(b, id);
    }
    if (r < 0 && r != -ECANCELED && r != -ETIMEDOUT)
        kill_box(b);
    return r;
}

int box_call(struct box *b, const char *tool, const json_t *input, int64_t timeout_ms,
             struct box_result *ret, struct err *e)
{
    struct err ignored;
    e = e ? e : &ignored;
    *e = (struct err){.code = 0};
    int r = fmutex_lock(&b->calls);
    if (r < 0)
        return r;
    r = call_locked(b, tool, input, timeout_ms, ret, e);
    fmutex_unlock(&b->calls);
    if (r < 0 && e->code == 0)
        err_set(e, r, "the sandbox could not be reached: %s", err_text(r));
    return r;
}

int box_cancel(struct box *b)
{
    return b->current ? send_cancel(b, b->current) : 0;
}

/* ---- closing ---- */

static int remove_dir(void *arg)
{
    return state_remove_tree(AT_FDCWD, arg);
}

void box_close(struct box *b)
{
    if (!b)
        return;
    AUTO(fiber_shield) s = fiber_shield_begin(CLOSE_MS);
    kill_box(b);
    io_fd_close(&b->channel);
    /* The kernel reports the end of a namespace's first process after that of all the others. */
    int r = b->pidfd.fd >= 0 ? io_wait_readable(&b->pidfd) : 0;
    if (r < 0)
        log_error("sandbox did not end", "pid=%d code=%s", b->pid, err_name(r));
    io_fd_close(&b->pidfd);
    if (b->dir) {
        r = pool_call(b->host->pool, remove_dir, b->dir);
        if (r < 0)
            log_error("workspace not removed", "dir=%s code=%s", log_q(b->dir), err_name(r));
    }
    buf_done(&b->in);
    free(b->dir);
    free(b);
}
