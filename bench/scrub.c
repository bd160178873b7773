/* scrub - megabytes per second of CPU time through the scrubbing engine, on one core.
 *
 * Bodies of 4 MiB are made (English text, JSON with text in it, a URL-encoded form, HTML,
 * base64, random bytes), then fed in pieces of 16 KiB, which is a TLS record, into a buffer that
 * is emptied after each. Tables have 0, 1, 16 and 256 secrets in all forms. Then texts that
 * somebody wrote who knows the placeholders or the shape of the secrets. Everything is made from
 * a fixed seed; each figure is the best of three runs of `MIB`. One line of JSON for each.
 * Usage: scrub [MIB [NAME]] */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/buf.h"
#include "base/enc.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/time.h"
#include "scrub/scrub.h"

#define BODY_BYTES  (4u << 20)
#define PIECE_BYTES (16u << 10)
#define SECRETS     256
#define ROUNDS      3

static char secrets[SECRETS][64], standins[SECRETS][64];
static struct scrub_pair pairs[SECRETS];

static void token(char *ret, const char *prefix, size_t n)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    size_t k = strlen(prefix);
    memcpy(ret, prefix, k);
    for (; k < n; k++)
        ret[k] = alphabet[rng_below(sizeof(alphabet) - 1)];
    ret[n] = '\0';
}

/* Of the shapes that tokens have: a few prefixes are shared by many. */
static void make_pairs(void)
{
    static const char *const prefixes[] = {
        "ghp_", "sk-ant-api03-", "github_pat_11AAAAAAA0", "xoxb-", "", "glpat-"};
    for (size_t i = 0; i < SECRETS; i++) {
        size_t n = 32 + i % 25;
        token(secrets[i], prefixes[i % ARRAY_LEN(prefixes)], n);
        token(standins[i], "sp_ph_", n);
        pairs[i] = (struct scrub_pair){"TOKEN", secrets[i], n, standins[i], n};
    }
}

static const char *const words[] = {
    "the",    "of",     "and",     "token",  "request",  "response", "in",      "that",
    "server", "is",     "secret",  "which",  "returned", "error",    "user",    "github",
    "https",  "status", "for",     "with",   "message",  "a",        "to",      "client",
    "not",    "found",  "invalid", "format", "value",    "name",     "content", "function",
    "be",     "on",     "as",      "by",     "at",       "was",      "field",   "number",
};

static const char *word(void)
{
    return words[rng_below(ARRAY_LEN(words))];
}

enum kind { TEXT, JSON, FORM, HTML, BASE64, BINARY, KINDS };
static const char *const kind_names[] = {"text", "json", "form", "html", "base64", "binary"};

static void add_sentence(struct buf *b, const char *space, const char *end)
{
    for (size_t i = 6 + rng_below(12); i > 0; i--) {
        (void)buf_adds(b, word());
        (void)buf_adds(b, i > 1 ? space : end);
    }
}

static void make_body(enum kind kind, struct buf *b)
{
    rng_test_seed(kind + 1u);
    unsigned char raw[3 * 256];
    while (b->len < BODY_BYTES)
        switch (kind) {
        case TEXT:
            add_sentence(b, " ", ".\n");
            break;
        case JSON:
            (void)buf_addf(b,
                           "{\"id\":%u,\"url\":\"https:\\/\\/api.example\\/v1\\/%s\",\"text\":\"",
                           (unsigned)rng_below(100000), word());
            add_sentence(b, " ", ".\\n");
            add_sentence(b, " ", ", \\\"said\\\" he.");
            (void)buf_addf(b, "\",\"ok\":%s,\"at\":\"2026-11-%02uT12:00:00Z\"},\n",
                           rng_below(2) ? "true" : "false", 1 + (unsigned)rng_below(30));
            break;
        case FORM:
            (void)buf_addf(b, "&%s=", word());
            add_sentence(b, "+", "%2C+");
            (void)buf_addf(b, "%%2F%s%%3D%%40%s", word(), word());
            break;
        case HTML:
            (void)buf_addf(b, "<p class=\"%s\">", word());
            add_sentence(b, " ", " &amp; more, ");
            add_sentence(b, " ", "&nbsp;&lt;b&gt;.</p>\n");
            break;
        case BASE64:
            rng_bytes(raw, sizeof(raw));
            (void)enc_base64(b, raw, sizeof(raw));
            break;
        case BINARY:
        case KINDS:
            rng_bytes(raw, sizeof(raw));
            (void)buf_add(b, raw, sizeof(raw));
            break;
        }
    rng_test_reset();
}

static double cpu_s(void)
{
    struct rusage ru;
    if (getrusage(RUSAGE_SELF, &ru) < 0)
        return 0;
    return (double)ru.ru_utime.tv_sec + (double)ru.ru_utime.tv_usec / 1e6 +
           (double)ru.ru_stime.tv_sec + (double)ru.ru_stime.tv_usec / 1e6;
}

