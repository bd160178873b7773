/* up.c - `sallyport up`: server and worker on this machine, nothing to configure.
 *
 * The process is the server (cmd/server.h) and the parent of the worker and, when there are routes, of a
 * gateway (up_routes). A short-lived child, `sallyport setup`, makes or checks environment, keys and
 * dev.env through the API like any client would, so that this process needs no HTTP client of its own. The
 * worker is started with its key on a pipe, never in argv or environment. Both are kept running (up_keep)
 * and die with this process. "ready" is printed when the worker's first poll was accepted and the edge has
 * the gateway.
 *
 * With --detach another process does all this (up_detach). Signals: the first SIGTERM or SIGINT
 * drains worker, then gateway, then server, and nothing new is begun meanwhile; the second ends
 * everything. A first start that does not become ready takes back what it has made. */
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "box/state.h"
#include "cmd/cmd.h"
#include "cmd/client/devenv.h"
#include "cmd/line/flags.h"
#include "cmd/line/own_name.h"
#include "cmd/line/sandbox_flags.h"
#include "cmd/line/start.h"
#include "cmd/server.h"
#include "cmd/trim.h"
#include "cmd/up_children.h"
#include "cmd/up_detach.h"
#include "cmd/up_keep.h"
#include "cmd/up_routes.h"
#include "io/dirs.h"
#include "egress/policy/policy.h"
#include "io/loop.h"
#include "io/proc.h"
#include "io/signal.h"
#include "secret/source.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORKER_GRACE_MS 5000 /* beyond the worker's own grace period */

struct up {
    struct server_options o;
    const char *config, *data, *log_level, *worker_metrics;
    int64_t capacity, grace_ms, max_idle_ms;
    struct sandbox_options options; /* the worker's, who is handed them */
    struct flag_section policy;     /* likewise, and the next two */
    const char *audit;
    int64_t proxies;
    bool detach;
    char **original_argv;
    char *handed_on[FLAG_SET_MAX + FLAG_LIST_MAX]; /* words of the worker's command line */
    size_t n_handed_on;

    struct up_routes routes;

    struct server *server;
    char url[160];
    struct up_child worker, gateway; /* the second runs when there are routes */
    bool announced;
    bool has_devenv; /* this start has written it */
    int stops;
    struct waitq changed;
};

/* ---- what the server needs of its children ---- */

static int make_devenv(struct up *u, const char *first_key, struct err *e)
{
    int r = up_run_setup(u->url, u->o.data_dir, first_key, e);
    if (r == UP_SETUP_NO_KEY) {
        char key[128];
        r = platform_make_api_key(server_platform(u->server), "sallyport up", key, e);
        if (r == 0)
            r = up_run_setup(u->url, u->o.data_dir, key, e);
        secret_wipe(key, sizeof(key));
    }
    if (r == UP_SETUP_NO_KEY)
        return err_set(e, -EIO,
                       "the environment could not be set up: the server does not take the API key "
                       "that was made for it");
    return r > 0 ? err_set(e, -EIO, "the environment could not be set up; the reason is above") : r;
}

static void print_ready(struct up *u, const struct devenv *d)
{
    printf("ready %s\n", u->url);
    printf("  environment  %s\n  data         %s\n  model        %s\n",
           d->environment_id ? d->environment_id : "unknown", u->o.data_dir,
           !str_eq(server_model_name(u->server), "none")
               ? server_model_name(u->server)
               : "none: sessions end with an error. Set ANTHROPIC_API_KEY or give "
                 "--script");
    if (u->routes.routes.json)
        up_routes_tell(&u->routes, server_ingress_address(u->server));
    else if (server_ingress_address(u->server)[0])
        printf("  ingress      %s\n", server_ingress_address(u->server));
    AUTO_FREE char *name = own_name(getenv("PATH"));
    printf(
        "  next         . %s/dev.env && %s session create --message \"What is in /workspace?\"\n",
        u->o.data_dir, name);
    fflush(stdout);
}

/* A child is ready; says so when all are. */
static void announce(void *arg)
{
    struct up *u = arg;
    struct devenv d = {0};
    struct err e = {0};
    if (u->announced || !u->worker.was_ready || (u->routes.routes.json && !u->gateway.was_ready))
        return;
    if (devenv_read(u->o.data_dir, &d, &e) < 0) /* it was there a moment ago */
        log_error("dev.env not read", "why=%s", log_q(e.msg[0] ? e.msg : "it is gone"));
    u->announced = true;
    print_ready(u, &d);
    devenv_done(&d);
    trim_after_start();
}

