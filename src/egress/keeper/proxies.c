/* proxies.c - the processes that serve connections: started, told what they need, replaced.
 *
 * A fiber keeps each one: it starts it, waits for its end, and starts it again, at most once a
 * second. The new one gets policy, key and the bindings of the old one. What a proxy asks for is
 * what it needs to put into requests; it can be taken over by a stranger's bytes, so it can ask for
 * nothing else: it has no way to write a policy, to name a file or to change a record.
 *
 * A proxy starts as the keeper's user and gives that up by itself (confine/), before it says "ready". */
#include "egress/keeper/internal.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "io/role.h"
#include "io/sock.h"

#define READY_MS   10000
#define RESTART_MS 1000
#define STOP_MS    2000
#define TELL_MS    5000

/* ---- secrets, before they are used ---- */

static int tell_secret(struct ctl *ctl, const char *credential, const struct secret_value *v,
                       struct err *e)
{
    AUTO_JSON json_t *o = json_new_object();
    json_put_str(o, "op", "secret");
    json_put_str(o, "credential", credential);
    return ctl_ask_secret(ctl, o, secret_value_secret(v), e);
}

/* Until a process is gone, and its connections with it. */
static int await_end(struct proxy *p, unsigned life)
{
    int r = 0;
    while (r >= 0 && p->life == life)
        r = waitq_wait(&p->k->changed);
    return r;
}

struct news {
    struct proxy *p;
    const char *credential;
    const struct secret_value *value;
};

/* 0: it knows the value, or has ended. One that does not take it is ended: others would wait for it for
 * ever, and it may not be ours any more. */
static int tell_one(void *arg)
{
    const struct news *n = arg;
    struct proxy *p = n->p;
    const unsigned life = p->life;
    struct err e = {.code = 0};
    if (!p->ctl) /* one that starts has nothing open */
        return p->ending ? await_end(p, life) : 0;
    const int64_t until_ns = time_mono_ns() + (p->ready ? TELL_MS : READY_MS) * NS_PER_MS;
    struct fiber_deadline d = fiber_deadline_push(until_ns);
    int r = tell_secret(p->ctl, n->credential, n->value, &e);
    fiber_deadline_pop(&d);
    const bool late = r == -ETIMEDOUT && time_mono_ns() >= until_ns;
    if ((late || r == -E_DENIED) && p->life == life) {
        log_error("an egress process does not take a secret, and is ended", "number=%u why=%s",
                  p->number, late ? "silent" : "refused");
        (void)proc_kill(&p->proc, SIGKILL);
    }
    return late || r == -E_DENIED || r == -E_CLOSED ? await_end(p, life) : r;
}

static int tell_each(struct keeper *k, const char *credential, const struct secret_value *v)
{
    struct news news[KEEPER_PROXIES_MAX];
    AUTO(scope) s;
    scope_init(&s);
    int r = 0;
    for (size_t i = 0; r >= 0 && i < k->n_proxies; i++) {
        news[i] = (struct news){&k->proxies[i], credential, v};
        r = fiber_spawn(&s, "news", tell_one, &news[i], NULL);
    }
    if (r >= 0)
        r = scope_join(&s);
    return r < 0 ? r : s.first_error;
}

/* What an origin hears from one proxy it may say to another's sandbox, in an answer that is open. So a
 * value is known to all of them, each has said so, before one may put it into a request. */
static int make_known(struct keeper *k, const char *credential, struct secret_value *v,
                      struct err *e)
{
    int r = fmutex_lock(&k->telling);
    if (r < 0)
        return err_set(e, r, "credential %s: %s", credential, err_text(r));
    if (!map_get(&k->secrets, credential))
        r = err_set(e, -ENOENT, "the policy has no such credential any more");
    else if (!secrets_is_known(k, credential, v)) {
        r = tell_each(k, credential, v);
        if (r >= 0)
            secrets_set_known(k, credential, v);
        else
            err_set(e, r, "credential %s: other processes could not be told of its value: %s",
                    credential, err_text(r));
    }
    fmutex_unlock(&k->telling);
    return r;
}

