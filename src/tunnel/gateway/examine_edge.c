/* examine_edge.c - the way to the edge, a step at a time.
 *
 * First a connection on which nothing is said but a TLS handshake, to see who answers (tls_look): a box that
 * inspects TLS is known by its authority. Then one as the gateway makes it, verified, with the question of a
 * gateway and `Sallyport-Check: 1`, which is answered without connecting anything (docs/internals/
 * tunnel-wire.md), so what runs is not disturbed. The token goes to a server that was verified, and to no
 * other. */
#include "base/buf.h"
#include "base/secret.h"
#include "base/str.h"
#include "crypto/digest.h"
#include "crypto/pem.h"
#include "base/cursor.h"
#include "io/file.h"
#include "io/stream.h"
#include "io/tls.h"
#include "tunnel/gateway/dial.h"
#include "tunnel/gateway/examine_internal.h"
#include "tunnel/gateway/inspect.h"
#include "tunnel/gateway/question.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#define WAY_MS     45000
#define ANCHOR_MAX (256u << 10)
#define AUTHORITY  (HOST_TEXT_MAX + 8)
#define TOKEN_MOST 600
#define CONNECTOR  "doctor"

/* Where distributions put the authorities that an administrator adds. */
static const char *const anchor_folders[] = {
    "/usr/local/share/ca-certificates", /* Debian, Ubuntu, Alpine */
    "/etc/pki/ca-trust/source/anchors", /* Fedora, RHEL */
    "/etc/pki/trust/anchors",           /* openSUSE */
    "/etc/ca-certificates/trust-source/anchors",
    NULL, /* Arch */
};

/* ---- the way ---- */

static void tell_name(const struct examine *x, const struct dial_seen *seen, int r,
                      const struct err *e)
{
    const struct gateway_edge *edge = &x->config->edge;
    const char *name = seen->direct ? edge->host.text : edge->proxy.host.text;
    const char *whose = seen->direct ? "the edge's name" : "the proxy's name";
    if (r < 0 && seen->step == DIAL_NAME)
        TELL(x, EXAMINE_EDGE, "edge_name", whose, FINDING_FAIL, "the gateway cannot connect",
             seen->direct ? "look at edge: in the configuration, and at this machine's DNS (getent "
                            "hosts NAME); "
                            "where only a proxy knows names, give proxy:"
                          : "look at proxy: in the configuration, or HTTPS_PROXY, and at this "
                            "machine's DNS (getent hosts NAME)",
             "%s: %s", name, e->msg);
    else
        TELL(x, EXAMINE_EDGE, "edge_name", whose, FINDING_OK, NULL, NULL, "%s has %zu address%s%s",
             name, seen->addresses, seen->addresses == 1 ? "" : "es",
             seen->direct ? "" : "; the edge's name is the proxy's business");
}

static const char *proxy_fix(int status)
{
    switch (status) {
    case 407:
        return "proxy: http://USER@HOST:PORT, and proxy_password_file; or "
               "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT";
    case 401:
    case 403:
        return "ask who runs the proxy to let CONNECT to the edge's host and port pass";
    case 502:
    case 503:
    case 504:
        return "the proxy itself cannot reach the edge: look at edge:, and at the proxy's DNS and "
               "firewall";
    default:
        return "look at proxy: in the configuration, or HTTPS_PROXY: scheme, host and port";
    }
}

/* With the way through a proxy. */
static void tell_proxy(const struct examine *x, const struct dial_seen *seen, int r,
                       const struct err *e)
{
    const struct gateway_edge *edge = &x->config->edge;
    if (r < 0 && seen->step == DIAL_NAME)
        TELL(x, EXAMINE_EDGE, "edge_proxy", "proxy", FINDING_UNTRIED, NULL, NULL,
             "its name has no address");
    else if (r < 0 && seen->step == DIAL_CONNECT)
        TELL(x, EXAMINE_EDGE, "edge_proxy", "proxy", FINDING_FAIL, "the gateway cannot connect",
             "look at proxy: in the configuration, or HTTPS_PROXY; is a proxy there, and does a "
             "firewall let us to "
             "it?",
             "nothing answers at %s:%u: %s", edge->proxy.host.text, edge->proxy.port, e->msg);
    else if (r < 0 && seen->step == DIAL_PROXY)
        TELL(x, EXAMINE_EDGE, "edge_proxy", "proxy", FINDING_FAIL, "the gateway cannot connect",
             proxy_fix(seen->proxy_status), "%s", e->msg);
    else
        TELL(x, EXAMINE_EDGE, "edge_proxy", "proxy", FINDING_OK, NULL, NULL,
             "%s:%u%s lets CONNECT to %s:%u pass", edge->proxy.host.text, edge->proxy.port,
             edge->proxy.from_environment ? " (HTTPS_PROXY)" : "", edge->host.text, edge->port);
}

