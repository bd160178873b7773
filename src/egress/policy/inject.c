/* inject.c - one reader for each kind of injection that is built.
 *
 * Called at load by credential.c and vault.c. A row of inject_kinds.def without a reader is refused before
 * it comes here. The author of the policy controls the text; header names become part of requests,
 * so they are tokens, and the text of an added header has no control characters (place_text).
 * Headers that frame a message or name its target can hold no credential. */
#include "egress/policy/inject.h"

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "egress/policy/fields.h"

static const char *const headers[] = {"authorization", "x-api-key", "private-token",
                                      "proxy-authorization"};
static const char *const bodies[] = {"application/json", "application/x-www-form-urlencoded",
                                     "text/*"};
static const char *const never[] = {"host",       "content-length", "transfer-encoding",
                                    "te",         "trailer",        "connection",
                                    "keep-alive", "upgrade",        "proxy-connection",
                                    "expect",     "content-type"};

static const char *const names[] = {
#define INJECT(key, constant, reader, type, def, meaning) key,
#include "egress/policy/inject_kinds.def"
#undef INJECT
};

const char *inject_kind_name(enum inject_kind k)
{
    return names[k];
}

static void append(struct policy_credential *c, struct policy_place p)
{
    MUST(c->n_places < INJECT_PLACES_MAX);
    if (!c->places)
        c->places = mem_array(INJECT_PLACES_MAX, sizeof(*c->places));
    c->places[c->n_places++] = p;
}

static int has_room(const struct place *at, const struct policy_credential *c)
{
    if (c->n_places == INJECT_PLACES_MAX)
        return place_fail(at, "a credential has at most %d places", INJECT_PLACES_MAX);
    return 0;
}

static char *lower_copy(const char *s)
{
    char *t = mem_strdup(s);
    for (char *p = t; *p; p++)
        *p = str_lower_c(*p);
    return t;
}

static bool is_token(const char *s)
{
    for (; *s; s++)
        if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
              strchr("!#$%&'*+-.^_`|~", *s)))
            return false;
    return true;
}

/* A lower-case header name, malloc'ed. */
static int header_name(const struct place *at, const char *s, char **ret)
{
    if (!*s || strlen(s) > 64 || !is_token(s))
        return place_fail(at, "a header name is expected");
    for (size_t i = 0; i < ARRAY_LEN(never); i++)
        if (str_ieq(s, never[i]))
            return place_fail(at, "this header cannot hold a credential");
    *ret = lower_copy(s);
    return 0;
}

typedef int name_reader(const struct place *at, const char *s, char **ret);

static int read_names(const struct place *list, enum inject_kind kind, name_reader *name,
                      struct policy_credential *c)
{
    size_t n;
    int r = place_list(list, INJECT_PLACES_MAX, &n);
    if (r == 0 && n == 0)
        return place_fail(list, "is empty; name what is meant");
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct place at = place_item(list, i);
        struct policy_place p = {.kind = kind};
        const char *s;
        r = place_text(&at, 256, &s);
        if (r == 0)
            r = has_room(&at, c);
        if (r == 0)
            r = name(&at, s, &p.name);
        if (r == 0)
            append(c, p);
    }
    return r;
}

static int read_header(const struct place *at, enum inject_kind kind, struct policy_credential *c)
{
    return read_names(at, kind, header_name, c);
}

/* Compared with the decoded name, so it is written as it is meant. */
static int query_name(const struct place *at, const char *s, char **ret)
{
    (void)at;
    *ret = mem_strdup(s);
    return 0;
}

static int read_query(const struct place *at, enum inject_kind kind, struct policy_credential *c)
{
    return read_names(at, kind, query_name, c);
}

static int content_type(const struct place *at, const char *s, char **ret)
{
    const char *slash = strchr(s, '/');
    char *type = slash ? mem_strndup(s, (size_t)(slash - s)) : NULL;
    bool good = type && *type && is_token(type) && !strchr(type, '*') && slash[1] &&
                (str_eq(slash + 1, "*") || (is_token(slash + 1) && !strchr(slash + 1, '*')));
    free(type);
    if (!good)
        return place_fail(at, "a content type is expected: \"application/json\", \"text/*\"");
    *ret = lower_copy(s);
    return 0;
}

static int read_body(const struct place *at, enum inject_kind kind, struct policy_credential *c)
{
    if (!json_is_boolean(at->value))
        return read_names(at, kind, content_type, c);
    if (json_is_true(at->value)) {
        if (c->n_places + ARRAY_LEN(bodies) > INJECT_PLACES_MAX)
            return place_fail(at, "a credential has at most %d places", INJECT_PLACES_MAX);
        inject_default_bodies(c);
    }
    return 0;
}

