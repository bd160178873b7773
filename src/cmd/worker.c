/* worker.c - `sallyport worker`: flags and environment to a struct worker_config, then run.
 *
 * The environment key comes from a file or from ANTHROPIC_ENVIRONMENT_KEY, is read once, and is
 * then gone from the environment and from /proc/PID/environ; argv never carries it. The process
 * cannot be dumped or traced by others of its user. The sandbox engine is started by worker_run;
 * SIGTERM drains, a second one stops at once (worker.md, rule 8). */
#include "worker/worker.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/toolset.h"
#include "cmd/cmd.h"
#include "cmd/line/flags.h"
#include "cmd/line/host_path.h"
#include "cmd/line/sandbox_flags.h"
#include "cmd/line/start.h"
#include "cmd/outside.h"
#include "cmd/self_test.h"
#include "cmd/trim.h"
#include "http/client/client.h"
#include "io/dirs.h"
#include "io/loop.h"
#include "io/signal.h"
#include "sandbox/spec.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_MAX 4096

struct worker_command {
    struct worker_config cfg;
    const char *config, *key_file, *log_level, *state_dir;
    int64_t capacity;
    struct flag_list tools;
    struct sandbox_options options;
    struct worker_tool *tool; /* WORKER_TOOLS_MAX of them */
    struct sandbox_spec sandbox;
    struct flag_section policy; /* none: sandboxes have no network */
    const char *audit;
    int64_t proxies;
    struct egress *egress;
    struct box_outside outside;
    bool starting; /* the policy has what the self-test needs: SIGHUP waits */
    bool again;    /* it came meanwhile */
};

/* Reads the key from a file, a trailing newline dropped. */
static int read_key(const char *path, struct secret *ret, struct err *e)
{
    struct err why = {.code = 0};
    AUTO_CLOSE int fd = host_path_read(path, &why);
    if (fd < 0)
        return err_set(e, fd, "--environment-key-file %s", why.msg);
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077))
        log_warn("the environment key's file can be read by other users", "file=%s do=%s",
                 log_q(path), log_q("chmod 600"));
    char *text = mem_zalloc(KEY_FILE_MAX);
    size_t len = 0;
    ssize_t n;
    while (len < KEY_FILE_MAX && (n = read(fd, text + len, KEY_FILE_MAX - len)) > 0)
        len += (size_t)n;
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r' || text[len - 1] == ' '))
        len--;
    int r = len == 0 || len == KEY_FILE_MAX || memchr(text, '\n', len) ? -EINVAL
                                                                       : secret_set(ret, text, len);
    secret_wipe(text, KEY_FILE_MAX);
    free(text);
    return r < 0 ? err_set(e, r, "--environment-key-file %s: holds no key (one line is expected)",
                           path)
                 : 0;
}

static int take_key(struct worker_command *c, struct err *e)
{
    struct secret from_env = {0};
    int r = cmd_take_env_secret("ANTHROPIC_ENVIRONMENT_KEY", &from_env);
    if (r < 0)
        return err_set(e, r, "ANTHROPIC_ENVIRONMENT_KEY could not be kept in locked memory: %s",
                       err_text(r));
    if (c->key_file) {
        secret_done(&from_env);
        return read_key(c->key_file, &c->cfg.environment_key, e);
    }
    if (r == 0)
        return err_set(
            e, -EINVAL,
            "no environment key: give --environment-key-file FILE or set ANTHROPIC_ENVIRONMENT_KEY"
            " (sallyport env key create makes one)");
    c->cfg.environment_key = from_env; /* moved */
    return 0;
}

static int prepare_engine(struct worker_command *c, struct err *e)
{
    const struct sandbox_options *o = &c->options;
    c->cfg.isolation = str_eq(o->isolation, "oci")    ? BOX_OCI
                       : str_eq(o->isolation, "none") ? BOX_NONE
                                                      : BOX_NATIVE;
    c->cfg.search_path = getenv("PATH");
    c->cfg.warm = (size_t)o->warm;
    c->cfg.oci_runtime = o->oci_runtime;
    if (c->cfg.oci_runtime && c->cfg.isolation != BOX_OCI)
        return err_set(e, -EINVAL, "--oci-runtime goes with --isolation oci");
    return sandbox_flags_isolation(o, e);
}

/* "NAME=COMMAND"; the names of the builtin tools are taken. The texts live as long as the
 * process. */
