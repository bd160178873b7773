/* upstream.c - what an exchange needs of the world: secrets of its plan, and a link to the origin.
 *
 * On the fibers of exchanges. Links belong to one sandbox, one host, one verified name, one policy and
 * one set of credentials (origins.h). TLS to an origin is always verified against the name that the
 * policy decided about. */
#include "egress/proxy/world.h"

#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "egress/ctl/messages.h"
#include "io/stream.h"

/* ---- secrets ---- */

struct held {
    struct value *value[POLICY_CANDIDATES_MAX];
    size_t n;
};

static void secrets_done(void *arg, struct exchange_values *v)
{
    (void)arg;
    struct held *h = v->hold;
    for (size_t i = 0; h && i < h->n; i++)
        value_unref(h->value[i]);
    free(h);
    v->hold = NULL;
}

static int learn(void *arg, const struct policy_decision *d, struct err *e)
{
    struct sandbox *sb = arg;
    struct values *vs = sb->w->values;
    for (size_t i = 0; i < d->n_candidates; i++) {
        const char *name = d->candidates[i].credential->name;
        struct value *v = NULL;
        int r = values_has(vs, name) ? 0 : values_get(vs, name, &v, e);
        value_unref(v);
        if (r < 0)
            return r;
    }
    return sandbox_refresh(sb, e);
}

static int secrets(void *arg, struct exchange_sandbox *x, const struct inject_plan *plan,
                   struct exchange_values *ret, struct err *e)
{
    (void)x; /* it is the connection's */
    struct sandbox *sb = arg;
    struct world *w = sb->w;
    struct held *h = mem_new(struct held);
    size_t had = 0;
    int r = 0;
    *ret = (struct exchange_values){.hold = h};
    h->n = plan->n_uses;
    for (size_t i = 0; i < plan->n_uses; i++) {
        int got = values_get(w->values, plan->uses[i].credential->name, &h->value[i], e);
        if (got < 0) {
            r = got;
            continue;
        }
        ret->values[i] = value_secret(h->value[i]);
        had++;
    }
    if (r == -ECANCELED || (r < 0 && had == 0)) {
        secrets_done(arg, ret);
        return r;
    }
    r = sandbox_refresh(sb, e); /* with what has just become known */
    if (r < 0) {
        secrets_done(arg, ret);
        return r;
    }
    ret->table = sb->table ? scrub_table_ref(sb->table) : NULL;
    return 0;
}

static bool may_know(void *arg, const struct policy_query *q)
{
    const struct sandbox *sb = arg;
    return former_gave(&sb->w->former, q);
}

static void before_record(void *arg)
{
    struct sandbox *sb = arg;
    redact_prepare(sb->w->redact, sb->x.policy);
}

static bool sees_secret(void *arg, struct http_text t)
{
    return redact_sees(((struct sandbox *)arg)->w->redact, t.p, t.n);
}

static int renew(void *arg, struct exchange_values *v, struct err *e)
{
    struct sandbox *sb = arg;
    int r = sandbox_refresh(sb, e);
    if (r < 0 || !sb->table || sb->table == v->table)
        return r;
    scrub_table_unref(v->table);
    v->table = scrub_table_ref(sb->table);
    return 1;
}

/* ---- links ---- */

int upstream_dial(struct world *w, const struct policy *p, const struct policy_decision *d,
                  const struct host *h, uint16_t port, int *ret_fd, struct dial_info *info,
                  struct err *e)
{
    struct value *password = NULL;
    const struct policy_proxy *proxy = policy_settings(p)->proxy;
    if (proxy && proxy->password && !policy_goes_direct(p, h, NULL)) {
        int r = values_get_proxy_password(w->values, &password, e);
        if (r < 0) { /* the sandbox hears `e`: no words of the source, which are about here */
            info->error = "proxy_configuration_error";
            if (r != -ECANCELED)
                log_error("the password of upstream_proxy could not be read", "error=%s",
                          log_q(e->msg));
            return err_set(e, r,
                           "the password of upstream_proxy could not be read from its source; a "
                           "person who runs this worker finds the reason in its log");
        }
    }
    static const struct host here = {.kind = HOST_IPV4, .n = 9, .text = "127.0.0.1"};
    const struct dial_target t = {.policy = p,
                                  .decision = d,
                                  .host = str_eq(h->text, EGRESS_SELF_TEST_HOST) ? &here : h,
                                  .port = port,
                                  .proxy_password = password ? value_secret(password) : NULL};
    int r = egress_dial(w->dialer, &t, ret_fd, info, e);
    value_unref(password);
    return r;
}

struct reach {
    struct world *w;
    const struct exchange_want *want;
    bool offer_h2;
    struct dial_info info;
};

