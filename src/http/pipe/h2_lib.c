/* h2_lib.c - opens nghttp2.
 *
 * Called by h2 before its first use of the library; threads that come at once wait for the first. A
 * failure is kept and told to all who come later: it is one of packaging, and nothing that a peer
 * does brings it about. Nothing is ever closed. */
#include "http/pipe/h2_lib.h"

#include <pthread.h>

#include "base/err.h"
#include "base/library.h"

#define FILE_NAME "libnghttp2.so.14"

struct h2_lib h2_lib;

static const struct library_symbol symbols[] = {
#define SYM(f) {#f, offsetof(struct h2_lib, f##_)},
    H2_FUNCTIONS(SYM)
#undef SYM
};

static struct err failure;

static void open_once(void)
{
    if (library_open(FILE_NAME, "libnghttp2-14", symbols, ARRAY_LEN(symbols), &h2_lib, &failure) ==
        0)
        library_find(FILE_NAME, "nghttp2_option_set_stream_reset_rate_limit",
                     &h2_lib.set_reset_rate);
}

int h2_lib_open(struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    MUST(pthread_once(&once, open_once) == 0);
    if (failure.code < 0 && e)
        *e = failure;
    return failure.code;
}
