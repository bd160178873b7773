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
 * read. Ceilings: connections, time and bytes of a ClientHello, looks at one that comes in crumbs, memory
 * (hellos here, the rest in edge_budget); and what one peer and one tunnel may have of it (turnstile). Where there are too many, of all
 * or of one peer, the one of them that has been saying its ClientHello for longest makes room: who has
 * something to say says it at once, so that a flood of silent connections pushes out itself. Whoever is
 * refused gets an alert, and a line in the log once a second at most. */
#include "tunnel/edge/ingress.h"

#include "base/budget.h"
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
#define HELLOS_BYTES     (16u << 20) /* of all of them; most take none (HELLO_FREE) */
#define LOOKS_FREE       16          /* at a ClientHello; then one every CRUMB_MS */
#define CRUMB_MS         10
#define ALERT_MS         1000 /* for the caller to read why */
#define BACKOFF_MS       100
#define KEEPALIVE_S      60
#define REFUSED_MOST     512  /* who are told why, and given time to read it */
#define HELLO_FREE       4096 /* of a ClientHello; what needs more comes out of the budget */

enum {
    ALERT_ACCESS_DENIED = 49,
    ALERT_DECODE_ERROR = 50,
    ALERT_INTERNAL_ERROR = 80,
    ALERT_UNRECOGNIZED_NAME = 112,
};

struct ingress {
    struct ingress_options o;
    struct io_fd listener;
    struct scope callers;
    struct turnstile *turnstile;
    struct list mute; /* callers whose ClientHello has not come, the longest first */
    size_t n_mute, n_refused;
    struct budget hellos; /* what callers say before their tunnel is known */
    int64_t told_ns;      /* when a refusal was told last */
    uint64_t untold;      /* since then */
};

