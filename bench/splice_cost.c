/* splice_cost.c - what the relay of passed-through connections costs, beside raw loopback.
 *
 * Usage: splice_cost [MIB]                 measures: one JSON line each for bulk (MIB, 4096 when not
 *                                          said) and for 1 KiB exchanges at 1 and 16 connections, direct
 *                                          and relayed
 *        splice_cost serve LISTEN ORIGIN [PIPE_KIB]   relays every connection to LISTEN ("127.0.0.1:1") to ORIGIN,
 *                                          until it is killed, for a load of another program
 *        splice_cost idle N                joins N idle connections, says the memory they take
 *
 * Origin and load are threads with blocking sockets; the relay is the main thread with its loop.
 * cpu_us_per_mib and cpu_us_per_exchange are the relay's thread;
 * rss_grew_kib is the whole process, load and origin included. */
#include "base/err.h"
#include "base/time.h"
#include "egress/proxy/splice.h"
#include "io/sock.h"
#include "stats.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE   1024
#define EXCHANGES 40000

static char origin_addr[SOCK_ADDR_MAX], relay_addr[SOCK_ADDR_MAX];

static int64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* ---- threads ---- */

static int dial_blocking(const char *addr)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint64_t port = 0;
    const char *colon = strrchr(addr, ':');
    for (const char *p = colon + 1; *p; p++)
        port = port * 10 + (uint64_t)(*p - '0');
    a.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        stats_die("connect");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* Sends back 1 KiB for each KiB ('e'), or swallows everything and says one byte at its end ('s'). */
static void *origin_connection(void *arg)
{
    static __thread char buf[256 << 10];
    int fd = (int)(intptr_t)arg, one = 1;
    char kind = 0;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (read(fd, &kind, 1) != 1)
        kind = 0;
    ssize_t n;
    size_t have = 0;
    while (kind == 's' && read(fd, buf, sizeof(buf)) > 0)
        ;
    while (kind == 'e' && (n = read(fd, buf, MESSAGE - have)) > 0) {
        have += (size_t)n;
        if (have == MESSAGE && write(fd, buf, MESSAGE) == MESSAGE)
            have = 0;
    }
    if (kind == 's' && write(fd, "k", 1) != 1)
        stats_die("origin");
    (void)close(fd);
    return NULL;
}

static void *origin_main(void *arg)
{
    int listener = *(int *)arg;
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        pthread_t t;
        if (fd < 0 || pthread_create(&t, NULL, origin_connection, (void *)(intptr_t)fd) != 0)
            return NULL;
        (void)pthread_detach(t);
    }
}

struct load {
    const char *addr;
    size_t mib, exchanges;
    struct stats *times;
};

static void *load_bulk(void *arg)
{
    static char buf[256 << 10];
    const struct load *l = arg;
    int fd = dial_blocking(l->addr);
    if (write(fd, "s", 1) != 1)
        stats_die("write");
    for (size_t left = l->mib << 20; left > 0;) {
        ssize_t n = write(fd, buf, left < sizeof(buf) ? left : sizeof(buf));
        if (n <= 0)
            stats_die("write");
        left -= (size_t)n;
    }
    (void)shutdown(fd, SHUT_WR);
    if (read(fd, buf, 1) != 1)
        stats_die("read");
    (void)close(fd);
    return NULL;
}

static void *load_exchanges(void *arg)
{
    const struct load *l = arg;
    char buf[MESSAGE] = {0};
    int fd = dial_blocking(l->addr);
    if (write(fd, "e", 1) != 1)
        stats_die("write");
    for (size_t i = 0; i < l->exchanges; i++) {
        int64_t before = time_mono_ns();
        if (write(fd, buf, MESSAGE) != MESSAGE)
            stats_die("write");
        for (size_t have = 0; have < MESSAGE;) {
            ssize_t n = read(fd, buf + have, MESSAGE - have);
            if (n <= 0)
                stats_die("read");
            have += (size_t)n;
        }
        if (l->times)
            stats_add(l->times, time_mono_ns() - before);
    }
    (void)close(fd);
    return NULL;
}

/* ---- the relay ---- */

static struct splice_pool *pool;
static struct io_fd listener;

static int relay_one(void *arg)
{
    int fd = (int)(intptr_t)arg;
    AUTO(io_fd) in = IO_FD_NONE, out = IO_FD_NONE;
    if (io_fd_add(&in, fd) < 0) {
        (void)close(fd);
        return 0;
    }
    if (sock_connect(origin_addr, &out, NULL) < 0)
        return 0;
    struct splice_flow f = {.idle_timeout_ms = 60000};
    (void)!splice_run(pool, &in, &out, &f);
    return 0;
}

static int relay_accept(void *arg)
{
    struct scope *s = arg;
    for (int fd; (fd = sock_accept(&listener, NULL)) >= 0;)
        if (fiber_spawn(s, "relay", relay_one, (void *)(intptr_t)fd, NULL) < 0)
            (void)close(fd);
    return 0;
}

static void listen_on(const char *addr)
{
    struct err e = {0};
    int fd = sock_listen(addr, 1024, relay_addr, &e);
    if (fd < 0 || io_fd_add(&listener, fd) < 0) {
        (void)fprintf(stderr, "splice_cost: %s\n", e.msg);
        exit(1);
    }
}

/* ---- measuring ---- */

static long rss_kib(void)
{
    long pages = 0, all = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &all, &pages) != 2)
        stats_die("statm");
    (void)fclose(f);
    return pages * (long)(sysconf(_SC_PAGESIZE) / 1024);
}

