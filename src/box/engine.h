/* engine - what stands behind box.h: the engines, the host that has chosen one, and the box as they
 * all know it. Included by the files of this room only.
 *
 *   host.c         start, stop, open
 *     --> warm.c   those made before they are asked for
 *     --> open.c   one, made now, by an engine:
 *           --> native.c | oci/oci.c | none.c    one way to make sandboxes each
 *                 --> box.c                      one sandbox: its socket, its calls, its end */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "box/box.h"
#include "box/state.h"
#include "fiber/sync.h"
#include "io/loop.h"
#include "io/pool.h"

#define BOX_START_MS 10000 /* for a zygote to come up, and for a sandbox */
#define BOX_CLOSE_MS 5000  /* for a killed sandbox to be gone */

/* One way to make sandboxes. Called on fibers of the host's thread; all of them may suspend. */
struct box_engine {
    const char *name;    /* as in --isolation */
    const char *warning; /* logged for each session; NULL: nothing to warn of */
    /* What must be there before the first sandbox. On failure the engine has cleaned up. */
    int (*start)(struct box_host *h, const struct box_host_config *cfg, struct err *e);
    void (*stop)(struct box_host *h); /* every box is closed by then */
    /* Makes a sandbox and attaches `b` to it (box_attach). 0, or a negative code with words; what
     * is half made is the box's, and box_close undoes it. */
    int (*open)(struct box *b, const struct sandbox_spec *spec, struct err *e);
    /* The processes are gone: removes the rest. NULL: there is none. */
    void (*clean)(struct box *b);
};
extern const struct box_engine box_native, box_oci, box_none;

/* Before state_open sweeps `dir`: has the runtimes of dead runs delete their containers, whatever
 * the engine is now. Suspends. */
void box_oci_sweep(const char *dir);

struct box_host {
    const struct box_engine *engine;
    void *own;             /* the engine's */
    const char *made_by;   /* the program that makes sandboxes, for messages; NULL: this one */
    struct box_warm *warm; /* warm.h; NULL before the engine has started */
    struct scope scope;    /* the engine's fibers, the pool's filler and watchers */
    struct state state;
    bool have_state;
    struct pool *pool;
};

struct box {
    struct box_host *host;
    struct io_fd channel, pidfd;
    struct buf in;
    struct fmutex calls, writing;
    int64_t last_id; /* of its calls */
    bool broken;
    int pid;
    int kill_signal; /* what box_kill sends; SIGKILL but where a supervisor cleans up */
    char *dir;       /* workspace on disk, removed with the box */
    char *home;      /* where tools start; NULL: SANDBOX_HOME */
    void *own;       /* the engine's; released by its clean() */
    struct box_door *doors;
    size_t n_doors;
};

/* A box without a sandbox: box_close frees it. */
struct box *box_new(struct box_host *h);

/* Takes the socket to init and the pidfd (each is -1 afterwards when it was taken). 0, or a negative
 * code with words. */
int box_attach(struct box *b, int *channel, int *pidfd, int pid, struct err *e) WARN_UNUSED;

/* Waits until init says that it is ready. Suspends. 0, or a negative code with words. */
int box_wait_hello(struct box *b, struct err *e) WARN_UNUSED;
/* The error for a message of init's that says that the sandbox could not be built. Negative. */
int box_not_built(const json_t *o, struct err *e);

/* The same for an init that was executed (sandbox/init/standalone.h): the channel, on
 * which it is first told what to be; and the pidfd of the process whose end is the sandbox's.
 * Suspend. */
int box_attach_foreign(struct box *b, int *channel, const struct sandbox_spec *spec,
                       const char *home, const char *spool, struct err *e) WARN_UNUSED;
int box_attach_pidfd(struct box *b, int *pidfd, int pid, struct err *e) WARN_UNUSED;

/* Sends one frame; half a frame kills the box. Suspends. */
int box_send(struct box *b, const json_t *o) WARN_UNUSED;

/* Next message of the box. 1 with a new reference, or a negative code, with words unless the wait
 * itself failed. Suspends. */
int box_receive(struct box *b, json_t **ret, struct err *e) WARN_UNUSED;

/* Kills everything inside and marks the box as of no use any more. */
void box_kill(struct box *b);

/* What the other side's report of a failure ({"error":WORDS,"code":ERRNO}) comes to here: the code
 * when it may pass by itself (box_may_pass), else -EIO. The peer is not trusted: no other code,
 * some of which mean something to callers, can be brought in this way. */
int box_reported_code(const json_t *o);

/* True for failures of want, of memory, say, or of processes: the same may work later. */
bool box_may_pass(int code);

/* Suspends until the process of `pidfd` has ended: 0, or a negative code. */
int box_wait_end(struct io_fd *pidfd) WARN_UNUSED;

/* Asks init for a sign of life. Nothing else may be using the box. Suspends for at most `ms`. 0, or
 * a negative code: the box is of no use. */
int box_ping(struct box *b, int64_t ms) WARN_UNUSED;
