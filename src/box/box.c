/* box.c - one sandbox as the worker sees it: its socket, its calls, its end.
 *
 * A box has no fiber of its own: box_call writes one frame and reads frames until its answer comes,
 * under a lock, so calls of a box take turns. How a box comes to be is open.c's
 * and the engines'.
 *
 * Cancellation is real: a cancelled box_call tells init, waits for the answer under a shield, and
 * only then returns, so that nothing the call has started runs on. When init does not answer in
 * time, or the stream breaks in the middle of a message, the sandbox is killed.
 *
 * An attacker who had taken over init controls what comes out of a box's socket: frame sizes are
 * capped before memory is used, JSON is depth-limited, ids and shapes are checked, and no
 * descriptor is ever accepted from it but the sockets of its doors, before it runs anything untrusted
 * (doors.c). */
#include "box/box.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "io/pool.h"
#include "sandbox/frame.h"
#include "sandbox/sandbox.h"
#include "sandbox/spec.h"
#include "box/doors.h"
#include "box/engine.h"

/* For init to answer a cancelled call: some 100, on a busy machine up to 5000 (procs.c). */
#define CANCEL_MS  8000
#define READ_STEP  65536
#define HERE_BYTES (32u << 10) /* half a millisecond of parsing, at the worst */

void box_result_done(struct box_result *r)
{
    json_decref(r->content);
    *r = (struct box_result){.content = NULL};
}

/* ---- the sandbox at the other end ---- */

struct box *box_new(struct box_host *h)
{
    struct box *b = mem_new(struct box);
    b->host = h;
    b->kill_signal = SIGKILL;
    b->channel = b->pidfd = IO_FD_NONE;
    buf_init(&b->in, SANDBOX_FRAME_MAX + 4u + READ_STEP);
    fmutex_init(&b->calls);
    fmutex_init(&b->writing);
    return b;
}

struct taking {
    struct buf *in;
    json_t **ret;
    struct err *e;
};

static int take(void *arg)
{
    struct taking *t = arg;
    return frame_next(t->in, t->ret, t->e);
}

/* Suspends. A long message, an image for instance, is read beside the loop, which all sessions share:
 * a megabyte takes ten milliseconds. Nobody else touches `in` meanwhile. */
static int next_message(struct box *b, json_t **ret, struct err *e)
{
    static struct pool *pool; /* for the life of the process */
    struct taking t = {&b->in, ret, e};
    if (b->in.len < HERE_BYTES)
        return take(&t);
    if (!pool)
        pool = pool_new("frames", 1);
    return pool_call(pool, take, &t);
}

int box_receive(struct box *b, json_t **ret, struct err *e)
{
    for (;;) {
        int r = next_message(b, ret, e);
        if (r != 0)
            return r;
        char *room = buf_room(&b->in, READ_STEP);
        if (!room)
            return err_set(e, -EMSGSIZE, "the sandbox sent more data than is allowed");
        ssize_t n = io_read(&b->channel, room, READ_STEP);
        if (n == 0)
            return err_set(e, -E_CLOSED, "the sandbox has ended");
        if (n < 0)
            return (int)n;
        buf_commit(&b->in, (size_t)n);
    }
}

bool box_may_pass(int code)
{
    static const int codes[] = {EAGAIN, ENOMEM, ENOBUFS, ENOSPC,   EDQUOT,
                                EMFILE, ENFILE, EINTR,   ETIMEDOUT};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (code == -codes[i])
            return true;
    return false;
}

int box_reported_code(const json_t *o)
{
    int64_t code = json_get_int(o, "code", 0);
    /* Not -ETIMEDOUT: to a caller that is the end of a deadline of its own. */
    bool known = code > 0 && code < 4096 && code != ETIMEDOUT && box_may_pass(-(int)code);
    return known ? -(int)code : -EIO;
}

int box_not_built(const json_t *o, struct err *e)
{
    const char *words = json_get_str(o, "error");
    return err_set(e, box_reported_code(o), "the sandbox could not be built: %s",
                   words ? words : "no reason given");
}

int box_wait_hello(struct box *b, struct err *e)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(BOX_START_MS);
    AUTO_JSON json_t *o = NULL;
    int r = box_receive(b, &o, e);
    return r < 0 ? r : json_get_bool(o, "ready", false) ? 0 : box_not_built(o, e);
}

int box_attach_pidfd(struct box *b, int *pidfd, int pid, struct err *e)
{
    int r = io_fd_add(&b->pidfd, *pidfd);
    if (r < 0)
        return err_set(e, r, "could not watch the sandbox: %s", err_text(r));
    *pidfd = -1;
    b->pid = pid;
    return 0;
}

static int attach_channel(struct box *b, int *channel, struct err *e)
{
    int r = io_fd_add(&b->channel, *channel);
    if (r < 0)
        return err_set(e, r, "could not watch the sandbox: %s", err_text(r));
    *channel = -1;
    return 0;
}

