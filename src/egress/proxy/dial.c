/* dial.c - from an allowed host to a connected socket.
 *
 * Called for every connection that leaves, on the fiber of the connection or exchange it is for. The
 * steps: resolve (or read the literal), check each address, choose the way (direct, or through
 * upstream_proxy), connect. Who owns the name's zone chooses the addresses, at any moment and
 * differently for each question: so they are asked for once, and what is connected to is the very
 * bytes that were checked. Nothing is remembered here; the resolver remembers answers, which are
 * checked again each time, because the policy and this machine's own addresses may have changed.
 *
 * It begins at "denied": an address that no check has let through is in no list. When this machine's
 * own addresses cannot be read nothing is connected to. */
#include "egress/proxy/dial.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/secret.h"
#include "base/time.h"
#include "egress/proxy/bridge.h"
#include "http/pipe/proxy.h"
#include "io/own_addresses.h"
#include "io/race.h"
#include "io/resolve.h"
#include "io/stream.h"
#include "io/tls.h"

#define CONNECT_TIMEOUT_MS 10000
#define PROXY_TIMEOUT_MS   30000
#define PROXY_TRIES        2 /* addresses that one proxy is asked for */
#define UNRESOLVED_MS                                                                              \
    3000 /* when the proxy may be given the name, our servers are not waited for */
#define AUTHORITY_MAX (HOST_TEXT_MAX + 10)

struct dialer {
    struct scope scope; /* of bridges */
    struct resolver *resolver;
    struct tls_trust *proxy_trust;
    int64_t connect_timeout_ms, proxy_timeout_ms;
    struct own_addresses own;
    struct cidr_list own_list; /* the same, as the policy wants them */
    uint64_t own_generation;
};

/* What a host has, or what is left of it. */
struct addresses {
    size_t n;
    struct address items[RESOLVE_ADDRESSES_MAX];
};

int dialer_new(const struct dialer_options *o, struct dialer **ret, struct err *e)
{
    MUST(o && o->resolver);
    struct dialer *d = mem_new(struct dialer);
    d->resolver = o->resolver;
    d->proxy_trust = o->proxy_trust;
    d->connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    d->proxy_timeout_ms = o->proxy_timeout_ms ? o->proxy_timeout_ms : PROXY_TIMEOUT_MS;
    int r = own_addresses_refresh(&d->own, e); /* as long as it may fail with somebody watching */
    if (r < 0) {
        own_addresses_done(&d->own);
        free(d);
        return r;
    }
    scope_init(&d->scope);
    *ret = d;
    return 0;
}

void dialer_free(struct dialer *d)
{
    if (!d)
        return;
    scope_done(&d->scope);
    own_addresses_done(&d->own);
    cidr_list_done(&d->own_list);
    free(d);
}

/* ---- addresses ---- */

static int own_refresh(struct dialer *d, struct err *e)
{
    int r = own_addresses_refresh(&d->own, e);
    if (r < 0 || d->own_generation == d->own.generation)
        return r;
    cidr_list_done(&d->own_list);
    d->own_list.items = mem_array(d->own.n ? d->own.n : 1, sizeof(*d->own_list.items));
    for (size_t i = 0; i < d->own.n; i++)
        d->own_list.items[i] = (struct cidr){.net = address_of_ipv6(d->own.items[i]), .bits = 128};
    d->own_list.n = d->own.n;
    d->own_generation = d->own.generation;
    return 0;
}

static int read_literal(const struct host *h, struct addresses *ret, struct err *e)
{
    bool brackets = h->kind == HOST_IPV6;
    ret->n = 1;
    return address_parse(h->text + brackets, h->n - 2u * brackets, &ret->items[0], e);
}

static const char *dns_error(enum resolve_why why)
{
    switch (why) {
    case RESOLVE_TIMEOUT:
        return "dns_timeout";
    case RESOLVE_LOCAL:
        return "proxy_internal_error";
    default:
        return "dns_error";
    }
}

/* All addresses of a host. *ret_name_only: it has none here. */
static int resolve(struct dialer *d, const struct host *h, struct addresses *ret,
                   struct dial_info *info, enum resolve_why *ret_why, struct err *e)
{
    *ret_why = RESOLVE_OK;
    ret->n = 0;
    if (h->kind != HOST_NAME)
        return read_literal(h, ret, e);
    struct resolved found;
    int64_t before = time_mono_ns();
    int r = resolver_lookup(d->resolver, h->text, &found, ret_why, e);
    info->resolve_us += (time_mono_ns() - before) / 1000;
    if (r < 0) {
        info->error = dns_error(*ret_why);
        info->rcode = resolve_why_rcode(*ret_why);
        return r;
    }
    for (size_t i = 0; i < found.n; i++)
        ret->items[ret->n++] = address_of_ipv6(found.address[i]);
    return 0;
}

