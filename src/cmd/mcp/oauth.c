/* oauth.c - an authorization as a person asks for it on the command line.
 *
 * Runs on the command's fiber. Secrets come from their sources, never from the line itself; tokens go to a
 * file of this server's own. A browser is opened, or an address printed, only where somebody is there to see
 * it: at `login`, at a terminal, or where --authorize-with names the command; a script that has none of
 * them gets a refusal and no question. A server that is asked without TLS on another host is never given a
 * token, so nobody is asked for one. */
#include "cmd/mcp/oauth.h"
#include "base/err.h"
#include "base/str.h"
#include "cmd/line/source.h"
#include "cmd/line/start.h"
#include "cmd/mcp/store.h"
#include "crypto/es256.h"
#include "io/file.h"
#include "io/pool.h"
#include "mcp/auth/place.h"
#include "secret/source.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS (5 * 60000)
#define HOLD_MS 60000 /* for another command that renews the token: one request, as a rule */
#define SOON_MS 5000

void oauth_flags(struct oauth *o, struct flag_set *set)
{
    static const char *const grants[] = {"code", "client", "assertion", "exchange", NULL};
    const struct flag rows[] = {
        {"client-id", "ID", "our id at the authorization server, registered beforehand", FLAG_TEXT,
         .ptr = &o->client_id, .line_only = true},
        {"client-secret", "SOURCE",
         "of that client: env:NAME, file:PATH, exec:COMMAND, systemd:NAME", FLAG_TEXT,
         .ptr = &o->client_secret, .line_only = true},
        {"client-key", "SOURCE", "of that client: a private key on P-256 (PEM)", FLAG_TEXT,
         .ptr = &o->client_key, .line_only = true},
        {"client-metadata", "URL", "our client-id metadata document, where servers take such",
         FLAG_TEXT, .ptr = &o->client_metadata, .line_only = true},
        {"scope", "'SCOPE...'", "to ask for, in place of what the server proposes", FLAG_TEXT,
         .ptr = &o->scope, .line_only = true},
        {"issuer", "URL", "the authorization server; another one is refused", FLAG_TEXT,
         .ptr = &o->issuer, .line_only = true},
        {"grant", "GRANT", "code (a browser), client, assertion, exchange", FLAG_CHOICE,
         .ptr = &o->grant, .choices = grants, .line_only = true},
        {"assertion", "SOURCE", "the JWT, or for an exchange the ID token", FLAG_TEXT,
         .ptr = &o->assertion, .line_only = true},
        {"idp", "URL", "issuer of the ID token", FLAG_TEXT, .ptr = &o->idp, .line_only = true},
        {"idp-client-id", "ID", "our id there", FLAG_TEXT, .ptr = &o->idp_client_id,
         .line_only = true},
        {"authorize-with", "COMMAND", "opens the address to agree at, which is its last argument",
         FLAG_TEXT, .ptr = &o->browser.command, .line_only = true},
        {"callback-port", "PORT", "of 127.0.0.1, where the browser comes back (any)", FLAG_INT,
         .ptr = &o->browser.port, .min = 1, .max = 65535, .line_only = true},
        {"wait", "TIME", "for the browser to come back (5m)", FLAG_DURATION,
         .ptr = &o->browser.wait_ms, .min = 1, .max = 60 * 60000, .line_only = true},
        {"data", "DIR", "where tokens are kept, in mcp/", FLAG_DIR, .ptr = &o->data,
         .line_only = true},
    };
    *o = (struct oauth){.grant = "code", .browser = {.listener = -1, .wait_ms = WAIT_MS}};
    flags_add(set, rows, ARRAY_LEN(rows));
}

/* ---- what mcp/auth calls ---- */

static int on_open(void *arg, const char *preferred, char **ret_redirect, struct err *e)
{
    return browser_open(&((struct oauth *)arg)->browser, preferred, ret_redirect, e);
}

static int on_browse(void *arg, const char *url, const char *state, char **ret_query, struct err *e)
{
    return browser_go(&((struct oauth *)arg)->browser, url, state, ret_query, e);
}

static int on_load(void *arg, json_t **ret, struct err *e)
{
    return mcp_store_load(((struct oauth *)arg)->path, ret, e);
}

static int on_save(void *arg, const json_t *state, struct err *e)
{
    const struct oauth *o = arg;
    return state ? mcp_store_save(o->path, state, e) : mcp_store_remove(o->path, e);
}

static int on_hold(void *arg, bool soon, struct err *e)
{
    struct oauth *o = arg;
    o->lock = mcp_store_lock(o->path, soon ? SOON_MS : HOLD_MS, e);
    return o->lock < 0 ? o->lock : 0;
}

static void on_release(void *arg)
{
    struct oauth *o = arg;
    close(o->lock);
    o->lock = -1;
}

/* ---- secrets ---- */

