/* body - the JSON a call came with: read, counted, parsed, and let go of. */
#pragma once

#include "platform/api/api.h"

/* Reads and parses the body of a POST into c->body; takes care of its Idempotency-Key. 0, or 1 after
 * answering (or when nobody is left to answer). Suspends. */
int body_take(struct api_call *c) WARN_UNUSED;
/* Lets go of it. Suspends when it is large. */
void body_drop(struct api_call *c);
/* fn(arg), which looks at the body or makes something as large: on another thread when it may take
 * long. `arg` is touched by fn alone meanwhile. Suspends. */
int body_work(struct api_call *c, int (*fn)(void *arg), void *arg);
