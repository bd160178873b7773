/* config.c - from the text of a gateway's configuration to one that can be used.
 *
 * Called at start and on reload; nothing suspends, and gateway_config_read blocks. The author of the
 * file controls all of it. Everything is checked before anything is used: a configuration that does not
 * load as a whole is none, and the one before stays. A field that would do nothing, because what it
 * goes with is missing, is refused: a setting that silently does nothing is how boundaries get left
 * open. Texts point into the parsed document, which is kept; nothing secret
 * stands in it: of a credential the file says where it is. */
#include "tunnel/gateway/config.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/document.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/yaml.h"
#include "io/file.h"
#include "tunnel/gateway/config_callers.h"
#include "tunnel/gateway/config_credential.h"
#include "tunnel/gateway/config_fields.h"
#include "tunnel/gateway/config_stdio.h"
#include "tunnel/gateway/config_tools.h"
#include "tunnel/gateway/config_value.h"
#include "tunnel/gateway/environment.h"

#define SHUTDOWN_MS     30000
#define SHUTDOWN_MAX_MS 3600000
#define NO_PROXY_MAX    256
#define ORIGINS_MAX     64
#define EDGE_PORT       443
#define EDGE_PLAIN_PORT 80

/* Fields that mean nothing without another one. */
static int check_companions(const struct place *root)
{
    static const struct {
        const char *field, *with;
    } rows[] = {
        {"token_file", "edge"},           {"connections", "edge"}, {"proxy", "edge"},
        {"proxy_password_file", "proxy"}, {"no_proxy", "proxy"},   {"ca_file", "edge"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct place at = place_member(root, rows[i].field),
                     with = place_member(root, rows[i].with);
        if (at.value && !with.value)
            return place_fail(&at, "goes with \"%s\", which is missing", rows[i].with);
    }
    return 0;
}

static int read_admin(const struct place *at, struct gateway_listen *ret)
{
    int r = at->value ? config_listen(at, ret) : 0;
    if (r < 0 || !at->value)
        return r;
    if (ret->every || address_classify(&ret->address, NULL) != ADDRESS_LOOPBACK)
        return place_fail(at, "a loopback address is expected, as in 127.0.0.1:9090: whoever "
                              "reaches it may ask");
    return 0;
}

static int read_listeners(const struct place *root, struct gateway_config *c)
{
    struct place listen = place_member(root, "listen_addr"), edge = place_member(root, "edge");
    struct place admin = place_member(root, "admin");
    if (!listen.value && !edge.value)
        return place_fail(&edge, "is missing, and so is \"listen_addr\": nobody could reach this "
                                 "gateway");
    int r = listen.value ? config_listen(&listen, &c->listen) : 0;
    return r < 0 ? r : read_admin(&admin, &c->admin);
}

static int read_proxy(const struct place *root, struct gateway_config *c)
{
    struct gateway_proxy *p = &c->edge.proxy;
    struct place at = place_member(root, "proxy");
    struct place password = place_member(root, "proxy_password_file");
    struct config_url u;
    if (!at.value || str_eq(json_string_value(at.value), "none"))
        return 0;
    int r = config_url(&at, true, &u);
    if (r < 0)
        return r;
    if (!u.port)
        return place_fail(&at, "a port is expected: proxies have no usual one");
    if (password.value && !u.user)
        return place_fail(&password, "\"proxy\" names no user, as in http://user@host:port");
    r = u.user ? config_user(&at, u.user, u.user_n, &c->proxy_user) : 0;
    if (r < 0)
        return r;
    *p =
        (struct gateway_proxy){.host = u.host, .port = u.port, .tls = u.tls, .user = c->proxy_user};
    return config_path(&password, &p->password_file);
}

static int read_no_proxy(const struct place *list, struct gateway_config *c)
{
    size_t n;
    if (!list->value)
        return 0;
    int r = place_list(list, NO_PROXY_MAX, &n);
    if (r < 0)
        return r;
    c->direct_hosts = mem_array(n + 1, sizeof(*c->direct_hosts));
    c->direct_networks.items = mem_array(n + 1, sizeof(*c->direct_networks.items));
    for (size_t i = 0; i < n; i++) {
        struct place at = place_item(list, i);
        struct cidr_list *networks = &c->direct_networks;
        struct err why = {0};
        const char *s;
        r = place_text(&at, 300, &s);
        if (r < 0)
            return r;
        if (cidr_parse(s, strlen(s), &networks->items[networks->n], &why) == 0)
            networks->n++;
        else if (strchr(s, '/'))
            return place_wrap(&at, &why);
        else if (host_pattern_parse(s, strlen(s), &c->direct_hosts[c->n_direct_hosts], &why) == 0)
            c->n_direct_hosts++;
        else
            return place_wrap(&at, &why);
    }
    return 0;
}

/* A loopback address, as a literal: a name could lead elsewhere. */
static bool is_this_machine(const struct host *h)
{
    struct address a;
    size_t brackets = h->kind == HOST_IPV6;
    return h->kind != HOST_NAME &&
           address_parse(h->text + brackets, h->n - 2 * brackets, &a, NULL) == 0 &&
           address_classify(&a, NULL) == ADDRESS_LOOPBACK;
}

static int read_edge(const struct place *root, struct gateway_config *c)
{
    struct place at = place_member(root, "edge"), token = place_member(root, "token_file");
    struct place connections = place_member(root, "connections");
    struct place ca = place_member(root, "ca_file"), direct = place_member(root, "no_proxy");
    struct place proxy = place_member(root, "proxy");
    struct config_url u;
    int64_t n = GATEWAY_CONNECTIONS_MAX;
    if (!at.value)
        return 0;
    int r = config_url(&at, false, &u);
    if (r < 0)
        return r;
    if (!u.tls && !is_this_machine(&u.host))
        return place_fail(&at, "https://host is expected: the token goes there (http:// does for "
                               "127.0.0.1 and [::1] alone)");
    if (!u.tls && proxy.value &&
        !str_eq(json_string_value(proxy.value), "none")) /* whose 127.0.0.1 is another machine's */
        return place_fail(&proxy, "goes with an https edge: through a proxy the token would leave "
                                  "this machine without TLS");
    if (!token.value)
        return place_fail(&token, "is missing: an edge lets in who has the tunnel's token");
    r = config_path(&token, &c->edge.token_file);
    if (r == 0)
        r = place_number(&connections, 2, GATEWAY_CONNECTIONS_MAX, &n);
    if (r == 0)
        r = config_path(&ca, &c->edge.ca_file);
    if (r == 0)
        r = read_proxy(root, c);
    if (r == 0)
        r = read_no_proxy(&direct, c);
    c->edge.host = u.host;
    c->edge.tls = u.tls;
    c->edge.port = u.port ? u.port : u.tls ? EDGE_PORT : EDGE_PLAIN_PORT;
    c->edge.connections = (unsigned)n;
    if (r == 0 && !proxy.value)
        gateway_environment_apply(c);
    return r;
}

static int read_tls(const struct place *tls, struct gateway_config *c)
{
    int r = place_object(tls, FIELD_TLS);
    struct place cert = place_member(tls, "cert_file"), key = place_member(tls, "key_file");
    struct place clients = place_member(tls, "client_ca_file");
    if (r == 0)
        r = place_text(&cert, 4095, &c->cert_file);
    if (r == 0)
        r = place_text(&key, 4095, &c->key_file);
    return r < 0 ? r : config_path(&clients, &c->client_ca_file);
}

static void allow(struct gateway_config *c, const char *const *networks, size_t n)
{
    c->allowed.items = mem_array(n, sizeof(*c->allowed.items));
    for (; c->allowed.n < n; c->allowed.n++)
        MUST(cidr_parse(networks[c->allowed.n], strlen(networks[c->allowed.n]),
                        &c->allowed.items[c->allowed.n], NULL) == 0);
}

static int read_allowed(const struct place *upstream, struct gateway_config *c)
{
    static const char *const private[] = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
                                          "fc00::/7"};
    static const char *const every[] = {"0.0.0.0/0", "::/0"};
    struct place list = place_member(upstream, "allowed_ips");
    struct place disable = place_member(upstream, "disable_ip_validation");
    int r = place_bool(&disable, &c->unchecked);
    if (r < 0)
        return r;
    if (list.value && c->unchecked)
        return place_fail(&disable, "give \"allowed_ips\" or this, not both");
    c->allowed_given = list.value;
    if (list.value)
        return config_networks(&list, GATEWAY_NETWORKS_MAX, &c->allowed);
    if (c->unchecked)
        allow(c, every, ARRAY_LEN(every));
    else
        allow(c, private, ARRAY_LEN(private));
    return 0;
}

