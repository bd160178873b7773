/* dns_serve.c - the fibers of a sandbox's resolver, and what its policy says to each question.
 *
 * Theory of operation. One fiber for the socket of datagrams, one for each connection (RFC 7766; at
 * most DNS_TCP_MAX of front.c, which counts them). All questions of a sandbox share one pace: a fiber
 * that is ahead of it waits, and what comes meanwhile waits in the kernel's queue or is dropped there,
 * as on any busy resolver. The sandbox controls every byte; answers are made by dns.c. An answer that
 * does not fit the socket's buffer is dropped when it is a datagram. */
#include "egress/capture/dns.h"
#include "base/err.h"
#include "base/time.h"
#include "egress/capture/front_internal.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define QUERIES_PER_S 2000 /* of one sandbox: a build asks some hundred in all */
#define TCP_IDLE_MS   10000
#define DATAGRAMS     64 /* answered before others get a turn */

static enum dns_found found(struct front_binding *b, enum lookup l, const struct host *h)
{
    switch (l) {
    case LOOKUP_ADDRESS:
        return DNS_FOUND;
    case LOOKUP_LOCALHOST:
        return DNS_LOCALHOST;
    case LOOKUP_NONE:
        if (policy_settings(b->policy)->dns_strict)
            front_tell(b, FRONT_NAME_DENIED, h, 0,
                       "no rule has this name, and with dns: strict it does not resolve");
        return DNS_NO_NAME;
    case LOOKUP_TOO_LONG:
        front_tell(b, FRONT_NAME_TOO_LONG, h, 0,
                   "the name has more labels or bytes than names under its wildcard may have");
        return DNS_NO_NAME;
    case LOOKUP_TOO_MANY:
        front_tell(b, FRONT_NAMES_TOO_MANY, h, 0,
                   "more different names were asked for than the wildcard rule allows");
        return DNS_REFUSED;
    case LOOKUP_FULL:
        front_tell(b, FRONT_NAMES_FULL, h, 0, "every address is in use by an open connection");
        return DNS_REFUSED;
    }
    return DNS_NO_NAME;
}

static enum dns_found zone_address(void *arg, const struct host *h, bool ask_address,
                                   uint32_t *ret_index)
{
    struct front_binding *b = arg;
    struct name *name = NULL;
    enum lookup l =
        lookup_name(b->policy, b->names, &b->counts, h, 0, ask_address ? &name : NULL, NULL);
    if (name)
        *ret_index = name->index; /* telling may suspend */
    return found(b, l, h);
}

static const struct host *zone_name(void *arg, uint32_t index)
{
    const struct front_binding *b = arg;
    const struct name *name = names_of_index(b->names, index);
    return name ? &name->host : NULL;
}

/* Waits for this sandbox's turn, then answers. Bytes of the answer, 0 for none, or a code. */
static ssize_t answer(struct front_binding *b, const void *query, size_t n, bool tcp,
                      unsigned char ret[DNS_ANSWER_MAX])
{
    int64_t wait_ns;
    while ((wait_ns = pace_take(&b->queries, QUERIES_PER_S)) > 0) {
        int r = fiber_sleep_until(time_mono_ns() + wait_ns);
        if (r < 0)
            return r;
    }
    struct dns_zone zone = {.address = zone_address, .name = zone_name, .arg = b};
    return (ssize_t)dns_answer(query, n, tcp, &zone, ret);
}

/* ---- datagrams ---- */

struct datagram {
    struct sockaddr_storage from;
    socklen_t from_n;
    unsigned char query[DNS_QUERY_MAX];
    unsigned char answer[DNS_ANSWER_MAX];
};

/* One datagram in, one out. 1, 0 when there is none, or a code. */
static int answer_one(struct door *d, struct datagram *g)
{
    g->from_n = sizeof(g->from);
    ssize_t n = recvfrom(d->io.fd, g->query, sizeof(g->query), MSG_DONTWAIT | MSG_TRUNC,
                         (struct sockaddr *)&g->from, &g->from_n);
    int e = errno;
    if (n < 0 && e == EAGAIN)
        return 0;
    if (n < 0) /* ECONNREFUSED and the like: of an answer that nobody wanted any more */
        return e == EBADF || e == ENOTSOCK ? -e : 1;
    if ((size_t)n > sizeof(g->query))
        return 1;
    ssize_t k = answer(d->binding, g->query, (size_t)n, false, g->answer);
    if (k > 0)
        (void)sendto(d->io.fd, g->answer, (size_t)k, MSG_DONTWAIT | MSG_NOSIGNAL,
                     (const struct sockaddr *)&g->from, g->from_n);
    return k < 0 ? (int)k : 1;
}

static int answer_all(struct door *d, struct datagram *g)
{
    int r = 0;
    for (unsigned done = 0; r >= 0;) {
        r = answer_one(d, g);
        if (r == 0) {
            r = io_wait_readable(&d->io);
        } else if (r > 0 && ++done >= DATAGRAMS) {
            done = 0;
            r = fiber_yield();
        }
    }
    return r;
}

int dns_serve_udp(struct door *d)
{
    struct datagram *g = mem_new(struct datagram);
    fiber_trim_stack();
    int r = answer_all(d, g);
    free(g);
    return r;
}

/* ---- connections ---- */

struct framed {
    unsigned char length[2];
    unsigned char query[DNS_QUERY_MAX];
    unsigned char answer[2 + DNS_ANSWER_MAX];
};

static int read_all(struct stream *s, void *p, size_t n)
{
    unsigned char *to = p;
    while (n > 0) {
        ssize_t k = stream_read(s, to, n);
        if (k <= 0)
            return k < 0 ? (int)k : -E_CLOSED;
        to += k;
        n -= (size_t)k;
    }
    return 0;
}

/* Length, query; length, answer (RFC 1035 4.2.2). */
static int exchange(struct conn *c, struct framed *f)
{
    struct fiber_deadline d = fiber_deadline_push_ms(TCP_IDLE_MS);
    int r = read_all(&c->stream, f->length, sizeof(f->length));
    size_t n = (size_t)(f->length[0] << 8 | f->length[1]);
    if (r == 0)
        r = n > sizeof(f->query) ? -EMSGSIZE : read_all(&c->stream, f->query, n);
    ssize_t k = r < 0 ? r : answer(c->binding, f->query, n, true, f->answer + 2);
    if (k == 0) /* what cannot be answered leaves the client waiting: rather the end */
        k = -E_PARSE;
    if (k > 0) {
        f->answer[0] = (unsigned char)(k >> 8);
        f->answer[1] = (unsigned char)k;
        k = stream_write(&c->stream, f->answer, (size_t)k + 2);
    }
    fiber_deadline_pop(&d);
    return (int)k;
}

void dns_serve_tcp(struct conn *c)
{
    struct framed *f = mem_new(struct framed);
    while (exchange(c, f) == 0)
        ;
    free(f);
}
