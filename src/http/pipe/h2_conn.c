/* h2_conn.c - the connection: what is read goes into nghttp2, what it has to say is written.
 *
 * One fiber reads: the caller of h2_serve, or a link's own. What is to be written is gathered, by
 * whichever fiber has made it, into one buffer of the connection, and a writer writes it: a fiber that
 * lives from the first byte to the last and runs when the others that were ready have had their turn,
 * so that the frames of many streams go out in one write (one TLS record), and an idle connection has
 * neither buffer nor writer. The reader never writes: two connections that wait for each other to read
 * would wait for ever.
 *
 * Bytes are read into memory that all connections of the thread share; from read to the end of
 * mem_recv nothing suspends. nghttp2 is entered from fibers only, never from its own callbacks.
 *
 * The peer controls all that arrives, and when it reads. Limits: H2_OUT_BYTES, twice while writing;
 * the windows; what h2_calm counts; nghttp2's own (1,000 acknowledgements, 32 settings). */
#include "http/pipe/h2_conn.h"

#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/time.h"
#include "http/pipe/h2_memory.h"

#define READ_BYTES                                                                                 \
    (16u << 10)            /* a TLS record; each thread has it, and some have stacks of 64 KiB */
#define OUT_ITEMS_MAX 4096 /* frames that wait for a peer that does not read; and 4 a stream */
#define SEND_HEAD_MAX (1u << 20)
#define OUT_SPARES    16
#define SETTINGS_MAX  8
#define MANY_STREAMS  500 /* nghttp2 allows for 1,000 resets at once, and 33 a second */

static _Thread_local char read_bytes[READ_BYTES];
static _Thread_local struct spare out_spares;

/* A burst of connections does not leave a buffer for each behind. */
static void give_out(char *p)
{
    if (out_spares.n < OUT_SPARES)
        spare_give(&out_spares, p);
    else
        free(p);
}

/* What could not be written. */
static void drop_out(struct h2_conn *c)
{
    if (c->out && c->out_secret)
        explicit_bzero(c->out, c->out_n);
    give_out(TAKE(c->out));
    c->out_n = 0;
    c->out_secret = false;
}

static int64_t now_ms(void)
{
    return time_mono_ns() / NS_PER_MS;
}

/* ---- making and ending ---- */

static nghttp2_option *options(const struct h2_conn *c)
{
    nghttp2_option *o;
    if (nghttp2_option_new(&o) != 0)
        return NULL;
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_max_send_header_block_length(o, SEND_HEAD_MAX);
    if (h2_lib.set_reset_rate && c->streams_max >= MANY_STREAMS)
        h2_lib.set_reset_rate(o, 2 * c->streams_max,
                              c->streams_max); /* h2_calm counts more finely */
    return o;
}

static void add(nghttp2_settings_entry *all, size_t *n, int32_t id, uint32_t value)
{
    MUST(*n < SETTINGS_MAX);
    all[(*n)++] = (nghttp2_settings_entry){id, value};
}

static int submit_settings(struct h2_conn *c)
{
    nghttp2_settings_entry all[SETTINGS_MAX];
    size_t n = 0;
    add(all, &n, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, c->window);
    add(all, &n, NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)c->head_bytes_max);
    /* No tree of priorities (RFC 9113 5.3): nothing to be made large. */
    add(all, &n, NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1);
    if (!c->serving)
        add(all, &n, NGHTTP2_SETTINGS_ENABLE_PUSH, 0);
    if (c->serving)
        add(all, &n, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->o.streams_max);
    if (c->serving && c->o.connect_protocol)
        add(all, &n, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1);
    int r = nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, all, n);
    if (r == 0)
        r = nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
                                                  (int32_t)c->line.conn_window);
    h2_windows_settings(c, false);
    return r;
}

int h2_conn_init(struct h2_conn *c, struct stream *io, struct scope *scope, bool serving,
                 struct err *e)
{
    c->io = io;
    c->scope = scope;
    c->serving = serving;
    c->idle_ns = c->heard_ns = c->pinged_ns = time_mono_ns();
    list_init(&c->streams);
    waitq_init(&c->written);
    waitq_init(&c->room);
    waitq_init(&c->over);
    h2_calm_init(&c->calm, serving, c->streams_max, now_ms());
    h2_windows_init(c);
    nghttp2_option *o = options(c);
    const nghttp2_session_callbacks *events = h2_events();
    int r = -1;
    if (o && events)
        r = serving ? nghttp2_session_server_new3(&c->session, events, c, o, &h2_memory)
                    : nghttp2_session_client_new3(&c->session, events, c, o, &h2_memory);
    if (o)
        nghttp2_option_del(o);
    if (r != 0 || submit_settings(c) != 0)
        return err_set(e, -ENOMEM, "no memory for a session of HTTP/2");
    return 0;
}

