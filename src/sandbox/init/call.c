/* call.c - what every kind of work needs of init: answers, and its dead children collected.
 *
 * Called by init's loop and by the files that do the work. A message is put behind those that wait
 * to be sent; only one with a descriptor is sent at once. A worker that does not read until the
 * ceiling is reached is gone or broken: init exits, and the kernel ends the sandbox. What programs
 * may have written goes into an answer as text; a result that does not fit becomes an error that
 * says so. */
#include "sandbox/init/internal.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/time.h"
#include "sandbox/frame.h"
#include "sandbox/sandbox.h"

void call_free(struct call *c)
{
    if (!c)
        return;
    json_decref(c->input);
    free(c->tool);
    free(c);
}

/* Each kind of work notes the end of its own; orphans are just collected. */
void call_reap(void *arg)
{
    struct init *in = arg;
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0;)
        for (size_t i = 0; i < CALL_KINDS && !in->kinds[i]->ended(in, pid, status); i++)
            ;
}

/* ---- answers ---- */

void call_send(struct init *in, const json_t *o)
{
    if (frame_add(&in->out, o) < 0)
        _exit(1); /* the worker does not read: nothing sensible is left to do */
}

void call_send_fds(struct init *in, const json_t *o, const int *fds, size_t n_fds)
{
    call_send(in, o);
    MUST(n_fds <= CALL_FDS_MAX);
    bool sent = n_fds == 0;
    while (in->out.len > 0) {
        ssize_t n = fd_send(in->channel, in->out.data, in->out.len, fds, sent ? 0 : n_fds, 0);
        if (n >= 0) {
            sent = true;
            buf_consume(&in->out, (size_t)n);
            continue;
        }
        struct pollfd p = {.fd = in->channel, .events = POLLOUT};
        if ((n != -EAGAIN && n != -EINTR) || (poll(&p, 1, -1) < 0 && errno != EINTR))
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

void call_refuse(struct init *in, const struct call *c, const char *sentence)
{
    struct tool_result res = {.content = NULL};
    tool_fail(&res, "%s", sentence);
    answer(in, c, 0, &res);
}

static int64_t elapsed_ms(const struct init *in)
{
    return (time_mono_ns() - in->began_ns) / NS_PER_MS;
}

static void end_call(struct init *in)
{
    call_free(in->now);
    in->now = NULL;
    in->at_work = NULL;
    procs_done(&in->before);
}

void call_finish(struct init *in, struct tool_result *res)
{
    answer(in, in->now, elapsed_ms(in), res);
    end_call(in);
}

void call_finish_text(struct init *in, bool is_error, const char *content)
{
    answer_text(in, in->now, elapsed_ms(in), is_error, content);
    end_call(in);
}

void call_fail(struct init *in, const char *text, const char *detail)
{
    struct tool_result res = {.content = NULL};
    tool_fail(&res, "%s%s", text, detail);
    call_finish(in, &res);
}

/* ---- the end of everything ---- */

void call_forget_shell(struct init *in)
{
    shell_forget(&in->shell);
    in->shell_died = false;
}

void call_end_everything(struct init *in)
{
    procs_kill_all(call_reap, in);
    call_forget_shell(in);
}
