/* test_doors.c - sockets born inside and held outside, through every engine that isolates: what a
 * program inside sends arrives at the door outside, nobody inside can stand beside it, and the
 * network ends with the box. As root and as an ordinary user. */
#include "unit/loop.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "unit/box/box_harness.h"
#include "fiber/fiber.h"
#include "sandbox/spec.h"

static void add(struct sandbox_spec *s, enum sandbox_door_kind kind, const char *address,
                uint16_t port)
{
    assert_int_equal(sandbox_spec_add_door(s, kind, address, port, NULL), 0);
}

/* Some that egress asks for, and others. */
enum { HTTP4, HTTP6, HTTPS4, HTTPS6, PROXY, DNS, DNS_TCP, DATABASE, DATABASE6, N_SOCKETS };
static const size_t index_of[N_SOCKETS] = {0, 0, 1, 1, 2, 3, 4, 5, 6};

static void with_doors(const struct harness_job *j, struct sandbox_spec *s)
{
    sandbox_spec_init(s);
    if (geteuid() != 0 && j->engine->isolation == BOX_OCI)
        s->user = SANDBOX_USER_ROOT; /* containers of an ordinary user have no other */
    add(s, SANDBOX_DOOR_TCP, NULL, 80);
    add(s, SANDBOX_DOOR_TCP, NULL, 443);
    add(s, SANDBOX_DOOR_TCP, "127.0.0.1", 3128);
    add(s, SANDBOX_DOOR_UDP, "127.0.0.1", 53);
    add(s, SANDBOX_DOOR_TCP, "127.0.0.1", 53);
    add(s, SANDBOX_DOOR_TCP, "198.18.0.9", 5432);
    add(s, SANDBOX_DOOR_TCP, "fd73:616c:6c79::9", 5432);
}

static struct box_host *host_for(const struct harness_engine *en, const char *dir,
                                 const struct sandbox_spec *s, size_t warm)
{
    const struct box_host_config cfg = {.state_dir = dir,
                                        .isolation = en->isolation,
                                        .oci_runtime = en->runtime,
                                        .warm_spec = s,
                                        .warm = warm,
                                        .single = en->single};
    return harness_start(&cfg);
}

/* The socket of door `index` and this family. */
static int socket_of(const struct box *b, size_t at)
{
    size_t n;
    const struct box_door *doors = box_doors(b, &n);
    assert_int_equal(n, N_SOCKETS);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(doors[i].index, index_of[i]);
    return doors[at].fd;
}

static void wait_for(int fd)
{
    for (int i = 0; i < 2000; i++) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 0) == 1)
            return;
        assert_int_equal(fiber_sleep_ms(5), 0);
    }
    fail_msg("nobody came to the door");
}

/* A program inside says where it is and reads an answer; outside accepts it as that address. */
static void talk(struct box *b, size_t at, const char *address, int port)
{
    AUTO_FREE char *command = mem_printf(
        "(exec 3<>/dev/tcp/%s/%d && echo hello >&3 && read -t 10 x <&3; echo $x >/tmp/got) "
        ">/dev/null 2>&1 & echo begun",
        address, port);
    const int door = socket_of(b, at);
    harness_expect(b, command, "begun");
    wait_for(door);
    AUTO_CLOSE int s = accept4(door, NULL, NULL, SOCK_CLOEXEC);
    assert_true(s >= 0);
    struct sockaddr_storage local = {.ss_family = AF_UNSPEC};
    socklen_t n = sizeof(local);
    assert_int_equal(getsockname(s, (struct sockaddr *)&local, &n), 0);
    char text[INET6_ADDRSTRLEN], said[16] = "";
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&local;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&local;
    inet_ntop(local.ss_family,
              local.ss_family == AF_INET ? (const void *)&in->sin_addr : &in6->sin6_addr, text,
              sizeof(text));
    assert_string_equal(text, address);
    assert_int_equal(ntohs(in->sin_port), port); /* at the same place in both */
    wait_for(s);
    assert_int_equal(recv(s, said, sizeof(said) - 1, 0), 6);
    assert_string_equal(said, "hello\n");
    assert_int_equal(send(s, "answer\n", 7, MSG_NOSIGNAL), 7);
    harness_expect(b, "wait; cat /tmp/got", "answer");
}