static int read_upstream(const struct place *upstream, struct gateway_config *c)
{
    struct place tls = place_member(upstream, "tls");
    struct place ca = place_member(&tls, "ca_file");
    struct place system = place_member(&tls, "include_system_cas");
    struct place cert = place_member(&tls, "cert_file"), key = place_member(&tls, "key_file");
    int r = upstream->value ? place_object(upstream, FIELD_UPSTREAM) : 0;
    if (r == 0)
        r = read_allowed(upstream, c);
    if (r == 0 && tls.value)
        r = place_object(&tls, FIELD_UPSTREAM_TLS);
    if (r == 0)
        r = config_path(&ca, &c->upstream_ca_file);
    if (r == 0)
        r = config_path(&cert, &c->upstream_cert_file);
    if (r == 0)
        r = config_path(&key, &c->upstream_key_file);
    if (r == 0 && !c->upstream_cert_file != !c->upstream_key_file)
        r = place_fail(cert.value ? &key : &cert, "is missing: a certificate goes with its key");
    c->upstream_system_cas = !c->upstream_ca_file;
    return r < 0 ? r : place_bool(&system, &c->upstream_system_cas);
}

/* The published form may say "": none. */
static int read_domain(const struct place *at, struct host *ret)
{
    struct err why = {0};
    const char *s;
    if (!at->value || (json_is_string(at->value) && json_string_length(at->value) == 0))
        return 0;
    int r = place_text(at, 1000, &s);
    if (r < 0)
        return r;
    return host_parse(s, strlen(s), HOST_UNICODE, ret, &why) < 0 ? place_wrap(at, &why) : 0;
}

