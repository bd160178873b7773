/* bindings.c - what the keeper knows of each sandbox: its sockets, session, placeholders.
 *
 * On the keeper's loop. The keeper never accepts on the sockets; it keeps them so that a proxy that
 * ends can be replaced, and closes them when the sandbox is gone, since they keep its network
 * namespace alive. A binding lives in one proxy. */
#include "egress/keeper/internal.h"

#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/time.h"

static void binding_free(struct binding *b)
{
    for (size_t i = 0; i < b->n_fds; i++)
        fd_cleanup_close(&b->fds[i]);
    free(b->fds);
    json_decref(b->env);
    free(b);
}

/* Takes `env` over. */
int binding_new(struct keeper *k, const char *id, json_t *env, struct binding **ret, struct err *e)
{
    if (k->bindings.n >= BINDINGS_MAX || map_get(&k->bindings, id)) {
        json_decref(env);
        return err_set(e, -E_LIMIT, "egress has %d sandboxes already", BINDINGS_MAX);
    }
    struct binding *b = mem_new(struct binding);
    str_copy(b->id, sizeof(b->id), id);
    b->env = env;
    b->fds = mem_array(2 * EGRESS_DOORS_MAX, sizeof(int));
    MUST(!map_put(&k->bindings, id, b));
    *ret = b;
    return 0;
}

struct binding *binding_find(struct keeper *k, const json_t *o)
{
    const char *id = json_get_str(o, "binding");
    return id ? map_get(&k->bindings, id) : NULL;
}

static int no_descriptors(struct err *e)
{
    return err_set(
        e, -EMFILE,
        "egress cannot take the sockets of another sandbox; raise its limit of open files "
        "(LimitNOFILE=)");
}

int binding_add_fds(struct keeper *k, struct binding *b, const json_t *o, struct ctl_fds *fds,
                    struct err *e)
{
    if (b->bound || b->n_fds + fds->n > 2 * EGRESS_DOORS_MAX)
        return err_set(e, -E_PROTO, "more sockets than a sandbox can have");
    if (json_get_int(o, "sockets", 0) !=
        (int64_t)fds->n) /* the kernel drops those that do not fit */
        return no_descriptors(e);
    memcpy(b->fds + b->n_fds, fds->fd, fds->n * sizeof(int));
    b->n_fds += fds->n;
    fds->n = 0;
    if (!json_get_bool(o, "last", false))
        return 0;
    b->bound = true;
    b->at = proxies_choose(k);
    if (!b->at)
        return 0; /* the next one to come takes it */
    b->at->bindings++;
    const int r =
        binding_send(k, b->id); /* a proxy that has just died leaves it to its successor */
    return r == -EMFILE || r == -ENFILE ? no_descriptors(e) : 0;
}

/* One datagram of a binding, from its socket `from` on. What is next, 0 when that was all. */
static int send_some(struct binding *b, size_t from)
{
    const size_t left = b->n_fds - from, n = left < CTL_FDS_MAX ? left : CTL_FDS_MAX;
    AUTO_JSON json_t *o = json_new_object();
    json_put_str(o, "op", "bind");
    json_put_str(o, "binding", b->id);
    json_put_str(o, "session", b->session);
    json_put_str(o, "call", b->call);
    json_put(o, "env", json_incref(b->env));
    json_put_int(o, "from", (int64_t)from);
    json_put_int(o, "sockets", (int64_t)n);
    json_put_bool(o, "last", n == left);
    int r = proxy_tell(b->at, o, b->fds + from, n);
    return r < 0 ? r : n == left ? 0 : (int)(from + n);
}

int binding_send(struct keeper *k, const char *id)
{
    char name[ID_MAX]; /* it may go while we send */
    str_copy(name, sizeof(name), id);
    int next = 0;
    do {
        struct binding *b = map_get(&k->bindings, name);
        if (!b || !b->bound)
            return 0;
        next = send_some(b, (size_t)next);
    } while (next > 0);
    return next;
}

/* ---- records ---- */

/* Tool calls and sessions are facts by now: one that cannot be recorded is told to the log of the
 * process. Requests are not made then (proxy). */
static void record(struct keeper *k, const struct audit_record *r)
{
    AUTO(audit_room) room = AUDIT_ROOM_NONE;
    struct err e = {.code = 0};
    if (audit_reserve(k->records, 1, &room, &e) < 0)
        log_error("a record could not be written", "kind=%s session=%.*s error=%s",
                  audit_kind_name(r->kind), (int)r->session.n, r->session.p, log_q(e.msg));
    else
        audit_append(&room, r);
}

void binding_set_session(struct keeper *k, struct binding *b, const char *session)
{
    const bool begins = session[0] != '\0';
    struct policy *p = policy_ref(k->policy); /* another one may come while there is no room */
    const struct audit_record r = {.kind = AUDIT_SESSION,
                                   .session = audit_text(begins ? session : b->session),
                                   .sandbox = audit_text(b->id),
                                   .policy = audit_text(policy_hash(p)),
                                   .verdict = audit_text(begins ? "begin" : "end")};
    if (!str_eq(session, b->session))
        record(k, &r);
    policy_unref(p);
    str_copy(b->session, sizeof(b->session), session);
}

void binding_set_call(struct keeper *k, struct binding *b, const char *call, const char *tool)
{
    const struct audit_record r = {.kind = AUDIT_TOOL_CALL,
                                   .session = audit_text(b->session),
                                   .call = audit_text(b->call),
                                   .sandbox = audit_text(b->id),
                                   .verdict = audit_text("end"),
                                   .tool = audit_text(b->tool),
                                   .duration_us =
                                       (uint64_t)((time_mono_ns() - b->call_began_ns) / 1000)};
    if (b->call[0] && !str_eq(b->call, call))
        record(k, &r);
    str_copy(b->call, sizeof(b->call), call);
    str_copy(b->tool, sizeof(b->tool), tool);
    b->call_began_ns = time_mono_ns();
}

void binding_release(struct keeper *k, struct binding *b)
{
    char id[ID_MAX]; /* what is recorded suspends, and another notice may come */
    str_copy(id, sizeof(id), b->id);
    if (b->call[0])
        binding_set_call(k, b, "", "");
    if ((b = map_get(&k->bindings, id)) && b->session[0])
        binding_set_session(k, b, "");
    if (!(b = map_get(&k->bindings, id)))
        return;
    map_remove(&k->bindings, b->id);
    placeholders_forget(k->placeholders, b->id);
    if (b->at) {
        b->at->bindings--;
        AUTO_JSON json_t *o = json_new_object();
        json_put_str(o, "op", "release");
        json_put_str(o, "binding", b->id);
        (void)!proxy_tell(b->at, o, NULL, 0);
    }
    binding_free(b);
}

void bindings_done(struct keeper *k)
{
    size_t pos = 0;
    void *b;
    while (map_next(&k->bindings, &pos, NULL, &b))
        binding_free(b);
    map_done(&k->bindings);
}