static void tell_connect(const struct examine *x, const struct dial_seen *seen, int r,
                         const struct err *e)
{
    const struct gateway_edge *edge = &x->config->edge;
    const char *fix =
        "is the edge running, and does a firewall let us out to this port? where only a "
        "proxy may go out, give proxy:, or HTTPS_PROXY";
    if (r < 0 && seen->step == DIAL_NAME)
        TELL(x, EXAMINE_EDGE, "edge_connect", "connection", FINDING_UNTRIED, NULL, NULL,
             "the name has no address");
    else if (r < 0)
        TELL(x, EXAMINE_EDGE, "edge_connect", "connection", FINDING_FAIL,
             "the gateway cannot connect", fix, "%s:%u: %s", edge->host.text, edge->port, e->msg);
    else
        TELL(x, EXAMINE_EDGE, "edge_connect", "connection", FINDING_OK, NULL, NULL, "%s:%u answers",
             edge->host.text, edge->port);
}

/* ---- who answers by TLS ---- */

/* Whether a certificate in this file has this hash. */
static bool file_has(int folder, const char *name, const char *hash)
{
    AUTO_FREE char *text = mem_array(ANCHOR_MAX, 1);
    AUTO_CLOSE int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t n = fd < 0 ? -1 : file_read_small(fd, text, ANCHOR_MAX);
    struct cursor at = cursor_of(text, n > 0 ? (size_t)n : 0);
    struct pem_block b;
    struct err ignored = {0};
    while (pem_next(&at, &b, &ignored) == 1) {
        char hex[DIGEST_SHA256_HEX];
        AUTO(buf) der = BUF_INIT(ANCHOR_MAX);
        if (pem_bytes(&b, &der) == 0 &&
            str_eq(digest_sha256_hex(buf_str(&der), der.len, hex), hash))
            return true;
    }
    return false;
}

/* Whether an administrator of this machine has added this authority. */
static bool is_local(const struct examine *x, const char *hash)
{
    const char *const *folders = x->o->anchors ? x->o->anchors : anchor_folders;
    bool is = false;
    for (; !is && *folders; folders++) {
        DIR *d = opendir(*folders);
        struct dirent *entry;
        while (d && !is && (entry = readdir(d)))
            is = file_has(dirfd(d), entry->d_name, hash);
        if (d)
            (void)closedir(d);
    }
    return is;
}

static const char inspected[] = "ask who runs it to let connections to the edge pass uninspected "
                                "(the inner TLS stays closed to it, the "
                                "token does not)";

static void tell_trusted(const struct examine *x, const struct tls_seen *seen, const char *product)
{
    if (product)
        TELL(x, EXAMINE_EDGE, "edge_inspection", "TLS inspection", FINDING_NOTE,
             "the tunnel's token is seen on the way, and upgrades may not pass", inspected,
             "a box that inspects TLS is in the path: %s. The certificate that answers was made by "
             "\"%s\", which "
             "this machine trusts",
             product, seen->top);
    else if (x->config->edge.ca_file)
        TELL(x, EXAMINE_EDGE, "edge_inspection", "TLS inspection", FINDING_OK, NULL, NULL,
             "the certificate hangs on \"%s\", which is trusted by ca_file or this machine; that "
             "is no known box",
             seen->top);
    else if (is_local(x, seen->top_hash))
        TELL(x, EXAMINE_EDGE, "edge_inspection", "TLS inspection", FINDING_NOTE,
             "if it is a box in the path, the tunnel's token is seen there", inspected,
             "the certificate hangs on \"%s\", an authority that was added to this machine: it is "
             "the edge's own, or "
             "that of a box that inspects TLS",
             seen->top);
    else
        TELL(x, EXAMINE_EDGE, "edge_inspection", "TLS inspection", FINDING_OK, NULL, NULL,
             "none seen: the certificate hangs on \"%s\", which came with this machine", seen->top);
}

static void tell_untrusted(const struct examine *x, const struct tls_seen *seen,
                           const char *product)
{
    if (product)
        TELL(x, EXAMINE_EDGE, "edge_inspection", "TLS inspection", FINDING_FAIL,
             "the gateway cannot connect", inspected,
             "a box that inspects TLS is in the path: %s. The certificate that answers was made by "
             "\"%s\"",
             product, seen->top);
    else
        TELL(x, EXAMINE_EDGE, "edge_inspection", "TLS inspection", FINDING_NOTE, NULL,
             "if the edge's certificate is from an authority of yours: ca_file: FILE. If not, a "
             "box in the path "
             "inspects TLS: it has to let the edge pass",
             "the certificate that answers was made by \"%s\", which nobody here trusts: an "
             "authority of yours that "
             "is missing in ca_file, or a box that inspects TLS",
             seen->top);
}

/* The names of a box may be in any place of its chain. */
static const char *product_of(const struct tls_seen *seen)
{
    const char *product = inspect_product(seen->top);
    return product ? product : inspect_product(seen->issuer);
}

