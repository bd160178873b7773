/* A stream as a descriptor: bytes go both ways, an end goes through and the other way goes on, a break
 * ends both, and so does the end of the scope. The stream is one end of a pair; that of a proxy behind
 * TLS is in test_dial_proxy.c. */
#include "unit/loop.h"
#include "base/err.h"
#include "egress/proxy/bridge.h"
#include "io/sock.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct bridged {
    struct scope scope;
    struct io_fd near; /* what the user of the connection has */
    struct io_fd far;  /* the peer at the end of the stream */
};

static void bridged_start(struct bridged *b)
{
    int pair[2], fd = -1;
    struct stream s;
    struct err e = {0};
    scope_init(&b->scope);
    assert_int_equal(sock_pair(SOCK_STREAM, pair), 0);
    assert_int_equal(stream_from_fd(&s, pair[0]), 0);
    assert_int_equal(io_fd_add(&b->far, pair[1]), 0);
    if (bridge_stream(&b->scope, &s, &fd, &e) < 0)
        fail_msg("%s", e.msg);
    assert_null(s.ops); /* it was moved */
    assert_int_equal(io_fd_add(&b->near, fd), 0);
}

static void bridged_stop(struct bridged *b)
{
    io_fd_close(&b->near);
    io_fd_close(&b->far);
    scope_done(&b->scope);
}

/* Sends a text through; it has to arrive as it is. */
static void carry_over(struct io_fd *from, struct io_fd *to, const char *text)
{
    char got[64];
    size_t n = 0;
    assert_true(strlen(text) <= sizeof(got));
    assert_int_equal(io_write_all(from, text, strlen(text)), 0);
    while (n < strlen(text)) {
        ssize_t k = io_read(to, got + n, sizeof(got) - n);
        assert_true(k > 0);
        n += (size_t)k;
    }
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, n);
}

static int an_end_goes_through_while_the_other_way_goes_on(void *arg)
{
    (void)arg;
    struct bridged b;
    char c;
    AUTO(fiber_deadline) limit = fiber_deadline_push_ms(10000);
    bridged_start(&b);
    carry_over(&b.near, &b.far, "a question");
    carry_over(&b.far, &b.near, "an answer");
    assert_int_equal(shutdown(b.near.fd, SHUT_WR), 0);
    assert_int_equal(io_read(&b.far, &c, 1), 0);
    carry_over(&b.far, &b.near, "there is more");
    assert_int_equal(shutdown(b.far.fd, SHUT_WR), 0);
    assert_int_equal(io_read(&b.near, &c, 1), 0);
    assert_int_equal(scope_join(&b.scope), 0); /* both have ended: so has the bridge */
    bridged_stop(&b);
    return 0;
}

ON_LOOP(an_end_goes_through_while_the_other_way_goes_on)

/* Our user does not read any more, and has not ended what it says. */
static int a_way_that_breaks_ends_the_other(void *arg)
{
    (void)arg;
    struct bridged b;
    char c;
    AUTO(fiber_deadline) limit = fiber_deadline_push_ms(10000);
    bridged_start(&b);
    carry_over(&b.near, &b.far, "a question");
    assert_int_equal(shutdown(b.near.fd, SHUT_RD), 0);
    assert_int_equal(io_write_all(&b.far, "x", 1), 0);
    assert_int_equal(scope_join(&b.scope), 0);
    assert_int_equal(io_read(&b.far, &c, 1), 0);
    bridged_stop(&b);
    return 0;
}

ON_LOOP(a_way_that_breaks_ends_the_other)

static int the_end_of_the_scope_breaks_it(void *arg)
{
    (void)arg;
    struct bridged b;
    char c;
    bridged_start(&b);
    carry_over(&b.far, &b.near, "an answer");
    scope_done(&b.scope);
    assert_true(io_read(&b.near, &c, 1) <= 0);
    assert_true(io_read(&b.far, &c, 1) <= 0);
    scope_init(&b.scope);
    bridged_stop(&b);
    return 0;
}

ON_LOOP(the_end_of_the_scope_breaks_it)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_end_goes_through_while_the_other_way_goes_on),
        CASE(a_way_that_breaks_ends_the_other),
        CASE(the_end_of_the_scope_breaks_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
