/* ClientHellos: what is read from them, where they are cut, and what is refused. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "io/client_hello.h"

#include <string.h>

/* ---- making one ---- */

static void put(struct buf *b, const char *bytes, size_t n)
{
    assert_int_equal(buf_add(b, bytes, n), 0);
}
#define PUT(b, literal) put(b, literal, sizeof(literal) - 1)

static void put_number(struct buf *b, size_t value, unsigned bytes)
{
    while (bytes-- > 0)
        assert_int_equal(buf_addc(b, (char)(value >> (8 * bytes) & 0xff)), 0);
}

static void put_extension(struct buf *b, unsigned type, const char *body, size_t n)
{
    put_number(b, type, 2);
    put_number(b, n, 2);
    put(b, body, n);
}
#define EXTENSION(b, type, literal) put_extension(b, type, literal, sizeof(literal) - 1)

static void put_sni(struct buf *b, const char *name, size_t n)
{
    put_number(b, 0, 2);
    put_number(b, n + 5, 2);
    put_number(b, n + 3, 2);
    put_number(b, 0, 1);
    put_number(b, n, 2);
    put(b, name, n);
}

/* The message with these extensions; NULL: none at all. */
static void put_message(struct buf *b, unsigned version, const struct buf *extensions)
{
    AUTO(buf) body = BUF_INIT(1 << 20);
    put_number(&body, version, 2);
    for (int i = 0; i < 32; i++)
        put_number(&body, 0xa0 + i, 1);
    PUT(&body, "\x04sess\x00\x04\x13\x01\x13\x02\x01\x00");
    if (extensions) {
        put_number(&body, extensions->len, 2);
        put(&body, buf_str(extensions), extensions->len);
    }
    put_number(b, 1, 1);
    put_number(b, body.len, 3);
    put(b, body.data, body.len);
}

/* Bytes in records of at most `step`. */
static void put_records(struct buf *b, const struct buf *message, size_t step)
{
    for (size_t at = 0; at < message->len; at += step) {
        size_t n = message->len - at < step ? message->len - at : step;
        PUT(b, "\x16\x03\x01");
        put_number(b, n, 2);
        put(b, message->data + at, n);
    }
}

static void make(struct buf *out, unsigned version, const struct buf *extensions, size_t step)
{
    AUTO(buf) message = BUF_INIT(1 << 20);
    put_message(&message, version, extensions);
    put_records(out, &message, step);
}

static void usual(struct buf *out, size_t step)
{
    AUTO(buf) x = BUF_INIT(1 << 16);
    EXTENSION(&x, 0x0a0a, "");
    put_sni(&x, "api.example.com", 15);
    EXTENSION(&x, 16, "\x00\x0c\x02h2\x08http/1.1");
    EXTENSION(&x, 43, "\x06\x1a\x1a\x03\x04\x03\x03"); /* GREASE in front */
    EXTENSION(&x, 0xfe0d, "\x00grease");
    make(out, 0x0303, &x, step);
}

/* The reason of the refusal; NULL: none. */
static const char *refusal(const struct buf *b)
{
    struct client_hello ch;
    const char *reason = NULL;
    int r = client_hello_parse(b->data, b->len, &ch, &reason);
    if (r == 0)
        return NULL;
    assert_int_equal(r, -E_PARSE);
    assert_non_null(reason);
    return reason;
}

static void assert_refused(const struct buf *b, const char *words)
{
    const char *reason = refusal(b);
    if (!reason || !strstr(reason, words))
        fail_msg("\"%s\" where \"%s\" was expected", reason ? reason : "(accepted)", words);
}

static void assert_refused_with(const struct buf *extensions, const char *words)
{
    AUTO(buf) b = BUF_INIT(1 << 20);
    make(&b, 0x0303, extensions, 16384);
    assert_refused(&b, words);
}

/* ---- tests ---- */

