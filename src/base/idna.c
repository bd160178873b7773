/* idna.c - calls libidn2.
 *
 * Called by host.c alone, for the few names that are not plain ASCII. The author of a policy or the
 * sandbox controls the text; host.c has checked its length and that it is UTF-8, and looks at the
 * result as if a peer had sent it, so nothing here is trusted to keep letters, dots or digits out.
 * The library is opened once and never closed; that it is missing is an error of packaging. */
#include "base/idna.h"

#include <idn2.h>
#include <pthread.h>

#include "base/err.h"
#include "base/library.h"

static struct {
    __typeof__(&idn2_to_ascii_8z) to_ascii;
    __typeof__(&idn2_strerror) words;
    __typeof__(&idn2_free) release;
} api;

static const struct library_symbol symbols[] = {
    {"idn2_to_ascii_8z", offsetof(__typeof__(api), to_ascii)},
    {"idn2_strerror", offsetof(__typeof__(api), words)},
    {"idn2_free", offsetof(__typeof__(api), release)},
};

static struct err no_library; /* kept, and told to all who come later */

static void open_once(void)
{
    (void)!library_open("libidn2.so.0", "libidn2-0", symbols, ARRAY_LEN(symbols), &api,
                        &no_library);
}

int idna_open(struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    MUST(pthread_once(&once, open_once) == 0);
    if (no_library.code < 0)
        return err_set(e, no_library.code, "%s", no_library.msg);
    return 0;
}

int idna_ascii(const char *name, char **ret, struct err *e)
{
    int r = idna_open(e);
    if (r < 0)
        return r;
    char *ascii = NULL;
    r = api.to_ascii(name, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (r == IDN2_MALLOC)
        return err_set(e, -ENOMEM, "out of memory");
    if (r != IDN2_OK)
        return err_set(e, -E_PARSE, "it is no international name (%s)", api.words(r));
    *ret = mem_strdup(ascii);
    api.release(ascii);
    return 0;
}
