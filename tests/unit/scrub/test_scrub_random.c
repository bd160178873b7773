/* test_scrub_random.c - random secrets and texts, beside the reference.
 *
 * Texts are noise and secrets, whole or cut, in random forms, each byte perhaps escaped, perhaps
 * twice; fed whole, byte by byte and in random pieces. The fuzz target (tests/fuzz/scrub.c) goes
 * further in some directions, this one in others: longer secrets, several that begin alike. A
 * round that fails is told by its number: rng_test_seed(it) brings it back. */
#include "unit/unit.h"
#include "base/rng.h"
#include "unit/scrub/reference.h"

#include <stdlib.h>

#define ROUNDS  600
#define PAIRS   6
#define LONGEST 100

static const char wide[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_/+=\"\\%& <~>?\n";
static const char narrow[] = "ab\\%&4u0n/";

static void random_bytes(char *ret, size_t n, bool few)
{
    for (size_t i = 0; i < n; i++)
        ret[i] = few ? narrow[rng_below(sizeof(narrow) - 1)] : wide[rng_below(sizeof(wide) - 1)];
}

enum { HOWS = 9, ANY = 98, FEW = 99 };

static void add_byte(struct buf *t, unsigned char c, uint64_t how)
{
    switch (how) {
    case 1:
        (void)buf_addf(t, "%%%02x", c);
        break;
    case 2:
        (void)buf_addf(t, "\\u%04X", c);
        break;
    case 3:
        (void)buf_addf(t, "&#%u;", c);
        break;
    case 4:
        (void)buf_addf(t, "%%25%02X", c);
        break;
    case 5:
        (void)buf_addf(t, "\\\\u%04x", c);
        break;
    case 6:
        (void)buf_addf(t, "&amp;#x%x;", c);
        break;
    case 7:
        if (c == '"' || c == '\\' || c == '/')
            (void)buf_addc(t, '\\');
        (void)buf_addc(t, (char)c);
        break;
    default:
        (void)buf_addc(t, (char)c);
    }
}

/* ANY: each byte in its own way. FEW: most as they are. */
static void add_escaped(struct buf *t, const char *p, size_t n, uint64_t how)
{
    for (size_t i = 0; i < n; i++) {
        bool draw = how == ANY || (how == FEW && rng_below(20) == 0);
        add_byte(t, (unsigned char)p[i], draw ? rng_below(HOWS) : how);
    }
}

static uint64_t some_way(void)
{
    return rng_below(3) == 0 ? rng_below(HOWS) : rng_below(2) ? ANY : FEW;
}

static void add_noise(struct buf *t, bool few)
{
    char noise[200];
    size_t n = rng_below(rng_below(3) ? 20 : sizeof(noise));
    random_bytes(noise, n, few);
    if (rng_below(5) == 0)
        memset(noise, "\\%&a"[rng_below(4)], n);
    add_escaped(t, noise, n, rng_below(3) ? 0 : some_way());
}

static void add_secret(struct buf *t, const struct scrub_pair *p)
{
    AUTO(buf) coded = BUF_INIT(10000), plain = BUF_INIT(10000);
    uint64_t form = rng_below(5);
    for (size_t i = rng_below(4); form > 2 && i > 0; i--)
        (void)buf_addc(&plain, (char)rng_below(256));
    (void)buf_add(&plain, p->secret,
                  p->secret_bytes - (rng_below(4) ? 0 : rng_below(p->secret_bytes)));
    for (size_t i = rng_below(4); form > 2 && i > 0; i--)
        (void)buf_addc(&plain, (char)rng_below(256));
    if (form == 3)
        (void)enc_base64(&coded, plain.data, plain.len);
    else if (form == 4)
        (void)enc_base64url(&coded, plain.data, plain.len);
    else if (form == 2)
        for (size_t i = 0; i < plain.len; i++)
            (void)buf_addf(&coded, rng_below(2) ? "%02x" : "%02X", (unsigned char)plain.data[i]);
    else
        (void)buf_add(&coded, plain.data, plain.len);
    add_escaped(t, buf_str(&coded), coded.len, some_way());
}

struct world {
    char secrets[PAIRS][LONGEST], standins[PAIRS][LONGEST];
    struct scrub_pair pairs[PAIRS];
    size_t n;
    struct buf text;
};

static void make_world(struct world *w)
{
    bool few = rng_below(4) == 0;
    size_t shortest = SCRUB_SECRET_MIN + rng_below(30);
    w->n = 1 + rng_below(PAIRS);
    for (size_t i = 0; i < w->n; i++) {
        size_t n = shortest + rng_below(few ? 20 : 60), k = 1 + rng_below(60);
        random_bytes(w->secrets[i], n, few);
        random_bytes(w->standins[i], k, false);
        if (i > 0 && rng_below(3) == 0)
            memcpy(w->secrets[i], w->secrets[i - 1], shortest / 2);
        w->pairs[i] = (struct scrub_pair){"X", w->secrets[i], n, w->standins[i], k};
    }
    w->text = BUF_INIT(1 << 20);
    for (size_t most = 200 + rng_below(4000); w->text.len < most;) {
        add_noise(&w->text, few);
        add_secret(&w->text, &w->pairs[rng_below(w->n)]);
        if (rng_below(3) == 0)
            w->text.len -= rng_below(w->text.len < 10 ? w->text.len : 10);
    }
}

enum cut { WHOLE, BYTES, PIECES, CUTS };

static void compare(size_t round, const struct world *w, struct scrub_table *t,
                    enum scrub_quoting q, enum cut cut, const struct buf *want, const size_t *hits)
{
    AUTO(scrub_stream) s = {0};
    AUTO(buf) have = BUF_INIT(1 << 22);
    scrub_begin(&s, t, q, false);
    for (size_t at = 0; at < w->text.len;) {
        size_t k = cut == WHOLE   ? w->text.len
                   : cut == BYTES ? 1
                                  : 1 + rng_below(rng_below(2) ? 10 : 500);
        k = k > w->text.len - at ? w->text.len - at : k;
        assert_int_equal(scrub_feed(&s, w->text.data + at, k, &have), 0);
        at += k;
    }
    assert_int_equal(scrub_end(&s, &have), 0);
    if (have.len != want->len || memcmp(have.data, want->data, want->len) != 0)
        fail_msg("round %zu, cut %d: not what the reference says", round, (int)cut);
    for (size_t i = 0; i < w->n; i++)
        if ((s.by_pair ? s.by_pair[i] : 0) != hits[i])
            fail_msg("round %zu, cut %d: %zu hits of secret %zu wanted", round, (int)cut, hits[i],
                     i);
}

/* As many bytes as went in, the same for every cut, and as many secrets found. */
static void count(const struct world *w, struct scrub_table *t, const size_t *hits)
{
    AUTO(buf) whole = BUF_INIT(1 << 22);
    assert_int_equal(scrub_text(t, w->text.data, w->text.len, SCRUB_QUOTE_COUNTED, &whole, NULL),
                     0);
    assert_int_equal(whole.len, w->text.len);
    for (enum cut cut = BYTES; cut < CUTS; cut++)
        compare(0, w, t, SCRUB_QUOTE_COUNTED, cut, &whole, hits);
}

static void random_texts_come_out_as_the_reference_says(void **state)
{
    (void)state;
    for (size_t round = 0; round < ROUNDS; round++) {
        rng_test_seed(round);
        struct world w;
        make_world(&w);
        struct scrub_table *t;
        assert_int_equal(scrub_table_new(w.pairs, w.n, SCRUB_ALL, &t, NULL), 0);
        AUTO(buf) want = BUF_INIT(1 << 22);
        struct ref ref;
        size_t hits[PAIRS] = {0};
        enum scrub_quoting q = (enum scrub_quoting)rng_below(4);
        ref_init(&ref, w.pairs, w.n, SCRUB_ALL);
        ref_scrub(&ref, w.text.data, w.text.len, q, &want, hits);
        ref_done(&ref);
        for (enum cut cut = WHOLE; cut < CUTS; cut++)
            compare(round, &w, t, q, cut, &want, hits);
        count(&w, t, hits);
        scrub_table_unref(t);
        buf_done(&w.text);
    }
    rng_test_reset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_texts_come_out_as_the_reference_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
