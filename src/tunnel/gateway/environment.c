/* environment.c - from HTTPS_PROXY and NO_PROXY to a configuration's way out.
 *
 * Called at the start of each process that reads a gateway's configuration (cmd), and by config.c for each that is
 * read. The texts are the operator's, or those of whoever set up the machine. A password stands in the URL, there
 * is no other place for it: it is moved into locked memory, and the process that reads strangers' bytes gets the URL
 * without it and asks its keeper, as it does for proxy_password_file. A URL that is none ends the start, with words: a
 * gateway that then went out directly would do what nobody wanted. In NO_PROXY, where every program ignores what
 * it does not know, so do we: such an entry leads through the proxy. */
#include "tunnel/gateway/environment.h"

#include "base/buf.h"
#include "base/address.h"
#include "base/err.h"
#include "base/host.h"
#include "base/str.h"
#include "tunnel/gateway/config_value.h"

#include <string.h>

#define URL_MAX     4096
#define ENTRIES_MAX 256
#define SEPARATORS  ", \t\r\n"

static struct {
    struct gateway_proxy proxy; /* HOST_NONE: there is none */
    char *user;
    struct secret password;
    char *authority; /* without a user */
    char *no_proxy;
} env;

static int wrong(struct err *e, const char *words)
{
    return err_set(
        e, -EINVAL,
        "HTTPS_PROXY in the environment: %s; correct it, or start the gateway without it", words);
}

/* ---- HTTPS_PROXY ---- */

static int take_password(const char *s, size_t n, struct err *e)
{
    char *text;
    if (config_decode(s, n, &text) < 0)
        return wrong(e, "the password has a percent sign and no two hexadecimal digits, or a "
                        "control character");
    int r = secret_set(&env.password, text, strlen(text));
    secret_wipe(text, strlen(text));
    free(text);
    return r < 0 ? wrong(e, "the password is too long") : 0;
}

static int take_user(const char *s, size_t n, struct err *e)
{
    const char *colon = memchr(s, ':', n);
    const size_t n_user = colon ? (size_t)(colon - s) : n;
    if (config_decode(s, n_user, &env.user) < 0 || strchr(env.user, ':') || !env.user[0])
        return wrong(e, "before the @ stands a user, percent-encoded, without a colon of its own");
    env.proxy.has_password = colon && colon + 1 < s + n;
    return env.proxy.has_password ? take_password(colon + 1, (size_t)(s + n - colon - 1), e) : 0;
}

static int take_proxy(const char *url, struct err *e)
{
    const char *scheme = strstr(url, "://");
    struct err why = {0};
    if (strlen(url) > URL_MAX)
        return wrong(e, "it is too long");
    env.proxy.tls = str_ieq_n(url, strnlen(url, 8), "https://", 8);
    if (scheme && !env.proxy.tls && !str_ieq_n(url, strnlen(url, 7), "http://", 7))
        return wrong(e, "only http:// and https:// proxies are spoken to");
    const char *s = scheme ? scheme + 3 : url;
    size_t n = strcspn(s, "/?#");
    if (s[n] && strcmp(s + n, "/") != 0)
        return wrong(e, "a proxy has no path");
    const char *sign = memrchr(s, '@', n);
    int r = sign ? take_user(s, (size_t)(sign - s), e) : 0;
    if (r < 0)
        return r;
    const char *authority = sign ? sign + 1 : s;
    n -= (size_t)(authority - s);
    r = host_parse_authority(authority, n, HOST_LITERALS | HOST_UNICODE, &env.proxy.host,
                             &env.proxy.port, &why);
    if (r < 0)
        return wrong(e, "host and port are expected, as in http://proxy.example:3128");
    if (!env.proxy.port)
        return wrong(e, "a port is expected: proxies have no usual one");
    env.authority = mem_strndup(authority, n);
    return 0;
}

int gateway_environment_take(const char *https_proxy, const char *no_proxy, struct err *e)
{
    MUST(!env.authority && !env.no_proxy);
    if (!https_proxy || !https_proxy[0])
        return 0;
    int r = take_proxy(https_proxy, e);
    if (r < 0) {
        env.proxy = (struct gateway_proxy){.host = {.kind = HOST_NONE}};
        return r;
    }
    env.proxy.from_environment = true;
    if (no_proxy && no_proxy[0])
        env.no_proxy = mem_strdup(no_proxy);
    return 0;
}

