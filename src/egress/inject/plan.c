/* plan.c - what has to be done to one request, or why it does not go out.
 *
 * Called on the fiber of the exchange, for every intercepted request, after the policy has allowed it.
 * The sandbox controls the whole head. It is looked through once for the session's placeholders and
 * secrets, in all forms; most requests have none, and that is the end. Else each part of the head (path,
 * query, every name and value) is looked through alone. What was found must belong to a credential of
 * this host that fits this request; the places of that credential claim pieces of the part; then the part is
 * looked through again without those pieces, and what is found now is where it must not be. So a place
 * decides only what it replaces, never what may pass. It starts at "refused" for whatever is found.
 * Bounds: HTTP_FIELDS_MAX parts, SITES_MAX pieces; the work of claims is the part times the length of a
 * placeholder, and only for parts in which one was found. */
#include "egress/inject/kind.h"

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "egress/inject/limits.h"

#define SITES_MAX   64
#define SITES_FIRST 4
#define PART_MAX    (256u << 10) /* bytes of a head, ours to copy for a moment */

/* ---- for kinds ---- */

size_t planner_use(struct planner *pl, const struct policy_credential *c, enum inject_kind k)
{
    struct inject_plan *p = pl->plan;
    size_t i = 0;
    while (i < p->n_uses && p->uses[i].credential != c)
        i++;
    if (i == p->n_uses) {
        MUST(i < ARRAY_LEN(p->uses)); /* one for each candidate at most */
        const struct watched *w = watch_of(pl->world->watch, c->name);
        p->uses[p->n_uses++] =
            (struct inject_use){.credential = c, .placeholder = w ? w->text : NULL};
    }
    p->uses[i].places |= 1u << k;
    return i;
}

struct inject_site *planner_site_at(const struct planner *pl, const struct part *part, size_t at)
{
    for (size_t i = 0; i < pl->plan->n_sites; i++) {
        struct inject_site *s = &pl->plan->sites[i];
        if (s->part == part->kind && s->field == part->field && s->at == at)
            return s;
    }
    return NULL;
}

static bool is_taken(const struct inject_plan *p, const struct inject_site *s)
{
    for (size_t i = 0; i < p->n_sites; i++) {
        const struct inject_site *o = &p->sites[i];
        if (o->kind != INJECT_ADD && o->part == s->part && o->field == s->field &&
            s->at < o->at + o->n && o->at < s->at + s->n)
            return true;
    }
    return false;
}

int planner_site(struct planner *pl, const struct inject_site *s)
{
    struct inject_plan *p = pl->plan;
    if (s->kind != INJECT_ADD && is_taken(p, s))
        return 0;
    if (p->n_sites == SITES_MAX)
        return inject_refuse(pl->no, INJECT_MISPLACED, NULL,
                             "the request has placeholders in more than %d places", SITES_MAX);
    if (p->n_sites == 0 || p->n_sites == SITES_FIRST) {
        struct inject_site *more =
            mem_array(p->n_sites ? SITES_MAX : SITES_FIRST, sizeof(*p->sites));
        if (p->n_sites)
            memcpy(more, p->sites, p->n_sites * sizeof(*more));
        free(p->sites);
        p->sites = more;
    }
    p->sites[p->n_sites++] = *s;
    if (s->use != NO_USE)
        p->uses[s->use].head = true;
    if (s->user != NO_USE)
        p->uses[s->user].head = true;
    return 0;
}

int planner_spelled(struct planner *pl, enum inject_kind k, const struct part *part,
                    const struct policy_credential *c, const struct policy_place *place,
                    const struct watched *w, size_t from, size_t to)
{
    const bool no_slash = part->kind == PART_PATH;
    int r = 0;
    while (r == 0 && from < to) {
        size_t n = spelling_of(part->text.p + from, to - from, w->text, w->n, no_slash);
        if (n == 0) {
            from++;
            continue;
        }
        struct inject_site s = {.kind = k,
                                .part = part->kind,
                                .field = SIZE_MAX,
                                .text = part->text,
                                .at = from,
                                .n = n,
                                .use = planner_use(pl, c, k),
                                .user = NO_USE,
                                .place = place};
        r = planner_site(pl, &s);
        from += n;
    }
    return r;
}