int box_attach(struct box *b, int *channel, int *pidfd, int pid, struct err *e)
{
    int r = attach_channel(b, channel, e);
    return r < 0 ? r : box_attach_pidfd(b, pidfd, pid, e);
}

int box_attach_foreign(struct box *b, int *channel, const struct sandbox_spec *spec,
                       const char *home, const char *spool, struct err *e)
{
    int r = attach_channel(b, channel, e);
    if (r < 0)
        return r;
    AUTO_JSON json_t *o = json_object();
    json_put_str(o, "op", "begin");
    json_put(o, "spec", sandbox_spec_json(spec));
    json_put_str(o, "home", home);
    json_put_str(o, "spool", spool);
    r = box_send(b, o);
    if (r < 0)
        return err_set(e, r, "could not reach the sandbox's init: %s", err_text(r));
    return box_wait_hello(b, e);
}

bool box_has_ended(const struct box *b)
{
    struct pollfd p = {.fd = b->pidfd.fd, .events = POLLIN};
    return b->broken || poll(&p, 1, 0) != 0;
}

const char *box_home(const struct box *b)
{
    return b->home ? b->home : SANDBOX_HOME;
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

void box_kill(struct box *b)
{
    b->broken = true;
    if (b->pidfd.fd >= 0)
        (void)pidfd_send_signal(b->pidfd.fd, b->kill_signal, NULL, 0);
}

int box_send(struct box *b, const json_t *o)
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
        box_kill(b); /* half a message: the stream cannot be followed any more */
    fmutex_unlock(&b->writing);
    return r;
}

/* Content blocks as the platform knows them: text or base64 image.
 * Anything else is not passed on. */
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
        int r = box_receive(b, &o, e);
        if (r < 0)
            return r;
        if (json_get_int(o, "id", 0) != id)
            continue;
        json_t *content = json_object_get(o, "content");
        if (!content_ok(content))
            return err_set(e, -E_PROTO, "the sandbox's answer has no usable content");
        *ret = (struct box_result){.content = json_incref(content),
                                   .is_error = json_get_bool(o, "is_error", true),
                                   .duration_ms = json_get_int(o, "duration_ms", 0)};
        return 0;
    }
}

int box_ping(struct box *b, int64_t ms)
{
    /* A call without a tool is answered at once, with an error, and changes nothing inside. */
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(ms);
    int64_t id = ++b->last_id;
    AUTO_JSON json_t *o = json_object();
    json_put_str(o, "op", "call");
    json_put_int(o, "id", id);
    struct box_result unused = {.content = NULL};
    struct err e;
    int r = box_send(b, o);
    if (r >= 0)
        r = await_answer(b, id, &unused, &e);
    box_result_done(&unused);
    return r;
}

static int send_cancel(struct box *b, int64_t id)
{
    AUTO_JSON json_t *o = json_object();
    json_put_str(o, "op", "cancel");
    json_put_int(o, "id", id);
    return box_send(b, o);
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
        box_kill(b);
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
    int r = box_send(b, o);
    if (r == -EMSGSIZE)
        return err_set(e, r, "the call's input is larger than a sandbox accepts");
    if (r >= 0) {
        r = await_answer(b, id, ret, e);
        if (r == -ECANCELED || r == -ETIMEDOUT)
            finish_cancelled(b, id);
    }
    if (r < 0 && r != -ECANCELED && r != -ETIMEDOUT)
        box_kill(b);
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

/* ---- closing ---- */

static int remove_dir(void *arg)
{
    return state_remove_tree(AT_FDCWD, arg);
}

int box_wait_end(struct io_fd *pidfd)
{
    /* Asked of the kernel each time: a fresh io_fd counts as readable, and a wait may end early. */
    for (;;) {
        struct pollfd p = {.fd = pidfd->fd, .events = POLLIN};
        if (poll(&p, 1, 0) != 0)
            return 0;
        int r = io_wait_readable(pidfd);
        if (r < 0)
            return r;
    }
}

void box_close(struct box *b)
{
    if (!b)
        return;
    AUTO(fiber_shield) s = fiber_shield_begin(BOX_CLOSE_MS);
    box_kill(b);
    io_fd_close(&b->channel);
    box_doors_close(b);
    /* The kernel reports the end of a namespace's first process after that of all the others. */
    int r = b->pidfd.fd >= 0 ? box_wait_end(&b->pidfd) : 0;
    if (r < 0)
        log_error("sandbox did not end", "pid=%d code=%s", b->pid, err_name(r));
    io_fd_close(&b->pidfd);
    if (b->host->engine->clean)
        b->host->engine->clean(b);
    if (b->dir) {
        r = pool_call(b->host->pool, remove_dir, b->dir);
        if (r < 0)
            log_error("workspace not removed", "dir=%s code=%s", log_q(b->dir), err_name(r));
    }
    buf_done(&b->in);
    free(b->dir);
    free(b->home);
    free(b);
}
