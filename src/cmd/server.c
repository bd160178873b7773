/* server.c - `sallyport server`: the platform in one process.
 *
 * The main thread prepares (flags, environment, signals, database), then runs the event loop; its
 * root fiber opens and runs the server (server/server.h) and waits for signals. SIGTERM or SIGINT
 * once: stop, with a grace period for running calls. A second one: leave at once; what was
 * acknowledged is on disk anyway.
 *
 * Whatever is wrong at start is one sentence on stderr and exit code 1. The first start's API key
 * goes to standard output and nowhere else. The model's key comes by environment only (argv is
 * public), is wiped there, and the process cannot be dumped or traced by others of its user. */
#include "cmd/server.h"

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/buf.h"
#include "cmd/cmd.h"
#include "cmd/line/flags.h"
#include "cmd/line/start.h"
#include "cmd/trim.h"
#include "http/client/client.h"
#include "io/dirs.h"
#include "io/loop.h"
#include "io/signal.h"
#include "store/db.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUR_TOKENS      "sk-sp-"
#define MAX_TOKENS_MOST 1000000
#define CALLERS_MOST    1000000

static int take_max_tokens(struct server_options *o, struct err *e)
{
    const char *text = getenv("SALLYPORT_MODEL_MAX_TOKENS");
    uint64_t v = 0;
    if (!text || !*text)
        return 0;
    if (str_to_u64(text, strlen(text), MAX_TOKENS_MOST, &v) < 0 || v == 0)
        return err_set(e, -EINVAL,
                       "SALLYPORT_MODEL_MAX_TOKENS must be a number from 1 to %d: the most tokens "
                       "of one answer of the model",
                       MAX_TOKENS_MOST);
    o->model_max_tokens = (int64_t)v;
    return 0;
}

int server_take_model_env(struct server_options *o, struct err *e)
{
    http_client_trust(getenv("SSL_CERT_FILE"));
    int r = cmd_take_env_secret("ANTHROPIC_API_KEY", &o->model_key);
    if (r < 0)
        return err_set(e, r, "ANTHROPIC_API_KEY could not be kept in locked memory: %s",
                       err_text(r));
    if (o->script || r == 0) {
        secret_done(&o->model_key);
        return 0;
    }
    if (str_starts(secret_borrow(&o->model_key), OUR_TOKENS)) {
        secret_done(&o->model_key);
        return err_set(
            e, -EINVAL,
            "ANTHROPIC_API_KEY holds a key of Sallyport (%s...), which no model provider "
            "knows. Unset it, or set it to the provider's key for this command",
            OUR_TOKENS);
    }
    const char *base = getenv("SALLYPORT_MODEL_BASE_URL");
    o->model_base_url = base && base[0] ? base : NULL;
    return take_max_tokens(o, e);
}

/* ---- the command ---- */

struct command {
    struct server_options o;
    const char *config, *log_level, *data;
    bool check_db;
    struct flag_list allow_from;
    int64_t per_peer, per_tunnel;
    struct server *server;
    int stops; /* signals seen */
};

static int wait_for_signals(void *arg)
{
    struct command *c = arg;
    for (;;) {
        int sig = signal_next();
        if (sig < 0)
            return sig;
        if (sig != SIGTERM && sig != SIGINT)
            continue;
        if (c->stops++ > 0) {
            log_warn("stopped at once", "signal=%d", sig);
            _exit(1);
        }
        log_info("stopping", "signal=%d grace_ms=%lld", sig, (long long)c->o.stop_grace_ms);
        return 0;
    }
}

/* The first signal stops the server, the second is still heard while it stops. */
static int serve_until_signal(void *arg)
{
    struct command *c = arg;
    if (wait_for_signals(c) < 0)
        return 0;
    struct scope again;
    scope_init(&again);
    int r = fiber_spawn(&again, "signals", wait_for_signals, c, NULL);
    if (r == 0)
        server_stop(c->server);
    scope_done(&again);
    return r;
}

static int announce(struct command *c, const char *key)
{
    if (key[0])
        printf("api key: %s\n", key);
    if (server_ingress_address(c->server)[0])
        printf("ingress %s\n", server_ingress_address(c->server));
    printf("ready http%s://%s\n", c->o.tls_cert ? "s" : "", server_address(c->server));
    int r = fflush(stdout) == 0 ? 0 : -EIO;
    trim_after_start();
    return r;
}

