/* reach.c - one connection to a private server, step by step, with who is to blame for one that fails.
 *
 * Called by whoever wants to know whether a route leads somewhere (probe, doctor), on its fiber. Whoever owns
 * the server's name controls its addresses: each is checked by the rules of the configuration
 * (config_reach), and exactly one of those is connected to. What the server says in TLS is a stranger's. */
#include "tunnel/gateway/reach.h"

#include "base/err.h"
#include "io/race.h"
#include "io/resolve.h"
#include "io/sock.h"
#include "io/tls.h"
#include "tunnel/gateway/stdio.h"
#include "tunnel/gateway/supply.h"

#include <string.h>
#include <unistd.h>

#define CONNECT_MS 10000
#define TLS_MS     10000

static int look_up(const struct reach_how *how, const struct host *h, struct address *list,
                   size_t *ret_n, struct err *e)
{
    *ret_n = 1;
    if (h->kind == HOST_IPV4)
        return address_parse(h->text, h->n, &list[0], e);
    if (h->kind == HOST_IPV6)
        return address_parse(h->text + 1, h->n - 2u, &list[0], e);
    struct resolved all;
    int r = resolver_lookup(how->resolver, h->text, &all, NULL, e);
    if (r < 0)
        return r;
    *ret_n = all.n;
    for (size_t i = 0; i < all.n; i++)
        memcpy(list[i].b, all.address[i], sizeof(list[i].b));
    return 0;
}

/* Leaves those that may be connected to. The words are about the last one that may not. */
static int keep_allowed(const struct reach_how *how, struct address *list, size_t *n, struct err *e)
{
    int r = own_addresses_refresh(how->own, e);
    if (r < 0)
        return r;
    AUTO_FREE struct cidr *own = mem_array(how->own->n, sizeof(*own));
    for (size_t i = 0; i < how->own->n; i++) {
        memcpy(own[i].net.b, how->own->items[i], sizeof(own[i].net.b));
        own[i].bits = 128;
    }
    const struct cidr_list ours = {own, how->own->n};
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++)
        if (gateway_config_may_connect(how->config, &list[i], &ours, e) == 0)
            list[kept++] = list[i];
    *n = kept;
    if (kept)
        *e = (struct err){0};
    return kept ? 0 : -E_DENIED;
}

/* The one of `list` that is preferred. False: there is none. */
static bool preferred(const struct reach_how *how, const struct address *list, size_t n,
                      struct address *ret)
{
    char text[ADDRESS_TEXT_MAX];
    for (size_t i = 0; how->prefer && how->prefer[0] && i < n; i++) {
        address_text(&list[i], text);
        if (strcmp(text, how->prefer) == 0) {
            *ret = list[i];
            return true;
        }
    }
    return false;
}

/* One that is down is no reason not to ask another, which may know as much. */
static int connect_to(const struct reach_how *how, uint16_t port, const struct address *list,
                      size_t n, struct address *ret, int *ret_fd, struct err *e)
{
    size_t which = 0;
    int r = -ENOENT;
    if (n > 1 && preferred(how, list, n, ret))
        r = race_connect(ret, 1, port, CONNECT_MS, ret_fd, &which, e);
    if (r == 0 || r == -ECANCELED)
        return r;
    *e = (struct err){0};
    r = race_connect(list, n, port, CONNECT_MS, ret_fd, &which, e);
    if (r == 0)
        *ret = list[which];
    return r;
}

static int reach_tcp(const struct reach_how *how, const struct gateway_upstream *up,
                     struct stream *ret, struct reach_seen *seen, struct err *e)
{
    struct address list[RACE_MAX], peer;
    size_t n;
    int fd;
    seen->source = "dns";
    int r = look_up(how, &up->host, list, &n, e);
    if (r < 0) {
        seen->source = r == -ETIMEDOUT ? "timeout" : "dns";
        return r;
    }
    seen->resolved = n;
    seen->source = "policy";
    r = keep_allowed(how, list, &n, e);
    if (r < 0)
        return r;
    seen->allowed = n;
    seen->source = "connect";
    r = connect_to(how, up->port, list, n, &peer, &fd, e);
    if (r < 0) {
        seen->source = r == -ETIMEDOUT ? "timeout" : "connect";
        return r;
    }
    address_text(&peer, seen->peer);
    r = stream_from_fd(ret, fd);
    if (r < 0)
        (void)close(fd);
    return r;
}

int gateway_reach_unix(const char *path, struct err *e)
{
    AUTO_FREE char *at = mem_printf("unix:%s", path);
    struct io_fd io = IO_FD_NONE;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(CONNECT_MS);
    int r = sock_connect(at, &io, e);
    return r < 0 ? r : io_fd_release(&io);
}

static int reach_unix(const struct reach_how *how, const struct gateway_upstream *up,
                      struct stream *ret, struct reach_seen *seen, struct err *e)
{
    seen->source = "connect";
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(CONNECT_MS);
    int fd =
        how->keeper ? supply_connect(how->keeper, up->path, e) : gateway_reach_unix(up->path, e);
    if (fd < 0)
        return fd;
    int r = stream_from_fd(ret, fd);
    if (r < 0)
        (void)close(fd);
    return r;
}

static int reach_stdio(const struct reach_how *how, const struct gateway_upstream *up,
                       struct stream *ret, struct reach_seen *seen, struct err *e)
{
    seen->source = "connect";
    if (!how->stdio)
        return err_set(e, -EOPNOTSUPP, "programs of routes cannot be reached from here");
    return stdio_connect(how->stdio, up->stdio, ret, e);
}

static int reach_tls(const struct reach_how *how, const struct gateway_upstream *up,
                     struct stream *s, enum http_version *ret_version, struct reach_seen *seen,
                     struct err *e)
{
    static const char *const offers[] = {"h2", "http/1.1", NULL};
    const struct tls_connect_options o = {.host = up->host.text,
                                          .is_ip = up->host.kind != HOST_NAME,
                                          .alpn = offers,
                                          .identity = how->shown};
    const char *alpn = NULL;
    struct stream under;
    stream_move(&under, s);
    seen->source = "tls";
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(TLS_MS);
    int r = tls_connect(how->trust, &o, &under, s, &alpn, e);
    if (r == -ETIMEDOUT)
        seen->source = "timeout";
    *ret_version = alpn == offers[0] ? HTTP_2 : HTTP_1_1;
    return r;
}

int gateway_reach(const struct reach_how *how, const struct gateway_upstream *up,
                  struct stream *ret, enum http_version *ret_version, struct reach_seen *ret_seen,
                  struct err *e)
{
    *ret = (struct stream){.io = IO_FD_NONE};
    *ret_version = HTTP_1_1;
    *ret_seen = (struct reach_seen){.source = NULL};
    int r = up->scheme == GATEWAY_UNIX    ? reach_unix(how, up, ret, ret_seen, e)
            : up->scheme == GATEWAY_STDIO ? reach_stdio(how, up, ret, ret_seen, e)
                                          : reach_tcp(how, up, ret, ret_seen, e);
    if (r == 0 && up->scheme == GATEWAY_HTTPS)
        r = reach_tls(how, up, ret, ret_version, ret_seen, e);
    if (r == 0)
        ret_seen->source = NULL;
    else
        stream_done(ret);
    return r;
}
