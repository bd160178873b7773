/* up_routes.c - the gateway of `sallyport up`: checked, prepared, told of.
 *
 * Called by up.c, on its fibers. The work is that of `sallyport gateway init` and `renew-cert`, run as
 * children like everything of `up` that speaks to the API; they do it in DIR/up-gateway, again at each start, and
 * change nothing when all is there. What is ours is the configuration of the gateway: routes and
 * upstream are the operator's words, the rest follows from `up`. It is written anew at each start, for
 * the port of the server may be another one. Before anything is made it is read by the gateway's own reader,
 * so a wrong field is refused by name. No secret passes here: routes say where theirs are. */
#include "cmd/up_routes.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"
#include "cmd/line/term.h"
#include "cmd/up_children.h"
#include "fiber/fiber.h"
#include "io/file.h"
#include "secret/source.h"
#include "tunnel/gateway/config.h"
#include "tunnel/gateway/setup.h"
#include "tunnel/gateway/setup_config.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TUNNEL_NAME   "sallyport up"
#define RENEW_EACH_MS (12 * 3600 * 1000LL)
#define SHOWN_MOST    16

/* What a configuration says beside the operator's words. */
struct frame {
    const char *dir, *domain, *edge;
    const char *admin; /* NULL: none */
};

/* ---- the configuration ---- */

static const char *upstream_of(const json_t *route)
{
    const char *text = json_string_value(route);
    text = text ? text : json_get_str(route, "upstream");
    return text ? text : "";
}

/* The operator's `upstream`, with the addresses that are written in the routes, as `gateway init` opens them. */
static json_t *make_upstream(const struct up_routes *u)
{
    json_t *made = u->upstream.json ? json_copy(u->upstream.json) : json_new_object();
    if (json_object_get(made, "allowed_ips") || json_object_get(made, "disable_ip_validation"))
        return made;
    size_t n = 0;
    AUTO_FREE const char **urls = mem_array(GATEWAY_ROUTES_MAX, sizeof(*urls));
    const char *name;
    json_t *route;
    json_object_foreach (u->routes.json, name, route)
        if (n < GATEWAY_ROUTES_MAX)
            urls[n++] = upstream_of(route);
    json_t *allowed = setup_allowed_ips(urls, n);
    if (allowed)
        json_put(made, "allowed_ips", allowed);
    return made;
}

static json_t *make_document(const struct up_routes *u, const struct frame *f)
{
    AUTO_FREE char *token = mem_printf("%s/" SETUP_TOKEN, f->dir);
    AUTO_FREE char *cert = mem_printf("%s/" SETUP_CERT, f->dir);
    AUTO_FREE char *audit = mem_printf("%s/audit.jsonl", f->dir);
    AUTO_FREE char *grace = mem_printf("%lldms", (long long)u->grace_ms);
    json_t *j = json_new_object(), *tls = json_new_object(), *log = json_new_object();
    json_put_str(tls, "cert_file", cert);
    json_put_str(tls, "key_file", cert);
    json_put_str(log, "file", audit);
    json_put_str(j, "edge", f->edge);
    json_put_str(j, "token_file", token);
    json_put_str(j, "tunnel_domain", f->domain);
    json_put(j, "tls", tls);
    json_put(j, "audit", log);
    if (f->admin)
        json_put_str(j, "admin", f->admin);
    json_put_str(j, "shutdown_timeout", grace);
    json_put(j, "upstream", make_upstream(u));
    json_put(j, "routes", json_incref(u->routes.json));
    return j;
}

/* Where `gateway status` finds it: an address that is known beforehand. */
static const char *admin_of(const struct up_routes *u)
{
    size_t n = u->metrics ? strlen(u->metrics) : 0;
    bool known = n > 2 && !str_eq(u->metrics, "none") && !str_eq(u->metrics + n - 2, ":0");
    return known ? u->metrics : NULL;
}

/* ---- before anything is made ---- */

static bool variable_named;

static void note_variable(const char *name)
{
    (void)name;
    variable_named = true;
}

/* What the gateway would take, and can do nothing with below `up`. */
static int check_route(const struct gateway_route *r, const char *file, struct err *e)
{
    if (r->host.labels > 1)
        return err_set(e, -EINVAL,
                       "%s: routes.%s: one name is expected, as in wiki: callers reach what is "
                       "right below the tunnel's domain, and nothing else",
                       file, r->host.text);
    variable_named = false;
    if (r->credential)
        secret_config_variables(r->credential->source, note_variable);
    if (variable_named)
        return err_set(e, -EINVAL,
                       "%s: routes.%s.credential: the server runs in this process and must not see "
                       "keys of private servers, so they cannot come from its environment; put it "
                       "into a file (${file:PATH})",
                       file, r->host.text);
    return 0;
}

