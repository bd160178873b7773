/* program.c - a program that runs for `sallyport exec`: one at a time, in place of tool calls.
 *
 * The request says what to run and where its three standard streams come from: a terminal or a
 * pipe, which are made here, so that they belong to the sandbox's user (who may open /dev/stdin and
 * its like), and whose other ends the client gets before anything untrusted runs; a file in memory
 * that nobody can change any more, which came with the request; or nothing (/dev/null of the
 * sandbox). No other descriptor is accepted: a host's directory would be a way out, a file of the
 * host can be opened anew for writing through /proc/self/fd, so can a pipe of the host, in which a
 * shell may be reading its commands, and a socket is network.
 *
 * States:
 *   prepared   descriptors are here, the client is asked to look at the terminal
 *   running    the client has said start
 *   ended      reaped; the answer goes out when nobody it has left is at work any more (quiet.c)
 *
 * The program leads a session of its own. On a terminal it leads the foreground group of one
 * instead, and the session's leader is a small process of ours between init and program (child.c):
 * only a group with a parent in its session can be stopped from the keyboard. It passes on that the
 * program was stopped, and ends as the program does. What the program leaves behind is not ended
 * here: the client closes the channel after the answer, and that ends all. */
#include "sandbox/init/internal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "sandbox/init/child.h"

#define LOOK_MS 100
/* What a program has left may go on for so long. A pipe's worth of bytes goes through any filter in
 * that, an interpreter's start included. */
#define QUIET_CPU_MS  500
#define QUIET_WALL_MS 5000

struct program {
    int64_t id;
    char **argv, **env;
    size_t n_borrowed; /* entries at the front of env that belong to the specification */
    char *cwd;
    struct pty pty;
    bool on_pty[CHILD_STREAMS];
    bool same;                /* standard error is where standard output is */
    int fd[CHILD_STREAMS];    /* a pipe or file, -1: none */
    int outer[CHILD_STREAMS]; /* the client's end of the pipe, until it has been sent; -1 */
    int report_fd;            /* what the child tells (child.h); -1 */
    struct child_report why;  /* of a program that could not be started: stage >= CHILD_SETUP */
    pid_t pid;     /* our child: the program, or on a terminal the leader of its session; 0: none */
    pid_t program; /* the program, which leads a group; 0: not known yet */
    bool quiet;    /* it was stopped on request: the client knows */
    bool ended;
    int status;
    int64_t timeout_ms, began_ns, ended_ns;
    uint64_t ignored, blocked;
    mode_t umask;
    int told_by;        /* the signal after whose grace it is killed; 0: none */
    int64_t grace_ms;   /* of that signal */
    int64_t give_up_ns; /* when that is over */
    uint64_t peak_bytes, most_processes;
    const char *limit;
    char *sentence;
};

static void free_words(char **words, size_t from)
{
    for (size_t i = from; words && words[i]; i++)
        free(words[i]);
    free(words);
}

static void program_free(struct program *j)
{
    if (!j)
        return;
    free_words(j->argv, 0);
    free_words(j->env, j->n_borrowed);
    free(j->cwd);
    free(j->sentence);
    pty_done(&j->pty);
    for (size_t i = 0; i < CHILD_STREAMS; i++) {
        fd_cleanup_close(&j->fd[i]);
        fd_cleanup_close(&j->outer[i]);
    }
    fd_cleanup_close(&j->report_fd);
    free(j);
}

static void refuse(struct init *in, int64_t id, const char *sentence)
{
    AUTO_JSON json_t *o = json_object();
    json_put_int(o, "id", id);
    json_put_str(o, "error", sentence);
    call_send(in, o);
}

/* ---- the request ---- */

static char **take_argv(const json_t *a)
{
    size_t n = json_array_size(a);
    if (n == 0)
        return NULL;
    char **argv = mem_array(n + 1, sizeof(*argv));
    memset(argv, 0, (n + 1) * sizeof(*argv));
    for (size_t i = 0; i < n; i++) {
        const char *s = json_string_value(json_array_get(a, i));
        if (!s) {
            free_words(argv, 0);
            return NULL;
        }
        argv[i] = mem_strdup(s);
    }
    return argv;
}