static int read_audit(const struct place *at, struct gateway_config *c)
{
    struct place file = place_member(at, "file"), arguments = place_member(at, "arguments");
    int r = at->value ? place_object(at, FIELD_AUDIT) : 0;
    if (r < 0 || !at->value)
        return r;
    if (!file.value)
        return place_fail(&file, "is missing: where are records written?");
    r = config_path(&file, &c->audit_file);
    return r < 0 ? r : place_bool(&arguments, &c->audit_arguments);
}

/* As browsers write them in `Origin`. */
static int read_origins(const struct place *list, struct gateway_config *c)
{
    size_t n;
    if (!list->value)
        return 0;
    int r = place_list(list, ORIGINS_MAX, &n);
    if (r < 0)
        return r;
    c->origins = mem_array(n + 1, sizeof(*c->origins));
    for (size_t i = 0; i < n; i++) {
        struct place at = place_item(list, i);
        struct config_url u;
        r = config_url(&at, false, &u); /* which says what is wrong with it */
        if (r == 0)
            r = place_text(&at, 1000, &c->origins[c->n_origins]);
        if (r < 0)
            return r;
        c->n_origins++;
    }
    return 0;
}

static int read_process(const struct place *root, struct gateway_config *c)
{
    static const char *const levels[] = {[LOG_DEBUG] = "debug",
                                         [LOG_INFO] = "info",
                                         [LOG_WARN] = "warn",
                                         [LOG_ERROR] = "error",
                                         NULL};
    struct place log = place_member(root, "log_level");
    struct place shutdown = place_member(root, "shutdown_timeout");
    unsigned level = LOG_INFO;
    c->shutdown_timeout_ms = SHUTDOWN_MS;
    int r = place_choice(&log, levels, &level);
    c->log_level = (enum log_level)level;
    return r < 0 ? r : config_duration(&shutdown, SHUTDOWN_MAX_MS, &c->shutdown_timeout_ms);
}

static int read_all(const struct place *root, struct gateway_config *c)
{
    struct place tls = place_member(root, "tls"), upstream = place_member(root, "upstream");
    struct place domain = place_member(root, "tunnel_domain");
    struct place routes = place_member(root, "routes");
    struct place origins = place_member(root, "allowed_origins");
    struct place callers = place_member(root, "callers");
    struct place audit = place_member(root, "audit"), state = place_member(root, "state_dir");
    int r = place_object(root, FIELD_GATEWAY);
    if (r == 0)
        r = check_companions(root);
    if (r == 0)
        r = read_process(root, c);
    if (r == 0)
        r = read_listeners(root, c);
    if (r == 0)
        r = read_edge(root, c);
    if (r == 0)
        r = read_tls(&tls, c);
    if (r == 0)
        r = read_domain(&domain, &c->tunnel_domain);
    if (r == 0)
        r = read_origins(&origins, c);
    if (r == 0)
        r = config_callers(&callers, c);
    if (r == 0)
        r = read_audit(&audit, c);
    if (r == 0)
        r = config_path(&state, &c->state_dir);
    if (r == 0)
        r = read_upstream(&upstream, c);
    return r < 0 ? r : config_routes(&routes, c); /* last: they are checked against the rest */
}

