/* policy.c - from a document to a compiled policy.
 *
 * Called at start and on reload, on any fiber; nothing suspends. The author of the policy controls
 * the document. Everything is checked before anything is used: a policy that does not load as a
 * whole is none, and the one before stays. What comes out never changes, so connections may keep
 * pointers into it as long as they keep a reference. */
#include "egress/policy/policy.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "base/yaml.h"
#include "egress/policy/compiled.h"
#include "egress/policy/credential.h"
#include "egress/policy/fields.h"
#include "egress/policy/fingerprint.h"
#include "egress/policy/rule.h"
#include "egress/policy/selector.h"
#include "egress/policy/settings.h"

static struct policy *policy_alloc(void)
{
    struct policy *p = mem_new(struct policy);
    p->refs = 1;
    p->rules = p;
    return p;
}

static int read_rules(const struct place *list, bool deny, struct policy_rule **ret, size_t *ret_n)
{
    size_t n;
    if (!list->value)
        return 0;
    int r = place_list(list, POLICY_RULES_MAX, &n);
    if (r < 0)
        return r;
    *ret = mem_array(n + 1, sizeof(**ret));
    for (size_t i = 0; i < n; i++) {
        struct place item = place_item(list, i);
        r = rule_read(&item, deny, &(*ret)[(*ret_n)++]);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Rules of one host are looked through in order, so there is a most. */
static int check_bucket(const struct place *list, const struct index_bucket *b)
{
    if (b->n <= POLICY_RULES_OF_HOST_MAX)
        return 0;
    const char *host = b->host->kind == HOST_ANY ? "\"*\"" : b->host->host.text;
    return place_fail(list, "%.200s has %u rules, at most %u are allowed", host, b->n,
                      POLICY_RULES_OF_HOST_MAX);
}

static int index_rules(const struct place *list, const struct policy_rule *rules, size_t n,
                       struct index *ret)
{
    AUTO_FREE struct index_entry *entries = mem_array(n + 1, sizeof(*entries));
    for (size_t i = 0; i < n; i++)
        entries[i] = (struct index_entry){.host = rules[i].host, .what = &rules[i]};
    index_build(ret, entries, n);
    int r = check_bucket(list, &ret->any);
    for (uint32_t i = 0; r == 0 && i < ret->exact.n; i++)
        r = check_bucket(list, &ret->exact.buckets[i]);
    for (uint32_t i = 0; r == 0 && i < ret->below.n; i++)
        r = check_bucket(list, &ret->below.buckets[i]);
    return r;
}

static void index_credentials(struct policy *p)
{
    size_t n = 0, k = 0;
    for (size_t i = 0; i < p->n_credentials; i++)
        n += p->credentials[i]->n_hosts;
    AUTO_FREE struct index_entry *entries = mem_array(n + 1, sizeof(*entries));
    for (size_t i = 0; i < p->n_credentials; i++)
        for (size_t h = 0; h < p->credentials[i]->n_hosts; h++)
            entries[k++] = (struct index_entry){.host = &p->credentials[i]->hosts[h].host,
                                                .what = p->credentials[i],
                                                .detail = &p->credentials[i]->hosts[h]};
    index_build(&p->bound, entries, n);
}

/* Appends what the list says to p->credentials, which has the borrowed ones. */
static int read_credentials(const struct place *list, struct policy *p)
{
    size_t n = 0;
    int r = list->value ? place_list(list, POLICY_CREDENTIALS_MAX, &n) : 0;
    if (r < 0)
        return r;
    size_t before = p->base ? p->base->n_credentials : 0;
    if (before + n > POLICY_CREDENTIALS_MAX)
        return place_fail(list, "at most %d credentials are allowed", POLICY_CREDENTIALS_MAX);
    p->credentials = mem_array(before + n + 1, sizeof(struct policy_credential *));
    for (size_t i = 0; i < before; i++)
        p->credentials[i] = p->base->credentials[i];
    p->n_credentials = p->n_borrowed = before;
    for (size_t i = 0; i < n; i++) {
        struct place item = place_item(list, i);
        struct policy_credential *c = mem_new(struct policy_credential);
        p->credentials[p->n_credentials++] = c;
        r = credential_read(&item, c);
        if (r < 0)
            return r;
    }
    r = credentials_check(list, p->credentials, p->n_credentials);
    if (r == 0)
        index_credentials(p);
    return r;
}

static void mark_ports(unsigned char *set, const uint16_t *ports, size_t n)
{
    for (size_t i = 0; i < n; i++)
        set[ports[i]] = 1;
}

static int collect_ports(struct policy *p, const char *at, struct err *e)
{
    AUTO_FREE unsigned char *set = mem_array(65536, 1);
    set[80] = set[443] = 1;
    for (size_t i = 0; i < p->rules->n_allow; i++)
        mark_ports(set, selector_ports(&p->rules->allow[i].on), p->rules->allow[i].on.n_ports);
    for (size_t i = 0; i < p->n_credentials; i++)
        for (size_t h = 0; h < p->credentials[i]->n_hosts; h++)
            if (p->credentials[i]->hosts[h].port)
                set[p->credentials[i]->hosts[h].port] = 1;
    if (set[POLICY_PORT_DNS] || set[POLICY_PORT_PROXY])
        return err_set(e, -EINVAL, "%s: port %d cannot be reached: %s of each sandbox is there", at,
                       set[POLICY_PORT_DNS] ? POLICY_PORT_DNS : POLICY_PORT_PROXY,
                       set[POLICY_PORT_DNS] ? "the name server" : "the proxy");
    size_t n = 0;
    for (size_t i = 1; i < 65536; i++)
        n += set[i];
    if (n > POLICY_PORTS_MAX)
        return err_set(
            e, -EINVAL,
            "%s: rules and credentials name %zu ports, 80 and 443 included; a sandbox can "
            "listen on %u at most",
            at, n, POLICY_PORTS_MAX);
    p->ports = mem_array(n, sizeof(*p->ports));
    for (uint32_t i = 1; i < 65536; i++)
        if (set[i])
            p->ports[p->n_ports++] = (uint16_t)i;
    return 0;
}

static int read_section(const struct place *section, struct policy *p)
{
    int r = place_object(section, FIELD_EGRESS);
    struct place allow = place_member(section, "allow"), deny = place_member(section, "deny");
    struct place credentials = place_member(section, "credentials");
    if (r == 0)
        r = read_rules(&allow, false, &p->allow, &p->n_allow);
    if (r == 0)
        r = index_rules(&allow, p->allow, p->n_allow, &p->allow_index);
    if (r == 0)
        r = read_rules(&deny, true, &p->deny, &p->n_deny);
    if (r == 0)
        r = index_rules(&deny, p->deny, p->n_deny, &p->deny_index);
    if (r == 0)
        r = read_credentials(&credentials, p);
    if (r == 0)
        r = settings_read(section, p);
    return r;
}

int policy_new(const json_t *section, const char *at, const struct map *lines, struct policy **ret,
               struct err *e)
{
    struct document doc = {.fields = &policy_fields, .lines = lines, .e = e};
    json_t *nothing = json_object();
    struct place root = place_root(&doc, at, json_is_null(section) ? nothing : section);
    struct policy *p = policy_alloc();
    int r = read_section(&root, p);
    if (r == 0)
        r = collect_ports(p, at, e);
    if (r == 0)
        fingerprint(NULL, root.value, p->hash);
    json_decref(nothing);
    if (r < 0)
        policy_unref(p);
    else
        *ret = p;
    return r;
}

int policy_with_vault(const struct policy *p, const json_t *list, struct policy **ret,
                      struct err *e)
{
    struct document doc = {.fields = &policy_fields, .e = e};
    struct place at = place_root(&doc, "vault", list);
    struct policy *with = policy_alloc();
    with->base = policy_ref((struct policy *)(uintptr_t)p);
    with->rules = p->rules;
    with->settings = p->settings;
    int r = read_credentials(&at, with);
    if (r == 0)
        r = collect_ports(with, "vault", e);
    if (r == 0)
        fingerprint(p->hash, list, with->hash);
    if (r < 0)
        policy_unref(with);
    else
        *ret = with;
    return r;
}

/* Beside `egress` a configuration file has other settings. What is a policy's own, a slip of the
 * indentation, would not count there. `audit` is both. */
static int check_beside(const json_t *document, struct err *e)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)document, key, value)
        if (field_find(&policy_fields, FIELD_EGRESS, key) && strcmp(key, "audit") != 0)
            return err_set(e, -E_PARSE, "\"%.32s\" stands beside \"egress\", and belongs into it",
                           key);
    return 0;
}