static int check_companions(const struct up_routes *u, struct err *e)
{
    const char *what = u->upstream.json ? "upstream" : u->metrics ? "gateway-metrics" : NULL;
    return what ? err_set(e, -EINVAL, "--%s goes with routes (--routes), which are missing", what)
                : 0;
}

int up_routes_check(const struct up_routes *u, const char *ingress, struct err *e)
{
    struct frame f = {.dir = "/", .domain = "tunnel.invalid", .edge = "http://127.0.0.1:1"};
    struct gateway_config *c = NULL, *with_admin = NULL;
    if (!u->routes.json)
        return check_companions(u, e);
    if (ingress && str_eq(ingress, "none"))
        return err_set(e, -EINVAL,
                       "--ingress none: then nobody can reach the routes; give an "
                       "address, or leave the routes away");
    if (ingress && str_starts(ingress, "unix:"))
        return err_set(e, -EINVAL,
                       "--ingress %s: callers of the routes need HOST:PORT, as in " UP_INGRESS,
                       ingress);
    int r = gateway_config_take(u->routes.file, make_document(u, &f), &c, e);
    for (size_t i = 0; r == 0 && i < c->n_routes; i++)
        r = check_route(&c->routes[i], u->routes.file, e);
    gateway_config_unref(c);
    f.admin = admin_of(u);
    if (r == 0 && f.admin) {
        r = gateway_config_take("--gateway-metrics", make_document(u, &f), &with_admin, e);
        gateway_config_unref(with_admin);
    }
    return r;
}

/* ---- making it ---- */

static int make_tunnel(struct up_routes *u, const char *data_dir, struct err *e)
{
    AUTO_FREE char *state = mem_printf("%s/" SETUP_STATE, u->dir);
    const char *words[] = {"gateway", "init",   "--bare", "--dir", u->dir,
                           "--data",  data_dir, NULL,     NULL,    NULL};
    if (!setup_is_there(state)) { /* else it is known which tunnel it is for */
        words[7] = "--name";
        words[8] = TUNNEL_NAME;
    }
    int r = up_run(words, e);
    if (r > 0 && setup_is_there(state))
        r = err_set(e, -EIO,
                    "the tunnel for the routes could not be made ready; the reason is above. To "
                    "begin anew, with another tunnel, remove %s",
                    u->dir);
    else if (r > 0)
        r = err_set(e, -EIO, "the tunnel for the routes could not be made; the reason is above");
    struct setup s = {.lock = -1};
    if (r == 0)
        r = setup_open(u->dir, &s, e);
    if (r == 0)
        u->domain = mem_strdup(s.domain ? s.domain : "");
    setup_done(&s);
    return r;
}

/* The server as the gateway reaches it: without TLS, so on this machine alone. malloc'ed. */
static char *edge_at(const char *address, struct err *e)
{
    const char *port = strrchr(address, ':');
    if (str_starts(address, "0.0.0.0:"))
        return mem_printf("http://127.0.0.1%s", port);
    if (str_starts(address, "[::]:"))
        return mem_printf("http://[::1]%s", port);
    if (str_starts(address, "127.") || str_starts(address, "[::1]:"))
        return mem_printf("http://%s", address);
    (void)err_set(e, -EINVAL,
                  "--listen %s: the gateway of the routes reaches the server without TLS, so on "
                  "this machine alone: listen on 127.0.0.1, or on every address (0.0.0.0)",
                  address);
    return NULL;
}

static const char mark[] = "# Written by `sallyport up` at each start. What is to change belongs "
                           "into its configuration.\n";

/* 1 when it is one that we have written, 0 when there is none: another one is somebody's. */
static int check_is_ours(const char *path, struct err *e)
{
    char begin[sizeof(mark)] = "";
    AUTO_CLOSE int fd = file_open(path, O_RDONLY, e);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    ssize_t n = read(fd, begin, sizeof(mark) - 1);
    if (n == sizeof(mark) - 1 && str_eq(begin, mark))
        return 1;
    return err_set(e, -EEXIST,
                   "%s is there, and sallyport up has not written it: move it away; its routes "
                   "belong under routes: in the configuration of up",
                   path);
}

static int write_config(struct up_routes *u, json_t *document, struct err *e)
{
    AUTO(buf) text = BUF_INIT(LIMIT_YAML_BYTES);
    int r = check_is_ours(u->config, e);
    if (r < 0)
        return r;
    (void)buf_adds(&text, mark);
    (void)json_print(&text, document);
    (void)buf_addc(&text, '\n');
    if (buf_err(&text) < 0)
        return err_set(e, -EMSGSIZE,
                       "routes: the gateway's configuration would have more than %u "
                       "bytes",
                       LIMIT_YAML_BYTES);
    r = file_stage(u->config, 0600, text.data, text.len, e);
    return r < 0 ? r : file_publish(u->config, e);
}

