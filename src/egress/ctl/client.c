/* client.c - one keeper, kept; and what it would have to be told again.
 *
 * A fiber starts the keeper, waits for its end and starts another, at most once a second. For each
 * sandbox it remembers binding, session, call, placeholders and duplicates of the sockets, on which
 * it never accepts. Secrets never come here: the keeper inherits the environment, and right after it
 * has been started the variables that `env` sources name are wiped from ours. A keeper that is
 * started anew needs them again, so they stay in the one that died with it: `env` sources do not
 * outlive their keeper, and the log says so. */
#include "egress/ctl/client.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "base/time.h"
#include "egress/ctl/messages.h"
#include "egress/policy/policy.h"
#include "io/ctl.h"
#include "io/proc.h"
#include "io/role.h"
#include "io/sock.h"
#include "secret/source.h"

#define START_MS   20000
#define RESTART_MS 1000
#define STOP_MS    5000
#define WAIT_MS    15000 /* for a keeper that is being replaced */

struct known {
    char session[65], call[65], tool[65];
    json_t *env;
    int *fds; /* NULL until they were born */
    size_t n_fds;
    bool there; /* the keeper that runs has it, and is told of what changes */
};

struct egress {
    struct proc proc;
    struct ctl *ctl; /* NULL while there is none */
    bool serves, stopping, trial, audit_named;
    const char *variable; /* for the first keeper; the caller's */
    struct scope scope;
    struct waitq changed;
    struct map known; /* binding → struct known */
    char *policy_text;
    size_t policy_text_n;
    char *at, *audit_file, *ca_pem;
    unsigned proxies;
    int state_fd; /* the keeper's, not read here; -1 before the first start */
    void (*tell)(const char *sentence);
    void (*forget)(const char *name);
};

static void say(const struct egress *eg, const char *sentence)
{
    if (eg->tell)
        eg->tell(sentence);
    else
        log_warn("egress", "says=%s", log_q(sentence));
}

/* One line each. */
static void say_warnings(const struct egress *eg, const char *lines)
{
    for (const char *at = lines; at && *at;) {
        const char *end = strchr(at, '\n');
        AUTO_FREE char *line = mem_strndup(at, end ? (size_t)(end - at) : strlen(at));
        if (line[0])
            say(eg, line);
        at = end ? end + 1 : NULL;
    }
}

/* ---- what is remembered ---- */

static void known_free(struct known *k)
{
    for (size_t i = 0; i < k->n_fds; i++)
        fd_cleanup_close(&k->fds[i]);
    free(k->fds);
    json_decref(k->env);
    free(k);
}

static json_t *about(const char *op, const char *binding)
{
    json_t *o = json_new_object();
    json_put_str(o, "op", op);
    json_put_str(o, "binding", binding);
    return o;
}

/* The binding may be released meanwhile; then the rest is not sent. */
static int send_fds(struct egress *eg, struct ctl *ctl, const char *binding, struct err *e)
{
    const struct known *k;
    int r = 0;
    for (size_t from = 0; r >= 0 && (k = map_get(&eg->known, binding)); from += CTL_FDS_MAX) {
        if (from > 0 && from >= k->n_fds)
            break;
        const size_t left = k->n_fds - from, n = left < CTL_FDS_MAX ? left : CTL_FDS_MAX;
        AUTO_JSON json_t *o = about("bind", binding), *answer = NULL;
        json_put_int(o, "from", (int64_t)from);
        json_put_int(o, "sockets", (int64_t)n);
        json_put_bool(o, "last", n == left);
        r = ctl_ask(ctl, o, k->fds + from, n, &answer, NULL, NULL, e);
    }
    return r;
}

static int tell_session(struct ctl *ctl, const char *binding, const struct known *k)
{
    AUTO_JSON json_t *o = about("session", binding);
    json_put_str(o, "session", k->session[0] ? k->session : NULL);
    return ctl_tell(ctl, o, NULL, 0);
}

