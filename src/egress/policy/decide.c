/* decide.c - which rule decides, and what it needs to see.
 *
 * Called for every connection and every intercepted request. The sandbox controls host, port, method
 * and path, all in their canonical forms by then. Three looks, each over the buckets of the host from
 * the most exact: deny rules, of which one is enough; allow rules, of which the first that matches
 * decides; credentials, of which all are told, fit or not, because whoever intercepts has to find a
 * placeholder that must not pass. Before the request is known, a rule about methods or paths can
 * only say "later": then the connection is let in and looked into. It starts at "denied"; one line
 * allows. No allocation, but for a deny rule with paths that meets an encoded slash. */
#include "egress/policy/policy.h"

#include <string.h>

#include "base/err.h"
#include "egress/policy/binding.h"
#include "egress/policy/compiled.h"
#include "egress/policy/selector.h"

enum match { NO, LATER, YES };

/* Room for what the index finds, one for all looks. */
struct found {
    const struct index_bucket *buckets[INDEX_BUCKETS_MAX];
};

/* The part of a selector that needs a request. */
static enum match inside(const struct policy_selector *s, const struct policy_query *q, bool deny,
                         enum policy_why *ret_why)
{
    if (!selector_looks_inside(s))
        return YES;
    if (!q->method)
        return LATER;
    if (deny ? !selector_has_method_in_any_case(s, q->method)
             : !selector_has_method(s, q->method)) {
        *ret_why = POLICY_WHY_METHOD;
        return NO;
    }
    if (s->n_paths == 0)
        return YES;
    if (!q->path) {
        *ret_why = POLICY_WHY_PATH_AMBIGUOUS;
        return NO;
    }
    if (deny ? selector_has_path_in_any_reading(s, q->path, q->path_n)
             : selector_has_path(s, q->path, q->path_n))
        return YES;
    *ret_why = POLICY_WHY_PATH;
    return NO;
}

static enum match allow_matches(const struct policy_rule *r, const struct policy_query *q,
                                enum policy_why *ret_why)
{
    if (r->kind != HOST_EXACT) { /* the index has found the suffix; "*" has an empty one */
        unsigned labels = q->host->labels - (unsigned)r->suffix_labels;
        unsigned bytes = q->host->n - r->suffix_bytes - (r->kind == HOST_BELOW ? 1u : 0u);
        if (labels > r->most_labels || bytes > r->most_bytes) {
            *ret_why = POLICY_WHY_NAME;
            return NO;
        }
    }
    if (r->on.n_ports ? !selector_has_port(&r->on, q->port) : q->port != 443 && q->port != 80) {
        *ret_why = POLICY_WHY_PORT;
        return NO;
    }
    if (!r->plaintext && q->transport == POLICY_PLAIN) {
        *ret_why = POLICY_WHY_PLAINTEXT;
        return NO;
    }
    return inside(&r->on, q, false, ret_why);
}

static void look_at_denials(const struct policy *p, const struct policy_query *q, struct found *f,
                            struct policy_decision *d)
{
    const struct index_bucket **found = f->buckets;
    size_t n = p->n_deny ? index_find(&p->deny_index, q->host, found) : 0;
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < found[i]->n; k++) {
            const struct policy_rule *r = found[i]->entries[k].what;
            enum policy_why why = POLICY_WHY_NO_RULE;
            if (r->on.n_ports && !selector_has_port(&r->on, q->port))
                continue;
            enum match m = inside(&r->on, q, true, &why);
            if (m == LATER)
                d->intercept = true;
            /* A path with two readings may be the one that is denied. */
            if (m == YES || why == POLICY_WHY_PATH_AMBIGUOUS) {
                d->why = m == YES ? POLICY_WHY_DENIED : why;
                d->rule = r;
                return;
            }
        }
}

/* The rule that came closest is the one whose missing part comes last. */
static unsigned rank(enum policy_why why)
{
    static const unsigned char ranks[] = {
        [POLICY_WHY_NO_RULE] = 0,        [POLICY_WHY_NAME] = 1,   [POLICY_WHY_PORT] = 2,
        [POLICY_WHY_PLAINTEXT] = 3,      [POLICY_WHY_METHOD] = 4, [POLICY_WHY_PATH] = 5,
        [POLICY_WHY_PATH_AMBIGUOUS] = 6,
    };
    return ranks[why];
}

static void look_at_allowances(const struct policy *p, const struct policy_query *q,
                               struct found *f, struct policy_decision *d)
{
    const struct index_bucket **found = f->buckets;
    const struct policy_rule *later = NULL;
    size_t n = index_find(&p->allow_index, q->host, found);
    for (size_t i = 0; i < n && !d->rule; i++)
        for (uint32_t k = 0; k < found[i]->n && !d->rule; k++) {
            const struct policy_rule *r = found[i]->entries[k].what;
            enum policy_why why = POLICY_WHY_NO_RULE;
            enum match m = allow_matches(r, q, &why);
            if (m == YES)
                d->rule = r;
            else if (m == LATER && !later)
                later = r;
            else if (m == NO && rank(why) > rank(d->why)) {
                d->why = why;
                d->near = r;
            }
        }
    if (later) { /* what it says comes before what a later rule says */
        d->rule = later;
        d->intercept = true;
    }
    if (!d->rule)
        return;
    d->near = NULL;
    d->why = POLICY_WHY_RULE;
    d->verdict = d->rule->ask && !later ? POLICY_ASK : POLICY_ALLOW;
    d->under_wildcard = d->rule->kind != HOST_EXACT;
    d->intercept = d->intercept || d->rule->inspect || d->rule->mcp;
    d->counted = d->rule->limits.requests.count > 0 || d->rule->limits.per_session > 0;
}

