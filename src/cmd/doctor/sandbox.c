/* sandbox.c - what was tried in the kernel, turned into findings with loss and fix.
 *
 * A finding is made from the result of a probe alone; what the machine says about itself
 * (doctor_host) only words cause and fix. What the engine cannot do without is a failure, marked
 * `engine`: should a sandbox start all the same, doctor.c makes notes of those, because then the
 * engine has a way around that this file does not know. What needs a user namespace is "untried"
 * where none can be made: neither good nor bad is known of it. */
#include "cmd/doctor/sandbox.h"

#include "base/err.h"
#include "base/str.h"
#include "cmd/doctor/advice.h"
#include "cmd/doctor/probe.h"

#include <signal.h>
#include <string.h>

#define CALLS      "System calls"
#define RIGHTS     "User namespaces"
#define NAMESPACES "Other namespaces"
#define MOUNTS     "File systems"
#define FILTERS    "Filters"

/* "clone3: Function not implemented" */
static char *failure(const struct probe *p)
{
    if (p->signal)
        return mem_printf("the attempt was killed by signal %d (by a system call filter)",
                          p->signal);
    if (p->error == ETIMEDOUT)
        return mem_strdup("the attempt did not finish");
    return mem_printf("%s: %s", p->step, err_text(-p->error));
}

/* ---- system calls ---- */

static const struct {
    enum probe_id probe;
    const char *id, *title, *since, *lost;
} calls[] = {
    {PROBE_OPENAT2, "openat2", "openat2", "5.6",
     "No sandbox can be started: files are opened so that links lead nowhere else."},
    {PROBE_CLONE3, "clone3", "clone3", "5.3",
     "No sandbox can be started: it is the call that makes one."},
    {PROBE_CLOSE_RANGE, "close_range", "close_range", "5.9",
     "No sandbox can be started: descriptors could leak into it."},
    {PROBE_PIDFD_OPEN, "pidfd_open", "pidfd_open", "5.3",
     "Processes cannot be followed safely: their numbers may be given to others."},
    {PROBE_MOUNT_CALLS, "mount_calls", "mount calls", "5.12",
     "No sandbox can be started: its file systems are mounted by descriptor."},
};

static void check_calls(struct doctor_report *r, const struct doctor_host *h,
                        const struct probe *probes)
{
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        const struct probe *p = &probes[calls[i].probe];
        if (!p->error) {
            doctor_add_plain(r, CALLS, calls[i].id, calls[i].title, "called, and it answers");
            continue;
        }
        AUTO_FREE char *what = failure(p);
        bool filtered = h->seccomp_mode == 2 || p->error != ENOSYS || p->signal;
        AUTO_FREE char *grant = advice_container(h, GRANT_SYSCALLS);
        AUTO_FREE char *fix = filtered ? mem_printf("%s", grant)
                                       : mem_printf("boot Linux %s or newer", calls[i].since);
        doctor_add(r, CALLS, calls[i].id, calls[i].title, DOCTOR_FAIL,
                   mem_printf("%s%s", what,
                              !filtered ? ""
                              : h->seccomp_mode == 2
                                  ? "; this process is under a system call filter"
                                  : "; something forbids it"),
                   mem_strdup(calls[i].lost), TAKE(fix))
            ->engine = true;
    }
}

/* ---- user namespaces ---- */

static void check_root(struct doctor_report *r, const struct doctor_host *h, const struct probe *p)
{
    if (!h->root)
        return;
    if (!p->error) {
        doctor_add_plain(r, RIGHTS, "root_mounts", "mounts as root",
                         "made a mount namespace with root's own rights");
        return;
    }
    AUTO_FREE char *what = failure(p);
    AUTO_FREE char *engine = advice_container(h, GRANT_SYSCALLS);
    doctor_add(r, RIGHTS, "root_mounts", "mounts as root", DOCTOR_FAIL,
               mem_printf("%s; this root has no CAP_SYS_ADMIN, or a filter forbids it", what),
               mem_strdup("No sandbox can be started as this root: the template of their files "
                          "is mounted with its rights."),
               mem_printf("run sallyport as an ordinary user, which needs no such right, or\n"
                          "give the container CAP_SYS_ADMIN (--cap-add=SYS_ADMIN) and\n%s",
                          engine))
        ->engine = true;
}