static int run(void *arg)
{
    struct command *c = arg;
    struct err e = {0};
    char key[128];
    c->server = server_open(&c->o, key, &e);
    if (!c->server) {
        fprintf(stderr, "sallyport server: %s\n", e.msg);
        return 1;
    }
    int r = announce(c, key);
    if (r < 0)
        fprintf(stderr, "sallyport server: standard output is closed%s\n",
                key[0] ? ", so the API key of this first start is lost; nothing of it was kept"
                       : "");
    bool unheard = r < 0;
    secret_wipe(key, sizeof(key));
    if (r == 0) {
        struct scope s;
        scope_init(&s);
        r = fiber_spawn(&s, "signals", serve_until_signal, c, NULL);
        if (r == 0)
            r = server_run(c->server);
        scope_done(&s);
    }
    if (unheard)
        server_discard(c->server);
    else
        server_close(c->server);
    struct fiber_stats st;
    fiber_get_stats(&st);
    log_info("server stopped", "result=%s holds=%llu longest_hold_us=%lld",
             r < 0 ? err_name(r) : "ok", (unsigned long long)st.holds,
             (long long)(st.longest_hold_ns / 1000));
    return r < 0;
}

/* What has no effect is told, not ignored. */
static int take_limits(struct command *c, const struct flag *flags, size_t n, struct err *e)
{
    struct turnstile_limits *l = &c->o.ingress_limits;
    bool none = !c->o.ingress || str_eq(c->o.ingress, "none");
    for (size_t i = 0; none && i < n; i++)
        if (str_starts(flags[i].name, "ingress-") && flags[i].source != FLAG_DEFAULT)
            return err_set(e, -EINVAL, "--%s is for callers at --ingress, which is not given",
                           flags[i].name);
    l->allow_from = c->allow_from.value;
    l->n_allow_from = c->allow_from.n;
    l->peer_most = (size_t)c->per_peer;
    l->tunnel_most = (size_t)c->per_tunnel;
    return 0;
}

static int check_db(const char *dir)
{
    AUTO(buf) findings = BUF_INIT(1u << 20);
    struct err e = {0};
    int r = db_check(dir, &findings, &e);
    fputs(buf_str(&findings), stdout);
    if (r < 0 && e.msg[0])
        fprintf(stderr, "sallyport server: %s\n", e.msg);
    return r < 0;
}

