/* doors - the sockets of a box's doors, as they arrive. */
#pragma once

#include "box/engine.h"

/* Makes the `n` sockets in `fds` the box's when they are what spec->doors says; each is -1 afterwards,
 * whether that is so or not. 0, or -E_PROTO with words. */
int box_doors_take(struct box *b, const struct sandbox_spec *spec, int *fds, size_t n,
                   struct err *e) WARN_UNUSED;

/* The same with what init itself has opened and sends as its first message ({"doors":N}), before
 * anything untrusted runs. The box has its channel. Suspends. */
int box_doors_receive(struct box *b, const struct sandbox_spec *spec, struct err *e) WARN_UNUSED;

/* Takes the connection that a container's init has made to show where it is (init/standalone.c). 0, or
 * -E_PROTO with words when there is none. */
int box_doors_answer_knock(struct box *b, const struct sandbox_spec *spec, struct err *e)
    WARN_UNUSED;

/* Closes them. */
void box_doors_close(struct box *b);
