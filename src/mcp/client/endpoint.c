/* endpoint.c - the address of a server, and the one that HTTP+SSE names for requests.
 *
 * Pure; called when a client is opened and by the fiber that follows an HTTP+SSE stream. The server
 * chooses the text of the event `endpoint`; a request with the caller's credential goes there. So it has
 * to be of the very origin that the caller named (scheme, host and port; invariant 7): a relative
 * reference is, an absolute one is compared, and anything else is refused. */
#include "mcp/client/client_internal.h"
#include "base/host.h"

#include <string.h>

#define URL_MAX 4096

struct origin {
    bool tls;
    struct host host;
    uint16_t port;
    size_t n; /* bytes of the text up to the path */
};

static int read_origin(const char *url, struct origin *ret, struct err *e)
{
    struct origin o = {.tls = str_starts(url, "https://")};
    if (!o.tls && !str_starts(url, "http://"))
        return err_set(e, -EINVAL, "the address does not begin with http:// or https://");
    const char *from = strstr(url, "://") + 3;
    size_t n = strcspn(from, "/?#");
    if (memchr(from, '@', n))
        return err_set(e, -EINVAL,
                       "the address holds a user name or password; give it as a header");
    struct err why = {0};
    uint16_t port = 0;
    if (host_parse_authority(from, n, HOST_LITERALS, &o.host, &port, &why) < 0)
        return err_set(e, -EINVAL, "the address: %s", why.msg);
    o.port = port ? port : o.tls ? 443 : 80;
    o.n = (size_t)(from - url) + n;
    *ret = o;
    return 0;
}

static bool is_clean(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] <= 0x20 || (unsigned char)s[i] >= 0x7f || s[i] == '\\')
            return false;
    return true;
}

int mcp_endpoint_check(const char *url, struct err *e)
{
    struct origin o;
    size_t n = strlen(url);
    if (n > URL_MAX)
        return err_set(e, -EINVAL, "the address is longer than %d bytes", URL_MAX);
    if (!is_clean(url, n) || strchr(url, '#'))
        return err_set(e, -EINVAL,
                       "the address holds a space, a backslash, a # or a letter beyond ASCII");
    return read_origin(url, &o, e);
}

int mcp_endpoint_resolve(const char *base, const char *said, size_t n, char **ret, struct err *e)
{
    struct origin own, other;
    int r = read_origin(base, &own, e);
    if (r < 0)
        return r;
    if (n == 0 || n > URL_MAX || !is_clean(said, n) || memchr(said, '#', n))
        return err_set(e, -E_PROTO, "the endpoint that the server names is no address");
    AUTO_FREE char *text = mem_strndup(said, n);
    size_t word = strcspn(text, ":/?");
    if (text[word] == ':') { /* absolute: it has a scheme */
        if (read_origin(text, &other, NULL) < 0 || own.tls != other.tls || own.port != other.port ||
            !host_eq(&own.host, &other.host))
            return err_set(
                e, -E_PROTO,
                "the endpoint that the server names is of another origin; the credential "
                "does not go there");
        *ret = TAKE(text);
        return 0;
    }
    if (str_starts(text, "//"))
        return err_set(e, -E_PROTO, "the endpoint that the server names has no scheme");
    size_t keep = own.n;
    if (text[0] != '/') { /* below the directory of the address, or its path with another query */
        size_t path = own.n + strcspn(base + own.n, "?#");
        while (text[0] != '?' && path > own.n && base[path - 1] != '/')
            path--;
        keep = path;
    }
    bool slash = text[0] != '/' && keep == own.n;
    *ret = mem_printf("%.*s%s%s", (int)keep, base, slash ? "/" : "", text);
    return 0;
}
