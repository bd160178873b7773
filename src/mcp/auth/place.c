/* place.c - where authorization is described, and whether an address may be asked.
 *
 * Pure; called by discover.c and grant.c before every request. An MCP server names its metadata and its
 * authorization server, which names endpoints: all of that is chosen by peers, and would send this
 * process anywhere. So TLS is wanted (a router's or a cloud's own services speak none, and have no
 * certificate), literals of private networks are refused, and this host is asked only when the caller's
 * own address is on it. A name that resolves to a private address is taken, as the servers of a company
 * do: TLS has to prove it. */
#include "mcp/auth/place.h"
#include "base/address.h"
#include "base/err.h"
#include "base/str.h"
#include "http/client/client.h"
#include "mcp/wire/origin.h"

#include <string.h>

void auth_places_done(struct auth_places *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->url[i]);
    *p = (struct auth_places){0};
}

static bool is_private_literal(const struct host *h)
{
    struct address a;
    bool v6 = h->kind == HOST_IPV6;
    if (h->kind != HOST_IPV4 && !v6)
        return false;
    if (address_parse(v6 ? h->text + 1 : h->text, v6 ? h->n - 2u : h->n, &a, NULL) < 0)
        return true;
    return address_classify(&a, NULL) != ADDRESS_PUBLIC;
}

int auth_url_check(const char *what, const char *url, const char *server, struct err *e)
{
    struct mcp_origin o, own;
    struct err why = {0};
    size_t n = url ? strlen(url) : 0;
    if (n == 0 || n > AUTH_URL_MAX || !mcp_url_is_clean(url, n) || strchr(url, '#'))
        return err_set(e, -E_PROTO, "%s is no address", what);
    if (mcp_origin_read(url, &o, &why) < 0)
        return err_set(e, -E_PROTO, "%s: %s", what, why.msg);
    bool here = http_client_is_loopback(url);
    if (here && http_client_is_loopback(server))
        return 0;
    if (here)
        return err_set(e, -E_PROTO, "%s is on this host, and the MCP server is not", what);
    if (!o.tls)
        return err_set(e, -E_PROTO, "%s does not begin with https://", what);
    bool same = mcp_origin_read(server, &own, NULL) == 0 && host_eq(&own.host, &o.host);
    if (!same && is_private_literal(&o.host))
        return err_set(e, -E_PROTO, "%s is an address of a private network", what);
    return 0;
}

static void add(struct auth_places *p, char *url)
{
    MUST(p->n < AUTH_PLACES_MAX);
    p->url[p->n++] = url;
}

/* Bytes of the path of `url`, which begins at `from`, without a slash at its end. */
static size_t path_bytes(const char *from)
{
    size_t n = strcspn(from, "?#");
    while (n > 0 && from[n - 1] == '/')
        n--;
    return n;
}

void auth_places_of_resource(const char *server, struct auth_places *ret)
{
    struct mcp_origin o;
    *ret = (struct auth_places){0};
    if (mcp_origin_read(server, &o, NULL) < 0)
        return;
    const char *path = server + o.n;
    size_t n = path_bytes(path);
    static const char place[] = "/.well-known/oauth-protected-resource";
    if (n > 0)
        add(ret, mem_printf("%.*s%s%.*s", (int)o.n, server, place, (int)n, path));
    add(ret, mem_printf("%.*s%s", (int)o.n, server, place));
}

void auth_places_of_issuer(const char *issuer, struct auth_places *ret)
{
    struct mcp_origin o;
    *ret = (struct auth_places){0};
    if (mcp_origin_read(issuer, &o, NULL) < 0)
        return;
    const char *path = issuer + o.n;
    int n = (int)path_bytes(path), to = (int)o.n;
    static const char oauth[] = "/.well-known/oauth-authorization-server";
    static const char oidc[] = "/.well-known/openid-configuration";
    add(ret, mem_printf("%.*s%s%.*s", to, issuer, oauth, n, path));
    add(ret, mem_printf("%.*s%s%.*s", to, issuer, oidc, n, path));
    if (n > 0)
        add(ret, mem_printf("%.*s%.*s%s", to, issuer, n, path, oidc));
}

bool auth_resource_covers(const char *resource, const char *server)
{
    struct mcp_origin a, b;
    if (!resource || !mcp_url_is_clean(resource, strlen(resource)) || strpbrk(resource, "#?") ||
        mcp_origin_read(resource, &a, NULL) < 0 || mcp_origin_read(server, &b, NULL) < 0 ||
        !mcp_origin_eq(&a, &b))
        return false;
    const char *outer = resource + a.n, *inner = server + b.n;
    size_t n = path_bytes(outer), m = strcspn(inner, "?#");
    if (memmem(inner, m, "/..", 3) || memmem(outer, n, "/..", 3))
        return n == path_bytes(inner) && memcmp(outer, inner, n) == 0;
    return n <= m && memcmp(outer, inner, n) == 0 && (n == m || inner[n] == '/');
}

char *auth_origin_text(const char *url)
{
    struct mcp_origin o;
    return mcp_origin_read(url, &o, NULL) < 0 ? NULL : mem_strndup(url, o.n);
}

char *auth_server_name(const char *url)
{
    struct mcp_origin o;
    if (!mcp_url_is_clean(url, strlen(url)) || strchr(url, '#') ||
        mcp_origin_read(url, &o, NULL) < 0)
        return NULL;
    size_t n = strcspn(url, "?"), path = n;
    while (path > o.n && url[path - 1] == '/')
        path--;
    char *ret = mem_printf("%.*s%s", (int)path, url, url + n);
    for (size_t i = 0; i < o.n; i++)
        ret[i] = str_lower_c(ret[i]);
    return ret;
}
