/* config - what a worker is told to do: filled by the command (cmd/worker.c), read by all of
 * worker/ and not changed while it runs. Strings are borrowed. */
#pragma once

#include "base/secret.h"
#include "box/box.h"

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
    const char *oci_runtime;           /* box.h */
    const struct box_outside *outside; /* box.h; NULL: sandboxes have no way out */
    const char *search_path;           /* PATH, for the runtime; may be NULL */
    size_t warm;                       /* sandboxes kept ready for sessions to come */
    const struct worker_tool *tools;
    size_t n_tools; /* at most WORKER_TOOLS_MAX */
    /* Operator's commands on this host (hook.h), or NULL. A failing on_claim is logged, and the
     * session served all the same; on_end runs whenever on_claim has. */
    const char *on_claim, *on_end;
    const char *metrics; /* where the operator's page is, or "none"; NULL: the default (page.h) */
};

#define WORKER_TOOLS_MAX 64
