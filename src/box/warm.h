/* warm - sandboxes made ahead of the session that takes them. */
#pragma once

#include "base/base.h"

struct box;
struct box_host;
struct box_warm;
struct err;
struct sandbox_spec;

/* A pool of `n` sandboxes made of `spec` (borrowed; NULL: the defaults), empty yet. */
struct box_warm *box_warm_new(struct box_host *h, size_t n, const struct sandbox_spec *spec);
/* After the scope is done. NULL is fine. */
void box_warm_free(struct box_warm *w);

/* Makes one sandbox and waits for it. Suspends. 0, or negative with words. */
int box_warm_first(struct box_warm *w, struct err *e) WARN_UNUSED;
/* Spawns the filler into the host's scope; cancelling that scope closes what is ready. */
int box_warm_start(struct box_warm *w) WARN_UNUSED;

/* A ready sandbox made of `spec` (NULL: the defaults), or NULL. Suspends for a moment, never for a
 * refill. */
struct box *box_warm_take(struct box_warm *w, const struct sandbox_spec *spec);

/* Between these two a session waits for a sandbox: refills make way for it. */
void box_warm_hold(struct box_warm *w);
void box_warm_go_on(struct box_warm *w);

/* How many stand ready. */
size_t box_warm_ready(const struct box_warm *w);
