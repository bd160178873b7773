/* lockdown - giving everything up: identity, limits, capabilities, system calls; then checking that
 * it is gone. */
#pragma once

#include "sandbox/spec.h"

struct err;
struct seccomp_filter;

/* Becomes uid and gid 1000, without supplementary groups where the namespace lets us drop them; own
 * session, own session keyring. Capabilities in the new user namespace stay: mounts come next. */
int lockdown_identity(struct err *e) WARN_UNUSED;

/* Everything else, in the order the kernel demands. Afterwards the process has no capability and
 * can get none. *ret_listener as seccomp_filter_install gives it. */
int lockdown_finish(const struct sandbox_limits *l, const struct seccomp_filter *f,
                    int *ret_listener, struct err *e) WARN_UNUSED;

/* Reads /proc/self/status of the sandbox's own procfs and compares with what must be. `text` is the
 * file's content: split off so that it can be tested. 0, or -E_DENIED with the line that surprised.
 */
int lockdown_check(struct err *e) WARN_UNUSED;
int lockdown_check_status(const char *text, struct err *e) WARN_UNUSED;
