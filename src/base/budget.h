/* budget - how much of something may be in use at once: in total, and by each of those who share it.
 *
 * A budget may lie within another one: what is taken from it is taken from the outer one, too. Not
 * thread-safe; no memory of its own. */
#pragma once

#include "base/base.h"

struct budget {
    size_t max, used;
    struct budget *outer; /* NULL: the whole */
};
/* What one user holds of a budget. Starts zeroed but for `of`; NULL there means no ceiling. */
struct budget_share {
    struct budget *of;
    size_t n;
};
/* Makes the share `n` large, up or down. False when the budget, or one around it, has not that much
 * left: nothing has changed then. */
bool budget_set(struct budget_share *s, size_t n) WARN_UNUSED;
/* What the share may grow by: SIZE_MAX without a ceiling. */
size_t budget_left(const struct budget_share *s);
/* Gives all of it back. */
void budget_end(struct budget_share *s);
