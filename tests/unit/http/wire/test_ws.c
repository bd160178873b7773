/* test_ws.c - frames of RFC 6455: the examples of section 5.7, what is refused, and cuts anywhere. */
#include "unit/unit.h"

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "http/wire/ws.h"

/* Reads all of `bytes` in steps and writes what came as text: "text[abc|def]" one piece or many. */
struct heard {
    struct buf out;
    int r;
    const char *why;
};

static void hear(struct ws_reader *reader, const void *bytes, size_t n, size_t step,
                 struct heard *h)
{
    static const char *const names[] = {"?", "text", "binary", "?",    "?",   "?",
                                        "?", "?",    "close",  "ping", "pong"};
    *h = (struct heard){.out = BUF_INIT(1 << 20)};
    for (size_t at = 0; at < n && h->r >= 0;) {
        size_t k = n - at < step ? n - at : step;
        uint8_t piece[512];
        assert_true(k <= sizeof(piece));
        memcpy(piece, (const uint8_t *)bytes + at, k);
        at += k;
        uint8_t *p = piece;
        struct ws_piece w;
        while ((h->r = ws_read(reader, &p, &k, &w, &h->why)) > 0) {
            if (w.first)
                (void)buf_addf(&h->out, "%s[", names[w.opcode]);
            (void)buf_add(&h->out, w.p, w.n);
            if (w.frame_end && !w.last)
                (void)buf_adds(&h->out, "|");
            if (w.last)
                (void)buf_adds(&h->out, "]");
        }
        if (h->r == 0)
            assert_int_equal(k, 0);
    }
}