/* Runs `n` threads and the loop beside them. */
static double run(void *(*fn)(void *), struct load *l, size_t n, double *ret_cpu_s)
{
    pthread_t t[64];
    int64_t from = time_mono_ns(), cpu = cpu_ns();
    for (size_t i = 0; i < n; i++)
        if (pthread_create(&t[i], NULL, fn, l) != 0)
            stats_die("pthread_create");
    for (size_t done = 0; done < n;) {
        if (pthread_tryjoin_np(t[done], NULL) == 0)
            done++;
        else if (fiber_sleep_ms(2) < 0)
            stats_die("sleep");
    }
    *ret_cpu_s = (double)(cpu_ns() - cpu) / 1e9;
    return (double)(time_mono_ns() - from) / 1e9;
}

static void bulk(const char *name, const char *addr, size_t mib)
{
    double cpu = 0, s = 1e9;
    long before = rss_kib();
    for (int i = 0; i < 3; i++) {
        struct load l = {.addr = addr, .mib = mib};
        double c, one = run(load_bulk, &l, 1, &c);
        if (one < s) {
            s = one;
            cpu = c;
        }
    }
    (void)printf("{\"what\":\"bulk\",\"how\":\"%s\",\"mib_per_s\":%.0f,\"cpu_us_per_mib\":%.1f,"
                 "\"rss_grew_kib\":%ld}\n",
                 name, (double)mib / s, cpu * 1e6 / (double)mib, rss_kib() - before);
}

static void exchanges(const char *name, const char *addr, size_t connections)
{
    struct stats times;
    stats_init(&times, EXCHANGES);
    struct load l = {.addr = addr,
                     .exchanges = EXCHANGES / connections,
                     .times = connections == 1 ? &times : NULL};
    double cpu, s = run(load_exchanges, &l, connections, &cpu);
    (void)printf("{\"what\":\"exchange\",\"how\":\"%s\",\"connections\":%zu,\"per_s\":%.0f,"
                 "\"cpu_us_per_exchange\":%.2f",
                 name, connections, EXCHANGES / s, cpu * 1e6 / EXCHANGES);
    if (connections == 1) {
        json_t *j = stats_json(&times);
        (void)printf(",\"ms\":{\"p50\":%.4f,\"p99\":%.4f}",
                     json_number_value(json_object_get(j, "p50")),
                     json_number_value(json_object_get(j, "p99")));
        json_decref(j);
    }
    (void)printf("}\n");
    stats_done(&times);
}

static int idle(size_t n)
{
    static int fd[20000];
    long before = rss_kib();
    for (size_t i = 0; i < n; i++) {
        fd[i] = dial_blocking(relay_addr);
        if (i % 50 == 0 && fiber_sleep_ms(1) < 0)
            return -1;
    }
    if (fiber_sleep_ms(3000) < 0)
        return -1;
    (void)printf("{\"what\":\"idle\",\"connections\":%zu,\"mib\":%.1f,\"pipes\":%zu}\n", n,
                 (double)(rss_kib() - before) / 1024, splice_pool_pipes(pool));
    for (size_t i = 0; i < n; i++)
        (void)close(fd[i]);
    return 0;
}

struct args {
    int n;
    char **v;
};

static int measure(void *arg)
{
    const struct args *a = arg;
    bool serve = a->n >= 4 && strcmp(a->v[1], "serve") == 0;
    bool lie = a->n == 3 && strcmp(a->v[1], "idle") == 0;
    pthread_t t;
    int origin = -1;
    size_t pipe = a->n > 4 ? (size_t)strtoul(a->v[4], NULL, 10) << 10 : 0;
    pool = splice_pool_new(&(struct splice_options){.pipe_bytes = pipe});
    if (serve) {
        (void)snprintf(origin_addr, sizeof(origin_addr), "%s", a->v[3]);
    } else {
        origin = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof(in);
        if (bind(origin, (struct sockaddr *)&in, n) < 0 || listen(origin, 1024) < 0 ||
            getsockname(origin, (struct sockaddr *)&in, &n) < 0)
            stats_die("listen");
        (void)snprintf(origin_addr, sizeof(origin_addr), "127.0.0.1:%u", ntohs(in.sin_port));
        if (!lie && pthread_create(&t, NULL, origin_main, &origin) != 0)
            stats_die("pthread_create");
    }
    listen_on(serve ? a->v[2] : "127.0.0.1:0");
    struct scope s;
    scope_init(&s);
    if (fiber_spawn(&s, "accept", relay_accept, &s, NULL) < 0)
        return 1;
    if (serve)
        return scope_join(&s);
    if (lie)
        return idle((size_t)strtoul(a->v[2], NULL, 10)) < 0 ? 1 : (exit(0), 0);
    size_t mib = a->n > 1 ? (size_t)strtoul(a->v[1], NULL, 10) : 4096;
    bulk("direct", origin_addr, mib);
    bulk("relayed", relay_addr, mib);
    for (size_t n = 1; n <= 16; n *= 16) {
        exchanges("direct", origin_addr, n);
        exchanges("relayed", relay_addr, n);
    }
    exit(0);
}

int main(int argc, char **argv)
{
    struct rlimit most;
    if (getrlimit(RLIMIT_NOFILE, &most) == 0) {
        most.rlim_cur = most.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &most);
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    struct args a = {argc, argv};
    return loop_init() < 0 ? 1 : loop_run(measure, &a);
}
