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
 * Control frames may stand within a message; they go through a second stream, so that the message's
 * own is not disturbed, and are cut to their 125 bytes when a placeholder made them longer.
 *
 * What breaks the protocol or must not go out ends both directions. The sandbox gets a Close that says
 * why, from the fiber that writes to it. A connection that is cut is passed on as a cut. */
#include "egress/proxy/websocket.h"

#include "base/limits.h"
#include "http/wire/ws.h"

struct direction {
    struct exchange *x;
    struct http_pipe *from, *to;
    bool out;   /* from the sandbox to the origin */
    bool looks; /* into frames */
    bool began; /* of the message a frame has been sent */
    uint64_t *bytes;
    struct ws_reader reader;
    struct reply message, control;          /* towards the sandbox */
    struct inject_body *body, control_body; /* towards the origin */
    struct buf payload, wire;
    const char *why; /* what the peer did wrong; static */
};

/* Shared by both. */
struct relay {
    struct direction in, out;
    struct inject_plan nothing; /* to look at control frames: replaces nothing */
    bool in_over, out_over;
    const char *farewell; /* why the sandbox gets a Close */
    enum ws_code code;
    char words[WS_CONTROL_MAX];
};

bool websocket_looks(const struct exchange *x)
{
    return x->values.table || x->plan.watch || x->plan.n_uses;
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

static void begin(struct direction *d, bool control, bool text)
{
    if (d->out)
        inject_message_begin(control ? &d->control_body : d->body, text);
    else
        reply_message(control ? &d->control : &d->message, text);
}

static int feed_out(struct direction *d, bool control, const uint8_t *p, size_t n, bool end)
{
    struct inject_body *b = control ? &d->control_body : d->body;
    int r;
    do
        r = inject_body_feed(b, &p, &n, &d->payload, &d->x->no);
    while (r > 0);
    if (r == 0 && end)
        r = inject_message_end(b, &d->payload, &d->x->no);
    if (r == -E_DENIED)
        d->x->refused = true;
    return r;
}

static int feed_in(struct direction *d, bool control, const uint8_t *p, size_t n, bool end)
{
    struct reply *m = control ? &d->control : &d->message;
    int r;
    do
        r = reply_feed(m, &p, &n, &d->payload, &d->x->err);
    while (r > 0);
    return r == 0 && end ? reply_end(m, &d->payload, &d->x->err) : r;
}

static int feed(struct direction *d, bool control, const uint8_t *p, size_t n, bool end)
{
    return d->out ? feed_out(d, control, p, n, end) : feed_in(d, control, p, n, end);
}

static int idle(struct direction *d)
{
    return d->out ? inject_body_idle(d->body, &d->payload, &d->x->no)
                  : reply_idle(&d->message, &d->payload);
}

static int frame(struct direction *d, enum ws_opcode opcode, bool fin)
{
    int r = ws_frame(&d->wire, opcode, fin, buf_str(&d->payload), d->payload.len, d->out);
    buf_reset(&d->payload);
    return r;
}

static int take_data(struct direction *d, const struct ws_piece *w)
{
    if (w->first) {
        begin(d, false, w->opcode == WS_TEXT);
        d->began = false;
    }
    int r = feed(d, false, w->p, w->n, w->last);
    if (r == 0 && w->frame_end && !w->last)
        r = idle(d);
    if (r < 0 || (d->payload.len == 0 && !w->last))
        return r;
    r = frame(d, d->began ? WS_CONTINUATION : w->opcode, w->last);
    d->began = true;
    return r;
}

static int take_control(struct direction *d, const struct ws_piece *w)
{
    begin(d, true, false);
    int r = feed(d, true, w->p, w->n, true);
    if (r < 0)
        return r;
    if (d->payload.len > WS_CONTROL_MAX)
        d->payload.len = WS_CONTROL_MAX;
    return frame(d, w->opcode, true);
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
            exchange_blame(x, "error",
                           x->stopped        ? "policy_changed"
                           : r == -ETIMEDOUT ? "timeout"
                                             : "cut",
                           NULL);
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
    if (x->refused) {
        exchange_blame(x, "deny", inject_why_name(x->no.why), x->no.words);
        part(w, WS_CODE_POLICY, x->no.words);
    } else if (r == -E_PROTO) {
        exchange_blame(x, "error", "bad_frame", d->why);
        part(w, WS_CODE_PROTOCOL, d->why);
    }
    if (r < 0)
        http_reset(d->to, HTTP_RESET_CANCEL);
    exchange_buf_give(x->w->spares, &d->wire, true);
    w->out_over = true;
    waitq_wake_all(&x->changed);
    exchange_linger(x, &w->in_over, x->origin.pipe);
}

static int prepare(struct relay *w, struct exchange *x)
{
    bool looks = websocket_looks(x);
    w->in = (struct direction){.x = x, .from = x->origin.pipe, .to = x->client, .looks = looks};
    w->out = (struct direction){.x = x,
                                .from = x->client,
                                .to = x->origin.pipe,
                                .out = true,
                                .looks = looks,
                                .body = &x->body};
    w->out.reader.masked = true;
    reply_init(&w->in.message, x->values.table);
    reply_init(&w->in.control, x->values.table);
    w->nothing = x->plan;
    w->nothing.n_uses = 0;
    struct http_head none;
    http_head_init(&none);
    int r = looks ? inject_body_begin(&w->out.control_body, &w->nothing, x->values.values, &none,
                                      &x->no)
                  : 0;
    http_head_done(&none);
    return r;
}

void websocket_relay(struct exchange *x)
{
    struct relay *w = mem_new(struct relay);
    if (prepare(w, x) < 0) {
        http_reset(x->client, HTTP_RESET_INTERNAL);
    } else {
        AUTO(scope) scope;
        scope_init(&scope);
        if (fiber_spawn(&scope, "websocket in", run_in, w, NULL) == 0) {
            run_out(w);
            if (scope_join(&scope) < 0)
                exchange_blame(x, "error", "cancelled", NULL);
        } else {
            http_reset(x->client, HTTP_RESET_INTERNAL);
        }
    }
    x->reply.hits += w->in.message.hits + w->in.control.hits;
    reply_done(&w->in.message);
    reply_done(&w->in.control);
    inject_body_done(&w->out.control_body);
    free(w);
}
