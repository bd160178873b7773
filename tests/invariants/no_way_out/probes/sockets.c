/* sockets.c - sockets: the host's, and families that reach past the network namespace.
 *
 * The test listens on an abstract name, on a path, on TCP and UDP ports of the host, and counts who
 * comes. */
#include "probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static void unix_connect(const char *what, const char *name, size_t n, int type)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (n > sizeof(a.sun_path)) {
        unable("%s is too long", what);
        return;
    }
    memcpy(a.sun_path, name, n);
    int s = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (s < 0) {
        unable("socket: %m");
        return;
    }
    refused(what,
            connect(s, (struct sockaddr *)&a,
                    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
            ECONNREFUSED, ENOENT, EPERM, EACCES, 0);
    close(s);
}

static void abstract(void)
{
    const char *name = fact("abstract");
    if (!name) {
        unable("no abstract socket was named");
        return;
    }
    char path[108] = {0};
    int n = snprintf(path + 1, sizeof(path) - 1, "%s", name);
    unix_connect("the host's abstract socket", path, (size_t)n + 1, SOCK_STREAM);
    unix_connect("as packets", path, (size_t)n + 1, SOCK_SEQPACKET);
    static const char dbus[] = "\0/tmp/.X11-unix/X0";
    unix_connect("X11", dbus, sizeof(dbus) - 1, SOCK_STREAM);
}

static void by_path(void)
{
    static const char *const paths[] = {"/run/docker.sock",
                                        "/var/run/docker.sock",
                                        "/run/containerd/containerd.sock",
                                        "/run/systemd/private",
                                        "/run/systemd/notify",
                                        "/run/dbus/system_bus_socket",
                                        "/run/systemd/journal/socket",
                                        "/dev/log",
                                        "/run/crio/crio.sock",
                                        "/run/podman/podman.sock",
                                        "/tmp/.X11-unix/X0",
                                        "/run/udev/control"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
        unix_connect(paths[i], paths[i], strlen(paths[i]) + 1, SOCK_STREAM);
    const char *mine = fact("socket");
    if (mine)
        unix_connect("the test's socket", mine, strlen(mine) + 1, SOCK_STREAM);
    else
        unable("no socket was named");
}

static void tcp(const char *what, const char *address, long port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, address, &a.sin_addr) != 1)
        return;
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0) {
        refused("socket", s, NO_CALL);
        return;
    }
    long r = connect(s, (struct sockaddr *)&a, sizeof(a));
    if (r < 0 && errno == EINPROGRESS) {
        struct pollfd p = {.fd = s, .events = POLLOUT};
        int code = ETIMEDOUT;
        socklen_t n = sizeof(code);
        if (poll(&p, 1, 500) == 1)
            getsockopt(s, SOL_SOCKET, SO_ERROR, &code, &n);
        errno = code;
        r = code ? -1 : 0;
    }
    refused(what, r, ECONNREFUSED, ENETUNREACH, EHOSTUNREACH, EACCES, EPERM, 0);
    close(s);
}

static void listeners(void)
{
    long port = fact_number("port");
    const char *address = fact("address");
    if (port <= 0) {
        unable("no port was named");
        return;
    }
    tcp("127.0.0.1", "127.0.0.1", port);
    tcp("the host's address", address && *address ? address : "10.0.0.1", port);
    tcp("metadata 169.254.169.254", "169.254.169.254", 80);
    tcp("192.0.2.1", "192.0.2.1", 443);
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons((uint16_t)port),
                              .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int s = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s >= 0) {
        refused("::1", connect(s, (struct sockaddr *)&a6, sizeof(a6)), ECONNREFUSED, ENETUNREACH,
                EADDRNOTAVAIL, EACCES, EPERM, 0);
        close(s);
    }
}

static void udp(void)
{
    long port = fact_number("udp");
    const char *addresses[] = {"127.0.0.1", fact("address"), "255.255.255.255", "224.0.0.1"};
    if (port <= 0) {
        unable("no port was named");
        return;
    }
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0) {
        refused("socket", s, NO_CALL);
        return;
    }
    for (size_t i = 0; i < 4; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        if (addresses[i] && inet_pton(AF_INET, addresses[i], &a.sin_addr) == 1)
            (void)sendto(s, "nwo", 3, 0, (struct sockaddr *)&a, sizeof(a));
    }
    host_decides("datagrams sent to port %ld of four addresses", port);
}

static void one_family(int family, int type, int protocol, const char *what)
{
    int s = socket(family, type | SOCK_CLOEXEC, protocol);
    if (s < 0 && (errno == EAFNOSUPPORT || errno == EPROTONOSUPPORT || errno == ESOCKTNOSUPPORT)) {
        not_applicable("%s: this kernel has none", what);
        return;
    }
    refused(what, s, EPERM, EACCES, ENOSYS, 0);
    if (s >= 0)
        close(s);
}

