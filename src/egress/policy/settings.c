/* settings.c - the fields of a policy that are no lists of rules or credentials.
 *
 * Called by policy.c at load, once. The author of the policy controls everything. A URL with a user
 * in it is refused: a password would stand in the policy, and in the hash that audit records show. */
#include "egress/policy/settings.h"

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "egress/policy/fields.h"
#include "egress/policy/rule.h"

#define NO_PROXY_MAX    1024
#define NAMESERVERS_MAX 8

static int read_url(const struct place *at, struct policy_proxy *x)
{
    const char *s;
    struct err why = {0};
    int r = place_text(at, 300, &s);
    if (r < 0)
        return r;
    x->tls = str_starts(s, "https://");
    if (!x->tls && !str_starts(s, "http://"))
        return place_fail(at, "http://host:port or https://host:port is expected");
    s += x->tls ? 8 : 7;
    size_t n = strlen(s);
    if (n && s[n - 1] == '/')
        n--;
    if (memchr(s, '@', n))
        return place_fail(at, "a URL names no user; give \"user\" and a source for \"password\"");
    if (host_parse_authority(s, n, HOST_LITERALS | HOST_UNICODE, &x->host, &x->port, &why) < 0)
        return place_wrap(at, &why);
    if (!x->port)
        return place_fail(at, "a port is expected: proxies have no usual one");
    return 0;
}

static int read_proxy_user(const struct place *at, struct policy_proxy *x)
{
    struct place user = place_member(at, "user"), password = place_member(at, "password");
    const char *name = NULL;
    int r = user.value ? place_text(&user, 255, &name) : 0;
    if (r < 0)
        return r;
    if (name && strchr(name, ':'))
        return place_fail(&user, "a user's name has no colon (RFC 7617 2)");
    if (!name != !password.value)
        return place_fail(at, "\"user\" and \"password\" come together");
    if (!name)
        return 0;
    if (!json_is_object(password.value))
        return place_fail(&password, "the source of a secret is expected, as {env: NAME}");
    x->user = mem_strdup(name);
    x->password = json_incref((json_t *)(uintptr_t)password.value);
    return 0;
}

static int read_proxy(const struct place *at, struct policy *p)
{
    static const char *const when[] = {"never", "unresolved", "always", NULL};
    if (!at->value)
        return 0;
    p->proxy = mem_new(struct policy_proxy);
    if (json_is_string(at->value))
        return read_url(at, p->proxy);
    int r = place_object(at, FIELD_PROXY);
    struct place url = place_member(at, "url"), names = place_member(at, "names");
    unsigned choice = 0;
    if (r == 0)
        r = read_url(&url, p->proxy);
    if (r == 0)
        r = place_choice(&names, when, &choice);
    p->proxy->names = (enum policy_proxy_names)choice;
    return r < 0 ? r : read_proxy_user(at, p->proxy);
}

static int read_no_proxy(const struct place *list, struct policy *p)
{
    size_t n;
    if (!list->value)
        return 0;
    int r = place_list(list, NO_PROXY_MAX, &n);
    if (r < 0)
        return r;
    p->direct_hosts = mem_array(n + 1, sizeof(*p->direct_hosts));
    p->direct_networks.items = mem_array(n + 1, sizeof(*p->direct_networks.items));
    for (size_t i = 0; i < n; i++) {
        struct place at = place_item(list, i);
        const char *s;
        struct err why = {0};
        r = place_text(&at, 300, &s);
        if (r < 0)
            return r;
        if (cidr_parse(s, strlen(s), &p->direct_networks.items[p->direct_networks.n], &why) == 0)
            p->direct_networks.n++;
        else if (host_pattern_parse(s, strlen(s), &p->direct_hosts[p->n_direct_hosts], &why) == 0)
            p->n_direct_hosts++;
        else
            return place_wrap(&at, &why);
    }
    return 0;
}

/* *ret is malloc'ed; left alone when the field is not there. */
static int read_path(const struct place *at, char **ret)
{
    const char *s;
    if (!at->value)
        return 0;
    int r = place_text(at, 4095, &s);
    if (r == 0)
        *ret = mem_strdup(s);
    return r;
}

/* What `worker` and a service's unit think of as "here" are two directories. */
static int read_ca_file(const struct place *at, char **ret)
{
    int r = read_path(at, ret);
    return r == 0 && *ret && (*ret)[0] != '/' ? place_fail(at, "must be an absolute path") : r;
}

