/* host.c - reads hosts and says whether several are the same.
 *
 * Called for what a policy says, at load, and for what a sandbox says, on every connection and
 * request: the sandbox controls every byte of the latter. One function checks the bytes of a name,
 * and it runs last, on the ASCII that would be used, so that no mapping of an international name can
 * bring in a dot, a digit or a letter behind its back. Work is linear in at most 1,000 bytes. */
#include "base/host.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/idna.h"
#include "base/str.h"

#define INPUT_MAX 1000 /* bytes: 253 in any spelling */

/* "NAME: why", the name escaped and cut. */
static int refuse(struct err *e, const char *s, size_t n, const char *why)
{
    AUTO(buf) b = BUF_INIT(512);
    str_escape(&b, s, n, 80);
    return err_set(e, -E_PARSE, "\"%s\" is not a host: %s", buf_str(&b), why);
}

static bool is_digits(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] < '0' || s[i] > '9')
            return false;
    return n > 0;
}

static bool is_hex(const char *s, size_t n)
{
    if (n < 2 || s[0] != '0' || s[1] != 'x')
        return false;
    for (size_t i = 2; i < n; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
            return false;
    return true; /* "0x" alone is zero to some */
}

static const char *wrong_label(const char *s, size_t n)
{
    if (n == 0)
        return "a label is empty";
    if (n > 63)
        return "a label has more than 63 bytes";
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return c == '%'   ? "a percent sign has no place in a host"
                   : c == '*' ? "a star stands for whole labels, in front: \"*.example.com\""
                   : c == ':' || c == '@' || c == '/'
                       ? "a scheme, user, port or path has no place in a host"
                       : "a name has letters, digits, '-' and '_' only";
    }
    if (s[0] == '-' || s[n - 1] == '-')
        return "a label begins or ends with '-'";
    return NULL;
}

/* Fills kind and labels of a host whose text is lower-case ASCII. What is wrong with it, or NULL. */
static const char *check_name(struct host *h)
{
    const char *label = h->text, *end = h->text + h->n;
    h->labels = 0;
    for (;;) {
        const char *dot = memchr(label, '.', (size_t)(end - label));
        size_t n = (size_t)((dot ? dot : end) - label);
        const char *wrong = wrong_label(label, n);
        if (wrong)
            return wrong;
        h->labels++;
        if (!dot) {
            if (is_digits(label, n) || is_hex(label, n))
                return "it ends in a number, so some would read an address";
            h->kind = HOST_NAME;
            return NULL;
        }
        label = dot + 1;
    }
}

static bool has_a_label(const char *s, size_t n)
{
    for (size_t i = 0; i + 4 <= n; i++)
        if ((i == 0 || s[i - 1] == '.') && memcmp(s + i, "xn--", 4) == 0)
            return true;
    return false;
}

static bool is_ascii(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] >= 0x80)
            return false;
    return true;
}

static void lower(char *to, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = str_lower_c(s[i]);
    to[n] = '\0';
}

static int parse_international(const char *s, size_t n, struct host *h, struct err *e)
{
    if (!str_is_utf8(s, n) || memchr(s, '\0', n))
        return refuse(e, s, n, "malformed UTF-8");
    char in[INPUT_MAX + 1];
    lower(in, s, n);
    AUTO_FREE char *ascii = NULL;
    struct err why = {0};
    int r = idna_ascii(in, &ascii, &why);
    if (r == -E_PARSE)
        return refuse(e, s, n, why.msg);
    if (r < 0)
        return err_set(e, r, "%s", why.msg);
    size_t len = strlen(ascii);
    /* An "xn--" form that is not what its own decoding encodes to may be read in two ways; the
     * library refuses most, this the rest. */
    if (is_ascii(s, n) && !(len == n && memcmp(ascii, in, n) == 0))
        return refuse(e, s, n, "its \"xn--\" form is not the canonical one");
    if (len > HOST_TEXT_MAX)
        return refuse(e, s, n, "a name has at most 253 bytes");
    memcpy(h->text, ascii, len + 1);
    h->n = (uint8_t)len;
    return 0;
}