static int prepare_tools(struct worker_command *c, struct err *e)
{
    static struct worker_tool tools[WORKER_TOOLS_MAX];
    c->tool = tools;
    for (size_t i = 0; i < c->tools.n && i < WORKER_TOOLS_MAX; i++) {
        const char *text = c->tools.value[i], *eq = strchr(text, '=');
        size_t n = eq ? (size_t)(eq - text) : 0;
        bool plain = n > 0 && n < 64;
        for (size_t k = 0; k < n && plain; k++)
            plain = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-",
                           text[k]) != NULL;
        if (!plain || !eq[1])
            return err_set(
                e, -EINVAL,
                "--tool %s: write NAME=COMMAND, NAME of letters, digits, _ and -, at most 63",
                text);
        char *name = mem_strndup(text, n);
        const struct toolset_tool *builtin = toolset_find(name);
        if (builtin && builtin->served != TOOLSET_NOBODY) {
            free(name);
            return err_set(e, -EINVAL, "--tool %s: %s is a builtin tool", text, builtin->name);
        }
        c->tool[i] = (struct worker_tool){.name = name, .command = eq + 1};
    }
    c->cfg.tools = c->tool;
    c->cfg.n_tools = c->tools.n;
    return 0;
}

static int prepare(struct worker_command *c, struct err *e)
{
    const char *url = getenv("ANTHROPIC_BASE_URL"), *id = getenv("ANTHROPIC_ENVIRONMENT_ID");
    http_client_trust(getenv("SSL_CERT_FILE"));
    if (!c->cfg.base_url)
        c->cfg.base_url = url && *url ? url : "http://127.0.0.1:8400";
    if (!c->cfg.environment_id)
        c->cfg.environment_id = id && *id ? id : NULL;
    if (!c->cfg.environment_id)
        return err_set(e, -EINVAL,
                       "no environment: give --environment-id ID or set ANTHROPIC_ENVIRONMENT_ID");
    if (!str_starts(c->cfg.base_url, "http://") && !str_starts(c->cfg.base_url, "https://"))
        return err_set(e, -EINVAL, "--base-url %s: does not begin with http:// or https://",
                       c->cfg.base_url);
    c->cfg.capacity = (size_t)c->capacity;
    int r = prepare_engine(c, e);
    if (r == 0)
        r = sandbox_flags_apply(&c->options, SANDBOX_OF_WORKER, &c->sandbox, e);
    c->cfg.sandbox = &c->sandbox;
    if (r == 0 && c->audit && !c->policy.json)
        r = err_set(e, -EINVAL,
                    "--audit: nothing can go out of the sandboxes, so there is no log of it; give "
                    "a policy with --egress, or leave --audit away");
    if (r == 0 && c->policy.json && c->sandbox.network == SANDBOX_NET_NONE)
        r = err_set(e, -EINVAL, "egress and a sandbox without a network do not go together");
    if (r == 0 && c->policy.json && c->cfg.isolation == BOX_NONE)
        r = err_set(e, -EINVAL,
                    "egress needs isolation: without it there is no boundary, and no "
                    "secret is given");
    if (r == 0)
        r = prepare_tools(c, e);
    return r < 0 ? r : take_key(c, e);
}

/* SIGHUP: the policy is read again, and every secret when it is needed next. */
static void reload(struct worker_command *c)
{
    AUTO_JSON json_t *section = NULL;
    struct err e = {.code = 0};
    if (!c->policy.json)
        return;
    if (c->starting || !c->egress) {
        c->again = true;
        return;
    }
    egress_reread(c->egress);
    int r = flags_section_again(&c->policy, "egress", &section, &e);
    if (r >= 0 && (r = egress_set_policy(c->egress, section, &e)) < 0)
        r = outside_name_file(c->policy.file, r, &e);
    if (r < 0)
        log_error("the policy stays as it was: the new one cannot be used", "error=%s",
                  log_q(e.msg));
    else
        log_info("policy and secrets are read again", "file=%s", log_q(c->policy.file));
}

static int wait_for_signals(void *arg)
{
    struct worker_command *c = arg;
    for (;;) {
        int sig = signal_next();
        if (sig < 0)
            return sig;
        if (sig == SIGHUP)
            reload(c);
        if (sig == SIGTERM || sig == SIGINT)
            worker_stop();
    }
}

