/* seccomp.c - the system calls of a proxy.
 *
 * Installed once, on the one thread that there is, before a byte of a stranger is read; threads that
 * are started later (io/pool) inherit it. Three answers, as in image/seccomp_unpack.c: allowed;
 * killed, for what no library does by mistake; everything else fails with EPERM, because a libc that
 * is newer than this table tries calls that it can do without. clone3 fails with ENOSYS, so that
 * threads are made by clone, whose flags can be looked at.
 *
 * What is looked at: sockets are of IPv4 and IPv6, streams and datagrams (DNS), and route netlink (the
 * machine's addresses); nothing listens; files are opened for reading only; no page becomes code; no
 * signal goes to another process. Where connections go is not decided here but in policy/. */
#include "egress/lock/lock.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/library.h"

#define FUNCTIONS(X)                                                                               \
    X(init)                                                                                        \
    X(attr_set)                                                                                    \
    X(syscall_resolve_name)                                                                        \
    X(rule_add)                                                                                    \
    X(rule_add_array)                                                                              \
    X(load)                                                                                        \
    X(release)

static struct api {
#define FIELD(f) __typeof__(&seccomp_##f) f;
    FUNCTIONS(FIELD)
#undef FIELD
} api;

static const struct library_symbol symbols[] = {
#define SYM(f) {"seccomp_" #f, offsetof(struct api, f)},
    FUNCTIONS(SYM)
#undef SYM
};

int egress_seccomp_load(struct err *e)
{
    return api.init ? 0
                    : library_open("libseccomp.so.2", "libseccomp2", symbols, ARRAY_LEN(symbols),
                                   &api, e);
}

/* Names that this machine or its libseccomp does not know get the default answer. */
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
    "restart_syscall", "set_robust_list", "rseq", "membarrier", "exit", "exit_group"};

static const char *const killed[] = {
    /* programs, and other processes */
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev",
    "process_madvise", "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "kill", "tkill",
    "rt_sigqueueinfo", "rt_tgsigqueueinfo", "kcmp",
    /* listening is for who made the sockets; bind is for netlink, and Landlock keeps it from TCP */
    "listen",
    /* mounts, roots, namespaces */
    "mount", "umount2", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick",
    "mount_setattr", "pivot_root", "chroot", "unshare", "setns", "open_by_handle_at",
    /* the kernel's larger surfaces */
    "bpf", "io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd",
    "perf_event_open", "keyctl", "add_key", "request_key", "init_module", "finit_module",
    "delete_module", "kexec_load", "kexec_file_load", "iopl", "ioperm", "modify_ldt",
    /* identity, and files */
    "setuid", "setgid", "setresuid", "setresgid", "setreuid", "setregid", "setgroups", "capset",
    "mknod", "mknodat", "chown", "lchown", "fchown", "fchownat", "chmod", "fchmod", "fchmodat",
    "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "symlink",
    "symlinkat", "link", "linkat", "setxattr", "lsetxattr", "fsetxattr", "acct", "swapon",
    "swapoff", "reboot", "quotactl", "settimeofday", "clock_settime"};

#define NO_BITS(arg, bits) SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, (bits), 0)
#define IS(arg, value)     SCMP_CMP(arg, SCMP_CMP_EQ, (value), 0)
#define HAS(arg, bits)     SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, (bits), (bits))
#define WRITING            (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND)

static int add_names(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t n)
{
    int r = 0;
    for (size_t i = 0; r >= 0 && i < n; i++) {
        int nr = api.syscall_resolve_name(names[i]);
        if (nr >= 0)
            r = api.rule_add(ctx, action, nr, 0);
    }
    return r;
}

static int allow_when(scmp_filter_ctx ctx, const char *name, unsigned n,
                      const struct scmp_arg_cmp *cmp)
{
    int nr = api.syscall_resolve_name(name);
    return nr < 0 ? 0 : api.rule_add_array(ctx, SCMP_ACT_ALLOW, nr, n, cmp);
}

static int add_conditions(scmp_filter_ctx ctx)
{
    const struct {
        const char *name;
        struct scmp_arg_cmp cmp;
    } when[] = {
        {"openat", NO_BITS(2, WRITING)},
        {"open", NO_BITS(1, WRITING)},
        {"mmap", NO_BITS(2, PROT_EXEC)},
        {"mprotect", NO_BITS(2, PROT_EXEC)},
        {"socket", IS(0, AF_INET)},
        {"socket", IS(0, AF_INET6)},
        {"clone", HAS(0, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND)},
        {"prctl", IS(0, PR_SET_NAME)},
        /* madvise of a secret's pages is its own call; anonymous mappings are named by libc */
        {"fcntl", IS(1, F_DUPFD_CLOEXEC)},
        {"fcntl", IS(1, F_GETFD)},
        {"fcntl", IS(1, F_SETFD)},
        {"fcntl", IS(1, F_GETFL)},
        {"fcntl", IS(1, F_SETFL)},
        {"fcntl", IS(1, F_SETPIPE_SZ)},
        {"fcntl", IS(1, F_GETPIPE_SZ)},
        {"fcntl", IS(1, F_GET_SEALS)},
        {"ioctl", IS(1, 0x541B)}, /* FIONREAD */
        {"prlimit64", IS(2, 0)},  /* asking, not setting */
        /* abort() */
        {"tgkill", IS(0, (scmp_datum_t)getpid())},
    };
    const struct scmp_arg_cmp route[] = {IS(0, AF_NETLINK), IS(2, NETLINK_ROUTE)};
    int r = allow_when(ctx, "socket", 2, route);
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(when); i++)
        r = allow_when(ctx, when[i].name, 1, &when[i].cmp);
    if (r >= 0 && (r = api.syscall_resolve_name("clone3")) >= 0)
        r = api.rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), r, 0);
    return r;
}

int egress_seccomp_install(struct err *e)
{
    int r = egress_seccomp_load(e);
    if (r < 0)
        return r;
    scmp_filter_ctx ctx = api.init(SCMP_ACT_ERRNO(EPERM));
    if (!ctx)
        return err_set(e, -ENOMEM, "no memory for the system call filter");
    r = api.attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r >= 0)
        r = add_names(ctx, SCMP_ACT_ALLOW, allowed, ARRAY_LEN(allowed));
    if (r >= 0)
        r = add_names(ctx, SCMP_ACT_KILL_PROCESS, killed, ARRAY_LEN(killed));
    if (r >= 0)
        r = add_conditions(ctx);
    if (r >= 0)
        r = api.load(ctx);
    api.release(ctx);
    return r < 0 ? err_set(e, r, "the system call filter cannot be installed: %s", err_text(r)) : 0;
}
