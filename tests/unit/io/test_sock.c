/* What addresses are accepted, how listeners and connections begin and end, what happens when
 * descriptors run out, and half-closed streams. Unix sockets live in a directory of their own. */
#include "unit/loop.h"
#include "base/err.h"
#include "io/sock.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/sallyport-test-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}
static int remove_dir(void **state)
{
    (void)state;
    return rmdir(dir);
}

/* ---- addresses ---- */

static void bad_addresses_are_refused_with_words(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",      "8400",       ":",      "127.0.0.1",     "127.0.0.1:",    "127.0.0.1:65536",
        "h:80",  "1.2.3:80",   "::1:80", "[::1:80",       "[127.0.0.1]:1", "127.0.0.1:+1",
        "unix:", "1.2.3.4:-1", "[]:1",   "127.0.0.1:0x1", " 127.0.0.1:1",  "example.com:1",
    };
    char addr[SOCK_ADDR_MAX];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = {0};
        if (sock_listen(bad[i], 1, addr, &e) != -EINVAL)
            fail_msg("\"%s\" was accepted", bad[i]);
        assert_int_equal(e.code, -EINVAL);
        assert_true(strlen(e.msg) > 10);
    }
    char longer[200] = "unix:/";
    memset(longer + 6, 'x', sizeof(longer) - 7);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(sock_listen(longer, 1, addr, NULL), -EINVAL);
}

static int serve_one(void *arg)
{
    struct io_fd *listener = arg;
    char peer[SOCK_ADDR_MAX];
    int fd = sock_accept(listener, peer);
    if (fd < 0)
        return fd;
    AUTO(stream) s;
    assert_int_equal(stream_from_fd(&s, fd), 0);
    assert_false(stream_is_tls(&s));
    /* Half-close: the client ends its side first, and still gets its answer. */
    char text[64];
    size_t n = 0;
    ssize_t got;
    while ((got = stream_read(&s, text + n, sizeof(text) - n)) > 0)
        n += (size_t)got;
    assert_int_equal(got, 0);
    assert_int_equal(stream_write(&s, text, n), 0);
    return stream_finish(&s);
}

static int talk(const char *where)
{
    char addr[SOCK_ADDR_MAX];
    struct err e = {0};
    int fd = sock_listen(where, 8, addr, &e);
    if (fd < 0)
        fail_msg("%s", e.msg);
    AUTO(io_fd) listener;
    assert_int_equal(io_fd_add(&listener, fd), 0);
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "server", serve_one, &listener, NULL), 0);
    AUTO(io_fd) c;
    if (sock_connect(addr, &c, &e) < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(io_write_all(&c, "question", 8), 0);
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    char text[64];
    size_t n = 0;
    ssize_t got;
    while ((got = io_read(&c, text + n, sizeof(text) - n)) > 0)
        n += (size_t)got;
    assert_int_equal(got, 0);
    assert_int_equal(n, 8);
    assert_memory_equal(text, "question", 8);
    assert_int_equal(scope_join(&s), 0);
    return s.first_error;
}

