/* sandbox_frame.c - fuzzes the framing of init's socket, as either end reads it.
 *
 * Theory of operation: the input arrives in pieces of varying size. However it is cut, the same
 * messages come out, each within the limit, and an error is final for this input; what came out
 * goes in again unchanged. */
#include "fuzz.h"
#include "base/buf.h"
#include "sandbox/frame.h"
#include "sandbox/sandbox.h"

/* Feeds the input in steps; returns the number of messages and the last result. */
static int feed(const uint8_t *data, size_t n, size_t step, size_t *ret_messages)
{
    AUTO(buf) in = BUF_INIT(SANDBOX_FRAME_MAX + 65536u);
    *ret_messages = 0;
    int r = 0;
    for (size_t at = 0; at < n && r >= 0; at += step) {
        buf_add(&in, data + at, n - at < step ? n - at : step);
        for (;;) {
            AUTO_JSON json_t *o = NULL;
            size_t before = in.len;
            r = frame_next(&in, &o, NULL);
            if (r != 1)
                break;
            MUST(json_is_object(o) && before - in.len <= SANDBOX_FRAME_MAX + 4u);
            ++*ret_messages;
            AUTO(buf) again = BUF_INIT(SANDBOX_FRAME_MAX * 2u);
            AUTO_JSON json_t *back = NULL;
            MUST(frame_add(&again, o) < 0 ||
                 (frame_next(&again, &back, NULL) == 1 && json_equal(o, back)));
        }
    }
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0 || n > 4096)
        return 0;
    size_t whole, pieces;
    int a = feed(data, n, n, &whole), b = feed(data, n, (size_t)data[0] % 7 + 1, &pieces);
    MUST(whole == pieces && a == b);
    return 0;
}