/* From inside a sandbox that is made as a session's. Then the policy is the operator's alone. */
static int try_egress(struct worker_command *c, struct self_test *t, struct err *e)
{
    const struct box_host_config boxes = {.state_dir = c->cfg.state_dir,
                                          .isolation = c->cfg.isolation,
                                          .oci_runtime = c->cfg.oci_runtime,
                                          .search_path = c->cfg.search_path,
                                          .warm_spec = &c->sandbox,
                                          .outside = &c->outside};
    int r = self_test_run(t, &boxes, e);
    return r < 0 ? r : egress_set_policy(c->egress, c->policy.json, e);
}

static int open_egress(struct worker_command *c, const json_t *policy, const char *variable,
                       struct err *e)
{
    AUTO_FREE char *data = cmd_data_dir(c->options.data);
    AUTO_FREE char *file = mem_printf("%s/audit.jsonl", data);
    const struct egress_options o = {.policy = policy,
                                     .trial = true,
                                     .variable = variable,
                                     .at = "egress",
                                     .audit_file = c->audit ? c->audit : file,
                                     .audit_named = c->audit,
                                     .proxies = (unsigned)c->proxies,
                                     .forget = outside_forget_variable};
    int r = c->audit ? 0 : dirs_make(data, e);
    if (r >= 0)
        r = egress_start(&o, &c->egress, e);
    if (r < 0)
        return outside_name_file(c->policy.file, r, e);
    c->outside = outside_of(c->egress);
    c->cfg.outside = &c->outside;
    return 0;
}

static int start_egress(struct worker_command *c, struct err *e)
{
    struct self_test *t;
    AUTO_JSON json_t *policy = NULL;
    if (!c->policy.json)
        return 0;
    int r = self_test_begin(c->policy.json, &t, &policy, e);
    if (r < 0)
        return r;
    c->starting = true;
    r = open_egress(c, policy, self_test_variable(t), e);
    if (r >= 0)
        r = try_egress(c, t, e);
    self_test_end(t);
    c->starting = false;
    if (r >= 0)
        log_info("the way out of sandboxes works", "tried=%s", "refusal,swap,scrub");
    if (r >= 0 && c->again)
        reload(c);
    return r;
}

static void say_ready(void *arg)
{
    const struct worker_command *c = arg;
    printf("ready environment %s at %s\n", c->cfg.environment_id, c->cfg.base_url);
    fflush(stdout);
    trim_after_start();
}

static int run(void *arg)
{
    struct worker_command *c = arg;
    struct err e = {0};
    struct scope s;
    scope_init(&s);
    int r = fiber_spawn(&s, "signals", wait_for_signals, c, NULL);
    if (r == 0)
        r = start_egress(c, &e);
    if (r == 0)
        r = worker_run(&c->cfg, say_ready, c, &e);
    scope_done(&s);
    egress_stop(c->egress);
    if (r < 0)
        fprintf(stderr, "sallyport worker: %s\n", e.msg[0] ? e.msg : err_text(r));
    return r < 0;
}

