/* schema.c - reads a schema once, and checks arguments against it.
 *
 * Reading is for an operator's file; a keyword that is not known is refused there, because a constraint that
 * nobody checks is how a boundary gets left open. So is one that speaks of one kind of value and lets all
 * others pass, as in the standard: there are servers that take ["x"] for "x" and "5" for 5. Checking is for what a caller
 * sends: of any shape, 64 levels deep at most. What recurses is bounded by the schema, SCHEMA_DEPTH levels,
 * and never by the value: where the schema ends nothing is looked at. Patterns have a budget. What cannot be
 * told (a budget that is used up, a member in another spelling) is neither met nor not met, or `not` would
 * turn it into a yes: it is noted once, ends the checking, and no keyword around it makes it good. Numbers are
 * compared as integers where both are, else as reals, so that 1 and 1.0 are one number. */
#include "mcp/policy/schema.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/regex.h"
#include "base/str.h"
#include "mcp/wire/body.h"

#define KEYS_MAX 256 /* of enum, required, properties, allOf, anyOf */

enum type {
    T_NULL = 1,
    T_BOOLEAN = 2,
    T_OBJECT = 4,
    T_ARRAY = 8,
    T_NUMBER = 16,
    T_STRING = 32,
    T_INTEGER = 64,
    T_ANY = 127
};

struct member {
    const char *name;
    struct schema *schema;
};
struct schema {
    unsigned types; /* 0: any */
    const json_t *values, *constant;
    const json_t *minimum, *maximum, *above, *below;
    int64_t min_length, max_length, min_items, max_items; /* -1: none */
    struct regex *pattern;
    struct member *members;
    size_t n_members;
    const json_t *required;
    bool closed;
    struct schema *others, *items, *no; /* others: of members that are not named */
    struct schema **all, **any;
    size_t n_all, n_any;
};

/* ---- reading ---- */

static int read_at(const struct place *at, unsigned depth, struct schema **ret);

static int read_type(const struct place *at, unsigned *ret)
{
    static const char *const names[] = {"null",   "boolean", "object",  "array",
                                        "number", "string",  "integer", NULL};
    const bool list = json_is_array(at->value);
    size_t n = 1;
    int r = list ? place_list(at, 7, &n) : 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct place one = list ? place_item(at, i) : *at;
        unsigned which;
        r = place_choice(&one, names, &which);
        if (r == 0)
            *ret |= 1u << which;
    }
    return r < 0 || *ret ? r : place_fail(at, "names no type");
}

static bool is_scalar(const json_t *j)
{
    return j && !json_is_object(j) && !json_is_array(j);
}

static int read_values(const struct place *at, const json_t **ret)
{
    size_t n;
    int r = place_list(at, KEYS_MAX, &n);
    if (r == 0 && n == 0)
        return place_fail(at, "is empty");
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct place one = place_item(at, i);
        if (!is_scalar(one.value))
            return place_fail(&one, "a text, a number, true, false or null is expected");
    }
    *ret = at->value;
    return r;
}

static int read_constant(const struct place *at, const json_t **ret)
{
    *ret = at->value;
    return is_scalar(at->value)
               ? 0
               : place_fail(at, "a text, a number, true, false or null is expected");
}

static int read_limit(const struct place *at, const json_t **ret)
{
    *ret = at->value;
    return json_is_number(at->value) ? 0 : place_fail(at, "a number is expected");
}

static int read_required(const struct place *at, const json_t **ret)
{
    size_t n;
    int r = place_list(at, KEYS_MAX, &n);
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct place one = place_item(at, i);
        const char *name;
        r = place_text(&one, 256, &name);
    }
    *ret = at->value;
    return r;
}

static int read_pattern(const struct place *at, struct regex **ret)
{
    struct err why = {0};
    const char *text;
    int r = place_text(at, 1000, &text);
    if (r < 0)
        return r;
    *ret = regex_new(text, REGEX_END | REGEX_METERED, &why);
    return *ret ? 0 : place_wrap(at, &why);
}

