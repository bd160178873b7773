/* cgroups.c - control groups: programs the kernel starts, limits to lift, groups to leave. */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const roots[] = {
    "/sys/fs/cgroup",         "/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory",
    "/sys/fs/cgroup/rdma",    "/sys/fs/cgroup/pids",    "/sys/fs/cgroup/cpu",
    "/sys/fs/cgroup/devices", "/sys/fs/cgroup/freezer", "/sys/fs/cgroup/systemd",
};

static void open_below(const char *const *files, size_t n, int flags)
{
    for (size_t i = 0; i < sizeof(roots) / sizeof(*roots); i++)
        for (size_t k = 0; k < n; k++) {
            char path[96];
            snprintf(path, sizeof(path), "%s/%s", roots[i], files[k]);
            int fd = open(path, flags | O_CLOEXEC);
            refused(i ? files[k] : path, fd, NO_CALL_OR_FILE);
            if (fd >= 0)
                close(fd);
        }
}

static void release_agent(void)
{
    static const char *const files[] = {"release_agent", "notify_on_release"};
    open_below(files, 2, O_WRONLY);
    const char *dir = scratch();
    for (int v = 0; v < 2; v++)
        refused_call(v ? "mount cgroup2" : "mount cgroup (rdma)", SYS_mount, (long)"cgroup",
                     (long)dir, (long)(v ? "cgroup2" : "cgroup"), 0, (long)(v ? NULL : "rdma"));
}

static void leave(void)
{
    static const char *const files[] = {"cgroup.procs", "tasks", "cgroup.threads"};
    open_below(files, 3, O_WRONLY);
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct clone_args a = {
        .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)fd};
    long pid = syscall(SYS_clone3, &a, sizeof(a));
    if (pid == 0)
        _exit(0);
    refused("clone into a group", pid, EPERM, ENOSYS, EBADF, 0);
}

static void lift(void)
{
    static const char *const files[] = {"memory.max",
                                        "pids.max",
                                        "cpu.max",
                                        "cgroup.kill",
                                        "memory.limit_in_bytes",
                                        "devices.allow",
                                        "cgroup.freeze",
                                        "cgroup.subtree_control"};
    open_below(files, 8, O_WRONLY);
}

/* Our own group as the namespace of the zygote's shows it:
 * "/sallyport-<16 hex digits>/<number>". */
static int own_group(const char *path)
{
    static const char head[] = ":/sallyport-";
    size_t n = strlen(head);
    if (strncmp(path, head, n) != 0)
        return 0;
    size_t hex = strspn(path + n, "0123456789abcdef");
    if (hex != 16 || path[n + hex] != '/')
        return 0;
    const char *number = path + n + hex + 1;
    return *number && number[strspn(number, "0123456789")] == '\0';
}

/* In a cgroup namespace the zygote's group is "/"; any other name would be one of the host's. */
static void path_shown(void)
{
    static char text[8192];
    if (read_text("/proc/self/cgroup", text, sizeof(text)) < 0) {
        refused("/proc/self/cgroup", -1, NO_FILE);
        return;
    }
    unsigned n = 0, plain = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char *path = strrchr(line, ':');
        n++;
        int fine = path && (strcmp(path, ":/") == 0 || own_group(path));
        plain += (unsigned)fine;
        if (!fine)
            got("%s", line);
    }
    must(n > 0 && n == plain, "%u groups, %u shown as / or its own", n, plain);
}

const struct probe cgroups_probes[] = {
    {"release_agent", "CVE-2022-0492 (a program the kernel starts as root)",
     "open release_agent of nine hierarchies, mount one", "no /sys/fs/cgroup; mount is refused",
     release_agent, 0},
    {"leave_cgroup", "leaving one's limits", "open cgroup.procs and tasks, clone into a group",
     "no /sys/fs/cgroup; clone3 is ENOSYS", leave, 0},
    {"lift_limits", "lifting one's limits", "open eight limit files of nine hierarchies",
     "no /sys/fs/cgroup", lift, 0},
    {"cgroup_path", "names of the host's groups", "read /proc/self/cgroup",
     "a cgroup namespace that begins at the zygote's group", path_shown, 0},
    {.name = NULL},
};
