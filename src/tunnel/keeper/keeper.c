/* keeper.c - the life of a gateway, seen from beside.
 *
 * On the loop's root fiber, which owns everything here; signals come from another (cmd/gateway.c). The gateway
 * proper is this program anew, in a role that locks itself in; it is waited for. One that ends by itself has
 * said why and has the last word about the exit code. One that a signal has ended did something that its lock
 * forbids, has a bug, or was killed by a person or for want of memory: that is told, and if it had served
 * another takes its place, at most one a second, with the files as they are then. When this process dies, the
 * gateway dies with it: it hears the end of the channel, and the kernel sends it a signal. */
#include "tunnel/keeper/internal.h"

#include "audit/server.h"
#include "base/err.h"
#include "base/log.h"
#include "base/time.h"
#include "io/pool.h"
#include "io/role.h"
#include "io/sock.h"
#include "secret/source.h"
#include "tunnel/keeper/files.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS    2
#define RESTART_MS 1000
#define TELL_MS    5000
#define LEAVE_MS   5000

static void tell(struct gateway_keeper *k, const char *op)
{
    AUTO_JSON json_t *o = json_new_object();
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(TELL_MS);
    json_put_str(o, "op", op);
    if (k->ctl)
        (void)!ctl_tell(k->ctl, o, NULL, 0);
}

void gateway_keeper_stop(struct gateway_keeper *k)
{
    k->stopping = true;
    waitq_wake_all(&k->wake);
    tell(k, "stop");
}

void gateway_keeper_reload(struct gateway_keeper *k)
{
    secret_sources_expire(k->secrets);
    tell(k, "reload");
}

/* ---- one gateway ---- */

static int start(struct gateway_keeper *k, struct err *e)
{
    int pair[2];
    int r = sock_pair(SOCK_SEQPACKET, pair);
    if (r < 0)
        return err_set(e, r, "could not make a socket: %s", err_text(r));
    AUTO_CLOSE int ours = pair[0], theirs = pair[1];
    r = role_start(&k->proc, "gateway", "confined", k->o.environment, &theirs, 1, e);
    if (r < 0)
        return r;
    k->ready = false;
    k->ctl = ctl_new(TAKE_FD(ours), keeper_hear, k);
    return 0;
}

static void forget(struct gateway_keeper *k)
{
    struct ctl *ctl = k->ctl;
    k->ctl = NULL;
    ctl_free(ctl);
    proc_done(&k->proc);
    k->proc = (struct proc){.pidfd = IO_FD_NONE};
    keeper_sets_done(k);
}

/* One that has ended its channel, or has said what makes no sense, gets no answers any more. It is on its way
 * out, or not ours any more. */
static int end_with_channel(void *arg)
{
    struct gateway_keeper *k = arg;
    fiber_deadline_clear();
    if (ctl_await_end(k->ctl) < 0 || fiber_sleep_ms(LEAVE_MS) < 0)
        return 0;
    log_error("the gateway does not speak to its keeper any more, and is ended", NULL);
    (void)proc_kill(&k->proc, SIGKILL);
    return 0;
}

/* *ret_status of wait(2). */
static int live(struct gateway_keeper *k, int *ret_status)
{
    AUTO(scope) s;
    scope_init(&s);
    int r = fiber_spawn(&s, "gateway channel", end_with_channel, k, NULL);
    if (r == 0 && k->stopping)
        tell(k, "stop");
    return r < 0 ? r : proc_wait(&k->proc, ret_status);
}

static int live_once(struct gateway_keeper *k, int *ret_status)
{
    struct err e = {0};
    int r = start(k, &e);
    if (r < 0)
        log_error("the gateway could not be started", "why=%s", log_q(e.msg));
    if (r == 0)
        r = live(k, ret_status);
    forget(k);
    return r;
}

/* Until another one may be started. */
static void rest(struct gateway_keeper *k, int64_t until_ns)
{
    struct fiber_deadline d = fiber_deadline_push(until_ns);
    while (!k->stopping && waitq_wait(&k->wake) == 0)
        ;
    fiber_deadline_pop(&d);
}

int gateway_keeper_run(struct gateway_keeper *k)
{
    for (;;) {
        const int64_t until_ns = time_mono_ns() + RESTART_MS * NS_PER_MS;
        int status = 0, r = live_once(k, &status);
        if (r < 0)
            return 1;
        if (WIFEXITED(status))
            return WEXITSTATUS(status);
        const bool again = k->was_ready && !k->stopping;
        log_error("a signal has ended the gateway", "signal=%d again=%s", WTERMSIG(status),
                  again ? "yes" : "no");
        if (!again)
            return 1;
        rest(k, until_ns);
        if (k->stopping) /* it was told to, and there is nobody to wait for */
            return 0;
    }
}

/* ---- life ---- */

static int open_audit(struct gateway_keeper *k, const char *path, struct err *e)
{
    if (!path)
        return 0;
    const struct audit_options o = {.path = path};
    int r = audit_server_open(&o, 0, &k->audit, e);
    return r < 0 ? err_wrap(e, r, "audit") : 0;
}

/* What is wrong with the files is told before anything is made. */
static int open_all(struct gateway_keeper *k, struct err *e)
{
    struct keeper_files f;
    k->pool = pool_new("gateway-files", THREADS);
    k->secrets = secret_sources_new(&(struct secret_options){
        .pool = k->pool, .credentials_directory = k->o.credentials_directory});
    int r = keeper_files_open(k->pool, k->o.config_path, &f, e);
    if (r == 0)
        r = open_audit(k, f.config->audit_file, e);
    if (r == 0 && !k->o.level_given)
        log_set_level(f.config->log_level);
    keeper_files_done(&f);
    return r;
}

struct gateway_keeper *gateway_keeper_open(const struct gateway_keeper_options *o, struct err *e)
{
    struct gateway_keeper *k = mem_new(struct gateway_keeper);
    k->o = *o;
    k->proc.pidfd = IO_FD_NONE;
    k->programs = programs_new(&o->programs);
    fmutex_init(&k->reading);
    waitq_init(&k->wake);
    if (open_all(k, e) < 0) {
        gateway_keeper_close(k);
        return NULL;
    }
    return k;
}

void gateway_keeper_close(struct gateway_keeper *k)
{
    struct err e = {0};
    if (!k)
        return;
    programs_close(k->programs);
    keeper_state_close(k);
    if (audit_server_close(k->audit, &e) < 0)
        log_error("the last records of the audit log were not written", "why=%s", log_q(e.msg));
    secret_sources_free(k->secrets);
    pool_free(k->pool);
    free(k);
}
