/* warnings.c - what a policy may say and probably does not mean.
 *
 * Called once after loading, for the log and `sallyport doctor`; the policy is used either way. The
 * author of the policy controls it; the number of lines is capped. A line names the rule, so that
 * who reads it finds it. Looking for the rule that a credential needs takes rules times wildcard
 * bindings, at most 1,024 of them by 200,000. */
#include "egress/policy/policy.h"

#include "base/buf.h"
#include "egress/policy/compiled.h"
#include "egress/policy/explain.h"

#define LINES_MAX 50

struct lines {
    struct buf *out;
    size_t n;
};

/* Begins a line; false when there are enough. */
static bool line(struct lines *l)
{
    return ++l->n <= LINES_MAX;
}

static void about_rule(struct lines *l, const struct policy_rule *r, const char *words)
{
    if (!line(l))
        return;
    explain_rule(r, l->out);
    (void)buf_addf(l->out, ": %s\n", words);
}

static void look_at_rule(struct lines *l, const struct policy_rule *r)
{
    if (r->ask)
        about_rule(l, r, "nobody can be asked in this version, so such requests are refused");
    if (r->host->kind == HOST_ANY)
        about_rule(l, r, "every name is allowed; a name itself can carry data out");
    else if (r->host->kind == HOST_BELOW && r->host->host.labels == 1)
        about_rule(l, r, "the wildcard is of a whole top-level domain");
    for (size_t i = 0; i < r->addresses.n; i++) {
        enum address_class c = address_classify(&r->addresses.items[i].net, NULL);
        if (cidr_is_one(&r->addresses.items[i]) && c == ADDRESS_METADATA)
            about_rule(l, r, "opens a cloud's metadata service");
        else if (r->addresses.items[i].bits ==
                 (address_is_ipv4(&r->addresses.items[i].net) ? 96 : 0))
            about_rule(l, r, "opens every address, loopback and link-local ones, too");
    }
}

/* Whether some host could be in both patterns. */
static bool patterns_meet(const struct host_pattern *a, const struct host_pattern *b)
{
    if (a->kind == HOST_ANY || b->kind == HOST_ANY)
        return true;
    if (a->kind == HOST_BELOW && b->kind == HOST_BELOW)
        return host_eq(&a->host, &b->host) || host_pattern_matches(a, &b->host) ||
               host_pattern_matches(b, &a->host);
    return a->kind == HOST_BELOW ? host_pattern_matches(a, &b->host)
                                 : host_pattern_matches(b, &a->host);
}

static bool is_allowed(const struct policy *rules, const struct host_pattern *p)
{
    const struct index_bucket *found[INDEX_BUCKETS_MAX];
    if (p->kind == HOST_EXACT)
        return index_find(&rules->allow_index, &p->host, found) > 0;
    for (size_t i = 0; i < rules->n_allow; i++)
        if (patterns_meet(rules->allow[i].host, p))
            return true;
    return false;
}

static void look_at_credential(struct lines *l, const struct policy *rules,
                               const struct policy_credential *c)
{
    for (size_t i = 0; i < c->n_hosts; i++) {
        const struct host_pattern *p = &c->hosts[i].host;
        if (!is_allowed(rules, p) && line(l))
            (void)buf_addf(l->out, "credential %s: no rule allows %s%s\n", c->name,
                           p->kind == HOST_BELOW ? "*." : "", p->host.text);
    }
    if (c->plaintext && line(l))
        (void)buf_addf(l->out, "credential %s: is sent over unencrypted connections, too\n",
                       c->name);
}

void policy_warnings(const struct policy *p, struct buf *out)
{
    struct lines l = {.out = out};
    if (p->settings.observe && line(&l))
        (void)buf_adds(out, "mode is observe: hosts that no rule names are let through\n");
    if (p->settings.private_networks == POLICY_PRIVATE_ALLOW && line(&l))
        (void)buf_adds(out, "private_networks is allow: names may lead into private networks\n");
    for (size_t i = 0; i < p->rules->n_allow && l.n <= LINES_MAX; i++)
        look_at_rule(&l, &p->rules->allow[i]);
    for (size_t i = 0; i < p->n_credentials && l.n <= LINES_MAX; i++)
        look_at_credential(&l, p->rules, p->credentials[i]);
    if (l.n > LINES_MAX)
        (void)buf_adds(out, "more warnings are left out\n");
}
