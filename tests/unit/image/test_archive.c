/* test_archive.c - tar and decompression from streams that somebody else made. */
#include "unit/unit.h"
#include "unit/image/tar.h"
#include "base/err.h"
#include "image/archive.h"

struct memory {
    struct archive_stream stream;
    const char *p;
    size_t n, piece;
    int code; /* after the last piece; 0: the end */
};

static ssize_t memory_next(struct archive_stream *s, const void **ret, struct err *e)
{
    struct memory *m = CONTAINER_OF(s, struct memory, stream);
    if (m->n == 0 && m->code < 0)
        return err_set(e, m->code, "the source says no");
    size_t n = m->n < m->piece ? m->n : m->piece;
    *ret = m->p;
    m->p += n;
    m->n -= n;
    return (ssize_t)n;
}

static struct memory memory_of(const struct buf *b, size_t piece)
{
    return (
        struct memory){.stream = {.next = memory_next}, .p = b->data, .n = b->len, .piece = piece};
}

/* RFC 1952 with stored blocks (RFC 1951 3.2.4): compression without a compressor. */
static void gzip_stored(struct buf *out, const void *data, size_t n)
{
    const unsigned char *p = data;
    uint32_t crc = ~0u;
    buf_add(out, "\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1)));
    }
    for (size_t at = 0; at < n || at == 0;) {
        size_t len = n - at < 65535 ? n - at : 65535;
        unsigned char head[5] = {at + len == n, (unsigned char)len, (unsigned char)(len >> 8),
                                 (unsigned char)~len, (unsigned char)(~len >> 8)};
        buf_add(out, head, 5);
        buf_add(out, p + at, len);
        at += len;
        if (len == 0)
            break;
    }
    crc = ~crc;
    uint32_t tail[2] = {crc, (uint32_t)n}; /* little-endian, as the machines we build on */
    buf_add(out, tail, 8);
}

static void a_tar_gives_its_items_in_order(void **state)
{
    (void)state;
    AUTO(buf) tar = BUF_INIT(TAR_MAX);
    char *big = mem_array(100000, 1);
    for (size_t i = 0; i < 100000; i++)
        big[i] = (char)(i * 7);
    tar_entry(&tar, "d/", '5', 01755, "", "", 0);
    tar_entry(&tar, "d/f", '0', 04640, "", big, 100000);
    tar_entry(&tar, "l", '2', 0777, "../x", "", 0);
    tar_entry(&tar, "h", '1', 0644, "d/f", "", 0);
    tar_entry(&tar, "null", '3', 0666, "", "", 0);
    tar_entry(&tar, "fifo", '6', 0666, "", "", 0);
    tar_end(&tar);
    static const struct {
        const char *path, *link;
        enum archive_type type;
        unsigned mode;
        int64_t size;
    } rows[] = {
        {"d/", "", ARCHIVE_DIRECTORY, 01755, 0}, {"d/f", "", ARCHIVE_FILE, 04640, 100000},
        {"l", "../x", ARCHIVE_SYMLINK, 0777, 0}, {"h", "d/f", ARCHIVE_HARDLINK, 0644, 0},
        {"null", "", ARCHIVE_SPECIAL, 0666, 0},  {"fifo", "", ARCHIVE_SPECIAL, 0666, 0},
    };
    static const size_t pieces[] = {1, 511, 512, 4096, 1u << 20};
    for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
        struct memory m = memory_of(&tar, pieces[k]);
        struct archive_reader *r = NULL;
        struct archive_item item;
        struct err e = {0};
        assert_int_equal(archive_reader_open(&r, ARCHIVE_KIND_TAR, &m.stream, &e), 0);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            assert_int_equal(archive_reader_next(r, &item, &e), 1);
            assert_string_equal(item.path, rows[i].path);
            assert_string_equal(item.link, rows[i].link);
            assert_int_equal(item.type, rows[i].type);
            assert_int_equal(item.mode, rows[i].mode);
            assert_int_equal(item.size, rows[i].size);
            assert_int_equal(item.mtime_s, 1700000000);
            if (item.type != ARCHIVE_FILE)
                continue;
            AUTO(buf) got = BUF_INIT(TAR_MAX);
            const void *p;
            size_t n;
            int64_t offset;
            int code;
            while ((code = archive_reader_block(r, &p, &n, &offset, &e)) > 0) {
                assert_int_equal(offset, got.len);
                buf_add(&got, p, n);
            }
            assert_int_equal(code, 0);
            assert_int_equal(got.len, 100000);
            assert_memory_equal(got.data, big, 100000);
        }
        assert_int_equal(archive_reader_next(r, &item, &e), 0);
        archive_reader_free(r);
    }
    free(big);
}

static int inflate(const struct buf *in, struct buf *out, bool *ret_compressed, struct err *e)
{
    struct memory m = memory_of(in, 777);
    struct archive_reader *r = NULL;
    struct archive_item item;
    int code = archive_reader_open(&r, ARCHIVE_KIND_INFLATE, &m.stream, e);
    if (code == 0) {
        *ret_compressed = archive_reader_is_compressed(r);
        code = archive_reader_next(r, &item, e);
    }
    while (code > 0) {
        const void *p;
        struct archive_stream *s = archive_reader_stream(r);
        ssize_t n = s->next(s, &p, e);
        if (n <= 0) {
            code = (int)n;
            break;
        }
        buf_add(out, p, (size_t)n);
    }
    archive_reader_free(r);
    return code;
}

