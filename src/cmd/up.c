/* up.c - `sallyport up`: server and worker on this machine, nothing to configure.
 *
 * The process is the server (cmd/server.h) and the parent of the worker. A short-lived child,
 * `sallyport setup`, makes or checks environment, keys and dev.env through the API like any client
 * would, so that this process needs no HTTP client of its own. The worker is started with its key
 * on a pipe, never in argv or environment, and is started anew (1 s to 30 s apart) when it ends by
 * itself; it dies with this process. "ready" is printed when the worker's first poll was accepted.
 *
 * With --detach the program is run again in a session of its own, its output in DIR/up.log; the
 * caller waits for the ready line (or the failure) and leaves. Signals: the first SIGTERM or SIGINT
 * drains worker, then server; the second ends everything. */
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "base/trim.h"
#include "cmd/cmd.h"
#include "cmd/client/devenv.h"
#include "cmd/line/flags.h"
#include "cmd/line/sandbox_flags.h"
#include "cmd/line/start.h"
#include "cmd/server.h"
#include "cmd/line/term.h"
#include "io/loop.h"
#include "io/proc.h"
#include "io/signal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SELF            "/proc/self/exe"
#define SETUP_NO_KEY    3 /* exit status of `setup`: dev.env has no API key that works */
#define DETACH_WAIT_MS  60000
#define WORKER_GRACE_MS 5000 /* beyond the worker's own grace period */

struct up {
    struct server_options o;
    const char *config, *data, *log_level;
    int64_t capacity, grace_ms, max_idle_ms, warm;
    const char *isolation, *oci_runtime, *rootfs, *sandbox_user;
    bool understood;
    struct flag_list binds;
    bool detach;
    char **original_argv;

    struct server *server;
    char url[160];
    struct proc worker;
    bool worker_runs, announced;
    bool refused; /* the worker has, before it was ready */
    int stops;
    struct waitq changed;
};

/* ---- children ---- */

/* The environment a child needs, and nothing else of ours: no key of a
 * model provider can be in it. */
static size_t child_env(const char **ret, size_t cap, const char *extra_a, const char *extra_b)
{
    static const char *const keep[] = {"PATH=",         "HOME=",          "XDG_DATA_HOME=",
                                       "TMPDIR=",       "LANG=",          "TERM=",
                                       "ASAN_OPTIONS=", "UBSAN_OPTIONS=", "LSAN_OPTIONS=",
                                       "TSAN_OPTIONS=", "SSL_CERT_FILE="};
    size_t n = 0;
    for (char **e = environ; *e; e++)
        for (size_t i = 0; i < ARRAY_LEN(keep); i++)
            if (str_starts(*e, keep[i]) && n + 3 < cap)
                ret[n++] = *e;
    if (extra_a)
        ret[n++] = extra_a;
    if (extra_b)
        ret[n++] = extra_b;
    ret[n] = NULL;
    return n;
}

/* A pipe that holds `text` and is closed for writing. Returns the reading end. */
static int pipe_with(const char *text, size_t n)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    ssize_t k = write(fds[1], text, n); /* far below a pipe's 64 KiB */
    close(fds[1]);
    if (k != (ssize_t)n) {
        close(fds[0]);
        return -EIO;
    }
    return fds[0];
}

/* Runs `sallyport setup` to its end. Returns its exit status or a negative code. Suspends. */
static int run_setup(struct up *u, const char *api_key, struct err *e)
{
    AUTO_CLOSE int key_fd = pipe_with(api_key, strlen(api_key));
    if (key_fd < 0)
        return err_set(e, key_fd, "no pipe for setup: %s", err_text(key_fd));
    const char *argv[] = {"sallyport", "setup", u->url, u->o.data_dir, NULL};
    const char *envp[16];
    child_env(envp, ARRAY_LEN(envp), NULL, NULL);
    struct proc_spec spec = {.path = SELF,
                             .argv = argv,
                             .envp = envp,
                             .stdin_fd = key_fd,
                             .stdout_fd = -1,
                             .stderr_fd = STDERR_FILENO,
                             .die_with_parent = true};
    struct proc p;
    int r = proc_start(&p, &spec, e);
    if (r < 0)
        return r;
    int status = 0;
    r = proc_wait(&p, &status);
    proc_done(&p);
    if (r < 0)
        return r;
    return WIFEXITED(status) ? WEXITSTATUS(status)
                             : err_set(e, -EIO, "setup ended by signal %d", WTERMSIG(status));
}

