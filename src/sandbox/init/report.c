/* report.c - counting what the filter refuses.
 *
 * With a filter that reports (seccomp.c), refused calls stop in the kernel until the reader of the
 * listener has answered; that is init, from its loop. The answer depends on the number of the call
 * alone: EPERM for all but connect and sendto, which go on to the kernel in every case. The address
 * of those is read from the memory of the caller, which can change it at any time and can lie about
 * it; it is written down and decides nothing. The caller can also be killed meanwhile: what was
 * read counts only when the kernel says that the call still waits.
 *
 * Lists are short and lines are counted: a program that makes up addresses fills one and then only
 * a number. */
#include "sandbox/init/report.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"
#include "sandbox/lock/seccomp.h"

#define LINES_MAX 128
#define TURN_MAX  64 /* notifications taken in one turn of init's loop */

struct report_list {
    struct {
        char *what;
        uint64_t count;
    } line[LINES_MAX];
    size_t n;
    uint64_t more; /* that found no line */
};

void report_init(struct report *r, int listener_fd)
{
    *r = (struct report){.fd = listener_fd};
    if (listener_fd >= 0) {
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

static char *address4(const struct in_addr *a, unsigned port)
{
    char text[INET_ADDRSTRLEN];
    uint32_t host = ntohl(a->s_addr);
    bool loopback = host >> 24 == 127 || host == 0;
    if ((loopback && port != 53) || !inet_ntop(AF_INET, a, text, sizeof(text)))
        return NULL;
    return mem_printf("%s:%u", text, port);
}

char *report_address(const void *addr, size_t n)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    sa_family_t family;
    if (n < sizeof(family))
        return NULL;
    memcpy(&family, addr, sizeof(family));
    if (family == AF_INET && n >= sizeof(in)) {
        memcpy(&in, addr, sizeof(in));
        return address4(&in.sin_addr, ntohs(in.sin_port));
    }
    if (family != AF_INET6 || n < offsetof(struct sockaddr_in6, sin6_scope_id))
        return NULL;
    memcpy(&in6, addr, offsetof(struct sockaddr_in6, sin6_scope_id));
    const unsigned port = ntohs(in6.sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
        struct in_addr a;
        memcpy(&a, &in6.sin6_addr.s6_addr[12], sizeof(a));
        return address4(&a, port);
    }
    char text[INET6_ADDRSTRLEN];
    bool loopback = IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr);
    if ((loopback && port != 53) || !inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof(text)))
        return NULL;
    return mem_printf("[%s]:%u", text, port);
}

/* What the caller has at `at`; NULL when that cannot be read or names no network. */
static char *read_address(const struct seccomp_notif *n, uint64_t at, uint64_t len)
{
    char path[32], bytes[sizeof(struct sockaddr_in6)];
    snprintf(path, sizeof(path), "/proc/%u/mem", n->pid);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t want = len < sizeof(bytes) ? (size_t)len : sizeof(bytes);
    ssize_t got = fd < 0 || at > INT64_MAX ? -1 : pread(fd, bytes, want, (off_t)at);
    return got < 0 ? NULL : report_address(bytes, (size_t)got);
}

static void answer(struct report *r, const struct seccomp_notif *n)
{
    struct seccomp_notif_resp resp = {.id = n->id, .error = -EPERM};
    if (seccomp_only_seen(n->data.nr)) {
        bool to = n->data.nr == SYS_sendto;
        AUTO_FREE char *address =
            read_address(n, n->data.args[to ? 4 : 1], n->data.args[to ? 5 : 2]);
        if (address && ioctl(r->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &n->id) == 0)
            count(r->addresses, TAKE(address));
        resp.error = 0;
        resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    } else {
        count(r->calls, seccomp_name(n->data.nr));
    }
    (void)!ioctl(r->fd, SECCOMP_IOCTL_NOTIF_SEND, &resp); /* fails when the caller is gone */
}

void report_read(struct report *r)
{
    for (int i = 0; i < TURN_MAX; i++) {
        /* RECV waits when there is nothing; after POLLIN it does not, it says ENOENT. */
        struct pollfd p = {.fd = r->fd, .events = POLLIN};
        if (r->fd < 0 || poll(&p, 1, 0) != 1 || !(p.revents & POLLIN))
            return;
        struct seccomp_notif n;
        memset(&n, 0, sizeof(n)); /* the kernel insists */
        if (ioctl(r->fd, SECCOMP_IOCTL_NOTIF_RECV, &n) == 0) {
            answer(r, &n);
        } else if (errno != ENOENT && errno != EINTR) {
            /* Nobody may wait for an answer that does not come: closed, the kernel refuses. */
            close(TAKE_FD(r->fd));
        }
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
