/* exec.c - `sallyport exec`: any program in the sandbox of a session's tools.
 *
 * The main fiber makes a sandbox, has the program prepared in it, connects the streams
 * (exec_streams.c) and the terminal (exec_term.c), starts it, waits for its end, and ends with its
 * status. A second fiber turns signals into requests. Nothing of ours is ever written to standard
 * output; what we have to say goes to standard error with our name in front.
 *
 * The program is untrusted, its sandbox is not believed beyond what box/program.c checks, and what
 * it prints is passed on as it is, like that of any program. When this process dies in whatever
 * way, the zygote's socket and the sandbox's channel close, and nothing is left. */
#include "cmd/cmd.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "cmd/exec/exec_advice.h"
#include "cmd/exec/exec_egress.h"
#include "cmd/exec/exec_streams.h"
#include "cmd/exec/exec_term.h"
#include "cmd/line/flags.h"
#include "cmd/line/host_path.h"
#include "cmd/line/sandbox_flags.h"
#include "cmd/line/start.h"
#include "cmd/line/term.h"
#include "cmd/outside.h"
#include "io/dirs.h"
#include "io/loop.h"
#include "io/signal.h"
#include "sandbox/sandbox.h"
#include "box/box.h"
#include "box/program.h"

/* Our own failures, as env, timeout and container engines number them. */
enum { EXIT_OURS = 125, EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127, EXIT_SIGNAL = 128 };

#define FLUSH_MS      100 /* for output from before a stop */
#define FOREGROUND_MS 250
#define GRACE_MS      10000
#define DRAIN_MS      2000 /* for output to be taken after the end, before signals end us again */

struct exec_command {
    const char *config, *workdir, *json;
    int64_t timeout_ms, grace_ms;
    struct flag_list allow, secrets;
    struct flag_section policy; /* none: the network stays closed */
    const char *audit;
    struct sandbox_options options;
    struct sandbox_spec sandbox;
    char **argv;
    char *cwd;

    uint64_t ignored, blocked; /* signals, as our caller has left them; bit N - 1 for signal N */
    mode_t umask;
    int json_fd;
    bool reported;
    struct exec_streams streams;
    struct exec_term term;
    struct box_program *run; /* while there is one to signal */
    bool started;
    int ended_by; /* a signal that came before the program was started */
    struct fiber *main;
    struct scope listener; /* the fiber of signals */
    bool listening;
    struct io_fd signals;
    int code;
};

/* ---- signals ---- */

static const int handled[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGUSR1,
                              SIGUSR2, SIGCONT, SIGTSTP, SIGWINCH};

/* What programs of our caller inherit. Called before anything of ours changes it. */
static void look_at_caller(struct exec_command *c)
{
    signal_inherit(&c->ignored, &c->blocked);
    c->umask = umask(0);
    umask(c->umask);
}

/* Those that are passed on. What the caller ignores stays ignored, as with nohup(1): the kernel
 * drops it, unless it is blocked, and so it must not be. */
static void signal_set(const struct exec_command *c, sigset_t *ret)
{
    sigemptyset(ret);
    for (size_t i = 0; i < ARRAY_LEN(handled); i++)
        if (!(c->ignored >> (handled[i] - 1) & 1))
            sigaddset(ret, handled[i]);
}

static int open_signals(struct exec_command *c)
{
    sigset_t set;
    signal_set(c, &set);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : io_fd_add(&c->signals, fd);
}

/* The program has been stopped: so are we, with the terminal as it was. Goes on when somebody
 * continues us. */
static int rest(struct exec_command *c)
{
    exec_streams_flush(&c->streams, FLUSH_MS);
    relay_flush(&c->term.shown, FLUSH_MS);
    exec_term_restore(&c->term);
    kill(getpid(), SIGSTOP);
    exec_term_raw(&c->term);
    unsigned rows, cols;
    exec_term_size(&c->term, &rows, &cols);
    int r = box_program_winsize(c->run, rows, cols);
    return r < 0 ? r : box_program_signal(c->run, SIGCONT, true, -1);
}

/* Both sides stop: the program's group, then we. */
static int suspend(struct exec_command *c)
{
    int r = box_program_signal(c->run, SIGSTOP, true, -1);
    return r < 0 ? r : rest(c);
}

/* How long the program may take to end: who tells us to end must not wait for ever. With a terminal
 * INT and QUIT from elsewhere are a person's keys, and only HUP of the kernel's means an end. */
