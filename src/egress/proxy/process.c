/* process.c - one proxy: started by the keeper, told what to serve, ended with it.
 *
 * It begins as the keeper's user and on one thread. Libraries are opened, the machine's trusted
 * certificates are read, the policy and the CA have come: then everything that is not needed any more
 * is given up (confine/), the kernel is asked whether it took, and only then is "ready" said and a
 * socket of a sandbox accepted on. The keeper's notices are taken in order on one fiber; a binding is
 * served on a fiber of its own. */
#include "egress/proxy/process.h"

#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/idna.h"
#include "base/log.h"
#include "base/str.h"
#include "confine/confine.h"
#include "egress/ctl/ca.h"
#include "egress/capture/doors.h"
#include "egress/ctl/messages.h"
#include "egress/proxy/world.h"
#include "scrub/inflate.h"
#include "io/ctl.h"
#include "io/loop.h"
#include "io/signal.h"
#include "io/slack.h"
#include "secret/placeholder.h"
#include "secret/source.h"

#define LEAVES_MAX    4096
#define FORGET_MS     30000
#define AGAIN_MS      500 /* sockets that did not fit are asked for anew */
#define FIRST_WORD_MS 10000
#define FLUSH_MS      2000 /* for records, at the end */

/* ---- what the keeper says ---- */

static int take_policy(struct world *w, int fd, struct err *e)
{
    AUTO_FREE char *text = NULL;
    size_t n;
    AUTO_JSON json_t *section = NULL;
    struct policy *p;
    int r = ctl_fd_text(fd, EGRESS_POLICY_MAX, &text, &n);
    if (r >= 0)
        r = json_parse(text, n, &section, e);
    if (r >= 0)
        r = policy_new(section, "egress", NULL, &p, e);
    if (r < 0)
        return r;
    if (w->policy && !str_eq(policy_hash(w->policy), policy_hash(p)))
        former_add(&w->former, w->policy);
    policy_unref(w->policy);
    w->policy = p;
    values_take_policy(w->values, p);
    size_t pos = 0;
    void *s;
    while (map_next(&w->sandboxes, &pos, NULL, &s))
        sandbox_set_policy(s, p);
    return 0;
}

static int take_ca(struct world *w, int fd, struct err *e)
{
    if (w->ca)
        return err_set(e, -E_PROTO, "a second certificate authority");
    int r = egress_ca_read(fd, &w->ca, e);
    if (r >= 0)
        w->leaves = cert_cache_new(w->ca, LEAVES_MAX);
    return r;
}

/* Which door a socket is: the kernel says. */
static int tell_door(int fd, struct front_door *ret)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } a;
    socklen_t n = sizeof(a), type_n = sizeof(int);
    int type;
    memset(&a, 0, sizeof(a));
    if (getsockname(fd, &a.any, &n) < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_n) < 0)
        return -errno;
    const uint16_t port = ntohs(a.any.sa_family == AF_INET ? a.in.sin_port : a.in6.sin6_port);
    *ret = (struct front_door){.fd = fd,
                               .port = port,
                               .kind = type == SOCK_DGRAM        ? FRONT_DOOR_DNS_UDP
                                       : port == DOOR_DNS_PORT   ? FRONT_DOOR_DNS_TCP
                                       : port == DOOR_PROXY_PORT ? FRONT_DOOR_PROXY
                                                                 : FRONT_DOOR_TCP};
    return 0;
}

static int adopt_placeholders(struct world *w, const char *id, const json_t *env, struct err *e)
{
    const char *name;
    json_t *text;
    int r = 0;
    json_object_foreach ((json_t *)(uintptr_t)env, name, text) {
        const struct placeholder *ph;
        if (r >= 0 && json_is_string(text))
            r = placeholders_adopt(w->placeholders, id, name, json_string_value(text), &ph, e);
    }
    return r;
}

static void set_text(char *to, size_t room, const json_t *o, const char *name)
{
    const char *text = json_get_str(o, name);
    str_copy(to, room, text ? text : "");
}

struct again {
    struct world *w;
    char binding[64];
};

/* Until the keeper could send them: it may be the one that is short of descriptors. */
static int ask_for_sockets(void *arg)
{
    struct again *a = arg;
    int r = -EMFILE;
    for (bool told = false; r < 0 && map_get(&a->w->sandboxes, a->binding); told = true) {
        struct err e = {.code = 0};
        AUTO_JSON json_t *o = json_new_object(), *answer = NULL;
        json_put_str(o, "op", "again");
        json_put_str(o, "binding", a->binding);
        r = fiber_sleep_ms(AGAIN_MS);
        if (r >= 0)
            r = ctl_ask(a->w->keeper, o, NULL, 0, &answer, NULL, NULL, &e);
        if (r == -ECANCELED || r == -E_CLOSED)
            break;
        if (r < 0 && !told)
            log_error("a sandbox's sockets do not come again; trying on", "sandbox=%s error=%s",
                      a->binding, log_q(e.msg));
    }
    free(a);
    return r == -ECANCELED ? r : 0;
}

