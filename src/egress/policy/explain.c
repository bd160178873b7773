/* explain.c - says which rule decided and why.
 *
 * Called for refusals, audit records and `sallyport egress check`. Hosts are canonical and paths
 * have no control characters, but a method is whatever token the sandbox sent, so it is escaped;
 * everything is cut. No secret is anywhere near: a credential is told by its name. */
#include "egress/policy/explain.h"

#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "egress/policy/selector.h"

static void add_escaped(struct buf *out, const char *s, size_t n, size_t most)
{
    str_escape(out, s, n, most);
}

static void add_ports(const struct policy_selector *s, bool deny, struct buf *out)
{
    if (s->n_ports == 0) {
        (void)buf_adds(out, deny ? ", all ports" : ", ports 80 and 443");
        return;
    }
    (void)buf_adds(out, s->n_ports == 1 ? ", port" : ", ports");
    for (uint32_t i = 0; i < s->n_ports && i < 8; i++)
        (void)buf_addf(out, "%s %u", i ? "," : "", selector_ports(s)[i]);
    if (s->n_ports > 8)
        (void)buf_adds(out, " ...");
}

static void add_methods(const struct policy_selector *s, struct buf *out)
{
    static const char *const common[] = {"GET",    "HEAD",    "POST",    "PUT",  "PATCH",
                                         "DELETE", "OPTIONS", "CONNECT", "TRACE"};
    const char *before = ", ";
    for (size_t i = 0; i < ARRAY_LEN(common); i++)
        if (s->methods & 1u << i) {
            (void)buf_addf(out, "%s%s", before, common[i]);
            before = " ";
        }
    for (char **m = s->other_methods; m && *m; m++) {
        (void)buf_addf(out, "%s%s", before, *m);
        before = " ";
    }
}

void explain_rule(const struct policy_rule *r, struct buf *out)
{
    (void)buf_addf(out, "egress.%s[%u]", r->deny ? "deny" : "allow", r->position);
    if (r->line)
        (void)buf_addf(out, " (line %u)", r->line);
    (void)buf_addf(out, ": %s%s",
                   r->host->kind == HOST_ANY     ? "*"
                   : r->host->kind == HOST_BELOW ? "*."
                                                 : "",
                   r->host->host.text);
    add_ports(&r->on, r->deny, out);
    add_methods(&r->on, out);
    for (uint32_t i = 0; i < r->on.n_paths && i < 8; i++) {
        (void)buf_adds(out, i ? " " : ", ");
        add_escaped(out, r->on.paths[i].text, r->on.paths[i].n, 120);
    }
    if (r->on.n_paths > 8)
        (void)buf_adds(out, " ...");
    if (r->ask)
        (void)buf_adds(out, ", ask");
}

const char *explain_verdict(enum policy_verdict v)
{
    return v == POLICY_ALLOW     ? "allow"
           : v == POLICY_ASK     ? "ask"
           : v == POLICY_OBSERVE ? "observe"
                                 : "deny";
}

const char *explain_fit(enum policy_fit f)
{
    static const char *const texts[] = {
        [POLICY_FIT] = "is used",
        [POLICY_FIT_LATER] = "depends on the request",
        [POLICY_FIT_PORT] = "is bound to another port",
        [POLICY_FIT_PLAINTEXT] = "is not sent without TLS",
        [POLICY_FIT_METHOD] = "is not for this method",
        [POLICY_FIT_PATH] = "is not for this path",
        [POLICY_FIT_VERDICT] = "is not used: the request is not allowed",
    };
    return texts[f];
}

static void add_request(const struct policy_query *q, struct buf *out)
{
    if (!q->method)
        return;
    (void)buf_addc(out, ' ');
    add_escaped(out, q->method, strlen(q->method), 32);
    if (q->path) {
        (void)buf_addc(out, ' ');
        add_escaped(out, q->path, q->path_n, 200);
    }
}

void explain_why(const struct policy_query *q, const struct policy_decision *d, struct buf *out)
{
    const char *host = q->host->text;
    switch (d->why) {
    case POLICY_WHY_NO_RULE:
        (void)buf_addf(out, "no rule allows %s", host);
        return;
    case POLICY_WHY_DENIED:
        (void)buf_addf(out, "a deny rule has %s", host);
        return;
    case POLICY_WHY_PORT:
        (void)buf_addf(out, "%s is allowed, but not port %u", host, q->port);
        return;
    case POLICY_WHY_PLAINTEXT:
        (void)buf_addf(out, "%s is allowed with TLS only", host);
        return;
    case POLICY_WHY_METHOD:
        (void)buf_addf(out, "%s is allowed, but not the method", host);
        break;
    case POLICY_WHY_PATH:
        (void)buf_addf(out, "%s is allowed, but not the path", host);
        break;
    case POLICY_WHY_PATH_AMBIGUOUS:
        (void)buf_addf(out, "rules for %s look at the path, and this one %s", host,
                       q->path_why ? q->path_why : "has two readings");
        return;
    case POLICY_WHY_NAME:
        (void)buf_addf(out, "%s is longer than names under this wildcard may be", host);
        return;
    case POLICY_WHY_CREDENTIALS:
        (void)buf_addf(out, "%s has more than %d credentials", host, POLICY_CANDIDATES_MAX);
        return;
    case POLICY_WHY_RULE:
        (void)buf_addf(
            out, d->verdict == POLICY_ASK ? "a person decides about %s" : "a rule allows %s", host);
        return;
    case POLICY_WHY_OBSERVE:
        (void)buf_addf(out, "no rule allows %s, and the mode is observe", host);
        return;
    }
    add_request(q, out);
}

void explain_decision(const struct policy *p, const struct policy_query *q,
                      const struct policy_decision *d, struct buf *out)
{
    (void)buf_addf(out, "%s %s:%u", explain_verdict(d->verdict), q->host->text, q->port);
    add_request(q, out);
    (void)buf_adds(out, "\nwhy: ");
    explain_why(q, d, out);
    if (d->rule || d->near) {
        (void)buf_adds(out, d->rule ? "\nrule: " : "\nnearest rule: ");
        explain_rule(d->rule ? d->rule : d->near, out);
    }
    (void)buf_addf(out, "\nlooked into: %s",
                   d->intercept ? "yes"
                   : d->counted ? "yes, when it is HTTP: the rule limits requests"
                                : "no");
    for (size_t i = 0; i < d->n_candidates; i++)
        (void)buf_addf(out, "\ncredential %.255s %s", d->candidates[i].credential->name,
                       explain_fit(d->candidates[i].fit));
    (void)buf_addf(out, "\npolicy: %s\n", policy_hash(p));
}
