/* api_load.c - a load client for the API, on this program's own fibers: many connections, little
 * CPU of its own.
 *
 *   api_load events  ADDR KEY SESSIONS... -- CONNECTIONS SECONDS
 *       append one event a request, report events/s and latency
 *   api_load create  ADDR KEY BODY COUNT
 *       make sessions one after the other, report latency
 *   api_load streams ADDR KEY SESSION COUNT
 *       open that many event streams, print "open N", wait for stdin to end
 *
 * Used by bench/run against a server on loopback; counts and times are bounded by the arguments. */
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "io/loop.h"
#include "io/sock.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_SAMPLES 2000000

static struct {
    const char *addr, *key;
    int64_t *samples_ns;
    size_t n_samples, failures;
    int64_t until_ns;
    char *request; /* one whole request with a %s for the session id resolved beforehand */
} load;

struct client {
    const char *request;
    size_t request_len;
    size_t count; /* requests to make; 0: until load.until_ns */
};

/* Reads one response with Content-Length. Returns its status or a negative code. */
static int read_response(struct io_fd *io, char *bytes, size_t cap)
{
    size_t len = 0;
    for (;;) {
        ssize_t n = io_read(io, bytes + len, cap - 1 - len);
        if (n <= 0)
            return n < 0 ? (int)n : -E_CLOSED;
        len += (size_t)n;
        bytes[len] = '\0';
        char *end = strstr(bytes, "\r\n\r\n");
        if (!end)
            continue;
        char *field = strcasestr(bytes, "\r\ncontent-length:");
        size_t body = field ? strtoul(field + 17, NULL, 10) : 0, head = (size_t)(end - bytes) + 4;
        if (head + body > cap - 1)
            return -EMSGSIZE;
        while (len < head + body) {
            n = io_read(io, bytes + len, cap - 1 - len);
            if (n <= 0)
                return n < 0 ? (int)n : -E_CLOSED;
            len += (size_t)n;
        }
        return (int)strtol(bytes + 9, NULL, 10);
    }
}

static int run_client(void *arg)
{
    struct client *c = arg;
    struct io_fd io = IO_FD_NONE;
    struct err e = {0};
    int r = sock_connect(load.addr, &io, &e);
    if (r < 0) {
        fprintf(stderr, "api_load: %s\n", e.msg);
        load.failures++;
        return r;
    }
    char *bytes = mem_zalloc(65536);
    for (size_t i = 0; c->count ? i < c->count : time_mono_ns() < load.until_ns; i++) {
        int64_t began = time_mono_ns();
        r = io_write_all(&io, c->request, c->request_len);
        if (r == 0)
            r = read_response(&io, bytes, 65536);
        if (r != 200) {
            if (load.failures++ == 0)
                fprintf(stderr, "api_load: %d %.300s\n", r, bytes);
            if (r < 0)
                break;
            continue;
        }
        if (load.n_samples < MAX_SAMPLES)
            load.samples_ns[load.n_samples++] = time_mono_ns() - began;
    }
    free(bytes);
    io_fd_close(&io);
    return 0;
}

