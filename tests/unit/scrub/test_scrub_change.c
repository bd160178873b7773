/* test_scrub_change.c - a stream that goes on with another table, because secrets have become known. */
#include "unit/unit.h"
#include "base/rng.h"
#include "unit/scrub/reference.h"

#include <stdlib.h>

#define OLD "old-7Qm2vX9pLrT4wZ8n"
#define NEW "new-8Hn3uX0qMsU5xA9o"

static const struct scrub_pair both[] = {
    {"O", OLD, sizeof(OLD) - 1, "<o>", 3},
    {"N", NEW, sizeof(NEW) - 1, "<n>", 3},
};

struct stream_case {
    const char *before, *idle, *after; /* idle: fed before the table changes, then a pause */
    const char *want;
    unsigned hits;
};

static void run(const struct stream_case *c, size_t step)
{
    struct scrub_table *one, *two;
    AUTO(scrub_stream) s = {0};
    AUTO(buf) out = BUF_INIT(10000);
    assert_int_equal(scrub_table_new(both, 1, SCRUB_ALL, &one, NULL), 0);
    assert_int_equal(scrub_table_new(both, 2, SCRUB_ALL, &two, NULL), 0);
    scrub_begin(&s, one, SCRUB_QUOTE_NONE, false);
    scrub_table_unref(one);
    const char *parts[] = {c->before, c->idle, c->after};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const size_t n = strlen(parts[i]);
        if (i == 2)
            scrub_change_table(&s, two);
        for (size_t at = 0; at < n; at += step)
            assert_int_equal(scrub_feed(&s, parts[i] + at, n - at < step ? n - at : step, &out), 0);
        if (i == 1)
            assert_int_equal(scrub_idle(&s, &out), 0);
    }
    assert_int_equal(scrub_end(&s, &out), 0);
    scrub_table_unref(two);
    assert_string_equal(buf_str(&out), c->want);
    assert_int_equal(s.hits, c->hits);
}

static void what_comes_after_the_change_is_searched_for_both(void **state)
{
    (void)state;
    static const struct stream_case cases[] = {
        {"a " OLD " b ", "", "c " OLD " d " NEW " e", "a <o> b c <o> d <n> e", 3},
        {"", "", NEW, "<n>", 1},
        {NEW, "", NEW, NEW "<n>", 1}, /* nobody knew it */
        /* begun before, ended after */
        {"a old-7Qm2v", "", "X9pLrT4wZ8n b", "a <o> b", 1},
        {"a old-7Qm2vX9", "", "x " NEW, "a old-7Qm2vX9x <n>", 1},
        {"a", " ol", "d-7Qm2vX9pLrT4wZ8n b", "a ol<o> b", 1}, /* two bytes went in a pause */
        /* an escape across the change, and in front of it, still there to be read again, what passed */
        {NEW "\\u00", "", "41 b", NEW "\\u0041 b", 0},
        {NEW "\\u006", "",
         "f"
         "ld-7Qm2vX9pLrT4wZ8n",
         NEW "<o>", 1},
        {"x \\u006", "", "eew-8Hn3uX0qMsU5xA9o", "x \\u006<n>", 1}, /* of which a part had gone */
        {NEW "%6", "", "1 " NEW, NEW "%61 <n>", 1},
    };
    static const size_t steps[] = {1, 2, 3, 7, 1000};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t k = 0; k < ARRAY_LEN(steps); k++)
            run(&cases[i], steps[k]);
}

static void random_text(struct buf *t, const struct scrub_pair *p)
{
    static const char *const bits[] = {"\\",  "%", "&#", "u00", "2d", " ", "old-", "new-7", ";",
                                       "\\u", "o", "5c", "-7Q", "9",  "=", "x",    "%25",   "\n"};
    while (t->len < 2000) {
        for (uint64_t n = rng_below(12); n > 0; n--)
            (void)buf_adds(t, bits[rng_below(ARRAY_LEN(bits))]);
        const char *secret = p->secret;
        const size_t all = p->secret_bytes, n = rng_below(3) ? all : rng_below(all);
        const uint64_t how = rng_below(4);
        for (size_t i = 0; i < n; i++)
            (void)(how == 0   ? buf_addf(t, "%%%02x", (unsigned)secret[i])
                   : how == 1 ? buf_addf(t, "\\u%04x", (unsigned)secret[i])
                   : how == 2 ? buf_addf(t, "%02X", (unsigned)secret[i])
                              : buf_addc(t, secret[i]));
    }
}