void h2_conn_done(struct h2_conn *c)
{
    MUST(!c->writing && c->n_streams == 0);
    LIST_FOREACH_SAFE (st, &c->streams, struct h2_stream, node) {
        st->in_session = false;
        h2_stream_release(st);
    }
    if (c->session)
        nghttp2_session_del(c->session);
    c->session = NULL;
    budget_end(&c->share);
    drop_out(c);
}

/* Whether the connection was over before the peer can have seen the request: nothing has come since
 * it was sent. An idle connection that is closed while a request is on its way looks like this. */
static bool was_not_seen(const struct h2_conn *c, const struct h2_stream *st, int code)
{
    return !c->serving && (code == -ECONNRESET || code == -EPIPE) &&
           (st->id == 0 || st->received == c->received);
}

void h2_conn_break(struct h2_conn *c, int code)
{
    if (!c->broken)
        c->broken = code;
    waitq_wake_all(&c->over);
    /* The connection's deadline is not the caller's, after which it might try again. */
    int cut = code == -ETIMEDOUT ? -ECONNRESET : code;
    LIST_FOREACH_SAFE (st, &c->streams, struct h2_stream, node) {
        struct fiber *server = h2_stream_complete(st) ? NULL : st->server;
        h2_stream_fail(st, was_not_seen(c, st, code) ? -E_CLOSED : cut);
        if (server)
            fiber_cancel(server);
    }
}

/* ---- reading ---- */

/* The peer is told, and nothing more is taken from it. */
static int terminate(struct h2_conn *c, uint32_t code)
{
    (void)nghttp2_session_terminate_session(c->session, code);
    return code == NGHTTP2_ENHANCE_YOUR_CALM ? -E_LIMIT : -E_PROTO;
}