/* Who wants no page of the server wants none of the worker either, unless its own flag says so. */
static const char *worker_metrics(const struct up *u)
{
    return u->worker_metrics ? u->worker_metrics : str_eq(u->o.metrics, "none") ? "none" : NULL;
}

static int start_worker(void *arg, struct proc *ret, int *ret_out, struct err *e)
{
    const struct up *u = arg;
    struct devenv d = {0};
    int r = devenv_read(u->o.data_dir, &d, e);
    if (r < 0)
        return r;
    const struct up_worker w = {.url = u->url,
                                .data_dir = u->o.data_dir,
                                .log_level = u->log_level,
                                .metrics = worker_metrics(u),
                                .handed_on = u->handed_on,
                                .n_handed_on = u->n_handed_on};
    r = up_start_worker(&w, &d, ret, ret_out, e);
    devenv_done(&d);
    return r;
}

static int start_gateway(void *arg, struct proc *ret, int *ret_out, struct err *e)
{
    const struct up *u = arg;
    const char *metrics = u->routes.metrics              ? u->routes.metrics
                          : str_eq(u->o.metrics, "none") ? "none"
                                                         : NULL;
    return up_start_gateway(u->routes.config, u->log_level, metrics, ret, ret_out, e);
}

static void describe_children(struct up *u)
{
    u->worker = (struct up_child){.name = "worker",
                                  .start = start_worker,
                                  .ready = announce,
                                  .arg = u,
                                  .stops = &u->stops,
                                  .changed = &u->changed};
    u->gateway = u->worker;
    u->gateway.name = "gateway";
    u->gateway.start = start_gateway;
}

/* ---- life ---- */

static void begin_stop(struct up *u, int sig)
{
    const int64_t at_most_ms = u->grace_ms + WORKER_GRACE_MS;
    if (!u->announced)
        fprintf(stderr, "sallyport up: stopped by signal %d before it was ready\n", sig);
    log_info("stopping", "signal=%d at_most_ms=%lld", sig, (long long)at_most_ms);
    server_drain(u->server, at_most_ms);
    waitq_wake_all(&u->changed);
}

/* Policy, routes' certificate and secrets are the children's business. The file of --config, and those that
 * it names for us, are read at the start alone. */
static void hand_on_hangup(struct up *u)
{
    up_keep_signal(&u->worker, SIGHUP);
    up_keep_signal(&u->gateway, SIGHUP);
    log_warn("SIGHUP is handed on to worker and gateway; what has changed in this program's own "
             "configuration needs a restart",
             NULL);
}

static int watch_signals(void *arg)
{
    struct up *u = arg;
    for (;;) {
        int sig = signal_next();
        if (sig < 0)
            return 0;
        if (sig == SIGHUP)
            hand_on_hangup(u);
        if (sig != SIGTERM && sig != SIGINT)
            continue;
        if (u->stops++ > 0) {
            up_keep_signal(&u->worker, SIGKILL);
            up_keep_signal(&u->gateway, SIGKILL);
            _exit(1);
        }
        begin_stop(u, sig);
    }
}

/* Tells it to stop, and waits until it has, at most until the deadline. */
static void end_child(struct up *u, struct up_child *c)
{
    int r = 0;
    up_keep_signal(c, SIGTERM);
    while (c->runs && r == 0)
        r = waitq_wait(&u->changed);
    up_keep_signal(c, SIGKILL);
}

/* After the first signal, or a child's refusal: the worker drains while the server still takes its
 * results and the gateway its tools' calls, then the gateway ends, then the server. */
static int stop_in_order(void *arg)
{
    struct up *u = arg;
    int r = 0;
    while (!u->stops && !u->worker.refused && !u->gateway.refused && r == 0)
        r = waitq_wait(&u->changed);
    if (r < 0)
        return 0;
    u->stops += u->stops == 0;
    struct fiber_deadline d = fiber_deadline_push_ms(u->grace_ms + WORKER_GRACE_MS);
    end_child(u, &u->worker);
    end_child(u, &u->gateway);
    fiber_deadline_pop(&d);
    server_stop(u->server);
    return 0;
}

static int serve(void *arg)
{
    struct up *u = arg;
    return server_run(u->server);
}

/* What the children of a first start have made, when the server has left nothing of it. A directory
 * that holds a database keeps it all. */