static int64_t grace_of(const struct exec_command *c, int sig, bool from_kernel)
{
    const bool asks = sig == SIGINT || sig == SIGQUIT || sig == SIGHUP;
    const bool ends = sig == SIGTERM || (asks && !c->term.input) || (sig == SIGHUP && from_kernel);
    return ends ? c->grace_ms : -1;
}

static int forward(struct exec_command *c, const struct signalfd_siginfo *si)
{
    int sig = (int)si->ssi_signo;
    if (!c->started || !c->run) {
        if (sig == SIGINT || sig == SIGTERM || sig == SIGHUP || sig == SIGQUIT) {
            c->ended_by = sig;
            fiber_cancel(c->main);
        }
        return 0;
    }
    if (sig == SIGTSTP)
        return suspend(c);
    if (sig == SIGWINCH) {
        unsigned rows, cols;
        exec_term_size(&c->term, &rows, &cols);
        return box_program_winsize(c->run, rows, cols);
    }
    /* From a terminal a signal goes to the whole group, from kill(1) to one process: so inside. */
    const bool from_kernel = si->ssi_code == SI_KERNEL;
    int r = box_program_signal(c->run, sig, from_kernel || sig == SIGCONT,
                               grace_of(c, sig, from_kernel));
    /* A hang-up does not reach who is stopped; the kernel continues them, too. */
    return r < 0 || sig != SIGHUP ? r : box_program_signal(c->run, SIGCONT, true, -1);
}

/* A program in the background must leave the terminal alone; when it is brought to the foreground
 * nobody tells. */
static int watch_foreground(void *arg)
{
    struct exec_command *c = arg;
    int r = 0;
    while (r >= 0) {
        r = fiber_sleep_ms(FOREGROUND_MS);
        if (r >= 0 && c->started)
            exec_term_raw(&c->term);
    }
    return r;
}

static int take_signals(void *arg)
{
    struct exec_command *c = arg;
    for (;;) {
        struct signalfd_siginfo si;
        ssize_t n = io_read(&c->signals, &si, sizeof(si));
        if (n != sizeof(si))
            return n < 0 ? (int)n : -EIO;
        (void)!forward(c, &si); /* a sandbox that cannot be reached is noticed by the main fiber */
    }
}

/* From here on nobody uses what the main fiber is about to release. Signals stay pending. */
static void stop_listening(struct exec_command *c)
{
    if (c->listening)
        scope_done(&c->listener);
    c->listening = false;
}

/* ---- the end ---- */

static int exit_code_of(const struct program_end *end)
{
    if (end->error)
        return !end->at_exec                                 ? EXIT_OURS
               : end->code == ENOENT || end->code == ENOTDIR ? EXIT_NOT_FOUND
                                                             : EXIT_NOT_EXECUTABLE;
    return end->signal ? EXIT_SIGNAL + end->signal : end->exit_code;
}

/* The report of --json: one object, one line. */
static int write_report(const struct exec_command *c, const struct program_end *end, struct err *e)
{
    AUTO_JSON json_t *o = json_object();
    if (end->error)
        json_put_str(o, "error", end->error);
    else if (end->signal)
        json_put_int(o, "signal", end->signal);
    else
        json_put_int(o, "exit_code", end->exit_code);
    json_put_int(o, "duration_ms", end->duration_ms);
    json_put(o, "usage", end->usage ? json_incref(end->usage) : json_object());
    json_t *limits = json_array();
    if (end->limit) {
        json_t *l = json_object();
        json_put_str(l, "limit", end->limit);
        json_put_str(l, "text", end->sentence);
        json_array_append_new(limits, l);
    }
    json_put(o, "limits", limits);
    json_put(o, "denied", end->denied ? json_incref(end->denied) : json_object());
    AUTO_FREE char *text = json_text(o, NULL);
    AUTO_FREE char *line = mem_printf("%s\n", text);
    int r = fd_write_all(c->json_fd, line, strlen(line));
    return r < 0 ? err_set(e, r, "--json %s: %s", c->json, err_text(r)) : 0;
}

static void say(const char *text)
{
    fprintf(stderr, "sallyport exec: %s\n", text);
}

/* A sandbox may have chosen names in it. */
static void tell(const char *sentence)
{
    fputs("sallyport exec: ", stderr);
    term_print_word(stderr, sentence);
    fputc('\n', stderr);
}

/* All output is passed on, the terminal is as it was. True when some could not be. Whoever reads
 * our output may be slow, so from here on signals end us as they would end any program. */
