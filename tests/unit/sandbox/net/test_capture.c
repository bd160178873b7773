/* test_capture.c - routes and doors in network namespaces of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "sandbox/net/capture.h"

/* Runs `fn` in a child with a fresh network namespace and rights over it. */
static void in_fresh_network(void (*fn)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (unshare((geteuid() == 0 ? 0 : CLONE_NEWUSER) | CLONE_NEWNET) < 0)
            _exit(77);
        fn();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip(); /* this kernel gives an ordinary user no namespaces */
    assert_int_equal(status, 0);
}

/* In the child, where cmocka's asserts would return into the parent's stack. */
#define NEED(x)                                                                                    \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            print_error("line %d: %s: %s\n", __LINE__, #x, strerror(errno));                       \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static socklen_t place(const char *address, uint16_t port, struct sockaddr_storage *ret)
{
    struct sandbox_door d = {.port = port};
    memcpy(d.address, address, strlen(address));
    return sandbox_door_address(&d, sandbox_door_family(&d), ret);
}

static int connect_to(const char *address, uint16_t port, int type)
{
    struct sockaddr_storage a;
    socklen_t n = place(address, port, &a);
    int s = socket(a.ss_family, type | SOCK_CLOEXEC, 0);
    NEED(s >= 0);
    if (connect(s, (struct sockaddr *)&a, n) == 0)
        return s;
    int code = errno;
    close(s);
    errno = code;
    return -1;
}

/* The next connection at `door` has this local address. */
static void accept_as(int door, const char *address, uint16_t port)
{
    struct pollfd p = {.fd = door, .events = POLLIN};
    NEED(poll(&p, 1, 5000) == 1);
    int s = accept4(door, NULL, NULL, SOCK_CLOEXEC);
    struct sockaddr_storage wanted, got;
    socklen_t n = sizeof(got);
    NEED(s >= 0 && getsockname(s, (struct sockaddr *)&got, &n) == 0);
    NEED(n == place(address, port, &wanted) && memcmp(&wanted, &got, n) == 0);
    close(s);
}

static const struct sandbox_door some[] = {
    {SANDBOX_DOOR_TCP, "", 443},
    {SANDBOX_DOOR_TCP, "", 8443},
    {SANDBOX_DOOR_TCP, "198.18.0.9", 5432},
    {SANDBOX_DOOR_TCP, "fd73:616c:6c79::9", 5432},
    {SANDBOX_DOOR_UDP, "127.0.0.1", 53},
    {SANDBOX_DOOR_TCP, "127.0.0.1", 53},
};
enum { ANY4, ANY6, HIGH4, HIGH6, FIXED4, FIXED6, DNS, DNS_TCP, N_SOCKETS };

static struct capture_doors open_some(void)
{
    struct capture_doors d;
    struct err e;
    NEED(capture_network_up() == 0);
    if (capture_open(some, ARRAY_LEN(some), &d, &e) < 0) {
        print_error("%s\n", e.msg);
        _exit(1);
    }
    NEED(d.n == N_SOCKETS);
    return d;
}

/* Whether some interface has an address of this family besides the loopback's. */
static bool has_own(int family)
{
    struct ifaddrs *all;
    bool found = false;
    NEED(getifaddrs(&all) == 0);
    for (struct ifaddrs *a = all; a; a = a->ifa_next) {
        if (!a->ifa_addr || a->ifa_addr->sa_family != family)
            continue;
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)a->ifa_addr;
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)a->ifa_addr;
        found = found || (family == AF_INET ? in->sin_addr.s_addr != htonl(INADDR_LOOPBACK)
                                            : !IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr));
    }
    freeifaddrs(all);
    return found;
}

