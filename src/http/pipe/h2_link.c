/* h2_link.c - a connection on which requests go out.
 *
 * A link has a fiber that reads, from its making to its end or the server's, and a writer when there
 * is something to write. Requests are asked on any fiber. The server controls how many there may be
 * at once (SETTINGS_MAX_CONCURRENT_STREAMS; 100 until it has said so, never more than streams_max),
 * when it takes no more (GOAWAY), and all that comes back; a stream that it refused or did not get to
 * ends with -E_CLOSED, so that the request may go elsewhere. */
#include "http/pipe/h2.h"

#include "base/err.h"
#include "base/time.h"
#include "http/pipe/h2_conn.h"

#define LINK_STREAMS 256
#define HEAD_BYTES   (256u << 10)

struct h2_link {
    struct http_link link; /* first */
    struct h2_conn c;
    struct stream s;
    struct scope scope;
};

static struct h2_link *of(struct http_link *l)
{
    return CONTAINER_OF(l, struct h2_link, link);
}

static const struct h2_link *of_const(const struct http_link *l)
{
    return (const void *)l;
}

static bool ended(struct http_link *link)
{
    struct h2_link *l = of(link);
    return l->c.broken || l->c.goaway || stream_gone(&l->s) ||
           !nghttp2_session_check_request_allowed(l->c.session);
}

static size_t room(const struct http_link *link)
{
    const struct h2_link *l = of_const(link);
    if (l->c.broken || l->c.goaway || stream_gone(&l->s))
        return 0;
    size_t most =
        nghttp2_session_get_remote_settings(l->c.session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    if (most > l->c.streams_max)
        most = l->c.streams_max;
    size_t used = l->c.n_streams + l->c.n_lingering; /* the peer counts both */
    return most > used ? most - used : 0;
}

static int ask(struct http_link *link, struct http_pipe **ret)
{
    struct h2_link *l = of(link);
    if (ended(link))
        return -E_CLOSED;
    if (room(link) == 0)
        return -EBUSY;
    struct h2_stream *st = h2_stream_new(&l->c);
    st->open = true;
    l->c.n_streams++;
    *ret = &st->pipe;
    return 0;
}

static bool connect_protocol(const struct http_link *link)
{
    const struct h2_link *l = of_const(link);
    return l->c.calm.settings && nghttp2_session_get_remote_settings(
                                     l->c.session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

/* Ends its fibers and frees it; what it had to say has been said. */
static void dispose(struct h2_link *l)
{
    l->scope.owner = fiber_self(); /* a link goes from fiber to fiber */
    scope_done(&l->scope);
    h2_conn_done(&l->c);
    stream_done(&l->s);
    free(l);
}

static void free_link(struct http_link *link)
{
    struct h2_link *l = of(link);
    if (!l->c.broken) {
        (void)nghttp2_session_terminate_session(l->c.session, NGHTTP2_NO_ERROR);
        h2_conn_flush(&l->c);
        if (!l->c.broken && !l->c.writing)
            (void)l->s.ops->finish(
                &l->s); /* in order, as far as that can be done without waiting */
        h2_conn_break(&l->c, -ECANCELED);
    }
    dispose(l);
}

static bool is_broken(const struct http_link *link)
{
    return of_const(link)->c.broken != 0;
}

static int wait_over(struct http_link *link, struct err *e)
{
    struct h2_link *l = of(link);
    int r = 0;
    while (r == 0 && !l->c.broken && !l->c.goaway)
        r = waitq_wait(&l->c.over);
    if (r < 0)
        return err_set(e, r, "waiting for the end of a connection: %s", err_text(r));
    return l->c.broken ? h2_conn_words(&l->c, l->c.broken, e) : 0;
}

/* Its fibers find the stream closed and end by themselves. */
static void cut(struct http_link *link, int code)
{
    struct h2_link *l = of(link);
    if (!l->c.broken) {
        (void)nghttp2_session_terminate_session(l->c.session, NGHTTP2_NO_ERROR);
        h2_conn_last_words(&l->c);
        h2_conn_break(&l->c, code);
    }
    stream_done(&l->s);
}

static const struct http_link_ops link_ops = {
    .ask = ask,
    .room = room,
    .ended = ended,
    .connect_protocol = connect_protocol,
    .broken = is_broken,
    .wait = wait_over,
    .cut = cut,
    .free = free_link,
};

static int reader(void *arg)
{
    struct h2_link *l = arg;
    int64_t trim = time_mono_ns() + H2_TRIM_NS;
    fiber_deadline_clear();
    for (;;) {
        int64_t line = h2_line_next(&l->c);
        ssize_t n = h2_conn_read(&l->c, trim < line ? trim : line);
        if (n == -ETIMEDOUT) {
            int r = h2_line_look(&l->c);
            n = r < 0 ? r : 0;
            if (r == 0 && time_mono_ns() >= trim) {
                trim = FIBER_NO_DEADLINE;
                fiber_trim_stack();
            }
            if (r == 0)
                continue;
        }
        if (n > 0) {
            trim = time_mono_ns() + H2_TRIM_NS;
        } else {
            if (n == -E_PROTO || n == -E_LIMIT)
                h2_conn_flush(&l->c);
            h2_conn_break(&l->c, n == 0 ? -ECONNRESET : (int)n);
            return 0;
        }
    }
}

int h2_link_new(struct stream *s, const struct http_link_options *o, struct http_link **ret,
                struct err *e)
{
    int r = h2_lib_open(e);
    if (r < 0) {
        stream_done(s);
        return r;
    }
    struct h2_link *l = mem_new(struct h2_link);
    l->link = (struct http_link){.ops = &link_ops, .version = HTTP_2};
    scope_init(&l->scope);
    stream_move(&l->s, s);
    l->c.o.tls = o->tls;
    l->c.head_bytes_max = o->head_bytes_max ? o->head_bytes_max : HEAD_BYTES;
    l->c.streams_max = o->streams_max ? o->streams_max : LINK_STREAMS;
    l->c.line = o->line;
    r = h2_conn_init(&l->c, &l->s, &l->scope, false, e);
    if (r == 0 && (r = fiber_spawn(&l->scope, "h2-reader", reader, l, NULL)) < 0)
        err_set(e, r, "no fiber for an HTTP/2 connection: %s", err_text(r));
    if (r < 0) {
        dispose(l);
        return r;
    }
    h2_conn_kick(&l->c);
    *ret = &l->link;
    return 0;
}
