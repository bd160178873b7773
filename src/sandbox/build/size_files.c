/* size_files.c - limits that programs can see.
 *
 * Called by the new process of a sandbox while its root is being made. A build that reads 64 cores
 * and 256 GiB from /proc starts 64 compilers and is killed for memory; what it should read is what
 * it may use. /proc/meminfo is replaced by a text made from the limit; with a processor limit the
 * process is tied to so many processors (what nproc(1) and sched_getaffinity(2) tell) and
 * /proc/cpuinfo and /sys/devices/system/cpu are cut to the same number (what sysconf(3) and
 * language runtimes read). The texts are made once and do not move: MemFree and MemAvailable say
 * the whole limit. sysinfo(2) still tells the machine's memory; no call can be answered
 * differently without a tracer. */
#include "sandbox/build/size_files.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/rng.h"
#include "base/str.h"

#define CPUINFO_MAX (256u << 10)

unsigned size_files_cpus(const struct sandbox_limits *l)
{
    return (unsigned)((l->cpu_milli + 999) / 1000);
}

char *size_files_meminfo(uint64_t memory_bytes)
{
    unsigned long long kb = memory_bytes >> 10;
    return mem_printf("MemTotal:       %8llu kB\nMemFree:        %8llu kB\n"
                      "MemAvailable:   %8llu kB\nBuffers:               0 kB\n"
                      "Cached:                0 kB\nSwapCached:            0 kB\n"
                      "SwapTotal:             0 kB\nSwapFree:              0 kB\n",
                      kb, kb, kb);
}

/* Paragraphs are separated by empty lines, one per processor. */
char *size_files_cpuinfo(const char *cpuinfo, unsigned n)
{
    const char *end = cpuinfo;
    for (unsigned i = 0; i < n; i++) {
        const char *next = strstr(end, "\n\n");
        if (!next)
            return mem_strdup(cpuinfo);
        end = next + 2;
    }
    return mem_strndup(cpuinfo, (size_t)(end - cpuinfo));
}

static int write_text(int dir, const char *name, const char *text)
{
    AUTO_CLOSE int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (fd < 0)
        return -errno;
    size_t n = strlen(text);
    ssize_t k = write(fd, text, n);
    return k < 0 ? -errno : (size_t)k < n ? -ENOSPC : 0;
}

int size_files_write(int dir, const struct sandbox_limits *l, const char *host_cpuinfo)
{
    AUTO_FREE char *meminfo = size_files_meminfo(l->memory_bytes);
    int r = write_text(dir, "meminfo", meminfo);
    unsigned cpus = size_files_cpus(l);
    if (r < 0 || cpus == 0)
        return r;
    if (host_cpuinfo) {
        AUTO_FREE char *cpuinfo = size_files_cpuinfo(host_cpuinfo, cpus);
        r = write_text(dir, "cpuinfo", cpuinfo);
    }
    if (r >= 0 && mkdirat(dir, "cpu", 0755) < 0)
        r = -errno;
    AUTO_FREE char *list = cpus == 1 ? mem_strdup("0\n") : mem_printf("0-%u\n", cpus - 1);
    static const char *const names[] = {"cpu/online", "cpu/possible", "cpu/present"};
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(names); i++)
        r = write_text(dir, names[i], list);
    return r;
}

int size_files_set_affinity(const struct sandbox_limits *l)
{
    cpu_set_t have, want;
    unsigned n = size_files_cpus(l);
    if (n == 0)
        return 0;
    if (sched_getaffinity(0, sizeof(have), &have) < 0)
        return -errno;
    unsigned total = (unsigned)CPU_COUNT(&have);
    if (total <= n)
        return 0;
    unsigned skip = (unsigned)rng_below(total), seen = 0;
    CPU_ZERO(&want);
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned cpu = 0; cpu < CPU_SETSIZE && (unsigned)CPU_COUNT(&want) < n; cpu++)
            if (CPU_ISSET(cpu, &have) && seen++ >= skip)
                CPU_SET(cpu, &want);
    return sched_setaffinity(0, sizeof(want), &want) < 0 ? -errno : 0;
}
