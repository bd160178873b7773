/* init.c - pid 1 of a sandbox.
 *
 * One thread, one poll loop. It is started locked down, with the channel to the worker and nothing
 * else; every program in the sandbox is its descendant and runs under the same uid, but init is not
 * dumpable, so they can neither read its memory nor take its descriptors. All it owns are requests
 * and results.
 *
 * Init never does for itself what could make it wait: bash is a child it talks to through
 * non-blocking pipes, and every other tool runs in a forked child that hands its result over in a
 * pipe. One call is in progress at a time (`now`); more may be queued. A call ends in one of four
 * ways: it finishes, its time is up, it is cancelled, or it goes over a limit (output, memory). In
 * the last three everything that was started since the call began is killed, shell included, and
 * the result says so.
 *
 * When the channel closes, init exits, and the kernel ends the pid namespace. */
#include "sandbox/init.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/str.h"
#include "base/time.h"
#include "sandbox/frame.h"
#include "sandbox/output.h"
#include "sandbox/place.h"
#include "sandbox/procs.h"
#include "sandbox/sandbox.h"
#include "sandbox/shell.h"
#include "sandbox/tools/path.h"
#include "sandbox/tools/tool.h"

#define QUEUE_MAX         32     /* calls that wait; the worker sends one at a time */
#define BASH_TIMEOUT_MS   120000 /* api.md 13 */
#define LOOK_MS           100    /* how often usage is added up while a command runs */
#define IDLE_LOOK_MS      500    /* and while only background jobs do */
#define HELPER_DATA_BYTES (512u << 20)

enum call_kind { CALL_NONE, CALL_BASH, CALL_FILE };

struct call {
    struct list link;
    int64_t id, timeout_ms;
    char *tool;
    json_t *input;
};

struct init {
    int channel, sigfd;
    const struct sandbox_spec *spec;
    struct buf in, out;
    struct list queue;
    size_t queued;
    struct shell shell;
    struct output output;
    struct procs before; /* processes that were there before the call in progress */
    bool shell_died;     /* noticed by reap, answered by the loop */
    int shell_status;
    bool helper_died;
    int helper_status;

    enum call_kind kind; /* of the call in progress */
    struct call *now;
    int64_t began_ns, deadline_ns;
    int64_t look_ns; /* next time usage is added up; 0: nothing but the shell runs */
    bool crowded;    /* the last look found as many threads as there may be */
    char *notice;    /* what happened between calls, for the next result */
    pid_t helper;    /* file tool's process, 0 when reaped */
    int helper_fd;   /* its result, -1 */
    struct buf result;
    unsigned n_calls, n_outputs;
};

static void call_free(struct call *c)
{
    if (!c)
        return;
    json_decref(c->input);
    free(c->tool);
    free(c);
}

/* Collects every dead child. The shell and the tool in progress are remembered; orphans are just
 * collected. */
static void reap(void *arg)
{
    struct init *in = arg;
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid == in->shell.pid) {
            in->shell_died = true;
            in->shell_status = status;
        } else if (pid == in->helper) {
            in->helper_died = true;
            in->helper_status = status;
            in->helper = 0;
        }
    }
}

