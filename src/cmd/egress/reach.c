/* reach.c - name, addresses, upstream proxy, certificate: from this machine and as this user.
 *
 * Called by check.c on the loop's fiber, for a host that the policy allows. It takes the steps of a
 * proxy by the proxy's own functions, and ends where the request would begin. The one secret that it
 * reads is the password of upstream_proxy, from its source, because nothing is reached without it;
 * the process is short, is not dumpable, and forgets it. What peers answer is bounded by the same
 * limits as in a proxy. */
#include "cmd/egress/reach.h"

#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "cmd/line/term.h"
#include "egress/proxy/dial.h"
#include "io/pool.h"
#include "io/resolve.h"
#include "io/tls.h"
#include "secret/source.h"

#define CONNECT_MS 15000

/* What it takes to ask upstream_proxy. */
struct password {
    struct pool *pool;
    struct secret_sources *all;
    struct secret_source *source;
    struct secret_value *value;
};

static int password_read(const struct reach *t, struct password *p, struct err *e)
{
    const struct policy_proxy *proxy = policy_settings(t->policy)->proxy;
    if (!proxy || !proxy->password)
        return 0;
    p->pool = pool_new("check", 1);
    p->all = secret_sources_new(&(
        struct secret_options){.pool = p->pool, .credentials_directory = t->credentials_directory});
    int r = secret_source_new(p->all, proxy->password, 0, &p->source, e);
    if (r >= 0)
        r = secret_source_get(p->source, &p->value, e);
    return r < 0 ? err_wrap(e, r, "the password of upstream_proxy") : 0;
}

static void password_done(struct password *p)
{
    secret_value_unref(p->value);
    secret_source_unref(p->source);
    secret_sources_free(p->all);
    pool_free(p->pool);
}

static int verify(const struct reach *there, struct tls_trust *trust, int fd, struct err *e)
{
    static const char *const alpn[] = {"h2", "http/1.1", NULL};
    const struct host *h = there->host;
    struct stream plain, s;
    const char *chosen = NULL;
    int r = stream_from_fd(&plain, fd);
    if (r < 0) {
        close(fd);
        return r;
    }
    const struct tls_connect_options o = {
        .host = h->text, .is_ip = h->kind != HOST_NAME, .alpn = alpn};
    r = tls_connect(trust, &o, &plain, &s, &chosen, e);
    if (r >= 0) {
        printf("certificate: good for %s; speaks %s\n", h->text, chosen ? chosen : "http/1.1");
        stream_done(&s);
    }
    return r;
}

static int go(const struct reach *there, struct tls_trust *trust, struct dialer *dialer,
              const struct secret *password, struct err *e)
{
    struct dial_info info = {.resolved = false};
    int fd = -1;
    const struct dial_target t = {.policy = there->policy,
                                  .decision = there->decision,
                                  .host = there->host,
                                  .port = there->port,
                                  .proxy_password = password};
    int r = egress_dial(dialer, &t, &fd, &info, e);
    if (r < 0)
        return r;
    char text[ADDRESS_TEXT_MAX];
    printf("connected: %s%s\n", info.has_address ? address_text(&info.address, text) : "by name",
           info.via_proxy ? " through upstream_proxy" : "");
    if (there->tls)
        return verify(there, trust, fd, e);
    close(fd);
    return 0;
}

int egress_reach(const struct reach *there)
{
    const struct policy_settings *settings = policy_settings(there->policy);
    struct err e = {.code = 0};
    struct resolver *resolver = NULL;
    struct dialer *dialer = NULL;
    struct password password = {.pool = NULL};
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(CONNECT_MS);
    struct tls_trust *trust = tls_trust_new(settings->ca_file, &e);
    int r = trust ? password_read(there, &password, &e) : e.code;
    if (r >= 0)
        r = resolver_new(&(struct resolver_options){.servers = settings->nameservers}, &resolver,
                         &e);
    if (r >= 0)
        r = dialer_new(&(struct dialer_options){.resolver = resolver, .proxy_trust = trust},
                       &dialer, &e);
    if (r >= 0)
        r = go(there, trust, dialer, password.value ? secret_value_secret(password.value) : NULL,
               &e);
    dialer_free(dialer);
    resolver_free(resolver);
    password_done(&password);
    tls_trust_free(trust);
    if (r < 0) {
        fputs("not reached: ", stdout);
        term_print_word(stdout, e.msg[0] ? e.msg : err_text(r));
        fputc('\n', stdout);
    }
    return r < 0;
}