static void forget_first_start(const struct up *u)
{
    const char *dir = u->o.data_dir;
    struct stat st;
    struct state left;
    struct err e = {0};
    AUTO_FREE char *lock = mem_printf("%s/sallyport.lock", dir);
    AUTO_FREE char *env = mem_printf("%s/dev.env", dir), *boxes = mem_printf("%s/sandboxes", dir);
    if (lstat(lock, &st) == 0)
        return;
    if (u->has_devenv)
        (void)unlink(env);
    up_routes_forget(&u->routes);
    /* A worker that was killed has left a run in there. */
    if (lstat(boxes, &st) == 0 && state_open(boxes, &left, NULL, &e) == 0)
        state_done(&left);
    (void)rmdir(boxes);
}

/* dev.env holds keys of a database. Without that the keys fit nothing, and a new platform would take
 * their place without a word. (The store notes the same in its lock file, which directories of older
 * programs lack.) */
static int refuse_orphaned_keys(const char *dir, struct err *e)
{
    struct stat env, db;
    AUTO_FREE char *env_path = mem_printf("%s/dev.env", dir);
    AUTO_FREE char *db_path = mem_printf("%s/sallyport.db", dir);
    if (lstat(env_path, &env) < 0 || (stat(db_path, &db) == 0 && db.st_size > 0))
        return 0;
    return err_set(
        e, -E_CORRUPT,
        "%s is there, and the database that its keys belong to is gone or empty. Restore a "
        "backup (sallyport server restore FILE --data %s), or, to begin anew, remove "
        "dev.env",
        env_path, dir);
}

/* The children that go on, and who stops them. */
static int spawn_children(struct up *u, struct scope *s)
{
    int r = fiber_spawn(s, "worker", up_keep, &u->worker, NULL);
    if (r == 0 && u->routes.routes.json)
        r = fiber_spawn(s, "gateway", up_keep, &u->gateway, NULL);
    if (r == 0 && u->routes.routes.json)
        r = fiber_spawn(s, "renew", up_routes_renew, &u->routes, NULL);
    return r < 0 ? r : fiber_spawn(s, "stop", stop_in_order, u, NULL);
}

