/* test_enc.c - RFC 4648 vectors, round trips, and every way a decoder must refuse. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"

#include <string.h>

static void base64_is_as_the_rfc_says(void **state)
{
    (void)state;
    static const struct {
        const char *plain, *b64, *url;
    } rows[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff\xfe", "+//+", "-__-"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].plain);
        AUTO(buf) a = BUF_INIT(100), b = BUF_INIT(100), c = BUF_INIT(100), d = BUF_INIT(100);
        assert_int_equal(enc_base64(&a, rows[i].plain, n), 0);
        assert_string_equal(buf_str(&a), rows[i].b64);
        assert_int_equal(enc_base64url(&b, rows[i].plain, n), 0);
        assert_string_equal(buf_str(&b), rows[i].url);
        assert_int_equal(enc_base64_decode(&c, rows[i].b64, strlen(rows[i].b64)), 0);
        assert_string_equal(buf_str(&c), rows[i].plain);
        assert_int_equal(enc_base64url_decode(&d, rows[i].url, strlen(rows[i].url)), 0);
        assert_string_equal(buf_str(&d), rows[i].plain);
    }
}

static void loose_base64_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool standard, url; /* accepted by which decoder */
    } rows[] = {
        {"Zg==", true, true},     {"Zg=", false, false},      {"Zg", false, true},
        {"Z", false, false},      {"Zh==", false, false}, /* stray bits */
        {"Zm9=", false, false},   {"Zm8=", true, true},       {"====", false, false},
        {"=", false, false},      {"Zg==Zg==", false, false}, {"Zm 8", false, false},
        {"Zm8=\n", false, false}, {"-__-", false, true},      {"+//+", true, false},
        {"Zg===", false, false},  {"Z===", false, false},     {"Zm9v\xc3\xa9..", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].text);
        AUTO(buf) a = BUF_INIT(100), b = BUF_INIT(100);
        assert_int_equal(buf_adds(&a, "kept"), 0);
        int r = enc_base64_decode(&a, rows[i].text, n);
        if (r != (rows[i].standard ? 0 : -E_PARSE))
            fail_msg("base64 of %s: %d", rows[i].text, r);
        if (r < 0)
            assert_string_equal(buf_str(&a), "kept");
        assert_int_equal(buf_err(&a), 0);
        r = enc_base64url_decode(&b, rows[i].text, n);
        if (r != (rows[i].url ? 0 : -E_PARSE))
            fail_msg("base64url of %s: %d", rows[i].text, r);
    }
    AUTO(buf) small = BUF_INIT(2);
    assert_int_equal(enc_base64_decode(&small, "Zm9v", 4), -EMSGSIZE);
    AUTO(buf) small_out = BUF_INIT(3);
    assert_int_equal(enc_base64(&small_out, "foo", 3), -EMSGSIZE);
}

static void what_is_encoded_decodes_to_itself(void **state)
{
    (void)state;
    unsigned char bytes[256], back[256];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 167 + 13);
    for (size_t n = 0; n <= sizeof(bytes); n++) {
        AUTO(buf) t = BUF_INIT(1000), u = BUF_INIT(1000);
        assert_int_equal(enc_base64(&t, bytes, n), 0);
        assert_int_equal(enc_base64_decode(&u, buf_str(&t), t.len), 0);
        assert_int_equal(u.len, n);
        if (n)
            assert_memory_equal(u.data, bytes, n);
        buf_reset(&t);
        buf_reset(&u);
        assert_int_equal(enc_base64url(&t, bytes, n), 0);
        assert_int_equal(enc_base64url_decode(&u, buf_str(&t), t.len), 0);
        assert_int_equal(u.len, n);
        char hex[sizeof(bytes) * 2 + 1];
        enc_hex(bytes, n, hex);
        assert_int_equal(strlen(hex), 2 * n);
        assert_int_equal(enc_hex_decode(hex, 2 * n, back), 0);
        if (n)
            assert_memory_equal(back, bytes, n);
    }
}

static void hex_is_whole_or_refused(void **state)
{
    (void)state;
    unsigned char out[4] = {9, 9, 9, 9};
    assert_int_equal(enc_hex_decode("0aFf", 4, out), 0);
    assert_memory_equal(out, "\x0a\xff\x09\x09", 4);
    static const char *const bad[] = {"0", "0g", "g0", "00 0", "0x00"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(enc_hex_decode(bad[i], strlen(bad[i]), out), -E_PARSE);
        assert_memory_equal(out, "\x0a\xff\x09\x09", 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_is_as_the_rfc_says),
        cmocka_unit_test(loose_base64_is_refused),
        cmocka_unit_test(what_is_encoded_decodes_to_itself),
        cmocka_unit_test(hex_is_whole_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
