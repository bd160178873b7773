/* kept - sandboxes of sessions that rest: kept for a while, so that a session that is claimed again
 * finds its /workspace and its shell as it left them. A sandbox is only ever given back to the
 * session it was made for. */
#pragma once

#include "base/list.h"

#define KEPT_BUSY_FACTOR 16

struct box;
struct kept {
    struct list boxes; /* the longest kept first */
    size_t n, n_busy;  /* all; those taken from us in the middle of a turn */
    size_t max;        /* of sessions at rest; KEPT_BUSY_FACTOR times as many that are not */
    int64_t keep_ms;
};
void kept_init(struct kept *p, size_t max, int64_t keep_ms); /* max 0 or keep_ms 0: keeps nothing */
/* Takes the sandbox over; when there are too many, the one kept longest is closed. `busy`: the session's
 * turn goes on elsewhere or later, so losing its files would hurt. Suspends. */
void kept_put(struct kept *p, const char *session_id, struct box *b, bool busy);
/* The sandbox of this session, now the caller's, or NULL. */
struct box *kept_take(struct kept *p, const char *session_id);
/* Closes those kept longer than keep_ms. Suspends. */
void kept_sweep(struct kept *p);
void kept_done(struct kept *p); /* closes all. Suspends */
