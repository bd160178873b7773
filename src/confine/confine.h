/* confine - what a process that reads strangers' bytes gives up before it reads the first one.
 *
 * What lives in this room: the order of it (confine) and the filter of system calls (seccomp). A proxy of
 * egress reads what sandboxes and origins send, the gateway what callers, edge and servers send, and both hold
 * the secrets that are in use; whoever takes one over finds a user that owns nothing, no capability, no
 * file but those that are named, no program to execute, no port to listen on, and no process to trace or
 * signal. What does not live here: what is done before (opening libraries and sockets), and who keeps files and
 * secrets for such a process. */
#pragma once

#include "base/base.h"

struct err;

/* Who such processes are when root has started them: nobody else's numbers, of those that are neither
 * people's nor packages' (Debian Policy 9.2.2, 60000 to 64999). One for each role, so that they are
 * strangers to each other, too. */
#define CONFINE_UID_EGRESS  64717u
#define CONFINE_UID_GATEWAY 64718u

struct confine_role {
    const char *who;               /* "egress": begins warnings */
    uint32_t uid;                  /* when root has started it, and of its group */
    const char *const *read_paths; /* what may still be read, below folders all; ends with NULL */
};

/* Becomes the user `uid`, with its group and no other, for good. -EPERM with words: the rights for it,
 * CAP_SETUID and CAP_SETGID, are missing. Otherwise whose process it is then. */
enum confine_user {
    CONFINE_USER_SAME,    /* an ordinary user's, as before */
    CONFINE_USER_OWN,     /* the role's own */
    CONFINE_USER_UNKNOWN, /* root's of a user namespace without that number: a rootless container */
};
int confine_user(uint32_t uid, struct err *e) WARN_UNUSED;

/* Opens what cannot be opened afterwards: libseccomp, /proc/self/status. Before anything is given
 * up. */
int confine_prepare(struct err *e) WARN_UNUSED;
/* All of it, in order, on the one thread that there is; then the kernel is asked whether it took. 0, or a
 * negative code with words: then some of it is gone, and the process must not serve. */
int confine_lock(const struct confine_role *role, struct err *e) WARN_UNUSED;
/* The filter alone, for its test: a call that is not on the list ends the process. */
int confine_seccomp_install(struct err *e) WARN_UNUSED;
