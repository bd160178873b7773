/* test_server_tls.c - the server behind TLS, spoken to by curl: a real peer. */
#include "unit/http/server/talk.h"
#include "unit/io/certificate.h"

#include "io/proc.h"
#include "io/tls.h"

#include <fcntl.h>

#define CURL "/usr/bin/curl"
static char dir[64], cert[96], key[96], upload[96];
static const char *const envp[] = {"PATH=/usr/bin:/bin", NULL};
static char big[300000];

static int make_certificate(void *arg)
{
    (void)arg;
    return certificate_make(key, cert, "DNS:localhost,IP:127.0.0.1") == 0 ? 0 : -1;
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/sallyport-test-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
    (void)snprintf(key, sizeof(key), "%s/key.pem", dir);
    (void)snprintf(upload, sizeof(upload), "%s/upload", dir);
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i * 31 + i / 777);
    FILE *f = fopen(upload, "w");
    if (!f || fwrite(big, 1, sizeof(big), f) != sizeof(big) || fclose(f) != 0)
        return -1;
    if (loop_init() < 0)
        return -1;
    int r = loop_run(make_certificate, NULL);
    loop_done();
    return r;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(cert);
    (void)unlink(key);
    (void)unlink(upload);
    return rmdir(dir);
}

static struct waitq gate;
static int waiting, over, wait_result;

static void handler(struct http_exchange *x, void *arg)
{
    (void)arg;
    const char *path = http_request(x)->path;
    if (str_eq(path, "/ok")) {
        (void)http_reply(x, 200, NULL, "ok", 2);
    } else if (str_eq(path, "/echo")) {
        AUTO(buf) body = BUF_INIT(sizeof(big));
        if (http_body_read(x, sizeof(big), &body, NULL) == 0)
            (void)http_reply(x, 200, NULL, body.data, body.len);
    } else if (str_eq(path, "/stream")) {
        if (http_stream_begin(x, 200, NULL) == 0 && http_stream_write(x, big, sizeof(big)) == 0)
            (void)http_stream_end(x);
    } else if (str_eq(path, "/wait")) {
        bump(&waiting);
        wait_result = http_wait(x, &gate);
        if (wait_result == 0)
            (void)http_reply(x, 200, NULL, "woken", 5);
        bump(&over);
    }
}

/* Starts curl with its output on *ret_out. */
static void curl_start(const char *const *argv, struct proc *p, struct io_fd *ret_out)
{
    int fd[2];
    struct err e = {0};
    *ret_out = IO_FD_NONE;
    CHECK(sock_pair(SOCK_STREAM, fd) == 0, "pair");
    CHECK(fcntl(fd[1], F_SETFL, 0) == 0, "fcntl"); /* curl expects to wait when it writes */
    struct proc_spec spec = {.path = CURL,
                             .argv = argv,
                             .envp = envp,
                             .stdin_fd = -1,
                             .stdout_fd = fd[1],
                             .stderr_fd = -1};
    CHECK(proc_start(p, &spec, &e) == 0, "%s", e.msg);
    (void)close(fd[1]);
    CHECK(io_fd_add(ret_out, fd[0]) == 0, "add");
}

static int curl_end(struct proc *p, struct io_fd *out)
{
    int status = -1;
    CHECK(proc_wait(p, &status) == 0, "wait");
    proc_done(p);
    io_fd_close(out);
    return status;
}

static void url(char ret[256], const char *path)
{
    (void)snprintf(ret, 256, "https://%s%s", T.addr, path);
}