static void send_object(struct init *in, const json_t *o)
{
    if (frame_add(&in->out, o) < 0)
        _exit(1); /* the worker does not read: nothing sensible is left to do */
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

static void finish(struct init *in, struct tool_result *res)
{
    answer(in, in->now, elapsed_ms(in), res);
    end_call(in);
}

/* ---- bash ---- */

/* Takes what is in the output pipe. `limit` bytes at most, so that a flood can not keep us here.
 * -E_LIMIT when the ceiling for this command has been passed. Between calls the bytes of background
 * jobs are dropped. */
static int drain_output(struct init *in, size_t limit)
{
    char chunk[2048];
    int r = 0;
    while (limit > 0) {
        ssize_t n = read(in->shell.out_r, chunk, limit < sizeof(chunk) ? limit : sizeof(chunk));
        if (n <= 0)
            break;
        limit -= (size_t)n;
        if (in->kind == CALL_BASH && output_add(&in->output, chunk, (size_t)n) < 0)
            r = -E_LIMIT;
    }
    return r;
}

/* Everything that is in the pipe at this moment. */
static void drain_output_now(struct init *in)
{
    int n = 0;
    if (ioctl(in->shell.out_r, FIONREAD, &n) == 0 && n > 0)
        (void)drain_output(in, (size_t)n);
}

/* Output of the command so far, followed by `sentence` (may be NULL), as the result. */
static void finish_bash(struct init *in, bool is_error, const char *sentence)
{
    AUTO(buf) text = BUF_INIT(SANDBOX_FRAME_MAX / 2);
    if (in->notice)
        buf_addf(&text, "[%s]\n", in->notice);
    free(TAKE(in->notice));
    output_text(&in->output, &text);
    if (sentence)
        buf_addf(&text, "%s%s", text.len ? "\n" : "", sentence);
    else if (text.len == 0)
        buf_adds(&text, "(no output)");
    struct tool_result res = {.is_error = is_error};
    tool_text(&res, buf_str(&text), text.len);
    output_done(&in->output);
    finish(in, &res);
}

/* As many threads as there may be, less the two that something may just be giving back. */
static bool crowded(const struct init *in, const struct procs_usage *u)
{
    return u->threads + 2 >= in->spec->limits.processes;
}

static bool still_over(const struct init *in)
{
    struct procs_usage u;
    procs_usage(&u);
    return u.memory_bytes > in->spec->limits.memory_bytes || crowded(in, &u);
}

/* Ends what the call has started and answers. `why` is a sentence without the part about the shell.
 */
static void abort_bash(struct init *in, const char *why)
{
    int all = procs_kill_others(&in->before, reap, in);
    if (!all && still_over(in)) { /* it was not this command, or not it alone */
        procs_kill_all(reap, in);
        all = 1;
    }
    if (in->shell.pid && !in->shell_died)
        kill(in->shell.pid, SIGKILL);
    reap(in);
    drain_output_now(in);
    shell_forget(&in->shell);
    in->shell_died = false;
    AUTO_FREE char *sentence = mem_printf(
        "bash: %s; %s and the shell was restarted: its directory, variables and functions are gone",
        why, all ? "everything running in the sandbox was ended" : "what it had started was ended");
    finish_bash(in, true, sentence);
}

static void bash_ended(struct init *in, int code)
{
    drain_output_now(in);
    AUTO_FREE char *sentence = NULL;
    if (code != 0 && in->output.total == 0)
        sentence = mem_printf("exit %d", code);
    finish_bash(in, code != 0, sentence);
}

/* The shell itself is gone: `exit`, `exec`, or something killed it. */
static void shell_ended(struct init *in)
{
    int status = in->shell_status;
    in->shell_died = false;
    int code;
    bool answered = shell_poll_status(&in->shell, &code) == 1;
    shell_forget(&in->shell);
    if (in->kind != CALL_BASH)
        return;
    if (answered) {
        bash_ended(in, code);
        return;
    }
    drain_output_now(in);
    AUTO_FREE char *sentence =
        WIFSIGNALED(status)
            ? mem_printf(
                  "bash: the shell was ended by signal %d (%s); the next command starts a new one",
                  WTERMSIG(status), sigabbrev_np(WTERMSIG(status)) ?: "?")
            : mem_printf(
                  "bash: the shell ended with exit code %d; the next command starts a new one",
                  WEXITSTATUS(status));
    finish_bash(in, true, sentence);
}

/* After `restart`: nothing of the old shell is left. */
static void restart_shell(struct init *in)
{
    procs_kill_all(reap, in);
    shell_forget(&in->shell);
    in->shell_died = false;
}

static void fail_now(struct init *in, const char *fmt, const char *detail)
{
    struct tool_result res = {.content = NULL};
    AUTO_FREE char *text = mem_printf("%s%s", fmt, detail);
    tool_fail(&res, "%s", text);
    finish(in, &res);
}

static void begin_bash(struct init *in)
{
    const json_t *input = in->now->input, *restart = json_object_get(input, "restart");
    struct tool_result res = {.content = NULL};
    const char *command = tool_string(input, "command", "bash", &res);
    const json_t *timeout = json_object_get(input, "timeout_ms");
    if (!res.is_error && restart && !json_is_null(restart) && !json_is_boolean(restart))
        tool_fail(&res, "bash: restart must be true or false");
    if (!res.is_error && timeout && !json_is_null(timeout) &&
        (!json_is_integer(timeout) || json_integer_value(timeout) <= 0))
        tool_fail(&res, "bash: timeout_ms must be a positive integer");
    if (!res.is_error && json_is_true(restart))
        restart_shell(in);
    if (!res.is_error && !command) {
        if (json_is_true(restart))
            tool_say(&res, "bash session restarted");
        else
            tool_fail(&res, "bash: command is required");
    }
    if (res.content) {
        finish(in, &res);
        return;
    }
    reap(in);
    if (in->shell_died) {
        in->kind = CALL_NONE;
        shell_ended(in);
    }
    in->kind = CALL_NONE; /* what is in the pipe now belongs to nobody */
    drain_output_now(in);
    if (!in->shell.pid) {
        int r = shell_start(&in->shell);
        if (r < 0) {
            fail_now(
                in, "bash: could not start a shell: ",
                r == -EAGAIN
                    ? "the sandbox has no free processes left; restart it with {\"restart\": true}"
                    : err_text(r));
            return;
        }
    }
    /* The shell is not on the list: ending the call ends it, too. Before the first command there is
     * nobody else, and the first look into a new procfs is slow. */
    procs_done(&in->before);
    if (in->n_outputs > 0 && procs_list(&in->before) < 0) {
        fail_now(in, "bash: ", "could not list processes");
        return;
    }
    for (size_t i = 0; i < in->before.n; i++)
        if (in->before.ids[i].pid == in->shell.pid)
            in->before.ids[i].pid = 0;
    int64_t ms = json_is_integer(timeout) ? json_integer_value(timeout) : BASH_TIMEOUT_MS;
    if (in->now->timeout_ms > 0 && in->now->timeout_ms < ms)
        ms = in->now->timeout_ms;
    in->now->timeout_ms = ms < INT32_MAX ? ms : INT32_MAX;
    in->deadline_ns = in->began_ns + in->now->timeout_ms * NS_PER_MS;
    in->look_ns = in->began_ns + LOOK_MS * NS_PER_MS;
    in->kind = CALL_BASH;
    char name[32];
    AUTO_FREE char *numbered = mem_printf("output-%u.txt", ++in->n_outputs);
    str_copy(name, sizeof(name), numbered);
    output_begin(&in->output, name);
    if (shell_send(&in->shell, command) < 0) {
        shell_forget(&in->shell);
        fail_now(in, "bash: the command is too long", "");
        return;
    }
    (void)!shell_feed(&in->shell); /* a shell that has died is noticed by reap */
}

/* ---- file tools ---- */

/* The child: one tool, its result as "0" or "1" (is_error) and the content's JSON text, then gone.
 */
static NORETURN void run_helper(const struct init *in, int fd,
                                void (*run)(const json_t *, struct tool_result *))
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (fd != 3 && dup2(fd, 3) < 0)
        _exit(125);
    if (close_range(4, ~0u, 0) < 0)
        _exit(125);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    struct rlimit data = {.rlim_cur = HELPER_DATA_BYTES, .rlim_max = HELPER_DATA_BYTES};
    if (setrlimit(RLIMIT_DATA, &data) < 0)
        _exit(125);
#endif
    struct tool_result res = {.content = NULL};
    run(in->now->input, &res);
    if (!res.content)
        tool_text(&res, "", 0);
    size_t n;
    char *text = json_text(res.content, &n);
    char flag = res.is_error ? '1' : '0';
    bool ok = write(3, &flag, 1) == 1;
    for (size_t done = 0; ok && done < n;) {
        ssize_t k = write(3, text + done, n - done);
        ok = k > 0;
        done += ok ? (size_t)k : 0;
    }
    _exit(ok ? 0 : 125);
}

