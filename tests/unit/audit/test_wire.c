/* test_wire.c - frames between client and server: what is written is read, the longest fits, and what
 * makes no sense is refused. */
#include "unit/unit.h"
#include "audit/wire.h"
#include "base/buf.h"
#include "base/err.h"

#include <string.h>

static char long_text[5000];

static struct audit_record longest(void)
{
    memset(long_text, 'x', sizeof(long_text));
    struct audit_record r = {.kind = AUDIT_NOTE};
#define LONG_(name, max) r.name = (struct audit_text){long_text, sizeof(long_text)};
    AUDIT_TEXTS(LONG_)
#undef LONG_
#define LONG_(name) r.name = UINT64_MAX;
    AUDIT_NUMBERS(LONG_)
#undef LONG_
    return r;
}

static void a_record_comes_through(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(AUDIT_FRAME_MAX);
    struct audit_frame f = {.type = AUDIT_RECORD, .n = 77, .at_us = 5, .record = longest()}, got;
    assert_int_equal(audit_wire_put(&b, &f), 0);
    assert_int_equal(audit_wire_get(b.data, b.len, &got), b.len);
    assert_int_equal(got.n, 77);
    assert_int_equal(got.at_us, 5);
    assert_int_equal(got.record.kind, AUDIT_NOTE);
    /* One byte more than its line takes, so that the line says it was cut. */
#define SAME_(name, max)                                                                           \
    assert_int_equal(got.record.name.n, (max) + 1);                                                \
    assert_memory_equal(got.record.name.p, long_text, (max) + 1);
    AUDIT_TEXTS(SAME_)
#undef SAME_
#define SAME_(name) assert_true(got.record.name == UINT64_MAX);
    AUDIT_NUMBERS(SAME_)
#undef SAME_
    /* Cut anywhere it is not there yet; followed by more it ends where it ends. */
    for (size_t n = 0; n < b.len; n++)
        assert_int_equal(audit_wire_get(b.data, n, &got), 0);
    size_t n = b.len;
    struct buf two = BUF_INIT(2 * AUDIT_FRAME_MAX);
    buf_add(&two, b.data, b.len);
    buf_add(&two, b.data, b.len);
    assert_int_equal(audit_wire_get(two.data, two.len, &got), n);
    buf_done(&two);
    buf_done(&b);
}

static void the_other_frames_come_through(void **state)
{
    (void)state;
    struct audit_frame frames[] = {
        {.type = AUDIT_HELLO, .n = 1, .client = {1, 2, 3, 4, 5, 6, 7, 8}},
        {.type = AUDIT_WANT, .n = 1024},
        {.type = AUDIT_BYE},
        {.type = AUDIT_GRANT, .n = 16, .code = -ENOSPC, .words = audit_text("no room")},
        {.type = AUDIT_ACK, .n = UINT64_MAX}};
    for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
        struct buf b = BUF_INIT(AUDIT_FRAME_MAX);
        struct audit_frame got;
        assert_int_equal(audit_wire_put(&b, &frames[i]), 0);
        assert_int_equal(audit_wire_get(b.data, b.len, &got), b.len);
        assert_int_equal(got.type, frames[i].type);
        assert_true(got.n == frames[i].n);
        assert_int_equal(got.code, frames[i].code);
        assert_memory_equal(got.client, frames[i].client, AUDIT_CLIENT_BYTES);
        assert_int_equal(got.words.n, frames[i].words.n);
        buf_done(&b);
    }
}

#define BYTES(s) (s), sizeof(s) - 1
#define FRAME    "\0\0\0\x16\x03" /* a record with four bytes of members */
#define NUMBERS  "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1"

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *why, *p;
        size_t n;
    } rows[] = {
        {"no bytes", BYTES("\0\0\0\0")},
        {"too many bytes", BYTES("\0\0\x10\0")},
        {"no type", BYTES("\0\0\0\1\0")},
        {"a type that there is not", BYTES("\0\0\0\1\7")},
        {"a short hello", BYTES("\0\0\0\2\1\1")},
        {"a long bye", BYTES("\0\0\0\2\4\1")},
        {"a kind of the writer's own", BYTES("\0\0\0\x12\3" NUMBERS "\7")},
        {"no kind", BYTES("\0\0\0\x12\3" NUMBERS "\0")},
        {"a member that there is not", BYTES(FRAME NUMBERS "\1\x20\0\1x")},
        {"member 0", BYTES(FRAME NUMBERS "\1\0\0\1x")},
        {"an empty text", BYTES("\0\0\0\x15\3" NUMBERS "\1\1\0\0")},
        {"a text beyond its frame", BYTES(FRAME NUMBERS "\1\1\0\2x")},
        {"a number of one byte", BYTES(FRAME NUMBERS "\1\x12\0\1x")},
        {"half a member", BYTES("\0\0\0\x13\3" NUMBERS "\1\1")},
        {"a member twice", BYTES("\0\0\0\x1a\3" NUMBERS "\1\1\0\1x\1\0\1x")},
        {"members in another order", BYTES("\0\0\0\x1a\3" NUMBERS "\1\2\0\1x\1\0\1x")},
        {"a time before 1970", BYTES("\0\0\0\x12\3\0\0\0\0\0\0\0\1\xff\0\0\0\0\0\0\1\1")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct audit_frame got;
        if (audit_wire_get(rows[i].p, rows[i].n, &got) != -E_PROTO)
            fail_msg("%s is taken", rows[i].why);
    }
    struct audit_frame got;
    assert_int_equal(audit_wire_get(BYTES(FRAME NUMBERS "\1\1\0\1x"), &got), 26);
}

static void a_text_that_is_longer_than_its_member_is_refused(void **state)
{
    (void)state;
    char bytes[100] = "\0\0\0\0\3" NUMBERS "\1\1\0";
    struct audit_frame got;
    for (size_t n = 64; n <= 66; n++) {
        bytes[3] = (char)(21 + n);
        bytes[24] = (char)n;
        int r = audit_wire_get(bytes, 25 + n, &got);
        assert_int_equal(r, n <= 65 ? (int)(25 + n) : -E_PROTO);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_through),
        cmocka_unit_test(the_other_frames_come_through),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(a_text_that_is_longer_than_its_member_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
