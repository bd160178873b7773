/* resolve_ares.c - calls c-ares: one question for A, one for AAAA, to one server after the other.
 *
 * Called on the fiber of a look-up (resolve.c). Each try has a channel of its own, so it has fresh
 * sockets, hence a fresh source port, and asks one server only: which server is asked next, and for
 * how long, is decided here. c-ares builds the questions, sends them, takes what answers them (same
 * server, same identifier, same question), asks again by TCP when an answer was cut short, and parses.
 * Identifiers come from the kernel's generator: those of c-ares 1.18 need /dev/urandom, which a locked
 * process may not open. Everything that c-ares would read (files, environment) is given, so it reads
 * nothing.
 *
 * A name server, or who can write to us in its name, controls answers: up to 64 KiB each, of which
 * RESOLVE_ADDRESSES_MAX addresses a family are taken. The callbacks copy and never suspend. The wait
 * between two calls of c-ares asks poll(2) what is ready, because c-ares does not read a TCP socket
 * until it is empty, and sleeps on the loop. */
#include "io/resolve_internal.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/time.h>

#include "base/err.h"
#include "base/library.h"
#include "base/rng.h"
#include "base/time.h"
#include "io/loop.h"

#define ROUNDS    3
#define GRACE_NS  (200 * NS_PER_MS) /* for the other family, when one has addresses or failed */
#define EDNS_SIZE 1232              /* what no path cuts up (DNS flag day 2020) */
#define SOCKETS   4                 /* of one server: UDP and TCP */

static struct {
    __typeof__(&ares_library_init) library_init;
    __typeof__(&ares_init_options) init_options;
    __typeof__(&ares_set_servers_ports_csv) set_servers;
    __typeof__(&ares_create_query) create_query;
    __typeof__(&ares_send) send;
    __typeof__(&ares_free_string) free_string;
    __typeof__(&ares_timeout) timeout;
    __typeof__(&ares_process_fd) process_fd;
    __typeof__(&ares_parse_a_reply) parse_a;
    __typeof__(&ares_parse_aaaa_reply) parse_aaaa;
    __typeof__(&ares_destroy) destroy;
} api;

static const struct library_symbol symbols[] = {
#define SYMBOL(name, field)                                                                        \
    {                                                                                              \
        name, offsetof(__typeof__(api), field)                                                     \
    }
    SYMBOL("ares_library_init", library_init),
    SYMBOL("ares_init_options", init_options),
    SYMBOL("ares_set_servers_ports_csv", set_servers),
    SYMBOL("ares_create_query", create_query),
    SYMBOL("ares_send", send),
    SYMBOL("ares_free_string", free_string),
    SYMBOL("ares_timeout", timeout),
    SYMBOL("ares_process_fd", process_fd),
    SYMBOL("ares_parse_a_reply", parse_a),
    SYMBOL("ares_parse_aaaa_reply", parse_aaaa),
    SYMBOL("ares_destroy", destroy),
#undef SYMBOL
};

static struct err no_library; /* kept, and told to all who come later */

