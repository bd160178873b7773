/* test_scrub_large.c - bodies larger than a slice, secrets of kilobytes, hundreds of them, and
 * texts that were written to make the search slow: those would outlast the program's time limit
 * if it were quadratic. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/rng.h"
#include "scrub/scrub.h"

#include <stdio.h>
#include <string.h>

#define BODY_MAX (32u << 20)

static void random_text(char *ret, size_t n)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789\n+/";
    for (size_t i = 0; i < n; i++)
        ret[i] = alphabet[rng_below(sizeof(alphabet) - 1)];
}

static uint64_t feed(struct scrub_table *t, const struct buf *in, size_t piece, struct buf *out)
{
    AUTO(scrub_stream) s = {0};
    struct scrub_stats stats;
    scrub_table_stats(t, &stats);
    scrub_begin(&s, t, SCRUB_QUOTE_NONE, false);
    for (size_t at = 0; at < in->len; at += piece) {
        size_t k = in->len - at < piece ? in->len - at : piece;
        assert_int_equal(scrub_feed(&s, in->data + at, k, out), 0);
        assert_true(s.held.len <= stats.hold_max);
    }
    assert_int_equal(scrub_end(&s, out), 0);
    return s.hits;
}

/* A text with secrets in known forms at known places, and what has to come of it. */
struct world {
    char secrets[4][16384], standins[4][16384];
    struct scrub_pair pairs[4];
    struct buf in, want;
    uint64_t hits;
};

static void add_hit(struct world *w, size_t i, uint64_t form)
{
    const struct scrub_pair *p = &w->pairs[i];
    const unsigned char *x = p->secret;
    char *hex = mem_zalloc(2 * p->secret_bytes + 1);
    switch (form) {
    case 0:
        (void)buf_add(&w->in, p->secret, p->secret_bytes);
        (void)buf_add(&w->want, p->placeholder, p->placeholder_bytes);
        break;
    case 1:
        (void)enc_base64(&w->in, p->secret, p->secret_bytes);
        (void)enc_base64(&w->want, p->placeholder, p->placeholder_bytes);
        break;
    case 2:
        enc_hex(p->secret, p->secret_bytes, hex);
        (void)buf_adds(&w->in, hex);
        enc_hex(p->placeholder, p->placeholder_bytes, hex);
        (void)buf_adds(&w->want, hex);
        break;
    default:
        for (size_t k = 0; k < p->secret_bytes; k++)
            (void)buf_addf(&w->in, form == 3 ? "\\u%04x" : k % 3 ? "%c" : "%%%02x", x[k]);
        for (size_t k = 0; k < p->placeholder_bytes; k++)
            (void)buf_addf(&w->want, "%c", w->standins[i][k]);
    }
    free(hex);
    w->hits++;
}

static void make_world(struct world *w)
{
    static const size_t sizes[] = {8, 40, 3000, 16384};
    rng_test_seed(77);
    for (size_t i = 0; i < 4; i++) {
        random_text(w->secrets[i], sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++)
            w->standins[i][k] = "xyz"[k % 3];
        w->pairs[i] = (struct scrub_pair){"X", w->secrets[i], sizes[i], w->standins[i], sizes[i]};
    }
    w->in = w->want = BUF_INIT(BODY_MAX);
    for (size_t round = 0; round < 60; round++) {
        static char noise[8000];
        size_t n = rng_below(sizeof(noise) - 3);
        random_text(noise, n);
        memset(noise + n, '.', 3); /* no base64 character beside a secret */
        (void)buf_add(&w->in, noise, n + 3);
        (void)buf_add(&w->want, noise, n + 3);
        add_hit(w, round % 4, rng_below(5));
        (void)buf_adds(&w->in, ".");
        (void)buf_adds(&w->want, ".");
    }
    rng_test_reset();
}

static void pieces_of_any_size_give_the_same(void **state)
{
    (void)state;
    struct world *w = mem_new(struct world);
    make_world(w);
    struct scrub_table *t;
    assert_int_equal(scrub_table_new(w->pairs, 4, SCRUB_ALL, &t, NULL), 0);
    assert_true(w->in.len > 5 * (64u << 10));
    static const size_t pieces[] = {BODY_MAX, 100000, 65537, 65536, 65535, 16384, 4096, 4095, 100};
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        AUTO(buf) out = BUF_INIT(BODY_MAX);
        assert_int_equal(feed(t, &w->in, pieces[i], &out), w->hits);
        assert_int_equal(out.len, w->want.len);
        assert_memory_equal(out.data, w->want.data, w->want.len);
    }
    scrub_table_unref(t);
    buf_done(&w->in);
    buf_done(&w->want);
    free(w);
}

