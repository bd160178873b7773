/* curl.c - opens libcurl and resolves the functions client.c needs.
 *
 * Called on the loop thread when the first http_client is made; the result is kept for the life of
 * the process (libcurl cannot be unloaded safely: it leaves thread-local and atexit state behind).
 * A missing symbol is a packaging error and is reported by name. Nothing here is controlled by a
 * peer. */
#include "http/client/curl.h"
#include "base/err.h"
#include "base/library.h"

static const struct library_symbol symbols[] = {
#define SYM(field)                                                                                 \
    {                                                                                              \
        "curl_" #field, offsetof(struct curl_api, field)                                           \
    }
    SYM(global_init),      SYM(easy_init),           SYM(easy_cleanup),        SYM(easy_setopt),
    SYM(easy_getinfo),     SYM(easy_pause),          SYM(easy_strerror),       SYM(slist_append),
    SYM(slist_free_all),   SYM(multi_init),          SYM(multi_cleanup),       SYM(multi_setopt),
    SYM(multi_add_handle), SYM(multi_remove_handle), SYM(multi_socket_action), SYM(multi_assign),
    SYM(multi_info_read),
#undef SYM
};

const struct curl_api *curl_api_get(struct err *e)
{
    static struct curl_api api;
    static bool ready;
    if (ready)
        return &api;

    if (library_open("libcurl.so.4", "libcurl4", symbols, ARRAY_LEN(symbols), &api, e) < 0)
        return NULL;
    if (api.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        err_set(e, -EIO, "libcurl could not be initialised");
        return NULL;
    }
    ready = true;
    return &api;
}
