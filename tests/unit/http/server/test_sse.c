/* test_sse.c - event streams going out: frames, order, keep-alive, slow readers that fetch what they
 * missed, readers that take nothing, and taking up again by id. */
#include "unit/http/server/talk.h"

#include "http/server/sse.h"
#include "http/wire/sse_parser.h"

#define SUBSCRIBERS 4
static struct {
    struct sse_writer *writer[SUBSCRIBERS];
    int next[SUBSCRIBERS]; /* the event that its queue or its own reading brings next */
    int caught_up[SUBSCRIBERS];
    int subscribed, gone;
    int result[SUBSCRIBERS];
    int64_t keepalive_ms;
    size_t max_bytes;
    int history; /* events 1..history exist, */
    size_t pad;  /* each so long */
} S;

static struct sse_frame *event(int id, size_t pad)
{
    AUTO(buf) data = BUF_INIT(4 << 20);
    (void)buf_addf(&data, "{\"n\":%d,\"pad\":\"", id);
    for (size_t i = 0; i < pad; i++)
        (void)buf_addc(&data, 'x');
    (void)buf_adds(&data, "\"}");
    char text[16];
    snprintf(text, sizeof(text), "%d", id);
    return sse_frame_new("test.event", text, data.data, data.len);
}

/* Appends an event to the history and gives it to whoever listens and has room. */
static void append(size_t pad)
{
    S.pad = pad;
    struct sse_frame *f = event(++S.history, pad);
    for (int i = 0; i < SUBSCRIBERS; i++) {
        if (!S.writer[i] || S.writer[i]->behind)
            continue;
        if (sse_push(S.writer[i], f) == 0)
            S.next[i]++;
        else
            sse_fall_behind(S.writer[i]);
    }
    sse_frame_unref(f);
}

/* One event of the history at a time. */
static int catch_up(void *arg)
{
    int slot = *(int *)arg;
    struct sse_frame *f = event(S.next[slot], S.pad);
    int r = http_stream_write(S.writer[slot]->x, f->bytes, f->len);
    sse_frame_unref(f);
    S.caught_up[slot]++;
    if (++S.next[slot] > S.history)
        S.writer[slot]->behind = false;
    return r;
}

static void handler(struct http_exchange *x, void *arg)
{
    (void)arg;
    struct sse_writer w;
    sse_writer_init(&w, x, S.max_bytes);
    int slot = S.subscribed;
    MUST(slot < SUBSCRIBERS);
    S.writer[slot] = &w;
    w.catch_up = catch_up;
    w.catch_up_arg = &slot;
    const char *last = h1_header_get(http_request(x), "Last-Event-ID", NULL);
    for (int i = last ? atoi(last) + 1 : S.history + 1; i <= S.history; i++) {
        struct sse_frame *f = event(i, 0);
        CHECK(sse_push(&w, f) == 0, "replay");
        sse_frame_unref(f);
    }
    S.next[slot] = S.history + 1;
    bump(&S.subscribed);
    S.result[slot] = sse_run(&w, S.keepalive_ms);
    S.writer[slot] = NULL;
    struct sse_frame *late = event(0, 0);
    CHECK(sse_push(&w, late) == -EPIPE, "pushed to nobody");
    sse_push_last(&w, late);
    CHECK(late->refs == 1 && w.queued_bytes == 0, "%u references, %zu bytes", late->refs,
          w.queued_bytes);
    sse_frame_unref(late);
    sse_writer_done(&w);
    bump(&S.gone);
}

#define RUN(fn, ...)                                                                               \
    do {                                                                                           \
        memset(&S, 0, sizeof(S));                                                                  \
        S.keepalive_ms = 60000;                                                                    \
        S.max_bytes = 10000;                                                                       \
        talk_run(fn, (struct http_server_config){.handler = handler, __VA_ARGS__});                \
    } while (0)

static void subscribe(struct io_fd *io, const char *headers)
{
    AUTO(buf) q = BUF_INIT(1000);
    (void)buf_addf(&q, "GET /events HTTP/1.1\r\nHost: a\r\n%s\r\n", headers);
    int before = S.subscribed;
    (void)dial(io);
    say(io, q.data, q.len);
    UNTIL(S.subscribed == before + 1);
}

/* ---- what a subscriber sees ---- */

struct seen {
    struct h1_chunked decoder;
    struct buf head, plain;
    struct sse_parser parser;
    int n, first, last; /* events, with ids first..last in order */
    bool in_order;
};

static int see(void *arg, const char *type, const char *id, const char *data, size_t n)
{
    struct seen *s = arg;
    CHECK(str_eq(type, "test.event"), "%s", type);
    int k = atoi(id);
    char want[32];
    snprintf(want, sizeof(want), "{\"n\":%d,", k);
    CHECK(n > strlen(want) && strncmp(data, want, strlen(want)) == 0, "%.40s", data);
    if (s->n++ == 0)
        s->first = k;
    else
        s->in_order = s->in_order && k == s->last + 1;
    s->last = k;
    return 0;
}

