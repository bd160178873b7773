/* sse.c - fuzzes the event stream parser: whole or in pieces, the same events; what it reports fits
 * its promises.
 *
 * Theory of operation: the first byte chooses a step. The events of the whole input and of the
 * input in steps and in single bytes are written into one text each and compared. Every event is
 * then written as a frame of ours and read back: the writer and the parser of this room must
 * understand each other. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "http/wire/sse_parser.h"

#include <string.h>

#define MAX_BYTES 300

static int note(void *arg, const char *event, const char *id, const char *data, size_t n)
{
    struct buf *b = arg;
    MUST(*event && !strpbrk(event, "\r\n") && !strpbrk(id, "\r\n") && n <= MAX_BYTES &&
         data[n] == 0);
    MUST(!memchr(data, '\r', n));
    (void)buf_addf(b, "[%s|%s|%zu|", event, id, n);
    (void)buf_add(b, data, n);
    return buf_addc(b, ']');
}

static int feed(const uint8_t *data, size_t n, size_t step, struct buf *events)
{
    AUTO(sse_parser) p;
    sse_parser_init(&p, MAX_BYTES, note, events);
    int r = 0;
    for (size_t at = 0; at < n && r == 0; at += step) {
        size_t k = n - at < step ? n - at : step;
        AUTO_FREE char *copy = malloc(k);
        memcpy(copy, data + at, k);
        r = sse_parser_feed(&p, copy, k);
    }
    MUST(r == 0 || r == -EMSGSIZE || r == -E_PARSE);
    return r;
}

static int write_back(void *arg, const char *event, const char *id, const char *data, size_t n)
{
    (void)arg;
    if (memchr(data, '\n', n) || *id == ' ' || *event == ' ')
        return 0; /* our frames carry one line; a leading space is the parser's to drop */
    struct sse_frame *f = sse_frame_new(event, id, data, n);
    AUTO(buf) want = BUF_INIT(1 << 16), got = BUF_INIT(1 << 16);
    (void)note(&want, event, id, data, n);
    AUTO(sse_parser) p;
    sse_parser_init(&p, 4 * MAX_BYTES, note, &got);
    MUST(sse_parser_feed(&p, f->bytes, f->len) == 0);
    MUST(want.len == got.len && memcmp(want.data, got.data, want.len) == 0);
    sse_frame_unref(f);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    size_t step = 1u + data[0];
    data++;
    n--;
    AUTO(buf) whole = BUF_INIT(8 << 20), bytes = BUF_INIT(8 << 20), steps = BUF_INIT(8 << 20);
    int r = feed(data, n, n ? n : 1, &whole);
    MUST(r == feed(data, n, 1, &bytes) && r == feed(data, n, step, &steps));
    MUST(whole.len == bytes.len && memcmp(buf_str(&whole), buf_str(&bytes), whole.len) == 0);
    MUST(whole.len == steps.len && memcmp(buf_str(&whole), buf_str(&steps), whole.len) == 0);
    AUTO(sse_parser) p;
    sse_parser_init(&p, MAX_BYTES, write_back, NULL);
    AUTO_FREE char *copy = malloc(n ? n : 1);
    memcpy(copy, data, n);
    (void)sse_parser_feed(&p, copy, n);
    return 0;
}
