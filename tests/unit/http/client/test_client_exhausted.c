/* What the wrapper of libcurl does when memory runs out: a request fails in words, or the process
 * ends with a line. The peer is a child of the test that answers each connection and ends. */
#include "http/client/client.h"

#include "base/err.h"
#include "io/loop.h"

#include "unit/exhaust.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static char url[64];

static int fetch(void *arg)
{
    (void)arg;
    struct err e = {0};
    struct http_client *c = http_client_new("test", &e);
    if (!c)
        return 0;
    const struct client_header headers[] = {{"X-One", "1"}, {"X-Two", "2"}};
    const struct client_request q = {.method = "POST",
                                     .url = url,
                                     .headers = headers,
                                     .n_headers = 2,
                                     .bearer = "a token",
                                     .body = "{}",
                                     .body_len = 2};
    AUTO(client_response) a = {.body = BUF_INIT(1000), .headers = BUF_INIT(1000)};
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(300);
    (void)!client_fetch(c, &q, 1000, &a, &e);
    http_client_free(c);
    return 0;
}

static void request(void)
{
    if (loop_init() < 0)
        return;
    (void)loop_run(fetch, NULL);
    loop_done();
}

static void serve(int listener)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        char bytes[2048];
        if (fd < 0)
            _exit(0);
        (void)!read(fd, bytes, sizeof(bytes));
        (void)!write(fd, answer, sizeof(answer) - 1);
        (void)shutdown(fd, SHUT_WR);
        while (read(fd, bytes, sizeof(bytes)) > 0)
            ;
        (void)close(fd);
    }
}

static void a_request_without_memory(void **state)
{
    (void)state;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0 && bind(listener, (struct sockaddr *)&a, n) == 0 &&
                listen(listener, 100) == 0 &&
                getsockname(listener, (struct sockaddr *)&a, &n) == 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/x", ntohs(a.sin_port));
    pid_t server = fork();
    assert_true(server >= 0);
    if (server == 0)
        serve(listener);
    exhaust_each("client", request);
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    (void)close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_request_without_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
