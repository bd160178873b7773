/* native.c - the engine of our own: one zygote per worker, started, watched, replaced, and asked
 * for sandboxes.
 *
 * One fiber, the keeper, takes the zygote's datagrams and hands replies to the fiber in native_open
 * that waits for them by number; a reply nobody waits for any more (cancelled) has its descriptors
 * closed, and that ends the sandbox. A zygote that dies takes its sandboxes along; the keeper
 * starts another. The zygote is trusted; what it hands over is a socket to a process that is not
 * (box.c). */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "box/doors.h"
#include "box/engine.h"
#include "box/moved.h"
#include "io/proc.h"
#include "io/sock.h"
#include "sandbox/sandbox.h"
#include "sandbox/spec.h"
#include "sandbox/zygote/sealed.h"

#define CREATE_MS  60000 /* for the zygote, which makes one after the other, to make one */
#define RESTART_MS 1000

/* What comes with a reply: the channel, the pidfd, and then the sockets of doors. */
struct handed {
    int fd[IO_FDS_MAX];
    size_t n;
};
enum { CHANNEL, PIDFD, DOORS };

static void handed_done(struct handed *h)
{
    for (size_t i = 0; i < h->n; i++)
        fd_cleanup_close(&h->fd[i]);
    h->n = 0;
}

/* A native_open that waits for the zygote's reply. */
struct opening {
    struct list link;
    int64_t seq;
    bool done;
    int pid;
    bool doors;           /* those that were asked for are among the descriptors */
    struct handed handed; /* n >= DOORS when there is a sandbox */
    struct err err;
    struct waitq wait;
};

/* The host's one zygote. */
struct native {
    struct proc zygote;
    struct io_fd ctl;
    struct list opening;
    struct fmutex sending;
    bool alive;
    bool single;          /* it makes one sandbox, and is not replaced */
    bool greeted;         /* it has said whether it can make any */
    bool closed;          /* it has closed its end: nothing that it held is left */
    struct waitq changed; /* alive, or another start has failed */
    uint64_t starts;
    struct err start_err;
    int64_t seq;
    void (*tell)(const char *sentence); /* NULL: the log is told */
    char
        *text; /* the datagram at hand. Kept: fresh zeros for each would cost a page fault a page */
};

/* ---- the zygote ---- */

