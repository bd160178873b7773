/* exec_relay - the three standard streams of `sallyport exec`: which of them may be handed into the
 * sandbox as they are, and threads that copy for those that may not. */
#pragma once

#include "box/program.h"
#include <pthread.h>
#include <stdatomic.h>

struct err;

/* Copies from one descriptor to another until the end of the first or the loss of the second. */
struct relay {
    int from, to;
    bool close_to, close_from; /* when done: it is the relay's */
    bool patient; /* from is a terminal: while we are in its background there is nothing to read */
    bool running;
    int error; /* why writing failed, once done; -errno or 0 */
    pthread_t thread;
    atomic_bool stop, done;
    atomic_ullong taken, given;
};
int relay_start(struct relay *r) WARN_UNUSED; /* 0 or -errno */
/* True when it has ended within `ms`; it is joined then. Relays that read from outside may wait for
 * ever and are left to the end of the process. */
bool relay_wait(struct relay *r, int64_t ms);

/* Waits up to `ms` until what has been written so far has been passed on. */
void relay_flush(struct relay *r, int64_t ms);

struct exec_streams {
    enum box_stream kind[3];
    int hand[3];             /* what box_run gets for BOX_STREAM_PIPE */
    int ours[3];             /* ends of pipes made here, to be closed once handed over; -1 */
    struct relay in, out[2]; /* for streams that are neither terminal nor pipe */
    bool back;               /* standard input is a file: what was not consumed is given back */
    int in_pipe;             /* its pipe's read end, kept for that; -1 */
};

/* Looks at descriptors 0 to 2 and makes the pipes that are needed. -EINVAL with words for a stream
 * that cannot be had (a directory). */
int exec_streams_open(struct exec_streams *s, struct err *e) WARN_UNUSED;
/* After the descriptors have been handed over: starts the copying, closes what the program alone
 * must hold (so that its peers see the end and a broken pipe exactly then). 0 or -errno. */
int exec_streams_start(struct exec_streams *s) WARN_UNUSED;
void exec_streams_flush(struct exec_streams *s, int64_t ms);
/* After the sandbox has ended: waits up to `ms` until all output is out. */
bool exec_streams_drain(struct exec_streams *s, int64_t ms);
/* Moves the position of a file on standard input back to what the program has left unread. */
void exec_streams_give_back(struct exec_streams *s);
