/* tls_cost - what TLS costs the boundary: handshakes, a request there and back, and idle sessions.
 *
 * Usage: tls_cost [IDLE]. Both ends are in this process, as the boundary has both a server and a client
 * for each request: what is measured is one of each. One JSON line: microseconds of CPU a pair of
 * handshakes (a minted identity, full verification), a request of 300 bytes with an answer of 1 KiB
 * and one of 64 KiB; and the KiB of memory that one session of IDLE pairs takes which have carried
 * such a request, its fiber included. */
#include "base/err.h"
#include "base/str.h"
#include "crypto/cert.h"
#include "io/sock.h"
#include "io/tls.h"
#include "stats.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HANDSHAKES 2000
#define REQUESTS   20000
#define LARGE      (64u << 10)
#define REQUEST    300

static struct cert_ca *ca;
static struct cert_identity *identity;
static struct tls_ctx *ctx;
static struct tls_trust *trust;
static const char *const alpn[] = {"http/1.1", NULL};
static size_t n_idle = 1000;
static size_t n_asked; /* of the idle ones */
static char block[LARGE];

static int64_t cpu_ns(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) < 0)
        stats_die("clock_gettime");
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void give_up(const struct err *e)
{
    (void)fprintf(stderr, "tls_cost: %s\n", e->msg);
    exit(1);
}

struct server {
    struct stream under, s;
    size_t answer; /* bytes; 0: only shakes hands */
};

static int read_all(struct stream *s, char *to, size_t n)
{
    while (n > 0) {
        ssize_t got = stream_read(s, to, n);
        if (got <= 0)
            return -1;
        n -= (size_t)got;
    }
    return 0;
}

static int serve(void *arg)
{
    struct server *t = arg;
    struct err e = {0};
    char request[REQUEST];
    struct tls_serve_options o = {.identity = identity, .alpn = alpn};
    if (tls_serve(ctx, &o, &t->under, &t->s, NULL, &e) < 0)
        give_up(&e);
    while (t->answer > 0 && read_all(&t->s, request, sizeof(request)) == 0) {
        if (stream_write(&t->s, block, t->answer) < 0)
            break;
    }
    return 0;
}

static void begin(struct server *t, struct scope *scope, size_t answer, struct stream *ret)
{
    int fd[2];
    struct stream under;
    struct err e = {0};
    *t = (struct server){.answer = answer};
    if (sock_pair(SOCK_STREAM, fd) < 0 || stream_from_fd(&under, fd[0]) < 0 ||
        stream_from_fd(&t->under, fd[1]) < 0 || fiber_spawn(scope, "server", serve, t, NULL) < 0)
        stats_die("socketpair");
    struct tls_connect_options o = {.host = "api.example.com", .alpn = alpn};
    if (tls_connect(trust, &o, &under, ret, NULL, &e) < 0)
        give_up(&e);
}

static double handshakes(void)
{
    int64_t from = cpu_ns();
    for (int i = 0; i < HANDSHAKES; i++) {
        struct server t;
        struct stream s;
        AUTO(scope) scope;
        scope_init(&scope);
        begin(&t, &scope, 0, &s);
        (void)!scope_join(&scope);
        stream_done(&t.s);
        stream_done(&s);
    }
    return (double)(cpu_ns() - from) / 1e3 / HANDSHAKES;
}

static void request(struct stream *s, size_t answer)
{
    static char in[LARGE];
    if (stream_write(s, block, REQUEST) < 0 || read_all(s, in, answer) < 0)
        stats_die("request");
}

static double requests(size_t answer, int times)
{
    struct server t;
    struct stream s;
    AUTO(scope) scope;
    scope_init(&scope);
    begin(&t, &scope, answer, &s);
    request(&s, answer);
    int64_t from = cpu_ns();
    for (int i = 0; i < times; i++)
        request(&s, answer);
    double us = (double)(cpu_ns() - from) / 1e3 / times;
    stream_done(&s);
    (void)!scope_join(&scope);
    stream_done(&t.s);
    return us;
}