static int read_members(const struct place *at, unsigned depth, struct schema *s)
{
    const char *name;
    json_t *v;
    if (!json_is_object(at->value) || json_object_size(at->value) > KEYS_MAX)
        return place_fail(at, "an object with at most %d members is expected", KEYS_MAX);
    s->members = mem_array(json_object_size(at->value) + 1, sizeof(*s->members));
    /* jansson's iteration only reads; its prototype predates const. */
    json_object_foreach ((json_t *)(uintptr_t)at->value, name, v) {
        struct place one = place_member(at, name);
        struct member *m = &s->members[s->n_members++];
        *m = (struct member){.name = name};
        int r = read_at(&one, depth + 1, &m->schema);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_others(const struct place *at, unsigned depth, struct schema *s)
{
    if (!json_is_boolean(at->value))
        return read_at(at, depth + 1, &s->others);
    s->closed = json_is_false(at->value);
    return 0;
}

static int read_list(const struct place *at, unsigned depth, struct schema ***ret, size_t *ret_n)
{
    size_t n;
    int r = place_list(at, KEYS_MAX, &n);
    if (r < 0)
        return r;
    if (n == 0)
        return place_fail(at, "is empty");
    *ret = mem_array(n, sizeof(**ret));
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct place one = place_item(at, i);
        (*ret)[(*ret_n)++] = NULL;
        r = read_at(&one, depth + 1, &(*ret)[i]);
    }
    return r;
}

static bool says_nothing(const char *key)
{
    static const char *const keys[] = {"title",    "description", "default",
                                       "examples", "deprecated",  "$comment"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (str_eq(key, keys[i]))
            return true;
    return false;
}

/* About the value itself. 1: it is another keyword. */
static int read_plain(const struct place *at, const char *key, struct schema *s)
{
    const int64_t most = 1 << 30;
    if (str_eq(key, "type"))
        return read_type(at, &s->types);
    if (str_eq(key, "enum"))
        return read_values(at, &s->values);
    if (str_eq(key, "const"))
        return read_constant(at, &s->constant);
    if (str_eq(key, "pattern"))
        return read_pattern(at, &s->pattern);
    if (str_eq(key, "minLength"))
        return place_number(at, 0, most, &s->min_length);
    if (str_eq(key, "maxLength"))
        return place_number(at, 0, most, &s->max_length);
    if (str_eq(key, "minItems"))
        return place_number(at, 0, most, &s->min_items);
    if (str_eq(key, "maxItems"))
        return place_number(at, 0, most, &s->max_items);
    if (str_eq(key, "minimum"))
        return read_limit(at, &s->minimum);
    if (str_eq(key, "maximum"))
        return read_limit(at, &s->maximum);
    if (str_eq(key, "exclusiveMinimum"))
        return read_limit(at, &s->above);
    if (str_eq(key, "exclusiveMaximum"))
        return read_limit(at, &s->below);
    return says_nothing(key) ? 0 : 1;
}

/* About what is inside of it. */
static int read_inside(const struct place *at, const char *key, unsigned depth, struct schema *s)
{
    if (str_eq(key, "properties"))
        return read_members(at, depth, s);
    if (str_eq(key, "required"))
        return read_required(at, &s->required);
    if (str_eq(key, "additionalProperties"))
        return read_others(at, depth, s);
    if (str_eq(key, "items"))
        return read_at(at, depth + 1, &s->items);
    if (str_eq(key, "allOf"))
        return read_list(at, depth, &s->all, &s->n_all);
    if (str_eq(key, "anyOf"))
        return read_list(at, depth, &s->any, &s->n_any);
    if (str_eq(key, "not"))
        return read_at(at, depth + 1, &s->no);
    if (str_eq(key, "$ref") || str_eq(key, "$dynamicRef"))
        return place_fail(at, "is not followed: write the schema here");
    return place_fail(at, "is no keyword that is checked here");
}

/* What a keyword speaks of, when it has nothing to say about the other kinds. */
static const struct kind {
    const char *key;
    unsigned types;
    const char *words;
} kinds[] = {
    {"pattern", T_STRING, "\"type: string\""},
    {"minLength", T_STRING, "\"type: string\""},
    {"maxLength", T_STRING, "\"type: string\""},
    {"minimum", T_NUMBER | T_INTEGER, "\"type: number\" or \"type: integer\""},
    {"maximum", T_NUMBER | T_INTEGER, "\"type: number\" or \"type: integer\""},
    {"exclusiveMinimum", T_NUMBER | T_INTEGER, "\"type: number\" or \"type: integer\""},
    {"exclusiveMaximum", T_NUMBER | T_INTEGER, "\"type: number\" or \"type: integer\""},
    {"items", T_ARRAY, "\"type: array\""},
    {"minItems", T_ARRAY, "\"type: array\""},
    {"maxItems", T_ARRAY, "\"type: array\""},
    {"properties", T_OBJECT, "\"type: object\""},
    {"required", T_OBJECT, "\"type: object\""},
    {"additionalProperties", T_OBJECT, "\"type: object\""},
    {"not", T_ANY, "a \"type\""},
};

/* A keyword of one kind stands beside a type that names this kind, so that whoever reads it sees what passes. */
static int check_kinds(const struct place *at, const struct schema *s)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct place one = place_member(at, kinds[i].key);
        if (one.value && !(s->types & kinds[i].types))
            return place_fail(&one, "needs %s beside it, or values of other kinds pass",
                              kinds[i].words);
    }
    return 0;
}

