/* init.c - pid 1 of a sandbox: the loop, the protocol and the queue.
 *
 * One thread, one poll loop. It is started locked down, with the channel to the worker and nothing
 * else; every program in the sandbox is its descendant and runs under the same uid, but init is not
 * dumpable, so they can neither read its memory nor take its descriptors. All it owns are requests
 * and results.
 *
 * Init never does for itself what could make it wait: bash is a child it talks to through
 * non-blocking pipes (bash_call.c), every other tool runs in a forked child that hands its result
 * over in a pipe (file_call.c), a program for `sallyport exec` is a child with streams of its own
 * (job.c). One call is in progress at a time (`now`); more may be queued. Limits are watched
 * between events (init_limits.c).
 *
 * The worker is trusted, but not to be right: descriptors are taken only with a request that names
 * them, and a message that makes no sense ends the sandbox. When the channel closes, init exits,
 * and the kernel ends the pid namespace. */
#include "sandbox/init/init_internal.h"

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
#include "sandbox/place.h"
#include "sandbox/sandbox.h"

#define QUEUE_MAX 32 /* calls that wait; the worker sends one at a time */

static void call_free(struct call *c)
{
    if (!c)
        return;
    json_decref(c->input);
    free(c->tool);
    free(c);
}

/* Collects every dead child. The shell, the tool in progress and the program are remembered;
 * orphans are just collected. */
void init_reap(void *arg)
{
    struct init *in = arg;
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0;) {
        if (WIFSTOPPED(status)) {
            (void)job_reaped(in, pid, status); /* nobody else is told */
        } else if (pid == in->shell.pid) {
            in->shell_died = true;
            in->shell_status = status;
        } else if (pid == in->helper) {
            in->helper_died = true;
            in->helper_status = status;
            in->helper = 0;
        } else {
            (void)job_reaped(in, pid, status);
        }
    }
}

void init_send(struct init *in, const json_t *o)
{
    if (frame_add(&in->out, o) < 0)
        _exit(1); /* the worker does not read: nothing sensible is left to do */
}

void init_send_fd(struct init *in, const json_t *o, int fd)
{
    init_send(in, o);
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    bool sent = false;
    while (in->out.len > 0) {
        struct iovec iov = {.iov_base = in->out.data, .iov_len = in->out.len};
        struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
        if (!sent) {
            mh.msg_control = control.bytes;
            mh.msg_controllen = sizeof(control.bytes);
            struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
            c->cmsg_level = SOL_SOCKET;
            c->cmsg_type = SCM_RIGHTS;
            c->cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(c), &fd, sizeof(int));
        }
        ssize_t n = sendmsg(in->channel, &mh, MSG_NOSIGNAL);
        if (n >= 0) {
            sent = true;
            buf_consume(&in->out, (size_t)n);
            continue;
        }
        struct pollfd p = {.fd = in->channel, .events = POLLOUT};
        if ((errno != EAGAIN && errno != EINTR) || (poll(&p, 1, -1) < 0 && errno != EINTR))
            _exit(0);
    }
}

/* Answers the call with content already printed as JSON. */
static void answer_text(struct init *in, const struct call *c, int64_t ms, bool is_error,
                        const char *content)
{
    AUTO(buf) b = BUF_INIT(SANDBOX_FRAME_MAX);
    buf_addf(&b, "{\"id\":%lld,\"is_error\":%s,\"duration_ms\":%lld,\"content\":", (long long)c->id,
             is_error ? "true" : "false", (long long)ms);
    buf_adds(&b, content);
    buf_addc(&b, '}');
    if (buf_err(&b) < 0 || frame_add_text(&in->out, buf_str(&b), b.len) < 0)
        _exit(1);
}

static void answer(struct init *in, const struct call *c, int64_t ms, struct tool_result *res)
{
    AUTO_FREE char *text = json_text(res->content, NULL);
    if (strlen(text) > SANDBOX_FRAME_MAX - 256u)
        tool_fail(res, "%s: the result is too large to be sent", c->tool);
    AUTO_FREE char *fitting = json_text(res->content, NULL);
    answer_text(in, c, ms, res->is_error, fitting);
    json_decref(res->content);
    res->content = NULL;
}

static int64_t elapsed_ms(const struct init *in)
{
    return (time_mono_ns() - in->began_ns) / NS_PER_MS;
}

static void end_call(struct init *in)
{
    call_free(in->now);
    in->now = NULL;
    in->kind = CALL_NONE;
    procs_done(&in->before);
}

void init_finish(struct init *in, struct tool_result *res)
{
    answer(in, in->now, elapsed_ms(in), res);
    end_call(in);
}

void init_finish_text(struct init *in, bool is_error, const char *content)
{
    answer_text(in, in->now, elapsed_ms(in), is_error, content);
    end_call(in);
}

void init_fail(struct init *in, const char *text, const char *detail)
{
    struct tool_result res = {.content = NULL};
    tool_fail(&res, "%s%s", text, detail);
    init_finish(in, &res);
}

/* ---- calls ---- */

static void abort_call(struct init *in, const char *why)
{
    if (in->kind == CALL_BASH) {
        bash_abort(in, why);
    } else if (in->kind == CALL_FILE) {
        file_stop(in);
        AUTO_FREE char *text = mem_printf(": %s", why);
        init_fail(in, in->now->tool, text);
    }
}

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
            init_fail(in, text, "");
        } else if (str_eq(in->now->tool, "bash"))
            bash_begin(in);
        else
            file_begin(in);
    }
}