static int read_document(const struct document *doc, json_t *document, struct gateway_config **ret)
{
    struct place root = place_root(doc, NULL, document);
    struct gateway_config *c = mem_new(struct gateway_config);
    c->refs = 1;
    c->document = document;
    map_init(&c->by_host);
    int r = read_all(&root, c);
    if (r < 0)
        gateway_config_unref(c);
    else
        *ret = c;
    return r;
}

int gateway_config_take(const char *name, json_t *document, struct gateway_config **ret,
                        struct err *e)
{
    struct document doc = {.fields = &gateway_fields, .file = name, .e = e};
    return read_document(&doc, document, ret);
}

int gateway_config_parse(const char *name, const char *text, size_t n, struct gateway_config **ret,
                         struct err *e)
{
    AUTO(map) lines = {0};
    json_t *document;
    map_init(&lines);
    int r = yaml_parse_json_lines(text, n, &document, &lines, e);
    if (r < 0)
        return err_wrap(e, r, "%.200s", name);
    struct document doc = {.fields = &gateway_fields, .file = name, .lines = &lines, .e = e};
    return read_document(&doc, document, ret);
}

int gateway_config_text(const char *path, char **ret, size_t *ret_n, struct err *e)
{
    /* Not file_open: a ConfigMap's files are links, and nothing of it is written. */
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        int r = -errno;
        return err_set(e, r, "%.300s cannot be read: %s", path, err_text(r));
    }
    if (!S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "%.300s is no regular file", path);
    AUTO_FREE char *text = mem_array(LIMIT_YAML_BYTES + 1, 1);
    ssize_t n = file_read_small(fd, text, LIMIT_YAML_BYTES + 1);
    if (n == -EFBIG)
        return err_set(e, -EMSGSIZE, "%.300s is too large: at most %u bytes are allowed", path,
                       LIMIT_YAML_BYTES);
    if (n < 0)
        return err_set(e, (int)n, "%.300s cannot be read: %s", path, err_text((int)n));
    *ret = TAKE(text);
    *ret_n = (size_t)n;
    return 0;
}

int gateway_config_read(const char *path, struct gateway_config **ret, struct err *e)
{
    AUTO_FREE char *text = NULL;
    size_t n;
    int r = gateway_config_text(path, &text, &n, e);
    return r < 0 ? r : gateway_config_parse(path, text, n, ret, e);
}

struct gateway_config *gateway_config_ref(struct gateway_config *c)
{
    c->refs++;
    return c;
}

void gateway_config_unref(struct gateway_config *c)
{
    if (!c || --c->refs)
        return;
    for (size_t i = 0; i < c->n_read; i++) {
        config_caller_rules_done(&c->routes[i].callers);
        config_credential_free(c->routes[i].credential);
        config_tools_free(c->routes[i].tools);
        config_stdio_free(c->routes[i].upstream.stdio);
    }
    free(c->routes);
    config_callers_done(c);
    free(c->origins);
    map_done(&c->by_host);
    cidr_list_done(&c->allowed);
    cidr_list_done(&c->direct_networks);
    free(c->direct_hosts);
    free(c->proxy_user);
    json_decref(c->document);
    free(c);
}

bool gateway_config_has_https(const struct gateway_config *c)
{
    for (size_t i = 0; i < c->n_routes; i++)
        if (c->routes[i].upstream.scheme == GATEWAY_HTTPS)
            return true;
    return false;
}

bool gateway_config_goes_direct(const struct gateway_config *c, const struct address *a)
{
    if (c->edge.proxy.host.kind == HOST_NONE)
        return true;
    for (size_t i = 0; i < c->n_direct_hosts; i++)
        if (host_pattern_matches(&c->direct_hosts[i], &c->edge.host))
            return true;
    return a && cidr_list_contains(&c->direct_networks, a);
}