static void hand_over(struct native *z, const json_t *o, struct handed *h)
{
    int64_t seq = json_get_int(o, "seq", 0);
    LIST_FOREACH (w, &z->opening, struct opening, link) {
        if (w->seq != seq)
            continue;
        w->done = true;
        if (json_get_bool(o, "ok", false) && h->n >= DOORS) {
            w->handed = *h;
            h->n = 0;
            w->doors = json_get_bool(o, "doors", false);
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

static void tell_moved(const struct native *z, const json_t *moved)
{
    AUTO_FREE char *text = moved_sentence(moved);
    if (!text)
        return;
    if (z->tell)
        z->tell(text);
    else
        log_warn("a sandbox has made what programs of this host act on", "what=%s", log_q(text));
}

/* One datagram from the zygote. 1 with the object, or a negative code. Its descriptors are the
 * caller's. */
static int receive(struct native *z, json_t **ret, struct handed *h)
{
    ssize_t n = io_recv_fds(&z->ctl, z->text, SANDBOX_SPEC_MAX, h->fd, ARRAY_LEN(h->fd), &h->n);
    if (n <= 0)
        return n < 0 ? (int)n : -E_CLOSED;
    struct err e;
    int r = json_parse(z->text, (size_t)n, ret, &e);
    return r < 0 ? r : 1;
}

static void fail_all(struct native *z, const struct err *e)
{
    LIST_FOREACH (w, &z->opening, struct opening, link) {
        if (w->done)
            continue;
        w->done = true;
        w->err = *e;
        waitq_wake_all(&w->wait);
    }
}

/* The zygote's first message: whether it can make sandboxes. */
static int take_hello(struct native *z, const json_t *hello, struct err *e)
{
    z->greeted = true;
    const char *why_not = json_get_str(hello, "why_not");
    if (why_not)
        log_info("the kernel does not enforce all limits", "why=%s", log_q(why_not));
    if (json_get_bool(hello, "ready", false))
        return 0;
    const char *words = json_get_str(hello, "error");
    return err_set(e, -EIO, "this host cannot run sandboxes: %s",
                   words ? words : "the zygote gave no reason");
}

/* The same at the end, whether we are cancelled or not: a sweep may have much to tell, so what is
 * bounded is the silence between one word and the next. */
static int receive_last(struct native *z, json_t **ret, struct handed *h)
{
    AUTO(fiber_shield) s = fiber_shield_begin(BOX_CLOSE_MS);
    return receive(z, ret, h);
}

/* Reads until the zygote is gone; then everybody who waits for it is told. */
static int read_zygote(struct native *z, bool ending)
{
    int r;
    struct err e = {.code = 0};
    for (;;) {
        AUTO_JSON json_t *o = NULL;
        AUTO(handed) h = {.n = 0};
        r = ending ? receive_last(z, &o, &h) : receive(z, &o, &h);
        if (r < 0)
            break;
        const json_t *moved = json_object_get(o, "moved");
        if (moved)
            tell_moved(z, moved);
        else if (json_object_get(o, "ended"))
            log_debug("sandbox ended", "pid=%lld status=%lld",
                      (long long)json_get_int(o, "ended", 0),
                      (long long)json_get_int(o, "status", 0));
        else if (!z->greeted && take_hello(z, o, &e) < 0)
            fail_all(z, &e);
        else if (json_object_get(o, "seq")) /* one that makes one sandbox greets with its answer */
            hand_over(z, o, &h);
    }
    z->alive = r == -ECANCELED; /* it was the reader who was ended */
    z->closed = r == -E_CLOSED || r == -ECONNRESET;
    if (e.code == 0 && z->greeted)
        err_set(&e, -E_CLOSED, "the zygote ended");
    else if (e.code == 0)
        err_set(&e, -E_CLOSED, "the zygote did not start: %s", err_text(r));
    fail_all(z, &e);
    z->start_err = e;
    return r;
}

static int wait_ready(struct native *z, struct err *e)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(BOX_START_MS);
    AUTO_JSON json_t *hello = NULL;
    AUTO(handed) h = {.n = 0};
    int r = receive(z, &hello, &h);
    return r < 0 ? err_set(e, r, "the zygote did not start: %s", err_text(r))
                 : take_hello(z, hello, e);
}

/* Lets it come to its end, and hears what it still has to say. */
static void hear_out(struct native *z)
{
    if (z->ctl.fd >= 0 && shutdown(z->ctl.fd, SHUT_WR) == 0)
        (void)read_zygote(z, true);
    z->alive = false;
}

static void stop_zygote(struct native *z)
{
    if (z->alive)
        hear_out(z);
    if (z->single && z->closed) /* nothing is left of it but a process at its end */
        proc_leave(&z->zygote);
    io_fd_close(&z->ctl);
    if (z->zygote.pid) {
        AUTO(fiber_shield) s = fiber_shield_begin(BOX_CLOSE_MS);
        int status;
        if (proc_wait(&z->zygote, &status) < 0)
            log_warn("zygote did not end by itself", "pid=%d", (int)z->zygote.pid);
    }
    proc_done(&z->zygote);
    z->alive = false;
}

static int start_zygote(struct native *z, struct err *e)
{
    int pair[2];
    int r = sock_pair(SOCK_SEQPACKET, pair);
    if (r < 0)
        return err_set(e, r, "could not make a socket: %s", err_text(r));
    AUTO_CLOSE int ours = pair[0], theirs = pair[1];
    /* What it finds of other runs is nothing for a person who wants to see their own program. */
    const char *argv[] = {"sallyport", "zygote", NULL, NULL, NULL};
    size_t n = 2;
    if (!log_enabled(LOG_WARN))
        argv[n++] = "quiet";
    if (z->single)
        argv[n++] = "single";
    static const char *const envp[] = {NULL};
    /* Sealed here, the program is loaded once and not twice (zygote/sealed.c). */
    AUTO_CLOSE int program = sealed_copy(e);
    if (program < 0)
        return program;
    struct proc_spec spec = {.path = "/proc/self/exe",
                             .exec_fd = &program,
                             .argv = argv,
                             .envp = envp,
                             .stdin_fd = -1,
                             .stdout_fd = -1,
                             .stderr_fd = 2,
                             .extra_fds = &theirs,
                             .n_extra_fds = 1,
                             .own_session = true,
                             .die_with_parent = true};
    r = proc_start(&z->zygote, &spec, e);
    close(TAKE_FD(theirs)); /* the zygote's is the only one, and ends with it */
    if (r < 0)
        return r;
    r = io_fd_add(&z->ctl, ours);
    if (r < 0) {
        proc_done(&z->zygote);
        return err_set(e, r, "could not watch the zygote: %s", err_text(r));
    }
    ours = -1;
    z->greeted = z->closed = false;
    /* The one request can be on its way while the zygote gets ready; the keeper takes its word. */
    r = z->single ? 0 : wait_ready(z, e);
    if (r < 0)
        stop_zygote(z);
    z->alive = r >= 0;
    return r;
}

/* The keeper: reads, and replaces a zygote that has died, at most one a second. */
static int keep_zygote(void *arg)
{
    struct native *z = arg;
    int64_t started_ns = time_mono_ns();
    for (;;) {
        int r = z->alive ? read_zygote(z, false) : 0;
        if (r == -ECANCELED || z->single)
            return 0;
        if (r < 0) {
            log_error("zygote ended; starting another", "code=%s", err_name(r));
            stop_zygote(z);
        }
        if (fiber_sleep_until(started_ns + RESTART_MS * NS_PER_MS) == -ECANCELED)
            return 0;
        started_ns = time_mono_ns();
        z->start_err = (struct err){.code = 0};
        (void)!start_zygote(z, &z->start_err);
        z->starts++;
        waitq_wake_all(&z->changed);
    }
}

static void native_free(struct native *z)
{
    free(z->text);
    free(z);
}

static int native_start(struct box_host *h, const struct box_host_config *cfg, struct err *e)
{
    struct native *z = mem_new(struct native);
    z->text = mem_array(SANDBOX_SPEC_MAX, 1);
    z->single = cfg->single;
    z->tell = cfg->tell;
    z->ctl = IO_FD_NONE;
    z->zygote.pidfd = IO_FD_NONE;
    list_init(&z->opening);
    fmutex_init(&z->sending);
    waitq_init(&z->changed);
    int r = start_zygote(z, e);
    if (r >= 0 && (r = fiber_spawn(&h->scope, "zygote", keep_zygote, z, NULL)) < 0) {
        stop_zygote(z);
        err_set(e, r, "no fiber for the zygote");
    }
    if (r < 0) {
        native_free(z);
        return r;
    }
    h->own = z;
    return 0;
}

static void native_stop(struct box_host *h)
{
    stop_zygote(h->own);
    native_free(h->own);
    h->own = NULL;
}

/* ---- opening ---- */

static int send_create(struct native *z, const struct sandbox_spec *spec, int64_t seq,
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
    int r = fmutex_lock(&z->sending);
    if (r < 0)
        return r;
    ssize_t sent = io_send_fds(&z->ctl, text, n, NULL, 0);
    fmutex_unlock(&z->sending);
    explicit_bzero(text, n);
    return sent < 0 ? err_set(e, (int)sent, "could not reach the zygote: %s", err_text((int)sent))
                    : 0;
}

/* Waits for a zygote that is being replaced: until it is there or one more attempt has failed. */
static int ensure_zygote(struct native *z, struct err *e)
{
    uint64_t starts = z->starts;
    int r = 0;
    if (!z->alive && z->single) {
        *e = z->start_err;
        return e->code;
    }
    while (r >= 0 && !z->alive && z->starts == starts)
        r = waitq_wait(&z->changed);
    if (r >= 0 && !z->alive) {
        *e = z->start_err;
        r = e->code;
    }
    return r;
}

static int request(struct native *z, const struct sandbox_spec *spec, struct opening *w,
                   struct err *e)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(CREATE_MS);
    w->seq = ++z->seq;
    list_push_back(&z->opening, &w->link);
    int r = send_create(z, spec, w->seq, e);
    if ((r == -EPIPE || r == -ECONNRESET) && z->single)
        r = 0; /* it may have said why before it ended: the keeper has not read that yet */
    while (r >= 0 && !w->done)
        r = waitq_wait(&w->wait);
    list_remove(&w->link);
    if (r == -ETIMEDOUT)
        return err_set(e, r, "the zygote made no sandbox within %d s; is a --bind source hanging?",
                       CREATE_MS / 1000);
    if (r >= 0 && w->handed.n < DOORS) {
        *e = w->err;
        r = w->err.code;
    }
    return r;
}

/* A zygote that ends before it has answered is replaced, and its successor asked once more. */
static int request_again(struct native *z, const struct sandbox_spec *spec, struct opening *w,
                         struct err *e)
{
    for (int tries = 0;; tries++) {
        int r = ensure_zygote(z, e);
        if (r < 0)
            return r;
        uint64_t starts = z->starts;
        handed_done(&w->handed);
        *w = (struct opening){.done = false};
        waitq_init(&w->wait);
        r = request(z, spec, w, e);
        bool gone = r == -EPIPE || r == -ECONNRESET || r == -EBADF || r == -E_CLOSED;
        if (!gone || tries > 0 || z->single)
            return r;
        if (z->starts == starts)
            z->alive = false; /* the keeper is about to notice; nobody else should ask this one */
    }
}

/* Doors that the zygote has opened came with its reply, else init opens them. */
static int take_doors(struct box *b, const struct sandbox_spec *spec, struct opening *w,
                      struct err *e)
{
    if (w->doors)
        return box_doors_take(b, spec, &w->handed.fd[DOORS], w->handed.n - DOORS, e);
    return spec->n_doors ? box_doors_receive(b, spec, e) : 0;
}

static int native_open(struct box *b, const struct sandbox_spec *spec, struct err *e)
{
    struct opening w = {.done = false};
    int r = request_again(b->host->own, spec, &w, e);
    if (r >= 0)
        r = box_attach(b, &w.handed.fd[CHANNEL], &w.handed.fd[PIDFD], w.pid, e);
    if (r >= 0)
        r = take_doors(b, spec, &w, e);
    if (r >= 0)
        r = box_wait_hello(b, e);
    handed_done(&w.handed);
    return r;
}

const struct box_engine box_native = {
    .name = "native", .start = native_start, .stop = native_stop, .open = native_open};
