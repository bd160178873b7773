/* field.c - the table, and which key was meant.
 *
 * Called by document.c when a policy is loaded and by reference.c. The author of a policy controls
 * the key; keys longer than 40 bytes are like no other, which bounds the work. The table is made of
 * two .def files, because kinds of injection grow by themselves and know more about themselves
 * than a field does. */
#include "egress/policy/field.h"

#include <string.h>

#include "base/str.h"

const struct field fields[] = {
#define OBJECT(name, title, words)
#define FIELD(object, key, type, def, meaning) {FIELD_##object, key, type, def, meaning, false},
#include "egress/policy/fields.def"
#undef OBJECT
#undef FIELD
#define INJECT(key, constant, reader, type, def, meaning)                                          \
    {FIELD_INJECT, key, type, def, meaning, sizeof(#reader) == sizeof("NULL")},
#include "egress/policy/inject_kinds.def"
#undef INJECT
    {.key = NULL},
};

static const struct {
    const char *title, *words;
} objects[] = {
#define OBJECT(name, title, words) [FIELD_##name] = {title, words},
#define FIELD(object, key, type, def, meaning)
#include "egress/policy/fields.def"
#undef OBJECT
#undef FIELD
};

const char *field_object_title(enum field_object o)
{
    return objects[o].title;
}

const char *field_object_words(enum field_object o)
{
    return objects[o].words;
}

const struct field *field_find(enum field_object o, const char *key)
{
    for (const struct field *f = fields; f->key; f++)
        if (f->object == o && str_eq(f->key, key))
            return f;
    return NULL;
}

#define KEY_MAX 40

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters to insert, leave out, replace or swap with their neighbour. */
static size_t distance(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    size_t rows[3][KEY_MAX + 1];
    for (size_t j = 0; j <= nb; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t *now = rows[i % 3], *up = rows[(i + 2) % 3], *two_up = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            now[j] = least(least(up[j], now[j - 1]) + 1, up[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], two_up[j - 2] + 1);
        }
    }
    return rows[na % 3][nb];
}

const char *field_meant(enum field_object o, const char *key)
{
    size_t best = 3, n = strlen(key);
    const char *meant = NULL;
    for (const struct field *f = fields; f->key; f++) {
        if (f->object != o || n > KEY_MAX || strlen(f->key) > KEY_MAX)
            continue;
        size_t d = distance(key, f->key);
        if (d < best && d < strlen(f->key)) {
            best = d;
            meant = f->key;
        }
    }
    return meant;
}