static void begin_file(struct init *in)
{
    void (*run)(const json_t *, struct tool_result *) = tool_find(in->now->tool);
    int fds[2];
    if (!run) {
        fail_now(in, in->now->tool, ": this sandbox has no such tool");
        return;
    }
    if (pipe2(fds, O_CLOEXEC) < 0) {
        fail_now(in, in->now->tool, ": too many open files");
        return;
    }
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    pid_t pid = fork();
    int code = errno;
    if (pid == 0)
        run_helper(in, fds[1], run);
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        fail_now(in, in->now->tool,
                 code == EAGAIN
                     ? ": the sandbox has no free processes left; use bash with {\"restart\": true}"
                     : ": could not start the tool");
        return;
    }
    int64_t ms = TOOL_TIMEOUT_MS;
    if (in->now->timeout_ms > 0 && in->now->timeout_ms < ms)
        ms = in->now->timeout_ms;
    in->now->timeout_ms = ms;
    in->deadline_ns = in->began_ns + ms * NS_PER_MS;
    in->helper = pid;
    in->helper_died = false;
    in->helper_fd = fds[0];
    buf_reset(&in->result);
    in->kind = CALL_FILE;
}

static void stop_helper(struct init *in)
{
    if (in->helper) {
        kill(in->helper, SIGKILL);
        waitpid(in->helper, &in->helper_status, 0); /* our child, killed: returns at once */
        in->helper = 0;
    }
    fd_cleanup_close(&in->helper_fd);
    in->helper_fd = -1;
}

