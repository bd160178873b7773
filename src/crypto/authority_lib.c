/* authority_lib.c - opens libcrypto for authority*.c.
 *
 * Called by the wrapper before its first use of the library; threads that come at once wait for the
 * first. A failure is kept and told to all who come later: it is one of packaging, and nothing that a
 * peer does brings it about. Nothing is ever closed. */
#include "crypto/authority_lib.h"

#include <pthread.h>

#include "base/err.h"
#include "base/library.h"

struct authority_lib authority_lib;

static const struct library_symbol symbols[] = {
#define SYM(f) {#f, offsetof(struct authority_lib, f##_)},
    AUTHORITY_FUNCTIONS(SYM)
#undef SYM
};

static struct err failure;

static void open_once(void)
{
    (void)!library_open("libcrypto.so.3", "libssl3", symbols, ARRAY_LEN(symbols), &authority_lib,
                        &failure);
}

int authority_lib_open(struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    MUST(pthread_once(&once, open_once) == 0);
    if (failure.code < 0 && e)
        *e = failure;
    return failure.code;
}
