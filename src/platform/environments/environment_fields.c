/* environment_fields.c - environments, checked and normalised.
 *
 * Called with parsed request bodies, on the loop thread for a create and inside the transaction for
 * an update (which is relative to what is stored). Everything here is the caller's. A cloud
 * environment is a record only: its sessions are refused where they are made. The stored form has
 * every default written out. */
#include "platform/environments/environment_fields.h"

#include "base/str.h"
#include "platform/api/metadata.h"
#include "platform/api/validate.h"

#include <string.h>

#define MAX_NAME        256
#define MAX_DESCRIPTION 2048
#define MAX_PACKAGES    256
#define MAX_HOSTS       256

static const char *const managers[] = {"apt", "cargo", "gem", "go", "npm", "pip"};

/* A list of non-empty strings; `fallback` (borrowed) when absent or null. */
static json_t *strings(struct v *v, const char *key, size_t max_items, const json_t *fallback)
{
    const json_t *list = v_array(v, key, V_NULLABLE, max_items);
    if (!list)
        return json_is_array(fallback) ? json_deep_copy(fallback) : json_array();
    size_t i;
    json_t *item;
    json_array_foreach ((json_t *)(uintptr_t)list, i, item) {
        size_t n = json_string_length(item);
        if (!json_is_string(item) || n == 0 || n > 256)
            v_fail(v, key, "entry %zu must be a string of 1 to 256 characters", i);
    }
    return json_deep_copy(list);
}

/* A host name, or "*." and a host name: no scheme, port or path. */
static bool host_ok(const char *host)
{
    const char *p = str_starts(host, "*.") ? host + 2 : host;
    size_t n = strlen(p);
    return n > 0 && p[0] != '.' && p[n - 1] != '.' && !strstr(p, "..") &&
           strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == n;
}

static json_t *networking(struct v *config, const json_t *before)
{
    static const char *const types[] = {"unrestricted", "limited", NULL};
    struct v n = v_sub(config, "networking", V_NULLABLE);
    if (!n.o)
        return before ? json_deep_copy(before) : json_typed("unrestricted");
    const char *type = v_enum(&n, "type", V_REQUIRED, types);
    json_t *out = json_typed(type ? type : "unrestricted");
    if (str_eq(type, "limited")) {
        const json_t *old = str_eq(json_get_str(before, "type"), "limited") ? before : NULL;
        bool mcp = json_get_bool(old, "allow_mcp_servers", false);
        bool packages = json_get_bool(old, "allow_package_managers", false);
        json_put_bool(out, "allow_mcp_servers", v_bool(&n, "allow_mcp_servers", V_NULLABLE, mcp));
        json_put_bool(out, "allow_package_managers",
                      v_bool(&n, "allow_package_managers", V_NULLABLE, packages));
        json_t *hosts =
            strings(&n, "allowed_hosts", MAX_HOSTS, json_object_get(old, "allowed_hosts"));
        size_t i;
        json_t *h;
        json_array_foreach (hosts, i, h)
            if (json_is_string(h) && !host_ok(json_string_value(h)))
                v_fail(&n, "allowed_hosts",
                       "\"%s\" is not a host name or *.host name (no scheme, port or path)",
                       v_clip(json_string_value(h)));
        json_put(out, "allowed_hosts", hosts);
    }
    v_end(&n);
    return out;
}

static json_t *packages(struct v *config, const json_t *before)
{
    static const char *const types[] = {"packages", NULL};
    struct v p = v_sub(config, "packages", V_NULLABLE);
    json_t *out = json_typed("packages");
    (void)v_enum(&p, "type", V_OPTIONAL, types);
    for (size_t i = 0; i < ARRAY_LEN(managers); i++)
        json_put(out, managers[i],
                 strings(&p, managers[i], MAX_PACKAGES, json_object_get(before, managers[i])));
    v_end(&p);
    return out;
}

static bool any_package(const json_t *list)
{
    for (size_t i = 0; i < ARRAY_LEN(managers); i++)
        if (json_array_size(json_object_get(list, managers[i])) > 0)
            return true;
    return false;
}

