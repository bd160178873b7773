/* https_load.c - a closed loop of HTTP/1.1 requests over TLS, on one thread.
 *
 * Usage: https_load [-c CONNECTIONS] [-d SECONDS] [-n REQUESTS] [-P PORT] [-L] [-T] [-N] [-I SECONDS] [-S] [-b BODY] [-u PATH] HOST PORT
 *     -P  CONNECT through this port of 127.0.0.1 first; without it HOST is resolved
 *     -L  HOST is a name for SNI and Host alone: connects to 127.0.0.1
 *     -b  POST with this body, which is JSON
 *     -S  with -I: an answer counts when its head has come; its body may go on for ever
 *     -T  no TLS inside;  -N  a new connection for each request
 *     -n  ends after that many answers; HOST may hold a %d, which then counts up with the connections
 *     -I  when every connection has had its answer: says "idle", waits, ends
 *
 * Each connection has one request in flight, with "Authorization: Bearer $TOKEN" (TOKEN: the environment;
 * none without it). One JSON line: answers a second, p50 and p99 in microseconds, megabytes a second,
 * answers in all (those of the warm-up, too: who divides CPU by them measured both), failures. The
 * load verifies no certificate, so that its own cost stays low, and takes a chunked body to
 * end where a read ends like the last chunk: bodies here hold no such bytes. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IN_BYTES   65536
#define FAILED_MAX 1000 /* then it gives up */

enum state { CONNECTING, ASKING_PROXY, AWAITING_PROXY, SHAKING, ASKING, ANSWERING, RESTING };

struct conn {
    int fd;
    SSL *ssl;
    enum state state;
    double began;
    char name[256];
    size_t have;    /* bytes of a head in `in` */
    long long left; /* bytes of the body to come; below 0: the head is not complete */
    bool chunked;   /* then `left` only says whether it has ended */
    char tail[5];
};

static struct {
    int conns;
    double seconds, idle;
    long requests;
    uint16_t proxy, port;
    bool plain, anew, local, streams;
    const char *path, *host, *body;
} opt = {.conns = 16, .seconds = 3, .requests = -1, .path = "/"};

static char in[IN_BYTES]; /* of whoever reads; a head that is not complete goes back to its own */
static struct {
    char *head;
} * kept;
static struct conn *all;
static float *times;
static size_t n_times, room_times;
static long answers, warm_answers, failures, resting, dialled;
static long long bytes;
static int epoll_fd;
static SSL_CTX *tls;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void want(struct conn *c, uint32_t events, int op)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll_fd, op, c->fd, &e) < 0)
        die("epoll_ctl");
}

/* The address of the proxy, or of the name: asked for each connection when it counts up. */
static void find(const char *name, struct sockaddr_in *ret)
{
    static struct sockaddr_in found;
    static bool known;
    if (!known || strcmp(name, opt.host) != 0) {
        struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list;
        int r = getaddrinfo(opt.proxy || opt.local ? "127.0.0.1" : name, NULL, &hints, &list);
        if (r != 0) {
            (void)fprintf(stderr, "https_load: %s: %s\n", name, gai_strerror(r));
            exit(1);
        }
        memcpy(&found, list->ai_addr, sizeof(found));
        freeaddrinfo(list);
        found.sin_port = htons(opt.proxy ? opt.proxy : opt.port);
        known = true;
    }
    *ret = found;
}

/* HOST with its %d filled in. */
static void name_next(char *to, size_t room)
{
    const char *mark = strstr(opt.host, "%d");
    if (!mark)
        (void)snprintf(to, room, "%s", opt.host);
    else
        (void)snprintf(to, room, "%.*s%ld%s", (int)(mark - opt.host), opt.host, dialled, mark + 2);
    dialled++;
}

static void dial(struct conn *c)
{
    struct sockaddr_in a;
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    const int one = 1;
    name_next(c->name, sizeof(c->name));
    c->began = now();
    find(c->name, &a);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        die("socket");
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (opt.anew) /* else the ports are used up by TIME_WAIT */
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    c->state = CONNECTING;
    c->have = 0;
    if (connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS)
        die("connect");
    want(c, EPOLLOUT, EPOLL_CTL_ADD);
}

