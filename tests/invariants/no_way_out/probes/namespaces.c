/* namespaces.c - new namespaces and the namespaces of others.
 *
 * A new user namespace gives back every capability inside it and with them kernel code that was
 * written for root: it opens most kernel escapes of the last ten years. Joining another namespace
 * is the direct way out. */
#include "probe.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
    const char *name, *file;
    unsigned long flag;
} kinds[] = {
    {"user", "user", CLONE_NEWUSER},
    {"mnt", "mnt", CLONE_NEWNS},
    {"pid", "pid_for_children", CLONE_NEWPID},
    {"net", "net", CLONE_NEWNET},
    {"ipc", "ipc", CLONE_NEWIPC},
    {"uts", "uts", CLONE_NEWUTS},
    {"cgroup", "cgroup", CLONE_NEWCGROUP},
    {"time", "time_for_children", CLONE_NEWTIME},
};
#define N_KINDS (sizeof(kinds) / sizeof(*kinds))

static void unshare_each(void)
{
    for (size_t i = 0; i < N_KINDS; i++)
        refused_call(kinds[i].name, SYS_unshare, (long)kinds[i].flag, 0, 0, 0, 0);
    refused_call("all at once", SYS_unshare,
                 CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
                     CLONE_NEWUTS | CLONE_NEWCGROUP,
                 0, 0, 0, 0);
    refused_call("files", SYS_unshare, CLONE_FILES, 0, 0, 0, 0);
}

static void clone_one(const char *name, unsigned long flags)
{
    long pid = syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, 0);
    if (pid == 0)
        _exit(0);
    refused(name, pid, NO_CALL);
    if (pid > 0)
        waitpid((pid_t)pid, NULL, __WALL);
}

static void clone_each(void)
{
    /* CLONE_NEWTIME does not exist in clone(2): its bit belongs to the exit signal there. */
    for (size_t i = 0; i + 1 < N_KINDS; i++)
        clone_one(kinds[i].name, kinds[i].flag);
    clone_one("user and net", CLONE_NEWUSER | CLONE_NEWNET);
    clone_one("user, upper half set", CLONE_NEWUSER | 0xffffffff00000000ul);
}

static void clone3_one(const char *name, struct clone_args *a)
{
    long pid = syscall(SYS_clone3, a, sizeof(*a));
    if (pid == 0)
        _exit(0);
    refused(name, pid, NO_CALL);
    if (pid > 0)
        waitpid((pid_t)pid, NULL, __WALL);
}

static void clone3_each(void)
{
    for (size_t i = 0; i < N_KINDS; i++) {
        struct clone_args a = {.flags = kinds[i].flag, .exit_signal = SIGCHLD};
        clone3_one(kinds[i].name, &a);
    }
}

/* The filter cannot read the flags clone3 takes in memory, so not one of its uses may pass. */
static void clone3_plain(void)
{
    struct clone_args a = {.exit_signal = SIGCHLD};
    clone3_one("clone3 without a flag", &a);
}

static void join_each(void)
{
    static const char *const owners[] = {"/proc/1", "/proc/self"};
    for (size_t o = 0; o < 2; o++)
        for (size_t i = 0; i < N_KINDS; i++) {
            char path[64];
            snprintf(path, sizeof(path), "%s/ns/%s", owners[o], kinds[i].file);
            int fd = open(path, O_RDONLY | O_CLOEXEC);
            if (fd < 0) {
                refused(path, fd, NO_FILE);
                continue;
            }
            refused_call(path, SYS_setns, fd, 0, 0, 0, 0);
            close(fd);
        }
}

static void join_by_pidfd(void)
{
    long fd = syscall(SYS_pidfd_open, 1, 0);
    if (fd < 0) {
        refused("pidfd_open(1)", fd, NO_CALL);
        return;
    }
    for (size_t i = 0; i < N_KINDS; i++)
        refused_call(kinds[i].name, SYS_setns, fd, (long)kinds[i].flag, 0, 0, 0);
}

/* The namespace files answer questions about parents and owners, and hand out descriptors. */
static void parents(void)
{
    static const char *const files[] = {"/proc/self/ns/user", "/proc/self/ns/pid"};
    for (size_t i = 0; i < 2; i++) {
        int fd = open(files[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            unable("%s: %m", files[i]);
            continue;
        }
        int up = ioctl(fd, NS_GET_PARENT);
        refused(files[i], up, EPERM, ENOTTY, ENOSYS, 0);
        if (i == 0) {
            up = ioctl(fd, NS_GET_USERNS);
            refused("owner of the user namespace", up, EPERM, ENOTTY, ENOSYS, 0);
        }
        close(fd);
    }
}

static void id_maps(void)
{
    static const char *const files[] = {"/proc/self/uid_map", "/proc/self/gid_map",
                                        "/proc/self/setgroups", "/proc/self/timens_offsets"};
    static const char *const texts[] = {"0 0 1\n", "0 0 1\n", "allow", "monotonic 1 0\n"};
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        int fd = open(files[i], O_WRONLY | O_CLOEXEC);
        if (fd < 0) {
            refused(files[i], fd, NO_FILE);
            continue;
        }
        refused(files[i], write(fd, texts[i], strlen(texts[i])), EPERM, EACCES, EINVAL, 0);
        close(fd);
    }
    char text[512];
    if (read_text("/proc/self/uid_map", text, sizeof(text)) <= 0) {
        unable("/proc/self/uid_map: %m");
        return;
    }
    unsigned long in = 0, out = 0, n = 0;
    (void)!sscanf(text, "%lu %lu %lu", &in, &out, &n);
    must(n < 4294967295ul, "the map is not everything: %lu %lu %lu", in, out, n);
    /* projid_map anybody may write: what counts is that no file changes its project. */
    int fd = open("/proc/self/projid_map", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "0 0 1\n", 6);
        close(fd);
    }
    const char *dir = scratch();
    struct fsxattr x = {.fsx_projid = 0};
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)ioctl(fd, FS_IOC_FSGETXATTR, &x);
    x.fsx_projid += 7;
    refused("another project", ioctl(fd, FS_IOC_FSSETXATTR, &x), EINVAL, EPERM, ENOTTY, EOPNOTSUPP,
            0);
    close(fd);
}

const struct probe namespaces_probes[] = {
    {"unshare", "CVE-2022-0185 and most kernel escapes: root in a new user namespace",
     "unshare of each of the eight kinds, of all, of files", "refused by the filter", unshare_each,
     0},
    {"clone_namespaces", "root in a new user namespace", "clone with each flag, alone and combined",
     "the second filter looks at the flags", clone_each, 0},
    {"clone3_namespaces", "root in a new user namespace, flags out of the filter's sight",
     "clone3 with each flag, time included", "clone3 is ENOSYS as a whole", clone3_each, 0},
    {"clone3_plain", "flags out of the filter's sight", "clone3 without any flag",
     "clone3 is ENOSYS as a whole", clone3_plain, 0},
    {"setns", "joining the namespaces of others", "setns with every file of /proc/1/ns, self/ns",
     "setns is refused by the filter; init's files cannot be opened", join_each, 0},
    {"setns_pidfd", "joining the namespaces of others", "setns with a pidfd of init",
     "setns is refused by the filter", join_by_pidfd, 0},
    {"namespace_parents", "walking up from one's own namespace",
     "NS_GET_PARENT and NS_GET_USERNS of our own namespaces",
     "the kernel gives no descriptor of a namespace above", parents, 0},
    {"id_maps", "mapping host ids late", "write uid_map, gid_map, setgroups, timens_offsets",
     "maps are written once, by the zygote", id_maps, 0},
    {.name = NULL},
};