int cmd_server(int argc, char **argv)
{
    static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
    if (argc > 1 && str_eq(argv[1], "backup"))
        return cmd_server_backup(argc - 1, argv + 1);
    if (argc > 1 && str_eq(argv[1], "restore"))
        return cmd_server_restore(argc - 1, argv + 1);
    struct command c = {
        .o = {.listen = "127.0.0.1:8400",
              .lease_ttl_ms = 90000,
              .stop_grace_ms = 10000,
              .ingress_limits = {.peer_rate = SERVER_PEER_RATE, .tunnel_rate = SERVER_TUNNEL_RATE}},
        .log_level = "info",
    };
    struct flag flags[] = {
        {"listen", "ADDRESS", "where to listen (127.0.0.1:8400; port 0 picks one)", FLAG_TEXT,
         .ptr = &c.o.listen},
        {"data", "DIR", "data directory, made if missing", FLAG_DIR, .ptr = &c.data},
        {"config", "FILE", "YAML file with any of these settings, \"_\" for \"-\"", FLAG_FILE,
         .ptr = &c.config, .line_only = true},
        {"script", "FILE", "answer with a script instead of a model (a test double)", FLAG_FILE,
         .ptr = &c.o.script},
        {"public-url", "URL",
         "URL at which workers reach this server (written into their work secrets)", FLAG_TEXT,
         .ptr = &c.o.public_url},
        {"tunnel-domain", "NAME", "below which tunnels get their domains (tunnel.localhost)",
         FLAG_TEXT, .ptr = &c.o.tunnel_domain},
        {"ingress", "ADDRESS",
         "where TLS clients connect for what lies behind tunnels, or none (none)", FLAG_TEXT,
         .ptr = &c.o.ingress},
        {"ingress-allow-from", "[TUNNEL_ID=]CIDR",
         "where callers may come from, of all tunnels or of one; several times (everywhere)",
         FLAG_LIST, .ptr = &c.allow_from},
        {"ingress-per-peer", "N", "callers of one address at once (an eighth of what is free)",
         FLAG_INT, .ptr = &c.per_peer, .min = 1, .max = CALLERS_MOST},
        {"ingress-per-tunnel", "N", "callers of one tunnel at once (half of what is free)",
         FLAG_INT, .ptr = &c.per_tunnel, .min = 1, .max = CALLERS_MOST},
        {"ingress-peer-rate", "N", "new callers a second of one address, 0: any number (200)",
         FLAG_INT, .ptr = &c.o.ingress_limits.peer_rate, .max = TURNSTILE_RATE_MAX},
        {"ingress-tunnel-rate", "N", "new callers a second of one tunnel, 0: any number (1000)",
         FLAG_INT, .ptr = &c.o.ingress_limits.tunnel_rate, .max = TURNSTILE_RATE_MAX},
        {"lease-ttl", "TIME", "how long a silent worker keeps its session (90s)", FLAG_DURATION,
         .ptr = &c.o.lease_ttl_ms, .min = 2000, .max = 3600000},
        {"metrics", "ADDRESS", "where /metrics, /healthz and /readyz are, or none (127.0.0.1:8401)",
         FLAG_TEXT, .ptr = &c.o.metrics},
        {"keep-sessions", "TIME",
         "delete sessions at rest this long after their last event (they are kept)", FLAG_DURATION,
         .ptr = &c.o.keep_sessions_ms, .min = 1000, .max = INT64_C(3650) * 86400 * 1000},
        {"stop-grace", "TIME", "time that running calls get after SIGTERM (10s)", FLAG_DURATION,
         .ptr = &c.o.stop_grace_ms, .min = 0, .max = 600000},
        {"tls-cert", "FILE", "serve HTTPS with this certificate chain (PEM)", FLAG_FILE,
         .ptr = &c.o.tls_cert},
        {"tls-key", "FILE", "private key of --tls-cert (PEM)", FLAG_FILE, .ptr = &c.o.tls_key},
        {"log-level", "LEVEL", "debug, info, warn or error (info)", FLAG_CHOICE,
         .ptr = &c.log_level, .choices = levels},
        {"check-db", NULL, "check the database and exit", FLAG_BOOL, .ptr = &c.check_db,
         .line_only = true},
    };
    struct flag_set set = {
        .command = "server",
        .summary = "Runs the platform: API, agent loop, session log and work queue.",
        .details =
            "The first start makes an API key and prints it once. ANTHROPIC_API_KEY in the "
            "environment\n"
            "(and SALLYPORT_MODEL_BASE_URL, if it is not the public one) selects the model "
            "provider.\n"
            "Data lives in $XDG_DATA_HOME/sallyport, ~/.local/share/sallyport or, for root,\n"
            "/var/lib/sallyport.\n"
            "sallyport server backup FILE copies the database, also while the server runs;\n"
            "sallyport server restore FILE puts a copy in its place.",
        .flags = flags,
        .n_flags = ARRAY_LEN(flags),
    };
    int code = flags_main(&set, argc, argv, &c.config, NULL);
    if (code >= 0)
        return code;

    struct err e = {0};
    AUTO_FREE char *default_dir = cmd_default_data_dir();
    c.o.data_dir = c.data ? c.data : default_dir;
    log_init("server", cmd_log_level(c.log_level));
    if (c.check_db)
        return check_db(c.o.data_dir);

    cmd_forbid_dumps();
    int r = take_limits(&c, flags, ARRAY_LEN(flags), &e);
    if (r == 0)
        r = server_take_model_env(&c.o, &e);
    size_t made = 0;
    if (r == 0) {
        cmd_await_server("server", c.o.data_dir);
        r = dirs_make_counted(c.o.data_dir, &made, &e);
    }
    if (r == 0)
        r = signal_init();
    if (r == 0)
        r = loop_init();
    if (r < 0) {
        fprintf(stderr, "sallyport server: %s\n", e.msg[0] ? e.msg : err_text(r));
        secret_done(&c.o.model_key);
        dirs_unmake(c.o.data_dir, made);
        return 1;
    }
    code = loop_run(run, &c);
    signal_done();
    loop_done();
    secret_done(&c.o.model_key);
    if (code != 0)
        dirs_unmake(c.o.data_dir, made); /* where a first start has left nothing */
    return code != 0;
}
