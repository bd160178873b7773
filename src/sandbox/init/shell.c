/* shell.c - starting and feeding bash.
 *
 * Bash reads its script from a pipe. Per command it gets one line (two here):
 *
 *     \builtin eval $'COMMAND' </dev/null >&2 2>&1 62>&-;
 *     { \builtin printf '%s %d\n' TOKEN "$?"; } >&62 2>/dev/null
 *
 * eval, so that a syntax error ends the command and not the conversation. ">&2 2>&1" changes
 * nothing (both are the output pipe) but makes bash put both back, should the command `exec` them
 * elsewhere. The redirections are undone when eval is over, so the command finds its standard input
 * empty and descriptor 62, the status pipe, closed; bash keeps the originals close-on-exec.
 * Programs therefore do not have the status pipe, and code evaluated in the shell itself would have
 * to know the token, 128 random bits drawn for each command, which it is not told. A program that
 * goes through /proc into the shell, which has the same uid, finds both. The shell belongs to the
 * model: what it can do by tricks is to lie about its own exit code.
 *
 * In front of them stands "\builtin export SALLYPORT_ATTEMPT=N;" when the number is not what the shell
 * has: 2 or more for a command that may have been begun before by a worker that was lost.
 *
 * A command that wants a terminal gets it in place of /dev/null and the pipe, and TERM for as long
 * as eval runs.
 *
 * Standard output and error share one pipe per sandbox that outlives shells. Everything the command
 * itself has written is in that pipe when the status arrives; what other processes have still in
 * hand is waited for a little (quiet.c). Then init reads what is in the pipe and stops. */
#include "sandbox/init/shell.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/enc.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"
#include "sandbox/init/trust_env.h"
#include "sandbox/paths.h"
#include "sandbox/sandbox.h"

#define STATUS_FD     62
#define COMMAND_BYTES (SANDBOX_FRAME_MAX * 3u) /* a quote becomes two bytes; the frame limits it */
#define ANSWER_BYTES  4096u                    /* more unread text on the status pipe is noise */

static const char *const base_env[] = {
    "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
    "SHELL=/bin/bash",
    /* Not LANG: C.UTF-8 differs from C in nothing else, and each program would look for eleven more
     * files. */
    "LC_CTYPE=C.UTF-8",
    "TERM=dumb",
};

static bool same_name(const char *a, const char *b)
{
    size_t n = strcspn(a, "=");
    return strncmp(a, b, n + 1) == 0;
}

/* Adds one of ours unless the specification has that name. */
static size_t add_ours(const struct sandbox_spec *spec, char **env, size_t n, char *text)
{
    for (size_t k = 0; k < spec->n_env; k++)
        if (same_name(text, spec->env[k]))
            return n;
    env[n] = text;
    return n + 1;
}

char **shell_environment(const struct sandbox_spec *spec)
{
    /* What is not a constant lives as long as init does. */
    static char *own[3];
    const char *user = spec->user == SANDBOX_USER_ROOT ? "root" : SANDBOX_USER;
    if (!own[0]) {
        own[0] = mem_printf("HOME=%s", paths()->home);
        own[1] = mem_printf("USER=%s", user);
        own[2] = mem_printf("LOGNAME=%s", user);
    }
    char *trust[TRUST_ENV_MAX];
    const size_t n_trust = trust_env(spec, trust);
    char **env =
        mem_array(ARRAY_LEN(base_env) + ARRAY_LEN(own) + n_trust + spec->n_env + 1, sizeof(*env));
    size_t n = 0;
    for (size_t i = 0; i < n_trust; i++)
        n = add_ours(spec, env, n, trust[i]);
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        n = add_ours(spec, env, n, own[i]);
    for (size_t i = 0; i < ARRAY_LEN(base_env); i++)
        n = add_ours(spec, env, n, (char *)(uintptr_t)base_env[i]);
    for (size_t k = 0; k < spec->n_env; k++)
        env[n++] = spec->env[k];
    return env;
}

