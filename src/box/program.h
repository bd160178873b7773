/* program - one program in a sandbox, with streams of the caller's choice: what `sallyport exec`
 * does with a box. Fibers only. */
#pragma once

#include "base/json.h"

struct box;
struct box_program;
struct err;

enum box_stream {
    BOX_STREAM_NULL, /* /dev/null of the sandbox */
    BOX_STREAM_PIPE, /* a pipe of the sandbox's own, whose other end we get */
    BOX_STREAM_FILE, /* a sealed memfd, which is handed in; nothing else is accepted inside */
    BOX_STREAM_SAME, /* of standard error: where standard output is */
    BOX_STREAM_TTY,  /* a terminal of the sandbox's own */
};

struct box_program_spec {
    char *const *argv; /* NULL-terminated; argv[0] is searched along the PATH inside */
    const char *cwd;
    const char *term; /* value of TERM; NULL: as the sandbox has it */
    enum box_stream stream[3];
    int file[3]; /* for BOX_STREAM_FILE; borrowed */
    unsigned rows, cols;
    int64_t timeout_ms; /* 0: none */
    /* What a program inherits besides: signals that are ignored and blocked, bit N - 1 for signal
     * N, and the mask of file modes. */
    uint64_t ignored, blocked;
    unsigned umask;
};

/* Our ends of what the sandbox has made; -1: none. The caller's. */
struct box_program_ends {
    int master;  /* of the terminal */
    int pipe[3]; /* the first is written to, the others are read */
};
#define BOX_PROGRAM_ENDS_NONE ((struct box_program_ends){.master = -1, .pipe = {-1, -1, -1}})

/* How it ended. Exactly one of exit_code >= 0, signal > 0, error. */
struct program_end {
    int exit_code, signal;
    char *error; /* why it could not be run */
    int code;    /* errno of that, positive */
    bool at_exec;
    char *limit, *sentence; /* a limit that was hit: its name, and words; NULL */
    int64_t duration_ms;
    json_t *usage, *denied; /* objects as init.h describes them; NULL */
};
void program_end_done(struct program_end *e);

/* Prepares it. *ret_ends are checked to be what they should be. Nothing untrusted runs before
 * box_program_start. Suspends. 0 or a negative code with words. */
int box_program_prepare(struct box *b, const struct box_program_spec *p, struct box_program **ret,
                        struct box_program_ends *ret_ends, struct err *e) WARN_UNUSED;
void box_program_ends_done(struct box_program_ends *ends);
int box_program_start(struct box_program *r) WARN_UNUSED; /* Suspends */
/* `group`: the program's process group instead of the program alone. `grace_ms`, unless negative:
 * how long the program may go on after it; then it is killed (init.h says when not). May be called
 * from another fiber than the one that waits. Suspends. */
int box_program_signal(struct box_program *r, int signal, bool group, int64_t grace_ms) WARN_UNUSED;
int box_program_winsize(struct box_program *r, unsigned rows, unsigned cols)
    WARN_UNUSED; /* Suspends */
/* Waits for the end. Suspends. 0 with *ret set (the caller's); 1 when the program was
 * stopped, by itself or from its terminal (then wait again); or a negative code with
 * words: the sandbox is gone. */
int box_program_wait(struct box_program *r, struct program_end *ret, struct err *e) WARN_UNUSED;
void box_program_free(
    struct box_program *r); /* NULL is fine; does not end the program: box_close does */
