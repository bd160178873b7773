/* h2_windows.c - how much may be on its way to us, and how much of what has come is held.
 *
 * Called by the callbacks that keep bodies and by the streams whose readers take them. Without a ceiling
 * (line.held_max) the windows of the connection and of a stream are given back when bytes are read: no
 * more than the connection's window is ever held, and a few streams that nobody reads use it up.
 *
 * With one, a connection carries many streams that have nothing to do with each other. Its window is
 * given back as bytes come, so that only the window of a stream holds its sender back:
 *
 *     held + (conn_window - owed) <= held_max
 *
 * where `held` is what lies in all streams and `owed` what is not given back; so what can still come has
 * room, always, and only when nearly all of it is in use does the connection's window get smaller. Before
 * that, all streams get smaller windows (SETTINGS, RFC 9113 6.9.2: those that hold much already get
 * none), so that many more of them can be stuck: with 64 MiB and 256 KiB, 64 in full, then 256 with a
 * quarter, then 16 KiB each. A peer that fills it all the same has streams reset, those that hold most
 * first: a reset one is one caller's, a connection that stands still is everybody's. The same is done when
 * a budget that is shared with other connections has no room: what was promised to peers is not counted
 * there, what has come is, so it may be passed by one frame for as long as this takes.
 *
 * Windows that are small from the start would need no such thing, but would make each stream slow over
 * a long line; windows for what is there at most are not affordable. But most streams are read as they
 * come, and hold next to nothing. So windows begin at stream_window_most, and what counts is how many
 * streams are laden: hold as much as stream_window, for their readers do not keep up. These and one more
 * may have a quarter of held_max; the more they are, the smaller the windows of all, down to stream_window.
 * A window is made smaller at once, which the peer knows a round trip later; until then no more than the
 * connection's window comes. It is made wider once a second at most. */
#include "http/pipe/h2_conn.h"

#include "base/time.h"

#define WINDOW_MAX     (16u << 20)
#define WINDOW_MIN     (16u << 10) /* a frame */
#define WIDEN_EVERY_NS NS_PER_S

static uint32_t within(uint32_t n, uint32_t otherwise)
{
    if (n == 0)
        return otherwise;
    return n > WINDOW_MAX ? WINDOW_MAX : n;
}

/* What may be held: held_max, or less where others use up the budget. */
static size_t ceiling(const struct h2_conn *c)
{
    const size_t left = budget_left(&c->share), most = c->line.held_max;
    return c->held > most || most - c->held < left ? most : c->held + left;
}

/* The window that all may have while so many are laden. */
static uint32_t widest(const struct h2_conn *c)
{
    const size_t each = ceiling(c) / 4 / (c->n_laden + 1);
    uint32_t n = c->line.stream_window_most;
    while (n > c->line.stream_window && n > each)
        n /= 2;
    return n > c->line.stream_window ? n : c->line.stream_window;
}

void h2_windows_init(struct h2_conn *c)
{
    struct http_line *l = &c->line;
    l->stream_window = within(l->stream_window, H2_STREAM_WINDOW);
    l->conn_window = within(l->conn_window, H2_CONN_WINDOW);
    if (l->held_max && l->held_max < 2 * (size_t)l->conn_window)
        l->held_max = 2 * (size_t)l->conn_window;
    if (!l->held_max || l->stream_window_most < l->stream_window)
        l->stream_window_most = l->stream_window;
    if (l->stream_window_most > WINDOW_MAX)
        l->stream_window_most = WINDOW_MAX;
    c->share.of = l->held_max ? l->budget : NULL;
    c->window = widest(c);
}

void h2_windows_settings(struct h2_conn *c, bool acknowledged)
{
    if (!acknowledged)
        c->settings_out++;
    else if (c->settings_out > 0)
        c->settings_out--;
}

/* Gives the connection's window back, as far as what may then come has room. */
static void settle(struct h2_conn *c)
{
    size_t promised = c->held + c->line.conn_window;
    size_t owed = promised > c->line.held_max ? promised - c->line.held_max : 0;
    if (owed >= c->owed)
        return;
    if (!c->broken)
        (void)nghttp2_session_consume_connection(c->session, c->owed - owed);
    c->owed = owed;
}

