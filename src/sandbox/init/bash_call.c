/* bash_call.c - calls of the bash tool: commands given to the persistent shell.
 *
 * A call ends by the status line of its command, by the end of the shell, by its time, by being
 * cancelled, or by a limit. In the last three cases everything that was started since the call
 * began is killed, shell included; processes that were there before, background jobs of earlier
 * calls, live on. Output arrives through one pipe that all shells of the sandbox share and, for
 * calls that want a terminal, through a pty that is kept for the sandbox's life, because background
 * jobs may still print to either.
 *
 * The terminal is not the controlling terminal of the shell (shell.c says why): everything but
 * /dev/tty works, and background jobs live on as after any other call. */
#include "sandbox/init/internal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/enc.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/time.h"
#include "sandbox/init/ipc.h"
#include "sandbox/sandbox.h"

#define BASH_TIMEOUT_MS 120000 /* api.md 13 */
#define LOOK_MS         100    /* how often usage is added up while a command runs */
#define MARK_MS         300    /* how long a terminal may take to hand over what was written */
/* What a command has left, and holds its output, may work for so long before it counts as a job in
 * the background. */
#define QUIET_CPU_MS  200
#define QUIET_WALL_MS 2000

/* Takes what is in `fd`, the output pipe or the terminal. `limit` bytes at most, so that a flood
 * cannot keep us here. -E_LIMIT when the ceiling for this command has been passed. Between calls
 * the bytes of background jobs are dropped. */
static int drain(struct init *in, int fd, size_t limit)
{
    char chunk[2048];
    int r = 0;
    while (limit > 0) {
        ssize_t n = read(fd, chunk, limit < sizeof(chunk) ? limit : sizeof(chunk));
        if (n <= 0)
            break;
        limit -= (size_t)n;
        if (in->at_work == &bash_call && output_add(&in->output, chunk, (size_t)n) < 0)
            r = -E_LIMIT;
    }
    return r;
}

/* Reads the terminal up to a mark that is written now, behind all that programs have written. A
 * terminal that hands over nothing for a while is left alone: what it held is lost with it. */
static void drain_terminal(struct init *in)
{
    unsigned char random[16];
    char mark[33];
    rng_bytes(random, sizeof(random));
    enc_hex(random, sizeof(random), mark);
    AUTO(buf) tail = BUF_INIT(4096); /* the last bytes, which may hold the beginning of the mark */
    const int64_t until = time_mono_ns() + MARK_MS * NS_PER_MS;
    const size_t mark_len = strlen(mark);
    bool written = pty_mark(&in->pty, mark) == 0;
    for (bool found = false; !found;) {
        int64_t left_ms = (until - time_mono_ns()) / NS_PER_MS;
        struct pollfd p = {.fd = in->pty.master, .events = POLLIN};
        char chunk[2048];
        if (left_ms <= 0 || poll(&p, 1, (int)left_ms) <= 0)
            break;
        ssize_t n = read(in->pty.master, chunk, sizeof(chunk));
        if (n <= 0)
            break;
        buf_add(&tail, chunk, (size_t)n);
        char *at = memmem(tail.data, tail.len, mark, mark_len);
        size_t keep = tail.len < mark_len ? tail.len : mark_len - 1;
        size_t pass = at ? (size_t)(at - tail.data) : tail.len - keep;
        if (in->at_work == &bash_call)
            (void)!output_add(&in->output, tail.data, pass);
        buf_consume(&tail, pass);
        found = at != NULL;
        if (!written) /* it was full */
            written = pty_mark(&in->pty, mark) == 0;
    }
}

/* Everything that is there at this moment. */
static void drain_now(struct init *in)
{
    int n = 0;
    if (ioctl(in->shell.out_r, FIONREAD, &n) == 0 && n > 0)
        (void)drain(in, in->shell.out_r, (size_t)n);
    if (in->at_work == &bash_call && in->on_pty)
        drain_terminal(in);
    else if (in->pty.master >= 0) /* background jobs */
        (void)drain(in, in->pty.master, 65536);
}