static int tell_call(struct ctl *ctl, const char *binding, const struct known *k)
{
    AUTO_JSON json_t *o = about("call", binding);
    json_put_str(o, "call", k->call[0] ? k->call : NULL);
    json_put_str(o, "tool", k->tool);
    return ctl_tell(ctl, o, NULL, 0);
}

/* Everything about one sandbox, to a keeper that does not know it. */
static int give_back(struct egress *eg, const char *binding, struct err *e)
{
    struct known *k = map_get(&eg->known, binding);
    if (!k)
        return 0;
    AUTO_JSON json_t *o = about("adopt", binding), *answer = NULL;
    json_put(o, "env", json_incref(k->env));
    int r = ctl_ask(eg->ctl, o, NULL, 0, &answer, NULL, NULL, e);
    if (r < 0)
        return r;
    if (!(k = map_get(&eg->known,
                      binding))) { /* that may have been heard before `adopt` was done */
        AUTO_JSON json_t *gone = about("release", binding);
        return ctl_tell(eg->ctl, gone, NULL, 0);
    }
    k->there = true;
    if (k->fds) /* else whoever brings them sends them */
        r = send_fds(eg, eg->ctl, binding, e);
    if (r >= 0 && (k = map_get(&eg->known, binding)))
        r = tell_session(eg->ctl, binding, k);
    if (r >= 0 && (k = map_get(&eg->known, binding)))
        r = tell_call(eg->ctl, binding, k);
    return r;
}

static int give_all_back(struct egress *eg, struct err *e)
{
    AUTO_JSON json_t *ids = json_array();
    size_t pos = 0;
    const char *id;
    while (map_next(&eg->known, &pos, &id, NULL))
        json_array_append_new(ids, json_string(id));
    int r = 0;
    for (size_t i = 0; r >= 0 && i < json_array_size(ids); i++)
        r = give_back(eg, json_string_value(json_array_get(ids, i)), e);
    return r;
}

/* ---- the keeper ---- */

/* It has nothing to ask of us. */
static int hear_keeper(void *arg, const char *op, const json_t *o, struct ctl_fds *fds,
                       struct ctl_answer *answer, struct err *e)
{
    (void)arg;
    (void)op;
    (void)o;
    (void)fds;
    (void)answer;
    return err_set(e, -E_PROTO, "egress may ask for nothing");
}

/* Our environment, and one variable more. The caller frees the list alone. */
static const char **environment(const char *variable)
{
    size_t n = 0;
    while (environ[n])
        n++;
    const char **all = mem_array(n + 2, sizeof(*all));
    for (size_t i = 0; i < n; i++)
        all[i] = environ[i];
    all[n] = variable;
    all[n + 1] = NULL;
    return all;
}

static int start_process(struct egress *eg, struct err *e)
{
    int pair[2];
    int r = sock_pair(SOCK_SEQPACKET, pair);
    if (r < 0)
        return err_set(e, r, "could not make a socket: %s", err_text(r));
    AUTO_CLOSE int ours = pair[0], theirs = pair[1];
    AUTO_FREE const char **envp = environment(TAKE(eg->variable));
    r = role_start(&eg->proc, "egress", "keeper", envp, &theirs, 1, e);
    if (r >= 0)
        eg->ctl = ctl_new(TAKE_FD(ours), hear_keeper, eg);
    return r;
}