/* As root only: what an ordinary user would meet, for a reader who tries doctor as root and then
 * runs the worker as another user. */
static const char *ordinary_user(const struct doctor_host *h)
{
    if (!h->root)
        return "";
    if (h->unprivileged_userns_clone == 0)
        return "; only root may: kernel.unprivileged_userns_clone is 0";
    if (h->apparmor_restrict_userns == 1)
        return "; ordinary users need a profile: "
               "kernel.apparmor_restrict_unprivileged_userns is 1";
    return "";
}

static void check_userns(struct doctor_report *r, const struct doctor_host *h,
                         const struct probe *p)
{
    if (!p->error) {
        doctor_add(r, RIGHTS, "userns", "user namespaces", DOCTOR_OK,
                   mem_printf("made one, mapped a uid, used its rights%s", ordinary_user(h)), NULL,
                   NULL);
        return;
    }
    enum userns_cause cause = advice_userns_cause(h, p);
    AUTO_FREE char *what = failure(p);
    bool confined = *h->profile && !str_eq(h->profile, "unconfined");
    doctor_add(r, RIGHTS, "userns", "user namespaces", DOCTOR_FAIL,
               mem_printf("%s; %s%s%s", what, advice_userns_text(cause),
                          confined ? "; a security module runs this process as " : "",
                          confined ? h->profile : ""),
               mem_strdup(advice_userns_lost(cause)), advice_userns_fix(h, cause))
        ->engine = true;
}

#define UIDS_ENOUGH 40000u   /* sandbox/zygote/uids.c refuses less */
#define UIDS_RANGES 2131072u /* its first range of 65,536 begins at 2,000,000 */

static void check_uids(struct doctor_report *r, const struct doctor_host *h)
{
    if (!h->root) {
        doctor_add(r, RIGHTS, "uids", "uids", DOCTOR_OK,
                   mem_strdup("all sandboxes of an ordinary user run as that user on the host"),
                   NULL, NULL);
        return;
    }
    if (h->uid_last >= UIDS_RANGES) {
        doctor_add_plain(r, RIGHTS, "uids", "uids", "enough uids for a range per sandbox");
        return;
    }
    bool some = h->uid_last >= UIDS_ENOUGH;
    doctor_add(r, RIGHTS, "uids", "uids", some ? DOCTOR_NOTE : DOCTOR_FAIL,
               mem_printf("/proc/self/uid_map gives this root %llu uid%s",
                          (unsigned long long)h->uids, h->uids == 1 ? "" : "s"),
               mem_strdup(some ? "Each sandbox has one uid of its own, not a range: images whose "
                                 "files belong to several users show them as one."
                               : "No sandbox can be started as this root: each needs a uid of its "
                                 "own, so that no sandbox owns files of another."),
               some ? mem_strdup("map more uids into the container (/etc/subuid, --uidmap)")
                    : advice_userns_fix(h, USERNS_FEW_UIDS))
        ->engine = !some;
}

/* ---- the other namespaces ---- */

