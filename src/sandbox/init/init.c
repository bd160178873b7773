/* init.c - pid 1 of a sandbox: the loop, the protocol and the queue.
 *
 * One poll loop, in the first of the process's threads; the other is the guard's (guard/guard.c),
 * with which it shares nothing but a pipe of notes. It is started locked down, with the channel to
 * the worker and nothing else; every program in the sandbox is its descendant and runs under the
 * same uid, but init is not dumpable, so they can neither read its memory nor take its descriptors.
 * All it owns are requests and results.
 *
 * Init never does for itself what could make it wait: bash is a child it talks to through
 * non-blocking pipes (bash_call.c), every other tool runs in a forked child that hands its result
 * over in a pipe (file_call.c), a program for `sallyport exec` is a child with streams of its own
 * (program.c). One of these is at work at a time, through struct call_ops; more calls may be
 * queued. Which request is allowed when is a table (`ops`). Limits are watched between events:
 * limits.c finds what is over one, carry_out() ends it.
 *
 * The worker is trusted, but not to be right: descriptors are taken only with a request that names
 * them, and a message that makes no sense ends the sandbox. When the channel closes, init exits,
 * and the kernel ends the pid namespace. */
#include "sandbox/init/internal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "sandbox/frame.h"
#include "sandbox/init/ipc.h"
#include "sandbox/paths.h"
#include "sandbox/sandbox.h"

#define QUEUE_MAX 32 /* calls that wait; the worker sends one at a time */

/* ---- calls ---- */

static void begin_next(struct init *in)
{
    while (!in->now && !list_empty(&in->queue)) {
        in->now = LIST_ENTRY(list_pop_front(&in->queue), struct call, link);
        in->queued--;
        in->n_calls++;
        in->began_ns = time_mono_ns();
        limits_begin_session(in);
        if (in->over) {
            AUTO_FREE char *over = limits_over_sentence(in);
            AUTO_FREE char *text = mem_printf("%s: %s", in->now->tool, over);
            call_fail(in, text, "");
            continue;
        }
        const struct call_ops *kind = str_eq(in->now->tool, "bash") ? &bash_call : &file_call;
        kind->begin(in);
    }
}

static void cancel(struct init *in, const json_t *o, int64_t id)
{
    (void)o;
    if (in->now && in->now->id == id) {
        if (in->at_work)
            in->at_work->abort(in, NULL, "the call was cancelled");
        return;
    }
    LIST_FOREACH_SAFE (c, &in->queue, struct call, link) {
        if (c->id != id)
            continue;
        list_remove(&c->link);
        in->queued--;
        AUTO_FREE char *sentence = mem_printf("%s: the call was cancelled", c->tool);
        call_refuse(in, c, sentence);
        call_free(c);
        return;
    }
}

/* Puts a call into the queue, or answers it when something is wrong with it or `in_its_way`. */
static void take_call(struct init *in, const json_t *o, int64_t id, const char *in_its_way)
{
    const char *tool = json_get_str(o, "tool");
    struct call *c = mem_new(struct call);
    c->id = id;
    c->tool = mem_strdup(tool ? tool : "");
    c->input = json_incref(json_object_get(o, "input"));
    c->timeout_ms = json_get_int(o, "timeout_ms", 0);
    const char *why = !tool || !json_is_object(c->input) ? "a call needs tool and input"
                      : in->queued >= QUEUE_MAX          ? "too many calls are waiting"
                                                         : in_its_way;
    if (why) {
        call_refuse(in, c, why);
        call_free(c);
        return;
    }
    list_push_back(&in->queue, &c->link);
    in->queued++;
}

static void enqueue(struct init *in, const json_t *o, int64_t id)
{
    take_call(in, o, id, NULL);
}

static void send_info(struct init *in, const json_t *request, int64_t id)
{
    (void)request;
    struct procs_usage u;
    uint64_t orphans;
    limits_usage(in, &u, &orphans);
    AUTO_JSON json_t *o = json_object();
    json_t *info = json_object();
    json_put_int(info, "processes", (int64_t)u.processes);
    json_put_int(info, "memory_bytes", (int64_t)u.memory_bytes);
    json_put_int(info, "calls", in->n_calls);
    json_put_int(o, "id", id);
    json_put(o, "info", info);
    call_send(in, o);
}

static NORETURN void shut_down(struct init *in, const json_t *o, int64_t id)
{
    (void)in;
    (void)o;
    (void)id;
    _exit(0);
}

/* ---- which request is allowed when ---- */

/* What can be the case when a request comes. Several can. */
enum {
    CALL = 1,     /* a tool call is in progress */
    WAITING = 2,  /* others are queued */
    PREPARED = 4, /* a program is, and not yet started */
    RUNNING = 8,  /* a program is */
    ENDED = 16,   /* a program has, and is about to be answered */
    OVER = 32,    /* the session's time is over */
    PROGRAM = PREPARED | RUNNING | ENDED,
};

