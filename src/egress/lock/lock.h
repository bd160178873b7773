/* lock - what a proxy gives up before it serves: identity, capabilities, files, system calls.
 *
 * What lives in this folder: the order of it (lock) and the filter (seccomp). A proxy reads what
 * sandboxes and origins send and holds the secrets that are in use; whoever takes it over finds a
 * user that owns nothing, no capability, no file but the resolver's, no program to execute, no port
 * to listen on, and no process to trace or signal. */
#pragma once

#include "base/base.h"

struct err;

/* Who proxies are when egress is started by root: nobody else's number, of those that are neither
 * people's nor packages' (Debian Policy 9.2.2, 60000 to 64999). */
#define EGRESS_UID 64717u

/* Becomes that user, with its group and no other, for good. -EPERM with words: the rights for it,
 * CAP_SETUID and CAP_SETGID, are missing. Otherwise whose process it is then. */
enum egress_user {
    EGRESS_USER_SAME,    /* an ordinary user's, as before */
    EGRESS_USER_OWN,     /* egress's own */
    EGRESS_USER_UNKNOWN, /* root's of a user namespace without that number: a rootless container */
};
int egress_lock_user(struct err *e) WARN_UNUSED;

/* Opens what cannot be opened afterwards: libseccomp, /proc/self/status. Before anything is given
 * up. */
int egress_lock_prepare(struct err *e) WARN_UNUSED;
/* All of it, in order, on the one thread that there is; then the kernel is asked whether it took.
 * `read_paths`: what may still be read, ending with NULL. 0, or a negative code with words. */
int egress_lock(const char *const *read_paths, struct err *e) WARN_UNUSED;
/* The filter alone, for its test: a call that is not on the list ends the process. */
int egress_seccomp_install(struct err *e) WARN_UNUSED;