static const struct {
    enum probe_id probe;
    const char *id, *title, *sysctl, *lost;
    bool optional;
} namespaces[] = {
    {PROBE_NS_MNT, "ns_mnt", "mount", "user.max_mnt_namespaces",
     "No sandbox can be started: each needs its own file systems.", false},
    {PROBE_NS_PID, "ns_pid", "pid", "user.max_pid_namespaces",
     "No sandbox can be started: a sandbox must not see the host's processes.", false},
    {PROBE_NS_NET, "ns_net", "net", "user.max_net_namespaces",
     "No sandbox can be started: a sandbox must not use the host's network.", false},
    {PROBE_NS_IPC, "ns_ipc", "ipc", "user.max_ipc_namespaces",
     "No sandbox can be started: a sandbox must not reach the host's queues and shared memory.",
     false},
    {PROBE_NS_UTS, "ns_uts", "uts", "user.max_uts_namespaces",
     "No sandbox can be started: each has its own host name.", false},
    {PROBE_NS_CGROUP, "ns_cgroup", "cgroup", "user.max_cgroup_namespaces",
     "No sandbox can be started: a sandbox must not see the host's control groups.", false},
    {PROBE_NS_TIME, "ns_time", "time", "user.max_time_namespaces",
     "Programs in sandboxes can see how long the host has been running; nothing else is lost.",
     true},
};

/* Adds the finding when the probe was not run, or when what it tried works (`done` says what that
 * was). False when it failed, and there is more to say. */
static bool settled(struct doctor_report *r, const char *group, const char *id, const char *title,
                    const struct probe *p, const char *done)
{
    if (!p->tried)
        doctor_add(r, group, id, title, DOCTOR_UNTRIED,
                   mem_strdup("not tried, because it takes a user namespace"), NULL, NULL);
    else if (!p->error)
        doctor_add_plain(r, group, id, title, done);
    return !p->tried || !p->error;
}

static char *namespace_fix(const struct doctor_host *h, size_t i, const struct probe *p)
{
    AUTO_FREE char *path =
        mem_printf("/proc/sys/user/max_%s_namespaces", namespaces[i].id + strlen("ns_"));
    if (p->error == ENOSPC)
        return advice_sysctl(h, namespaces[i].sysctl, "15000");
    if (p->error == EINVAL || doctor_read_number("", path) < 0)
        return mem_printf("boot a kernel with %s namespaces", namespaces[i].title);
    return advice_container(h, GRANT_SYSCALLS);
}

static void check_namespaces(struct doctor_report *r, const struct doctor_host *h,
                             const struct probe *probes)
{
    for (size_t i = 0; i < ARRAY_LEN(namespaces); i++) {
        const struct probe *p = &probes[namespaces[i].probe];
        if (settled(r, NAMESPACES, namespaces[i].id, namespaces[i].title, p,
                    "made one within a user namespace"))
            continue;
        AUTO_FREE char *what = failure(p);
        const char *cause = p->error == ENOSPC ? "; the limit is " : "";
        doctor_add(r, NAMESPACES, namespaces[i].id, namespaces[i].title,
                   namespaces[i].optional ? DOCTOR_NOTE : DOCTOR_FAIL,
                   mem_printf("%s%s%s", what, cause, *cause ? namespaces[i].sysctl : ""),
                   mem_strdup(namespaces[i].lost), namespace_fix(h, i, p))
            ->engine = !namespaces[i].optional;
    }
}

/* ---- file systems ---- */

static char *mounts_fix(const struct doctor_host *h, const struct probe *p)
{
    if (p->error == ENODEV)
        return mem_strdup("boot a kernel with this file system (modprobe, or its CONFIG_ option)");
    if (p->error == ENOSYS || (h->seccomp_mode == 2 && p->error == EPERM))
        return advice_container(h, GRANT_SYSCALLS);
    if (p->error == EPERM || p->error == EACCES)
        return advice_container(h, GRANT_MOUNTS);
    return mem_strdup("boot Linux 6.6 or newer");
}

