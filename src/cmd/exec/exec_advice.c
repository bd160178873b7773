/* exec_advice.c - causes that lie with whoever has started `sallyport exec`: limits of the shell,
 * a sandbox or container around it, a root with less than root's rights, no /proc or a strange one.
 *
 * Asked when a sandbox could not be made or a program not be started in it. What has failed then
 * says how ("the peer closed the connection"), not why: a process that is over a limit of its
 * shell is ended by the kernel without a word. Only looks at this process. */
#include "cmd/exec/exec_advice.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sandbox/lock/capability.h"

/* Below these a start is known to fail on some machine; they are not what is needed at least. */
static const struct {
    int resource;
    const char *option, *what;
    uint64_t enough, unit;
} limits[] = {
    {RLIMIT_NOFILE, "-n", "open files", 128, 1},
    {RLIMIT_FSIZE, "-f", "KiB for a file", 64u << 20, 1024},
    {RLIMIT_AS, "-v", "KiB of address space", 256u << 20, 1024},
    {RLIMIT_DATA, "-d", "KiB of data", 64u << 20, 1024},
    {RLIMIT_STACK, "-s", "KiB of stack", 1u << 20, 1024},
    {RLIMIT_CPU, "-t", "seconds of processor time", 10, 1},
    {RLIMIT_NPROC, "-u", "processes", 256, 1},
};

/* A /proc of other processes than ours has another number for us than we have, or none. */
static char *about_proc(void)
{
    char want[16], seen[16] = "";
    const int n = snprintf(want, sizeof(want), "%d", getpid());
    const ssize_t k = readlink("/proc/self", seen, sizeof(seen));
    struct statvfs fs;
    AUTO_CLOSE int own = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    if (k < 0 && own < 0)
        return mem_strdup("/proc is not mounted here (or covered), and sallyport cannot work "
                          "without it: mount -t proc proc /proc");
    if (k != n || memcmp(want, seen, (size_t)n) != 0)
        return mem_strdup("/proc here is that of another pid namespace, and sallyport cannot work "
                          "with it: mount -t proc proc /proc");
    if (statvfs("/proc", &fs) == 0 && (fs.f_flag & ST_RDONLY))
        return mem_strdup("/proc is read-only here, and the ids of a sandbox are written there: "
                          "mount -o remount,bind,rw /proc, or mount -t proc proc /proc");
    return NULL;
}

/* What a sandbox takes of root's rights. Containers hold some back. */
static char *about_root(void)
{
    static const struct {
        unsigned cap;
        const char *name;
    } needed[] = {{CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
                  {CAP_SETUID, "CAP_SETUID"},
                  {CAP_SETGID, "CAP_SETGID"},
                  {CAP_SETPCAP, "CAP_SETPCAP"}};
    for (size_t i = 0; geteuid() == 0 && i < ARRAY_LEN(needed); i++)
        if (capability_has(needed[i].cap) == 0)
            return mem_printf("root has no %s here, as in a container: give it that capability, or "
                              "run sallyport as an ordinary user, who needs none",
                              needed[i].name);
    return NULL;
}

char *exec_advice(const char *why)
{
    char *proc = about_proc();
    if (proc)
        return proc;
    if (prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER &&
        (strstr(why, "namespace") || strstr(why, "not permitted") || strstr(why, "uid map")))
        return mem_strdup("this is inside a sandbox or container already, whose system call filter "
                          "refuses what a new one needs: run sallyport outside of it");
    const bool refused = strstr(why, "not permitted") || strstr(why, "Permission denied");
    char *root = refused ? about_root() : NULL;
    if (root)
        return root;
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct rlimit l;
        if (getrlimit((__rlimit_resource_t)limits[i].resource, &l) == 0 &&
            l.rlim_cur < limits[i].enough)
            return mem_printf("this shell allows %llu %s, which may be too few: raise the limit "
                              "with ulimit %s",
                              (unsigned long long)(l.rlim_cur / limits[i].unit), limits[i].what,
                              limits[i].option);
    }
    return NULL;
}
