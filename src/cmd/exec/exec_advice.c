/* exec_advice.c - causes that lie with whoever has started `sallyport exec`: limits of the shell,
 * a sandbox around it, no /proc.
 *
 * Asked when a sandbox could not be made or a program not be started in it. What has failed then
 * says how ("the peer closed the connection"), not why: a process that is over a limit of its
 * shell is ended by the kernel without a word. Only looks at this process. */
#include "cmd/exec/exec_advice.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

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

char *exec_advice(const char *why)
{
    AUTO_CLOSE int self = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    if (self < 0 && errno == ENOENT)
        return mem_strdup(
            "/proc is not mounted here (or covered), and sallyport cannot work without "
            "it: mount -t proc proc /proc");
    if (prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER &&
        (strstr(why, "namespace") || strstr(why, "not permitted") || strstr(why, "uid map")))
        return mem_strdup("this is inside a sandbox or container already, whose system call filter "
                          "refuses what a new one needs: run sallyport outside of it");
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
