/* inside - the network of a sandbox, in which this test itself is, with a front at its doors.
 *
 * The handler answers each connection with one line that tells the claim, after it has read what was
 * said: "TLS api.github.com:443 resolved=... target=... sni=... each=0 disagree=0 read=210". */
#pragma once

#include "unit/egress/capture/hello.h"
#include "unit/egress/policy/load.h"
#include "unit/loop.h"
#include "egress/capture/front.h"
#include "io/sock.h"
#include "sandbox/net/capture.h"

#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* A network for this process alone. False where an ordinary user gets none. */
static inline bool inside_network(void)
{
    static bool entered;
    int flags = CLONE_NEWNET | (entered || geteuid() == 0 ? 0 : CLONE_NEWUSER);
    if (unshare(flags) < 0)
        return false;
    entered = true;
    return capture_network_up() == 0;
}

#define INSIDE_NOTES 64
struct inside {
    struct scope scope;
    struct front *front;
    struct front_binding *binding;
    struct policy *policy;
    unsigned served; /* connections that the handler has had */
    char last[200];  /* what it told the last one */
    bool keep;       /* it keeps them until it is cancelled or the client ends */
    size_t n_notes;
    struct {
        enum front_why why;
        char host[HOST_TEXT_MAX + 1];
        uint16_t port;
        uint64_t suppressed;
        char words[200];
    } notes[INSIDE_NOTES];
};

static inline void inside_note(void *arg, struct front_binding *b, const struct front_note *n)
{
    struct inside *in = arg;
    (void)b;
    if (in->n_notes == INSIDE_NOTES)
        return;
    size_t i = in->n_notes++;
    in->notes[i].why = n->why;
    in->notes[i].port = n->port;
    in->notes[i].suppressed = n->suppressed;
    (void)snprintf(in->notes[i].host, sizeof(in->notes[i].host), "%s",
                   n->host ? n->host->text : "-");
    (void)snprintf(in->notes[i].words, sizeof(in->notes[i].words), "%s", n->words);
}

static inline const char *inside_text(const struct host *h)
{
    return h ? h->text : "-";
}

static inline void inside_serve(void *arg, struct front_claim *c, struct stream *s)
{
    struct inside *in = arg;
    char said[2048], line[1600];
    ssize_t n = 0;
    in->served++;
    if (c->kind != DETECT_SILENT)
        n = stream_read(s, said, sizeof(said));
    int k =
        snprintf(line, sizeof(line),
                 "%s %s:%u resolved=%s target=%s sni=%s each=%d disagree=%d read=%zd\n",
                 detect_kind_text(c->kind), inside_text(c->host), c->port, inside_text(c->resolved),
                 inside_text(c->target), inside_text(c->sni), c->each, c->disagree, n);
    (void)snprintf(in->last, sizeof(in->last), "%.199s", line);
    if (stream_write(s, line, (size_t)k) == 0 && in->keep)
        (void)!stream_read(s, said, sizeof(said));
}

static inline int inside_run(void *arg)
{
    struct inside *in = arg;
    return front_binding_run(in->binding);
}

static const struct sandbox_door inside_doors[] = {
    {.kind = SANDBOX_DOOR_TCP, .port = 80},
    {.kind = SANDBOX_DOOR_TCP, .port = 443},
    {.kind = SANDBOX_DOOR_TCP, .port = 8022},
    {.kind = SANDBOX_DOOR_TCP, .address = "198.18.0.10", .port = 5432},
    {.kind = SANDBOX_DOOR_TCP, .address = "127.0.0.1", .port = 3128},
    {.kind = SANDBOX_DOOR_TCP, .address = "127.0.0.1", .port = 53},
    {.kind = SANDBOX_DOOR_UDP, .address = "127.0.0.1", .port = 53},
};

static inline enum front_door_kind inside_kind(const struct sandbox_door *d)
{
    if (d->kind == SANDBOX_DOOR_UDP)
        return FRONT_DOOR_DNS_UDP;
    return d->port == 3128 ? FRONT_DOOR_PROXY : d->port == 53 ? FRONT_DOOR_DNS_TCP : FRONT_DOOR_TCP;
}