static bool settle(struct exec_command *c)
{
    bool lost = false;
    bool drained = exec_streams_drain(&c->streams, DRAIN_MS);
    drained = exec_term_drain(&c->term, DRAIN_MS) && drained;
    exec_streams_give_back(&c->streams);
    exec_term_done(&c->term);
    for (int i = 0; i < 2; i++)
        if (c->streams.out[i].error && c->streams.out[i].error != -EPIPE) {
            lost = true;
            fprintf(stderr, "sallyport exec: standard %s: %s\n", i ? "error" : "output",
                    err_text(c->streams.out[i].error));
        }
    if (drained)
        return lost;
    io_fd_close(&c->signals);
    sigset_t set;
    signal_set(c, &set);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    (void)exec_streams_drain(&c->streams, INT32_MAX);
    (void)exec_term_drain(&c->term, INT32_MAX);
    return lost;
}

/* Who wraps a script of this directory, and has not shown the directory, looks at a file that is
 * plainly there. */
static void tell_of_binds(const struct exec_command *c, const struct program_end *end)
{
    const char *path = end->at_exec ? c->argv[0] : c->cwd;
    struct stat st;
    if (end->code == ENOENT && strchr(path, '/') && stat(path, &st) == 0)
        say("the path exists on this host, but a sandbox holds only what --bind shows (this also "
            "applies to a script's interpreter)");
}

/* ---- the run ---- */

static int start_program(struct exec_command *c, struct box *b, struct err *e)
{
    struct box_program_spec p = {.argv = c->argv,
                                 .cwd = c->cwd,
                                 .timeout_ms = c->timeout_ms,
                                 .ignored = c->ignored,
                                 .blocked = c->blocked,
                                 .umask = c->umask};
    exec_term_size(&c->term, &p.rows, &p.cols);
    if (c->term.fd >= 0) {
        const char *term = getenv("TERM");
        p.term = term && *term && str_is_utf8(term, strlen(term)) ? term : "xterm-256color";
    }
    for (int i = 0; i < 3; i++) {
        p.stream[i] = c->streams.kind[i];
    }
    p.file[0] = c->streams.file;
    AUTO(box_program_ends) ends = BOX_PROGRAM_ENDS_NONE;
    int r = box_program_prepare(b, &p, &c->run, &ends, e);
    if (r < 0)
        return r;
    r = exec_streams_start(&c->streams, &ends);
    if (r < 0)
        return err_set(e, r, "could not connect the standard streams: %s", err_text(r));
    r = exec_term_start(&c->term, TAKE_FD(ends.master), e);
    if (r < 0)
        return r;
    c->started = true;
    r = box_program_start(c->run);
    return r < 0 ? err_set(e, r, "the sandbox has ended: %s", err_text(r)) : 0;
}

static int run_in(struct exec_command *c, struct box_host *h, struct program_end *ret,
                  struct err *e)
{
    struct box *b = NULL;
    const struct box_spec spec = {.sandbox = &c->sandbox};
    int r = box_open(h, &spec, &b, e);
    if (r < 0)
        return r;
    r = start_program(c, b, e);
    while (r >= 0 && (r = box_program_wait(c->run, ret, e)) == 1)
        r = rest(c);
    stop_listening(c);
    box_program_free(TAKE(c->run));
    box_close(b); /* everything inside is dead: outputs come to their end */
    return r;
}

/* The way out, when there is to be one. */
static int start_egress(struct exec_command *c, struct egress **ret, struct err *e)
{
    if (!c->policy.json)
        return 0;
    AUTO_FREE char *data = cmd_data_dir(c->options.data);
    AUTO_FREE char *file = mem_printf("%s/audit.jsonl", data);
    if (!c->audit) {
        int r = dirs_make(data, e);
        if (r < 0)
            return r;
    }
    const struct egress_options o = {.policy = c->policy.json,
                                     .at = "egress",
                                     .audit_file = c->audit ? c->audit : file,
                                     .audit_named = c->audit,
                                     .tell = say,
                                     .forget = outside_forget_variable};
    int r = egress_start(&o, ret, e);
    return r < 0 ? outside_name_file(c->policy.file, r, e) : r;
}

static int run_boxed(struct exec_command *c, struct program_end *end, struct err *e)
{
    struct box_host *h = NULL;
    struct egress *eg = NULL;
    int r = start_egress(c, &eg, e);
    if (r < 0)
        return r;
    const struct box_outside outside = outside_of(eg);
    const struct box_host_config cfg = {
        .tell = tell, .single = true, .outside = eg ? &outside : NULL};
    r = box_host_start(&cfg, &h, e);
    if (r >= 0)
        r = run_in(c, h, end, e);
    box_host_stop(h);
    egress_stop(eg);
    return r;
}

