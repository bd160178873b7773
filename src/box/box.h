/* box - the worker's client of whatever makes sandboxes: one host per worker, one box per session.
 *
 * Three engines stand behind it (docs/isolation.md): the zygote of our own, an OCI runtime, and
 * none at all. Callers see no difference: the process at the other end is the same init.
 *
 * Fibers only; everything that waits suspends. What comes back from a box is untrusted: it is
 * bounded and checked for shape here, and its callers must treat it as data. */
#pragma once

#include "base/json.h"

struct err;
struct box;
struct box_host;
struct sandbox_spec;

struct box_spec {
    const char *session_id;             /* for the log; may be NULL */
    const struct sandbox_spec *sandbox; /* NULL: the defaults of sandbox/spec.h */
    /* /workspace is a directory below the state directory, removed by box_close, instead of a
     * tmpfs; needs a host with a state directory. */
    bool disk_workspace;
};

/* One socket of a door (sandbox/doors.h). */
struct box_door {
    size_t index; /* of the door in the specification */
    int fd;       /* listening, or for datagrams; non-blocking, in the sandbox's network */
};

struct box_result {
    json_t *content; /* array of content blocks; owned, NULL when there is none */
    bool is_error;
    int64_t duration_ms; /* as measured inside */
};
void box_result_done(struct box_result *r); /* zeroed ones are fine */

enum box_isolation {
    BOX_NATIVE, /* the zygote (sandbox/zygote/zygote.h) */
    BOX_OCI,    /* containers of an OCI runtime */
    BOX_NONE,   /* no isolation: the worker's own user, a directory of the state directory */
};

/* Texts and the specification are borrowed for the host's life. */
struct box_host_config {
    const char *state_dir; /* swept of what dead runs have left; NULL: none (native only) */
    enum box_isolation isolation;
    const char *oci_runtime; /* name to look up in PATH, or path; NULL: "crun" */
    const char *search_path; /* PATH, looked through before the usual places; may be NULL */
    size_t warm;             /* sandboxes kept ready */
    /* What they, and a first trial, are made of; NULL: the defaults. */
    const struct sandbox_spec *warm_spec;
    /* One box is all that will be opened: nothing is made ahead, and whether the engine works is
     * found out by box_open (native). */
    bool single;
    /* Told what a sandbox has left in a writable bind and was moved aside, in words that a sandbox
     * may have chosen in part; NULL: the log. */
    void (*tell)(const char *sentence);
    bool trial; /* make one at start: what cannot be had fails there, not in the first session */
};

/* Starts the engine and waits until it can make sandboxes. `cfg` NULL: native, no state directory.
 * A trial that fails for want of memory, descriptors and the like is logged and no failure: it says
 * nothing about the settings, and sessions try for themselves. The calling fiber must be the one
 * that calls box_host_stop. Suspends. 0, or a negative code with words. */
int box_host_start(const struct box_host_config *cfg, struct box_host **ret, struct err *e)
    WARN_UNUSED;
/* Ends the engine, and with it every sandbox. Boxes must have been closed; those that are ready are
 * closed here. NULL is fine. Suspends. */
void box_host_stop(struct box_host *h);

/* How many sandboxes stand ready: for tests. */
size_t box_host_warm(const struct box_host *h);

/* Takes a sandbox that stands ready when the specification is the pool's, else makes one. Several
 * fibers may open at once. A zygote that has died is started again. Suspends. 0, -ECANCELED,
 * -ETIMEDOUT, or a negative code with words. */
int box_open(struct box_host *h, const struct box_spec *spec, struct box **ret, struct err *e)
    WARN_UNUSED;

/* Runs one tool call; calls of one box take turns. `timeout_ms` > 0 is a ceiling on what the tool
 * grants itself. Suspends. 0: *ret is set (is_error included: a tool that failed is an answer).
 * -ECANCELED or -ETIMEDOUT when the fiber was cancelled or its deadline passed: the call has been
 * ended inside, with everything it had started. Any other code: the box is of no use any more.
 * `ret` must be zeroed or done. */
int box_call(struct box *b, const char *tool, const json_t *input, int64_t timeout_ms,
             struct box_result *ret, struct err *e) WARN_UNUSED;

/* Kills everything inside, waits until it is gone, removes its directory. NULL is fine. Suspends,
 * also when cancelled. */
void box_close(struct box *b);

/* Whether its init is gone, or about to be: no call can be run there any more. */
bool box_has_ended(const struct box *b);

/* The working directory of tools, as they see it; without a quote. */
const char *box_home(const struct box *b);

/* The sockets of the sandbox's doors, in the order of spec->doors: one each, and two of a door at any
 * address, IPv4 first (on a kernel without IPv6 those of that family are missing). Checked: they are
 * what the specification says, in one network namespace that is not the caller's. Borrowed; box_close
 * closes them, and with the last copy of each the sandbox's network ends. NULL when there are none. */
const struct box_door *box_doors(const struct box *b, size_t *ret_n);

/* Process id of the sandbox's init on this host, for logs and tests. */
int box_pid(const struct box *b);

/* The socket to the sandbox's init, for run.c, which speaks on it instead of box_call: a box
 * serves either calls or one program. Borrowed. */
struct io_fd *box_channel(struct box *b);
