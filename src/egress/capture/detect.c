/* detect.c - TLS, HTTP, SSH or something else?
 *
 * Theory of operation. Runs on the connection's fiber. The client controls the bytes and their timing;
 * detect_bytes is pure and only looks backwards, so that the verdict is the same however they were cut
 * up: as long as two kinds are possible it is DETECT_MORE. What was seen stays in the socket for
 * whoever serves the connection, and is read strictly there: this only chooses the reader.
 *
 * On 80 and 443 a method and a space are HTTP, well-formed or not, so that the answer to a bad request
 * is one in HTTP. On other ports some protocols begin with words, too (memcached's "get key", SMTP's
 * verbs): there the line has to have its version.
 *
 * A client that says nothing for `silent_ms` where the server may speak first gets to hear the
 * server. If it speaks TLS or HTTP after all, that is nothing it could not have had by a rule that
 * lets a connection pass unseen: for one that has to be looked into claim.c waits to the end, and the
 * handler refuses it when it is OTHER. */
#include "egress/capture/detect.h"
#include "base/err.h"
#include "base/time.h"
#include "egress/capture/peek.h"
#include "io/client_hello.h"

#include <string.h>

#define METHOD_MAX 32
#define FIRST_MS   10000
#define SILENT_MS  300

_Static_assert(DETECT_BYTES_MAX >= CLIENT_HELLO_PEEK_MAX, "a whole ClientHello can be seen");

const char *detect_kind_text(enum detect_kind k)
{
    static const char *const texts[] = {"unknown", "TLS",   "HTTP/1", "HTTP/2",
                                        "SSH",     "other", "silent", "bad TLS"};
    return texts[k];
}

static bool is_web(uint16_t port)
{
    return port == 80 || port == 443;
}

/* ---- the bytes ---- */

static enum detect_kind bad_tls(struct detected *ret, const char *why)
{
    ret->why = why;
    return DETECT_BAD_TLS;
}

static enum detect_kind tls(const void *p, size_t n, bool ended, struct detected *ret)
{
    struct client_hello hello;
    const char *reason = "it is not a ClientHello";
    int r = client_hello_parse(p, n, &hello, &reason);
    if (r == -EAGAIN)
        return ended ? bad_tls(ret, "it ends within the ClientHello") : DETECT_MORE;
    if (r < 0)
        return bad_tls(ret, reason);
    if (hello.n_server_name > 0) {
        if (host_parse(hello.server_name, hello.n_server_name, 0, &ret->sni, NULL) < 0)
            return bad_tls(ret, "its server name is not the name of a host");
        ret->has_sni = true;
    }
    ret->alpn = hello.n_alpn > 0;
    ret->alpn_h2 = client_hello_offers(&hello, "h2");
    ret->alpn_http1 = client_hello_offers(&hello, "http/1.1");
    ret->ech = hello.ech;
    return DETECT_TLS;
}

enum prefix { DIFFERS, BEGINS, IS };

static enum prefix prefix(const char *p, size_t n, const char *text)
{
    size_t k = strlen(text);
    if (memcmp(p, text, n < k ? n : k) != 0)
        return DIFFERS;
    return n < k ? BEGINS : IS;
}

static bool is_method_byte(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '!' || c == '#' || c == '$' || c == '%' || c == '&' ||
           c == '\'' || c == '*' || c == '+' || c == '^' || c == '`' || c == '|' || c == '~';
}

/* Whether a version of HTTP stands in the line that ends at `end`, in whatever form: origins are more
 * lenient than our reader, which then refuses it. */
static bool has_version(const char *line, const char *end)
{
    static const char version[] = "HTTP/";
    const size_t k = sizeof(version) - 1;
    for (const char *at = line; (size_t)(end - at) > k; at++)
        if ((*at == ' ' || *at == '\t') && memcmp(at + 1, version, k) == 0)
            return true;
    return false;
}

static enum detect_kind words(const char *p, size_t n, bool web)
{
    /* RFC 9112 2.2: an empty line before a request is skipped. */
    if (web && p[0] == '\r') {
        if (n == 1)
            return DETECT_MORE;
        if (p[1] != '\n')
            return DETECT_OTHER;
        p += 2;
        n -= 2;
    }
    size_t k = 0;
    while (k < n && k <= METHOD_MAX && is_method_byte(p[k]))
        k++;
    if (k == n && k <= METHOD_MAX)
        return DETECT_MORE;
    if (k == 0 || k > METHOD_MAX || (p[k] != ' ' && (web || p[k] != '\t')))
        return DETECT_OTHER;
    if (web)
        return DETECT_HTTP1;
    const char *end = memchr(p, '\n', n);
    if (!end)
        return DETECT_MORE;
    return has_version(p, end) ? DETECT_HTTP1 : DETECT_OTHER;
}

static enum detect_kind text(const char *p, size_t n, bool web)
{
    enum prefix h2 = prefix(p, n, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    enum prefix ssh = prefix(p, n, "SSH-");
    if (h2 == IS)
        return DETECT_HTTP2;
    if (ssh == IS)
        return DETECT_SSH;
    if (h2 == BEGINS || ssh == BEGINS)
        return DETECT_MORE;
    return words(p, n, web);
}

void detect_bytes(const void *p, size_t n, bool ended, uint16_t port, struct detected *ret)
{
    const unsigned char *b = p;
    *ret = (struct detected){.kind = DETECT_MORE};
    if (n == 0)
        return;
    /* A handshake record of any version (RFC 8446 5.1). Nothing else begins so on these ports. */
    if (b[0] == 0x16 && (is_web(port) || n == 1 || b[1] == 3)) {
        if (n > 1)
            ret->kind = tls(p, n, ended, ret);
    } else {
        ret->kind = text(p, n, is_web(port));
    }
    if (ret->kind == DETECT_MORE && (ended || n >= DETECT_BYTES_MAX))
        ret->kind = DETECT_OTHER;
}

/* ---- the waiting ---- */

int detect(struct io_fd *io, uint16_t port, const struct detect_limits *l, struct detected *ret)
{
    /* Filled and judged without a suspension between; the process has one loop. */
    static char room[DETECT_BYTES_MAX];
    int64_t now = time_mono_ns();
    int64_t silent_ms = l->silent_ms ? l->silent_ms : SILENT_MS;
    int64_t silent_ns =
        is_web(port) || silent_ms < 0 ? FIBER_NO_DEADLINE : now + silent_ms * NS_PER_MS;
    struct peek k;
    peek_begin(&k, now + (l->first_ms ? l->first_ms : FIRST_MS) * NS_PER_MS);
    for (;;) {
        ssize_t n = peek_look(&k, io, room, sizeof(room));
        if (n < 0)
            return (int)n;
        if (n == 0 && k.ended)
            return -E_CLOSED;
        detect_bytes(room, (size_t)n, k.ended, port, ret);
        if (ret->kind != DETECT_MORE)
            return 0;
        int r = peek_wait(&k, io, n == 0 ? silent_ns : FIBER_NO_DEADLINE);
        if (r == -ETIMEDOUT && n == 0 && time_mono_ns() >= silent_ns) {
            /* It may have come while this process was busy. */
            n = peek_look(&k, io, room, sizeof(room));
            if (n == 0 && !k.ended) {
                ret->kind = DETECT_SILENT;
                return 0;
            }
            silent_ns = FIBER_NO_DEADLINE;
        } else if (r < 0) {
            return r;
        }
    }
}
