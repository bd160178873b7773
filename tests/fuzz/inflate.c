/* inflate.c - fuzzes the decoders of content codings: pieces change nothing, and no bytes upset
 * them.
 *
 * Theory of operation: the first byte chooses the coding and a size of pieces. The rest is
 * decoded whole, byte by byte, and into a small buffer; what comes out and the verdict must be
 * the same. After an error how much came out before depends on the pieces, and so does which of
 * two errors it is. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/err.h"
#include "scrub/inflate.h"

#include <string.h>

#define OUT_MAX (1u << 20) /* stop looking: a small input may become large */

static int run(enum inflate_coding c, const uint8_t *data, size_t n, size_t piece, size_t room,
               struct buf *out)
{
    struct inflate *f;
    struct err e = {0};
    uint8_t to[1024];
    int r = inflate_new(c, &f, &e);
    MUST(r == 0 && room <= sizeof(to));
    for (size_t at = 0; at < n && r == 0;) {
        size_t k = n - at < piece ? n - at : piece, got = 0, left = k;
        AUTO_FREE uint8_t *copy = malloc(k);
        memcpy(copy, data + at, k);
        const uint8_t *p = copy;
        at += k;
        do {
            r = inflate_step(f, &p, &left, to, room, &got, &e);
            MUST(got <= room && left <= k && p == copy + (k - left));
            if (r == 0 && buf_add(out, to, got) < 0)
                r = 1; /* enough */
        } while (r == 0 && (left > 0 || got == room));
    }
    if (r == 0)
        r = inflate_end(f, &e);
    MUST(r >= 0 || e.msg[0]);
    inflate_free(f);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    enum inflate_coding c = data[0] % 4;
    size_t piece = 1u + data[0] / 4;
    AUTO(buf) whole = BUF_INIT(OUT_MAX), bytes = BUF_INIT(OUT_MAX), small = BUF_INIT(OUT_MAX);
    int r = run(c, data + 1, n - 1, n, 1024, &whole);
    int s = run(c, data + 1, n - 1, 1, 1000, &bytes);
    int t = run(c, data + 1, n - 1, piece, 7, &small);
    MUST((r < 0) == (s < 0) && (r < 0) == (t < 0));
    if (r == 0 && s == 0 && t == 0) {
        MUST(whole.len == bytes.len && memcmp(buf_str(&whole), buf_str(&bytes), whole.len) == 0);
        MUST(whole.len == small.len && memcmp(buf_str(&whole), buf_str(&small), whole.len) == 0);
    }
    return 0;
}