static void seen_init(struct seen *s)
{
    *s = (struct seen){.in_order = true};
    buf_init(&s->head, 10000);
    buf_init(&s->plain, 8 << 10);
    sse_parser_init(&s->parser, 8 << 20, see, s);
}

static void seen_done(struct seen *s)
{
    buf_done(&s->head);
    buf_done(&s->plain);
    sse_parser_done(&s->parser);
}

/* Reads until `events` have been seen, or the stream ends. Returns false at the end. */
static bool watch(struct seen *s, struct io_fd *io, int events)
{
    while (s->n < events && !s->decoder.done && !failure[0]) {
        if (!str_ends(buf_str(&s->head), "\r\n\r\n")) {
            read_until(io, &s->head, "\r\n\r\n");
            continue;
        }
        char bytes[2048];
        ssize_t n = io_read(io, bytes, sizeof(bytes));
        CHECK(n >= 0, "read: %zd", n);
        if (n <= 0)
            return false;
        ssize_t used = h1_chunked_feed(&s->decoder, bytes, (size_t)n, &s->plain);
        CHECK(used == n, "chunks: %zd of %zd", used, n);
        if (used < 0)
            return false;
        CHECK(sse_parser_feed(&s->parser, buf_str(&s->plain), s->plain.len) == 0, "events");
        buf_reset(&s->plain);
    }
    return !s->decoder.done;
}

/* ---- frames ---- */

static void a_frame_is_written_once_and_shared(void **state)
{
    (void)state;
    struct sse_frame *f = sse_frame_new("a.b", NULL, "{}", 2);
    assert_string_equal(f->bytes, "event: a.b\ndata: {}\n\n");
    assert_int_equal(f->len, strlen(f->bytes));
    assert_ptr_equal(sse_frame_ref(f), f);
    sse_frame_unref(f);
    sse_frame_unref(f);
    f = sse_frame_new("a", "sevt_1", "[1]", 3);
    assert_string_equal(f->bytes, "event: a\nid: sevt_1\ndata: [1]\n\n");
    assert_int_equal(f->len, strlen(f->bytes));
    sse_frame_unref(f);
    sse_frame_unref(NULL);
}

/* The queue alone: what is taken, what is left out, what it counts as, and that nothing leaks
 * (ASAN). */
static void a_full_queue_takes_no_more(void **state)
{
    (void)state;
    struct sse_frame *f = sse_frame_new("e", NULL, "0123456789", 10); /* 27 bytes */
    assert_int_equal(f->len, 27);
    static const struct {
        size_t max, budget;
        int taken; /* pushes that succeed */
    } rows[] = {{27, 99, 1}, {53, 99, 1}, {54, 99, 2}, {81, 99, 3}, {26, 99, 0},
                {0, 99, 0},  {99, 54, 2}, {99, 53, 1}, {99, 0, 0}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct budget b = {.max = rows[i].budget};
        struct sse_writer w;
        sse_writer_init(&w, NULL, rows[i].max);
        w.share.of = &b;
        for (int k = 0; k < rows[i].taken; k++)
            assert_int_equal(sse_push(&w, f), 0);
        assert_int_equal(sse_push(&w, f), -EMSGSIZE);
        assert_int_equal(w.queued_bytes, (size_t)rows[i].taken * 27);
        assert_int_equal(b.used, (size_t)rows[i].taken * 27);
        assert_int_equal(f->refs, 1 + rows[i].taken);
        assert_false(w.ended || w.behind);
        sse_push_last(&w, f); /* in spite of the ceiling */
        assert_int_equal(f->refs, 2 + rows[i].taken);
        sse_writer_done(&w);
        assert_int_equal(f->refs, 1);
        assert_int_equal(b.used, 0);
    }
    struct sse_writer w;
    sse_writer_init(&w, NULL, 100);
    assert_int_equal(sse_push(&w, f), 0);
    sse_end(&w);
    assert_int_equal(sse_push(&w, f), -EPIPE);
    sse_writer_done(&w);
    assert_int_equal(f->refs, 1);
    sse_frame_unref(f);
}

/* ---- streams ---- */

