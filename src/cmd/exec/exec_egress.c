/* exec_egress.c - from flags to a policy.
 *
 *   --allow HOST[:PORT][/PATH]    a rule; with a path, requests below it only
 *   --secret NAME=SOURCE@HOST     a credential, and a rule for its host unless one is about it
 *
 * Both add to --egress FILE.
 *
 * Everything here is the caller's own; a policy is checked by egress as any other, so that what a flag
 * may say has one definition. SOURCE is what line/source.h takes. */
#include "cmd/exec/exec_egress.h"

#include <string.h>

#include "base/err.h"
#include "base/host.h"
#include "base/str.h"
#include "cmd/line/source.h"

/* "HOST", "HOST:PORT", "[v6]:PORT": ends at `n`. */
static int read_host(const char *flag, const char *text, size_t n, char **ret_host,
                     uint16_t *ret_port, struct err *e)
{
    const char *colon = n > 0 && text[0] == '[' ? NULL : memrchr(text, ':', n);
    if (n > 0 && text[0] == '[') {
        const char *close = memchr(text, ']', n);
        colon = close && (size_t)(close - text) + 1 < n ? close + 1 : NULL;
        if (colon && *colon != ':')
            colon = NULL; /* then it is no host at all */
    }
    const size_t host_n = colon ? (size_t)(colon - text) : n;
    struct host_pattern pattern;
    struct err why;
    *ret_port = 0;
    int r = host_pattern_parse(text, host_n, &pattern, &why);
    if (r >= 0 && colon)
        r = host_parse_port(colon + 1, n - host_n - 1, ret_port, &why);
    if (r < 0)
        return err_set(e, -EINVAL, "%s %.*s: write HOST or HOST:PORT, as api.example.com:443: %s",
                       flag, (int)n, text, why.msg);
    *ret_host = mem_strndup(text, host_n);
    return 0;
}

static json_t *rule_of(const char *host, uint16_t port)
{
    json_t *rule = json_new_object();
    json_put_str(rule, "host", host);
    if (port)
        json_put_int(rule, "port", port);
    return rule;
}

static json_t *list_in(json_t *o, const char *name)
{
    json_t *list = json_object_get(o, name);
    if (!list) {
        list = json_array();
        json_put(o, name, list);
    }
    return list;
}

static bool list_has(const json_t *ports, uint16_t port)
{
    size_t i;
    json_t *p;
    json_array_foreach ((json_t *)(uintptr_t)ports, i, p)
        if (json_integer_value(p) == port)
            return true;
    return false;
}

/* Whether there is a host that both are about. */
static bool overlap(const struct host_pattern *a, const struct host_pattern *b)
{
    if (a->kind == HOST_ANY || b->kind == HOST_ANY)
        return (a->kind == HOST_ANY || a->host.kind == HOST_NAME) &&
               (b->kind == HOST_ANY || b->host.kind == HOST_NAME);
    return host_eq(&a->host, &b->host)
               ? (a->kind == HOST_EXACT) == (b->kind == HOST_EXACT)
               : host_pattern_matches(a, &b->host) || host_pattern_matches(b, &a->host);
}

/* Whether a rule is about this host already, or about some below a wildcard. Then no other is added: it may
 * say less than all, and a credential is no wish for more. `port` 0: whichever it names. Hosts are
 * read as the policy reads them; a rule that cannot be read is refused there. */
static bool has_rule(const json_t *allow, const char *host, uint16_t port)
{
    struct host_pattern wanted, of_rule;
    struct err why;
    if (host_pattern_parse(host, strlen(host), &wanted, &why) < 0)
        return false;
    size_t i;
    json_t *rule;
    const bool usual = port == 80 || port == 443; /* those of a rule without any */
    json_array_foreach ((json_t *)(uintptr_t)allow, i, rule) {
        const char *text =
            json_is_string(rule) ? json_string_value(rule) : json_get_str(rule, "host");
        const int64_t one = json_get_int(rule, "port", 0);
        const json_t *ports = json_object_get(rule, "ports");
        if (text && host_pattern_parse(text, strlen(text), &of_rule, &why) >= 0 &&
            overlap(&wanted, &of_rule) &&
            (port == 0 || one == port || list_has(ports, port) || (one == 0 && !ports && usual)))
            return true;
    }
    return false;
}

static int add_allow(json_t *policy, const char *text, struct err *e)
{
    if (strstr(text, "://"))
        return err_set(e, -EINVAL,
                       "--allow %s: write HOST or HOST:PORT, as api.example.com:443, and no URL",
                       text);
    const char *slash = strchr(text, '/');
    const size_t n = slash ? (size_t)(slash - text) : strlen(text);
    AUTO_FREE char *host = NULL;
    uint16_t port;
    int r = read_host("--allow", text, n, &host, &port, e);
    if (r < 0)
        return r;
    json_t *rule = rule_of(host, port);
    if (slash) {
        json_t *paths = json_array();
        json_array_append_new(paths, json_str_lossy(slash, strlen(slash)));
        json_put(rule, "paths", paths);
    }
    json_array_append_new(list_in(policy, "allow"), rule);
    return 0;
}

/* The value of a source may hold "=" and "@": the name ends at the first, the host begins behind the
 * last. What stands in between is not repeated in errors: somebody may have written a secret there. */
static int add_secret(json_t *policy, const char *text, struct err *e)
{
    const char *eq = strchr(text, '='), *at = strrchr(text, '@');
    if (!eq || eq == text || !at || at <= eq + 1)
        return err_set(e, -EINVAL,
                       "--secret: write NAME=SOURCE@HOST, as TOKEN=env:TOKEN@api.example.com");
    AUTO_FREE char *name = mem_strndup(text, (size_t)(eq - text));
    AUTO_FREE char *host = NULL;
    uint16_t port;
    json_t *source;
    int r = read_host("--secret: host", at + 1, strlen(at + 1), &host, &port, e);
    if (r >= 0)
        r = source_from_word("--secret", eq + 1, (size_t)(at - eq) - 1, &source, e);
    if (r < 0)
        return r;
    json_t *credential = json_new_object(), *hosts = json_array();
    json_put_str(credential, "name", name);
    json_put(credential, "source", source);
    json_array_append_new(hosts, json_str_lossy(at + 1, strlen(at + 1)));
    json_put(credential, "hosts", hosts);
    json_array_append_new(list_in(policy, "credentials"), credential);
    json_t *allow = list_in(policy, "allow");
    if (!has_rule(allow, host, port))
        json_array_append_new(allow, rule_of(host, port));
    return 0;
}

int exec_egress_policy(const struct flag_list *allow, const struct flag_list *secrets,
                       json_t **policy, struct err *e)
{
    if (!allow->n && !secrets->n)
        return 0;
    if (!*policy)
        *policy = json_new_object();
    int r = 0;
    for (size_t i = 0; r >= 0 && i < allow->n; i++)
        r = add_allow(*policy, allow->value[i], e);
    for (size_t i = 0; r >= 0 && i < secrets->n; i++)
        r = add_secret(*policy, secrets->value[i], e);
    return r;
}