static void reach(void)
{
    struct capture_doors d = open_some();
    static const struct {
        const char *address;
        uint16_t port;
        int door;
    } table[] = {
        {"198.18.0.0", 443, ANY4},
        {"198.18.3.4", 443, ANY4},
        {"198.19.255.255", 443, ANY4},
        {"127.0.0.1", 443, ANY4},
        {"127.8.8.8", 8443, HIGH4},
        {"fd73:616c:6c79::3", 443, ANY6},
        {"fd73:616c:6c79:0:ffff:ffff:ffff:ffff", 8443, HIGH6},
        {"::1", 443, ANY6},
        {"198.18.0.9", 5432, FIXED4},
        {"fd73:616c:6c79::9", 5432, FIXED6},
        {"127.0.0.1", 53, DNS_TCP},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        int s = connect_to(table[i].address, table[i].port, SOCK_STREAM);
        NEED(s >= 0);
        accept_as(d.fd[table[i].door], table[i].address, table[i].port);
        close(s);
    }
    int s = connect_to("127.0.0.1", 53, SOCK_DGRAM);
    char text[8];
    struct sockaddr_storage from;
    socklen_t n = sizeof(from);
    NEED(s >= 0 && send(s, "ask", 3, 0) == 3);
    NEED(recvfrom(d.fd[DNS], text, sizeof(text), 0, (struct sockaddr *)&from, &n) == 3);
    NEED(sendto(d.fd[DNS], "yes", 3, 0, (struct sockaddr *)&from, n) == 3);
    NEED(recv(s, text, sizeof(text), 0) == 3 && memcmp(text, "yes", 3) == 0);
}

/* A program that asks for the machine's kinds of addresses learns of both. */
static void configured(void)
{
    NEED(capture_network_up() == 0);
    NEED(!has_own(AF_INET) && !has_own(AF_INET6));
    struct capture_doors d = open_some();
    NEED(has_own(AF_INET) && has_own(AF_INET6));
    capture_doors_close(&d);
}

static void doors_come_with_addresses_of_their_own(void **state)
{
    (void)state;
    in_fresh_network(configured);
}

static void every_synthetic_address_leads_to_its_door(void **state)
{
    (void)state;
    in_fresh_network(reach);
}

static void out(void)
{
    (void)open_some();
    static const char *const elsewhere[] = {"192.0.2.1", "198.20.0.1",  "198.17.255.255",
                                            "10.0.0.1",  "2001:db8::1", "fd73:616c:6c79:1::1",
                                            "fe80::1"};
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
        for (size_t k = 0; k < ARRAY_LEN(types); k++) {
            NEED(connect_to(elsewhere[i], 443, types[k]) < 0);
            NEED(errno == ENETUNREACH || errno == EHOSTUNREACH || errno == EINVAL ||
                 errno == EADDRNOTAVAIL);
        }
    /* And where there is no door, there is nobody. */
    NEED(connect_to("198.18.0.1", 444, SOCK_STREAM) < 0 && errno == ECONNREFUSED);
    NEED(connect_to("198.18.0.8", 5432, SOCK_STREAM) < 0 && errno == ECONNREFUSED);
    int s = connect_to("198.18.0.1", 53, SOCK_DGRAM);
    char c;
    NEED(s >= 0 && send(s, "x", 1, 0) == 1);
    NEED(recv(s, &c, 1, 0) < 0 && errno == ECONNREFUSED);
}

static void nothing_else_is_reachable(void **state)
{
    (void)state;
    in_fresh_network(out);
}

static int bind_at(const char *address, uint16_t port, int type)
{
    struct sockaddr_storage a;
    socklen_t n = place(address, port, &a);
    int s = socket(a.ss_family, type | SOCK_CLOEXEC, 0), on = 1;
    NEED(s >= 0 && setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
         setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0);
    if (a.ss_family == AF_INET6)
        NEED(setsockopt(s, IPPROTO_IPV6, 78 /* IPV6_FREEBIND */, &on, sizeof(on)) == 0);
    int r = bind(s, (struct sockaddr *)&a, n) < 0 ? -errno : 0;
    if (r == 0 && type == SOCK_STREAM)
        r = listen(s, 1) < 0 ? -errno : 0;
    close(s);
    return r;
}

