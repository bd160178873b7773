/* watch.c - one table for what a sandbox may send back to us: its placeholders, and real secrets.
 *
 * Called when a session begins, when a secret becomes known or changes (watch_new), and for every
 * request. The table only looks: what is found where decides what happens. Placeholders come first
 * among its pairs, so a pair's number tells which of both was found. What a sandbox controls is the text
 * that is looked through; the engine bounds the work
 * (scrub.md, 5). */
#include "egress/inject/watch.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

static int make_table(struct inject_watch *w, const struct placeholder *const *all, size_t n,
                      const struct inject_secret *secrets, size_t n_secrets, struct err *e)
{
    if (n + n_secrets > SCRUB_PAIRS_MAX)
        return err_set(e, -E_LIMIT, "%zu secrets are more than one session can have", n_secrets);
    for (size_t i = 0; i < n_secrets; i++)
        if (memchr(secret_borrow(secrets[i].value), '\0', secrets[i].value->len))
            return err_set(e, -EINVAL, "the secret of %s has a NUL; it cannot be sent in HTTP",
                           secrets[i].credential);
    AUTO_FREE struct scrub_pair *pairs = mem_array(n + n_secrets + 1, sizeof(*pairs));
    for (size_t i = 0; i < n; i++)
        pairs[i] = (struct scrub_pair){all[i]->credential, all[i]->text, all[i]->n, "-", 1};
    for (size_t i = 0; i < n_secrets; i++)
        pairs[n + i] = (struct scrub_pair){secrets[i].credential, secret_borrow(secrets[i].value),
                                           secrets[i].value->len, "-", 1};
    return scrub_table_new(pairs, n + n_secrets, SCRUB_ALL, &w->table, e);
}

int inject_watch_new(const struct placeholders *p, const char *session,
                     const struct inject_secret *secrets, size_t n, struct inject_watch **ret,
                     struct err *e)
{
    const struct placeholder *all[PLACEHOLDERS_OF_SESSION_MAX];
    size_t k = placeholders_list(p, session, all);
    struct inject_watch *w = mem_new(struct inject_watch);
    w->refs = 1;
    int r = make_table(w, all, k, secrets, n, e);
    if (r < 0) {
        free(w);
        return r;
    }
    w->placeholders = mem_array(k + 1, sizeof(*w->placeholders));
    for (size_t i = 0; i < k; i++)
        w->placeholders[i] =
            (struct watched){mem_strdup(all[i]->credential), mem_strdup(all[i]->text), all[i]->n};
    w->n_placeholders = k;
    map_init(&w->by_credential);
    for (size_t i = 0; i < k; i++)
        (void)map_put(&w->by_credential, all[i]->credential, &w->placeholders[i]);
    *ret = w;
    return 0;
}

struct inject_watch *inject_watch_ref(struct inject_watch *w)
{
    w->refs++;
    return w;
}

void inject_watch_unref(struct inject_watch *w)
{
    if (!w || --w->refs > 0)
        return;
    for (size_t i = 0; i < w->n_placeholders; i++) {
        free(w->placeholders[i].credential);
        free(w->placeholders[i].text);
    }
    free(w->placeholders);
    map_done(&w->by_credential);
    scrub_table_unref(w->table);
    free(w);
}

const struct watched *watch_of(const struct inject_watch *w, const char *credential)
{
    return map_get(&w->by_credential, credential);
}

const char *watch_secret_found(const struct inject_watch *w, const struct scrub_stream *s)
{
    size_t n = s->hits ? scrub_table_pairs(w->table) : 0;
    if (s->hits == 1) /* as nearly always */
        return s->latest.pair >= w->n_placeholders ? scrub_table_name(w->table, s->latest.pair)
                                                   : NULL;
    for (size_t i = w->n_placeholders; i < n; i++)
        if (s->by_pair[i])
            return scrub_table_name(w->table, i);
    return NULL;
}

bool inject_watch_sees_secret(struct inject_watch *w, struct http_text t)
{
    AUTO(scrub_stream) s = {0};
    if (t.n == 0)
        return false;
    scrub_begin(&s, w->table, SCRUB_QUOTE_NONE, true);
    return scrub_whole(&s, t.p, t.n, NULL) < 0 || watch_secret_found(w, &s);
}

size_t watch_placeholder_found(const struct inject_watch *w, const struct scrub_stream *s,
                               size_t from)
{
    if (!s->hits)
        return w->n_placeholders;
    if (s->hits == 1 && s->latest.pair >= from && s->latest.pair < w->n_placeholders)
        return s->latest.pair;
    if (s->hits == 1)
        return w->n_placeholders;
    while (from < w->n_placeholders && !s->by_pair[from])
        from++;
    return from;
}

/* ---- the way back ---- */

int inject_reply_table(const struct placeholders *p, const char *session,
                       const struct inject_secret *secrets, size_t n, struct scrub_table **ret,
                       struct err *e)
{
    if (n > SCRUB_PAIRS_MAX)
        return err_set(e, -E_LIMIT, "%zu secrets are more than one session can have", n);
    AUTO_FREE struct scrub_pair *pairs = mem_array(n + 1, sizeof(*pairs));
    AUTO_FREE char(*names)[300] = mem_array(n + 1, sizeof(*names));
    for (size_t i = 0; i < n; i++) {
        const struct placeholder *x = placeholders_of(p, session, secrets[i].credential);
        (void)snprintf(names[i], sizeof(names[i]), "[secret %.255s]", secrets[i].credential);
        pairs[i] = (struct scrub_pair){secrets[i].credential, secret_borrow(secrets[i].value),
                                       secrets[i].value->len, x ? x->text : names[i],
                                       x ? x->n : strlen(names[i])};
    }
    return scrub_table_new(pairs, n, SCRUB_ALL, ret, e);
}
