/* internal - what the files that make up init share: its state, and the few calls between them,
 * which go one way:
 *
 *   init.c                                 the loop, the protocol, the queue; acts on verdicts
 *     |   by struct call_ops
 *     v
 *   bash_call.c  file_call.c  program.c    the three kinds of work: commands, file tools, programs
 *     |                                    of `sallyport exec`
 *     v
 *   call.c  limits.c  report.c             answers and dead children; time, memory, processes;
 *                                          what the filter has refused
 *
 * No other file includes this. */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "base/list.h"
#include "sandbox/init/init.h"
#include "sandbox/init/output.h"
#include "sandbox/init/procs.h"
#include "sandbox/init/pty.h"
#include "sandbox/init/quiet.h"
#include "sandbox/init/report.h"
#include "sandbox/init/shell.h"
#include "sandbox/tools/tool.h"

struct init;
struct program;

/* One kind of work. At most one is in progress (in->at_work); what else goes on in the sandbox,
 * such as background jobs of the shell, belongs to no call. */
struct call_ops {
    /* Begins in->now, or the program that is prepared. What cannot begin is answered at once. */
    void (*begin)(struct init *in);
    /* Ends it with everything it has started, and answers; a program's answer waits until it is
     * reaped. `why` is a sentence, `limit` the name of a limit that was hit, for reports; NULL when
     * none was. */
    void (*abort)(struct init *in, const char *limit, const char *why);
    /* Where its process is heard of, -1 for now; and what to do when there is something to read.
     * NULL: nowhere (what the shell says is read between its calls, too). */
    int (*fd)(const struct init *in);
    void (*read)(struct init *in);
    /* A child of init's has ended or was stopped. True when it is a process of this kind; asked of
     * all kinds, at work or not. It is only noted: the loop answers. */
    bool (*ended)(struct init *in, pid_t pid, int status);
    void (*usage)(struct init *in, const struct procs_usage *u); /* it was added up; may be NULL */
    const char *time_limit; /* name of the limit of its time, for reports */
    bool unmeasured; /* usage is not added up meanwhile: its process has a limit of its own */
};
extern const struct call_ops bash_call, file_call, program_call;
#define CALL_KINDS 3

/* What was found to be over a limit. */
enum limit {
    LIMIT_NONE,
    LIMIT_TIME,
    LIMIT_SESSION,
    LIMIT_MEMORY,
    LIMIT_PROCESSES,
    LIMIT_FILES,
    LIMIT_CONNECTIONS,
    LIMIT_SHARED
};
struct verdict {
    enum limit limit;
    const char *name; /* for reports */
    char *why;        /* a sentence; the verdict's */
};
static inline void verdict_done(struct verdict *v)
{
    free(TAKE(v->why));
}

struct call {
    struct list link;
    int64_t id, timeout_ms;
    char *tool;
    json_t *input;
    const char *time_limit; /* which limit timeout_ms comes from, when not the call's own; NULL */
};

#define INIT_FDS_MAX 3 /* descriptors that may come with one request: the streams of a program */

struct init {
    int channel, sigfd;
    const struct sandbox_spec *spec;
    struct buf in, out;
    int fds[INIT_FDS_MAX]; /* came with bytes that are not handled yet */
    size_t n_fds;
    struct list queue;
    size_t queued;
    struct shell shell;
    struct output output;
    struct pty pty;      /* of bash calls that want a terminal; made for the first one */
    bool on_pty;         /* the bash call in progress is such a one */
    struct procs before; /* processes that were there before the call in progress */
    bool shell_died;     /* noticed by reap, answered by the loop */
    bool fresh_shell;    /* it was started for the call in progress */
    int shell_status;
    bool helper_died;
    int helper_status;

