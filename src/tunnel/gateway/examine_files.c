/* examine_files.c - the configuration and the files that it names.
 *
 * All of them are the operator's. They are read as the gateway reads them, so a file that may be read by
 * others is refused here as it is there; of secrets nothing is kept and nothing is shown. */
#include "base/buf.h"
#include "base/secret.h"
#include "base/time.h"
#include "crypto/cert.h"
#include "io/pool.h"
#include "tunnel/gateway/dial.h"
#include "tunnel/gateway/examine_internal.h"
#include "tunnel/gateway/face.h"

#include <stdio.h>

#define DAY_S     86400
#define SOON_DAYS 14
#define NAMES_MAX 4096

/* ---- on a thread ---- */

struct reading {
    const char *path;
    const struct gateway_config *of;
    struct gateway_config *config;
    struct cert_identity *identity;
    struct err err;
};

static int read_config(void *arg)
{
    struct reading *d = arg;
    return gateway_config_read(d->path, &d->config, &d->err);
}

static int read_shown(void *arg)
{
    struct reading *d = arg;
    return face_shown(d->of, &d->identity, &d->err);
}

static int read_pair(void *arg)
{
    struct reading *d = arg;
    return face_identity(d->of, &d->identity, &d->err);
}

/* ---- secrets ---- */

/* True when it can be used. */
static bool look_at_secret(struct examine *x, const char *field, const char *path, const char *get)
{
    struct secret s = {0};
    struct err e = {0};
    int r = gateway_dial_secret(x->pool, field, path, &s, &e);
    secret_done(&s);
    AUTO_FREE char *fix =
        r == -EPERM ? mem_printf("chmod 600 %s   (and its owner: the gateway's user)", path)
        : get       ? mem_printf("%s > %s", get, path)
                    : NULL;
    if (r < 0)
        TELL(x, EXAMINE_FILES, field, field, FINDING_FAIL,
             "the gateway does not start its connections", fix, "%s", e.msg);
    else
        TELL(x, EXAMINE_FILES, field, field, FINDING_OK, NULL, NULL, "%s, readable for nobody else",
             path);
    return r == 0;
}

static void look_at_secrets(struct examine *x)
{
    const struct gateway_edge *edge = &x->config->edge;
    if (edge->token_file)
        x->token_fine = look_at_secret(x, "token_file", edge->token_file,
                                       "(umask 077; sallyport tunnel token show TUNNEL_ID)");
    if (edge->proxy.password_file)
        (void)look_at_secret(x, "proxy_password_file", edge->proxy.password_file, NULL);
}

/* ---- the certificate ---- */

static void look_at_dates(const struct examine *x)
{
    static const char renew[] =
        "sign a new one with the tunnel's CA (docs/tunnel.md); the gateway takes it by itself";
    char begins[TIME_RFC3339_MAX], ends[TIME_RFC3339_MAX];
    int64_t begins_s, ends_s, now_s = time_real_us() / US_PER_S;
    cert_identity_times(x->identity, &begins_s, &ends_s);
    (void)time_format(begins, begins_s * US_PER_S);
    (void)time_format(ends, ends_s * US_PER_S);
    long long days = (long long)((ends_s - now_s) / DAY_S);
    if (now_s >= ends_s)
        TELL(x, EXAMINE_FILES, "certificate_dates", "its dates", FINDING_FAIL,
             "the gateway does not start", renew, "it has expired on %s", ends);
    else if (now_s < begins_s)
        TELL(x, EXAMINE_FILES, "certificate_dates", "its dates", FINDING_FAIL,
             "the gateway does not start", "look at this machine's clock (timedatectl)",
             "it is not valid before %s", begins);
    else
        TELL(x, EXAMINE_FILES, "certificate_dates", "its dates",
             days < SOON_DAYS ? FINDING_NOTE : FINDING_OK, NULL, days < SOON_DAYS ? renew : NULL,
             "it is valid until %s, %lld days from now", ends, days);
}

static bool is_covered(const struct examine *x, const struct gateway_route *route)
{
    const struct gateway_config *c = x->config;
    char below[2 * HOST_TEXT_MAX + 2];
    (void)snprintf(below, sizeof(below), "%s.%s", route->host.text, c->tunnel_domain.text);
    return (c->tunnel_domain.kind == HOST_NAME && cert_identity_is_for(x->identity, below)) ||
           cert_identity_is_for(x->identity, route->host.text);
}

