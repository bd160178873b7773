/* token_peer.c - see token_peer.h. One request on each connection. */
#include "unit/secret/token_peer.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "unit/json.h"

#include <stdio.h>
#include <string.h>

#define REQUEST_MAX 16384

struct conn {
    struct token_peer *peer;
    int fd;
    char text[REQUEST_MAX];
};

/* Cuts the value of a field out of a head. */
static void field(const char *text, const char *name, char *ret, size_t cap)
{
    const size_t n = strlen(name);
    ret[0] = '\0';
    for (const char *p = strchr(text, '\n'); p && p[1] != '\r'; p = strchr(p + 1, '\n'))
        if (str_ieq_n(p + 1, n, name, n) && p[1 + n] == ':')
            (void)snprintf(ret, cap, "%.*s", (int)strcspn(p + n + 3, "\r"), p + n + 3);
}

static int receive(struct stream *s, struct conn *c)
{
    for (size_t n = 0;;) {
        ssize_t got = stream_read(s, c->text + n, sizeof(c->text) - n - 1);
        if (got <= 0)
            return -E_CLOSED;
        n += (size_t)got;
        c->text[n] = '\0';
        const char *end = strstr(c->text, "\r\n\r\n");
        char length[16];
        uint64_t want = 0;
        field(c->text, "content-length", length, sizeof(length));
        (void)!str_to_u64(length, strlen(length), REQUEST_MAX, &want);
        if (!end || strlen(end + 4) < want)
            continue;
        struct token_peer *p = c->peer;
        field(c->text, "authorization", p->authorization, sizeof(p->authorization));
        (void)snprintf(p->form, sizeof(p->form), "%s", end + 4);
        p->asked++;
        return 0;
    }
}

static void make_answer(const struct token_peer *p, struct buf *out)
{
    AUTO(buf) body = BUF_INIT(4u << 20);
    if (p->body) {
        AUTO_FREE char *text = json_quoted(p->body);
        (void)buf_adds(&body, text);
    } else {
        (void)buf_addf(&body, "{\"access_token\":\"token-%zu\",\"token_type\":\"bearer\"",
                       p->asked);
        if (p->life_s)
            (void)buf_addf(&body, ",\"expires_in\":%d", p->life_s);
        if (p->refresh)
            (void)buf_addf(&body, ",\"refresh_token\":\"%s\"", p->refresh);
        (void)buf_adds(&body, "}");
    }
    (void)buf_addf(out,
                   "HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n"
                   "Connection: close\r\n\r\n%s",
                   p->status ? p->status : 200, p->headers ? p->headers : "", body.len,
                   buf_str(&body));
}

static int converse(void *arg)
{
    struct conn *c = arg;
    struct token_peer *p = c->peer;
    struct stream s = {0};
    AUTO(buf) out = BUF_INIT(5u << 20);
    assert_int_equal(stream_from_fd(&s, c->fd), 0);
    int r = receive(&s, c);
    free(c);
    while (r == 0 && p->silent)
        r = fiber_sleep_ms(1);
    if (r == 0 && !p->hangs_up) {
        make_answer(p, &out);
        r = stream_write(&s, buf_str(&out), out.len);
    }
    stream_done(&s);
    return 0;
}

static int accept_all(void *arg)
{
    struct token_peer *p = arg;
    for (;;) {
        int fd = sock_accept(&p->listener, NULL);
        if (fd < 0)
            return fd;
        struct conn *c = mem_new(struct conn);
        c->peer = p;
        c->fd = fd;
        assert_int_equal(fiber_spawn(&p->scope, "token-conn", converse, c, NULL), 0);
    }
}

void token_peer_begin(struct token_peer *p)
{
    struct err e = {0};
    scope_init(&p->scope);
    int fd = sock_listen("127.0.0.1:0", 128, p->address, &e);
    assert_true(fd >= 0);
    assert_int_equal(io_fd_add(&p->listener, fd), 0);
    assert_int_equal(fiber_spawn(&p->scope, "token", accept_all, p, NULL), 0);
}

void token_peer_end(struct token_peer *p)
{
    scope_done(&p->scope);
    io_fd_close(&p->listener);
}
