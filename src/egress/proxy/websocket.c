/* websocket.c - relays frames, with secrets put in on the way out and taken out on the way back.
 *
 * Called on the exchange's fiber, which brings what the sandbox says out; a second one brings in what
 * the origin says. Each is the only writer of the pipe it writes to. Both peers control every byte of
 * theirs. Frames are read as they come (http/wire/ws.h) and written anew: what has been decided of a
 * message goes out at the end of each piece that was read, as a fragment, and at the end of a frame what
 * was held back too, when that can be; so memory is bounded whatever a frame's length, and no message
 * waits for the next one. Changing how a message is cut is an intermediary's right as long as no
 * extension is spoken (section 5.4). Frames to the origin get fresh masks.
 *
 * Control frames may stand within a message, and are looked at by themselves. When a placeholder made
 * one longer than its 125 bytes, the reason of a Close is cut, and a ping comes empty.
 *
 * What breaks the protocol or must not go out ends both directions. The sandbox gets a Close that says
 * why, from the fiber that writes to it. A connection that is cut is passed on as a cut. */
#include "egress/proxy/websocket.h"

#include "base/limits.h"
#include "http/wire/ws.h"

#define CONTROL_SCRUBBED_MAX (64u << 10) /* 125 bytes hold no more than fifteen secrets */

struct direction {
    struct exchange *x;
    struct http_pipe *from, *to;
    bool out;   /* from the sandbox to the origin */
    bool looks; /* into frames */
    bool began; /* of the message a frame has been sent */
    struct ws_reader reader;
    struct buf payload, wire;
    const char *why; /* what the peer did wrong; static */
};

/* Shared by both. */
struct relay {
    struct direction in, out;
    bool in_over, out_over;
    const char *farewell; /* why the sandbox gets a Close */
    enum ws_code code;
};

bool websocket_looks(const struct exchange *x)
{
    const struct placeholder *some[PLACEHOLDERS_OF_SESSION_MAX];
    const struct exchange_sandbox *s = x->sandbox;
    return x->values.table || x->plan.n_uses || placeholders_list(s->placeholders, s->id, some) > 0;
}

static int pass_on(struct direction *d, bool more)
{
    if (d->wire.len == 0)
        return 0;
    AUTO(fiber_deadline) deadline = fiber_deadline_push_ms(LIMIT_EXCHANGE_SILENCE_MS);
    d->x->moved++;
    int r = http_send_body(d->to, d->wire.data, d->wire.len, more);
    if (!d->out)
        d->x->received += d->wire.len;
    buf_reset(&d->wire);
    return r;
}

/* ---- what is done with the bytes of a message ---- */

/* As inject_body_feed and reply_feed. */
static int feed(struct direction *d, const uint8_t **p, size_t *n)
{
    struct exchange *x = d->x;
    return d->out ? inject_body_feed(&x->body, p, n, &d->payload, &x->no)
                  : reply_feed(&x->reply, p, n, &d->payload, &x->err);
}

static int end(struct direction *d)
{
    struct exchange *x = d->x;
    return d->out ? inject_body_end(&x->body, &d->payload, &x->no)
                  : reply_end(&x->reply, &d->payload, &x->err);
}

static int idle(struct direction *d)
{
    return d->out ? inject_body_idle(&d->x->body, &d->payload, &d->x->no)
                  : reply_idle(&d->x->reply, &d->payload);
}

static int frame(struct direction *d, enum ws_opcode opcode, bool fin)
{
    int r = ws_frame(&d->wire, opcode, fin, buf_str(&d->payload), d->payload.len, d->out);
    buf_reset(&d->payload);
    return r;
}

/* What has come out of a message so far, as a frame of its own. */
static int fragment(struct direction *d, const struct ws_piece *w, bool last)
{
    if (d->payload.len == 0 && !last)
        return 0;
    int r = frame(d, d->began ? WS_CONTINUATION : w->opcode, last);
    d->began = true;
    return r;
}

static int take_data(struct direction *d, const struct ws_piece *w)
{
    if (w->first) {
        d->began = false;
        if (d->out)
            inject_message_begin(&d->x->body, w->opcode == WS_TEXT);
        else
            reply_message(&d->x->reply);
    }
    const uint8_t *p = w->p;
    size_t n = w->n;
    int r;
    while ((r = feed(d, &p, &n)) > 0) {
        r = fragment(d, w, false);
        if (r == 0)
            r = pass_on(d, true);
        if (r < 0)
            return r;
    }
    if (r == 0 && w->last)
        r = end(d);
    else if (r == 0 && w->frame_end)
        r = idle(d);
    return r < 0 ? r : fragment(d, w, w->last);
}

static int take_control(struct direction *d, const struct ws_piece *w)
{
    struct exchange *x = d->x;
    if (d->out) {
        int r = inject_control(&x->body, w->p, w->n, &x->no);
        return r < 0 ? r : ws_frame(&d->wire, w->opcode, true, w->p, w->n, true);
    }
    AUTO(buf) payload = BUF_INIT(CONTROL_SCRUBBED_MAX);
    int r = reply_control(&x->reply, w->p, w->n, &payload);
    if (r < 0)
        return r;
    size_t n = payload.len <= WS_CONTROL_MAX ? payload.len
               : w->opcode == WS_CLOSE       ? WS_CONTROL_MAX
                                             : 0;
    return ws_frame(&d->wire, w->opcode, true, buf_str(&payload), n, false);
}