static int read_at(const struct place *at, unsigned depth, struct schema **ret)
{
    const char *key;
    json_t *v;
    if (!json_is_object(at->value))
        return place_fail(at, "a schema is expected, as in {enum: [ACME]}");
    if (depth >= SCHEMA_DEPTH)
        return place_fail(at, "is nested more than %d levels deep", SCHEMA_DEPTH);
    struct schema *s = *ret = mem_new(struct schema);
    s->min_length = s->max_length = s->min_items = s->max_items = -1;
    /* jansson's iteration only reads; its prototype predates const. */
    json_object_foreach ((json_t *)(uintptr_t)at->value, key, v) {
        struct place one = place_member(at, key);
        int r = read_plain(&one, key, s);
        if (r > 0)
            r = read_inside(&one, key, depth, s);
        if (r < 0)
            return r;
    }
    return check_kinds(at, s);
}

int schema_read(const struct place *at, struct schema **ret)
{
    struct schema *s = NULL;
    int r = read_at(at, 0, &s);
    if (r < 0)
        schema_free(s);
    else
        *ret = s;
    return r;
}

void schema_free(struct schema *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_members; i++)
        schema_free(s->members[i].schema);
    for (size_t i = 0; i < s->n_all; i++)
        schema_free(s->all[i]);
    for (size_t i = 0; i < s->n_any; i++)
        schema_free(s->any[i]);
    schema_free(s->others);
    schema_free(s->items);
    schema_free(s->no);
    free(s->members);
    free(s->all);
    free(s->any);
    regex_free(s->pattern);
    free(s);
}

/* ---- checking ---- */

struct check {
    struct schema_budget *budget;
    struct schema_fault *fault;
    bool unsure; /* stays: what is told is where it began */
};

static bool meets(const struct schema *s, const json_t *v, size_t at, struct check *c);

static bool fails(struct check *c, size_t at, const char *keyword)
{
    if (c->unsure)
        return false;
    c->fault->path[at] = '\0';
    c->fault->keyword = keyword;
    return false;
}

static bool cannot_tell(struct check *c, size_t at, const char *why)
{
    (void)fails(c, at, why);
    c->unsure = true;
    return false;
}

/* <0, 0, >0. */
static int compare(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b)) {
        json_int_t x = json_integer_value(a), y = json_integer_value(b);
        return (x > y) - (x < y);
    }
    double x = json_number_value(a), y = json_number_value(b);
    return (x > y) - (x < y);
}

static bool same(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return compare(a, b) == 0;
    return json_equal(a, b);
}

static unsigned types_of(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_NULL:
        return T_NULL;
    case JSON_TRUE:
    case JSON_FALSE:
        return T_BOOLEAN;
    case JSON_OBJECT:
        return T_OBJECT;
    case JSON_ARRAY:
        return T_ARRAY;
    case JSON_STRING:
        return T_STRING;
    case JSON_INTEGER:
        return T_NUMBER | T_INTEGER;
    case JSON_REAL:
        break;
    }
    const double d = json_real_value(v);
    const bool whole = d >= -9e15 && d <= 9e15 && d == (double)(int64_t)d;
    return T_NUMBER | (whole ? T_INTEGER : 0u);
}

static bool meets_value(const struct schema *s, const json_t *v, size_t at, struct check *c)
{
    if (s->types && !(s->types & types_of(v)))
        return fails(c, at, "type");
    if (s->constant && !same(s->constant, v))
        return fails(c, at, "const");
    bool found = !s->values;
    for (size_t i = 0; !found && i < json_array_size(s->values); i++)
        found = same(json_array_get(s->values, i), v);
    return found ? true : fails(c, at, "enum");
}

static bool meets_number(const struct schema *s, const json_t *v, size_t at, struct check *c)
{
    if (s->minimum && compare(v, s->minimum) < 0)
        return fails(c, at, "minimum");
    if (s->maximum && compare(v, s->maximum) > 0)
        return fails(c, at, "maximum");
    if (s->above && compare(v, s->above) <= 0)
        return fails(c, at, "exclusiveMinimum");
    if (s->below && compare(v, s->below) >= 0)
        return fails(c, at, "exclusiveMaximum");
    return true;
}

static bool meets_pattern(const struct regex *pattern, const char *text, size_t n, size_t at,
                          struct check *c)
{
    struct schema_budget *b = c->budget;
    if (n > SCHEMA_TEXT_MAX)
        return cannot_tell(c, at, "pattern, of a text above 4096 bytes");
    if (n > b->bytes)
        return cannot_tell(c, at, "pattern, of texts above 64 KiB together");
    b->bytes -= n;
    int r = regex_find_metered(pattern, text, n, &b->steps);
    if (r < 0)
        return cannot_tell(c, at, "pattern, which takes too long");
    return r == 1 ? true : fails(c, at, "pattern");
}

