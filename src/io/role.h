/* role - starts this program anew, with a role for its job (cmd/egress, cmd/gateway). */
#pragma once

#include "base/base.h"

struct err;
struct proc;

/* `command` and `role` are "egress" and "keeper", "proxy" or "export". `envp` is all of its environment; `fds` become 3 and what
 * follows, and stay the caller's. It logs what this process logs, to the same standard error, and ends with
 * it. 0, or a negative code with words. */
int role_start(struct proc *ret, const char *command, const char *role, const char *const *envp,
               const int *fds, size_t n_fds, struct err *e) WARN_UNUSED;
