/* origin.c - scheme, host and port of an address (RFC 6454).
 *
 * Pure; called for the address that the caller names, for those that a server names (the endpoint of
 * HTTP+SSE, metadata of its authorization) and for those that an authorization server names. A peer
 * chooses the text; what could be read in two ways is refused, never repaired, so that what is compared
 * here is what libcurl connects to. */
#include "mcp/wire/origin.h"
#include "base/err.h"
#include "base/str.h"

#include <string.h>

int mcp_origin_read(const char *url, struct mcp_origin *ret, struct err *e)
{
    struct mcp_origin o = {.tls = str_starts(url, "https://")};
    if (!o.tls && !str_starts(url, "http://"))
        return err_set(e, -EINVAL, "the address does not begin with http:// or https://");
    size_t scheme = o.tls ? 8 : 7;
    const char *from = url + scheme;
    size_t n = strcspn(from, "/?#");
    if (memchr(from, '@', n))
        return err_set(e, -EINVAL,
                       "the address holds a user name or password; give it as a header");
    struct err why = {0};
    uint16_t port = 0;
    if (host_parse_authority(from, n, HOST_LITERALS, &o.host, &port, &why) < 0)
        return err_set(e, -EINVAL, "the address: %s", why.msg);
    o.port = port ? port : o.tls ? 443 : 80;
    o.n = scheme + n;
    *ret = o;
    return 0;
}

bool mcp_origin_eq(const struct mcp_origin *a, const struct mcp_origin *b)
{
    return a->tls == b->tls && a->port == b->port && host_eq(&a->host, &b->host);
}

bool mcp_origin_same(const char *a, const char *b)
{
    struct mcp_origin one, other;
    return mcp_origin_read(a, &one, NULL) == 0 && mcp_origin_read(b, &other, NULL) == 0 &&
           mcp_origin_eq(&one, &other);
}

bool mcp_url_is_clean(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] <= 0x20 || (unsigned char)s[i] >= 0x7f || s[i] == '\\')
            return false;
    return true;
}