static int run_main(struct exec_command *c, struct err *e)
{
    struct program_end end = {.exit_code = -1};
    int r = run_boxed(c, &end, e);
    bool lost = settle(c);
    if (r >= 0) {
        c->code = exit_code_of(&end);
        if (lost && c->code == 0) /* it was done before it could see the broken pipe */
            c->code = EXIT_OURS;
        if (end.error) {
            say(end.error);
            tell_of_binds(c, &end);
            AUTO_FREE char *advice = end.at_exec ? NULL : exec_advice(end.error);
            if (advice && end.code != ENOENT && end.code != ENOTDIR && end.code != EACCES)
                say(advice);
        }
        if (end.sentence)
            say(end.sentence);
        c->reported = true;
        if (c->json)
            r = write_report(c, &end, e);
    }
    program_end_done(&end);
    return r;
}

static int run(void *arg)
{
    struct exec_command *c = arg;
    struct err e = {.code = 0};
    c->main = fiber_self();
    c->code = EXIT_OURS;
    scope_init(&c->listener);
    c->listening = true;
    int r = open_signals(c);
    if (r >= 0)
        r = fiber_spawn(&c->listener, "signals", take_signals, c, NULL);
    if (r >= 0 && c->term.input)
        r = fiber_spawn(&c->listener, "foreground", watch_foreground, c, NULL);
    if (r >= 0)
        r = run_main(c, &e);
    stop_listening(c);
    io_fd_close(&c->signals);
    if (r == -ECANCELED && c->ended_by)
        return EXIT_SIGNAL + c->ended_by;
    if (r < 0) {
        const char *why = e.msg[0] ? e.msg : err_text(r);
        say(why);
        AUTO_FREE char *advice = c->run ? NULL : exec_advice(why);
        if (advice)
            say(advice);
        if (c->json && !c->reported)
            (void)!write_report(c, &(struct program_end){.error = (char *)(uintptr_t)why}, &e);
        return EXIT_OURS;
    }
    return c->code;
}

/* ---- flags ---- */

/* Before the run, so that a report that cannot be written is no surprise after it. */
static int open_report(struct exec_command *c, struct err *e)
{
    struct stat st;
    struct err why = {.code = 0};
    c->json_fd = str_eq(c->json, "-") ? 2 : host_path_write(c->json, &why);
    if (c->json_fd < 0)
        return err_set(e, c->json_fd, "--json %s", why.msg);
    if (c->json_fd != 2 && fstat(c->json_fd, &st) == 0 && S_ISREG(st.st_mode) &&
        ftruncate(c->json_fd, 0) < 0)
        return err_set(e, -errno, "--json %s: %m", c->json);
    return 0;
}

static int choose_cwd(struct exec_command *c, struct err *e)
{
    if (c->workdir) {
        if (!sandbox_path_ok(c->workdir))
            return err_set(e, -EINVAL,
                           "--workdir %s: write an absolute path inside, without . or ..",
                           c->workdir);
        c->cwd = mem_strdup(c->workdir);
        return 0;
    }
    AUTO_FREE char *here = realpath(".", NULL);
    c->cwd = here ? sandbox_flags_inside(&c->sandbox, here) : NULL;
    if (!c->cwd)
        c->cwd = mem_strdup(SANDBOX_HOME);
    return 0;
}

static int prepare(struct exec_command *c, struct err *e)
{
    struct sandbox_spec *s = &c->sandbox;
    int r = exec_egress_policy(&c->allow, &c->secrets, &c->policy.json, e);
    if (r >= 0)
        r = sandbox_flags_apply(&c->options, SANDBOX_OF_EXEC, s, e);
    if (r < 0)
        return r;
    if (c->audit && !c->policy.json)
        return err_set(e, -EINVAL,
                       "--audit: nothing can go out, so there is no log of it; open a way out with "
                       "--allow, --secret or --egress, or leave --audit away");
    if (c->policy.json && s->network == SANDBOX_NET_NONE)
        return err_set(e, -EINVAL,
                       "--network none and a way out (--allow, --secret, --egress) do "
                       "not go together");
    s->program = true;
    s->report = c->json != NULL;
    r = choose_cwd(c, e);
    if (r >= 0)
        r = exec_streams_open(&c->streams, e);
    return r >= 0 && c->json ? open_report(c, e) : r;
}

/* Descriptors 0 to 2 exist from here on, so that nothing we open becomes a standard stream. */
static int fill_standard(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR | O_CLOEXEC) != fd)
            return -EBADF;
    return 0;
}

