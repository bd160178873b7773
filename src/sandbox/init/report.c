/* report.c - counting what the filter refuses.
 *
 * With a filter that reports (seccomp.c), refused calls and addresses come to the guard
 * (guard/guard.c), which answers them and writes down each in a pipe that init reads in its loop.
 * An address is from the memory of the caller, which can lie about it; here it decides nothing.
 *
 * Lists are short and lines are counted: a program that makes up addresses fills one and then only
 * a number. */
#include "sandbox/init/report.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "sandbox/doors.h"
#include "sandbox/guard/guard.h"
#include "sandbox/lock/seccomp.h"

#define LINES_MAX 128
#define TURN_MAX  2048 /* notes taken in one turn of init's loop; more than the pipe holds */

struct report_list {
    struct {
        char *what;
        uint64_t count;
    } line[LINES_MAX];
    size_t n;
    uint64_t more; /* that found no line */
};

void report_init(struct report *r, int notes_fd, bool doors)
{
    *r = (struct report){.fd = notes_fd, .doors = doors};
    if (notes_fd >= 0) {
        r->calls = mem_new(struct report_list);
        r->addresses = mem_new(struct report_list);
    }
}

static void list_free(struct report_list *l)
{
    for (size_t i = 0; l && i < l->n; i++)
        free(l->line[i].what);
    free(l);
}

void report_done(struct report *r)
{
    list_free(r->calls);
    list_free(r->addresses);
    fd_cleanup_close(&r->fd);
    *r = (struct report){.fd = -1};
}

/* Takes over `what`. */
static void count(struct report_list *l, char *what)
{
    AUTO_FREE char *owned = what;
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->line[i].what, owned)) {
            l->line[i].count++;
            return;
        }
    if (l->n == LINES_MAX) {
        l->more++;
        return;
    }
    l->line[l->n].what = TAKE(owned);
    l->line[l->n++].count = 1;
}

static char *address4(const struct in_addr *a, unsigned port, bool doors)
{
    char text[INET_ADDRSTRLEN];
    uint32_t host = ntohl(a->s_addr);
    bool loopback = host >> 24 == 127 || host == 0;
    if ((loopback && (port != 53 || doors)) || (doors && sandbox_doors_synthetic(AF_INET, a)) ||
        !inet_ntop(AF_INET, a, text, sizeof(text)))
        return NULL;
    return mem_printf("%s:%u", text, port);
}

char *report_address(const void *addr, size_t n, bool doors)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    sa_family_t family;
    if (n < sizeof(family))
        return NULL;
    memcpy(&family, addr, sizeof(family));
    if (family == AF_INET && n >= sizeof(in)) {
        memcpy(&in, addr, sizeof(in));
        return address4(&in.sin_addr, ntohs(in.sin_port), doors);
    }
    if (family != AF_INET6 || n < offsetof(struct sockaddr_in6, sin6_scope_id))
        return NULL;
    memcpy(&in6, addr, offsetof(struct sockaddr_in6, sin6_scope_id));
    const unsigned port = ntohs(in6.sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
        struct in_addr a;
        memcpy(&a, &in6.sin6_addr.s6_addr[12], sizeof(a));
        return address4(&a, port, doors);
    }
    char text[INET6_ADDRSTRLEN];
    bool loopback = IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr);
    if ((loopback && (port != 53 || doors)) ||
        (doors && sandbox_doors_synthetic(AF_INET6, &in6.sin6_addr)) ||
        !inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof(text)))
        return NULL;
    return mem_printf("[%s]:%u", text, port);
}

static void take(struct report *r, const struct guard_note *n)
{
    if (n->refused)
        count(r->calls, seccomp_name(n->nr));
    const size_t len = n->addr_len < sizeof(n->addr) ? n->addr_len : sizeof(n->addr);
    char *address = report_address(n->addr, len, r->doors);
    if (address)
        count(r->addresses, address);
}

void report_read(struct report *r)
{
    struct guard_note n;
    for (int i = 0; i < TURN_MAX && r->fd >= 0; i++) {
        ssize_t got = read(r->fd, &n, sizeof(n));
        if (got == (ssize_t)sizeof(n)) /* written as one, and short enough to be read as one */
            take(r, &n);
        else if (got >= 0 || errno != EINTR)
            return;
    }
}

static json_t *list_json(const struct report_list *l, const char *key)
{
    json_t *a = json_array();
    for (size_t i = 0; i < l->n; i++) {
        json_t *o = json_object();
        json_put_str(o, key, l->line[i].what);
        json_put_int(o, "count", (int64_t)l->line[i].count);
        json_array_append_new(a, o);
    }
    return a;
}

json_t *report_json(const struct report *r)
{
    if (!r->calls)
        return NULL;
    json_t *o = json_object();
    json_put(o, "calls", list_json(r->calls, "call"));
    json_put(o, "network", list_json(r->addresses, "address"));
    if (r->calls->more)
        json_put_int(o, "other_calls", (int64_t)r->calls->more);
    if (r->addresses->more)
        json_put_int(o, "other_network", (int64_t)r->addresses->more);
    return o;
}
