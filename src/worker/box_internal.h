/* box_internal - what the files behind box.h share: box.c (one box), box_host.c (the zygote,
 * opening) and their neighbours named box_*.c. Nobody else includes it. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "fiber/sync.h"
#include "io/loop.h"
#include "io/pool.h"
#include "io/proc.h"
#include "sandbox/state.h"
#include "worker/box.h"

#define BOX_START_MS 10000 /* for a zygote to come up, and for a sandbox */
#define BOX_CLOSE_MS 5000  /* for a killed sandbox to be gone */

struct box_host {
    struct proc zygote;
    struct io_fd ctl;
    struct scope scope; /* the keeper */
    struct list opening;
    struct fmutex sending;
    bool alive;
    struct waitq changed; /* alive, or another start has failed */
    uint64_t starts;
    struct err start_err;
    int64_t seq;
    struct state state;
    bool have_state;
    struct pool *pool;
};

struct box {
    struct box_host *host;
    struct io_fd channel, pidfd;
    struct buf in;
    struct fmutex calls, writing;
    int64_t last_id, current; /* current: id of the call in progress, 0 */
    bool broken;
    int pid;
    char *dir;
};

/* A box without a sandbox: box_close frees it. */
struct box *box_new(struct box_host *h);

/* Takes the socket to init and the pidfd (each is -1 afterwards when it was taken), then waits for
 * init's first message. Suspends. 0, or a negative code with words. */
int box_attach(struct box *b, int *channel, int *pidfd, int pid, struct err *e) WARN_UNUSED;

/* Sends one frame; half a frame kills the box. Suspends. */
int box_send(struct box *b, const json_t *o) WARN_UNUSED;

/* Next message of the box. 1 with a new reference, or a negative code, with words unless the wait
 * itself failed. Suspends. */
int box_receive(struct box *b, json_t **ret, struct err *e) WARN_UNUSED;

/* Kills everything inside and marks the box as of no use any more. */
void box_kill(struct box *b);
