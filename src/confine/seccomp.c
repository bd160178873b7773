/* seccomp.c - the system calls of a process that reads strangers' bytes.
 *
 * Installed once, on the one thread that there is, before a byte of a stranger is read; threads that
 * are started later (io/pool) inherit it. What a filter answers is told in
 * sandbox/lock/syscall_filter.h.
 *
 * What is looked at: sockets are of IPv4 and IPv6, TCP and UDP (DNS), and route netlink (the
 * machine's addresses); nothing listens; files are opened for reading only; no page becomes code; no
 * signal goes to another process. Where connections go is not decided here, but by policies and configurations. */
#include "confine/confine.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "sandbox/lock/syscall_filter.h"

/* Listening is for who made the sockets; bind is for netlink, and Landlock keeps it from TCP. */
static const char *const allowed[] = {
    /* what is open */
    "read", "readv", "pread64", "write", "writev", "lseek", "close", "fstat", "poll", "ppoll",
    "pipe2", "splice", "tee",
    /* sockets that there are */
    "bind", "connect", "accept4", "shutdown", "getsockname", "getpeername", "getsockopt",
    "setsockopt", "sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg",
    /* the loop */
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2",
    /* files, as far as Landlock lets them be opened */
    "newfstatat", "statx", "getdents64", "readlink", "readlinkat", "access", "faccessat",
    "faccessat2",
    /* memory */
    "brk", "munmap", "mremap", "madvise", "mincore", "mlock", "mlock2", "munlock",
    /* the rest of what libc does for a program */
    "futex", "sched_yield", "sched_getaffinity", "clock_gettime", "clock_nanosleep", "gettimeofday",
    "nanosleep", "getrandom", "getpid", "gettid", "getuid", "geteuid", "getgid", "getegid", "uname",
    "sysinfo", "getrusage", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
    "restart_syscall", "set_robust_list", "rseq", "membarrier", "exit", "exit_group", NULL};

/* files */
static const char *const killed[] = {"chmod",   "fchmod",    "fchmodat",  "unlink", "unlinkat",
                                     "rename",  "renameat",  "renameat2", "mkdir",  "mkdirat",
                                     "symlink", "symlinkat", "link",      "linkat", NULL};

#define WRITING (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND)

int confine_seccomp_install(struct err *e)
{
    const struct syscall_condition when[] = {
        {"socket", {SYSCALL_IS(0, AF_NETLINK), SYSCALL_IS(2, NETLINK_ROUTE)}},
        {"openat", {SYSCALL_NO_BITS(2, WRITING)}},
        {"open", {SYSCALL_NO_BITS(1, WRITING)}},
        {"mmap", {SYSCALL_NO_BITS(2, PROT_EXEC)}},
        {"mprotect", {SYSCALL_NO_BITS(2, PROT_EXEC)}},
        /* no ICMP, no MPTCP, nothing that is new */
        {"socket", {SYSCALL_IS(0, AF_INET), SYSCALL_IS(2, 0)}},
        {"socket", {SYSCALL_IS(0, AF_INET), SYSCALL_IS(2, IPPROTO_TCP)}},
        {"socket", {SYSCALL_IS(0, AF_INET), SYSCALL_IS(2, IPPROTO_UDP)}},
        {"socket", {SYSCALL_IS(0, AF_INET6), SYSCALL_IS(2, 0)}},
        {"socket", {SYSCALL_IS(0, AF_INET6), SYSCALL_IS(2, IPPROTO_TCP)}},
        {"socket", {SYSCALL_IS(0, AF_INET6), SYSCALL_IS(2, IPPROTO_UDP)}},
        /* between TLS to an upstream proxy and the connection through it; it leads nowhere else */
        {"socketpair",
         {SYSCALL_IS(0, AF_UNIX), SYSCALL_IS(1, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)}},
        {"clone", {SYSCALL_HAS(0, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND)}},
        {"prctl", {SYSCALL_IS(0, PR_SET_NAME)}},
        {"fcntl", {SYSCALL_IS(1, F_DUPFD_CLOEXEC)}},
        {"fcntl", {SYSCALL_IS(1, F_GETFD)}},
        {"fcntl", {SYSCALL_IS(1, F_SETFD)}},
        {"fcntl", {SYSCALL_IS(1, F_GETFL)}},
        {"fcntl", {SYSCALL_IS(1, F_SETFL)}},
        {"fcntl", {SYSCALL_IS(1, F_SETPIPE_SZ)}},
        {"fcntl", {SYSCALL_IS(1, F_GETPIPE_SZ)}},
        {"fcntl", {SYSCALL_IS(1, F_GET_SEALS)}},
        {"ioctl", {SYSCALL_IS(1, 0x541B)}}, /* FIONREAD */
        {"prlimit64", {SYSCALL_IS(2, 0)}},  /* asking, not setting */
        /* abort() */
        {"tgkill", {SYSCALL_IS(0, getpid())}},
    };
    return syscall_filter_install(&(struct syscall_filter){.allowed = allowed,
                                                           .killed = killed,
                                                           .conditions = when,
                                                           .n_conditions = ARRAY_LEN(when),
                                                           .threads = true},
                                  e);
}