static const struct {
    enum probe_id probe;
    const char *id, *title, *done, *lost;
    bool optional;
} mounts[] = {
    {PROBE_TMPFS, "tmpfs", "tmpfs", "mounted one in a user namespace and made it read-only",
     "No sandbox can be started: /tmp, /dev/shm and the root are tmpfs.", false},
    {PROBE_BIND, "bind", "binds", "cloned /usr read-only and attached it",
     "No sandbox can be started: it shows the host's /usr read-only.", false},
    {PROBE_DEVPTS, "devpts", "devpts", "mounted one in a user namespace",
     "No sandbox can be started: each needs its own terminals.", false},
    {PROBE_OVERLAY, "overlay", "overlayfs",
     "mounted one with userxattr over a tmpfs and replaced a directory in it",
     "Sandboxes with a given root file system (rootfs), or with user root, cannot be started: "
     "what "
     "they write goes to an overlay. Others can.",
     true},
};

static void check_proc(struct doctor_report *r, const struct doctor_host *h, const struct probe *p)
{
    if (settled(r, MOUNTS, "proc", "procfs", p, "mounted one in a pid namespace"))
        return;
    bool covered = p->error == EPERM && str_starts(p->step, "fsmount");
    AUTO_FREE char *what = failure(p);
    AUTO_FREE char *here = covered && h->container == CONTAINER_NONE
                               ? mem_strdup("findmnt -R /proc   (lists what covers it)\n")
                               : mem_strdup("");
    AUTO_FREE char *fix = covered ? advice_container(h, GRANT_PROC) : mounts_fix(h, p);
    doctor_add(r, MOUNTS, "proc", "procfs", DOCTOR_FAIL,
               mem_printf("%s%s", what,
                          covered ? "; parts of /proc are covered here, so the kernel gives no "
                                    "whole one to a sandbox"
                                  : ""),
               mem_strdup("No sandbox can be started: each needs its own /proc, which does not "
                          "show the host's processes."),
               mem_printf("%s%s", here, fix))
        ->engine = true;
}

static void check_idmap(struct doctor_report *r, const struct doctor_host *h, const struct probe *p)
{
    if (!h->root) {
        doctor_add_plain(r, MOUNTS, "idmap", "idmapped mounts",
                         "not needed by an ordinary user, who owns the files already");
        return;
    }
    if (settled(r, MOUNTS, "idmap", "idmapped mounts", p,
                "mounted the data directory's file system with other ids"))
        return;
    AUTO_FREE char *what = failure(p);
    bool foreign = p->error == EPERM; /* the file system belongs to another user namespace */
    doctor_add(r, MOUNTS, "idmap", "idmapped mounts", DOCTOR_NOTE,
               mem_printf("%s%s", what,
                          foreign ? "; this root does not own the data directory's file system"
                                  : ""),
               mem_strdup("A host directory bound into a sandbox keeps its owners: programs in the "
                          "sandbox cannot write what is not writable for every user."),
               mem_printf("%sopen the directories to sandboxes: chmod -R o+rwX DIR",
                          foreign ? ""
                                  : "put the directories on ext4, xfs, btrfs or tmpfs (Linux 6.3), "
                                    "or\n"));
}

static void check_mounts(struct doctor_report *r, const struct doctor_host *h,
                         const struct probe *probes)
{
    check_proc(r, h, &probes[PROBE_PROC]);
    for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
        const struct probe *p = &probes[mounts[i].probe];
        if (settled(r, MOUNTS, mounts[i].id, mounts[i].title, p, mounts[i].done))
            continue;
        /* Before Linux 6.6 a tmpfs keeps no user.* attributes, which overlayfs marks such
         * directories with. */
        bool partly = str_starts(p->step, "replacing");
        doctor_add(r, MOUNTS, mounts[i].id, mounts[i].title,
                   mounts[i].optional ? DOCTOR_NOTE : DOCTOR_FAIL, failure(p),
                   mem_strdup(partly ? "A directory of a sandbox's root file system cannot be "
                                       "removed and made anew; other writes work."
                                     : mounts[i].lost),
                   mounts_fix(h, p))
            ->engine = !mounts[i].optional;
    }
    check_idmap(r, h, &probes[PROBE_IDMAP]);
}

/* ---- filters ---- */