/* With every option that lets sockets share a port, and rights that a program never has. */
static void beside(void)
{
    (void)open_some();
    static const struct {
        const char *address;
        uint16_t port;
        int type, result;
    } table[] = {
        {"0.0.0.0", 443, SOCK_STREAM, -EADDRINUSE},
        {"127.0.0.1", 443, SOCK_STREAM, -EADDRINUSE},
        {"198.18.0.1", 443, SOCK_STREAM, -EADDRINUSE},
        {"198.18.0.1", 8443, SOCK_STREAM, -EADDRINUSE},
        {"::", 443, SOCK_STREAM, -EADDRINUSE},
        {"::1", 8443, SOCK_STREAM, -EADDRINUSE},
        {"fd73:616c:6c79::5", 8443, SOCK_STREAM, -EADDRINUSE},
        {"198.18.0.9", 5432, SOCK_STREAM, -EADDRINUSE},
        {"fd73:616c:6c79::9", 5432, SOCK_STREAM, -EADDRINUSE},
        {"0.0.0.0", 5432, SOCK_STREAM, -EADDRINUSE},
        {"127.0.0.1", 5432, SOCK_STREAM, 0}, /* a program's own */
        {"::1", 5432, SOCK_STREAM, 0},
        {"127.0.0.1", 53, SOCK_DGRAM, -EADDRINUSE},
        {"0.0.0.0", 53, SOCK_DGRAM, -EADDRINUSE},
        {"127.0.0.1", 53, SOCK_STREAM, -EADDRINUSE},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        int r = bind_at(table[i].address, table[i].port, table[i].type);
        if (r != table[i].result) {
            print_error("%s port %u: %s\n", table[i].address, table[i].port, err_name(r));
            _exit(1);
        }
    }
}

static void nobody_binds_beside_a_door(void **state)
{
    (void)state;
    in_fresh_network(beside);
}

static void sockets(void)
{
    struct capture_doors d = open_some();
    for (size_t i = 0; i < d.n; i++) {
        int v;
        socklen_t n = sizeof(v);
        NEED(fcntl(d.fd[i], F_GETFD) == FD_CLOEXEC);
        NEED(fcntl(d.fd[i], F_GETFL) & O_NONBLOCK);
        NEED(getsockopt(d.fd[i], SOL_SOCKET, SO_ACCEPTCONN, &v, &n) == 0 && v == (i != DNS));
        NEED(getsockopt(d.fd[i], SOL_SOCKET, SO_REUSEPORT, &v, &n) == 0 && v == 0);
        NEED(getsockopt(d.fd[i], SOL_SOCKET, SO_REUSEADDR, &v, &n) == 0 && v == 0);
    }
    const int first = d.fd[0];
    capture_doors_close(&d);
    NEED(d.n == 0 && fcntl(first, F_GETFD) < 0);
    /* What fails leaves nothing open. */
    static const struct sandbox_door twice[] = {{SANDBOX_DOOR_TCP, "127.0.0.1", 99},
                                                {SANDBOX_DOOR_TCP, "127.0.0.1", 99}};
    struct err e;
    const int before = dup(0);
    close(before);
    NEED(capture_open(twice, 2, &d, &e) == -EADDRINUSE);
    NEED(strstr(e.msg, "127.0.0.1 port 99"));
    const int after = dup(0);
    NEED(before == after);
    /* The network can be brought up again. */
    NEED(capture_network_up() == 0);
}

static void sockets_are_as_promised(void **state)
{
    (void)state;
    in_fresh_network(sockets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doors_come_with_addresses_of_their_own),
        cmocka_unit_test(every_synthetic_address_leads_to_its_door),
        cmocka_unit_test(nothing_else_is_reachable),
        cmocka_unit_test(nobody_binds_beside_a_door),
        cmocka_unit_test(sockets_are_as_promised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
