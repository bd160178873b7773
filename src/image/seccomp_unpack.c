/* seccomp_unpack.c - which system calls unpacking an archive needs, and the filter that says so.
 *
 * Called once by the jail of an import (image/jail.c), on its one thread, before a byte of
 * the archive is looked at. What runs under the filter afterwards must be thought of as the
 * attacker's: libarchive and five decompressors, fed with an untrusted file.
 *
 * Three answers. Allowed: reading and writing what is open, files below a directory, memory that
 * cannot be executed, time, randomness, the end. The process is killed for what no library does by
 * mistake: executing, connecting, mounting, tracing, signalling others. One attempt is all there
 * is, and the parent can tell what it was. Everything else fails with EPERM, because a libc that is
 * newer than this table tries calls it can do without, and ending the import there would have no
 * use; EPERM gives an attacker no more than the killing does. Threads are among these: a
 * decompressor that wants one is told that there are none and goes on alone, or fails.
 *
 * A path cannot be looked at here, only numbers. So this is not what keeps files outside out of
 * reach: Landlock and the root directory do (jail.c). What is looked at: no call may give a
 * file a set-id or sticky bit or let others write to it (openat2 has its mode in memory; the parent
 * looks at the tree), no link may follow a link (/proc/self/fd), no times change but of what is
 * open, no signal may go to another process, no page may become code. */
#include "image/seccomp_unpack.h"
#include "base/err.h"
#include "base/library.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

/* Every function used, by libseccomp's name without "seccomp_". Opened by the process that unpacks,
 * and by no other. */
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

int seccomp_unpack_load(struct err *e)
{
    return api.init ? 0
                    : library_open("libseccomp.so.2", "libseccomp2", symbols, ARRAY_LEN(symbols),
                                   &api, e);
}

/* Names that this machine or its libseccomp does not know get the default answer. */
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
    "exit_group"};

static const char *const killed[] = {
    /* programs, and other processes */
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev",
    "process_madvise", "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "kill", "tkill",
    "rt_sigqueueinfo", "rt_tgsigqueueinfo", "kcmp",
    /* the network, and passing descriptors on */
    "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendto", "sendmsg",
    "sendmmsg", "recvmsg", "recvmmsg",
    /* mounts, roots, namespaces */
    "mount", "umount2", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick",
    "mount_setattr", "pivot_root", "chroot", "unshare", "setns", "open_by_handle_at",
    /* the kernel's larger surfaces */
    "bpf", "io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd",
    "perf_event_open", "keyctl", "add_key", "request_key", "init_module", "finit_module",
    "delete_module", "kexec_load", "kexec_file_load", "iopl", "ioperm", "modify_ldt",
    /* identity, and what would outlive us in a file */
    "setuid", "setgid", "setresuid", "setresgid", "setreuid", "setregid", "setgroups", "capset",
    "mknod", "mknodat", "chown", "lchown", "fchown", "fchownat", "setxattr", "lsetxattr",
    "fsetxattr", "acct", "swapon", "swapoff", "reboot", "quotactl", "settimeofday",
    "clock_settime"};

#define NO_BITS(arg, bits) SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, (bits), 0)
#define IS(arg, value)     SCMP_CMP(arg, SCMP_CMP_EQ, (value), 0)
#define NOT_PLAIN          07022u /* set-id, sticky; write permission for others */

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

static int allow_when(scmp_filter_ctx ctx, const char *name, struct scmp_arg_cmp cmp)
{
    int nr = api.syscall_resolve_name(name);
    return nr < 0 ? 0 : api.rule_add_array(ctx, SCMP_ACT_ALLOW, nr, 1, &cmp);
}

static int add_conditions(scmp_filter_ctx ctx)
{
    const struct {
        const char *name;
        struct scmp_arg_cmp cmp;
    } when[] = {
        {"openat", NO_BITS(3, NOT_PLAIN)},
        {"mkdirat", NO_BITS(2, NOT_PLAIN)},
        {"fchmod", NO_BITS(1, NOT_PLAIN)},
        {"linkat", IS(4, 0)},
        {"utimensat", IS(1, 0)}, /* of what is open, not of any path */
        {"mmap", NO_BITS(2, PROT_EXEC)},
        {"mprotect", NO_BITS(2, PROT_EXEC)},
        /* Not F_SETOWN: it sends signals. */
        {"fcntl", IS(1, F_DUPFD_CLOEXEC)},
        {"fcntl", IS(1, F_GETFD)},
        {"fcntl", IS(1, F_SETFD)},
        {"fcntl", IS(1, F_GETFL)},
        /* abort() */
        {"tgkill", IS(0, (scmp_datum_t)getpid())},
    };
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(when); i++)
        r = allow_when(ctx, when[i].name, when[i].cmp);
    return r;
}

int seccomp_unpack_install(struct err *e)
{
    int r = seccomp_unpack_load(e);
    if (r < 0)
        return r;
    scmp_filter_ctx ctx = api.init(SCMP_ACT_ERRNO(EPERM));
    if (!ctx)
        return err_set(e, -ENOMEM, "no memory for the system call filter");
    /* int 0x80 and x32 have numbers of their own, which nothing here uses. */
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
