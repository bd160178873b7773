/* piece.c - what a silent stream keeps.
 *
 * Ten thousand streams of events may lie idle, each with a fiber that waits for the server and one that waits
 * for the caller to leave. A buffer of 16 KiB and the stack pages that a handshake has touched would be most of
 * what one costs. So each waits in two steps: two seconds ready to take much, and then with 512 bytes and
 * nothing below its frames. What then comes in full grows the buffer again. One that comes full takes more at once for
 * as long as it does, since large bodies cost by the read. A deadline of the caller's that
 * ends in the first step ends the second one at once. */
#include "tunnel/gateway/piece.h"

#include "fiber/fiber.h"

#include <string.h>

#define BULK_BYTES  (64u << 10)
#define LARGE_BYTES (16u << 10)
#define SMALL_BYTES 512
#define CALM_MS     2000

void piece_init(struct piece *p)
{
    *p = (struct piece){.p = mem_array(LARGE_BYTES, 1), .n = LARGE_BYTES};
}

void piece_done(struct piece *p)
{
    free(p->p);
}

static void resize(struct piece *p, size_t n, size_t keep)
{
    char *now = mem_array(n, 1);
    memcpy(now, p->p, keep);
    free(p->p);
    *p = (struct piece){.p = now, .n = n};
}

/* What the last read has left is used up. */
static void fit(struct piece *p)
{
    if (p->n == LARGE_BYTES && p->last == LARGE_BYTES)
        resize(p, BULK_BYTES, 0);
    else if (p->n == BULK_BYTES && p->last < LARGE_BYTES)
        resize(p, LARGE_BYTES, 0);
}

ssize_t piece_read(struct piece *p, struct http_pipe *from, bool *ret_idle)
{
    fit(p);
    if (p->n >= LARGE_BYTES) {
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(CALM_MS);
        ssize_t n = http_read_body(from, p->p, p->n, ret_idle);
        if (n != -ETIMEDOUT) {
            p->last = n > 0 ? (size_t)n : 0;
            return n;
        }
    }
    resize(p, SMALL_BYTES, 0);
    fiber_trim_stack();
    ssize_t n = http_read_body(from, p->p, p->n, ret_idle);
    if (n > 0)
        resize(p, LARGE_BYTES, (size_t)n);
    return n;
}

int piece_wait_gone(struct http_pipe *p)
{
    {
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(CALM_MS);
        int r = http_wait_gone(p);
        if (r != -ETIMEDOUT)
            return r;
    }
    fiber_trim_stack();
    return http_wait_gone(p);
}