static int read_source(struct oauth *o, const char *flag, const char *word, unsigned flags,
                       struct secret *ret, struct err *e)
{
    if (!word)
        return 0;
    AUTO_JSON json_t *config = NULL;
    struct secret_source *source = NULL;
    struct secret_value *value = NULL;
    int r = source_from_word(flag, word, strlen(word), &config, e);
    if (r < 0)
        return r; /* its words name the flag */
    r = secret_source_new(o->sources, config, flags, &source, e);
    if (r == 0)
        r = secret_source_get(source, &value, e);
    if (r == 0) {
        const struct secret *s = secret_value_secret(value);
        r = secret_set(ret, secret_borrow(s), s->len);
    }
    secret_value_unref(value);
    secret_source_unref(source);
    return r < 0 ? err_wrap(e, r, "%s", flag) : 0;
}

static int read_sources(struct oauth *o, struct err *e)
{
    if (!o->client_secret && !o->client_key && !o->assertion)
        return 0;
    o->pool = pool_new("mcp", 1);
    o->sources = secret_sources_new(&(struct secret_options){
        .pool = o->pool, .credentials_directory = getenv("CREDENTIALS_DIRECTORY")});
    int r = read_source(o, "--client-secret", o->client_secret, 0, &o->secret, e);
    if (r == 0)
        r = read_source(o, "--assertion", o->assertion, 0, &o->token, e);
    if (r == 0)
        r = read_source(o, "--client-key", o->client_key, SECRET_LINES, &o->key_text, e);
    if (r == 0 && o->client_key &&
        es256_of_pem(secret_borrow(&o->key_text), o->key_text.len, &o->key, e) < 0)
        r = err_wrap(e, -EINVAL, "--client-key");
    return r;
}

/* ---- opened and closed ---- */

static enum auth_grant grant_of(const char *name)
{
    return str_eq(name, "client")      ? AUTH_GRANT_CLIENT
           : str_eq(name, "assertion") ? AUTH_GRANT_ASSERTION
           : str_eq(name, "exchange")  ? AUTH_GRANT_EXCHANGE
                                       : AUTH_GRANT_CODE;
}

static bool is_asked_for(const struct oauth *o)
{
    return o->client_id || o->client_metadata || o->scope || o->issuer || o->browser.command ||
           grant_of(o->grant) != AUTH_GRANT_CODE;
}

static int make(struct oauth *o, bool person, const char *server, const char *ca_file,
                const char *connect_to, struct err *e)
{
    int r =
        o->client_secret && !o->issuer
            ? err_set(e, -EINVAL,
                      "--client-secret wants --issuer URL, the authorization server that it is of: "
                      "without it the secret would go to whichever one the MCP server names")
            : read_sources(o, e);
    if (r < 0)
        return r;
    const struct mcp_auth_options a = {
        .server = server,
        .grant = grant_of(o->grant),
        .ca_file = ca_file,
        .connect_to = connect_to,
        .request_ms = o->request_ms,
        .issuer = o->issuer,
        .scope = o->scope,
        .client_id = o->client_id,
        .client_secret = &o->secret,
        .client_key = o->key,
        .client_url = o->client_metadata,
        .assertion = &o->token,
        .idp = o->idp,
        .idp_client_id = o->idp_client_id,
        .open = person ? on_open : NULL,
        .browse = person ? on_browse : NULL,
        .load = on_load,
        .save = on_save,
        .hold = on_hold,
        .release = on_release,
        .arg = o,
    };
    return mcp_auth_new(&a, &o->auth, e);
}

int oauth_open(struct oauth *o, enum oauth_use use, const char *server, const char *ca_file,
               const char *connect_to, struct err *e)
{
    AUTO_FREE char *data = cmd_data_dir(o->data);
    AUTO_FREE char *name = auth_server_name(server);
    if (!name) /* `list` and `call` have better words, of the client itself */
        return use == OAUTH_USE ? 0 : err_set(e, -EINVAL, "URL is no http:// or https:// address");
    o->path = mcp_store_path(data, name);
    bool private =
        str_starts(server, "https://") || (http_client_is_loopback(server) && !connect_to);
    bool terminal = private && isatty(0) && isatty(2);
    bool person = use == OAUTH_LOGIN || o->browser.command || terminal;
    bool wanted = use != OAUTH_USE || is_asked_for(o) || terminal;
    AUTO_CLOSE int kept = wanted ? -1 : file_open(o->path, O_RDONLY, NULL);
    if (!wanted && kept == -ENOENT)
        return 0;
    return make(o, person, server, ca_file, connect_to, e);
}

void oauth_close(struct oauth *o)
{
    mcp_auth_free(o->auth);
    browser_done(&o->browser);
    es256_free(o->key);
    secret_done(&o->secret);
    secret_done(&o->token);
    secret_done(&o->key_text);
    if (o->pool) {
        secret_sources_free(o->sources);
        pool_free(o->pool);
    }
    free(o->path);
    *o = (struct oauth){.browser.listener = -1};
}
