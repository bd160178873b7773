/* ws.c - fuzzes the reader of WebSocket frames: cutting the input differently changes nothing.
 *
 * Theory of operation: the first byte chooses side and step; the rest is read whole, byte by byte and
 * in steps. All must agree on the verdict and on what was said, pieces of a frame joined. What was
 * said is then written again, frame by frame, and must be read as the same. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/err.h"
#include "http/wire/ws.h"

#include <string.h>

struct outcome {
    int r;
    struct buf said;  /* 'f' opcode, payload, 'e' or 'l' */
    struct buf again; /* the same, as frames of a client */
    struct buf frame;
};

static void outcome_done(struct outcome *o)
{
    buf_done(&o->said);
    buf_done(&o->again);
    buf_done(&o->frame);
}

static void note(struct outcome *o, const struct ws_piece *w)
{
    bool control = w->opcode >= WS_CLOSE;
    MUST(w->opcode != WS_CONTINUATION && (!control || (w->last && w->n <= WS_CONTROL_MAX)));
    MUST(!w->last || w->frame_end);
    if (w->first)
        (void)buf_addf(&o->said, "<%d:", (int)w->opcode);
    (void)buf_add(&o->said, w->p, w->n);
    if (w->frame_end)
        (void)buf_adds(&o->said, w->last ? ">" : "|");
}

static void feed(const uint8_t *data, size_t n, size_t step, bool masked, struct outcome *o)
{
    struct ws_reader reader = {.masked = masked};
    *o = (struct outcome){
        .said = BUF_INIT(1 << 22), .again = BUF_INIT(1 << 22), .frame = BUF_INIT(1 << 22)};
    bool first = false;
    for (size_t at = 0; at < n && o->r >= 0;) {
        size_t k = n - at < step ? n - at : step;
        AUTO_FREE uint8_t *copy = malloc(k);
        memcpy(copy, data + at, k);
        at += k;
        uint8_t *p = copy;
        struct ws_piece w;
        const char *why;
        while ((o->r = ws_read(&reader, &p, &k, &w, &why)) > 0) {
            note(o, &w);
            if (w.opcode >= WS_CLOSE) {
                MUST(ws_frame(&o->again, w.opcode, true, w.p, w.n, true) == 0);
                continue;
            }
            first |= w.first;
            (void)buf_add(&o->frame, w.p, w.n);
            if (!w.frame_end)
                continue;
            MUST(ws_frame(&o->again, first ? w.opcode : WS_CONTINUATION, w.last, o->frame.data,
                          o->frame.len, true) == 0);
            buf_reset(&o->frame);
            first = false;
        }
        MUST(o->r < 0 || k == 0);
        MUST(o->r >= 0 || (o->r == -E_PROTO && why));
    }
}

static void same(const struct outcome *a, const struct outcome *b)
{
    MUST(a->r == b->r && a->said.len == b->said.len);
    MUST(a->said.len == 0 || memcmp(a->said.data, b->said.data, a->said.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    bool masked = data[0] & 1;
    size_t step = 1 + (data[0] >> 1);
    data++;
    n--;
    AUTO(outcome) whole;
    AUTO(outcome) bytes;
    AUTO(outcome) steps;
    feed(data, n, n, masked, &whole);
    feed(data, n, 1, masked, &bytes);
    feed(data, n, step, masked, &steps);
    same(&whole, &bytes);
    same(&whole, &steps);
    if (whole.frame.len || whole.again.len == 0)
        return 0;
    AUTO(outcome) again;
    feed((const uint8_t *)whole.again.data, whole.again.len, 4096, true, &again);
    /* a frame that had begun, and of which no byte had come, is not written again */
    MUST(again.r == 0 && again.said.len <= whole.said.len);
    MUST(memcmp(again.said.data, whole.said.data, again.said.len) == 0);
    return 0;
}
