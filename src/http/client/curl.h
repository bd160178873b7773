/* curl - the functions of libcurl that client.c uses, found at run time.
 *
 * libcurl brings some thirty shared libraries along. Processes that make no outbound request (the
 * zygote, a server with a scripted model) must not carry them, so the library is opened when the
 * first client is made. client.c calls through this table; nothing else in the program touches
 * libcurl. */
#pragma once

#include "base/base.h"
#include <curl/curl.h>

struct err;

struct curl_api {
    __typeof__(&curl_global_init) global_init;
    __typeof__(&curl_global_init_mem) global_init_mem;
    __typeof__(&curl_easy_init) easy_init;
    __typeof__(&curl_easy_cleanup) easy_cleanup;
    CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
    CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
    __typeof__(&curl_easy_pause) easy_pause;
    __typeof__(&curl_easy_strerror) easy_strerror;
    __typeof__(&curl_slist_append) slist_append;
    __typeof__(&curl_slist_free_all) slist_free_all;
    __typeof__(&curl_multi_init) multi_init;
    __typeof__(&curl_multi_cleanup) multi_cleanup;
    CURLMcode (*multi_setopt)(CURLM *, CURLMoption, ...);
    __typeof__(&curl_multi_add_handle) multi_add_handle;
    __typeof__(&curl_multi_remove_handle) multi_remove_handle;
    __typeof__(&curl_multi_socket_action) multi_socket_action;
    __typeof__(&curl_multi_assign) multi_assign;
    __typeof__(&curl_multi_info_read) multi_info_read;
};

/* Opens libcurl once per process (loop thread only). NULL with words when it is
 * missing or too old. */
const struct curl_api *curl_api_get(struct err *e);

/* From the first curl_api_get on, libcurl's memory is wiped before it is given back. */
void curl_wipe_when_freed(void);
