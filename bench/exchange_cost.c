/* exchange_cost.c - what the boundary's own code costs for one exchange, and for a long stream.
 *
 * Usage: exchange_cost [EXCHANGES [GIB [CASE]]]. A GET with twelve fields and an answer with ten and 1 KiB of
 * body, between pipes in memory that never wait, so that framing, TLS and the kernel are left out:
 *
 *     pass     a host without credentials
 *     inject   a header with a placeholder; the answer is scrubbed
 *     refuse   a path that no rule has: 403
 *
 * Then GIB gibibytes of an answer, scrubbed and not. One JSON line each: nanoseconds of CPU an exchange (the
 * best of 16 rounds) or megabytes a second of CPU, and how much the process grew. */
#include "audit/wire.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "egress/inject/limits.h"
#include "scrub/http/reply.h"
#include "egress/proxy/exchange.h"
#include "io/loop.h"
#include "io/sock.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define ROUNDS      16
#define BATCH       32
#define SESSION     "sesn_bench"
#define SECRET      "ghp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9t"
#define PLACEHOLDER "sp_ph_0123456789abcdefghijABCDEFGHIJ12"

/* ---- pipes that never wait ---- */

struct canned {
    struct http_pipe pipe;
    const char *path; /* of a request */
    bool credential;
    uint64_t bytes, left; /* of an answer's body */
    uint64_t heard;
    struct http_fields none;
};

static char piece[32 << 10];

static void add(struct http_head *h, const char *name, const char *value)
{
    struct http_text n = http_head_copy(h, name, strlen(name));
    MUST(http_head_add(h, n, http_head_copy(h, value, strlen(value))) == 0);
}

static int read_head(struct http_pipe *p, struct http_head *h, struct err *e)
{
    struct canned *c = CONTAINER_OF(p, struct canned, pipe);
    (void)e;
    if (c->path) {
        h->method = http_head_copy(h, "GET", 3);
        h->path = http_head_copy(h, c->path, strlen(c->path));
        h->authority = http_head_copy(h, "api.example", 11);
        add(h, "user-agent", "curl/8.5.0");
        add(h, "accept", "application/json");
        add(h, "accept-language", "en");
        add(h, "x-request-id", "0f8fad5b-d9cb-469f-a165-70867728950e");
        add(h, "x-stainless-lang", "js");
        add(h, "x-stainless-os", "Linux");
        add(h, "x-stainless-arch", "x64");
        add(h, "x-stainless-runtime", "node");
        add(h, "x-stainless-package-version", "0.65.0");
        add(h, "accept-encoding", "gzip, deflate, br");
        add(h, "cache-control", "no-cache");
        add(h, "authorization", c->credential ? "Bearer " PLACEHOLDER : "Bearer nothing");
        return 0;
    }
    h->status = 200;
    h->body = c->bytes > UINT32_MAX ? HTTP_BODY_STREAM : HTTP_BODY_LENGTH;
    h->has_length = h->body == HTTP_BODY_LENGTH;
    h->length = h->has_length ? c->bytes : 0;
    c->left = c->bytes;
    add(h, "date", "Mon, 23 Nov 2026 18:14:19 GMT");
    add(h, "content-type", "application/json; charset=utf-8");
    add(h, "server", "nginx");
    add(h, "cache-control", "private, max-age=60, s-maxage=60");
    add(h, "vary", "Accept, Authorization, Cookie");
    add(h, "etag", "\"5d41402abc4b2a76b9719d911017c592\"");
    add(h, "x-ratelimit-limit", "5000");
    add(h, "x-ratelimit-remaining", "4987");
    add(h, "strict-transport-security", "max-age=31536000; includeSubdomains; preload");
    add(h, "x-request-id", "C0DE:1A2B:3C4D5E:6F7081:67412ABC");
    return 0;
}

static ssize_t read_body(struct http_pipe *p, void *to, size_t room, bool *ret_idle)
{
    struct canned *c = CONTAINER_OF(p, struct canned, pipe);
    size_t n = c->left < room ? (size_t)c->left : room;
    n = n < sizeof(piece) ? n : sizeof(piece);
    memcpy(to, piece, n);
    c->left -= n;
    if (ret_idle)
        *ret_idle = false;
    return (ssize_t)n;
}

static const struct http_fields *trailers(struct http_pipe *p)
{
    return &CONTAINER_OF(p, struct canned, pipe)->none;
}

static int send_head(struct http_pipe *p, const struct http_head *h)
{
    CONTAINER_OF(p, struct canned, pipe)->heard += h->fields.n;
    return 0;
}

static int send_body(struct http_pipe *p, const void *from, size_t n, bool more)
{
    (void)from;
    (void)more;
    CONTAINER_OF(p, struct canned, pipe)->heard += n;
    return 0;
}

