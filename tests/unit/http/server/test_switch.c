/* test_switch.c - connections that are given away by a 101, over real sockets on loopback. */
#include "io/stream.h"
#include "unit/http/server/talk.h"

static struct {
    int switched, refused, ended;
    bool wait; /* do not answer before it is woken */
    struct waitq go;
} S;

/* Echoes what comes, in capitals, until the peer ends. */
static void shout(struct stream *s)
{
    char bytes[64];
    ssize_t n;
    while ((n = stream_read(s, bytes, sizeof(bytes))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            if (bytes[i] >= 'a' && bytes[i] <= 'z')
                bytes[i] = (char)(bytes[i] - 32);
        if (stream_write(s, bytes, (size_t)n) < 0)
            break;
    }
}

static void handler(struct http_exchange *x, void *arg)
{
    struct stream s;
    (void)arg;
    if (S.wait)
        CHECK(waitq_wait(&S.go) == 0, "woken");
    http_set_header(x, "ALPN", "h2");
    int r = http_switch(x, "ptth", &s);
    if (r == -EINVAL || r == -E_PROTO) {
        bump(&S.refused);
        if (r == -E_PROTO)
            http_set_header(x, "Connection", "close");
        (void)http_reply(x, r == -EINVAL ? 426 : 400, "text/plain", "no", 2);
        return;
    }
    CHECK(r == 0 || !s.ops, "a stream with an error");
    if (r == 0) {
        bump(&S.switched);
        shout(&s);
    }
    stream_done(&s);
    bump(&S.ended);
}

static void run(void (*fn)(void))
{
    memset(&S, 0, sizeof(S));
    waitq_init(&S.go);
    talk_run(fn, (struct http_server_config){.handler = handler});
}

#define ASK                                                                                        \
    "GET /connect HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: PTTH\r\n\r\n"

static void until_switched(struct io_fd *io, struct buf *got)
{
    (void)dial(io);
    SAY(io, ASK);
    read_until(io, got, "\r\n\r\n");
    CHECK(str_starts(buf_str(got), "HTTP/1.1 101 Switching Protocols\r\n"
                                   "Connection: Upgrade\r\nUpgrade: ptth\r\nDate: "),
          "%s", buf_str(got));
    CHECK(strstr(buf_str(got), "\r\nALPN: h2\r\n"), "%s", buf_str(got));
    CHECK(!strstr(buf_str(got), "Content-Length") && !strstr(buf_str(got), "chunked"), "%s",
          buf_str(got));
    buf_reset(got);
}

static void both_ways(void)
{
    AUTO(io_fd) io = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(10000);
    until_switched(&io, &got);
    SAY(&io, "one ");
    read_until(&io, &got, "ONE ");
    SAY(&io, "GET / HTTP/1.1\r\n\r\n");
    read_until(&io, &got, "GET / HTTP/1.1\r\n\r\n");
    CHECK(shutdown(io.fd, SHUT_WR) == 0, "shutdown");
    read_all(&io, &got);
    CHECK(str_eq(buf_str(&got), "ONE GET / HTTP/1.1\r\n\r\n"), "%s", buf_str(&got));
    UNTIL(S.ended == 1);
    CHECK(S.refused == 0, "refused");
}

static void the_connection_is_the_handlers(void **state)
{
    (void)state;
    run(both_ways);
}

static void ahead(void)
{
    AUTO(io_fd) io = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(10000);
    S.wait = true;
    (void)dial(&io);
    SAY(&io, ASK "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    struct http_stats st = {0};
    while (st.requests == 0 && fiber_yield() == 0)
        http_server_stats(T.srv, &st);
    waitq_wake_all(&S.go);
    read_all(&io, &got);
    CHECK(str_starts(buf_str(&got), "HTTP/1.1 400 ") &&
              strstr(buf_str(&got), "Connection: close\r\n"),
          "%s", buf_str(&got));
    CHECK(S.switched == 0 && S.refused == 1, "switched %d", S.switched);
}

static void who_speaks_ahead_is_refused(void **state)
{
    (void)state;
    run(ahead);
}

static void unasked(void)
{
    static const char *const heads[] = {
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: ptth\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: ptth, h2c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: ptth\r\nUpgrade: h2c\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: ptth\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: ptth\r\n"
        "Content-Length: 2\r\n\r\nhi",
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: ptth\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        AUTO(io_fd) io = IO_FD_NONE;
        AUTO(buf) got = BUF_INIT(10000);
        (void)dial(&io);
        say(&io, heads[i], strlen(heads[i]));
        CHECK(shutdown(io.fd, SHUT_WR) == 0, "shutdown");
        read_all(&io, &got);
        CHECK(str_starts(buf_str(&got), "HTTP/1.1 426 "), "%zu: %s", i, buf_str(&got));
    }
    CHECK(S.switched == 0 && S.refused == (int)ARRAY_LEN(heads), "refused %d", S.refused);
}

static void nobody_is_switched_unasked(void **state)
{
    (void)state;
    run(unasked);
}

static void stop_it(void)
{
    AUTO(io_fd) io = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(10000);
    until_switched(&io, &got);
    http_server_stop(T.srv, 20);
    read_all(&io, &got);
    UNTIL(S.ended == 1);
}

static void a_stop_ends_it_after_the_grace(void **state)
{
    (void)state;
    run(stop_it);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_connection_is_the_handlers),
        cmocka_unit_test(who_speaks_ahead_is_refused),
        cmocka_unit_test(nobody_is_switched_unasked),
        cmocka_unit_test(a_stop_ends_it_after_the_grace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
