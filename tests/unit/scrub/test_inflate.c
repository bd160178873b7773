/* test_inflate.c - what the libraries' own encoders make comes back, in any pieces; damage, cut
 * bodies, bytes behind the end and bombs are errors; nothing else grows. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/rng.h"
#include "scrub/inflate.h"

#include <brotli/encode.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define PLAIN_MAX (96u << 20)

static void compress_zlib(const void *p, size_t n, int window, struct buf *out)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t most = deflateBound(&z, n) + 32;
    z.next_in = (Bytef *)(uintptr_t)p;
    z.avail_in = (uInt)n;
    z.next_out = (Bytef *)buf_room(out, most);
    z.avail_out = (uInt)most;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    buf_commit(out, most - z.avail_out);
    deflateEnd(&z);
}

static void encode(enum inflate_coding c, bool bare, const void *p, size_t n, struct buf *out)
{
    size_t most;
    switch (c) {
    case INFLATE_GZIP:
        compress_zlib(p, n, 16 + MAX_WBITS, out);
        break;
    case INFLATE_DEFLATE:
        compress_zlib(p, n, bare ? -MAX_WBITS : MAX_WBITS, out);
        break;
    case INFLATE_BROTLI:
        most = BrotliEncoderMaxCompressedSize(n) + 16;
        uint8_t *to = (uint8_t *)buf_room(out, most);
        assert_true(
            BrotliEncoderCompress(5, BROTLI_MAX_WINDOW_BITS, BROTLI_MODE_GENERIC, n, p, &most, to));
        buf_commit(out, most);
        break;
    case INFLATE_ZSTD:
        most = ZSTD_compressBound(n);
        most = ZSTD_compress(buf_room(out, most), most, p, n, 3);
        assert_false(ZSTD_isError(most));
        buf_commit(out, most);
        break;
    }
}

/* In pieces of `in` bytes, into `room` at a time. 0 or the first error. */
static int decode(enum inflate_coding c, const struct buf *b, size_t in, size_t room,
                  struct buf *out, struct err *e)
{
    struct inflate *f;
    int r = inflate_new(c, &f, e);
    if (r < 0)
        return r;
    uint8_t *to = mem_zalloc(room);
    for (size_t at = 0; at < b->len && r == 0;) {
        size_t n = b->len - at < in ? b->len - at : in, k = 0;
        const uint8_t *p = (const uint8_t *)b->data + at;
        at += n;
        do {
            r = inflate_step(f, &p, &n, to, room, &k, e);
            assert_true(k <= room);
            if (r == 0 && out)
                r = buf_add(out, to, k);
        } while (r == 0 && (n > 0 || k == room));
    }
    if (r == 0)
        r = inflate_end(f, e);
    free(to);
    inflate_free(f);
    return r;
}

static const struct {
    enum inflate_coding c;
    bool bare;
} all[] = {{INFLATE_GZIP, false},
           {INFLATE_DEFLATE, false},
           {INFLATE_DEFLATE, true},
           {INFLATE_BROTLI, false},
           {INFLATE_ZSTD, false}};

static void make_plain(struct buf *b, size_t n)
{
    rng_test_seed(n);
    while (b->len < n)
        (void)buf_addf(b, "{\"n\":%u,\"word\":\"%s\"}\n", (unsigned)rng_below(100000),
                       rng_below(2) ? "token" : "value");
    b->len = n;
    rng_test_reset();
}

static void what_is_encoded_comes_back_in_any_pieces(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 100, 70000, 3000000};
    static const size_t pieces[][2] = {{1, 1}, {1, 100}, {7, 3}, {1000, 16384}, {1u << 20, 65536}};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
            AUTO(buf) plain = BUF_INIT(PLAIN_MAX), coded = BUF_INIT(PLAIN_MAX);
            (void)buf_room(&plain, 1);
            make_plain(&plain, sizes[k]);
            encode(all[i].c, all[i].bare, plain.data, plain.len, &coded);
            for (size_t j = 0; j < ARRAY_LEN(pieces); j++) {
                if (sizes[k] > 70000 && pieces[j][1] < 1000)
                    continue;
                AUTO(buf) out = BUF_INIT(PLAIN_MAX);
                struct err e = {0};
                if (decode(all[i].c, &coded, pieces[j][0], pieces[j][1], &out, &e) < 0)
                    fail_msg("coding %d, %zu bytes, pieces of %zu: %s", (int)all[i].c, sizes[k],
                             pieces[j][0], e.msg);
                assert_int_equal(out.len, plain.len);
                assert_memory_equal(buf_str(&out), plain.data, plain.len);
            }
        }
}

