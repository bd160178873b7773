/* slots - how many sessions are served at once, and whose turn it is to go when another one comes. A
 * session at rest holds its slot only while nobody else needs it. */
#pragma once

#include "base/list.h"
#include "fiber/sync.h"

struct slots {
    size_t capacity, held, n_resting;
    struct list resting;  /* struct slot, the longest at rest first */
    struct waitq changed; /* of the one who claims */
};
/* Of one session; part of it. */
struct slot {
    struct slots *of; /* NULL: none, or given up */
    struct list node; /* in resting, while it rests */
    bool rests;
    bool asked;         /* to give it up, if it still rests: slot_give_up, or slot_rest(false) */
    struct waitq *wake; /* woken when it was asked */
};
void slots_init(struct slots *s, size_t capacity);
/* Returns when a session could be served: a slot is free, or somebody rests. Suspends. 0, -ECANCELED or
 * -ETIMEDOUT. */
int slots_wait(struct slots *s) WARN_UNUSED;
/* Takes a slot for a session that was claimed: a free one, or that of the session longest at rest, which is
 * asked for it. Never more than there are: -EBUSY when nobody rests any more. For one fiber. Suspends. 0,
 * -EBUSY, -ECANCELED or -ETIMEDOUT. */
int slots_take(struct slots *s) WARN_UNUSED;
void slots_give(struct slots *s); /* it was not needed */

/* The session's own, once taken. */
void slot_init(struct slot *t, struct slots *of, struct waitq *wake);
/* The session came to rest, or has something to do again. */
void slot_rest(struct slot *t, bool rests);
/* The session leaves, or leaves its place to another. Twice is fine. */
void slot_give_up(struct slot *t);
