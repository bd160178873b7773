/* keeper.c - the keeper's own fiber: what whoever holds sandboxes asks for, and the end.
 *
 * Started by `sallyport worker`, `up` or `exec` with a socket as descriptor 3 and, in its environment,
 * the secrets of `env` sources, which nobody else has any more. It is not dumpable, and its memory is
 * locked where secrets lie. It lives as long as the socket: when the other end goes, sandboxes are
 * gone or about to be, so proxies end, the audit log is closed in order, and nothing is left.
 *
 * When it is killed, its proxies die with it (PDEATHSIG), sandboxes lose their network and nothing
 * else: the other end starts another keeper and gives it the sockets again (`adopt`, `bind`). So that
 * what sandboxes trust stays the same, the other end keeps a sealed descriptor with the CA's key, and
 * does not read it. */
#include "egress/keeper/internal.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/str.h"
#include "crypto/cert.h"
#include "egress/capture/doors.h"
#include "egress/ctl/ca.h"
#include "egress/keeper/try.h"
#include "io/loop.h"
#include "io/signal.h"
#include "io/sock.h"

#define FLUSH_MS 2000 /* for records, at the end */

/* ---- start ---- */

static int take_policy_text(struct keeper *k, const char *at, int fd, struct err *e)
{
    AUTO_FREE char *text = NULL;
    size_t n;
    AUTO_JSON json_t *section = NULL;
    struct policy *p = NULL;
    int r = ctl_fd_text(fd, EGRESS_POLICY_MAX, &text, &n);
    if (r < 0)
        return err_set(e, r, "the policy could not be taken over: %s", err_text(r));
    r = json_parse(text, n, &section, e);
    if (r >= 0)
        r = policy_new(section, at, NULL, &p, e);
    if (r >= 0)
        r = egress_try_files(p, e);
    if (r >= 0)
        r = exporter_check(p, e);
    if (r >= 0)
        r = secrets_take_policy(k, p, e);
    if (r < 0) {
        policy_unref(p);
        return r;
    }
    struct policy *before = k->policy;
    k->policy = p;
    exporter_policy_changed(k, before);
    policy_unref(before);
    fd_cleanup_close(&k->policy_fd);
    k->policy_fd = fd;
    return 0;
}

static void put_warnings(struct keeper *k, json_t *o)
{
    AUTO(buf) words = BUF_INIT(32u << 10);
    policy_warnings(k->policy, &words);
    secrets_warnings(k, &words);
    json_put_str(o, "warnings", buf_str(&words));
}

/* `named`: a flag has named `path`, and flags come before files. */
static int open_audit(struct keeper *k, const char *path, bool named, struct err *e)
{
    const char *of_policy = policy_settings(k->policy)->audit_file;
    const struct audit_options options = {.path = of_policy && !named ? of_policy : path};
    if (!options.path)
        return err_set(e, -EINVAL, "audit: no file is named");
    k->audit_path = mem_strdup(options.path);
    int r = audit_server_open(&options, 0, &k->audit, e);
    int pair[2];
    if (r < 0)
        return r;
    r = sock_pair(SOCK_STREAM, pair);
    if (r < 0)
        return err_set(e, r, "could not make a socket: %s", err_text(r));
    AUTO_CLOSE int ours = pair[0], theirs = pair[1];
    r = audit_server_add(k->audit, theirs, "egress", e);
    if (r < 0)
        return r;
    theirs = -1;
    k->records = audit_client_new();
    r = audit_client_connect(k->records, ours, e);
    if (r >= 0)
        ours = -1;
    return r;
}

static int adopt_ca(struct keeper *k, int fd, struct err *e)
{
    struct cert_ca *ca;
    k->ca_fd = fd;
    int r = egress_ca_read(fd, &ca, e);
    if (r < 0)
        return r;
    k->ca_pem = mem_strdup(cert_ca_pem(ca));
    cert_ca_free(ca);
    return 0;
}