static int make_devenv(struct up *u, const char *first_key, struct err *e)
{
    int r = run_setup(u, first_key, e);
    if (r == SETUP_NO_KEY) {
        char key[128];
        r = platform_make_api_key(server_platform(u->server), "sallyport up", key, e);
        if (r == 0)
            r = run_setup(u, key, e);
        secret_wipe(key, sizeof(key));
    }
    return r > 0 ? err_set(e, -EIO, "the environment could not be set up; the reason is above") : r;
}

static void announce(struct up *u, const struct devenv *d)
{
    if (u->announced)
        return;
    u->announced = true;
    printf("ready %s\n", u->url);
    printf("  environment  %s\n  data         %s\n  model        %s\n", d->environment_id,
           u->o.data_dir,
           !str_eq(server_model_name(u->server), "none")
               ? server_model_name(u->server)
               : "none: sessions end with an error. Set ANTHROPIC_API_KEY or give "
                 "--script");
    printf("  next         . %s/dev.env && sallyport session create --message \"What is in "
           "/workspace?\"\n",
           u->o.data_dir);
    fflush(stdout);
    trim_after_start();
}

/* Reads the worker's standard output; its first line says that it is ready. */
static int watch_output(struct up *u, int fd, const struct devenv *d)
{
    struct io_fd io = IO_FD_NONE;
    int r = io_fd_add(&io, fd);
    if (r < 0) {
        close(fd);
        return r;
    }
    char bytes[256];
    ssize_t n;
    while ((n = io_read(&io, bytes, sizeof(bytes))) > 0)
        if (memmem(bytes, (size_t)n, "ready", 5))
            announce(u, d);
    io_fd_close(&io);
    return n < 0 ? (int)n : 0;
}

/* One life of the worker. 0 when it ended, with its wait status; negative when it could not be
 * started. */
static int run_worker(struct up *u, int *ret_status, struct err *e)
{
    struct devenv d = {0};
    int r = devenv_read(u->o.data_dir, &d, e);
    if (r < 0)
        return r;
    int out[2] = {-1, -1};
    AUTO_CLOSE int key_fd = pipe_with(secret_borrow(&d.environment_key), d.environment_key.len);
    r = key_fd < 0 ? key_fd : pipe2(out, O_CLOEXEC) < 0 ? -errno : 0;
    if (r == 0) {
        AUTO_FREE char *capacity = mem_printf("%lld", (long long)u->capacity);
        AUTO_FREE char *grace = mem_printf("%lldms", (long long)u->grace_ms);
        AUTO_FREE char *idle = mem_printf("%lldms", (long long)u->max_idle_ms);
        AUTO_FREE char *state = mem_printf("%s/sandboxes", u->o.data_dir);
        const char *argv[32 + 2 * FLAG_LIST_MAX] = {"sallyport",
                                                    "worker",
                                                    "--base-url",
                                                    u->url,
                                                    "--environment-id",
                                                    d.environment_id,
                                                    "--environment-key-file",
                                                    "/proc/self/fd/3",
                                                    "--state-dir",
                                                    state,
                                                    "--grace",
                                                    grace,
                                                    "--max-idle",
                                                    idle,
                                                    "--log-level",
                                                    u->log_level};
        size_t n = 16;
        if (u->capacity) {
            argv[n++] = "--capacity";
            argv[n++] = capacity;
        }
        for (size_t i = 0; i < u->binds.n; i++) {
            argv[n++] = "--bind";
            argv[n++] = u->binds.value[i];
        }
        AUTO_FREE char *warm = mem_printf("%lld", (long long)u->warm);
        const struct {
            const char *flag, *value;
        } passed[] = {{"--isolation", u->isolation},
                      {"--oci-runtime", u->oci_runtime},
                      {"--rootfs", u->rootfs},
                      {"--sandbox-user", u->sandbox_user},
                      {"--data", u->rootfs ? u->o.data_dir : NULL},
                      {"--warm", u->warm ? warm : NULL}};
        for (size_t i = 0; i < ARRAY_LEN(passed); i++)
            if (passed[i].value) {
                argv[n++] = passed[i].flag;
                argv[n++] = passed[i].value;
            }
        if (u->understood)
            argv[n++] = "--i-understand";
        argv[n] = NULL;
        const char *envp[16];
        child_env(envp, ARRAY_LEN(envp), NULL, NULL);
        struct proc_spec spec = {.path = SELF,
                                 .argv = argv,
                                 .envp = envp,
                                 .stdin_fd = -1,
                                 .stdout_fd = out[1],
                                 .stderr_fd = STDERR_FILENO,
                                 .extra_fds = &key_fd,
                                 .n_extra_fds = 1,
                                 .own_process_group = true,
                                 .die_with_parent = true};
        r = proc_start(&u->worker, &spec, e);
    }
    if (out[1] >= 0)
        close(out[1]);
    if (r == 0) {
        u->worker_runs = true;
        log_info("worker started", "pid=%d", (int)u->worker.pid);
        r = watch_output(u, out[0], &d);
        int w = proc_wait(&u->worker, ret_status);
        r = r < 0 ? r : w;
        u->worker_runs = false;
        proc_done(&u->worker);
        waitq_wake_all(&u->changed);
    } else if (out[0] >= 0) {
        close(out[0]);
    }
    devenv_done(&d);
    return r;
}

