/* client.c - outbound requests on libcurl's multi interface, for fibers.
 *
 * One CURLM per client object; one driver fiber per client owns it. libcurl's sockets live in an
 * epoll instance of the client (level-triggered, as libcurl expects), and that instance is one
 * readable descriptor of our loop. An eventfd in the same set wakes the driver when a request was
 * added or removed. Requesting fibers never run the driver's part: they add a handle, park on the
 * request's wait list, and look at its state when woken. libcurl's callbacks run on the driver (or
 * inside easy_pause), copy bytes into bounded buffers, and never suspend.
 *
 * A peer controls status, headers and body: headers are capped at LIMIT_HEADER_BYTES, a fetched
 * body at the caller's maximum, a streamed one by pausing the transfer while STREAM_WINDOW bytes
 * wait. Redirects are not followed, only http and https are spoken, certificates are always
 * verified. Nothing about a request's credential is logged. */
#include "http/client/client.h"
#include "http/client/client_internal.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/sync.h"
#include "io/loop.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STREAM_WINDOW (256u << 10) /* bytes held for a slow reader of a streamed answer */
#define DRIVER_EVENTS 32

/* ---- driver ---- */

static void driver_wake(struct http_client *c)
{
    uint64_t one = 1;
    ssize_t n = write(c->wake_fd, &one, sizeof(one));
    (void)n; /* EAGAIN: the counter is full, so the driver is about to run anyway */
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_data)
{
    (void)easy;
    struct http_client *c = arg;
    int ep = c->epoll.fd;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    struct epoll_event ev = {.data.fd = fd};
    if (what & CURL_POLL_IN)
        ev.events |= EPOLLIN;
    if (what & CURL_POLL_OUT)
        ev.events |= EPOLLOUT;
    int op = socket_data ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(ep, op, fd, &ev) < 0) {
        /* A number reused before libcurl told us of the removal, or the other way round. */
        op = errno == EEXIST ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
        if (epoll_ctl(ep, op, fd, &ev) < 0)
            return -1;
    }
    if (!socket_data)
        c->api->multi_assign(c->multi, fd, c);
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct http_client *c = arg;
    c->timer_ns = timeout_ms < 0 ? FIBER_NO_DEADLINE : time_mono_ns() + timeout_ms * NS_PER_MS;
    driver_wake(c);
    return 0;
}

static void collect_finished(struct http_client *c)
{
    int left;
    CURLMsg *m;
    while ((m = c->api->multi_info_read(c->multi, &left))) {
        if (m->msg != CURLMSG_DONE)
            continue;
        CURL *easy = m->easy_handle;
        CURLcode result = m->data.result;
        struct client_stream *s = NULL;
        c->api->easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&s);
        s->result = result;
        s->finished = true;
        waitq_wake_all(&s->wake);
    }
}

static int driver(void *arg)
{
    struct http_client *c = arg;
    /* It serves requests for as long as the client lives. A deadline inherited from the fiber that
     * happened to make the client would, once passed, end every wait below at once and for ever. */
    fiber_deadline_clear();
    for (;;) {
        struct epoll_event ev[DRIVER_EVENTS];
        int running, n = epoll_wait(c->epoll.fd, ev, DRIVER_EVENTS, 0);
        for (int i = 0; i < n; i++) {
            if (ev[i].data.fd == c->wake_fd) {
                uint64_t count;
                ssize_t got = read(c->wake_fd, &count, sizeof(count));
                (void)got;
                continue;
            }
            int mask = 0;
            if (ev[i].events & EPOLLIN)
                mask |= CURL_CSELECT_IN;
            if (ev[i].events & EPOLLOUT)
                mask |= CURL_CSELECT_OUT;
            if (ev[i].events & (EPOLLERR | EPOLLHUP))
                mask |= CURL_CSELECT_ERR;
            c->api->multi_socket_action(c->multi, ev[i].data.fd, mask, &running);
        }
        if (c->timer_ns <= time_mono_ns()) {
            c->timer_ns = FIBER_NO_DEADLINE;
            c->api->multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
        collect_finished(c);

        int r;
        if (n > 0 || c->timer_ns <= time_mono_ns()) {
            r = fiber_yield();
        } else {
            struct fiber_deadline d = fiber_deadline_push(c->timer_ns);
            r = io_wait_readable(&c->epoll);
            fiber_deadline_pop(&d);
            if (r == -ETIMEDOUT)
                r = 0;
        }
        if (r < 0)
            return r;
    }
}

void http_client_wipe_when_freed(void)
{
    curl_wipe_when_freed();
}

struct http_client *http_client_new(const char *user_agent, struct err *e)
{
    const struct curl_api *api = curl_api_get(e);
    if (!api)
        return NULL;
    struct http_client *c = mem_new(struct http_client);
    c->api = api;
    c->epoll = IO_FD_NONE;
    c->wake_fd = -1;
    c->timer_ns = FIBER_NO_DEADLINE;
    str_copy(c->user_agent, sizeof(c->user_agent), user_agent);
    scope_init(&c->scope);

    int r = -ENOMEM;
    c->multi = api->multi_init();
    if (!c->multi)
        goto fail;
    int ep = epoll_create1(EPOLL_CLOEXEC);
    if (ep < 0) {
        r = -errno;
        goto fail;
    }
    r = io_fd_add(&c->epoll, ep);
    if (r < 0) {
        close(ep);
        goto fail;
    }
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->wake_fd < 0) {
        r = -errno;
        goto fail;
    }
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = c->wake_fd};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->wake_fd, &ev) < 0) {
        r = -errno;
        goto fail;
    }
    api->multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    api->multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    api->multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    api->multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    /* A handle that is removed in mid-transfer closes its connection; idle ones are
     * kept for reuse. */
    api->multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, 16L);
    r = fiber_spawn(&c->scope, "http-client", driver, c, NULL);
    if (r < 0)
        goto fail;
    return c;