static int ask_start(struct egress *eg, struct err *e)
{
    AUTO_JSON json_t *o = json_new_object(), *answer = NULL;
    struct ctl_fds fds = {.n = 0};
    json_put_str(o, "op", "start");
    json_put_str(o, "at", eg->at);
    json_put_str(o, "audit", eg->audit_file);
    json_put_bool(o, "audit_named", eg->audit_named);
    json_put_int(o, "proxies", eg->proxies);
    AUTO_CLOSE int text = ctl_text_fd(eg->policy_text, eg->policy_text_n);
    if (text < 0)
        return err_set(e, text, "the policy could not be handed over: %s", err_text(text));
    const int send[] = {text, eg->state_fd};
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(START_MS);
    int r = ctl_ask(eg->ctl, o, send, eg->state_fd < 0 ? 1 : 2, &answer, &fds, NULL, e);
    if (r < 0)
        return r;
    const char *ca = json_get_str(answer, "ca"), *warnings = json_get_str(answer, "warnings");
    if (ca && !eg->ca_pem)
        eg->ca_pem = mem_strdup(ca);
    if (eg->state_fd < 0 && fds.n == 1) {
        eg->state_fd = fds.fd[0];
        fds.n = 0;
    }
    ctl_fds_done(&fds);
    if (!eg->trial)
        say_warnings(eg, warnings);
    return ca ? 0 : err_set(e, -E_PROTO, "egress has no certificate authority");
}

static void stop_keeper(struct egress *eg)
{
    struct ctl *ctl = eg->ctl;
    size_t pos = 0;
    void *k;
    eg->ctl = NULL;
    eg->serves = false;
    while (map_next(&eg->known, &pos, NULL, &k))
        ((struct known *)k)->there = false;
    ctl_free(ctl);
    if (eg->proc.pid) {
        AUTO(fiber_shield) s = fiber_shield_begin(STOP_MS);
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(STOP_MS);
        int status;
        if (proc_wait(&eg->proc, &status) < 0)
            log_warn("egress did not end by itself", "pid=%d", (int)eg->proc.pid);
    }
    proc_done(&eg->proc);
}

static int start_keeper(struct egress *eg, struct err *e)
{
    int r = start_process(eg, e);
    if (r >= 0)
        r = ask_start(eg, e);
    if (r >= 0)
        r = give_all_back(eg, e);
    if (r < 0) {
        stop_keeper(eg);
        return r;
    }
    eg->serves = true;
    waitq_wake_all(&eg->changed);
    return 0;
}

static int keep(void *arg)
{
    struct egress *eg = arg;
    for (;;) {
        if (eg->ctl && ctl_await_end(eg->ctl) < 0)
            return 0;
        if (eg->stopping)
            return 0;
        const int64_t started_ns = time_mono_ns();
        say(eg, "egress has ended; sandboxes have no network until it is back");
        stop_keeper(eg);
        if (fiber_sleep_until(started_ns + RESTART_MS * NS_PER_MS / 10) == -ECANCELED)
            return 0;
        struct err e = {.code = 0};
        while (start_keeper(eg, &e) < 0) {
            log_error("egress could not be started", "error=%s", log_q(e.msg));
            if (fiber_sleep_ms(RESTART_MS) == -ECANCELED)
                return 0;
        }
        log_info("egress is back", "sandboxes=%zu", eg->known.n);
    }
}

static int await_keeper(struct egress *eg, struct err *e)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(WAIT_MS);
    int r = 0;
    while (r >= 0 && !eg->serves)
        r = waitq_wait(&eg->changed);
    return r < 0 && r != -ECANCELED
               ? err_set(e, r, "egress, the way out of sandboxes, is not there: %s", err_text(r))
               : r;
}

/* ---- start and stop ---- */

/* The keeper has inherited them. */
static void forget_variables(const struct egress *eg, const struct policy *p)
{
    const json_t *source;
    const char *whose;
    for (size_t i = 0; eg->forget && (source = policy_source(p, i, &whose)); i++)
        secret_config_variables(source, eg->forget);
}

static int take_text(struct egress *eg, const json_t *policy)
{
    size_t n;
    char *text = json_text(policy, &n);
    if (n > EGRESS_POLICY_MAX) {
        free(text);
        return -EMSGSIZE;
    }
    free(eg->policy_text);
    eg->policy_text = text;
    eg->policy_text_n = n;
    return 0;
}

