/* budget.c - counting what is in use against ceilings that lie within each other.
 *
 * Called on the loop thread by whoever holds memory for a peer: a body that arrives, frames that
 * wait for a slow reader. The peer decides how much is asked for and for how long it is held; the
 * ceilings are the program's (limits.h). Sums cannot wrap: a share is compared with what is left,
 * never added first. Never suspends. */
#include "base/budget.h"

size_t budget_left(const struct budget_share *s)
{
    size_t left = SIZE_MAX;
    for (const struct budget *b = s->of; b; b = b->outer) {
        size_t here = b->used < b->max ? b->max - b->used : 0;
        left = left < here ? left : here;
    }
    return left;
}

bool budget_set(struct budget_share *s, size_t n)
{
    if (n > s->n && n - s->n > budget_left(s))
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
