/* test_h2_calm.c - accounts of frames that carry nothing, wherever the reads cut them. */
#include "unit/http/pipe/h2_peer.h"
#include "http/pipe/h2_calm.h"

/* How many of the frames in `one` are taken at once, up to 100,000. */
static int taken_of(const struct buf *one, int64_t ms_each)
{
    struct h2_calm c;
    int64_t now = 5000;
    h2_calm_init(&c, false, 0, now);
    for (int i = 0; i < 100000; i++, now += ms_each)
        if (h2_calm_see(&c, one->data, one->len, now))
            return i;
    return 100000;
}

static const char payload[300];

static void every_kind_has_a_ceiling(void **state)
{
    (void)state;
    static const struct {
        unsigned type, flags;
        size_t n;
        int most;
    } all[] = {
        {F_DATA, 0, 0, H2_CALM_FRAMES},
        {F_DATA, F_PADDED, 256, H2_CALM_FRAMES},
        {F_PRIORITY, 0, 5, H2_CALM_FRAMES},
        {F_RST, 0, 4, H2_CALM_RESETS},
        {F_SETTINGS, 0, 0, H2_CALM_FRAMES / H2_CALM_SETTINGS},
        {F_SETTINGS, F_ACK, 0, H2_CALM_FRAMES / H2_CALM_SETTINGS},
        {F_PING, 0, 8, H2_CALM_FRAMES},
        {F_PING, F_ACK, 8, H2_CALM_FRAMES},
        {F_GOAWAY, 0, 8, H2_CALM_FRAMES},
        {F_WINDOW, 0, 4, H2_CALM_FRAMES},
        {F_CONT, 0, 0, H2_CALM_CONTINUATIONS},
        {0x10, 0, 4, H2_CALM_FRAMES},
        {0xfe, 0, 0, H2_CALM_FRAMES},
        {F_DATA, 0, 1, 100000},
        {F_DATA, F_END, 0, 100000},
        {F_DATA, F_PADDED, 257, 100000},
        {F_HEADERS, F_END_HEAD, 20, 100000},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        AUTO(buf) b = BUF_INIT(1000);
        put_frame(&b, all[i].type, all[i].flags, 1, payload, all[i].n);
        int got = taken_of(&b, 0);
        if (got != all[i].most)
            fail_msg("%zu: type %u: %d, not %d", i, all[i].type, got, all[i].most);
    }
}

static void time_pays(void **state)
{
    (void)state;
    AUTO(buf) b = BUF_INIT(1000);
    put_frame(&b, F_PING, 0, 0, payload, 8);
    assert_int_equal(taken_of(&b, 1000 / H2_CALM_FRAMES_PER_S), 100000);
    buf_reset(&b);
    put_frame(&b, F_RST, 0, 1, payload, 4);
    assert_int_equal(taken_of(&b, 1000 / H2_CALM_RESETS_PER_S), 100000);
    int twice = taken_of(&b, 500 / H2_CALM_RESETS_PER_S);
    assert_in_range(twice, 2 * H2_CALM_RESETS - 10, 2 * H2_CALM_RESETS + 10);
}

static void a_long_silence_pays_no_more_than_all(void **state)
{
    (void)state;
    struct h2_calm c;
    h2_calm_init(&c, false, 0, 0);
    AUTO(buf) b = BUF_INIT(1000);
    put_frame(&b, F_PING, 0, 0, payload, 8);
    int n = 0;
    while (!h2_calm_see(&c, b.data, b.len, INT64_MAX / 2))
        n++;
    assert_int_equal(n, H2_CALM_FRAMES);
}

static void what_was_sent_pays_by_bytes(void **state)
{
    (void)state;
    struct h2_calm c;
    h2_calm_init(&c, false, 0, 0);
    AUTO(buf) b = BUF_INIT(1000);
    put_frame(&b, F_WINDOW, 0, 1, payload, 4);
    /* Two updates for each frame of 16 KiB, as clients do: for ever. */
    for (int i = 0; i < 10000; i++) {
        assert_null(h2_calm_see(&c, b.data, b.len, 0));
        assert_null(h2_calm_see(&c, b.data, b.len, 0));
        h2_calm_sent(&c, 16384);
    }
    /* One for each byte: not. */
    int n = 0;
    for (; n < 10000 && !h2_calm_see(&c, b.data, b.len, 0); n++)
        h2_calm_sent(&c, 1);
    assert_int_equal(n, H2_CALM_FRAMES);
}

