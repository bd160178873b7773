/* test_scrub.c - every form of docs/internals/scrub.md is found and replaced; how the text is
 * cut changes nothing; what is held is what may be the beginning of a secret; hits are counted;
 * tables refuse what cannot be told from text. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/buf.h"
#include "scrub/scrub.h"

#include <inttypes.h>
#include <string.h>

/* A token of the usual shape, its placeholder of the same length, and one of another length. */
#define SECRET  "ghp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9t"
#define STANDIN "ghp_spPHspPHspPHspPHspPHspPHspPH"
#define SHORTER "sp_ph_0123456789"

static struct scrub_table *table_of(const char *secret, const char *placeholder, unsigned forms)
{
    struct scrub_pair p = {.name = "TOKEN",
                           .secret = secret,
                           .secret_bytes = strlen(secret),
                           .placeholder = placeholder,
                           .placeholder_bytes = strlen(placeholder)};
    struct scrub_table *t = NULL;
    struct err e = {0};
    if (scrub_table_new(&p, 1, forms, &t, &e) < 0)
        fail_msg("no table for %s: %s", secret, e.msg);
    return t;
}

static void expect(struct scrub_table *t, const char *in, const char *want, uint64_t want_hits)
{
    AUTO(buf) out = BUF_INIT(1 << 20), slow = BUF_INIT(1 << 20);
    uint64_t hits = 99;
    assert_int_equal(scrub_text(t, in, strlen(in), SCRUB_QUOTE_NONE, &out, &hits), 0);
    if (strcmp(buf_str(&out), want) != 0 || hits != want_hits)
        fail_msg("%s\n  became %s (%" PRIu64 " hits)\n    want %s", in, buf_str(&out), hits, want);
    AUTO(scrub_stream) s = {0};
    scrub_begin(&s, t, SCRUB_QUOTE_NONE, false);
    for (size_t i = 0; i < strlen(in); i++)
        assert_int_equal(scrub_feed(&s, in + i, 1, &slow), 0);
    assert_int_equal(scrub_end(&s, &slow), 0);
    assert_string_equal(buf_str(&slow), want);
    assert_int_equal(s.hits, want_hits);
}

/* Texts that have nothing to do with one another: what one ends with and the next begins with is none. */
static void whole_texts_are_apart_and_counted_together(void **state)
{
    (void)state;
    static const char *const texts[] = {"x " SECRET, "ghp_aB3dE5fG7hI9jK1lM3", "nO5pQ7rS9t", "",
                                        SECRET SECRET};
    struct scrub_table *t = table_of(SECRET, STANDIN, SCRUB_ALL);
    AUTO(buf) out = BUF_INIT(4096);
    AUTO(scrub_stream) s = {0};
    scrub_begin(&s, t, SCRUB_QUOTE_NONE, false);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(scrub_whole(&s, texts[i], strlen(texts[i]), &out), 0);
    assert_string_equal(buf_str(&out), "x " STANDIN SECRET STANDIN STANDIN);
    assert_int_equal(s.hits, 3);
    assert_int_equal(s.by_pair[0], 3);
    scrub_table_unref(t);
}