static enum policy_fit fit(const struct policy_credential *c, const struct policy_binding *b,
                           const struct policy_query *q, const struct policy_decision *d)
{
    enum policy_why why = POLICY_WHY_NO_RULE;
    if (!binding_has_port(c, b, q->port))
        return POLICY_FIT_PORT;
    if (q->transport == POLICY_PLAIN && !c->plaintext)
        return POLICY_FIT_PLAINTEXT;
    if (d->verdict != POLICY_ALLOW && d->verdict != POLICY_ASK)
        return POLICY_FIT_VERDICT;
    switch (inside(&c->on, q, false, &why)) {
    case YES:
        return POLICY_FIT;
    case LATER:
        return POLICY_FIT_LATER;
    case NO:
        break;
    }
    return why == POLICY_WHY_METHOD ? POLICY_FIT_METHOD : POLICY_FIT_PATH;
}

/* A credential may be bound to the host twice, by ports or by a wildcard: the better fit counts. */
static bool add_candidate(struct policy_decision *d, const struct policy_credential *c,
                          enum policy_fit f)
{
    for (size_t i = 0; i < d->n_candidates; i++)
        if (d->candidates[i].credential == c) {
            if (f < d->candidates[i].fit)
                d->candidates[i].fit = f;
            return true;
        }
    if (d->n_candidates == POLICY_CANDIDATES_MAX)
        return false;
    d->candidates[d->n_candidates++] = (struct policy_candidate){.credential = c, .fit = f};
    return true;
}

static bool look_at_credentials(const struct policy *p, const struct policy_query *q,
                                struct found *f, struct policy_decision *d)
{
    const struct index_bucket **found = f->buckets;
    size_t n = index_find(&p->bound, q->host, found);
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < found[i]->n; k++) {
            const struct policy_credential *c = found[i]->entries[k].what;
            if (!add_candidate(d, c, fit(c, found[i]->entries[k].detail, q, d)))
                return false;
        }
    d->intercept = d->intercept || d->n_candidates > 0;
    return true;
}

void policy_decide(const struct policy *p, const struct policy_query *q,
                   struct policy_decision *ret)
{
    const struct policy *rules = p->rules;
    struct found found = {0};
    ret->verdict = POLICY_DENY;
    ret->why = POLICY_WHY_NO_RULE;
    ret->rule = ret->near = NULL;
    ret->under_wildcard = false;
    ret->intercept = p->settings.inspect;
    ret->counted = false;
    ret->n_candidates = 0;
    if (q->host->kind == HOST_NONE)
        return;
    look_at_denials(rules, q, &found, ret);
    if (!ret->rule)
        look_at_allowances(rules, q, &found, ret);
    if (ret->verdict == POLICY_DENY && p->settings.observe && ret->why != POLICY_WHY_DENIED &&
        ret->why != POLICY_WHY_PATH_AMBIGUOUS) {
        ret->verdict = POLICY_OBSERVE;
        ret->why = POLICY_WHY_OBSERVE;
    }
    if (p->n_credentials && !look_at_credentials(p, q, &found, ret)) {
        ret->verdict = POLICY_DENY;
        ret->why = POLICY_WHY_CREDENTIALS;
        ret->rule = NULL;
        ret->counted = false;
        for (size_t i = 0; i < ret->n_candidates; i++)
            ret->candidates[i].fit = POLICY_FIT_VERDICT;
    }
}

/* ---- addresses ---- */

/* An address that was named as the host is named by that. */
static bool is_host_itself(const struct host *h, const struct address *a)
{
    struct address said;
    const char *s = h->kind == HOST_IPV6 ? h->text + 1 : h->text;
    size_t n = h->kind == HOST_IPV6 ? h->n - 2u : h->n;
    return h->kind != HOST_NAME && address_parse(s, n, &said, NULL) == 0 &&
           memcmp(said.b, a->b, sizeof(said.b)) == 0;
}

static bool may_connect(const struct policy *p, const struct policy_decision *d,
                        const struct host *h, const struct address *a, enum address_class c)
{
    if (d->verdict == POLICY_DENY || c == ADDRESS_MULTICAST || c == ADDRESS_UNSPECIFIED)
        return false;
    if (c == ADDRESS_PUBLIC)
        return true;
    if (!d->rule)
        return false;
    bool exact = d->rule->kind == HOST_EXACT;
    if (c == ADDRESS_METADATA)
        return exact && cidr_list_names(&d->rule->addresses, a);
    if (cidr_list_contains(&d->rule->addresses, a))
        return c != ADDRESS_OWN || exact;
    if (c == ADDRESS_PRIVATE || c == ADDRESS_CGNAT)
        return exact &&
               (p->settings.private_networks == POLICY_PRIVATE_ALLOW || is_host_itself(h, a));
    return false;
}

int policy_check_address(const struct policy *p, const struct policy_decision *d,
                         const struct host *h, const struct address *a, const struct cidr_list *own,
                         struct err *e)
{
    enum address_class c = address_classify(a, own);
    if (may_connect(p, d, h, a, c))
        return 0;
    char text[ADDRESS_TEXT_MAX];
    const bool alone = c == ADDRESS_METADATA || c == ADDRESS_OWN;
    return err_set(e, -E_DENIED,
                   "%.200s has the address %s (%s); a rule %sopens it with \"addresses\"", h->text,
                   address_text(a, text), address_class_text(c),
                   alone ? "that names the host without a wildcard " : "");
}