int policy_parse(const char *text, size_t n, struct policy **ret, struct err *e)
{
    AUTO(map) lines = {0};
    AUTO_JSON json_t *document = NULL;
    size_t from = 0;
    while (from < n &&
           (text[from] == ' ' || text[from] == '\n' || text[from] == '\r' || text[from] == '\t'))
        from++;
    bool json = from < n && text[from] == '{';
    map_init(&lines);
    int r = json ? json_parse(text, n, &document, e)
                 : yaml_parse_json_lines(text, n, &document, &lines, e);
    if (r < 0)
        return r;
    const json_t *section = json_object_get(document, "egress");
    r = section ? check_beside(document, e) : 0;
    if (r < 0)
        return r;
    return policy_new(section ? section : document, "egress", json ? NULL : &lines, ret, e);
}

int policy_read_file(const char *path, struct policy **ret, struct err *e)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        int r = -errno;
        return err_set(e, r, "%.300s cannot be read: %s", path, err_text(r));
    }
    if (!S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "%.300s is no regular file", path);
    AUTO(buf) b = BUF_INIT(POLICY_FILE_BYTES_MAX);
    for (;;) {
        char *room = buf_room(&b, 65536);
        ssize_t k = room ? read(fd, room, 65536) : 0;
        if (k < 0) {
            int r = -errno;
            return err_set(e, r, "%.300s cannot be read: %s", path, err_text(r));
        }
        if (k == 0)
            break;
        buf_commit(&b, (size_t)k);
    }
    if (buf_err(&b) < 0)
        return err_set(e, buf_err(&b), "%.300s is too large for a policy", path);
    int r = policy_parse(buf_str(&b), b.len, ret, e);
    return r < 0 ? err_wrap(e, r, "%.200s", path) : 0;
}