static void check_seccomp(struct doctor_report *r, const struct doctor_host *h,
                          const struct probe *probes)
{
    const struct probe *p = &probes[PROBE_SECCOMP], *n = &probes[PROBE_NOTIFY];
    AUTO_FREE char *grant = advice_container(h, GRANT_SYSCALLS);
    if (!p->error) {
        doctor_add_plain(r, FILTERS, "seccomp", "seccomp", "installed a filter in a child");
    } else {
        doctor_add(r, FILTERS, "seccomp", "seccomp", DOCTOR_FAIL, failure(p),
                   mem_strdup("No sandbox can be started: none runs without its system call "
                              "filter."),
                   mem_printf("boot a kernel with CONFIG_SECCOMP_FILTER=y, or\n%s", grant))
            ->engine = true;
    }
    if (!n->error) {
        doctor_add_plain(r, FILTERS, "seccomp_notify", "its notifications",
                         "installed a filter with a listener in a child");
        return;
    }
    doctor_add(r, FILTERS, "seccomp_notify", "its notifications", DOCTOR_FAIL, failure(n),
               mem_strdup("No sandbox can be started: none runs without its guard, which keeps "
                          "programs from sockets of the host."),
               n->error == EBUSY ? mem_strdup("another filter with a listener is above this one: "
                                              "run it outside that container")
                                 : mem_printf("boot Linux 5.0 or newer, or\n%s", grant))
        ->engine = true;
}

/* Switched off at boot, not built, or hidden by a filter: three fixes. */
static void landlock_missing(struct doctor_report *r, const struct doctor_host *h,
                             const struct probe *p)
{
    AUTO_FREE char *what = failure(p);
    bool off = p->error == EOPNOTSUPP;
    bool listed = doctor_list_has(h->lsm, "landlock");
    bool filtered = !off && (h->seccomp_mode == 2 || listed || p->error != ENOSYS || p->signal);
    AUTO_FREE char *text =
        off ? mem_printf("%s; built into this kernel, but not switched on at boot%s%s%s", what,
                         *h->lsm ? " (/sys/kernel/security/lsm is " : "", h->lsm,
                         *h->lsm ? ")" : "")
        : filtered ? mem_printf("%s; hidden by a system call filter on this process", what)
                   : mem_printf("%s; this kernel has none", what);
    doctor_add(r, FILTERS, "landlock", "Landlock", DOCTOR_NOTE, TAKE(text),
               mem_strdup("The second lock on files, TCP, devices and signals: sandboxes rest on "
                          "namespaces and the system call filter alone."),
               off        ? advice_landlock_boot(h)
               : filtered ? advice_container(h, GRANT_SYSCALLS)
                          : mem_strdup("boot Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK=y"));
}

static void check_landlock(struct doctor_report *r, const struct doctor_host *h,
                           const struct probe *p)
{
    if (p->error) {
        landlock_missing(r, h, p);
        return;
    }
    AUTO_FREE char *lost = advice_landlock_lost(p->value);
    char *text = mem_printf("ABI %lld, and a rule set holds", (long long)p->value);
    if (!lost)
        doctor_add(r, FILTERS, "landlock", "Landlock", DOCTOR_OK, text, NULL, NULL);
    else
        doctor_add(r, FILTERS, "landlock", "Landlock", DOCTOR_NOTE, text,
                   mem_printf("Not restricted a second time: %s.", lost),
                   mem_strdup("boot Linux 6.12 or newer (ABI 6)"));
}

void doctor_kernel(struct doctor_report *r, const struct doctor_host *h, const struct probe *probes)
{
    check_calls(r, h, probes);
    if (!h->chrooted) /* the next line tells, then */
        check_root(r, h, &probes[PROBE_ROOT_MOUNTS]);
    check_uids(r, h);
    check_userns(r, h, &probes[PROBE_USERNS]);
    check_namespaces(r, h, probes);
    check_mounts(r, h, probes);
    check_seccomp(r, h, probes);
    check_landlock(r, h, &probes[PROBE_LANDLOCK]);
}