/* Feeds `bytes` of the body, again and again. */
static double one_run(struct scrub_table *t, const struct buf *body, size_t piece, size_t bytes,
                      uint64_t *ret_hits)
{
    AUTO(buf) out = BUF_INIT(64u << 20);
    double began = cpu_s();
    AUTO(scrub_stream) s = {0};
    scrub_begin(&s, t, SCRUB_QUOTE_NONE, false);
    for (size_t done = 0; done < bytes;)
        for (size_t at = 0; at < body->len && done < bytes;) {
            size_t k = body->len - at < piece ? body->len - at : piece;
            if (scrub_feed(&s, body->data + at, k, &out) < 0)
                exit(1);
            buf_reset(&out);
            at += k;
            done += k;
        }
    if (scrub_end(&s, &out) < 0)
        exit(1);
    *ret_hits = s.hits;
    return (double)bytes / 1e6 / (cpu_s() - began);
}

static const char *only = ""; /* what a body's name must contain */

static void measure(const char *name, size_t n, struct scrub_table *t, const struct buf *body,
                    size_t piece, size_t bytes)
{
    if (!strstr(name, only))
        return;
    double best = 0;
    uint64_t hits = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double mb = one_run(t, body, piece, bytes, &hits);
        best = mb > best ? mb : best;
    }
    printf("{\"body\":\"%s\",\"secrets\":%zu,\"piece\":%zu,\"hits\":%llu,\"mb_per_s\":%.0f}\n",
           name, n, piece, (unsigned long long)hits, best);
    (void)fflush(stdout);
}

static struct scrub_table *compile(const struct scrub_pair *p, size_t n, bool tell)
{
    struct scrub_table *t;
    double began = cpu_s();
    if (scrub_table_new(p, n, SCRUB_ALL, &t, NULL) < 0)
        exit(1);
    struct scrub_stats s;
    scrub_table_stats(t, &s);
    if (tell)
        printf("{\"table\":%zu,\"needles\":%zu,\"needle_bytes\":%zu,\"longest\":%zu,\"hold_max\":%"
               "zu,\"step\":%zu,"
               "\"locked_bytes\":%zu,\"compile_ms\":%.2f}\n",
               n, s.needles, s.needle_bytes, s.longest, s.hold_max, s.step, s.locked_bytes,
               (cpu_s() - began) * 1e3);
    return t;
}

/* The fields of an ordinary answer, each on its own, as a proxy has them. */
static void fields(size_t n, struct scrub_table *t)
{
    static const char *const values[] = {
        "Sun, 29 Nov 2026 15:27:27 GMT",
        "application/json; charset=utf-8",
        "1432",
        "keep-alive",
        "no-cache, no-store",
        "gws",
        "W/\"5a8f-18c3b2a9f40\"",
        "Accept-Encoding, Origin",
        "max-age=31536000; includeSubDomains",
        "nosniff",
        "req_011CSHoEeqs5C35K2UUqR7Fy",
        "session=s%3Aq8Zt3kQ2; Path=/; HttpOnly; SameSite=Lax",
    };
    if (!strstr("fields", only))
        return;
    AUTO(buf) out = BUF_INIT(1 << 20);
    double best = 1e9;
    enum { TIMES = 100000 };
    for (int round = 0; round < ROUNDS; round++) {
        double began = cpu_s();
        for (size_t i = 0; i < TIMES; i++) {
            for (size_t k = 0; k < ARRAY_LEN(values); k++)
                if (scrub_text(t, values[k], strlen(values[k]), SCRUB_QUOTE_NONE, &out, NULL) < 0)
                    exit(1);
            buf_reset(&out);
        }
        double us = (cpu_s() - began) * 1e6 / TIMES;
        best = us < best ? us : best;
    }
    printf("{\"fields\":%zu,\"secrets\":%zu,\"us\":%.2f}\n", ARRAY_LEN(values), n, best);
}

static void repeat(struct buf *b, const char *p, size_t n)
{
    buf_reset(b);
    while (b->len < BODY_BYTES)
        (void)buf_add(b, p, n);
}

/* Texts for a table of placeholders, by somebody who knows them; and for tables that somebody
 * chose. */