static int keep_worker(void *arg)
{
    struct up *u = arg;
    int64_t pause_ms = 1000;
    while (!u->stops) {
        struct err e = {0};
        int status = 0;
        int64_t began = time_mono_ns();
        int r = run_worker(u, &status, &e);
        if (r == -ECANCELED || u->stops)
            return 0;
        if (r == 0 && !u->announced && WIFEXITED(status) && WEXITSTATUS(status) != 0) {
            /* It has refused to start, and would again. */
            fprintf(stderr, "sallyport up: the worker did not start; its reason is above\n");
            u->refused = true;
            u->stops++;
            waitq_wake_all(&u->changed);
            return 0;
        }
        if (r < 0)
            log_error("worker not started", "why=%s", log_q(e.msg[0] ? e.msg : err_text(r)));
        else
            log_warn("worker ended, will be started again", "%s=%d pause_ms=%lld",
                     WIFEXITED(status) ? "exit" : "signal",
                     WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
                     (long long)pause_ms);
        if (time_mono_ns() - began > 60 * NS_PER_S)
            pause_ms = 1000;
        r = fiber_sleep_ms(pause_ms);
        if (r < 0)
            return 0;
        pause_ms = pause_ms * 2 < 30000 ? pause_ms * 2 : 30000;
    }
    return 0;
}

/* ---- life ---- */

static int watch_signals(void *arg)
{
    struct up *u = arg;
    for (;;) {
        int sig = signal_next();
        if (sig < 0)
            return 0;
        if (sig != SIGTERM && sig != SIGINT)
            continue;
        if (u->stops++ > 0) {
            if (u->worker_runs)
                proc_kill(&u->worker, SIGKILL);
            _exit(1);
        }
        if (u->worker_runs)
            proc_kill(&u->worker, SIGTERM);
        waitq_wake_all(&u->changed);
    }
}

/* After the first signal: the worker drains while the server still takes its results, then the
 * server stops. */
static int stop_in_order(void *arg)
{
    struct up *u = arg;
    int r = 0;
    while (!u->stops && r == 0)
        r = waitq_wait(&u->changed);
    if (r < 0)
        return 0;
    struct fiber_deadline d = fiber_deadline_push_ms(u->grace_ms + WORKER_GRACE_MS);
    while (u->worker_runs && r == 0)
        r = waitq_wait(&u->changed);
    fiber_deadline_pop(&d);
    if (u->worker_runs)
        proc_kill(&u->worker, SIGKILL);
    server_stop(u->server);
    return 0;
}

static int serve(void *arg)
{
    struct up *u = arg;
    return server_run(u->server);
}

static int run(void *arg)
{
    struct up *u = arg;
    struct err e = {0};
    char key[128];
    waitq_init(&u->changed);
    u->server = server_open(&u->o, key, &e);
    if (!u->server) {
        fprintf(stderr, "sallyport up: %s\n", e.msg);
        return 1;
    }
    snprintf(u->url, sizeof(u->url), "http://%s", server_address(u->server));

    struct scope serving, helping;
    scope_init(&serving);
    scope_init(&helping);
    int r = fiber_spawn(&serving, "server", serve, u, NULL);
    if (r == 0)
        r = fiber_spawn(&helping, "signals", watch_signals, u, NULL);
    if (r == 0)
        r = make_devenv(u, key, &e);
    secret_wipe(key, sizeof(key));
    if (r == 0)
        r = fiber_spawn(&helping, "worker", keep_worker, u, NULL);
    if (r == 0)
        r = fiber_spawn(&helping, "stop", stop_in_order, u, NULL);
    if (r == 0)
        r = scope_join(&serving);
    else
        fprintf(stderr, "sallyport up: %s\n", e.msg[0] ? e.msg : err_text(r));
    scope_done(&helping);
    scope_done(&serving);
    server_close(u->server);
    return r < 0 || u->refused;
}

