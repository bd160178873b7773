/* dial_world - a name server, a listener that counts who comes, and a dialer between them. */
#pragma once

#include "unit/loop.h"
#include "base/err.h"
#include "egress/policy/policy.h"
#include "egress/proxy/dial.h"
#include "io/resolve.h"
#include "unit/egress/policy/load.h"
#include "unit/io/dns_peer.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct dial_world {
    struct dns_peer dns;
    struct resolver *resolver;
    struct dialer *dialer;
    struct scope scope;
    struct io_fd listener;
    unsigned port, accepted;
};

static inline int world_accept(void *arg)
{
    struct dial_world *w = arg;
    for (int fd; (fd = sock_accept(&w->listener, NULL)) >= 0;) {
        w->accepted++;
        (void)close(fd);
    }
    return 0;
}

/* The port of a text address. */
static inline unsigned world_port(const char *addr)
{
    unsigned port = 0;
    for (const char *p = strrchr(addr, ':') + 1; *p; p++)
        port = port * 10 + (unsigned)(*p - '0');
    return port;
}

static inline void world_start(struct dial_world *w, const char *listen_on,
                               void (*answer)(struct dns_peer *p, const char *name, int type,
                                              struct dns_reply *r),
                               struct dialer_options o)
{
    struct err e = {0};
    char addr[SOCK_ADDR_MAX];
    memset(w, 0, sizeof(*w));
    dns_peer_start(&w->dns, answer);
    struct resolver_options ro = {
        .servers = w->dns.text, .hosts = "/dev/null", .try_ms = 100, .timeout_ms = 1000};
    if (resolver_new(&ro, &w->resolver, &e) < 0)
        fail_msg("%s", e.msg);
    o.resolver = w->resolver;
    if (dialer_new(&o, &w->dialer, &e) < 0)
        fail_msg("%s", e.msg);
    int fd = sock_listen(listen_on, 64, addr, &e);
    if (fd < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(io_fd_add(&w->listener, fd), 0);
    w->port = world_port(addr);
    scope_init(&w->scope);
    assert_int_equal(fiber_spawn(&w->scope, "accept", world_accept, w, NULL), 0);
}

static inline void world_stop(struct dial_world *w)
{
    scope_done(&w->scope);
    io_fd_close(&w->listener);
    dialer_free(w->dialer);
    resolver_free(w->resolver);
    dns_peer_stop(&w->dns);
}

struct dialled {
    int code, fd;
    struct dial_info info;
    struct err e;
};

/* The text with each "PORT" replaced. */
static inline void world_text(const char *from, unsigned port, char *to, size_t room)
{
    size_t n = 0;
    while (*from) {
        assert_true(n + 8 < room);
        if (strncmp(from, "PORT", 4) == 0) {
            n += (size_t)snprintf(to + n, room - n, "%u", port);
            from += 4;
        } else {
            to[n++] = *from++;
        }
    }
    to[n] = '\0';
}

/* Dials as `yaml` (a policy, in which PORT is `port`) allows it. */
static inline struct dialled world_dial(struct dial_world *w, const char *yaml, const char *host,
                                        unsigned port, const struct secret *password)
{
    char text[1024];
    struct dialled r = {.fd = -1};
    struct host h;
    world_text(yaml, port, text, sizeof(text));
    struct policy *p = load(text);
    assert_int_equal(host_parse(host, strlen(host), HOST_LITERALS, &h, NULL), 0);
    struct policy_query q = {.host = &h, .port = (uint16_t)port};
    struct policy_decision d;
    policy_decide(p, &q, &d);
    struct dial_target t = {.policy = p,
                            .decision = &d,
                            .host = &h,
                            .port = (uint16_t)port,
                            .proxy_password = password};
    r.code = egress_dial(w->dialer, &t, &r.fd, &r.info, &r.e);
    policy_unref(p);
    assert_true((r.code == 0) == (r.fd >= 0));
    assert_true((r.code == 0) == (r.info.error == NULL) || r.code == -ECANCELED);
    assert_true(r.code == 0 || strlen(r.e.msg) > 10);
    return r;
}

/* Lets the accepting fiber see who has come. */
static inline void world_settle(struct dial_world *w, unsigned accepted)
{
    while (w->accepted < accepted)
        assert_int_equal(fiber_sleep_ms(1), 0);
    assert_int_equal(w->accepted, accepted);
}
