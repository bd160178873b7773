/* run - one program in a sandbox, with streams of the caller's choice: what `sallyport exec`
 * does with a box. Fibers only. */
#pragma once

#include "base/json.h"

struct box;
struct box_run;
struct err;

enum box_stream {
    BOX_STREAM_NULL, /* /dev/null of the sandbox */
    BOX_STREAM_PIPE, /* a nameless pipe that is handed in; nothing else is accepted inside */
    BOX_STREAM_TTY,  /* a terminal of the sandbox's own */
};

struct box_program {
    char *const *argv; /* NULL-terminated; argv[0] is searched along the PATH inside */
    const char *cwd;
    const char *term; /* value of TERM; NULL: as the sandbox has it */
    enum box_stream stream[3];
    int pipe[3]; /* for BOX_STREAM_PIPE; borrowed */
    unsigned rows, cols;
    int64_t timeout_ms; /* 0: none */
};

/* How it ended. Exactly one of exit_code >= 0, signal > 0, error. */
struct box_end {
    int exit_code, signal;
    char *error; /* why it could not be run */
    int code;    /* errno of that, positive */
    bool at_exec;
    char *limit, *sentence; /* a limit that was hit: its name, and words; NULL */
    int64_t duration_ms;
    json_t *usage, *denied; /* objects as init.h describes them; NULL */
};
void box_end_done(struct box_end *e);

/* Prepares it. With a stream on a terminal, *ret_master is the master of that terminal, checked to
 * be one (the caller's), else -1. Nothing untrusted runs before box_run_start. Suspends. 0 or a
 * negative code with words. */
int box_run_prepare(struct box *b, const struct box_program *p, struct box_run **ret,
                    int *ret_master, struct err *e) WARN_UNUSED;
int box_run_start(struct box_run *r) WARN_UNUSED; /* Suspends */
/* `group`: the program's process group instead of the program alone. May be called from another
 * fiber than the one that waits. Suspends. */
int box_run_signal(struct box_run *r, int signal, bool group) WARN_UNUSED;
int box_run_winsize(struct box_run *r, unsigned rows, unsigned cols) WARN_UNUSED; /* Suspends */
/* Waits for the end. Suspends. 0 with *ret set (the caller's); 1 when the program was
 * stopped, by itself or from its terminal (then wait again); or a negative code with
 * words: the sandbox is gone. */
int box_run_wait(struct box_run *r, struct box_end *ret, struct err *e) WARN_UNUSED;
void box_run_free(struct box_run *r); /* NULL is fine; does not end the program: box_close does */