/* Output of the command so far, followed by `sentence` (may be NULL), as the result. */
static void finish_bash(struct init *in, bool is_error, const char *sentence)
{
    AUTO(buf) text = BUF_INIT(SANDBOX_FRAME_MAX / 2);
    if (in->notice)
        buf_addf(&text, "[%s]\n", in->notice);
    free(TAKE(in->notice));
    output_text(&in->output, &text);
    AUTO_FREE char *oom = limits_oom_sentence(in);
    if (oom)
        ipc_remove_orphans(); /* of the program that the kernel has ended */
    if (sentence)
        buf_addf(&text, "%s%s", text.len ? "\n" : "", sentence);
    else if (text.len == 0 && !oom)
        buf_adds(&text, "(no output)");
    if (oom)
        buf_addf(&text, "%s[%s]", text.len ? "\n" : "", oom);
    struct tool_result res = {.is_error = is_error};
    tool_text(&res, buf_str(&text), text.len);
    output_done(&in->output);
    call_finish(in, &res);
}

static void answer_command(struct init *in, int code)
{
    drain_now(in);
    AUTO_FREE char *sentence = NULL;
    if (code != 0 && in->output.total == 0)
        sentence = mem_printf("exit %d", code);
    finish_bash(in, code != 0, sentence);
}

/* "was ended by signal 9 (KILL)". The caller's. */
static char *how_it_ended(int status)
{
    return WIFSIGNALED(status) ? mem_printf("was ended by signal %d (%s)", WTERMSIG(status),
                                            sigabbrev_np(WTERMSIG(status)) ?: "?")
                               : mem_printf("ended with exit code %d", WEXITSTATUS(status));
}

/* The answer to a command whose shell is gone. */
static void tell_end(struct init *in, int status)
{
    drain_now(in);
    AUTO_CLOSE int bash = open("/bin/bash", O_PATH | O_CLOEXEC);
    const bool missing = WIFEXITED(status) && WEXITSTATUS(status) == 127 && bash < 0;
    AUTO_FREE char *how = how_it_ended(status);
    AUTO_FREE char *sentence =
        missing ? mem_strdup("bash: the root file system has no /bin/bash, which this tool needs")
                : mem_printf("bash: the shell %s; the next command starts a new one", how);
    finish_bash(in, true, sentence);
}

/* The command has ended: by its status line, or with its shell. */
static void answer_end(struct init *in)
{
    if (in->ended_with_shell)
        tell_end(in, in->ended_status);
    else
        answer_command(in, in->ended_status);
}

/* Ends what the call has started and answers. `why` is a sentence
 * without the part about the shell. */
static void abort_command(struct init *in, const char *limit, const char *why)
{
    if (in->quiet.on && limit && str_eq(limit, bash_call.time_limit)) {
        quiet_done(&in->quiet);
        answer_end(in);
        return;
    }
    quiet_done(&in->quiet);
    int all = procs_kill_others(&in->before, call_reap, in);
    if (!all && limits_exceeded(in)) { /* it was not this command, or not it alone */
        procs_kill_all(call_reap, in);
        all = 1;
    }
    if (in->shell.pid && !in->shell_died)
        kill(in->shell.pid, SIGKILL);
    call_reap(in);
    drain_now(in);
    call_forget_shell(in);
    AUTO_FREE char *sentence =
        in->over ? mem_printf("bash: %s; everything running in the sandbox was ended", why)
                 : mem_printf("bash: %s; %s and the shell was restarted: its directory, variables "
                              "and functions are gone",
                              why,
                              all ? "everything running in the sandbox was ended"
                                  : "what it had started was ended");
    finish_bash(in, true, sentence);
}

static void read_from(struct init *in, int fd)
{
    if (drain(in, fd, 1u << 20) == 0)
        return;
    AUTO_FREE char *why = mem_printf("the command printed more than %llu MiB",
                                     (unsigned long long)in->spec->limits.output_bytes >> 20);
    abort_command(in, NULL, why);
}

void bash_read_output(struct init *in)
{
    read_from(in, in->shell.out_r);
}

void bash_read_terminal(struct init *in)
{
    read_from(in, in->pty.master);
}

/* For the next result: what earlier commands left in the shell is not there. */
static void note_end(struct init *in, int status)
{
    if (in->notice)
        return;
    AUTO_FREE char *how = how_it_ended(status);
    in->notice = mem_printf("the shell %s after the last command; this is a new one: directory, "
                            "variables and functions are gone",
                            how);
}

/* True when `pid` has no child but `but` (0: none at all). */
static bool has_no_child(pid_t pid, pid_t but)
{
    char path[64], text[64], want[16];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    snprintf(want, sizeof(want), "%d ", (int)but);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    text[n < 0 ? 0 : n] = '\0';
    return n >= 0 && (n == 0 || str_eq(text, want));
}