static void ordinary(void)
{
    AUTO(io_fd) io = IO_FD_NONE;
    AUTO(seen) s;
    seen_init(&s);
    subscribe(&io, "");
    for (int i = 0; i < 50; i++)
        append((size_t)i);
    CHECK(watch(&s, &io, 50), "ended early");
    CHECK(strstr(s.head.data, "200 OK") &&
              strstr(s.head.data, "Content-Type: text/event-stream\r\n") &&
              strstr(s.head.data, "Cache-Control: no-cache\r\n"),
          "%s", s.head.data);
    for (int i = 0; i < 50; i++) { /* one by one */
        append(0);
        CHECK(watch(&s, &io, 51 + i), "ended early");
    }
    append(0);
    sse_end(S.writer[0]); /* what is queued still goes out */
    CHECK(!watch(&s, &io, 1000) && s.decoder.done, "not ended in order");
    CHECK(s.n == 101 && s.in_order && s.first == 1, "%d events", s.n);
    UNTIL(S.gone == 1);
    CHECK(S.result[0] == 0, "%d", S.result[0]);
}

static void a_stream_gives_events_in_order(void **state)
{
    (void)state;
    RUN(ordinary);
}

static void keepalive(void)
{
    AUTO(io_fd) io = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(10000);
    subscribe(&io, "");
    for (int i = 0; i < 3; i++)
        read_until(&io, &got, "\r\n: keep-alive\n\n\r\n");
    append(0);
    read_until(&io, &got, "\"}\n\n\r\n");
    read_until(&io, &got, "\r\n: keep-alive\n\n\r\n");
}

static void a_silent_stream_is_kept_alive(void **state)
{
    (void)state;
    memset(&S, 0, sizeof(S));
    S.keepalive_ms = 15;
    S.max_bytes = 10000;
    talk_run(keepalive, (struct http_server_config){.handler = handler});
}

static void client_leaves(void)
{
    {
        AUTO(io_fd) io = IO_FD_NONE;
        subscribe(&io, "");
    }
    UNTIL(S.gone == 1);
    CHECK(S.result[0] == -E_CLOSED, "%d", S.result[0]);
    AUTO(io_fd) io = IO_FD_NONE;
    subscribe(&io, "");
    http_server_stop(T.srv, 0);
    UNTIL(S.gone == 2);
    CHECK(S.result[1] == -ECANCELED, "%d", S.result[1]);
}

static void a_leaving_client_ends_its_stream(void **state)
{
    (void)state;
    RUN(client_leaves);
}

/* One reader stops reading for a while. It falls behind and costs no more than its queue; the other
 * never notices; and when the first reads on, it gets everything, in order. */
static void slow_reader(void)
{
    AUTO(io_fd) slow = IO_FD_NONE;
    AUTO(io_fd) quick = IO_FD_NONE;
    AUTO(seen) slow_seen;
    AUTO(seen) quick_seen;
    seen_init(&slow_seen);
    seen_init(&quick_seen);
    subscribe(&slow, "");
    subscribe(&quick, "");
    for (int i = 0; !S.writer[0]->behind && i < 100000 && !failure[0]; i++) {
        append(2000);
        CHECK(watch(&quick_seen, &quick, S.history), "the quick one was cut off");
    }
    for (int i = 0; i < 500; i++) {
        append(2000);
        CHECK(S.writer[0]->queued_bytes <= S.max_bytes, "%zu", S.writer[0]->queued_bytes);
        CHECK(watch(&quick_seen, &quick, S.history), "the quick one was cut off");
    }
    CHECK(S.writer[0] && S.writer[0]->behind && S.caught_up[1] == 0, "not as it was meant");
    CHECK(watch(&slow_seen, &slow, S.history), "the slow one was cut off");
    CHECK(slow_seen.in_order && slow_seen.first == 1 && slow_seen.n == S.history, "%d of %d",
          slow_seen.n, S.history);
    CHECK(S.caught_up[0] >= 500 && !S.writer[0]->behind, "%d", S.caught_up[0]);
    append(2000); /* and it is one like others again */
    CHECK(watch(&slow_seen, &slow, S.history) && slow_seen.in_order, "%d", slow_seen.n);
    CHECK(watch(&quick_seen, &quick, S.history) && quick_seen.in_order && quick_seen.n == S.history,
          "%d of %d", quick_seen.n, S.history);
}

static void a_slow_reader_gets_everything(void **state)
{
    (void)state;
    RUN(slow_reader);
}

/* One that takes nothing is given up after the server's body_timeout. When it comes back with the id
 * of the last event it has, it has missed nothing and seen nothing twice. */
