/* limits.c - limits of sandboxes on this machine, settings that matter, and room for their files.
 *
 * Nothing in this file is required: every limit has a weaker stand-in, and the text says which.
 * Settings are mentioned only where they change something for sandboxes. Versions of container
 * runtimes are asked from the runtimes themselves, found in PATH and started through io/proc with a
 * time limit; what they print is shown escaped and cut. Control groups are looked at by
 * doctor_cgroup. */
#include "cmd/doctor/limits.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "cmd/doctor/advice.h"
#include "cmd/doctor/cgroup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LIMITS   "Limits"
#define SETTINGS "Settings"
#define ROOM     "Room"

/* ---- control groups ---- */

static const char *const group_lost[CONTROLLER_COUNT] = {
    [CONTROLLER_MEMORY] = "Memory is looked at 10 times a second instead of being capped by the "
                          "kernel: a burst can overshoot before the call is ended.",
    [CONTROLLER_CPU] = "Processor time of a sandbox cannot be limited: it may use every core, and "
                       "a limit that is "
                       "asked for is refused.",
    [CONTROLLER_PIDS] = "Processes are bounded by RLIMIT_NPROC, which counts per user namespace, "
                        "instead of by the group.",
};
static const char *const group_id[CONTROLLER_COUNT] = {"cgroup_memory", "cgroup_cpu",
                                                       "cgroup_pids"};
static const char *const group_title[CONTROLLER_COUNT] = {"memory limit", "cpu limit",
                                                          "process limit"};

/* The controller is not handed down to our version 2 group. */
static char *missing_fix(const struct doctor_host *h, const struct cgroup_look *l, int i)
{
    const char *name = doctor_controller_name[i], *dir = l->place.unified;
    if (h->container != CONTAINER_NONE || h->systemd)
        return advice_delegate(h, strstr(dir, "/user@") != NULL);
    if (l->at_top)
        return mem_printf("boot with the kernel parameter  cgroup_no_v1=%s", name);
    int above = (int)(strrchr(dir, '/') - dir);
    return mem_printf("echo +%s | %stee %.*s/cgroup.subtree_control", name, h->root ? "" : "sudo ",
                      above, dir);
}

static char *group_fix(const struct doctor_host *h, const struct cgroup_look *l, int i)
{
    const struct cgroup_place *p = &l->place;
    const char *sudo = h->root ? "" : "sudo ";
    if (!p->version[i] && p->unified)
        return missing_fix(h, l, i);
    if (h->container != CONTAINER_NONE)
        return advice_container(h, GRANT_CGROUPS);
    if (!p->version[i])
        return mem_printf("%smount -t cgroup2 none /sys/fs/cgroup", sudo);
    if (l->error[i] == EROFS)
        return mem_printf("%smount -o remount,rw \"$(findmnt -no TARGET -T %s)\"", sudo, p->dir[i]);
    if (p->version[i] == 1)
        return mem_printf("d=%s/sallyport; %smkdir $d\n"
                          "%schown -R \"$USER\" $d; echo $$ | %stee $d/cgroup.procs",
                          p->dir[i], sudo, sudo, sudo);
    return advice_delegate(h, strstr(p->dir[i], "/user@") != NULL);
}

static char *group_text(const struct cgroup_look *l, int i)
{
    const struct cgroup_place *p = &l->place;
    const char *name = doctor_controller_name[i];
    if (!p->version[i])
        return p->unified ? mem_printf("control group %s does not have the %s controller",
                                       p->unified, name)
                          : mem_printf("no control groups with %s are mounted", name);
    if (!l->error[i])
        return mem_printf("control group %s belongs to systemd, which has not delegated it to us",
                          p->dir[i]);
    return mem_printf("control group %s (version %d): %s", p->dir[i], p->version[i],
                      err_text(-l->error[i]));
}

static void check_group(struct doctor_report *r, const struct doctor_host *h,
                        const struct cgroup_look *l, int i)
{
    int version = l->place.version[i];
    if (!l->error[i] && !(version == 2 && l->systemds))
        doctor_add(r, LIMITS, group_id[i], group_title[i], DOCTOR_OK,
                   mem_printf("made a control group for it (version %d)", version), NULL, NULL);
    else
        doctor_add(r, LIMITS, group_id[i], group_title[i], DOCTOR_NOTE, group_text(l, i),
                   mem_strdup(group_lost[i]), group_fix(h, l, i));
}

static void check_groups(struct doctor_report *r, const struct doctor_host *h)
{
    struct cgroup_look l;
    cgroup_look(&l);
    for (int i = 0; i < CONTROLLER_COUNT; i++)
        check_group(r, h, &l, i);
    cgroup_look_done(&l);
}

