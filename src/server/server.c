/* server.c - the parts of the platform, put together in one process.
 *
 * Used by `sallyport server` and `sallyport up` on the loop's root fiber, which owns everything
 * here: the HTTP server with one fiber per connection, the brain's turns, the reaper of leases, the yielder of sessions at rest and the
 * watcher of calls that wait.
 * Opening goes bottom up (store, listener, brain, work clock, first start), and a step that fails
 * undoes what was opened before it: nothing is served half-configured. Stopping ends event streams
 * first (their readers resume elsewhere or later) and gives running calls a grace period; what was
 * acknowledged is on disk anyway. Peers meet the HTTP server only; nothing of theirs reaches this
 * file. */
#include "server/server.h"

#include "base/err.h"
#include "base/log.h"
#include "base/time.h"
#include "brain/brain.h"
#include "brain/model.h"
#include "http/server/operator.h"
#include "http/server/server.h"
#include "io/sock.h"
#include "io/tls.h"
#include "platform/platform.h"
#include "platform/status/status.h"
#include "platform/tunnels/tunnel_token.h"
#include "platform/tunnels/tunnels.h"
#include "platform/work/work_reaper.h"
#include "platform/work/work_watch.h"
#include "platform/work/work_yield.h"
#include "server/caretaker.h"
#include "server/tunnels.h"
#include "session/hub.h"

#include <sys/resource.h>

#define DESCRIPTORS_LEAST 64

struct server {
    const struct server_options *o;
    struct platform platform;
    struct tls_ctx *tls;
    struct http_server *http;
    struct model *model; /* NULL: none is configured, and the brain says so in the sessions' logs */
    struct brain *brain;
    struct tunnels *tunnels;
    struct operator_page *operator_page; /* NULL: none */
    bool stopping;
    char address[SOCK_ADDR_MAX];
    bool damaged; /* the database is */
};

static int open_brain(struct server *s, struct err *e)
{
    const struct server_options *o = s->o;
    if (o->script)
        s->model = model_script_new(o->script, e);
    else if (o->model_key.len)
        s->model = model_anthropic_new(secret_borrow(&o->model_key), o->model_base_url,
                                       o->model_max_tokens, e);
    if (!s->model && (o->script || o->model_key.len))
        return -EINVAL;
    int r = brain_start(&s->platform.log, s->model, &s->brain, e);
    if (r == 0) {
        s->platform.log.wake = brain_wake;
        s->platform.log.wake_arg = s->brain;
    }
    return r;
}

static const char *not_ready(void *arg)
{
    const struct server *s = arg;
    if (s->stopping || s->platform.stops_at_ns)
        return "the server stops";
    return db_is_failing(s->platform.log.db) ? "the database cannot be written" : NULL;
}

static void refresh(void *arg)
{
    struct server *s = arg;
    status_refresh_metrics(&s->platform);
    tunnels_refresh_metrics(s->tunnels);
}

static int open_operator(struct server *s, struct err *e)
{
    static const char *const prefixes[] = {"sallyport_server_", "sallyport_process_", NULL};
    struct operator_config c = {.listen = s->o->metrics,
                                .by_default = "127.0.0.1:8401",
                                .prefixes = prefixes,
                                .not_ready = not_ready,
                                .refresh = refresh,
                                .arg = s};
    return operator_open(&c, &s->operator_page, e);
}

static int open_http(struct server *s, struct err *e)
{
    const struct server_options *o = s->o;
    if (!!o->tls_cert != !!o->tls_key)
        return err_set(e, -EINVAL, "--tls-cert and --tls-key are given together or not at all");
    if (o->tls_cert) {
        s->tls = tls_server_new(o->tls_cert, o->tls_key, e);
        if (!s->tls)
            return -E_TLS;
    }
    struct http_server_config cfg = {
        .listen = o->listen, .tls = s->tls, .handler = platform_handle, .arg = &s->platform};
    s->http = http_server_new(&cfg, s->address, e);
    return s->http ? 0 : -EADDRINUSE;
}

/* The database alone takes some twenty, and what fails for want of one more does so at any moment. */
static int check_descriptors(struct err *e)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= DESCRIPTORS_LEAST)
        return 0;
    return err_set(
        e, -EMFILE,
        "this process may open %llu files, and needs %d at least, more for many clients; "
        "raise the limit (ulimit -n, or LimitNOFILE= of a service)",
        (unsigned long long)l.rlim_cur, DESCRIPTORS_LEAST);
}