static int read_otlp(const struct place *at, struct policy *p)
{
    if (!at->value)
        return 0;
    int r = place_object(at, FIELD_OTLP);
    struct place endpoint = place_member(at, "endpoint"), ca = place_member(at, "ca_file");
    struct place headers = place_member(at, "headers");
    const char *name;
    json_t *source;
    if (r < 0)
        return r;
    if (!endpoint.value)
        return place_fail(&endpoint, "is missing");
    p->otlp = mem_new(struct policy_otlp);
    r = read_path(&endpoint, &p->otlp->endpoint);
    if (r == 0)
        r = read_ca_file(&ca, &p->otlp->ca_file);
    if (r < 0 || !headers.value)
        return r;
    if (!json_is_object(headers.value) || json_object_size(headers.value) > POLICY_OTLP_HEADERS_MAX)
        return place_fail(&headers,
                          "at most %d headers are expected, as {authorization: {file: PATH}}",
                          POLICY_OTLP_HEADERS_MAX);
    json_object_foreach ((json_t *)(uintptr_t)headers.value, name, source) {
        struct place header = place_member(&headers, name);
        if (!json_is_object(source))
            return place_fail(&header, "the source of a secret is expected, as {file: PATH}");
    }
    p->otlp->headers = json_incref((json_t *)(uintptr_t)headers.value);
    return 0;
}

static int read_audit(const struct place *at, struct policy *p)
{
    if (!at->value)
        return 0;
    int r = place_object(at, FIELD_AUDIT);
    struct place file = place_member(at, "file"), otlp = place_member(at, "otlp");
    if (r == 0 && !file.value)
        return place_fail(&file, "is missing");
    if (r == 0)
        r = read_path(&file, &p->audit_file);
    return r < 0 ? r : read_otlp(&otlp, p);
}

/* To the one form that resolvers take: "ADDRESS:PORT,ADDRESS:PORT". */
static int read_nameservers(const struct place *list, struct policy *p)
{
    AUTO(buf) out = BUF_INIT(1024);
    size_t n;
    if (!list->value)
        return 0;
    int r = place_list(list, NAMESERVERS_MAX, &n);
    for (size_t i = 0; r >= 0 && i < n; i++) {
        struct place at = place_item(list, i);
        struct err why = {0};
        struct host h;
        uint16_t port;
        const char *s;
        r = place_text(&at, 64, &s);
        if (r < 0)
            return r;
        if (host_parse_authority(s, strlen(s), HOST_LITERALS, &h, &port, &why) < 0)
            return place_wrap(&at, &why);
        if (h.kind == HOST_NAME)
            return place_fail(&at, "an address is expected: names need a name server");
        (void)buf_addf(&out, "%s%s:%u", i ? "," : "", h.text, port ? port : 53);
    }
    if (r >= 0 && n == 0)
        return place_fail(list, "at least one is expected");
    if (r >= 0)
        p->nameservers = mem_strdup(buf_str(&out));
    return r;
}

static int read_choices(const struct place *section, struct policy_settings *s)
{
    static const char *const modes[] = {"enforce", "observe", NULL};
    static const char *const dns[] = {"friendly", "strict", NULL};
    static const char *const private[] = {"deny", "allow", NULL};
    struct place m = place_member(section, "mode"), d = place_member(section, "dns");
    struct place n = place_member(section, "private_networks");
    unsigned mode = 0, names = 0, networks = 0;
    int r = place_choice(&m, modes, &mode);
    if (r == 0)
        r = place_choice(&d, dns, &names);
    if (r == 0)
        r = place_choice(&n, private, &networks);
    s->observe = mode == 1;
    s->dns_strict = names == 1;
    s->private_networks = networks == 1 ? POLICY_PRIVATE_ALLOW : POLICY_PRIVATE_DENY;
    return r;
}

int settings_read(const struct place *section, struct policy *p)
{
    struct policy_settings *s = &p->settings;
    struct place inspect = place_member(section, "inspect");
    struct place ask = place_member(section, "ask_timeout"), ca = place_member(section, "ca_file");
    struct place proxy = place_member(section, "upstream_proxy");
    struct place direct = place_member(section, "no_proxy"), audit = place_member(section, "audit");
    struct place servers = place_member(section, "nameservers");
    s->ask_timeout_ms = 300000;
    int r = read_choices(section, s);
    if (r == 0)
        r = place_bool(&inspect, &s->inspect);
    if (r == 0)
        r = place_duration(&ask, &s->ask_timeout_ms);
    if (r == 0)
        r = read_proxy(&proxy, p);
    if (r == 0)
        r = read_no_proxy(&direct, p);
    if (r == 0)
        r = read_ca_file(&ca, &p->ca_file);
    if (r == 0)
        r = read_audit(&audit, p);
    if (r == 0)
        r = read_nameservers(&servers, p);
    s->proxy = p->proxy;
    s->otlp = p->otlp;
    s->ca_file = p->ca_file;
    s->audit_file = p->audit_file;
    s->nameservers = p->nameservers;
    return r;
}