static uint32_t part(const struct h2_conn *c, uint32_t of)
{
    uint32_t n = c->line.stream_window / of;
    return n > WINDOW_MIN || of == 1 ? n : WINDOW_MIN;
}

/* The window that streams should have; larger again only when there is a lot of room. */
static uint32_t fitting(const struct h2_conn *c)
{
    const size_t most = ceiling(c);
    uint32_t n = widest(c);
    if (c->held > most / 2)
        n = part(c, 16);
    else if (c->held > 3 * (most / 8))
        n = part(c, 4);
    else if (c->held < most / 4)
        return n;
    return n < c->window ? n : c->window;
}

static void adapt(struct h2_conn *c)
{
    uint32_t n = fitting(c);
    if (n == c->window || c->settings_out || c->broken)
        return;
    int64_t now = time_mono_ns();
    if (n > c->window && now - c->window_ns < WIDEN_EVERY_NS)
        return;
    const nghttp2_settings_entry s = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, n};
    if (nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, &s, 1) != 0)
        return;
    h2_windows_settings(c, false);
    c->window = n;
    c->window_ns = now;
    h2_conn_kick(c);
}

static size_t unread(const struct h2_stream *st)
{
    return st->in.n;
}

static void cut_off(struct h2_stream *st)
{
    struct fiber *server = st->finished || st->error ? NULL : st->server;
    h2_stream_cut(st, NGHTTP2_ENHANCE_YOUR_CALM);
    h2_stream_fail(st, -ECONNRESET);
    h2_stream_drop(st);
    if (server)
        fiber_cancel(server);
}

static size_t most_unread(const struct h2_conn *c)
{
    size_t most = 0;
    LIST_FOREACH (st, &c->streams, struct h2_stream, node)
        if (unread(st) > most)
            most = unread(st);
    return most;
}

/* Until an eighth is free again, so that this is not done for each frame. */
static void make_room(struct h2_conn *c)
{
    size_t enough = c->line.held_max - c->line.held_max / 8 - c->line.conn_window / 2;
    while (c->held > enough) {
        size_t most = most_unread(c);
        if (most == 0)
            return;
        LIST_FOREACH_SAFE (st, &c->streams, struct h2_stream, node)
            if (unread(st) > most / 2 && c->held > enough)
                cut_off(st);
    }
    h2_conn_kick(c);
}

/* What is held has become less. */
static void share_less(struct h2_conn *c)
{
    if (c->held < c->share.n) {
        bool given = budget_set(&c->share, c->held);
        MUST(given);
    }
}

static void share_more(struct h2_conn *c)
{
    bool fits = budget_set(&c->share, c->held);
    while (!fits) {
        size_t most = most_unread(c);
        if (most == 0)
            break;
        LIST_FOREACH_SAFE (st, &c->streams, struct h2_stream, node)
            if (unread(st) > most / 2 && !fits) {
                cut_off(st);
                fits = budget_set(&c->share, c->held);
            }
        h2_conn_kick(c);
    }
}

void h2_windows_came(struct h2_stream *st, size_t n)
{
    struct h2_conn *c = st->c;
    if (!c->line.held_max)
        return;
    c->n_laden += st->in.n >= c->line.stream_window && st->in.n - n < c->line.stream_window;
    c->held += n;
    c->owed += n;
    if (c->held > c->line.held_max - c->line.conn_window / 2)
        make_room(c);
    share_more(c);
    settle(c);
    adapt(c);
}

void h2_windows_read(struct h2_stream *st, size_t n)
{
    struct h2_conn *c = st->c;
    if (c->line.held_max) {
        c->n_laden -= st->in.n < c->line.stream_window && st->in.n + n >= c->line.stream_window;
        c->held -= n;
        share_less(c);
        settle(c);
        adapt(c);
    }
    if (c->broken)
        return;
    int r = c->line.held_max ? nghttp2_session_consume_stream(c->session, st->id, n)
                             : nghttp2_session_consume(c->session, st->id, n);
    if (r == 0 || c->line.held_max)
        h2_conn_kick(c);
}

void h2_windows_dropped(struct h2_conn *c, size_t n)
{
    if (c->line.held_max) {
        c->n_laden -= n >= c->line.stream_window;
        c->held -= n;
        share_less(c);
        settle(c);
    } else if (n && !c->broken) {
        (void)nghttp2_session_consume_connection(c->session, n);
    }
}
