/* setup_config.c - the text of a gateway's first configuration.
 *
 * Called by `gateway init` with what its flags say, before anything is made: what the gateway would refuse
 * is refused here, by its own reader. Names and URLs are the operator's and are written as JSON texts, which
 * are texts of YAML, too, so none of them is more than a text. A server on this machine has to be named
 * (config_reach), and who writes its address into a route has named it. */
#include "tunnel/gateway/setup_config.h"

#include "base/address.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "tunnel/gateway/config.h"

#include <string.h>
#include <strings.h>

#define TEXT_MOST (64u << 10)

int setup_route(struct setup_draft *d, const char *text, struct err *e)
{
    const char *eq = strchr(text, '=');
    if (!eq || eq == text || !eq[1])
        return err_set(e, -EINVAL,
                       "--route: NAME=URL is expected, as in wiki=http://10.0.3.7:9000");
    if (d->n_routes == SETUP_ROUTES_MAX)
        return err_set(e, -EINVAL,
                       "--route: given more than %d times; write the others into the "
                       "file",
                       SETUP_ROUTES_MAX);
    d->routes[d->n_routes++] =
        (struct setup_route){.name = text, .n_name = (size_t)(eq - text), .upstream = eq + 1};
    return 0;
}

char *setup_edge(const char *base_url)
{
    static const char local[] = "http://localhost";
    const char *authority = strstr(base_url, "://");
    if (!authority || strchr(authority + 3, '/'))
        return NULL;
    const char *behind = base_url + sizeof(local) - 1;
    if (str_starts(base_url, local) && (*behind == ':' || *behind == '\0'))
        return mem_printf("http://127.0.0.1%s", behind);
    return mem_strdup(base_url);
}

/* Whether YAML takes it for this text without quotes: no number, no word of its own, no mark. */
static bool is_plain(const char *text, size_t n)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no", "on",
                                        "off",  "y",     "n",    "inf", "nan"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strlen(words[i]) == n && strncasecmp(words[i], text, n) == 0)
            return false;
    for (size_t i = 0; i < n; i++) {
        char ch = text[i] | 0x20;
        bool letter = ch >= 'a' && ch <= 'z';
        if (!letter && !(i == 0 ? text[i] == '/' : text[i] && strchr("0123456789-_./:", text[i])))
            return false;
    }
    return n > 0 && text[n - 1] != ':';
}

/* A text of YAML; with quotes it is one of JSON, which YAML takes. */
static void add_text(struct buf *out, const char *text, size_t n)
{
    AUTO_JSON json_t *j = json_str_lossy(text, n);
    if (is_plain(text, n))
        (void)buf_add(out, text, n);
    else
        (void)json_print(out, j);
}

static void add_line(struct buf *out, const char *before, const char *text, const char *behind)
{
    (void)buf_adds(out, before);
    add_text(out, text, strlen(text));
    (void)buf_adds(out, behind);
}

/* ---- addresses ---- */

/* The host of an upstream's URL; what is wrong with it the reader will say. */
static bool host_of(const char *url, struct host *ret)
{
    const char *from = strstr(url, "://");
    uint16_t port;
    return from &&
           host_parse_authority(from + 3, strlen(from + 3), HOST_LITERALS, ret, &port, NULL) == 0;
}

static void add_network(json_t *list, const char *text)
{
    size_t i;
    json_t *o;
    json_array_foreach (list, i, o)
        if (str_eq(json_string_value(o), text))
            return;
    json_array_append_new(list, json_str_lossy(text, strlen(text)));
}

static void add_named(json_t *list, const char *upstream)
{
    struct host h;
    if (!host_of(upstream, &h))
        return;
    if (h.kind == HOST_NAME && str_eq(h.text, "localhost")) {
        add_network(list, "127.0.0.1");
        add_network(list, "::1");
    } else if (h.kind == HOST_IPV4) {
        add_network(list, h.text);
    } else if (h.kind == HOST_IPV6) {
        AUTO_FREE char *bare = mem_strndup(h.text + 1, h.n - 2u);
        add_network(list, bare);
    }
}

