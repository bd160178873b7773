/* test_h2_bytes.c - tunnels as streams of bytes: what goes through, how each side ends, and what a
 * waiting fiber is woken by. */
#include "unit/http/pipe/h2_both.h"
#include "http/pipe/h2_conn.h"

#include <malloc.h>

/* ---- servers of tunnels ---- */

static void echo_bytes(struct stream *s)
{
    char bytes[3000];
    ssize_t n;
    int r = 0;
    while (r == 0 && (n = stream_read(s, bytes, sizeof(bytes))) > 0)
        r = stream_write(s, bytes, (size_t)n);
    if (r == 0 && n == 0)
        r = stream_finish(s);
    W.result = r < 0 ? r : n;
}

static void read_all(struct stream *s)
{
    char bytes[3000];
    note(&W.hanging);
    do
        W.result = stream_read(s, bytes, sizeof(bytes));
    while (W.result > 0);
}

static void talk_after_the_end(struct stream *s)
{
    char bytes[10];
    CHECK(stream_read(s, bytes, sizeof(bytes)) == 0, "the client ended at once");
    CHECK(stream_write(s, "still", 5) == 0 && stream_finish(s) == 0, "the other direction");
    CHECK(stream_write(s, "x", 1) == -EPIPE, "ended");
    W.result = 0;
}

static void leave(struct stream *s)
{
    CHECK(stream_write(s, "half", 4) == 0, "write");
}

static void pour(struct stream *s)
{
    static const char zeros[50000];
    int r;
    do {
        r = stream_write(s, zeros, sizeof(zeros));
        if (r == 0)
            note(&W.hanging);
    } while (r == 0);
    W.result = r;
}

static void wait_to_be_told(struct stream *s)
{
    (void)s;
    note(&W.hanging);
    while (!W.go)
        if (waitq_wait(&W.may_go) < 0)
            return;
}
static void tell_to_go(void)
{
    W.go = true;
    waitq_wake_all(&W.may_go);
}

/* ---- in order ---- */

static void bytes_go_both_ways_until_each_side_ends(void)
{
    struct both b;
    both_init(&b, NULL);
    W.tunnel = echo_bytes;
    for (int i = 0; i < 3; i++) {
        struct stream opened, s;
        char bytes[100];
        tunnel_open(&b, &opened);
        stream_move(&s, &opened); /* it may lie anywhere */
        CHECK(!stream_is_plain(&s) && !stream_is_tls(&s) && !stream_gone(&s), "what it is");
        CHECK(stream_try_read(&s, bytes, 1) == -EAGAIN, "nothing yet");
        for (int k = 0; k < 20; k++) {
            CHECK(stream_write(&s, "ping", 4) == 0, "write");
            CHECK(stream_wait(&s, s.want) == 0 || failure[0], "wait");
            CHECK(stream_read(&s, bytes, sizeof(bytes)) == 4 && memcmp(bytes, "ping", 4) == 0, "%d",
                  k);
        }
        CHECK(stream_finish(&s) == 0 && stream_finish(&s) == 0, "end");
        CHECK(stream_read(&s, bytes, sizeof(bytes)) == 0 && stream_gone(&s), "end");
        CHECK(stream_read(&s, bytes, sizeof(bytes)) == 0, "again");
        stream_done(&s);
        CHECK(stream_read(&s, bytes, 1) == -EBADF && stream_write(&s, "x", 1) == -EBADF, "done");
        stream_done(&s);
        until_equal(&W.served, i + 1);
        CHECK(W.result == 0, "%zd", W.result);
    }
    both_done(&b);
}
H2_CASE(bytes_go_both_ways_until_each_side_ends)

static void one_direction_ends_before_the_other(void)
{
    struct both b;
    both_init(&b, NULL);
    W.tunnel = talk_after_the_end;
    struct stream s;
    char bytes[100];
    tunnel_open(&b, &s);
    CHECK(stream_finish(&s) == 0 && stream_write(&s, "x", 1) == -EPIPE, "ours");
    CHECK(stream_read(&s, bytes, sizeof(bytes)) == 5 && memcmp(bytes, "still", 5) == 0, "theirs");
    CHECK(stream_read(&s, bytes, sizeof(bytes)) == 0, "end");
    stream_done(&s);
    both_done(&b);
    CHECK(W.served == 1, "%d", W.served);
}
H2_CASE(one_direction_ends_before_the_other)

static void finish_and_read(struct stream *s)
{
    char bytes[10];
    CHECK(stream_finish(s) == 0, "end");
    W.result = stream_read(s, bytes, sizeof(bytes));
}