static int tcp_and_unix_connections_carry_bytes(void *arg)
{
    (void)arg;
    char path[96];
    (void)snprintf(path, sizeof(path), "unix:%s/s", dir);
    assert_int_equal(talk("127.0.0.1:0"), 0);
    assert_int_equal(talk("localhost:0"), 0);
    assert_int_equal(talk("[::1]:0"), 0);
    assert_int_equal(talk(path), 0);
    /* The name of the ended listener is taken over; its mode is private. */
    assert_int_equal(talk(path), 0);
    struct stat st;
    assert_int_equal(stat(path + 5, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    /* A live one is not. */
    char addr[SOCK_ADDR_MAX];
    assert_int_equal(unlink(path + 5), 0);
    int fd = sock_listen(path, 8, addr, NULL);
    assert_true(fd >= 0);
    assert_string_equal(addr, path);
    struct err e = {0};
    assert_int_equal(sock_listen(path, 8, addr, &e), -EADDRINUSE);
    assert_non_null(strstr(e.msg, "in use"));
    (void)close(fd);
    assert_int_equal(unlink(path + 5), 0);
    /* Nor is a file that is no socket. */
    FILE *f = fopen(path + 5, "w");
    (void)fclose(f);
    assert_int_equal(sock_listen(path, 8, addr, NULL), -EADDRINUSE);
    assert_int_equal(unlink(path + 5), 0);
    return 0;
}

ON_LOOP(tcp_and_unix_connections_carry_bytes)

static int refusals_name_the_address(void *arg)
{
    (void)arg;
    char addr[SOCK_ADDR_MAX], again[SOCK_ADDR_MAX];
    int fd = sock_listen("127.0.0.1:0", 8, addr, NULL);
    assert_true(fd >= 0);
    struct err e = {0};
    assert_int_equal(sock_listen(addr, 8, again, &e), -EADDRINUSE);
    assert_non_null(strstr(e.msg, addr));
    assert_non_null(strstr(e.msg, "in use"));
    (void)close(fd);
    struct io_fd io;
    assert_int_equal(sock_connect(addr, &io, &e), -ECONNREFUSED);
    assert_int_equal(io.fd, -1);
    assert_non_null(strstr(e.msg, addr));
    assert_int_equal(sock_connect("unix:/no/such/socket", &io, &e), -ENOENT);
    /* The port is free again at once. */
    fd = sock_listen(addr, 8, again, &e);
    assert_true(fd >= 0);
    assert_string_equal(addr, again);
    (void)close(fd);
    return 0;
}

ON_LOOP(refusals_name_the_address)

/* ---- running out of descriptors ---- */

static int accept_tells_of_emfile_and_recovers(void *arg)
{
    (void)arg;
    char addr[SOCK_ADDR_MAX];
    int fd = sock_listen("127.0.0.1:0", 8, addr, NULL);
    AUTO(io_fd) listener;
    assert_int_equal(io_fd_add(&listener, fd), 0);
    /* One client would do; valgrind, which plays the limit itself, uses one up for each refusal. */
    struct io_fd clients[3];
    for (size_t i = 0; i < ARRAY_LEN(clients); i++)
        assert_int_equal(sock_connect(addr, &clients[i], NULL), 0);
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(10000);
    struct rlimit old, tight;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    tight = old;
    int lowest_free = dup(STDERR_FILENO);
    (void)close(lowest_free);
    tight.rlim_cur = (rlim_t)lowest_free;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    int r = sock_accept(&listener, NULL);
    int r2 = sock_accept(&listener, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(r, -EMFILE);
    assert_int_equal(r2, -EMFILE); /* told again, not asleep: there will be no new edge */
    int got = sock_accept(&listener, NULL);
    assert_true(got >= 0);
    (void)close(got);
    for (size_t i = 0; i < ARRAY_LEN(clients); i++)
        io_fd_close(&clients[i]);
    return 0;
}

ON_LOOP(accept_tells_of_emfile_and_recovers)

/* ---- streams ---- */

static int streams_end_in_order(void *arg)
{
    (void)arg;
    int fd[2];
    struct stream zero = {0};
    stream_done(&zero);
    assert_int_equal(sock_pair(SOCK_STREAM, fd), 0);
    struct stream a, b;
    assert_int_equal(stream_from_fd(&a, fd[0]), 0);
    assert_int_equal(stream_from_fd(&b, fd[1]), 0);
    char c;
    {
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(2);
        assert_int_equal(stream_read(&a, &c, 1), -ETIMEDOUT);
    }
    assert_int_equal(stream_write(&b, "x", 1), 0);
    assert_int_equal(stream_read(&a, &c, 1), 1);
    assert_int_equal(c, 'x');
    assert_int_equal(stream_finish(&b), 0);
    assert_int_equal(stream_read(&a, &c, 1), 0);
    assert_int_equal(stream_write(&a, "y", 1), 0); /* the other direction is open */
    stream_done(&b);
    int r = stream_write(&a, "z", 1);
    assert_true(r == -EPIPE || r == -ECONNRESET);
    stream_done(&a);
    stream_done(&a);
    return 0;
}

ON_LOOP(streams_end_in_order)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_addresses_are_refused_with_words),
        {"tcp_and_unix_connections_carry_bytes", case_tcp_and_unix_connections_carry_bytes,
         make_dir, remove_dir, NULL},
        CASE(refusals_name_the_address),
        CASE(accept_tells_of_emfile_and_recovers),
        CASE(streams_end_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
