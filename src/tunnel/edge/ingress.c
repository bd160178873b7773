/* ingress.c - reads a caller's ClientHello, finds the tunnel, and carries bytes.
 *
 * It cannot do otherwise: there is no certificate for the name here. Only the name in the ClientHello
 * (SNI, RFC 6066 3) is read; the bytes go to the gateway as they came, together with the question for
 * a stream, so that joining costs no round trip. A name that cannot be served is refused with the alert
 * that TLS has for it, before anything of TLS was agreed (RFC 8446 6): unrecognized_name for a name that
 * nobody has, internal_error for one that has nobody behind it now.
 *
 * Encrypted ClientHello: nobody has published a key for these names, so a ClientHello that is really
 * encrypted shows somebody else's name here, and is refused as unknown. Browsers send the extension with
 * random content to everybody; such a one is served (client_hello.h).
 *
 * Callers are strangers: they decide how many come, what they send and how fast, and what they never
 * read. Ceilings: connections, time and bytes of a ClientHello, looks at one that comes in crumbs. Where
 * there are too many, the one that has been saying its ClientHello for longest makes room: who has
 * something to say says it at once, so that a flood of silent connections pushes out itself. */
#include "tunnel/edge/ingress.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/time.h"
#include "fiber/sync.h"
#include "io/client_hello.h"
#include "tunnel/edge/carry.h"
#include "tunnel/edge/edge.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG          1024
#define CONNECTIONS_MOST 12288 /* two fibers each */
#define MUTE_MOST        4096  /* of them, whose ClientHello has not come */
#define HELLO_STEP       2048  /* most of them fit */
#define HELLO_MS         10000
#define LOOKS_FREE       16 /* at a ClientHello; then one every CRUMB_MS */
#define CRUMB_MS         10
#define ALERT_MS         1000 /* for the caller to read why */
#define BACKOFF_MS       100
#define KEEPALIVE_S      60

enum { ALERT_DECODE_ERROR = 50, ALERT_INTERNAL_ERROR = 80, ALERT_UNRECOGNIZED_NAME = 112 };

struct ingress {
    struct ingress_options o;
    struct io_fd listener;
    struct scope callers;
    struct list mute; /* callers whose ClientHello has not come, the longest first */
    size_t n, n_mute, n_leaving;
};

struct caller {
    struct list node; /* in in->mute */
    struct ingress *in;
    struct fiber *fiber;
    bool leaving; /* makes room for another one */
    int fd;       /* until the stream has it */
    char peer[SOCK_ADDR_MAX];
};

#define COUNT(var, what)                                                                           \
    METRIC_COUNTER(var, "sallyport_server_ingress_callers_total", "outcome=\"" what "\"",          \
                   "Callers of the tunnels' ingress, by what became of them")
COUNT(n_joined, "joined")
COUNT(n_unknown, "unknown_name")
COUNT(n_no_certificate, "no_certificate")
COUNT(n_no_gateway, "no_gateway")
COUNT(n_no_route, "no_route")
COUNT(n_lost, "gateway_lost")
COUNT(n_failed, "failed")
COUNT(n_no_tls, "no_tls")
COUNT(n_no_name, "no_name")
COUNT(n_too_many, "too_many")

static void count(enum edge_why why)
{
    struct metric *const all[] = {
        [EDGE_JOINED] = &n_joined,
        [EDGE_UNKNOWN] = &n_unknown,
        [EDGE_NO_AUTHORITY] = &n_no_certificate,
        [EDGE_NO_GATEWAY] = &n_no_gateway,
        [EDGE_NO_ROUTE] = &n_no_route,
        [EDGE_LOST] = &n_lost,
        [EDGE_FAILED] = &n_failed,
    };
    metric_add(all[why], 1);
}

/* ---- the ClientHello ---- */

/* What a caller has sent so far, and what it says. */
struct hello {
    struct buf bytes;
    struct client_hello parsed;
};

static void hello_done(struct hello *h)
{
    buf_done(&h->bytes);
}

/* Reads until it is whole; what stands behind it (early data) comes along. Memory grows with what comes.
 * 0; -E_PARSE with *ret_why; or a code of the connection. */
