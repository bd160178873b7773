/* sandbox - untrusted programs in their own namespaces, and the six tools that act in there.
 *
 * What lives in this folder: what worker and engine both speak (spec, frame), what several rooms
 * stand on (mounts: mounting by descriptor; place: the paths of a sandbox), and, a room each,
 *   zygote/  the only process that clones: requests, uids, what is made ahead, the sealed program
 *   build/   the birth of one sandbox: enter (its stages), root, skeleton, contents,
 *            what shows its size
 *   net/     what a sandbox has of a network: the loopback interface
 *   lock/    what locks a new process in: lockdown, landlock, seccomp and its table of calls
 *   guard/   makes, in place of programs, the calls whose arguments no filter sees
 *   cgroup/  groups and their limits, both versions
 *   init/    pid 1 of every sandbox: the loop, calls, shell, programs, processes, report
 *   tools/   the six tools, which run in children of init
 * What does not: the worker's side of the conversation (box/), the event loop.
 * Only base/ is included here; nothing in this folder is linked against TLS, HTTP or storage code.
 *
 *   worker --seqpacket--> zygote --clone3--> init (pid 1) --fork--> bash, file tools
 *      `------------------- stream socket ----^ */
#pragma once

#include "base/base.h"

#define SANDBOX_UID   1000              /* uid and gid of everything inside */
#define SANDBOX_USER  "agent"           /* and its name */
#define SANDBOX_HOME  "/workspace"      /* working directory, HOME */
#define SANDBOX_SPOOL "/tmp/.sallyport" /* where whole outputs are left for the model to read */
/* In a sandbox that trusts a certificate of its boundary: that, and all that the system trusts together
 * with it. */
#define SANDBOX_CA      "/etc/sallyport/ca.pem"
#define SANDBOX_CAS     "/etc/sallyport/bundle.pem"
#define SANDBOX_CA_JAVA "/etc/sallyport/cacerts.jks" /* as SANDBOX_CAS; when there is a Java */
/* In the input of a bash call: how often it has been begun, with this time. No model is told of it;
 * the worker sets it, whatever came. */
#define SANDBOX_ATTEMPT_KEY "sallyport_attempt"
#define SANDBOX_FRAME_MAX   (8u << 20)   /* one request or response on init's socket */
#define SANDBOX_SPEC_MAX    (128u << 10) /* one datagram on the zygote's seqpacket socket */

enum {
    ZYGOTE_QUIET = 1,  /* logs errors only */
    ZYGOTE_SINGLE = 2, /* one sandbox is all there will be: nothing is made ahead for another */
};

/* The role `sallyport zygote`. `ctl_fd` is a connected SOCK_SEQPACKET socket to the worker.
 * Re-executes the program from a sealed memfd first, unless it runs from one, then serves create
 * requests until the worker closes its end or dies; then kills every sandbox. `how`: of the above.
 * Returns the exit status of the process. */
int zygote_main(int ctl_fd, unsigned how);

/* The same without the re-execution: for tests and for zygote_main itself. */
int zygote_serve(int ctl_fd);
