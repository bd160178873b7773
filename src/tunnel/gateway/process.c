/* process.c - the gateway proper: started by its keeper, told what to serve, locked in, ended with it.
 *
 * It begins as the keeper's user and on one thread. Libraries are opened, the files have come, whatever
 * listens is bound: then everything that is not needed any more is given up (confine/), the kernel is asked
 * whether it took, and only then the edge is dialled and a caller heard. From there on callers, the edge and
 * servers decide what it reads, and whoever takes it over finds the secrets that are in use and what the
 * keeper answers (messages.h), and nothing else: no file, no program, no other process.
 *
 * Signals are the keeper's: this process has blocked them and reads none, since a service manager sends them to
 * all processes of a service. */
#include "tunnel/gateway/process.h"

#include "base/err.h"
#include "base/idna.h"
#include "base/log.h"
#include "base/str.h"
#include "confine/confine.h"
#include "http/pipe/pipe.h"
#include "io/ctl.h"
#include "io/loop.h"
#include "io/signal.h"
#include "io/tls.h"
#include "io/vitals.h"
#include "scrub/inflate.h"
#include "secret/source.h"
#include "tunnel/gateway/gateway.h"
#include "tunnel/gateway/messages.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define BEGIN_MS 10000

struct process {
    int ctl_fd;
    void (*on_ready)(void);
    struct ctl *keeper;
    struct gateway *gateway; /* NULL before it is open */
    bool stops;              /* it is to, or has been told to */
    struct waitq told;
};

/* ---- what the keeper says ---- */

static int hear_keeper(void *arg, const char *op, const json_t *o, struct ctl_fds *fds,
                       struct ctl_answer *answer, struct err *e)
{
    struct process *p = arg;
    (void)o, (void)fds;
    if (answer)
        return err_set(e, -E_PROTO, "a gateway cannot be asked for that");
    if (str_eq(op, "reload") && p->gateway)
        gateway_reload(p->gateway);
    if (str_eq(op, "stop")) {
        p->stops = true;
        waitq_wake_all(&p->told);
    }
    return 0;
}

/* Without a keeper there are no secrets, no records and nobody to answer to. */
static int die_with_keeper(void *arg)
{
    const struct process *p = arg;
    fiber_deadline_clear();
    if (ctl_await_end(p->keeper) == 0)
        _exit(1); /* lint-allow: banned at once: nobody is there to wait for callers */
    return 0;
}

static int stop_when_told(void *arg)
{
    struct process *p = arg;
    fiber_deadline_clear();
    while (!p->stops)
        if (waitq_wait(&p->told) < 0)
            return 0;
    gateway_stop(p->gateway);
    return 0;
}

/* ---- start ---- */

static int begin(struct process *p, json_t **ret, struct err *e)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(BEGIN_MS);
    AUTO_JSON json_t *o = json_new_object();
    json_put_str(o, "op", "begin");
    return ctl_ask(p->keeper, o, NULL, 0, ret, NULL, NULL, e);
}

/* Everything that opens a library. What is not there is told by who needs it, if ever. */
static int open_libraries(struct err *e)
{
    struct err ignored = {0};
    fiber_excuse_hold();
    vitals_open();
    (void)!idna_open(&ignored);
    (void)!inflate_open_all(&ignored);
    int r = confine_prepare(e);
    return r < 0 ? r : http_pipe_open(e);
}

/* Reading is left for the system's certificates, which a changed configuration may need anew, and for the
 * descriptor that a server keeps for want of others. */
static int lock(struct err *e)
{
    AUTO_FREE char *certificates = mem_array(PATH_MAX, 1);
    tls_system_folder(certificates, PATH_MAX);
    const char *const may_read[] = {"/dev/null", certificates[0] ? certificates : NULL, NULL};
    return confine_lock(&(struct confine_role){.who = "gateway",
                                               .uid = CONFINE_UID_GATEWAY,
                                               .read_paths = may_read},
                        e);
}

/* A person, or a script, waits for this line: callers are served from here on. */
static void announce(void *arg)
{
    struct process *p = arg;
    char line[GATEWAY_READY_MAX];
    const struct gateway *g = p->gateway;
    AUTO_JSON json_t *o = json_new_object();
    if (p->on_ready)
        p->on_ready();
    if (gateway_edge_name(g)[0])
        (void)snprintf(line, sizeof(line), "ready edge=%s:%u routes=%zu", gateway_edge_name(g),
                       gateway_edge_port(g), gateway_routes(g));
    else
        (void)snprintf(line, sizeof(line), "ready listen=%s routes=%zu", gateway_listens(g),
                       gateway_routes(g));
    json_put_str(o, "op", "ready");
    json_put_str(o, "line", line);
    (void)!ctl_tell(p->keeper, o, NULL, 0);
}

static int open_gateway(struct process *p, const json_t *told, struct err *e)
{
    const struct gateway_options options = {.config_path = json_get_str(told, "config"),
                                            .metrics = json_get_str(told, "metrics"),
                                            .level_given =
                                                json_get_bool(told, "level_given", false),
                                            .keeper = p->keeper,
                                            .on_ready = announce,
                                            .arg = p};
    if (!options.config_path)
        return err_set(e, -E_PROTO, "the keeper has not said what to serve");
    p->gateway = gateway_open(&options, e);
    return p->gateway ? 0 : -EIO;
}

/* `told` outlives the gateway. */
static int prepare(struct process *p, json_t **told, struct err *e)
{
    int r = open_libraries(e);
    if (r == 0)
        r = begin(p, told, e);
    if (r == 0)
        r = open_gateway(p, *told, e);
    if (r == 0)
        r = lock(e);
    /* What strangers have said before, and was kept, is read behind the lock like anything of theirs. */
    return r < 0 ? r : gateway_begin(p->gateway, e);
}

static int serve(struct process *p)
{
    AUTO(scope) s;
    scope_init(&s);
    int r = fiber_spawn(&s, "stop", stop_when_told, p, NULL);
    if (r == 0)
        r = gateway_run(p->gateway);
    return r;
}

static int run_watched(struct process *p)
{
    struct err e = {0};
    AUTO_JSON json_t *told = NULL;
    AUTO(scope) watch;
    scope_init(&watch);
    int r = fiber_spawn(&watch, "keeper", die_with_keeper, p, NULL);
    if (r == 0)
        r = prepare(p, &told, &e);
    const bool served = r == 0;
    if (served)
        r = serve(p);
    else
        fprintf(stderr, "sallyport gateway: %s\n", e.msg[0] ? e.msg : err_text(r));
    struct gateway *g = p->gateway;
    p->gateway = NULL;
    gateway_close(g);
    if (served)
        log_info("gateway stopped", "result=%s", r < 0 ? err_name(r) : "ok");
    return r;
}

static int run(void *arg)
{
    struct process *p = arg;
    p->keeper = ctl_new(p->ctl_fd, hear_keeper, p);
    int r = run_watched(p);
    ctl_free(p->keeper);
    return r < 0;
}

int gateway_process_main(int ctl_fd, void (*on_ready)(void))
{
    struct process p = {.ctl_fd = ctl_fd, .on_ready = on_ready};
    waitq_init(&p.told);
    secret_wipe_when_freed();
    int r = signal_init();
    if (r == 0)
        r = loop_init();
    if (r < 0) {
        fprintf(stderr, "sallyport gateway: %s\n", err_text(r));
        return 1;
    }
    r = loop_run(run, &p);
    signal_done();
    loop_done();
    return r != 0;
}
