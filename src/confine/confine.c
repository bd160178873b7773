/* confine.c - giving everything up, in the order that the kernel demands.
 *
 * Called once in each proxy of egress and in the gateway, on the one thread, when libraries are opened
 * and it is known where may be read. Groups and users first, since they take capabilities; then capabilities; then
 * no_new_privs, without which neither Landlock nor a filter can be had by who has no capability; at
 * last the filter, after which none of this could be done any more. A process that was started by an
 * ordinary user stays that user: what keeps others of the user away then is that it cannot be dumped
 * or traced. At the end /proc/self/status, opened before, must say what is expected. */
#include "confine/confine.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "sandbox/lock/capability.h"
#include "sandbox/lock/landlock.h"
#include "sandbox/lock/lockdown.h"
#include "sandbox/lock/syscall_filter.h"

#define STATUS_MAX   65536
#define LOCKED_BYTES (512ull << 20) /* secrets, and what is searched for in answers */

static int status_fd = -1;

#if defined(__SANITIZE_ADDRESS__)
/* The sanitizer looks for leaks at the end, by ptrace, which the filter ends a process for. */
static int leaks_are_not_looked_for;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return leaks_are_not_looked_for;
}
#endif

int confine_prepare(struct err *e)
{
    status_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (status_fd < 0)
        return err_set(e, -errno, "/proc/self/status cannot be opened: %m");
    return syscall_filter_load(e);
}

/* As many descriptors as there may be; no core file. */
static int set_limits(struct err *e)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (geteuid() == 0) {
        const struct rlimit locked = {LOCKED_BYTES, LOCKED_BYTES};
        (void)setrlimit(RLIMIT_MEMLOCK, &locked);
    }
    return lockdown_limit(RLIMIT_CORE, 0, e); /* not FSIZE: the log may go to a file */
}

int confine_user(uint32_t uid, struct err *e)
{
    if (geteuid() != 0)
        return CONFINE_USER_SAME;
    if (setresgid((gid_t)-1, uid, (gid_t)-1) < 0 && errno == EINVAL)
        return CONFINE_USER_UNKNOWN;
    if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
        return err_set(
            e, -errno,
            "cannot become user %u: %m; give this root CAP_SETUID and CAP_SETGID, or start "
            "it as an ordinary user",
            uid);
    return CONFINE_USER_OWN;
}

/* `uid`: who it has become; 0: who it was. */
static int check(uint32_t uid, bool bounded, struct err *e)
{
    static const char none[] = "0000000000000000";
    char ids[64];
    snprintf(ids, sizeof(ids), "%u\t%u\t%u\t%u", uid, uid, uid, uid);
    const struct {
        const char *key, *value;
        bool applies;
    } expected[] = {
        {"CapInh:", none, true}, {"CapPrm:", none, true},    {"CapEff:", none, true},
        {"CapAmb:", none, true}, {"CapBnd:", none, bounded}, {"NoNewPrivs:", "1", true},
        {"Seccomp:", "2", true}, {"Uid:", ids, uid != 0},    {"Gid:", ids, uid != 0},
    };
    AUTO_FREE char *text = mem_array(STATUS_MAX, 1);
    ssize_t n = pread(status_fd, text, STATUS_MAX - 1, 0);
    if (n <= 0)
        return err_set(e, -EIO, "/proc/self/status cannot be read");
    text[n] = '\0';
    int verdict = -E_DENIED;
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        if (expected[i].applies && !lockdown_says(text, expected[i].key, expected[i].value))
            return err_set(e, verdict, "%s is not %s", expected[i].key, expected[i].value);
    fd_cleanup_close(&status_fd);
    status_fd = -1;
    verdict = 0;
    return verdict;
}

int confine_lock(const struct confine_role *role, struct err *e)
{
    int r = set_limits(e);
    const int may_bound = r < 0 ? 0 : capability_has(CAP_SETPCAP);
    if (r >= 0 && may_bound > 0)
        r = capability_empty_bounding_set(e);
    int parent_dies = 0; /* the signal: a change of user takes it */
    (void)prctl(PR_GET_PDEATHSIG, &parent_dies);
    const int user = r < 0 ? r : confine_user(role->uid, e);
    r = user < 0 ? user : 0;
    if (user == CONFINE_USER_UNKNOWN)
        log_warn("no user of its own is to be had here: it stays root of this user namespace",
                 "role=%s uid=%u", role->who, role->uid);
    if (r >= 0)
        r = capability_drop_all(e);
    if (r >= 0 && parent_dies && prctl(PR_SET_PDEATHSIG, parent_dies) < 0)
        r = err_set(e, -errno, "it cannot be ended with who started it: %m");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    if (r >= 0 && prctl(PR_SET_DUMPABLE, 0) < 0) /* a change of user has set it again */
        r = err_set(e, -errno, "dumps cannot be forbidden: %m");
#endif
    if (r >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        r = err_set(e, -errno, "no_new_privs cannot be set: %m");
    if (r >= 0 && landlock_abi() < 2)
        log_warn(
            "this kernel has no Landlock, or an old one: a process that is taken over could read "
            "the files of its user, keys among them if that is yours",
            "role=%s uid=%u", role->who, geteuid());
    if (r >= 0)
        r = landlock_only_read(role->read_paths, e);
    if (r >= 0)
        r = confine_seccomp_install(e);
#if defined(__SANITIZE_ADDRESS__)
    leaks_are_not_looked_for = r >= 0;
#endif
    return r < 0 ? r : check(user == CONFINE_USER_OWN ? role->uid : 0, may_bound > 0, e);
}