/* An end that is still queued when the stream is done is an end all the same. */
static void an_end_is_not_overtaken_by_a_reset(void)
{
    struct both b;
    both_init(&b, NULL);
    W.tunnel = finish_and_read;
    struct stream s;
    char bytes[10];
    tunnel_open(&b, &s);
    CHECK(stream_read(&s, bytes, sizeof(bytes)) == 0, "end");
    struct h2_conn *c = ((struct h2_stream *)s.impl)->c;
    while (c->writing && waitq_wait(&c->written) == 0)
        ;
    c->out = mem_zalloc(H2_OUT_BYTES);
    for (; c->out_n < 60000; c->out_n += 9 + 16000)               /* no room: the end has to wait */
        memcpy(c->out + c->out_n, "\0\x3e\x80\xcc\0\0\0\0\0", 9); /* means nothing */
    CHECK(stream_finish(&s) == 0, "end");
    CHECK(!((struct h2_stream *)s.impl)->finished, "queued");
    stream_done(&s);
    until_equal(&W.served, 1);
    CHECK(W.result == 0, "%zd", W.result);
    both_done(&b);
}
H2_CASE(an_end_is_not_overtaken_by_a_reset)

#define LARGE (6u << 20)

static int send_large(void *arg)
{
    struct stream *s = arg;
    char bytes[3001];
    int r = 0;
    for (size_t at = 0, n; r == 0 && at < LARGE; at += n) {
        n = LARGE - at < sizeof(bytes) ? LARGE - at : sizeof(bytes);
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)((at + i) * 7 + (at + i) / 251);
        r = stream_write(s, bytes, n);
    }
    return r == 0 ? stream_finish(s) : r;
}

static int exchange_large(void *arg)
{
    struct both *b = arg;
    struct stream s;
    tunnel_open(b, &s);
    struct scope scope;
    scope_init(&scope);
    CHECK(fiber_spawn(&scope, "sender", send_large, &s, NULL) == 0, "spawn");
    size_t at = 0, wrong = 0;
    char bytes[2500];
    ssize_t n;
    while ((n = stream_read(&s, bytes, sizeof(bytes))) > 0)
        for (ssize_t i = 0; i < n; i++, at++)
            wrong += bytes[i] != (char)(at * 7 + at / 251);
    CHECK(n == 0 && at == LARGE && wrong == 0, "%zd, %zu bytes, %zu wrong", n, at, wrong);
    CHECK(scope_join(&scope) == 0 && scope.first_error == 0, "%d", scope.first_error);
    scope_done(&scope);
    stream_done(&s);
    return 0;
}

static void one_fiber_reads_and_another_writes(void)
{
    struct both b;
    both_init(&b, NULL);
    W.tunnel = echo_bytes;
    struct scope s;
    scope_init(&s);
    for (int i = 0; i < 5; i++)
        CHECK(fiber_spawn(&s, "exchange", exchange_large, &b, NULL) == 0, "spawn");
    CHECK(scope_join(&s) == 0, "join");
    both_done(&b);
    CHECK(W.served == 5 && W.result == 0, "%d, %zd", W.served, W.result);
}
H2_CASE(one_fiber_reads_and_another_writes)

/* ---- cut off ---- */

static void a_reset_of_the_asker_reaches_the_server(void)
{
    struct both b;
    both_init(&b, NULL);
    W.tunnel = read_all;
    for (int i = 0; i < 2; i++) {
        struct stream s;
        tunnel_open(&b, &s);
        CHECK(stream_write(&s, "some", 4) == 0, "write");
        until_equal(&W.hanging, i + 1);
        if (i)
            stream_reset(&s);
        else
            stream_done(&s); /* without an end it is one, too */
        until_equal(&W.served, i + 1);
        CHECK(W.result == -ECONNRESET || W.result == -ECANCELED, "%zd", W.result);
    }
    both_left(&b);
}
H2_CASE(a_reset_of_the_asker_reaches_the_server)

static void a_reset_of_the_server_reaches_the_asker(void)
{
    struct both b;
    both_init(&b, NULL);
    W.tunnel = leave;
    struct stream s;
    char bytes[10];
    tunnel_open(&b, &s);
    until_equal(&W.served, 1);
    CHECK(stream_read(&s, bytes, sizeof(bytes)) == 4, "what came before");
    CHECK(stream_read(&s, bytes, sizeof(bytes)) == -ECONNRESET, "reset");
    CHECK(stream_write(&s, "x", 1) == -ECONNRESET && stream_finish(&s) == -ECONNRESET, "reset");
    CHECK(stream_gone(&s), "gone");
    stream_done(&s);
    both_done(&b);
}
H2_CASE(a_reset_of_the_server_reaches_the_asker)

static int read_one(void *arg)
{
    char byte;
    return (int)stream_read(arg, &byte, 1);
}
static int write_many(void *arg)
{
    static const char zeros[2 << 20];
    return stream_write(arg, zeros, sizeof(zeros));
}