static int send_end(struct http_pipe *p, const struct http_fields *t)
{
    (void)p;
    (void)t;
    return 0;
}

static void reset(struct http_pipe *p, enum http_reset why)
{
    (void)p;
    (void)why;
}

static void close_pipe(struct http_pipe *p)
{
    (void)p;
}

static bool ready(struct http_pipe *p)
{
    (void)p;
    return true;
}

static const struct http_pipe_ops ops = {.read_head = read_head,
                                         .read_body = read_body,
                                         .trailers = trailers,
                                         .send_head = send_head,
                                         .send_body = send_body,
                                         .send_end = send_end,
                                         .reset = reset,
                                         .close = close_pipe,
                                         .ready = ready};

/* ---- the world ---- */

struct bench {
    size_t n;
    uint64_t gib;
    const char *only; /* a case, or NULL */
    struct exchange_world world;
    struct exchange_sandbox sandbox;
    struct exchange_spares spares;
    struct placeholders *placeholders;
    struct secret secret;
    struct scrub_table *table;
    struct host host;
    struct host_claim claims[2];
    struct canned client, origin;
    int audit_fd;
};

static int secrets(void *arg, struct exchange_sandbox *s, const struct inject_plan *plan,
                   struct exchange_values *ret, struct err *e)
{
    struct bench *b = arg;
    (void)s;
    (void)e;
    for (size_t i = 0; i < plan->n_uses; i++)
        ret->values[i] = &b->secret;
    ret->table = scrub_table_ref(b->table);
    return 0;
}

static void secrets_done(void *arg, struct exchange_values *v)
{
    (void)arg;
    (void)v;
}

static int origin(void *arg, const struct exchange_want *want, struct exchange_origin *ret,
                  const char **ret_type, struct err *e)
{
    struct bench *b = arg;
    (void)want;
    (void)ret_type;
    (void)e;
    *ret =
        (struct exchange_origin){.pipe = &b->origin.pipe, .reused = true, .peer = "192.0.2.1:443"};
    return 0;
}

static void origin_done(void *arg, struct exchange_origin *o)
{
    (void)arg;
    (void)o;
}

static const struct exchange_calls calls = {
    .secrets = secrets, .secrets_done = secrets_done, .origin = origin, .origin_done = origin_done};

/* Grants what is wanted and acknowledges what comes. */
static int auditor(void *arg)
{
    struct bench *b = arg;
    struct io_fd io = IO_FD_NONE;
    MUST(io_fd_add(&io, b->audit_fd) == 0);
    AUTO(buf) in = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);
    for (;;) {
        char *to = buf_room(&in, 65536);
        ssize_t n = io_read(&io, to, 65536);
        if (n <= 0)
            break;
        buf_commit(&in, (size_t)n);
        struct audit_frame f, a = {.type = AUDIT_ACK};
        size_t at = 0;
        for (int k; (k = audit_wire_get(in.data + at, in.len - at, &f)) > 0; at += (size_t)k) {
            if (f.type == AUDIT_WANT)
                MUST(audit_wire_put(&out, &(struct audit_frame){.type = AUDIT_GRANT,
                                                                .n = f.n + 4096}) == 0);
            if (f.type == AUDIT_RECORD)
                a.n = f.n;
        }
        buf_consume(&in, at);
        if (a.n)
            MUST(audit_wire_put(&out, &a) == 0);
        if (io_write_all(&io, out.data, out.len) < 0)
            break;
        buf_reset(&out);
    }
    io_fd_close(&io);
    return 0;
}

static size_t resident_kib(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    char line[128] = "";
    MUST(f && fgets(line, sizeof(line), f));
    (void)fclose(f);
    const char *second = strchr(line, ' ') + 1;
    uint64_t pages = 0;
    MUST(str_to_u64(second, strcspn(second, " "), UINT32_MAX, &pages) == 0);
    return (size_t)pages * 4;
}

static int64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void settle(void)
{
    for (int i = 0; i < 4; i++)
        MUST(fiber_yield() == 0);
    MUST(fiber_sleep_ms(1) == 0);
}

static void small(struct bench *b, const char *name, const char *path, bool credential)
{
    if (b->only && strcmp(b->only, name) != 0)
        return;
    b->client.path = path;
    b->client.credential = credential;
    b->origin.bytes = 1024;
    int64_t best = INT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t spent = 0;
        size_t done = 0;
        for (; done < b->n / ROUNDS; done += BATCH) {
            int64_t from = cpu_ns();
            for (int i = 0; i < BATCH; i++)
                exchange_run(&b->world, &b->client.pipe);
            spent += cpu_ns() - from;
            settle();
        }
        int64_t each = spent / (int64_t)(done ? done : 1);
        best = each < best ? each : best;
    }
    (void)printf("{\"bench\":\"exchange\",\"case\":\"%s\",\"ns\":%lld}\n", name, (long long)best);
}

