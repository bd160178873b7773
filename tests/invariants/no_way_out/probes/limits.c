/* limits.c - limits that are set, and that they cannot be raised. What happens when one goes to
 * the limit is the bombs' matter (bombs.c). */
#include "probe.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
    const char *name;
    int resource;
    rlim_t most; /* 0: any finite number will not do, it must be 0 */
} limits[] = {
    {"core", RLIMIT_CORE, 0},
    {"nproc", RLIMIT_NPROC, 40000},
    {"nofile", RLIMIT_NOFILE, 1 << 20},
    {"memlock", RLIMIT_MEMLOCK, 1 << 20},
    {"msgqueue", RLIMIT_MSGQUEUE, 1 << 20},
    {"sigpending", RLIMIT_SIGPENDING, 1 << 16},
    {"nice", RLIMIT_NICE, 0},
    {"rtprio", RLIMIT_RTPRIO, 0},
};

static void are_set(void)
{
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
        struct rlimit l;
        if (getrlimit((__rlimit_resource_t)limits[i].resource, &l) < 0)
            unable("%s: %m", limits[i].name);
        else
            must(l.rlim_max <= limits[i].most, "%s at most %llu", limits[i].name,
                 (unsigned long long)l.rlim_max);
    }
}

static void raise_each(void)
{
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
        struct rlimit l;
        if (getrlimit((__rlimit_resource_t)limits[i].resource, &l) < 0)
            continue;
        if (l.rlim_max == RLIM_INFINITY) {
            must(false, "%s is without limit", limits[i].name);
            continue;
        }
        l.rlim_max++;
        refused(limits[i].name, setrlimit((__rlimit_resource_t)limits[i].resource, &l), EPERM, 0);
    }
}

static void lock_memory(void)
{
    size_t n = 4u << 20;
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    refused("mlock 4 MiB", p == MAP_FAILED ? -1 : mlock(p, n), ENOMEM, EPERM, EAGAIN, 0);
    refused("mlockall", mlockall(MCL_CURRENT), ENOMEM, EPERM, EAGAIN, 0);
    void *h = mmap(NULL, 2u << 20, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    refused("a huge page", h == MAP_FAILED ? -1 : 0, ENOMEM, EPERM, EINVAL, 0);
    refused("secret memory", syscall(447, 0), EPERM, ENOSYS, 0);
}

const struct probe limits_probes[] = {
    {"limits_set", "exhausting the host", "read eight resource limits",
     "set before the first program; cores are off", are_set, 0},
    {"limits_raise", "exhausting the host", "raise each hard limit by one", "no CAP_SYS_RESOURCE",
     raise_each, 0},
    {"locked_memory", "memory that cannot be reclaimed",
     "mlock 4 MiB, mlockall, a huge page, memfd_secret", "RLIMIT_MEMLOCK; the filter", lock_memory,
     0},
    {.name = NULL},
};
