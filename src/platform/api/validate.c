/* validate.c - walking one request object, field by field.
 *
 * Called by handlers on parsed JSON (depth and size already bounded). A struct v remembers which
 * fields were asked for; v_end refuses the rest, because a field that is silently ignored hides a
 * caller's mistake. The first thing wrong fills the refusal, later ones are not looked at, and
 * getters go on returning harmless values so that a handler reads straight through and checks once.
 * Messages name the field with its path and the rule; what they quote of the caller is cut. */
#include "platform/api/validate.h"

#include "base/err.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CLIP_CHARS 80

const char *v_clip(const char *s)
{
    static _Thread_local char ring[4][4 * CLIP_CHARS + 4];
    static _Thread_local unsigned turn;
    char *out = ring[turn++ % 4];
    size_t n = strlen(s), cut = 0;
    for (size_t chars = 0; cut < n && cut < 4 * CLIP_CHARS && chars < CLIP_CHARS; chars++) {
        cut++;
        while (cut < n && ((unsigned char)s[cut] & 0xc0) == 0x80 && cut < 4 * CLIP_CHARS)
            cut++;
    }
    memcpy(out, s, cut);
    str_copy(out + cut, sizeof(ring[0]) - cut, cut < n ? "..." : "");
    return out;
}

/* The first error wins. `kind` is put in front: parse errors and broken rules read differently
 * (api.md 1.5). */
__attribute__((format(printf, 4, 0))) static void fail_v(struct v *v, const char *front,
                                                         const char *key, const char *fmt,
                                                         va_list ap)
{
    char why[400];
    if (v_failed(v))
        return;
    vsnprintf(why, sizeof(why), fmt, ap);
    /* "events[0]." + "" names the object itself */
    char where[sizeof(v->path) + 80];
    snprintf(where, sizeof(where), "%s%s", v->path, v_clip(key));
    size_t n = strlen(where);
    if (n && where[n - 1] == '.')
        where[n - 1] = '\0';
    (void)!refuse(v->r, 400, "invalid_request_error", "%s%s%s%s", front, where,
                  where[0] ? ": " : "", why);
}

PRINTF(3, 4) static void fail_parse(struct v *v, const char *key, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fail_v(v, "Failed to parse request: ", key, fmt, ap);
    va_end(ap);
}

void v_fail(struct v *v, const char *key, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fail_v(v, "", key, fmt, ap);
    va_end(ap);
}

static const char *kind_of(const json_t *j)
{
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    default:
        return "null";
    }
}

struct v v_object(struct refusal *r, const json_t *o, const char *path)
{
    struct v v = {.r = r, .o = o};
    str_copy(v.path, sizeof(v.path), path);
    if (o && !json_is_object(o)) {
        fail_parse(&v, "", "must be an object, not %s", kind_of(o));
        v.o = NULL;
    }
    return v;
}

static void see(struct v *v, const char *key)
{
    for (size_t i = 0; i < v->n_seen; i++)
        if (!strcmp(v->seen[i], key))
            return;
    MUST(v->n_seen < ARRAY_LEN(v->seen));
    v->seen[v->n_seen++] = key;
}

/* The value when it is there and not null, after the checks every getter shares. */
static const json_t *get(struct v *v, const char *key, int flags)
{
    see(v, key);
    const json_t *j = v->o ? json_object_get(v->o, key) : NULL;
    if (!j) {
        if (flags & V_REQUIRED)
            v_fail(v, key, "field is required");
        return NULL;
    }
    if (json_is_null(j)) {
        if (!(flags & V_NULLABLE))
            fail_parse(v, key, "must not be null");
        return NULL;
    }
    return j;
}

struct v v_sub(struct v *parent, const char *key, int flags)
{
    const json_t *j = get(parent, key, flags);
    struct v v = {.r = parent->r};
    char path[2 * sizeof(v.path)];
    snprintf(path, sizeof(path), "%s%s.", parent->path, key);
    str_copy(v.path, sizeof(v.path), path);
    if (j && !json_is_object(j))
        fail_parse(parent, key, "must be an object, not %s", kind_of(j));
    else
        v.o = j;
    return v;
}

const char *v_str(struct v *v, const char *key, int flags, size_t min_chars, size_t max_chars)
{
    const json_t *j = get(v, key, flags);
    if (!j)
        return NULL;
    if (!json_is_string(j)) {
        fail_parse(v, key, "must be a string, not %s", kind_of(j));
        return NULL;
    }
    const char *s = json_string_value(j);
    size_t n = str_utf8_len(s, json_string_length(j));
    if (n < min_chars) {
        if (min_chars == 1)
            v_fail(v, key, "must not be empty");
        else
            v_fail(v, key, "must have at least %zu characters, has %zu", min_chars, n);
        return NULL;
    }
    if (n > max_chars) {
        v_fail(v, key, "must have at most %zu characters, has %zu", max_chars, n);
        return NULL;
    }
    return s;
}