static unsigned case_now(const struct init *in)
{
    static const unsigned of_program[] = {
        [JOB_PREPARED] = PREPARED, [JOB_RUNNING] = RUNNING, [JOB_ENDED] = ENDED};
    return of_program[program_state(in)] | (in->now ? CALL : 0u) | (in->queued ? WAITING : 0u) |
           (in->over ? OVER : 0u);
}

static void refuse_call(struct init *in, const json_t *o, int64_t id, unsigned now)
{
    (void)now;
    take_call(in, o, id, "a program runs in this sandbox");
}

static void refuse_exec(struct init *in, const json_t *o, int64_t id, unsigned now)
{
    (void)o;
    AUTO_FREE char *over = now & OVER ? limits_over_sentence(in) : NULL;
    program_refuse(in, id,
                   over            ? over
                   : now & PROGRAM ? "a program runs in this sandbox already"
                   : now & CALL    ? "a tool call runs in this sandbox"
                                   : "tool calls wait in this sandbox");
}

/* Every request there is (init.h). Calls are queued whatever the time: begin_next tells them when
 * it is over. One program at a time, and none beside calls; it is started once. What comes too late
 * for it is no mistake: it may have ended meanwhile. */
static const struct op {
    const char *name;
    void (*handle)(struct init *in, const json_t *o, int64_t id);
    unsigned not_while, only_while; /* none of these; one of these, 0: whatever is the case */
    void (*refuse)(struct init *in, const json_t *o, int64_t id,
                   unsigned now); /* NULL: no answer */
} ops[] = {
    {"call", enqueue, PROGRAM, 0, refuse_call},
    {"cancel", cancel, 0, 0, NULL},
    {"info", send_info, 0, 0, NULL},
    {"exec", program_exec, OVER | PROGRAM | CALL | WAITING, 0, refuse_exec},
    {"start", program_start, 0, PREPARED, NULL},
    {"signal", program_signal, 0, RUNNING | ENDED, NULL},
    {"winsize", program_winsize, 0, PROGRAM, NULL},
    {"shutdown", shut_down, 0, 0, NULL},
};

static void handle(struct init *in, const json_t *o)
{
    const char *name = json_get_str(o, "op");
    const int64_t id = json_get_int(o, "id", 0);
    const unsigned now = case_now(in);
    const struct op *op = NULL;
    for (size_t i = 0; i < ARRAY_LEN(ops) && !op; i++)
        if (str_eq(name, ops[i].name))
            op = &ops[i];
    if (!op)
        _exit(1); /* worker and init do not match */
    if (!(now & op->not_while) && (!op->only_while || (now & op->only_while)))
        op->handle(in, o, id);
    else if (op->refuse)
        op->refuse(in, o, id, now);
    if (in->n_fds > 0)
        _exit(1); /* descriptors that no request has asked to take */
}

/* ---- the channel ---- */

/* Some bytes of the channel, and the descriptors that came with them. More of those than a request
 * can have end the sandbox. */
static ssize_t receive(struct init *in, void *p, size_t n)
{
    union {
        char bytes[CMSG_SPACE(INIT_FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = p, .iov_len = n};
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control.bytes,
                        .msg_controllen = sizeof(control.bytes)};
    ssize_t got = recvmsg(in->channel, &mh, MSG_CMSG_CLOEXEC);
    if (got < 0)
        return got;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (count + in->n_fds > INIT_FDS_MAX)
            _exit(1);
        memcpy(&in->fds[in->n_fds], CMSG_DATA(c), count * sizeof(int));
        in->n_fds += count;
    }
    if (mh.msg_flags & MSG_CTRUNC)
        _exit(1);
    return got;
}

/* Reads the channel and handles every whole message. */
static void read_channel(struct init *in)
{
    char *room = buf_room(&in->in, 16384);
    ssize_t n = room ? receive(in, room, 16384) : 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        _exit(0);
    buf_commit(&in->in, (size_t)n);
    for (;;) {
        AUTO_JSON json_t *o = NULL;
        int r = frame_next(&in->in, &o, NULL);
        if (r < 0)
            _exit(1);
        if (r == 0)
            return;
        handle(in, o);
    }
}

static void write_channel(struct init *in)
{
    while (in->out.len > 0) {
        ssize_t n = send(in->channel, in->out.data, in->out.len, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN || errno == EINTR)
                return;
            _exit(0);
        }
        buf_consume(&in->out, (size_t)n);
    }
}

/* ---- limits ---- */

/* Background jobs went over a limit while nothing was at work: all of them end, and the next result
 * says so. */
static void end_background(struct init *in, const char *why)
{
    call_end_everything(in);
    free(in->notice);
    in->notice =
        mem_printf("%s; everything running in the sandbox was ended, and this is a new shell", why);
    in->look_ns = 0;
}

