/* h2_serve.c - a connection on which requests come in.
 *
 * The caller's fiber reads; each request has a fiber of its own in the scope of the call, which ends
 * with it. A request that cannot be taken is answered here, without a fiber, with what the boundary
 * says (`refuse`). Deadlines: the preface and a head that has begun have head_timeout_ms, a connection
 * without streams idle_timeout_ms, whatever else the client sends meanwhile; an exchange has its own.
 *
 * The client controls how many streams there are: SETTINGS_MAX_CONCURRENT_STREAMS holds back those
 * that nghttp2 counts, and twice that number of fibers holds back a client that resets its streams
 * and opens new ones before the fibers are gone. */
#include "http/pipe/h2.h"

#include "base/err.h"
#include "base/time.h"
#include "http/pipe/h2_conn.h"

#define HEAD_TIMEOUT_MS 10000
#define IDLE_TIMEOUT_MS 300000
#define HEAD_BYTES      (64u << 10)
#define STREAMS         128

/* ---- requests ---- */

static int serve_one(void *arg)
{
    struct h2_stream *st = arg;
    fiber_deadline_clear();
    st->c->o.serve(st->c->o.arg, &st->pipe);
    return 0;
}

/* An answer of our own; the rest of the request is not wanted. */
static void refuse(struct h2_stream *st, int status, const char *why)
{
    const struct http_serve_options *o = &st->c->o;
    struct http_head *h = &st->refusal;
    struct http_text body = {NULL, 0};
    http_head_init(h);
    if (o->refuse)
        o->refuse(o->arg, status, why, h, &body);
    if (h->status < 200)
        h->status = status;
    h->has_length = true;
    h->length = body.n;
    h->body = body.n && !st->is_head ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
    if (h2_stream_answer(st, h) < 0) {
        h2_stream_cut(st, NGHTTP2_PROTOCOL_ERROR);
        return;
    }
    st->cut_after = true;
    if (h->body == HTTP_BODY_LENGTH) {
        st->from = body.p;
        st->from_n = body.n;
        st->finish = true;
    }
}

void h2_serve_stream(struct h2_stream *st)
{
    struct h2_conn *c = st->c;
    struct http_head *h = &st->head.head;
    st->final = true;
    st->waits = h->expect_continue;
    st->is_head = http_text_eq(h->method, "HEAD");
    st->is_connect = http_text_eq(h->method, "CONNECT");
    if (st->head.refuse) {
        refuse(st, st->head.refuse, st->head.why);
        return;
    }
    if (c->draining || c->n_streams >= 2 * (size_t)c->o.streams_max ||
        fiber_spawn(c->scope, "h2-stream", serve_one, st, &st->server) < 0) {
        h2_stream_cut(st, NGHTTP2_REFUSED_STREAM);
        return;
    }
    struct h2_arrived *a = mem_new(struct h2_arrived);
    a->head = *h;
    http_head_init(h);
    list_push_back(&st->heads, &a->node);
    st->n_heads++;
    st->open = true;
    c->n_streams++;
}

/* ---- the connection ---- */

struct clock {
    int64_t start_ns, head_ns; /* when the connection, and the last head, began */
    uint64_t heads;
    bool trimmed;
};

/* When the client has had enough time; *ret_over: the connection is at fault, not just idle. */
static int64_t patience(const struct h2_conn *c, const struct clock *k, bool *ret_over)
{
    *ret_over = true;
    if (!c->calm.settings)
        return h2_line_after(k->start_ns, c->o.head_timeout_ms);
    if (h2_calm_in_head(&c->calm))
        return h2_line_after(k->head_ns, c->o.head_timeout_ms);
    *ret_over = false;
    return c->n_streams ? FIBER_NO_DEADLINE : h2_line_after(c->idle_ns, c->o.idle_timeout_ms);
}

/* A read ended without bytes at `now`. 0: go on; 1: idle for too long, or a negative code. */
static int timed_out(struct h2_conn *c, struct clock *k, int64_t now, struct err *e)
{
    bool over;
    if (now >= patience(c, k, &over)) {
        if (!over)
            return 1;
        return err_set(e, -ETIMEDOUT, "the client took too long for %s",
                       c->calm.settings ? "a request head" : "its HTTP/2 preface");
    }
    if (!k->trimmed)
        fiber_trim_stack();
    k->trimmed = true;
    return 0;
}

