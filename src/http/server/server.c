/* server - the listener, the ceilings, and the end.
 *
 * One fiber accepts; each connection gets a fiber of its own (conn.c) in the server's scope, so
 * that leaving http_server_run leaves nothing behind. Peers decide how many connections come,
 * and how fast: over the ceiling they are told 503 and closed at once; when the process runs out of
 * descriptors a reserve is given up to accept one, refuse it and take the reserve back, because a
 * listener left readable would otherwise spin.
 *
 * The ceiling is the smaller of the configured one and what RLIMIT_NOFILE leaves after a share for
 * everything else. Anybody can open connections, but not everybody has a key: those on which no good
 * credential has been seen (strangers) may take all but an eighth. Above that, and when all are
 * taken, a newcomer gets the place of the stranger that has waited longest, or else of the known
 * connection that has been idle for longest. Who has a key sends it at once, so a flood of silent
 * connections pushes out itself.
 *
 * Stopping: the acceptor ends, connections between requests are closed at once, exchanges get their
 * grace and then a cancellation. */
#include "http/server/internal.h"

#include "base/err.h"
#include "base/log.h"
#include "base/time.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG              1024
#define MAX_CONNECTIONS      16384
#define DESCRIPTORS_FOR_REST 64 /* databases, logs, outbound connections */
#define ACCEPT_BACKOFF_MS    100
#define COMPLAIN_EVERY_NS    (10 * NS_PER_S)
#define STRANGERS_RESERVE    8 /* one in so many connections is not for strangers */

static size_t connection_ceiling(size_t wanted)
{
    if (wanted == 0)
        wanted = MAX_CONNECTIONS;
    struct rlimit lim;
    if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur != RLIM_INFINITY) {
        size_t room = lim.rlim_cur > 2 * DESCRIPTORS_FOR_REST ? lim.rlim_cur - DESCRIPTORS_FOR_REST
                                                              : (lim.rlim_cur + 1) / 2;
        if (wanted > room)
            wanted = room;
    }
    return wanted;
}

struct http_server *http_server_new(const struct http_server_config *cfg, char *ret_addr,
                                    struct err *e)
{
    struct http_server *s = mem_new(struct http_server);
    s->cfg = *cfg;
    s->cfg.max_connections = connection_ceiling(cfg->max_connections);
    if (s->cfg.head_timeout_ms == 0)
        s->cfg.head_timeout_ms = 10000;
    if (s->cfg.idle_timeout_ms == 0)
        s->cfg.idle_timeout_ms = 75000;
    if (s->cfg.body_timeout_ms == 0)
        s->cfg.body_timeout_ms = 30000;
    s->listener = IO_FD_NONE;
    s->reserve_fd = -1;
    s->last_complaint_ns = INT64_MIN / 2;
    list_init(&s->conns);
    list_init(&s->strangers);
    list_init(&s->resting);
    waitq_init(&s->changed);

    char addr[SOCK_ADDR_MAX];
    int fd = sock_listen(cfg->listen, BACKLOG, addr, e);
    int r = fd;
    if (r >= 0) {
        r = io_fd_add(&s->listener, fd);
        if (r < 0) {
            (void)close(fd);
            err_set(e, r, "cannot watch %s: %s", addr, err_text(r));
        }
    }
    if (r < 0) {
        free(s);
        return NULL;
    }
    s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    s->cfg.listen = NULL; /* the caller's string may be gone later */
    if (ret_addr)
        memcpy(ret_addr, addr, sizeof(addr));
    return s;
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    MUST(!s->running && list_empty(&s->conns));
    io_fd_close(&s->listener);
    if (s->reserve_fd >= 0)
        (void)close(s->reserve_fd);
    spare_done(&s->blocks);
    spare_done(&s->buffers);
    free(s);
}

void http_server_stats(const struct http_server *s, struct http_stats *ret)
{
    *ret = s->stats;
}

const char *server_date(struct http_server *s, size_t *ret_len)
{
    int64_t now_s = time_real_us() / US_PER_S;
    if (now_s != s->date_s || s->date_len == 0) {
        /* IMF-fixdate, RFC 9110 5.6.7; not strftime, whose names depend on the locale. */
        static const char days[] = "SunMonTueWedThuFriSat",
                          months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        struct tm tm = {0};
        time_t t = (time_t)now_s;
        (void)gmtime_r(&t, &tm);
        int n =
            snprintf(s->date, sizeof(s->date), "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n",
                     days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900,
                     tm.tm_hour, tm.tm_min, tm.tm_sec);
        MUST(n > 0 && (size_t)n < sizeof(s->date));
        s->date_len = (size_t)n;
        s->date_s = now_s;
    }
    *ret_len = s->date_len;
    return s->date;
}

/* ---- accepting ---- */

static void complain(struct http_server *s, const char *why)
{
    int64_t now = time_mono_ns();
    if (now - s->last_complaint_ns < COMPLAIN_EVERY_NS)
        return;
    s->last_complaint_ns = now;
    log_warn("connections are being refused", "why=\"%s\" open=%zu max=%zu refused=%llu", why,
             s->stats.open, s->cfg.max_connections, (unsigned long long)s->stats.refused);
}

/* Tells a connection that there is no room, as far as that goes without waiting. Closes `fd`. */
static void refuse(struct http_server *s, int fd)
{
    s->stats.refused++;
    if (!s->cfg.tls) {
        static const char text[] = "HTTP/1.1 503 Service Unavailable\r\n"
                                   "Content-Type: application/json\r\n"
                                   "Content-Length: 103\r\n"
                                   "Retry-After: 1\r\n"
                                   "Connection: close\r\n"
                                   "\r\n"
                                   "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
                                   "\"message\":\"Too many connections; try again later.\"}}";
        (void)send(fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)shutdown(fd, SHUT_WR);
        /* What has arrived already would turn the close into a reset and take the
         * answer with it. */
        while (recv(fd, s->scratch, sizeof(s->scratch), MSG_DONTWAIT) > 0)
            ;
    }
    (void)close(fd);
}

