/* inject - what a request costs between the policy and the origin, on one core.
 *
 * A session with 256 credentials, each with a placeholder and a known secret, all of which are searched
 * for in every head and every body; 32 of them belong to the host. Heads: microseconds for plan, apply and
 * release of a request with twelve fields, of which none or one is replaced, and of an answer. Bodies:
 * megabytes per second of CPU time for text, JSON and random bytes in pieces of 16 KiB, only looked
 * through, with a placeholder replaced every 100 KB, and on the way back. Everything is made from a fixed
 * seed; each figure is the best of five runs. One line of JSON for each. Usage: inject [MIB] */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"
#include "egress/inject/body.h"
#include "egress/inject/inject.h"
#include "scrub/http/reply.h"

#define CREDENTIALS 256
#define OF_HOST     32
#define BODY_BYTES  (4u << 20)
#define PIECE_BYTES (16u << 10)
#define HEADS       50000
#define ROUNDS      5

static struct world {
    struct policy *policy;
    struct placeholders *placeholders;
    struct inject_watch *watch;
    struct scrub_table *reply;
    struct secret values[CREDENTIALS];
    char names[CREDENTIALS][16];
    struct host host;
    struct inject_world in;
    struct inject_target to;
} w;

static double cpu_s(void)
{
    struct rusage ru;
    if (getrusage(RUSAGE_SELF, &ru) < 0)
        return 0;
    return (double)ru.ru_utime.tv_sec + (double)ru.ru_utime.tv_usec / 1e6 +
           (double)ru.ru_stime.tv_sec + (double)ru.ru_stime.tv_usec / 1e6;
}

static void check(int r, const struct err *e)
{
    if (r >= 0)
        return;
    (void)fprintf(stderr, "%s %s\n", err_name(r), e ? e->msg : "");
    exit(1);
}

/* The first has the default places and bodies; the others of the host a header each. */
static void make_policy(void)
{
    AUTO(buf) b = BUF_INIT(1 << 20);
    struct err e = {0};
    (void)buf_adds(&b, "allow: [{host: '*'}]\ncredentials:\n");
    for (int i = 0; i < CREDENTIALS; i++) {
        (void)snprintf(w.names[i], sizeof(w.names[i]), "TOKEN_%d", i);
        (void)buf_addf(&b, "  - {name: TOKEN_%d, source: {env: X}, hosts: [%s%d%s]", i,
                       i < OF_HOST ? "api.example" : "other", i < OF_HOST ? 0 : i,
                       i < OF_HOST ? "" : ".example");
        if (i == 0)
            (void)buf_adds(
                &b, ", inject: {header: [authorization, x-api-key], basic: true, body: true}}\n");
        else
            (void)buf_addf(&b, ", inject: {header: [x-key-%d]}}\n", i);
    }
    check(policy_parse(b.data, b.len, &w.policy, &e), &e);
}

static void make_session(void)
{
    static struct inject_secret secrets[CREDENTIALS];
    struct err e = {0};
    struct placeholder_format *f = NULL;
    const struct placeholder *p;
    check(placeholder_format_parse(NULL, &f, &e), &e);
    w.placeholders = placeholders_new();
    for (int i = 0; i < CREDENTIALS; i++) {
        char value[64];
        uint8_t raw[24];
        AUTO(buf) text = BUF_INIT(128);
        check(placeholders_issue(w.placeholders, "s", w.names[i], f, &p, &e), &e);
        rng_bytes(raw, sizeof(raw));
        (void)enc_base64url(&text, raw, sizeof(raw));
        (void)snprintf(value, sizeof(value), "ghp_%s", buf_str(&text));
        check(secret_set(&w.values[i], value, strlen(value)), NULL);
        secrets[i] = (struct inject_secret){w.names[i], &w.values[i]};
    }
    placeholder_format_free(f);
    double began = cpu_s();
    check(inject_watch_new(w.placeholders, "s", secrets, CREDENTIALS, &w.watch, &e), &e);
    printf("{\"table\":\"watch\",\"credentials\":%d,\"compile_ms\":%.2f}\n", CREDENTIALS,
           (cpu_s() - began) * 1e3);
    check(inject_reply_table(w.placeholders, "s", secrets, CREDENTIALS, &w.reply, &e), &e);
    w.in = (struct inject_world){"s", w.placeholders, w.watch, NULL, 0};
    check(host_parse("api.example0", 12, 0, &w.host, &e), &e);
    w.to = (struct inject_target){&w.host, 443, POLICY_TLS};
}

/* ---- heads ---- */

