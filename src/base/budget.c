/* budget.c - counting what is in use against ceilings that lie within each other.
 *
 * Called on the loop thread by whoever holds memory for a peer: a body that arrives, frames that
 * wait for a slow reader. The peer decides how much is asked for and for how long it is held; the
 * ceilings are the program's (limits.h). Sums cannot wrap: a share is compared with what is left,
 * never added first. Never suspends. */
#include "base/budget.h"

static bool has_room(const struct budget *b, size_t n)
{
    for (; b; b = b->outer)
        if (b->used > b->max || n > b->max - b->used)
            return false;
    return true;
}

bool budget_set(struct budget_share *s, size_t n)
{
    if (n > s->n && !has_room(s->of, n - s->n))
        return false;
    for (struct budget *b = s->of; b; b = b->outer) {
        MUST(b->used >= s->n);
        b->used = b->used - s->n + n;
    }
    s->n = n;
    return true;
}

void budget_end(struct budget_share *s)
{
    bool given = budget_set(s, 0);
    MUST(given);
}