/* ---- resource limits ---- */

static void check_nofile(struct doctor_report *r)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) < 0)
        return;
    if (l.rlim_max >= 4096)
        doctor_add_plain(r, LIMITS, "nofile", "open files", "RLIMIT_NOFILE is at least 4096");
    else
        doctor_add(r, LIMITS, "nofile", "open files", DOCTOR_NOTE,
                   mem_printf("RLIMIT_NOFILE is %llu", (unsigned long long)l.rlim_max),
                   mem_strdup("Few sandboxes at a time, and few files open inside each."),
                   mem_strdup("ulimit -n 65536   (or LimitNOFILE=65536 in the service)"));
}

static void check_nproc(struct doctor_report *r, const struct doctor_host *h)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NPROC, &l) < 0)
        return;
    if (l.rlim_max >= 1024)
        doctor_add_plain(r, LIMITS, "nproc", "processes", "RLIMIT_NPROC is at least 1024");
    else
        doctor_add(r, LIMITS, "nproc", "processes", DOCTOR_NOTE,
                   mem_printf("RLIMIT_NPROC is %llu", (unsigned long long)l.rlim_max),
                   mem_strdup(h->root ? "No more processes than that in each sandbox."
                                      : "No more processes than that in all sandboxes and "
                                        "everything else of this user together."),
                   mem_strdup("ulimit -u 8192   (or LimitNPROC=8192 in the service)"));
}

static void check_memlock(struct doctor_report *r)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_MEMLOCK, &l) < 0)
        return;
    if (l.rlim_cur == RLIM_INFINITY || l.rlim_cur >= (1u << 20))
        doctor_add_plain(r, LIMITS, "memlock", "locked memory",
                         "RLIMIT_MEMLOCK is enough for secrets");
    else
        doctor_add(r, LIMITS, "memlock", "locked memory", DOCTOR_NOTE,
                   mem_printf("RLIMIT_MEMLOCK is %llu KiB", (unsigned long long)(l.rlim_cur >> 10)),
                   mem_strdup("Keys in memory may be written to swap."),
                   mem_strdup("ulimit -l 1024   (or LimitMEMLOCK=1M in the service)"));
}

/* ---- settings ---- */

static void note(struct doctor_report *r, const struct doctor_host *h, const char *id,
                 const char *title, const char *text, const char *lost, const char *sysctl,
                 const char *value)
{
    doctor_add(r, SETTINGS, id, title, DOCTOR_NOTE, mem_strdup(text), mem_strdup(lost),
               advice_sysctl(h, sysctl, value));
}

/* Yama, level 3: nobody attaches to anybody, whatever capabilities it has, and the guard's looks at
 * its callers count as that (pidfd_getfd, process_vm_readv). The level stays until the next boot. */
static void check_no_attach(struct doctor_report *r, const struct doctor_host *h)
{
    if (h->ptrace_scope < 3)
        return;
    doctor_add(r, SETTINGS, "ptrace_scope", "ptrace", DOCTOR_NOTE,
               mem_strdup("kernel.yama.ptrace_scope is 3: no process may look into another one"),
               mem_strdup("Inside sandboxes every connect and bind fails (EPERM), and so do locks "
                          "on files: sallyport must look at what is asked for before it allows "
                          "it. Levels 0 to 2 are fine."),
               mem_printf("grep -rs ptrace_scope /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d\n"
                          "write 1 instead of 3 where that finds it, and reboot%s: a running\n"
                          "kernel does not leave level 3",
                          h->container != CONTAINER_NONE ? " (the container's host)" : ""));
}

