/* loop_internal - for the files of this folder only. */
#pragma once

#include "io/loop.h"

/* A post without an allocation: the node belongs to the poster until fn runs. */
struct loop_item {
    struct loop_item *next;
    void (*fn)(void *arg);
    void *arg;
    bool heap;
};
void loop_post_item(struct loop *l, struct loop_item *item);

/* Waiting for one direction after a call said -EAGAIN; forgets the readiness that
 * call disproved. */
int io_wait_more_readable(struct io_fd *io) WARN_UNUSED;
int io_wait_more_writable(struct io_fd *io) WARN_UNUSED;

/* Before a wait for room to write on a channel. 0 or -errno. */
int io_ask_for_room(struct io_fd *io) WARN_UNUSED;