/* Starts a reader and a writer that wait in `s`. */
static void start_waiting(struct both *b, struct stream *s, struct scope *readers,
                          struct scope *writers)
{
    W.tunnel = wait_to_be_told;
    tunnel_open(b, s);
    scope_init(readers);
    scope_init(writers);
    CHECK(fiber_spawn(readers, "reader", read_one, s, NULL) == 0, "spawn");
    CHECK(fiber_spawn(writers, "writer", write_many, s, NULL) == 0, "spawn");
    const struct h2_stream *st = s->impl;
    while (!(st->asks && !waitq_empty(&st->writer) && !waitq_empty(&st->reader)))
        if (fiber_sleep_ms(1) < 0)
            break;
}
static void both_ended_with(struct scope *readers, struct scope *writers, int code)
{
    CHECK(scope_join(readers) == 0 && readers->first_error == code, "%d", readers->first_error);
    CHECK(scope_join(writers) == 0 && writers->first_error == code, "%d", writers->first_error);
    scope_done(readers);
    scope_done(writers);
}

static void the_end_of_the_connection_wakes_who_waits(void)
{
    struct both b;
    struct stream s;
    struct scope readers, writers;
    both_init(&b, NULL);
    start_waiting(&b, &s, &readers, &writers);
    scope_cancel(&b.w.scope);
    both_ended_with(&readers, &writers, -ECONNRESET);
    CHECK(stream_gone(&s), "gone");
    stream_done(&s);
    b.l->ops->free(b.l);
    world_done(&b.w);
}
H2_CASE(the_end_of_the_connection_wakes_who_waits)

static void done_wakes_who_waits(void)
{
    struct both b;
    struct stream s;
    struct scope readers, writers;
    both_init(&b, NULL);
    start_waiting(&b, &s, &readers, &writers);
    stream_done(&s); /* frees what they waited in */
    both_ended_with(&readers, &writers, -EBADF);
    tell_to_go();
    until_equal(&W.served, 1);
    both_left(&b);
}
H2_CASE(done_wakes_who_waits)

static void a_reset_wakes_who_waits(void)
{
    struct both b;
    struct stream s;
    struct scope readers, writers;
    both_init(&b, NULL);
    start_waiting(&b, &s, &readers, &writers);
    tell_to_go(); /* returns without an end */
    both_ended_with(&readers, &writers, -ECONNRESET);
    stream_done(&s);
    both_left(&b);
}
H2_CASE(a_reset_wakes_who_waits)

static void cancelling_is_for_who_waits_only(void)
{
    struct both b;
    struct stream s;
    struct scope readers, writers;
    both_init(&b, NULL);
    start_waiting(&b, &s, &readers, &writers);
    scope_cancel(&readers);
    scope_cancel(&writers);
    CHECK(scope_join(&readers) == 0 && scope_join(&writers) == 0, "ended");
    scope_done(&readers);
    scope_done(&writers);
    CHECK(!stream_gone(&s), "it goes on");
    stream_done(&s);
    tell_to_go();
    until_equal(&W.served, 1);
    both_left(&b);
}
H2_CASE(cancelling_is_for_who_waits_only)

static void a_deadline_leaves_the_stream_as_it_is(void)
{
    struct both b;
    struct stream s;
    char bytes[10];
    both_init(&b, NULL);
    W.tunnel = echo_bytes;
    tunnel_open(&b, &s);
    struct fiber_deadline d = fiber_deadline_push_ms(10);
    CHECK(stream_read(&s, bytes, sizeof(bytes)) == -ETIMEDOUT, "read");
    CHECK(stream_write(&s, "x", 1) == -ETIMEDOUT, "write");
    fiber_deadline_pop(&d);
    CHECK(stream_write(&s, "after", 5) == 0, "write");
    CHECK(stream_read(&s, bytes, sizeof(bytes)) == 5, "read");
    stream_done(&s);
    until_equal(&W.served, 1);
    both_left(&b);
}
H2_CASE(a_deadline_leaves_the_stream_as_it_is)

/* ---- one side is slow ---- */

