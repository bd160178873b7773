/* capture.c - routes and doors of a new network namespace.
 *
 * Called where a sandbox's network is made, before anything untrusted runs: by the zygote in one that
 * it makes ahead (zygote/stock.c) and at the request that takes it, by a sandbox's init in one that it
 * was born with (build/enter.c), and by the helper of OCI engines (box/oci/netns.c). Nothing here reads
 * what an attacker could have written: doors come from the worker, answers from the kernel.
 *
 * "local" routes make every address of a network the machine's own. Then a connection to one is made
 * on the loopback, and its local address at the accepting end is the synthetic address, by which
 * egress knows what name was asked for. A socket of IPv6 can only be bound to an address that an
 * interface has, whatever routes say, so doors at one use IPV6_FREEBIND. */
#include "sandbox/net/capture.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "sandbox/net/loopback.h"

#define LOOPBACK_INDEX 1     /* in every network namespace */
#define BACKLOG        65535 /* the kernel takes net.core.somaxconn instead, when that is less */

#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

/* Requests as the kernel wants them: everything here is a multiple of four. */
struct route_request {
    struct nlmsghdr head;
    struct rtmsg route;
    struct {
        struct rtattr head;
        uint32_t index;
    } interface;
    struct {
        struct rtattr head;
        unsigned char address[16];
    } destination;
};
struct address_request {
    struct nlmsghdr head;
    struct ifaddrmsg address;
    struct {
        struct rtattr head;
        unsigned char address[16];
    } local;
};

/* The kernel's answer to one request: 0 or its error. */
static int read_answer(int s)
{
    union {
        char bytes[1024];
        struct nlmsghdr head;
    } answer;
    ssize_t n = recv(s, &answer, sizeof(answer), 0);
    if (n < 0)
        return -errno;
    if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) || answer.head.nlmsg_type != NLMSG_ERROR)
        return -EBADMSG;
    const struct nlmsgerr *e = NLMSG_DATA(&answer.head);
    return e->error;
}

static int ask(int s, void *request, size_t n)
{
    struct nlmsghdr *head = request;
    head->nlmsg_len = (uint32_t)n;
    head->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
    if (send(s, request, n, 0) < 0)
        return -errno;
    int r = read_answer(s);
    return r == -EEXIST ? 0 : r;
}

static unsigned char size_of(int family)
{
    return family == AF_INET6 ? 16 : 4;
}

static int add_local_route(int s, int family, const char *net, unsigned bits)
{
    struct route_request q = {
        .head = {.nlmsg_type = RTM_NEWROUTE},
        .route = {.rtm_family = (unsigned char)family,
                  .rtm_dst_len = (unsigned char)bits,
                  .rtm_table = RT_TABLE_LOCAL,
                  .rtm_protocol = RTPROT_BOOT,
                  .rtm_scope = RT_SCOPE_HOST,
                  .rtm_type = RTN_LOCAL},
        .interface = {.head = {.rta_len = RTA_LENGTH(4), .rta_type = RTA_OIF},
                      .index = LOOPBACK_INDEX},
        .destination = {
            .head = {.rta_len = (unsigned short)RTA_LENGTH(size_of(family)), .rta_type = RTA_DST}}};
    MUST(inet_pton(family, net, q.destination.address) == 1);
    return ask(s, &q, offsetof(struct route_request, destination.address) + size_of(family));
}

static int add_address(int s, int family, const char *address)
{
    struct address_request q = {.head = {.nlmsg_type = RTM_NEWADDR},
                                .address = {.ifa_family = (unsigned char)family,
                                            .ifa_prefixlen = (unsigned char)(8 * size_of(family)),
                                            .ifa_flags = IFA_F_NODAD,
                                            .ifa_scope = RT_SCOPE_UNIVERSE,
                                            .ifa_index = LOOPBACK_INDEX},
                                .local = {
                                    .head = {.rta_len = (unsigned short)RTA_LENGTH(size_of(family)),
                                             .rta_type = IFA_LOCAL}}};
    MUST(inet_pton(family, address, q.local.address) == 1);
    return ask(s, &q, offsetof(struct address_request, local.address) + size_of(family));
}

static int route_socket(void)
{
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
}

int capture_network_up(void)
{
    int r = loopback_up();
    if (r < 0)
        return r;
    AUTO_CLOSE int s = route_socket();
    if (s < 0)
        return 1;
    r = add_local_route(s, AF_INET, SANDBOX_DOORS_NET4, SANDBOX_DOORS_LEN4);
    /* Whatever is wrong with IPv6 here: nobody inside can have an address of it then, either. */
    (void)!add_local_route(s, AF_INET6, SANDBOX_DOORS_NET6, SANDBOX_DOORS_LEN6);
    return r < 0 ? 1 : 0;
}

/* A library that is asked for the addresses of a name "as this machine is configured" (AI_ADDRCONFIG)
 * asks for no family of which only 127.0.0.1, or ::1, is there (glibc). */
static int add_addresses(void)
{
    AUTO_CLOSE int s = route_socket();
    int r = s < 0 ? -errno : add_address(s, AF_INET, SANDBOX_DOORS_OWN4);
    if (r >= 0)
        (void)!add_address(s, AF_INET6, SANDBOX_DOORS_OWN6);
    return r;
}

/* ---- doors ---- */

void capture_doors_close(struct capture_doors *d)
{
    while (d->n > 0)
        close(d->fd[--d->n]);
}

/* One socket; -EAFNOSUPPORT or -EADDRNOTAVAIL where the kernel does not have the family at all. */
static int open_socket(const struct sandbox_door *d, int family)
{
    const int on = 1;
    const bool tcp = d->kind == SANDBOX_DOOR_TCP;
    AUTO_CLOSE int s =
        socket(family, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return -errno;
    if (family == AF_INET6 &&
        (setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0 ||
         (d->address[0] && setsockopt(s, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on)) < 0)))
        return -errno;
    struct sockaddr_storage address;
    socklen_t n = sandbox_door_address(d, family, &address);
    if (bind(s, (const struct sockaddr *)&address, n) < 0 || (tcp && listen(s, BACKLOG) < 0))
        return -errno;
    return TAKE_FD(s);
}

int capture_open(const struct sandbox_door *doors, size_t n, struct capture_doors *ret,
                 struct err *e)
{
    static const int families[] = {AF_INET, AF_INET6};
    struct capture_doors opened = {.n = 0};
    int r = n ? add_addresses() : 0;
    if (r < 0)
        return err_set(e, r, "could not give the loopback interface an address: %s", err_text(r));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ARRAY_LEN(families); k++) {
            const int only = sandbox_door_family(&doors[i]);
            if (only != AF_UNSPEC && only != families[k])
                continue;
            int s = open_socket(&doors[i], families[k]);
            if (s == -EAFNOSUPPORT && families[k] == AF_INET6)
                continue;
            if (s < 0) {
                capture_doors_close(&opened);
                return err_set(e, s, "could not open the door at %s port %u: %s",
                               doors[i].address[0] ? doors[i].address : "any address",
                               doors[i].port, err_text(s));
            }
            opened.fd[opened.n++] = s;
        }
    *ret = opened;
    return 0;
}