static int answer_value(struct proxy *p, const char *op, const json_t *o, struct ctl_answer *answer,
                        struct err *e)
{
    struct keeper *k = p->k;
    if (str_eq(op, "value")) {
        const char *credential = json_get_str(o, "credential");
        struct secret_value *v = NULL;
        int r = secrets_get(k, credential, &v, e);
        if (r >= 0 && !json_get_bool(o, "look", false) && !secrets_is_known(k, credential, v))
            r = make_known(k, credential, v, e);
        if (r >= 0)
            r = secrets_copy(v, &answer->tail, e);
        secret_value_unref(v);
        return r;
    }
    if (str_eq(op, "again")) {
        const struct binding *b = binding_find(k, o);
        const int r = b && b->at == p ? binding_send(k, b->id) : 0;
        return r < 0 ? err_set(e, r, "the sockets cannot be sent: %s", err_text(r)) : 0;
    }
    if (str_eq(op, "proxy_password"))
        return secrets_proxy_password(k, &answer->tail, e);
    return err_set(e, -E_PROTO, "a proxy cannot ask for that");
}

int proxy_hear(void *arg, const char *op, const json_t *o, struct ctl_fds *fds,
               struct ctl_answer *answer, struct err *e)
{
    struct proxy *p = arg;
    if (fds->n) /* a question that waits for a vault would hold them open here, by the thousand */
        return err_set(e, -E_PROTO, "a proxy has no descriptors for us");
    if (answer)
        return answer_value(p, op, o, answer, e);
    if (!str_eq(op, "ready"))
        return -E_PROTO;
    p->ready = true;
    waitq_wake_all(&p->k->changed);
    return 0;
}

/* ---- what it must know ---- */

int proxy_tell(struct proxy *p, json_t *o, const int *fds, size_t n_fds)
{
    struct ctl *ctl = p ? p->ctl : NULL;
    if (!ctl)
        return -E_CLOSED;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(TELL_MS);
    int r = ctl_tell(ctl, o, fds, n_fds);
    if (r == -ETIMEDOUT && p->ctl == ctl) {
        log_error("an egress process takes nothing that it is told, and is ended", "number=%u",
                  p->number);
        (void)proc_kill(&p->proc, SIGKILL); /* with it its channel ends */
    }
    return r;
}

static int tell_fd(struct proxy *p, const char *op, int fd)
{
    AUTO_JSON json_t *o = json_new_object();
    json_put_str(o, "op", op);
    return proxy_tell(p, o, &fd, 1);
}

static int tell_bindings(struct proxy *p)
{
    struct keeper *k = p->k;
    const size_t n = k->bindings.n;
    AUTO_JSON json_t *ids = json_array();
    size_t pos = 0;
    const char *id;
    void *value;
    p->told = true; /* those that come from here on are sent by themselves */
    while (map_next(&k->bindings, &pos, &id, &value)) {
        struct binding *b = value;
        if (!b->at) {
            b->at = p;
            p->bindings++;
        }
        if (b->at == p)
            json_array_append_new(ids, json_string(id));
    }
    int r = 0;
    for (size_t i = 0; r >= 0 && i < n && i < json_array_size(ids); i++)
        r = binding_send(k, json_string_value(json_array_get(ids, i)));
    return r;
}

static int tell_all(struct proxy *p)
{
    int r = tell_fd(p, "ca", p->k->ca_fd);
    if (r >= 0)
        r = tell_fd(p, "policy", p->k->policy_fd);
    return r < 0 ? r : tell_bindings(p);
}

void proxies_tell_policy(struct keeper *k)
{
    for (size_t i = 0; i < k->n_proxies; i++)
        if (k->proxies[i].ctl)
            (void)!tell_fd(&k->proxies[i], "policy", k->policy_fd);
}

/* ---- start and end ---- */

