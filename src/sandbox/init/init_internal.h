/* init_internal - what the files that make up init share: its state, and the few calls between
 * them. init.c has the loop, the protocol and the queue; bash_call.c and file_call.c the two kinds
 * of tool calls; job.c programs run for `sallyport exec`; init_limits.c time, memory, processes;
 * report.c what the filter has refused. Nobody else includes this. */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "base/list.h"
#include "sandbox/init/init.h"
#include "sandbox/init/output.h"
#include "sandbox/init/procs.h"
#include "sandbox/init/pty.h"
#include "sandbox/init/report.h"
#include "sandbox/init/shell.h"
#include "sandbox/tools/tool.h"

struct job;

enum call_kind { CALL_NONE, CALL_BASH, CALL_FILE };

struct call {
    struct list link;
    int64_t id, timeout_ms;
    char *tool;
    json_t *input;
    const char *time_limit; /* which limit timeout_ms comes from, when not the call's own; NULL */
};

#define INIT_FDS_MAX 3 /* descriptors that may come with one request: the streams of a job */

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

    enum call_kind kind; /* of the call in progress */
    struct call *now;
    int64_t began_ns, deadline_ns;
    int64_t look_ns; /* next time usage is added up; 0: nothing but the shell runs */
    bool crowded;    /* the last look found as many threads as there may be */
    char *notice;    /* what happened between calls, for the next result */
    pid_t helper;    /* file tool's process, 0 when reaped */
    int helper_fd;   /* its result, -1 */
    struct buf result;
    unsigned n_calls, n_outputs;

    int64_t session_ns; /* when the session's time is over; 0: no limit, or not begun */
    bool over;          /* it is: nothing runs any more */
    int oom_fd;         /* counts the kernel's out-of-memory kills, -1 */
    uint64_t oom_before;
    int stat_fd;               /* memory.stat of the cgroup, -1 */
    struct cgroup_doors doors; /* into the cgroup */
    struct job *job;           /* the program that runs for `sallyport exec`, NULL */
    struct report report;
};

/* init.c */
void init_reap(void *arg); /* collects every dead child; arg: struct init */
void init_send(struct init *in, const json_t *o);
/* Sends one message with a descriptor, after everything that is queued; waits for the worker. */
void init_send_fd(struct init *in, const json_t *o, int fd);
void init_finish(struct init *in, struct tool_result *res); /* answers the call in progress */
void init_fail(struct init *in, const char *text, const char *detail); /* likewise, with an error */
/* Answers with content that is JSON text already. */
void init_finish_text(struct init *in, bool is_error, const char *content);

/* bash_call.c */
void bash_begin(struct init *in);
void bash_abort(struct init *in, const char *why);
void bash_read_output(struct init *in);
void bash_read_terminal(struct init *in);
void bash_read_status(struct init *in);
void bash_shell_ended(struct init *in);
void bash_forget_shell(struct init *in); /* after everything has been killed */

/* file_call.c */
void file_begin(struct init *in);
void file_read(struct init *in);
void file_stop(struct init *in);

/* job.c; the request's descriptors are in in->fds, and are taken or closed */
void job_exec(struct init *in, const json_t *o, int64_t id);
void job_start(struct init *in, int64_t id);
void job_signal(struct init *in, const json_t *o, int64_t id);
void job_winsize(struct init *in, const json_t *o, int64_t id);
int job_word_fd(const struct init *in); /* to be read by job_read_words; -1 */
void job_read_words(struct init *in);
bool job_reaped(struct init *in, pid_t pid, int status); /* true when it was the job's */
void job_ended(struct init *in);                         /* answers, when it has */
/* Ends the job and everything else. `limit` names what was hit, `sentence` says it. */
void job_abort(struct init *in, const char *limit, const char *sentence);
int64_t job_deadline_ns(const struct init *in); /* INT64_MAX when there is none */
void job_usage(struct init *in, uint64_t memory_bytes, uint64_t processes);

/* init_limits.c */
/* What all processes use together; memory includes segments and memfds, not files in /tmp and its
 * like. */
void limits_usage(const struct init *in, struct procs_usage *ret);
bool limits_crowded(const struct init *in, const struct procs_usage *u);
void limits_begin_session(struct init *in); /* at the first call */
void limits_begin_call(struct init *in);    /* remembers the count of out-of-memory kills */
/* A sentence when the kernel has ended programs since limits_begin_call; NULL. The caller's. */
char *limits_oom_sentence(struct init *in);
/* What a call is told once the session's time is over. The caller's. */
char *limits_over_sentence(const struct init *in);
void limits_check(struct init *in);
int limits_poll_ms(const struct init *in);
