/* answer - what becomes of one system call that was stopped: the rules of the guard. */
#pragma once

#include "sandbox/guard/places.h"
#include "sandbox/guard/waiters.h"

struct seccomp_notif;

struct answer_rules {
    struct places places;
    bool
        binds_too; /* sockets may be made in the sandbox's own places only, and nobody else says so */
};

/* What answer_call says when it is no result. */
enum {
    ANSWER_NO = 1, /* a rule of the filter: EPERM */
    ANSWER_DENIED, /* what it leads to is not the sandbox's: EACCES */
    ANSWER_GO_ON,  /* the kernel may do it; said only where it does not matter what has changed */
    ANSWER_WAITS,  /* the job is filled in, and may take long */
};

/* Decides about call `n`, which has come to `listener`, and makes it when it is one that does not
 * wait. `job` names its caller; what it holds afterwards is to be released by waiter_job_done. 0 or
 * -errno as the call's result, or one of the above. */
int answer_call(const struct answer_rules *rules, int listener, const struct seccomp_notif *n,
                struct waiter_job *job) WARN_UNUSED;
