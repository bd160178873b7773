/* claim.c - from an accepted connection to the host that it is for.
 *
 * Theory of operation. On the connection's fiber. The local address is a synthetic one, and the table
 * of names says for what; then the first bytes are looked at; then the places that named a host are
 * put side by side. Nothing is answered here: a connection that cannot be given to the handler is
 * reset, so that no client takes it for an answer of the host.
 *
 * The name is held as long as the connection is open, so the handler may keep pointers to it. */
#include "egress/capture/front_internal.h"
#include "base/err.h"
#include "base/str.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* The local end: its address, and the port. */
static int local_address(const struct conn *c, struct address *ret, uint16_t *ret_port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_storage room;
    } a = {.room = {0}};
    socklen_t n = sizeof(a);
    if (getsockname(c->stream.io.fd, &a.any, &n) < 0)
        return -errno;
    *ret_port = ntohs(a.any.sa_family == AF_INET6 ? a.in6.sin6_port : a.in.sin_port);
    return address_of_sockaddr(&a.any, ret);
}

static void refuse(struct conn *c, enum front_why why, const struct host *h, const char *words)
{
    front_tell(c->binding, why, h, c->port, words);
    stream_reset(&c->stream);
}

/* Finds the name that the address stands for, and holds it. */
static int find_name(struct conn *c)
{
    struct address a;
    uint32_t index;
    uint16_t port;
    int r = local_address(c, &a, &port);
    if (r < 0)
        return r;
    if (c->port == 0)
        c->port = port;
    struct name *name = NULL;
    if (names_index_of(&a, &index) == 0)
        name = names_of_index(c->binding->names, index);
    if (!name) {
        char text[ADDRESS_TEXT_MAX], words[200];
        (void)snprintf(
            words, sizeof(words),
            "%s stands for no name; names have to be resolved with the sandbox's resolver",
            address_text(&a, text));
        refuse(c, FRONT_NO_NAME, NULL, words);
        return -ENOENT;
    }
    names_hold(c->binding->names, name);
    c->name = name;
    return 0;
}

static bool is_web(uint16_t port)
{
    return port == 80 || port == 443;
}

/* What is refused whatever the policy says. NULL: nothing. */
static const char *wrong_protocol(const struct conn *c)
{
    if (!is_web(c->port))
        return NULL;
    if (c->seen.kind == DETECT_SSH)
        return "SSH on a port of the web";
    return c->seen.kind == DETECT_OTHER ? "neither TLS nor HTTP on a port of the web" : NULL;
}

int front_count_name(struct front_binding *b, const struct host *h, uint16_t port, struct err *e)
{
    struct name *name = NULL;
    if (h->kind != HOST_NAME)
        return 0;
    switch (lookup_name(b->policy, b->names, &b->counts, h, port, &name, NULL)) {
    case LOOKUP_ADDRESS:
        return 0;
    case LOOKUP_LOCALHOST:
        front_tell(b, FRONT_DENIED, h, port, "localhost is the sandbox itself");
        return err_set(e, -E_DENIED,
                       "localhost is this sandbox; connect to it without the proxy (NO_PROXY).");
    case LOOKUP_TOO_MANY:
        front_tell(b, FRONT_NAMES_TOO_MANY, h, port,
                   "more different names were asked for than the wildcard rule allows");
        return err_set(
            e, -E_LIMIT,
            "More different names were asked for than the wildcard rule allows; try later.");
    case LOOKUP_FULL:
        front_tell(b, FRONT_NAMES_FULL, h, port, "every address is in use by an open connection");
        return err_set(e, -EBUSY, "This sandbox has open connections to too many names.");
    case LOOKUP_NONE:
    case LOOKUP_TOO_LONG:
        break;
    }
    /* The policy has let it pass, so it is another one by now. */
    front_tell(b, FRONT_DENIED, h, port, "there is no such name");
    return err_set(e, -E_DENIED, "There is no such name.");
}

static void add_claim(struct front_claim *k, const char *where, const struct host *h, uint16_t port)
{
    if (h)
        k->claims[k->n_claims++] = (struct host_claim){.where = where, .host = h, .port = port};
}

static void put_together(struct conn *c)
{
    struct front_claim *k = &c->claim;
    struct err e = {0};
    *k = (struct front_claim){
        .binding = c->binding,
        .kind = c->seen.kind,
        .transport = c->seen.kind == DETECT_TLS ? POLICY_TLS : POLICY_PLAIN,
        .port = c->port,
        .resolved = c->name ? &c->name->host : NULL,
        .target = c->target.kind != HOST_NONE ? &c->target : NULL,
        .sni = c->seen.has_sni ? &c->seen.sni : NULL,
        .alpn = c->seen.alpn,
        .alpn_h2 = c->seen.alpn_h2,
        .alpn_http1 = c->seen.alpn_http1,
        .ech = c->seen.ech,
    };
    k->host = k->target ? k->target : k->resolved;
    add_claim(k, "the resolved name", k->resolved, c->port);
    add_claim(k, "CONNECT", k->target, c->port);
    add_claim(k, "SNI", k->sni, 0);
    k->disagree = host_claims_agree(k->claims, k->n_claims, &e);
    if (k->disagree < 0)
        (void)str_copy(k->why, sizeof(k->why), e.msg);
}

static void detect_failed(struct conn *c, const struct host *h, int r)
{
    if (r == -ETIMEDOUT)
        refuse(c, FRONT_NOT_TOLD, h, "the client did not say in time what it wants");
    /* Otherwise the client is gone, or the binding ends. */
}

/* What has to be looked into is HTTP, whose clients speak first: a slow one is not taken for silent. */
static struct detect_limits limits_of(const struct conn *c, const struct host *h)
{
    struct detect_limits l = c->binding->front->o.detect;
    struct policy_decision d;
    policy_decide(c->binding->policy, &(struct policy_query){.host = h, .port = c->port}, &d);
    if (d.verdict != POLICY_DENY && d.intercept)
        l.silent_ms = -1;
    return l;
}

void claim_speak(struct conn *c)
{
    const struct host *h = c->name ? &c->name->host : &c->target;
    const struct front *f = c->binding->front;
    struct detect_limits l = limits_of(c, h);
    int r = detect(&c->stream.io, c->port, &l, &c->seen);
    if (r < 0) {
        detect_failed(c, h, r);
        return;
    }
    char words[300];
    const char *wrong = wrong_protocol(c);
    if (c->seen.kind == DETECT_BAD_TLS) {
        (void)snprintf(words, sizeof(words), "what begins like TLS is refused: %s", c->seen.why);
        refuse(c, FRONT_BAD_TLS, h, words);
        return;
    }
    if (wrong) {
        refuse(c, FRONT_WRONG_PROTOCOL, h, wrong);
        return;
    }
    if (str_eq(h->text, LOOKUP_SELF)) {
        if (c->seen.kind == DETECT_HTTP1)
            self_serve(c);
        else
            refuse(c, FRONT_WRONG_PROTOCOL, h, LOOKUP_SELF " speaks HTTP/1 without TLS");
        return;
    }
    put_together(c);
    if (c->claim.disagree < 0)
        front_tell(c->binding, FRONT_DISAGREE, c->claim.host, c->port, c->claim.why);
    f->o.serve(f->o.arg, &c->claim, &c->stream);
}

void claim_serve(struct conn *c)
{
    if (find_name(c) == 0)
        claim_speak(c);
}
