/* curl.c - opens libcurl and resolves the functions client.c needs.
 *
 * Called on the loop thread when the first http_client is made; the result is kept for the life of
 * the process (libcurl cannot be unloaded safely: it leaves thread-local and atexit state behind).
 * A missing symbol is a packaging error and is reported by name. Nothing here is controlled by a
 * peer. */
#include "http/client/curl.h"
#include "base/err.h"
#include "base/library.h"

#include <malloc.h>
#include <string.h>

static const struct library_symbol symbols[] = {
#define SYM(field)                                                                                 \
    {                                                                                              \
        "curl_" #field, offsetof(struct curl_api, field)                                           \
    }
    SYM(global_init),  SYM(global_init_mem),  SYM(easy_init),           SYM(easy_cleanup),
    SYM(easy_setopt),  SYM(easy_getinfo),     SYM(easy_pause),          SYM(easy_strerror),
    SYM(slist_append), SYM(slist_free_all),   SYM(multi_init),          SYM(multi_cleanup),
    SYM(multi_setopt), SYM(multi_add_handle), SYM(multi_remove_handle), SYM(multi_socket_action),
    SYM(multi_assign), SYM(multi_info_read),
#undef SYM
};

/* ---- memory that is wiped: libcurl copies headers, URLs and bodies, and frees the copies ---- */

static bool ready, wiping;

void curl_wipe_when_freed(void)
{
    MUST(!ready); /* its memory is the other kind's by now */
    wiping = true;
}

static void wipe_free(void *p)
{
    if (p)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

static void *wipe_realloc(void *old, size_t n)
{
    if (!old)
        return mem_for_library(n ? n : 1);
    size_t had = malloc_usable_size(old);
    if (n && n <= had)
        return old; /* shrinking in place would give the rest back as it is */
    void *p = mem_for_library(n ? n : 1);
    memcpy(p, old, had < n ? had : n);
    wipe_free(old);
    return p;
}

static void *zeroed(size_t n, size_t size)
{
    size_t bytes;
    return __builtin_mul_overflow(n, size, &bytes) ? NULL : mem_zalloc(bytes ? bytes : 1);
}

static CURLcode init(const struct curl_api *api)
{
    if (!wiping)
        return api->global_init(CURL_GLOBAL_DEFAULT);
    return api->global_init_mem(CURL_GLOBAL_DEFAULT, mem_for_library, wipe_free, wipe_realloc,
                                mem_strdup, zeroed);
}

const struct curl_api *curl_api_get(struct err *e)
{
    static struct curl_api api;
    if (ready)
        return &api;

    if (library_open("libcurl.so.4", "libcurl4", symbols, ARRAY_LEN(symbols), &api, e) < 0)
        return NULL;
    if (init(&api) != CURLE_OK) {
        err_set(e, -EIO, "libcurl could not be initialised");
        return NULL;
    }
    ready = true;
    return &api;
}