static void hang_up(struct conn *c)
{
    SSL_free(c->ssl);
    c->ssl = NULL;
    (void)close(c->fd);
}

static void fail(struct conn *c, const char *why)
{
    if (failures++ < 3)
        (void)fprintf(stderr, "https_load: %s (step %d, %s): %.60s\n", why, (int)c->state, c->name,
                      in);
    if (failures > FAILED_MAX)
        exit(1);
    hang_up(c);
    dial(c);
}

/* Above 0: so many bytes; 0: it would wait, and what for is registered; below 0: over. */
static int tell_tls(struct conn *c, int r)
{
    const int why = SSL_get_error(c->ssl, r);
    ERR_clear_error();
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
        return -1;
    want(c, why == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT, EPOLL_CTL_MOD);
    return 0;
}

static int take(struct conn *c, char *to, size_t n)
{
    if (c->ssl) {
        int r = SSL_read(c->ssl, to, (int)n);
        return r > 0 ? r : tell_tls(c, r);
    }
    ssize_t r = read(c->fd, to, n);
    if (r < 0 && errno == EAGAIN) {
        want(c, EPOLLIN, EPOLL_CTL_MOD);
        return 0;
    }
    return r > 0 ? (int)r : -1;
}

static int put(struct conn *c, const char *from, size_t n)
{
    if (c->ssl) {
        int r = SSL_write(c->ssl, from, (int)n);
        return r > 0 ? r : tell_tls(c, r);
    }
    return write(c->fd, from, n) == (ssize_t)n ? (int)n : -1;
}

/* Reads on after what there is of the head. 1: it is complete, and its end is in *ret_end. */
static int take_head(struct conn *c, const char **ret_end)
{
    if (c->have > 0)
        memcpy(in, kept[c - all].head, c->have);
    int r = take(c, in + c->have, sizeof(in) - 1 - c->have);
    if (r <= 0)
        return r;
    c->have += (size_t)r;
    in[c->have] = '\0';
    const char *end = strstr(in, "\r\n\r\n");
    if (end) {
        *ret_end = end + 4;
        return 1;
    }
    char *head = realloc(kept[c - all].head, c->have);
    if (!head)
        die("memory");
    kept[c - all].head = head;
    memcpy(head, in, c->have);
    return take_head(c, ret_end);
}

static bool shake(struct conn *c)
{
    if (opt.plain)
        return true;
    if (!c->ssl) {
        c->ssl = SSL_new(tls);
        if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 ||
            SSL_set_tlsext_host_name(c->ssl, c->name) != 1)
            die("SSL_new");
    }
    const int r = SSL_connect(c->ssl);
    if (r == 1)
        return true;
    if (tell_tls(c, r) < 0)
        fail(c, "the handshake failed");
    return false;
}

static void ask(struct conn *c)
{
    char text[2048];
    const char *token = getenv("TOKEN");
    char more[96] = "";
    if (opt.body)
        (void)snprintf(more, sizeof(more),
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                       strlen(opt.body));
    const int n = snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: %s:%u\r\n%s%s%s%s\r\n%s",
                           opt.body ? "POST" : "GET", opt.path, c->name, opt.port,
                           token ? "Authorization: Bearer " : "", token ? token : "",
                           token ? "\r\n" : "", more, opt.body ? opt.body : "");
    if (n < 0 || (size_t)n >= sizeof(text))
        die("request");
    const int r = put(c, text, (size_t)n);
    if (r == 0)
        return;
    if (r != n) {
        fail(c, "a request could not be sent");
        return;
    }
    c->have = 0;
    c->left = -1;
    c->state = ANSWERING;
    want(c, EPOLLIN, EPOLL_CTL_MOD);
}

static void count(struct conn *c)
{
    if (n_times == room_times) {
        room_times = room_times ? 2 * room_times : 65536;
        times = realloc(times, room_times * sizeof(*times));
        if (!times)
            die("memory");
    }
    times[n_times++] = (float)((now() - c->began) * 1e6);
    answers++;
}

