/* credential.c - one credential of a policy, and all of them together.
 *
 * Called at load. Two schemas end in one struct: our own, and a vault's `environment_variable`
 * (vault.c). A secret never stands in a policy: a source says where it is, and is kept unread for
 * the room that reads it. What makes two credentials ambiguous: one host in both, the same port, a
 * place in common and a request that is for both. Whose placeholder it is would tell most of these
 * apart, but not an added header, and people who mistake one for the other are not told; so order
 * never decides (boundary A32). A host and a wildcard above it are no conflict: the more exact one
 * comes first. */
#include "egress/policy/credential.h"

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "base/str.h"
#include "egress/policy/binding.h"
#include "egress/policy/fields.h"
#include "egress/policy/inject.h"
#include "egress/policy/rule.h"
#include "egress/policy/selector.h"
#include "egress/policy/vault.h"

#define HOSTS_MAX 256

static int read_hosts(const struct place *list, struct policy_credential *c)
{
    size_t n;
    int r = place_list(list, HOSTS_MAX, &n);
    if (r == 0 && n == 0)
        return place_fail(list, "is empty; a credential belongs to a host");
    if (r < 0)
        return r;
    c->hosts = mem_array(n, sizeof(*c->hosts));
    for (size_t i = 0; i < n; i++) {
        struct place at = place_item(list, i);
        r = binding_read_host(&at, true, &c->hosts[i]);
        if (r == 0 && c->hosts[i].host.kind == HOST_ANY)
            r = place_fail(&at, "a credential belongs to hosts; \"*\" would send it to any");
        if (r < 0)
            return r;
        c->n_hosts++;
    }
    return 0;
}

static int read_source(const struct place *at, struct policy_credential *c)
{
    if (!json_is_object(at->value) || json_object_size(at->value) == 0)
        return place_fail(at, at->value ? "an object is expected, as {file: /run/secrets/name}"
                                        : "is missing: where is the secret?");
    c->source = json_incref((json_t *)(uintptr_t)at->value);
    return 0;
}

static int read_own(const struct place *item, struct policy_credential *c)
{
    int r = place_object(item, FIELD_CREDENTIAL);
    struct place name = place_member(item, "name"), source = place_member(item, "source");
    struct place hosts = place_member(item, "hosts"), inject = place_member(item, "inject");
    struct place require = place_member(item, "require"), limits = place_member(item, "limits");
    struct place plaintext = place_member(item, "plaintext"), format = place_member(item, "format");
    const char *shape = NULL;
    if (r == 0)
        r = binding_read_name(&name, c);
    if (r == 0)
        r = read_source(&source, c);
    if (r == 0)
        r = read_hosts(&hosts, c);
    if (r == 0)
        r = inject_read(&inject, c);
    if (r == 0)
        r = selector_read(item, false, &c->on);
    if (r == 0)
        r = place_bool(&require, &c->require);
    if (r == 0)
        r = place_bool(&plaintext, &c->plaintext);
    if (r == 0)
        r = rule_read_limits(&limits, false, &c->limits);
    if (r == 0 && format.value)
        r = place_text(&format, 512, &shape);
    if (r == 0 && shape)
        c->format = mem_strdup(shape);
    return r;
}

int credential_read(const struct place *item, struct policy_credential *ret)
{
    *ret = (struct policy_credential){.position = (uint32_t)item->index,
                                      .line = (uint32_t)place_line(item)};
    bool vault = json_is_object(item->value) && json_object_get(item->value, "type");
    return vault ? vault_read(item, ret) : read_own(item, ret);
}

void credential_done(struct policy_credential *c)
{
    free(c->name);
    json_decref(c->source);
    free(c->hosts);
    inject_done(c);
    selector_done(&c->on);
    free(c->format);
    *c = (struct policy_credential){0};
}

/* ---- all together ---- */

static bool ports_meet(const struct policy_credential *a, const struct policy_binding *ba,
                       const struct policy_credential *b, const struct policy_binding *bb)
{
    if (ba->port)
        return binding_has_port(b, bb, ba->port);
    return bb->port ? binding_has_port(a, ba, bb->port) : true;
}

static const struct policy_place *common_place(const struct policy_credential *a,
                                               const struct policy_credential *b)
{
    for (size_t i = 0; i < a->n_places; i++)
        for (size_t k = 0; k < b->n_places; k++)
            if (inject_places_meet(&a->places[i], &b->places[k]))
                return &a->places[i];
    return NULL;
}

static int compare(const struct place *item, const struct policy_credential *a,
                   const struct policy_binding *ba, const struct policy_credential *b,
                   const struct policy_binding *bb)
{
    const struct policy_place *place;
    if (a == b || !ports_meet(a, ba, b, bb) || !selectors_meet(&a->on, &b->on) ||
        !(place = common_place(a, b)))
        return 0;
    AUTO(buf) words = BUF_INIT(256);
    inject_place_text(place, &words);
    const char *host = bb->host.kind == HOST_ANY ? "every host" : bb->host.host.text;
    return place_fail(item,
                      "%.60s and %.60s could both be meant for %.120s (%s): give them different "
                      "methods, paths or places",
                      a->name, b->name, host, buf_str(&words));
}

/* Bindings with the same host, as a list. */
struct bound {
    const struct policy_credential *credential;
    const struct policy_binding *binding;
    struct bound *next;
};

static void host_key(const struct host_pattern *p, char ret[HOST_TEXT_MAX + 4])
{
    char *end = ret;
    if (p->kind != HOST_EXACT)
        *end++ = '*';
    memcpy(end, p->host.text, (size_t)p->host.n + 1);
}

static int check_binding(const struct place *item, struct map *hosts, struct bound *b)
{
    char key[HOST_TEXT_MAX + 4];
    host_key(&b->binding->host, key);
    struct bound *first = map_get(hosts, key);
    for (const struct bound *o = first; o; o = o->next) {
        int r = compare(item, o->credential, o->binding, b->credential, b->binding);
        if (r < 0)
            return r;
    }
    b->next = first;
    map_put(hosts, key, b);
    return 0;
}

static int check_all(const struct place *list, struct policy_credential *const *all, size_t n,
                     struct map *names, struct map *hosts, struct bound *bound)
{
    for (size_t i = 0; i < n; i++) {
        struct policy_credential *c = all[i];
        struct place item = place_item(list, c->position);
        if (map_put(names, c->name, c))
            return place_fail(&item, "there are two credentials named %.60s", c->name);
        for (size_t k = 0; k < c->n_hosts; k++) {
            *bound = (struct bound){.credential = c, .binding = &c->hosts[k]};
            int r = check_binding(&item, hosts, bound++);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

int credentials_check(const struct place *list, struct policy_credential *const *all, size_t n)
{
    size_t bindings = 0;
    for (size_t i = 0; i < n; i++)
        bindings += all[i]->n_hosts;
    AUTO_FREE struct bound *bound = mem_array(bindings + 1, sizeof(*bound));
    AUTO(map) names = {0};
    AUTO(map) hosts = {0};
    map_init(&names);
    map_init(&hosts);
    return check_all(list, all, n, &names, &hosts, bound);
}
