/* rule.c - one rule of a policy.
 *
 * Called at load for each item of `allow` and `deny`, up to 200,000 of each: what a plain rule does
 * not say costs no memory. The author of the policy controls everything here. Limits of names under a
 * wildcard have defaults, because a name is a channel out (boundary A27). */
#include "egress/policy/rule.h"

#include <string.h>

#include "base/err.h"
#include "egress/policy/fields.h"
#include "egress/policy/selector.h"

#define NETWORKS_MAX 256

int rule_read_networks(const struct place *list, struct cidr_list *ret)
{
    size_t n;
    int r = list->value ? place_list(list, NETWORKS_MAX, &n) : 0;
    if (r < 0 || !list->value)
        return r;
    struct cidr_list l = {.items = n ? mem_array(n, sizeof(*l.items)) : NULL};
    for (size_t i = 0; i < n; i++) {
        struct place at = place_item(list, i);
        const char *s;
        struct err why = {0};
        r = place_text(&at, 64, &s);
        if (r == 0 && cidr_parse(s, strlen(s), &l.items[i], &why) < 0)
            r = place_wrap(&at, &why);
        if (r < 0) {
            cidr_list_done(&l);
            return r;
        }
        l.n++;
    }
    *ret = l;
    return 0;
}

int rule_read_limits(const struct place *at, bool rule, struct policy_limits *ret)
{
    struct policy_limits l = {
        .labels = 4, .bytes = 100, .names = {.count = 60, .window_ms = 3600000}};
    int r = at->value ? place_object(at, rule ? FIELD_RULE_LIMITS : FIELD_LIMITS) : 0;
    struct place requests = place_member(at, "requests"), all = place_member(at, "per_session");
    struct place labels = place_member(at, "labels"), bytes = place_member(at, "bytes");
    struct place names = place_member(at, "names");
    int64_t n_labels = l.labels, n_bytes = l.bytes;
    if (r == 0)
        r = place_rate(&requests, &l.requests.count, &l.requests.window_ms);
    if (r == 0)
        r = place_number(&all, 1, INT64_C(1) << 53, &l.per_session);
    if (r == 0)
        r = place_number(&labels, 1, 126, &n_labels);
    if (r == 0)
        r = place_number(&bytes, 1, HOST_TEXT_MAX, &n_bytes);
    if (r == 0)
        r = place_rate(&names, &l.names.count, &l.names.window_ms);
    if (r < 0)
        return r;
    l.labels = (uint8_t)n_labels;
    l.bytes = (uint8_t)n_bytes;
    *ret = l;
    return 0;
}

static int read_host(const struct place *at, struct policy_rule *ret)
{
    const char *s;
    struct err why = {0};
    struct host_pattern p;
    int r = place_text(at, 1000, &s);
    if (r == 0 && host_pattern_parse(s, strlen(s), &p, &why) < 0)
        r = place_wrap(at, &why);
    if (r < 0)
        return r;
    ret->host = mem_new(struct host_pattern);
    *ret->host = p;
    ret->kind = (uint8_t)p.kind;
    ret->suffix_labels = p.host.labels;
    ret->suffix_bytes = p.host.n;
    return 0;
}

static int check(const struct place *item, const struct policy_rule *r)
{
    struct place at = place_member(item, "addresses");
    if (r->host->kind == HOST_EXACT)
        return 0;
    for (size_t i = 0; i < r->addresses.n; i++) {
        struct place one = place_item(&at, i);
        if (cidr_is_one(&r->addresses.items[i]) &&
            address_classify(&r->addresses.items[i].net, NULL) == ADDRESS_METADATA)
            return place_fail(&one, "a wildcard cannot open a metadata address; name the host");
    }
    return 0;
}

int rule_read(const struct place *item, bool deny, struct policy_rule *ret)
{
    struct policy_limits limits = {0};
    *ret = (struct policy_rule){.deny = deny, .plaintext = true, .position = (uint32_t)item->index};
    ret->line = (uint32_t)place_line(item);
    struct place none = {.doc = item->doc, .up = item, .key = "limits"};
    if (json_is_string(item->value)) {
        int r = read_host(item, ret);
        if (r == 0)
            r = rule_read_limits(&none, true, &ret->limits);
        ret->most_labels = ret->limits.labels;
        ret->most_bytes = ret->limits.bytes;
        return r;
    }
    int r = place_object(item, deny ? FIELD_DENY : FIELD_RULE);
    struct place host = place_member(item, "host");
    if (r == 0)
        r = read_host(&host, ret);
    if (r == 0)
        r = selector_read(item, true, &ret->on);
    if (r < 0 || deny)
        return r;
    struct place addresses = place_member(item, "addresses"), at = place_member(item, "limits");
    r = rule_read_networks(&addresses, &ret->addresses);
    if (r == 0)
        r = rule_read_limits(&at, true, &limits);
    ret->limits = limits;
    ret->most_labels = limits.labels;
    ret->most_bytes = limits.bytes;
    const struct {
        const char *key;
        bool *to;
    } switches[] = {{"ask", &ret->ask},
                    {"inspect", &ret->inspect},
                    {"mcp", &ret->mcp},
                    {"plaintext", &ret->plaintext}};
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(switches); i++) {
        struct place one = place_member(item, switches[i].key);
        r = place_bool(&one, switches[i].to);
    }
    struct place mcp = place_member(item, "mcp");
    if (r == 0 && ret->mcp)
        r = place_fail(&mcp, "is not built yet"); /* a control must not be taken and not applied */
    return r < 0 ? r : check(item, ret);
}

void rule_done(struct policy_rule *r)
{
    free(r->host);
    selector_done(&r->on);
    cidr_list_done(&r->addresses);
    *r = (struct policy_rule){0};
}
