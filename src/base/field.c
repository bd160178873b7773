/* field.c - which key was meant, and tables as pages.
 *
 * Called by document.c when a document is loaded, and by the tests of reference pages. The author of a
 * document controls the key; keys longer than 40 bytes are like no other, which bounds the work. */
#include "base/field.h"

#include <string.h>

#include "base/buf.h"
#include "base/str.h"

const struct field *field_find(const struct field_table *t, unsigned object, const char *key)
{
    for (const struct field *f = t->fields; f->key; f++)
        if (f->object == object && str_eq(f->key, key))
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

const char *field_meant(const struct field_table *t, unsigned object, const char *key)
{
    size_t best = 3, n = strlen(key);
    const char *meant = NULL;
    for (const struct field *f = t->fields; f->key; f++) {
        if (f->object != object || n > KEY_MAX || strlen(f->key) > KEY_MAX)
            continue;
        size_t d = distance(key, f->key);
        if (d < best && d < strlen(f->key)) {
            best = d;
            meant = f->key;
        }
    }
    return meant;
}

void field_print(const struct field_table *t, unsigned object, bool unbuilt, struct buf *out)
{
    (void)buf_adds(out, "| field | type | default | meaning |\n|---|---|---|---|\n");
    for (const struct field *f = t->fields; f->key; f++)
        if (f->object == object && f->unbuilt == unbuilt)
            (void)buf_addf(out, "| `%s` | %s | %s | %s |\n", f->key, f->type, f->fallback,
                           f->meaning);
}

void field_print_all(const struct field_table *t, struct buf *out)
{
    for (unsigned o = 0; o < t->n_objects; o++) {
        (void)buf_addf(out, "\n## %s\n\n%s\n\n", t->objects[o].title, t->objects[o].words);
        field_print(t, o, false, out);
    }
}