/* A command has ended. Who of its processes still holds the output, and is at work, may have some of
 * it to write. Most commands have left nobody, which two small files of procfs tell. */
static void command_ended(struct init *in, bool with_shell, int status)
{
    const pid_t shell = with_shell ? 0 : in->shell.pid;
    in->ended_with_shell = with_shell;
    in->ended_status = status;
    if (has_no_child(getpid(), shell) && (!shell || has_no_child(shell, 0))) {
        answer_end(in);
        return;
    }
    struct stat st;
    in->output_link[0] = '\0';
    if (fstat(in->shell.out_r, &st) == 0)
        snprintf(in->output_link, sizeof(in->output_link), "pipe:[%llu]",
                 (unsigned long long)st.st_ino);
    const struct quiet_scope its = {.except = &in->before,
                                    .also_except = shell,
                                    .held = {in->output_link, in->on_pty ? in->pty.path : NULL},
                                    .cpu_ms = QUIET_CPU_MS,
                                    .wall_ms = QUIET_WALL_MS};
    quiet_begin(&in->quiet, &its);
    bash_settled(in);
}

void bash_settled(struct init *in)
{
    if (in->at_work == &bash_call && in->quiet.on && quiet_over(&in->quiet))
        answer_end(in);
}

/* A shell, a new one if there is none. False when the call has been answered with why not. */
static bool have_shell(struct init *in)
{
    if (in->shell.pid)
        return true;
    int r = shell_start(&in->shell);
    if (r == 0) {
        in->fresh_shell = true;
        return true;
    }
    in->at_work = NULL;
    call_fail(in, "bash: could not start a shell: ",
              r == -EAGAIN
                  ? "the sandbox has no free processes left; restart it with {\"restart\": true}"
              : r == -ETIMEDOUT
                  ? "something in the sandbox keeps it from starting; {\"restart\": true} ends "
                    "everything that runs"
                  : err_text(r));
    return false;
}

static void give_command(struct init *in)
{
    const char *command = json_get_str(in->now->input, "command");
    int64_t attempt = json_get_int(in->now->input, SANDBOX_ATTEMPT_KEY, 0);
    if (shell_send(&in->shell, command, in->on_pty ? in->pty.path : NULL, attempt) < 0) {
        shell_forget(&in->shell);
        in->at_work = NULL;
        call_fail(in, "bash: the command is too long", "");
        return;
    }
    (void)!shell_feed(&in->shell); /* a shell that has died is noticed by reap */
}

/* The shell itself is gone: `exit`, `exec`, or something killed it. A command that came when it was
 * dying already, and of which it has run nothing, goes to the next one, once. */
void bash_shell_ended(struct init *in)
{
    int status = in->shell_status;
    in->shell_died = false;
    if (in->at_work == &bash_call && in->quiet.on) { /* its command has ended before it */
        quiet_done(&in->quiet);
        answer_end(in);
        shell_forget(&in->shell);
        note_end(in, status);
        return;
    }
    int code;
    bool answered = shell_poll_status(&in->shell, &code) == 1;
    bool begun = shell_has_begun(&in->shell);
    shell_forget(&in->shell);
    const bool unread = in->at_work == &bash_call && !answered && !begun && !in->fresh_shell;
    if (in->at_work == &bash_call && !unread) {
        command_ended(in, !answered, answered ? code : status);
        return;
    }
    if (in->n_outputs > (unread ? 1 : 0)) /* it has run commands */
        note_end(in, status);
    if (unread && have_shell(in))
        give_command(in);
}

/* After `restart`: nothing of the old shell is left. */
static void restart_shell(struct init *in)
{
    call_end_everything(in);
    free(TAKE(in->notice)); /* whoever asks for a new one knows */
}

/* What "pty" asks for. */
struct size {
    bool wanted;
    unsigned rows, cols;
};

/* One side of {"rows":R,"cols":C}; absent: `otherwise`. */
static bool take_side(const json_t *o, const char *key, unsigned otherwise, unsigned *ret,
                      struct tool_result *res)
{
    const json_t *v = json_object_get(o, key);
    json_int_t n = json_is_integer(v) ? json_integer_value(v) : -1;
    if (v && !json_is_null(v) && (n < 1 || n > PTY_SIZE_MAX)) {
        tool_fail(res, "bash: pty.%s must be an integer from 1 to %d", key, PTY_SIZE_MAX);
        return false;
    }
    *ret = n > 0 ? (unsigned)n : otherwise;
    return true;
}

