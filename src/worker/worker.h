/* worker - claims sessions from a self_hosted environment and runs their tools, one sandbox per
 * session.
 *
 * What lives in this folder: the calls to the platform (remote), the claim loop (worker), the lease
 * of one claimed item (lease), what is known of a session from its events (feed), the execution of
 * its calls (runner), and the client of the sandbox engine (box). What does not: namespaces and
 * tools themselves (sandbox/), the way out of a sandbox (egress/).
 *
 * Rules: worker.md; wire facts: api.md section 4. */
#pragma once

#include "base/secret.h"
#include "fiber/sync.h"
#include "box/box.h"

struct err;
struct box_host;
struct sandbox_spec;

/* A custom tool this worker serves: a shell command run in the sandbox, the call's input as one
 * line of JSON on its standard input, the result on its standard output; a non-zero exit status
 * makes it an error. */
struct worker_tool {
    const char *name, *command;
};

struct worker_config {
    const char *base_url; /* "http://127.0.0.1:8400", no trailing slash */
    const char *environment_id;
    struct secret environment_key;
    const char *worker_id; /* NULL: host name and a random part */
    size_t capacity;       /* sessions at once; 0: worker_default_capacity() */
    int64_t grace_ms;      /* after the first SIGTERM, for running calls; 0: 30 s */
    int64_t max_idle_ms;   /* a session at rest is let go after so long; 0: 60 s; < 0: never */
    int64_t keep_ms;       /* then finds its sandbox again for so long; 0: removed at once */
    size_t keep_max;       /* how many are kept; 0: as many as capacity */
    const char *state_dir; /* sandboxes' directories; swept at start */
    const struct sandbox_spec *sandbox; /* what every sandbox is made of; NULL: the defaults */
    enum box_isolation isolation;
    const char *oci_runtime; /* box.h */
    const char *search_path; /* PATH, for the runtime; may be NULL */
    size_t warm;             /* sandboxes kept ready for sessions to come */
    const struct worker_tool *tools;
    size_t n_tools; /* at most WORKER_TOOLS_MAX */
    /* Operator's commands on this host (hook.h), or NULL. A failing on_claim is logged, and the
     * session served all the same; on_end runs whenever on_claim has. */
    const char *on_claim, *on_end;
};

#define WORKER_TOOLS_MAX 64

/* By memory and cores: 1 per 256 MiB, at most 16 per core, at least 1. */
size_t worker_default_capacity(void);

/* Serves until worker_stop or a permanent error (wrong key, unknown environment: words in `e`).
 * Suspends. `on_ready` (may be NULL) is called after the first accepted poll. Returns 0 or a
 * negative code. */
int worker_run(const struct worker_config *cfg, void (*on_ready)(void *arg), void *arg,
               struct err *e);
/* From another fiber: first call, stop claiming and give running calls the grace period; second
 * call, now. */
void worker_stop(void);
