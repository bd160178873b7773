/* signal - signals as values, read from a signalfd by a fiber. */
#pragma once

#include "io/loop.h"

/* Blocks SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGUSR1 in the calling thread (before any other thread
 * is started) and ignores SIGPIPE. Opens the signalfd for the loop. 0 or -errno. */
int signal_init(void) WARN_UNUSED;
/* Suspends; returns the signal number or a negative code. One waiting fiber. */
int signal_next(void) WARN_UNUSED;
void signal_done(void);
/* Restores default dispositions and the empty mask: for children, before exec.
 * Async-signal-safe. */
void signal_reset_for_exec(void);

/* Which signals are ignored and blocked by whoever has started this process: bit N - 1 for signal N.
 * Children can be waited for afterwards, also where SIGCHLD was ignored. */
void signal_inherit(uint64_t *ret_ignored, uint64_t *ret_blocked);
