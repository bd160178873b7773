/* public_url.c - writes a private server's URLs anew for those that come through the tunnel.
 *
 * Called on a request's fiber, with what the route's server has answered. A client refuses metadata whose `resource` is not
 * the URL that it uses (RFC 9728 3.3), and it cannot reach the address behind the tunnel: so a URL whose
 * origin is a route's server becomes one of that route's host, with the port that the caller came to. The server
 * controls the text and gains nothing by it: the only URLs that come out of here are those that went in, or
 * begin with the host of a route of this configuration. An authorization server that is a route, too, is written
 * anew in the same way, its issuer included; one that is elsewhere stays. What is signed over the old URLs
 * takes precedence over them (RFC 9728 2.2), and is taken out where something was changed. */
#include "tunnel/gateway/public_url.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <string.h>

#define HTTP_PORT  80
#define HTTPS_PORT 443
#define VALUES_MAX 4096 /* of a document */

static void cut(struct buf *b, size_t len)
{
    b->len = len;
    if (b->data)
        b->data[len] = '\0';
}

/* ---- one URL ---- */

struct origin {
    bool tls;
    struct host host;
    uint16_t port;
    size_t n; /* bytes of the text up to its path */
};

static bool begins(const char *s, size_t n, const char *with)
{
    size_t k = strlen(with);
    return n >= k && str_ieq_n(s, k, with, k);
}

static bool read_origin(const char *url, size_t n, struct origin *ret)
{
    struct err e = {0};
    size_t at = 0;
    if (begins(url, n, "http://"))
        at = sizeof("http://") - 1;
    else if (begins(url, n, "https://"))
        at = sizeof("https://") - 1;
    else
        return false;
    size_t end = at;
    while (end < n && !strchr("/?#\\", url[end]))
        end++;
    ret->tls = str_lower_c(url[4]) == 's';
    ret->n = end;
    if (host_parse_authority(url + at, end - at, HOST_LITERALS, &ret->host, &ret->port, &e) < 0)
        return false;
    if (!ret->port)
        ret->port = ret->tls ? HTTPS_PORT : HTTP_PORT;
    return true;
}

/* What a server behind a Unix socket is told it is (forward.c). */
static bool is_local(const struct origin *o)
{
    return !o->tls && o->port == HTTP_PORT && str_eq(o->host.text, "localhost");
}

static bool is_of(const struct origin *o, const struct gateway_route *r)
{
    const struct gateway_upstream *up = &r->upstream;
    return up->scheme != GATEWAY_UNIX && up->scheme != GATEWAY_STDIO &&
           o->tls == (up->scheme == GATEWAY_HTTPS) && o->port == up->port &&
           host_eq(&o->host, &up->host);
}

static const struct gateway_route *route_of(const struct public_url *p, const struct origin *o)
{
    const struct gateway_config *c = p->config;
    if (is_of(o, p->route) || (p->route->upstream.scheme == GATEWAY_UNIX && is_local(o)))
        return p->route;
    for (size_t i = 0; i < c->n_routes; i++)
        if (is_of(o, &c->routes[i]))
            return &c->routes[i];
    return NULL;
}

/* With the colon. */
static struct http_text port_of(struct http_text authority)
{
    size_t at = authority.n;
    while (at > 0 && authority.p[at - 1] >= '0' && authority.p[at - 1] <= '9')
        at--;
    return at > 0 && authority.p[at - 1] == ':'
               ? (struct http_text){authority.p + at - 1, authority.n - at + 1}
               : (struct http_text){"", 0};
}

/* The host that callers name: of the route itself the one that this caller did. */
static int add_host(const struct public_url *p, const struct gateway_route *r, struct buf *out)
{
    if (r == p->route)
        return buf_add(out, p->authority.p, p->authority.n);
    const struct host *domain = &p->config->tunnel_domain;
    const struct http_text port = port_of(p->authority);
    int c = buf_adds(out, r->host.text);
    if (c == 0 && domain->kind != HOST_NONE && r->host.labels == 1)
        c = buf_addf(out, ".%s", domain->text);
    return c < 0 ? c : buf_add(out, port.p, port.n);
}

/* 1; 0: it is none; the error of `out`. */
static int rewrite(const struct public_url *p, const char *url, size_t n, struct buf *out)
{
    struct origin o;
    if (n > PUBLIC_URL_MAX || memchr(url, '\0', n) || !read_origin(url, n, &o))
        return 0;
    const struct gateway_route *r = route_of(p, &o);
    if (!r)
        return 0;
    int c = buf_adds(out, "https://");
    if (c == 0)
        c = add_host(p, r, out);
    if (c == 0)
        c = buf_add(out, url + o.n, n - o.n);
    return c < 0 ? c : 1;
}

bool public_url_of(const struct public_url *p, const char *url, size_t n, struct buf *out)
{
    size_t before = out->len;
    int c = rewrite(p, url, n, out);
    if (c < 0)
        cut(out, before);
    return c > 0;
}

bool public_url_own(const struct public_url *p, const char *url, size_t n, struct buf *out)
{
    struct origin o;
    return n <= PUBLIC_URL_MAX && !memchr(url, '\0', n) && read_origin(url, n, &o) &&
           (is_of(&o, p->route) || (p->route->upstream.scheme == GATEWAY_UNIX && is_local(&o))) &&
           public_url_of(p, url, n, out);
}

