/* document.c - typed reading of a parsed document: a policy, a gateway's configuration.
 *
 * Called when it is loaded. Its author controls everything; depth, size and duplicate keys were
 * checked by the JSON and YAML readers. Errors quote keys, escaped and cut, and no values: a secret
 * may have been pasted by mistake. */
#include "base/document.h"

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/field.h"
#include "base/str.h"
#include "base/yaml.h"

struct place place_root(const struct document *doc, const char *name, const json_t *value)
{
    return (struct place){.doc = doc, .key = name, .value = value};
}

struct place place_member(const struct place *object, const char *key)
{
    return (struct place){
        .doc = object->doc, .up = object, .key = key, .value = json_object_get(object->value, key)};
}

struct place place_item(const struct place *list, size_t i)
{
    return (struct place){
        .doc = list->doc, .up = list, .index = i, .value = json_array_get(list->value, i)};
}

size_t place_line(const struct place *p)
{
    while (p->up && !p->value)
        p = p->up;
    const struct map *lines = p->doc->lines;
    if (!lines || !p->value)
        return 0;
    if (!p->up)
        return yaml_line_of(lines, p->value);
    return p->key ? yaml_line_of_key(lines, p->up->value, p->key)
                  : yaml_line_of_item(lines, p->up->value, p->index);
}

#define CHAIN_MAX 16 /* deeper than any document of ours */

static void path_of(struct buf *b, const struct place *p)
{
    const struct place *chain[CHAIN_MAX];
    size_t n = 0;
    for (const struct place *q = p; q && n < CHAIN_MAX; q = q->up)
        chain[n++] = q;
    while (n-- > 0) {
        if (chain[n]->key) {
            (void)buf_adds(b, b->len ? "." : "");
            str_escape(b, chain[n]->key, strlen(chain[n]->key), 48);
        } else if (chain[n]->up)
            (void)buf_addf(b, "[%zu]", chain[n]->index);
    }
}

/* "FILE:LINE: PATH: ", or "PATH (line LINE): ". A root without a name has no path. */
static void where(struct buf *b, const struct place *p)
{
    AUTO(buf) path = BUF_INIT(1024);
    const size_t line = place_line(p);
    path_of(&path, p);
    if (p->doc->file && line)
        (void)buf_addf(b, "%.200s:%zu: ", p->doc->file, line);
    else if (p->doc->file)
        (void)buf_addf(b, "%.200s: ", p->doc->file);
    if (path.len)
        (void)buf_adds(b, buf_str(&path));
    if (path.len && line && !p->doc->file)
        (void)buf_addf(b, " (line %zu)", line);
    if (path.len)
        (void)buf_adds(b, ": ");
}

int place_fail(const struct place *p, const char *fmt, ...)
{
    AUTO(buf) b = BUF_INIT(2048);
    where(&b, p);
    va_list ap;
    va_start(ap, fmt);
    (void)buf_addv(&b, fmt, ap);
    va_end(ap);
    return err_set(p->doc->e, -E_PARSE, "%s", buf_str(&b));
}

int place_wrap(const struct place *p, const struct err *inner)
{
    (void)place_fail(p, "%s", inner->msg);
    if (p->doc->e)
        p->doc->e->code = inner->code;
    return inner->code;
}

int place_object(const struct place *p, unsigned object)
{
    if (!json_is_object(p->value))
        return place_fail(p, p->value ? "an object is expected" : "is missing");
    const struct field_table *t = p->doc->fields;
    const char *key;
    json_t *v;
    json_object_foreach ((json_t *)(uintptr_t)p->value, key, v) {
        const struct field *f = field_find(t, object, key);
        struct place at = place_member(p, key);
        if (f && f->unbuilt)
            return place_fail(&at, "is not built yet");
        if (f)
            continue;
        const char *meant = field_meant(t, object, key);
        if (meant)
            return place_fail(&at, "there is no such field; did you mean \"%s\"?", meant);
        return place_fail(&at, "there is no such field of %s", t->objects[object].title);
    }
    return 0;
}

int place_list(const struct place *p, size_t max, size_t *ret_n)
{
    if (!json_is_array(p->value))
        return place_fail(p, p->value ? "a list is expected" : "is missing");
    if (json_array_size(p->value) > max)
        return place_fail(p, "has %zu items, at most %zu are allowed", json_array_size(p->value),
                          max);
    *ret_n = json_array_size(p->value);
    return 0;
}

int place_text(const struct place *p, size_t max, const char **ret)
{
    if (!json_is_string(p->value))
        return place_fail(p, p->value ? "a text is expected (quote it)" : "is missing");
    const char *s = json_string_value(p->value);
    size_t n = json_string_length(p->value);
    if (n == 0 || n > max)
        return place_fail(p, "a text of 1 to %zu bytes is expected", max);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
            return place_fail(p, "has a control character");
    *ret = s;
    return 0;
}

int place_bool(const struct place *p, bool *ret)
{
    if (!p->value)
        return 0;
    if (!json_is_boolean(p->value))
        return place_fail(p, "true or false is expected");
    *ret = json_is_true(p->value);
    return 0;
}

int place_number(const struct place *p, int64_t min, int64_t max, int64_t *ret)
{
    if (!p->value)
        return 0;
    if (!json_is_integer(p->value) || json_integer_value(p->value) < min ||
        json_integer_value(p->value) > max)
        return place_fail(p, "a number from %lld to %lld is expected", (long long)min,
                          (long long)max);
    *ret = json_integer_value(p->value);
    return 0;
}

int place_choice(const struct place *p, const char *const *names, unsigned *ret)
{
    if (!p->value)
        return 0;
    AUTO(buf) all = BUF_INIT(256);
    for (unsigned i = 0; names[i]; i++) {
        if (json_is_string(p->value) && str_eq(json_string_value(p->value), names[i])) {
            *ret = i;
            return 0;
        }
        (void)buf_addf(&all, "%s%s", i ? ", " : "", names[i]);
    }
    return place_fail(p, "one of %s is expected", buf_str(&all));
}

static int64_t unit_ms(char c)
{
    return c == 's' ? 1000 : c == 'm' ? 60000 : c == 'h' ? 3600000 : c == 'd' ? 86400000 : 0;
}

int place_duration(const struct place *p, int64_t *ret_ms)
{
    if (!p->value)
        return 0;
    const char *s = json_is_string(p->value) ? json_string_value(p->value) : "";
    size_t n = strlen(s);
    int64_t unit = n ? unit_ms(s[n - 1]) : 0;
    uint64_t v = 0;
    if (!unit || str_to_u64(s, n - 1, 366, &v) < 0 || v == 0)
        return place_fail(p, "a duration is expected: 1 to 366 and s, m, h or d, as in \"5m\"");
    *ret_ms = (int64_t)v * unit;
    return 0;
}

int place_rate(const struct place *p, uint32_t *ret_count, int64_t *ret_window_ms)
{
    if (!p->value)
        return 0;
    const char *s = json_is_string(p->value) ? json_string_value(p->value) : "";
    size_t n = strlen(s);
    uint64_t v = 0;
    if (n < 3 || s[n - 2] != '/' || !unit_ms(s[n - 1]) ||
        str_to_u64(s, n - 2, 1000000000, &v) < 0 || v == 0)
        return place_fail(p, "a rate is expected: a number and /s, /m, /h or /d, as in \"100/m\"");
    *ret_count = (uint32_t)v;
    *ret_window_ms = unit_ms(s[n - 1]);
    return 0;
}