bool planner_adds(const struct planner *pl, struct http_text name)
{
    for (size_t i = 0; i < pl->plan->n_sites; i++) {
        const struct inject_site *s = &pl->plan->sites[i];
        if (s->kind == INJECT_ADD && http_text_eq(name, s->place->name))
            return true;
    }
    return false;
}

/* ---- words ---- */

static void part_words(const struct part *part, struct buf *out)
{
    switch (part->kind) {
    case PART_METHOD:
        (void)buf_adds(out, "the method");
        return;
    case PART_AUTHORITY:
        (void)buf_adds(out, "the authority");
        return;
    case PART_PATH:
        (void)buf_adds(out, "the path");
        return;
    case PART_QUERY:
        (void)buf_adds(out, "the query");
        return;
    case PART_NAME:
        (void)buf_adds(out, "the name of a header");
        return;
    case PART_VALUE:
        break;
    }
    (void)buf_adds(out, "the header ");
    str_escape(out, part->name.p, part->name.n, 64);
}

static int refuse_secret(struct planner *pl, const struct part *part, const char *credential)
{
    AUTO(buf) where = BUF_INIT(512);
    part_words(part, &where);
    return inject_refuse(pl->no, INJECT_SECRET_SEEN, credential,
                         "%s holds the real secret of %.64s, which this sandbox should not know",
                         buf_str(&where), credential);
}

int planner_refuse_leak(struct planner *pl, const struct part *part, const char *credential)
{
    AUTO(buf) where = BUF_INIT(512);
    part_words(part, &where);
    return inject_refuse(pl->no, INJECT_LEAK, credential,
                         "%s holds the placeholder of %.64s, which does not belong to %.120s",
                         buf_str(&where), credential ? credential : "another session",
                         pl->to->host->text);
}

static int refuse_misplaced(struct planner *pl, const struct part *part, const char *credential)
{
    AUTO(buf) where = BUF_INIT(512);
    part_words(part, &where);
    return inject_refuse(pl->no, INJECT_MISPLACED, credential,
                         "%s holds the placeholder of %.64s where (or in a form in which) it is "
                         "not replaced",
                         buf_str(&where), credential);
}

/* The placeholder of a credential that is bound to this host, in a request that it is not for. */
static int refuse_unfit(struct planner *pl, const struct part *part,
                        const struct policy_candidate *c)
{
    const char *name = c->credential->name;
    bool plain = pl->to->transport != POLICY_TLS && !c->credential->plaintext;
    switch (c->fit) {
    case POLICY_FIT_PORT:
        if (!plain)
            return planner_refuse_leak(pl, part, name);
        break;
    case POLICY_FIT_PLAINTEXT:
        break;
    case POLICY_FIT_METHOD:
    case POLICY_FIT_PATH:
        return inject_refuse(pl->no, INJECT_MISPLACED, name, "%.64s is not for this %s on %.120s",
                             name, c->fit == POLICY_FIT_METHOD ? "method" : "path",
                             pl->to->host->text);
    case POLICY_FIT:
    case POLICY_FIT_LATER:
    case POLICY_FIT_VERDICT:
        return inject_refuse(pl->no, INJECT_UNSUBSTITUTED, name,
                             "the placeholder of %.64s belongs to %.120s and could not be "
                             "replaced: no rule of the policy allows the request",
                             name, pl->to->host->text);
    }
    return inject_refuse(pl->no, INJECT_PLAINTEXT, name,
                         "%.64s is sent over verified TLS only, and this connection to %.120s is "
                         "not encrypted; use https",
                         name, pl->to->host->text);
}

/* ---- one part ---- */