const json_t *v_array(struct v *v, const char *key, int flags, size_t max_items)
{
    const json_t *j = get(v, key, flags);
    if (!j)
        return NULL;
    if (!json_is_array(j)) {
        fail_parse(v, key, "must be an array, not %s", kind_of(j));
        return NULL;
    }
    if (json_array_size(j) > max_items) {
        v_fail(v, key, "must have at most %zu entries, has %zu", max_items, json_array_size(j));
        return NULL;
    }
    return j;
}

const json_t *v_any(struct v *v, const char *key, int flags)
{
    return get(v, key, flags);
}

int64_t v_int(struct v *v, const char *key, int flags, int64_t min, int64_t max, int64_t fallback)
{
    const json_t *j = get(v, key, flags);
    if (!j)
        return fallback;
    if (!json_is_integer(j)) {
        fail_parse(v, key, "must be a whole number, not %s",
                   json_is_real(j) ? "a fraction" : kind_of(j));
        return fallback;
    }
    int64_t n = json_integer_value(j);
    if (n < min || n > max) {
        v_fail(v, key, "must be from %" PRId64 " to %" PRId64 ", is %" PRId64, min, max, n);
        return fallback;
    }
    return n;
}

bool v_bool(struct v *v, const char *key, int flags, bool fallback)
{
    const json_t *j = get(v, key, flags);
    if (!j)
        return fallback;
    if (!json_is_boolean(j)) {
        fail_parse(v, key, "must be true or false, not %s", kind_of(j));
        return fallback;
    }
    return json_is_true(j);
}

bool v_is_null(const struct v *v, const char *key)
{
    const json_t *j = v->o ? json_object_get(v->o, key) : NULL;
    return j && json_is_null(j);
}

bool v_has(const struct v *v, const char *key)
{
    return v->o && json_object_get(v->o, key);
}

const char *v_enum(struct v *v, const char *key, int flags, const char *const *allowed)
{
    const json_t *j = get(v, key, flags);
    if (!j)
        return NULL;
    if (!json_is_string(j)) {
        fail_parse(v, key, "must be a string, not %s", kind_of(j));
        return NULL;
    }
    const char *s = json_string_value(j);
    char list[300];
    size_t used = 0;
    for (size_t i = 0; allowed[i]; i++) {
        if (!strcmp(allowed[i], s))
            return allowed[i];
        int n = snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", allowed[i]);
        used += n > 0 && (size_t)n < sizeof(list) - used ? (size_t)n : 0;
    }
    fail_parse(v, key, "\"%s\" is not a valid value; expected one of %s", v_clip(s), list);
    return NULL;
}

const json_t *v_metadata(struct v *v, const char *key)
{
    const json_t *j = get(v, key, V_NULLABLE);
    if (!j)
        return NULL;
    if (!json_is_object(j)) {
        fail_parse(v, key, "must be an object of strings, not %s", kind_of(j));
        return NULL;
    }
    size_t kept = 0;
    void *it;
    for (it = json_object_iter((json_t *)(uintptr_t)j); it;
         it = json_object_iter_next((json_t *)(uintptr_t)j, it)) {
        const char *name = json_object_iter_key(it);
        const json_t *value = json_object_iter_value(it);
        size_t n = str_utf8_len(name, strlen(name));
        if (n < 1 || n > 64)
            v_fail(v, key, "key \"%s\" must have 1 to 64 characters", v_clip(name));
        else if (json_is_null(value))
            continue;
        else if (!json_is_string(value))
            fail_parse(v, key, "the value of \"%s\" must be a string, not %s", v_clip(name),
                       kind_of(value));
        else if (str_utf8_len(json_string_value(value), json_string_length(value)) > 512)
            v_fail(v, key, "the value of \"%s\" must have at most 512 characters", v_clip(name));
        if (v_failed(v))
            return NULL;
        kept++;
    }
    if (kept > 16) {
        v_fail(v, key, "must have at most 16 pairs, has %zu", kept);
        return NULL;
    }
    return j;
}

static bool says_nothing(const json_t *j)
{
    return json_is_null(j) || (json_is_array(j) && json_array_size(j) == 0) ||
           (json_is_object(j) && json_object_size(j) == 0);
}

void v_unsupported(struct v *v, const char *key, const char *why)
{
    see(v, key);
    const json_t *j = v->o ? json_object_get(v->o, key) : NULL;
    if (j && !says_nothing(j))
        v_fail(v, key, "%s", why);
}

void v_not_null(struct v *v, const char *key)
{
    if (v_is_null(v, key))
        fail_parse(v, key, "must not be null");
}

void v_end(struct v *v)
{
    if (!v->o || v_failed(v))
        return;
    void *it;
    for (it = json_object_iter((json_t *)(uintptr_t)v->o); it;
         it = json_object_iter_next((json_t *)(uintptr_t)v->o, it)) {
        const char *name = json_object_iter_key(it);
        bool known = false;
        for (size_t i = 0; i < v->n_seen && !known; i++)
            known = !strcmp(v->seen[i], name);
        if (!known) {
            fail_parse(v, name, "unknown field");
            return;
        }
    }
}