/* A WINDOW_UPDATE of the stream and of the connection, and a PING, for each message of any size. */
static void pieces_and_exchanges_pay_for_frames(void **state)
{
    (void)state;
    static void (*const pay[])(struct h2_calm * c) = {h2_calm_taken, h2_calm_done};
    AUTO(buf) b = BUF_INIT(1000);
    put_frame(&b, F_WINDOW, 0, 0, payload, 4);
    put_frame(&b, F_WINDOW, 0, 1, payload, 4);
    put_frame(&b, F_PING, 0, 0, payload, 8);
    for (size_t k = 0; k < ARRAY_LEN(pay); k++) {
        struct h2_calm c;
        h2_calm_init(&c, false, 0, 0);
        for (int i = 0; i < 10000; i++) {
            assert_null(h2_calm_see(&c, b.data, b.len, 0));
            pay[k](&c);
        }
    }
}

static void completed_exchanges_pay_for_resets(void **state)
{
    (void)state;
    struct h2_calm c;
    h2_calm_init(&c, false, 0, 0);
    AUTO(buf) b = BUF_INIT(1000);
    put_frame(&b, F_RST, 0, 1, payload, 4);
    for (int i = 0; i < 10000; i++) {
        assert_null(h2_calm_see(&c, b.data, b.len, 0));
        h2_calm_done(&c);
    }
}

/* Thousands of callers leave at once: each tunnel has earned its reset, and no more than all of them. */
static void opened_tunnels_pay_for_their_resets(void **state)
{
    (void)state;
    static const struct {
        size_t streams_max;
        int opened, most;
    } all[] = {{5000, 3000, 3000 + H2_CALM_RESETS},
               {5000, 100000, 5000},
               {0, 3000, H2_CALM_RESETS},
               {128, 3000, H2_CALM_RESETS}};
    AUTO(buf) b = BUF_INIT(1000);
    put_frame(&b, F_RST, 0, 1, payload, 4);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct h2_calm c;
        h2_calm_init(&c, false, all[i].streams_max, 0);
        for (int k = 0; k < all[i].opened; k++)
            h2_calm_opened(&c);
        int taken = 0;
        while (!h2_calm_see(&c, b.data, b.len, 0))
            taken++;
        assert_int_equal(taken, all[i].most);
        c.left = 0;   /* the payload of the last one */
        c.resets = 0; /* time and completed exchanges pay as always */
        for (int k = 0; k < 1000; k++)
            h2_calm_done(&c);
        assert_int_equal(c.resets, H2_CALM_RESETS);
        assert_null(h2_calm_see(&c, b.data, b.len, 1000000));
        assert_int_equal(c.resets, H2_CALM_RESETS - 1);
    }
}

static void continuations_count_for_each_head(void **state)
{
    (void)state;
    struct h2_calm c;
    h2_calm_init(&c, false, 0, 0);
    AUTO(buf) head = BUF_INIT(1000), more = BUF_INIT(1000), last = BUF_INIT(1000);
    put_frame(&head, F_HEADERS, 0, 1, payload, 3);
    put_frame(&more, F_CONT, 0, 1, payload, 3);
    put_frame(&last, F_CONT, F_END_HEAD, 1, payload, 3);
    for (int i = 0; i < 1000; i++) {
        assert_null(h2_calm_see(&c, head.data, head.len, 0));
        assert_true(c.in_block);
        for (int k = 1; k < H2_CALM_CONTINUATIONS; k++)
            assert_null(h2_calm_see(&c, more.data, more.len, 0));
        assert_null(h2_calm_see(&c, last.data, last.len, 0));
        assert_false(c.in_block);
    }
}

static void cuts_make_no_difference(void **state)
{
    (void)state;
    AUTO(buf) b = BUF_INIT(100000);
    (void)buf_adds(&b, PREFACE);
    for (int i = 0; i < 3; i++) {
        put_frame(&b, F_SETTINGS, 0, 0, payload, 6);
        put_frame(&b, F_DATA, 0, 1, payload, 300);
        put_frame(&b, F_PING, 0, 0, payload, 8);
    }
    for (size_t step = 1; step < b.len; step++) {
        struct h2_calm c;
        h2_calm_init(&c, true, 0, 0);
        for (size_t at = 0; at < b.len; at += step)
            assert_null(h2_calm_see(&c, b.data + at, b.len - at < step ? b.len - at : step, 0));
        assert_true(c.settings);
        assert_int_equal(c.frames, H2_CALM_FRAMES - 3 * H2_CALM_SETTINGS - 3);
        assert_int_equal(c.left, 0);
        assert_int_equal(c.head_n, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_has_a_ceiling),
        cmocka_unit_test(time_pays),
        cmocka_unit_test(a_long_silence_pays_no_more_than_all),
        cmocka_unit_test(what_was_sent_pays_by_bytes),
        cmocka_unit_test(pieces_and_exchanges_pay_for_frames),
        cmocka_unit_test(completed_exchanges_pay_for_resets),
        cmocka_unit_test(opened_tunnels_pay_for_their_resets),
        cmocka_unit_test(continuations_count_for_each_head),
        cmocka_unit_test(cuts_make_no_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
