/* test_frame.c - the framing of init's socket: partial, oversized, empty and malformed messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "sandbox/frame.h"
#include "sandbox/sandbox.h"

static void round_trip_in_pieces(void **state)
{
    (void)state;
    AUTO(buf) out = BUF_INIT(1u << 20), in = BUF_INIT(1u << 20);
    AUTO_JSON json_t *a = json_pack("{s:i}", "n", 1), *b = json_pack("{s:s}", "t", "zwei");
    assert_int_equal(frame_add(&out, a), 0);
    assert_int_equal(frame_add(&out, b), 0);
    int got = 0;
    for (size_t i = 0; i < out.len; i++) {
        buf_add(&in, out.data + i, 1);
        json_t *o = NULL;
        struct err e;
        int r = frame_next(&in, &o, &e);
        assert_true(r >= 0);
        if (r == 0) {
            assert_null(o);
            continue;
        }
        assert_true(json_equal(o, got == 0 ? a : b));
        json_decref(o);
        got++;
    }
    assert_int_equal(got, 2);
    assert_int_equal(in.len, 0);
}

static void a_bad_message_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        int want;
    } table[] = {
        {"\0\0\0\0{}", 6, -EMSGSIZE},   {"\xff\xff\xff\xff{}", 6, -EMSGSIZE},
        {"\0\x80\0\x01", 4, -EMSGSIZE}, /* one more than the limit */
        {"\0\x80\0\0", 4, 0},           {"\0\0\0\2[]", 6, -E_PARSE},
        {"\0\0\0\2{x", 6, -E_PARSE},    {"\0\0\0\1{", 5, -E_PARSE},
        {"\0\0\0\3{}x", 7, -E_PARSE},   {"\0\0", 2, 0},
        {"\0\0\0\4null", 8, -E_PARSE},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO(buf) in = BUF_INIT(100);
        buf_add(&in, table[i].bytes, table[i].n);
        json_t *o = NULL;
        struct err e;
        assert_int_equal(frame_next(&in, &o, &e), table[i].want);
        assert_null(o);
    }
}

static void too_long_is_not_sent(void **state)
{
    (void)state;
    AUTO(buf) out = BUF_INIT(1u << 28);
    AUTO_FREE char *text = mem_array(SANDBOX_FRAME_MAX + 1, 1);
    assert_int_equal(frame_add_text(&out, text, SANDBOX_FRAME_MAX + 1), -EMSGSIZE);
    assert_int_equal(frame_add_text(&out, text, 0), -EMSGSIZE);
    assert_int_equal(out.len, 0);
    assert_int_equal(frame_add_text(&out, text, SANDBOX_FRAME_MAX), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip_in_pieces),
        cmocka_unit_test(a_bad_message_is_refused),
        cmocka_unit_test(too_long_is_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
