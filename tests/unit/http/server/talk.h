/* talk - a server and its clients as fibers of one loop, for the tests of this folder.
 *
 * A check that fails inside a fiber is noted and reported from the test's own stack afterwards:
 * cmocka leaves a failing test by longjmp, which must not cross stacks. Deadlines only bound what
 * goes wrong. */
#pragma once

#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "http/server/server.h"
#include "io/sock.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char failure[4096];
#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond) && !failure[0]) {                                                              \
            int at_ = snprintf(failure, sizeof(failure), "line %d: %s: ", __LINE__, #cond);        \
            snprintf(failure + at_, sizeof(failure) - (size_t)at_, __VA_ARGS__);                   \
        }                                                                                          \
    } while (0)

/* What a test and its handler share. */
static struct {
    struct http_server *srv;
    char addr[SOCK_ADDR_MAX];
    struct scope *scope;  /* for fibers of the test's own */
    struct waitq changed; /* woken whenever a counter below or a server's changes */
    bool server_ended;
} T;

static inline int talk_server(void *arg)
{
    (void)arg;
    int r = http_server_run(T.srv);
    T.server_ended = true;
    waitq_wake_all(&T.changed);
    return r;
}

struct talk_script {
    void (*fn)(void);
    struct http_server_config cfg;
};

static inline int talk_root(void *arg)
{
    struct talk_script *sc = arg;
    AUTO(fiber_deadline) guard = fiber_deadline_push_ms(60000);
    struct err e = {0};
    T.srv = http_server_new(&sc->cfg, T.addr, &e);
    CHECK(T.srv, "%s", e.msg);
    if (!T.srv)
        return -1;
    waitq_init(&T.changed);
    {
        AUTO(scope) s;
        scope_init(&s);
        T.scope = &s;
        CHECK(fiber_spawn(&s, "server", talk_server, NULL, NULL) == 0, "spawn");
        sc->fn();
        http_server_stop(T.srv, 1000);
        CHECK(scope_join(&s) == 0, "join");
    }
    struct http_stats st;
    http_server_stats(T.srv, &st);
    CHECK(st.open == 0, "%zu connections left", st.open);
    http_server_free(T.srv);
    return 0;
}

/* Runs `fn` as a fiber beside a server with `cfg` (listen is filled in when NULL). */
static inline void talk_run(void (*fn)(void), struct http_server_config cfg)
{
    failure[0] = 0;
    memset(&T, 0, sizeof(T));
    if (!cfg.listen)
        cfg.listen = "127.0.0.1:0";
    struct talk_script sc = {.fn = fn, .cfg = cfg};
    assert_int_equal(loop_init(), 0);
    (void)loop_run(talk_root, &sc);
    loop_done();
    if (failure[0])
        fail_msg("%s", failure);
}

static inline void bump(int *counter)
{
    ++*counter;
    waitq_wake_all(&T.changed);
}

/* Waits until `cond` holds; it may only depend on what bump() announces. */
#define UNTIL(cond)                                                                                \
    do {                                                                                           \
        int r_ = 0;                                                                                \
        while (r_ == 0 && !(cond))                                                                 \
            r_ = waitq_wait(&T.changed);                                                           \
        CHECK(r_ == 0, "gave up waiting: %d", r_);                                                 \
    } while (0)

static inline int dial(struct io_fd *io)
{
    struct err e = {0};
    int r = sock_connect(T.addr, io, &e);
    CHECK(r == 0, "%s", e.msg);
    return r;
}

static inline void say(struct io_fd *io, const char *p, size_t n)
{
    int r = io_write_all(io, p, n);
    CHECK(r == 0, "write: %d", r);
}
#define SAY(io, s) say(io, s, sizeof(s) - 1)

/* Reads until the peer ends. */
static inline void read_all(struct io_fd *io, struct buf *out)
{
    for (;;) {
        size_t room = out->max - out->len < 65536 ? out->max - out->len : 65536;
        char *p = room ? buf_room(out, room) : NULL;
        CHECK(p, "answer too long");
        if (!p)
            return;
        ssize_t n = io_read(io, p, room);
        CHECK(n >= 0, "read: %zd after %zu bytes", n, out->len);
        if (n <= 0)
            return;
        buf_commit(out, (size_t)n);
    }
}

/* Reads until `n` bytes more are there. */
static inline void read_n(struct io_fd *io, struct buf *out, size_t n)
{
    n += out->len;
    while (out->len < n) {
        char *p = buf_room(out, n - out->len);
        ssize_t r = io_read(io, p, n - out->len);
        CHECK(r > 0, "read: %zd after %zu of %zu bytes", r, out->len, n);
        if (r <= 0)
            return;
        buf_commit(out, (size_t)r);
    }
}

/* Reads until what has come ends with `tail`. */
static inline void read_until(struct io_fd *io, struct buf *out, const char *tail)
{
    while (!failure[0] && !str_ends(buf_str(out), tail))
        read_n(io, out, 1);
}