/* ---- detaching ---- */

/* Copies the log's new bytes to our stdout until a "ready" line has been shown whole; returns 0
 * then, 1 when the child ended. */
static int wait_until_ready(pid_t pid, int log_fd)
{
    struct term_spinner spin = {.text = "starting"};
    size_t len = 0;
    char *seen = mem_zalloc(65536);
    int code = 1;
    for (int64_t until = time_mono_ns() + DETACH_WAIT_MS * NS_PER_MS; time_mono_ns() < until;) {
        ssize_t n = read(log_fd, seen + len, 65535 - len);
        len += n > 0 ? (size_t)n : 0;
        const char *ready = memmem(seen, len, "\nready ", 7);
        if (!ready && len >= 6 && !memcmp(seen, "ready ", 6))
            ready = seen;
        if (ready && strstr(ready, "\n  next ")) {
            code = 0;
            break;
        }
        int status;
        if (waitpid(pid, &status, WNOHANG) == pid) {
            n = read(log_fd, seen + len, 65535 - len);
            len += n > 0 ? (size_t)n : 0;
            break;
        }
        term_spinner_step(&spin);
        poll(NULL, 0, 50);
    }
    term_spinner_clear(&spin);
    if (code == 0) {
        fwrite(seen, 1, len, stdout);
        printf("  pid          %d (stop it with kill)\n", (int)pid);
    } else {
        fwrite(seen, 1, len, stderr);
        fprintf(stderr,
                "sallyport up: the server did not become ready; the log above shows the reason\n");
    }
    free(seen);
    return code;
}

static int detach(struct up *u)
{
    AUTO_FREE char *path = mem_printf("%s/up.log", u->o.data_dir);
    AUTO_CLOSE int out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    AUTO_CLOSE int in = out < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (out < 0 || in < 0 || null < 0) {
        fprintf(stderr, "sallyport up: %s can not be written: %s\n", path, err_text(-errno));
        return 1;
    }
    /* What is there may belong to one that still runs: it stays, and is not shown again. */
    (void)lseek(in, 0, SEEK_END);
    size_t n = 0, k = 0;
    while (u->original_argv[n])
        n++;
    char **argv = mem_array(n + 3, sizeof(char *));
    char name[] = "sallyport";
    argv[k++] = name;
    for (size_t i = 0; i < n; i++)
        if (!str_starts(u->original_argv[i], "--detach"))
            argv[k++] = u->original_argv[i];

    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_adddup2(&actions, null, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, out, 2);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID);
    pid_t pid = -1;
    int r = posix_spawn(&pid, SELF, &actions, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    free(argv);
    if (r != 0) {
        fprintf(stderr, "sallyport up: the background process could not be started: %s\n",
                err_text(-r));
        return 1;
    }
    return wait_until_ready(pid, in);
}

static int start(struct up *u)
{
    struct err e = {0};
    int r = server_take_model_env(&u->o, &e);
    if (r == 0)
        r = signal_init();
    if (r == 0)
        r = loop_init();
    if (r < 0) {
        fprintf(stderr, "sallyport up: %s\n", e.msg[0] ? e.msg : err_text(r));
        return 1;
    }
    int code = loop_run(run, u);
    signal_done();
    loop_done();
    return code != 0;
}

