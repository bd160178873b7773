/* h2_talk.c - HTTP/2 of this program against real peers: in plain text, from the preface on.
 *
 *     h2_talk serve                            prints its address; ends with its standard input
 *     h2_talk ask ADDRESS METHOD PATH N BYTES  N requests, up to 32 at once, each with a body of BYTES
 *
 * CONNECT opens a tunnel that echoes. Paths of the server: /echo (body and trailers back), /bytes/N (so many), others say what came. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "http/pipe/h2.h"
#include "io/sock.h"

static struct scope connections;

static void send_bytes(struct http_pipe *p, uint64_t n)
{
    static const char zeros[65536];
    struct http_head h = {.status = 200, .body = HTTP_BODY_LENGTH, .length = n};
    int r = http_send_head(p, &h);
    while (r == 0 && n > 0) {
        size_t now = n < sizeof(zeros) ? (size_t)n : sizeof(zeros);
        r = http_send_body(p, zeros, now, true);
        n -= now;
    }
    if (r == 0)
        (void)http_send_end(p, NULL);
}

static void echo(struct http_pipe *p)
{
    struct http_head h = {.status = 200, .body = HTTP_BODY_STREAM};
    char bytes[2048];
    ssize_t n = 0;
    int r = http_send_head(p, &h);
    while (r == 0 && (n = http_read_body(p, bytes, sizeof(bytes), NULL)) > 0)
        r = http_send_body(p, bytes, (size_t)n, true);
    if (r == 0 && n == 0)
        (void)http_send_end(p, http_trailers(p));
}

static void tell(struct http_pipe *p, const struct http_head *q)
{
    AUTO(buf) b = BUF_INIT(1 << 20);
    (void)buf_addf(&b, "%.*s %.*s %.*s\n", (int)q->method.n, q->method.p, (int)q->authority.n,
                   q->authority.p, (int)q->path.n, q->path.p);
    for (size_t i = 0; i < q->fields.n; i++)
        (void)buf_addf(&b, "%.*s: %.*s\n", (int)q->fields.items[i].name.n,
                       q->fields.items[i].name.p, (int)q->fields.items[i].value.n,
                       q->fields.items[i].value.p);
    bool head = http_text_eq(q->method, "HEAD");
    struct http_head h = {.status = 200,
                          .body = head ? HTTP_BODY_NONE : HTTP_BODY_LENGTH,
                          .has_length = true,
                          .length = b.len};
    if (http_send_head(p, &h) == 0 && !head && http_send_body(p, b.data, b.len, true) == 0)
        (void)http_send_end(p, NULL);
}

static void serve(void *arg, struct http_pipe *p)
{
    (void)arg;
    AUTO(http_head) h;
    http_head_init(&h);
    uint64_t n;
    if (http_read_head(p, &h, NULL) == 0) {
        if (http_text_eq(h.path, "/echo") || http_text_eq(h.method, "CONNECT"))
            echo(p);
        else if (h.path.n > 7 && memcmp(h.path.p, "/bytes/", 7) == 0 &&
                 str_to_u64(h.path.p + 7, h.path.n - 7, UINT64_MAX, &n) == 0)
            send_bytes(p, n);
        else
            tell(p, &h);
    }
    http_pipe_close(p);
}

static int serve_connection(void *arg)
{
    struct stream s;
    struct err e = {0};
    const struct http_serve_options o = {.serve = serve, .connect_protocol = true};
    int fd = (int)(intptr_t)arg;
    if (stream_from_fd(&s, fd) < 0)
        return 0;
    int r = h2_serve(&s, &o, &e);
    fprintf(stderr, "connection: %d %s\n", r, e.msg);
    stream_done(&s);
    return 0;
}

static int accept_all(void *arg)
{
    struct io_fd *l = arg;
    for (;;) {
        int fd = sock_accept(l, NULL);
        if (fd == -ECANCELED)
            return 0;
        if (fd >= 0 && fiber_spawn(&connections, "connection", serve_connection,
                                   (void *)(intptr_t)fd, NULL) < 0)
            close(fd);
    }
}

static int serve_main(void *arg)
{
    char addr[SOCK_ADDR_MAX], end;
    struct err e = {0};
    struct io_fd l = IO_FD_NONE, in = IO_FD_NONE;
    (void)arg;
    int fd = sock_listen("127.0.0.1:0", 1024, addr, &e);
    if (fd < 0 || io_fd_add(&l, fd) < 0 || io_fd_add(&in, STDIN_FILENO) < 0) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    scope_init(&connections);
    if (fiber_spawn(&connections, "accept", accept_all, &l, NULL) < 0)
        return 1;
    printf("%s\n", addr);
    fflush(stdout);
    while (io_read(&in, &end, 1) > 0)
        ;
    scope_done(&connections);
    io_fd_close(&l);
    return 0;
}

/* ---- asking ---- */