static void ask_by_datagram(struct box *b)
{
    const int door = socket_of(b, DNS);
    harness_expect(b,
                   "python3 -c 'import socket as k; s = k.socket(k.AF_INET, k.SOCK_DGRAM); "
                   "s.connect((\"127.0.0.1\", 53)); s.send(b\"ask\"); print(s.recv(9).decode())' "
                   ">/tmp/got 2>&1 & echo begun",
                   "begun");
    wait_for(door);
    char text[8];
    struct sockaddr_in from;
    socklen_t n = sizeof(from);
    assert_int_equal(recvfrom(door, text, sizeof(text), 0, (struct sockaddr *)&from, &n), 3);
    assert_int_equal(sendto(door, "known", 5, 0, (struct sockaddr *)&from, n), 5);
    harness_expect(b, "wait; cat /tmp/got", "known");
}

/* What a program inside cannot do. */
static void refused(struct box *b)
{
    harness_expect(
        b,
        "python3 - <<'END'\n"
        "import socket as k, errno\n"
        "def at(family, kind, place):\n"
        "    s = k.socket(family, kind)\n"
        "    s.setsockopt(k.SOL_SOCKET, k.SO_REUSEADDR, 1)\n"
        "    s.setsockopt(k.SOL_SOCKET, k.SO_REUSEPORT, 1)\n"
        "    try:\n"
        "        s.bind(place)\n"
        "        if kind == k.SOCK_STREAM: s.listen()\n"
        "        return 'bound'\n"
        "    except OSError as e:\n"
        "        return errno.errorcode[e.errno]\n"
        "def to(family, kind, place):\n"
        "    s = k.socket(family, kind)\n"
        "    s.settimeout(2)\n"
        "    try:\n"
        "        s.connect(place)\n"
        "        s.send(b'x')\n"
        "        return 'sent'\n"
        "    except OSError as e:\n"
        "        return errno.errorcode.get(e.errno, 'timeout')\n"
        "def kind(*what):\n"
        "    try:\n"
        "        k.socket(*what)\n"
        "        return 'made'\n"
        "    except OSError as e:\n"
        "        return errno.errorcode[e.errno]\n"
        "four, six, tcp, udp = k.AF_INET, k.AF_INET6, k.SOCK_STREAM, k.SOCK_DGRAM\n"
        "print(*(at(four, tcp, p) for p in (('198.18.0.9', 5432), ('127.0.0.1', 3128), ('0.0.0.0', "
        "5432), ('0.0.0.0', 3128))))\n"
        "print(at(four, tcp, ('127.0.0.1', 5432)), at(four, tcp, ('198.18.0.9', 5433)))\n"
        "print(*({'EACCES': 'kept', 'EADDRINUSE': 'kept'}.get(at(four, t, ('127.0.0.1', p))) for "
        "t, p "
        "in ((tcp, 443), (tcp, 80), (udp, 53), (tcp, 53))))\n"
        "print(*(to(four, t, (a, 443)) for t in (tcp, udp) for a in ('192.0.2.1', '198.20.0.1')))\n"
        "print(*(to(six, t, (a, 443)) for t in (tcp, udp) for a in ('2001:db8::1', "
        "'fd73:616c:6c79:1::1')))\n"
        "print(to(four, tcp, ('198.18.0.1', 444)), to(four, tcp, ('198.18.0.8', 5432)))\n"
        "print(kind(four, k.SOCK_RAW, 1), kind(four, k.SOCK_RAW, 6), kind(k.AF_PACKET, k.SOCK_RAW, "
        "3), kind(k.AF_PACKET, udp, 3))\n"
        "END",
        "EADDRINUSE EADDRINUSE EADDRINUSE EADDRINUSE\n"
        "bound bound\n"
        "kept kept kept kept\n"
        "ENETUNREACH ENETUNREACH ENETUNREACH ENETUNREACH\n"
        "ENETUNREACH ENETUNREACH ENETUNREACH ENETUNREACH\n"
        "ECONNREFUSED ECONNREFUSED\n"
        "EPERM EPERM EPERM EPERM");
}

/* No descriptor of a program leads to a door. */
static void nobody_inside_has_one(struct box *b)
{
    harness_expect(b, "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c 'socket:'; true", "0");
}

/* ---- the end of the network ---- */

/* How many processes are in the network namespace `inode`; those of other users cannot be asked. */
static size_t processes_in(ino_t inode)
{
    size_t n = 0;
    DIR *d = opendir("/proc");
    assert_non_null(d);
    for (struct dirent *de; (de = readdir(d));) {
        AUTO_FREE char *path = mem_printf("/proc/%s/ns/net", de->d_name);
        struct stat st;
        n += de->d_name[0] >= '1' && de->d_name[0] <= '9' && stat(path, &st) == 0 &&
             st.st_ino == inode;
    }
    closedir(d);
    return n;
}

