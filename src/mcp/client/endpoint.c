/* endpoint.c - the address of a server, and the one that HTTP+SSE names for requests.
 *
 * Pure; called when a client is opened and by the fiber that follows an HTTP+SSE stream. The server
 * chooses the text of the event `endpoint`; a request with the caller's credential goes there. So it has
 * to be of the very origin that the caller named (scheme, host and port; invariant 7): a relative
 * reference is, an absolute one is compared, and anything else is refused. */
#include "mcp/client/client_internal.h"
#include "mcp/wire/origin.h"

#include <string.h>

int mcp_endpoint_check(const char *url, struct err *e)
{
    struct mcp_origin o;
    size_t n = strlen(url);
    if (n > MCP_URL_MAX)
        return err_set(e, -EINVAL, "the address is longer than %d bytes", MCP_URL_MAX);
    if (!mcp_url_is_clean(url, n) || strchr(url, '#'))
        return err_set(e, -EINVAL,
                       "the address holds a space, a backslash, a # or a letter beyond ASCII");
    return mcp_origin_read(url, &o, e);
}

int mcp_endpoint_resolve(const char *base, const char *said, size_t n, char **ret, struct err *e)
{
    struct mcp_origin own, other;
    int r = mcp_origin_read(base, &own, e);
    if (r < 0)
        return r;
    if (n == 0 || n > MCP_URL_MAX || !mcp_url_is_clean(said, n) || memchr(said, '#', n))
        return err_set(e, -E_PROTO, "the endpoint that the server names is no address");
    AUTO_FREE char *text = mem_strndup(said, n);
    size_t word = strcspn(text, ":/?");
    if (text[word] == ':') { /* absolute: it has a scheme */
        if (mcp_origin_read(text, &other, NULL) < 0 || !mcp_origin_eq(&own, &other))
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