/* Meanwhile its connections wait in the kernel. Other sandboxes are served on. */
static int sockets_lost(struct world *w, struct sandbox *s)
{
    sandbox_drop_doors(s);
    log_error("a sandbox's sockets cannot be taken: no descriptor is left; trying again",
              "sandbox=%s hint=%s", s->id, log_q("raise the limit of open files (LimitNOFILE=)"));
    struct again *a = mem_new(struct again);
    a->w = w;
    str_copy(a->binding, sizeof(a->binding), s->id);
    int r = fiber_spawn(&w->scope, "sockets again", ask_for_sockets, a, NULL);
    if (r < 0)
        free(a);
    return r;
}

static int take_binding(struct world *w, const json_t *o, struct ctl_fds *fds, struct err *e)
{
    const char *id = json_get_str(o, "binding");
    struct sandbox *s = id ? map_get(&w->sandboxes, id) : NULL;
    int r = 0;
    if (!id || !w->policy || !w->ca)
        return -E_PROTO;
    if (!s) {
        r = adopt_placeholders(w, id, json_object_get(o, "env"), e);
        if (r < 0)
            return r;
        s = sandbox_new(w, id);
        MUST(!map_put(&w->sandboxes, id, s));
    }
    if (s->serving)
        return -E_PROTO;
    set_text(s->session, sizeof(s->session), o, "session");
    set_text(s->call, sizeof(s->call), o, "call");
    if (json_get_int(o, "from", 0) == 0) {
        sandbox_drop_doors(s);
        s->lost = false;
    }
    /* the kernel drops those that do not fit */
    s->lost = s->lost || json_get_int(o, "sockets", -1) != (int64_t)fds->n;
    for (size_t i = 0; !s->lost && i < fds->n && s->n_doors < 2 * EGRESS_DOORS_MAX; i++) {
        r = tell_door(fds->fd[i], &s->doors[s->n_doors]);
        if (r < 0)
            return r;
        s->n_doors++;
        fds->fd[i] = -1;
    }
    if (!json_get_bool(o, "last", false))
        return 0;
    if (s->lost)
        return sockets_lost(w, s);
    s->serving = true;
    r = fiber_spawn(&w->scope, "sandbox", sandbox_serve, s, NULL);
    if (r < 0)
        s->serving = false; /* s is there: nobody has run */
    return r;
}

static int take_notice(struct world *w, const char *op, const json_t *o, struct ctl_fds *fds,
                       struct err *e)
{
    const bool policy = str_eq(op, "policy"), ca = str_eq(op, "ca");
    if (policy || ca) {
        int r = fds->n != 1 ? -E_PROTO
                : policy    ? take_policy(w, fds->fd[0], e)
                            : take_ca(w, fds->fd[0], e);
        w->failed = r < 0 ? r : w->failed;
        waitq_wake_all(&w->told);
        return r;
    }
    if (str_eq(op, "bind"))
        return take_binding(w, o, fds, e);
    const char *id = json_get_str(o, "binding");
    struct sandbox *s = id ? map_get(&w->sandboxes, id) : NULL;
    if (!s)
        return 0;
    if (str_eq(op, "release"))
        sandbox_release(s);
    else if (str_eq(op, "session"))
        set_text(s->session, sizeof(s->session), o, op);
    else if (str_eq(op, "call")) {
        set_text(s->call, sizeof(s->call), o, op);
        if (s->front)
            front_binding_new_call(s->front);
    } else
        return -E_PROTO;
    return 0;
}

static int answer_keeper(struct world *w, const char *op, const json_t *o,
                         const struct ctl_answer *answer, struct err *e)
{
    const char *credential = json_get_str(o, "credential");
    if (!str_eq(op, "secret") || !credential || !answer->came->data)
        return err_set(e, -E_PROTO, "a proxy does not answer that");
    return values_learn(w->values, credential, answer->came, e);
}

static int hear_keeper(void *arg, const char *op, const json_t *o, struct ctl_fds *fds,
                       struct ctl_answer *answer, struct err *e)
{
    struct err why = {.code = 0};
    if (answer)
        return answer_keeper(arg, op, o, answer, e);
    int r = take_notice(arg, op, o, fds, &why);
    if (r < 0)
        log_error("what the keeper said could not be done", "op=%s code=%s error=%s", op,
                  err_name(r), log_q(why.msg));
    return r;
}

/* ---- start ---- */

static int await_words(struct world *w, struct err *e)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(FIRST_WORD_MS);
    int r = 0;
    while (r >= 0 && (!w->policy || !w->ca) && !w->failed)
        r = waitq_wait(&w->told);
    if (r >= 0)
        r = w->failed;
    return r < 0 ? err_set(e, r, "the keeper has not said what to serve: %s", err_text(r)) : 0;
}