/* The sandbox's environment; the request's variables replace those of the same name. */
static void take_env(struct program *j, const struct sandbox_spec *spec, const json_t *o)
{
    char **base = shell_environment(spec);
    size_t n = 0, extra = json_object_size(o);
    while (base[n])
        n++;
    char **env = mem_array(n + extra + 1, sizeof(*env));
    memset(env, 0, (n + extra + 1) * sizeof(*env));
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        AUTO_FREE char *name = mem_strndup(base[i], strcspn(base[i], "="));
        if (!json_object_get(o, name))
            env[kept++] = base[i];
    }
    free(base);
    j->env = env;
    j->n_borrowed = kept;
    const char *name;
    json_t *v;
    json_t *obj = json_incref((json_t *)(uintptr_t)o); /* jansson's iterator takes no const */
    json_object_foreach (obj, name, v)
        if (json_is_string(v))
            env[kept++] = mem_printf("%s=%s", name, json_string_value(v));
    json_decref(obj);
}

/* A file in memory whose bytes stay what they are. Only files of memfd_create can have this seal. */
static bool is_sealed(int fd)
{
    const int seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
    const int have = fcntl(fd, F_GET_SEALS);
    return have >= 0 && (have & seals) == seals;
}

static bool make_pipe(struct program *j, size_t i)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    j->fd[i] = ends[i == 0 ? 0 : 1];
    j->outer[i] = ends[i == 0 ? 1 : 0];
    return true;
}

static const char *take_streams(struct init *in, struct program *j, const json_t *a, bool *ret_pty)
{
    size_t used = 0;
    *ret_pty = false;
    if (json_array_size(a) != CHILD_STREAMS)
        return "a program needs three streams";
    for (size_t i = 0; i < CHILD_STREAMS; i++) {
        const char *kind = json_string_value(json_array_get(a, i));
        if (str_eq(kind, "tty")) {
            j->on_pty[i] = *ret_pty = true;
        } else if (str_eq(kind, "pipe")) {
            if (!make_pipe(j, i))
                return "no pipe could be made";
        } else if (str_eq(kind, "file")) {
            if (used == in->n_fds)
                return "a stream's descriptor is missing";
            j->fd[i] = TAKE_FD(in->fds[used]);
            used++;
            if (!is_sealed(j->fd[i]))
                return "a stream that is handed in must be a sealed file in memory";
        } else if (str_eq(kind, "same") && i == 2) {
            j->same = true;
        } else if (!str_eq(kind, "null")) {
            return "a stream must be \"tty\", \"pipe\", \"file\" or \"null\"";
        }
    }
    if (used != in->n_fds)
        return "more descriptors than streams";
    in->n_fds = 0;
    return NULL;
}

static const char *take_request(struct init *in, struct program *j, const json_t *o, bool *ret_pty)
{
    const char *why = take_streams(in, j, json_object_get(o, "streams"), ret_pty);
    if (why)
        return why;
    const char *cwd = json_get_str(o, "cwd");
    j->argv = take_argv(json_object_get(o, "argv"));
    if (!j->argv || !cwd)
        return "a program needs argv and cwd";
    j->cwd = mem_strdup(cwd);
    j->timeout_ms = json_get_int(o, "timeout_ms", 0);
    j->ignored = (uint64_t)json_get_int(o, "ignored", 0);
    j->blocked = (uint64_t)json_get_int(o, "blocked", 0);
    j->umask = (mode_t)json_get_int(o, "umask", 022) & 0777;
    take_env(j, in->spec, json_object_get(o, "env"));
    return NULL;
}

static int make_terminal(struct program *j, const json_t *o)
{
    int r = pty_open(&j->pty);
    int64_t rows = json_get_int(o, "rows", 24), cols = json_get_int(o, "cols", 80);
    if (r < 0)
        return r;
    /* Init does not read this one; the client reads and writes it with threads that may wait. */
    if (fcntl(j->pty.master, F_SETFL, 0) < 0)
        return -errno;
    return pty_resize(&j->pty, rows < 0 || rows > PTY_SIZE_MAX ? 24 : (unsigned)rows,
                      cols < 0 || cols > PTY_SIZE_MAX ? 80 : (unsigned)cols);
}

static void close_spare(struct init *in)
{
    for (size_t i = 0; i < in->n_fds; i++)
        fd_cleanup_close(&in->fds[i]);
    in->n_fds = 0;
}

void program_refuse(struct init *in, int64_t id, const char *sentence)
{
    close_spare(in);
    refuse(in, id, sentence);
}