static int take(struct direction *d, uint8_t *p, size_t n)
{
    struct ws_piece w;
    int r;
    while ((r = ws_read(&d->reader, &p, &n, &w, &d->why)) > 0) {
        r = w.opcode >= WS_CLOSE ? take_control(d, &w) : take_data(d, &w);
        if (r == 0 && d->wire.len > LIMIT_EXCHANGE_BUFFER_BYTES)
            r = pass_on(d, true);
        if (r < 0)
            return r;
    }
    return r;
}

/* ---- a direction ---- */

static ssize_t read_some(struct direction *d, struct exchange_room *room, bool *ret_idle)
{
    AUTO(fiber_deadline) deadline = fiber_deadline_push_ms(LIMIT_EXCHANGE_SILENCE_MS);
    ssize_t n = http_read_body(d->from, room->p, room->n, ret_idle);
    if (n > 0 && (size_t)n > room->used)
        room->used = (size_t)n;
    if (n > 0 && d->out)
        d->x->sent += (uint64_t)n;
    d->x->moved++;
    return n;
}

static int pump(struct direction *d, struct exchange_room *room)
{
    for (bool large = false;;) {
        bool resting = false;
        exchange_room_fit(d->x->w->spares, room, large);
        ssize_t n = read_some(d, room, &resting);
        if (n <= 0)
            return (int)n;
        int r;
        if (d->looks) {
            r = d->out ? 0 : exchange_renew(d->x);
            if (r == 0)
                r = take(d, room->p, (size_t)n);
            if (r == 0)
                r = pass_on(d, !resting);
        } else {
            r = buf_add(&d->wire, room->p, (size_t)n);
            if (r == 0)
                r = pass_on(d, !resting);
        }
        if (r < 0)
            return r;
        large = !resting;
    }
}

static int run(struct direction *d)
{
    struct exchange_spares *s = d->x->w->spares;
    struct exchange_room room = {.n = 0};
    d->payload = exchange_buf_take(s);
    d->wire = exchange_buf_take(s);
    int r = pump(d, &room);
    if (r == 0)
        r = http_send_end(d->to, NULL);
    exchange_room_done(s, &room);
    exchange_buf_give(s, &d->payload, d->out);
    buf_reset(&d->wire);
    return r;
}

/* Both ends hear that it is over, each from its own writer. */
static void part(struct relay *w, enum ws_code code, const char *words)
{
    if (w->farewell)
        return;
    w->code = code;
    w->farewell = words;
}

static void say_farewell(struct relay *w)
{
    struct direction *d = &w->in;
    if (!w->farewell || w->in.reader.ended)
        return;
    AUTO(fiber_deadline) deadline = fiber_deadline_push_ms(LIMIT_EXCHANGE_LINGER_MS);
    if (!d->looks || ws_close(&d->wire, w->code, w->farewell, false) < 0 || pass_on(d, false) < 0)
        return;
    (void)!http_send_end(d->to, NULL);
}

/* What the origin says, to the sandbox. */
static int run_in(void *arg)
{
    struct relay *w = arg;
    struct direction *d = &w->in;
    struct exchange *x = d->x;
    int r = run(d);
    if (r == -E_PROTO || r == -E_PARSE || r == -E_LIMIT) {
        exchange_blame(x, "error", "bad_answer", d->why);
        part(w, WS_CODE_INTERNAL, "the origin broke the WebSocket protocol");
    }
    if (r < 0) {
        say_farewell(w);
        if (!w->farewell && !w->out_over)
            exchange_blame_cut(x, r, "cut");
        http_reset(d->from, HTTP_RESET_CANCEL);
        if (!w->farewell)
            http_reset(d->to, HTTP_RESET_INTERNAL);
    }
    exchange_buf_give(x->w->spares, &d->wire, false);
    w->in_over = true;
    waitq_wake_all(&x->changed);
    exchange_linger(x, &w->out_over, x->client);
    return 0;
}

/* What the sandbox says, to the origin. */
static void run_out(struct relay *w)
{
    struct direction *d = &w->out;
    struct exchange *x = d->x;
    int r = run(d);
    if (r == -E_DENIED) {
        x->refused = true;
        exchange_blame(x, "deny", inject_why_name(x->no.why), x->no.words);
        part(w, WS_CODE_POLICY, x->no.words);
    } else if (r == -E_PROTO) {
        exchange_blame(x, "error", "bad_frame", d->why);
        part(w, WS_CODE_PROTOCOL, d->why);
    } else if (r < 0 && !w->in_over) {
        exchange_blame_cut(x, r, "cut");
    }
    if (r < 0)
        http_reset(d->to, HTTP_RESET_CANCEL);
    exchange_buf_give(x->w->spares, &d->wire, true);
    w->out_over = true;
    waitq_wake_all(&x->changed);
    exchange_linger(x, &w->in_over, x->origin.pipe);
}

static void both_ways(struct relay *w)
{
    struct exchange *x = w->out.x;
    AUTO(scope) scope;
    scope_init(&scope);
    if (fiber_spawn(&scope, "websocket in", run_in, w, NULL) < 0) {
        http_reset(x->client, HTTP_RESET_INTERNAL);
        return;
    }
    run_out(w);
    if (scope_join(&scope) < 0)
        exchange_blame(x, "error", "cancelled", NULL);
}

void websocket_relay(struct exchange *x)
{
    struct relay *w = mem_new(struct relay);
    bool looks = websocket_looks(x);
    w->in = (struct direction){.x = x, .from = x->origin.pipe, .to = x->client, .looks = looks};
    w->out = (struct direction){
        .x = x, .from = x->client, .to = x->origin.pipe, .out = true, .looks = looks};
    w->out.reader.masked = true;
    both_ways(w);
    free(w);
}