static const struct policy_candidate *candidate(const struct planner *pl, const char *name)
{
    const struct policy_decision *d = pl->decision;
    for (size_t i = 0; i < d->n_candidates; i++)
        if (str_eq(d->candidates[i].credential->name, name))
            return &d->candidates[i];
    return NULL;
}

static int claim(struct planner *pl, const struct part *part, const struct policy_credential *c,
                 const struct watched *w)
{
    int r = 0;
    for (size_t i = 0; i < c->n_places && r == 0; i++) {
        const struct inject_kind_ops *k = inject_kind_ops(c->places[i].kind);
        if (k && k->claim)
            r = k->claim(pl, part, c, &c->places[i], w);
    }
    return r;
}

/* What a placeholder in this part means: its places claim it, or it is refused. */
static int look_at_placeholders(struct planner *pl, const struct part *part,
                                const struct scrub_stream *s)
{
    const struct inject_watch *w = pl->world->watch;
    bool goes = part->kind != PART_VALUE || !planner_adds(pl, part->name);
    int r = 0;
    for (size_t i = 0; r == 0 && (i = watch_placeholder_found(w, s, i)) < w->n_placeholders; i++) {
        const struct watched *found = &w->placeholders[i];
        const struct policy_candidate *c = candidate(pl, found->credential);
        if (!c)
            r = planner_refuse_leak(pl, part, found->credential);
        else if (pl->no_places)
            r = refuse_misplaced(pl, part, found->credential);
        else if (goes && c->fit != POLICY_FIT)
            r = refuse_unfit(pl, part, c);
        else if (goes)
            r = claim(pl, part, c->credential, found);
    }
    return r;
}

static int by_place(const void *x, const void *y)
{
    const struct inject_site *a = x, *b = y;
    return a->at < b->at ? -1 : a->at > b->at;
}

/* The part without its pieces, and what of the pieces is not replaced; NULs between. */
static int without_pieces(const struct planner *pl, const struct part *part, struct buf *out)
{
    const struct inject_plan *p = pl->plan;
    size_t from = 0;
    int r = 0;
    for (size_t i = 0; i < p->n_sites && r == 0; i++) {
        const struct inject_site *s = &p->sites[i];
        if (s->part != part->kind || s->field != part->field || s->kind == INJECT_ADD)
            continue;
        r = buf_add(out, part->text.p + from, s->at - from);
        if (r == 0)
            r = buf_addc(out, '\0');
        from = s->at + s->n;
    }
    if (r == 0)
        r = buf_add(out, part->text.p + from, part->text.n - from);
    for (size_t i = 0; i < p->n_sites && r == 0; i++) {
        const struct inject_site *s = &p->sites[i];
        const struct inject_kind_ops *k = inject_kind_ops(s->kind);
        if (s->part != part->kind || s->field != part->field || !k->rest)
            continue;
        r = buf_addc(out, '\0');
        if (r == 0)
            r = k->rest(s, out);
    }
    return r;
}

static int look_at_rest(struct planner *pl, const struct part *part)
{
    struct inject_watch *w = pl->world->watch;
    AUTO(buf) rest = BUF_INIT(PART_MAX);
    AUTO(scrub_stream) s = {0};
    if (part->kind == PART_VALUE && planner_adds(pl, part->name))
        return 0; /* does not go out */
    if (pl->plan->n_sites > 1)
        qsort(pl->plan->sites, pl->plan->n_sites, sizeof(*pl->plan->sites), by_place);
    int r = without_pieces(pl, part, &rest);
    scrub_begin(&s, w->table, SCRUB_QUOTE_NONE, true);
    if (r == 0)
        r = scrub_whole(&s, rest.data, rest.len, NULL);
    if (r < 0 || s.hits == 0)
        return r;
    size_t i = watch_placeholder_found(w, &s, 0);
    if (i < w->n_placeholders)
        return refuse_misplaced(pl, part, w->placeholders[i].credential);
    return refuse_secret(pl, part, watch_secret_found(w, &s));
}