/* ---- documents ---- */

static const char *const documents[] = {
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
};

bool public_url_is_metadata(struct http_text path)
{
    const char *query = path.n ? memchr(path.p, '?', path.n) : NULL;
    size_t n = query ? (size_t)(query - path.p) : path.n;
    for (size_t i = 0; i < ARRAY_LEN(documents); i++) {
        size_t k = strlen(documents[i]);
        if (n < k)
            continue;
        if (memcmp(path.p, documents[i], k) == 0 && (n == k || path.p[k] == '/'))
            return true;
        if (memcmp(path.p + n - k, documents[i], k) == 0)
            return true;
    }
    return false;
}

/* A new reference, or NULL when nothing in the value changes. Depth is the parser's affair. */
static json_t *renewed(const struct public_url *p, json_t *v, int *r);

static json_t *renewed_text(const struct public_url *p, const json_t *v, int *r)
{
    AUTO(buf) out = BUF_INIT(PUBLIC_URL_MAX + HOST_TEXT_MAX + 64);
    int c = rewrite(p, json_string_value(v), json_string_length(v), &out);
    if (c < 0)
        *r = c;
    return c > 0 ? json_stringn(buf_str(&out), out.len) : NULL;
}

static json_t *renewed_list(const struct public_url *p, json_t *v, int *r)
{
    json_t *copy = NULL;
    for (size_t i = 0; i < json_array_size(v); i++) {
        json_t *item = renewed(p, json_array_get(v, i), r);
        if (item && !copy)
            copy = json_copy(v);
        if (item)
            (void)json_array_set_new(copy, i, item);
    }
    return copy;
}

static json_t *renewed_members(const struct public_url *p, json_t *v, int *r)
{
    json_t *copy = NULL, *member;
    const char *key;
    json_object_foreach (v, key, member) {
        json_t *item = renewed(p, member, r);
        if (item && !copy)
            copy = json_copy(v);
        if (item)
            (void)json_object_set_new(copy, key, item);
    }
    return copy;
}

static json_t *renewed(const struct public_url *p, json_t *v, int *r)
{
    return json_is_string(v)   ? renewed_text(p, v, r)
           : json_is_array(v)  ? renewed_list(p, v, r)
           : json_is_object(v) ? renewed_members(p, v, r)
                               : NULL;
}

int public_url_metadata(const struct public_url *p, const char *text, size_t n, struct buf *out)
{
    AUTO_JSON json_t *document = NULL;
    struct err e = {0};
    int r = json_parse_few(text, n, VALUES_MAX, &document, &e);
    if (r == -ENOMEM)
        return r;
    if (r < 0 || !json_is_object(document))
        return 0;
    AUTO_JSON json_t *other = renewed(p, document, &r);
    if (r < 0 || !other)
        return r;
    (void)json_object_del(other, "signed_metadata");
    r = json_print(out, other);
    return r < 0 ? r : 1;
}

/* ---- challenges ---- */

static bool ends_word(char c)
{
    return c == ' ' || c == '\t' || c == ',';
}

/* Where the value of the next resource_metadata begins, outside of quotes; `to` when there is none. */
static const char *next_value(const char *at, const char *to)
{
    static const char name[] = "resource_metadata";
    const size_t n = sizeof(name) - 1;
    bool quoted = false, begins_word = true;
    for (; at < to; at++) {
        if (quoted && *at == '\\') {
            at += at + 1 < to;
            continue;
        }
        if (*at == '"')
            quoted = !quoted;
        if (!quoted && begins_word && (size_t)(to - at) > n && begins(at, n, name)) {
            const char *v = at + n;
            while (v < to && (*v == ' ' || *v == '\t'))
                v++;
            if (v < to && *v == '=') {
                v++;
                while (v < to && (*v == ' ' || *v == '\t'))
                    v++;
                return v;
            }
        }
        begins_word = !quoted && ends_word(*at);
    }
    return to;
}

/* Up to its end, quotes not included: they stay where they are. A URL has nothing to escape. */
static size_t value_length(const char *at, const char *to)
{
    const char *end = at;
    while (end < to && *end != '"' && *end != '\\' && !ends_word(*end))
        end++;
    return (size_t)(end - at);
}

int public_url_challenge(const struct public_url *p, struct http_text value, struct buf *out)
{
    const char *from = value.p, *to = value.p + value.n, *at = value.p;
    bool changed = false;
    size_t before = out->len;
    while ((at = next_value(at, to)) < to) {
        at += *at == '"';
        size_t n = value_length(at, to), had = out->len;
        int r = buf_add(out, from, (size_t)(at - from));
        if (r == 0)
            r = rewrite(p, at, n, out);
        if (r < 0)
            return r;
        if (r == 0)
            cut(out, had); /* goes with what follows */
        else
            from = at + n;
        changed = changed || r > 0;
        at += n;
        at += at < to && *at == '"';
    }
    if (!changed) {
        cut(out, before);
        return 0;
    }
    int r = buf_add(out, from, (size_t)(to - from));
    return r < 0 ? r : 1;
}