/* Takes `s` over. 0 when the edge is who it should be. */
static int look_at_tls(const struct examine *x, struct tls_trust *trust, struct stream *s)
{
    static const char *const http1[] = {"http/1.1", NULL};
    const struct host *h = &x->config->edge.host;
    const struct tls_connect_options o = {
        .host = h->text, .is_ip = h->kind != HOST_NAME, .alpn = http1};
    AUTO_FREE struct tls_seen *seen = mem_new(struct tls_seen); /* large for a frame */
    struct err e = {0};
    int r = tls_look(trust, &o, s, seen, &e);
    if (r < 0) {
        TELL(x, EXAMINE_EDGE, "edge_tls", "TLS", FINDING_FAIL, "the gateway cannot connect",
             "is edge: right (host, port, https)?", "%s", e.msg);
        TELL(x, EXAMINE_EDGE, "edge_inspection", "TLS inspection", FINDING_UNTRIED, NULL, NULL,
             "there was no handshake");
        return r;
    }
    const char *product = product_of(seen);
    if (seen->verified) {
        TELL(x, EXAMINE_EDGE, "edge_tls", "TLS", FINDING_OK, NULL, NULL,
             "the certificate is good for %s", h->text);
        tell_trusted(x, seen, product);
        return 0;
    }
    TELL(x, EXAMINE_EDGE, "edge_tls", "TLS", FINDING_FAIL, "the gateway cannot connect",
         product ? "see below" : "ca_file: FILE, when the edge's authority is your own", "%s: %s",
         h->text, seen->why);
    tell_untrusted(x, seen, product);
    return -E_TLS;
}

/* ---- the question ---- */

/* Takes `s` over. */
static void ask(struct examine *x, struct stream *s)
{
    const struct gateway_edge *edge = &x->config->edge;
    struct secret token = {0};
    struct err e = {0};
    char authority[AUTHORITY], value[TOKEN_MOST];
    (void)snprintf(authority, sizeof(authority), "%s:%u", edge->host.text, edge->port);
    int r = gateway_dial_secret(x->pool, "token_file", edge->token_file, &token, &e);
    int n = r < 0 ? 0
                  : snprintf(value, sizeof(value), "Bearer %.*s", (int)token.len,
                             secret_borrow(&token));
    const struct http_field fields[] = {
        {.name = HTTP_TEXT("alpn"), .value = HTTP_TEXT("h2")},
        {.name = HTTP_TEXT("sallyport-version"), .value = HTTP_TEXT("1")},
        {.name = HTTP_TEXT("sallyport-connector"), .value = HTTP_TEXT(CONNECTOR)},
        {.name = HTTP_TEXT("sallyport-check"), .value = HTTP_TEXT("1")},
        {.name = HTTP_TEXT("authorization"), .value = {value, (size_t)n}, .sensitive = true},
    };
    const struct question q = {.method = "GET",
                               .path = "/v1/tunnels/connect",
                               .authority = authority,
                               .protocol = "ptth",
                               .tls = edge->tls,
                               .fields = fields,
                               .n_fields = ARRAY_LEN(fields) - (r < 0)};
    AUTO(answer) a = {.status = 0};
    secret_done(&token);
    r = question_ask(HTTP_1_1, s, &q, NULL, &a, &e);
    secret_wipe(value, sizeof(value));
    if (r < 0)
        examine_no_answer(x, e.msg);
    else
        examine_answer(x, a.status, a.date_us, buf_str(&a.body), a.body.len);
}

static void follow(struct examine *x, const struct dial_how *how)
{
    struct stream s;
    struct dial_seen seen;
    struct err e = {0};
    bool tls = x->config->edge.tls;
    int r = gateway_dial_open(how, false, &s, &seen, &e);
    tell_name(x, &seen, r, &e);
    if (!seen.direct)
        tell_proxy(x, &seen, r, &e);
    else
        tell_connect(x, &seen, r, &e);
    if (r < 0) {
        examine_no_answer(x, "the edge was not reached");
        return;
    }
    if (tls) {
        r = look_at_tls(x, how->trust, &s);
        if (r == 0)
            r = gateway_dial_open(how, true, &s, &seen, &e);
    } else {
        TELL(x, EXAMINE_EDGE, "edge_tls", "TLS", FINDING_OK, NULL, NULL,
             "none: the edge is on this machine, by http");
    }
    if (r < 0)
        examine_no_answer(x, "the edge was not verified: it is not told the token");
    else
        ask(x, &s);
}

void examine_edge(struct examine *x)
{
    struct err e = {0};
    AUTO(fiber_deadline) limit = fiber_deadline_push_ms(WAY_MS);
    struct tls_trust *trust = tls_trust_new(x->config->edge.ca_file, &e);
    const struct dial_how how = {.config = x->config,
                                 .pool = x->pool,
                                 .resolver = x->resolver,
                                 .trust = trust,
                                 .connector = CONNECTOR};
    if (!trust) {
        TELL(x, EXAMINE_EDGE, "edge_tls", "TLS", FINDING_FAIL, "the gateway does not start", NULL,
             "%s", e.msg);
        examine_no_answer(x, "there is nothing to verify the edge by");
        return;
    }
    follow(x, &how);
    tls_trust_free(trust);
}