static bool meets_text(const struct schema *s, const json_t *v, size_t at, struct check *c)
{
    const char *text = json_string_value(v);
    const size_t n = json_string_length(v);
    const int64_t length = (int64_t)str_utf8_len(text, n);
    if (s->min_length >= 0 && length < s->min_length)
        return fails(c, at, "minLength");
    if (s->max_length >= 0 && length > s->max_length)
        return fails(c, at, "maxLength");
    return s->pattern ? meets_pattern(s->pattern, text, n, at, c) : true;
}

/* Writes where a part is behind the path so far, as far as there is room; returns its end. */
static size_t add_path(struct schema_fault *f, size_t at, const char *name, size_t index)
{
    char part[SCHEMA_PATH_MAX];
    int n = name ? snprintf(part, sizeof(part), ".%.60s", name)
                 : snprintf(part, sizeof(part), "[%zu]", index);
    if (n < 0 || at + (size_t)n + 1 > sizeof(f->path))
        return at;
    memcpy(f->path + at, part, (size_t)n + 1);
    return at + (size_t)n;
}

static const struct schema *member_of(const struct schema *s, const char *name)
{
    for (size_t i = 0; i < s->n_members; i++)
        if (str_eq(s->members[i].name, name))
            return s->members[i].schema;
    return NULL;
}

/* Some servers would take it for a member that is named. */
static bool is_look_alike(const struct schema *s, const char *name)
{
    bool folds = false;
    for (size_t i = 0; i < s->n_members; i++) {
        if (str_eq(s->members[i].name, name))
            return false;
        folds = folds || mcp_name_folds(s->members[i].name, name);
    }
    for (size_t i = 0; i < json_array_size(s->required); i++) {
        const char *named = json_string_value(json_array_get(s->required, i));
        if (str_eq(named, name))
            return false;
        folds = folds || mcp_name_folds(named, name);
    }
    return folds;
}

static bool meets_object(const struct schema *s, const json_t *v, size_t at, struct check *c)
{
    const char *name;
    json_t *inside;
    /* jansson's iteration only reads; its prototype predates const. */
    json_object_foreach ((json_t *)(uintptr_t)v, name, inside)
        if (is_look_alike(s, name))
            return cannot_tell(c, at, "a member in another spelling");
    for (size_t i = 0; i < json_array_size(s->required); i++)
        if (!json_object_get(v, json_string_value(json_array_get(s->required, i))))
            return fails(c, at, "required");
    /* jansson's iteration only reads; its prototype predates const. */
    json_object_foreach ((json_t *)(uintptr_t)v, name, inside) {
        const struct schema *of = member_of(s, name);
        if (!of && s->closed)
            return fails(c, at, "additionalProperties");
        of = of ? of : s->others;
        if (of && !meets(of, inside, add_path(c->fault, at, name, 0), c))
            return false;
    }
    return true;
}

static bool meets_list(const struct schema *s, const json_t *v, size_t at, struct check *c)
{
    const int64_t n = (int64_t)json_array_size(v);
    if (s->min_items >= 0 && n < s->min_items)
        return fails(c, at, "minItems");
    if (s->max_items >= 0 && n > s->max_items)
        return fails(c, at, "maxItems");
    for (size_t i = 0; s->items && i < json_array_size(v); i++)
        if (!meets(s->items, json_array_get(v, i), add_path(c->fault, at, NULL, i), c))
            return false;
    return true;
}

static bool meets_others(const struct schema *s, const json_t *v, size_t at, struct check *c)
{
    bool any = s->n_any == 0;
    for (size_t i = 0; i < s->n_all; i++)
        if (!meets(s->all[i], v, at, c))
            return false;
    for (size_t i = 0; !any && i < s->n_any; i++)
        any = meets(s->any[i], v, at, c);
    if (!any)
        return fails(c, at, "anyOf");
    if (s->no && meets(s->no, v, at, c))
        return fails(c, at, "not");
    return !c->unsure; /* what `not` holds was not met, for all that is known */
}

static bool meets(const struct schema *s, const json_t *v, size_t at, struct check *c)
{
    if (c->unsure || !meets_value(s, v, at, c))
        return false;
    if (json_is_number(v) && !meets_number(s, v, at, c))
        return false;
    if (json_is_string(v) && !meets_text(s, v, at, c))
        return false;
    if (json_is_object(v) && !meets_object(s, v, at, c))
        return false;
    if (json_is_array(v) && !meets_list(s, v, at, c))
        return false;
    return meets_others(s, v, at, c);
}

bool schema_meets(const struct schema *s, const json_t *value, struct schema_budget *budget,
                  struct schema_fault *ret)
{
    struct check c = {.budget = budget, .fault = ret};
    *ret = (struct schema_fault){.keyword = "type"};
    return value && meets(s, value, 0, &c) && !c.unsure;
}
