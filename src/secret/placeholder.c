/* placeholder.c - a hash table from placeholder to session and credential.
 *
 * Theory of operation: entries are in the chain of their hash and in the list of their session. The
 * hash is SipHash under a random key, so a sandbox that tries texts cannot aim at a chain; entries
 * are compared in constant time, after their whole hash, so it cannot feel its way along one
 * either. (A placeholder is worthless outside its session; this keeps it unknown all the same.)
 * Sessions come from the worker, texts to look up from sandboxes. Never suspends. */
#include "secret/placeholder.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/secret.h"
#include "base/str.h"

#include <string.h>

#define TRIES       8
#define SLOTS_FIRST 64 /* a power of two, as all that follow */

struct entry {
    struct placeholder of; /* session: the session's name */
    struct list node;      /* of the session */
    struct entry *next;    /* of the slot */
    uint64_t hash;
};

struct session {
    char *name;
    struct list entries;
    size_t n;
};

struct placeholders {
    struct map sessions;
    struct entry **slots;
    size_t n_slots, n;
    uint64_t key[2];
};

struct placeholders *placeholders_new(void)
{
    struct placeholders *p = mem_new(struct placeholders);
    map_init(&p->sessions);
    p->n_slots = SLOTS_FIRST;
    p->slots = mem_array(p->n_slots, sizeof(struct entry *));
    p->key[0] = rng_u64();
    p->key[1] = rng_u64();
    return p;
}

static void entry_free(struct entry *x)
{
    free((char *)(uintptr_t)x->of.text); /* ours, whatever its type says */
    free((char *)(uintptr_t)x->of.credential);
    free(x);
}

static struct entry **slot_of(const struct placeholders *p, uint64_t hash)
{
    return &p->slots[hash & (p->n_slots - 1)];
}

static void unlink_entry(struct placeholders *p, struct entry *x)
{
    struct entry **at = slot_of(p, x->hash);
    while (*at != x)
        at = &(*at)->next;
    *at = x->next;
    p->n--;
}

void placeholders_forget(struct placeholders *p, const char *session)
{
    struct session *s = map_remove(&p->sessions, session);
    if (!s)
        return;
    LIST_FOREACH_SAFE (x, &s->entries, struct entry, node) {
        unlink_entry(p, x);
        list_remove(&x->node);
        entry_free(x);
    }
    free(s->name);
    free(s);
}

void placeholders_free(struct placeholders *p)
{
    if (!p)
        return;
    const char *name;
    for (size_t at = 0; map_next(&p->sessions, &at, &name, NULL);) {
        AUTO_FREE char *copy = mem_strdup(name);
        placeholders_forget(p, copy);
    }
    map_done(&p->sessions);
    free(p->slots);
    free(p);
}

static void grow(struct placeholders *p)
{
    struct entry **old = p->slots;
    size_t n = p->n_slots;
    p->n_slots = 2 * n;
    p->slots = mem_array(p->n_slots, sizeof(struct entry *));
    for (size_t i = 0; i < n; i++) {
        for (struct entry *x = old[i], *next; x; x = next) {
            next = x->next;
            x->next = *slot_of(p, x->hash);
            *slot_of(p, x->hash) = x;
        }
    }
    free(old);
}

static struct session *session_get(struct placeholders *p, const char *name)
{
    struct session *s = map_get(&p->sessions, name);
    if (s)
        return s;
    s = mem_new(struct session);
    s->name = mem_strdup(name);
    list_init(&s->entries);
    (void)map_put(&p->sessions, name, s);
    return s;
}

static const struct placeholder *add(struct placeholders *p, const char *session,
                                     const char *credential, const char *text)
{
    struct session *s = session_get(p, session);
    struct entry *x = mem_new(struct entry);
    size_t n = strlen(text);
    x->of = (struct placeholder){
        .text = mem_strdup(text), .n = n, .session = s->name, .credential = mem_strdup(credential)};
    x->hash = map_siphash13(p->key, text, n);
    if (p->n >= p->n_slots)
        grow(p);
    x->next = *slot_of(p, x->hash);
    *slot_of(p, x->hash) = x;
    p->n++;
    list_push_back(&s->entries, &x->node);
    s->n++;
    return &x->of;
}

const struct placeholder *placeholders_find(const struct placeholders *p, const char *text,
                                            size_t n)
{
    if (n < PLACEHOLDER_MIN || n > PLACEHOLDER_MAX)
        return NULL;
    uint64_t hash = map_siphash13(p->key, text, n);
    for (const struct entry *x = *slot_of(p, hash); x; x = x->next)
        if (x->hash == hash && x->of.n == n && secret_bytes_eq(x->of.text, text, n))
            return &x->of;
    return NULL;
}

const struct placeholder *placeholders_of(const struct placeholders *p, const char *session,
                                          const char *credential)
{
    const struct session *s = map_get(&p->sessions, session);
    if (!s)
        return NULL;
    LIST_FOREACH (x, &s->entries, struct entry, node) {
        if (str_eq(x->of.credential, credential))
            return &x->of;
    }
    return NULL;
}

size_t placeholders_list(const struct placeholders *p, const char *session,
                         const struct placeholder *ret[PLACEHOLDERS_OF_SESSION_MAX])
{
    size_t n = 0;
    const struct session *s = map_get(&p->sessions, session);
    if (!s)
        return 0;
    LIST_FOREACH (x, &s->entries, struct entry, node) {
        ret[n++] = &x->of;
    }
    return n;
}

static int check_room(const struct placeholders *p, const char *session, struct err *e)
{
    const struct session *s = map_get(&p->sessions, session);
    if (s && s->n >= PLACEHOLDERS_OF_SESSION_MAX)
        return err_set(e, -E_LIMIT, "the session has %d placeholders already",
                       PLACEHOLDERS_OF_SESSION_MAX);
    return 0;
}

int placeholders_issue(struct placeholders *p, const char *session, const char *credential,
                       const struct placeholder_format *f, const struct placeholder **ret,
                       struct err *e)
{
    char text[PLACEHOLDER_MAX + 1];
    const struct placeholder *there = placeholders_of(p, session, credential);
    if (there) {
        *ret = there;
        return 0;
    }
    int r = check_room(p, session, e);
    if (r < 0)
        return r;
    for (int i = 0; i < TRIES; i++) {
        (void)placeholder_format_make(f, text);
        if (placeholders_find(p, text, strlen(text)))
            continue;
        *ret = add(p, session, credential, text);
        return 0;
    }
    return err_set(e, -EEXIST, "no placeholder for %s: all that were made are taken", credential);
}

static bool is_placeholder(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                            "._~+/=:-");
    return !text[n] && n >= PLACEHOLDER_MIN && n <= PLACEHOLDER_MAX;
}

int placeholders_adopt(struct placeholders *p, const char *session, const char *credential,
                       const char *text, const struct placeholder **ret, struct err *e)
{
    if (!is_placeholder(text))
        return err_set(e, -EINVAL, "what was given for %s is no placeholder", credential);
    const struct placeholder *had = placeholders_of(p, session, credential);
    const struct placeholder *has = placeholders_find(p, text, strlen(text));
    if (had != has)
        return err_set(e, -EEXIST,
                       "the placeholder given for %s is another's, or not the one it has",
                       credential);
    int r = had ? 0 : check_room(p, session, e);
    if (r == 0)
        *ret = had ? had : add(p, session, credential, text);
    return r;
}