static void carry_out(struct init *in, const struct verdict *v)
{
    if (in->at_work)
        in->at_work->abort(in, v->name, v->why);
    else
        end_background(in, v->why);
    if (v->limit == LIMIT_MEMORY) {
        /* What the ended have left of it belongs to nobody, and would end the next one as well. */
        ipc_remove_orphans();
    } else if (v->limit == LIMIT_SESSION) {
        call_end_everything(in);
        in->look_ns = 0;
    }
}

static void keep_within_limits(struct init *in)
{
    /* One time for all of it: ending something may take seconds, and what came due meanwhile waits
     * for the next turn, after the channel. */
    const int64_t now = time_mono_ns();
    for (;;) {
        AUTO(verdict) v = {.limit = LIMIT_NONE};
        if (!limits_check(in, now, &v))
            return;
        carry_out(in, &v);
    }
}

/* ---- the loop ---- */

static void step(struct init *in)
{
    enum { CHANNEL, SIGNAL, OUTPUT, TERMINAL, STATUS, INPUT, WORK, REPORT, N };
    const struct call_ops *work = in->at_work && in->at_work->fd ? in->at_work : NULL;
    struct pollfd p[N] = {
        [CHANNEL] = {.fd = in->channel, .events = (short)(POLLIN | (in->out.len ? POLLOUT : 0))},
        [SIGNAL] = {.fd = in->sigfd, .events = POLLIN},
        [OUTPUT] = {.fd = in->shell.out_r, .events = POLLIN},
        [TERMINAL] = {.fd = in->pty.master, .events = POLLIN},
        [STATUS] = {.fd = in->shell.status, .events = POLLIN},
        [INPUT] = {.fd = in->shell.input.len ? in->shell.in : -1, .events = POLLOUT},
        [WORK] = {.fd = work ? work->fd(in) : -1, .events = POLLIN},
        [REPORT] = {.fd = in->report.fd, .events = POLLIN},
    };
    if (poll(p, N, limits_poll_ms(in)) < 0 && errno != EINTR)
        _exit(1);
    if (p[SIGNAL].revents) {
        struct signalfd_siginfo si;
        (void)!read(in->sigfd, &si, sizeof(si));
        call_reap(in);
    }
    if (p[CHANNEL].revents & (POLLIN | POLLHUP | POLLERR))
        read_channel(in);
    if (p[WORK].revents && in->at_work == work) /* the channel may have ended it */
        work->read(in);
    if (p[REPORT].revents)
        report_read(&in->report);
    if (p[OUTPUT].revents)
        bash_read_output(in);
    if (p[TERMINAL].revents && in->pty.master >= 0)
        bash_read_terminal(in);
    if (p[STATUS].revents && in->shell.status >= 0)
        bash_read_status(in);
    if (in->shell_died)
        bash_shell_ended(in);
    if (in->shell.in >= 0)
        (void)!shell_feed(&in->shell);
    keep_within_limits(in);
    program_ended(in);
    bash_settled(in);
    begin_next(in);
    write_channel(in);
}

/* Where whole outputs go. Made before anything untrusted runs; kept as a descriptor. */
static int make_spool(void)
{
    if (mkdir(paths()->spool, 0700) < 0 && errno != EEXIST)
        return -1;
    return open(paths()->spool, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

void init_run(const struct init_args *program)
{
    static const struct call_ops *const kinds[CALL_KINDS] = {&bash_call, &file_call, &program_call};
    const struct sandbox_spec *spec = program->spec;
    struct init in = {.channel = program->channel_fd,
                      .spec = spec,
                      .kinds = kinds,
                      .helper_fd = -1,
                      .oom_fd = program->oom_fd,
                      .stat_fd = program->stat_fd,
                      .entry = program->entry,
                      .pty = PTY_NONE};
    buf_init(&in.in, SANDBOX_FRAME_MAX + 65536u);
    buf_init(&in.out, 4u * SANDBOX_FRAME_MAX);
    buf_init(&in.result, SANDBOX_FRAME_MAX - 256u);
    list_init(&in.queue);
    report_init(&in.report, program->notes_fd, spec->n_doors > 0);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    signal(SIGPIPE, SIG_IGN);
    in.sigfd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    AUTO_JSON json_t *hello = json_object();
    if (in.sigfd < 0 || fcntl(in.channel, F_SETFL, O_NONBLOCK) < 0 ||
        shell_init(&in.shell, spec, &in.entry) < 0) {
        json_put_bool(hello, "ready", false);
        json_put_str(hello, "error", "init could not open its descriptors");
        (void)!frame_send_blocking(in.channel, hello);
        _exit(1);
    }
    /* Ahead of the first command: bash starts while we go on here and the worker reads what
     * follows. */
    int spool = make_spool();
    if (!spec->program)
        (void)!shell_start(&in.shell);
    output_init(&in.output, spool, spec->limits.output_bytes);
    json_put_bool(hello, "ready", true);
    call_send(&in, hello);
    write_channel(&in);
    for (;;)
        step(&in);
}
