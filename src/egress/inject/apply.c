/* apply.c - writes the secrets of a plan into a head.
 *
 * Called on the fiber of the exchange, after the secrets have been fetched, which may have suspended: the
 * head must be the one that was planned, and each part is compared with what it was before anything is
 * written. Each part is written anew as a whole, into memory that is sized before and wiped after, then into
 * the head's arena, which is wiped at its end. What came from the sandbox between the pieces stays as it
 * came. */
#include "egress/inject/kind.h"

#include <string.h>

#include "base/buf.h"
#include "base/err.h"

#define WRITTEN_MAX (1u << 20) /* bytes of one part: pieces of 16 KiB each, percent-encoded */

struct writer {
    const struct inject_plan *plan;
    const struct secret *const *values;
    struct http_head *head;
    struct inject_refusal *no;
};

static const struct secret *value_of(const struct writer *w, size_t use)
{
    const struct secret *v = use == NO_USE ? NULL : w->values[use];
    return v && v->data ? v : NULL;
}

static int refuse_value(const struct writer *w, size_t use, const char *wrong)
{
    const char *name = w->plan->uses[use].credential->name;
    return inject_refuse(w->no, INJECT_UNSUBSTITUTED, name,
                         "the placeholder of %.64s could not be replaced: the secret %s", name,
                         wrong);
}

/* All values that the head needs, before any is written. */
static int check_values(const struct writer *w)
{
    for (size_t i = 0; i < w->plan->n_sites; i++) {
        const struct inject_site *s = &w->plan->sites[i];
        bool in_field = s->kind == INJECT_HEADER || s->kind == INJECT_ADD;
        for (int k = 0; k < 2; k++) {
            size_t use = k ? s->user : s->use;
            if (use == NO_USE)
                continue;
            const struct secret *v = value_of(w, use);
            const char *wrong = v ? value_wrong(v, in_field) : "could not be had from its source";
            if (wrong)
                return refuse_value(w, use, wrong);
        }
    }
    return 0;
}

static size_t room_for(const struct writer *w, const struct inject_site *s)
{
    const struct secret *v = value_of(w, s->use), *u = value_of(w, s->user);
    size_t text = s->place && s->place->text ? strlen(s->place->text) : 0;
    return 64 + text + 2 * s->n + 3 * (v ? v->len : 0) + 3 * (u ? u->len : 0);
}

static int render(const struct writer *w, const struct inject_site *s, struct buf *out)
{
    const char *wrong = NULL;
    int r =
        inject_kind_ops(s->kind)->render(s, value_of(w, s->use), value_of(w, s->user), out, &wrong);
    return wrong ? refuse_value(w, s->user != NO_USE ? s->user : s->use, wrong) : r;
}

static void wipe(struct buf *b)
{
    secret_wipe(b->data, b->cap);
    buf_done(b);
}

/* The field with the very text that was planned, wherever it stands now; or NULL. */
static struct http_field *planned_field(const struct writer *w, const struct inject_site *s)
{
    for (size_t i = 0; i < w->head->fields.n; i++) {
        struct http_field *f = &w->head->fields.items[i];
        if (f->value.p == s->text.p && f->value.n == s->text.n)
            return f;
    }
    return NULL;
}

static bool is_of(const struct inject_site *s, enum part_kind part, size_t field)
{
    return s->kind != INJECT_ADD && s->part == part && s->field == field;
}

/* One part with its pieces written anew; appended. */
static int write_part(const struct writer *w, enum part_kind part, size_t field,
                      struct http_text text, struct buf *out)
{
    const struct inject_plan *p = w->plan;
    size_t from = 0;
    int r = 0;
    for (size_t i = 0; i < p->n_sites && r == 0; i++) {
        const struct inject_site *s = &p->sites[i];
        if (!is_of(s, part, field))
            continue;
        r = buf_add(out, text.p + from, s->at - from);
        if (r == 0)
            r = render(w, s, out);
        from = s->at + s->n;
    }
    return r < 0 ? r : buf_add(out, text.p + from, text.n - from);
}

static size_t part_room(const struct writer *w, enum part_kind part, size_t field)
{
    size_t room = 0;
    for (size_t i = 0; i < w->plan->n_sites; i++)
        if (is_of(&w->plan->sites[i], part, field))
            room += room_for(w, &w->plan->sites[i]);
    return room;
}