/* A part in which something was found. */
static int look_at_part(struct planner *pl, const struct part *part, const struct scrub_stream *s)
{
    const char *secret = watch_secret_found(pl->world->watch, s);
    if (secret)
        return refuse_secret(pl, part, secret);
    int r = look_at_placeholders(pl, part, s);
    return r < 0 ? r : look_at_rest(pl, part);
}

/* ---- the head ---- */

static int visit(struct planner *pl, const struct part *part, bool secrets_only)
{
    AUTO(scrub_stream) s = {0};
    scrub_begin(&s, pl->world->watch->table, SCRUB_QUOTE_NONE, true);
    int r = part->text.n ? scrub_whole(&s, part->text.p, part->text.n, NULL) : 0;
    if (r < 0 || s.hits == 0)
        return r;
    pl->hits -= s.hits < pl->hits ? s.hits : pl->hits;
    if (secrets_only) {
        const char *secret = watch_secret_found(pl->world->watch, &s);
        return secret ? refuse_secret(pl, part, secret) : 0;
    }
    return look_at_part(pl, part, &s);
}

/* One part after the other, until all that the first search has counted was met: no part has more than
 * it has in the whole, since nothing that is searched for has a NUL (watch.h). When a part was
 * refused, a secret in another one still is worse. */
static int step(struct planner *pl, const struct part *part, int so_far)
{
    if (pl->hits == 0)
        return so_far;
    if (so_far == 0)
        return visit(pl, part, false);
    if (so_far != -E_DENIED)
        return so_far;
    int r = visit(pl, part, true);
    return r < 0 ? r : so_far;
}

static int visit_field(struct planner *pl, const struct http_fields *fields, size_t i, int r)
{
    const struct http_field *f = &fields->items[i];
    struct part name = {PART_NAME, i, {NULL, 0}, http_field_spelled(f)};
    struct part value = {PART_VALUE, i, f->name, f->value};
    r = step(pl, &value, r);
    return step(pl, &name, r);
}

/* Where a placeholder stands mostly is looked at first: what comes behind the last one is not searched. */
static int visit_fields(struct planner *pl, const struct http_fields *fields, int r)
{
    for (int others = 0; others < 2; others++)
        for (size_t i = 0; i < fields->n; i++)
            if (http_text_eq(fields->items[i].name, "authorization") != others)
                r = visit_field(pl, fields, i, r);
    return r;
}

static int visit_all(struct planner *pl)
{
    const struct http_head *h = pl->head;
    const char *mark = h->path.n ? memchr(h->path.p, '?', h->path.n) : NULL;
    size_t path_n = mark ? (size_t)(mark - h->path.p) : h->path.n;
    struct part parts[] = {
        {PART_METHOD, SIZE_MAX, {NULL, 0}, h->method},
        {PART_AUTHORITY, SIZE_MAX, {NULL, 0}, h->authority},
        {PART_PATH, SIZE_MAX, {NULL, 0}, {h->path.p, path_n}},
        {PART_QUERY,
         SIZE_MAX,
         {NULL, 0},
         {mark ? mark + 1 : NULL, mark ? h->path.n - path_n - 1 : 0}},
    };
    int r = visit_fields(pl, &h->fields, 0);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        r = step(pl, &parts[i], r);
    return r;
}

/* The first search has counted more than the parts have: what it found goes from one into another, as
 * from the path into the query. No place replaces that. */
static int refuse_unmet(struct planner *pl)
{
    struct inject_watch *w = pl->world->watch;
    const struct part target = {PART_PATH, SIZE_MAX, {NULL, 0}, pl->head->path};
    AUTO(scrub_stream) s = {0};
    scrub_begin(&s, w->table, SCRUB_QUOTE_NONE, true);
    int r = target.text.n ? scrub_whole(&s, target.text.p, target.text.n, NULL) : 0;
    if (r < 0)
        return r;
    const char *secret = watch_secret_found(w, &s);
    if (secret)
        return refuse_secret(pl, &target, secret);
    size_t i = watch_placeholder_found(w, &s, 0);
    return refuse_misplaced(pl, &target,
                            i < w->n_placeholders ? w->placeholders[i].credential : "a credential");
}