static const char *const request_fields[][2] = {
    {"authorization", NULL},
    {"user-agent",
     "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0"},
    {"accept", "application/vnd.github+json"},
    {"accept-language", "en-US,en;q=0.9"},
    {"accept-encoding", "gzip, deflate, br, zstd"},
    {"content-type", "application/json"},
    {"x-github-api-version", "2022-11-28"},
    {"cache-control", "no-cache"},
    {"x-request-id", "4f8a2b1e-9c3d-4e5f-8a7b-6c5d4e3f2a1b"},
    {"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
    {"cookie", "logged_in=no; _octo=GH1.1.1048576; tz=UTC"},
    {"if-none-match", "W/\"5a8f-18c3b2a9f40\""},
};
#define FIELDS ARRAY_LEN(request_fields)

static void ask(struct policy_decision *d)
{
    struct policy_query q = {&w.host, 443, POLICY_TLS, "GET", "/repos/acme/web/issues", 22, NULL};
    policy_decide(w.policy, &q, d);
}

static void heads(const char *name, const char *login)
{
    double best = 1e9;
    struct policy_decision d;
    struct http_field fields[FIELDS + 1];
    ask(&d);
    for (size_t i = 0; i < FIELDS; i++)
        fields[i] =
            (struct http_field){http_text_of(request_fields[i][0]),
                                http_text_of(i ? request_fields[i][1] : login), false, NULL};
    for (int round = 0; round < ROUNDS; round++) {
        double began = cpu_s();
        for (int i = 0; i < HEADS; i++) {
            struct http_field copy[FIELDS + 1];
            struct http_head h = {.method = HTTP_TEXT("GET"),
                                  .authority = HTTP_TEXT("api.example0"),
                                  .path =
                                      HTTP_TEXT("/repos/acme/web/issues?state=open&per_page=50")};
            struct inject_plan plan;
            struct inject_refusal no;
            memcpy(copy, fields, sizeof(copy));
            h.fields = (struct http_fields){copy, FIELDS, FIELDS + 1};
            const struct secret *values[] = {&w.values[0]};
            check(inject_plan(&w.in, &d, &w.to, &h, &plan, &no), NULL);
            check(inject_apply(&plan, values, &h, &no), NULL);
            inject_plan_done(&plan);
            http_head_done(&h);
        }
        double us = (cpu_s() - began) * 1e6 / HEADS;
        best = us < best ? us : best;
    }
    printf("{\"head\":\"%s\",\"fields\":%zu,\"credentials\":%d,\"us\":%.2f}\n", name, FIELDS,
           CREDENTIALS, best);
}

static void answer_heads(void)
{
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        double began = cpu_s();
        for (int i = 0; i < HEADS; i++) {
            struct http_field copy[FIELDS];
            struct http_head h = {.status = 204};
            for (size_t k = 1; k < FIELDS; k++)
                copy[k - 1] = (struct http_field){http_text_of(request_fields[k][0]),
                                                  http_text_of(request_fields[k][1]), false, NULL};
            h.fields = (struct http_fields){copy, FIELDS - 1, FIELDS};
            struct reply r;
            reply_init(&r, w.reply);
            check(reply_head(&r, &h, NULL), NULL);
            reply_done(&r);
            http_head_done(&h);
        }
        double us = (cpu_s() - began) * 1e6 / HEADS;
        best = us < best ? us : best;
    }
    printf("{\"head\":\"answer\",\"fields\":%zu,\"credentials\":%d,\"us\":%.2f}\n", FIELDS - 1,
           CREDENTIALS, best);
}

/* ---- bodies ---- */

enum kind { TEXT, JSON, BINARY, KINDS };
static const char *const kind_names[] = {"text", "json", "binary"};

static void sentence(struct buf *b)
{
    static const char *const words[] = {"the",    "token",  "request", "in",       "that",
                                        "server", "is",     "secret",  "which",    "returned",
                                        "error",  "user",   "github",  "with",     "message",
                                        "a",      "client", "not",     "function", "value"};
    for (size_t i = 6 + rng_below(12); i > 0; i--) {
        (void)buf_adds(b, words[rng_below(ARRAY_LEN(words))]);
        (void)buf_addc(b, ' ');
    }
}

static void make_body(enum kind kind, const char *mark, struct buf *b)
{
    uint8_t raw[768];
    size_t next = mark ? 100000 : SIZE_MAX;
    rng_test_seed(kind + 1u);
    while (b->len < BODY_BYTES) {
        if (kind == BINARY) {
            rng_bytes(raw, sizeof(raw));
            (void)buf_add(b, raw, sizeof(raw));
        } else if (kind == JSON) {
            (void)buf_addf(b, "{\"id\":%u,\"url\":\"https:\\/\\/api.example\\/v1\",\"text\":\"",
                           (unsigned)rng_below(100000));
            sentence(b);
            (void)buf_adds(b, "\\n, \\\"said\\\" he.\"},\n");
        } else {
            sentence(b);
        }
        if (b->len >= next) {
            (void)buf_adds(b, mark);
            next += 100000;
        }
    }
    rng_test_reset();
}