static int write_value(const struct writer *w, const struct inject_site *s)
{
    struct http_field *f = planned_field(w, s);
    size_t field = s->field;
    struct buf out = BUF_INIT(WRITTEN_MAX);
    int r = buf_room(&out, f->value.n + part_room(w, PART_VALUE, field)) ? 0 : -E_LIMIT;
    if (r == 0)
        r = write_part(w, PART_VALUE, field, f->value, &out);
    if (r == 0) {
        f->value = http_head_copy(w->head, out.data, out.len);
        f->sensitive = true;
    }
    wipe(&out);
    return r;
}

static int write_target(const struct writer *w)
{
    struct http_text all = w->head->path;
    const char *mark = memchr(all.p, '?', all.n);
    struct http_text path = {all.p, mark ? (size_t)(mark - all.p) : all.n};
    struct http_text query = {mark ? mark + 1 : "", mark ? all.n - path.n - 1 : 0};
    struct buf out = BUF_INIT(WRITTEN_MAX);
    size_t room = all.n + part_room(w, PART_PATH, SIZE_MAX) + part_room(w, PART_QUERY, SIZE_MAX);
    int r = buf_room(&out, room) ? 0 : -E_LIMIT;
    if (r == 0)
        r = write_part(w, PART_PATH, SIZE_MAX, path, &out);
    if (r == 0 && mark)
        r = buf_addc(&out, '?');
    if (r == 0 && mark)
        r = write_part(w, PART_QUERY, SIZE_MAX, query, &out);
    if (r == 0)
        w->head->path = http_head_copy(w->head, out.data, out.len);
    wipe(&out);
    return r;
}

static int write_added(const struct writer *w, const struct inject_site *s)
{
    struct buf out = BUF_INIT(WRITTEN_MAX);
    int r = buf_room(&out, room_for(w, s)) ? render(w, s, &out) : -E_LIMIT;
    const char *name = s->place->name;
    (void)http_fields_remove(&w->head->fields, name);
    if (r == 0)
        r = http_head_add(w->head, http_head_copy(w->head, name, strlen(name)),
                          http_head_copy(w->head, out.data, out.len));
    if (r == 0)
        w->head->fields.items[w->head->fields.n - 1].sensitive = true;
    wipe(&out);
    return r;
}

/* Somebody has changed the head since it was planned: nothing is written where it no longer belongs. */
static bool is_as_planned(const struct writer *w, const struct inject_site *s)
{
    if (s->kind == INJECT_ADD)
        return true;
    if (s->part == PART_VALUE)
        return planned_field(w, s) != NULL;
    const char *p = w->head->path.p;
    return p && s->text.p >= p && s->text.p + s->text.n <= p + w->head->path.n;
}

static int write_all(const struct writer *w)
{
    const struct inject_plan *p = w->plan;
    bool target = false;
    int r = 0;
    for (size_t i = 0; i < p->n_sites; i++)
        if (!is_as_planned(w, &p->sites[i]))
            return -EINVAL;
    for (size_t i = 0; i < p->n_sites && r == 0; i++) {
        const struct inject_site *s = &p->sites[i];
        bool first = true;
        for (size_t k = 0; k < i; k++)
            first = first && !is_of(&p->sites[k], s->part, s->field);
        if (s->kind == INJECT_ADD || (s->part == PART_VALUE && !first))
            continue;
        if (s->part == PART_VALUE)
            r = write_value(w, s);
        else if (!target)
            r = write_target(w);
        target = target || s->part != PART_VALUE;
    }
    for (size_t i = 0; i < p->n_sites && r == 0; i++) /* last: it moves the fields */
        if (p->sites[i].kind == INJECT_ADD)
            r = write_added(w, &p->sites[i]);
    return r;
}

int inject_apply(const struct inject_plan *p, const struct secret *const values[],
                 struct http_head *h, struct inject_refusal *ret_no)
{
    struct writer w = {p, values, h, ret_no};
    if (p->n_sites == 0)
        return 0;
    int r = check_values(&w);
    if (r < 0)
        return r;
    h->arena.secret = true;
    r = write_all(&w);
    if (r == 0 || r == -E_DENIED || r == -ENOMEM)
        return r;
    size_t use = p->sites[0].use != NO_USE ? p->sites[0].use : p->sites[0].user;
    return refuse_value(&w, use, r == -EINVAL ? "was meant for another head" : "does not fit");
}
