/* span - where the values of a JSON text lie in it, so that one can be taken out and all else stays as it
 * came. Pure.
 *
 * For texts that json_parse has taken: nothing is checked again, and nothing but the text is read. */
#pragma once

#include "base/base.h"

struct span {
    const char *p;
    size_t n;
};
struct span_walk {
    const char *p, *end;
    bool object;
};

/* The one value of a text, without the space around it. */
struct span span_value(const char *text, size_t n);
/* Begins a walk over the members of an object or the items of a list. */
void span_enter(struct span_walk *w, struct span of);
/* The next one; `ret_key` (may be NULL) is the name of a member with its quotes, empty for an item. */
bool span_next(struct span_walk *w, struct span *ret_key, struct span *ret_value);
/* The value of a member of an object, escapes in names undone; .p NULL: there is none. */
struct span span_member(struct span object, const char *name);