static void packet(void)
{
    one_family(AF_PACKET, SOCK_RAW, htons(3), "packet raw");
    one_family(AF_PACKET, SOCK_DGRAM, htons(3), "packet dgram");
    one_family(AF_PACKET, SOCK_PACKET, htons(3), "packet old");
}

static void raw(void)
{
    one_family(AF_INET, SOCK_RAW, IPPROTO_ICMP, "raw icmp");
    one_family(AF_INET, SOCK_RAW, IPPROTO_RAW, "raw ip");
    one_family(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6, "raw icmpv6");
}

static void vsock(void)
{
    one_family(AF_VSOCK, SOCK_STREAM, 0, "vsock stream");
    one_family(AF_VSOCK, SOCK_DGRAM, 0, "vsock dgram");
    one_family(AF_VSOCK, SOCK_SEQPACKET, 0, "vsock seqpacket");
}

static void alg(void)
{
    one_family(AF_ALG, SOCK_SEQPACKET, 0, "alg");
}

static void xdp(void)
{
    one_family(44, SOCK_RAW, 0, "xdp");
}

static void can(void)
{
    one_family(AF_CAN, SOCK_RAW, 1, "can raw");
    one_family(AF_CAN, SOCK_DGRAM, 2, "can bcm");
    one_family(31, SOCK_RAW, 1, "bluetooth hci");
    one_family(31, SOCK_SEQPACKET, 0, "bluetooth l2cap");
}

/* CVE-2021-26708, CVE-2022-0435, CVE-2021-22600 ...: a module nobody uses, loaded by its family. */
static void families(void)
{
    for (int f = 0; f < 64; f++) {
        if (f == AF_UNIX || f == AF_INET || f == AF_INET6 || f == AF_NETLINK)
            continue;
        for (int t = 1; t <= 5; t++) {
            int s = socket(f, t | SOCK_CLOEXEC, 0);
            if (s >= 0) {
                must(false, "family %d type %d opens", f, t);
                close(s);
            } else if (errno == EPERM || errno == EACCES) {
                must(true, "%s", t == 1 ? "." : "");
            }
        }
    }
    must(syscall(SYS_socket, 0x100000000 + AF_VSOCK, SOCK_STREAM, 0) < 0,
         "upper half of the argument set");
    int p[2];
    refused("socketpair of TIPC", socketpair(30, SOCK_STREAM, 0, p), EPERM, EACCES, EAFNOSUPPORT,
            0);
}

static void netlink_other(void)
{
    static const struct {
        const char *what;
        int protocol;
    } kinds[] = {{"usersock", 2},    {"firewall", 3},   {"sock_diag", 4},  {"nflog", 5},
                 {"xfrm", 6},        {"selinux", 7},    {"iscsi", 8},      {"audit", 9},
                 {"fib_lookup", 10}, {"connector", 11}, {"netfilter", 12}, {"kobject_uevent", 15},
                 {"generic", 16},    {"scsi", 18},      {"rdma", 20},      {"crypto", 21}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        one_family(AF_NETLINK, SOCK_RAW, kinds[i].protocol, kinds[i].what);
}

static void route_request(int s, const char *what, unsigned short type, unsigned short flags,
                          const void *body, size_t n)
{
    struct {
        struct nlmsghdr h;
        char body[128];
    } m = {.h = {.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + n),
                 .nlmsg_type = type,
                 .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags)}};
    memcpy(m.body, body, n);
    struct {
        struct nlmsghdr h;
        struct nlmsgerr e;
        char more[512];
    } a;
    if (send(s, &m, m.h.nlmsg_len, 0) < 0) {
        refused(what, -1, EPERM, EACCES, 0);
        return;
    }
    ssize_t k = recv(s, &a, sizeof(a), 0);
    if (k < (ssize_t)(sizeof(a.h) + sizeof(int)) || a.h.nlmsg_type != NLMSG_ERROR) {
        unable("%s: no answer of the kernel (%zd)", what, k);
        return;
    }
    errno = -a.e.error;
    refused(what, a.e.error ? -1 : 0, EPERM, EACCES, EOPNOTSUPP, 0);
}

