/* gateway.c - `sallyport gateway`: the private end of a tunnel.
 *
 * The main thread prepares (flags, signals), the loop's root fiber opens and runs the gateway's keeper
 * (tunnel/keeper), which starts this program anew for the gateway proper (tunnel/gateway). SIGTERM or SIGINT once: no new callers, those that are there get the configuration's
 * shutdown_timeout; a second one: leave at once. SIGHUP: read the files now. Whatever is wrong at the start
 * is one sentence on stderr and exit code 1. Both processes hold what
 * opens private servers: they cannot be dumped or traced by others of their user. */
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/gateway.h"
#include "cmd/line/flags.h"
#include "cmd/trim.h"
#include "cmd/up_routes.h"
#include "cmd/line/start.h"
#include "io/loop.h"
#include "io/signal.h"
#include "secret/source.h"
#include "tunnel/gateway/environment.h"
#include "tunnel/gateway/process.h"
#include "tunnel/gateway/setup.h"
#include "tunnel/keeper/keeper.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct command {
    struct gateway_keeper_options o;
    const char *log_level;
    struct gateway_keeper *keeper;
    int stops; /* signals seen */
};

/* Until a signal that stops; in the second round it does so at once. */
static int wait_for_signals(void *arg)
{
    struct command *c = arg;
    for (;;) {
        int sig = signal_next();
        if (sig < 0)
            return sig;
        if (sig == SIGHUP)
            gateway_keeper_reload(c->keeper);
        if (sig != SIGTERM && sig != SIGINT)
            continue;
        if (c->stops++ > 0) {
            log_warn("stopped at once", "signal=%d", sig);
            _exit(1);
        }
        return 0;
    }
}

static int stop(void *arg)
{
    const struct command *c = arg;
    gateway_keeper_stop(c->keeper);
    return 0;
}

static int run_until_signal(void *arg)
{
    struct command *c = arg;
    if (wait_for_signals(c) < 0)
        return 0;
    AUTO(scope) stopping;
    scope_init(&stopping);
    int r = fiber_spawn(&stopping, "stop", stop, c, NULL);
    (void)!wait_for_signals(c); /* a second one */
    return r;
}

static int serve(struct command *c)
{
    AUTO(scope) s;
    scope_init(&s);
    int r = fiber_spawn(&s, "signals", run_until_signal, c, NULL);
    return r < 0 ? r : gateway_keeper_run(c->keeper);
}

/* A person, or a script, waits for this line. */
static void announce(void *arg, const char *line)
{
    (void)arg;
    trim_after_start();
    printf("%s\n", line);
    (void)fflush(stdout); /* whoever has closed it does not want to know */
}

static int run(void *arg)
{
    struct command *c = arg;
    struct err e = {0};
    c->keeper = gateway_keeper_open(&c->o, &e);
    if (!c->keeper) {
        fprintf(stderr, "sallyport gateway: %s\n", e.msg);
        return 1;
    }
    int r = serve(c);
    gateway_keeper_close(c->keeper);
    return r;
}

/* As curl: the lower case first. */
static const char *variable(const char *lower, const char *upper)
{
    const char *s = getenv(lower);
    return s ? s : getenv(upper);
}

int gateway_look_around(struct err *e)
{
    return gateway_environment_take(variable("https_proxy", "HTTPS_PROXY"),
                                    variable("no_proxy", "NO_PROXY"), e);
}

int gateway_run_confined(int argc, char **argv)
{
    struct err e = {0};
    if (argc != 3 || fcntl(3, F_GETFD) < 0) {
        fprintf(stderr,
                "sallyport: gateway confined is started by sallyport gateway, not by hand\n");
        return 2;
    }
    log_init("gateway", cmd_log_level(argv[2]));
    cmd_forbid_dumps();
    if (gateway_look_around(&e) < 0) {
        fprintf(stderr, "sallyport: %s\n", e.msg);
        return 1;
    }
    return gateway_process_main(3, trim_after_start);
}

/* What the dynamic linker was told: it loads libraries for both; and the way out, without a password. Everything else may
 * hold a secret, and is none of its business. `proxy` and `direct` may be NULL. */
static const char **environment_of_gateway(const char *proxy, const char *direct)
{
    size_t n = 0, kept = 0;
    while (environ[n])
        n++;
    const char **all = mem_array(n + 3, sizeof(*all));
    for (size_t i = 0; i < n; i++)
        if (str_starts(environ[i], "LD_"))
            all[kept++] = environ[i];
    if (proxy)
        all[kept++] = proxy;
    if (direct)
        all[kept++] = direct;
    all[kept] = NULL;
    return all;
}

char *gateway_dir(const char *dir)
{
    AUTO_FREE char *data = dir ? NULL : cmd_default_data_dir();
    return dir ? mem_strdup(dir) : mem_printf("%s/gateway", data);
}

void gateway_guard(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    cmd_forbid_dumps();
    sigaction(SIGXFSZ, &ignore, NULL); /* lint-allow: banned no signal is handled, one is ignored */
}

