/* vault_peer.c - see vault_peer.h. One request on each connection. */
#include "unit/secret/vault_peer.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "unit/io/certificate.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REQUEST_MAX 8192

struct conn {
    struct vault_peer *peer;
    int fd;
};

struct asked {
    char method[8], path[256], token[256], namespace[64];
    char body[2048];
};

/* Cuts the value of a header out of a request. */
static void header(const char *request, const char *name, char *ret, size_t cap)
{
    ret[0] = '\0';
    for (const char *p = strchr(request, '\n'); p && p[1] != '\r'; p = strchr(p + 1, '\n')) {
        size_t n = strlen(name);
        if (!str_ieq_n(p + 1, n, name, n) || p[1 + n] != ':')
            continue;
        (void)snprintf(ret, cap, "%.*s", (int)strcspn(p + n + 3, "\r"), p + n + 3);
    }
}

static int receive(struct stream *s, struct asked *a)
{
    static _Thread_local char text[REQUEST_MAX];
    size_t n = 0;
    char *end = NULL, length[16];
    for (;;) {
        ssize_t got = stream_read(s, text + n, sizeof(text) - n - 1);
        if (got <= 0)
            return -E_CLOSED;
        n += (size_t)got;
        text[n] = '\0';
        end = strstr(text, "\r\n\r\n");
        if (!end)
            continue;
        uint64_t want = 0;
        header(text, "content-length", length, sizeof(length));
        (void)!str_to_u64(length, strlen(length), REQUEST_MAX, &want);
        if (strlen(end + 4) >= want)
            break;
    }
    const char *space = strchr(text, ' ');
    (void)snprintf(a->method, sizeof(a->method), "%.*s", (int)(space - text), text);
    (void)snprintf(a->path, sizeof(a->path), "%.*s", (int)strcspn(space + 1, " "), space + 1);
    header(text, "x-vault-token", a->token, sizeof(a->token));
    header(text, "x-vault-namespace", a->namespace, sizeof(a->namespace));
    (void)snprintf(a->body, sizeof(a->body), "%s", end + 4);
    return 0;
}