static void egress_free(struct egress *eg)
{
    size_t pos = 0;
    void *k;
    while (map_next(&eg->known, &pos, NULL, &k))
        known_free(k);
    map_done(&eg->known);
    fd_cleanup_close(&eg->state_fd);
    free(eg->policy_text);
    free(eg->at);
    free(eg->audit_file);
    free(eg->ca_pem);
    free(eg);
}

int egress_start(const struct egress_options *o, struct egress **ret, struct err *e)
{
    struct policy *p;
    int r = policy_new(o->policy, o->at, NULL, &p, e);
    if (r < 0)
        return r;
    struct egress *eg = mem_new(struct egress);
    *eg = (struct egress){.state_fd = -1,
                          .tell = o->tell,
                          .forget = o->forget,
                          .trial = o->trial,
                          .variable = o->variable,
                          .at = mem_strdup(o->at),
                          .audit_file = o->audit_file ? mem_strdup(o->audit_file) : NULL,
                          .audit_named = o->audit_named,
                          .proxies = o->proxies ? o->proxies : 1,
                          .proc = {.pidfd = IO_FD_NONE}};
    map_init(&eg->known);
    waitq_init(&eg->changed);
    scope_init(&eg->scope);
    r = take_text(eg, o->policy);
    if (r < 0)
        err_set(e, r, "%s: more than %u MiB", o->at, EGRESS_POLICY_MAX >> 20);
    if (r >= 0)
        r = start_keeper(eg, e);
    forget_variables(eg, p);
    policy_unref(p);
    if (r >= 0 && (r = fiber_spawn(&eg->scope, "egress", keep, eg, NULL)) < 0) {
        stop_keeper(eg);
        err_set(e, r, "no fiber for egress");
    }
    if (r < 0) {
        scope_done(&eg->scope);
        egress_free(eg);
        return r;
    }
    *ret = eg;
    return 0;
}

void egress_stop(struct egress *eg)
{
    if (!eg)
        return;
    eg->stopping = true;
    scope_done(&eg->scope);
    stop_keeper(eg);
    egress_free(eg);
}

/* ---- sandboxes ---- */

void egress_grant_done(struct egress_grant *g)
{
    json_decref(g->env);
    free(g->doors);
    *g = (struct egress_grant){.env = NULL};
}

static int read_grant(const json_t *o, struct egress_grant *ret, struct err *e)
{
    const char *binding = json_get_str(o, "binding");
    json_t *env = json_object_get(o, "env"), *doors = json_object_get(o, "doors"), *door;
    const size_t n = json_array_size(doors);
    size_t i;
    if (!binding || !json_is_object(env) || n == 0 || n > EGRESS_DOORS_MAX ||
        !str_copy(ret->binding, sizeof(ret->binding), binding))
        return err_set(e, -E_PROTO, "egress answered what is no grant");
    ret->doors = mem_array(n, sizeof(*ret->doors));
    json_array_foreach (doors, i, door) {
        struct egress_door *d = &ret->doors[ret->n_doors++];
        const char *address = json_get_str(door, "address");
        const int64_t port = json_get_int(door, "port", 0);
        if (!address || port < 1 || port > 65535 ||
            !str_copy(d->address, sizeof(d->address), address))
            return err_set(e, -E_PROTO, "egress answered what is no grant");
        d->port = (uint16_t)port;
        d->udp = json_get_bool(door, "udp", false);
    }
    ret->env = json_incref(env);
    return 0;
}

int egress_grant(struct egress *eg, struct egress_grant *ret, struct err *e)
{
    *ret = (struct egress_grant){.env = NULL};
    AUTO_JSON json_t *o = json_new_object(), *answer = NULL;
    json_put_str(o, "op", "grant");
    int r = await_keeper(eg, e);
    struct ctl *ctl = eg->ctl;
    if (r >= 0)
        r = ctl_ask(ctl, o, NULL, 0, &answer, NULL, NULL, e);
    if (r >= 0)
        r = read_grant(answer, ret, e);
    if (r < 0) {
        egress_grant_done(ret);
        return r;
    }
    struct known *k = mem_new(struct known);
    k->env = json_incref(ret->env);
    k->there = eg->ctl == ctl;
    MUST(!map_put(&eg->known, ret->binding, k));
    ret->ca_pem = eg->ca_pem;
    return 0;
}

