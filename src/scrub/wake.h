/* wake - which escapes make a segment of lanes necessary; for the files of this folder. */
#pragma once

#include "scrub/table.h"

#define WAKE_SIDE (GRAM_BYTES - 1)

/* Where the walk from escape to escape is. */
struct wake {
    const struct scrub_table *t;
    const uint8_t *p;
    size_t n;
    bool last;
    size_t quiet; /* no unit of any layer, and no occurrence with one, goes across it */
    size_t plain; /* from here to the escape that is looked at every byte stands for itself */
};

/* Does what begins at `at` make a segment necessary? `length`, `bytes` and `k` are what escape_unit
 * said about it. */
bool wake_needed(const struct wake *s, size_t at, int length, const uint8_t *bytes, size_t k);

/* Goes past a unit for which none is. */
void wake_pass(struct wake *s, size_t at, int length, const uint8_t *bytes);

/* Goes past \n and \", most escapes of JSON, where no needle has such a byte; false: it is not
 * that. */
static inline bool wake_wall(struct wake *s, size_t at)
{
    const uint8_t *p = s->p + at;
    if (s->n - at < 2 || p[0] != '\\')
        return false;
    if (!(p[1] == 'n' && !s->t->inside['\n']) && !(p[1] == '"' && !s->t->inside['"']))
        return false;
    s->quiet = s->plain = at + 2;
    return true;
}
