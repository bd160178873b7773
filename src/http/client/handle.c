/* handle.c - what libcurl is told of one request: where to, which headers, which body, whom to trust.
 *
 * Called by client.c on the fiber that makes the request, before the driver sees the handle; nothing here
 * suspends. The caller decides all of it, the peer nothing. A header that could end its line is refused.
 * Copies of a bearer token are wiped as soon as libcurl has its own, which client.c wipes with the list.
 * A request that must not happen twice gives its body by a callback without a way back. */
#include "http/client/client_internal.h"
#include "base/secret.h"
#include "base/str.h"
#include "io/tls.h"

#include <stdio.h>
#include <string.h>

#define KEPT_IDLE_S 2L

static const char *trusted_file; /* set before the first request */

void http_client_trust(const char *pem_file)
{
    trusted_file = pem_file && *pem_file ? pem_file : NULL;
}

static int add_header(struct client_stream *s, const char *name, const char *value, size_t n)
{
    if (memchr(value, '\r', n) || memchr(value, '\n', n) || strpbrk(name, "\r\n:"))
        return -EINVAL;
    size_t cap = strlen(name) + n + 3;
    AUTO_FREE char *line = mem_zalloc(cap);
    snprintf(line, cap, n ? "%s: %.*s" : "%s;", name, (int)n, value);
    struct curl_slist *l = s->c->api->slist_append(s->headers, line);
    secret_wipe(line, cap);
    if (!l)
        return -ENOMEM;
    s->headers = l;
    return 0;
}

int client_handle_add_headers(struct client_stream *s, const struct client_request *q)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < q->n_headers; i++)
        r = add_header(s, q->headers[i].name, q->headers[i].value, strlen(q->headers[i].value));
    if (r == 0 && q->bearer) {
        size_t cap = strlen(q->bearer) + 8;
        AUTO_FREE char *v = mem_zalloc(cap);
        int n = snprintf(v, cap, "Bearer %s", q->bearer);
        r = add_header(s, "Authorization", v, (size_t)n);
        secret_wipe(v, cap);
    }
    if (r == 0) {
        /* No "Expect: 100-continue": our bodies are small, and a round trip is not. */
        struct curl_slist *l = s->c->api->slist_append(s->headers, "Expect:");
        if (!l)
            return -ENOMEM;
        s->headers = l;
    }
    return r;
}

/* The body of a no_repeat request. There is no way back in it (no seek function), and so libcurl
 * gives up (CURLE_SEND_FAIL_REWIND) where it would send the body once more. */
static size_t on_upload(char *p, size_t size, size_t n, void *arg)
{
    struct client_stream *s = arg;
    size_t k = size * n < s->upload_len ? size * n : s->upload_len;
    if (k)
        memcpy(p, s->upload, k);
    s->upload += k;
    s->upload_len -= k;
    return k;
}

static void set_body(struct client_stream *s, const struct client_request *q)
{
    const struct curl_api *api = s->c->api;
    if (!q->no_repeat || !q->body_len) {
        api->easy_setopt(s->easy, CURLOPT_POSTFIELDS, q->body ? q->body : "");
        return;
    }
    s->upload = q->body;
    s->upload_len = q->body_len;
    api->easy_setopt(s->easy, CURLOPT_READFUNCTION, on_upload);
    api->easy_setopt(s->easy, CURLOPT_READDATA, s);
}

static CURLcode on_tls(CURL *easy, void *ssl_ctx, void *arg)
{
    (void)easy;
    (void)arg;
    tls_forget_plaintext(ssl_ctx);
    return CURLE_OK;
}

void client_handle_set_up(struct client_stream *s, const struct client_request *q)
{
    const struct http_client *c = s->c;
    const struct curl_api *api = c->api;
    api->easy_setopt(s->easy, CURLOPT_URL, q->url);
    api->easy_setopt(s->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    api->easy_setopt(s->easy, CURLOPT_FOLLOWLOCATION, 0L);
    api->easy_setopt(s->easy, CURLOPT_NOSIGNAL, 1L);
    api->easy_setopt(s->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    api->easy_setopt(s->easy, CURLOPT_USERAGENT, c->user_agent);
    api->easy_setopt(s->easy, CURLOPT_HTTPHEADER, s->headers);
    if (q->once) {
        api->easy_setopt(s->easy, CURLOPT_FRESH_CONNECT, 1L);
        api->easy_setopt(s->easy, CURLOPT_FORBID_REUSE, 1L);
    }
    if (q->no_repeat)
        api->easy_setopt(s->easy, CURLOPT_MAXAGE_CONN, KEPT_IDLE_S);
    api->easy_setopt(s->easy, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(q->connect_timeout_ms ? q->connect_timeout_ms : 10000));
    if (c->connect_to)
        api->easy_setopt(s->easy, CURLOPT_CONNECT_TO, c->connect_to);
    if (http_client_is_loopback(q->url))
        api->easy_setopt(s->easy, CURLOPT_PROXY, "");
    const char *trusted = c->ca_file ? c->ca_file : trusted_file;
    if (trusted)
        api->easy_setopt(s->easy, CURLOPT_CAINFO, trusted);
    if (q->secret)
        api->easy_setopt(s->easy, CURLOPT_SSL_CTX_FUNCTION, on_tls);
    if (q->low_speed_timeout_ms) {
        api->easy_setopt(s->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        api->easy_setopt(s->easy, CURLOPT_LOW_SPEED_TIME,
                         (long)((q->low_speed_timeout_ms + 999) / 1000));
    }
    if (q->decode)
        api->easy_setopt(s->easy, CURLOPT_ACCEPT_ENCODING, "identity");
    if (q->body || q->body_len || str_eq(q->method, "POST")) {
        api->easy_setopt(s->easy, CURLOPT_POST, 1L);
        api->easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_len);
        set_body(s, q);
    }
    if (!str_eq(q->method, "GET") && !str_eq(q->method, "POST"))
        api->easy_setopt(s->easy, CURLOPT_CUSTOMREQUEST, q->method);
}
