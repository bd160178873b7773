/* test_format.c - formats of placeholders: what is refused, how strong they are, how they look. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/str.h"
#include "secret/format.h"

#include <string.h>

static void a_format_is_read_or_refused_in_words(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned bits; /* 0: refused */
        const char *words;
    } rows[] = {
        {NULL, 190, NULL},
        {"acme_{base62:22}", 130, NULL},
        {"acme_{base62:21}", 0, "22 characters of base62"},
        {"{base64url:22}", 132, NULL},
        {"{base32:25}", 0, "125 random bits"},
        {"{base32:26}", 130, NULL},
        {"{hex:32}", 128, NULL},
        {"{HEX:16}-{hex:16}", 128, NULL},
        {"{digits:38}", 0, "126 random bits"},
        {"{digits:39}", 129, NULL},
        {"{bytes:16}", 128, NULL},
        {"{bytes:15}", 0, "120 random bits"},
        {"{base36:25}", 129, NULL},
        {"ghp_{base62:30}{crc32}", 178, NULL},
        {"{crc32}{base62:30}", 0, "{crc32} stands behind"},
        {"{base62:30}-{crc32}", 0, "{crc32} stands behind"},
        {"{base62:0}", 0, "1 to 256"},
        {"{base62:257}", 0, "1 to 256"},
        {"{base62:}", 0, "1 to 256"},
        {"{base62:9x}", 0, "1 to 256"},
        {"{base62}", 0, "between braces"},
        {"{BASE62:30}", 0, "between braces"},
        {"{base62:30", 0, "not closed"},
        {"a b{base62:30}", 0, "outside of braces"},
        {"a\"{base62:30}", 0, "outside of braces"},
        {"}{base62:30}", 0, "outside of braces"},
        {"{base62:256}{base62:256}{base62:1}", 0, "at most 512"},
        {"nosuchvendor", 0, "no shape that is known"},
        {"", 0, "no shape that is known"},
        {"{hex:9}{hex:9}{hex:9}{hex:9}{hex:9}{hex:9}{hex:9}{hex:9}{hex:9}{hex:9}{hex:9}{hex:9}"
         "{hex:9}{hex:9}{hex:9}{hex:9}{hex:9}",
         0, "more than 16 pieces"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {0};
        struct placeholder_format *f = NULL;
        int r = placeholder_format_parse(rows[i].text, &f, &e);
        if (r != (rows[i].bits ? 0 : -EINVAL))
            fail_msg("%s: %d %s", rows[i].text, r, e.msg);
        if (r == 0)
            assert_int_equal(placeholder_format_bits(f), rows[i].bits);
        else if (!strstr(e.msg, rows[i].words))
            fail_msg("%s: %s", rows[i].text, e.msg);
        placeholder_format_free(f);
    }
}

/* The exceptions are exactly those that are told. */
static void every_shape_has_128_bits_or_says_that_it_has_not(void **state)
{
    (void)state;
    size_t small = 0;
    for (const struct placeholder_shape *s = placeholder_shapes; s->name; s++) {
        struct placeholder_format *f = NULL;
        struct err e = {0};
        if (placeholder_format_parse(s->name, &f, &e) < 0)
            fail_msg("%s: %s", s->name, e.msg);
        assert_int_equal(placeholder_format_bits(f) < PLACEHOLDER_BITS, s->small);
        assert_true(placeholder_format_bits(f) >= 80);
        char a[PLACEHOLDER_MAX + 1], b[PLACEHOLDER_MAX + 1];
        (void)placeholder_format_make(f, a);
        (void)placeholder_format_make(f, b);
        assert_string_not_equal(a, b);
        assert_int_equal(strlen(a), placeholder_format_bytes(f));
        /* What was made has its own shape. */
        struct placeholder_format *like = NULL;
        bool own_prefix = s->format[0] != '{';
        int r = placeholder_format_like(a, strlen(a), &like, &e);
        assert_int_equal(r, own_prefix ? 0 : -ENOENT);
        if (r == 0)
            assert_int_equal(placeholder_format_bytes(like), strlen(a));
        placeholder_format_free(like);
        placeholder_format_free(f);
        small += s->small;
    }
    assert_int_equal(small, 3); /* two of AWS, GitLab */
}

/* The length of a token that each vendor hands out. */
static void shapes_have_their_vendors_length_and_prefix(void **state)
{
    (void)state;
    static const struct {
        const char *name, *prefix;
        size_t n;
    } rows[] = {
        {"github", "ghp_", 40},
        {"github_fine_grained", "github_pat_", 93},
        {"gitlab", "glpat-", 26},
        {"aws_access_key_id", "AKIA", 20},
        {"aws_secret_access_key", "", 40},
        {"anthropic", "sk-ant-api03-", 108},
        {"openai", "sk-proj-", 164},
        {"openai_legacy", "sk-", 51},
        {"google_api_key", "AIza", 39},
        {"npm", "npm_", 40},
        {"sendgrid", "SG.", 69},
        {"huggingface", "hf_", 37},
        {"dockerhub", "dckr_pat_", 36},
        {"databricks", "dapi", 36},
        {"digitalocean", "dop_v1_", 71},
        {"stripe", "sk_live_", 32},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct placeholder_format *f = NULL;
        char text[PLACEHOLDER_MAX + 1];
        assert_int_equal(placeholder_format_parse(rows[i].name, &f, NULL), 0);
        (void)placeholder_format_make(f, text);
        assert_int_equal(strlen(text), rows[i].n);
        assert_true(str_starts(text, rows[i].prefix));
        placeholder_format_free(f);
    }
}