static ino_t network_of(pid_t pid)
{
    AUTO_FREE char *path = mem_printf("/proc/%d/ns/net", (int)pid);
    struct stat st;
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

/* A socket that hears of the ends of namespaces that have a number in ours, or -1: that takes root.
 * The sandbox's gets one. */
static int listen_for_ends(pid_t pid)
{
    AUTO_CLOSE int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    AUTO_FREE char *path = mem_printf("/proc/%d/ns/net", (int)pid);
    AUTO_CLOSE int ns = open(path, O_RDONLY | O_CLOEXEC);
    const int group = RTNLGRP_NSID;
    struct {
        struct nlmsghdr head;
        struct rtgenmsg gen;
        char pad[3];
        struct rtattr nsid;
        int32_t id;
        struct rtattr fd;
        int32_t number;
    } q = {
        .head = {.nlmsg_type = RTM_NEWNSID, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_len = sizeof(q)},
        .nsid = {.rta_len = RTA_LENGTH(4), .rta_type = NETNSA_NSID},
        .id = -1,
        .fd = {.rta_len = RTA_LENGTH(4), .rta_type = NETNSA_FD},
        .number = ns};
    if (geteuid() != 0 || s < 0 || ns < 0)
        return -1;
    assert_int_equal(setsockopt(s, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)), 0);
    assert_int_equal(send(s, &q, sizeof(q), 0), sizeof(q));
    wait_for(s); /* RTM_NEWNSID */
    return TAKE_FD(s);
}

static bool heard_of_an_end(int s)
{
    union {
        char bytes[1024];
        struct nlmsghdr head;
    } m;
    bool ended = false;
    while (recv(s, &m, sizeof(m), 0) > 0)
        ended = ended || m.head.nlmsg_type == RTM_DELNSID;
    return ended;
}

/* A copy of one socket keeps it, the last one lets it go. */
static void the_network_ends_with_the_box(struct box *b)
{
    const ino_t inode = network_of(box_pid(b));
    AUTO_CLOSE int ends = listen_for_ends(box_pid(b)),
                   copy = fcntl(socket_of(b, HTTPS4), F_DUPFD_CLOEXEC, 3);
    assert_true(copy >= 0);
    box_close(b);
    for (int i = 0; inode && processes_in(inode) > 0; i++) {
        assert_true(i < 400);
        assert_int_equal(fiber_sleep_ms(5), 0);
    }
    if (ends < 0) {
        print_message("only root hears of the end of a network; no process is in it any more\n");
        return;
    }
    assert_int_equal(fiber_sleep_ms(100), 0); /* it would come now */
    assert_false(heard_of_an_end(ends));
    close(TAKE_FD(copy));
    for (int i = 0; !heard_of_an_end(ends); i++) {
        if (i == 1000)
            fail_msg("somebody still holds the sandbox's network");
        assert_int_equal(fiber_sleep_ms(5), 0);
    }
}

/* ---- all of it ---- */

static int doors_fiber(void *arg)
{
    const struct harness_job *j = arg;
    struct sandbox_spec s;
    with_doors(j, &s);
    struct box_host *h = host_for(j->engine, j->dir, &s, 0);
    assert_int_equal(fiber_sleep_ms(j->engine->single ? 0 : 50), 0); /* for the zygote's stock */
    const struct box_spec spec = {.sandbox = &s};
    int64_t began = time_mono_ns();
    struct box *b = harness_open(h, &spec);
    print_message("%s: opened with doors in %lld us\n", j->engine->name,
                  (long long)(time_mono_ns() - began) / 1000);
    nobody_inside_has_one(b);
    talk(b, HTTPS4, "198.18.3.4", 443);
    talk(b, HTTP4, "198.19.255.254", 80);
    talk(b, HTTPS4, "127.0.0.1", 443);
    talk(b, HTTPS6, "fd73:616c:6c79::77", 443);
    talk(b, HTTP6, "::1", 80);
    talk(b, PROXY, "127.0.0.1", 3128);
    talk(b, DNS_TCP, "127.0.0.1", 53);
    talk(b, DATABASE, "198.18.0.9", 5432);
    talk(b, DATABASE6, "fd73:616c:6c79::9", 5432);
    ask_by_datagram(b);
    refused(b);
    the_network_ends_with_the_box(b);
    box_host_stop(h);
    sandbox_spec_done(&s);
    return 0;
}

static void doors_lead_out_as_root(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    harness_each_isolating(doors_fiber, false);
}

static void doors_lead_out_as_an_ordinary_user(void **state)
{
    (void)state;
    harness_each_isolating(doors_fiber, true);
}

