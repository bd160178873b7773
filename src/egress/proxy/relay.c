/* relay.c - a connection that nobody looks into.
 *
 * The policy allows host and port and nothing depends on what is inside: bytes go through as they
 * are. Where the rule limits requests, what is not HTTP is counted here, by connections. What was
 * peeked at (the SNI) has been compared with the name before (capture/front). A record is sure of its
 * place in the log before anything is dialled, and is written at the end, whatever happened. When the
 * policy is tightened the fiber is cancelled, and both sides see a reset. */
#include "egress/proxy/world.h"

#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "egress/inject/limits.h"
#include "io/stream.h"

#define IDLE_MS (60 * 60000) /* a quiet database connection is kept for an hour */

struct relay {
    struct list link;
    struct fiber *fiber;
    const struct front_claim *claim;
    const struct dial_info *info;
    bool cut;
};

static void decide(const struct policy *p, const struct front_claim *c, struct policy_decision *ret)
{
    const struct policy_query q = {.host = c->host, .port = c->port, .transport = c->transport};
    policy_decide(p, &q, ret);
}

/* Whether it may go on as it is: allowed, at this address, with nobody looking into it. */
static bool may_go_on(const struct relay *r, const struct policy *p)
{
    struct policy_decision d;
    decide(p, r->claim, &d);
    const bool allowed = d.verdict == POLICY_ALLOW || d.verdict == POLICY_OBSERVE;
    struct err why;
    return allowed && !d.intercept && !(d.counted && connection_is_http(r->claim)) &&
           (!r->info->has_address || r->info->by_name ||
            policy_check_address(p, &d, r->claim->host, &r->info->address, NULL, &why) == 0);
}

void relays_check(struct sandbox *sb, const struct policy *p)
{
    LIST_FOREACH (r, &sb->relays, struct relay, link) {
        if (may_go_on(r, p))
            continue;
        r->cut = true;
        fiber_cancel(r->fiber);
    }
}

static void record(struct sandbox *sb, struct audit_room *room, const char *call,
                   const struct front_claim *c, const struct policy_decision *d,
                   const struct policy *p, const struct splice_flow *f, const char *peer,
                   const char *verdict, const char *reason, const char *words, int64_t began_ns)
{
    char rule[32] = "";
    if (d->rule)
        snprintf(rule, sizeof(rule), "%s[%u]", d->rule->deny ? "deny" : "allow", d->rule->position);
    struct redact *redact = sb->w->redact;
    redact_prepare(redact, sb->x.policy);
    audit_append(room, &(struct audit_record){
                           .kind = AUDIT_REQUEST,
                           .session = audit_text(sb->session),
                           .call = audit_text(call),
                           .sandbox = audit_text(sb->id),
                           .verdict = audit_text(verdict),
                           .reason = audit_text(reason),
                           .rule = audit_text(rule),
                           .policy = audit_text(policy_hash(p)),
                           .protocol = audit_text(c->transport == POLICY_TLS ? "tls" : "tcp"),
                           .host = redact_text(redact, c->host ? c->host->text : NULL,
                                               c->host ? c->host->n : 0),
                           .peer = audit_text(peer),
                           .note = audit_text(words),
                           .port = c->port,
                           .sent = f->there,
                           .received = f->back,
                           .duration_us = (uint64_t)((time_mono_ns() - began_ns) / 1000),
                       });
}

/* Whether a policy that came and went while it was dialled gave the host a credential. */
static bool may_know(const struct sandbox *sb, const struct front_claim *c, const struct policy *p)
{
    const struct policy_query q = {.host = c->host, .port = c->port, .transport = c->transport};
    return p != sb->x.policy && former_gave(&sb->w->former, &q);
}

/* Both descriptors are spliced; the sandbox's stays the stream's. */
static int join(struct sandbox *sb, const struct front_claim *c, const struct policy *p,
                const struct dial_info *info, int fd, struct stream *s, struct splice_flow *f,
                bool *ret_cut)
{
    struct io_fd out = IO_FD_NONE;
    struct relay me = {.fiber = fiber_self(), .claim = c, .info = info};
    /* a policy may have come while it was dialled */
    me.cut = !may_go_on(&me, sb->x.policy) || may_know(sb, c, p);
    int r = me.cut ? -E_DENIED : io_fd_add(&out, fd);
    if (r < 0) {
        close(fd);
        stream_reset(s);
        *ret_cut = me.cut;
        return r;
    }
    list_push_back(&sb->relays, &me.link);
    r = splice_run(sb->w->splices, &s->io, &out, f);
    list_remove(&me.link);
    io_fd_close(&out);
    *ret_cut = me.cut;
    return r;
}

/* Counts this connection. NULL, or why there is none more: nothing was counted then. */
static const char *over_limit(struct sandbox *sb, const struct policy_decision *d)
{
    if (!d->counted || !sb->x.limits)
        return NULL;
    const int64_t now_ms = time_mono_ns() / NS_PER_MS;
    const int64_t wait_ms = inject_limits_wait_rule(sb->x.limits, d->rule, now_ms);
    if (wait_ms == 0) {
        inject_limits_take_rule(sb->x.limits, d->rule, now_ms);
        return NULL;
    }
    return wait_ms < 0 ? "this session has made all connections to this host that the policy lets "
                         "it make"
                       : "the policy limits how many connections may be made to this host in a "
                         "time";
}

void relay_run(struct sandbox *sb, const struct front_claim *c, const struct policy_decision *d,
               struct policy *p, struct stream *s)
{
    const int64_t began_ns = time_mono_ns();
    AUTO(audit_room) room = AUDIT_ROOM_NONE;
    struct err e = {.code = 0};
    struct dial_info info = {.resolved = false};
    struct splice_flow flow = {.idle_timeout_ms = IDLE_MS};
    char peer[ADDRESS_TEXT_MAX] = "", call[sizeof(sb->call)];
    int fd = -1;
    bool cut = false;
    str_copy(call, sizeof(call), sb->call); /* another one may run at the end */
    if (audit_reserve(sb->w->audit, 1, &room, &e) < 0) {
        stream_reset(s); /* what cannot be recorded is not done */
        return;
    }
    const char *limited = over_limit(sb, d);
    if (limited) {
        record(sb, &room, call, c, d, p, &flow, peer, "deny", "rate_limited", limited, began_ns);
        stream_reset(s);
        return;
    }
    const int dialled = upstream_dial(sb->w, p, d, c->host, c->port, &fd, &info, &e);
    if (info.has_address)
        address_text(&info.address, peer);
    int r = 0;
    if (dialled >= 0)
        r = join(sb, c, p, &info, fd, s, &flow, &cut);
    else
        stream_reset(s);
    record(sb, &room, call, c, d, p, &flow, peer,
           cut || dialled == -E_DENIED    ? "deny"
           : dialled < 0                  ? "error"
           : d->verdict == POLICY_OBSERVE ? "observe"
                                          : "allow",
           cut           ? "policy_changed"
           : dialled < 0 ? info.error
           : r < 0       ? "cut_off"
                         : NULL,
           NULL, began_ns);
}
