/* salvage.c - reading JSON in parts.
 *
 * Called when json_parse has refused an answer or an event of the platform (remote.c, follow.c). The
 * text is cut into members and elements by counting brackets outside of strings; each part goes
 * through json_parse, so nothing gets in that it would not take. Three levels and no recursion: the
 * answer, a page of events, an event. The platform controls the text; what is counted wrongly in a
 * text that is no JSON is refused by the parser, part by part. */
#include "worker/salvage.h"

#include <string.h>

struct cursor {
    const char *s;
    size_t n, at;
};

static char look(const struct cursor *c)
{
    return c->at < c->n ? c->s[c->at] : '\0';
}

static void skip_space(struct cursor *c)
{
    while (c->at < c->n && memchr(" \t\r\n", c->s[c->at], 4))
        c->at++;
}

/* Steps over `want`, with space around it. */
static bool skip(struct cursor *c, char want)
{
    skip_space(c);
    if (c->at >= c->n || c->s[c->at] != want)
        return false;
    c->at++;
    skip_space(c);
    return true;
}

static bool skip_string(struct cursor *c)
{
    for (c->at++; c->at < c->n; c->at++) {
        if (c->s[c->at] == '\\')
            c->at++;
        else if (c->s[c->at] == '"')
            return ++c->at <= c->n;
    }
    return false;
}

/* Steps over one value of any kind. False when the text ends before it does. */
static bool skip_value(struct cursor *c)
{
    size_t depth = 0, from = c->at;
    do {
        char ch = look(c);
        if (c->at >= c->n)
            return false;
        if (ch == '"') {
            if (!skip_string(c))
                return false;
            continue;
        }
        if (depth == 0 && memchr(",:]} \t\r\n", ch, 8))
            return c->at > from;
        if (ch == '[' || ch == '{')
            depth++;
        else if (ch == ']' || ch == '}')
            depth--;
        c->at++;
    } while (depth > 0 || (!memchr("]}\"", c->s[c->at - 1], 3) && c->at < c->n));
    return true;
}

static json_t *parse(const char *text, size_t n)
{
    json_t *j = NULL;
    int r = json_parse(text, n, &j, NULL);
    MUST(r != -ENOMEM); /* it would be left out */
    return r < 0 ? NULL : j;
}

/* The members of an object; one that json_parse refuses is given to `odd`, if there is one. */
static json_t *read_members(const char *text, size_t n, json_t *(*odd)(const char *text, size_t n))
{
    struct cursor c = {.s = text, .n = n};
    AUTO_JSON json_t *o = json_new_object();
    if (!skip(&c, '{'))
        return NULL;
    while (look(&c) != '}') {
        size_t name_at = c.at, value_at;
        if (look(&c) != '"' || !skip_string(&c))
            return NULL;
        AUTO_JSON json_t *name = parse(text + name_at, c.at - name_at);
        if (!skip(&c, ':'))
            return NULL;
        value_at = c.at;
        if (!skip_value(&c))
            return NULL;
        json_t *value = parse(text + value_at, c.at - value_at);
        if (!value && odd)
            value = odd(text + value_at, c.at - value_at);
        const char *key = json_string_value(name);
        if (!key || json_object_get(o, key)) {
            json_decref(value);
            value = NULL;
        }
        if (key)
            json_put(o, key, value ? value : json_null());
        skip_space(&c);
        if (look(&c) != '}' && !skip(&c, ','))
            return NULL;
    }
    return skip(&c, '}') && c.at == n ? json_incref(o) : NULL;
}

static json_t *read_event(const char *text, size_t n)
{
    json_t *j = parse(text, n);
    return j ? j : read_members(text, n, NULL);
}

/* The elements of an array, those that cannot be read left out. */
static json_t *read_elements(const char *text, size_t n)
{
    struct cursor c = {.s = text, .n = n};
    AUTO_JSON json_t *list = json_array();
    if (!skip(&c, '['))
        return NULL;
    while (look(&c) != ']') {
        size_t at = c.at;
        if (!skip_value(&c))
            return NULL;
        json_t *ev = read_event(text + at, c.at - at);
        if (ev)
            json_array_append_new(list, ev);
        skip_space(&c);
        if (look(&c) != ']' && !skip(&c, ','))
            return NULL;
    }
    return json_incref(list);
}

json_t *salvage(const char *text, size_t n)
{
    return n > SALVAGE_BYTES_MAX ? NULL : read_members(text, n, read_elements);
}
