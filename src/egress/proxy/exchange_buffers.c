/* exchange_buffers.c - the buffers of exchanges, and those kept for the next one.
 *
 * Called on the fibers of exchanges; nothing here suspends. A direction that waits holds 2 KiB, one
 * in which bytes flow 32 KiB. What is kept for later is capped, so a burst does not stay. Buffers hold
 * what one sandbox and one origin said to each other, secrets among it before they are scrubbed: what
 * was written is wiped before the next one gets them. */
#include "base/limits.h"
#include "base/secret.h"
#include "egress/proxy/exchange_internal.h"

#define KEEP_BYTES (128u << 10) /* a larger buf is freed */

void exchange_room_fit(struct exchange_spares *s, struct exchange_room *r, bool large)
{
    size_t n = large ? LIMIT_EXCHANGE_BUFFER_BYTES : LIMIT_EXCHANGE_RESTING_BYTES;
    if (r->n == n)
        return;
    exchange_room_done(s, r);
    r->p = spare_take(large ? &s->large : &s->small, n);
    r->n = n;
}

void exchange_room_done(struct exchange_spares *s, struct exchange_room *r)
{
    if (!r->n)
        return;
    secret_wipe(r->p, r->used);
    spare_give(r->n == LIMIT_EXCHANGE_BUFFER_BYTES ? &s->large : &s->small, r->p);
    *r = (struct exchange_room){.n = 0};
}

struct buf exchange_buf_take(struct exchange_spares *s)
{
    if (s->kept.n > 0)
        return s->kept.bufs[--s->kept.n];
    return BUF_INIT(LIMIT_EXCHANGE_OUT_BYTES);
}

void exchange_buf_give(struct exchange_spares *s, struct buf *b, bool wipe)
{
    if (wipe && b->data)
        secret_wipe(b->data, b->cap);
    if (s->kept.n < ARRAY_LEN(s->kept.bufs) && b->data && b->cap <= KEEP_BYTES) {
        buf_reset(b);
        s->kept.bufs[s->kept.n++] = *b;
    } else {
        buf_done(b);
    }
    *b = (struct buf){.max = 0};
}

void exchange_spares_done(struct exchange_spares *s)
{
    spare_done(&s->exchanges);
    spare_done(&s->small);
    spare_done(&s->large);
    while (s->kept.n > 0)
        buf_done(&s->kept.bufs[--s->kept.n]);
}