static int read_switch(const struct place *at, enum inject_kind kind, struct policy_credential *c)
{
    bool on = false;
    int r = place_bool(at, &on);
    if (r == 0)
        r = has_room(at, c);
    if (r == 0 && on)
        append(c, (struct policy_place){.kind = kind});
    return r;
}

static int read_websocket(const struct place *at, enum inject_kind kind,
                          struct policy_credential *c)
{
    static const char *const which[] = {"first", "all", NULL};
    unsigned i = 0;
    int r = place_choice(at, which, &i);
    if (r == 0)
        r = has_room(at, c);
    if (r == 0)
        append(c, (struct policy_place){.kind = kind, .all = i == 1});
    return r;
}

static int read_add(const struct place *at, enum inject_kind kind, struct policy_credential *c)
{
    static const char secret[] = "{secret}";
    if (!json_is_object(at->value) || json_object_size(at->value) == 0)
        return place_fail(at, "an object of header names and texts is expected");
    const char *key;
    json_t *v;
    json_object_foreach ((json_t *)(uintptr_t)at->value, key, v) {
        struct place member = place_member(at, key);
        struct policy_place p = {.kind = kind};
        const char *text;
        int r = place_text(&member, 512, &text);
        if (r == 0)
            r = has_room(&member, c);
        if (r < 0)
            return r;
        const char *first = strstr(text, secret);
        if (!first || strstr(first + 1, secret))
            return place_fail(&member, "the text has \"{secret}\" exactly once, as in "
                                       "\"Bearer {secret}\"");
        r = header_name(&member, key, &p.name);
        if (r < 0)
            return r;
        p.text = mem_strdup(text);
        append(c, p);
    }
    return 0;
}

typedef int reader(const struct place *at, enum inject_kind kind, struct policy_credential *c);

static reader *const readers[] = {
#define INJECT(key, constant, read, type, def, meaning) read,
#include "egress/policy/inject_kinds.def"
#undef INJECT
};

int inject_read(const struct place *inject, struct policy_credential *c)
{
    if (!inject->value) {
        inject_default_headers(c);
        return 0;
    }
    int r = place_object(inject, FIELD_INJECT);
    for (unsigned k = 0; r == 0 && k < INJECT_KINDS; k++) {
        struct place at = place_member(inject, names[k]);
        if (at.value)
            r = readers[k](&at, (enum inject_kind)k, c);
    }
    if (r == 0 && c->n_places == 0)
        r = place_fail(inject, "names no place; leave it out for the default");
    return r;
}

void inject_default_headers(struct policy_credential *c)
{
    for (size_t i = 0; i < ARRAY_LEN(headers); i++)
        append(c, (struct policy_place){.kind = INJECT_HEADER, .name = mem_strdup(headers[i])});
    append(c, (struct policy_place){.kind = INJECT_BASIC});
}

void inject_default_bodies(struct policy_credential *c)
{
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
        append(c, (struct policy_place){.kind = INJECT_BODY, .name = mem_strdup(bodies[i])});
}

void inject_done(struct policy_credential *c)
{
    for (size_t i = 0; i < c->n_places; i++) {
        free(c->places[i].name);
        free(c->places[i].text);
    }
    free(c->places);
    c->places = NULL;
    c->n_places = 0;
}

static bool types_meet(const char *a, const char *b)
{
    size_t na = strcspn(a, "/"), nb = strcspn(b, "/");
    if (na != nb || memcmp(a, b, na) != 0)
        return false;
    return a[na + 1] == '*' || b[nb + 1] == '*' || str_eq(a, b);
}

/* The header whose value the place is part of, or NULL. */
static const char *header_of(const struct policy_place *p)
{
    return p->kind == INJECT_BASIC                             ? "authorization"
           : p->kind == INJECT_HEADER || p->kind == INJECT_ADD ? p->name
                                                               : NULL;
}

bool inject_places_meet(const struct policy_place *a, const struct policy_place *b)
{
    const char *ha = header_of(a), *hb = header_of(b);
    if (ha && hb) {
        if (!str_eq(ha, hb))
            return false;
        /* Basic and a bare placeholder in the same header tell themselves apart by their scheme. */
        return a->kind == b->kind || a->kind == INJECT_ADD || b->kind == INJECT_ADD;
    }
    if (a->kind != b->kind)
        return false;
    if (a->kind == INJECT_QUERY)
        return str_eq(a->name, b->name);
    return a->kind == INJECT_BODY ? types_meet(a->name, b->name) : true;
}

void inject_place_text(const struct policy_place *p, struct buf *out)
{
    (void)buf_adds(out, names[p->kind]);
    if (p->name) {
        (void)buf_addc(out, ' ');
        str_escape(out, p->name, strlen(p->name), 80);
    }
    if (p->kind == INJECT_WEBSOCKET)
        (void)buf_adds(out, p->all ? " all" : " first");
}
