/* test_scrub_exhausted.c - what the scrubber and the decoders do when memory runs out: an error
 * or our own last words, never a crash, and never a secret that gets past. */
#include "base/buf.h"
#include "base/err.h"
#include "scrub/inflate.h"
#include "scrub/scrub.h"

#include "unit/exhaust.h"

#define SECRET "ghp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9t"

static const char text[] =
    "plain " SECRET " \\u0067hp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9t %67hp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9t "
    "&amp;#x67;hp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9t Z2hwX2FCM2RFNWZHN2hJOWpLMWxNM25PNXBRN3JTOXQ= end";

static void scrub(void)
{
    static const struct scrub_pair pairs[] = {{"A", SECRET, 32, "placeholder", 11},
                                              {"B", "p\\ss wo&rd", 10, "placeholder", 11}};
    static char room[4096]; /* not the heap's */
    struct scrub_table *t = NULL;
    struct err e = {0};
    if (scrub_table_new(pairs, 2, SCRUB_ALL, &t, &e) < 0) {
        MUST(e.msg[0]);
        return;
    }
    for (size_t piece = 1; piece < sizeof(text); piece += 13) {
        AUTO(buf) out = BUF_INIT(sizeof(room));
        AUTO(scrub_stream) s = {0};
        scrub_begin(&s, t, SCRUB_QUOTE_JSON, false);
        int r = 0;
        for (size_t at = 0; at < sizeof(text) - 1 && r == 0; at += piece) {
            size_t k = sizeof(text) - 1 - at < piece ? sizeof(text) - 1 - at : piece;
            r = scrub_feed(&s, text + at, k, &out);
        }
        if (r == 0)
            r = scrub_end(&s, &out);
        MUST(strstr(buf_str(&out), "aB3dE5fG7hI9jK1lM3nO5pQ7rS9t") == NULL);
        MUST(r < 0 || s.hits == 5);
    }
    scrub_table_unref(t);
}

static void inflate_one(enum inflate_coding c, const void *data, size_t n)
{
    struct inflate *f = NULL;
    struct err e = {0};
    uint8_t out[100];
    const uint8_t *p = data;
    size_t k = 0, got = 0;
    int r = inflate_new(c, &f, &e);
    while (r == 0 && n > 0) { /* with room for more than there is */
        r = inflate_step(f, &p, &n, out + k, sizeof(out) - k, &got, &e);
        k += r == 0 ? got : 0;
    }
    if (r == 0)
        r = inflate_end(f, &e);
    MUST(r == 0 ? k == 3 && memcmp(out, "abc", 3) == 0 : e.msg[0] != 0);
    inflate_free(f);
}

/* "abc" by each of the encoders. */
static void inflate_all(void)
{
    static const uint8_t gzip[] = {0x1f, 0x8b, 8, 0,    0,    0,    0,    0, 0, 3, 0x4b, 0x4c,
                                   0x4a, 6,    0, 0xc2, 0x41, 0x24, 0x35, 3, 0, 0, 0};
    static const uint8_t zlib[] = {0x78, 0x9c, 0x4b, 0x4c, 0x4a, 6, 0, 2, 0x4d, 1, 0x27};
    static const uint8_t brotli[] = {0x0b, 1, 0x80, 0x61, 0x62, 0x63, 3};
    static const uint8_t zstd[] = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 0x19, 0, 0, 0x61, 0x62, 0x63};
    inflate_one(INFLATE_GZIP, gzip, sizeof(gzip));
    inflate_one(INFLATE_DEFLATE, zlib, sizeof(zlib));
    inflate_one(INFLATE_BROTLI, brotli, sizeof(brotli));
    inflate_one(INFLATE_ZSTD, zstd, sizeof(zstd));
}

static void no_secret_gets_past_when_memory_runs_out(void **state)
{
    (void)state;
    exhaust_each("scrub", scrub);
}

static void decoders_end_with_an_error_when_memory_runs_out(void **state)
{
    (void)state;
    exhaust_each("inflate", inflate_all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_secret_gets_past_when_memory_runs_out),
        cmocka_unit_test(decoders_end_with_an_error_when_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
