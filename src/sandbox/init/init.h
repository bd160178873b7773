/* init - pid 1 of a sandbox: reaps, and serves tool calls on one inherited socket.
 *
 * Messages (frame.h), worker to init:
 *   {"op":"call","id":N,"tool":"bash","input":{...},"timeout_ms":N}   (a ceiling; optional)
 *   {"op":"cancel","id":N}               ends the call if it is queued or runs; its answer says so
 *   {"op":"info","id":N}
 *   {"op":"shutdown"}
 *   {"op":"exec","id":N,"argv":[...],"cwd":"...","env":{...},
 *    "streams":["tty"|"pipe"|"file"|"same"|"null", x 3],
 *    "rows":R,"cols":C,"timeout_ms":N,
 *    "ignored":BITS,"blocked":BITS,      signals, bit S - 1 for signal S
 *    "umask":N}                          prepares a program; with a sealed memfd for each "file",
 *                                        in order. "same": standard error goes where output goes
 *   {"op":"start","id":N}                then runs it
 *   {"op":"signal","id":N,"signal":S,"group":bool,"grace_ms":N}
 *                                        with a grace the program is killed when it has not ended
 *                                        by then; but one that catches S, and S is not TERM, has
 *                                        an answer of its own and is left alone
 *   {"op":"winsize","id":N,"rows":R,"cols":C}
 * and back:
 *   {"ready":true}  or  {"ready":false,"error":"...","code":errno}    once, first
 *   {"id":N,"is_error":bool,"duration_ms":N,"content":[blocks]}       one per call
 *   {"id":N,"info":{...}}
 *   {"id":N,"prepared":true}             with the terminal's master, when a stream is one, and the
 *                                        other end of each "pipe", in order
 *   {"id":N,"stopped":true}              the program was stopped, and not on request
 * or, when a program has ended or could not be run, one of
 *   {"id":N,"exit_code":C}
 *   {"id":N,"signal":S}
 *   {"id":N,"error":"...","code":errno,"stage":"..."}
 * with, in all three,
 *   duration_ms, usage {...}
 *   limit, sentence                      when a limit was hit
 *   denied {...}                         when the sandbox keeps a report
 * Calls are served one at a time, in order. */
#pragma once

#include "sandbox/cgroup/cgroup.h"
#include "sandbox/spec.h"

/* What init starts with. */
struct init_args {
    int channel_fd;
    int oom_fd;  /* read-only file that counts the kernel's out-of-memory kills; -1: none */
    int stat_fd; /* read-only memory.stat of its cgroup (cgroup.h); -1: none */
    struct cgroup_entry entry; /* programs go in there before they run; init does not */
    int notes_fd;              /* what a filter that reports has seen (guard.h); -1: none */
    const struct sandbox_spec *spec;
};

/* Serves until the channel closes; then exits, and the kernel ends everything inside. */
NORETURN void init_run(const struct init_args *program);