/* The client's ends are the client's alone, or nobody would see that it has let go of them. */
static void tell_prepared(struct init *in)
{
    struct program *j = in->program;
    int fds[CALL_FDS_MAX];
    size_t n = 0;
    if (j->pty.master >= 0)
        fds[n++] = j->pty.master;
    for (size_t i = 0; i < CHILD_STREAMS; i++)
        if (j->outer[i] >= 0)
            fds[n++] = j->outer[i];
    AUTO_JSON json_t *answer = json_object();
    json_put_int(answer, "id", j->id);
    json_put_bool(answer, "prepared", true);
    call_send_fds(in, answer, fds, n);
    for (size_t i = 0; i < CHILD_STREAMS; i++) {
        fd_cleanup_close(&j->outer[i]);
        j->outer[i] = -1;
    }
}

void program_exec(struct init *in, const json_t *o, int64_t id)
{
    struct program *j = mem_new(struct program);
    *j = (struct program){
        .id = id, .pty = PTY_NONE, .fd = {-1, -1, -1}, .outer = {-1, -1, -1}, .report_fd = -1};
    bool pty = false;
    const char *why = take_request(in, j, o, &pty);
    close_spare(in);
    int r = !why && pty ? make_terminal(j, o) : 0;
    if (r < 0)
        why = "no terminal could be made";
    if (why) {
        refuse(in, id, why);
        program_free(j);
        return;
    }
    limits_begin_session(in);
    in->program = j;
    in->at_work = &program_call;
    in->deadline_ns = INT64_MAX;
    tell_prepared(in);
}

enum program_state program_state(const struct init *in)
{
    const struct program *j = in->program;
    return !j ? JOB_NONE : j->ended ? JOB_ENDED : j->pid ? JOB_RUNNING : JOB_PREPARED;
}

/* ---- running ---- */

/* "the program did not end within 10 s of SIGTERM and was killed". The caller's. */
static char *grace_sentence(const struct program *j)
{
    const bool whole = j->grace_ms % 1000 == 0;
    return mem_printf("the program did not end within %lld %s of SIG%s and was killed",
                      (long long)(whole ? j->grace_ms / 1000 : j->grace_ms), whole ? "s" : "ms",
                      sigabbrev_np(j->told_by) ?: "?");
}

/* Ends the program and everything else. */
static void abort_program(struct init *in, const char *limit, const char *sentence)
{
    struct program *j = in->program;
    if (j->ended)
        return;
    if (!j->sentence && str_eq(limit, program_call.time_limit) && j->told_by &&
        time_mono_ns() >= j->give_up_ns) {
        j->sentence = grace_sentence(j);
    } else if (!j->sentence) {
        j->limit = limit;
        j->sentence = mem_strdup(sentence);
    }
    j->ended = j->pid == 0; /* otherwise when it is reaped */
    in->deadline_ns = INT64_MAX;
    call_end_everything(in);
}

static struct child_plan plan_of(const struct init *in)
{
    const struct program *j = in->program;
    struct child_plan p = {.argv = j->argv,
                           .env = j->env,
                           .cwd = j->cwd,
                           .terminal = -1,
                           .entry = &in->entry,
                           .processes = in->spec->limits.processes,
                           .ignored = j->ignored,
                           .blocked = j->blocked,
                           .umask = j->umask};
    for (int i = CHILD_STREAMS - 1; i >= 0; i--) {
        p.stream[i] = j->on_pty[i] ? j->pty.slave : j->fd[i];
        if (j->on_pty[i])
            p.terminal = i;
    }
    if (j->same)
        p.stream[2] = p.stream[1];
    return p;
}

static void begin(struct init *in)
{
    struct program *j = in->program;
    const struct child_plan plan = plan_of(in);
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0) {
        abort_program(in, NULL, "no descriptors are left");
        return;
    }
    j->began_ns = time_mono_ns();
    if (j->timeout_ms > 0 && j->timeout_ms < INT32_MAX)
        in->deadline_ns = j->began_ns + j->timeout_ms * NS_PER_MS;
    limits_begin_call(in);
    pid_t pid = fork();
    int code = errno;
    if (pid == 0)
        child_run(&plan, fds[1]);
    close(fds[1]);
    j->report_fd = fds[0];
    for (size_t i = 0; i < CHILD_STREAMS; i++) { /* or a reader would never see the end */
        fd_cleanup_close(&j->fd[i]);
        j->fd[i] = -1;
    }
    const bool terminal = j->pty.slave >= 0;
    fd_cleanup_close(&j->pty.slave);
    j->pty.slave = -1;
    if (pid < 0) {
        AUTO_FREE char *why = mem_printf("the program could not be started: %s", err_text(-code));
        abort_program(in, NULL, why);
        return;
    }
    j->pid = pid;
    j->program = terminal ? 0 : pid;
    j->most_processes = 1;
    in->look_ns = j->began_ns + LOOK_MS * NS_PER_MS;
}