static void gzip_is_undone_once(void **state)
{
    (void)state;
    AUTO(buf) plain = BUF_INIT(TAR_MAX);
    AUTO(buf) once = BUF_INIT(TAR_MAX);
    AUTO(buf) twice = BUF_INIT(TAR_MAX);
    AUTO(buf) out = BUF_INIT(TAR_MAX);
    struct err e = {0};
    bool compressed;
    for (int i = 0; i < 200000; i++)
        buf_addc(&plain, (char)(i % 251));
    gzip_stored(&once, plain.data, plain.len);
    gzip_stored(&twice, once.data, once.len);

    assert_int_equal(inflate(&plain, &out, &compressed, &e), 0);
    assert_false(compressed);
    assert_int_equal(out.len, plain.len);
    buf_reset(&out);
    assert_int_equal(inflate(&once, &out, &compressed, &e), 0);
    assert_true(compressed);
    assert_int_equal(out.len, plain.len);
    assert_memory_equal(out.data, plain.data, plain.len);
    buf_reset(&out);
    assert_int_equal(inflate(&twice, &out, &compressed, &e), -E_PARSE);
    assert_non_null(strstr(e.msg, "more than once"));
    once.len -= 100;
    assert_int_equal(inflate(&once, &out, &compressed, &e), -E_PARSE);
    assert_non_null(strstr(e.msg, "cut short"));
    buf_reset(&plain);
    buf_reset(&out);
    assert_int_equal(inflate(&plain, &out, &compressed, &e), 0); /* nothing is nothing */
    assert_int_equal(out.len, 0);
}

/* Of all that libarchive reads, only tar is an archive here: some of the others run programs. */
static void nothing_but_tar_is_an_archive(void **state)
{
    (void)state;
    static const char *const starts[] = {
        "PK\3\4\x14\0\0\0\0\0", "070701000000010000",   "!<arch>\n", "#mtree\nx type=file\n",
        "7z\xbc\xaf\x27\x1c",   "Rar!\x1a\x07\x01",     "MSCF",      "begin 644 x\n#86)C\n`\nend\n",
        "WARC/1.0\r\n",         "\xed\xab\xee\xdb\3\0", "LRZI\0\6",
    };
    for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
        AUTO(buf) b = BUF_INIT(TAR_MAX);
        AUTO(buf) out = BUF_INIT(TAR_MAX);
        struct err e = {0};
        bool compressed = true;
        buf_adds(&b, starts[i]);
        for (int k = 0; k < 2000; k++)
            buf_addc(&b, 'x');
        struct memory m = memory_of(&b, 4096);
        struct archive_reader *r = NULL;
        struct archive_item item;
        int code = archive_reader_open(&r, ARCHIVE_KIND_TAR, &m.stream, &e);
        if (code == 0)
            code = archive_reader_next(r, &item, &e);
        archive_reader_free(r);
        if (code != -E_PARSE)
            fail_msg("%s was taken for a tar: %d", starts[i], code);
        assert_int_equal(inflate(&b, &out, &compressed, &e), 0);
        assert_false(compressed);
        assert_int_equal(out.len, b.len);
    }
}

/* What the source says is what the caller gets, also where libarchive would see an end. */
static void what_the_source_says_is_what_the_caller_gets(void **state)
{
    (void)state;
    AUTO(buf) tar = BUF_INIT(TAR_MAX);
    tar_file(&tar, "a", "1");
    tar_file(&tar, "b", "2");
    for (size_t n = 0; n <= tar.len; n += 512) {
        struct memory m = memory_of(&tar, 512);
        m.n = n;
        m.code = -E_DENIED;
        struct archive_reader *r = NULL;
        struct archive_item item;
        struct err e = {0};
        int code = archive_reader_open(&r, ARCHIVE_KIND_TAR, &m.stream, &e);
        code = code < 0 ? code : 1;
        while (code > 0)
            code = archive_reader_next(r, &item, &e);
        archive_reader_free(r);
        assert_int_equal(code, -E_DENIED);
        assert_string_equal(e.msg, "the source says no");
    }
}

static void a_position_leads_back_to_its_item(void **state)
{
    (void)state;
    AUTO(buf) tar = BUF_INIT(TAR_MAX);
    char *big = mem_array(3u << 20, 1);
    memset(big, 'x', 3u << 20);
    tar_entry(&tar, "big", '0', 0644, "", big, 3u << 20);
    tar_pax(&tar, "path", "second", 6); /* the position is that of the pax header */
    tar_file(&tar, "ignored", "here");
    tar_end(&tar);
    free(big);
    AUTO_CLOSE int fd = tar_fd(&tar);
    struct archive_file f;
    struct archive_reader *r = NULL;
    struct archive_item item;
    struct err e = {0};
    archive_file_init(&f, fd, 0);
    assert_int_equal(archive_reader_open(&r, ARCHIVE_KIND_TAR, &f.stream, &e), 0);
    assert_int_equal(archive_reader_next(r, &item, &e), 1);
    assert_int_equal(archive_reader_next(r, &item, &e), 1);
    assert_string_equal(item.path, "second");
    int64_t at = archive_reader_position(r);
    archive_reader_free(r);
    archive_file_done(&f);

    archive_file_init(&f, fd, at);
    assert_int_equal(archive_reader_open(&r, ARCHIVE_KIND_TAR, &f.stream, &e), 0);
    assert_int_equal(archive_reader_next(r, &item, &e), 1);
    assert_string_equal(item.path, "second");
    const void *p;
    struct archive_stream *s = archive_reader_stream(r);
    assert_int_equal(s->next(s, &p, &e), 4);
    assert_memory_equal(p, "here", 4);
    assert_int_equal(s->next(s, &p, &e), 0);
    archive_reader_free(r);
    archive_file_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tar_gives_its_items_in_order),
        cmocka_unit_test(gzip_is_undone_once),
        cmocka_unit_test(nothing_but_tar_is_an_archive),
        cmocka_unit_test(what_the_source_says_is_what_the_caller_gets),
        cmocka_unit_test(a_position_leads_back_to_its_item),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