/* ---- made ahead ---- */

static int warm_fiber(void *arg)
{
    const struct harness_job *j = arg;
    if (j->engine->single) /* it makes nothing ahead */
        return 0;
    struct sandbox_spec s;
    with_doors(j, &s);
    struct box_host *h = host_for(j->engine, j->dir, &s, 2);
    while (box_host_warm(h) < 2)
        assert_int_equal(fiber_sleep_ms(5), 0);
    const struct box_spec spec = {.sandbox = &s};
    struct box *a = harness_open(h, &spec), *b = harness_open(h, &spec);
    /* Each has its own: what is sent in one arrives at its own door only. */
    talk(b, HTTPS4, "198.18.3.4", 443);
    struct pollfd p = {.fd = socket_of(a, HTTPS4), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    talk(a, HTTPS4, "198.18.3.4", 443);
    box_close(a);
    the_network_ends_with_the_box(b);
    /* Without doors there are none, whatever stands ready. */
    struct sandbox_spec plain;
    sandbox_spec_init(&plain);
    plain.user = s.user;
    const struct box_spec other = {.sandbox = &plain};
    struct box *c = harness_open(h, &other);
    size_t n = 7;
    assert_null(box_doors(c, &n));
    assert_int_equal(n, 0);
    box_close(c);
    box_host_stop(h);
    sandbox_spec_done(&s);
    return 0;
}

static void those_made_ahead_have_doors_of_their_own(void **state)
{
    (void)state;
    harness_each_isolating(warm_fiber, geteuid() != 0);
}

/* ---- as many as there can be, and what cannot be ---- */

static int many_fiber(void *arg)
{
    const struct harness_job *j = arg;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    if (geteuid() != 0)
        s.user = SANDBOX_USER_ROOT;
    for (uint16_t i = 0; i < SANDBOX_DOORS_MAX; i++)
        add(&s, SANDBOX_DOOR_TCP, NULL, (uint16_t)(1000 + i));
    struct box_host *h = host_for(j->engine, j->dir, &s, 0);
    assert_int_equal(fiber_sleep_ms(j->engine->single ? 0 : 50), 0);
    const struct box_spec spec = {.sandbox = &s};
    struct box *b = harness_open(h, &spec);
    size_t n;
    const struct box_door *doors = box_doors(b, &n);
    assert_int_equal(n, SANDBOX_DOOR_FDS_MAX);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(doors[i].index, i / 2);
    box_close(b);
    box_host_stop(h);
    sandbox_spec_done(&s);
    return 0;
}

static void there_can_be_many(void **state)
{
    (void)state;
    harness_each_isolating(many_fiber, geteuid() != 0);
}

static int impossible_fiber(void *arg)
{
    const struct harness_job *j = arg;
    static const struct {
        enum box_isolation isolation;
        enum sandbox_network network;
        const char *words;
    } table[] = {{BOX_NATIVE, SANDBOX_NET_NONE, "without a network"},
                 {BOX_NONE, SANDBOX_NET_LOOPBACK, "there is no boundary"}};
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct sandbox_spec s;
        struct err e = {.code = 0};
        struct box *b = NULL;
        sandbox_spec_init(&s);
        s.network = table[i].network;
        add(&s, SANDBOX_DOOR_TCP, NULL, 443);
        const struct box_host_config cfg = {.state_dir = j->dir, .isolation = table[i].isolation};
        struct box_host *h = harness_start(&cfg);
        const struct box_spec spec = {.sandbox = &s};
        assert_int_equal(box_open(h, &spec, &b, &e), -EINVAL);
        if (!strstr(e.msg, table[i].words))
            fail_msg("\"%s\" does not say \"%s\"", e.msg, table[i].words);
        box_host_stop(h);
        sandbox_spec_done(&s);
    }
    return 0;
}

static void what_cannot_have_doors_says_so(void **state)
{
    (void)state;
    struct harness_job j = {.dir = outside_dir()};
    run_on_loop(impossible_fiber, &j);
    outside_dir_gone((char *)(uintptr_t)j.dir);
}

int main(int argc, char **argv)
{
    int role = harness_role(argc, argv);
    if (role >= 0)
        return role;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doors_lead_out_as_root),
        cmocka_unit_test(doors_lead_out_as_an_ordinary_user),
        cmocka_unit_test(those_made_ahead_have_doors_of_their_own),
        cmocka_unit_test(there_can_be_many),
        cmocka_unit_test(what_cannot_have_doors_says_so),
    };
    cmocka_set_test_filter(argc == 2 ? argv[1] : NULL); /* by hand: one of them */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
