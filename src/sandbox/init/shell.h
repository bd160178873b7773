/* shell - the persistent bash of a sandbox, driven by init through two pipes. */
#pragma once

#include "base/buf.h"
#include "sandbox/cgroup/cgroup.h"
#include "sandbox/spec.h"
#include <sys/types.h>

struct shell {
    const struct sandbox_spec *spec;
    const struct cgroup_entry *entry; /* it goes into this group */
    bool beside_programs;             /* one was started before: programs may be there */
    pid_t pid;                        /* 0: not running */
    int in;                           /* write end of its standard input; non-blocking; -1 */
    int status;                       /* read end of the status pipe; non-blocking; -1 */
    /* Output pipe: made once, shared by all shells of this sandbox, because background jobs of an
     * earlier one may still write to it. */
    int out_r, out_w;
    struct buf input; /* command text that bash has not taken yet */
    size_t sent;      /* length of the line of the command in flight */
    struct buf answer;
    char token[33];  /* of the command in flight, "" when there is none */
    int64_t attempt; /* what SALLYPORT_ATTEMPT is in it; 0: not set */
};

/* Makes the output pipe. 0 or -errno. */
int shell_init(struct shell *s, const struct sandbox_spec *spec, const struct cgroup_entry *entry)
    WARN_UNUSED;

/* Starts bash in /workspace. 0 or -errno. */
int shell_start(struct shell *s) WARN_UNUSED;

/* Closes what belongs to the process; it must be dead or about to be
 * (the caller kills and reaps). */
void shell_forget(struct shell *s);

/* Queues a command, with its standard descriptors on `terminal` (a path without odd characters)
 * unless NULL. `attempt`: 1, or more when it may have run before; 0: nobody counts. 0 or -EMSGSIZE.
 * Then shell_feed whenever `in` is writable and input is left. */
int shell_send(struct shell *s, const char *command, const char *terminal, int64_t attempt)
    WARN_UNUSED;
int shell_feed(struct shell *s) WARN_UNUSED; /* 0, or -errno when bash has closed its end */

/* False as long as bash has read nothing of the command in flight, or one byte, with which it
 * cannot have begun. */
bool shell_has_begun(const struct shell *s);

/* Reads the status pipe: 1 and the exit code when the command in
 * flight has ended, 0 when not yet. */
int shell_poll_status(struct shell *s, int *ret_code) WARN_UNUSED;

/* Appends `text` as one quoted word for bash. */
void shell_quote(struct buf *out, const char *text);

/* Scans the answer for "TOKEN CODE\n"; anything else in it is skipped. Split off for tests. */
int shell_scan_status(struct buf *answer, const char *token, int *ret_code) WARN_UNUSED;

/* The environment every program of a sandbox starts with: the built-in part and the spec's.
 * malloc'ed array of borrowed strings, NULL-terminated. */
char **shell_environment(const struct sandbox_spec *spec);