static void adversarial(size_t bytes)
{
    AUTO(buf) b = BUF_INIT(2 * BODY_BYTES), piece = BUF_INIT(64u << 10);
    static struct scrub_pair known[SECRETS], alike[SECRETS], same[1];
    for (size_t i = 0; i < SECRETS; i++)
        known[i] = (struct scrub_pair){"TOKEN", standins[i], pairs[i].secret_bytes, secrets[i],
                                       pairs[i].secret_bytes};
    struct scrub_table *t = compile(known, SECRETS, false);
    for (size_t i = 0; i < SECRETS; i++)
        (void)buf_add(&piece, standins[i], known[i].secret_bytes - 1);
    repeat(&b, piece.data, piece.len);
    measure("all but the last byte", SECRETS, t, &b, PIECE_BYTES, bytes);
    buf_reset(&piece);
    for (size_t i = 0; i < SECRETS; i++)
        (void)buf_add(&piece, standins[i] + 1, known[i].secret_bytes - 1);
    repeat(&b, piece.data, piece.len);
    measure("all but the first byte", SECRETS, t, &b, PIECE_BYTES, bytes);
    buf_reset(&piece);
    for (size_t i = 0; i < SECRETS; i++)
        for (size_t k = 0; k + 1 < known[i].secret_bytes; k++)
            (void)buf_addf(&piece, "%%%02x", (unsigned char)standins[i][k]);
    repeat(&b, piece.data, piece.len);
    measure("all but the last byte, percent", SECRETS, t, &b, PIECE_BYTES, bytes);
    repeat(&b, "%25", 3);
    measure("%25%25%25", SECRETS, t, &b, PIECE_BYTES, bytes);
    repeat(&b, "\\", 1);
    measure("backslashes", SECRETS, t, &b, PIECE_BYTES, bytes);
    repeat(&b, "\\u0061", 6);
    measure("\\u0061", SECRETS, t, &b, PIECE_BYTES, bytes);
    buf_reset(&piece);
    for (size_t i = 0; i < SECRETS; i++)
        (void)buf_add(&piece, standins[i], known[i].secret_bytes);
    repeat(&b, piece.data, piece.len);
    measure("nothing but hits", SECRETS, t, &b, PIECE_BYTES, bytes);
    scrub_table_unref(t);

    static char numbered[SECRETS][32], periodic[64];
    for (size_t i = 0; i < SECRETS; i++) {
        (void)snprintf(numbered[i], sizeof(numbered[i]), "secret-value-%03zu", i);
        alike[i] = (struct scrub_pair){"TOKEN", numbered[i], strlen(numbered[i]), "sp_ph_x", 7};
    }
    t = compile(alike, SECRETS, false);
    repeat(&b, "secret-value-", 13);
    measure("the common part of numbered secrets", SECRETS, t, &b, PIECE_BYTES, bytes);
    scrub_table_unref(t);

    memset(periodic, 'a', 63);
    same[0] = (struct scrub_pair){"TOKEN", periodic, 63, "sp_ph_x", 7};
    t = compile(same, 1, false);
    memset(periodic, 'a', 62);
    periodic[62] = 'b';
    repeat(&b, periodic, 63);
    measure("a..ab for a secret of a", 1, t, &b, PIECE_BYTES, bytes);
    measure("a..ab for a secret of a", 1, t, &b, 1, bytes / 64);
    scrub_table_unref(t);
}

int main(int argc, char **argv)
{
    uint64_t mib = 64;
    if (argc > 1 && str_to_u64(argv[1], strlen(argv[1]), 10000, &mib) < 0)
        return fprintf(stderr, "usage: scrub [MIB [NAME]]\n"), 2;
    only = argc > 2 ? argv[2] : "";
    rng_test_seed(9);
    make_pairs();
    rng_test_reset();
    size_t bytes = (size_t)mib << 20;
    struct buf bodies[KINDS];
    for (size_t k = 0; k < KINDS; k++) {
        bodies[k] = BUF_INIT(2 * BODY_BYTES);
        make_body((enum kind)k, &bodies[k]);
    }
    static const size_t counts[] = {0, 1, 16, 256};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        struct scrub_table *t = compile(pairs, counts[i], true);
        for (size_t k = 0; k < KINDS; k++)
            measure(kind_names[k], counts[i], t, &bodies[k], PIECE_BYTES, bytes);
        fields(counts[i], t);
        scrub_table_unref(t);
    }
    /* A hit every few kilobytes, of a random secret. */
    AUTO(buf) b = BUF_INIT(2 * BODY_BYTES);
    for (size_t at = 0; at < bodies[JSON].len; at += 3000) {
        (void)buf_add(&b, bodies[JSON].data + at,
                      bodies[JSON].len - at < 3000 ? bodies[JSON].len - at : 3000);
        (void)buf_add(&b, secrets[at / 3000 % SECRETS], pairs[at / 3000 % SECRETS].secret_bytes);
    }
    struct scrub_table *t = compile(pairs, SECRETS, false);
    measure("json with a hit every 3000 bytes", SECRETS, t, &b, PIECE_BYTES, bytes);
    measure("json", SECRETS, t, &bodies[JSON], 100, bytes / 4);
    measure("json", SECRETS, t, &bodies[JSON], 1, bytes / 64);
    scrub_table_unref(t);
    /* The shortest secret decides how much may be skipped. */
    pairs[0].secret_bytes = SCRUB_SECRET_MIN;
    t = compile(pairs, SECRETS, true);
    measure("text, one secret of 8 bytes", SECRETS, t, &bodies[TEXT], PIECE_BYTES, bytes);
    measure("json, one secret of 8 bytes", SECRETS, t, &bodies[JSON], PIECE_BYTES, bytes);
    measure("binary, one secret of 8 bytes", SECRETS, t, &bodies[BINARY], PIECE_BYTES, bytes);
    scrub_table_unref(t);
    pairs[0].secret_bytes = strlen(secrets[0]);
    adversarial(bytes);
    for (size_t k = 0; k < KINDS; k++)
        buf_done(&bodies[k]);
    return 0;
}