struct asking {
    char **argv; /* METHOD PATH */
    uint64_t left, bytes, done, received, trailers;
    struct http_link *l;
    const char *addr;
};

static int send_request_body(void *arg)
{
    struct http_pipe *p = ((void **)arg)[0];
    struct asking *a = ((void **)arg)[1];
    static const char zeros[65536];
    int r = 0;
    for (uint64_t left = a->bytes; r == 0 && left > 0;) {
        size_t n = left < sizeof(zeros) ? (size_t)left : sizeof(zeros);
        r = http_send_body(p, zeros, n, true);
        left -= n;
    }
    return r == 0 ? http_send_end(p, NULL) : r;
}

static int read_response(struct asking *a, struct http_pipe *p)
{
    AUTO(http_head) h;
    http_head_init(&h);
    struct err e = {0};
    char bytes[2048];
    int r;
    do
        r = http_read_head(p, &h, &e);
    while (r == 0 && h.status < 200);
    if (r < 0 || h.status != 200) {
        fprintf(stderr, "%s %d\n", e.msg, h.status);
        return r < 0 ? r : -EPROTO;
    }
    ssize_t n = 0;
    while (h.body != HTTP_BODY_NONE && (n = http_read_body(p, bytes, sizeof(bytes), NULL)) > 0)
        a->received += (uint64_t)n;
    a->trailers += http_trailers(p)->n;
    return (int)n;
}

static int ask_one(struct asking *a)
{
    struct http_pipe *p;
    int r = a->l->ops->ask(a->l, &p);
    if (r < 0)
        return r;
    struct http_head h = {.method = http_text_of(a->argv[0]),
                          .scheme = HTTP_TEXT("http"),
                          .authority = http_text_of(a->addr),
                          .path = http_text_of(a->argv[1]),
                          .body = a->bytes ? HTTP_BODY_LENGTH : HTTP_BODY_NONE,
                          .length = a->bytes,
                          .has_te_trailers = true};
    struct scope s;
    void *both[] = {p, a};
    scope_init(&s);
    r = http_send_head(p, &h);
    if (r == 0 && a->bytes)
        r = fiber_spawn(&s, "body", send_request_body, both, NULL);
    if (r == 0)
        r = read_response(a, p);
    if (r == 0)
        r = scope_join(&s);
    scope_done(&s);
    http_pipe_close(p);
    return r < 0 ? r : s.first_error;
}

/* Refused and full are no errors: tried again, as long as the link takes requests. */
static int asker(void *arg)
{
    struct asking *a = arg;
    while (a->left > 0) {
        a->left--;
        int r = ask_one(a);
        if (r == 0) {
            a->done++;
            continue;
        }
        if ((r != -EBUSY && r != -E_CLOSED) || a->l->ops->ended(a->l) || fiber_sleep_ms(1) < 0)
            return r;
        a->left++;
    }
    return 0;
}

static int ask_main(void *arg)
{
    char **argv = arg;
    struct asking a = {.argv = argv + 1, .addr = argv[0]};
    struct err e = {0};
    struct io_fd fd;
    struct stream s;
    if (str_to_u64(argv[3], strlen(argv[3]), UINT32_MAX, &a.left) < 0 ||
        str_to_u64(argv[4], strlen(argv[4]), UINT32_MAX, &a.bytes) < 0 ||
        sock_connect(argv[0], &fd, &e) < 0 || stream_from_fd(&s, io_fd_release(&fd)) < 0 ||
        h2_link_new(&s, &(struct http_link_options){0}, &a.l, &e) < 0) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    struct scope scope;
    scope_init(&scope);
    for (int i = 0; i < 32; i++)
        if (fiber_spawn(&scope, "ask", asker, &a, NULL) < 0)
            return 1;
    int r = scope_join(&scope);
    a.l->ops->free(a.l);
    printf("done=%llu received=%llu trailers=%llu\n", (unsigned long long)a.done,
           (unsigned long long)a.received, (unsigned long long)a.trailers);
    return r < 0 || scope.first_error < 0;
}

int main(int argc, char **argv)
{
    if (loop_init() < 0)
        return 1;
    if (argc == 2 && str_eq(argv[1], "serve"))
        return loop_run(serve_main, NULL);
    if (argc == 7 && str_eq(argv[1], "ask"))
        return loop_run(ask_main, argv + 2);
    fprintf(stderr, "usage: h2_talk serve | ask ADDRESS METHOD PATH N BYTES\n");
    return 2;
}