static void open_once(void)
{
    if (library_open("libcares.so.2", "libc-ares2", symbols, ARRAY_LEN(symbols), &api,
                     &no_library) == 0 &&
        api.library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        (void)!err_set(&no_library, -EIO, "libcares could not be initialised");
}

int resolve_ares_open(struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    MUST(pthread_once(&once, open_once) == 0);
    if (no_library.code < 0)
        return err_set(e, no_library.code, "%s", no_library.msg);
    return 0;
}

/* ---- one try ---- */

struct side {
    bool done;
    int type; /* T_A or T_AAAA */
    enum resolve_why why;
    size_t n;
    unsigned char address[RESOLVE_ADDRESSES_MAX][16];
    int64_t ttl_s;
};

struct watched {
    struct io_fd io;
    bool in, out;
};

struct
try {
    ares_channel channel;
    struct side sides[2]; /* AAAA, A */
    struct watched sockets[SOCKETS];
    bool broken; /* a socket could not be watched */
};

/* c-ares has opened a socket, wants something else of it, or (neither) is about to close it. */
static void on_socket(void *arg, ares_socket_t fd, int in, int out)
{
    struct try *t = arg;
    struct watched *w = NULL, *room = NULL;
    for (size_t i = 0; i < SOCKETS; i++) {
        if (t->sockets[i].io.fd == fd)
            w = &t->sockets[i];
        else if (t->sockets[i].io.fd < 0 && !room)
            room = &t->sockets[i];
    }
    if (!in && !out) {
        if (w)
            (void)io_fd_release(&w->io);
        return;
    }
    if (!w) {
        w = room;
        if (!w || io_fd_add(&w->io, fd) < 0) {
            t->broken = true;
            return;
        }
    }
    w->in = in;
    w->out = out;
}

/* A chain of aliases that ends without an address parses, too. */
static enum resolve_why parsed(int status, int n)
{
    if (status == ARES_SUCCESS)
        return n > 0 ? RESOLVE_OK : RESOLVE_NO_DATA;
    return status == ARES_ENODATA ? RESOLVE_NO_DATA : RESOLVE_FAILED;
}

static void take_ipv4(struct side *s, const unsigned char *p, int n)
{
    struct ares_addrttl found[RESOLVE_ADDRESSES_MAX];
    int k = ARRAY_LEN(found);
    int r = api.parse_a(p, n, NULL, found, &k);
    s->why = parsed(r, k);
    for (int i = 0; s->why == RESOLVE_OK && i < k; i++) {
        unsigned char *a = s->address[s->n++];
        memset(a, 0, 10);
        memset(a + 10, 0xff, 2);
        memcpy(a + 12, &found[i].ipaddr, 4);
        if (found[i].ttl < s->ttl_s)
            s->ttl_s = found[i].ttl;
    }
}

static void take_ipv6(struct side *s, const unsigned char *p, int n)
{
    struct ares_addr6ttl found[RESOLVE_ADDRESSES_MAX];
    int k = ARRAY_LEN(found);
    int r = api.parse_aaaa(p, n, NULL, found, &k);
    s->why = parsed(r, k);
    for (int i = 0; s->why == RESOLVE_OK && i < k; i++) {
        memcpy(s->address[s->n++], &found[i].ip6addr, 16);
        if (found[i].ttl < s->ttl_s)
            s->ttl_s = found[i].ttl;
    }
}

static void on_answer(void *arg, int status, int timeouts, unsigned char *p, int n)
{
    struct side *s = arg;
    (void)timeouts;
    if (status == ARES_EDESTRUCTION)
        return; /* we did that */
    s->done = true;
    s->ttl_s = INT64_MAX;
    s->why = status == ARES_ETIMEOUT ? RESOLVE_TIMEOUT : RESOLVE_FAILED;
    if (status != ARES_SUCCESS || !p || n < HFIXEDSZ)
        return;
    switch (p[3] & 15) { /* RFC 1035 4.1.1 */
    case ns_r_noerror:
        if (s->type == ns_t_a)
            take_ipv4(s, p, n);
        else
            take_ipv6(s, p, n);
        break;
    case ns_r_servfail:
        s->why = RESOLVE_SERVFAIL;
        break;
    case ns_r_nxdomain:
        s->why = RESOLVE_NO_NAME;
        break;
    case ns_r_refused:
        s->why = RESOLVE_REFUSED;
        break;
    default:
        break;
    }
}

/* -ENOMEM, or -EINVAL for a name that does not fit a question. */
static int ask_type(struct try *t, struct side *s, const char *name, int type)
{
    unsigned char *question = NULL;
    int n = 0;
    s->type = type;
    int r = api.create_query(name, ns_c_in, type, (unsigned short)rng_u64(), 1, &question, &n,
                             EDNS_SIZE);
    if (r != ARES_SUCCESS)
        return r == ARES_ENOMEM ? -ENOMEM : -EINVAL;
    api.send(t->channel, question, n, on_answer, s);
    api.free_string(question);
    return 0;
}

static int begin(struct try *t, const struct resolve_server *server, const char *name,
                 int64_t try_ms)
{
    char lookups[] = "b";
    struct ares_options o = {
        /* What to do with a refusal is decided here (NOCHECKRESP). */
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_NOCHECKRESP | ARES_FLAG_EDNS,
        .timeout = (int)try_ms,
        .tries = 1,
        .ndots = 1,
        .lookups = lookups,
        .ednspsz = EDNS_SIZE,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = t,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
               ARES_OPT_LOOKUPS | ARES_OPT_EDNSPSZ | ARES_OPT_SOCK_STATE_CB | ARES_OPT_DOMAINS |
               ARES_OPT_SERVERS | ARES_OPT_SORTLIST | ARES_OPT_NOROTATE;
    for (size_t i = 0; i < SOCKETS; i++)
        t->sockets[i].io = IO_FD_NONE;
    if (api.init_options(&t->channel, &o, mask) != ARES_SUCCESS) {
        t->channel = NULL;
        return -ENOMEM;
    }
    if (api.set_servers(t->channel, server->text) != ARES_SUCCESS)
        return -EINVAL;
    int r = ask_type(t, &t->sides[0], name, ns_t_aaaa);
    return r < 0 ? r : ask_type(t, &t->sides[1], name, ns_t_a);
}

/* ---- waiting ---- */

/* Hands ready sockets to c-ares; how many there were. */
static int serve_ready(struct try *t)
{
    struct pollfd p[SOCKETS];
    int n = 0, ready = 0;
    for (size_t i = 0; i < SOCKETS; i++) {
        const struct watched *w = &t->sockets[i];
        if (w->io.fd >= 0)
            p[n++] = (struct pollfd){
                .fd = w->io.fd,
                .events = (short)((w->in ? POLLIN : 0) | (w->out ? POLLOUT : 0)),
            };
    }
    if (n == 0 || poll(p, (nfds_t)n, 0) <= 0)
        return 0;
    for (int i = 0; i < n; i++) {
        if (!p[i].revents)
            continue;
        bool error = p[i].revents & (POLLERR | POLLHUP);
        /* What one call closes, a later one passes over: c-ares looks the number up. */
        api.process_fd(t->channel, error || p[i].revents & POLLIN ? p[i].fd : ARES_SOCKET_BAD,
                       error || p[i].revents & POLLOUT ? p[i].fd : ARES_SOCKET_BAD);
        ready++;
    }
    return ready;
}

/* Sleeps until a socket may be ready, or `until_ns`. 0 (also when it got late), or the fiber's end. */
static int sleep_until(struct try *t, int64_t until_ns)
{
    struct timeval tv, *left = api.timeout(t->channel, NULL, &tv);
    int64_t now = time_mono_ns(), at = until_ns;
    if (left) {
        int64_t then = now + (int64_t)left->tv_sec * NS_PER_S + (int64_t)left->tv_usec * 1000 + 1;
        at = then < at ? then : at;
    }
    for (size_t i = 0; i < SOCKETS; i++)
        if (t->sockets[i].io.fd >= 0)
            t->sockets[i].io.reader = t->sockets[i].io.writer = fiber_self();
    int64_t own = fiber_deadline_ns();
    struct fiber_deadline d = fiber_deadline_push(at);
    int r = fiber_park();
    fiber_deadline_pop(&d);
    for (size_t i = 0; i < SOCKETS; i++)
        t->sockets[i].io.reader = t->sockets[i].io.writer = NULL;
    if (r == -ETIMEDOUT && at < own) {
        api.process_fd(t->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        return 0;
    }
    return r;
}

static bool has_addresses(const struct side *s)
{
    return s->done && s->why == RESOLVE_OK;
}

/* Worth going on with soon: there are addresses, or this server fails. A refused datagram is told of
 * one question only. That one family has no address says nothing about the other. */
static bool says_enough(const struct side *s)
{
    return s->done && s->why != RESOLVE_NO_DATA;
}

/* That there is no such name holds for all types (RFC 8020 2). */
static bool enough(const struct try *t)
{
    const struct side *a = &t->sides[0], *b = &t->sides[1];
    return (a->done && b->done) || (a->done && a->why == RESOLVE_NO_NAME) ||
           (b->done && b->why == RESOLVE_NO_NAME);
}

static int run(struct try *t, int64_t try_ms)
{
    int64_t until = time_mono_ns() + try_ms * NS_PER_MS;
    bool grace = false;
    int r = 0;
    while (r == 0 && !t->broken && !enough(t)) {
        if (!grace && (says_enough(&t->sides[0]) || says_enough(&t->sides[1]))) {
            int64_t soon = time_mono_ns() + GRACE_NS;
            until = soon < until ? soon : until;
            grace = true;
        }
        if (time_mono_ns() >= until)
            break;
        r = serve_ready(t) > 0 ? fiber_yield() : sleep_until(t, until);
    }
    return r;
}

/* ---- the answer of one try, and the next ---- */

static bool definite(enum resolve_why w)
{
    return w == RESOLVE_OK || w == RESOLVE_NO_NAME || w == RESOLVE_NO_DATA;
}

/* Of several servers' ways to fail the one that says most. */
static int weight(enum resolve_why w)
{
    return definite(w) ? 3 : w == RESOLVE_FAILED ? 0 : w == RESOLVE_TIMEOUT ? 1 : 2;
}

static void conclude(const struct try *t, struct resolve_answer *ret)
{
    const struct side *v6 = &t->sides[0], *v4 = &t->sides[1];
    *ret = (struct resolve_answer){.ttl_s = INT64_MAX};
    if (has_addresses(v6) || has_addresses(v4)) {
        resolve_mix(v6->address, v6->n, v4->address, v4->n, &ret->found);
        for (size_t i = 0; i < 2; i++)
            if (has_addresses(&t->sides[i]) && t->sides[i].ttl_s < ret->ttl_s)
                ret->ttl_s = t->sides[i].ttl_s;
        ret->partial = !v6->done || !v4->done || !definite(v6->why) || !definite(v4->why);
        return;
    }
    ret->why = RESOLVE_NO_DATA;
    for (size_t i = 0; i < 2; i++) {
        enum resolve_why w = t->sides[i].done ? t->sides[i].why : RESOLVE_TIMEOUT;
        if (w == RESOLVE_NO_NAME) {
            ret->why = w;
            return;
        }
        if (w != RESOLVE_NO_DATA)
            ret->why = w;
    }
}

static int ask_one(const struct resolve_server *server, const char *name, int64_t try_ms,
                   struct resolve_answer *ret)
{
    struct try *t = mem_new(struct try);
    int r = begin(t, server, name, try_ms);
    if (r == 0)
        r = run(t, try_ms);
    if (r == 0)
        conclude(t, ret);
    if (t->channel)
        api.destroy(t->channel); /* closes the sockets, through on_socket */
    free(t);
    return r;
}

int resolve_ask(const struct resolve_servers *servers, const char *name, int64_t try_ms,
                struct resolve_answer *ret)
{
    struct resolve_servers now = *servers; /* the files may change meanwhile */
    *ret = (struct resolve_answer){.why = RESOLVE_FAILED};
    for (int round = 0; round < ROUNDS; round++, try_ms *= 2) {
        bool silent = false;
        for (size_t i = 0; i < now.n; i++) {
            struct resolve_answer a;
            int r = ask_one(&now.items[i], name, try_ms, &a);
            if (r < 0)
                return r;
            silent = silent || a.why == RESOLVE_TIMEOUT;
            if (weight(a.why) >= weight(ret->why))
                *ret = a;
            if (definite(a.why))
                return 0;
        }
        if (!silent) /* all of them have said that they will not */
            return 0;
    }
    return 0;
}

void resolve_mix(const unsigned char (*v6)[16], size_t n_v6, const unsigned char (*v4)[16],
                 size_t n_v4, struct resolved *ret)
{
    ret->n = 0;
    for (size_t i = 0; i < RESOLVE_ADDRESSES_MAX; i++) {
        if (i < n_v6 && ret->n < RESOLVE_ADDRESSES_MAX)
            memcpy(ret->address[ret->n++], v6[i], 16);
        if (i < n_v4 && ret->n < RESOLVE_ADDRESSES_MAX)
            memcpy(ret->address[ret->n++], v4[i], 16);
    }
}