static int start(struct exec_command *c, struct err *e)
{
    int r = prepare(c, e);
    if (r < 0)
        return r;
    exec_term_init(&c->term, &c->streams);
    sigset_t set;
    signal_set(c, &set);
    sigaddset(&set, SIGPIPE); /* a reader that goes away is an error of write, not our end */
    sigaddset(&set, SIGTTIN); /* reading in the background is an error, too: see exec_relay.c */
    sigprocmask(SIG_BLOCK, &set, NULL);
    return loop_init();
}

static struct exec_command c; /* one per process; 4 KiB of lists */

int cmd_exec(int argc, char **argv)
{
    c.signals = IO_FD_NONE;
    c.grace_ms = GRACE_MS;
    look_at_caller(&c);
    if (fill_standard() < 0)
        return EXIT_OURS;
    const struct flag where[] = {
        {"workdir", "DIR",
         "working directory inside (this one if a bind shows it, else /workspace)", FLAG_TEXT,
         .ptr = &c.workdir},
    };
    const struct flag network[] = {
        {"allow", "HOST", "let the program reach HOST[:PORT][/PATH]; *.HOST is what is below it",
         FLAG_LIST, .ptr = &c.allow},
        {"secret", "NAME=SOURCE@HOST",
         "a credential for HOST; inside, $NAME is a placeholder (env:, file:, exec:, systemd:)",
         FLAG_LIST, .ptr = &c.secrets},
        {"egress", "FILE", "YAML file with a policy (docs/policy-reference.md), to which both add",
         FLAG_SECTION, .ptr = &c.policy},
        {"audit", "FILE", "the log of what went out (audit.jsonl in the data directory)", FLAG_FILE,
         .ptr = &c.audit},
    };
    const struct flag run_itself[] = {
        {"timeout", "TIME", "end the program after this time", FLAG_DURATION, .ptr = &c.timeout_ms,
         .min = 1, .max = INT32_MAX},
        {"grace", "TIME", "kill a program that has not ended this long after TERM (10s)",
         FLAG_DURATION, .ptr = &c.grace_ms, .min = 0, .max = INT32_MAX - 1},
        {"json", "FILE", "write a report of the run when it has ended; - is standard error",
         FLAG_FILE, .ptr = &c.json, .line_only = true},
        {"config", "FILE", "YAML file with any of these settings, \"_\" for \"-\"", FLAG_FILE,
         .ptr = &c.config, .line_only = true},
    };
    static struct flag flags[FLAG_SET_MAX];
    struct flag_set set = {
        .command = "exec",
        .args = "-- COMMAND [ARG...]",
        .summary = "Runs a program in a sandbox, in the same way as the tools of a session.",
        .details = "The network is closed but for what --allow, --secret and --egress open. "
                   "Standard streams, terminal, signals and exit status are\n"
                   "passed on. 125: sallyport's own failure, 126: not executable, 127: not found,\n"
                   "128+N: ended by signal N.",
        .flags = flags,
        .min_args = 1,
        .max_args = -1,
    };
    sandbox_flags_add(&set, SANDBOX_OF_EXEC, SANDBOX_SHOWN, &c.options);
    flags_add(&set, where, ARRAY_LEN(where));
    sandbox_flags_add(&set, SANDBOX_OF_EXEC, SANDBOX_INSIDE, &c.options);
    flags_add(&set, network, ARRAY_LEN(network));
    sandbox_flags_add(&set, SANDBOX_OF_EXEC, SANDBOX_LIMITS, &c.options);
    flags_add(&set, run_itself, ARRAY_LEN(run_itself));
    sandbox_spec_init(&c.sandbox);
    int code = flags_main(&set, argc, argv, &c.config, &argc);
    if (code >= 0)
        return code ? EXIT_OURS : 0;
    argv[1 + argc] = NULL;
    c.argv = argv + 1;
    log_init("exec", LOG_ERROR); /* what is only slow is not for whoever reads our errors */
    struct err e = {.code = 0};
    int r = start(&c, &e);
    if (r < 0) {
        say(e.msg[0] ? e.msg : err_text(r));
        code = EXIT_OURS;
    } else {
        code = loop_run(run, &c);
        loop_done();
        if (code < 0) {
            say(err_text(code));
            AUTO_FREE char *advice = exec_advice("");
            say(advice ? advice : "the event loop could not be started");
            code = EXIT_OURS;
        }
    }
    sandbox_spec_done(&c.sandbox);
    json_decref(c.policy.json);
    free(c.cwd);
    return code;
}