struct server *server_open(const struct server_options *o, char ret_key[128], struct err *e)
{
    struct server *s = mem_new(struct server);
    s->o = o;
    s->platform.log.hub = hub_new();
    s->platform.data_dir = o->data_dir;
    s->platform.public_url = o->public_url;
    s->platform.lease_ttl_seconds = (int)(o->lease_ttl_ms / 1000);
    /* In this order, so that a start that fails leaves no key behind that nobody has seen. */
    if (tunnels_set_domain(&s->platform, o->tunnel_domain, e) < 0 || check_descriptors(e) < 0 ||
        db_open(o->data_dir, &s->platform.log.db, e) < 0 || open_http(s, e) < 0 ||
        !(s->tunnels = tunnels_open(&s->platform, o->ingress, &o->ingress_limits, e)) ||
        open_operator(s, e) < 0 || open_brain(s, e) < 0 || work_start(&s->platform, e) < 0 ||
        platform_first_start(&s->platform, ret_key, e) < 0) {
        server_discard(s);
        return NULL;
    }
    tunnel_token_check(&s->platform);
    s->platform.started_at = time_real_us();
    s->platform.model_name = s->model ? s->model->name : NULL;
    log_info("server started", "listen=%s data=%s model=%s", s->address, log_q(o->data_dir),
             s->model ? log_q(s->model->name) : "none");
    return s;
}

const char *server_address(const struct server *s)
{
    return s->address;
}

const char *server_ingress_address(const struct server *s)
{
    return tunnels_ingress_address(s->tunnels);
}

const char *server_model_name(const struct server *s)
{
    return s->model ? s->model->name : "none";
}

struct platform *server_platform(struct server *s)
{
    return &s->platform;
}

static void end_damaged(void *arg)
{
    struct server *s = arg;
    s->damaged = true;
    server_stop(s);
}

int server_run(struct server *s)
{
    struct caretaker caretaker = {.platform = &s->platform,
                                  .keep_sessions_ms = s->o->keep_sessions_ms,
                                  .on_damage = end_damaged,
                                  .arg = s};
    AUTO(scope) background;
    scope_init(&background);
    int r = fiber_spawn(&background, "work-reaper", work_reaper, &s->platform, NULL);
    if (r == 0)
        r = fiber_spawn(&background, "work-yielder", work_yielder, &s->platform, NULL);
    if (r == 0)
        r = fiber_spawn(&background, "work-watcher", work_watcher, &s->platform, NULL);
    if (r == 0)
        r = fiber_spawn(&background, "caretaker", caretaker_run, &caretaker, NULL);
    if (r == 0)
        r = tunnels_start(s->tunnels, &background);
    if (r == 0 && s->operator_page)
        r = fiber_spawn(&background, "operator", operator_run, s->operator_page, NULL);
    if (r == 0)
        r = http_server_run(s->http);
    return s->damaged ? -E_CORRUPT : r;
}

void server_drain(struct server *s, int64_t at_most_ms)
{
    at_most_ms += s->o->stop_grace_ms;
    s->platform.stops_at_ns = time_mono_ns() + at_most_ms * NS_PER_MS;
    db_note_stopping(s->platform.log.db, at_most_ms);
}

void server_stop(struct server *s)
{
    server_drain(s, 0);
    s->stopping = true;
    hub_end_all(s->platform.log.hub);
    tunnels_stop(s->tunnels);
    http_server_stop(s->http, s->o->stop_grace_ms);
}

static int untouched_tx(struct tx *tx, void *arg)
{
    (void)arg;
    struct stmt *s = tx_prepare(tx, "SELECT (SELECT COUNT(*) FROM environments) <= 1"
                                    " AND (SELECT COUNT(*) FROM tunnels) <= 1"
                                    " AND NOT EXISTS (SELECT 1 FROM agents)"
                                    " AND NOT EXISTS (SELECT 1 FROM sessions)");
    int r = stmt_step(s);
    if (r > 0)
        r = stmt_int(s, 0) != 0;
    stmt_reset(s);
    return r;
}

static void finish(struct server *s, bool discard)
{
    if (!s)
        return;
    http_server_free(s->http);
    tunnels_close(s->tunnels);
    operator_free(s->operator_page);
    brain_stop(s->brain);
    model_free(s->model);
    platform_done(&s->platform);
    hub_free(s->platform.log.hub);
    if (discard)
        db_discard(s->platform.log.db);
    else
        db_close(s->platform.log.db);
    tls_ctx_free(s->tls);
    free(s);
}

void server_close(struct server *s)
{
    finish(s, false);
}

/* `sallyport up` has made an environment by then, and a tunnel for its routes; whoever had its keys may have made more. */
void server_discard(struct server *s)
{
    struct db *db = s->platform.log.db;
    finish(s, db && db_is_new(db) && db_read(db, untouched_tx, NULL) > 0);
}