static void note_address(const struct dialer *d, const struct address *a, struct dial_info *info)
{
    info->has_address = true;
    info->address = *a;
    info->class = address_classify(a, &d->own_list);
}

/* Leaves those that the policy lets through. -E_DENIED with the words about the first when there are
 * none. */
static int keep_allowed(const struct dialer *d, const struct dial_target *t, struct addresses *list,
                        struct dial_info *info, struct err *e)
{
    struct addresses allowed = {.n = 0};
    struct err first = {0};
    info->resolved = true;
    info->n_addresses = list->n;
    for (size_t i = 0; i < list->n; i++) {
        const struct address *a = &list->items[i];
        struct err why = {0};
        if (policy_check_address(t->policy, t->decision, t->host, a, &d->own_list, &why) == 0) {
            allowed.items[allowed.n++] = *a;
            continue;
        }
        if (info->n_prohibited++ == 0) {
            first = why;
            note_address(d, a, info);
        }
    }
    *list = allowed;
    if (allowed.n > 0) {
        info->has_address = false;
        return 0;
    }
    info->error = "destination_ip_prohibited";
    return err_set(e, -E_DENIED, "%s", first.msg);
}

/* Which of them go without the proxy; when there are such, the others are not used. */
static bool keep_direct(const struct dial_target *t, struct addresses *list)
{
    struct addresses direct = {.n = 0};
    for (size_t i = 0; i < list->n; i++)
        if (policy_goes_direct(t->policy, t->host, &list->items[i]))
            direct.items[direct.n++] = list->items[i];
    if (direct.n == 0)
        return false;
    *list = direct;
    return true;
}

/* ---- connecting ---- */

static const char *connect_error(int r)
{
    switch (r) {
    case -ECONNREFUSED:
        return "connection_refused";
    case -ETIMEDOUT:
        return "connection_timeout";
    case -EHOSTUNREACH:
    case -ENETUNREACH:
        return "destination_ip_unroutable";
    case -ECONNRESET:
    case -EPIPE:
        return "connection_terminated";
    case -ECANCELED:
        return NULL;
    default: /* no descriptors, no local ports, a lock: our side */
        return "proxy_internal_error";
    }
}

static int go_direct(struct dialer *d, const struct dial_target *t, const struct addresses *list,
                     int *ret_fd, struct dial_info *info, struct err *e)
{
    size_t which = 0;
    int64_t before = time_mono_ns();
    int r = race_connect(list->items, list->n, t->port, d->connect_timeout_ms, ret_fd, &which, e);
    info->connect_us = (time_mono_ns() - before) / 1000;
    note_address(d, &list->items[which], info);
    if (r < 0) {
        info->error = connect_error(r);
        return err_wrap(e, r, "%s", t->host->text);
    }
    return 0;
}

/* ---- through the proxy ---- */

/* A stream to the proxy, TLS done when it wants that. */
static int reach_proxy(struct dialer *d, const struct policy_proxy *proxy, struct stream *ret,
                       struct dial_info *info, struct err *e)
{
    struct addresses list;
    enum resolve_why why;
    size_t which;
    int fd;
    int r = resolve(d, &proxy->host, &list, info, &why, e);
    if (r < 0)
        return r;
    int64_t before = time_mono_ns();
    r = race_connect(list.items, list.n, proxy->port, d->connect_timeout_ms, &fd, &which, e);
    info->connect_us += (time_mono_ns() - before) / 1000;
    if (r < 0) {
        info->error = connect_error(r);
        return r;
    }
    struct stream plain;
    r = stream_from_fd(&plain, fd);
    if (r < 0) {
        (void)close(fd);
        info->error = "proxy_internal_error";
        return err_set(e, r, "a connection could not be set up: %s", err_text(r));
    }
    if (!proxy->tls) {
        stream_move(ret, &plain);
        return 0;
    }
    info->error = "proxy_configuration_error";
    if (!d->proxy_trust) {
        stream_done(&plain);
        return err_set(e, -E_TLS, "there are no certificates to verify it with");
    }
    const struct tls_connect_options o = {.host = proxy->host.text,
                                          .is_ip = proxy->host.kind != HOST_NAME};
    r = tls_connect(d->proxy_trust, &o, &plain, ret, NULL, e);
    if (r < 0)
        info->error = r == -E_TLS ? "tls_certificate_error" : "tls_protocol_error";
    else
        info->error = NULL;
    return r;
}