struct reason;
struct caller {
    struct list node, of_peer; /* in in->mute, and in pass.peer->mute */
    struct ingress *in;
    struct fiber *fiber;
    struct turnstile_pass pass;
    const struct reason *refused; /* when it came, or to make room for another one; else NULL */
    int fd;                       /* until the stream has it */
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
COUNT(n_no_memory, "no_memory")
COUNT(n_forbidden, "not_allowed")
COUNT(n_peer_fast, "peer_too_fast")
COUNT(n_peer_many, "peer_too_many")
COUNT(n_tunnel_fast, "tunnel_too_fast")
COUNT(n_tunnel_many, "tunnel_too_many")

/* Why a caller is refused. */
struct reason {
    struct metric *count;
    int alert;
    const char *words;
};
static const struct reason no_tls = {&n_no_tls, ALERT_DECODE_ERROR, NULL};
static const struct reason no_name = {&n_no_name, ALERT_UNRECOGNIZED_NAME,
                                      "its ClientHello names no host"};
static const struct reason too_many = {&n_too_many, ALERT_INTERNAL_ERROR,
                                       "there are as many callers as may be"};
static const struct reason no_memory = {&n_no_memory, ALERT_INTERNAL_ERROR,
                                        "callers hold all the memory that they may have"};
static const struct reason by_peer[] = {
    [TURNSTILE_FORBIDDEN] = {&n_forbidden, ALERT_ACCESS_DENIED,
                             "allow_from does not name its address"},
    [TURNSTILE_TOO_FAST] = {&n_peer_fast, ALERT_INTERNAL_ERROR, "its address connects too often"},
    [TURNSTILE_TOO_MANY] = {&n_peer_many, ALERT_INTERNAL_ERROR,
                            "its address has its share of callers"},
};
static const struct reason by_tunnel[] = {
    [TURNSTILE_FORBIDDEN] = {&n_forbidden, ALERT_ACCESS_DENIED,
                             "allow_from of the tunnel does not name its address"},
    [TURNSTILE_TOO_FAST] = {&n_tunnel_fast, ALERT_INTERNAL_ERROR, "its tunnel is called too often"},
    [TURNSTILE_TOO_MANY] = {&n_tunnel_many, ALERT_INTERNAL_ERROR,
                            "its tunnel has its share of callers"},
};
static const struct reason by_edge[] = {
    [EDGE_UNKNOWN] = {&n_unknown, ALERT_UNRECOGNIZED_NAME, NULL},
    [EDGE_NO_AUTHORITY] = {&n_no_certificate, ALERT_INTERNAL_ERROR, NULL},
    [EDGE_NO_GATEWAY] = {&n_no_gateway, ALERT_INTERNAL_ERROR, NULL},
    [EDGE_NO_ROUTE] = {&n_no_route, ALERT_UNRECOGNIZED_NAME, NULL},
    [EDGE_LOST] = {&n_lost, ALERT_INTERNAL_ERROR, NULL},
    [EDGE_FAILED] = {&n_failed, ALERT_INTERNAL_ERROR, NULL},
};

/* Anybody may cause these. `host`: as asked for, or "". */
static void tell(struct ingress *in, const char *peer, const char *host, const struct reason *why,
                 const char *words)
{
    int64_t now = time_mono_ns();
    metric_add(why->count, 1);
    bool again = now - in->told_ns < NS_PER_S;
    log_line(again ? LOG_DEBUG : LOG_INFO, "a caller was refused",
             "peer=%s host=%s why=%s untold=%llu", log_q(peer), log_q(host),
             log_q(words ? words : why->words), (unsigned long long)in->untold);
    in->untold = again ? in->untold + 1 : 0;
    if (!again)
        in->told_ns = now;
}

/* ---- the ClientHello ---- */

/* What a caller has sent so far, and what it says. */
struct hello {
    struct buf bytes;
    struct budget_share share;
    struct client_hello parsed;
};

static void hello_done(struct hello *h)
{
    buf_done(&h->bytes);
    budget_end(&h->share);
}

/* Reads until it is whole; what stands behind it (early data) comes along. Memory grows with what comes.
 * 0; -E_PARSE with *ret_why; -ENOBUFS: of the budget nothing is left; or a code of the connection. */
static int read_hello(struct stream *s, struct hello *h, const char **ret_why)
{
    for (unsigned looks = 0;; looks++) {
        if (looks > LOOKS_FREE) {
            int r = fiber_sleep_ms(CRUMB_MS);
            if (r < 0)
                return r;
        }
        if (h->bytes.len + HELLO_STEP > HELLO_FREE && !budget_set(&h->share, CLIENT_HELLO_PEEK_MAX))
            return -ENOBUFS;
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
    list_remove(&c->of_peer);
    c->in->n_mute--;
}

#define ALERT_RECORD(description)                                                                  \
    {                                                                                              \
        0x15, 0x03, 0x03, 0, 2, 2, (unsigned char)(description)                                    \
    }

/* A fatal alert in the clear (RFC 8446 6), and time to read it: what the caller has sent meanwhile would
 * make the kernel answer with a reset, which takes the alert away. */
static void say_alert(struct stream *s, int description)
{
    const unsigned char record[] = ALERT_RECORD(description);
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

/* ---- one caller ---- */

/* Its place is free from here on: who is refused holds nobody up while it reads why. */
static int refuse(struct caller *c, struct stream *s, const char *host, const struct reason *why,
                  const char *words)
{
    struct ingress *in = c->in;
    tell(in, c->peer, host, why, words);
    turnstile_leave(in->turnstile, &c->pass);
    if (in->n_refused >= REFUSED_MOST) {
        const unsigned char record[] = ALERT_RECORD(why->alert);
        (void)!stream_try_write(s, record, sizeof(record));
        return -E_DENIED;
    }
    in->n_refused++;
    say_alert(s, why->alert);
    in->n_refused--;
    return -E_DENIED;
}

/* Reads what the caller says, and the host in it. 0, or negative after the alert. */
static int listen_to(struct caller *c, struct stream *s, struct hello *h, struct host *ret)
{
    struct err e = {0};
    const char *words = "";
    struct fiber_deadline d = fiber_deadline_push_ms(c->in->o.hello_ms);
    int r = read_hello(s, h, &words);
    fiber_deadline_pop(&d);
    spoke(c);
    if (c->refused) { /* by who came after it; its fiber is cancelled */
        tell(c->in, c->peer, "", c->refused, NULL);
        return -ECANCELED;
    }
    if (r == -ENOBUFS)
        return refuse(c, s, "", &no_memory, NULL);
    if (r == -E_PARSE)
        return refuse(c, s, "", &no_tls, words);
    if (r < 0) {
        if (r != -ECANCELED) /* the server stops */
            tell(c->in, c->peer, "", &no_tls, err_text(r));
        return r;
    }
    const struct client_hello *p = &h->parsed;
    if (p->n_server_name == 0 || host_parse(p->server_name, p->n_server_name, 0, ret, &e) < 0)
        return refuse(c, s, "", &no_name, NULL);
    return 0;
}

/* Reads the name and opens the stream. 0, or negative after the alert. */
static int join(struct caller *c, struct stream *s, struct edge_join *ret)
{
    struct ingress *in = c->in;
    AUTO(hello) h = {.bytes = BUF_INIT(CLIENT_HELLO_PEEK_MAX), .share = {.of = &in->hellos}};
    struct err e = {0};
    struct host host;
    enum edge_why why;
    char tunnel_id[ID_MAX];
    int r = listen_to(c, s, &h, &host);
    if (r < 0)
        return r;
    /* One that has no gateway now takes no place; edge_open says what there is to say about it. */
    if (edge_tunnel_id(in->o.edge, &host, tunnel_id) == 0) {
        enum turnstile_verdict v =
            turnstile_tunnel(in->turnstile, &c->pass, tunnel_id, time_mono_ns());
        if (v != TURNSTILE_GRANTED)
            return refuse(c, s, host.text, &by_tunnel[v], NULL);
    }
    r = edge_open(in->o.edge, &host, h.bytes.data, h.bytes.len, ret, &why, &e);
    if (r < 0)
        return refuse(c, s, host.text, &by_edge[why], e.msg);
    metric_add(&n_joined, 1);
    return 0;
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
        r = carry(&s, &to.s, edge_join_budget(&to));
    if (r == -ENOBUFS)
        tell(c->in, c->peer, "", &no_memory, NULL);
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
    turnstile_leave(c->in->turnstile, &c->pass);
    free(c);
    return 0;
}

/* One that is refused where it comes; its place was given back. */
static int refused_main(void *arg)
{
    struct caller *c = arg;
    struct stream s;
    fiber_deadline_clear();
    int r = stream_from_fd(&s, c->fd);
    if (r == 0) {
        say_alert(&s, c->refused->alert);
        stream_done(&s);
    } else {
        (void)close(c->fd);
    }
    c->in->n_refused--;
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

/* Ends the one of these that has been mute for longest. False when there is none. */
static bool push_out(struct caller *c, const struct reason *why)
{
    if (!c)
        return false;
    spoke(c);
    turnstile_leave(c->in->turnstile, &c->pass); /* its place is free from now on */
    c->refused = why;
    fiber_cancel(c->fiber);
    return true;
}

static struct caller *longest_mute(const struct ingress *in)
{
    return list_empty(&in->mute) ? NULL : LIST_ENTRY(in->mute.next, struct caller, node);
}

static struct caller *longest_mute_of(const struct turnstile_holder *peer)
{
    return !peer || list_empty(&peer->mute) ? NULL
                                            : LIST_ENTRY(peer->mute.next, struct caller, of_peer);
}

/* Whether one that has just come may stay, if need be in the place of another one. NULL, or why not. */
static const struct reason *make_room(struct ingress *in, const struct turnstile_pass *p)
{
    const struct reason *share = &by_peer[TURNSTILE_TOO_MANY];
    if (!turnstile_peer_has_room(in->turnstile, p) && !push_out(longest_mute_of(p->peer), share))
        return share;
    if ((!turnstile_has_room(in->turnstile) || in->n_mute >= MUTE_MOST) &&
        !push_out(longest_mute(in), &too_many))
        return &too_many;
    return NULL;
}

static bool address_of_peer(int fd, struct address *ret)
{
    union {
        struct sockaddr any;
        struct sockaddr_storage room;
    } a = {.room = {0}};
    socklen_t n = sizeof(a);
    return getpeername(fd, &a.any, &n) == 0 && address_of_sockaddr(&a.any, ret) == 0;
}

/* NULL: it may come. */
static const struct reason *let_in(struct caller *c)
{
    struct turnstile *a = c->in->turnstile;
    struct address from;
    bool known = address_of_peer(c->fd, &from);
    enum turnstile_verdict v = turnstile_peer(a, known ? &from : NULL, time_mono_ns(), &c->pass);
    if (v != TURNSTILE_GRANTED)
        return &by_peer[v];
    const struct reason *no = make_room(c->in, &c->pass);
    if (no)
        turnstile_leave(a, &c->pass);
    return no;
}

/* In a flood of them most get their alert without time to read it, which is enough for those that look. */
static void turn_away(struct caller *c)
{
    const unsigned char record[] = ALERT_RECORD(c->refused->alert);
    struct ingress *in = c->in;
    tell(in, c->peer, "", c->refused, NULL);
    if (in->n_refused < REFUSED_MOST &&
        fiber_spawn(&in->callers, "ingress-refused", refused_main, c, NULL) == 0) {
        in->n_refused++;
        return;
    }
    (void)send(c->fd, record, sizeof(record), MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)close(c->fd);
    free(c);
}

static void begin(struct ingress *in, int fd, const char *peer)
{
    struct caller *c = mem_new(struct caller);
    c->in = in;
    c->fd = fd;
    memcpy(c->peer, peer, sizeof(c->peer));
    tune(fd);
    c->refused = let_in(c);
    if (c->refused) {
        turn_away(c);
        return;
    }
    if (fiber_spawn(&in->callers, "ingress", caller_main, c, &c->fiber) < 0) {
        turnstile_leave(in->turnstile, &c->pass);
        c->refused = &too_many;
        turn_away(c);
        return;
    }
    list_push_back(&in->mute, &c->node);
    if (c->pass.peer)
        list_push_back(&c->pass.peer->mute, &c->of_peer);
    in->n_mute++;
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
    size_t most = ceiling(o->connections_most);
    struct turnstile *turnstile;
    int r = turnstile_new(&o->limits, most, &turnstile, e);
    if (r < 0)
        return err_wrap(e, r, "--ingress-allow-from");
    int fd = sock_listen(o->listen, BACKLOG, ret_addr, e);
    if (fd < 0) {
        turnstile_free(turnstile);
        return err_wrap(e, fd, "--ingress");
    }
    struct ingress *in = mem_new(struct ingress);
    in->o = *o;
    in->turnstile = turnstile;
    in->hellos.max = HELLOS_BYTES;
    list_init(&in->mute);
    in->o.listen = NULL; /* the caller's string may be gone later */
    in->o.connections_most = most;
    in->o.hello_ms = o->hello_ms ? o->hello_ms : HELLO_MS;
    r = io_fd_add(&in->listener, fd);
    if (r < 0) {
        (void)close(fd);
        turnstile_free(turnstile);
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
    turnstile_free(in->turnstile);
    free(in);
}