static void take_pty(const json_t *input, struct size *ret, struct tool_result *res)
{
    const json_t *v = json_object_get(input, "pty");
    *ret = (struct size){.wanted = v && !json_is_null(v) && !json_is_false(v)};
    if (!ret->wanted)
        return;
    if (!json_is_true(v) && !json_is_object(v)) {
        tool_fail(res, "bash: pty must be true, false or {\"rows\": R, \"cols\": C}");
        return;
    }
    json_t *o = json_incref((json_t *)(uintptr_t)v); /* jansson's iterator takes no const */
    const char *key;
    json_t *unused;
    json_object_foreach (o, key, unused) {
        if (!str_eq(key, "rows") && !str_eq(key, "cols")) {
            tool_fail(res, "bash: pty.%.40s is not a field; pty has rows and cols", key);
            break;
        }
    }
    json_decref(o);
    if (!res->is_error && take_side(v, "rows", 24, &ret->rows, res))
        (void)take_side(v, "cols", 80, &ret->cols, res);
}

static int prepare_terminal(struct init *in, const struct size *size)
{
    int r = in->pty.master >= 0 ? pty_reset(&in->pty) : -ENOTTY;
    if (r < 0) { /* the first one, or one that cannot be brought into order */
        pty_done(&in->pty);
        r = pty_open(&in->pty);
        if (r >= 0)
            r = pty_reset(&in->pty);
    }
    return r < 0 ? r : pty_resize(&in->pty, size->rows, size->cols);
}

static void begin(struct init *in)
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
    struct size size = {.wanted = false};
    if (!res.is_error)
        take_pty(input, &size, &res);
    if (!res.is_error && json_is_true(restart))
        restart_shell(in);
    if (!res.is_error && !command) {
        if (json_is_true(restart))
            tool_say(&res, "bash session restarted");
        else
            tool_fail(&res, "bash: command is required");
    }
    if (res.content) {
        call_finish(in, &res);
        return;
    }
    call_reap(in);
    if (in->shell_died) {
        in->at_work = NULL;
        bash_shell_ended(in);
    }
    in->at_work = NULL; /* what is in the pipe now belongs to nobody */
    drain_now(in);
    in->fresh_shell = false;
    if (!have_shell(in))
        return;
    /* The shell is not on the list: ending the call ends it, too. Before the first command there is
     * nobody else, and the first look into a new procfs is slow. */
    procs_done(&in->before);
    if (in->n_outputs > 0 && procs_list(&in->before) < 0) {
        call_fail(in, "bash: ", "could not list processes");
        return;
    }
    for (size_t i = 0; i < in->before.n; i++)
        if (in->before.ids[i].pid == in->shell.pid)
            in->before.ids[i].pid = 0;
    limits_set_deadline(in,
                        json_is_integer(timeout) ? json_integer_value(timeout) : BASH_TIMEOUT_MS);
    in->look_ns = in->began_ns + LOOK_MS * NS_PER_MS;
    in->at_work = &bash_call;
    char name[32];
    AUTO_FREE char *numbered = mem_printf("output-%u.txt", ++in->n_outputs);
    str_copy(name, sizeof(name), numbered);
    output_begin(&in->output, name);
    in->on_pty = size.wanted;
    int r = size.wanted ? prepare_terminal(in, &size) : 0;
    if (r < 0) {
        in->at_work = NULL;
        call_fail(in, "bash: could not make a terminal: ", err_text(r));
        return;
    }
    limits_begin_call(in);
    give_command(in);
}

void bash_read_status(struct init *in)
{
    int code; /* between calls there is no token: what comes is read and ignored */
    if (shell_poll_status(&in->shell, &code) == 1 && in->at_work == &bash_call)
        command_ended(in, false, code);
}

static bool ended(struct init *in, pid_t pid, int status)
{
    if (pid != in->shell.pid || WIFSTOPPED(status))
        return false;
    in->shell_died = true;
    in->shell_status = status;
    return true;
}

const struct call_ops bash_call = {
    .begin = begin, .abort = abort_command, .ended = ended, .time_limit = "call_ms"};