static int64_t next_look(const struct h2_conn *c, const struct clock *k, int64_t now)
{
    bool over;
    int64_t until = patience(c, k, &over), look = now + H2_TRIM_NS;
    if (!k->trimmed && look < until)
        return look;
    /* With streams there is no end in sight, but they end without waking this fiber. */
    look = h2_line_after(now, c->o.idle_timeout_ms);
    return look < until ? look : until;
}

static int look_at_line(struct h2_conn *c, struct err *e)
{
    int r = h2_line_look(c);
    if (r != -ETIMEDOUT)
        return r == 0 ? 0 : h2_conn_words(c, r, e);
    h2_conn_break(c, r); /* there is nobody to be told */
    return err_set(e, r, "nothing has come from the client for %lld ms",
                   (long long)c->line.dead_ms);
}

/* 0: over in order. */
static int serve(struct h2_conn *c, struct err *e)
{
    struct clock k = {.start_ns = time_mono_ns()};
    for (;;) {
        if (c->draining && c->n_streams == 0)
            return 0;
        int64_t until = next_look(c, &k, time_mono_ns()), line = h2_line_next(c);
        if (line < until)
            until = line;
        ssize_t n = h2_conn_read(c, until);
        int64_t now = time_mono_ns();
        if (n > 0) {
            if (c->calm.heads != k.heads)
                k.head_ns = now;
            k.heads = c->calm.heads;
            k.trimmed = false;
            continue;
        }
        if (n == 0)
            return c->n_streams ? h2_conn_words(c, -ECONNRESET, e) : 0;
        if (n == -EINTR)
            continue;
        if (n != -ETIMEDOUT || now < until)
            return h2_conn_words(c, (int)n, e);
        int r = look_at_line(c, e);
        if (r == 0)
            r = timed_out(c, &k, now, e);
        if (r != 0)
            return r < 0 ? r : 0;
    }
}

static bool can_be_told(int code)
{
    return code == 0 || code == -ECANCELED || code == -ETIMEDOUT || code == -E_PROTO ||
           code == -E_LIMIT;
}

static void fill_in(struct http_serve_options *o)
{
    if (o->head_timeout_ms <= 0)
        o->head_timeout_ms = HEAD_TIMEOUT_MS;
    if (o->idle_timeout_ms <= 0)
        o->idle_timeout_ms = IDLE_TIMEOUT_MS;
    if (o->head_bytes_max == 0)
        o->head_bytes_max = HEAD_BYTES;
    if (o->streams_max == 0)
        o->streams_max = STREAMS;
}

void h2_serve_drain(struct h2_conn *c)
{
    if (c->draining || c->broken)
        return;
    c->draining = true;
    /* In the buffer at once, so that no request comes between what it says and it; what comes before it
     * can go out is refused (h2_serve_stream). */
    (void)nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(c->session),
                                NGHTTP2_NO_ERROR, NULL, 0);
    h2_conn_gather(c);
    h2_conn_kick(c);
    if (c->n_streams == 0 && c->reading)
        fiber_interrupt(c->reader);
}

size_t h2_serve_streams(const struct h2_conn *c)
{
    return c->n_streams;
}

int64_t h2_serve_rtt_ns(const struct h2_conn *c)
{
    return c->rtt_ns;
}

int h2_serve(struct stream *s, const struct http_serve_options *o, struct err *e)
{
    int r = h2_lib_open(e);
    if (r < 0)
        return r;
    struct scope scope;
    struct h2_conn c = {.o = *o};
    scope_init(&scope);
    fill_in(&c.o);
    c.head_bytes_max = c.o.head_bytes_max;
    c.streams_max = c.o.streams_max;
    c.line = c.o.line;
    r = h2_conn_init(&c, s, &scope, true, e);
    struct http_serving *serving = c.o.serving;
    if (r == 0) {
        c.reader = fiber_self();
        h2_conn_kick(&c);
        if (serving)
            serving->conn = &c;
        if (serving && serving->draining)
            h2_serve_drain(&c);
        r = serve(&c, e);
        if (can_be_told(r) && !c.broken) {
            (void)nghttp2_session_terminate_session(c.session,
                                                    NGHTTP2_NO_ERROR); /* unless it has */
            h2_conn_flush(&c);
        }
        h2_conn_break(&c, r < 0 ? r : -ECONNRESET);
    }
    scope_done(&scope);
    if (serving)
        serving->conn = NULL;
    h2_conn_done(&c);
    return r;
}