/* A binding at all the doors of the present network. */
static inline struct front_binding *inside_bind(struct inside *in, const char *id)
{
    struct capture_doors open;
    struct front_door doors[SANDBOX_DOOR_FDS_MAX];
    struct front_binding *b = NULL;
    struct err e = {0};
    size_t n = 0;
    if (capture_open(inside_doors, ARRAY_LEN(inside_doors), &open, &e) < 0)
        fail_msg("%s", e.msg);
    for (size_t i = 0; i < ARRAY_LEN(inside_doors); i++)
        for (int k = inside_doors[i].address[0] ? 1 : 0; k < 2; k++, n++)
            doors[n] = (struct front_door){.kind = inside_kind(&inside_doors[i]), .fd = open.fd[n]};
    assert_int_equal(n, open.n);
    if (front_binding_new(in->front, id, in->policy, doors, n, NULL, &b, &e) < 0)
        fail_msg("%s", e.msg);
    return b;
}

#define INSIDE_POLICY                                                                              \
    "allow:\n"                                                                                     \
    "  - api.github.com\n"                                                                         \
    "  - {host: '*.pypi.example', limits: {names: 3/m}}\n"                                         \
    "  - {host: db.internal, port: 5432, addresses: [10.0.0.0/8]}\n"                               \
    "  - {host: git.internal, port: 8022, addresses: [10.0.0.0/8]}\n"                              \
    "  - {host: api.internal, port: 8022, addresses: [10.0.0.0/8], methods: [GET]}\n"

/* On a fiber, whose scope serves. `o`: connections_max and the like; the rest is filled in. */
static inline void inside_begin(struct inside *in, const char *policy, struct front_options o)
{
    struct host db;
    uint32_t index;
    *in = (struct inside){.policy = load(policy)};
    o.serve = inside_serve;
    o.note = inside_note;
    o.arg = in;
    o.ca_pem = "-----BEGIN CERTIFICATE-----\n";
    if (!inside_network())
        fail_msg("no network of one's own");
    in->front = front_new(&o);
    in->binding = inside_bind(in, "sbx_1");
    names_start_at(front_binding_names(in->binding), 0); /* at 198.18.4.10 */
    assert_int_equal(host_parse("db.internal", 11, 0, &db, NULL), 0);
    assert_int_equal(names_reserve(front_binding_names(in->binding), &db, &index), 0);
    scope_init(&in->scope);
    assert_int_equal(fiber_spawn(&in->scope, "binding", inside_run, in, NULL), 0);
}

static inline void inside_end(struct inside *in)
{
    front_binding_stop(in->binding);
    assert_int_equal(scope_join(&in->scope), 0);
    scope_done(&in->scope);
    front_binding_free(in->binding);
    front_free(in->front);
    policy_unref(in->policy);
}

/* ---- clients ---- */

/* "198.18.4.10:443", or "[fd73:...]:443", of a name that is now known. */
static inline const char *inside_address(struct inside *in, const char *name, bool v6,
                                         unsigned port)
{
    static char ret[SOCK_ADDR_MAX];
    struct host h;
    struct name *n;
    unsigned char four[4], sixteen[16];
    char text[ADDRESS_TEXT_MAX];
    assert_int_equal(host_parse(name, strlen(name), 0, &h, NULL), 0);
    assert_int_equal(names_take(front_binding_names(in->binding), &h, &n, NULL), 0);
    names_ipv4(n->index, four);
    names_ipv6(n->index, sixteen);
    struct address a = v6 ? address_of_ipv6(sixteen) : address_of_ipv4(four);
    (void)snprintf(ret, sizeof(ret), v6 ? "[%s]:%u" : "%s:%u", address_text(&a, text), port);
    return ret;
}

static inline void inside_connect(const char *address, struct io_fd *ret)
{
    struct err e = {0};
    if (sock_connect(address, ret, &e) < 0)
        fail_msg("%s: %s", address, e.msg);
}

/* Reads to the end into `ret`, NUL-terminated. Bytes, or a code (-ECONNRESET). */
static inline ssize_t inside_read_all(struct io_fd *io, char *ret, size_t room)
{
    size_t n = 0;
    for (;;) {
        ssize_t k = io_read(io, ret + n, room - 1 - n);
        if (k <= 0) {
            ret[n] = '\0';
            return k < 0 ? k : (ssize_t)n;
        }
        n += (size_t)k;
        assert_true(n < room - 1);
    }
}

/* One connection: says `p`, reads to the end. */
static inline ssize_t inside_say(const char *address, const void *p, size_t n, char *ret,
                                 size_t room)
{
    struct io_fd io;
    inside_connect(address, &io);
    if (n > 0)
        assert_int_equal(io_write_all(&io, p, n), 0);
    ssize_t r = inside_read_all(&io, ret, room);
    io_fd_close(&io);
    return r;
}