static json_t *cloud(struct v *config, const json_t *before)
{
    json_t *out = json_typed("cloud");
    json_t *net = networking(config, json_object_get(before, "networking"));
    json_t *pkg = packages(config, json_object_get(before, "packages"));
    if (any_package(pkg) && str_eq(json_get_str(net, "type"), "limited") &&
        !json_get_bool(net, "allow_package_managers", false))
        v_fail(config, "packages",
               "needs networking.allow_package_managers to be true under limited networking");
    json_put(out, "networking", net);
    json_put(out, "packages", pkg);
    return out;
}

/* The stored config; `before` NULL on create. NULL when v fails. */
static json_t *config_of(struct v *v, const json_t *before)
{
    static const char *const types[] = {"cloud", "self_hosted", NULL};
    struct v c = v_sub(v, "config", V_NULLABLE);
    if (!c.o)
        return before ? json_deep_copy(before) : cloud(&c, NULL);
    const char *type = v_enum(&c, "type", V_REQUIRED, types);
    const char *was = json_get_str(before, "type");
    if (type && was && !str_eq(type, was)) {
        v_fail(&c, "type", "is \"%s\" and cannot be changed; create another environment", was);
        v->r->details = json_object();
        json_put_str(v->r->details, "error_code", "invalid_config_type_change");
    }
    if (v_failed(v))
        return NULL;
    json_t *out;
    if (str_eq(type, "cloud")) {
        out = cloud(&c, before);
    } else {
        out = json_typed("self_hosted");
        if (v_has(&c, "networking") || v_has(&c, "packages")) {
            const char *key = v_has(&c, "networking") ? "networking" : "packages";
            v_fail(&c, key, "is for cloud environments only; leave it out for a self_hosted one");
        }
    }
    v_end(&c);
    return out;
}

static const char *scope_of(struct v *v, const char *fallback)
{
    static const char *const scopes[] = {"organization", "account", NULL};
    const char *scope = v_enum(v, "scope", V_NULLABLE, scopes);
    if (str_eq(scope, "account"))
        v_fail(v, "scope",
               "this server has one organization and no accounts; use \"organization\" or leave it "
               "out");
    return scope ? scope : fallback;
}

json_t *environment_fields_create(const json_t *body, struct refusal *r)
{
    AUTO_JSON json_t *out = json_object(), *metadata = json_object();
    AUTO_JSON json_t *empty = body ? NULL : json_object();
    struct v v = v_object(r, body ? body : empty, "");
    json_put_str(out, "name", v_str(&v, "name", V_REQUIRED, 1, MAX_NAME));
    const char *description = v_str(&v, "description", V_NULLABLE, 0, MAX_DESCRIPTION);
    json_put_str(out, "description", description ? description : "");
    AUTO_JSON json_t *config = config_of(&v, NULL);
    v_not_null(&v, "metadata");
    const json_t *patch = metadata_coded(&v, "metadata");
    const char *scope = scope_of(&v, "organization");
    v_end(&v);
    if (v_failed(&v) || metadata_merge(metadata, patch, false, r) < 0)
        return NULL;
    json_put(out, "config", TAKE(config));
    json_put(out, "metadata", TAKE(metadata));
    json_put_str(out, "scope", scope);
    return TAKE(out);
}

json_t *environment_fields_update(const json_t *current, const json_t *body, struct refusal *r)
{
    AUTO_JSON json_t *out = json_deep_copy(current);
    AUTO_JSON json_t *empty = body ? NULL : json_object();
    struct v v = v_object(r, body ? body : empty, "");
    const char *name = v_str(&v, "name", V_NULLABLE, 1, MAX_NAME);
    if (name)
        json_put_str(out, "name", name);
    const char *description = v_str(&v, "description", V_NULLABLE, 0, MAX_DESCRIPTION);
    if (v_has(&v, "description"))
        json_put_str(out, "description", description);
    AUTO_JSON json_t *config = config_of(&v, json_object_get(current, "config"));
    v_not_null(&v, "metadata");
    const json_t *patch = metadata_coded(&v, "metadata");
    json_put_str(out, "scope", scope_of(&v, json_get_str(current, "scope")));
    v_end(&v);
    if (v_failed(&v) || metadata_merge(json_object_get(out, "metadata"), patch, true, r) < 0)
        return NULL;
    json_put(out, "config", TAKE(config));
    return TAKE(out);
}