static char *make_request(const char *method, const char *path, const char *body, size_t *ret_len)
{
    char *text = mem_printf("%s %s HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer "
                            "%s\r\nanthropic-version: 2023-06-01\r\n"
                            "anthropic-beta: managed-agents-2026-04-01\r\ncontent-type: "
                            "application/json\r\ncontent-length: %zu\r\n\r\n%s",
                            method, path, load.key, strlen(body), body);
    *ret_len = strlen(text);
    return text;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void report(double seconds)
{
    qsort(load.samples_ns, load.n_samples, sizeof(int64_t), compare);
    size_t n = load.n_samples;
    printf("{\"requests\":%zu,\"failures\":%zu,\"seconds\":%.3f,\"per_second\":%.1f,\"p50_ms\":%."
           "3f,\"p99_ms\":%.3f}\n",
           n, load.failures, seconds, (double)n / seconds,
           n ? (double)load.samples_ns[n / 2] / 1e6 : 0,
           n ? (double)load.samples_ns[n * 99 / 100] / 1e6 : 0);
}

struct arguments {
    int argc;
    char **argv;
};

static int append_events(struct arguments *a)
{
    int sep = 4;
    while (sep < a->argc && strcmp(a->argv[sep], "--") != 0)
        sep++;
    if (sep + 2 >= a->argc || sep == 4)
        return -EINVAL;
    size_t n_sessions = (size_t)(sep - 4), n = strtoul(a->argv[sep + 1], NULL, 10);
    double seconds = strtod(a->argv[sep + 2], NULL);
    struct client *clients = mem_array(n, sizeof(*clients));
    struct scope s;
    scope_init(&s);
    int64_t began = time_mono_ns();
    load.until_ns = began + (int64_t)(seconds * (double)NS_PER_S);
    for (size_t i = 0; i < n; i++) {
        AUTO_FREE char *path = mem_printf("/v1/sessions/%s/events", a->argv[4 + i % n_sessions]);
        clients[i].request =
            make_request("POST", path, "{\"events\":[{\"type\":\"user.interrupt\"}]}",
                         &clients[i].request_len);
        if (fiber_spawn(&s, "client", run_client, &clients[i], NULL) < 0)
            return -ENOMEM;
    }
    int r = scope_join(&s);
    scope_done(&s);
    report((double)(time_mono_ns() - began) / 1e9);
    return r;
}

static int create_sessions(struct arguments *a)
{
    if (a->argc < 6)
        return -EINVAL;
    struct client c = {.count = strtoul(a->argv[5], NULL, 10)};
    c.request = make_request("POST", "/v1/sessions", a->argv[4], &c.request_len);
    int64_t began = time_mono_ns();
    run_client(&c);
    report((double)(time_mono_ns() - began) / 1e9);
    return 0;
}

static int hold_streams(struct arguments *a)
{
    if (a->argc < 6)
        return -EINVAL;
    size_t n = strtoul(a->argv[5], NULL, 10), open = 0;
    struct rlimit l = {n + 100, n + 100};
    (void)setrlimit(RLIMIT_NOFILE, &l);
    AUTO_FREE char *path = mem_printf("/v1/sessions/%s/events/stream", a->argv[4]);
    size_t len;
    AUTO_FREE char *request = make_request("GET", path, "", &len);
    struct io_fd *io = mem_array(n, sizeof(*io));
    for (size_t i = 0; i < n; i++) {
        struct err e = {0};
        char bytes[512];
        io[i] = IO_FD_NONE;
        if (sock_connect(load.addr, &io[i], &e) < 0 || io_write_all(&io[i], request, len) < 0)
            break;
        ssize_t k = io_read(&io[i], bytes, sizeof(bytes) - 1);
        if (k <= 0 || !str_starts(bytes, "HTTP/1.1 200"))
            break;
        open++;
    }
    printf("open %zu\n", open);
    fflush(stdout);
    struct io_fd in = IO_FD_NONE;
    char byte;
    if (io_fd_add(&in, STDIN_FILENO) == 0)
        while (io_read(&in, &byte, 1) > 0)
            ;
    for (size_t i = 0; i < n; i++)
        io_fd_close(&io[i]);
    free(io);
    return 0;
}

static int run(void *arg)
{
    struct arguments *a = arg;
    load.addr = a->argv[2];
    load.key = a->argv[3];
    load.samples_ns = mem_array(MAX_SAMPLES, sizeof(int64_t));
    if (!strcmp(a->argv[1], "events"))
        return append_events(a);
    if (!strcmp(a->argv[1], "create"))
        return create_sessions(a);
    if (!strcmp(a->argv[1], "streams"))
        return hold_streams(a);
    return -EINVAL;
}

int main(int argc, char **argv)
{
    struct arguments a = {argc, argv};
    if (argc < 5 || loop_init() < 0)
        return 2;
    int r = loop_run(run, &a);
    if (r == -EINVAL)
        fprintf(stderr, "api_load: the arguments are at the top of bench/api_load.c\n");
    return r < 0 || load.failures > 0;
}