static void a_hello_says_name_protocols_and_version(void **state)
{
    (void)state;
    static const size_t steps[] = {16384, 100, 7, 3, 1};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        AUTO(buf) b = BUF_INIT(1 << 20);
        usual(&b, steps[i]);
        size_t whole = b.len;
        PUT(&b, "\x17\x03\x03\x00\x05hello"); /* what follows it is not looked at */
        struct client_hello ch;
        const char *reason = NULL;
        assert_int_equal(client_hello_parse(b.data, b.len, &ch, &reason), 0);
        assert_int_equal(ch.bytes, whole);
        assert_string_equal(ch.server_name, "api.example.com");
        assert_int_equal(ch.n_server_name, 15);
        assert_int_equal(ch.newest_version, 0x0304);
        assert_int_equal(ch.n_alpn, 2);
        assert_true(client_hello_offers(&ch, "h2"));
        assert_true(client_hello_offers(&ch, "http/1.1"));
        assert_false(client_hello_offers(&ch, "http/1"));
        assert_false(client_hello_offers(&ch, "h"));
        assert_true(ch.ech);
        assert_false(ch.early_data);
        size_t pos = 0, n, seen = 0;
        const char *name;
        while (client_hello_alpn_next(&ch, &pos, &name, &n))
            seen += n;
        assert_int_equal(seen, 10);
    }
}

static void every_beginning_of_one_asks_for_more(void **state)
{
    (void)state;
    static const size_t steps[] = {16384, 50, 1};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        AUTO(buf) b = BUF_INIT(1 << 20);
        usual(&b, steps[i]);
        for (size_t n = 0; n < b.len; n++) {
            AUTO_FREE char *copy =
                malloc(n ? n : 1); /* of that size: the sanitizer sees a step beyond */
            memcpy(copy, b.data, n);
            struct client_hello ch;
            const char *reason = NULL;
            assert_int_equal(client_hello_parse(copy, n, &ch, &reason), -EAGAIN);
            assert_null(reason);
        }
    }
}

static void old_and_bare_hellos_are_read(void **state)
{
    (void)state;
    static const struct {
        unsigned version;
        uint16_t newest;
    } cases[] = {{0x0303, 0x0303}, {0x0301, 0x0301}, {0x0304, 0x0303}, {0x03ff, 0x0303}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(buf) b = BUF_INIT(1 << 20);
        make(&b, cases[i].version, NULL, 16384);
        struct client_hello ch;
        const char *reason = NULL;
        assert_int_equal(client_hello_parse(b.data, b.len, &ch, &reason), 0);
        assert_int_equal(ch.newest_version, cases[i].newest);
        assert_int_equal(ch.n_server_name, 0);
        assert_int_equal(ch.n_alpn, 0);
        assert_false(ch.ech);
        size_t pos = 0, n;
        const char *name;
        assert_false(client_hello_alpn_next(&ch, &pos, &name, &n));
    }
}

static void a_list_of_versions_counts_more_than_the_old_field(void **state)
{
    (void)state;
    AUTO(buf) x = BUF_INIT(1 << 16);
    EXTENSION(&x, 43, "\x04\x03\x02\x03\x01");
    EXTENSION(&x, 42, "");
    AUTO(buf) b = BUF_INIT(1 << 20);
    make(&b, 0x0303, &x, 16384);
    struct client_hello ch;
    const char *reason = NULL;
    assert_int_equal(client_hello_parse(b.data, b.len, &ch, &reason), 0);
    assert_int_equal(ch.newest_version, 0x0302);
    assert_true(ch.early_data);
}

static void what_is_not_tls_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *words;
    } cases[] = {
        {"SSH-2.0-OpenSSH_9.2\r\n", 21, "SSH"},
        {"GET / HTTP/1.1\r\n", 16, "HTTP without TLS"},
        {"CONNECT a:443 HTTP/1.1\r\n", 24, "HTTP without TLS"},
        {"PRI * HTTP/2.0\r\n", 16, "HTTP without TLS"},
        {"\x80\x2e\x01\x03\x01\x00\x15", 7, "SSL 2"},
        {"\x17\x03\x03\x00\x10", 5, "middle of a TLS connection"},
        {"\x15\x03\x01\x00\x02", 5, "middle of a TLS connection"},
        {"\x00\x00\x00\x08\x04\xd2\x16\x2f", 8, "not TLS"}, /* PostgreSQL's SSLRequest */
        {"S", 1, "not TLS"},
        {"GET", 3, "not TLS"},
        {"\x16\x02\x01", 3, "no version of TLS"},
        {"\x16\x03\x01\x00\x00", 5, "empty or too long"},
        {"\x16\x03\x01\x40\x01", 5, "empty or too long"},
        {"\x16\x03\x01\x00\x04\x02", 6, "does not begin with a ClientHello"},
        {"\x16\x03\x01\x00\x04\x01\x00\x40\x00", 9, "too long"},
        {"\x16\x03\x01\x00\x01\x01\x17", 7, "another record"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = {.data = (char *)(uintptr_t)cases[i].bytes, .len = cases[i].n};
        assert_refused(&b, cases[i].words);
    }
}