    const struct call_ops *const *kinds; /* CALL_KINDS of them */
    const struct call_ops *at_work;      /* what is in progress; NULL: nothing */
    struct call *now;                    /* the call in progress; NULL when that is a program */
    int64_t began_ns;                    /* of the call */
    int64_t deadline_ns;                 /* of what is at work; INT64_MAX: none */
    int64_t look_ns; /* next time usage is added up; 0: nothing but the shell runs */
    /* The command or program at work has ended, and what it has left may still write: then its answer
     * waits. */
    struct quiet quiet;
    bool ended_with_shell; /* the command's shell has ended, too */
    int ended_status;      /* the command's exit code, or the shell's wait status */
    char output_link[32];  /* what /proc calls the output pipe */
    bool crowded;          /* the last look found as many threads as there may be */
    bool one_id;           /* there is one id only, perhaps a user's of the machine */
    uint64_t files_most;   /* open files that all processes may have together; 0: not asked yet */
    char *notice;          /* what happened between calls, for the next result */
    pid_t helper;          /* file tool's process, 0 when reaped */
    int helper_fd;         /* its result, -1 */
    struct buf result;
    unsigned n_calls, n_outputs;

    int64_t session_ns; /* when the session's time is over; 0: no limit, or not begun */
    bool over;          /* it is: nothing runs any more */
    int oom_fd;         /* counts the kernel's out-of-memory kills, -1 */
    uint64_t oom_before;
    int stat_fd;               /* memory.stat of the cgroup, -1 */
    struct cgroup_entry entry; /* into the cgroup */
    struct program *program;   /* the program that runs for `sallyport exec`, NULL */
    struct report report;
};

/* call.c */
void call_free(struct call *c);
void call_reap(void *arg); /* collects every dead child; arg: struct init */
void call_send(struct init *in, const json_t *o);
#define CALL_FDS_MAX 4
/* Sends one message with up to CALL_FDS_MAX descriptors, after everything that is queued; waits for
 * the worker. */
void call_send_fds(struct init *in, const json_t *o, const int *fds, size_t n);
/* Answers `c`, which has not begun, with an error. */
void call_refuse(struct init *in, const struct call *c, const char *sentence);
void call_finish(struct init *in, struct tool_result *res); /* answers the call in progress */
void call_fail(struct init *in, const char *text, const char *detail); /* likewise, with an error */
/* Answers with content that is JSON text already. */
void call_finish_text(struct init *in, bool is_error, const char *content);
void call_forget_shell(struct init *in);   /* which is dead or about to be */
void call_end_everything(struct init *in); /* all processes but init, the shell included */

/* bash_call.c: what the shell says and does, within calls and between them */
void bash_read_output(struct init *in);
void bash_read_terminal(struct init *in);
void bash_read_status(struct init *in);
void bash_shell_ended(struct init *in);
void bash_settled(struct init *in); /* answers, when nobody of the command writes any more */

/* program.c: the program that runs for `sallyport exec` */
enum program_state { JOB_NONE, JOB_PREPARED, JOB_RUNNING, JOB_ENDED };
enum program_state program_state(const struct init *in);
/* Requests (init.h). The descriptors of the first two are in in->fds, and are taken or closed. */
void program_exec(struct init *in, const json_t *o, int64_t id);
void program_refuse(struct init *in, int64_t id, const char *sentence);
void program_start(struct init *in, const json_t *o, int64_t id);
void program_signal(struct init *in, const json_t *o, int64_t id);
void program_winsize(struct init *in, const json_t *o, int64_t id);
void program_ended(struct init *in); /* answers, when it has */

/* limits.c */
/* What all processes use together; memory includes segments, memfds and what lies in Internet
 * sockets, not files in /tmp and its like. *ret_orphans: of those sockets (sockets.h). */
void limits_usage(const struct init *in, struct procs_usage *ret, uint64_t *ret_orphans);
/* Whether that is more than one of the limits. */
bool limits_exceeded(const struct init *in);
void limits_begin_session(struct init *in); /* at the first call */
void limits_begin_call(struct init *in);    /* remembers the count of out-of-memory kills */
/* The call in progress may take `ms` from its beginning, or what the worker or the specification
 * grants when that is less. */
void limits_set_deadline(struct init *in, int64_t ms);
/* A sentence when the kernel has ended programs since limits_begin_call; NULL. The caller's. */
char *limits_oom_sentence(struct init *in);
/* What a call is told once the session's time is over. The caller's. */
char *limits_over_sentence(const struct init *in);
/* True when something is over its limit at `now` (time_mono_ns): then it must be ended, and asked
 * again with the same `now`, until all is well. */
bool limits_check(struct init *in, int64_t now, struct verdict *ret);
int limits_poll_ms(const struct init *in);