static void all_of_hundreds_are_found(void **state)
{
    (void)state;
    enum { N = 600 };
    char(*names)[64] = mem_array(N, sizeof(*names));
    struct scrub_pair *pairs = mem_array(N, sizeof(*pairs));
    AUTO(buf) in = BUF_INIT(BODY_MAX), out = BUF_INIT(BODY_MAX);
    for (size_t i = 0; i < N; i++) {
        /* The first half differs in its last digits only. */
        (void)snprintf(names[i], sizeof(names[i]),
                       i < N / 2 ? "secret-number-%04zu" : "%04zu-secret-of-another-kind", i);
        pairs[i] = (struct scrub_pair){"X", names[i], strlen(names[i]), "standin", 7};
    }
    struct scrub_table *t;
    struct err e = {0};
    assert_int_equal(scrub_table_new(pairs, N, SCRUB_ALL, &t, &e), 0);
    for (size_t i = 0; i < N; i++) {
        (void)buf_addf(&in, "%s, ", names[i]);
        (void)enc_base64(&in, names[i], strlen(names[i]));
        (void)buf_adds(&in, ", ");
    }
    assert_int_equal(feed(t, &in, 5000, &out), 2 * N);
    assert_null(strstr(buf_str(&out), "secret-"));
    AUTO(scrub_stream) s = {0};
    scrub_begin(&s, t, SCRUB_QUOTE_NONE, true);
    assert_int_equal(scrub_feed(&s, in.data, in.len, NULL), 0);
    assert_int_equal(scrub_end(&s, NULL), 0);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(s.by_pair[i], 2);
    scrub_table_unref(t);
    free(names);
    free(pairs);
}

static void too_many_are_refused_with_words(void **state)
{
    (void)state;
    char(*names)[64] = mem_array(SCRUB_PAIRS_MAX + 1, sizeof(*names));
    struct scrub_pair *pairs = mem_array(SCRUB_PAIRS_MAX + 1, sizeof(*pairs));
    rng_test_seed(5);
    for (size_t i = 0; i <= SCRUB_PAIRS_MAX; i++) {
        random_text(names[i], 40);
        pairs[i] = (struct scrub_pair){"X", names[i], 40, "standin", 7};
    }
    rng_test_reset();
    struct scrub_table *t = NULL;
    struct err e = {0};
    assert_int_equal(scrub_table_new(pairs, SCRUB_PAIRS_MAX, SCRUB_ALL, &t, &e), 0);
    scrub_table_unref(t);
    t = NULL;
    assert_int_equal(scrub_table_new(pairs, SCRUB_PAIRS_MAX + 1, SCRUB_ALL, &t, &e), -E_LIMIT);
    assert_null(t);
    assert_non_null(strstr(e.msg, "4097"));
    free(names);
    free(pairs);
}

/* By somebody who knows the placeholder, in the worst sizes of pieces. */
static void texts_against_the_search_take_no_longer_than_their_length(void **state)
{
    (void)state;
    static char known[64], long_one[4096], same[63];
    rng_test_seed(6);
    random_text(known, sizeof(known));
    random_text(long_one, sizeof(long_one));
    rng_test_reset();
    memset(same, 'a', sizeof(same));
    struct scrub_pair pairs[] = {{"A", known, sizeof(known), "1", 1},
                                 {"B", long_one, sizeof(long_one), "2", 1},
                                 {"C", same, sizeof(same), "3", 1}};
    struct scrub_table *t;
    assert_int_equal(scrub_table_new(pairs, 3, SCRUB_ALL, &t, NULL), 0);
    AUTO(buf) escaped = BUF_INIT(1 << 20);
    for (size_t i = 0; i + 1 < sizeof(long_one); i++)
        (void)buf_addf(&escaped, "\\u%04x", (unsigned char)long_one[i]);
    const struct {
        const char *p;
        size_t n;
    } rows[] = {
        {known, sizeof(known) - 1},
        {known + 1, sizeof(known) - 1},
        {long_one, sizeof(long_one) - 1},
        {same, sizeof(same) - 1},
        {"aaaaaaab", 8},
        {escaped.data, escaped.len},
        {"\\", 1},
        {"%", 1},
        {"%25", 3},
        {"&amp;", 5},
        {"\\ud83d", 6},
        {"&#x", 3},
        {"\\\\u0061", 7},
        {"YWFhYWFhYWFhYWFhYWFhYWFh", 24},
        {"6161616161616161", 16},
        {"%61\\u0061&#97;", 14},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf) in = BUF_INIT(BODY_MAX), out = BUF_INIT(BODY_MAX), small = BUF_INIT(BODY_MAX);
        while (in.len < 1u << 20) {
            (void)buf_add(&in, rows[i].p, rows[i].n);
            if (rows[i].n > 60)
                (void)buf_adds(&in, "!"); /* never the whole of it */
        }
        uint64_t hits = feed(t, &in, 16384, &out);
        in.len = in.len / 64;
        buf_reset(&out);
        hits = feed(t, &in, BODY_MAX, &out);
        assert_int_equal(feed(t, &in, 1, &small), hits);
        assert_int_equal(out.len, small.len);
        assert_memory_equal(buf_str(&out), buf_str(&small), out.len);
    }
    scrub_table_unref(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_any_size_give_the_same),
        cmocka_unit_test(all_of_hundreds_are_found),
        cmocka_unit_test(too_many_are_refused_with_words),
        cmocka_unit_test(texts_against_the_search_take_no_longer_than_their_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