static int feed(struct h2_conn *c, const void *p, size_t n)
{
    if (!c->excess)
        c->excess = h2_calm_see(&c->calm, p, n, now_ms());
    if (c->excess)
        return terminate(c, NGHTTP2_ENHANCE_YOUR_CALM);
    fiber_no_suspend_begin();
    ssize_t r = nghttp2_session_mem_recv(c->session, p, n);
    fiber_no_suspend_end();
    if (c->excess)
        return terminate(c, NGHTTP2_ENHANCE_YOUR_CALM); /* the callbacks found it */
    if (r < 0) {
        c->lib_error = (int)r;
        return r == NGHTTP2_ERR_NOMEM ? -ENOMEM : terminate(c, NGHTTP2_PROTOCOL_ERROR);
    }
    h2_conn_gather(c); /* a GOAWAY that nghttp2 wants to say counts once it is gathered */
    if (nghttp2_session_get_outbound_queue_size(c->session) > OUT_ITEMS_MAX + 4 * c->streams_max) {
        c->excess = "frames without reading ours";
        return terminate(c, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    if (c->goaway || c->draining) /* then it wants to read no more than it has streams */
        return c->broken;
    return nghttp2_session_want_read(c->session) ? c->broken : -E_PROTO;
}

int h2_conn_feed(struct h2_conn *c, const void *p, size_t n)
{
    c->received += n;
    int r = feed(c, p, n);
    h2_conn_kick(c);
    return r;
}

/* What a read has returned. */
static ssize_t take(struct h2_conn *c, ssize_t n)
{
    if (n <= 0)
        return n;
    c->heard_ns = time_mono_ns();
    int r = h2_conn_feed(c, read_bytes, (size_t)n);
    return r < 0 ? r : n;
}

ssize_t h2_conn_read(struct h2_conn *c, int64_t until_ns)
{
    struct fiber_deadline d = fiber_deadline_push(until_ns);
    c->reading = true;
    ssize_t n = stream_read(c->io, read_bytes, sizeof(read_bytes));
    c->reading = false;
    fiber_deadline_pop(&d);
    return take(c, n);
}

ssize_t h2_conn_try_read(struct h2_conn *c)
{
    c->io->io.drained = c->io->io.emptied = false; /* the loop may not have looked yet */
    return take(c, stream_try_read(c->io, read_bytes, sizeof(read_bytes)));
}

int h2_conn_words(const struct h2_conn *c, int code, struct err *e)
{
    const char *who = c->serving ? "client" : "server";
    if (code == -E_LIMIT && c->excess)
        return err_set(e, code, "the %s sent too many %s", who, c->excess);
    if (code == -E_PROTO)
        return err_set(e, code, "the %s broke the rules of HTTP/2 (%s)", who,
                       c->lib_error ? nghttp2_strerror(c->lib_error) : "connection error");
    return err_set(e, code, "the HTTP/2 connection of the %s ended: %s", who, err_text(code));
}

/* ---- writing ---- */

/* The frame that nghttp2 has just handed over is in our buffer. Its own copy of a head that goes to a
 * server would stay until the next frame, and be of no more use to it. */
static void wipe_head(struct h2_conn *c, const uint8_t *p, size_t n)
{
    union {
        const uint8_t *from;
        uint8_t *to;
    } frame = {p};
    if (c->serving || n < 9 || (p[3] != NGHTTP2_HEADERS && p[3] != NGHTTP2_CONTINUATION))
        return;
    explicit_bzero(frame.to, n);
    c->out_secret = true;
}

void h2_conn_gather(struct h2_conn *c)
{
    fiber_no_suspend_begin();
    while (!c->broken) {
        if (!c->out) {
            if (!nghttp2_session_want_write(c->session))
                break;
            c->out = spare_take(&out_spares, H2_OUT_BYTES);
            c->out_n = 0;
        }
        if (!h2_conn_has_room(c))
            break;
        const uint8_t *p;
        c->paused = false;
        ssize_t n = nghttp2_session_mem_send(c->session, &p);
        if (n == 0 && c->paused)
            continue; /* there was a DATA frame, which is in the buffer already */
        if (n == 0)
            break;
        if (n < 0 || (size_t)n > H2_OUT_BYTES - c->out_n) {
            h2_conn_break(c, n == NGHTTP2_ERR_NOMEM ? -ENOMEM : -E_PROTO);
            break;
        }
        memcpy(c->out + c->out_n, p, (size_t)n);
        c->out_n += (size_t)n;
        wipe_head(c, p, (size_t)n);
    }
    fiber_no_suspend_end();
}

/* Writes until there is nothing more. While one buffer is being written the next one fills. */
static int writer(void *arg)
{
    struct h2_conn *c = arg;
    fiber_deadline_clear();
    for (;;) {
        h2_conn_gather(c);
        if (c->broken || !c->out_n)
            break;
        char *out = TAKE(c->out);
        size_t n = c->out_n;
        bool secret = c->out_secret;
        c->out_n = 0;
        c->out_secret = false;
        h2_conn_gather(c);
        c->in_write = true;
        int r = stream_write(c->io, out, n);
        c->in_write = false;
        if (secret)
            explicit_bzero(out, n);
        give_out(out);
        waitq_wake_all(&c->room);
        if (r < 0)
            h2_conn_break(c, r);
    }
    drop_out(c);
    c->writing = false;
    waitq_wake_all(&c->written);
    return 0;
}

void h2_conn_kick(struct h2_conn *c)
{
    if (c->writing || c->broken || (!c->out_n && !nghttp2_session_want_write(c->session)))
        return;
    int r = fiber_spawn(c->scope, "h2-writer", writer, c, NULL);
    if (r < 0)
        h2_conn_break(c, r);
    else
        c->writing = true;
}

void h2_conn_last_words(struct h2_conn *c)
{
    h2_conn_gather(c);
    if (c->out_n && !c->in_write && !c->broken)
        (void)c->io->ops->write(c->io, c->out, c->out_n);
    drop_out(c);
}

void h2_conn_left(struct h2_conn *c)
{
    if (--c->n_streams > 0)
        return;
    c->idle_ns = time_mono_ns();
    if (c->draining && c->reading)
        fiber_interrupt(c->reader);
}

void h2_conn_flush(struct h2_conn *c)
{
    AUTO(fiber_shield) shield = fiber_shield_begin(H2_FLUSH_MS);
    h2_conn_kick(c);
    int r = 0;
    while (c->writing && r == 0)
        r = waitq_wait(&c->written);
}
