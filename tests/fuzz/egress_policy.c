/* egress_policy.c - fuzzes the policy document in its JSON form, and decisions by what loads.
 *
 * Theory of operation: one input is one document, or, after a NUL, a document and questions. A refusal has
 * words; what loads must hash alike when read again, and every decision must keep its promises: no
 * verdict but denial without a rule or observing, no fitting credential on what is not allowed, a
 * deny rule never beside an allowance. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/err.h"
#include "egress/policy/explain.h"
#include "egress/policy/path.h"
#include "egress/policy/policy.h"
#include "egress/policy/refusal.h"

#include <string.h>

static void check(const struct policy *p, const struct policy_query *q)
{
    AUTO(buf) b = BUF_INIT(1 << 20);
    struct policy_decision d;
    policy_decide(p, q, &d);
    bool observes = policy_settings(p)->observe;
    MUST(d.verdict != POLICY_OBSERVE || observes);
    if (d.verdict == POLICY_ALLOW || d.verdict == POLICY_ASK)
        MUST(d.rule && !d.rule->deny && host_pattern_matches(d.rule->host, q->host));
    MUST(d.verdict != POLICY_DENY || !d.rule || d.rule->deny);
    for (size_t i = 0; i < d.n_candidates; i++) {
        MUST(d.intercept);
        if (d.candidates[i].fit == POLICY_FIT || d.candidates[i].fit == POLICY_FIT_LATER)
            MUST(d.verdict == POLICY_ALLOW || d.verdict == POLICY_ASK);
    }
    explain_decision(p, q, &d, &b);
    refusal_body(q, &d, &b);
    MUST(buf_err(&b) == 0);
    struct address metadata = address_of_ipv4("\xa9\xfe\xa9\xfe");
    if (!d.rule || d.rule->host->kind != HOST_EXACT)
        MUST(policy_check_address(p, &d, q->host, &metadata, NULL, NULL) == -E_DENIED);
}

static void decide(const struct policy *p, const char *question, size_t n)
{
    static char path[3 * PATH_TARGET_MAX + 1];
    struct host h;
    const char *space = memchr(question, ' ', n);
    size_t len = space ? (size_t)(space - question) : n;
    struct policy_query q = {.host = &h};
    if (host_parse_authority(question, len, HOST_LITERALS, &h, &q.port, NULL) < 0)
        return;
    q.port = q.port ? q.port : 443;
    for (unsigned t = POLICY_UNKNOWN; t <= POLICY_PLAIN; t++) {
        q.transport = (enum policy_transport)t;
        q.method = q.path = NULL;
        check(p, &q);
        q.method = n & 1 ? "GET" : "POST";
        if (path_canonical(question + len + !!space, n - len - !!space, path, &q.path_n,
                           &q.path_why) == 0)
            q.path = path;
        check(p, &q);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *text = (const char *)data;
    const char *end = n ? memchr(text, '\0', n) : NULL;
    size_t len = end ? (size_t)(end - text) : n;
    struct policy *p = NULL, *again = NULL;
    struct err e = {0};
    if (len == 0 || text[0] != '{')
        return 0; /* YAML has a target of its own, and is slow */
    int r = policy_parse(text, len, &p, &e);
    if (r < 0) {
        MUST(!p && e.code == r && e.msg[0]);
        return 0;
    }
    MUST(policy_parse(text, len, &again, &e) == 0);
    MUST(strcmp(policy_hash(p), policy_hash(again)) == 0);
    policy_unref(again);
    AUTO(buf) words = BUF_INIT(1 << 20);
    policy_warnings(p, &words);
    for (const char *q = end ? end + 1 : text + n; q < text + n;) {
        const char *line = memchr(q, '\n', (size_t)(text + n - q));
        const char *stop = line ? line : text + n;
        decide(p, q, (size_t)(stop - q));
        q = stop + 1;
    }
    policy_unref(p);
    return 0;
}