fail:
    err_set(e, r, "the HTTP client could not be set up: %s", err_text(r));
    http_client_free(c);
    return NULL;
}

void http_client_set_ca(struct http_client *c, const char *pem_file)
{
    free(c->ca_file);
    c->ca_file = mem_strdup(pem_file);
}

int http_client_set_connect_to(struct http_client *c, const char *rule, struct err *e)
{
    if (!http_client_connect_target(rule))
        return err_set(e, -EINVAL,
                       "where to connect to is HOST:PORT:ADDR:PORT, with ports of 1 to 65535");
    struct curl_slist *list = c->api->slist_append(NULL, rule);
    if (!list)
        return err_set(e, -ENOMEM, "no memory for where to connect to");
    c->api->slist_free_all(c->connect_to);
    c->connect_to = list;
    return 0;
}

void http_client_free(struct http_client *c)
{
    if (!c)
        return;
    MUST(c->live == 0);
    scope_adopt(&c->scope); /* whoever frees it joins the driver */
    scope_done(&c->scope);
    if (c->multi)
        c->api->multi_cleanup(c->multi);
    io_fd_close(&c->epoll);
    if (c->wake_fd >= 0)
        close(c->wake_fd);
    if (c->connect_to)
        c->api->slist_free_all(c->connect_to);
    free(c->ca_file);
    free(c);
}

/* ---- libcurl callbacks of one request: copy, never suspend ---- */

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct client_stream *s = arg;
    size_t len = size * n;
    /* A new head: that of 100-continue or of a proxy came before. */
    if (len >= 5 && memcmp(p, "HTTP/", 5) == 0) {
        buf_reset(&s->head);
        return len;
    }
    if (len <= 2) { /* the empty line */
        long code = 0;
        s->c->api->easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &code);
        if (code >= 200) {
            s->status = (int)code;
            s->have_head = true;
            waitq_wake_all(&s->wake);
        }
        return len;
    }
    size_t end = len;
    while (end > 0 && (p[end - 1] == '\n' || p[end - 1] == '\r'))
        end--;
    const char *colon = memchr(p, ':', end);
    size_t name = colon ? (size_t)(colon - p) : end;
    for (size_t i = 0; i < end; i++)
        buf_addc(&s->head, i < name ? str_lower_c(p[i]) : p[i]);
    buf_addc(&s->head, '\n');
    if (buf_err(&s->head)) {
        s->limit_error = -EMSGSIZE;
        return 0;
    }
    return len;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct client_stream *s = arg;
    size_t len = size * n;
    if (s->streaming && s->body.len > 0 && s->body.len + len > STREAM_WINDOW) {
        s->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (buf_add(&s->body, p, len) < 0) {
        s->limit_error = -EMSGSIZE;
        return 0;
    }
    if (s->streaming)
        waitq_wake_all(&s->wake);
    return len;
}

/* ---- requests ---- */

static int stream_start(struct http_client *c, const struct client_request *q, bool streaming,
                        size_t max_body, struct client_stream **ret, struct err *e)
{
    if (!str_starts(q->url, "http://") && !str_starts(q->url, "https://"))
        return err_set(e, -EINVAL, "the address does not begin with http:// or https://");
    struct client_stream *s = mem_new(struct client_stream);
    const struct curl_api *api = c->api;
    s->c = c;
    s->streaming = streaming;
    s->max_body = max_body;
    /* One callback brings at most CURL_MAX_WRITE_SIZE; the window is checked before it is added. */
    buf_init(&s->body, streaming ? STREAM_WINDOW + CURL_MAX_WRITE_SIZE : max_body);
    buf_init(&s->head, LIMIT_HEADER_BYTES);
    waitq_init(&s->wake);
    c->live++;
    s->secret = q->secret;
    /* All of it at once: a buffer that grows leaves copies behind. */
    if (s->secret && !buf_room(&s->body, s->body.max)) {
        client_stream_close(s);
        return err_set(e, -ENOMEM, "no memory for the answer");
    }

    int r = client_handle_add_headers(s, q);
    if (r < 0) {
        client_stream_close(s);
        return err_set(e, r, "a request header holds a line break or memory is exhausted");
    }
    s->easy = api->easy_init();
    if (!s->easy) {
        client_stream_close(s);
        return err_set(e, -ENOMEM, "no memory for an HTTP request");
    }
    CURL *h = s->easy;
    api->easy_setopt(h, CURLOPT_PRIVATE, s);
    api->easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    api->easy_setopt(h, CURLOPT_HEADERDATA, s);
    api->easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    api->easy_setopt(h, CURLOPT_WRITEDATA, s);
    api->easy_setopt(h, CURLOPT_ERRORBUFFER, s->detail);
    client_handle_set_up(s, q);
    if (api->multi_add_handle(c->multi, h) != CURLM_OK) {
        client_stream_close(s);
        return err_set(e, -ENOMEM, "libcurl did not take the request");
    }
    s->added = true;
    driver_wake(c);
    *ret = s;
    return 0;
}