static int read_hello(struct stream *s, struct hello *h, const char **ret_why)
{
    for (unsigned looks = 0;; looks++) {
        if (looks > LOOKS_FREE) {
            int r = fiber_sleep_ms(CRUMB_MS);
            if (r < 0)
                return r;
        }
        size_t left = CLIENT_HELLO_PEEK_MAX - h->bytes.len;
        size_t room = left < HELLO_STEP ? left : HELLO_STEP;
        char *to = buf_room(&h->bytes, room);
        if (!to)
            return buf_err(&h->bytes);
        ssize_t n = stream_read(s, to, room);
        if (n <= 0)
            return n < 0 ? (int)n : -E_CLOSED;
        buf_commit(&h->bytes, (size_t)n);
        int r = client_hello_parse(h->bytes.data, h->bytes.len, &h->parsed, ret_why);
        if (r != -EAGAIN)
            return r;
    }
}

/* No more among those that have said nothing yet. */
static void spoke(struct caller *c)
{
    if (!list_linked(&c->node))
        return;
    list_remove(&c->node);
    c->in->n_mute--;
}

/* A fatal alert in the clear (RFC 8446 6), and time to read it: what the caller has sent meanwhile would
 * make the kernel answer with a reset, which takes the alert away. */
static void say_alert(struct stream *s, int description)
{
    const unsigned char record[] = {0x15, 0x03, 0x03, 0, 2, 2, (unsigned char)description};
    char dropped[512];
    struct fiber_deadline d = fiber_deadline_push_ms(ALERT_MS);
    ssize_t r = stream_write(s, record, sizeof(record));
    if (r == 0)
        r = stream_finish(s);
    for (int i = 0; r >= 0 && i < 64; i++) {
        r = stream_read(s, dropped, sizeof(dropped));
        if (r == 0)
            break;
    }
    fiber_deadline_pop(&d);
}

static int alert_for(enum edge_why why)
{
    return why == EDGE_UNKNOWN || why == EDGE_NO_ROUTE ? ALERT_UNRECOGNIZED_NAME
                                                       : ALERT_INTERNAL_ERROR;
}

/* ---- one caller ---- */

/* Reads the name and opens the stream. 0, or negative after the alert. */
static int join(struct caller *c, struct stream *s, struct edge_join *ret)
{
    AUTO(hello) h = {.bytes = BUF_INIT(CLIENT_HELLO_PEEK_MAX)};
    struct err e = {0};
    struct host host;
    enum edge_why why;
    const char *reason = "";
    struct fiber_deadline d = fiber_deadline_push_ms(c->in->o.hello_ms);
    int r = read_hello(s, &h, &reason);
    fiber_deadline_pop(&d);
    spoke(c);
    if (r < 0) {
        metric_add(c->leaving ? &n_too_many : &n_no_tls, 1);
        log_debug("a caller was refused", "peer=%s why=\"%s\"", log_q(c->peer),
                  r == -E_PARSE ? reason : err_text(r));
        if (r == -E_PARSE)
            say_alert(s, ALERT_DECODE_ERROR);
        return r;
    }
    const struct client_hello *p = &h.parsed;
    if (p->n_server_name == 0 || host_parse(p->server_name, p->n_server_name, 0, &host, &e) < 0) {
        metric_add(&n_no_name, 1);
        log_debug("a caller was refused", "peer=%s why=\"its ClientHello names no host\"",
                  log_q(c->peer));
        say_alert(s, ALERT_UNRECOGNIZED_NAME);
        return -E_DENIED;
    }
    r = edge_open(c->in->o.edge, &host, h.bytes.data, h.bytes.len, ret, &why, &e);
    count(why);
    if (r < 0) {
        log_debug("a caller was refused", "peer=%s host=%s reason=%s why=%s", log_q(c->peer),
                  host.text, edge_why_text(why), log_q(e.msg));
        say_alert(s, alert_for(why));
    }
    return r;
}