static void a_slow_reader_holds_its_own_stream_only(void)
{
    struct both b;
    struct stream slow, s;
    static char bytes[10000];
    both_init(&b, NULL);
    W.tunnel = pour;
    tunnel_open(&b, &slow);
    struct mallinfo2 before = mallinfo2();
    const struct h2_stream *st = slow.impl;
    while (st->in.n < H2_STREAM_WINDOW && fiber_sleep_ms(1) == 0)
        ;
    (void)!fiber_sleep_ms(20);
    int poured = W.hanging;
    CHECK(st->in.n == H2_STREAM_WINDOW, "%zu", st->in.n);
    struct mallinfo2 after = mallinfo2();
    size_t grown = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
    CHECK(SANITIZED || grown < 2 * H2_STREAM_WINDOW + 4 * H2_OUT_BYTES, "%zu", grown);
    W.tunnel = echo_bytes;
    tunnel_open(&b, &s);
    CHECK(stream_write(&s, "x", 1) == 0 && stream_read(&s, bytes, 10) == 1, "another");
    stream_done(&s);
    CHECK(W.hanging == poured, "the sender waits");
    for (size_t left = 1 << 20; left > 0;) {
        ssize_t n = stream_read(&slow, bytes, left < sizeof(bytes) ? left : sizeof(bytes));
        CHECK(n > 0, "%zd", n);
        if (n <= 0)
            break;
        left -= (size_t)n;
    }
    CHECK(W.hanging > poured, "and goes on");
    stream_done(&slow);
    until_equal(&W.served, 2);
    both_left(&b);
    CHECK(W.result < 0, "%zd", W.result);
}
H2_CASE(a_slow_reader_holds_its_own_stream_only)

/* A stream that was filled and read holds nothing. */
static void an_idle_stream_holds_no_buffer(void)
{
    struct both b;
    struct stream s;
    char bytes[1000];
    both_init(&b, NULL);
    W.tunnel = echo_bytes;
    tunnel_open(&b, &s);
    CHECK(stream_write(&s, "hello", 5) == 0, "write");
    CHECK(stream_read(&s, bytes, sizeof(bytes)) == 5, "read");
    const struct h2_stream *st = s.impl;
    CHECK(!st->in.first && !st->from_n, "buffers");
    stream_done(&s);
    until_equal(&W.served, 1);
    both_left(&b);
}
H2_CASE(an_idle_stream_holds_no_buffer)

/* ---- frames ---- */

#define TUNNEL ":method: CONNECT\n:authority: a:1\n"

static void what_a_server_says_when_it_is_done(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(1000);
    W.tunnel = leave;
    put_headers(&b, 1, 0, TUNNEL);
    world_send(&w, &b);
    CHECK(peer_want(&w.peer, F_DATA, 1) && !(w.peer.flags & F_END), "no end");
    CHECK(peer_reset_of(&w.peer, 1) == NGHTTP2_INTERNAL_ERROR, "cut off");
    W.tunnel = finish_and_read;
    put_headers(&b, 3, 0, TUNNEL);
    put_frame(&b, F_DATA, 0, 3, "x", 1);
    world_send(&w, &b);
    CHECK(peer_want(&w.peer, F_DATA, 3) && (w.peer.flags & F_END), "the end");
    CHECK(peer_reset_of(&w.peer, 3) == NGHTTP2_NO_ERROR, "nobody reads the rest");
    world_done(&w);
}
H2_CASE(what_a_server_says_when_it_is_done)

/* Window is given back for what was read, and for nothing else. */
static void the_window_holds_the_sender_back(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(1 << 20);
    W.tunnel = pour;
    put_headers(&b, 1, 0, TUNNEL);
    world_send(&w, &b);
    size_t got = 0;
    while (got < 65535 && peer_next(&w.peer))
        got += w.peer.type == F_DATA ? w.peer.n : 0;
    CHECK(got == 65535 && W.hanging == 1, "%zu %d", got, W.hanging);
    put_u32(&b, F_WINDOW, 0, 10); /* ten bytes on the connection, and then on the stream */
    put_u32(&b, F_WINDOW, 1, 10);
    world_send(&w, &b);
    CHECK(peer_want(&w.peer, F_DATA, 1) && w.peer.n == 10, "%zu", w.peer.n);
    put_u32(&b, F_RST, 1, NGHTTP2_CANCEL);
    world_send(&w, &b);
    until_equal(&W.served, 1);
    CHECK(W.result == -ECONNRESET || W.result == -ECANCELED, "%zd", W.result);
    world_done(&w);
}
H2_CASE(the_window_holds_the_sender_back)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(bytes_go_both_ways_until_each_side_ends),
        CASE(one_direction_ends_before_the_other),
        CASE(an_end_is_not_overtaken_by_a_reset),
        CASE(one_fiber_reads_and_another_writes),
        CASE(a_reset_of_the_asker_reaches_the_server),
        CASE(a_reset_of_the_server_reaches_the_asker),
        CASE(the_end_of_the_connection_wakes_who_waits),
        CASE(done_wakes_who_waits),
        CASE(a_reset_wakes_who_waits),
        CASE(cancelling_is_for_who_waits_only),
        CASE(a_deadline_leaves_the_stream_as_it_is),
        CASE(a_slow_reader_holds_its_own_stream_only),
        CASE(an_idle_stream_holds_no_buffer),
        CASE(what_a_server_says_when_it_is_done),
        CASE(the_window_holds_the_sender_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
