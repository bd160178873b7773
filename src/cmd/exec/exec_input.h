/* exec_input - standard input of `sallyport exec` when it is a pipe, a socket or a large file: the
 * program gets a pipe with the same bytes, and the source loses only what the program has taken. */
#pragma once

#include "base/base.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

enum exec_source {
    EXEC_SOURCE_NONE,
    EXEC_SOURCE_PIPE,   /* with or without a name */
    EXEC_SOURCE_SOCKET, /* of bytes, not of messages */
    EXEC_SOURCE_FILE,   /* whatever has positions */
};

struct exec_input {
    enum exec_source kind;
    int from;         /* the source; the caller's */
    int to;           /* the program's pipe: its writing end, later (`ended`) a reading one */
    int scratch[2];   /* where the bytes of a pipe are seen without being taken */
    int null;         /* where taken ones go */
    int events, stop; /* an epoll and an eventfd */
    char *chunk;
    unsigned size; /* of the program's pipe; 0: as it came */
    int look_ms;   /* until the program's pipe is looked at again, if that is needed */
    size_t given;  /* bytes given to the program that the source still has */
    bool ended;    /* there will be no more */
    bool running;
    pthread_t thread;
};
#define EXEC_INPUT_NONE                                                                            \
    ((struct exec_input){                                                                          \
        .from = -1, .to = -1, .scratch = {-1, -1}, .null = -1, .events = -1, .stop = -1})

/* Starts passing on from descriptor `from` to `to`, which is taken over. 0 or -errno. */
int exec_input_start(struct exec_input *in, enum exec_source kind, int from, int to) WARN_UNUSED;
/* After all programs have ended: what they have not read stays in the source. NULL-safe in that one
 * that was not started is fine. */
void exec_input_stop(struct exec_input *in);