json_t *setup_allowed_ips(const char *const *upstreams, size_t n)
{
    static const char *const usual[] = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
                                        "fc00::/7"};
    AUTO_JSON json_t *list = json_array();
    for (size_t i = 0; i < ARRAY_LEN(usual); i++)
        add_network(list, usual[i]);
    for (size_t i = 0; i < n; i++)
        add_named(list, upstreams[i]);
    return json_array_size(list) > ARRAY_LEN(usual) ? TAKE(list) : NULL;
}

static void add_upstream(const struct setup_draft *d, struct buf *out)
{
    static const char about[] =
        "# Which addresses private servers may have. Without this: 10.0.0.0/8, 172.16.0.0/12, "
        "192.168.0.0/16\n# and fc00::/7. Addresses of this machine have to be named.\n";
    const char *upstreams[SETUP_ROUTES_MAX];
    for (size_t i = 0; i < d->n_routes; i++)
        upstreams[i] = d->routes[i].upstream;
    AUTO_JSON json_t *list = setup_allowed_ips(upstreams, d->n_routes);
    size_t i;
    json_t *o;
    (void)buf_adds(out, about);
    (void)buf_adds(out, list ? "upstream:\n  allowed_ips:\n"
                             : "# upstream:\n#   allowed_ips: [10.0.0.0/8, 127.0.0.1]\n");
    json_array_foreach (list, i, o)
        (void)buf_addf(out, "    - \"%s\"\n", json_string_value(o));
    (void)buf_adds(out, "#   tls: { ca_file: /path/of/ca.pem }     # who is trusted for https "
                        "servers, instead of the system's CAs\n");
}

/* ---- the file ---- */

static void add_head(const struct setup_draft *d, struct buf *out)
{
    (void)buf_adds(out,
                   "# The configuration of `sallyport gateway`, begun by `sallyport gateway init`, "
                   "which does not touch it\n# again: it is yours. docs/gateway-reference.md has "
                   "every field. A running gateway takes a changed file\n# within five seconds, "
                   "and goes on with the old one when the new one is wrong.\n\n"
                   "# Where the platform is, and what lets this gateway in.\n");
    add_line(out, "edge: ", d->edge, "\n");
    add_line(out, "token_file: ", d->token_file, "\n");
    if (d->edge_ca)
        add_line(out, "ca_file: ", d->edge_ca, "\n");
    (void)buf_addf(out, "tunnel_domain: %s\n", d->domain);
    (void)buf_adds(out, "\n# What callers are shown. Certificate and key are in one file; "
                        "`sallyport gateway renew-cert` replaces it.\ntls:\n");
    add_line(out, "  cert_file: ", d->cert_file, "\n");
    add_line(out, "  key_file: ", d->cert_file, "\n");
}

static void add_routes(const struct setup_draft *d, struct buf *out)
{
    (void)buf_addf(out,
                   "\n# NAME: where it leads, http://HOST:PORT, https://HOST:PORT or "
                   "unix:/PATH. Callers know it as\n# https://NAME.%s.\nroutes:\n",
                   d->domain);
    for (size_t i = 0; i < d->n_routes; i++) {
        (void)buf_adds(out, "  ");
        add_text(out, d->routes[i].name, d->routes[i].n_name);
        add_line(out, ": ", d->routes[i].upstream, "\n");
    }
    (void)buf_addc(out, '\n');
}

static const char others[] =
    "\n# The rest, with what holds when it is not said:\n"
    "# connections: 4                            # to the edge\n"
    "# proxy: http://user@proxy.example:3128     # the way out (none)\n"
    "# proxy_password_file: /path/of/password\n"
    "# admin: 127.0.0.1:8403                     # /healthz, /readyz, /metrics\n"
    "# log_level: info\n"
    "# shutdown_timeout: 30s\n";

int setup_config_text(const struct setup_draft *d, struct buf *out, struct err *e)
{
    struct gateway_config *c = NULL;
    add_head(d, out);
    add_routes(d, out);
    add_upstream(d, out);
    (void)buf_adds(out, others);
    if (buf_err(out) < 0)
        return err_set(e, -EINVAL, "the configuration would be too large");
    struct err why = {0};
    if (gateway_config_parse("gateway.yaml", buf_str(out), out->len, &c, &why) < 0)
        return err_set(e, -EINVAL, "what --route and --edge say makes no configuration: %s",
                       why.msg);
    gateway_config_unref(c);
    return 0;
}
