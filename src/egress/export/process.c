/* process.c - the exporter: started by the keeper, told which log goes where, ended with it.
 *
 * The root fiber reads the log and sends it; the channel's fibers hear the keeper meanwhile. Nothing waits
 * for this process, and it may be killed anywhere. It has the keeper's user, since it reads the log and
 * keeps its position beside it, an empty environment, and is not dumpable. The collector's bytes come no
 * further than libcurl, its TLS and audit/otlp_answer; behind those nothing holds (docs/egress.md, threat
 * model): there is neither a filter of system calls nor Landlock here. */
#include "egress/export/process.h"

#include <string.h>

#include "audit/export.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "io/ctl.h"
#include "io/loop.h"
#include "io/signal.h"
#include "secret/source.h"

#define FIRST_WORD_MS 10000
#define HEADER_MS     30000

struct state {
    struct ctl *ctl;
    struct fiber *root;
    struct waitq told;
    json_t *order; /* what "export" said; texts of x are borrowed from it */
    struct audit_export x;
    char last[512]; /* said last */
};

static int header(void *arg, size_t which, struct secret *ret, struct err *e)
{
    struct state *s = arg;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(HEADER_MS);
    AUTO_JSON json_t *q = json_new_object();
    json_t *answer = NULL;
    json_put_str(q, "op", "header");
    json_put_str(q, "name", s->x.headers[which]);
    int r = ctl_ask(s->ctl, q, NULL, 0, &answer, NULL, ret, e);
    json_decref(answer);
    return r < 0 ? r : 0;
}

/* The same trouble again is no news. */
static void say(void *arg, enum audit_export_word kind, const char *words)
{
    struct state *s = arg;
    if (kind != AUDIT_EXPORT_LOG && str_eq(words, s->last))
        return;
    (void)str_copy(s->last, sizeof(s->last), words);
    if (kind == AUDIT_EXPORT_GOES_ON)
        log_info("the audit log is sent again", "collector=%s", log_q(s->x.endpoint));
    else if (kind == AUDIT_EXPORT_LOG)
        log_error("something is wrong with the audit log", "what=%s", log_q(words));
    else
        log_warn("trouble with the audit log's collector", "collector=%s what=%s",
                 log_q(s->x.endpoint), log_q(words));
}

static int take_order(struct state *s, const json_t *o)
{
    const json_t *headers = json_object_get(o, "headers");
    struct audit_export *x = &s->x;
    if (s->order || json_array_size(headers) > AUDIT_EXPORT_HEADERS_MAX)
        return -E_PROTO;
    s->order = json_incref((json_t *)(uintptr_t)o);
    x->log = json_get_str(o, "log");
    x->position = json_get_str(o, "position");
    x->endpoint = json_get_str(o, "endpoint");
    x->ca_file = json_get_str(o, "ca_file");
    for (size_t i = 0; i < json_array_size(headers); i++)
        if (!(x->headers[x->n_headers++] = json_string_value(json_array_get(headers, i))))
            return -E_PROTO;
    if (!x->log || !x->position || !x->endpoint)
        return -E_PROTO;
    waitq_wake_all(&s->told);
    return 0;
}

static int hear(void *arg, const char *op, const json_t *o, struct ctl_fds *fds,
                struct ctl_answer *answer, struct err *e)
{
    struct state *s = arg;
    (void)fds;
    if (answer)
        return err_set(e, -E_PROTO, "the exporter answers nothing");
    if (str_eq(op, "export"))
        return take_order(s, o);
    if (!str_eq(op, "finish"))
        return -E_PROTO;
    s->x.follow = false; /* it ends where the log does */
    return 0;
}

static int watch(void *arg)
{
    struct state *s = arg;
    fiber_deadline_clear();
    int r = ctl_await_end(s->ctl);
    if (r >= 0)
        fiber_cancel(s->root);
    return 0;
}

static int await_order(struct state *s)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(FIRST_WORD_MS);
    int r = 0;
    while (r >= 0 && !s->x.endpoint)
        r = waitq_wait(&s->told);
    return r;
}

static int run(void *arg)
{
    struct state s = {.root = fiber_self(), .x = {.header = header, .say = say, .follow = true}};
    struct audit_export_report report;
    struct scope scope;
    struct err e = {.code = 0};
    s.x.arg = &s;
    waitq_init(&s.told);
    scope_init(&scope);
    s.ctl = ctl_new(*(int *)arg, hear, &s);
    int r = fiber_spawn(&scope, "watch", watch, &s, NULL);
    if (r >= 0)
        r = await_order(&s);
    if (r >= 0)
        r = audit_export_run(&s.x, &report, &e);
    const bool over = r == -ECANCELED || ctl_ended(s.ctl);
    if (r < 0 && !over)
        log_error("the audit log is not sent any more", "collector=%s error=%s",
                  log_q(s.x.endpoint), log_q(e.msg[0] ? e.msg : err_text(r)));
    AUTO(fiber_shield) shield = fiber_shield_begin(1000);
    scope_done(&scope);
    ctl_free(s.ctl);
    json_decref(s.order);
    return r < 0 && !over;
}

int egress_export_main(int ctl_fd)
{
    secret_wipe_when_freed();
    int r = signal_init(); /* a terminal's Ctrl-C is for whoever started us; we end with them */
    if (r >= 0)
        r = loop_init();
    if (r < 0) {
        log_error("the exporter of the audit log could not start", "error=%s", log_q(err_text(r)));
        return 1;
    }
    r = loop_run(run, &ctl_fd);
    signal_done();
    loop_done();
    return r;
}
