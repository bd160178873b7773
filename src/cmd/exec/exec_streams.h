/* exec_streams - the three standard streams of `sallyport exec`: what each of them is outside, and so
 * what the program gets. */
#pragma once

#include "box/program.h"
#include "cmd/exec/exec_input.h"
#include "cmd/exec/exec_relay.h"

struct err;

struct exec_streams {
    enum box_stream kind[3];
    int file;                /* what stands for a small file on standard input; -1 */
    off_t file_from;         /* where the program began to read it */
    enum exec_source source; /* of a pipe for standard input; NONE: a device, which is just read */
    struct exec_input input;
    struct relay device, out[2];
};

/* Looks at descriptors 0 to 2. -EINVAL with words for a stream that cannot be had (a directory). */
int exec_streams_open(struct exec_streams *s, struct err *e) WARN_UNUSED;
/* Starts passing on between them and the program's pipes, which are taken over. Descriptors 0 and 1
 * are released as soon as the program has released its own. 0 or -errno. */
int exec_streams_start(struct exec_streams *s, struct box_program_ends *ends) WARN_UNUSED;
void exec_streams_flush(struct exec_streams *s, int64_t ms);
/* After the sandbox has ended: waits up to `ms` until all output is out. */
bool exec_streams_drain(struct exec_streams *s, int64_t ms);
/* Then: what the program has not read is left on standard input for who reads on. */
void exec_streams_give_back(struct exec_streams *s);