static void answer(struct buf *out, int status, const char *body)
{
    (void)buf_addf(out,
                   "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
                   "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                   status, strlen(body), body);
}

static void auth_answer(const struct vault_peer *p, struct buf *out)
{
    AUTO_FREE char *body = mem_printf(
        "{\"request_id\":\"1\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,"
        "\"data\":null,\"warnings\":null,\"auth\":{\"client_token\":\"%s\",\"accessor\":"
        "\"x\",\"policies\":[\"default\"],\"lease_duration\":%d,\"renewable\":%s}}",
        p->token, p->lease_s, p->renewable ? "true" : "false");
    answer(out, 200, body);
}

static void login(struct vault_peer *p, const struct asked *a, struct buf *out)
{
    char want[512];
    p->logins++;
    (void)snprintf(want, sizeof(want), "{\"role_id\":\"%s\",\"secret_id\":\"%s\"}", p->role_id,
                   p->secret_id);
    if (!str_eq(a->body, want))
        answer(out, 400, "{\"errors\":[\"invalid role or secret ID\"]}");
    else
        auth_answer(p, out);
}

static void read_secret(struct vault_peer *p, const char *path, struct buf *out)
{
    AUTO_FREE char *body = NULL;
    p->reads++;
    if (str_eq(path, "secret/data/app") || str_eq(path, "secret/data/app?version=3"))
        body =
            mem_printf("{\"request_id\":\"1\",\"lease_id\":\"\",\"lease_duration\":0,\"renewable\":"
                       "false,\"data\":{\"data\":{\"key\":\"%s\",\"n\":7},\"metadata\":{"
                       "\"created_time\":\"2026-01-01T00:00:00Z\",\"deletion_time\":\"\","
                       "\"destroyed\":false,\"version\":3}},\"wrap_info\":null}",
                       p->value);
    else if (str_eq(path, "kv/team%20a/app"))
        body =
            mem_printf("{\"lease_id\":\"\",\"lease_duration\":2764800,\"renewable\":false,\"data\":"
                       "{\"key\":\"%s\"}}",
                       p->value);
    else if (str_eq(path, "database/creds/ro"))
        body =
            mem_printf("{\"lease_id\":\"database/creds/ro/1\",\"lease_duration\":90,\"renewable\":"
                       "true,\"data\":{\"username\":\"u\",\"password\":\"%s\"}}",
                       p->value);
    if (body)
        answer(out, 200, body);
    else if (str_eq(path, "secret/data/deleted"))
        answer(out, 404,
               "{\"data\":{\"data\":null,\"metadata\":{\"deletion_time\":"
               "\"2026-01-02T00:00:00Z\",\"destroyed\":false,\"version\":1}}}");
    else if (str_eq(path, "secret/data/destroyed"))
        answer(out, 404,
               "{\"data\":{\"data\":null,\"metadata\":{\"deletion_time\":\"\",\"destroyed\":true,"
               "\"version\":1}}}");
    else
        answer(out, 404, "{\"errors\":[]}");
}

static void refuse(const struct vault_peer *p, struct buf *out)
{
    if (p->status == 503)
        answer(out, 503, "{\"errors\":[\"Vault is sealed\"]}");
    else
        answer(out, p->status, "{\"errors\":[]}");
}

static void serve(struct vault_peer *p, const struct asked *a, struct buf *out)
{
    const char *path = str_starts(a->path, "/v1/") ? a->path + 4 : "";
    p->requests++;
    p->tokens_seen += a->token[0] != '\0';
    if (p->answer)
        (void)buf_adds(out, p->answer);
    else if (p->status)
        refuse(p, out);
    else if (p->redirect)
        (void)buf_addf(out,
                       "HTTP/1.1 307 Temporary Redirect\r\nLocation: %s%s\r\nContent-Length: "
                       "0\r\nConnection: close\r\n\r\n",
                       p->redirect, a->path);
    else if (p->namespace && !str_eq(p->namespace, a->namespace))
        answer(out, 404, "{\"errors\":[\"no handler for route\"]}");
    else if (str_eq(path, "auth/approle/login"))
        login(p, a, out);
    else if (p->deny_once || !str_eq(a->token, p->token)) {
        p->deny_once = false;
        answer(out, 403, "{\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]}");
    } else if (str_eq(path, "auth/token/renew-self")) {
        p->renewals++;
        if (p->refuse_renewal)
            answer(out, 400, "{\"errors\":[\"lease is not renewable\"]}");
        else
            auth_answer(p, out);
    } else
        read_secret(p, path, out);
}

static int converse(void *arg)
{
    struct conn *c = arg;
    struct vault_peer *p = c->peer;
    struct stream s = {0};
    struct asked *a = mem_new(struct asked);
    AUTO(buf) out = BUF_INIT(4u << 20);
    assert_int_equal(stream_from_fd(&s, c->fd), 0);
    free(c);
    int r = receive(&s, a);
    if (r == 0)
        serve(p, a, &out);
    while (r == 0 && p->silent)
        r = fiber_sleep_ms(1000);
    if (r == 0)
        r = stream_write(&s, buf_str(&out), out.len);
    stream_done(&s);
    free(a);
    return 0;
}

static int accept_all(void *arg)
{
    struct vault_peer *p = arg;
    for (;;) {
        int fd = sock_accept(&p->listener, NULL);
        if (fd < 0)
            return fd;
        struct conn *c = mem_new(struct conn);
        *c = (struct conn){.peer = p, .fd = fd};
        p->connections++;
        assert_int_equal(fiber_spawn(&p->scope, "vault-conn", converse, c, NULL), 0);
    }
}

void vault_peer_begin(struct vault_peer *p)
{
    struct err e = {0};
    scope_init(&p->scope);
    int fd = sock_listen("127.0.0.1:0", 16, p->address, &e);
    assert_true(fd >= 0);
    assert_int_equal(io_fd_add(&p->listener, fd), 0);
    assert_int_equal(fiber_spawn(&p->scope, "vault", accept_all, p, NULL), 0);
}

void vault_peer_end(struct vault_peer *p)
{
    scope_done(&p->scope);
    io_fd_close(&p->listener);
}

/* ---- over TLS ---- */

int vault_tls_start(const char *dir, struct proc *ret)
{
    int port = 0;
    int out[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    AUTO_FREE char *script = mem_printf(
        "cd %s && exec " OPENSSL " s_server -accept 127.0.0.1:0 -cert cert -key pem -HTTP", dir);
    const char *const argv[] = {"sh", "-c", script, NULL};
    static const char *const envp[] = {"PATH=/usr/bin:/bin", NULL};
    struct proc_spec spec = {.path = "/bin/sh",
                             .argv = argv,
                             .envp = envp,
                             .stdin_fd = -1,
                             .stdout_fd = out[1],
                             .stderr_fd = -1,
                             .die_with_parent = true};
    struct err e = {0};
    if (proc_start(ret, &spec, &e) < 0)
        fail_msg("%s", e.msg);
    (void)close(out[1]);
    struct io_fd in = IO_FD_NONE;
    assert_int_equal(io_fd_add(&in, out[0]), 0);
    char said[512] = "";
    size_t n = 0;
    while (port == 0) { /* "ACCEPT 127.0.0.1:43210" */
        ssize_t got = io_read(&in, said + n, sizeof(said) - 1 - n);
        assert_true(got > 0);
        n += (size_t)got;
        const char *line = strstr(said, "ACCEPT ");
        if (line && strchr(line, '\n'))
            assert_int_equal(sscanf(line, "ACCEPT 127.0.0.1:%d", &port), 1);
    }
    io_fd_close(&in);
    return port;
}