/* Against an example token whose checksum GitHub's scanners accept; and what is made has one. */
static void the_checksum_is_githubs(void **state)
{
    (void)state;
    static const char example[] = "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";
    char digits[7];
    assert_string_equal(placeholder_crc_digits(example + 4, 30, digits), example + 34);
    assert_string_equal(placeholder_crc_digits("", 0, digits), "000000");
    struct placeholder_format *f = NULL;
    assert_int_equal(placeholder_format_like(example, strlen(example), &f, NULL), 0);
    char text[PLACEHOLDER_MAX + 1];
    (void)placeholder_format_make(f, text);
    assert_string_equal(placeholder_crc_digits(text + 4, 30, digits), text + 34);
    placeholder_format_free(f);
}

static void a_jwt_has_three_parts_that_decode(void **state)
{
    (void)state;
    struct placeholder_format *f = NULL;
    char text[PLACEHOLDER_MAX + 1];
    assert_int_equal(placeholder_format_parse("jwt", &f, NULL), 0);
    (void)placeholder_format_make(f, text);
    placeholder_format_free(f);
    char *payload = strchr(text, '.') + 1, *signature = strchr(payload, '.') + 1;
    AUTO(buf) head = BUF_INIT(500);
    AUTO(buf) body = BUF_INIT(500);
    AUTO(buf) tail = BUF_INIT(500);
    assert_int_equal(enc_base64url_decode(&head, text, (size_t)(payload - 1 - text)), 0);
    assert_int_equal(enc_base64url_decode(&body, payload, (size_t)(signature - 1 - payload)), 0);
    assert_int_equal(enc_base64url_decode(&tail, signature, strlen(signature)), 0);
    assert_string_equal(buf_str(&head), "{\"alg\":\"HS256\",\"typ\":\"JWT\"}");
    AUTO_JSON json_t *j = NULL;
    assert_int_equal(json_parse(buf_str(&body), body.len, &j, NULL), 0);
    assert_int_equal(json_get_int(j, "exp", 0), 4102444800);
    assert_int_equal(tail.len, 32);
}

static void only_a_vendors_prefix_is_kept_of_a_secret(void **state)
{
    (void)state;
    static const char *const unknown[] = {
        "", "hunter2", "ghp_short", "ghp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq1!",
        "0123456789012345678901234567890123456789" /* 40 of base64, as AWS's: no prefix */};
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
        struct placeholder_format *f = NULL;
        struct err e = {0};
        assert_int_equal(placeholder_format_like(unknown[i], strlen(unknown[i]), &f, &e), -ENOENT);
        assert_non_null(strstr(e.msg, "write its format"));
        assert_true(!unknown[i][0] || !strstr(e.msg, unknown[i]));
    }
    struct placeholder_format *f = NULL;
    char text[PLACEHOLDER_MAX + 1];
    assert_int_equal(placeholder_format_like("AKIAIOSFODNN7EXAMPLE", 20, &f, NULL), 0);
    (void)placeholder_format_make(f, text);
    assert_true(str_starts(text, "AKIA"));
    assert_string_not_equal(text, "AKIAIOSFODNN7EXAMPLE");
    placeholder_format_free(f);

    AUTO(secret) real = {0};
    assert_int_equal(secret_set(&real, "glpat-abcdefghij0123456789", 26), 0);
    assert_int_equal(placeholder_format_choose("keep", &real, &f, NULL), 0);
    assert_int_equal(placeholder_format_bytes(f), 26);
    placeholder_format_free(f);
    assert_int_equal(placeholder_format_choose("keep", NULL, &f, NULL), -EAGAIN);
    assert_int_equal(placeholder_format_choose("github", NULL, &f, NULL), 0);
    placeholder_format_free(f);
    assert_int_equal(placeholder_format_choose(NULL, &real, &f, NULL), 0);
    assert_int_equal(placeholder_format_bytes(f), 38);
    placeholder_format_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_format_is_read_or_refused_in_words),
        cmocka_unit_test(every_shape_has_128_bits_or_says_that_it_has_not),
        cmocka_unit_test(shapes_have_their_vendors_length_and_prefix),
        cmocka_unit_test(the_checksum_is_githubs),
        cmocka_unit_test(a_jwt_has_three_parts_that_decode),
        cmocka_unit_test(only_a_vendors_prefix_is_kept_of_a_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