/* Of an answer that has come whole. True: the next request may go out at once. */
static bool finish(struct conn *c)
{
    count(c);
    if (answers == opt.requests)
        return false;
    if (opt.idle > 0) {
        c->state = RESTING;
        resting++;
        return false;
    }
    if (opt.anew) {
        hang_up(c);
        dial(c);
        return false;
    }
    c->began = now();
    c->state = ASKING;
    return true;
}

/* Of a chunked body: whether these bytes end it. */
static bool ends(struct conn *c, const char *p, size_t n)
{
    const size_t room = sizeof(c->tail), k = n < room ? n : room;
    memmove(c->tail, c->tail + k, room - k);
    memcpy(c->tail + room - k, p + n - k, k);
    return memcmp(c->tail, "0\r\n\r\n", room) == 0;
}

/* Reads a head, and what is in hand of its body. False: not yet, or failed. */
static bool answer_head(struct conn *c)
{
    const char *end;
    const int r = take_head(c, &end);
    if (r == 0)
        return false;
    const char *length = r > 0 ? strcasestr(in, "\r\ncontent-length:") : NULL;
    const char *chunked = r > 0 ? strcasestr(in, "\r\ntransfer-encoding: chunked") : NULL;
    c->chunked = chunked && chunked < end;
    if (r < 0 || strncmp(in + 8, " 200", 4) != 0 || (!c->chunked && (!length || length > end))) {
        fail(c, r < 0 ? "the connection ended" : "no answer of 200 with a body");
        return false;
    }
    const size_t body = c->have - (size_t)(end - in);
    if (opt.streams) {
        c->left = 0;
        return true;
    }
    memset(c->tail, 0, sizeof(c->tail));
    if (c->chunked)
        c->left = body > 0 && ends(c, end, body) ? 0 : 1;
    else
        c->left = strtoll(length + 17, NULL, 10) - (long long)body;
    bytes += (long long)c->have;
    c->have = 0;
    return true;
}

static bool answer_body(struct conn *c)
{
    const int r = take(c, in, sizeof(in));
    if (r < 0)
        fail(c, "the connection ended");
    if (r <= 0)
        return false;
    bytes += r;
    if (c->chunked)
        c->left = ends(c, in, (size_t)r) ? 0 : 1;
    else
        c->left -= r;
    return true;
}

/* True: go on at once. */
static bool answer(struct conn *c)
{
    if (!(c->left < 0 ? answer_head(c) : answer_body(c)))
        return false;
    if (c->left < 0) {
        fail(c, "more bytes than announced");
        return false;
    }
    return c->left > 0 || finish(c);
}