static void large(struct bench *b, const char *name, bool credential)
{
    if (b->gib == 0)
        return;
    b->client.path = credential ? "/v1/x" : "/open/x";
    b->client.credential = credential;
    b->origin.bytes = b->gib << 30;
    size_t before = resident_kib();
    int64_t from = cpu_ns();
    exchange_run(&b->world, &b->client.pipe);
    int64_t took = cpu_ns() - from;
    (void)printf("{\"bench\":\"exchange\",\"case\":\"%s\",\"gib\":%llu,\"mb_per_s\":%lld,"
                 "\"grew_kib\":%zd}\n",
                 name, (unsigned long long)b->gib,
                 (long long)(((int64_t)b->gib << 30) / (took / 1000 + 1)),
                 (ssize_t)(resident_kib() - before));
}

static int run(void *arg)
{
    struct bench *b = arg;
    struct err e = {0};
    static const char yaml[] = "allow:\n  - {host: api.example, paths: ['/v1/**', '/open/**']}\n"
                               "credentials:\n  - name: TOKEN\n    source: {env: T}\n"
                               "    hosts: [api.example]\n    paths: ['/v1/**']\n";
    static const char open_yaml[] = "allow:\n  - {host: api.example, inspect: true}\n";
    struct policy *p = NULL, *open_policy = NULL;
    MUST(policy_parse(yaml, strlen(yaml), &p, &e) == 0);
    MUST(policy_parse(open_yaml, strlen(open_yaml), &open_policy, &e) == 0);
    b->placeholders = placeholders_new();
    const struct placeholder *ph;
    MUST(placeholders_adopt(b->placeholders, SESSION, "TOKEN", PLACEHOLDER, &ph, &e) == 0);
    MUST(secret_set(&b->secret, SECRET, strlen(SECRET)) == 0);
    struct inject_secret one = {"TOKEN", &b->secret};
    MUST(inject_reply_table(b->placeholders, SESSION, &one, 1, &b->table, &e) == 0);
    exchange_sandbox_init(&b->sandbox, "sbx_1", p);
    b->sandbox.session = SESSION;
    b->sandbox.call = "toolu_01A09q90qw90lq917835lq9";
    b->sandbox.placeholders = b->placeholders;
    b->sandbox.limits = inject_limits_new();
    MUST(inject_watch_new(b->placeholders, SESSION, &one, 1, &b->sandbox.watch, &e) == 0);
    int fds[2];
    MUST(sock_pair(SOCK_STREAM, fds) == 0);
    b->audit_fd = fds[0];
    AUTO(scope) scope;
    scope_init(&scope);
    MUST(fiber_spawn(&scope, "auditor", auditor, b, NULL) == 0);
    struct audit_client *audit = audit_client_new();
    MUST(audit_client_connect(audit, fds[1], &e) == 0);
    MUST(host_parse("api.example", 11, 0, &b->host, &e) == 0);
    b->claims[0] = (struct host_claim){"the resolved name", &b->host, 443};
    b->claims[1] = (struct host_claim){"SNI", &b->host, 0};
    b->world = (struct exchange_world){.sandbox = &b->sandbox,
                                       .calls = &calls,
                                       .arg = b,
                                       .audit = audit,
                                       .spares = &b->spares,
                                       .claims = b->claims,
                                       .n_claims = 2,
                                       .host = &b->host,
                                       .port = 443,
                                       .tls = true};
    b->client.pipe = b->origin.pipe = (struct http_pipe){&ops, HTTP_1_1};
    for (size_t i = 0; i < sizeof(piece); i++)
        piece[i] = "the quick brown fox jumps over the lazy dog\n"[i % 44];
    settle();
    small(b, "inject", "/v1/x", true);
    small(b, "refuse", "/v2/x", false);
    large(b, "stream scrubbed", true);
    (void)exchange_set_policy(&b->sandbox, open_policy);
    small(b, "pass", "/v1/x", false);
    large(b, "stream passed", false);
    (void)audit_client_free(audit, 100);
    scope_cancel(&scope);
    exchange_sandbox_done(&b->sandbox);
    inject_watch_unref(b->sandbox.watch);
    scrub_table_unref(b->table);
    exchange_spares_done(&b->spares);
    policy_unref(p);
    policy_unref(open_policy);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t n = 100000, gib = 10;
    if ((argc > 1 && str_to_u64(argv[1], strlen(argv[1]), 100000000, &n) < 0) ||
        (argc > 2 && str_to_u64(argv[2], strlen(argv[2]), 1000, &gib) < 0))
        return 2;
    static struct bench b;
    b.n = (size_t)n;
    b.gib = gib;
    b.only = argc > 3 ? argv[3] : NULL;
    if (loop_init() < 0)
        return 1;
    int r = loop_run(run, &b);
    loop_done();
    return r < 0;
}
