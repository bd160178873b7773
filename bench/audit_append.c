/* audit_append - records per second into one audit log: CLIENTS processes, each of which reserves and
 * appends from FIBERS fibers for SECONDS, and one that writes, in a fresh log below DIR. With `wait`
 * each record is waited for until it is in the file. Prints one line of JSON: records a second, the
 * processor time of one record at either end, and how long a reservation and an append have taken.
 *
 *     audit_append DIR [CLIENTS [FIBERS [SECONDS [wait]]]] */
#include "audit/client.h"
#include "audit/server.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "io/loop.h"
#include "io/sock.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLIENTS_MAX 8

struct result {
    int64_t records, cpu_us, longest_reserve_ns, longest_append_ns, failed;
};

struct bench {
    int clients, fibers, seconds;
    bool wait;
    char path[512];
    struct result *results; /* shared */
    int fds[CLIENTS_MAX][2];
};

struct lane {
    struct bench *b;
    struct audit_client *c;
    struct result *result;
    int64_t end_ns;
};

static int64_t cpu_us(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * US_PER_S + u.ru_utime.tv_usec +
           u.ru_stime.tv_usec;
}

static void longer(int64_t *longest, int64_t since_ns)
{
    int64_t took = time_mono_ns() - since_ns;
    if (took > *longest)
        *longest = took;
}

static int lane(void *arg)
{
    struct lane *l = arg;
    struct err e = {0};
    struct audit_record r = {.kind = AUDIT_REQUEST,
                             .session = audit_text("sesn_01abcdefghijkmnopqrstuvw"),
                             .call = audit_text("sevt_01abcdefghijkmnopqrstuvw"),
                             .sandbox = audit_text("sandbox-17"),
                             .verdict = audit_text("allow"),
                             .rule = audit_text("allow[3] api.github.example"),
                             .policy = audit_text("0123456789abcdef"),
                             .credential = audit_text("GITHUB_TOKEN"),
                             .protocol = audit_text("h2"),
                             .method = audit_text("GET"),
                             .host = audit_text("api.github.example"),
                             .path = audit_text("/repos/acme/widgets/pulls/1234/files"),
                             .port = 443,
                             .status = 200,
                             .sent = 812,
                             .received = 20480,
                             .duration_us = 81234};
    int64_t now;
    while ((now = time_mono_ns()) < l->end_ns) {
        AUTO(audit_room) room = AUDIT_ROOM_NONE;
        int n = audit_reserve(l->c, 1, &room, &e);
        longer(&l->result->longest_reserve_ns, now);
        if (n < 0) {
            l->result->failed++;
            fprintf(stderr, "%s\n", e.msg);
            return n;
        }
        now = time_mono_ns();
        audit_append(&room, &r);
        longer(&l->result->longest_append_ns, now);
        l->result->records++;
        n = l->b->wait ? audit_wait(l->c, &e) : fiber_yield();
        if (n < 0)
            return n;
    }
    return 0;
}

struct which {
    struct bench *b;
    int i;
};

static int client(void *arg)
{
    struct which *w = arg;
    struct bench *b = w->b;
    struct err e = {0};
    struct result *result = &b->results[w->i];
    struct lane l = {b, audit_client_new(), result,
                     time_mono_ns() + (int64_t)b->seconds * NS_PER_S};
    int r = audit_client_connect(l.c, b->fds[w->i][1], &e);
    AUTO(scope) scope;
    scope_init(&scope);
    for (int i = 0; r == 0 && i < b->fibers; i++)
        r = fiber_spawn(&scope, "lane", lane, &l, NULL);
    if (r == 0)
        r = scope_join(&scope);
    result->failed += (int64_t)audit_client_free(l.c, 5000);
    result->cpu_us = cpu_us();
    return r;
}

static int server(void *arg)
{
    struct bench *b = arg;
    struct audit_server *s = NULL;
    struct err e = {0};
    struct audit_options o = {.path = b->path};
    int r = audit_server_open(&o, 0, &s, &e);
    for (int i = 0; r == 0 && i < b->clients; i++) {
        char name[24];
        snprintf(name, sizeof(name), "client-%d", i);
        r = audit_server_add(s, b->fds[i][0], name, &e);
    }
    if (r == 0)
        r = fiber_sleep_ms((int64_t)b->seconds * 1000 + 1000);
    int closed = audit_server_close(s, &e);
    if (r < 0 || closed < 0)
        fprintf(stderr, "%s\n", e.msg);
    return r < 0 ? r : closed;
}

static void run_client(struct bench *b, int i)
{
    struct which w = {b, i};
    for (int k = 0; k < b->clients; k++) {
        (void)close(b->fds[k][0]);
        if (k != i)
            (void)close(b->fds[k][1]);
    }
    _exit(loop_init() == 0 && loop_run(client, &w) == 0 ? 0 : 1);
}

static int number(int argc, char **argv, int i, int fallback)
{
    uint64_t v;
    return argc > i && str_to_u64(argv[i], strlen(argv[i]), 10000, &v) == 0 && v > 0 ? (int)v
                                                                                     : fallback;
}

int main(int argc, char **argv)
{
    struct bench b = {.clients = number(argc, argv, 2, 2),
                      .fibers = number(argc, argv, 3, 64),
                      .seconds = number(argc, argv, 4, 5),
                      .wait = argc > 5};
    if (argc < 2 || b.clients > CLIENTS_MAX) {
        fprintf(stderr, "usage: audit_append DIR [CLIENTS [FIBERS [SECONDS [wait]]]]\n");
        return 2;
    }
    snprintf(b.path, sizeof(b.path), "%s/audit-%ld.jsonl", argv[1], (long)getpid());
    b.results = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MUST(b.results != MAP_FAILED);
    for (int i = 0; i < b.clients; i++)
        MUST(sock_pair(SOCK_STREAM, b.fds[i]) == 0);
    for (int i = 0; i < b.clients; i++)
        if (fork() == 0)
            run_client(&b, i);
    for (int i = 0; i < b.clients; i++)
        (void)close(b.fds[i][1]);
    int r = loop_init() == 0 ? loop_run(server, &b) : -1;
    struct result sum = {0};
    for (int i = 0; i < b.clients; i++) {
        int status;
        (void)wait(&status);
        sum.records += b.results[i].records;
        sum.cpu_us += b.results[i].cpu_us;
        sum.failed += b.results[i].failed + (status != 0);
        if (b.results[i].longest_reserve_ns > sum.longest_reserve_ns)
            sum.longest_reserve_ns = b.results[i].longest_reserve_ns;
        if (b.results[i].longest_append_ns > sum.longest_append_ns)
            sum.longest_append_ns = b.results[i].longest_append_ns;
    }
    double n = sum.records ? (double)sum.records : 1;
    printf("{\"bench\":\"audit_append\",\"clients\":%d,\"fibers\":%d,\"wait\":%s,"
           "\"records_per_s\":%.0f,\"writer_us\":%.2f,\"client_us\":%.2f,"
           "\"longest_reserve_ms\":%.2f,\"longest_append_ms\":%.2f,\"failed\":%lld}\n",
           b.clients, b.fibers, b.wait ? "true" : "false", n / b.seconds, (double)cpu_us() / n,
           (double)sum.cpu_us / n, (double)sum.longest_reserve_ns / 1e6,
           (double)sum.longest_append_ns / 1e6, (long long)sum.failed);
    return r == 0 && sum.failed == 0 ? 0 : 1;
}