static int make_config(struct up_routes *u, const char *address, struct err *e)
{
    AUTO_FREE char *edge = edge_at(address, e);
    struct gateway_config *c = NULL;
    if (!edge)
        return -EINVAL;
    const struct frame f = {.dir = u->dir, .domain = u->domain, .edge = edge, .admin = admin_of(u)};
    AUTO_JSON json_t *document = make_document(u, &f);
    int r = gateway_config_take(u->routes.file, json_incref(document), &c, e);
    if (r < 0)
        return r;
    u->hosts = mem_array(c->n_routes, sizeof(*u->hosts));
    for (; u->n_hosts < c->n_routes; u->n_hosts++)
        u->hosts[u->n_hosts] = mem_printf("%s.%s", c->routes[u->n_hosts].host.text, u->domain);
    gateway_config_unref(c);
    return write_config(u, document, e);
}

void up_routes_retire(const char *data_dir)
{
    struct err e = {0};
    AUTO_FREE char *config = mem_printf("%s/" UP_ROUTES_DIR "/" SETUP_CONFIG, data_dir);
    if (!setup_is_there(config) || setup_check_root(config, "up", &e) < 0 ||
        check_is_ours(config, &e) <= 0)
        return;
    if (unlink(config) < 0)
        log_warn("the configuration of routes that are gone could not be removed", "file=%s why=%s",
                 log_q(config), err_text(-errno));
}

/* One that could not be renewed is good for a while, and may be renewed by somebody else: by whoever keeps the
 * CA's key. */
static void renew(const struct up_routes *u)
{
    const char *const words[] = {"gateway", "renew-cert", "--config", u->config, NULL};
    struct err e = {0};
    int r = up_run(words, &e);
    if (r != 0 && r != -ECANCELED)
        log_warn("gateway's certificate not renewed", "why=%s",
                 log_q(r > 0      ? "it has said so itself"
                       : e.msg[0] ? e.msg
                                  : err_text(r)));
}

int up_routes_prepare(struct up_routes *u, const char *data_dir, const char *address, struct err *e)
{
    AUTO_FREE char *whole =
        realpath(data_dir, NULL); /* for who reads the configuration elsewhere */
    AUTO_FREE char *key = mem_printf("%s/tunnel.key", data_dir);
    AUTO_FREE char *edge = edge_at(address, e);
    u->dir = mem_printf("%s/" UP_ROUTES_DIR, whole ? whole : data_dir);
    u->config = mem_printf("%s/" SETUP_CONFIG, u->dir);
    u->made_dir = !setup_is_there(u->dir);
    if (!edge)
        return -EINVAL;
    if (!setup_is_there(key))
        u->tunnel_key = TAKE(key);
    /* As the child would, but for the words: its command is not the one that was called. */
    int r = setup_check_root(u->dir, "up", e);
    if (r == 0)
        r = make_tunnel(u, data_dir, e);
    if (r == 0)
        r = make_config(u, address, e);
    if (r == 0)
        renew(u);
    return r;
}

int up_routes_renew(void *routes)
{
    while (fiber_sleep_ms(RENEW_EACH_MS) == 0)
        renew(routes);
    return 0;
}

/* ---- what came of it ---- */

void up_routes_tell(const struct up_routes *u, const char *ingress)
{
    const char *port = strrchr(ingress, ':');
    for (size_t i = 0; i < u->n_hosts && i < SHOWN_MOST; i++)
        printf("  %-12s https://%s%s\n", i == 0 ? "routes" : "", u->hosts[i], port ? port : "");
    if (u->n_hosts > SHOWN_MOST)
        printf("  %-12s and %zu others\n", "", u->n_hosts - SHOWN_MOST);
    printf("  %-12s ", "their CA");
    AUTO_FREE char *ca = mem_printf("%s/" SETUP_CA, u->dir);
    term_print_word(stdout, ca);
    putchar('\n');
}

void up_routes_forget(const struct up_routes *u)
{
    DIR *dir = u->made_dir ? opendir(u->dir) : NULL;
    const struct dirent *d;
    if (u->tunnel_key)
        (void)unlink(u->tunnel_key);
    if (!dir)
        return;
    while ((d = readdir(dir)))
        (void)unlinkat(dirfd(dir), d->d_name, 0);
    (void)closedir(dir);
    (void)rmdir(u->dir);
}

void up_routes_done(struct up_routes *u)
{
    for (size_t i = 0; i < u->n_hosts; i++)
        free(u->hosts[i]);
    free(u->hosts);
    free(u->dir);
    free(u->config);
    free(u->domain);
    free(u->tunnel_key);
    json_decref(u->routes.json);
    json_decref(u->upstream.json);
}
