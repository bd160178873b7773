/* gateway_init.c - `sallyport gateway init`: from nothing to a gateway that can be started.
 *
 * Fills one directory (tunnel/gateway/setup.h): tunnel, token, CA, certificate, configuration, in this order.
 * Each step looks first whether it is done, and what it makes is on disk before the next begins, so a run
 * that was cut off is finished by the next, and a run that finds all done changes nothing. What flags say is
 * judged before anything is made. Token and keys go into files (0600) and into no output; the process cannot
 * be dumped, and what JSON and HTTP have held of them is wiped. */
#include "base/err.h"
#include "base/host.h"
#include "base/str.h"
#include "base/time.h"
#include "cmd/client/api_command.h"
#include "cmd/gateway.h"
#include "cmd/gateway_tunnel.h"
#include "cmd/line/start.h"
#include "cmd/line/term.h"
#include "crypto/cert_issue.h"
#include "io/dirs.h"
#include "io/file.h"
#include "tunnel/gateway/config.h"
#include "tunnel/gateway/setup.h"
#include "tunnel/gateway/setup_cert.h"
#include "tunnel/gateway/setup_config.h"

#include <stdio.h>
#include <string.h>

#define CONFIG_MOST (128u << 10)

struct init_command {
    struct api_command call;
    const char *name, *tunnel_id, *dir, *edge, *ca_key;
    bool bare;
    int64_t lifetime_ms;
    struct flag_list routes;

    struct setup s;
    struct setup_draft draft;
    struct gateway_tunnel t;
    bool made_ca, made_config, other_life; /* by this run */
    struct setup_outcome cert;
    int64_t ca_ends_s;
};

static void note(const char *text)
{
    fprintf(stderr, "sallyport gateway init: %s\n", text);
}

/* ---- the certificates ---- */

static int settle_certificates(struct init_command *c, struct err *e)
{
    char now[TIME_RFC3339_MAX], name[65];
    int64_t begins_s;
    AUTO_FREE char *ca_file = setup_path(&c->s, SETUP_CA);
    AUTO_FREE char *key_file = c->ca_key ? mem_strdup(c->ca_key) : setup_path(&c->s, SETUP_CA_KEY);
    AUTO_FREE char *cert_file = setup_path(&c->s, SETUP_CERT);
    const struct setup_files files = {
        .ca = ca_file, .ca_key = key_file, .cert = cert_file, .key = cert_file};
    const struct setup_wish wish = {.domain = c->s.domain, .lifetime_s = c->s.cert_lifetime_s};
    struct cert_issuer *ca = NULL;
    (void)snprintf(name, sizeof(name), "Sallyport CA %.10s %.36s", time_format(now, time_real_us()),
                   c->s.tunnel_id);
    int r = setup_ca(&files, name, &ca, &c->made_ca, e);
    if (r < 0)
        return r;
    cert_issuer_times(ca, &begins_s, &c->ca_ends_s);
    r = gateway_tunnel_register(&c->t, ca, e);
    if (r == 0)
        r = setup_certificate(&files, ca, &wish, &c->cert, e);
    cert_issuer_free(ca);
    return r;
}

/* ---- the configuration ---- */

static bool is_edge(const struct gateway_edge *edge, const char *url)
{
    const char *scheme = edge->tls ? "https" : "http";
    AUTO_FREE char *brief = mem_printf("%s://%s", scheme, edge->host.text);
    AUTO_FREE char *full = mem_printf("%s:%u", brief, edge->port);
    bool usual = edge->port == (edge->tls ? 443 : 80);
    return str_eq(url, full) || (usual && str_eq(url, brief));
}

/* One that is there is the operator's: it is looked at, and never changed. */
static int check_config(const struct init_command *c, const char *file, struct err *e)
{
    struct gateway_config *g = NULL;
    int r = gateway_config_read(file, &g, e);
    if (r < 0)
        return r;
    if (!str_eq(g->tunnel_domain.text, c->s.domain))
        r = err_set(e, -E_DENIED, "%s is for the tunnel_domain %s, and the tunnel's is %s", file,
                    g->tunnel_domain.kind == HOST_NAME ? g->tunnel_domain.text : "(none)",
                    c->s.domain);
    if (r == 0 && c->edge && !is_edge(&g->edge, c->edge))
        r = err_set(e, -E_DENIED,
                    "%s is there and has another edge; it is yours, so write the line "
                    "into it:  edge: %s",
                    file, c->edge);
    for (size_t i = 0; r == 0 && i < c->draft.n_routes; i++) {
        const struct setup_route *route = &c->draft.routes[i];
        struct host h;
        if (host_parse(route->name, route->n_name, HOST_UNICODE, &h, e) < 0 ||
            !gateway_config_route(g, &h))
            r = err_set(e, -E_DENIED,
                        "%s is there and has no route %.*s; it is yours, so add the line to its "
                        "routes:  %.*s: %s",
                        file, (int)route->n_name, route->name, (int)route->n_name, route->name,
                        route->upstream);
    }
    gateway_config_unref(g);
    return r;
}