int cmd_worker(int argc, char **argv)
{
    static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
    static struct worker_command c; /* too large for the stack together with the flags */
    static struct flag flags[FLAG_SET_MAX];
    c = (struct worker_command){
        .log_level = "info", .cfg = {.grace_ms = 30000, .max_idle_ms = 60000, .keep_ms = 3600000}};
    const struct flag sessions[] = {
        {"base-url", "URL", "the platform (ANTHROPIC_BASE_URL, else http://127.0.0.1:8400)",
         FLAG_TEXT, .ptr = &c.cfg.base_url},
        {"environment-id", "ID", "the self-hosted environment to serve (ANTHROPIC_ENVIRONMENT_ID)",
         FLAG_TEXT, .ptr = &c.cfg.environment_id},
        {"environment-key-file", "FILE", "file with its key (else ANTHROPIC_ENVIRONMENT_KEY)",
         FLAG_FILE, .ptr = &c.key_file},
        {"capacity", "N", "sessions at once (by memory and cores)", FLAG_INT, .ptr = &c.capacity,
         .min = 1, .max = 10000},
        {"grace", "TIME", "time that running calls get after SIGTERM (30s)", FLAG_DURATION,
         .ptr = &c.cfg.grace_ms, .min = 1, .max = 3600000},
        {"max-idle", "TIME", "time after which the worker releases an idle session (60s)",
         FLAG_DURATION, .ptr = &c.cfg.max_idle_ms, .min = 1, .max = 86400000},
        {"keep", "TIME",
         "how long a released idle session's sandbox and /workspace are kept (1h; 0: not)",
         FLAG_DURATION, .ptr = &c.cfg.keep_ms, .min = 0, .max = 86400000},
        {"state-dir", "DIR", "where sandboxes keep their directories", FLAG_DIR,
         .ptr = &c.state_dir},
    };
    const struct flag commands[] = {
        {"tool", "NAME=COMMAND",
         "serve custom tool NAME by a command in the sandbox: input as JSON on stdin, result on "
         "stdout",
         FLAG_LIST, .ptr = &c.tools},
        {"on-claim", "COMMAND",
         "run this on the host before a session is served; its metadata is on stdin", FLAG_TEXT,
         .ptr = &c.cfg.on_claim},
        {"on-end", "COMMAND",
         "run this on the host after a session was served; its metadata is on stdin", FLAG_TEXT,
         .ptr = &c.cfg.on_end},
    };
    const struct flag way_out[] = {
        {"egress", "FILE", "YAML file with what sandboxes may reach, and with which credentials",
         FLAG_SECTION, .ptr = &c.policy},
        {"audit", "FILE", "the log of what went out (audit.jsonl in the data directory)", FLAG_FILE,
         .ptr = &c.audit},
        {"egress-processes", "N", "processes that carry connections (1)", FLAG_INT,
         .ptr = &c.proxies, .min = 1, .max = 64},
    };
    const struct flag process[] = {
        {"worker-id", "NAME", "name of this worker in the queue's statistics", FLAG_TEXT,
         .ptr = &c.cfg.worker_id},
        {"metrics", "ADDRESS", "where /metrics, /healthz and /readyz are, or none (127.0.0.1:8402)",
         FLAG_TEXT, .ptr = &c.cfg.metrics},
        {"config", "FILE", "YAML file with any of these settings, \"_\" for \"-\"", FLAG_FILE,
         .ptr = &c.config, .line_only = true},
        {"log-level", "LEVEL", "debug, info, warn or error (info)", FLAG_CHOICE,
         .ptr = &c.log_level, .choices = levels},
    };
    struct flag_set set = {
        .command = "worker",
        .summary = "Claims sessions from a self-hosted environment and runs their tools, one "
                   "sandbox each.",
        .details = "The environment key is read once; it is never passed to a sandbox. SIGTERM "
                   "stops claiming and lets\n"
                   "running calls finish; a second one ends them.",
        .flags = flags,
    };
    flags_add(&set, sessions, ARRAY_LEN(sessions));
    sandbox_flags_add(&set, SANDBOX_OF_WORKER, SANDBOX_SHOWN, &c.options);
    flags_add(&set, commands, ARRAY_LEN(commands));
    sandbox_flags_add(&set, SANDBOX_OF_WORKER, SANDBOX_LIMITS, &c.options);
    sandbox_flags_add(&set, SANDBOX_OF_WORKER, SANDBOX_INSIDE, &c.options);
    sandbox_flags_add(&set, SANDBOX_OF_WORKER, SANDBOX_ENGINE, &c.options);
    flags_add(&set, way_out, ARRAY_LEN(way_out));
    flags_add(&set, process, ARRAY_LEN(process));
    int code = flags_main(&set, argc, argv, &c.config, NULL);
    if (code >= 0)
        return code;
    log_init("worker", cmd_log_level(c.log_level));
    cmd_forbid_dumps();

    sandbox_spec_init(&c.sandbox);
    struct err e = {0};
    AUTO_FREE char *data_dir = cmd_default_data_dir();
    AUTO_FREE char *default_dir = mem_printf("%s/worker", data_dir);
    c.cfg.state_dir = c.state_dir ? c.state_dir : default_dir;
    size_t made = 0;
    int r = prepare(&c, &e);
    if (r == 0) {
        r = dirs_make_counted(c.cfg.state_dir, &made, NULL);
        if (r < 0)
            err_set(&e, r, "%s: cannot be made: %s; choose another with --state-dir",
                    c.cfg.state_dir, err_text(r));
    }
    if (r == 0)
        r = signal_init();
    if (r == 0)
        r = loop_init();
    if (r < 0) {
        fprintf(stderr, "sallyport worker: %s\n", e.msg[0] ? e.msg : err_text(r));
        secret_done(&c.cfg.environment_key);
        sandbox_spec_done(&c.sandbox);
        dirs_unmake(c.cfg.state_dir, made);
        return r == -EINVAL ? 2 : 1;
    }
    code = loop_run(run, &c);
    signal_done();
    loop_done();
    secret_done(&c.cfg.environment_key);
    sandbox_spec_done(&c.sandbox);
    json_decref(c.policy.json);
    if (code != 0)
        dirs_unmake(c.cfg.state_dir, made);
    return code != 0;
}