static void add_encoded(struct buf *out, const char *s)
{
    for (; *s; s++)
        if ((*s >= '0' && *s <= '9') || (*s >= 'A' && *s <= 'Z') || (*s >= 'a' && *s <= 'z'))
            (void)buf_addc(out, *s);
        else
            (void)buf_addf(out, "%%%02X", (unsigned)(unsigned char)*s);
}

char *gateway_environment_proxy(void)
{
    AUTO(buf) out = BUF_INIT(4 * URL_MAX);
    size_t n;
    if (!env.authority)
        return NULL;
    (void)buf_addf(&out, "HTTPS_PROXY=http%s://", env.proxy.tls ? "s" : "");
    if (env.user) {
        add_encoded(&out, env.user);
        (void)buf_adds(&out, env.proxy.has_password ? ":x@" : "@");
    }
    (void)buf_adds(&out, env.authority);
    return buf_take(&out, &n);
}

char *gateway_environment_no_proxy(void)
{
    return env.no_proxy ? mem_printf("NO_PROXY=%s", env.no_proxy) : NULL;
}

int gateway_environment_password(struct secret *ret, struct err *e)
{
    if (!env.password.len)
        return err_set(e, -ENOENT, "HTTPS_PROXY has no password");
    return secret_set(ret, env.password.data, env.password.len);
}

/* ---- NO_PROXY ---- */

/* ":443" behind a host. 0: there is none. */
static uint16_t take_port(const char *p, size_t *n)
{
    const char *colon = memrchr(p, ':', *n);
    uint16_t port = 0;
    if (!colon || (memchr(p, ':', *n) != colon && p[0] != '['))
        return 0;
    if (host_parse_port(colon + 1, (size_t)(p + *n - colon - 1), &port, NULL) == 0)
        *n = (size_t)(colon - p);
    return port;
}

static void add_pattern(struct gateway_config *c, const char *text, size_t n)
{
    if (host_pattern_parse(text, n, &c->direct_hosts[c->n_direct_hosts], NULL) == 0)
        c->n_direct_hosts++;
}

/* A name stands for itself and all below it, with a dot in front or without. */
static void add_entry(struct gateway_config *c, const char *p, size_t n)
{
    struct cidr_list *networks = &c->direct_networks;
    if (cidr_parse(p, n, &networks->items[networks->n], NULL) == 0) {
        networks->n++;
        return;
    }
    const uint16_t port = take_port(p, &n);
    if (port && port != c->edge.port)
        return;
    if (n > 2 && p[0] == '[' && p[n - 1] == ']' &&
        cidr_parse(p + 1, n - 2, &networks->items[networks->n], NULL) == 0) {
        networks->n++;
        return;
    }
    if (cidr_parse(p, n, &networks->items[networks->n], NULL) == 0) {
        networks->n++;
        return;
    }
    if (n > 2 && p[0] == '*' && p[1] == '.') {
        p++;
        n--;
    }
    if (n > 1 && p[0] == '.') {
        p++;
        n--;
    }
    AUTO_FREE char *below = mem_printf("*.%.*s", (int)n, p);
    add_pattern(c, p, n);
    add_pattern(c, below, strlen(below));
}

/* Whether everything goes directly. */
static bool take_list(struct gateway_config *c)
{
    const char *p = env.no_proxy ? env.no_proxy : "";
    c->direct_hosts = mem_array(2 * ENTRIES_MAX + 2, sizeof(*c->direct_hosts));
    c->direct_networks.items = mem_array(ENTRIES_MAX + 1, sizeof(*c->direct_networks.items));
    for (size_t i = 0; i < ENTRIES_MAX && *(p += strspn(p, SEPARATORS)); i++) {
        const size_t n = strcspn(p, SEPARATORS);
        if (n == 1 && *p == '*')
            return true;
        if (n <= HOST_TEXT_MAX)
            add_entry(c, p, n);
        p += n;
    }
    return false;
}

void gateway_environment_apply(struct gateway_config *c)
{
    if (env.proxy.host.kind == HOST_NONE || !c->edge.tls || c->edge.proxy.host.kind != HOST_NONE)
        return;
    MUST(!c->direct_hosts && !c->direct_networks.items);
    if (take_list(c))
        return;
    c->edge.proxy = env.proxy;
    if (env.user)
        c->edge.proxy.user = c->proxy_user = mem_strdup(env.user);
}