void program_start(struct init *in, const json_t *o, int64_t id)
{
    (void)o;
    if (in->program->id == id)
        begin(in);
}

/* Whether the process has an answer of its own to the signal. */
static bool catches(pid_t pid, int sig)
{
    char path[32], text[3072];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    text[n < 0 ? 0 : n] = '\0';
    const char *line = strstr(text, "\nSigCgt:\t");
    const char *digits = line ? line + strlen("\nSigCgt:\t") : ""; /* hexadecimal, 4 signals each */
    const size_t len = strcspn(digits, "\n"), back = (size_t)(sig - 1) / 4 + 1;
    static const char hex[] = "0123456789abcdef";
    const char *digit = back <= len ? strchr(hex, digits[len - back]) : NULL;
    return digit && ((digit - hex) >> ((sig - 1) % 4) & 1);
}

/* From the first signal that says so the time runs; a later one shortens it at most. */
static void give_grace(struct init *in, int sig, int64_t grace_ms)
{
    struct program *j = in->program;
    const int64_t until = time_mono_ns() + grace_ms * NS_PER_MS;
    if ((sig != SIGTERM && catches(j->program ? j->program : j->pid, sig)) ||
        (j->told_by && j->give_up_ns <= until))
        return;
    j->told_by = sig;
    j->grace_ms = grace_ms;
    j->give_up_ns = until;
    if (until < in->deadline_ns)
        in->deadline_ns = until;
}

void program_signal(struct init *in, const json_t *o, int64_t id)
{
    struct program *j = in->program;
    int64_t sig = json_get_int(o, "signal", 0), grace_ms = json_get_int(o, "grace_ms", -1);
    if (j->id != id || sig < 1 || sig > 64)
        return;
    if (j->ended) { /* what it has left is not waited for any longer */
        quiet_done(&in->quiet);
        return;
    }
    if (grace_ms >= 0 && grace_ms < INT32_MAX)
        give_grace(in, (int)sig, grace_ms);
    if (sig == SIGSTOP || sig == SIGCONT)
        j->quiet = sig == SIGSTOP;
    /* The group does not exist before the child has made it; the leader of a terminal's session
     * that is not past its fork ends with what is meant for the program. */
    pid_t pid = j->program ? j->program : j->pid;
    if (!json_get_bool(o, "group", false) || kill(-pid, (int)sig) < 0)
        kill(pid, (int)sig);
}

static void stopped(struct init *in)
{
    struct program *j = in->program;
    if (!j->quiet) {
        AUTO_JSON json_t *o = json_object();
        json_put_int(o, "id", j->id);
        json_put_bool(o, "stopped", true);
        call_send(in, o);
    }
    j->quiet = false;
}

static int report_fd(const struct init *in)
{
    return in->program->report_fd;
}

static void read_reports(struct init *in)
{
    struct program *j = in->program;
    struct child_report w;
    ssize_t n = 0;
    while (j->report_fd >= 0 && (n = read(j->report_fd, &w, sizeof(w))) == (ssize_t)sizeof(w)) {
        if (w.stage == CHILD_NUMBER)
            j->program = w.code;
        else if (w.stage == CHILD_STOPPED)
            stopped(in);
        else
            j->why = w;
    }
    if (n == 0) { /* the child has executed the program */
        fd_cleanup_close(&j->report_fd);
        j->report_fd = -1;
    }
}

void program_winsize(struct init *in, const json_t *o, int64_t id)
{
    const struct program *j = in->program;
    int64_t rows = json_get_int(o, "rows", 0), cols = json_get_int(o, "cols", 0);
    if (j->id == id && j->pty.master >= 0 && rows >= 0 && rows <= PTY_SIZE_MAX && cols >= 0 &&
        cols <= PTY_SIZE_MAX)
        (void)!pty_resize(&j->pty, (unsigned)rows, (unsigned)cols);
}