static void serve(struct caller *c)
{
    struct stream s;
    int r = stream_from_fd(&s, c->fd);
    if (r < 0)
        return;
    c->fd = -1;
    AUTO(edge_join) to = {.at = NULL};
    r = join(c, &s, &to);
    if (r == 0)
        r = carry(&s, &to.s, NULL);
    if (r < 0 && to.at)
        stream_reset(&s); /* not an end in order */
    else
        stream_done(&s);
}

static int caller_main(void *arg)
{
    struct caller *c = arg;
    fiber_deadline_clear();
    serve(c);
    if (c->fd >= 0)
        (void)close(c->fd);
    spoke(c);
    c->in->n--;
    c->in->n_leaving -= c->leaving;
    free(c);
    return 0;
}

/* ---- accepting ---- */

static void tune(int fd)
{
    /* A caller that is gone for good is noticed; one that is silent is not cut. */
    int one = 1, after_s = KEEPALIVE_S;
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &after_s, sizeof(after_s));
}

/* Whether one more may come, if need be in the place of the one that has been mute for longest. */
static bool make_room(struct ingress *in)
{
    if (in->n - in->n_leaving < in->o.connections_most && in->n_mute < MUTE_MOST)
        return true;
    if (list_empty(&in->mute))
        return false;
    struct caller *c = LIST_ENTRY(in->mute.next, struct caller, node);
    spoke(c);
    c->leaving = true;
    in->n_leaving++;
    fiber_cancel(c->fiber);
    return true;
}

static void begin(struct ingress *in, int fd, const char *peer)
{
    struct caller *c = mem_new(struct caller);
    c->in = in;
    c->fd = fd;
    memcpy(c->peer, peer, sizeof(c->peer));
    tune(fd);
    if (!make_room(in) || fiber_spawn(&in->callers, "ingress", caller_main, c, &c->fiber) < 0) {
        metric_add(&n_too_many, 1);
        (void)close(fd);
        free(c);
        return;
    }
    list_push_back(&in->mute, &c->node);
    in->n_mute++;
    in->n++;
}

static bool is_for_want(int code)
{
    return code == -EMFILE || code == -ENFILE || code == -ENOBUFS || code == -ENOMEM;
}

int ingress_run(void *ingress)
{
    struct ingress *in = ingress;
    char peer[SOCK_ADDR_MAX];
    scope_init(&in->callers);
    int r = 0;
    while (r == 0) {
        int fd = sock_accept(&in->listener, peer);
        if (fd >= 0)
            begin(in, fd, peer);
        else if (fd == -ECANCELED || fd == -EBADF || fd == -ETIMEDOUT)
            r = fd;
        else
            r = is_for_want(fd) ? fiber_sleep_ms(BACKOFF_MS) : fiber_yield();
    }
    io_fd_close(&in->listener);
    scope_done(&in->callers);
    return r;
}

/* ---- life ---- */

static size_t ceiling(size_t wanted)
{
    struct rlimit l;
    size_t most = wanted ? wanted : CONNECTIONS_MOST;
    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur != RLIM_INFINITY) {
        size_t room = (size_t)l.rlim_cur / 2; /* the API has the rest */
        most = most < room ? most : room;
    }
    return most;
}

int ingress_open(const struct ingress_options *o, struct ingress **ret,
                 char ret_addr[SOCK_ADDR_MAX], struct err *e)
{
    int fd = sock_listen(o->listen, BACKLOG, ret_addr, e);
    if (fd < 0)
        return err_wrap(e, fd, "--ingress");
    struct ingress *in = mem_new(struct ingress);
    in->o = *o;
    list_init(&in->mute);
    in->o.listen = NULL; /* the caller's string may be gone later */
    in->o.connections_most = ceiling(o->connections_most);
    in->o.hello_ms = o->hello_ms ? o->hello_ms : HELLO_MS;
    int r = io_fd_add(&in->listener, fd);
    if (r < 0) {
        (void)close(fd);
        free(in);
        return err_set(e, r, "cannot watch --ingress: %s", err_text(r));
    }
    *ret = in;
    return 0;
}

void ingress_free(struct ingress *in)
{
    if (!in)
        return;
    io_fd_close(&in->listener);
    free(in);
}
