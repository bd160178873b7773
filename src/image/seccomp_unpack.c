/* seccomp_unpack.c - which system calls unpacking an archive needs, and the filter that says so.
 *
 * Called once by the jail of an import (image/jail.c), on its one thread, before a byte of
 * the archive is looked at. What runs under the filter afterwards must be thought of as the
 * attacker's: libarchive and five decompressors, fed with an untrusted file.
 *
 * What it does is told in sandbox/lock/syscall_filter.h. Allowed here: reading and writing what is
 * open, files below a directory, memory that cannot be executed, time, randomness, the end. Killed
 * beside what is killed everywhere: connecting. One attempt is all there is, and the parent can tell
 * what it was. Threads are among what fails: a decompressor that wants one is told that there are none
 * and goes on alone, or fails.
 *
 * A path cannot be looked at here, only numbers. So this is not what keeps files outside out of
 * reach: Landlock and the root directory do (jail.c). What is looked at: no call may give a
 * file a set-id or sticky bit or let others write to it (openat2 has its mode in memory; the parent
 * looks at the tree), no link may follow a link (/proc/self/fd), no times change but of what is
 * open, no signal may go to another process, no page may become code. */
#include "image/seccomp_unpack.h"
#include "base/err.h"
#include "sandbox/lock/syscall_filter.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const allowed[] = {
    /* what is open */
    "read", "pread64", "write", "pwrite64", "lseek", "ftruncate", "close", "fstat", "poll", "ppoll",
    /* files below a descriptor */
    "openat2", "newfstatat", "statx", "getdents64", "symlinkat", "unlinkat",
    /* memory */
    "brk", "munmap", "mremap", "madvise",
    /* the rest of what libc does for a program of one thread */
    "futex", "sched_yield", "clock_gettime", "gettimeofday", "getrandom", "getpid", "gettid",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "exit",
    "exit_group", NULL};

/* the network, and passing descriptors on */
static const char *const killed[] = {"socket",   "socketpair", "connect",  "bind",
                                     "accept",   "accept4",    "sendto",   "sendmsg",
                                     "sendmmsg", "recvmsg",    "recvmmsg", NULL};

#define NOT_PLAIN 07022u /* set-id, sticky; write permission for others */

int seccomp_unpack_install(struct err *e)
{
    const struct syscall_condition when[] = {
        {"openat", {SYSCALL_NO_BITS(3, NOT_PLAIN)}},
        {"mkdirat", {SYSCALL_NO_BITS(2, NOT_PLAIN)}},
        {"fchmod", {SYSCALL_NO_BITS(1, NOT_PLAIN)}},
        {"linkat", {SYSCALL_IS(4, 0)}},
        {"utimensat", {SYSCALL_IS(1, 0)}}, /* of what is open, not of any path */
        {"mmap", {SYSCALL_NO_BITS(2, PROT_EXEC)}},
        {"mprotect", {SYSCALL_NO_BITS(2, PROT_EXEC)}},
        /* Not F_SETOWN: it sends signals. */
        {"fcntl", {SYSCALL_IS(1, F_DUPFD_CLOEXEC)}},
        {"fcntl", {SYSCALL_IS(1, F_GETFD)}},
        {"fcntl", {SYSCALL_IS(1, F_SETFD)}},
        {"fcntl", {SYSCALL_IS(1, F_GETFL)}},
        /* abort() */
        {"tgkill", {SYSCALL_IS(0, getpid())}},
    };
    return syscall_filter_install(&(struct syscall_filter){.allowed = allowed,
                                                           .killed = killed,
                                                           .conditions = when,
                                                           .n_conditions = ARRAY_LEN(when)},
                                  e);
}