int cmd_up(int argc, char **argv)
{
    static const char *const levels[] = {"debug", "info", "warn", "error", NULL},
                             *const isolations[] = {"native", "oci", "none", NULL},
                             *const users[] = {"agent", "root", NULL};
    struct up u = {.o = {.listen = "127.0.0.1:8400", .lease_ttl_ms = 90000, .stop_grace_ms = 10000},
                   .grace_ms = 30000,
                   .max_idle_ms = 60000,
                   .log_level = "warn"};
    char **original = mem_array((size_t)argc + 1, sizeof(char *));
    for (int i = 0; i < argc; i++)
        original[i] = argv[i];
    u.original_argv = original;
    struct flag flags[] = {
        {"listen", "ADDRESS", "where to listen (127.0.0.1:8400; port 0 picks one)", FLAG_TEXT,
         .ptr = &u.o.listen},
        {"data", "DIR", "data directory, made if missing", FLAG_DIR, .ptr = &u.data},
        {"script", "FILE", "answer with a script instead of a model (a test double)", FLAG_FILE,
         .ptr = &u.o.script},
        {"detach", NULL, "run in the background, return when it is ready", FLAG_BOOL,
         .ptr = &u.detach, .line_only = true},
        {"capacity", "N", "sessions the worker serves at once (by memory and cores)", FLAG_INT,
         .ptr = &u.capacity, .min = 1, .max = 10000},
        {"lease-ttl", "TIME", "how long a silent worker keeps its session (90s)", FLAG_DURATION,
         .ptr = &u.o.lease_ttl_ms, .min = 2000, .max = 3600000},
        {"grace", "TIME", "time that running calls get after SIGTERM (30s)", FLAG_DURATION,
         .ptr = &u.grace_ms, .min = 1, .max = 3600000},
        {"max-idle", "TIME", "time after which the worker releases an idle session (60s)",
         FLAG_DURATION, .ptr = &u.max_idle_ms, .min = 1, .max = 86400000},
        {"bind", "SOURCE:TARGET",
         "show a directory of this host in every sandbox, read-only unless :rw follows", FLAG_LIST,
         .ptr = &u.binds},
        {"sandbox-user", "NAME",
         "user of the programs in a sandbox; it never has capabilities (agent)", FLAG_CHOICE,
         .ptr = &u.sandbox_user, .choices = users},
        {"rootfs", "DIR", "root file system of sandboxes: a directory, or an imported image's name",
         FLAG_DIR, .ptr = &u.rootfs},
        {"warm", "N", "sandboxes kept ready for sessions to come (0)", FLAG_INT, .ptr = &u.warm,
         .min = 0, .max = 1000},
        {"isolation", "ENGINE", "what builds sandboxes; none needs --i-understand (native)",
         FLAG_CHOICE, .ptr = &u.isolation, .choices = isolations},
        {"oci-runtime", "PROGRAM", "for --isolation oci: name or path of the runtime (crun)",
         FLAG_TEXT, .ptr = &u.oci_runtime},
        {"i-understand", NULL, "tools may run without a sandbox, as the worker's user", FLAG_BOOL,
         .ptr = &u.understood, .line_only = true},
        {"config", "FILE", "YAML file with any of these settings, \"_\" for \"-\"", FLAG_FILE,
         .ptr = &u.config, .line_only = true},
        {"log-level", "LEVEL", "debug, info, warn or error (warn)", FLAG_CHOICE,
         .ptr = &u.log_level, .choices = levels},
    };
    struct flag_set set = {
        .command = "up",
        .summary = "Runs server and worker on this machine.",
        .details = "Makes an environment and its key and writes DIR/dev.env (0600), so that after "
                   "sourcing it any SDK program\n"
                   "works. ANTHROPIC_API_KEY in the environment selects the model provider; "
                   "without it, and without --script,\n"
                   "sessions end with an error that says so. See also: sallyport session --help.",
        .flags = flags,
        .n_flags = ARRAY_LEN(flags),
    };
    int code = flags_main(&set, argc, argv, &u.config, NULL);
    if (code >= 0) {
        free(original);
        return code;
    }
    if (str_starts(u.o.listen, "unix:")) {
        fprintf(stderr,
                "sallyport up: --listen %s: SDKs need HOST:PORT; sallyport server listens on "
                "a Unix socket\n",
                u.o.listen);
        free(original);
        return 2;
    }
    AUTO_FREE char *default_dir = cmd_default_data_dir();
    u.o.data_dir = u.data ? u.data : default_dir;
    struct err e = {0};
    int bad = sandbox_flags_isolation(u.isolation, u.understood, &e);
    if (bad == 0 && u.rootfs) {
        /* Asked here already, for the sake of the words; the worker uses it. */
        struct sandbox_spec unused;
        sandbox_spec_init(&unused);
        bad = sandbox_flags_rootfs(&unused, u.rootfs, u.o.data_dir, &e);
        sandbox_spec_done(&unused);
    }
    if (bad < 0) {
        fprintf(stderr, "sallyport up: %s\n", e.msg);
        free(original);
        return 2;
    }
    int r = cmd_make_dirs(u.o.data_dir);
    if (r < 0) {
        fprintf(stderr, "sallyport up: %s: the data directory can not be made: %s\n", u.o.data_dir,
                err_text(r));
        code = 1;
    } else if (u.detach) {
        code = detach(&u);
    } else {
        log_init("up", cmd_log_level(u.log_level));
        cmd_forbid_dumps();
        code = start(&u);
    }
    secret_done(&u.o.model_key);
    free(original);
    return code;
}
