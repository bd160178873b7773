/* binding.c - reads names and hosts of credentials, of both schemas.
 *
 * Called at load by credential.c and vault.c. The author of the policy controls the text. A binding
 * is the promise that a secret goes to these hosts only, so a host has one canonical form (host.h)
 * and a port that is not named is 443, the port of TLS. */
#include "egress/policy/binding.h"

#include <string.h>

#include "base/err.h"

static bool is_variable(const char *s)
{
    if (*s >= '0' && *s <= '9')
        return false;
    for (; *s; s++)
        if (!((*s >= 'A' && *s <= 'Z') || (*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') ||
              *s == '_'))
            return false;
    return true;
}

int binding_read_name(const struct place *at, struct policy_credential *c)
{
    const char *s;
    int r = place_text(at, 255, &s);
    if (r < 0)
        return r;
    if (!is_variable(s))
        return place_fail(at, "the name of an environment variable is expected");
    c->name = mem_strdup(s);
    return 0;
}

int binding_read_host(const struct place *at, bool ports, struct policy_binding *ret)
{
    const char *s;
    struct err why = {0};
    struct policy_binding b = {0};
    int r = place_text(at, 1000, &s);
    if (r < 0)
        return r;
    size_t n = strlen(s);
    const char *colon = memrchr(s, ':', n), *bracket = memrchr(s, ']', n);
    if (ports && colon && (!bracket || colon > bracket)) {
        r = host_parse_port(colon + 1, n - (size_t)(colon - s) - 1, &b.port, &why);
        n = (size_t)(colon - s);
    }
    if (r == 0)
        r = host_pattern_parse(s, n, &b.host, &why);
    if (r < 0)
        return place_wrap(at, &why);
    *ret = b;
    return 0;
}

bool binding_has_port(const struct policy_credential *c, const struct policy_binding *b,
                      uint16_t port)
{
    if (b->port)
        return b->port == port;
    return port == 443 || (port == 80 && c->plaintext);
}