static double one_request(const struct buf *body, const char *type, size_t bytes,
                          uint64_t *ret_swapped)
{
    struct policy_decision d;
    struct http_field fields[] = {{HTTP_TEXT("content-type"), http_text_of(type), false, NULL}};
    struct http_head h = {
        .method = HTTP_TEXT("POST"), .path = HTTP_TEXT("/"), .body = HTTP_BODY_STREAM};
    struct inject_plan plan;
    struct inject_refusal no;
    struct inject_body b;
    AUTO(buf) out = BUF_INIT(INJECT_OUT_MAX);
    const struct secret *values[] = {&w.values[0]};
    h.fields = (struct http_fields){fields, 1, 1};
    ask(&d);
    check(inject_plan(&w.in, &d, &w.to, &h, &plan, &no), NULL);
    check(inject_body_begin(&b, &plan, values, &h), NULL);
    double began = cpu_s();
    for (size_t done = 0; done < bytes; done += body->len)
        for (size_t at = 0; at < body->len; at += PIECE_BYTES) {
            const uint8_t *p = (const uint8_t *)body->data + at;
            size_t k = body->len - at < PIECE_BYTES ? body->len - at : PIECE_BYTES;
            int r;
            while ((r = inject_body_feed(&b, &p, &k, &out, &no)) == 1)
                buf_reset(&out);
            check(r, NULL);
            buf_reset(&out);
        }
    double s = cpu_s() - began;
    *ret_swapped = plan.n_uses ? inject_body_swapped(&b, 0) : 0;
    inject_body_done(&b);
    inject_plan_done(&plan);
    return (double)bytes / 1e6 / s;
}

static double one_answer(const struct buf *body, size_t bytes, uint64_t *ret_hits)
{
    struct http_head h = {.status = 200, .body = HTTP_BODY_STREAM};
    struct reply r;
    struct err e = {0};
    AUTO(buf) out = BUF_INIT(INJECT_OUT_MAX);
    reply_init(&r, w.reply);
    check(reply_head(&r, &h, &e), &e);
    double began = cpu_s();
    for (size_t done = 0; done < bytes; done += body->len)
        for (size_t at = 0; at < body->len; at += PIECE_BYTES) {
            const uint8_t *p = (const uint8_t *)body->data + at;
            size_t k = body->len - at < PIECE_BYTES ? body->len - at : PIECE_BYTES;
            while (reply_feed(&r, &p, &k, &out, &e) == 1)
                buf_reset(&out);
            buf_reset(&out);
        }
    double s = cpu_s() - began;
    *ret_hits = reply_hits(&r);
    reply_done(&r);
    http_head_done(&h);
    return (double)bytes / 1e6 / s;
}

static void bodies(enum kind kind, size_t bytes)
{
    const char *mark = placeholders_of(w.placeholders, "s", "TOKEN_0")->text;
    AUTO(buf) plain = BUF_INIT(2 * BODY_BYTES), marked = BUF_INIT(2 * BODY_BYTES),
              echoed = BUF_INIT(2 * BODY_BYTES);
    double best[3] = {0};
    uint64_t hits[3] = {0};
    make_body(kind, NULL, &plain);
    make_body(kind, mark, &marked);
    make_body(kind, secret_borrow(&w.values[0]), &echoed);
    for (int round = 0; round < ROUNDS; round++) {
        double mb[3] = {one_request(&plain, "image/png", bytes, &hits[0]),
                        one_request(&marked, "application/json", bytes, &hits[1]),
                        one_answer(&echoed, bytes, &hits[2])};
        for (int i = 0; i < 3; i++)
            best[i] = mb[i] > best[i] ? mb[i] : best[i];
    }
    static const char *const ways[] = {"looked through", "with substitution", "answer"};
    for (int i = 0; i < 3; i++)
        printf("{\"body\":\"%s\",\"way\":\"%s\",\"secrets\":%d,\"hits\":%llu,\"mb_per_s\":%.0f}\n",
               kind_names[kind], ways[i], CREDENTIALS, (unsigned long long)hits[i], best[i]);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    uint64_t mib = 100;
    if (argc > 1 && str_to_u64(argv[1], strlen(argv[1]), 100000, &mib) < 0)
        return 2;
    rng_test_seed(7);
    make_policy();
    make_session();
    char login[256], basic[256];
    AUTO(buf) b = BUF_INIT(256), c = BUF_INIT(256);
    const struct placeholder *p = placeholders_of(w.placeholders, "s", "TOKEN_0");
    (void)snprintf(login, sizeof(login), "Bearer %s", p->text);
    (void)buf_addf(&b, "x-access-token:%s", p->text);
    (void)enc_base64(&c, b.data, b.len);
    (void)snprintf(basic, sizeof(basic), "Basic %s", buf_str(&c));
    heads("nothing to replace", "Bearer eyJhbGciOiJub25lIn0.e30.x");
    heads("bearer", login);
    heads("basic", basic);
    answer_heads();
    for (enum kind k = 0; k < KINDS; k++)
        bodies(k, (size_t)mib << 20);
    return 0;
}