static void one_that_never_ends_is_refused_at_the_ceiling(void **state)
{
    (void)state;
    AUTO(buf) x = BUF_INIT(1 << 16);
    AUTO(buf) b = BUF_INIT(1 << 20);
    AUTO_FREE char *zeros = mem_zalloc(9000);
    put_extension(&x, 21, zeros, 9000); /* padding */
    make(&b, 0x0303, &x, 1);            /* a byte a record: 54 KB */
    struct client_hello ch;
    const char *reason = NULL;
    assert_int_equal(client_hello_parse(b.data, CLIENT_HELLO_PEEK_MAX - 1, &ch, &reason), -EAGAIN);
    assert_int_equal(client_hello_parse(b.data, CLIENT_HELLO_PEEK_MAX, &ch, &reason), -E_PARSE);
    assert_non_null(strstr(reason, "too long"));
    AUTO(buf) large = BUF_INIT(1 << 20);
    AUTO(buf) padded = BUF_INIT(1 << 16);
    AUTO_FREE char *more = mem_zalloc(16200);
    put_extension(&padded, 21, more, 16200);
    make(&large, 0x0303, &padded, 16384); /* as large as may be */
    assert_int_equal(client_hello_parse(large.data, large.len, &ch, &reason), 0);
}

static void names_with_two_readings_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        size_t n;
        const char *words;
    } cases[] = {
        {"", 0, "malformed"},
        {"\x00\x00", 2, "malformed"},
        {"\x00\x04\x00\x00\x01", 5, "malformed"}, /* the list is longer */
        {"\x00\x04\x00\x00\x01"
         "a!",
         7, "malformed"}, /* and shorter */
        {"\x00\x04\x01\x00\x01"
         "a",
         6, "malformed"}, /* another type */
        {"\x00\x03\x00\x00\x00", 5, "empty"},
        {"\x00\x08\x00\x00\x01"
         "a\x00\x00\x01"
         "b",
         10, "more than one"},
        {"\x00\x08\x00\x00\x01"
         "a\x01\x00\x01"
         "b",
         10, "more than one"},
        {"\x00\x06\x00\x00\x03"
         "a\x00"
         "b",
         8, "NUL"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(buf) x = BUF_INIT(1 << 16);
        put_extension(&x, 0, cases[i].body, cases[i].n);
        assert_refused_with(&x, cases[i].words);
    }
    char name[300];
    memset(name, 'a', sizeof(name));
    AUTO(buf) x = BUF_INIT(1 << 16);
    put_sni(&x, name, CLIENT_HELLO_NAME_MAX);
    AUTO(buf) b = BUF_INIT(1 << 20);
    make(&b, 0x0303, &x, 16384);
    assert_null(refusal(&b));
    AUTO(buf) y = BUF_INIT(1 << 16);
    put_sni(&y, name, CLIENT_HELLO_NAME_MAX + 1);
    assert_refused_with(&y, "too long");
}

static void an_extension_twice_is_refused(void **state)
{
    (void)state;
    AUTO(buf) x = BUF_INIT(1 << 16);
    put_sni(&x, "a.example", 9);
    put_sni(&x, "b.example", 9);
    assert_refused_with(&x, "twice");
    AUTO(buf) y = BUF_INIT(1 << 16);
    EXTENSION(&y, 0x1234, "");
    put_sni(&y, "a.example", 9);
    EXTENSION(&y, 0x1234, "x");
    assert_refused_with(&y, "twice");
    AUTO(buf) z = BUF_INIT(1 << 16);
    for (unsigned i = 0; i < 128; i++)
        EXTENSION(&z, 1000 + i, "");
    AUTO(buf) b = BUF_INIT(1 << 20);
    make(&b, 0x0303, &z, 16384);
    assert_null(refusal(&b));
    EXTENSION(&z, 999, "");
    assert_refused_with(&z, "too many");
}