struct policy *policy_ref(struct policy *p)
{
    p->refs++;
    return p;
}

static void release_proxy(struct policy_proxy *x)
{
    if (!x)
        return;
    free(x->user);
    json_decref(x->password);
    free(x);
}

static void release_otlp(struct policy_otlp *x)
{
    if (!x)
        return;
    free(x->endpoint);
    free(x->ca_file);
    json_decref(x->headers);
    free(x);
}

void policy_unref(struct policy *p)
{
    if (!p || --p->refs)
        return;
    for (size_t i = 0; i < p->n_allow; i++)
        rule_done(&p->allow[i]);
    for (size_t i = 0; i < p->n_deny; i++)
        rule_done(&p->deny[i]);
    for (size_t i = p->n_borrowed; i < p->n_credentials; i++) {
        credential_done(p->credentials[i]);
        free(p->credentials[i]);
    }
    free(p->allow);
    free(p->deny);
    free(p->credentials);
    index_done(&p->allow_index);
    index_done(&p->deny_index);
    index_done(&p->bound);
    free(p->ports);
    release_proxy(p->proxy);
    release_otlp(p->otlp);
    free(p->direct_hosts);
    cidr_list_done(&p->direct_networks);
    free(p->ca_file);
    free(p->audit_file);
    free(p->nameservers);
    policy_unref(p->base);
    free(p);
}

const char *policy_hash(const struct policy *p)
{
    return p->hash;
}

size_t policy_rules(const struct policy *p)
{
    return p->rules->n_allow + p->rules->n_deny;
}

const struct policy_settings *policy_settings(const struct policy *p)
{
    return &p->settings;
}

size_t policy_credentials(const struct policy *p, const struct policy_credential *const **ret)
{
    *ret = (const struct policy_credential *const *)p->credentials;
    return p->n_credentials;
}

size_t policy_ports(const struct policy *p, const uint16_t **ret)
{
    *ret = p->ports;
    return p->n_ports;
}

const json_t *policy_source(const struct policy *p, size_t i, const char **ret_whose)
{
    const struct policy_settings *s = policy_settings(p);
    const json_t *headers = s->otlp ? s->otlp->headers : NULL;
    const bool password = s->proxy && s->proxy->password;
    if (i < p->n_credentials) {
        *ret_whose = p->credentials[i]->name;
        return p->credentials[i]->source;
    }
    i -= p->n_credentials;
    if (i == 0 && password) {
        *ret_whose = "upstream_proxy";
        return s->proxy->password;
    }
    i -= password;
    const char *name;
    json_t *source;
    json_object_foreach ((json_t *)(uintptr_t)headers, name, source)
        if (i-- == 0) {
            *ret_whose = name;
            return source;
        }
    return NULL;
}

bool policy_goes_direct(const struct policy *p, const struct host *h, const struct address *a)
{
    const struct policy *rules = p->rules;
    if (!rules->proxy)
        return true;
    for (size_t i = 0; i < rules->n_direct_hosts; i++)
        if (host_pattern_matches(&rules->direct_hosts[i], h))
            return true;
    return a && cidr_list_contains(&rules->direct_networks, a);
}
