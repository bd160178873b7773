/* lockdown.c - the last steps of a new sandbox process before it becomes init.
 *
 * Runs in the cloned process, alone in its namespaces. Nothing here looks at input; the order is
 * what matters. The bounding set and securebits need CAP_SETPCAP, so they go before the capability
 * sets; no_new_privs goes before seccomp; PDEATHSIG goes after the change of uid, which clears it.
 * Every step fails closed: the caller reports and exits.
 *
 * lockdown_check then asks the kernel, through the sandbox's own procfs, whether it all took
 * effect. A bug here must show up as a sandbox that does not start, not as one that holds less than
 * it says.
 *
 * The last capability and the filter are the guard's to deal with (guard/guard.c): its thread keeps
 * the one and does without the other. */
#include "sandbox/lock/lockdown.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "sandbox/lock/capability.h"
#include "sandbox/lock/landlock.h"
#include "sandbox/mounts.h"

/* Our own session, so that no signal or terminal of the worker's reaches us, and our own keyring:
 * keyrings are not namespaced, and without this the sandbox would hold the worker's. A kernel
 * without keys says ENOSYS and has none to hold. */
static int new_session(struct err *e)
{
    if (getsid(0) == getpid())
        return 0;
    if (setsid() < 0)
        return err_set(e, -errno, "could not start a session: %m");
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
        return err_set(e, -errno, "could not start a session keyring: %m");
    return 0;
}

int lockdown_become(unsigned id, struct err *e)
{
    /* Otherwise the kernel takes the capabilities away when the last id stops being 0. */
    int r = capability_survive_setuid(e);
    if (r < 0)
        return r;
    /* -EPERM: an ordinary user's namespace may not drop groups (setgroups is "deny"). They show up
     * as nogroup inside, and the files they could open are not in the mount namespace. */
    if (setgroups(0, NULL) < 0 && errno != EPERM)
        return err_set(e, -errno, "could not drop supplementary groups: %m");
    if (setresgid(id, id, id) < 0)
        return err_set(e, -errno, "could not become gid %u: %m", id);
    if (setresuid(id, id, id) < 0)
        return err_set(e, -errno, "could not become uid %u: %m", id);
    return new_session(e);
}

int lockdown_limit(int resource, uint64_t n, struct err *e)
{
    struct rlimit have, want = {.rlim_cur = n, .rlim_max = n};
    if (getrlimit((__rlimit_resource_t)resource, &have) < 0)
        return err_set(e, -errno, "could not read resource limit %d: %m", resource);
    /* Never above what there is: raising needs a capability in the first namespace. */
    if (want.rlim_max > have.rlim_max)
        want.rlim_cur = want.rlim_max = have.rlim_max;
    if (setrlimit((__rlimit_resource_t)resource, &want) < 0)
        return err_set(e, -errno, "could not set resource limit %d: %m", resource);
    return 0;
}

/* Init's own limit of processes is a little above the shell's (shell.c), so that it can still start
 * a tool when the shell has used up its own. */
#define INIT_SPARE_PROCESSES 16

static int apply_limits(const struct sandbox_limits *l, struct err *e)
{
    int r = lockdown_limit(RLIMIT_CORE, 0, e);
    if (r >= 0)
        r = lockdown_limit(RLIMIT_NPROC, l->processes + INIT_SPARE_PROCESSES, e);
    if (r >= 0)
        r = lockdown_limit(RLIMIT_NOFILE, l->open_files, e);
    if (r >= 0 && l->file_bytes)
        r = lockdown_limit(RLIMIT_FSIZE, l->file_bytes, e);
    if (r >= 0)
        r = lockdown_limit(RLIMIT_MEMLOCK, 64u << 10, e);
    if (r >= 0)
        r = lockdown_limit(RLIMIT_MSGQUEUE, 800u << 10, e);
    if (r >= 0)
        r = lockdown_limit(RLIMIT_SIGPENDING, 4096, e);
    return r;
}

int lockdown_finish(const struct sandbox_spec *s, struct err *e)
{
    int r = apply_limits(&s->limits, e);
    if (r >= 0)
        r = capability_empty_bounding_set(e);
    if (r >= 0)
        r = capability_keep_only(1ull << CAP_SYS_PTRACE, e);
    if (r < 0)
        return r;
    /* Not dumpable: tools run under the same uid but may not look into init (ptrace, /proc/1/mem,
     * fd). Programs it executes become dumpable again, as usual. */
    if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set(e, -errno, "could not set process attributes: %m");
    return landlock_apply(s, e);
}

/* What /proc/self/status must say besides the ids. */
static const struct {
    const char *key, *value;
} expected[] = {
    {"CapInh:", "0000000000000000"},
    {"CapPrm:", "0000000000000000"},
    {"CapEff:", "0000000000000000"},
    {"CapBnd:", "0000000000000000"},
    {"CapAmb:", "0000000000000000"},
    {"NoNewPrivs:", "1"},
    {"Seccomp:", "2"},
};

bool lockdown_says(const char *text, const char *key, const char *value)
{
    AUTO_FREE char *line = mem_printf("\n%s\t%s\n", key, value);
    return strstr(text, line) != NULL;
}

int lockdown_check_status(const char *text, unsigned id, struct err *e)
{
    int verdict = -E_DENIED;
    size_t found = 0;
    AUTO_FREE char *ids = mem_printf("%u\t%u\t%u\t%u", id, id, id, id);
    if (!lockdown_says(text, "Uid:", ids) || !lockdown_says(text, "Gid:", ids))
        return err_set(e, verdict, "Uid: or Gid: is not four times %u after lockdown", id);
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        if (!lockdown_says(text, expected[i].key, expected[i].value))
            return err_set(e, verdict, "%s is not %s after lockdown", expected[i].key,
                           expected[i].value);
        found++;
    }
    if (found == ARRAY_LEN(expected))
        verdict = 0;
    return verdict;
}

int lockdown_check(unsigned id, struct err *e)
{
    AUTO_CLOSE int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_set(e, -errno, "could not open /proc/self/status: %m");
    if (mounts_is_procfs(fd) < 0)
        return err_set(e, -E_DENIED, "/proc/self/status does not lie on a procfs");
    char text[4000];
    ssize_t n = read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return err_set(e, -EIO, "could not read /proc/self/status");
    text[n] = '\0';
    return lockdown_check_status(text, id, e);
}