static int head_hits(struct planner *pl)
{
    const struct http_head *h = pl->head;
    struct gather g; /* its bytes are not read before they are written */
    g.table = pl->world->watch->table;
    g.hits = 0;
    g.error = 0;
    g.n = 0;
    gather_add(&g, h->method);
    gather_add(&g, h->authority);
    gather_add(&g, h->path);
    for (size_t i = 0; i < h->fields.n; i++) {
        gather_add(&g, http_field_spelled(&h->fields.items[i]));
        gather_add(&g, h->fields.items[i].value);
    }
    return gather_end(&g, &pl->hits);
}

/* ---- together ---- */

static int begin_places(struct planner *pl)
{
    const struct policy_decision *d = pl->decision;
    int r = 0;
    for (size_t i = 0; i < d->n_candidates && r == 0; i++) {
        const struct policy_credential *c = d->candidates[i].credential;
        for (size_t k = 0; d->candidates[i].fit == POLICY_FIT && k < c->n_places && r == 0; k++) {
            const struct inject_kind_ops *ops = inject_kind_ops(c->places[k].kind);
            if (ops && ops->begin)
                r = ops->begin(pl, c, &c->places[k]);
        }
    }
    return r;
}

static int count(struct planner *pl)
{
    const struct inject_world *w = pl->world;
    struct inject_plan *p = pl->plan;
    for (size_t i = 0; w->limits && i < p->n_uses; i++) {
        const struct policy_credential *c = p->uses[i].credential;
        int64_t wait = inject_limits_wait(w->limits, c->name, &c->limits, w->now_ms);
        if (wait == 0)
            continue;
        int r = inject_refuse(pl->no, INJECT_LIMITED, c->name,
                              wait < 0 ? "%.64s has been used as often as it may be in one session"
                                       : "%.64s has been used as often as it may be for now; try "
                                         "again when Retry-After has passed",
                              c->name);
        pl->no->retry_after_ms = wait;
        return r;
    }
    for (size_t i = 0; w->limits && i < p->n_uses; i++) {
        const struct policy_credential *c = p->uses[i].credential;
        inject_limits_take(w->limits, c->name, &c->limits, w->now_ms);
    }
    return 0;
}

static int plan_all(struct planner *pl)
{
    int r = begin_places(pl);
    if (r == 0)
        r = head_hits(pl);
    if (r == 0 && pl->hits)
        r = visit_all(pl);
    if (r == 0 && pl->hits)
        r = refuse_unmet(pl);
    if (r == 0)
        r = strangers_check(pl);
    if (r == 0)
        r = require_check(pl);
    return r < 0 ? r : count(pl);
}

int inject_plan(const struct inject_world *w, const struct policy_decision *d,
                const struct inject_target *to, const struct http_head *h, struct inject_plan *ret,
                struct inject_refusal *ret_no)
{
    struct planner pl = {w, d, to, h, ret, ret_no, .no_places = false};
    ret->n_uses = ret->n_sites = 0;
    ret->unauthenticated = false;
    ret->sites = NULL;
    ret->watch = inject_watch_ref(w->watch);
    int r = plan_all(&pl);
    if (r < 0)
        inject_plan_done(ret);
    return r;
}

void inject_plan_done(struct inject_plan *p)
{
    if (!p)
        return;
    free(p->sites);
    inject_watch_unref(p->watch);
    p->sites = NULL;
    p->watch = NULL;
    p->n_sites = p->n_uses = 0;
}

int inject_check_trailers(const struct inject_world *w, const struct policy_decision *d,
                          const struct inject_target *to, const struct http_fields *trailers,
                          struct inject_refusal *ret_no)
{
    struct inject_plan plan = {.n_uses = 0};
    struct planner pl = {w, d, to, NULL, &plan, ret_no, .no_places = true, .hits = UINT64_MAX};
    return visit_fields(&pl, trailers, 0);
}
