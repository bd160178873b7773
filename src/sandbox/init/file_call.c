/* file_call.c - file tools: each runs in a forked child of init.
 *
 * The child may block, be slow, or die on a hostile file; init reads its result from a pipe and
 * stays responsive. A call ends when the pipe is at its end, when its time is up, or when it is
 * cancelled; the last two kill the child, which has no children of its own. */
#include "sandbox/init/internal.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/time.h"

#define HELPER_DATA_BYTES (512u << 20)

/* The child: one tool, its result as "0" or "1" (is_error) and the
 * content's JSON text, then gone. */
static NORETURN void run_helper(const struct init *in, int fd,
                                void (*run)(const json_t *, struct tool_result *))
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (cgroup_enter(&in->entry) < 0 || (fd != 3 && dup2(fd, 3) < 0))
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
    bool ok = fd_write_all(3, &flag, 1) == 0 && fd_write_all(3, text, n) == 0;
    _exit(ok ? 0 : 125);
}

static void begin(struct init *in)
{
    void (*run)(const json_t *, struct tool_result *) = tool_find(in->now->tool);
    int fds[2];
    if (!run) {
        call_fail(in, in->now->tool, ": this sandbox has no such tool");
        return;
    }
    if (pipe2(fds, O_CLOEXEC) < 0) {
        call_fail(in, in->now->tool, ": too many open files");
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
        call_fail(
            in, in->now->tool,
            code == EAGAIN
                ? ": the sandbox has no free processes left; use bash with {\"restart\": true}"
                : ": could not start the tool");
        return;
    }
    limits_set_deadline(in, TOOL_TIMEOUT_MS);
    in->helper = pid;
    in->helper_died = false;
    in->helper_fd = fds[0];
    buf_reset(&in->result);
    in->at_work = &file_call;
}

static void stop(struct init *in)
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
    stop(in);
    if (died && WIFEXITED(status) && WEXITSTATUS(status) == 0 && in->result.len > 1) {
        call_finish_text(in, in->result.data[0] == '1', in->result.data + 1);
    } else {
        call_fail(in, in->now->tool, ": the tool ended before it had a result (out of memory?)");
    }
}

static void read_result(struct init *in)
{
    for (;;) {
        char *room = buf_room(&in->result, 16384);
        if (!room) {
            stop(in);
            call_fail(in, in->now->tool, ": the result is too large to be sent");
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

static void abort_tool(struct init *in, const char *limit, const char *why)
{
    (void)limit;
    stop(in);
    AUTO_FREE char *text = mem_printf(": %s", why);
    call_fail(in, in->now->tool, text);
}

static int result_fd(const struct init *in)
{
    return in->helper_fd;
}

static bool ended(struct init *in, pid_t pid, int status)
{
    if (pid != in->helper || WIFSTOPPED(status))
        return false;
    in->helper_died = true;
    in->helper_status = status;
    in->helper = 0;
    return true;
}

const struct call_ops file_call = {.begin = begin,
                                   .abort = abort_tool,
                                   .fd = result_fd,
                                   .read = read_result,
                                   .ended = ended,
                                   .time_limit = "call_ms",
                                   .unmeasured = true};