static int answer_start(struct keeper *k, const json_t *o, struct ctl_fds *fds,
                        struct ctl_answer *answer, struct err *e)
{
    const int64_t n = json_get_int(o, "proxies", 1);
    if (k->started || fds->n < 1 || n < 1 || n > KEEPER_PROXIES_MAX)
        return err_set(e, -E_PROTO, "egress was started wrongly");
    k->started = true;
    int r = take_policy_text(k, json_get_str(o, "at"), fds->fd[0], e);
    if (r < 0)
        return r;
    fds->fd[0] = -1;
    r = fds->n > 1 ? adopt_ca(k, TAKE_FD(fds->fd[1]), e) : egress_ca_make(&k->ca_fd, &k->ca_pem, e);
    if (r >= 0)
        r = open_audit(k, json_get_str(o, "audit"), json_get_bool(o, "audit_named", false), e);
    if (r >= 0)
        r = exporter_start(k, e);
    if (r >= 0)
        r = proxies_start(k, (unsigned)n, e);
    if (r < 0)
        return r;
    json_put_str(answer->o, "ca", k->ca_pem);
    put_warnings(k, answer->o);
    const int ca_fd = fcntl(k->ca_fd, F_DUPFD_CLOEXEC, 3);
    if (ca_fd < 0) {
        r = -errno;
        return err_set(e, r, "egress has no descriptor left: %s; raise its limit of open files",
                       err_text(r));
    }
    answer->fds.fd[answer->fds.n++] = ca_fd;
    return 0;
}

/* ---- sandboxes ---- */

static int answer_grant(struct keeper *k, struct ctl_answer *answer, struct err *e)
{
    char id[ID_MAX];
    json_t *env;
    struct binding *b;
    id_make(id, "bind_");
    int r = secrets_issue(k, id, &env, e);
    if (r < 0)
        return r;
    r = binding_new(k, id, json_incref(env), &b, e);
    if (r < 0) {
        placeholders_forget(k->placeholders, id);
        json_decref(env);
        return r;
    }
    json_put_str(answer->o, "binding", id);
    json_put(answer->o, "env", env);
    _Static_assert(DOORS_MAX == EGRESS_DOORS_MAX, "the channel carries as many");
    json_put(answer->o, "doors", doors_of_policy(k->policy));
    return 0;
}

static int answer_adopt(struct keeper *k, const json_t *o, struct err *e)
{
    const char *id = json_get_str(o, "binding");
    json_t *env = json_object_get(o, "env");
    struct binding *b;
    if (!id || !id_is(id, "bind_") || !json_is_object(env))
        return err_set(e, -E_PROTO, "no such binding can be");
    int r = secrets_adopt(k, id, env, e);
    return r < 0 ? r : binding_new(k, id, json_incref(env), &b, e);
}

static int answer_bind(struct keeper *k, const json_t *o, struct ctl_fds *fds, struct err *e)
{
    struct binding *b = binding_find(k, o);
    return b ? binding_add_fds(k, b, o, fds, e) : err_set(e, -ENOENT, "egress has no such binding");
}

static int answer_policy(struct keeper *k, const json_t *o, struct ctl_fds *fds,
                         struct ctl_answer *answer, struct err *e)
{
    if (fds->n != 1)
        return err_set(e, -E_PROTO, "a policy without a text");
    int r = fmutex_lock(&k->taking);
    if (r < 0)
        return r;
    r = take_policy_text(k, json_get_str(o, "at"), fds->fd[0], e);
    if (r >= 0) {
        fds->fd[0] = -1;
        proxies_tell_policy(k); /* at once: the rest may wait for a vault or a disk */
        secrets_let_go(k);
    }
    fmutex_unlock(&k->taking);
    if (r < 0)
        return r;
    put_warnings(k, answer->o);
    return 0;
}

/* What is about one sandbox goes to its proxy as it came. */
static int take_notice(struct keeper *k, const char *op, const json_t *o)
{
    if (str_eq(op, "reread")) {
        secret_sources_expire(k->sources);
        return 0;
    }
    struct binding *b = binding_find(k, o);
    if (!b)
        return 0; /* of before the last restart */
    if (str_eq(op, "release")) {
        binding_release(k, b);
        return 0;
    }
    const char *text = json_get_str(o, op), *tool = json_get_str(o, "tool");
    if (str_eq(op, "session"))
        binding_set_session(k, b, text ? text : "");
    else if (str_eq(op, "call"))
        binding_set_call(k, b, text ? text : "", tool ? tool : "");
    else
        return -E_PROTO;
    b = binding_find(k, o);
    if (b)
        (void)!proxy_tell(b->at, (json_t *)(uintptr_t)o, NULL, 0);
    return 0;
}

