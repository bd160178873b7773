/* decisions.c - what a gateway keeps, and the decisions that come by its control socket.
 *
 * On the gateway's root fiber, which opens it before a caller comes, and on a fiber of its own; directory, file and socket
 * are the keeper's (tunnel/keeper/state.c). Who decides is the keeper's user or root (control.c). What is decided is recorded: without room in the audit log nothing is
 * accepted. A decision names what was looked at by its digest, so that what a server says in
 * between is not accepted with it. */
#include "tunnel/gateway/decisions.h"

#include "audit/client.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/fiber.h"
#include "tunnel/gateway/control.h"
#include "tunnel/gateway/supply.h"

#include <stdio.h>

#define SAVE_MS      5000
#define LAST_SAVE_MS 5000

struct decisions {
    struct decisions_options o;
    struct pins pins;
    struct approvals approvals;
    struct pins_file *file;
    struct control *control;
    bool told; /* that it cannot be written */
};

METRIC_GAUGE(gauge_pinned, "sallyport_gateway_pins", "state=\"pinned\"",
             "Tools that are pinned, and definitions that wait to be accepted")
METRIC_GAUGE(gauge_waiting, "sallyport_gateway_pins", "state=\"waiting\"",
             "Tools that are pinned, and definitions that wait to be accepted")

METRIC_GAUGE(gauge_pending, "sallyport_gateway_approvals_pending", "",
             "Calls that wait for a person's approval")

/* ---- decisions ---- */

struct decision {
    struct decisions *s;
    uid_t uid;
    const json_t *request;
    const struct gateway_route *route;
    struct gateway_face *face;
};

static json_t *refusal(const struct err *e)
{
    return control_refusal(e->msg);
}

static void record(struct audit_room *room, const struct decision *d, const char *tool,
                   const char *reason, const char *note)
{
    const struct host *h = &d->route->host;
    audit_append(room, &(struct audit_record){.kind = AUDIT_NOTE,
                                              .verdict = audit_text("allow"),
                                              .reason = audit_text(reason),
                                              .rule = audit_text("pin_tools"),
                                              .policy = audit_text(d->face->hash),
                                              .host = {h->text, h->n},
                                              .tool = audit_text(tool),
                                              .note = audit_text(note)});
}

/* Room for one record, before anything is done. */
static int reserve(const struct decision *d, struct audit_room *room, struct err *e)
{
    return d->s->o.audit ? audit_reserve(d->s->o.audit, 1, room, e) : 0;
}

static int accept_one(const struct decision *d, const json_t *one, struct err *e)
{
    const char *tool = json_get_str(one, "tool"), *digest = json_get_str(one, "digest");
    AUTO(audit_room) room = AUDIT_ROOM_NONE;
    char by[PIN_BY_MAX], note[160];
    if (!tool || !digest)
        return err_set(e, -EINVAL, "a tool has a name and a digest");
    int r = reserve(d, &room, e);
    if (r < 0)
        return r;
    (void)snprintf(by, sizeof(by), "uid %lu", (unsigned long)d->uid);
    r = pins_accept(&d->s->pins, d->route->host.text, tool, digest, by, time_real_us(), e);
    if (r < 0)
        return err_wrap(e, r, "%.100s", tool);
    (void)snprintf(note, sizeof(note), "%s, sha256 %.64s", by, digest);
    if (d->s->o.audit)
        record(&room, d, tool, "pin_accepted", note);
    log_info("a tool was accepted", "route=%s tool=%s uid=%lu", d->route->host.text, log_q(tool),
             (unsigned long)d->uid);
    return 0;
}

static json_t *done(const struct decision *d, size_t n)
{
    struct err e = {0};
    if (pins_file_save(d->s->file, &e) < 0) {
        AUTO_FREE char *words =
            mem_printf("it counts until the gateway ends, and cannot be kept: %s", e.msg);
        return control_refusal(words);
    }
    json_t *o = json_typed("gateway_done");
    json_put_int(o, "tools", (int64_t)n);
    return o;
}

static json_t *accept_all(const struct decision *d)
{
    const json_t *tools = json_object_get(d->request, "tools");
    struct err e = {0};
    size_t n = 0;
    while (n < json_array_size(tools) && accept_one(d, json_array_get(tools, n), &e) == 0)
        n++;
    AUTO_JSON json_t *kept = done(d, n);
    if (e.code >= 0)
        return TAKE(kept);
    if (n == 0)
        return refusal(&e);
    const char *more = json_get_str(kept, "message"); /* they could not be kept */
    AUTO_FREE char *words =
        mem_printf("%zu of %zu were accepted%s%s; then: %s", n, json_array_size(tools),
                   more ? ", but " : "", more ? more : "", e.msg);
    return control_refusal(words);
}

static json_t *forget(const struct decision *d)
{
    const char *tool = json_get_str(d->request, "tool");
    AUTO(audit_room) room = AUDIT_ROOM_NONE;
    char note[64];
    struct err e = {0};
    int r = reserve(d, &room, &e);
    if (r == 0)
        r = pins_forget(&d->s->pins, d->route->host.text, tool, &e);
    if (r < 0)
        return refusal(&e);
    (void)snprintf(note, sizeof(note), "uid %lu", (unsigned long)d->uid);
    if (d->s->o.audit)
        record(&room, d, tool, "pin_forgotten", note);
    log_info("pins were forgotten", "route=%s tool=%s uid=%lu", d->route->host.text,
             log_q(tool ? tool : "*"), (unsigned long)d->uid);
    return done(d, 1);
}

