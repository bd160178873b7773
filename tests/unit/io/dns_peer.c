/* dns_peer.c - reads one question, asks the test, writes the answer. */
#include "unit/io/dns_peer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit/unit.h"

static void put16(unsigned char **p, unsigned v)
{
    *(*p)++ = (unsigned char)(v >> 8);
    *(*p)++ = (unsigned char)v;
}

/* The labels of a name; NULL: a pointer to the question. */
static void put_name(unsigned char **p, const char *name)
{
    if (!name) {
        put16(p, 0xc00c);
        return;
    }
    while (*name) {
        size_t n = strcspn(name, ".");
        *(*p)++ = (unsigned char)n;
        memcpy(*p, name, n);
        *p += n;
        name += n + (name[n] == '.');
    }
    *(*p)++ = 0;
}

static void record(struct dns_reply *r, const char *owner, unsigned type, unsigned ttl,
                   const void *data, size_t n)
{
    unsigned char *p = r->records + r->len;
    assert_true(r->len + 600 + n < sizeof(r->records));
    put_name(&p, owner);
    put16(&p, type);
    put16(&p, 1);
    put16(&p, ttl >> 16);
    put16(&p, ttl & 0xffff);
    put16(&p, (unsigned)n);
    memcpy(p, data, n);
    r->len = (size_t)(p + n - r->records);
    r->n++;
}

void dns_a(struct dns_reply *r, const char *owner, unsigned ttl, const char *address)
{
    unsigned char b[4];
    assert_int_equal(inet_pton(AF_INET, address, b), 1);
    record(r, owner, 1, ttl, b, sizeof(b));
}

void dns_aaaa(struct dns_reply *r, const char *owner, unsigned ttl, const char *address)
{
    unsigned char b[16];
    assert_int_equal(inet_pton(AF_INET6, address, b), 1);
    record(r, owner, 28, ttl, b, sizeof(b));
}

void dns_cname(struct dns_reply *r, const char *owner, unsigned ttl, const char *target)
{
    unsigned char b[300], *p = b;
    put_name(&p, target);
    record(r, owner, 5, ttl, b, (size_t)(p - b));
}

/* The question of a message: its length with name, type and class, or 0. */
static size_t read_question(const unsigned char *m, size_t n, char name[256], int *ret_type)
{
    size_t at = 12, k = 0;
    while (at < n && m[at]) {
        size_t label = m[at];
        assert_true(label < 64 && at + label < n && k + label + 1 < 256);
        if (k)
            name[k++] = '.';
        memcpy(name + k, m + at + 1, label);
        k += label;
        at += label + 1;
    }
    name[k] = '\0';
    if (at + 5 > n)
        return 0;
    *ret_type = m[at + 1] << 8 | m[at + 2];
    return at + 5 - 12;
}

/* The answer's length, 0 for silence. */
static size_t respond(struct dns_peer *p, const unsigned char *m, size_t n, bool tcp,
                      unsigned char *out)
{
    int type = 0;
    size_t q = n >= 12 ? read_question(m, n, p->last_name, &type) : 0;
    assert_true(q > 0);
    struct dns_reply *r = calloc(1, sizeof(*r));
    if (type == 28)
        p->asked_aaaa++;
    else
        p->asked_a++;
    p->by_tcp += tcp;
    p->answer(p, p->last_name, type, r);
    bool cut = r->cut_short && !tcp;
    unsigned char *o = out;
    memcpy(o, m, 2);
    o += 2;
    put16(&o, 0x8180u | (cut ? 0x0200u : 0) | (unsigned)r->rcode);
    put16(&o, 1);
    put16(&o, cut ? 0 : (unsigned)r->n);
    put16(&o, 0);
    put16(&o, 0);
    memcpy(o, m + 12, q);
    o += q;
    if (r->garbage) {
        memset(o, 0xee, 40);
        out[7] = 2;
        o += 40;
    } else if (!cut) {
        memcpy(o, r->records, r->len);
        o += r->len;
    }
    size_t len = r->silent ? 0 : (size_t)(o - out);
    free(r);
    return len;
}

static int serve_udp(void *arg)
{
    struct dns_peer *p = arg;
    static unsigned char in[2048], out[65536];
    for (int r = 0;;) {
        struct sockaddr_in from;
        socklen_t n_from = sizeof(from);
        ssize_t n = recvfrom(p->udp.fd, in, sizeof(in), 0, (struct sockaddr *)&from, &n_from);
        if (n < 0) {
            r = io_wait_readable(&p->udp);
            if (r < 0)
                return 0;
            continue;
        }
        p->last_port = ntohs(from.sin_port);
        size_t len = respond(p, in, (size_t)n, false, out);
        if (len)
            (void)!sendto(p->udp.fd, out, len, 0, (struct sockaddr *)&from, n_from);
    }
}

static int read_all(struct io_fd *io, unsigned char *to, size_t n)
{
    for (size_t k = 0; k < n;) {
        ssize_t got = io_read(io, to + k, n - k);
        if (got <= 0)
            return -1;
        k += (size_t)got;
    }
    return 0;
}

/* Asked again over the same connection, for the other type, as c-ares does. */
static void serve_connection(struct dns_peer *p, int fd)
{
    static unsigned char in[2048], out[65538];
    AUTO(io_fd) io;
    assert_int_equal(io_fd_add(&io, fd), 0);
    while (read_all(&io, in, 2) == 0) {
        size_t n = (size_t)in[0] << 8 | in[1];
        if (n > sizeof(in) || read_all(&io, in, n) < 0)
            return;
        size_t len = respond(p, in, n, true, out + 2);
        out[0] = (unsigned char)(len >> 8);
        out[1] = (unsigned char)len;
        if (len && io_write_all(&io, out, len + 2) < 0)
            return;
    }
}

static int serve_tcp(void *arg)
{
    struct dns_peer *p = arg;
    for (int fd; (fd = sock_accept(&p->tcp, NULL)) >= 0;)
        serve_connection(p, fd);
    return 0;
}

void dns_peer_start(struct dns_peer *p, void (*answer)(struct dns_peer *p, const char *name,
                                                       int type, struct dns_reply *r))
{
    *p = (struct dns_peer){.answer = answer};
    char addr[SOCK_ADDR_MAX];
    int udp = -1, tcp = -1;
    /* A port that is free for both. */
    for (int i = 0; i < 50 && udp < 0; i++) {
        tcp = sock_listen("127.0.0.1:0", 8, addr, NULL);
        assert_true(tcp >= 0);
        struct sockaddr_in a = {0};
        socklen_t n = sizeof(a);
        assert_int_equal(getsockname(tcp, (struct sockaddr *)&a, &n), 0);
        p->port = ntohs(a.sin_port);
        udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (bind(udp, (struct sockaddr *)&a, sizeof(a)) < 0) {
            (void)close(udp);
            (void)close(tcp);
            udp = -1;
        }
    }
    assert_true(udp >= 0);
    (void)snprintf(p->text, sizeof(p->text), "%s", addr);
    assert_int_equal(io_fd_add(&p->udp, udp), 0);
    assert_int_equal(io_fd_add(&p->tcp, tcp), 0);
    scope_init(&p->scope);
    assert_int_equal(fiber_spawn(&p->scope, "dns udp", serve_udp, p, NULL), 0);
    assert_int_equal(fiber_spawn(&p->scope, "dns tcp", serve_tcp, p, NULL), 0);
}

void dns_peer_stop(struct dns_peer *p)
{
    scope_done(&p->scope);
    io_fd_close(&p->udp);
    io_fd_close(&p->tcp);
}