static int settle_config(struct init_command *c, struct err *e)
{
    AUTO_FREE char *file = setup_path(&c->s, SETUP_CONFIG);
    AUTO_FREE char *token = setup_path(&c->s, SETUP_TOKEN);
    AUTO_FREE char *cert = setup_path(&c->s, SETUP_CERT);
    AUTO(buf) text = BUF_INIT(CONFIG_MOST);
    if (setup_is_there(file))
        return check_config(c, file, e);
    c->draft.domain = c->s.domain;
    c->draft.token_file = token;
    c->draft.cert_file = cert;
    int r = setup_config_text(&c->draft, &text, e);
    if (r == 0)
        r = file_write_new(file, 0600, text.data, text.len, e);
    c->made_config = r == 0;
    return r;
}

/* ---- what came of it ---- */

static bool changed(const struct init_command *c)
{
    return c->t.made_tunnel || c->t.made_token || c->made_ca || c->t.registered || c->cert.why ||
           c->made_config || c->other_life;
}

static void row(const char *name, const char *value, const char *behind)
{
    printf("%-13s ", name);
    term_print_word(stdout, value);
    puts(behind);
}

static void row_of_file(const struct init_command *c, const char *name, const char *file,
                        const char *behind)
{
    AUTO_FREE char *path = setup_path(&c->s, file);
    row(name, path, behind);
}

static void tell(const struct init_command *c)
{
    char until[TIME_RFC3339_MAX], behind[160], more[40];
    row("tunnel", c->s.tunnel_id, c->t.made_tunnel ? " (new)" : "");
    row("domain", c->s.domain, "");
    row_of_file(c, "token", SETUP_TOKEN, c->t.made_token ? " (new)" : "");
    (void)snprintf(behind, sizeof(behind), " until %.10s, on the tunnel as %.60s%s",
                   time_format(until, c->ca_ends_s * US_PER_S), c->t.certificate_id,
                   c->made_ca        ? " (new)"
                   : c->t.registered ? " (registered)"
                                     : "");
    row_of_file(c, "CA", SETUP_CA, behind);
    (void)snprintf(more, sizeof(more), " until %.10s",
                   time_format(until, c->cert.until_s * US_PER_S));
    (void)snprintf(behind, sizeof(behind), "%s%s", more, c->cert.why ? " (new)" : "");
    row_of_file(c, "certificate", SETUP_CERT, behind);
    if (!c->bare)
        row_of_file(c, "configuration", SETUP_CONFIG, c->made_config ? " (new)" : "");
    if (!changed(c))
        puts("all of it was there already; nothing was changed");
    if (c->bare)
        return;
    if (!c->dir)
        puts("start it with sallyport gateway");
    else
        row_of_file(c, "start it with sallyport gateway --config", SETUP_CONFIG, "");
}

static int tell_json(const struct init_command *c)
{
    char text[TIME_RFC3339_MAX];
    AUTO_JSON json_t *j = json_new_object();
    json_put_bool(j, "changed", changed(c));
    json_put_str(j, "tunnel_id", c->s.tunnel_id);
    json_put_str(j, "domain", c->s.domain);
    json_put_str(j, "dir", c->s.dir);
    json_put_str(j, "ca_certificate_id", c->t.certificate_id);
    json_put_str(j, "ca_expires_at", time_format(text, c->ca_ends_s * US_PER_S));
    json_put_str(j, "expires_at", time_format(text, c->cert.until_s * US_PER_S));
    return api_command_print(j);
}

/* ---- in order ---- */