/* One connection to the proxy, one question. */
static int ask_proxy(struct dialer *d, const struct dial_target *t, const char *authority,
                     int *ret_fd, struct dial_info *info, struct err *e)
{
    const struct policy_proxy *proxy = policy_settings(t->policy)->proxy;
    AUTO(fiber_deadline) limit =
        fiber_deadline_push_ms(d->connect_timeout_ms + d->proxy_timeout_ms);
    AUTO(stream) s = {.ops = NULL};
    info->via_proxy = true;
    int r = reach_proxy(d, proxy, &s, info, e);
    if (r < 0)
        return err_wrap(e, r, "upstream_proxy %s", proxy->host.text);
    int64_t before = time_mono_ns();
    const struct http_proxy asked = {.word = "upstream_proxy",
                                     .name = proxy->host.text,
                                     .user = proxy->user,
                                     .user_source = "the policy",
                                     .user_advice = "give \"user\" and \"password\""};
    r = http_proxy_connect(&s, &asked, authority, t->proxy_password, &info->proxy_status,
                           &info->error, e);
    info->proxy_us += (time_mono_ns() - before) / 1000;
    if (r < 0)
        return r;
    if (!stream_is_tls(&s)) {
        *ret_fd = io_fd_release(&s.io);
        return 0;
    }
    r = bridge_stream(&d->scope, &s, ret_fd, e);
    if (r < 0)
        info->error = "proxy_internal_error";
    return r;
}

static int ask_for_name(struct dialer *d, const struct dial_target *t, int *ret_fd,
                        struct dial_info *info, struct err *e)
{
    char authority[AUTHORITY_MAX];
    (void)snprintf(authority, sizeof(authority), "%s:%u", t->host->text, t->port);
    info->by_name = true;
    info->error = info->rcode = NULL;
    return ask_proxy(d, t, authority, ret_fd, info, e);
}

/* Whether another address may be worth a question: the proxy has tried this one, in vain. */
static bool worth_another(const struct dial_info *info)
{
    return info->proxy_status >= 502 && info->proxy_status <= 504;
}

/* A proxy tries one address, so IPv4 first: more of them have it. */
static int ask_for_addresses(struct dialer *d, const struct dial_target *t,
                             const struct addresses *list, int *ret_fd, struct dial_info *info,
                             struct err *e)
{
    int r = -E_DENIED, tries = 0;
    for (int v4 = 1; v4 >= 0; v4--)
        for (size_t i = 0; i < list->n && tries < PROXY_TRIES; i++) {
            const struct address *a = &list->items[i];
            char text[ADDRESS_TEXT_MAX], authority[AUTHORITY_MAX];
            if (address_is_ipv4(a) != (v4 == 1))
                continue;
            (void)snprintf(authority, sizeof(authority), v4 ? "%s:%u" : "[%s]:%u",
                           address_text(a, text), t->port);
            note_address(d, a, info);
            tries++;
            r = ask_proxy(d, t, authority, ret_fd, info, e);
            if (r >= 0 || !worth_another(info))
                return r;
        }
    return r;
}

/* ---- the whole ---- */

static int dial(struct dialer *d, const struct dial_target *t, int *ret_fd, struct dial_info *info,
                struct err *e)
{
    const struct policy_proxy *proxy = policy_settings(t->policy)->proxy;
    bool direct = policy_goes_direct(t->policy, t->host, NULL);
    bool may_name = !direct && proxy->names != POLICY_PROXY_NAMES_NEVER;
    struct addresses list;
    enum resolve_why why;
    int r;
    if (may_name) { /* networks behind such a proxy often have no name server for the outside */
        AUTO(fiber_deadline) soon = fiber_deadline_push_ms(UNRESOLVED_MS);
        r = resolve(d, t->host, &list, info, &why, e);
    } else {
        r = resolve(d, t->host, &list, info, &why, e);
    }
    if (r < 0 && may_name && r != -ECANCELED && r != -EINVAL && r != -E_LIMIT)
        return ask_for_name(d, t, ret_fd, info, e);
    if (r < 0)
        return r;
    r = keep_allowed(d, t, &list, info, e);
    if (r < 0)
        return r;
    if (direct || keep_direct(t, &list))
        return go_direct(d, t, &list, ret_fd, info, e);
    if (proxy->names == POLICY_PROXY_NAMES_ALWAYS)
        return ask_for_name(d, t, ret_fd, info, e);
    return ask_for_addresses(d, t, &list, ret_fd, info, e);
}

int egress_dial(struct dialer *d, const struct dial_target *t, int *ret_fd, struct dial_info *info,
                struct err *e)
{
    struct err words = {0};
    e = e ? e : &words;
    *info = (struct dial_info){0};
    if (t->decision->verdict == POLICY_DENY) {
        info->error = "http_request_denied";
        return err_set(e, -E_DENIED, "%s is not allowed", t->host->text);
    }
    int r = own_refresh(d, e);
    if (r < 0) {
        info->error = "proxy_internal_error";
        return r;
    }
    return dial(d, t, ret_fd, info, e);
}
