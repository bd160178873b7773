/* up_keep - a program that `sallyport up` keeps running: its worker, its gateway. */
#pragma once

#include "io/proc.h"

struct err;
struct up_child {
    const char *name; /* for words: "worker" */
    /* Starts it once. *ret_out is the reading end of its standard output. 0 or a negative code, with
     * words. Does not suspend. */
    int (*start)(void *arg, struct proc *ret, int *ret_out, struct err *e);
    void (*ready)(void *arg); /* it has said so, for the first time */
    void *arg;                /* of both */
    const int *stops;         /* not 0: it is not started again */
    struct waitq *changed;    /* woken when it has ended */

    struct proc proc; /* while it runs */
    bool runs, was_ready;
    bool refused; /* it has ended with an error before it was ever ready, and would again */
};

/* The body of a fiber; `child` is a struct up_child. Starts it, and again when it ends by itself, 1 s to
 * 30 s apart, until the stop or a refusal, which it tells. 0. Suspends. */
int up_keep(void *child);
/* Sends a signal, if it runs. */
void up_keep_signal(struct up_child *c, int sig);