static void talk(void)
{
    char ok[256], echo[256], stream[256], data[128];
    url(ok, "/ok");
    url(echo, "/echo");
    url(stream, "/stream");
    (void)snprintf(data, sizeof(data), "@%s", upload);
    /* several requests on one connection: small, large in, large out */
    const char *const argv[] = {"curl", "-sS", "--cacert", cert, ok, ok, stream, ok, NULL};
    struct proc p;
    struct io_fd out;
    AUTO(buf) got = BUF_INIT(1 << 20);
    curl_start(argv, &p, &out);
    read_all(&out, &got);
    CHECK(curl_end(&p, &out) == 0, "curl");
    CHECK(got.len == sizeof(big) + 6 && memcmp(got.data, "okok", 4) == 0 &&
              memcmp(got.data + 4, big, sizeof(big)) == 0,
          "%zu bytes", got.len);
    struct http_stats st;
    http_server_stats(T.srv, &st);
    CHECK(st.accepted == 1 && st.requests == 4, "%llu connections",
          (unsigned long long)st.accepted);

    const char *const post[] = {"curl", "-sS", "--cacert", cert, "--data-binary", data, echo, NULL};
    buf_reset(&got);
    curl_start(post, &p, &out);
    read_all(&out, &got);
    CHECK(curl_end(&p, &out) == 0, "curl");
    CHECK(got.len == sizeof(big) && memcmp(got.data, big, sizeof(big)) == 0, "%zu bytes", got.len);

    const char *const chunked[] = {
        "curl",          "-sS", "--cacert", cert, "-H", "Transfer-Encoding: chunked",
        "--data-binary", data,  echo,       NULL};
    buf_reset(&got);
    curl_start(chunked, &p, &out);
    read_all(&out, &got);
    CHECK(curl_end(&p, &out) == 0, "curl");
    CHECK(got.len == sizeof(big) && memcmp(got.data, big, sizeof(big)) == 0, "%zu bytes", got.len);
}

static void waits(void)
{
    char path[256];
    url(path, "/wait");
    const char *const argv[] = {"curl", "-sS", "--cacert", cert, path, NULL};
    struct proc p;
    struct io_fd out;
    AUTO(buf) got = BUF_INIT(1000);
    curl_start(argv, &p, &out);
    UNTIL(waiting == 1);
    waitq_wake_all(&gate);
    read_all(&out, &got);
    CHECK(str_eq(buf_str(&got), "woken"), "%s", buf_str(&got));
    CHECK(curl_end(&p, &out) == 0, "curl");
    /* gone while the handler waits */
    curl_start(argv, &p, &out);
    UNTIL(waiting == 2);
    proc_done(&p);
    UNTIL(over == 2);
    CHECK(wait_result == -E_CLOSED, "%d", wait_result);
    io_fd_close(&out);
}

/* Peers that do not speak TLS, or begin and do not go on. */
static void not_tls(void)
{
    static const char *const said[] = {"", "\x16\x03\x01", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        AUTO(io_fd) io = IO_FD_NONE;
        (void)dial(&io);
        say(&io, said[i], strlen(said[i]));
        char bytes[100];
        ssize_t n;
        size_t total = 0;
        while ((n = io_read(&io, bytes, sizeof(bytes))) > 0) { /* at most an alert */
            CHECK(!memmem(bytes, (size_t)n, "HTTP", 4), "an answer in the clear");
            total += (size_t)n;
        }
        CHECK((n == 0 || n == -ECONNRESET) && total < 20, "%zd after %zu bytes", n, total);
    }
}

static void with_tls(void (*fn)(void), int64_t head_timeout_ms)
{
    struct err e = {0};
    struct tls_ctx *tls = tls_server_new(cert, key, &e);
    if (!tls)
        fail_msg("%s", e.msg);
    waiting = over = 0;
    waitq_init(&gate);
    talk_run(fn, (struct http_server_config){
                     .handler = handler, .tls = tls, .head_timeout_ms = head_timeout_ms});
    tls_ctx_free(tls);
}

static void curl_sends_and_gets_over_tls(void **state)
{
    (void)state;
    with_tls(talk, 0);
}

static void curl_waits_and_may_leave(void **state)
{
    (void)state;
    with_tls(waits, 0);
}

static void peers_that_do_not_speak_tls_get_nothing(void **state)
{
    (void)state;
    with_tls(not_tls, 100);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(curl_sends_and_gets_over_tls),
        cmocka_unit_test(curl_waits_and_may_leave),
        cmocka_unit_test(peers_that_do_not_speak_tls_get_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
