/* secrets.c - the sources of a policy's credentials, and placeholders for them.
 *
 * On the keeper's loop. Names of credentials come from the policy, the operator's; a proxy can ask for
 * any of them, since it must have what it puts into requests. A new policy gets its sources before
 * the old one's are let go, so that what is the same in both is not read again. */
#include "egress/keeper/internal.h"

#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "scrub/scrub.h"

static void secret_entry_free(struct keeper_secret *s)
{
    if (!s)
        return;
    secret_source_unref(s->source);
    secret_value_unref(s->known);
    placeholder_format_free(s->format);
    free(s);
}

static void entries_done(struct map *m)
{
    size_t pos = 0;
    void *value;
    while (map_next(m, &pos, NULL, &value))
        secret_entry_free(value);
    map_done(m);
}

static void headers_done(struct keeper_headers *h)
{
    struct keeper_headers gone = *h;
    *h = (struct keeper_headers){.n = 0};
    for (size_t i = 0; i < gone.n; i++)
        secret_source_unref(gone.source[i]);
}

void secrets_done(struct keeper *k)
{
    headers_done(&k->headers);
    entries_done(&k->secrets);
    map_init(&k->secrets);
    secret_source_unref(k->proxy_password);
    k->proxy_password = NULL;
}

/* Whether a client sends something for it: only added headers need no placeholder. */
static bool needs_placeholder(const struct policy_credential *c)
{
    for (size_t i = 0; i < c->n_places; i++)
        if (c->places[i].kind != INJECT_ADD)
            return true;
    return false;
}

/* "keep" takes the shape of the real secret, which is read for it. */
static int choose_format(struct keeper_secret *s, const struct policy_credential *c,
                         bool only_check, struct err *e)
{
    int r = placeholder_format_choose(c->format, NULL, &s->format, e);
    if (r != -EAGAIN)
        return r;
    if (only_check)
        return 0;
    struct secret_value *v = NULL;
    r = secret_source_get(s->source, &v, e);
    if (r < 0)
        return r;
    r = placeholder_format_choose(c->format, secret_value_secret(v), &s->format, e);
    secret_value_unref(v);
    return r;
}

/* Names the field as a policy's own errors do. */
static int field_failed(const struct policy_credential *c, const char *field, int r, struct err *e)
{
    return c->line ? err_wrap(e, r, "egress.credentials[%u].%s (line %u): %s", c->position, field,
                              c->line, c->name)
                   : err_wrap(e, r, "egress.credentials[%u].%s: %s", c->position, field, c->name);
}

static int make_entry(struct keeper *k, const struct policy_credential *c, struct map *to,
                      struct err *e)
{
    struct keeper_secret *s = mem_new(struct keeper_secret);
    int r = secret_source_new(k->sources, c->source, 0, &s->source, e);
    if (r < 0)
        r = field_failed(c, "source", r, e);
    else if (needs_placeholder(c) && (r = choose_format(s, c, k->only_check, e)) < 0)
        r = field_failed(c, "format", r, e);
    if (r < 0) {
        secret_entry_free(s);
        return r;
    }
    MUST(!map_put(to, c->name, s)); /* the policy has no two of one name */
    return 0;
}

static int make_headers(struct keeper *k, const struct policy_otlp *otlp,
                        struct keeper_headers *ret, struct err *e)
{
    const char *name;
    json_t *source;
    if (!otlp)
        return 0;
    json_object_foreach (otlp->headers, name, source) {
        int r = secret_source_new(k->sources, source, 0, &ret->source[ret->n], e);
        if (r < 0)
            return err_wrap(e, r, "egress.audit.otlp.headers.%.64s", name);
        ret->n++;
    }
    return 0;
}

int secrets_take_policy(struct keeper *k, const struct policy *p, struct err *e)
{
    struct map fresh;
    map_init(&fresh);
    const struct policy_credential *const *all;
    const size_t n = policy_credentials(p, &all);
    const struct policy_proxy *proxy = policy_settings(p)->proxy;
    struct secret_source *password = NULL;
    int r = 0;
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = make_entry(k, all[i], &fresh, e);
    if (r >= 0 && proxy && proxy->password &&
        (r = secret_source_new(k->sources, proxy->password, 0, &password, e)) < 0)
        r = err_wrap(e, r, "egress.upstream_proxy.password");
    struct keeper_headers headers = {.n = 0};
    if (r >= 0)
        r = make_headers(k, policy_settings(p)->otlp, &headers, e);
    if (r < 0) {
        headers_done(&headers);
        secret_source_unref(password);
        entries_done(&fresh);
        return r;
    }
    k->old_secrets = k->secrets;
    k->old_password = k->proxy_password;
    k->old_headers = k->headers;
    k->secrets = fresh;
    k->proxy_password = password;
    k->headers = headers;
    return 0;
}

void secrets_let_go(struct keeper *k)
{
    struct secret_source *password = k->old_password;
    headers_done(&k->old_headers);
    entries_done(&k->old_secrets);
    map_init(&k->old_secrets);
    k->old_password = NULL;
    secret_source_unref(password);
}

int secrets_copy(const struct secret_value *v, struct secret *ret, struct err *e)
{
    const struct secret *value = secret_value_secret(v);
    int r = secret_set(ret, secret_borrow(value), value->len);
    return r < 0 ? err_set(e, r, "no memory for a secret") : 0;
}