/* ---- the end ---- */

static bool ended(struct init *in, pid_t pid, int status)
{
    struct program *j = in->program;
    if (!j || !j->pid || pid != j->pid)
        return false;
    if (WIFSTOPPED(status)) {
        stopped(in);
        return true;
    }
    static const struct quiet_scope all = {.cpu_ms = QUIET_CPU_MS, .wall_ms = QUIET_WALL_MS};
    j->ended = true;
    j->status = status;
    j->ended_ns = time_mono_ns();
    in->deadline_ns = INT64_MAX;
    quiet_begin(&in->quiet, &all);
    return true;
}

static void note_usage(struct init *in, const struct procs_usage *u)
{
    struct program *j = in->program;
    j->peak_bytes = u->memory_bytes > j->peak_bytes ? u->memory_bytes : j->peak_bytes;
    j->most_processes = u->processes > j->most_processes ? u->processes : j->most_processes;
}

static void add_usage(const struct program *j, json_t *o)
{
    struct rusage ru;
    json_t *u = json_object();
    uint64_t peak = j->peak_bytes;
    if (getrusage(RUSAGE_CHILDREN, &ru) == 0) {
        uint64_t largest = (uint64_t)ru.ru_maxrss << 10;
        peak = largest > peak ? largest : peak;
        json_put_int(u, "cpu_user_us", ru.ru_utime.tv_sec * 1000000 + ru.ru_utime.tv_usec);
        json_put_int(u, "cpu_system_us", ru.ru_stime.tv_sec * 1000000 + ru.ru_stime.tv_usec);
    }
    json_put_int(u, "peak_memory_bytes", (int64_t)peak);
    json_put_int(u, "most_processes", (int64_t)j->most_processes);
    json_put(o, "usage", u);
    json_put_int(o, "duration_ms", j->ended_ns ? (j->ended_ns - j->began_ns) / NS_PER_MS : 0);
}

/* What kept the program from starting. */
static bool add_failure(const struct program *j, json_t *o)
{
    const struct child_report w = j->why;
    if (w.stage < CHILD_SETUP)
        return false;
    const char *what = w.stage == CHILD_CWD    ? j->cwd
                       : w.stage == CHILD_EXEC ? j->argv[0]
                                               : "the program could not be set up";
    AUTO_FREE char *why = mem_printf("%s: %s", what, err_text(-w.code));
    json_put_str(o, "error", why);
    json_put_int(o, "code", w.code);
    json_put_str(o, "stage",
                 w.stage == CHILD_EXEC  ? "exec"
                 : w.stage == CHILD_CWD ? "cwd"
                                        : "setup");
    return true;
}

static void answer(struct init *in)
{
    struct program *j = in->program;
    AUTO_JSON json_t *o = json_object();
    json_put_int(o, "id", j->id);
    AUTO_FREE char *oom = limits_oom_sentence(in);
    if (oom && !j->limit) {
        j->limit = "memory";
        free(j->sentence);
        j->sentence = TAKE(oom);
    }
    if (!j->pid)
        json_put_str(o, "error", j->sentence);
    else if (!add_failure(j, o))
        json_put_int(o, WIFSIGNALED(j->status) ? "signal" : "exit_code",
                     WIFSIGNALED(j->status) ? WTERMSIG(j->status) : WEXITSTATUS(j->status));
    add_usage(j, o);
    if (j->limit)
        json_put_str(o, "limit", j->limit);
    if (j->pid && j->sentence)
        json_put_str(o, "sentence", j->sentence);
    json_t *denied = report_json(&in->report);
    if (denied)
        json_put(o, "denied", denied);
    call_send(in, o);
    in->program = NULL;
    in->at_work = NULL;
    program_free(j);
}

void program_ended(struct init *in)
{
    if (!in->program || !in->program->ended || !quiet_over(&in->quiet))
        return;
    if (in->report.fd >= 0)
        report_read(&in->report);
    read_reports(in);
    answer(in);
}

const struct call_ops program_call = {.begin = begin,
                                      .abort = abort_program,
                                      .fd = report_fd,
                                      .read = read_reports,
                                      .ended = ended,
                                      .usage = note_usage,
                                      .time_limit = "timeout"};
