/* hashicorp_config.c - what the configuration says about a vault server and a secret on it.
 *
 * Theory of operation: called when a policy is loaded. Addresses are taken apart as little as
 * possible: a scheme, something without a path, a query or user information; what goes behind them
 * is made here, encoded byte by byte. Servers that are described alike are one, with one login.
 * Never suspends; nothing is asked of the server yet. */
#include "base/str.h"
#include "http/client/client.h"
#include "secret/hashicorp.h"
#include "secret/pick.h"

#include <stdio.h>
#include <string.h>

static const char *const members[] = {"address",   "peers",   "namespace", "ca_file",
                                      "plaintext", "auth",    "mount",     "path",
                                      "kv",        "version", NULL};
static const char *const server_members[] = {"address", "peers",     "namespace",
                                             "ca_file", "plaintext", "auth"};

/* *ret is malloc'ed: scheme://host:port in lower case, without a slash at the end. */
static int read_address(const char *text, bool plaintext, char **ret, struct err *e)
{
    size_t n = strlen(text);
    const char *host = str_starts(text, "https://")  ? text + 8
                       : str_starts(text, "http://") ? text + 7
                                                     : NULL;
    if (n > 0 && text[n - 1] == '/')
        n--;
    if (!host || host >= text + n || n > 300 ||
        strcspn(host, "/?#@ \\\"<>") != n - (size_t)(host - text))
        return err_set(e, -EINVAL, /* not quoted: there may be a password in it */
                       "write https://HOST:PORT, without a path; the API is found below /v1");
    if (host == text + 7 && !plaintext && !http_client_is_loopback(text))
        return err_set(e, -EINVAL,
                       "%.64s: http:// would send the token in the clear; use https://, or say "
                       "plaintext: true",
                       host);
    *ret = mem_strndup(text, n);
    for (char *p = *ret; *p; p++)
        *p = str_lower_c(*p);
    return 0;
}

static int read_addresses(struct vault_server *v, const json_t *o, struct err *e)
{
    const char *text;
    const json_t *peers = json_object_get(o, "peers"), *plain = json_object_get(o, "plaintext");
    if (plain && !json_is_boolean(plain))
        return err_set(e, -EINVAL, "plaintext: must be true or false");
    int r = secret_config_text(o, "address", 300, &text, e);
    if (r == 0 && (r = read_address(text, json_is_true(plain), &v->address[0], e)) < 0)
        return err_wrap(e, r, "address");
    if (r < 0 || !peers)
        return r;
    if (!json_is_array(peers) || json_array_size(peers) > HASHICORP_PEERS_MAX)
        return err_set(e, -EINVAL, "peers: must be a list of at most %d addresses",
                       HASHICORP_PEERS_MAX);
    for (size_t i = 0; r == 0 && i < json_array_size(peers); i++) {
        text = json_string_value(json_array_get(peers, i));
        r = read_address(text ? text : "", json_is_true(plain), &v->address[i + 1], e);
    }
    return r < 0 ? err_wrap(e, r, "peers") : 0;
}

static int read_optional(const json_t *o, const char *name, size_t max, char **ret, struct err *e)
{
    const char *text;
    if (!json_object_get(o, name))
        return 0;
    int r = secret_config_text(o, name, max, &text, e);
    if (r == 0)
        *ret = mem_strdup(text);
    return r;
}

static int read_source(struct vault_server *v, const json_t *o, const char *name, unsigned depth,
                       struct secret_source **ret, struct err *e)
{
    const json_t *j = json_object_get(o, name);
    if (!j)
        return err_set(e, -EINVAL, "%s: is missing; a source, as in { file: /run/secrets/%s }",
                       name, name);
    int r = secret_source_new_below(v->all, j, 0, depth + 1, ret, e);
    return r < 0 ? err_wrap(e, r, "%s", name) : 0;
}

static int read_approle(struct vault_server *v, const json_t *o, unsigned depth, struct err *e)
{
    static const char *const known[] = {"mount", "role_id", "secret_id", NULL};
    if (!json_is_object(o))
        return err_set(e, -EINVAL, "must be an object with role_id and secret_id");
    int r = secret_config_only(o, "approle", known, NULL, e);
    if (r == 0)
        r = read_optional(o, "mount", 256, &v->approle_mount, e);
    if (r == 0 && !v->approle_mount)
        v->approle_mount = mem_strdup("approle");
    if (r == 0 && !hashicorp_path_is(v->approle_mount))
        r = err_set(e, -EINVAL, "mount: must be names between single slashes");
    if (r == 0 && json_is_string(json_object_get(o, "role_id")))
        r = read_optional(o, "role_id", 512, &v->role_id, e);
    else if (r == 0)
        r = read_source(v, o, "role_id", depth, &v->role_source, e);
    if (r == 0)
        r = read_source(v, o, "secret_id", depth, &v->secret_source, e);
    return r;
}

static int read_auth(struct vault_server *v, const json_t *o, unsigned depth, struct err *e)
{
    static const char *const known[] = {"token", "approle", NULL};
    const json_t *auth = json_object_get(o, "auth");
    if (!json_is_object(auth) || json_object_size(auth) != 1)
        return err_set(e, -EINVAL,
                       "must be an object with one member, token (a source) or approle");
    int r = secret_config_only(auth, "auth", known, NULL, e);
    if (r < 0)
        return r;
    const json_t *approle = json_object_get(auth, "approle");
    if (!approle)
        return read_source(v, auth, "token", depth, &v->token_source, e);
    r = read_approle(v, approle, depth, e);
    return r < 0 ? err_wrap(e, r, "approle") : 0;
}

