/* role.c - the one way in which this program starts itself anew.
 *
 * Called by whoever holds sandboxes for the keeper of egress, and by keepers for the processes that they
 * keep, on any fiber. No state. Nothing of a command line or of a stranger is in it: a role's name and the
 * level of the log are all that it is started with, and what it is to do it hears on its channel. */
#include "io/role.h"

#include "base/log.h"
#include "io/proc.h"

int role_start(struct proc *ret, const char *command, const char *role, const char *const *envp,
               const int *fds, size_t n_fds, struct err *e)
{
    const char *const argv[] = {"sallyport", command, role,
                                log_enabled(LOG_DEBUG)  ? "debug"
                                : log_enabled(LOG_INFO) ? "info"
                                : log_enabled(LOG_WARN) ? "warn"
                                                        : "error",
                                NULL};
    const struct proc_spec spec = {.path = "/proc/self/exe",
                                   .argv = argv,
                                   .envp = envp,
                                   .stdin_fd = -1,
                                   .stdout_fd = -1,
                                   .stderr_fd = 2,
                                   .extra_fds = fds,
                                   .n_extra_fds = n_fds,
                                   .own_session = true,
                                   .die_with_parent = true};
    return proc_start(ret, &spec, e);
}