/* What the flags say against what an earlier run was told. */
static int check_flags(struct init_command *c, struct err *e)
{
    AUTO_FREE char *config = setup_path(&c->s, SETUP_CONFIG);
    const struct setup *s = &c->s;
    if (s->tunnel_id && c->tunnel_id && !str_eq(s->tunnel_id, c->tunnel_id))
        return err_set(e, -EINVAL, "%s is for the tunnel %s; name another --dir for %s", s->dir,
                       s->tunnel_id, c->tunnel_id);
    if (s->name && c->name && !str_eq(s->name, c->name))
        return err_set(e, -EINVAL,
                       "%s is for the tunnel \"%s\"; name another --dir for another one", s->dir,
                       s->name);
    if (s->tunnel_id && c->name && !s->name)
        return err_set(e, -EINVAL,
                       "%s is for the tunnel %s, which was there; name another --dir for "
                       "a new one",
                       s->dir, s->tunnel_id);
    if (!s->tunnel_id && !c->tunnel_id && !s->attempt && !c->name)
        return err_set(e, -EINVAL,
                       "give --name TEXT for a new tunnel, or --tunnel-id ID for one "
                       "that is there");
    if (c->draft.n_routes == 0 && !c->bare && !setup_is_there(config))
        return err_set(e, -EINVAL,
                       "give --route NAME=URL for each private server, as in "
                       "wiki=http://10.0.3.7:9000");
    return 0;
}

/* Kept for renew-cert. */
static int settle_lifetime(struct init_command *c, struct err *e)
{
    int64_t life_s = c->lifetime_ms > 0         ? c->lifetime_ms / 1000
                     : c->s.cert_lifetime_s > 0 ? c->s.cert_lifetime_s
                                                : GATEWAY_CERT_LIFETIME_S;
    c->other_life = life_s != c->s.cert_lifetime_s;
    c->s.cert_lifetime_s = life_s;
    return c->other_life ? setup_save(&c->s, e) : 0;
}

static int settle(struct init_command *c, struct err *e)
{
    c->t.api = &c->call.api;
    c->t.s = &c->s;
    c->t.name = c->name;
    c->t.tunnel_id = c->tunnel_id;
    int r = gateway_tunnel_settle(&c->t, e);
    if (r == 0)
        r = settle_lifetime(c, e);
    if (r == 0)
        r = gateway_tunnel_token(&c->t, e);
    if (r == 0)
        r = settle_certificates(c, e);
    if (r == 0 && !c->bare)
        r = settle_config(c, e);
    if (r < 0)
        return r == -EINVAL ? -E_DENIED : r; /* the command line was fine */
    if (c->call.json)
        return tell_json(c);
    tell(c);
    return 0;
}

/* The draft, judged by the gateway's own reader before anything is made. */
static int check_draft(struct init_command *c, struct err *e)
{
    AUTO(buf) text = BUF_INIT(CONFIG_MOST);
    struct setup_draft d = c->draft;
    d.domain = "tunnel.invalid";
    d.token_file = d.cert_file = "/file";
    return c->draft.n_routes > 0 ? setup_config_text(&d, &text, e) : 0;
}

/* The names of directories that were made: what is durable in one is lost with its name. */
static int flush_made(const char *dir, size_t made, struct err *e)
{
    AUTO_FREE char *path = realpath(dir, NULL);
    int r = path ? 0 : -errno;
    if (r < 0)
        return err_set(e, r, "cannot find directory %s: %s", dir, err_text(r));
    for (; r == 0 && made > 0; made--) {
        char *folder = file_folder(path);
        r = file_flush_names(path, e);
        free(path);
        path = folder;
    }
    return r;
}

static int in_directory(struct init_command *c, struct err *e)
{
    AUTO_FREE char *dir = gateway_dir(c->dir);
    size_t made = 0;
    int r = setup_check_root(dir, "gateway init", e);
    if (r == 0 && c->ca_key)
        r = setup_check_root(c->ca_key, "gateway init", e);
    if (r == 0)
        r = dirs_make_counted(dir, &made, e);
    if (r == 0)
        r = flush_made(dir, made, e);
    if (r == 0)
        r = setup_open(dir, &c->s, e);
    if (r == 0) {
        r = check_flags(c, e);
        if (r == 0)
            r = settle(c, e);
        setup_done(&c->s);
    }
    if (r < 0)
        dirs_unmake(dir, made); /* where nothing was begun */
    return r;
}