static void a_cut_body_is_an_error_and_no_body_is_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        AUTO(buf) plain = BUF_INIT(PLAIN_MAX), coded = BUF_INIT(PLAIN_MAX);
        make_plain(&plain, 2000);
        encode(all[i].c, all[i].bare, plain.data, plain.len, &coded);
        size_t whole = coded.len;
        for (coded.len = 1; coded.len < whole; coded.len++) {
            struct err e = {0};
            if (decode(all[i].c, &coded, 1000, 1000, NULL, &e) != -E_PARSE ||
                !strstr(e.msg, "cut short"))
                fail_msg("coding %d, %zu of %zu bytes: %s", (int)all[i].c, coded.len, whole, e.msg);
        }
        coded.len = 0;
        struct err e = {0};
        assert_int_equal(decode(all[i].c, &coded, 1000, 1000, NULL, &e), 0);
    }
}

static void several_members_are_one_body_and_other_bytes_behind_it_are_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        bool many = all[i].c == INFLATE_GZIP || all[i].c == INFLATE_ZSTD;
        AUTO(buf) twice = BUF_INIT(PLAIN_MAX), junk = BUF_INIT(PLAIN_MAX),
                  out = BUF_INIT(PLAIN_MAX);
        encode(all[i].c, all[i].bare, "hello ", 6, &twice);
        encode(all[i].c, all[i].bare, "hello ", 6, &junk);
        encode(all[i].c, all[i].bare, "world", 5, &twice);
        (void)buf_adds(&junk, "<html>");
        for (size_t piece = 1; piece < 100; piece += 98) {
            struct err e = {0};
            buf_reset(&out);
            assert_int_equal(decode(all[i].c, &twice, piece, 100, &out, &e), many ? 0 : -E_PARSE);
            if (many)
                assert_string_equal(buf_str(&out), "hello world");
            assert_int_equal(decode(all[i].c, &junk, piece, 100, NULL, &e), -E_PARSE);
            assert_true(e.msg[0]);
        }
    }
}

static void damage_is_an_error_with_words(void **state)
{
    (void)state;
    AUTO(buf) html = BUF_INIT(1000);
    (void)buf_adds(
        &html, "<!doctype html><p>this is no compressed body at all, whatever the header says</p>");
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct err e = {0};
        assert_int_equal(decode(all[i].c, &html, 1000, 1000, NULL, &e), -E_PARSE);
        assert_true(e.msg[0]);
        AUTO(buf) plain = BUF_INIT(PLAIN_MAX), coded = BUF_INIT(PLAIN_MAX),
                  out = BUF_INIT(PLAIN_MAX);
        make_plain(&plain, 5000);
        encode(all[i].c, all[i].bare, plain.data, plain.len, &coded);
        for (size_t at = 0; at < coded.len; at += 7) {
            coded.data[at] ^= 0x55;
            buf_reset(&out);
            struct err words = {0};
            int r = decode(all[i].c, &coded, 1000, 1000, &out, &words);
            /* Without a checksum (bare deflate, br, zstd here) damage may decode to something
             * else. */
            assert_true(r == 0 || r == -E_PARSE || r == -ENOMEM);
            assert_true(r == 0 || words.msg[0]);
            if (all[i].c == INFLATE_GZIP && r == 0)
                assert_memory_equal(out.data, plain.data,
                                    plain.len); /* a byte of the header that nothing reads */
            coded.data[at] ^= 0x55;
        }
    }
}

static void a_bomb_ends_at_the_ratio(void **state)
{
    (void)state;
    size_t n = 64u << 20;
    char *zeros = mem_zalloc(n);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        AUTO(buf) coded = BUF_INIT(PLAIN_MAX);
        encode(all[i].c, all[i].bare, zeros, n, &coded);
        struct err e = {0};
        assert_int_equal(decode(all[i].c, &coded, 4096, 16384, NULL, &e), -E_LIMIT);
        assert_non_null(strstr(e.msg, "256 times"));
        buf_reset(&coded);
        encode(all[i].c, all[i].bare, zeros, INFLATE_SLACK_BYTES, &coded);
        assert_int_equal(decode(all[i].c, &coded, 4096, 16384, NULL, &e), 0);
    }
    free(zeros);
}

