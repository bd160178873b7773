/* client_internal - what client.c and handle.c share: a client, and one request of it. */
#pragma once

#include "fiber/sync.h"
#include "http/client/client.h"
#include "http/client/curl.h"
#include "io/loop.h"

struct http_client {
    const struct curl_api *api;
    CURLM *multi;
    struct io_fd epoll;
    int wake_fd;
    int64_t timer_ns; /* when libcurl wants to be called; FIBER_NO_DEADLINE: not */
    struct scope scope;
    size_t live;
    char *ca_file; /* NULL: the process's */
    struct curl_slist *connect_to;
    char user_agent[128];
};

struct client_stream {
    struct http_client *c;
    CURL *easy;
    struct curl_slist *headers;
    struct buf body, head;
    struct waitq wake;
    int status;
    bool have_head, finished, streaming, paused, added, secret;
    CURLcode result;
    int limit_error; /* why our own callback stopped the transfer */
    size_t max_body;
    const char *upload; /* with no_repeat: what is left of the borrowed body */
    size_t upload_len;
    char detail[CURL_ERROR_SIZE];
};

/* handle.c: the headers of a request as libcurl's list. 0, -EINVAL or -ENOMEM. */
int client_handle_add_headers(struct client_stream *s, const struct client_request *q) WARN_UNUSED;
/* All that libcurl is told of a request but for the callbacks of its answer. */
void client_handle_set_up(struct client_stream *s, const struct client_request *q);