/* The pipe is at its end: either the whole result is here or the child died on the way. */
static void finish_file(struct init *in)
{
    bool died = in->helper_died;
    int status = in->helper_status;
    if (in->helper) {
        waitpid(in->helper, &status, 0); /* it has closed its end: it is exiting */
        in->helper = 0;
        died = true;
    }
    stop_helper(in);
    if (died && WIFEXITED(status) && WEXITSTATUS(status) == 0 && in->result.len > 1) {
        answer_text(in, in->now, elapsed_ms(in), in->result.data[0] == '1', in->result.data + 1);
        end_call(in);
    } else {
        fail_now(in, in->now->tool, ": the tool ended before it had a result (out of memory?)");
    }
}

static void read_helper(struct init *in)
{
    for (;;) {
        char *room = buf_room(&in->result, 16384);
        if (!room) {
            stop_helper(in);
            fail_now(in, in->now->tool, ": the result is too large to be sent");
            return;
        }
        ssize_t n = read(in->helper_fd, room, 16384);
        if (n < 0)
            return;
        if (n == 0) {
            finish_file(in);
            return;
        }
        buf_commit(&in->result, (size_t)n);
    }
}

/* ---- calls ---- */

static void abort_call(struct init *in, const char *why)
{
    if (in->kind == CALL_BASH) {
        abort_bash(in, why);
    } else if (in->kind == CALL_FILE) {
        stop_helper(in);
        AUTO_FREE char *text = mem_printf(": %s", why);
        fail_now(in, in->now->tool, text);
    }
}