/* One row for each row of the document's table. */
static void every_form_is_replaced_by_the_same_form(void **state)
{
    (void)state;
    static const struct {
        const char *secret, *placeholder, *in, *want;
    } rows[] = {
        /* plain */
        {SECRET, STANDIN, "a " SECRET " b", "a " STANDIN " b"},
        {SECRET, SHORTER, SECRET SECRET, SHORTER SHORTER},
        {"two words", "p/h", "x=two+words&y", "x=p%2Fh&y"},
        /* base64("x" "xy" "xyz" + secret + "."), as `openssl base64` has it */
        {"0123456789", "ABCDEFGHIJ", "MDEyMzQ1Njc4OQ==", "QUJDREVGR0hJSg=="},
        {"0123456789", "ABCDEFGHIJ", "eDAxMjM0NTY3ODku", "eEFCQ0RFRkdISUou"},
        {"0123456789", "ABCDEFGHIJ", "eHkwMTIzNDU2Nzg5Lg==", "eHlBQkNERUZHSElKLg=="},
        {"0123456789", "ABCDEFGHIJ", "eHl6MDEyMzQ1Njc4OS4=", "eHl6QUJDREVGR0hJSi4="},
        /* of another length: full stops, so that what follows stays in step: x, ABCDEF.., . */
        {"0123456789", "ABCDEF", "eDAxMjM0NTY3ODku", "eEFCQ0RFRi4u"},
        /* base64url, where it differs: ">>>???~~~" after "x" */
        {">>>???~~~!", "ABCDEFGHIJ", "eD4-Pj8_P35-fiE", "eEFCQ0RFRkdISUo"},
        {">>>???~~~!", "ABCDEFGHIJ", "eD4+Pj8/P35+fiE=", "eEFCQ0RFRkdISUo="},
        /* Only the character at the edge tells which alphabet it is: x, the secret, 0xc3. */
        {"012345678o", "ABC>>>GHIJ", "eDAxMjM0NTY3OG_D", "eEFCQz4-PkdISUrD"},
        /* hex */
        {"0123456789", "ABCDEFGHIJ", "x30313233343536373839y", "x4142434445464748494ay"},
        {"jklmnopqrs", "jjjjj", "6A6B6C6D6E6F70717273", "6A6A6A6A6A"},
        {"jklmnopqrs", "jjjjj", "6A6b6c6d6e6F70717273", "6A6A6A6A6A"},
        /* percent: as URLs have it, all of it, one byte of it */
        {"p@ss/word+1", "plain-ph", "?k=p%40ss%2Fword%2B1&z", "?k=plain-ph&z"},
        {"p@ss/word+1", "plain-ph", "%70%40%73%73%2f%77%6f%72%64%2b%31", "plain-ph"},
        {"p@ss/word+1", "plain-ph", "p@s%73/word+1", "plain-ph"},
        {"p@ss word+1", "a b", "?k=p%40ss+word%2B1&z", "?k=a%20b&z"},
        /* JSON and JavaScript */
        {"p\"ss\\word/1", "plain-ph", "{\"k\":\"p\\\"ss\\\\word\\/1\"}", "{\"k\":\"plain-ph\"}"},
        {"p\"ss\\word/1", "quote\"d", "{\"k\":\"p\\\"ss\\\\word\\/1\"}", "{\"k\":\"quote\\\"d\"}"},
        {"passw\xc3\xb6rd", "plain-ph", "\"passw\\u00f6rd\"", "\"plain-ph\""},
        {"pass\xf0\x9f\x98\x80word", "plain-ph", "\"pass\\ud83d\\uDE00word\"", "\"plain-ph\""},
        {"line one\nline two", "plain-ph", "\"line one\\nline two\"", "\"plain-ph\""},
        {"password1", "plain-ph", "'\\x70assword\\x31'", "'plain-ph'"},
        {"password1", "plain-ph", "\\u0070\\u0061\\u0073\\u0073\\u0077\\u006f\\u0072\\u0064\\u0031",
         "plain-ph"},
        /* HTML and XML */
        {"a<b>c&d\"e'f", "plain-ph", "<p>a&lt;b&gt;c&amp;d&quot;e&#39;f</p>", "<p>plain-ph</p>"},
        {"a<b>c&d\"e'f", "p&h", "<p>a&lt;b&gt;c&amp;d&#34;e&apos;f</p>", "<p>p&#38;h</p>"},
        {"password1", "plain-ph", "&#112;ass&#x77;ord1", "plain-ph"},
        /* twice and thrice */
        {"p\"ss\\word", "q\"d", "{\"k\":\"{\\\"k\\\":\\\"p\\\\\\\"ss\\\\\\\\word\\\"}\"}",
         "{\"k\":\"{\\\"k\\\":\\\"q\\\\\\\"d\\\"}\"}"},
        {"p@ss/word", "plain-ph", "?to=%3Fk%3Dp%2540ss%252Fword", "?to=%3Fk%3Dplain-ph"},
        {"p@ss/word", "plain-ph", "%3Fk%3Dp%252540ss%25252Fword", "%3Fk%3Dplain-ph"},
        {"p&ss\"word", "plain-ph", "p\\u0026amp;ss\\u0026quot;word", "plain-ph"},
        {"p&ss\"word", "plain-ph", "p&amp;amp;ss&amp;quot;word", "plain-ph"},
        {"p\"ss\\word", "plain-ph", "p%5C%22ss%5C%5Cword", "plain-ph"},
        /* codes within escapes */
        {"0123456789", "ABCDEFGHIJ", "MDEyMzQ1Njc4OQ%3D%3D", "QUJDREVGR0hJSg%3D%3D"},
        {">>>???~~~!", "ABCDEFGHIJ", "\"eD4+Pj8\\/P35+fiE=\"", "\"eEFCQ0RFRkdISUo=\""},
        {">>>???~~~!", "ABCDEFGHIJ", "eD4%2BPj8%2FP35%2BfiE%3D", "eEFCQ0RFRkdISUo%3D"},
        /* base64 of JSON: {"k":"p\"ss\\word"} */
        {"p\"ss\\word", "plain-ph-x",
         "eyJrIjoicFwic3NcXHdvcmQifQ==", "eyJrIjoicGxhaW4tcGgteC4ifQ=="},
        /* a secret that has escapes of its own, among bytes that are escaped */
        {"p%41ss\"word", "plain-ph", "{\"k\":\"p%41ss\\\"word\"}", "{\"k\":\"plain-ph\"}"},
        {"p\\nss&word", "plain-ph", "p\\nss&amp;word", "plain-ph"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scrub_table *t = table_of(rows[i].secret, rows[i].placeholder, SCRUB_ALL);
        expect(t, rows[i].in, rows[i].want, strcmp(rows[i].in, SECRET SECRET) == 0 ? 2 : 1);
        scrub_table_unref(t);
    }
}

static void what_is_no_secret_stays(void **state)
{
    (void)state;
    struct scrub_table *t = table_of(SECRET, STANDIN, SCRUB_ALL);
    static const char *const rows[] = {
        "",
        "x",
        "ghp_",
        "ghp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9",
        "GHP_AB3DE5FG7HI9JK1LM3NO5PQ7RS9T",
        "%67%68%70%5f %zz %4 \\u00 \\ud83d &#; &#x; &amp &",
        "ghp_aB3dE5fG7hI9 jK1lM3nO5pQ7rS9t",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        expect(t, rows[i], rows[i], 0);
    scrub_table_unref(t);
}

/* Three layers around each of ten bytes: 130 bytes are looked at, 140 are not (12 each, and 16). */
static void an_occurrence_is_stretched_so_far_and_no_further(void **state)
{
    (void)state;
    struct scrub_table *t = table_of("0123456789", "x", SCRUB_ALL);
    AUTO(buf) near = BUF_INIT(1000), far = BUF_INIT(1000);
    for (unsigned i = 0; i < 10; i++) {
        (void)buf_addf(&near, "&amp;amp;#%u;", '0' + i);
        (void)buf_addf(&far, "&amp;amp;#0%u;", '0' + i);
    }
    assert_int_equal(near.len, 130);
    assert_int_equal(far.len, 140);
    expect(t, buf_str(&near), "x", 1);
    expect(t, buf_str(&far), buf_str(&far), 0);
    scrub_table_unref(t);
}

static void forms_that_are_not_asked_for_stay(void **state)
{
    (void)state;
    struct scrub_table *t = table_of("0123456789", "ABCDEFGHIJ", SCRUB_PLAIN);
    expect(t, "MDEyMzQ1Njc4OQ== 30313233343536373839 %30%31%32%33%34%35%36%37%38%39 0123456789",
           "MDEyMzQ1Njc4OQ== 30313233343536373839 %30%31%32%33%34%35%36%37%38%39 ABCDEFGHIJ", 1);
    scrub_table_unref(t);
}

static void the_first_then_the_longest_wins(void **state)
{
    (void)state;
    static const struct scrub_pair pairs[] = {
        {"A", "abcdefgh", 8, "1", 1},
        {"B", "abcdefghij", 10, "2", 1},
        {"C", "efghijkl", 8, "3", 1},
        {"D", "abcdefgh", 8, "4", 1},
    };
    struct scrub_table *t;
    assert_int_equal(scrub_table_new(pairs, 4, SCRUB_ALL, &t, NULL), 0);
    expect(t, "abcdefgh", "1", 1);
    expect(t, "abcdefghi", "1i", 1);
    expect(t, "abcdefghij", "2", 1);
    expect(t, "abcdefghijkl", "2kl", 1);
    expect(t, "abcdefgijkl efghijkl", "abcdefgijkl 3", 1);
    AUTO(scrub_stream) s = {0};
    scrub_begin(&s, t, SCRUB_QUOTE_NONE, true);
    assert_int_equal(scrub_feed(&s, "abcdefgh. efghijkl.", 19, NULL), 0);
    assert_int_equal(s.by_pair[0], 1);
    assert_int_equal(s.by_pair[2], 1);
    assert_int_equal(s.by_pair[1] + s.by_pair[3], 0);
    assert_int_equal(scrub_table_pairs(t), 4);
    assert_string_equal(scrub_table_name(t, 2), "C");
    scrub_table_unref(t);
}

static void the_audit_learns_which_form_was_hit(void **state)
{
    (void)state;
    static const struct {
        const char *in, *form;
        unsigned layers;
    } rows[] = {
        {"p@ss wor>~~>~", "plain", 0},
        {"p@ss+wor>~~>~", "plus", 0},
        {"p%40ss+wor>~~>~", "plus", 1},
        {"p%2540ss%2520wor>~~>~", "plain", 2},
        {"cEBzcyB3b3I+fn4+fg==", "base64", 0},
        {"cEBzcyB3b3I-fn4-fg", "base64url", 0},
        {"cEBzcyB3b3I%2Bfn4%2Bfg==", "base64", 1},
        {"7040737320776f723e7e7e3e7e", "hex", 0},
    };
    struct scrub_table *t = table_of("p@ss wor>~~>~", "x", SCRUB_ALL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(scrub_stream) s = {0};
        scrub_begin(&s, t, SCRUB_QUOTE_NONE, true);
        assert_int_equal(scrub_feed(&s, rows[i].in, strlen(rows[i].in), NULL), 0);
        assert_int_equal(scrub_end(&s, NULL), 0);
        assert_int_equal(s.hits, 1);
        assert_int_equal(s.latest.pair, 0);
        assert_string_equal(s.latest.form, rows[i].form);
        assert_int_equal(s.latest.layers, rows[i].layers);
    }
    scrub_table_unref(t);
}

/* The second begins within the first one, behind an escape of which the first has a part. */
static void an_occurrence_does_not_begin_within_the_one_before(void **state)
{
    (void)state;
    static const struct scrub_pair pairs[] = {
        {"A", "passwor\\", 8, "1", 1},
        {"B", "\nsecret12", 9, "2", 1},
    };
    struct scrub_table *t;
    assert_int_equal(scrub_table_new(pairs, 2, SCRUB_ALL, &t, NULL), 0);
    expect(t, "passwor\\nsecret12.", "1nsecret12.", 1);
    expect(t, "passwo\\nsecret12.", "passwo2.", 1);
    scrub_table_unref(t);
}

static void only_the_beginning_of_a_secret_is_held(void **state)
{
    (void)state;
    struct scrub_table *t = table_of(SECRET, STANDIN, SCRUB_ALL);
    static const struct {
        const char *in;
        size_t held;
    } rows[] = {
        {"data: {\"text\":\"hello\"}\n\n", 0},
        {"event ghp_", 4},
        {"event ghp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9", 31},
        {"event ghp_x ", 0},
        {"100 %", 1},
        {"100 % ", 0},
        {"100 %67%6", 5},
        {"path: \\", 1},
        {"x \\u0067hp\\u005", 13},
        {"a &am", 3},
        {"a &am!", 0},
        {SECRET, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(scrub_stream) s = {0};
        AUTO(buf) out = BUF_INIT(1000);
        scrub_begin(&s, t, SCRUB_QUOTE_NONE, false);
        assert_int_equal(scrub_feed(&s, rows[i].in, strlen(rows[i].in), &out), 0);
        if (strlen(rows[i].in) - out.len != rows[i].held)
            fail_msg("of %s %zu bytes are held, want %zu", rows[i].in, strlen(rows[i].in) - out.len,
                     rows[i].held);
        assert_int_equal(scrub_end(&s, &out), 0);
        assert_int_equal(out.len, strlen(rows[i].in));
    }
    scrub_table_unref(t);
}

static void a_pause_lets_a_handful_of_bytes_go(void **state)
{
    (void)state;
    struct scrub_table *t = table_of(SECRET, STANDIN, SCRUB_ALL);
    AUTO(scrub_stream) s = {0};
    AUTO(buf) out = BUF_INIT(1000);
    scrub_begin(&s, t, SCRUB_QUOTE_NONE, false);
    assert_int_equal(scrub_feed(&s, "message ghp", 11, &out), 0);
    assert_string_equal(buf_str(&out), "message ");
    assert_int_equal(scrub_idle(&s, &out), 0);
    assert_string_equal(buf_str(&out), "message ghp");
    assert_int_equal(scrub_idle(&s, &out), 0);
    assert_string_equal(buf_str(&out), "message ghp");
    /* It was a secret: the rest of it is still replaced. */
    assert_int_equal(scrub_feed(&s, &(SECRET "!")[3], strlen(SECRET) - 2, &out), 0);
    assert_string_equal(buf_str(&out), "message ghp" STANDIN "!");
    assert_int_equal(s.hits, 1);
    buf_reset(&out);
    /* More than a handful waits. */
    assert_int_equal(scrub_feed(&s, "message ghp_aB3dE", 17, &out), 0);
    assert_int_equal(scrub_idle(&s, &out), 0);
    assert_string_equal(buf_str(&out), "message ");
    assert_int_equal(scrub_end(&s, &out), 0);
    assert_string_equal(buf_str(&out), "message ghp_aB3dE");
    scrub_table_unref(t);
}

/* The origin sends a byte, waits until the pause is noticed, and sends the next. */
static void a_secret_cannot_be_dripped_out(void **state)
{
    (void)state;
    static const char *const forms[] = {
        SECRET,
        "Z2hwX2FCM2RFNWZHN2hJOWpLMWxNM25PNXBRN3JTOXQ=",
        "%67hp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9t",
        "ghp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9\\u0074",
    };
    struct scrub_table *t = table_of(SECRET, "!", SCRUB_ALL);
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        AUTO(scrub_stream) s = {0};
        AUTO(buf) out = BUF_INIT(1000);
        scrub_begin(&s, t, SCRUB_QUOTE_NONE, false);
        for (size_t k = 0; k < strlen(forms[i]); k++) {
            assert_int_equal(scrub_feed(&s, forms[i] + k, 1, &out), 0);
            assert_int_equal(scrub_idle(&s, &out), 0);
            assert_true(out.len <= 8 || s.hits);
        }
        assert_int_equal(scrub_end(&s, &out), 0);
        assert_int_equal(s.hits, 1);
        assert_memory_equal(out.data, forms[i], 8);
        assert_true(out.len < 8 + 7); /* "!", perhaps as base64 */
    }
    scrub_table_unref(t);
}

static void a_replacement_fits_into_the_text_around(void **state)
{
    (void)state;
    struct scrub_table *t = table_of("sp_ph_0123456789", "k\"e\\y&\n <", SCRUB_PLAIN);
    static const struct {
        enum scrub_quoting q;
        const char *want;
    } rows[] = {
        {SCRUB_QUOTE_NONE, "<k\"e\\y&\n <>"},
        {SCRUB_QUOTE_PERCENT, "<k%22e%5Cy%26%0A%20%3C>"},
        {SCRUB_QUOTE_JSON, "<k\\\"e\\\\y&\\u000a <>"},
        {SCRUB_QUOTE_MARKUP, "<k&#34;e\\y&#38;\n &#60;>"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf) out = BUF_INIT(1000);
        assert_int_equal(scrub_text(t, "<sp_ph_0123456789>", 18, rows[i].q, &out, NULL), 0);
        assert_string_equal(buf_str(&out), rows[i].want);
    }
    scrub_table_unref(t);
}

/* In formats that count, gRPC's for one: nothing behind moves, whatever the placeholder's length is. */
static void a_counted_replacement_is_as_long_as_what_it_replaces(void **state)
{
    (void)state;
    static const struct {
        const char *placeholder, *in, *want;
    } rows[] = {
        {SHORTER, "<" SECRET "|" SECRET ">",
         "<" SHORTER "................|" SHORTER "................>"},
        {STANDIN, "<" SECRET ">", "<" STANDIN ">"},
        {STANDIN "-and-more", "<" SECRET ">", "<" STANDIN ">"},
        /* base64 of "x:SECRET:y": the neighbours stay, up to the bits at the edges */
        {SHORTER, "eDpnaHBfYUIzZEU1Zkc3aEk5aksxbE0zbk81cFE3clM5dDp5",
         "eDpzcF9waF8wMTIzNDU2Nzg5LAAAAAAAAAAAAAAAAAAAAjp5"},
        {SHORTER, "6768705f6142336445356647376849396a4b316c4d336e4f3570513772533974",
         "73705f70685f30313233343536373839"
         "00000000000000000000000000000000"},
        {SHORTER, "\"ghp\\u005faB3dE5fG7hI9jK1lM3nO5pQ7rS9t\"",
         "\"" SHORTER ".....................\""},
        {STANDIN "-and-more", "k=ghp%5FaB3dE5fG7hI9jK1lM3nO5pQ7rS9t&", "k=" STANDIN "-a&"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t piece = 1; piece < 100; piece += 33) {
            struct scrub_table *t = table_of(SECRET, rows[i].placeholder, SCRUB_ALL);
            const size_t n = strlen(rows[i].in);
            AUTO(buf) out = BUF_INIT(1000);
            AUTO(scrub_stream) s = {0};
            scrub_begin(&s, t, SCRUB_QUOTE_COUNTED, false);
            for (size_t at = 0; at < n; at += piece)
                assert_int_equal(
                    scrub_feed(&s, rows[i].in + at, n - at < piece ? n - at : piece, &out), 0);
            assert_int_equal(scrub_end(&s, &out), 0);
            assert_string_equal(buf_str(&out), rows[i].want);
            assert_int_equal(out.len, n);
            scrub_table_unref(t);
        }
}

static void find_only_changes_nothing_and_holds_what_it_may_yet_find(void **state)
{
    (void)state;
    struct scrub_table *t = table_of(SECRET, STANDIN, SCRUB_ALL);
    AUTO(scrub_stream) s = {0};
    AUTO(buf) out = BUF_INIT(1000);
    scrub_begin(&s, t, SCRUB_QUOTE_NONE, true);
    assert_int_equal(scrub_feed(&s, "x " SECRET, 10, &out), 0);
    assert_string_equal(buf_str(&out), "x ");
    assert_int_equal(s.hits, 0);
    assert_int_equal(scrub_feed(&s, &SECRET[8], strlen(SECRET) - 8, &out), 0);
    assert_int_equal(s.hits, 1);
    assert_int_equal(s.by_pair[0], 1);
    assert_string_equal(buf_str(&out), "x " SECRET);
    scrub_table_unref(t);
}

static void a_table_refuses_what_is_no_secret(void **state)
{
    (void)state;
    char *big = mem_zalloc(SCRUB_SECRET_MAX + 1), *periodic = mem_zalloc(200),
         *nearly = mem_zalloc(200);
    for (size_t i = 0; i <= SCRUB_SECRET_MAX; i++)
        big[i] = (char)(i * i % 251 + i / 256);
    for (size_t i = 0; i < 200; i++)
        periodic[i] = "abcdefg"[i % 7];
    /* One letter for more than half of it, with no period at all; from 100 on for a tenth. */
    memset(nearly, 'a', 200);
    for (size_t i = 110; i < 200; i++)
        nearly[i] = (char)i;
    struct {
        struct scrub_pair p;
        int want;
        const char *words;
    } rows[] = {
        {{"SHORT", "1234567", 7, "x", 1}, -EINVAL, "SHORT"},
        {{"EMPTY", "", 0, "x", 1}, -EINVAL, "EMPTY"},
        {{"LONG", big, SCRUB_SECRET_MAX + 1, "x", 1}, -EINVAL, "LONG"},
        {{"NOTHING", "12345678", 8, "", 0}, -EINVAL, "NOTHING"},
        {{"AGAIN", periodic, 200, "x", 1}, -EINVAL, "AGAIN"},
        {{"OK", "12345678", 8, "x", 1}, 0, NULL},
        {{"NEARLY", nearly, 200, "x", 1}, -EINVAL, "NEARLY"},
        {{"OK", nearly + 100, 100, "x", 1}, 0, NULL},
        {{"OK", periodic, 60, "x", 1}, 0, NULL},
        {{"OK", big, SCRUB_SECRET_MAX, big, SCRUB_SECRET_MAX}, 0, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scrub_table *t = NULL;
        struct err e = {0};
        int r = scrub_table_new(&rows[i].p, 1, SCRUB_ALL, &t, &e);
        if (r != rows[i].want)
            fail_msg("row %zu: %d %s", i, r, e.msg);
        if (rows[i].words)
            assert_non_null(strstr(e.msg, rows[i].words));
        scrub_table_unref(t);
    }
    free(big);
    free(periodic);
    free(nearly);
}

static void an_empty_table_passes_all_on(void **state)
{
    (void)state;
    struct scrub_table *t;
    assert_int_equal(scrub_table_new(NULL, 0, SCRUB_ALL, &t, NULL), 0);
    expect(t, "anything %41 \\u0041 &amp; \\", "anything %41 \\u0041 &amp; \\", 0);
    scrub_table_unref(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_texts_are_apart_and_counted_together),
        cmocka_unit_test(every_form_is_replaced_by_the_same_form),
        cmocka_unit_test(what_is_no_secret_stays),
        cmocka_unit_test(an_occurrence_is_stretched_so_far_and_no_further),
        cmocka_unit_test(forms_that_are_not_asked_for_stay),
        cmocka_unit_test(the_first_then_the_longest_wins),
        cmocka_unit_test(the_audit_learns_which_form_was_hit),
        cmocka_unit_test(an_occurrence_does_not_begin_within_the_one_before),
        cmocka_unit_test(only_the_beginning_of_a_secret_is_held),
        cmocka_unit_test(a_pause_lets_a_handful_of_bytes_go),
        cmocka_unit_test(a_secret_cannot_be_dripped_out),
        cmocka_unit_test(a_replacement_fits_into_the_text_around),
        cmocka_unit_test(a_counted_replacement_is_as_long_as_what_it_replaces),
        cmocka_unit_test(find_only_changes_nothing_and_holds_what_it_may_yet_find),
        cmocka_unit_test(a_table_refuses_what_is_no_secret),
        cmocka_unit_test(an_empty_table_passes_all_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
