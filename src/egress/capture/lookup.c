/* lookup.c - a name, a policy and the table of a sandbox's names, put together.
 *
 * Theory of operation. Pure; called for each question (dns.c) and for each CONNECT (forward.c). The
 * sandbox controls the name. First what no policy has a say in: localhost, and egress itself. Then the
 * policy: with `dns: strict` a name exists when some port of it may be connected to; with `dns:
 * friendly` every name of two or more labels does, so that the refusal can be given in words. A name
 * of one label, or one that is reserved for something else, exists only when a rule has it, because
 * programs find out what a network is like by asking for them (wpad, the machine's own name).
 *
 * Counting. A name that a wildcard rule lets pass carries what its sandbox wrote into it (A27). The
 * rule's limits.names counts different names: those that have no address at the moment. Time is cut
 * into windows that begin with their first name. The counts are kept by pattern, not by rule, so
 * that a reload of the policy does not begin anew. */
#include "egress/capture/lookup.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

#include <string.h>

struct count {
    int64_t from_ns;
    uint32_t n;
};

void lookup_counts_init(struct lookup_counts *c)
{
    map_init(&c->by_pattern);
}

void lookup_counts_done(struct lookup_counts *c)
{
    size_t pos = 0;
    void *count;
    while (map_next(&c->by_pattern, &pos, NULL, &count))
        free(count);
    map_done(&c->by_pattern);
}

/* ---- reserved names ---- */

static bool is_or_below(const struct host *h, const char *suffix)
{
    size_t n = strlen(suffix);
    if (h->n == n)
        return str_eq(h->text, suffix);
    return h->n > n && h->text[h->n - n - 1] == '.' && str_eq(h->text + h->n - n, suffix);
}

/* No host that is reached by TCP through a resolver, unless somebody says otherwise in a rule. */
static bool reserved(const struct host *h)
{
    static const char *const never[] = {
        "arpa",                   /* reverse names are answered by dns.c (RFC 3172) */
        "invalid",                /* RFC 6761 6.4 */
        "onion",                  /* RFC 7686 2 */
        "local",                  /* RFC 6762 3: multicast, which there is none of here */
        "alt",                    /* RFC 9476 */
        "use-application-dns.net" /* "no": browsers keep to this resolver */
    };
    for (size_t i = 0; i < ARRAY_LEN(never); i++)
        if (is_or_below(h, never[i]))
            return true;
    return false;
}

/* ---- the policy's word ---- */

struct word {
    bool allowed;                    /* on some port */
    bool too_long;                   /* a wildcard would have it, were it shorter */
    const struct policy_rule *under; /* the wildcard that lets it pass, on a port that an exact rule
                                        does not */
};

/* True when nothing more has to be asked. */
static bool ask_port(const struct policy *p, const struct host *h, uint16_t port, struct word *w)
{
    struct policy_decision d;
    policy_decide(p, &(struct policy_query){.host = h, .port = port}, &d);
    if (d.verdict == POLICY_DENY) {
        w->too_long = w->too_long || d.why == POLICY_WHY_NAME;
        return false;
    }
    w->allowed = true;
    if (d.under_wildcard && d.rule) {
        if (!w->under)
            w->under = d.rule;
        return false;
    }
    if (d.verdict == POLICY_OBSERVE)
        return false;
    /* A rule that has this very name: nothing that the sandbox made up. */
    w->under = NULL;
    return true;
}

static struct word ask(const struct policy *p, const struct host *h, uint16_t port)
{
    struct word w = {0};
    if (port != 0) {
        (void)ask_port(p, h, port, &w);
        return w;
    }
    const uint16_t *ports;
    size_t n = policy_ports(p, &ports);
    for (size_t i = 0; i < n; i++)
        if (ask_port(p, h, ports[i], &w))
            break;
    return w;
}

/* ---- counting ---- */

static bool count(struct lookup_counts *c, const struct policy_rule *rule)
{
    const struct policy_rate *rate = &rule->limits.names;
    if (rate->count == 0)
        return true;
    char key[HOST_TEXT_MAX + 3];
    (void)str_copy(key, sizeof(key), rule->host->kind == HOST_ANY ? "*" : rule->host->host.text);
    struct count *k = map_get(&c->by_pattern, key);
    int64_t now = time_mono_ns();
    if (!k) {
        k = mem_new(struct count);
        k->from_ns = now;
        (void)map_put(&c->by_pattern, key, k);
    }
    if (now - k->from_ns >= rate->window_ms * NS_PER_MS)
        *k = (struct count){.from_ns = now};
    if (k->n >= rate->count)
        return false;
    k->n++;
    return true;
}

enum lookup lookup_name(const struct policy *p, struct names *n, struct lookup_counts *c,
                        const struct host *h, uint16_t port, struct name **ret_name,
                        const struct policy_rule **ret_rule)
{
    bool self = str_eq(h->text, LOOKUP_SELF);
    if (h->kind == HOST_NAME && !self) {
        if (is_or_below(h, "localhost"))
            return LOOKUP_LOCALHOST;
        struct word w = ask(p, h, port);
        if (!w.allowed && w.too_long)
            return LOOKUP_TOO_LONG;
        if (!w.allowed && (policy_settings(p)->dns_strict || h->labels == 1 || reserved(h)))
            return LOOKUP_NONE;
        if (ret_name && w.under && !names_get(n, h) && !count(c, w.under)) {
            if (ret_rule)
                *ret_rule = w.under;
            return LOOKUP_TOO_MANY;
        }
    }
    if (!ret_name)
        return LOOKUP_ADDRESS;
    return names_take(n, h, ret_name, NULL) < 0 ? LOOKUP_FULL : LOOKUP_ADDRESS;
}