static int parse_ipv6(const char *s, size_t n, struct host *h, struct err *e)
{
    char in[INET6_ADDRSTRLEN], out[INET6_ADDRSTRLEN];
    unsigned char a[16];
    if (s[n - 1] != ']' || n - 2 >= sizeof(in))
        return refuse(e, s, n, "an IPv6 address stands in brackets, with nothing behind");
    lower(in, s + 1, n - 2);
    if (strlen(in) != n - 2 || inet_pton(AF_INET6, in, a) != 1 ||
        !inet_ntop(AF_INET6, a, out, sizeof(out)))
        return refuse(e, s, n, "no IPv6 address");
    if (strcmp(in, out) != 0)
        return refuse(e, s, n, "an IPv6 address is written as in RFC 5952");
    if (memcmp(a, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0)
        return refuse(e, s, n, "an IPv4 address is written as one");
    lower(h->text, s, n);
    h->n = (uint8_t)n;
    h->kind = HOST_IPV6;
    return 0;
}

static bool parse_ipv4(const char *s, size_t n, struct host *h)
{
    char in[INET_ADDRSTRLEN], out[INET_ADDRSTRLEN];
    unsigned char a[4];
    if (n >= sizeof(in) || memchr(s, '\0', n))
        return false;
    memcpy(in, s, n);
    in[n] = '\0';
    if (inet_pton(AF_INET, in, a) != 1 || !inet_ntop(AF_INET, a, out, sizeof(out)) ||
        strcmp(in, out) != 0)
        return false;
    memcpy(h->text, in, n + 1);
    h->n = (uint8_t)n;
    h->kind = HOST_IPV4;
    return true;
}

int host_parse(const char *text, size_t n, unsigned flags, struct host *ret, struct err *e)
{
    struct host h = {0};
    int r;
    if (n == 0)
        return refuse(e, text, n, "it is empty");
    if (text[0] == '[') {
        if (!(flags & HOST_LITERALS))
            return refuse(e, text, n, "a name is expected, not an address");
        r = parse_ipv6(text, n, &h, e);
        if (r == 0)
            *ret = h;
        return r;
    }
    if (parse_ipv4(text, n, &h)) {
        if (!(flags & HOST_LITERALS))
            return refuse(e, text, n, "a name is expected, not an address");
        *ret = h;
        return 0;
    }
    if (n > INPUT_MAX)
        return refuse(e, text, n, "a name has at most 253 bytes");
    size_t len = n > 1 && text[n - 1] == '.' ? n - 1 : n; /* the root's dot */
    bool ascii = is_ascii(text, len);
    if (!ascii && !(flags & HOST_UNICODE))
        return refuse(e, text, n, "letters beyond ASCII are written as \"xn--\"");
    char in[INPUT_MAX + 1];
    lower(in, text, len);
    if (!ascii || has_a_label(in, len)) {
        r = parse_international(text, len, &h, e);
        if (r < 0)
            return r;
    } else {
        if (len > HOST_TEXT_MAX)
            return refuse(e, text, n, "a name has at most 253 bytes");
        memcpy(h.text, in, len + 1);
        h.n = (uint8_t)len;
    }
    const char *wrong = check_name(&h);
    if (wrong)
        return refuse(e, text, n, wrong);
    *ret = h;
    return 0;
}

int host_parse_port(const char *text, size_t n, uint16_t *ret, struct err *e)
{
    uint64_t v;
    if (n == 0 || n > 5 || text[0] == '0' || str_to_u64(text, n, 65535, &v) < 0)
        return err_set(e, -E_PARSE, "a port is a number from 1 to 65535");
    *ret = (uint16_t)v;
    return 0;
}

int host_parse_authority(const char *text, size_t n, unsigned flags, struct host *ret,
                         uint16_t *ret_port, struct err *e)
{
    uint16_t port = 0;
    size_t host = n;
    const char *colon = n ? memrchr(text, ':', n) : NULL;
    const char *bracket = n ? memrchr(text, ']', n) : NULL;
    if (colon && (!bracket || colon > bracket)) {
        host = (size_t)(colon - text);
        int r = host_parse_port(colon + 1, n - host - 1, &port, e);
        if (r < 0)
            return r;
    }
    int r = host_parse(text, host, flags, ret, e);
    if (r == 0)
        *ret_port = port;
    return r;
}

bool host_eq(const struct host *a, const struct host *b)
{
    return a->kind != HOST_NONE && a->kind == b->kind && a->n == b->n &&
           memcmp(a->text, b->text, a->n) == 0;
}

int host_claims_agree(const struct host_claim *claims, size_t n, struct err *e)
{
    const struct host_claim *host = NULL, *port = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct host_claim *c = &claims[i];
        if (c->host && host && !host_eq(host->host, c->host))
            return err_set(e, -E_DENIED, "%s names %.120s, %s names %.120s", host->where,
                           host->host->text, c->where, c->host->text);
        if (c->port && port && c->port != port->port)
            return err_set(e, -E_DENIED, "%s names port %u, %s names port %u", port->where,
                           port->port, c->where, c->port);
        if (c->host && !host)
            host = c;
        if (c->port && !port)
            port = c;
    }
    if (!host || host->host->kind == HOST_NONE)
        return err_set(e, -E_DENIED, "nothing says which host this is for");
    return 0;
}

/* ---- patterns ---- */

int host_pattern_parse(const char *text, size_t n, struct host_pattern *ret, struct err *e)
{
    struct host_pattern p = {.kind = HOST_EXACT};
    if (n == 1 && text[0] == '*') {
        *ret = (struct host_pattern){.kind = HOST_ANY};
        return 0;
    }
    bool below = n > 2 && text[0] == '*' && text[1] == '.';
    int r = below ? host_parse(text + 2, n - 2, HOST_UNICODE, &p.host, e)
                  : host_parse(text, n, HOST_UNICODE | HOST_LITERALS, &p.host, e);
    if (r < 0)
        return r;
    if (below)
        p.kind = HOST_BELOW;
    *ret = p;
    return 0;
}

bool host_pattern_matches(const struct host_pattern *p, const struct host *h)
{
    switch (p->kind) {
    case HOST_EXACT:
        return host_eq(&p->host, h);
    case HOST_BELOW:
        return host_pattern_labels_below(p, h) > 0;
    case HOST_ANY:
        return h->kind == HOST_NAME;
    }
    return false;
}

unsigned host_pattern_labels_below(const struct host_pattern *p, const struct host *h)
{
    if (p->kind == HOST_EXACT || h->kind != HOST_NAME)
        return 0;
    if (p->kind == HOST_ANY)
        return h->labels;
    size_t suffix = p->host.n;
    if (h->n < suffix + 2 || h->text[h->n - suffix - 1] != '.' ||
        memcmp(h->text + h->n - suffix, p->host.text, suffix) != 0)
        return 0;
    return (unsigned)(h->labels - p->host.labels);
}