static void stuck_reader(void)
{
    AUTO(io_fd) stuck = IO_FD_NONE;
    AUTO(seen) seen;
    seen_init(&seen);
    subscribe(&stuck, "");
    S.pad = 2000;
    S.history = 20000; /* more than any socket's buffers hold */
    sse_fall_behind(S.writer[0]);
    UNTIL(S.gone == 1);
    CHECK(S.result[0] == -ETIMEDOUT, "%d", S.result[0]);
    /* It reads what had been sent: a stream without its last chunk. */
    CHECK(!watch(&seen, &stuck, INT32_MAX), "still going");
    CHECK(!seen.decoder.done && seen.in_order && seen.n > 0 && seen.n < S.history, "%d of %d",
          seen.n, S.history);
    AUTO(io_fd) again = IO_FD_NONE;
    char header[64];
    snprintf(header, sizeof(header), "Last-Event-ID: %d\r\n", seen.last);
    int missed = S.history - seen.last;
    S.max_bytes = 64 << 20;
    S.pad = 0;
    subscribe(&again, header);
    append(0);
    AUTO(seen) rest;
    seen_init(&rest);
    CHECK(watch(&rest, &again, missed + 1), "ended early");
    CHECK(rest.in_order && rest.first == seen.last + 1 && rest.last == S.history &&
              rest.n == missed + 1,
          "%d..%d after %d of %d", rest.first, rest.last, seen.last, S.history);
}

static void who_takes_nothing_is_given_up(void **state)
{
    (void)state;
    RUN(stuck_reader, .body_timeout_ms = 300);
}

/* A frame larger than the whole queue reaches a reader. */
static void large_frame(void)
{
    AUTO(io_fd) io = IO_FD_NONE;
    AUTO(seen) s;
    seen_init(&s);
    subscribe(&io, "");
    for (int i = 0; i < 3; i++) {
        append(3 << 20);
        CHECK(watch(&s, &io, i + 1), "cut off");
    }
    CHECK(s.in_order && s.n == 3 && S.caught_up[0] == 3, "%d", s.n);
}

static void a_frame_larger_than_the_queue_arrives(void **state)
{
    (void)state;
    RUN(large_frame);
}

/* The end of a credential: what is queued is not given any more. */
static void cut(void)
{
    AUTO(io_fd) io = IO_FD_NONE;
    AUTO(seen) s;
    seen_init(&s);
    subscribe(&io, "");
    append(0);
    CHECK(watch(&s, &io, 1), "ended early");
    append(0);
    sse_cut(S.writer[0]);
    CHECK(!watch(&s, &io, 2) && s.n == 1 && s.decoder.done, "%d", s.n);
    UNTIL(S.gone == 1);
    CHECK(S.result[0] == 0, "%d", S.result[0]);
}

static void a_stream_that_is_cut_gives_nothing_more(void **state)
{
    (void)state;
    RUN(cut);
}

/* Proxies hold a head back until the first byte of the body: there is one at once. */
static void first_byte(void)
{
    AUTO(io_fd) io = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(10000);
    subscribe(&io, "");
    read_until(&io, &got, "\r\n\r\n8\r\n: open\n\n\r\n");
}

static void a_comment_follows_the_head_at_once(void **state)
{
    (void)state;
    RUN(first_byte);
}

static void head_only(void)
{
    AUTO(io_fd) io = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(1000);
    (void)dial(&io);
    SAY(&io, "HEAD /events HTTP/1.1\r\nHost: a\r\n\r\n");
    read_until(&io, &got, "\r\n\r\n");
    CHECK(strstr(got.data, "text/event-stream"), "%s", got.data);
    UNTIL(S.gone == 1);
    CHECK(S.result[0] == 0, "%d", S.result[0]);
    SAY(&io, "HEAD /events HTTP/1.1\r\nHost: a\r\n\r\n"); /* the connection lives on */
    buf_reset(&got);
    read_until(&io, &got, "\r\n\r\n");
}

static void head_gets_no_stream(void **state)
{
    (void)state;
    RUN(head_only);
}

static void old_client(void)
{
    AUTO(io_fd) io = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(10000);
    (void)dial(&io);
    SAY(&io, "GET /events HTTP/1.0\r\n\r\n");
    UNTIL(S.subscribed == 1);
    append(0);
    sse_end(S.writer[0]);
    read_all(&io, &got);
    CHECK(!strstr(got.data, "chunked") &&
              strstr(got.data,
                     "Connection: close\r\n\r\n: open\n\nevent: test.event\nid: 1\ndata: {"),
          "%s", got.data);
}

static void an_old_client_gets_no_chunks(void **state)
{
    (void)state;
    RUN(old_client);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_is_written_once_and_shared),
        cmocka_unit_test(a_full_queue_takes_no_more),
        cmocka_unit_test(a_stream_gives_events_in_order),
        cmocka_unit_test(a_silent_stream_is_kept_alive),
        cmocka_unit_test(a_leaving_client_ends_its_stream),
        cmocka_unit_test(a_slow_reader_gets_everything),
        cmocka_unit_test(who_takes_nothing_is_given_up),
        cmocka_unit_test(a_frame_larger_than_the_queue_arrives),
        cmocka_unit_test(a_stream_that_is_cut_gives_nothing_more),
        cmocka_unit_test(a_comment_follows_the_head_at_once),
        cmocka_unit_test(head_gets_no_stream),
        cmocka_unit_test(an_old_client_gets_no_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