static int fill_server(struct vault_server *v, const json_t *o, unsigned depth, struct err *e)
{
    int r = read_addresses(v, o, e);
    if (r == 0)
        r = read_optional(o, "namespace", 256, &v->namespace, e);
    if (r == 0)
        r = read_optional(o, "ca_file", 4000, &v->ca_file, e);
    if (r == 0 && v->ca_file && v->ca_file[0] != '/')
        r = err_set(e, -EINVAL, "ca_file: must be an absolute path");
    if (r == 0 && (r = read_auth(v, o, depth, e)) < 0)
        r = err_wrap(e, r, "auth");
    return r;
}

static int find_server(struct secret_source *s, const json_t *o, struct vault_server **ret,
                       struct err *e)
{
    AUTO_JSON json_t *config = json_new_object();
    for (size_t i = 0; i < ARRAY_LEN(server_members); i++) {
        const json_t *j = json_object_get(o, server_members[i]);
        if (j)
            json_put(config, server_members[i], json_deep_copy(j));
    }
    LIST_FOREACH (v, &s->all->servers, struct vault_server, node) {
        if (json_equal(v->config, config)) {
            v->refs++;
            *ret = v;
            return 0;
        }
    }
    struct vault_server *v = mem_new(struct vault_server);
    v->refs = 1;
    v->all = s->all;
    v->config = json_incref(config);
    fmutex_init(&v->login_lock);
    waitq_init(&v->keeper_gone);
    list_push_back(&s->all->servers, &v->node);
    *ret = v;
    return fill_server(v, o, s->depth, e);
}

static int read_path(struct vault_secret *x, const json_t *o, int64_t kv, struct err *e)
{
    const char *path, *mount = "secret";
    int r = secret_config_text(o, "path", 512, &path, e);
    if (r == 0 && json_object_get(o, "mount"))
        r = secret_config_text(o, "mount", 256, &mount, e);
    if (r < 0)
        return r;
    if (!hashicorp_path_is(path) || !hashicorp_path_is(mount))
        return err_set(e, -EINVAL, "mount and path: must be names between single slashes");
    int64_t version = json_get_int(o, "version", 0);
    if (json_object_get(o, "version") && (version < 1 || version > UINT32_MAX || kv != 2))
        return err_set(e, -EINVAL, "version: must be a number from 1, with kv: 2");
    char text[HASHICORP_PATH_MAX] = "/v1/", query[40] = "";
    bool fits = hashicorp_url_add(text, sizeof(text), mount) &&
                hashicorp_url_add(text, sizeof(text), kv == 2 ? "/data/" : "/") &&
                hashicorp_url_add(text, sizeof(text), path);
    if (!fits)
        return err_set(e, -EINVAL, "path: is too long");
    if (version)
        (void)snprintf(query, sizeof(query), "?version=%lld", (long long)version);
    x->path = mem_printf("%s%s", text, query);
    return 0;
}

/* Before the names of json_key those under which the API hands the secret out. */
static int key_below_data(struct secret_source *s, int64_t kv, struct err *e)
{
    if (!s->key)
        return err_set(e, -EINVAL, "json_key: is missing; the member of the secret that is wanted");
    size_t n = 0, more = kv == 2 ? 2 : 1;
    while (s->key[n])
        n++;
    if (n + more > SECRET_PATH_MAX)
        return err_set(e, -EINVAL, "json_key: has too many names");
    for (size_t i = n; i > 0; i--)
        s->key[i - 1 + more] = s->key[i - 1];
    for (size_t i = 0; i < more; i++)
        s->key[i] = mem_strdup("data");
    return 0;
}

static int open_secret(struct secret_source *s, const json_t *o, struct err *e)
{
    const json_t *j = json_object_get(o, "kv");
    int64_t kv = j ? json_integer_value(j) : 2;
    if (!json_is_object(o))
        return err_set(e, -EINVAL, "must be an object with address, auth and path");
    struct vault_secret *x = mem_new(struct vault_secret);
    s->state = x;
    int r = secret_config_only(o, "hashicorp", members, NULL, e);
    if (r == 0 && kv != 1 && kv != 2)
        r = err_set(e, -EINVAL, "kv: must be 1 or 2");
    if (r == 0)
        r = find_server(s, o, &x->server, e);
    if (r == 0)
        r = read_path(x, o, kv, e);
    return r;
}

static int hashicorp_open(struct secret_source *s, const json_t *config, struct err *e)
{
    const json_t *o = json_object_get(config, "hashicorp");
    int r = open_secret(s, o, e);
    if (r < 0)
        return err_wrap(e, r, "hashicorp");
    const struct vault_secret *x = s->state;
    s->place = mem_printf("secret %s of %s", x->path + strlen("/v1/"), x->server->address[0]);
    return key_below_data(s, json_get_int(o, "kv", 2), e);
}

static void hashicorp_close(struct secret_source *s)
{
    struct vault_secret *x = s->state;
    if (!x)
        return;
    hashicorp_server_unref(x->server);
    free(x->path);
    free(x);
}

static const char *const options[] = {"timeout", NULL};

const struct secret_kind secret_kind_hashicorp = {
    .name = "hashicorp",
    .options = options,
    .shared = true,
    .ttl_ms = 300000,
    .timeout_ms = 10000,
    .open = hashicorp_open,
    .read = hashicorp_read,
    .close = hashicorp_close,
};