static int start(struct proxy *p, struct err *e)
{
    int ctl[2], audit[2];
    int r = sock_pair(SOCK_SEQPACKET, ctl);
    if (r < 0)
        return err_set(e, r, "could not make a socket: %s", err_text(r));
    AUTO_CLOSE int ctl_ours = ctl[0], ctl_theirs = ctl[1];
    r = sock_pair(SOCK_STREAM, audit);
    if (r < 0)
        return err_set(e, r, "could not make a socket: %s", err_text(r));
    AUTO_CLOSE int audit_ours = audit[0], audit_theirs = audit[1];
    char name[16];
    snprintf(name, sizeof(name), "egress-%u", p->number);
    const int theirs[] = {ctl_theirs, audit_theirs};
    r = role_start(&p->proc, "egress", "proxy", (const char *const[]){NULL}, theirs,
                   ARRAY_LEN(theirs), e);
    if (r >= 0) {
        r = audit_server_add(p->k->audit, audit_ours, name, e);
        if (r >= 0)
            audit_ours = -1;
    }
    if (r >= 0)
        p->ctl = ctl_new(TAKE_FD(ctl_ours), proxy_hear, p);
    return r;
}

static void stop(struct proxy *p)
{
    struct ctl *ctl = p->ctl;
    p->ctl = NULL;
    p->ready = p->told = false;
    p->ending = true;
    ctl_free(ctl); /* it ends when its channel does */
    if (p->proc.pid) {
        AUTO(fiber_shield) s = fiber_shield_begin(STOP_MS);
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(STOP_MS);
        int status;
        if (proc_wait(&p->proc, &status) < 0)
            log_warn("an egress process did not end by itself", "pid=%d", (int)p->proc.pid);
        else if (WIFSIGNALED(status))
            log_error("an egress process was ended by a signal", "number=%u signal=%d", p->number,
                      WTERMSIG(status));
    }
    proc_done(&p->proc);
    p->ending = false;
    p->life++;
    waitq_wake_all(&p->k->changed);
}

static int serve_once(struct proxy *p)
{
    struct err e = {.code = 0};
    int r = start(p, &e);
    if (r >= 0)
        r = tell_all(p);
    if (r >= 0)
        r = ctl_await_end(p->ctl);
    if (r < 0 && r != -ECANCELED)
        log_error("an egress process could not be started", "error=%s",
                  log_q(e.msg[0] ? e.msg : err_text(r)));
    stop(p);
    return r == -ECANCELED ? r : 0;
}

static int keep(void *arg)
{
    struct proxy *p = arg;
    int r = 0;
    while (r != -ECANCELED) {
        const int64_t started_ns = time_mono_ns();
        r = serve_once(p);
        if (r == -ECANCELED || p->k->stopping)
            return 0;
        log_error("an egress process has ended; starting another", "number=%u", p->number);
        r = fiber_sleep_until(started_ns + RESTART_MS * NS_PER_MS);
    }
    return 0;
}

static bool all_ready(const struct keeper *k)
{
    for (size_t i = 0; i < k->n_proxies; i++)
        if (!k->proxies[i].ready)
            return false;
    return true;
}

int proxies_start(struct keeper *k, unsigned n, struct err *e)
{
    MUST(n >= 1 && n <= KEEPER_PROXIES_MAX);
    k->n_proxies = n;
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < n; i++) {
        struct proxy *p = &k->proxies[i];
        *p = (struct proxy){.k = k, .number = i + 1, .proc = {.pidfd = IO_FD_NONE}};
        r = fiber_spawn(&k->scope, "egress proxy", keep, p, NULL);
    }
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(READY_MS);
    while (r >= 0 && !all_ready(k))
        r = waitq_wait(&k->changed);
    return r < 0
               ? err_set(e, r, "the processes of egress did not start: %s; the log above says why",
                         err_text(r))
               : 0;
}

void proxies_stop(struct keeper *k)
{
    k->stopping = true;
    scope_cancel(&k->scope);
}

struct proxy *proxies_choose(struct keeper *k)
{
    struct proxy *best = NULL;
    for (size_t i = 0; i < k->n_proxies; i++) {
        struct proxy *p = &k->proxies[i];
        if (p->told && (!best || p->ready > best->ready ||
                        (p->ready == best->ready && p->bindings < best->bindings)))
            best = p;
    }
    return best;
}
