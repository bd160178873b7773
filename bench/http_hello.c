/* http_hello.c - the smallest server on src/http: every request is answered 200 "ok".
 *
 * bench_http_hello [ADDRESS] listens (default 127.0.0.1:0), prints the address and serves until it
 * is terminated. For comparison with nginx `return 200 "ok"`, both on one core, driven by the same
 * wrk; see bench/README.md. With `/wait` as path the answer never comes: 10,000 such connections
 * show what an idle stream costs. */
#include "base/err.h"
#include "base/str.h"
#include "http/server/server.h"
#include "io/signal.h"
#include "io/sock.h"

#include <stdio.h>

static const char *address = "127.0.0.1:0";
static struct waitq never;

static void handler(struct http_exchange *x, void *arg)
{
    (void)arg;
    if (str_eq(http_request(x)->path, "/wait")) {
        if (http_stream_begin(x, 200, "text/event-stream") == 0)
            while (http_wait(x, &never) == 0)
                ;
        return;
    }
    (void)http_reply(x, 200, "text/plain", "ok", 2);
}

static int stop_on_signal(void *arg)
{
    int r = signal_next();
    http_server_stop(arg, 0);
    return r < 0 ? r : 0;
}

static int serve(void *arg)
{
    (void)arg;
    struct err e = {0};
    char bound[SOCK_ADDR_MAX];
    struct http_server_config cfg = {.listen = address, .handler = handler};
    struct http_server *s = http_server_new(&cfg, bound, &e);
    if (!s) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    printf("%s\n", bound);
    fflush(stdout);
    waitq_init(&never);
    AUTO(scope) scope;
    scope_init(&scope);
    int r = fiber_spawn(&scope, "signals", stop_on_signal, s, NULL);
    if (r == 0)
        r = http_server_run(s);
    scope_cancel(&scope);
    http_server_free(s);
    return r < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        address = argv[1];
    if (loop_init() < 0 || signal_init() < 0)
        return 1;
    int r = loop_run(serve, NULL);
    signal_done();
    loop_done();
    return r;
}