static void check_settings(struct doctor_report *r, const struct doctor_host *h)
{
    size_t before = r->n;
    if (h->container != CONTAINER_NONE)
        doctor_add(r, SETTINGS, "container", "container", DOCTOR_OK,
                   mem_printf("this looks like a container (%s); all checks ran inside it",
                              doctor_container_name(h->container)),
                   NULL, NULL);
    if (h->ptrace_scope == 0 && !h->root) /* root's processes are closed to others anyway */
        note(r, h, "ptrace_scope", "ptrace", "kernel.yama.ptrace_scope is 0",
             "Nothing inside sandboxes. Other programs of the worker's user can look into its "
             "helpers' memory; the worker's own is closed to them.",
             "kernel.yama.ptrace_scope", "1");
    check_no_attach(r, h);
    if (h->dmesg_restrict == 0)
        note(r, h, "dmesg_restrict", "kernel log", "kernel.dmesg_restrict is 0",
             "Nothing inside sandboxes (the filter refuses it). Other users can read kernel "
             "addresses and what programs of sandboxes crashed.",
             "kernel.dmesg_restrict", "1");
    if (h->overcommit_memory == 2)
        note(
            r, h, "overcommit", "overcommit", "vm.overcommit_memory is 2",
            "Programs in sandboxes that reserve memory without using it (Node, Go, Java) may fail.",
            "vm.overcommit_memory", "0");
    if (h->ksm_run == 1)
        doctor_add(r, SETTINGS, "ksm", "merged pages", DOCTOR_OK,
                   mem_strdup("KSM runs; sandboxes ask for none of it, so their pages are not "
                              "merged with others'"),
                   NULL, NULL);
    if (h->swap)
        doctor_add(r, SETTINGS, "swap", "swap", DOCTOR_NOTE, mem_strdup("swap is on"),
                   mem_strdup("What agents work with can reach the disk (the memory of keys is "
                              "locked and cannot); a sandbox above its memory is swapped out "
                              "before it is ended."),
                   mem_printf("%sswapoff -a   (or encrypt it)", h->root ? "" : "sudo "));
    if (r->n == before)
        doctor_add_plain(r, SETTINGS, "settings", "nothing that changes anything for sandboxes",
                         "looked at ptrace, kernel log, overcommit, KSM and swap");
}

/* ---- room ---- */

#define ROOM_MIN   (256ull << 20)
#define MEMORY_MIN 512 /* MB available */

/* Where kept workspaces would be, or the nearest directory above that exists. */
static void check_state(struct doctor_report *r, const char *dir)
{
    struct statvfs v;
    int error = statvfs(dir, &v) < 0 ? errno : 0;
    unsigned long long bytes = error ? 0 : (unsigned long long)v.f_bavail * v.f_frsize;
    bool writable = !error && access(dir, W_OK) == 0;
    if (writable && bytes >= ROOM_MIN) {
        doctor_add(r, ROOM, "state", "sandboxes' disk", DOCTOR_OK,
                   mem_printf("%s, %llu MB free", dir, bytes >> 20), NULL, NULL);
        return;
    }
    doctor_add(r, ROOM, "state", "sandboxes' disk", DOCTOR_NOTE,
               error      ? mem_printf("%s: %s", dir, err_text(-error))
               : writable ? mem_printf("%s has %llu MB left", dir, bytes >> 20)
                          : mem_printf("%s cannot be written", dir),
               mem_strdup("There is no directory in which workspaces could be kept on disk."),
               mem_strdup("sallyport worker --state-dir DIR   (a directory with room)"));
}

static void check_memory(struct doctor_report *r, const struct doctor_host *h)
{
    if (h->memory_available_mb < 0 || h->memory_available_mb >= MEMORY_MIN) {
        doctor_add(r, ROOM, "memory", "memory", DOCTOR_OK,
                   h->memory_available_mb < 0
                       ? mem_strdup("/proc/meminfo does not tell what is available")
                       : mem_printf("%lld MB available", (long long)h->memory_available_mb),
                   NULL, NULL);
        return;
    }
    doctor_add(r, ROOM, "memory", "memory", DOCTOR_NOTE,
               mem_printf("%lld MB available", (long long)h->memory_available_mb),
               mem_strdup("Sandboxes' /tmp and /workspace are memory, too: a few of them fill this "
                          "machine."),
               mem_strdup("sallyport worker --capacity 1 ..., or more memory"));
}

/* Sandboxes have their own /dev/shm; the host's is for helpers beside them. */
static void check_shm(struct doctor_report *r)
{
    if (access("/dev/shm", W_OK) == 0)
        doctor_add_plain(r, ROOM, "shm", "/dev/shm", "it can be written");
    else
        doctor_add(r, ROOM, "shm", "/dev/shm", DOCTOR_NOTE,
                   mem_printf("/dev/shm: %s", err_text(-errno)),
                   mem_strdup("Nothing inside sandboxes, which have their own; programs that an "
                              "operator's hooks start may miss it."),
                   mem_strdup("mkdir -p /dev/shm && mount -t tmpfs -o mode=1777 none /dev/shm"));
}

void doctor_limits(struct doctor_report *r, const struct doctor_host *h, const char *state_dir)
{
    check_groups(r, h);
    check_nofile(r);
    check_nproc(r, h);
    check_memlock(r);
    check_settings(r, h);
    check_memory(r, h);
    check_state(r, state_dir);
    check_shm(r);
}