static int hear_boss(void *arg, const char *op, const json_t *o, struct ctl_fds *fds,
                     struct ctl_answer *answer, struct err *e)
{
    struct keeper *k = arg;
    if (!answer)
        return take_notice(k, op, o);
    if (str_eq(op, "start")) { /* on the root's fiber: what it makes is its own */
        k->asked = (struct start_request){o, fds, answer, e, -EINPROGRESS};
        waitq_wake_all(&k->changed);
        while (k->asked.result == -EINPROGRESS) {
            int r = waitq_wait(&k->changed);
            if (r < 0)
                return r;
        }
        return k->asked.result;
    }
    if (!k->serving)
        return err_set(e, -E_PROTO, "egress has not been started");
    if (str_eq(op, "grant"))
        return answer_grant(k, answer, e);
    if (str_eq(op, "adopt"))
        return answer_adopt(k, o, e);
    if (str_eq(op, "bind"))
        return answer_bind(k, o, fds, e);
    if (str_eq(op, "policy"))
        return answer_policy(k, o, fds, answer, e);
    return err_set(e, -E_PROTO, "egress knows no %s", op);
}

/* ---- the process ---- */

static void keeper_end(struct keeper *k)
{
    struct err e = {.code = 0};
    proxies_stop(k);
    scope_done(&k->scope);
    ctl_free(k->boss);
    while (k->bindings.n > 0 && k->records) { /* what ends with us is recorded, too */
        size_t pos = 0;
        void *b;
        MUST(map_next(&k->bindings, &pos, NULL, &b));
        binding_release(k, b);
    }
    bindings_done(k);
    (void)audit_client_free(k->records, FLUSH_MS);
    if (audit_server_close(k->audit, &e) < 0)
        log_error("the audit log could not be closed", "error=%s", log_q(e.msg));
    exporter_stop(k);
    placeholders_free(k->placeholders);
    secrets_let_go(k);
    secrets_done(k);
    map_done(&k->secrets);
    secret_sources_free(k->sources);
    policy_unref(k->policy);
    pool_free(k->pool);
    free(k->ca_pem);
    free(k->audit_path);
    fd_cleanup_close(&k->policy_fd);
    fd_cleanup_close(&k->ca_fd);
}

static int await_start(struct keeper *k)
{
    while (!k->asked.o && !ctl_ended(k->boss)) {
        AUTO(fiber_deadline) d =
            fiber_deadline_push_ms(1000); /* the channel's end wakes nobody here */
        int r = waitq_wait(&k->changed);
        if (r < 0 && r != -ETIMEDOUT)
            return r;
    }
    if (!k->asked.o)
        return -E_CLOSED;
    int r = answer_start(k, k->asked.o, k->asked.fds, k->asked.answer, k->asked.e);
    k->serving = r >= 0;
    k->asked.result = r;
    waitq_wake_all(&k->changed);
    return 0;
}

struct start_args {
    int ctl_fd;
    const char *credentials_directory;
};

static int run(void *arg)
{
    const struct start_args *args = arg;
    struct keeper *k = mem_new(struct keeper);
    *k = (struct keeper){.policy_fd = -1, .ca_fd = -1, .exporter = {.proc = {.pidfd = IO_FD_NONE}}};
    scope_init(&k->exporter.scope);
    waitq_init(&k->exporter.changed);
    scope_init(&k->scope);
    waitq_init(&k->changed);
    fmutex_init(&k->taking);
    fmutex_init(&k->telling);
    map_init(&k->secrets);
    map_init(&k->old_secrets);
    map_init(&k->bindings);
    k->pool = pool_new("egress", 4);
    k->sources = secret_sources_new(&(struct secret_options){
        .pool = k->pool, .credentials_directory = args->credentials_directory});
    k->placeholders = placeholders_new();
    k->boss = ctl_new(args->ctl_fd, hear_boss, k);
    int r = await_start(k);
    if (r >= 0)
        r = ctl_await_end(k->boss);
    keeper_end(k);
    free(k);
    return r < 0 && r != -E_CLOSED;
}

static void raise_limit(__rlimit_resource_t which)
{
    struct rlimit most;
    if (getrlimit(which, &most) == 0) {
        most.rlim_cur = most.rlim_max;
        (void)setrlimit(which, &most);
    }
}

int egress_keeper_main(int ctl_fd, const char *credentials_directory)
{
    struct start_args args = {ctl_fd, credentials_directory};
    secret_wipe_when_freed();
    struct err e = {.code = 0};
    raise_limit(RLIMIT_NOFILE);  /* each sandbox's sockets are kept here */
    raise_limit(RLIMIT_MEMLOCK); /* secrets */
    int r = signal_init(); /* a terminal's Ctrl-C is for whoever started us; we end with them */
    if (r >= 0)
        r = loop_init();
    if (r < 0) {
        log_error("egress could not start", "error=%s", log_q(e.msg[0] ? e.msg : err_text(r)));
        return 1;
    }
    r = loop_run(run, &args);
    signal_done();
    loop_done();
    return r;
}
