/* cert_cache.c - leaves that were signed already, by host.
 *
 * Theory of operation. Sandboxes choose the hosts (under a wildcard rule as many as they like), so
 * there is a ceiling: the leaf that was used least recently goes first. Connections hold references
 * of their own and do not notice. Each entry stands in a map and in a list, most recent in front. */
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/time.h"
#include "crypto/cert_internal.h"

#include <string.h>

#define KEY_MAX 256 /* a kind and a host of 253 bytes */

struct entry {
    struct list link; /* in recent */
    struct cert_identity *id;
    int64_t renew_us;
    char key[KEY_MAX];
};

struct cert_cache {
    struct cert_ca *ca;
    size_t max;
    struct map by_host;
    struct list recent;
};

struct cert_cache *cert_cache_new(struct cert_ca *ca, size_t max_leaves)
{
    struct cert_cache *c = mem_new(struct cert_cache);
    c->ca = ca;
    c->max = max_leaves > 0 ? max_leaves : 1;
    map_init(&c->by_host);
    list_init(&c->recent);
    return c;
}

static void forget(struct cert_cache *c, struct entry *t)
{
    MUST(map_remove(&c->by_host, t->key) == t);
    list_remove(&t->link);
    cert_identity_unref(t->id);
    free(t);
}

void cert_cache_free(struct cert_cache *c)
{
    if (!c)
        return;
    while (!list_empty(&c->recent))
        forget(c, LIST_ENTRY(c->recent.next, struct entry, link));
    map_done(&c->by_host);
    free(c);
}

size_t cert_cache_n(const struct cert_cache *c)
{
    return c->by_host.n;
}

static void keep(struct cert_cache *c, const char *key, struct cert_identity *id, int64_t now_us)
{
    while (c->by_host.n >= c->max)
        forget(c, LIST_ENTRY(c->recent.prev, struct entry, link));
    struct entry *t = mem_new(struct entry);
    int64_t life_us = cert_ca_ends_s(c->ca) * US_PER_S - now_us;
    if (life_us > CERT_LEAF_LIFETIME_S * US_PER_S)
        life_us = CERT_LEAF_LIFETIME_S * US_PER_S;
    t->renew_us = now_us + life_us / 2;
    t->id = cert_identity_ref(id);
    memcpy(t->key, key, strlen(key) + 1);
    MUST(!map_put(&c->by_host, t->key, t));
    list_push_front(&c->recent, &t->link);
}

int cert_cache_get(struct cert_cache *c, const char *host, bool is_ip, struct cert_identity **ret,
                   struct err *e)
{
    char key[KEY_MAX];
    size_t n = strlen(host);
    if (n + 2 > sizeof(key))
        return err_set(e, -EINVAL, "a certificate is for a host name or an address");
    key[0] = is_ip ? 'a' : 'n';
    memcpy(key + 1, host, n + 1);
    int64_t now_us = time_real_us();
    struct entry *t = map_get(&c->by_host, key);
    if (t && now_us < t->renew_us) {
        list_remove(&t->link);
        list_push_front(&c->recent, &t->link);
        *ret = cert_identity_ref(t->id);
        return 0;
    }
    int r = cert_leaf(c->ca, host, is_ip, ret, e);
    if (r < 0)
        return r;
    if (t)
        forget(c, t);
    keep(c, key, *ret, now_us);
    return 0;
}