static void netlink_route(void)
{
    int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (s < 0) {
        refused("netlink route", s, EPERM, EACCES, 0);
        return;
    }
    struct timeval second = {.tv_sec = 2};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
    struct {
        struct ifinfomsg i;
        struct rtattr info;
        struct rtattr kind;
        char name[8];
    } link = {.i = {.ifi_family = AF_UNSPEC},
              .info = {.rta_len = 4 + 4 + 6, .rta_type = IFLA_LINKINFO},
              .kind = {.rta_len = 4 + 6, .rta_type = IFLA_INFO_KIND},
              .name = "dummy"};
    route_request(s, "new dummy link", RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof(link));
    struct {
        struct ifaddrmsg a;
        struct rtattr r;
        uint32_t address;
    } addr = {.a = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = 1},
              .r = {.rta_len = 8, .rta_type = IFA_LOCAL},
              .address = htonl(0x7f0000fe)};
    route_request(s, "new address", RTM_NEWADDR, NLM_F_CREATE, &addr, sizeof(addr));
    struct {
        struct rtmsg r;
        struct rtattr o;
        uint32_t index;
    } route = {.r = {.rtm_family = AF_INET,
                     .rtm_table = 254,
                     .rtm_protocol = 3,
                     .rtm_scope = 253,
                     .rtm_type = 1},
               .o = {.rta_len = 8, .rta_type = RTA_OIF},
               .index = 1};
    route_request(s, "default route", RTM_NEWROUTE, NLM_F_CREATE, &route, sizeof(route));
    struct tcmsg tc = {.tcm_family = AF_UNSPEC, .tcm_ifindex = 1, .tcm_parent = 0xffffffff};
    route_request(s, "new qdisc (CVE-2023-4623 ...)", RTM_NEWQDISC, NLM_F_CREATE, &tc, sizeof(tc));
    route_request(s, "new traffic filter", RTM_NEWTFILTER, NLM_F_CREATE, &tc, sizeof(tc));
    struct {
        uint8_t family;
        uint8_t pad[3];
    } ns = {0};
    route_request(s, "new netns id", 88 /* RTM_NEWNSID */, 0, &ns, sizeof(ns));
    close(s);
}

static void net_ioctls(void)
{
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0) {
        refused("socket", s, NO_CALL);
        return;
    }
    struct ifreq r = {.ifr_flags = 0};
    memcpy(r.ifr_name, "lo", 3);
    refused("lo down", ioctl(s, SIOCSIFFLAGS, &r), EPERM, 0);
    r.ifr_mtu = 1500;
    refused("mtu", ioctl(s, SIOCSIFMTU, &r), EPERM, 0);
    refused("new bridge", ioctl(s, SIOCBRADDBR, "br9"), EPERM, ENOPKG, ENOTTY, 0);
    char route[120] = {0};
    refused("route", ioctl(s, SIOCADDRT, route), EPERM, 0);
    refused("ethtool", ioctl(s, SIOCETHTOOL, &r), EPERM, EOPNOTSUPP, EFAULT, ENODEV, 0);
    refused_open("/dev/net/tun", O_RDWR);
    close(s);
}

static void socket_options(void)
{
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0) {
        refused("socket", s, NO_CALL);
        return;
    }
    int one = 1;
    char blob[200] = {0};
    refused("SO_MARK", setsockopt(s, SOL_SOCKET, SO_MARK, &one, sizeof(one)), EPERM, 0);
    refused("SO_RCVBUFFORCE", setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &one, sizeof(one)), EPERM,
            0);
    refused("SO_DEBUG", setsockopt(s, SOL_SOCKET, SO_DEBUG, &one, sizeof(one)), EPERM, EACCES, 0);
    refused("IP_TRANSPARENT", setsockopt(s, IPPROTO_IP, IP_TRANSPARENT, &one, sizeof(one)), EPERM,
            0);
    refused("TCP_REPAIR", setsockopt(s, IPPROTO_TCP, 19, &one, sizeof(one)), EPERM, 0);
    /* CVE-2021-22555: heap overflow in here, by whoever has CAP_NET_ADMIN in some namespace. */
    refused("IPT_SO_SET_REPLACE", setsockopt(s, IPPROTO_IP, 64, blob, sizeof(blob)), EPERM,
            ENOPROTOOPT, 0);
    refused("SO_ATTACH_BPF", setsockopt(s, SOL_SOCKET, SO_ATTACH_BPF, &one, sizeof(one)), EBADF,
            EINVAL, EPERM, 0);
    close(s);
}