static void a_zstd_window_above_8_mib_is_refused(void **state)
{
    (void)state;
    size_t n = 40u << 20;
    AUTO(buf) plain = BUF_INIT(PLAIN_MAX), coded = BUF_INIT(PLAIN_MAX);
    make_plain(&plain, n);
    static const struct {
        int log, want;
    } rows[] = {{23, 0}, {24, -E_PARSE}, {27, -E_PARSE}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ZSTD_CCtx *c = ZSTD_createCCtx();
        assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, rows[i].log)));
        assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0)));
        buf_reset(&coded);
        size_t most = ZSTD_compressBound(n);
        ZSTD_inBuffer in = {plain.data, n, 0};
        ZSTD_outBuffer out = {buf_room(&coded, most), most, 0};
        assert_int_equal(ZSTD_compressStream2(c, &out, &in, ZSTD_e_continue),
                         0 * out.pos); /* not one block */
        while (ZSTD_compressStream2(c, &out, &in, ZSTD_e_end) != 0)
            ;
        buf_commit(&coded, out.pos);
        (void)ZSTD_freeCCtx(c);
        struct err e = {0};
        assert_int_equal(decode(INFLATE_ZSTD, &coded, 1u << 20, 65536, NULL, &e), rows[i].want);
    }
}

/* The library would read the format of zstd 0.5, also behind the right magic number, and a frame with a dictionary. */
static void zstd_is_that_of_the_rfc(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "\x25\xb5\x2f\xfd\x06\xd6\x58\xa2", "\x27\xb5\x2f\xfd\x06\xd6\x58\xa2",
        "\x28\xb5\x2f\xfe\x06\xd6\x58\xa2", "\x60\x2a\x4d\x18\x01\x01\x01\x01",
        "\x28\xb5\x2f\xfd\x21\x07\x01\x39",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t piece = 1; piece <= 8; piece++) {
            AUTO(buf) b = BUF_INIT(100);
            struct err e = {0};
            (void)buf_add(&b, rows[i], 8);
            assert_int_equal(decode(INFLATE_ZSTD, &b, piece, 100, NULL, &e), -E_PARSE);
            if (i < 4)
                assert_string_equal(e.msg, "the body is not zstd");
        }
    for (size_t piece = 1; piece <= 12; piece++) {
        AUTO(buf) old = BUF_INIT(100);
        struct err why = {0};
        (void)buf_add(&old, "\x28\xb5\x2f\xfd\x25\xb5\x2f\xfd\x06\xd6\x58\x00", 12);
        assert_int_equal(decode(INFLATE_ZSTD, &old, piece, 100, NULL, &why), -E_PARSE);
    }
    /* A frame to be skipped, then one of three bytes, stored. */
    AUTO(buf) b = BUF_INIT(100), out = BUF_INIT(100);
    struct err e = {0};
    (void)buf_add(&b, "\x5f\x2a\x4d\x18\x02\0\0\0zz\x28\xb5\x2f\xfd\x20\x03\x19\0\0abc", 22);
    for (size_t piece = 1; piece <= 22; piece++) {
        buf_reset(&out);
        assert_int_equal(decode(INFLATE_ZSTD, &b, piece, 100, &out, &e), 0);
        assert_string_equal(buf_str(&out), "abc");
    }
}

static void codings_are_known_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int want;
    } rows[] = {
        {"gzip", INFLATE_GZIP}, {"X-Gzip", INFLATE_GZIP}, {"deflate", INFLATE_DEFLATE},
        {"br", INFLATE_BROTLI}, {"ZSTD", INFLATE_ZSTD},   {"identity", -ENOTSUP},
        {"gzip, br", -ENOTSUP}, {"", -ENOTSUP},           {"compress", -ENOTSUP},
        {"b", -ENOTSUP},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum inflate_coding c;
        int r = inflate_coding_named(rows[i].name, strlen(rows[i].name), &c);
        assert_int_equal(r < 0 ? r : (int)c, rows[i].want);
    }
    inflate_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_comes_back_in_any_pieces),
        cmocka_unit_test(a_cut_body_is_an_error_and_no_body_is_none),
        cmocka_unit_test(several_members_are_one_body_and_other_bytes_behind_it_are_not),
        cmocka_unit_test(damage_is_an_error_with_words),
        cmocka_unit_test(a_bomb_ends_at_the_ratio),
        cmocka_unit_test(a_zstd_window_above_8_mib_is_refused),
        cmocka_unit_test(zstd_is_that_of_the_rfc),
        cmocka_unit_test(codings_are_known_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
