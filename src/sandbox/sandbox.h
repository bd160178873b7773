/* sandbox - untrusted programs in their own namespaces, and the six tools that act in there.
 *
 * What lives in this folder: the zygote (the only process that clones: zygote, ahead, spec, uids,
 * idmap, cgroup, sealed), root file systems (mounts, rootfs, root, visible), locking a new process
 * in (enter, lockdown, landlock, syscalls, seccomp), init, pid 1 of every sandbox (init, frame,
 * bash_call, file_call, job, shell, pty, output, procs, report), and the tools (tools/). What does
 * not: the worker's side of the conversation (worker/box), networking, the event loop. Only base/
 * is included here; nothing in this folder is linked against TLS, HTTP or storage code.
 *
 *   worker --seqpacket--> zygote --clone3--> init (pid 1) --fork--> bash, file tools
 *      `------------------- stream socket ----^ */
#pragma once

#include "base/base.h"

#define SANDBOX_UID       1000              /* uid and gid of everything inside */
#define SANDBOX_USER      "agent"           /* and its name */
#define SANDBOX_HOME      "/workspace"      /* working directory, HOME */
#define SANDBOX_SPOOL     "/tmp/.sallyport" /* where whole outputs are left for the model to read */
#define SANDBOX_FRAME_MAX (8u << 20)        /* one request or response on init's socket */
#define SANDBOX_SPEC_MAX                                                                           \
    (128u << 10) /* one message on the zygote's socket (seqpacket, one datagram) */

/* The role `sallyport zygote`. `ctl_fd` is a connected SOCK_SEQPACKET socket to the worker.
 * Re-executes the program from a sealed memfd first, then serves create requests until the worker
 * closes its end or dies; then kills every sandbox. `quiet`: logs errors only. Returns the exit
 * status of the process. */
int zygote_main(int ctl_fd, bool quiet);

/* The same without the re-execution: for tests and for zygote_main itself. */
int zygote_serve(int ctl_fd);
