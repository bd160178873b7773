/* size_files - files that tell programs how large their sandbox is, where the kernel would tell
 * them how large the machine is. */
#pragma once

#include "sandbox/spec.h"

struct err;

/* Writes the files into directory `dir` (under the names below): meminfo always; with a processor
 * limit also cpuinfo and, in directory "cpu", the three lists of /sys/devices/system/cpu.
 * `host_cpuinfo` is the text of the machine's /proc/cpuinfo. 0 or -errno. */
int size_files_write(int dir, const struct sandbox_limits *l, const char *host_cpuinfo) WARN_UNUSED;

/* How many processors a program should think it has: the limit rounded up; 0 without a limit. */
unsigned size_files_cpus(const struct sandbox_limits *l);

/* Text of /proc/meminfo for this much memory. The caller's. */
char *size_files_meminfo(uint64_t memory_bytes);
/* The first `n` processors of `cpuinfo`. The caller's. */
char *size_files_cpuinfo(const char *cpuinfo, unsigned n);

/* Ties the calling process to size_files_cpus() of the processors it may use now, chosen at random
 * so that sandboxes spread; nothing without a limit or when the machine has fewer. 0 or -errno. */
int size_files_set_affinity(const struct sandbox_limits *l) WARN_UNUSED;
