/* span.c - finds values in a JSON text without changing it.
 *
 * Called for answers that hold a list, after json_parse has taken the same text: so there are no two
 * members with one name, brackets match, and depth is bounded. Still every step looks at the end first:
 * a text that was not taken leads to a wrong span and never out of the text. No recursion: what is inside of
 * a value is skipped by counting brackets outside of strings. */
#include "mcp/wire/span.h"

#include <string.h>

#include "base/json.h"
#include "base/str.h"

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

/* Behind the string that begins at p. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\' && p + 1 < end)
            p++;
    return p < end ? p + 1 : end;
}

static const char *skip_value(const char *p, const char *end)
{
    size_t depth = 0;
    while (p < end) {
        if (*p == '"') {
            p = skip_string(p, end);
        } else if (*p == '{' || *p == '[') {
            depth++;
            p++;
        } else if (*p == '}' || *p == ']') {
            if (depth == 0)
                return p;
            depth--;
            p++;
        } else if (depth == 0 && (*p == ',' || *p == ':' || skip_space(p, end) != p)) {
            return p;
        } else {
            p++;
            continue; /* a number or a word goes on */
        }
        if (depth == 0)
            return p;
    }
    return end;
}

struct span span_value(const char *text, size_t n)
{
    const char *end = text + n, *p = skip_space(text, end);
    return (struct span){p, (size_t)(skip_value(p, end) - p)};
}

void span_enter(struct span_walk *w, struct span of)
{
    const bool fits = of.n >= 2 && (of.p[0] == '{' || of.p[0] == '[');
    *w = (struct span_walk){fits ? of.p + 1 : of.p, fits ? of.p + of.n - 1 : of.p,
                            fits && of.p[0] == '{'};
}

bool span_next(struct span_walk *w, struct span *ret_key, struct span *ret_value)
{
    const char *p = skip_space(w->p, w->end), *key = p;
    size_t key_n = 0;
    if (p < w->end && *p == ',')
        key = p = skip_space(p + 1, w->end);
    if (p >= w->end)
        return false;
    if (w->object) {
        p = skip_value(p, w->end);
        key_n = (size_t)(p - key);
        p = skip_space(p, w->end);
        p = skip_space(p < w->end ? p + 1 : p, w->end); /* the colon */
    }
    const char *after = skip_value(p, w->end);
    if (after == w->p)
        return false;
    if (ret_key)
        *ret_key = (struct span){key, key_n};
    *ret_value = (struct span){p, (size_t)(after - p)};
    w->p = after;
    return true;
}

static bool is_named(struct span key, const char *name)
{
    if (!memchr(key.p, '\\', key.n))
        return key.n == strlen(name) + 2 && memcmp(key.p + 1, name, key.n - 2) == 0;
    AUTO_JSON json_t *j = NULL;
    return json_parse(key.p, key.n, &j, NULL) == 0 && str_eq(json_string_value(j), name);
}

struct span span_member(struct span object, const char *name)
{
    struct span_walk w;
    struct span key, value;
    span_enter(&w, object);
    while (w.object && span_next(&w, &key, &value))
        if (is_named(key, name))
            return value;
    return (struct span){NULL, 0};
}