static const struct {
    const char *name, *bytes;
    size_t n;
    bool masked;
    const char *heard;
} good[] = {
#define B(s) s, sizeof(s) - 1
    {"an unmasked text", B("\x81\x05Hello"), false, "text[Hello]"},
    {"a masked text", B("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), true, "text[Hello]"},
    {"a fragmented text", B("\x01\x03Hel\x80\x02lo"), false, "text[Hel|lo]"},
    {"a ping between fragments", B("\x01\x03Hel\x89\x05Hello\x80\x02lo"), false,
     "text[Hel|ping[Hello]lo]"},
    {"a masked pong", B("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), true, "pong[Hello]"},
    {"empty frames", B("\x81\x00\x02\x00\x00\x00\x80\x00"), false, "text[]binary[||]"},
    {"a close, and nothing behind it counts", B("\x88\x04\x03\xe8ok\x81\x01x\xff\xff"), false,
     "close[\x03\xe8ok]"},
    {"a close without a code", B("\x88\x00"), false, "close[]"},
};

static void frames_are_read_whole_and_in_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        for (size_t step = 1; step <= good[i].n; step++) {
            struct ws_reader r = {.masked = good[i].masked};
            struct heard h;
            hear(&r, good[i].bytes, good[i].n, step, &h);
            if (h.r < 0 || strcmp(buf_str(&h.out), good[i].heard) != 0)
                fail_msg("%s, in steps of %zu: %s (%d)", good[i].name, step, buf_str(&h.out), h.r);
            buf_done(&h.out);
        }
}

static const struct {
    const char *why, *bytes;
    size_t n;
    bool masked;
} bad[] = {
    {"a frame has reserved bits set", B("\xc1\x01x"), false},
    {"a frame has reserved bits set", B("\x91\x01x"), false},
    {"a frame has an unknown opcode", B("\x83\x01x"), false},
    {"a frame has an unknown opcode", B("\x8b\x01x"), false},
    {"a client's frame is not masked", B("\x81\x01x"), true},
    {"a server's frame is masked", B("\x81\x81\x01\x02\x03\x04x"), false},
    {"a control frame is fragmented", B("\x09\x01x"), false},
    {"a control frame is longer than 125 bytes", B("\x89\x7e\x00\x7e"), false},
    {"a continuation continues nothing", B("\x80\x01x"), false},
    {"a message begins within another", B("\x01\x01x\x81\x01y"), false},
    {"a length is not in its shortest form", B("\x81\x7e\x00\x05Hello"), false},
    {"a length is not in its shortest form", B("\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xffx"), false},
    {"a frame is longer than there is", B("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00"), false},
    {"a Close has a code that is not for the wire", B("\x88\x01\x03"), false},
    {"a Close has a code that is not for the wire", B("\x88\x02\x03\xed"), false}, /* 1005 */
    {"a Close has a code that is not for the wire", B("\x88\x02\x03\xe7"), false}, /* 999 */
    {"a Close has a code that is not for the wire", B("\x88\x02\x13\x88"), false}, /* 5000 */
};

static void what_the_protocol_forbids_is_refused_with_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        for (size_t step = 1; step <= bad[i].n; step++) {
            struct ws_reader r = {.masked = bad[i].masked};
            struct heard h;
            hear(&r, bad[i].bytes, bad[i].n, step, &h);
            if (h.r != -E_PROTO || strcmp(h.why, bad[i].why) != 0)
                fail_msg("%s: %d %s", bad[i].why, h.r, h.why);
            buf_done(&h.out);
            uint8_t more[] = {0x81, 0}, *p = more;
            size_t n = sizeof(more);
            struct ws_piece w;
            assert_int_equal(ws_read(&r, &p, &n, &w, &h.why), -E_PROTO);
        }
}

static void a_frame_of_a_huge_length_costs_nothing(void **state)
{
    (void)state;
    struct ws_reader r = {.masked = false};
    struct heard h;
    hear(&r,
         B("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"
           "abc"),
         4, &h);
    assert_int_equal(h.r, 0);
    assert_string_equal(buf_str(&h.out), "binary[abc");
    assert_true(r.left == INT64_MAX - 3u);
    buf_done(&h.out);
}

static void every_length_is_written_in_its_shortest_form_and_read_back(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 125, 126, 127, 65535, 65536, 100000};
    static char payload[100000];
    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (char)(i * 31);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
        for (int masked = 0; masked < 2; masked++) {
            AUTO(buf) wire = BUF_INIT(1 << 20);
            assert_int_equal(ws_frame(&wire, WS_BINARY, true, payload, lengths[i], masked), 0);
            size_t head = (lengths[i] < 126 ? 2 : lengths[i] < 65536 ? 4 : 10) + (masked ? 4 : 0);
            assert_int_equal(wire.len, head + lengths[i]);
            if (masked && lengths[i] > 64)
                assert_memory_not_equal(wire.data + head, payload, lengths[i]);
            struct ws_reader r = {.masked = masked};
            uint8_t *p = (uint8_t *)wire.data;
            size_t n = wire.len;
            struct ws_piece w;
            const char *why;
            assert_int_equal(ws_read(&r, &p, &n, &w, &why), 1);
            assert_true(w.first && w.last && w.n == lengths[i]);
            if (w.n)
                assert_memory_equal(w.p, payload, w.n);
        }
}

static void two_masked_frames_have_different_keys(void **state)
{
    (void)state;
    AUTO(buf) wire = BUF_INIT(1000);
    assert_int_equal(ws_frame(&wire, WS_TEXT, true, "x", 1, true), 0);
    size_t one = wire.len;
    assert_int_equal(ws_frame(&wire, WS_TEXT, true, "x", 1, true), 0);
    assert_memory_not_equal(wire.data + 2, wire.data + one + 2, 4);
}

static void a_close_says_its_code_and_cuts_a_long_reason(void **state)
{
    (void)state;
    char reason[300];
    memset(reason, 'r', sizeof(reason));
    reason[299] = '\0';
    AUTO(buf) wire = BUF_INIT(1000);
    assert_int_equal(ws_close(&wire, WS_CODE_POLICY, reason, false), 0);
    assert_int_equal(wire.len, 2 + WS_CONTROL_MAX);
    assert_int_equal(ws_close_code(wire.data + 2, wire.len - 2), 1008);
    assert_int_equal(ws_close_code("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_read_whole_and_in_pieces),
        cmocka_unit_test(what_the_protocol_forbids_is_refused_with_words),
        cmocka_unit_test(a_frame_of_a_huge_length_costs_nothing),
        cmocka_unit_test(every_length_is_written_in_its_shortest_form_and_read_back),
        cmocka_unit_test(two_masked_frames_have_different_keys),
        cmocka_unit_test(a_close_says_its_code_and_cuts_a_long_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