/* origins_dial. */
static int connect_origin(void *arg, struct stream *ret, enum http_version *ret_version,
                          char ret_peer[ORIGIN_PEER_MAX], struct err *e)
{
    static const char *const both[] = {"h2", "http/1.1", NULL}, *const old[] = {"http/1.1", NULL};
    struct reach *x = arg;
    const struct exchange_want *want = x->want;
    int fd;
    int r =
        upstream_dial(x->w, want->policy, want->decision, want->host, want->port, &fd, &x->info, e);
    if (r < 0)
        return r;
    if (x->info.has_address)
        address_text(&x->info.address, ret_peer);
    struct stream plain;
    r = stream_from_fd(&plain, fd);
    if (r < 0) {
        close(fd);
        return err_set(e, r, "a connection could not be set up: %s", err_text(r));
    }
    *ret_version = HTTP_1_1;
    if (!want->tls) {
        /* Without TLS nothing can be chosen: who begins with HTTP/2 knows that the origin speaks it
         * (RFC 9113 3.3), as gRPC without TLS does. */
        *ret_version = x->offer_h2 ? HTTP_2 : HTTP_1_1;
        stream_move(ret, &plain);
        return 0;
    }
    const struct tls_connect_options o = {.host = want->host->text,
                                          .is_ip = want->host->kind != HOST_NAME,
                                          .alpn = x->offer_h2 ? both : old};
    const char *alpn = NULL;
    r = tls_connect(x->w->trust, &o, &plain, ret, &alpn, e);
    if (r < 0 && r != -ECANCELED)
        x->info.error = r == -E_TLS ? "tls_certificate_error" : "tls_protocol_error";
    if (r >= 0 && str_eq(alpn, "h2"))
        *ret_version = HTTP_2;
    return r;
}

/* Names of all credentials that the host has: they are the same for all of its requests. */
static void credential_names(const struct policy_decision *d, struct buf *out)
{
    for (size_t i = 0; i < d->n_candidates; i++)
        buf_addf(out, "%s%s", i ? "," : "", d->candidates[i].credential->name);
}

static int get_link(struct world *w, const char *binding, const struct exchange_want *want,
                    struct origin_lease *ret, struct dial_info *info, struct err *e)
{
    AUTO(buf) names = BUF_INIT(64u << 10);
    credential_names(want->decision, &names);
    const struct origin_key key = {.binding = binding,
                                   .tls = want->tls,
                                   .host = want->host,
                                   .port = want->port,
                                   .verified = want->tls ? want->host->text : NULL,
                                   .offers_h2 = want->version == HTTP_2,
                                   .policy_hash = policy_hash(want->policy),
                                   .credentials = buf_str(&names)};
    struct reach x = {.w = w, .want = want, .offer_h2 = key.offers_h2};
    int r = origins_get(w->origins, &key, want->fresh, connect_origin, &x, ret, e);
    *info = x.info;
    return r;
}

static void origin_done(void *arg, struct exchange_origin *o)
{
    struct world *w = ((struct sandbox *)arg)->w;
    struct origin_lease *lease = o->hold;
    if (lease)
        origins_put(w->origins, lease, true);
    free(lease);
    *o = (struct exchange_origin){.hold = NULL};
}

static int origin(void *arg, const struct exchange_want *want, struct exchange_origin *ret,
                  const char **ret_type, struct err *e)
{
    struct sandbox *sb = arg;
    struct world *w = sb->w;
    struct origin_lease *lease = mem_new(struct origin_lease);
    struct dial_info info;
    int r = get_link(w, sb->id, want, lease, &info, e);
    if (r < 0) {
        if (info.error)
            *ret_type = info.error;
        free(lease);
        return r;
    }
    *ret = (struct exchange_origin){.reused = lease->reused, .hold = lease};
    str_copy(ret->peer, sizeof(ret->peer), lease->peer);
    r = http_link_ask(lease->link, &ret->pipe);
    if (r < 0) {
        origins_put(w->origins, lease, false);
        free(lease);
        return err_set(e, r, "the origin takes no request: %s", err_text(r));
    }
    return 0;
}

enum http_version upstream_version(struct world *w, struct sandbox *sb, struct policy *p,
                                   const struct policy_decision *d, const struct host *h,
                                   uint16_t port)
{
    const struct exchange_want want = {
        .host = h, .port = port, .tls = true, .decision = d, .policy = p, .version = HTTP_2};
    struct origin_lease lease = {.link = NULL};
    struct dial_info info;
    struct err e = {.code = 0};
    /* Not even a connection is made of which nothing could be recorded; what is, the exchange reserves anew. */
    AUTO(audit_room) room = AUDIT_ROOM_NONE;
    if (audit_reserve(w->audit, 1, &room, &e) < 0)
        return HTTP_1_1;
    if (get_link(w, sb->id, &want, &lease, &info, &e) < 0)
        return HTTP_1_1; /* the exchange will find out, and say so */
    const enum http_version v = http_link_version(lease.link);
    origins_put(w->origins, &lease, true);
    return v;
}

static int count_name(void *arg, const struct host *h, uint16_t port, struct err *e)
{
    struct sandbox *sb = arg;
    return front_count_name(sb->front, h, port, e);
}

const struct exchange_calls upstream_calls = {.count_name = count_name,
                                              .learn = learn,
                                              .secrets = secrets,
                                              .secrets_done = secrets_done,
                                              .may_know = may_know,
                                              .before_record = before_record,
                                              .sees_secret = sees_secret,
                                              .renew = renew,
                                              .origin = origin,
                                              .origin_done = origin_done};
