/* race - a connection to the first of some addresses that answers (RFC 8305 5, "happy eyeballs"). */
#pragma once

#include "base/address.h"

struct err;

#define RACE_STEP_MS 250 /* RFC 8305 8: the connection attempt delay */
#define RACE_MAX     16

/* Tries the addresses in order, the next one after RACE_STEP_MS or when the one before has failed;
 * the first that connects wins, the others are closed. 1 to RACE_MAX addresses. The descriptor is
 * the caller's: CLOEXEC, non-blocking, TCP_NODELAY, keep-alive on. *ret_which is the one that won, or on
 * failure the one that the words are about. Suspends, at most `timeout_ms`. 0, or with words
 * -ETIMEDOUT, -ECONNREFUSED (when any refused), another -errno, -ECANCELED. */
int race_connect(const struct address *list, size_t n, uint16_t port, int64_t timeout_ms,
                 int *ret_fd, size_t *ret_which, struct err *e) WARN_UNUSED;
