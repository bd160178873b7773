/* h1_chunked.c - fuzzes the chunked decoder: cutting the input differently changes nothing.
 *
 * Theory of operation: the first byte chooses a step; the rest is fed whole, byte by byte, and in
 * steps. All three must agree on the verdict, the bytes consumed and the payload; dropping the
 * payload must consume as much. A decoded payload is encoded again and must come back. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/err.h"
#include "http/wire/h1.h"

#include <string.h>

struct outcome {
    ssize_t r; /* bytes consumed or the error */
    bool done;
    struct buf out;
};

static void outcome_done(struct outcome *o)
{
    buf_done(&o->out);
}

static void feed(const uint8_t *data, size_t n, size_t step, bool keep, struct outcome *o)
{
    struct h1_chunked d = {0};
    *o = (struct outcome){.out = BUF_INIT(1 << 20)};
    size_t at = 0;
    while (at < n && !d.done) {
        size_t k = n - at < step ? n - at : step;
        AUTO_FREE char *copy = malloc(k);
        memcpy(copy, data + at, k);
        ssize_t r = h1_chunked_feed(&d, copy, k, keep ? &o->out : NULL);
        if (r < 0) {
            MUST(r == -E_PARSE);
            o->r = r;
            return;
        }
        MUST((size_t)r <= k && (d.done || (size_t)r == k));
        at += (size_t)r;
    }
    o->r = (ssize_t)at;
    o->done = d.done;
}

static void same(const struct outcome *a, const struct outcome *b, bool payload)
{
    MUST(a->r == b->r && a->done == b->done);
    /* after a refusal how much was put out before it depends on the cuts; nobody looks at it */
    if (payload && a->r >= 0)
        MUST(a->out.len == b->out.len &&
             memcmp(buf_str(&a->out), buf_str(&b->out), a->out.len) == 0);
}

static void encode_again(const struct outcome *o)
{
    AUTO(buf) wire = BUF_INIT(1 << 21);
    for (size_t at = 0; at < o->out.len;) {
        size_t k = o->out.len - at < 37 ? o->out.len - at : 37;
        (void)buf_addf(&wire, "%zx\r\n", k);
        (void)buf_add(&wire, o->out.data + at, k);
        (void)buf_adds(&wire, "\r\n");
        at += k;
    }
    (void)buf_adds(&wire, "0\r\n\r\n");
    AUTO(outcome) again;
    feed((const uint8_t *)wire.data, wire.len, 1000, true, &again);
    MUST(again.done && again.r == (ssize_t)wire.len && again.out.len == o->out.len);
    MUST(memcmp(buf_str(&again.out), buf_str(&o->out), o->out.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    size_t step = 1u + data[0];
    data++;
    n--;
    AUTO(outcome) whole;
    AUTO(outcome) bytes;
    AUTO(outcome) steps;
    AUTO(outcome) dropped;
    feed(data, n, n ? n : 1, true, &whole);
    feed(data, n, 1, true, &bytes);
    feed(data, n, step, true, &steps);
    feed(data, n, step, false, &dropped);
    same(&whole, &bytes, true);
    same(&whole, &steps, true);
    same(&whole, &dropped, false);
    if (whole.done)
        encode_again(&whole);
    return 0;
}