static bool reach(struct conn *c)
{
    int error = 0;
    socklen_t n = sizeof(error);
    (void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
    if (error) {
        fail(c, strerror(error));
        return false;
    }
    c->state = opt.proxy ? ASKING_PROXY : SHAKING;
    return true;
}

static bool ask_proxy(struct conn *c)
{
    char text[600];
    const int n = snprintf(text, sizeof(text), "CONNECT %s:%u HTTP/1.1\r\nHost: %s:%u\r\n\r\n",
                           c->name, opt.port, c->name, opt.port);
    if (write(c->fd, text, (size_t)n) != n) {
        fail(c, "CONNECT could not be sent");
        return false;
    }
    c->state = AWAITING_PROXY;
    want(c, EPOLLIN, EPOLL_CTL_MOD);
    return false;
}

static bool await_proxy(struct conn *c)
{
    const char *end;
    const int r = take_head(c, &end);
    if (r == 0)
        return false;
    if (r < 0 || strncmp(in + 8, " 200", 4) != 0) {
        fail(c, "CONNECT was refused");
        return false;
    }
    c->have = 0;
    c->state = SHAKING;
    return true;
}

static bool step(struct conn *c)
{
    switch (c->state) {
    case CONNECTING:
        return reach(c);
    case ASKING_PROXY:
        return ask_proxy(c);
    case AWAITING_PROXY:
        return await_proxy(c);
    case SHAKING:
        if (!shake(c))
            return false;
        if (!opt.anew)
            c->began = now();
        c->state = ASKING;
        return true;
    case ASKING:
        ask(c);
        return false;
    case ANSWERING:
        return answer(c);
    default:
        if (opt.streams && answer_body(c))
            return true;
        if (!opt.streams)
            fail(c, "an idle connection was ended");
        return false;
    }
}

static void turn(int timeout_ms)
{
    static struct epoll_event ev[256];
    const int n = epoll_wait(epoll_fd, ev, 256, timeout_ms);
    for (int i = 0; i < n; i++)
        while (step(ev[i].data.ptr))
            ;
}

static int by_value(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void run(void)
{
    const bool warm = !opt.anew && opt.requests < 0 && opt.idle <= 0;
    double from = now();
    for (int i = 0; i < opt.conns; i++) {
        dial(&all[i]);
        if (opt.idle > 0 && i - resting > 64) /* not all handshakes at once */
            turn(100);
    }
    for (bool warming = warm; now() - from < opt.seconds && answers != opt.requests;) {
        turn(100);
        if (opt.idle > 0 && resting == opt.conns)
            break;
        if (warming && now() - from > opt.seconds / 10) {
            warming = false;
            from = now();
            warm_answers = answers;
            answers = 0;
            n_times = 0;
            bytes = 0;
        }
    }
    const double took = now() - from;
    qsort(times, n_times, sizeof(*times), by_value);
    (void)printf("{\"rps\":%.0f,\"p50_us\":%.0f,\"p99_us\":%.0f,\"mb_per_s\":%.0f,\"n\":%ld,"
                 "\"failures\":%ld}\n",
                 (double)answers / took, n_times ? (double)times[n_times / 2] : 0,
                 n_times ? (double)times[n_times * 99 / 100] : 0, (double)bytes / took / 1e6,
                 answers + warm_answers, failures);
    (void)fflush(stdout);
    for (const double until = now() + opt.idle; opt.idle > 0 && now() < until;)
        turn(100);
}

static int usage(void)
{
    (void)fputs("usage: https_load [-c N] [-d SECONDS] [-n N] [-P PORT] [-L] [-T] [-N] "
                "[-I SECONDS] [-S] [-b BODY] [-u PATH] HOST PORT\n",
                stderr);
    return 2;
}

static int options(int argc, char **argv)
{
    for (int o; (o = getopt(argc, argv, "c:d:n:P:LTNI:Sb:u:")) > 0;) {
        switch (o) {
        case 'c':
            opt.conns = (int)strtol(optarg, NULL, 10);
            break;
        case 'd':
            opt.seconds = strtod(optarg, NULL);
            break;
        case 'n':
            opt.requests = strtol(optarg, NULL, 10);
            break;
        case 'P':
            opt.proxy = (uint16_t)strtol(optarg, NULL, 10);
            break;
        case 'L':
            opt.local = true;
            break;
        case 'S':
            opt.streams = true;
            break;
        case 'b':
            opt.body = optarg;
            break;
        case 'T':
            opt.plain = true;
            break;
        case 'N':
            opt.anew = true;
            break;
        case 'I':
            opt.idle = strtod(optarg, NULL);
            break;
        case 'u':
            opt.path = optarg;
            break;
        default:
            return -1;
        }
    }
    if (argc - optind != 2 || opt.conns < 1)
        return -1;
    opt.host = argv[optind];
    opt.port = (uint16_t)strtol(argv[optind + 1], NULL, 10);
    return 0;
}

int main(int argc, char **argv)
{
    if (options(argc, argv) < 0)
        return usage();
    (void)signal(SIGPIPE, SIG_IGN);
    all = calloc((size_t)opt.conns, sizeof(*all));
    kept = calloc((size_t)opt.conns, sizeof(*kept));
    tls = SSL_CTX_new(TLS_client_method());
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!all || !kept || !tls || epoll_fd < 0)
        die("start");
    (void)SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    if (opt.idle > 0)
        (void)SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    run();
    return 0;
}