static int get_value(struct secret_source *s, struct secret_value **ret, struct err *e)
{
    secret_source_ref(s); /* a new policy may let it go while we read */
    int r = secret_source_get(s, ret, e);
    secret_source_unref(s);
    return r;
}

static int copy_secret(struct secret_source *s, struct secret *ret, struct err *e)
{
    struct secret_value *v = NULL;
    int r = get_value(s, &v, e);
    if (r >= 0)
        r = secrets_copy(v, ret, e);
    secret_value_unref(v);
    return r;
}

int secrets_get(struct keeper *k, const char *credential, struct secret_value **ret, struct err *e)
{
    const struct keeper_secret *s = credential ? map_get(&k->secrets, credential) : NULL;
    if (!s)
        return err_set(e, -ENOENT, "the policy has no such credential");
    int r = get_value(s->source, ret, e);
    return r < 0 ? err_wrap(e, r, "credential %s", credential) : 0;
}

bool secrets_is_known(const struct keeper *k, const char *credential, const struct secret_value *v)
{
    const struct keeper_secret *s = map_get(&k->secrets, credential);
    if (!s || !s->known)
        return false;
    const struct secret *value = secret_value_secret(v); /* a program may print the same again */
    return s->known == v ||
           secret_eq(secret_value_secret(s->known), secret_borrow(value), value->len);
}

void secrets_set_known(struct keeper *k, const char *credential, struct secret_value *v)
{
    struct keeper_secret *s = map_get(&k->secrets, credential);
    if (!s)
        return;
    secret_value_ref(v);
    secret_value_unref(s->known);
    s->known = v;
}

int secrets_proxy_password(struct keeper *k, struct secret *ret, struct err *e)
{
    if (!k->proxy_password)
        return err_set(e, -ENOENT, "upstream_proxy has no password");
    int r = copy_secret(k->proxy_password, ret, e);
    return r < 0 ? err_wrap(e, r, "upstream_proxy: password") : r;
}

int secrets_header(struct keeper *k, const char *name, struct secret *ret, struct err *e)
{
    const struct policy_otlp *otlp = policy_settings(k->policy)->otlp;
    struct secret_source *named = NULL;
    const char *have;
    json_t *source;
    size_t i = 0;
    if (otlp) {
        json_object_foreach (otlp->headers, have, source) {
            named = str_eq(have, name) ? k->headers.source[i] : named;
            i++;
        }
    }
    return named ? copy_secret(named, ret, e)
                 : err_set(e, -ENOENT, "the policy has no such header");
}

static void look_at(struct keeper *k, const struct policy_credential *c, struct buf *out)
{
    static const char *const cheap[] = {"env", "file", "systemd"};
    struct secret_value *value = NULL;
    struct err e = {.code = 0};
    bool looks = false;
    for (size_t i = 0; i < ARRAY_LEN(cheap); i++)
        looks = looks || json_get_str(c->source, cheap[i]);
    if (!looks)
        return;
    if (secrets_get(k, c->name, &value, &e) < 0)
        (void)buf_addf(out, "%s; until then requests that need it get 502\n", e.msg);
    else if (secret_value_secret(value)->len < SCRUB_SECRET_MIN)
        (void)buf_addf(out,
                       "credential %s: has less than %u bytes, which nobody could find in an "
                       "answer; requests that need it get 502\n",
                       c->name, SCRUB_SECRET_MIN);
    secret_value_unref(value);
}

void secrets_warnings(struct keeper *k, struct buf *out)
{
    struct policy *p = policy_ref(k->policy); /* another one may come meanwhile */
    const struct policy_credential *const *all;
    const size_t n = policy_credentials(p, &all);
    for (size_t i = 0; i < n; i++)
        look_at(k, all[i], out);
    if (!secret_locked())
        (void)buf_adds(out,
                       "secrets cannot be locked in memory and may be written to swap; raise the "
                       "limit of locked memory (LimitMEMLOCK=, ulimit -l)\n");
    policy_unref(p);
}

int secrets_issue(struct keeper *k, const char *binding, json_t **ret, struct err *e)
{
    json_t *env = json_new_object();
    size_t pos = 0;
    const char *name;
    void *value;
    int r = 0;
    while (r >= 0 && map_next(&k->secrets, &pos, &name, &value)) {
        const struct keeper_secret *s = value;
        const struct placeholder *ph;
        if (!s->format)
            continue;
        r = placeholders_issue(k->placeholders, binding, name, s->format, &ph, e);
        if (r >= 0)
            json_put_str(env, name, ph->text);
    }
    if (r < 0) {
        placeholders_forget(k->placeholders, binding);
        json_decref(env);
        return r;
    }
    *ret = env;
    return 0;
}

int secrets_adopt(struct keeper *k, const char *binding, const json_t *env, struct err *e)
{
    const char *name;
    json_t *text;
    int r = 0;
    json_object_foreach ((json_t *)(uintptr_t)env, name, text) {
        const struct placeholder *ph;
        if (r >= 0 && json_is_string(text))
            r = placeholders_adopt(k->placeholders, binding, name, json_string_value(text), &ph, e);
    }
    return r;
}
