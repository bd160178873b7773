/* exchange_upload.c - the body of a request on its way to the origin.
 *
 * Called on the exchange's fiber while another one brings the answer. Ends when the body has, when the
 * sandbox goes away (then the origin's side is cut off), or when the origin takes no more: that alone
 * says nothing, since an origin that answers early often does so, and its answer is still read. What
 * must not go out cuts the origin off; the fiber that answers says why, when it has said nothing yet.
 * A body that was cut short is never ended in order. */
#include "base/limits.h"
#include "egress/proxy/exchange_internal.h"

/* A client that expects a 100 sends nothing before. */
static int await_go(struct exchange *x)
{
    if (!x->request.expect_continue)
        return 0;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(LIMIT_EXCHANGE_CONTINUE_MS);
    int r = 0;
    while (r == 0 && !x->go && !x->answered && !x->responded)
        r = waitq_wait(&x->changed);
    if (r == -ETIMEDOUT)
        return 0; /* an origin need not say 100: the body is asked for all the same */
    /* a final answer: the body is not wanted */
    return r < 0 ? r : x->go ? 0 : -E_CLOSED;
}

static int pass_on(struct exchange *x, const void *p, size_t n, bool more)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(LIMIT_EXCHANGE_SILENCE_MS);
    x->moved++;
    return http_send_body(x->origin.pipe, p, n, more);
}

/* What the plan lets out of one piece. */
static int send_looked(struct exchange *x, const uint8_t *p, size_t n, bool idle, struct buf *out)
{
    int r;
    do {
        r = inject_body_feed(&x->body, &p, &n, out, &x->no);
        if (r > 0 && out->len > 0) {
            int s = pass_on(x, out->data, out->len, true);
            buf_reset(out);
            if (s < 0)
                return s;
        }
    } while (r > 0);
    if (r == 0 && idle)
        r = inject_body_idle(&x->body, out, &x->no);
    if (r == -E_DENIED)
        x->refused = true;
    if (r < 0)
        return r;
    r = pass_on(x, out->data, out->len, !idle);
    buf_reset(out);
    return r;
}

static ssize_t read_some(struct exchange *x, struct exchange_room *room, bool *idle)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(LIMIT_EXCHANGE_SILENCE_MS);
    ssize_t n = http_read_body(x->client, room->p, room->n, idle);
    if (n < 0)
        x->client_failed = true;
    if (n > 0 && (size_t)n > room->used)
        room->used = (size_t)n;
    if (n > 0)
        x->sent += (uint64_t)n;
    x->moved++;
    return n;
}

static int pump(struct exchange *x, struct exchange_room *room, struct buf *out)
{
    bool large =
        x->request.body == HTTP_BODY_LENGTH && x->request.length > LIMIT_EXCHANGE_RESTING_BYTES;
    for (;;) {
        bool idle = false;
        exchange_room_fit(x->w->spares, room, large);
        ssize_t n = read_some(x, room, &idle);
        if (n <= 0)
            return (int)n;
        int r = x->looks ? send_looked(x, room->p, (size_t)n, idle, out)
                         : pass_on(x, room->p, (size_t)n, !idle);
        if (r < 0)
            return r;
        large = !idle;
    }
}

static int end(struct exchange *x, struct buf *out)
{
    int r = 0;
    if (x->looks) {
        r = inject_body_end(&x->body, out, &x->no);
        if (r == 0 && out->len > 0)
            r = pass_on(x, out->data, out->len, true);
    }
    const struct http_fields *t = r == 0 ? http_trailers(x->client) : NULL;
    if (t && t->n > 0) {
        struct exchange_sandbox *s = x->sandbox;
        struct inject_world world = {
            .session = s->id, .placeholders = s->placeholders, .watch = s->watch};
        struct inject_target to = {&x->host, x->port, x->query.transport};
        r = inject_check_trailers(&world, &x->decision, &to, t, &x->no);
    }
    if (r == -E_DENIED)
        x->refused = true;
    if (r < 0)
        return r;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(LIMIT_EXCHANGE_SILENCE_MS);
    return http_send_end(x->origin.pipe, t && t->n > 0 ? t : NULL);
}

static int send_collected(struct exchange *x)
{
    int r = pass_on(x, x->collected.data, x->collected.len, true);
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(LIMIT_EXCHANGE_SILENCE_MS);
    return r < 0 ? r : http_send_end(x->origin.pipe, NULL);
}

static int upload(struct exchange *x)
{
    struct exchange_room room = {.n = 0};
    struct buf out = exchange_buf_take(x->w->spares);
    int r = await_go(x);
    if (r == 0)
        r = pump(x, &room, &out);
    if (r == 0)
        r = end(x, &out);
    exchange_room_done(x->w->spares, &room);
    exchange_buf_give(x->w->spares, &out, true);
    return r;
}

void exchange_upload(struct exchange *x)
{
    int r = x->has_collected ? send_collected(x) : upload(x);
    if (x->refused || x->client_failed || r == -ETIMEDOUT || r == -ECANCELED) {
        if (!x->refused && !x->complete)
            exchange_blame_cut(x, r, "client_gone");
        http_reset(x->origin.pipe, HTTP_RESET_CANCEL);
    }
    x->uploaded = true;
    waitq_wake_all(&x->changed);
}

void exchange_linger(struct exchange *x, const bool *over, struct http_pipe *p)
{
    int r = 0;
    while (!*over && r == 0) {
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(LIMIT_EXCHANGE_LINGER_MS);
        uint64_t moved = x->moved;
        while (!*over && r == 0)
            r = waitq_wait(&x->changed);
        if (r == -ETIMEDOUT && moved != x->moved)
            r = 0;
    }
    if (!*over)
        http_reset(p, HTTP_RESET_CANCEL);
}
