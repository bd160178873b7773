/* exec_relay - threads that pass bytes on for `sallyport exec`: what the program prints, and what is
 * typed at a terminal. */
#pragma once

#include "base/base.h"
#include <pthread.h>
#include <stdatomic.h>

/* Passes on from one descriptor to another until the end of the first or the loss of the second. */
struct relay {
    int from, to;
    bool to_pipe; /* pages are handed on, and bytes written at once stay together */
    bool watched; /* `to` has one reader at the other end: when it goes, so does the relay */
    bool let_go;  /* `to` is released at the end: its reader then sees the end as well */
    bool close_to, close_from; /* when done: it is the relay's */
    bool patient; /* from is a terminal: while we are in its background there is nothing to read */
    bool running;
    char *chunk; /* while it runs */
    int error;   /* why writing failed, once done; -errno or 0 */
    pthread_t thread;
    atomic_bool done;
    atomic_ullong taken, given;
};
int relay_start(struct relay *r) WARN_UNUSED; /* 0 or -errno */
/* True when it has ended within `ms`; it is joined then. Relays that read from outside may wait for
 * ever and are left to the end of the process. */
bool relay_wait(struct relay *r, int64_t ms);

/* Waits up to `ms` until what has been written so far has been passed on. */
void relay_flush(struct relay *r, int64_t ms);

/* Descriptor `fd` becomes /dev/null, keeping its number. */
void relay_let_go(int fd);
/* Starts a thread that needs little. 0 or -errno. */
int relay_thread(pthread_t *ret, void *(*run)(void *), void *arg) WARN_UNUSED;
/* Joins a thread within `ms`; false when it still runs. */
bool relay_join(pthread_t thread, int64_t ms);
