/* procs - the processes of this sandbox, as init sees them in /proc: who is there, how much memory
 * they hold, and how to end exactly those that a call has started. */
#pragma once

#include "base/base.h"
#include <sys/types.h>

struct proc_id {
    pid_t pid;
    uint64_t start; /* start time in clock ticks: tells a reused pid apart */
};

/* A list of processes. Grows as needed up to what a pid namespace with our limits can hold. */
struct procs {
    struct proc_id *ids;
    size_t n, cap;
};

void procs_done(struct procs *p);

/* All living processes but init and zombies. 0 or -errno. */
int procs_list(struct procs *ret) WARN_UNUSED;
bool procs_has(const struct procs *p, struct proc_id id);

/* Ends every process that is not in `spare`, until none is left: children forked meanwhile
 * included. Calls reap(arg) between rounds (init must collect its children). Returns 0, or 1 when
 * only ending everything helped (they forked faster than they could be named). Takes at most a
 * fraction of a second. */
int procs_kill_others(const struct procs *spare, void (*reap)(void *arg), void *arg);

/* Ends every process but init. */
void procs_kill_all(void (*reap)(void *arg), void *arg);

/* Anonymous memory of all processes but init, in bytes. */
uint64_t procs_memory(void);

/* Parses the start time and state out of the text of /proc/PID/stat; -E_PARSE when it does not look
 * like one. */
int procs_parse_stat(const char *text, char *ret_state, uint64_t *ret_start) WARN_UNUSED;
