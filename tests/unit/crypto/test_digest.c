/* test_digest.c - FIPS 180-4 and RFC 4231 vectors. */
#include "unit/unit.h"
#include "base/enc.h"
#include "crypto/digest.h"

#include <string.h>

static void sha256_gives_the_published_digests(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hex;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char hex[DIGEST_SHA256_HEX];
        assert_string_equal(digest_sha256_hex(rows[i].text, strlen(rows[i].text), hex),
                            rows[i].hex);
    }
    char hex[DIGEST_SHA256_HEX];
    assert_string_equal(digest_sha256_hex(NULL, 0, hex), rows[0].hex);
}

static void sha1_gives_the_published_digests(void **state)
{
    (void)state;
    unsigned char sum[DIGEST_SHA1_BYTES];
    char hex[2 * DIGEST_SHA1_BYTES + 1];
    digest_sha1("abc", 3, sum);
    enc_hex(sum, sizeof(sum), hex);
    assert_string_equal(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
    digest_sha1(NULL, 0, sum);
    enc_hex(sum, sizeof(sum), hex);
    assert_string_equal(hex, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

static void a_digest_in_pieces_is_that_of_the_whole(void **state)
{
    (void)state;
    static const char text[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    for (size_t piece = 1; piece < sizeof(text); piece++) {
        struct digest_stream *d = digest_stream_new();
        for (size_t at = 0; at < sizeof(text) - 1; at += piece) {
            size_t left = sizeof(text) - 1 - at;
            digest_stream_add(d, text + at, left < piece ? left : piece);
        }
        char whole[DIGEST_SHA256_HEX], hex[DIGEST_SHA256_HEX];
        digest_sha256_hex(text, sizeof(text) - 1, whole);
        assert_string_equal(digest_stream_hex(d, hex), whole);
        digest_stream_free(d);
    }
    digest_stream_free(NULL);
}

static void one_digest_after_another(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "abc", "x", "abc", ""};
    struct digest_again *d = digest_again_new();
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        unsigned char got[DIGEST_SHA256_BYTES], want[DIGEST_SHA256_BYTES];
        digest_again_begin(d);
        for (const char *p = texts[i]; *p; p++)
            digest_again_add(d, p, 1);
        digest_again_add(d, NULL, 0);
        digest_again_end(d, got);
        digest_sha256(texts[i], strlen(texts[i]), want);
        assert_memory_equal(got, want, sizeof(want));
    }
    digest_again_free(d);
    digest_again_free(NULL);
}

static void hmac_gives_the_published_codes(void **state)
{
    (void)state;
    unsigned char long_key[131];
    memset(long_key, 0xaa, sizeof(long_key));
    const struct {
        const void *key;
        size_t key_bytes;
        const char *text, *hex;
    } rows[] = {
        {"\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b", 20,
         "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"Jefe", 4, "what do ya want for nothing?",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {long_key, sizeof(long_key), "Test Using Larger Than Block-Size Key - Hash Key First",
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned char sum[DIGEST_SHA256_BYTES];
        char hex[DIGEST_SHA256_HEX];
        digest_hmac_sha256(rows[i].key, rows[i].key_bytes, rows[i].text, strlen(rows[i].text), sum);
        enc_hex(sum, sizeof(sum), hex);
        assert_string_equal(hex, rows[i].hex);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sha256_gives_the_published_digests),
                                       cmocka_unit_test(sha1_gives_the_published_digests),
                                       cmocka_unit_test(a_digest_in_pieces_is_that_of_the_whole),
                                       cmocka_unit_test(one_digest_after_another),
                                       cmocka_unit_test(hmac_gives_the_published_codes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
