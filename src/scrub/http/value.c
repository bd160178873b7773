/* value.c - the last look at a secret before it becomes part of a message (boundary-anchors A9).
 *
 * Whoever stored it has been asked for a good one; whoever stands at its source may have changed it
 * since. A line break would end the field it stands in, and what follows would be read as another one. */
#include "scrub/http/value.h"

#include <string.h>

#include "scrub/scrub.h"

const char *value_wrong(const struct secret *v, bool in_field)
{
    const char *p = secret_borrow(v);
    if (v->len < SCRUB_SECRET_MIN)
        return "has less than 8 bytes, so answers could not be kept free of it";
    if (v->len > SCRUB_SECRET_MAX)
        return "has more than 16 KiB, so answers could not be kept free of it";
    if (memchr(p, '\r', v->len) || memchr(p, '\n', v->len) || memchr(p, '\0', v->len))
        return "has a line break or a NUL";
    if (in_field && (p[0] == ' ' || p[v->len - 1] == ' '))
        return "begins or ends with a space, which a header drops";
    for (size_t i = 0; in_field && i < v->len; i++)
        if (p[i] < ' ' || p[i] > '~')
            return "has a character that no header holds (printable ASCII alone)";
    return NULL;
}
