/* rights.c - what the zygote may do: taken at its start, then cut down to what it needs.
 *
 * Called once each, before the first request and with nothing untrusted anywhere near. As root the
 * zygote has all rights and keeps eleven capabilities; as an ordinary user it gets those over a user
 * namespace of its own, which is as much as that user could do anyway. What is given up here never
 * comes back: the bounding set is cut, too, and no_new_privs is set. */
#include "sandbox/zygote/rights.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "sandbox/lock/capability.h"
#include "sandbox/mounts.h"
#include "sandbox/quotas.h"
#include "sandbox/sandbox.h"

static int write_self(const char *path, const char *text, struct err *e)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || mounts_is_procfs(fd) < 0 || write(fd, text, strlen(text)) < 0)
        return err_set(e, -errno, "could not write %s: %m", path);
    return 0;
}

/* A new user namespace takes the limits of its maker for all that will be in it. */
static int unshare_with_less(struct err *e)
{
    struct quotas_saved saved;
    int r = quotas_lower_limits(&saved);
    if (r < 0)
        return err_set(e, r, "could not lower the limits of sandboxes: %s", err_text(r));
    r = unshare(CLONE_NEWUSER) < 0 ? -errno : 0;
    if (r == -EPERM && prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER)
        return err_set(e, r, "a system call filter refuses user namespaces");
    if (r < 0)
        return err_set(e, r,
                       "this kernel does not let an ordinary user make user namespaces: %s "
                       "(see user.max_user_namespaces and kernel.unprivileged_userns_clone)",
                       err_text(r));
    r = quotas_restore_limits(&saved);
    return r < 0 ? err_set(e, r, "could not restore limits: %s", err_text(r)) : 0;
}

/* An ordinary user gets the rights to mount from a user namespace of its own. */
int rights_own_namespace(int proc, struct quotas *ret, struct err *e)
{
    /* Not as its root: mapping a parent's uid 0 on would take one more capability (SETFCAP). */
    char uid_map[32], gid_map[32];
    snprintf(uid_map, sizeof(uid_map), "%d %u 1\n", SANDBOX_UID, geteuid());
    snprintf(gid_map, sizeof(gid_map), "%d %u 1\n", SANDBOX_UID, getegid());
    quotas_read(proc, ret);
    int r = unshare_with_less(e);
    if (r >= 0)
        r = write_self("/proc/self/setgroups", "deny", e);
    if (r >= 0)
        r = write_self("/proc/self/uid_map", uid_map, e);
    if (r >= 0)
        r = write_self("/proc/self/gid_map", gid_map, e);
    if (r < 0)
        return r;
    int shared = quotas_write(proc, ret, QUOTA_ZYGOTE);
    if (shared < 0) /* a container's /proc/sys is read-only */
        log_warn("sandboxes may use up all inotify instances and watches of this user", "error=%s",
                 err_name(shared));
    return 0;
}

/* What is still needed afterwards:
 *   SYS_ADMIN, SYS_CHROOT    to clone and look at the host's mounts
 *   SETUID, SETGID           to write id maps
 *   DAC_READ_SEARCH, CHOWN   to reach and give away workspaces
 *   DAC_OVERRIDE             to remove the run's cgroup from a directory that nobody may write
 *   FOWNER                   to move aside what a sandbox has left in a directory of somebody else
 *                            in which it has set the sticky bit (sweeps.c)
 *   NET_ADMIN                to bring up the loopback of the next sandbox's network
 *   NET_BIND_SERVICE         to open that sandbox's doors at ports below 1024
 *   KILL                     to kill
 * An ordinary user holds capabilities in a namespace of its own only, and loses nothing worth
 * keeping either. */
int rights_drop(bool root, struct err *e)
{
    static const int kept[] = {
        CAP_NET_ADMIN,       CAP_NET_BIND_SERVICE, CAP_SYS_ADMIN, CAP_SYS_CHROOT,
        CAP_SETUID,          CAP_SETGID,           CAP_CHOWN,     CAP_KILL,
        CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE,     CAP_FOWNER};
    uint64_t keep = 0;
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        keep |= 1ull << kept[i];
    int r = capability_keep_only(keep, e);
    if (r < 0)
        return r;
    /* As an ordinary user it must stay dumpable, or the /proc files of its clones, whose maps it
     * writes, would belong to root. There is nothing in its memory but the specification of the
     * moment. */
    if ((root && prctl(PR_SET_DUMPABLE, 0) < 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set(e, -errno, "could not set process attributes: %m");
    return 0;
}
