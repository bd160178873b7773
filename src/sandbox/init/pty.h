/* pty - terminals of the sandbox's own devpts, as init makes them. */
#pragma once

#include "base/base.h"
#include <sys/types.h>

#define PTY_SIZE_MAX 1000 /* rows and columns: 1 to this many */

struct pty {
    int master, slave; /* both init's, close-on-exec; -1 */
    char path[32];     /* of the slave, as programs name it */
};
#define PTY_NONE ((struct pty){.master = -1, .slave = -1})

/* Makes one. The master is non-blocking; the slave is open, so that the master never reads a
 * hang-up between programs. 0 or -errno. */
int pty_open(struct pty *ret) WARN_UNUSED;
void pty_done(struct pty *p);
int pty_resize(const struct pty *p, unsigned rows, unsigned cols) WARN_UNUSED; /* 0 or -errno */

/* Before a command: everything that the last one did to it (modes, exclusive use, permissions,
 * stopped output, unread input) is undone. Lines end in \n on the way out, nothing is echoed, and
 * reading gives the end of the input. 0 or -errno. */
int pty_reset(const struct pty *p) WARN_UNUSED;
/* Writes a mark after everything that programs have written so far: when it comes out of the
 * master, so has all of that. 0, or -EAGAIN when the terminal takes nothing now. */
int pty_mark(const struct pty *p, const char *mark) WARN_UNUSED;