static size_t strangers_most(const struct http_server *s)
{
    return s->cfg.max_connections - s->cfg.max_connections / STRANGERS_RESERVE;
}

static void let_go(struct http_server *s, struct conn *c)
{
    list_remove(&c->waits);
    s->n_known -= c->known;
    c->leaving = true;
    s->n_leaving++;
    fiber_cancel(c->fiber);
}

/* Whether one more may come, if need be in the place of another. */
static bool make_room(struct http_server *s)
{
    size_t open = s->stats.open - s->n_leaving, strangers = open - s->n_known;
    if (open < s->cfg.max_connections && strangers < strangers_most(s))
        return true;
    complain(s, "the ceiling is reached");
    if (!list_empty(&s->strangers)) {
        let_go(s, LIST_ENTRY(s->strangers.next, struct conn, waits));
        return true;
    }
    if (open < s->cfg.max_connections)
        return false; /* strangers who are being served: the rest is for others */
    LIST_FOREACH (c, &s->resting, struct conn, waits) {
        if (c->idle) {
            let_go(s, c);
            return true;
        }
    }
    return false;
}

void server_conn_waits(struct http_server *s, struct conn *c)
{
    if (!list_linked(&c->waits) && !c->leaving)
        list_push_back(c->known ? &s->resting : &s->strangers, &c->waits);
}

void server_conn_serves(struct conn *c)
{
    list_remove(&c->waits);
}

void http_known(struct http_exchange *x)
{
    struct conn *c = x->conn;
    if (!c->known && !c->leaving)
        c->srv->n_known++;
    c->known = true;
}

static void begin(struct http_server *s, int fd, const char *peer)
{
    struct conn *c = mem_new(struct conn);
    c->srv = s;
    c->fd = fd;
    c->fresh = true;
    c->stream.io = IO_FD_NONE;
    c->peer = mem_strdup(peer);
    int r = fiber_spawn(&s->scope, "http", conn_main, c, &c->fiber);
    if (r < 0) {
        complain(s, "no stack for another fiber");
        refuse(s, fd);
        free(c->peer);
        free(c);
        return;
    }
    list_push_back(&s->conns, &c->link);
    server_conn_waits(s, c);
    s->stats.accepted++;
    s->stats.open++;
}

void server_conn_ended(struct http_server *s, struct conn *c)
{
    list_remove(&c->link);
    list_remove(&c->waits);
    s->n_known -= c->known && !c->leaving;
    s->n_leaving -= c->leaving;
    s->stats.open--;
    waitq_wake_all(&s->changed);
}

/* Out of descriptors: uses the reserve to take one connection off the listener and tell it so.
 * Suspends. */
static int refuse_with_reserve(struct http_server *s)
{
    complain(s, "out of file descriptors");
    if (s->reserve_fd >= 0) {
        (void)close(TAKE_FD(s->reserve_fd));
        int fd = accept4(s->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            refuse(s, fd);
    }
    if (s->reserve_fd < 0)
        s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fiber_sleep_ms(ACCEPT_BACKOFF_MS);
}

static int accept_main(void *arg)
{
    struct http_server *s = arg;
    int r = 0;
    char peer[SOCK_ADDR_MAX];
    while (r == 0 && !s->stopping) {
        int fd = sock_accept(&s->listener, peer);
        if (fd >= 0) {
            if (make_room(s))
                begin(s, fd, peer);
            else
                refuse(s, fd);
        } else if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) {
            r = refuse_with_reserve(s);
        } else if (fd == -ECANCELED || fd == -ETIMEDOUT || fd == -EBADF) {
            r = fd;
        } else if (fd != -ECONNABORTED && fd != -EINTR) {
            /* accept(2): network errors of the new connection; the next one may be fine. */
            complain(s, err_text(fd));
            r = fiber_sleep_ms(ACCEPT_BACKOFF_MS);
        }
    }
    io_fd_close(&s->listener);
    s->acceptor = NULL;
    waitq_wake_all(&s->changed);
    return s->stopping ? 0 : r;
}

/* ---- life ---- */

int http_server_run(struct http_server *s)
{
    MUST(!s->running);
    if (s->stopping)
        return 0;
    scope_init(&s->scope);
    int r = fiber_spawn(&s->scope, "http-accept", accept_main, s, &s->acceptor);
    s->running = r == 0;
    while (r == 0 && (s->acceptor || !list_empty(&s->conns)))
        r = waitq_wait(&s->changed);
    s->stopping = true;
    scope_done(&s->scope);
    s->running = false;
    waitq_wake_all(&s->changed);
    return r == 0 ? s->scope.first_error : r;
}

void http_server_stop(struct http_server *s, int64_t grace_ms)
{
    s->stopping = true;
    if (!s->running)
        return;
    if (s->acceptor)
        fiber_cancel(s->acceptor);
    LIST_FOREACH (c, &s->conns, struct conn, link) {
        if (c->idle)
            fiber_cancel(c->fiber);
    }
    struct fiber_deadline d = fiber_deadline_push_ms(grace_ms);
    int r = 0;
    while (r == 0 && s->running && (s->acceptor || !list_empty(&s->conns)))
        r = waitq_wait(&s->changed);
    fiber_deadline_pop(&d);
    if (r == 0 || !s->running)
        return;
    LIST_FOREACH (c, &s->conns, struct conn, link) {
        fiber_cancel(c->fiber);
    }
}
