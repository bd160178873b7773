/* peek - looking at the first bytes of a connection while they stay where they are.
 *
 *     peek_begin(&k, deadline_ns);
 *     for (;;) {
 *         n = peek_look(&k, io, room, sizeof(room));     what is there; does not suspend
 *         ... decide ...
 *         r = peek_wait(&k, io, until_ns);               until there is more
 *     }
 *
 * What was peeked has to be judged before the next suspension: `room` may then be one for all. */
#pragma once

#include "base/base.h"
#include "io/loop.h"

struct peek {
    int64_t deadline_ns;
    size_t n;       /* bytes that the last look has found */
    unsigned looks; /* so far */
    bool ended;     /* no more will come than those */
};
void peek_begin(struct peek *k, int64_t deadline_ns);
/* Copies what is there, at most `room` bytes. Bytes, 0 when there are none (k->ended: and none will
 * be), or a code of the connection. */
ssize_t peek_look(struct peek *k, struct io_fd *io, void *p, size_t room) WARN_UNUSED;
/* Suspends until there may be more, at most until `until_ns` or the deadline, whichever is first.
 * Keeps little of the stack resident when it takes long. A client that sends byte by byte is looked at
 * a hundred times a second. 0, -ETIMEDOUT, -ECANCELED, -EBADF. */
int peek_wait(struct peek *k, struct io_fd *io, int64_t until_ns) WARN_UNUSED;