static void forged_credentials(void)
{
    int p[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) < 0) {
        unable("socketpair: %m");
        return;
    }
    const struct ucred others[] = {{1, getuid(), getgid()},
                                   {getpid(), getuid() ? 0 : 1000, getgid()},
                                   {getpid(), getuid(), getgid() ? 0 : 1000}};
    for (size_t i = 0; i < 3; i++) {
        union {
            char b[CMSG_SPACE(sizeof(struct ucred))];
            struct cmsghdr align;
        } c = {.b = {0}};
        char x = 0;
        struct iovec io = {&x, 1};
        struct msghdr m = {
            .msg_iov = &io, .msg_iovlen = 1, .msg_control = c.b, .msg_controllen = sizeof(c.b)};
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_CREDENTIALS;
        h->cmsg_len = CMSG_LEN(sizeof(struct ucred));
        memcpy(CMSG_DATA(h), &others[i], sizeof(struct ucred));
        refused(i == 0   ? "as pid 1"
                : i == 1 ? "as another uid"
                         : "as another gid",
                sendmsg(p[0], &m, 0), EPERM, EINVAL, ESRCH, 0);
    }
}

/* The test has made a shared memory segment on the host, readable by everybody. */
static void ipc_of_host(void)
{
    long id = fact_number("shmid");
    if (id < 0) {
        unable("no segment was named");
        return;
    }
    void *p = shmat((int)id, NULL, SHM_RDONLY);
    refused("shmat of the host's id", p == (void *)-1 ? -1 : 0, EINVAL, EIDRM, EACCES, EPERM, 0);
    struct shm_info info;
    long n = shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info);
    must(n < 0 || info.used_ids == 0, "%d segments in sight", n < 0 ? 0 : info.used_ids);
    struct seminfo sem;
    n = semctl(0, 0, SEM_INFO, &sem);
    must(n < 0 || sem.semusz == 0, "%d semaphore sets in sight", n < 0 ? 0 : sem.semusz);
    struct msginfo msg;
    n = msgctl(0, MSG_INFO, (struct msqid_ds *)(void *)&msg);
    must(n < 0 || msg.msgpool == 0, "%d queues in sight", n < 0 ? 0 : msg.msgpool);
}

const struct probe sockets_probes[] = {
    {"abstract_socket", "CVE-2020-15257 (containerd-shim's abstract socket)",
     "connect to the host's abstract socket", "own network namespace; Landlock's scope", abstract,
     0},
    {"unix_paths", "docker.sock and its like", "connect to twelve usual paths and the test's",
     "an assembled root that never held them", by_path, 0},
    {"host_listeners", "services that trust loopback",
     "TCP to 127.0.0.1, ::1, the host's address, metadata", "own network namespace, no route",
     listeners, 0},
    {"host_datagrams", "services that trust loopback", "UDP to the host, broadcast, multicast",
     "own network namespace, no route", udp, 0},
    {"packet_sockets", "CVE-2020-14386 (packet sockets)", "AF_PACKET of three types",
     "refused by the filter; no CAP_NET_RAW", packet, 0},
    {"raw_sockets", "forged packets", "ICMP, IP and ICMPv6 of type raw", "no CAP_NET_RAW", raw, 0},
    {"vsock", "CVE-2021-26708; the hypervisor's services", "AF_VSOCK of three types",
     "refused by the filter", vsock, 0},
    {"af_alg", "CVE-2026-31431 and others in the crypto API", "AF_ALG", "refused by the filter",
     alg, 0},
    {"af_xdp", "packets past the stack", "AF_XDP", "refused by the filter", xdp, 0},
    {"can_bluetooth", "CVE-2021-3609 (CAN), CVE-2020-24490 (Bluetooth)",
     "AF_CAN and AF_BLUETOOTH, two types each", "refused by the filter", can, 0},
    {"socket_families", "rare protocol modules", "all families below 64, five types; socketpair",
     "the second filter allows Unix, IPv4, IPv6, route netlink", families, 0},
    {"netlink_families", "audit, uevents, netfilter, xfrm ... (CVE-2017-7308, CVE-2024-1086)",
     "sixteen netlink protocols", "the second filter allows route netlink only", netlink_other, 0},
    {"netlink_route", "changing the network; CVE-2023-4623 and others in tc",
     "new link, address, route, qdisc, filter, netns id", "no CAP_NET_ADMIN", netlink_route, 0},
    {"net_ioctls", "changing the network", "interface flags, mtu, bridge, route, ethtool, tun",
     "no CAP_NET_ADMIN", net_ioctls, 0},
    {"socket_options", "CVE-2021-22555 (netfilter replace)",
     "SO_MARK, IP_TRANSPARENT, TCP_REPAIR, table replace, four more", "no CAP_NET_ADMIN",
     socket_options, 0},
    {"forged_credentials", "services that trust SO_PEERCRED",
     "credentials of pid 1, another uid, another gid", "no capabilities", forged_credentials, 0},
    {"ipc_of_host", "System V IPC of the host", "attach the test's segment, count objects",
     "own ipc namespace", ipc_of_host, 0},
    {.name = NULL},
};
