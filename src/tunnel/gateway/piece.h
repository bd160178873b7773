/* piece - the buffer that a body goes through, which is small while nothing comes. */
#pragma once

#include "http/pipe/pipe.h"

struct piece {
    char *p; /* owned */
    size_t n;
    size_t last; /* how much came last */
};

void piece_init(struct piece *p);
void piece_done(struct piece *p);
/* As http_read_body into p->p, which changes: it is as large as what comes asks for, and after two seconds without a byte the buffer goes, and with it
 * the pages of the fiber's stack that earlier calls have used. Suspends. */
ssize_t piece_read(struct piece *p, struct http_pipe *from, bool *ret_idle) WARN_UNUSED;
/* As http_wait_gone, likewise. Suspends. */
int piece_wait_gone(struct http_pipe *p) WARN_UNUSED;