static void begin_next(struct init *in)
{
    while (!in->now && !list_empty(&in->queue)) {
        in->now = LIST_ENTRY(list_pop_front(&in->queue), struct call, link);
        in->queued--;
        in->n_calls++;
        in->began_ns = time_mono_ns();
        if (str_eq(in->now->tool, "bash"))
            begin_bash(in);
        else
            begin_file(in);
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
    if (!tool || !json_is_object(c->input) || in->queued >= QUEUE_MAX) {
        struct tool_result res = {.content = NULL};
        tool_fail(&res, "%s",
                  !tool || !json_is_object(c->input) ? "a call needs tool and input"
                                                     : "too many calls are waiting");
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
    procs_usage(&u);
    AUTO_JSON json_t *o = json_object();
    json_t *info = json_object();
    json_put_int(info, "processes", (int64_t)u.processes);
    json_put_int(info, "memory_bytes", (int64_t)u.memory_bytes);
    json_put_int(info, "calls", in->n_calls);
    json_put_int(o, "id", id);
    json_put(o, "info", info);
    send_object(in, o);
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
    else
        _exit(str_eq(op, "shutdown") ? 0
                                     : 1); /* an unknown operation: worker and init do not match */
}

/* Reads the channel and handles every whole message. */
static void read_channel(struct init *in)
{
    char *room = buf_room(&in->in, 16384);
    ssize_t n = room ? read(in->channel, room, 16384) : 0;
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

/* ---- time and limits ---- */

/* Why what runs must end: a sentence, or NULL. The caller's. */
static char *over_limit(struct init *in)
{
    const struct sandbox_limits *l = &in->spec->limits;
    struct procs_usage u;
    procs_usage(&u);
    if (u.memory_bytes > l->memory_bytes)
        return mem_printf("the programs used more than the %llu MiB of memory they may have",
                          (unsigned long long)l->memory_bytes >> 20);
    /* At the ceiling twice in a row: a build that touches it for a moment may go on. */
    bool was = in->crowded;
    in->crowded = crowded(in, &u);
    if (was && in->crowded)
        return mem_printf("the programs filled the %llu processes they may have",
                          (unsigned long long)l->processes);
    if (in->kind == CALL_NONE && u.processes <= 1)
        in->look_ns = 0;
    return NULL;
}

/* Background jobs go over a limit while no call runs: all of them end, and the next result says so.
 */
static void end_background(struct init *in, const char *why)
{
    procs_kill_all(reap, in);
    shell_forget(&in->shell);
    in->shell_died = false;
    free(in->notice);
    in->notice =
        mem_printf("%s; everything running in the sandbox was ended, and this is a new shell", why);
    in->look_ns = 0;
}

static void look(struct init *in, int64_t now)
{
    in->look_ns = now + (in->kind == CALL_NONE ? IDLE_LOOK_MS : LOOK_MS) * NS_PER_MS;
    AUTO_FREE char *why = over_limit(in);
    if (!why)
        return;
    in->crowded = false;
    if (in->kind == CALL_BASH)
        abort_bash(in, why);
    else
        end_background(in, why);
}

static void check_time(struct init *in)
{
    int64_t now = time_mono_ns();
    if (in->kind != CALL_NONE && now >= in->deadline_ns) {
        AUTO_FREE char *why = mem_printf("timed out after %lld ms", (long long)in->now->timeout_ms);
        abort_call(in, why);
    }
    if (in->look_ns && now >= in->look_ns && in->kind != CALL_FILE)
        look(in, now);
}

static int poll_timeout_ms(const struct init *in)
{
    int64_t until = in->kind == CALL_NONE ? INT64_MAX : in->deadline_ns;
    if (in->look_ns && in->look_ns < until && in->kind != CALL_FILE)
        until = in->look_ns;
    if (until == INT64_MAX)
        return -1;
    int64_t ms = (until - time_mono_ns() + NS_PER_MS - 1) / NS_PER_MS;
    return ms < 0 ? 0 : ms > 1000 ? 1000 : (int)ms;
}

static void read_output(struct init *in)
{
    if (drain_output(in, 1u << 20) == 0)
        return;
    AUTO_FREE char *why = mem_printf("the command printed more than %llu MiB",
                                     (unsigned long long)in->spec->limits.output_bytes >> 20);
    abort_bash(in, why);
}

static void step(struct init *in)
{
    enum { CHANNEL, SIGNAL, OUTPUT, STATUS, INPUT, HELPER, N };
    struct pollfd p[N] = {
        [CHANNEL] = {.fd = in->channel, .events = (short)(POLLIN | (in->out.len ? POLLOUT : 0))},
        [SIGNAL] = {.fd = in->sigfd, .events = POLLIN},
        [OUTPUT] = {.fd = in->shell.out_r, .events = POLLIN},
        [STATUS] = {.fd = in->shell.status, .events = POLLIN},
        [INPUT] = {.fd = in->shell.input.len ? in->shell.in : -1, .events = POLLOUT},
        [HELPER] = {.fd = in->helper_fd, .events = POLLIN},
    };
    if (poll(p, N, poll_timeout_ms(in)) < 0 && errno != EINTR)
        _exit(1);
    if (p[SIGNAL].revents) {
        struct signalfd_siginfo si;
        (void)!read(in->sigfd, &si, sizeof(si));
        reap(in);
    }
    if (p[CHANNEL].revents & (POLLIN | POLLHUP | POLLERR))
        read_channel(in);
    if (p[HELPER].revents && in->kind == CALL_FILE)
        read_helper(in);
    if (p[OUTPUT].revents)
        read_output(in);
    if (p[STATUS].revents && in->shell.status >= 0) {
        int code; /* between calls there is no token: what comes is read and ignored */
        if (shell_poll_status(&in->shell, &code) == 1 && in->kind == CALL_BASH)
            bash_ended(in, code);
    }
    if (in->shell_died)
        shell_ended(in);
    if (in->shell.in >= 0)
        (void)!shell_feed(&in->shell);
    check_time(in);
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

void init_run(int channel_fd, int oom_fd, const struct sandbox_spec *spec)
{
    (void)oom_fd;
    struct init in = {.channel = channel_fd, .spec = spec, .helper_fd = -1};
    buf_init(&in.in, SANDBOX_FRAME_MAX + 65536u);
    buf_init(&in.out, 4u * SANDBOX_FRAME_MAX);
    buf_init(&in.result, SANDBOX_FRAME_MAX - 256u);
    list_init(&in.queue);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    signal(SIGPIPE, SIG_IGN);
    in.sigfd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    AUTO_JSON json_t *hello = json_object();
    if (in.sigfd < 0 || fcntl(channel_fd, F_SETFL, O_NONBLOCK) < 0 ||
        shell_init(&in.shell, spec) < 0) {
        json_put_bool(hello, "ready", false);
        json_put_str(hello, "error", "init could not open its descriptors");
        (void)!frame_send_blocking(channel_fd, hello);
        _exit(1);
    }
    /* Ahead of the first command: bash starts while we go on here and the worker reads what
     * follows. */
    int spool = make_spool();
    (void)!shell_start(&in.shell);
    output_init(&in.output, spool, spec->limits.output_bytes);
    json_put_bool(hello, "ready", true);
    send_object(&in, hello);
    write_channel(&in);
    for (;;)
        step(&in);
}