/* The route that the request names, if it pins. */
static const struct gateway_route *route_of(const struct gateway_config *c, const json_t *request)
{
    const char *name = json_get_str(request, "route");
    for (size_t i = 0; name && i < c->n_routes; i++)
        if (c->routes[i].pins != PIN_OFF && str_eq(c->routes[i].host.text, name))
            return &c->routes[i];
    return NULL;
}

/* About one call. Its record is made by who has waited for it. */
static json_t *decide_call(const struct decision *d)
{
    const char *id = json_get_str(d->request, "id");
    const json_t *yes = json_object_get(d->request, "approve");
    struct err e = {0};
    if (!id || !id_is(id, "appr_") || !json_is_boolean(yes))
        return control_refusal("a decision has the id of a call (appr_...), and is yes or no");
    int r = approvals_decide(&d->s->approvals, id, json_is_true(yes), d->uid,
                             json_get_str(d->request, "reason"), &e);
    return r < 0 ? refusal(&e) : json_typed("gateway_done");
}

static json_t *decide(struct decision *d)
{
    const char *what = json_get_str(d->request, "do");
    if (!what)
        return control_refusal("a request says what to do");
    if (str_eq(what, "pins")) {
        json_t *o = json_typed("gateway_pins");
        json_put(o, "routes", pins_json(&d->s->pins, d->face->config));
        return o;
    }
    if (str_eq(what, "pending")) {
        json_t *o = json_typed("gateway_pending");
        json_put(o, "calls", approvals_json(&d->s->approvals));
        return o;
    }
    if (str_eq(what, "decide"))
        return decide_call(d);
    d->route = route_of(d->face->config, d->request);
    if (!d->route)
        return control_refusal("no route of that name has pin_tools");
    if (str_eq(what, "accept"))
        return accept_all(d);
    if (str_eq(what, "forget"))
        return forget(d);
    return control_refusal("this gateway does not know that; is the command of its version?");
}

static json_t *answer(void *arg, uid_t uid, const json_t *request)
{
    struct decisions *s = arg;
    struct decision d = {.s = s, .uid = uid, .request = request, .face = s->o.face(s->o.arg)};
    json_t *o = decide(&d);
    face_unref(d.face);
    return o;
}

/* ---- life ---- */

int decisions_open(const struct decisions_options *o, struct decisions **ret, struct err *e)
{
    struct supply_state given;
    int r = supply_state(o->keeper, &given, e);
    if (r < 0)
        return r;
    struct decisions *s = mem_new(struct decisions);
    s->o = *o;
    pins_init(&s->pins);
    approvals_init(&s->approvals);
    r = control_open(TAKE_FD(given.control_fd),
                     &(struct control_options){.answer = answer, .arg = s, .uid = given.uid},
                     &s->control, e);
    if (r == 0)
        r = pins_file_open(o->keeper, &given, &s->pins, &s->file, e);
    supply_state_done(&given);
    if (r < 0)
        decisions_free(s);
    else
        *ret = s;
    return r;
}

/* What waits is written now and then: servers decide how often it changes. */
static void save(struct decisions *s)
{
    struct err e = {0};
    int r = pins_file_save(s->file, &e);
    if (r < 0 && r != -ECANCELED && !s->told)
        log_error("what the gateway keeps cannot be written", "why=%s", log_q(e.msg));
    s->told = r < 0;
}

int decisions_run(void *arg)
{
    struct decisions *s = arg;
    AUTO(scope) socket;
    scope_init(&socket);
    int r = fiber_spawn(&socket, "control", control_run, s->control, NULL);
    while (r == 0 && (r = fiber_sleep_ms(SAVE_MS)) == 0)
        save(s);
    return r == -ECANCELED ? 0 : r;
}

void decisions_free(struct decisions *s)
{
    if (!s)
        return;
    control_free(s->control);
    if (s->file) {
        AUTO(fiber_shield) last = fiber_shield_begin(LAST_SAVE_MS);
        save(s);
    }
    pins_file_free(s->file);
    pins_done(&s->pins);
    approvals_done(&s->approvals);
    free(s);
}

struct approvals *decisions_approvals(struct decisions *s)
{
    return &s->approvals;
}

void decisions_withdraw(struct decisions *s, const char *reason)
{
    approvals_withdraw(&s->approvals, NULL, reason);
}

struct pins *decisions_pins(struct decisions *s)
{
    return &s->pins;
}

struct pins_file *decisions_pins_file(struct decisions *s)
{
    return s->file;
}

json_t *decisions_json(const struct decisions *s)
{
    json_t *o = json_new_object();
    size_t pinned, waiting;
    pins_count(&s->pins, &pinned, &waiting);
    json_put_int(o, "tools_pinned", (int64_t)pinned);
    json_put_int(o, "tools_waiting", (int64_t)waiting);
    json_put_int(o, "calls_waiting", (int64_t)approvals_count(&s->approvals));
    return o;
}

void decisions_refresh(const struct decisions *s)
{
    size_t pinned, waiting;
    pins_count(&s->pins, &pinned, &waiting);
    metric_set(&gauge_pinned, (int64_t)pinned);
    metric_set(&gauge_waiting, (int64_t)waiting);
    metric_set(&gauge_pending, (int64_t)approvals_count(&s->approvals));
}
