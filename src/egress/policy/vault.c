/* vault.c - turns a vault's credential into one of ours.
 *
 * Called by credential.c for items of a policy file and for what a session's vault delivered. Its
 * words are wider than ours: "header" means any header there. Here it means the headers that
 * credentials stand in, because a placeholder that is replaced anywhere comes back from any origin
 * that reflects a header (boundary A31). The author of the credential controls the text; a
 * secret_value that came along is refused before anything keeps it. */
#include "egress/policy/vault.h"

#include <string.h>

#include "egress/policy/binding.h"
#include "egress/policy/fields.h"
#include "egress/policy/inject.h"

#define ALLOWED_HOSTS_MAX 16

static int read_networking(const struct place *at, struct policy_credential *c)
{
    static const char *const types[] = {"limited", "unrestricted", NULL};
    unsigned which = 0;
    size_t n;
    int r = place_object(at, FIELD_NETWORKING);
    struct place type = place_member(at, "type"), hosts = place_member(at, "allowed_hosts");
    if (r == 0 && !type.value)
        return place_fail(&type, "is missing: limited or unrestricted");
    if (r == 0)
        r = place_choice(&type, types, &which);
    if (r < 0)
        return r;
    if (which == 1) {
        if (hosts.value)
            return place_fail(&hosts, "has no place beside \"unrestricted\"");
        c->hosts = mem_array(1, sizeof(*c->hosts));
        c->hosts[0] = (struct policy_binding){.host = {.kind = HOST_ANY}};
        c->n_hosts = 1;
        return 0;
    }
    r = place_list(&hosts, ALLOWED_HOSTS_MAX, &n);
    if (r == 0 && n == 0)
        return place_fail(&hosts, "is empty");
    if (r < 0)
        return r;
    c->hosts = mem_array(n, sizeof(*c->hosts));
    for (size_t i = 0; i < n; i++) {
        struct place one = place_item(&hosts, i);
        r = binding_read_host(&one, false, &c->hosts[i]);
        if (r == 0 &&
            (c->hosts[i].host.kind == HOST_ANY || c->hosts[i].host.host.kind == HOST_IPV6))
            r = place_fail(&one, "a host, an IPv4 address or \"*.suffix\" is expected");
        if (r < 0)
            return r;
        c->n_hosts++;
    }
    return 0;
}

static int read_location(const struct place *at, struct policy_credential *c)
{
    bool header = true, body = false;
    if (at->value && !json_is_null(at->value)) {
        int r = place_object(at, FIELD_INJECTION_LOCATION);
        struct place h = place_member(at, "header"), b = place_member(at, "body");
        if (r == 0)
            r = place_bool(&b, &body);
        header = !body; /* a location that is named alone is the only one that is meant */
        if (r == 0)
            r = place_bool(&h, &header);
        if (r < 0)
            return r;
    }
    if (!header && !body)
        return place_fail(at, "at least one of header and body is true");
    if (header)
        inject_default_headers(c);
    if (body)
        inject_default_bodies(c);
    return 0;
}

static int read_source(const struct place *at, struct policy_credential *c)
{
    if (!at->value) {
        c->source = json_new_object();
        json_put_str(c->source, "vault", c->name);
        return 0;
    }
    if (!json_is_object(at->value))
        return place_fail(at, "an object is expected, as {file: /run/secrets/name}");
    c->source = json_incref((json_t *)(uintptr_t)at->value);
    return 0;
}

int vault_read(const struct place *item, struct policy_credential *ret)
{
    static const char *const types[] = {"environment_variable", NULL};
    unsigned which;
    struct place type = place_member(item, "type"), value = place_member(item, "secret_value");
    struct place name = place_member(item, "secret_name"), source = place_member(item, "source");
    struct place networking = place_member(item, "networking");
    struct place location = place_member(item, "injection_location");
    int r = place_choice(&type, types, &which);
    if (r == 0 && value.value)
        return place_fail(&value, "a secret has no place in a policy; name its source");
    if (r == 0)
        r = place_object(item, FIELD_VAULT);
    if (r == 0)
        r = binding_read_name(&name, ret);
    if (r == 0)
        r = read_source(&source, ret);
    if (r == 0)
        r = read_networking(&networking, ret);
    return r < 0 ? r : read_location(&location, ret);
}
