/* pool - a bounded set of threads for calls that block (SQLite, getaddrinfo, file I/O).
 *
 * pool_call suspends the fiber until the call has run. It is not a cancellation point: the argument
 * may live on the caller's stack. Keep the calls short. */
#pragma once

#include "base/base.h"

struct pool;
/* `threads` workers, started on demand, stacks of 1 MiB. `name` shows in /proc. */
struct pool *pool_new(const char *name, int threads);
void pool_free(struct pool *p); /* joins the threads; NULL is fine */
int pool_call(struct pool *p, int (*fn)(void *arg), void *arg); /* Suspends; returns fn's result */
