/* exporter.c - the process that sends the audit log to a collector, kept while the policy wants one.
 *
 * A fiber starts it, waits for its end, and starts it again after a minute: when it ends by itself, the
 * collector has refused records for good, or the log is not the one that was sent, and its own line in the
 * log says which. Nobody waits for it. It reads the log's files as anybody could, and what it has not
 * sent when it ends is sent by the next one (audit/export.h).
 *
 * It reads a stranger's bytes, so it can ask for the values of its headers and for nothing else. */
#include "egress/keeper/internal.h"

#include <signal.h>
#include <string.h>

#include "audit/otlp_answer.h"
#include "base/log.h"
#include "base/str.h"
#include "io/role.h"
#include "io/sock.h"

#define AGAIN_MS 60000
#define STOP_MS  2000 /* of the five that whoever holds sandboxes waits for the keeper */
#define TELL_MS  5000

int exporter_check(const struct policy *p, struct err *e)
{
    const struct policy_otlp *otlp = policy_settings(p)->otlp;
    const char *name;
    json_t *source;
    AUTO_FREE char *url = NULL;
    if (!otlp)
        return 0;
    json_object_foreach (otlp->headers, name, source)
        if (!audit_otlp_header_ok(name))
            return err_set(e, -EINVAL, "audit.otlp: header \"%.64s\" cannot be sent", name);
    int r = audit_otlp_url(otlp->endpoint, json_object_size(otlp->headers) > 0, &url, e);
    return r < 0 ? err_wrap(e, r, "audit.otlp") : 0;
}

static bool same(const struct policy *a, const struct policy *b)
{
    const struct policy_otlp *x = a ? policy_settings(a)->otlp : NULL,
                             *y = b ? policy_settings(b)->otlp : NULL;
    if (!x || !y)
        return x == y;
    return str_eq(x->endpoint, y->endpoint) && str_eq(x->ca_file, y->ca_file) &&
           (x->headers == y->headers || json_equal(x->headers, y->headers));
}

static int hear(void *arg, const char *op, const json_t *o, struct ctl_fds *fds,
                struct ctl_answer *answer, struct err *e)
{
    const char *name = json_get_str(o, "name");
    if (!answer || fds->n || !str_eq(op, "header") || !name)
        return err_set(e, -E_PROTO, "an exporter cannot ask for that");
    return secrets_header(arg, name, &answer->tail, e);
}

static int start(struct keeper *k, struct err *e)
{
    struct exporter *x = &k->exporter;
    int pair[2];
    int r = sock_pair(SOCK_SEQPACKET, pair);
    if (r < 0)
        return err_set(e, r, "could not make a socket: %s", err_text(r));
    AUTO_CLOSE int ours = pair[0], theirs = pair[1];
    r = role_start(&x->proc, "egress", "export", (const char *const[]){NULL}, &theirs, 1, e);
    if (r >= 0)
        x->ctl = ctl_new(TAKE_FD(ours), hear, k);
    return r;
}

static int tell(struct keeper *k)
{
    const struct policy_otlp *otlp = policy_settings(k->policy)->otlp;
    AUTO_FREE char *position = mem_printf("%s.otlp", k->audit_path);
    AUTO_JSON json_t *o = json_new_object();
    json_t *headers = json_array();
    const char *name;
    json_t *source;
    json_object_foreach (otlp->headers, name, source)
        json_array_append_new(headers, json_string(name));
    json_put_str(o, "op", "export");
    json_put_str(o, "log", k->audit_path);
    json_put_str(o, "position", position);
    json_put_str(o, "endpoint", otlp->endpoint);
    if (otlp->ca_file)
        json_put_str(o, "ca_file", otlp->ca_file);
    json_put(o, "headers", headers);
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(TELL_MS);
    return ctl_tell(k->exporter.ctl, o, NULL, 0);
}

static void end_it(struct exporter *x)
{
    struct ctl *ctl = x->ctl;
    x->ctl = NULL;
    ctl_free(ctl);
    proc_done(&x->proc);
    x->proc = (struct proc){.pidfd = IO_FD_NONE};
}

static void serve_once(struct keeper *k)
{
    struct exporter *x = &k->exporter;
    struct err e = {.code = 0};
    int r = start(k, &e);
    if (r >= 0)
        r = tell(k);
    if (r >= 0)
        r = ctl_await_end(x->ctl);
    if (r < 0 && r != -ECANCELED)
        log_error("the exporter of the audit log could not be started", "error=%s",
                  log_q(e.msg[0] ? e.msg : err_text(r)));
    end_it(x);
}

static int keep(void *arg)
{
    struct keeper *k = arg;
    struct exporter *x = &k->exporter;
    fiber_deadline_clear();
    while (!x->stopping && !fiber_cancelled()) {
        const unsigned wanted = x->wanted;
        if (policy_settings(k->policy)->otlp)
            serve_once(k);
        if (x->stopping || wanted != x->wanted)
            continue;
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(AGAIN_MS);
        (void)!waitq_wait(&x->changed);
    }
    return 0;
}

int exporter_start(struct keeper *k, struct err *e)
{
    int r = fiber_spawn(&k->exporter.scope, "audit export", keep, k, NULL);
    return r < 0 ? err_set(e, r, "no fiber for the exporter of the audit log") : 0;
}

void exporter_policy_changed(struct keeper *k, const struct policy *before)
{
    struct exporter *x = &k->exporter;
    if (same(before, k->policy))
        return;
    x->wanted++;
    /* At once, so that no value of the new policy goes where the old one says: whatever is on its way to
     * that process it cannot take any more. What it has sent is known from its position. */
    if (x->proc.pid)
        (void)proc_kill(&x->proc, SIGKILL);
    waitq_wake_all(&x->changed);
}

void exporter_stop(struct keeper *k)
{
    struct exporter *x = &k->exporter;
    x->stopping = true;
    waitq_wake_all(&x->changed);
    if (x->ctl) {
        AUTO(fiber_shield) s = fiber_shield_begin(STOP_MS);
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(STOP_MS);
        AUTO_JSON json_t *o = json_new_object();
        json_put_str(o, "op", "finish");
        if (ctl_tell(x->ctl, o, NULL, 0) >= 0)
            (void)!scope_join(&x->scope);
    }
    scope_done(&x->scope);
}