static double resident_kib(void)
{
    char text[64] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    (void)close(fd);
    const char *second = n > 0 ? strchr(text, ' ') : NULL;
    uint64_t pages;
    if (!second || str_to_u64(second + 1, strcspn(second + 1, " "), UINT32_MAX, &pages) < 0)
        stats_die("statm");
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

struct client {
    struct server *server;
    struct stream s;
};

/* Shakes hands, asks once, and waits for what does not come. */
static int wait_idle(void *arg)
{
    struct client *c = arg;
    struct err e = {0};
    char end;
    struct stream under;
    stream_move(&under, &c->s);
    struct tls_connect_options o = {.host = "api.example.com", .alpn = alpn};
    if (tls_connect(trust, &o, &under, &c->s, NULL, &e) < 0)
        give_up(&e);
    request(&c->s, 1024);
    n_asked++;
    (void)!stream_read(&c->s, &end, 1);
    return 0;
}

/* As connections of the boundary: each session has a fiber that waits for it. */
static double idle(void)
{
    struct server *servers = mem_array(n_idle, sizeof(*servers));
    struct client *clients = mem_array(n_idle, sizeof(*clients));
    AUTO(scope) scope;
    scope_init(&scope);
    double before = resident_kib();
    for (size_t i = 0; i < n_idle; i++) {
        int fd[2];
        servers[i] = (struct server){.answer = 1024};
        clients[i].server = &servers[i];
        if (sock_pair(SOCK_STREAM, fd) < 0 || stream_from_fd(&clients[i].s, fd[0]) < 0 ||
            stream_from_fd(&servers[i].under, fd[1]) < 0 ||
            fiber_spawn(&scope, "server", serve, &servers[i], NULL) < 0 ||
            fiber_spawn(&scope, "client", wait_idle, &clients[i], NULL) < 0)
            stats_die("socketpair");
        while (i + 1 - n_asked > 16) /* they come one after another, as strangers do */
            (void)!fiber_sleep_ms(1);
    }
    (void)!fiber_sleep_ms(2500); /* buffers are given back after a second without a byte */
    double kib = (resident_kib() - before) / (double)(2 * n_idle);
    for (size_t i = 0; i < n_idle; i++) {
        stream_done(&clients[i].s);
        stream_done(&servers[i].s);
    }
    (void)!scope_join(&scope);
    free(servers);
    free(clients);
    return kib;
}

static int run(void *arg)
{
    (void)arg;
    double memory = idle(), pair = handshakes();
    (void)printf("{\"handshakes_us\":%.1f,\"request_1k_us\":%.2f,\"request_64k_us\":%.2f,"
                 "\"idle_session_kib\":%.1f}\n",
                 pair, requests(1024, REQUESTS), requests(LARGE, REQUESTS / 10), memory);
    return 0;
}

static void prepare(void)
{
    char file[] = "/tmp/sallyport-bench-XXXXXX";
    struct err e = {0};
    if (cert_ca_new(&(struct cert_ca_options){.lifetime_s = 86400}, &ca, &e) < 0 ||
        cert_leaf(ca, "api.example.com", false, &identity, &e) < 0)
        give_up(&e);
    int fd = mkstemp(file);
    const char *pem = cert_ca_pem(ca);
    if (fd < 0 || write(fd, pem, strlen(pem)) != (ssize_t)strlen(pem))
        stats_die("mkstemp");
    trust = tls_trust_new(file, &e);
    ctx = tls_identities_new(&e);
    (void)unlink(file);
    (void)close(fd);
    if (!trust || !ctx)
        give_up(&e);
}

int main(int argc, char **argv)
{
    uint64_t idle_pairs = n_idle;
    if (argc > 1 &&
        (str_to_u64(argv[1], strlen(argv[1]), 10000, &idle_pairs) < 0 || idle_pairs == 0)) {
        (void)fprintf(stderr, "usage: tls_cost [IDLE], at most 10000\n");
        return 2;
    }
    n_idle = idle_pairs;
    prepare();
    if (loop_init() < 0)
        stats_die("loop");
    int r = loop_run(run, NULL);
    loop_done();
    return r < 0;
}