static void lists_that_do_not_add_up_are_refused(void **state)
{
    (void)state;
    static const struct {
        unsigned type;
        const char *body;
        size_t n;
        const char *words;
    } cases[] = {
        {16, "", 0, "ALPN"},
        {16, "\x00\x00", 2, "ALPN"},
        {16, "\x00\x01\x00", 3, "ALPN"},   /* an empty name */
        {16, "\x00\x03\x03h2", 5, "ALPN"}, /* a name beyond the list */
        {16, "\x00\x04\x02h2", 5, "ALPN"}, /* a list beyond the extension */
        {16, "\x00\x03\x02h2!", 6, "ALPN"},
        {43, "", 0, "versions"},
        {43, "\x00", 1, "versions"},
        {43, "\x03\x03\x04\x03", 4, "versions"},
        {43, "\x02\x03\x04\x03", 4, "versions"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(buf) x = BUF_INIT(1 << 16);
        put_extension(&x, cases[i].type, cases[i].body, cases[i].n);
        assert_refused_with(&x, cases[i].words);
    }
    AUTO(buf) list = BUF_INIT(1 << 16);
    put_number(&list, 2 * 33, 2);
    for (int i = 0; i < 33; i++)
        PUT(&list, "\x01x");
    AUTO(buf) x = BUF_INIT(1 << 16);
    put_extension(&x, 16, list.data, list.len);
    assert_refused_with(&x, "ALPN) is too long");
    AUTO(buf) wide = BUF_INIT(1 << 16);
    put_number(&wide, 3 * 200, 2);
    for (int i = 0; i < 3; i++) {
        put_number(&wide, 199, 1);
        for (int k = 0; k < 199; k++)
            PUT(&wide, "y");
    }
    AUTO(buf) y = BUF_INIT(1 << 16);
    put_extension(&y, 16, wide.data, wide.len);
    assert_refused_with(&y, "ALPN) is too long");
}

/* Each length in a good message made one more and one less: never read as something else. */
static void bytes_left_over_anywhere_are_refused(void **state)
{
    (void)state;
    AUTO(buf) x = BUF_INIT(1 << 16);
    put_sni(&x, "a.example", 9);
    AUTO(buf) message = BUF_INIT(1 << 20);
    put_message(&message, 0x0303, &x);
    static const size_t lengths[] = {3, 4 + 34, 4 + 34 + 5 + 1, 4 + 34 + 5 + 6, 4 + 34 + 5 + 6 + 3};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        for (int step = -1; step <= 1; step += 2) {
            AUTO(buf) bad = BUF_INIT(1 << 20);
            put(&bad, message.data, message.len);
            bad.data[lengths[i]] = (char)(bad.data[lengths[i]] + step);
            AUTO(buf) b = BUF_INIT(1 << 20);
            put_records(&b, &bad, 16384);
            struct client_hello ch;
            const char *reason = NULL;
            int r = client_hello_parse(b.data, b.len, &ch, &reason);
            assert_int_equal(r, i == 0 && step > 0 ? -EAGAIN : -E_PARSE);
        }
    }
    PUT(&message, "!"); /* more in the record than the message */
    AUTO(buf) b = BUF_INIT(1 << 20);
    put_records(&b, &message, 16384);
    assert_refused(&b, "goes on after");
}

static void nothing_is_written_when_it_fails(void **state)
{
    (void)state;
    struct client_hello ch, before;
    memset(&ch, 0x5a, sizeof(ch));
    before = ch;
    const char *reason = NULL;
    assert_int_equal(client_hello_parse("\x16\x03", 2, &ch, &reason), -EAGAIN);
    assert_int_equal(client_hello_parse("SSH-", 4, &ch, &reason), -E_PARSE);
    AUTO(buf) x = BUF_INIT(1 << 16);
    put_sni(&x, "a.example", 9);
    EXTENSION(&x, 16, "");
    AUTO(buf) b = BUF_INIT(1 << 20);
    make(&b, 0x0303, &x, 16384);
    assert_int_equal(client_hello_parse(b.data, b.len, &ch, &reason), -E_PARSE);
    assert_memory_equal(&ch, &before, sizeof(ch));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hello_says_name_protocols_and_version),
        cmocka_unit_test(every_beginning_of_one_asks_for_more),
        cmocka_unit_test(old_and_bare_hellos_are_read),
        cmocka_unit_test(a_list_of_versions_counts_more_than_the_old_field),
        cmocka_unit_test(what_is_not_tls_is_named),
        cmocka_unit_test(one_that_never_ends_is_refused_at_the_ceiling),
        cmocka_unit_test(names_with_two_readings_are_refused),
        cmocka_unit_test(an_extension_twice_is_refused),
        cmocka_unit_test(lists_that_do_not_add_up_are_refused),
        cmocka_unit_test(bytes_left_over_anywhere_are_refused),
        cmocka_unit_test(nothing_is_written_when_it_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