static void look_at_names(const struct examine *x)
{
    const struct gateway_config *c = x->config;
    AUTO(buf) missing = BUF_INIT(NAMES_MAX), hosts = BUF_INIT(NAMES_MAX);
    (void)cert_identity_hosts(x->identity, &hosts);
    for (size_t i = 0; i < c->n_routes; i++)
        if (!is_covered(x, &c->routes[i]))
            (void)buf_addf(&missing, "%s%s", missing.len ? ", " : "", c->routes[i].host.text);
    AUTO_FREE char *fix =
        mem_printf("sign one with subjectAltName=DNS:*.%s",
                   c->tunnel_domain.kind == HOST_NAME ? c->tunnel_domain.text : "DOMAIN");
    if (missing.len)
        TELL(x, EXAMINE_FILES, "certificate_names", "its names", FINDING_FAIL,
             "callers of these routes refuse it", fix, "it is for %s, and not for the routes %s",
             hosts.len ? buf_str(&hosts) : "no host at all", buf_str(&missing));
    else
        TELL(x, EXAMINE_FILES, "certificate_names", "its names", FINDING_OK, NULL, NULL,
             "it is for %s: every route is among them", buf_str(&hosts));
}

/* What servers that ask are shown. */
static void look_at_shown(struct examine *x)
{
    struct reading d = {.of = x->config};
    int64_t begins_s, ends_s, now_s = time_real_us() / US_PER_S;
    const char *file = x->config->upstream_cert_file;
    if (!file || !gateway_config_has_https(x->config))
        return;
    int r = pool_call(x->pool, read_shown, &d);
    x->shown = d.identity;
    if (r < 0) {
        TELL(x, EXAMINE_FILES, "upstream_certificate", "upstream.tls", FINDING_FAIL,
             "the gateway does not start", NULL, "%s", d.err.msg);
        return;
    }
    cert_identity_times(x->shown, &begins_s, &ends_s);
    if (now_s >= ends_s || now_s < begins_s)
        TELL(x, EXAMINE_FILES, "upstream_certificate", "upstream.tls", FINDING_FAIL,
             "servers that ask for it refuse it",
             "put a new one in its place; the gateway takes it by itself", "%s %s", file,
             now_s >= ends_s ? "has expired" : "is not valid yet");
    else
        TELL(x, EXAMINE_FILES, "upstream_certificate", "upstream.tls", FINDING_OK, NULL, NULL,
             "%s is shown to servers that ask, for %lld days from now", file,
             (long long)((ends_s - now_s) / DAY_S));
}

static void look_at_certificate(struct examine *x)
{
    struct reading d = {.of = x->config};
    int r = pool_call(x->pool, read_pair, &d);
    x->identity = d.identity;
    if (r < 0) {
        TELL(x, EXAMINE_FILES, "certificate", "certificate", FINDING_FAIL,
             "the gateway does not start", NULL, "%s", d.err.msg);
        TELL(x, EXAMINE_FILES, "certificate_dates", "its dates", FINDING_UNTRIED, NULL, NULL,
             "the certificate cannot be used");
        TELL(x, EXAMINE_FILES, "certificate_names", "its names", FINDING_UNTRIED, NULL, NULL,
             "the certificate cannot be used");
        return;
    }
    AUTO(buf) issuer = BUF_INIT(NAMES_MAX);
    (void)cert_identity_issuer(x->identity, &issuer);
    TELL(x, EXAMINE_FILES, "certificate", "certificate", FINDING_OK, NULL, NULL,
         "%s, signed by \"%s\"; the key in %s belongs to it", x->config->cert_file,
         buf_str(&issuer), x->config->key_file);
    look_at_dates(x);
    look_at_names(x);
}

void examine_files(struct examine *x)
{
    struct reading d = {.path = x->o->config_path};
    int r = pool_call(x->pool, read_config, &d);
    x->config = d.config;
    if (r < 0) {
        TELL(x, EXAMINE_FILES, "config", "configuration", FINDING_FAIL,
             "the gateway does not start", "docs/gateway-reference.md has every field", "%s",
             d.err.msg);
        return;
    }
    TELL(x, EXAMINE_FILES, "config", "configuration", FINDING_OK, NULL, NULL, "%s, %zu route%s",
         x->o->config_path, x->config->n_routes, x->config->n_routes == 1 ? "" : "s");
    look_at_secrets(x);
    look_at_certificate(x);
    look_at_shown(x);
    examine_start(x);
}
