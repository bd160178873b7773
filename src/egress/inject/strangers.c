/* strangers.c - placeholders of other sessions, in the fields that hold logins.
 *
 * Called once for each request, after the session's own placeholders were looked for. There may be
 * thousands of other sessions, so they are in no table that is searched for: whole words, and both halves
 * of a Basic login, are looked up under a keyed hash. A sandbox that has one must have got it from another
 * sandbox, which somebody should hear of; sending it is worth nothing, so where it is not looked for
 * nothing is lost. */
#include "egress/inject/kind.h"

#include "base/buf.h"
#include "base/str.h"

#define LOGIN_MAX (64u << 10)

static bool is_stranger(const struct planner *pl, const char *p, size_t n)
{
    const struct placeholder *x = placeholders_find(pl->world->placeholders, p, n);
    return x && !str_eq(x->session, pl->world->session);
}

/* Looks up whatever stands between white space and commas. */
static bool has_stranger(const struct planner *pl, struct http_text t)
{
    size_t from = 0;
    for (size_t i = 0; i <= t.n; i++) {
        if (i < t.n && t.p[i] != ' ' && t.p[i] != '\t' && t.p[i] != ',' && t.p[i] != '"')
            continue;
        if (is_stranger(pl, t.p + from, i - from))
            return true;
        from = i + 1;
    }
    return false;
}

static bool login_has_stranger(const struct planner *pl, struct http_text value)
{
    size_t at, n, user_n;
    AUTO(buf) login = BUF_INIT(LOGIN_MAX);
    if (!basic_token(value, &at, &n) || basic_decode(value.p + at, n, &login, &user_n) < 0)
        return false;
    return is_stranger(pl, login.data, user_n) ||
           is_stranger(pl, login.data + user_n + 1, login.len - user_n - 1);
}

/* As http_text_eq; most names differ in their first letter. */
static bool is_named(struct http_text name, const char *s)
{
    return name.n && name.p[0] == s[0] && http_text_eq(name, s);
}

static bool is_login(const struct planner *pl, struct http_text name)
{
    static const char *const logins[] = {"authorization", "proxy-authorization", "x-api-key",
                                         "private-token"};
    for (size_t i = 0; i < ARRAY_LEN(logins); i++)
        if (is_named(name, logins[i]))
            return true;
    const struct policy_decision *d = pl->decision;
    for (size_t i = 0; i < d->n_candidates; i++)
        for (size_t k = 0; k < d->candidates[i].credential->n_places; k++) {
            const struct policy_place *p = &d->candidates[i].credential->places[k];
            if (p->kind == INJECT_HEADER && is_named(name, p->name))
                return true;
        }
    return false;
}

int strangers_check(struct planner *pl)
{
    for (size_t i = 0; i < pl->head->fields.n; i++) {
        const struct http_field *f = &pl->head->fields.items[i];
        struct part part = {PART_VALUE, i, f->name, f->value};
        if (f->value.n >= PLACEHOLDER_MIN && is_login(pl, f->name) &&
            (has_stranger(pl, f->value) || login_has_stranger(pl, f->value)))
            return planner_refuse_leak(pl, &part, NULL);
    }
    return 0;
}