/* The same secrets in another table: what comes out is what would have come out anyway. */
static void a_change_that_changes_nothing_changes_nothing(void **state)
{
    (void)state;
    for (size_t round = 0; round < 300; round++) {
        rng_test_seed(round);
        AUTO(buf) text = BUF_INIT(100000), want = BUF_INIT(1 << 20), have = BUF_INIT(1 << 20);
        random_text(&text, &both[rng_below(2)]);
        struct ref ref;
        size_t hits[2] = {0};
        ref_init(&ref, both, 2, SCRUB_ALL);
        ref_scrub(&ref, text.data, text.len, SCRUB_QUOTE_JSON, &want, hits);
        ref_done(&ref);
        AUTO(scrub_stream) s = {0};
        struct scrub_table *t;
        assert_int_equal(scrub_table_new(both, 2, SCRUB_ALL, &t, NULL), 0);
        scrub_begin(&s, t, SCRUB_QUOTE_JSON, false);
        scrub_table_unref(t);
        for (size_t at = 0, k; at < text.len; at += k) {
            k = 1 + rng_below(60);
            k = k > text.len - at ? text.len - at : k;
            assert_int_equal(scrub_feed(&s, text.data + at, k, &have), 0);
            if (rng_below(3))
                continue;
            assert_int_equal(scrub_table_new(both, 2, SCRUB_ALL, &t, NULL), 0);
            scrub_change_table(&s, t);
            scrub_table_unref(t);
        }
        assert_int_equal(scrub_end(&s, &have), 0);
        if (have.len != want.len || memcmp(have.data, want.data, want.len) != 0)
            fail_msg("round %zu: not what the reference says", round);
        assert_int_equal(s.hits, hits[0] + hits[1]);
    }
    rng_test_reset();
}

/* Undone, what came out is what went in: nothing is lost, and nothing said twice. */
static void undo(const struct buf *out, struct buf *ret)
{
    for (size_t i = 0; i < out->len; i++)
        if (out->len - i >= 3 && out->data[i] == '<' && out->data[i + 2] == '>') {
            (void)buf_adds(ret, out->data[i + 1] == 'o' ? OLD : NEW);
            i += 2;
        } else {
            (void)buf_addc(ret, out->data[i]);
        }
}

static void nothing_is_lost_or_said_twice(void **state)
{
    (void)state;
    static const char *const bits[] = {"\\", "\\u00", "%", "%2", "&#", "&",
                                       "z",  "\\u",   ";", OLD,  NEW,  NEW};
    for (size_t round = 0; round < 3000; round++) {
        rng_test_seed(round);
        AUTO(buf) text = BUF_INIT(10000), out = BUF_INIT(20000), back = BUF_INIT(20000);
        size_t change =
            0; /* between two bits: a secret that had begun may be said in part, and whole */
        while (text.len < 300) {
            change = rng_below(8) ? change : text.len;
            (void)buf_adds(&text, bits[rng_below(ARRAY_LEN(bits))]);
        }
        AUTO(scrub_stream) s = {0};
        struct scrub_table *t;
        assert_int_equal(scrub_table_new(both, 1, SCRUB_ALL, &t, NULL), 0);
        scrub_begin(&s, t, SCRUB_QUOTE_NONE, false);
        scrub_table_unref(t);
        assert_int_equal(scrub_feed(&s, text.data, change, &out), 0);
        assert_int_equal(scrub_table_new(both, 2, SCRUB_ALL, &t, NULL), 0);
        scrub_change_table(&s, t);
        scrub_table_unref(t);
        for (size_t at = change, k; at < text.len; at += k) {
            k = 1 + rng_below(40);
            k = k > text.len - at ? text.len - at : k;
            assert_int_equal(scrub_feed(&s, text.data + at, k, &out), 0);
        }
        assert_int_equal(scrub_end(&s, &out), 0);
        undo(&out, &back);
        if (back.len != text.len || memcmp(back.data, text.data, text.len) != 0)
            fail_msg("round %zu: %s\nbecame %s", round, buf_str(&text), buf_str(&out));
    }
    rng_test_reset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_after_the_change_is_searched_for_both),
        cmocka_unit_test(a_change_that_changes_nothing_changes_nothing),
        cmocka_unit_test(nothing_is_lost_or_said_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