int egress_bind(struct egress *eg, const char *binding, int *fds, size_t n, struct err *e)
{
    struct known *k = map_get(&eg->known, binding);
    if (!k || k->fds || n > 2 * EGRESS_DOORS_MAX) {
        for (size_t i = 0; i < n; i++)
            fd_cleanup_close(&fds[i]);
        return err_set(e, -EINVAL, "no such binding waits for sockets");
    }
    k->fds = mem_array(n ? n : 1, sizeof(int));
    memcpy(k->fds, fds, n * sizeof(int));
    k->n_fds = n;
    int r = k->there ? send_fds(eg, eg->ctl, binding, e) : 0;
    return r == -E_CLOSED ? 0 : r; /* the next keeper gets them */
}

void egress_set_session(struct egress *eg, const char *binding, const char *session)
{
    struct known *k = map_get(&eg->known, binding);
    if (!k)
        return;
    str_copy(k->session, sizeof(k->session), session ? session : "");
    if (k->there)
        (void)!tell_session(eg->ctl, binding, k);
}

void egress_set_call(struct egress *eg, const char *binding, const char *call, const char *tool)
{
    struct known *k = map_get(&eg->known, binding);
    if (!k)
        return;
    str_copy(k->call, sizeof(k->call), call ? call : "");
    str_copy(k->tool, sizeof(k->tool), tool ? tool : "");
    AUTO(fiber_shield) s = fiber_shield_begin(1000); /* the end of a call that was cut off counts */
    if (k->there)
        (void)!tell_call(eg->ctl, binding, k);
}

void egress_release(struct egress *eg, const char *binding)
{
    struct known *k = map_remove(&eg->known, binding);
    if (!k)
        return;
    known_free(k);
    AUTO_JSON json_t *o = about("release", binding);
    AUTO(fiber_shield) s = fiber_shield_begin(1000);
    if (eg->ctl && !ctl_ended(eg->ctl))
        (void)!ctl_tell(eg->ctl, o, NULL, 0);
}

static int give_policy(struct egress *eg, const json_t *policy, struct err *e)
{
    AUTO_JSON json_t *o = json_new_object(), *answer = NULL;
    json_put_str(o, "op", "policy");
    json_put_str(o, "at", eg->at);
    size_t n;
    AUTO_FREE char *text = json_text(policy, &n);
    AUTO_CLOSE int fd = n > EGRESS_POLICY_MAX ? -EMSGSIZE : ctl_text_fd(text, n);
    if (fd < 0)
        return err_set(e, fd, "the policy could not be handed over: %s", err_text(fd));
    int r = await_keeper(eg, e);
    if (r >= 0)
        r = ctl_ask(eg->ctl, o, &fd, 1, &answer, NULL, NULL, e);
    if (r < 0)
        return r;
    eg->trial = false;
    say_warnings(eg, json_get_str(answer, "warnings"));
    return take_text(eg, policy);
}

int egress_set_policy(struct egress *eg, const json_t *policy, struct err *e)
{
    struct policy *p;
    int r = policy_new(policy, eg->at, NULL, &p, e);
    if (r < 0)
        return r;
    r = give_policy(eg, policy, e);
    if (r >= 0)
        forget_variables(eg, p); /* of sources that the one before did not have */
    policy_unref(p);
    return r;
}

void egress_reread(struct egress *eg)
{
    AUTO_JSON json_t *o = json_new_object();
    json_put_str(o, "op", "reread");
    if (eg->ctl && eg->serves)
        (void)!ctl_tell(eg->ctl, o, NULL, 0);
}

bool egress_serves(const struct egress *eg)
{
    return eg->serves;
}

const char *egress_ca_pem(const struct egress *eg)
{
    return eg->ca_pem;
}
