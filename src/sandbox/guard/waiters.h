/* waiters - calls that may take long, made for their callers by short-lived threads. */
#pragma once

#include "base/base.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/types.h>

#define WAITERS_THREADS 32  /* calls that wait in the kernel at once */
#define WAITERS_QUEUED  256 /* more, which wait for one of those */
#define WAITERS_LOOK_MS 20  /* how often it is seen that a caller was interrupted, or is gone */

enum waiter_call { WAITER_CONNECT, WAITER_FLOCK, WAITER_FCNTL };

/* One call. Its descriptors belong to it. */
struct waiter_job {
    uint64_t id; /* of its notification */
    pid_t tid;   /* who waits */
    enum waiter_call call;
    int fd, target; /* of the caller; what the address stands for, or -1 */
    int arg;        /* what flock or fcntl are asked for */
    struct flock lock;
    union {
        struct sockaddr any;
        struct sockaddr_storage room;
    } addr;
    socklen_t addr_len;
};

struct waiters;

/* Answers come through `listener`, which stays the caller's. Threads start with the calling
 * thread's rights, filter and descriptors. `ret` lives as long as the process. 0 or -errno. */
int waiters_init(struct waiters **ret, int listener) WARN_UNUSED;

/* Takes the job over, or says -EAGAIN when too many wait: then it is still the caller's. */
int waiters_add(struct waiters *w, const struct waiter_job *j) WARN_UNUSED;
bool waiters_busy(struct waiters *w);
/* To be called every WAITERS_LOOK_MS while it is busy: wakes those whose callers wait no longer. */
void waiters_look(struct waiters *w);

/* Makes the call, here and now: 0 or -errno. */
int waiter_job_call(const struct waiter_job *j) WARN_UNUSED;
void waiter_job_done(struct waiter_job *j);
/* Answers the notification `id`: 0 or -errno. Fails when the caller is gone, which is no matter. */
void waiter_answer(int listener, uint64_t id, int error);