/* All of it, with where the edge is: that is in the configuration. */
static int with_configuration(struct init_command *c, struct err *e)
{
    AUTO_FREE char *edge = c->edge ? mem_strdup(c->edge) : setup_edge(c->call.api.base_url);
    const char *trusted = getenv("SSL_CERT_FILE");
    AUTO_FREE char *edge_ca =
        trusted && *trusted && edge && str_starts(edge, "https:") ? realpath(trusted, NULL) : NULL;
    if (!edge)
        return err_set(e, -EINVAL,
                       "where the gateway's edge is cannot be told from %s; give --edge "
                       "https://HOST",
                       c->call.api.base_url);
    c->draft.edge = edge;
    c->draft.edge_ca = edge_ca;
    int r = check_draft(c, e);
    return r < 0 ? r : in_directory(c, e);
}

static int init(void *command, struct err *e)
{
    struct init_command *c = command;
    int r = c->bare ? in_directory(c, e) : with_configuration(c, e);
    free(c->t.certificate_id);
    return r;
}

static int read_routes(struct init_command *c)
{
    struct err e = {0};
    for (size_t i = 0; i < c->routes.n; i++) {
        if (setup_route(&c->draft, c->routes.value[i], &e) < 0) {
            note(e.msg);
            return -EINVAL;
        }
    }
    if (c->bare && (c->routes.n > 0 || c->edge)) {
        note("--bare makes no configuration, so there is no place for --route and --edge");
        return -EINVAL;
    }
    if (c->tunnel_id && c->name) {
        note("--name is for a new tunnel, --tunnel-id for one that is there: give one of them");
        return -EINVAL;
    }
    if (c->tunnel_id && !api_client_is_id(c->tunnel_id)) {
        note("--tunnel-id: an id is letters, digits, _ and -");
        return -EINVAL;
    }
    return 0;
}

int cmd_gateway_init(int argc, char **argv)
{
    static const struct verb verb = {.act = init};
    static struct init_command c;
    static struct flag room[FLAG_SET_MAX];
    const struct flag rows[] = {
        {"name", "TEXT", "makes a tunnel with this name", FLAG_TEXT, .ptr = &c.name,
         .line_only = true},
        {"tunnel-id", "ID", "takes a tunnel that is there", FLAG_TEXT, .ptr = &c.tunnel_id,
         .line_only = true},
        {"route", "NAME=URL",
         "a private server, as in wiki=http://10.0.3.7:9000; once for each of them", FLAG_LIST,
         .ptr = &c.routes, .line_only = true},
        {"dir", "DIR", "where token, keys and configuration go (gateway in the data directory)",
         FLAG_DIR, .ptr = &c.dir, .line_only = true},
        {"edge", "URL", "where gateways connect (the host of --base-url)", FLAG_TEXT,
         .ptr = &c.edge, .line_only = true},
        {"bare", NULL, "make no configuration: it is made elsewhere, as sallyport up does",
         FLAG_BOOL, .ptr = &c.bare, .line_only = true},
        {"cert-duration", "TIME", "life of the gateway's certificate (2160h)", FLAG_DURATION,
         .ptr = &c.lifetime_ms, .min = GATEWAY_CERT_LEAST_MS, .max = GATEWAY_CERT_MOST_MS,
         .line_only = true},
        {"ca-key", "FILE", "where the CA's private key is, or is put (ca.key in --dir)", FLAG_FILE,
         .ptr = &c.ca_key, .line_only = true},
    };
    struct flag_set set = {
        .command = "gateway init",
        .summary = "Makes what a gateway needs: a tunnel, its token, a CA, a certificate, a "
                   "configuration.",
        .details =
            "Asks the server of ANTHROPIC_BASE_URL with the key in ANTHROPIC_API_KEY. What is "
            "there\n"
            "already is kept: run it again after it was cut off, and it goes on; run it again "
            "after\n"
            "that, and it changes nothing. Then start `sallyport gateway`, and let a timer run\n"
            "`sallyport gateway renew-cert` once a day. docs/tunnel.md is the guide.",
        .flags = room,
    };
    flags_add(&set, rows, ARRAY_LEN(rows));
    api_command_flags(&set, &c.call, "print JSON");
    int code = flags_main(&set, argc, argv, NULL, &c.call.n_args);
    if (code >= 0)
        return code;
    if (read_routes(&c) < 0)
        return 2;
    gateway_guard();
    json_wipe_when_freed();
    http_client_wipe_when_freed();
    return api_command_run(&verb, "gateway init", &c.call, &c);
}