/* Everything that reads a file, or opens a library. */
static int open_all(struct world *w, struct err *e)
{
    const char *ca_file = policy_settings(w->policy)->ca_file;
    fiber_excuse_hold();
    int r = confine_prepare(e);
    if (r >= 0)
        r = idna_open(e);
    if (r >= 0 && !(w->trust = tls_trust_new(ca_file, e)))
        r = e->code;
    if (r >= 0 && !(w->tls = tls_identities_new(e)))
        r = e->code;
    if (r >= 0)
        r = resolver_new(&(struct resolver_options){.servers =
                                                        policy_settings(w->policy)->nameservers},
                         &w->resolver, e);
    if (r >= 0)
        r = dialer_new(&(struct dialer_options){.resolver = w->resolver, .proxy_trust = w->trust},
                       &w->dialer, e);
    if (r >= 0)
        r = origins_new(NULL, &w->origins, e);
    if (r >= 0)
        r = inflate_open_all(e);
    if (r >= 0)
        r = http_pipe_open(e);
    return r;
}

static int lock(struct world *w, struct err *e)
{
    AUTO_FREE char *conf = mem_array(PATH_MAX, 1), *hosts = mem_array(PATH_MAX, 1);
    resolver_folders(w->resolver, conf, hosts, PATH_MAX);
    const char *const may_read[] = {conf[0] ? conf : "/etc", hosts[0] ? hosts : "/etc", NULL};
    return confine_lock(
        &(struct confine_role){.who = "egress", .uid = CONFINE_UID_EGRESS, .read_paths = may_read},
        e);
}

/* What is not remembered any more is wiped, from the tables of sandboxes, too. */
static int forget(void *arg)
{
    struct world *w = arg;
    int r;
    while ((r = fiber_sleep_ms(FORGET_MS)) >= 0) {
        former_forget(&w->former);
        redact_forget(w->redact);
        if (!values_forget(w->values))
            continue;
        size_t pos = 0;
        void *s;
        while (map_next(&w->sandboxes, &pos, NULL, &s))
            sandbox_forget(s);
    }
    return r == -ECANCELED ? 0 : r;
}

static int prepare(struct world *w, int ctl_fd, int audit_fd, struct err *e)
{
    w->audit = audit_client_new();
    w->keeper = ctl_new(ctl_fd, hear_keeper, w);
    ctl_take_tails(w->keeper);
    w->values = values_new(w->keeper, VALUES_USED); /* it may be told of some before it is ready */
    int r = audit_client_connect(w->audit, audit_fd, e);
    if (r < 0) {
        close(audit_fd);
        return r;
    }
    r = await_words(w, e);
    if (r >= 0)
        r = open_all(w, e);
    if (r < 0)
        return r;
    w->redact = redact_new(w->keeper, w->values);
    w->splices = splice_pool_new(NULL);
    w->front = front_new(&(struct front_options){.serve = connection_serve,
                                                 .note = connection_note,
                                                 .arg = w,
                                                 .ca_pem = cert_ca_pem(w->ca)});
    r = lock(w, e);
    if (r >= 0)
        r = fiber_spawn(&w->scope, "slack", slack_run, &w->slack, NULL);
    if (r >= 0)
        r = fiber_spawn(&w->scope, "forget", forget, w, NULL);
    if (r < 0)
        return r;
    AUTO_JSON json_t *ready = json_new_object();
    json_put_str(ready, "op", "ready");
    return ctl_tell(w->keeper, ready, NULL, 0);
}

static void world_end(struct world *w)
{
    size_t pos = 0;
    void *s;
    while (map_next(&w->sandboxes, &pos, NULL, &s))
        sandbox_release(s);
    scope_done(&w->scope);
    pos = 0;
    while (map_next(&w->sandboxes, &pos, NULL, &s)) /* those whose sockets had not all come */
        sandbox_free(s);
    ctl_free(w->keeper);
    front_free(w->front);
    origins_free(w->origins);
    dialer_free(w->dialer);
    resolver_free(w->resolver);
    splice_pool_free(w->splices);
    redact_free(w->redact);
    values_free(w->values);
    cert_cache_free(w->leaves);
    cert_ca_free(w->ca);
    tls_ctx_free(w->tls);
    tls_trust_free(w->trust);
    exchange_spares_done(&w->spares);
    placeholders_free(w->placeholders);
    former_done(&w->former);
    policy_unref(w->policy);
    map_done(&w->sandboxes);
    (void)audit_client_free(w->audit, FLUSH_MS);
}

static int run(void *arg)
{
    const int *fds = arg;
    struct world *w = mem_new(struct world);
    struct err e = {.code = 0};
    scope_init(&w->scope);
    waitq_init(&w->told);
    map_init(&w->sandboxes);
    w->placeholders = placeholders_new();
    int r = prepare(w, fds[0], fds[1], &e);
    if (r < 0)
        log_error("an egress process cannot serve", "error=%s",
                  log_q(e.msg[0] ? e.msg : err_text(r)));
    else
        r = ctl_await_end(w->keeper);
    world_end(w);
    free(w);
    return r < 0;
}

int egress_proxy_main(int ctl_fd, int audit_fd)
{
    int fds[] = {ctl_fd, audit_fd};
    secret_wipe_when_freed();
    int r = signal_init(); /* it ends with the keeper, and by no signal of a terminal */
    if (r >= 0)
        r = loop_init();
    if (r < 0) {
        log_error("an egress process could not start", "error=%s", err_text(r));
        return 1;
    }
    r = loop_run(run, fds);
    signal_done();
    loop_done();
    return r;
}