int shell_init(struct shell *s, const struct sandbox_spec *spec, const struct cgroup_entry *entry)
{
    *s = (struct shell){.spec = spec,
                        .entry = entry,
                        .in = -1,
                        .status = -1,
                        .beside_programs = spec->program || paths()->shared};
    buf_init(&s->input, COMMAND_BYTES);
    buf_init(&s->answer, ANSWER_BYTES);
    int out[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        return -errno;
    /* Only our end is non-blocking: programs that print must wait, not fail. */
    s->out_r = out[0];
    s->out_w = out[1];
    return fcntl(s->out_r, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static NORETURN void exec_bash(const struct shell *s, int in, int status, char **env)
{
    sigset_t none;
    sigemptyset(&none);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (cgroup_enter(s->entry) < 0)
        _exit(126);
    /* Below what init may use itself, so that init can still start a tool when the shell's share is
     * gone. Without a user namespace the number would count the user's other processes, too. */
    rlim_t n = (rlim_t)s->spec->limits.processes;
    struct rlimit nproc = {.rlim_cur = n, .rlim_max = n}, now;
    if (getrlimit(RLIMIT_NPROC, &now) < 0 ||
        (!paths()->shared && now.rlim_max > n && setrlimit(RLIMIT_NPROC, &nproc) < 0))
        _exit(126);
    if (dup2(in, 0) < 0 || dup2(s->out_w, 1) < 0 || dup2(s->out_w, 2) < 0 ||
        dup2(status, STATUS_FD) < 0 || chdir(paths()->home) < 0)
        _exit(126);
    char *const argv[] = {(char[]){"/bin/bash"}, (char[]){"--noprofile"}, (char[]){"--norc"}, NULL};
    execve(argv[0], argv, env);
    _exit(127);
}

/* The sanitizers' own memory does not survive a program that is set up in its parent's. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define START_CHILD() ((pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0))
#else
#define START_CHILD() vfork()
#endif

#define START_MS 2000 /* for a process to fork once and say so, on a busy machine, too */

/* Later shells start beside programs, which have the same uid and can stop (SIGSTOP) every process
 * but init. Whoever waits in vfork for a child that is stopped waits for ever, so here init waits
 * in poll, for so long, and then kills. Bash that is stopped before it runs is ended by the time of
 * the call. */
static int fork_beside_programs(const struct shell *s, int in, int status, char **env, pid_t *ret)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    AUTO_CLOSE int told = fds[0];
    pid_t leader = fork();
    int code = errno;
    if (leader == 0) {
        setsid();
        pid_t child = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
        if (child == 0)
            exec_bash(s, in, status, env);
        const int word = child < 0 ? -errno : child;
        (void)!write(fds[1], &word, sizeof(word));
        _exit(0);
    }
    close(fds[1]);
    if (leader < 0)
        return -code;
    int word = -ETIMEDOUT;
    struct pollfd p = {.fd = told, .events = POLLIN};
    if (poll(&p, 1, START_MS) == 1 && read(told, &word, sizeof(word)) != (ssize_t)sizeof(word))
        word = -EIO; /* killed on its way */
    /* Reaches who is stopped, too: the next line does not wait for anybody. */
    kill(leader, SIGKILL);
    waitpid(leader, NULL, 0);
    if (word < 0)
        return word;
    *ret = word;
    return 0;
}

/* Forks bash into a session that it does not lead: the leader is a process that starts it and ends.
 * Opening a terminal then never makes it the controlling one, whose end would take along the
 * background jobs of all earlier commands (SIGHUP to the foreground group); and the group has no
 * parent in its session from the start, so that the end of bash changes nothing for stopped jobs
 * either (they would get SIGHUP, too). 0 or -errno. */
static int fork_into_session(struct shell *s, int in, int status, char **env, pid_t *ret)
{
    if (s->beside_programs)
        return fork_beside_programs(s, in, status, env, ret);
    s->beside_programs = true;
    /* The first one, before anything untrusted runs. vfork, twice: nothing of init's memory is
     * needed, and copying its page tables and tearing them down again would be a fifth of a cold
     * start. Both children share our memory until the second has executed bash (or ended), and call
     * only what changes themselves. */
    volatile pid_t pid = -1;
    volatile int code = EIO;
    pid_t leader = vfork();
    if (leader < 0)
        return -errno;
    if (leader == 0) {
        setsid();
        pid_t child = START_CHILD();
        if (child == 0)
            exec_bash(s, in, status, env);
        code = errno;
        pid = child;
        _exit(0);
    }
    waitpid(leader, NULL, 0);
    if (pid < 0)
        return -code;
    *ret = pid;
    return 0;
}

int shell_start(struct shell *s)
{
    int in[2], status[2];
    if (pipe2(in, O_CLOEXEC) < 0)
        return -errno;
    AUTO_CLOSE int in_r = in[0], in_w = in[1];
    if (pipe2(status, O_CLOEXEC) < 0)
        return -errno;
    AUTO_CLOSE int status_r = status[0], status_w = status[1];
    if (fcntl(in_w, F_SETFL, O_NONBLOCK) < 0 || fcntl(status_r, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    char **env = shell_environment(s->spec);
    pid_t pid;
    int r = fork_into_session(s, in_r, status_w, env, &pid);
    free(env);
    if (r < 0)
        return r;
    s->pid = pid;
    s->in = TAKE_FD(in_w);
    s->status = TAKE_FD(status_r);
    buf_reset(&s->input);
    buf_reset(&s->answer);
    s->token[0] = '\0';
    s->attempt = 0;
    return 0;
}

void shell_forget(struct shell *s)
{
    fd_cleanup_close(&s->in);
    fd_cleanup_close(&s->status);
    s->in = s->status = -1;
    s->pid = 0;
    s->token[0] = '\0';
    buf_done(&s->input);
    buf_init(&s->input, COMMAND_BYTES);
}

void shell_quote(struct buf *out, const char *text)
{
    /* $'...' and not '...': bash takes quadratic time to put "'\\''" sequences together. */
    buf_adds(out, "$'");
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "'\\");
        buf_add(out, p, n);
        p += n;
        if (*p) {
            buf_addc(out, '\\');
            buf_addc(out, *p++);
        }
    }
    buf_addc(out, '\'');
}

int shell_send(struct shell *s, const char *command, const char *terminal, int64_t attempt)
{
    unsigned char random[16];
    rng_bytes(random, sizeof(random));
    enc_hex(random, sizeof(random), s->token);
    if (attempt > 0 && attempt != s->attempt)
        buf_addf(&s->input, "\\builtin export SALLYPORT_ATTEMPT=%lld; ", (long long)attempt);
    s->attempt = attempt > 0 ? attempt : s->attempt;
    /* `command`, because bash does not export what stands in front of `builtin`. */
    buf_adds(&s->input, terminal ? "TERM=xterm-256color \\command eval " : "\\builtin eval ");
    shell_quote(&s->input, command);
    if (terminal)
        buf_addf(&s->input, " <%s >%s 2>&1", terminal, terminal);
    else
        buf_adds(&s->input, " </dev/null >&2 2>&1");
    buf_addf(&s->input,
             " %d>&-; { \\builtin printf '%%s %%d\\n' %s \"$?\"; } >&%d "
             "2>/dev/null\n",
             STATUS_FD, s->token, STATUS_FD);
    s->sent = s->input.len;
    return buf_err(&s->input);
}

int shell_feed(struct shell *s)
{
    while (s->input.len > 0) {
        ssize_t n = write(s->in, s->input.data, s->input.len);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        buf_consume(&s->input, (size_t)n);
    }
    return 0;
}

bool shell_has_begun(const struct shell *s)
{
    /* Bash reads from a pipe byte by byte, and dies before the second when it is killed while it
     * waits. All but that and no more: a program of the command could put bytes back. One that puts
     * back as many as there were, and kills its shell, is run twice, and has deceived itself. */
    int n = 0;
    size_t left = s->input.len + (ioctl(s->in, FIONREAD, &n) < 0 ? 0 : (size_t)n);
    return left != s->sent && left + 1 != s->sent;
}

int shell_scan_status(struct buf *answer, const char *token, int *ret_code)
{
    size_t token_len = strlen(token);
    for (;;) {
        char *end = answer->len ? memchr(answer->data, '\n', answer->len) : NULL;
        if (!end)
            return 0;
        size_t n = (size_t)(end - answer->data);
        uint64_t code;
        bool ours = token_len && n > token_len + 1 && memcmp(answer->data, token, token_len) == 0 &&
                    answer->data[token_len] == ' ' &&
                    str_to_u64(answer->data + token_len + 1, n - token_len - 1, 255, &code) == 0;
        buf_consume(answer, n + 1);
        if (ours) {
            *ret_code = (int)code;
            return 1;
        }
    }
}

int shell_poll_status(struct shell *s, int *ret_code)
{
    for (;;) {
        char *room = buf_room(&s->answer, 256);
        if (!room) { /* noise without a line end */
            buf_reset(&s->answer);
            continue;
        }
        ssize_t n = read(s->status, room, 256);
        if (n <= 0)
            return 0;
        buf_commit(&s->answer, (size_t)n);
        if (shell_scan_status(&s->answer, s->token, ret_code)) {
            s->token[0] = '\0';
            return 1;
        }
    }
}