char *gateway_usual_config(void)
{
    AUTO_FREE char *dir = gateway_dir(NULL);
    AUTO_FREE char *made = mem_printf("%s/%s", dir, SETUP_CONFIG);
    bool here = setup_is_there(SETUP_CONFIG) || !setup_is_there(made);
    return here ? mem_strdup(SETUP_CONFIG) : TAKE(made);
}

char *gateway_config_to_look_at(void)
{
    AUTO_FREE char *usual = gateway_usual_config(), *data = cmd_default_data_dir();
    AUTO_FREE char *of_up = mem_printf("%s/" UP_ROUTES_DIR "/" SETUP_CONFIG, data);
    return setup_is_there(usual) || !setup_is_there(of_up) ? TAKE(usual) : TAKE(of_up);
}

int cmd_gateway(int argc, char **argv)
{
    static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
    if (argc > 1 && str_eq(argv[1], "init"))
        return cmd_gateway_init(argc - 1, argv + 1);
    if (argc > 1 && str_eq(argv[1], "renew-cert"))
        return cmd_gateway_renew(argc - 1, argv + 1);
    if (argc > 1 && str_eq(argv[1], "status"))
        return cmd_gateway_status(argc - 1, argv + 1);
    if (argc > 1 && str_eq(argv[1], "doctor"))
        return cmd_gateway_doctor(argc - 1, argv + 1);
    if (argc > 1 && str_eq(argv[1], "pins"))
        return cmd_gateway_pins(argc - 1, argv + 1);
    if (argc > 1 && str_eq(argv[1], "pending"))
        return cmd_gateway_pending(argc - 1, argv + 1);
    if (argc > 1 && (str_eq(argv[1], "approve") || str_eq(argv[1], "deny")))
        return cmd_gateway_decide(argc - 1, argv + 1);
    if (argc > 1 && str_eq(argv[1], "confined"))
        return gateway_run_confined(argc, argv);
    AUTO_FREE char *config = gateway_usual_config();
    struct command c = {.o = {.config_path = config, .on_ready = announce}};
    c.o.arg = &c;
    struct flag flags[] = {
        {"config", "FILE",
         "what it is told: edge, certificate, routes (gateway.yaml, here or where init puts it)",
         FLAG_FILE, .ptr = &c.o.config_path, .line_only = true},
        {"metrics", "ADDRESS",
         "where /metrics, /status, /healthz and /readyz are, or none (as in the file, or "
         "127.0.0.1:8403)",
         FLAG_TEXT, .ptr = &c.o.metrics, .line_only = true},
        {"log-level", "LEVEL", "debug, info, warn or error (as in the file, or info)", FLAG_CHOICE,
         .ptr = &c.log_level, .choices = levels, .line_only = true},
    };
    struct flag_set set = {
        .command = "gateway",
        .summary = "Makes private MCP servers reachable through a tunnel, from the inside.",
        .details =
            "Dials the edge, so nothing here has to be reachable. Callers' TLS ends here, with a\n"
            "certificate of yours; the edge sees ciphertext. Certificates and routes are read "
            "again\n"
            "when their files change; SIGHUP reads them now. docs/tunnel.md is the guide,\n"
            "docs/gateway-reference.md says what the configuration may hold.\n\n"
            "sallyport gateway init makes all it needs: tunnel, token, certificate, "
            "configuration;\n"
            "renew-cert renews the certificate when it is due, status shows a gateway that runs,\n"
            "doctor finds what is in its way, pins shows and accepts what servers list, pending,\n"
            "approve and deny are about calls that wait. Each has a --help of its own.",
        .flags = flags,
        .n_flags = ARRAY_LEN(flags),
    };
    int code = flags_main(&set, argc, argv, NULL, NULL);
    if (code >= 0)
        return code;
    struct err e = {0};
    if (flags[0].source == FLAG_DEFAULT && !setup_is_there(config)) {
        fprintf(stderr, "sallyport gateway: there is no gateway.yaml here; sallyport gateway init "
                        "makes one, --config FILE names another\n");
        return 1;
    }
    c.o.level_given = c.log_level != NULL;
    log_init("gateway", cmd_log_level(c.log_level ? c.log_level : "info"));
    cmd_forbid_dumps();
    secret_wipe_when_freed();
    c.o.credentials_directory = getenv("CREDENTIALS_DIRECTORY");
    if (gateway_look_around(&e) < 0) {
        fprintf(stderr, "sallyport gateway: %s\n", e.msg);
        return 1;
    }
    AUTO_FREE char *proxy = gateway_environment_proxy(), *direct = gateway_environment_no_proxy();
    AUTO_FREE const char **environment = environment_of_gateway(proxy, direct);
    c.o.environment = environment;
    c.o.programs = (struct programs_options){.arguments = gateway_stdio_arguments,
                                             .environment = (const char *const *)environ};
    int r = signal_init();
    if (r == 0)
        r = loop_init();
    if (r < 0) {
        fprintf(stderr, "sallyport gateway: %s\n", e.msg[0] ? e.msg : err_text(r));
        return 1;
    }
    code = loop_run(run, &c);
    signal_done();
    loop_done();
    return code != 0;
}
