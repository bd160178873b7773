/* h2_line.c - whether somebody is still at the other end of a connection of HTTP/2.
 *
 * Called by the fiber that reads, on both sides, whenever a read ended without bytes. Nothing is kept
 * but two times, so an idle connection costs nothing but a PING now and then. Any byte counts as life; a
 * peer that lives answers PINGs, so silence means that it, or the way to it, is gone, which TCP alone
 * finds out after many minutes. A process that was stopped for a while, or did not get its turn, finds
 * the time over although answers lie in the socket: before a connection is called dead, what is there is
 * read. */
#include "http/pipe/h2_conn.h"

#include "base/time.h"

int64_t h2_line_after(int64_t ns, int64_t ms)
{
    int64_t span, at;
    if (__builtin_mul_overflow(ms, NS_PER_MS, &span) || __builtin_add_overflow(ns, span, &at))
        return FIBER_NO_DEADLINE;
    return at;
}

static int64_t dead_at(const struct h2_conn *c)
{
    return c->line.dead_ms > 0 ? h2_line_after(c->heard_ns, c->line.dead_ms) : FIBER_NO_DEADLINE;
}

static int64_t ping_at(const struct h2_conn *c)
{
    return c->line.ping_ms > 0 ? h2_line_after(c->pinged_ns, c->line.ping_ms) : FIBER_NO_DEADLINE;
}

int64_t h2_line_next(const struct h2_conn *c)
{
    return dead_at(c) < ping_at(c) ? dead_at(c) : ping_at(c);
}

int h2_line_look(struct h2_conn *c)
{
    int64_t now = time_mono_ns();
    if (now >= dead_at(c)) {
        ssize_t n = h2_conn_try_read(c);
        if (n == -EAGAIN)
            return -ETIMEDOUT;
        if (n <= 0)
            return n == 0 ? -ECONNRESET : (int)n;
    }
    if (now >= ping_at(c)) {
        c->pinged_ns = now;
        if (nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL) == 0)
            h2_conn_kick(c);
    }
    return 0;
}