static int run(void *arg)
{
    struct up *u = arg;
    struct err e = {0};
    char key[128];
    waitq_init(&u->changed);
    describe_children(u);
    if (refuse_orphaned_keys(u->o.data_dir, &e) == 0)
        u->server = server_open(&u->o, key, &e);
    if (!u->server) {
        fprintf(stderr, "sallyport up: %s\n", e.msg);
        return 1;
    }
    if (!u->routes.routes.json)
        up_routes_retire(u->o.data_dir);
    snprintf(u->url, sizeof(u->url), "http://%s", server_address(u->server));

    struct scope serving, helping;
    scope_init(&serving);
    scope_init(&helping);
    int r = fiber_spawn(&serving, "server", serve, u, NULL);
    if (r == 0)
        r = fiber_spawn(&helping, "signals", watch_signals, u, NULL);
    if (r == 0)
        r = make_devenv(u, key, &e);
    u->has_devenv = r == 0;
    secret_wipe(key, sizeof(key));
    if (r == 0 && u->routes.routes.json)
        r = up_routes_prepare(&u->routes, u->o.data_dir, server_address(u->server), &e);
    if (r == 0)
        r = spawn_children(u, &helping);
    if (r == 0)
        r = scope_join(&serving);
    else
        fprintf(stderr, "sallyport up: %s\n", e.msg[0] ? e.msg : err_text(r));
    scope_done(&helping);
    scope_done(&serving);
    if (u->announced) {
        server_close(u->server);
    } else {
        server_discard(u->server);
        forget_first_start(u);
    }
    return r < 0 || u->worker.refused || u->gateway.refused;
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

static bool variable_named;

static void note_variable(const char *name)
{
    (void)name;
    variable_named = true;
}

/* The server is in this process, and agents talk to it: no key of the company may be here. */
static int check_egress(const struct up *u, struct err *e)
{
    if (u->audit && !u->policy.json)
        return err_set(e, -EINVAL,
                       "--audit: nothing can go out of the sandboxes, so there is no log of it; "
                       "give a policy with --egress, or leave --audit away");
    if (!u->policy.json)
        return 0;
    struct policy *p;
    int r = policy_new(u->policy.json, "egress", NULL, &p, e);
    if (r < 0) { /* once more, for its name and the line */
        struct err words = {.code = 0};
        if (u->policy.file && policy_read_file(u->policy.file, &p, &words) < 0 && e)
            *e = words;
        return r;
    }
    const json_t *source;
    const char *whose;
    for (size_t i = 0; r >= 0 && (source = policy_source(p, i, &whose)); i++) {
        variable_named = false;
        secret_config_variables(source, note_variable);
        if (variable_named)
            r = err_set(
                e, -EINVAL,
                "egress: the secret of %s: the server runs in this process and must not "
                "see keys; put it into a file (source: { file: PATH }), or start server and "
                "worker apart",
                whose);
    }
    policy_unref(p);
    return r;
}

/* What would make the worker refuse, asked here already, for the sake of the words. */
static int check(const struct up *u, struct err *e)
{
    if (str_starts(u->o.listen, "unix:"))
        return err_set(e, -EINVAL,
                       "--listen %s: SDKs need HOST:PORT; sallyport server listens on "
                       "a Unix socket",
                       u->o.listen);
    int r = sandbox_flags_isolation(&u->options, e);
    if (r == 0 && u->options.rootfs) {
        struct sandbox_spec unused;
        sandbox_spec_init(&unused);
        r = sandbox_flags_rootfs(&unused, u->options.rootfs, u->o.data_dir, e);
        sandbox_spec_done(&unused);
    }
    if (r == 0)
        r = up_routes_check(&u->routes, u->o.ingress, e);
    return r < 0 ? r : check_egress(u, e);
}

/* After the command line has been understood. */
static int up(struct up *u)
{
    struct err e = {0};
    if (check(u, &e) < 0) {
        fprintf(stderr, "sallyport up: %s\n", e.msg);
        return 2;
    }
    if (u->routes.routes.json && !u->o.ingress)
        u->o.ingress = UP_INGRESS;
    log_init("up", cmd_log_level(u->log_level));
    cmd_await_server("up", u->o.data_dir);
    size_t made;
    int code = 1, r = dirs_make_counted(u->o.data_dir, &made, &e);
    if (r < 0) {
        fprintf(stderr, "sallyport up: %s\n", e.msg);
    } else if (u->detach) {
        code = up_detach(u->o.data_dir, u->original_argv);
    } else {
        cmd_forbid_dumps();
        code = start(u);
    }
    if (code != 0 || !u->announced)
        dirs_unmake(u->o.data_dir, made); /* where a first start has left nothing */
    return code;
}

int cmd_up(int argc, char **argv)
{
    static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
    static struct up u; /* too large for the stack together with the flags */
    static struct flag flags[FLAG_SET_MAX];
    u = (struct up){
        .o = {.listen = "127.0.0.1:8400",
              .lease_ttl_ms = 90000,
              .stop_grace_ms = 10000,
              .ingress_limits = {.peer_rate = SERVER_PEER_RATE, .tunnel_rate = SERVER_TUNNEL_RATE}},
        .grace_ms = 30000,
        .max_idle_ms = 60000,
        .log_level = "warn"};
    const struct flag both[] = {
        {"listen", "ADDRESS", "where to listen (127.0.0.1:8400; port 0 picks one)", FLAG_TEXT,
         .ptr = &u.o.listen},
        {"data", "DIR", "data directory, made if missing", FLAG_DIR, .ptr = &u.data},
        {"script", "FILE", "answer with a script instead of a model (a test double)", FLAG_FILE,
         .ptr = &u.o.script},
        {"detach", NULL, "run in the background, return when it is ready", FLAG_BOOL,
         .ptr = &u.detach, .line_only = true},
        {"capacity", "N", "sessions the worker serves at once (by memory and cores)", FLAG_INT,
         .ptr = &u.capacity, .min = 1, .max = 10000, .handed_on = true},
        {"ingress", "ADDRESS",
         "where TLS clients connect for what lies behind tunnels, or none (with routes " UP_INGRESS
         ", else none)",
         FLAG_TEXT, .ptr = &u.o.ingress},
        {"tunnel-domain", "NAME", "below which tunnels get their domains (tunnel.localhost)",
         FLAG_TEXT, .ptr = &u.o.tunnel_domain},
        {"lease-ttl", "TIME", "how long a silent worker keeps its session (90s)", FLAG_DURATION,
         .ptr = &u.o.lease_ttl_ms, .min = 2000, .max = 3600000},
        {"metrics", "ADDRESS", "where /metrics, /healthz and /readyz are, or none (127.0.0.1:8401)",
         FLAG_TEXT, .ptr = &u.o.metrics},
        {"worker-metrics", "ADDRESS", "the same of its worker, or none (127.0.0.1:8402)", FLAG_TEXT,
         .ptr = &u.worker_metrics},
        {"keep-sessions", "TIME",
         "delete sessions at rest this long after their last event (they are kept)", FLAG_DURATION,
         .ptr = &u.o.keep_sessions_ms, .min = 1000, .max = INT64_C(3650) * 86400 * 1000},
        {"grace", "TIME", "for running calls after SIGTERM (30s)", FLAG_DURATION,
         .ptr = &u.grace_ms, .min = 1, .max = 3600000, .handed_on = true},
        {"max-idle", "TIME", "the worker lets a session at rest go after so long (60s)",
         FLAG_DURATION, .ptr = &u.max_idle_ms, .min = 1, .max = 86400000, .handed_on = true},
    };
    const struct flag way_out[] = {
        {"egress", "FILE", "YAML file with what sandboxes may reach, and with which credentials",
         FLAG_SECTION, .ptr = &u.policy, .handed_on = true},
        {"audit", "FILE", "the log of what went out (audit.jsonl in the data directory)", FLAG_FILE,
         .ptr = &u.audit, .handed_on = true},
        {"egress-processes", "N", "processes that carry connections (1)", FLAG_INT,
         .ptr = &u.proxies, .min = 1, .max = 64, .handed_on = true},
    };
    const struct flag tunnel[] = {
        {"routes", "FILE",
         "YAML file with private MCP servers, which then are reached through a gateway",
         FLAG_SECTION, .ptr = &u.routes.routes},
        {"upstream", "FILE", "YAML file with how the gateway reaches them", FLAG_SECTION,
         .ptr = &u.routes.upstream},
        {"gateway-metrics", "ADDRESS",
         "where /metrics, /status, /healthz and /readyz of the gateway are, or none "
         "(127.0.0.1:8403)",
         FLAG_TEXT, .ptr = &u.routes.metrics},
    };
    const struct flag process[] = {
        {"config", "FILE", "YAML file with any of these settings, \"_\" for \"-\"", FLAG_FILE,
         .ptr = &u.config, .line_only = true},
        {"log-level", "LEVEL", "debug, info, warn or error (warn)", FLAG_CHOICE,
         .ptr = &u.log_level, .choices = levels},
    };
    struct flag_set set = {
        .command = "up",
        .summary = "Runs server and worker on this machine, and with routes a gateway.",
        .details = "Makes an environment and its key and writes DIR/dev.env (0600), so that after "
                   "sourcing it any SDK program\n"
                   "works. ANTHROPIC_API_KEY in the environment selects the model provider; "
                   "without it, and without --script,\n"
                   "sessions end with an error that says so. See also: sallyport session --help.",
        .flags = flags,
    };
    flags_add(&set, both, ARRAY_LEN(both));
    sandbox_flags_add(&set, SANDBOX_OF_UP, SANDBOX_SHOWN, &u.options);
    sandbox_flags_add(&set, SANDBOX_OF_UP, SANDBOX_INSIDE, &u.options);
    sandbox_flags_add(&set, SANDBOX_OF_UP, SANDBOX_ENGINE, &u.options);
    flags_add(&set, way_out, ARRAY_LEN(way_out));
    flags_add(&set, tunnel, ARRAY_LEN(tunnel));
    flags_add(&set, process, ARRAY_LEN(process));
    AUTO_FREE char **original = mem_array((size_t)argc + 1, sizeof(char *));
    for (int i = 0; i < argc; i++)
        original[i] = argv[i]; /* parsing moves arguments */
    u.original_argv = original;
    int code = flags_main(&set, argc, argv, &u.config, NULL);
    if (code >= 0)
        return code;
    AUTO_FREE char *data_dir = cmd_data_dir(u.data);
    u.o.data_dir = data_dir;
    u.routes.grace_ms = u.grace_ms;
    u.n_handed_on = flags_hand_on(&set, u.handed_on, ARRAY_LEN(u.handed_on));
    code = up(&u);
    json_decref(u.policy.json);
    up_routes_done(&u.routes);
    for (size_t i = 0; i < u.n_handed_on; i++)
        free(u.handed_on[i]);
    secret_done(&u.o.model_key);
    return code;
}