void client_stream_close(struct client_stream *s)
{
    if (!s)
        return;
    const struct curl_api *api = s->c->api;
    if (s->added)
        api->multi_remove_handle(s->c->multi, s->easy);
    if (s->easy)
        api->easy_cleanup(s->easy);
    for (struct curl_slist *l = s->headers; l; l = l->next)
        secret_wipe(l->data, strlen(l->data));
    api->slist_free_all(s->headers);
    if (s->secret)
        secret_wipe(s->body.data, s->body.cap);
    buf_done(&s->body);
    buf_done(&s->head);
    MUST(waitq_empty(&s->wake));
    s->c->live--;
    free(s);
}

/* libcurl's verdict in our words. The URL is not repeated: its query may hold what a log should
 * not. */
static int failure(const struct client_stream *s, struct err *e)
{
    if (s->limit_error)
        return err_set(e, s->limit_error, "the answer is larger than allowed");
    int code;
    switch (s->result) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        code = -EHOSTUNREACH;
        break;
    case CURLE_COULDNT_CONNECT:
        code = -ECONNREFUSED;
        break;
    case CURLE_OPERATION_TIMEDOUT:
        code = -ETIMEDOUT;
        break;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        code = -E_TLS;
        break;
    case CURLE_URL_MALFORMAT:
        code = -EINVAL;
        break;
    case CURLE_OUT_OF_MEMORY:
        code = -ENOMEM;
        break;
    case CURLE_UNSUPPORTED_PROTOCOL: /* an answer in HTTP/0.9 */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        code = -E_PROTO;
        break;
    default:
        code = -E_CLOSED;
        break;
    }
    const char *text = s->detail[0] ? s->detail : s->c->api->easy_strerror(s->result);
    return err_set(e, code, "%s", text);
}

static int wait_failed(int r, struct err *e)
{
    return err_set(e, r, r == -ETIMEDOUT ? "no answer in time" : "the request was cancelled");
}

static void take_head(struct client_stream *s, struct client_response *ret)
{
    ret->status = s->status;
    ret->headers = s->head;
    s->head = BUF_INIT(LIMIT_HEADER_BYTES);
}

int client_fetch(struct http_client *c, const struct client_request *q, size_t max_body,
                 struct client_response *ret, struct err *e)
{
    struct client_stream *s;
    int r = stream_start(c, q, false, max_body, &s, e);
    if (r < 0)
        return r;
    while (!s->finished) {
        r = waitq_wait(&s->wake);
        if (r < 0) {
            client_stream_close(s);
            return wait_failed(r, e);
        }
    }
    if (s->result != CURLE_OK) {
        r = failure(s, e);
    } else {
        take_head(s, ret);
        ret->body = s->body;
        ret->secret = s->secret;
        s->body = BUF_INIT(1);
        r = 0;
    }
    client_stream_close(s);
    return r;
}

int client_open(struct http_client *c, const struct client_request *q, struct client_stream **ret,
                struct client_response *ret_head, struct err *e)
{
    struct client_stream *s;
    int r = stream_start(c, q, true, STREAM_WINDOW, &s, e);
    if (r < 0)
        return r;
    while (!s->have_head && !s->finished) {
        r = waitq_wait(&s->wake);
        if (r < 0) {
            client_stream_close(s);
            return wait_failed(r, e);
        }
    }
    if (!s->have_head) {
        r = failure(s, e);
        client_stream_close(s);
        return r;
    }
    take_head(s, ret_head);
    *ret = s;
    return 0;
}

ssize_t client_read(struct client_stream *s, void *p, size_t n, struct err *e)
{
    while (s->body.len == 0 && !s->finished) {
        if (s->paused) {
            s->paused = false;
            s->c->api->easy_pause(s->easy, CURLPAUSE_CONT);
            driver_wake(s->c);
            continue;
        }
        int r = waitq_wait(&s->wake);
        if (r < 0)
            return wait_failed(r, e);
    }
    if (s->body.len > 0) {
        size_t k = n < s->body.len ? n : s->body.len;
        memcpy(p, s->body.data, k);
        buf_consume(&s->body, k);
        return (ssize_t)k;
    }
    if (s->result != CURLE_OK)
        return failure(s, e);
    return 0;
}
