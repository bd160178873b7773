/* exec_term - the terminal around `sallyport exec`: raw while the program runs, and always put back
 * as it was. */
#pragma once

#include "cmd/exec/exec_streams.h"
#include "io/proc.h"
#include <termios.h>

struct exec_term {
    int fd;     /* where output of the program's terminal goes; -1: no stream is a terminal */
    bool input; /* standard input is a terminal: what is typed is handed in, uninterpreted */
    bool raw;
    struct termios before;
    int master;
    struct relay typed, shown;
    struct proc guard; /* puts the terminal back should we be killed; runs only while input */
    int guard_fd;      /* ends its watch */
};
#define EXEC_TERM_NONE ((struct exec_term){.fd = -1, .master = -1, .guard_fd = -1})

/* Looks which streams are terminals. */
void exec_term_init(struct exec_term *t, const struct exec_streams *s);
/* The size of the outer terminal, at most 1000 by 1000; 24 by 80 when it does not say. */
void exec_term_size(const struct exec_term *t, unsigned *ret_rows, unsigned *ret_cols);
/* Takes `master`, gives it the modes of the outer terminal, makes that one raw, and starts copying.
 * Suspends. 0 or a negative code with words. */
int exec_term_start(struct exec_term *t, int master, struct err *e) WARN_UNUSED;
/* Puts the modes back, and takes them again (unless we are in the background): around being
 * suspended. */
void exec_term_restore(struct exec_term *t);
void exec_term_raw(struct exec_term *t);
bool exec_term_drain(struct exec_term *t, int64_t ms); /* until all output is shown */
void exec_term_done(struct exec_term *t);              /* restores. Suspends */

/* The guard's own program is `sallyport exec-guard` (cmd_exec_guard): waits until descriptor 3 is
 * at its end, then gives the terminal on descriptor 0 the modes read from it. */
#define EXEC_GUARD "exec-guard"