static void cancel(struct init *in, int64_t id)
{
    if (in->now && in->now->id == id) {
        abort_call(in, "the call was cancelled");
        return;
    }
    LIST_FOREACH_SAFE (c, &in->queue, struct call, link) {
        if (c->id != id)
            continue;
        list_remove(&c->link);
        in->queued--;
        struct tool_result res = {.content = NULL};
        tool_fail(&res, "%s: the call was cancelled", c->tool);
        answer(in, c, 0, &res);
        call_free(c);
        return;
    }
}

static void enqueue(struct init *in, const json_t *o, int64_t id)
{
    const char *tool = json_get_str(o, "tool");
    struct call *c = mem_new(struct call);
    c->id = id;
    c->tool = mem_strdup(tool ? tool : "");
    c->input = json_incref(json_object_get(o, "input"));
    c->timeout_ms = json_get_int(o, "timeout_ms", 0);
    const char *why = !tool || !json_is_object(c->input) ? "a call needs tool and input"
                      : in->queued >= QUEUE_MAX          ? "too many calls are waiting"
                      : in->job                          ? "a program runs in this sandbox"
                                                         : NULL;
    if (why) {
        struct tool_result res = {.content = NULL};
        tool_fail(&res, "%s", why);
        answer(in, c, 0, &res);
        call_free(c);
        return;
    }
    list_push_back(&in->queue, &c->link);
    in->queued++;
}

static void send_info(struct init *in, int64_t id)
{
    struct procs_usage u;
    limits_usage(in, &u);
    AUTO_JSON json_t *o = json_object();
    json_t *info = json_object();
    json_put_int(info, "processes", (int64_t)u.processes);
    json_put_int(info, "memory_bytes", (int64_t)u.memory_bytes);
    json_put_int(info, "calls", in->n_calls);
    json_put_int(o, "id", id);
    json_put(o, "info", info);
    init_send(in, o);
}

static void handle(struct init *in, const json_t *o)
{
    const char *op = json_get_str(o, "op");
    int64_t id = json_get_int(o, "id", 0);
    if (str_eq(op, "call"))
        enqueue(in, o, id);
    else if (str_eq(op, "cancel"))
        cancel(in, id);
    else if (str_eq(op, "info"))
        send_info(in, id);
    else if (str_eq(op, "exec"))
        job_exec(in, o, id);
    else if (str_eq(op, "start"))
        job_start(in, id);
    else if (str_eq(op, "signal"))
        job_signal(in, o, id);
    else if (str_eq(op, "winsize"))
        job_winsize(in, o, id);
    else
        _exit(str_eq(op, "shutdown") ? 0 : 1); /* 1: unknown, worker and init do not match */
    if (in->n_fds > 0)
        _exit(1); /* descriptors that no request has asked to take */
}

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

static void step(struct init *in)
{
    enum { CHANNEL, SIGNAL, OUTPUT, TERMINAL, STATUS, INPUT, HELPER, REPORT, JOB, N };
    struct pollfd p[N] = {
        [CHANNEL] = {.fd = in->channel, .events = (short)(POLLIN | (in->out.len ? POLLOUT : 0))},
        [SIGNAL] = {.fd = in->sigfd, .events = POLLIN},
        [OUTPUT] = {.fd = in->shell.out_r, .events = POLLIN},
        [TERMINAL] = {.fd = in->pty.master, .events = POLLIN},
        [STATUS] = {.fd = in->shell.status, .events = POLLIN},
        [INPUT] = {.fd = in->shell.input.len ? in->shell.in : -1, .events = POLLOUT},
        [HELPER] = {.fd = in->helper_fd, .events = POLLIN},
        [REPORT] = {.fd = in->report.fd, .events = POLLIN},
        [JOB] = {.fd = job_word_fd(in), .events = POLLIN},
    };
    if (poll(p, N, limits_poll_ms(in)) < 0 && errno != EINTR)
        _exit(1);
    if (p[SIGNAL].revents) {
        struct signalfd_siginfo si;
        (void)!read(in->sigfd, &si, sizeof(si));
        init_reap(in);
    }
    if (p[CHANNEL].revents & (POLLIN | POLLHUP | POLLERR))
        read_channel(in);
    if (p[HELPER].revents && in->kind == CALL_FILE)
        file_read(in);
    if (p[REPORT].revents)
        report_read(&in->report);
    if (p[JOB].revents)
        job_read_words(in);
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
    limits_check(in);
    job_ended(in);
    begin_next(in);
    write_channel(in);
}

/* Where whole outputs go. Made before anything untrusted runs; kept as a descriptor. */
static int make_spool(void)
{
    if (mkdir(place()->spool, 0700) < 0 && errno != EEXIST)
        return -1;
    return open(place()->spool, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

void init_run(const struct init_job *job)
{
    const struct sandbox_spec *spec = job->spec;
    struct init in = {.channel = job->channel_fd,
                      .spec = spec,
                      .helper_fd = -1,
                      .oom_fd = job->oom_fd,
                      .stat_fd = job->stat_fd,
                      .doors = job->doors,
                      .pty = PTY_NONE};
    buf_init(&in.in, SANDBOX_FRAME_MAX + 65536u);
    buf_init(&in.out, 4u * SANDBOX_FRAME_MAX);
    buf_init(&in.result, SANDBOX_FRAME_MAX - 256u);
    list_init(&in.queue);
    report_init(&in.report, job->listener_fd);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    signal(SIGPIPE, SIG_IGN);
    in.sigfd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    AUTO_JSON json_t *hello = json_object();
    if (in.sigfd < 0 || fcntl(in.channel, F_SETFL, O_NONBLOCK) < 0 ||
        shell_init(&in.shell, spec, &in.doors) < 0) {
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
    init_send(&in, hello);
    write_channel(&in);
    for (;;)
        step(&in);
}
