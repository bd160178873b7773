/* seccomp.c - which system calls a sandbox may make, and the filter made from that.
 *
 * The set is what container engines allow by default, less what design and spec/sandbox.md take
 * away: namespaces, mounts, bpf, perf, keys, io_uring, userfaultfd, kexec, handles, reading other
 * processes' memory by number. A call in `refused` fails with EPERM: a person ran into a rule. A
 * call in neither table fails with ENOSYS, so that libc and runtimes fall back when a newer
 * kernel's call is unknown here. Nothing is killed. Foreign architectures (int 0x80, x32) get
 * ENOSYS for every call.
 *
 * Two programs are installed. libseccomp can not say "any argument but these", so the first allows
 * clone, socket and ioctl as such and the second, which allows everything else, refuses some of
 * their arguments: new namespaces, odd address families, terminal injection. ioctl requests are
 * compared under a 32-bit mask because that is what the kernel looks at (CVE-2019-10063 was a
 * filter that compared 64 bits). Calls that are unconditional in both programs are answered from
 * the kernel's bitmap cache.
 *
 * Compiled once in the zygote; each sandbox only installs.
 *
 * A filter that reports differs in who says EPERM: the second program sends every refused call to a
 * listener (init, report.c) and the first lets those through to it, because a refusal there would
 * win. Without a listener the kernel fails such calls with ENOSYS, so nothing opens up when init is
 * gone. */
#include "sandbox/seccomp.h"

#include <asm/ioctls.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"

struct group {
    const char *why;
    const char *names; /* separated by spaces */
};

static const struct group allowed[] = {
    {"read, write and move in files", "read write pread64 pwrite64 readv writev preadv pwritev "
                                      "preadv2 pwritev2 lseek sendfile splice tee vmsplice "
                                      "copy_file_range fallocate ftruncate truncate readahead "
                                      "fadvise64 fsync fdatasync sync syncfs sync_file_range"},
    {"open, create and name files; permissions decide",
     "open openat openat2 creat close close_range mkdir mkdirat mknod mknodat rename renameat "
     "renameat2 rmdir unlink "
     "unlinkat link linkat symlink symlinkat readlink readlinkat chdir fchdir getcwd getdents "
     "getdents64 umask"},
    {"look at files and their attributes",
     "stat fstat lstat newfstatat statx statfs fstatfs access faccessat faccessat2 getxattr "
     "lgetxattr fgetxattr "
     "listxattr llistxattr flistxattr name_to_handle_at ustat"},
    {"change attributes of files one owns",
     "chmod fchmod fchmodat chown fchown lchown fchownat utime utimes utimensat futimesat setxattr "
     "lsetxattr fsetxattr "
     "removexattr lremovexattr fremovexattr"},
    {"descriptors: copies, locks, waiting, notifications",
     "dup dup2 dup3 fcntl flock pipe pipe2 poll ppoll select pselect6 epoll_create epoll_create1 "
     "epoll_ctl epoll_wait "
     "epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4 timerfd_create timerfd_settime "
     "timerfd_gettime "
     "inotify_init inotify_init1 inotify_add_watch inotify_rm_watch memfd_create"},
    {"limited to harmless arguments by the second program", "ioctl clone socket socketpair"},
    {"memory of the process itself",
     "mmap munmap mprotect mremap brk madvise mincore msync mlock mlock2 munlock mlockall "
     "munlockall pkey_alloc pkey_free "
     "pkey_mprotect membarrier remap_file_pages process_madvise process_mrelease"},
    {"start and end processes", "fork vfork execve execveat exit exit_group wait4 waitid "
                                "set_tid_address set_robust_list get_robust_list"},
    {"ask about and arrange processes inside the own pid namespace",
     "getpid getppid gettid getpgid getpgrp setpgid getsid setsid getpriority setpriority "
     "ioprio_get ioprio_set "
     "sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_setparam "
     "sched_getscheduler "
     "sched_setscheduler sched_getattr sched_setattr sched_get_priority_max sched_get_priority_min "
     "sched_rr_get_interval getcpu getrusage getrlimit setrlimit prlimit64 times sysinfo uname "
     "capget pidfd_open "
     "pidfd_send_signal ptrace prctl arch_prctl modify_ldt set_thread_area get_thread_area rseq"},
    {"identity: no capability is left, so only what is held already can be set",
     "getuid geteuid getgid getegid getgroups getresuid getresgid setuid setgid setreuid setregid "
     "setresuid setresgid "
     "setfsuid setfsgid setgroups capset"},
    {"signals and thread wake-ups", "kill tkill tgkill rt_sigaction rt_sigprocmask rt_sigreturn "
                                    "rt_sigsuspend rt_sigpending rt_sigtimedwait "
                                    "rt_sigqueueinfo rt_tgsigqueueinfo sigaltstack pause alarm "
                                    "getitimer setitimer restart_syscall futex futex_waitv"},
    {"clocks to read and to wait on",
     "time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep timer_create "
     "timer_delete timer_settime "
     "timer_gettime timer_getoverrun adjtimex clock_adjtime"},
    {"sockets that are there; the network namespace has only loopback",
     "bind connect listen accept accept4 getsockname getpeername getsockopt setsockopt sendto "
     "sendmsg sendmmsg recvfrom "
     "recvmsg recvmmsg shutdown"},
    {"System V and POSIX queues in the own ipc namespace",
     "shmget shmat shmdt shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl mq_open "
     "mq_unlink "
     "mq_timedsend mq_timedreceive mq_notify mq_getsetattr"},
    {"asynchronous file I/O of the old kind (databases)",
     "io_setup io_submit io_getevents io_pgetevents io_cancel io_destroy"},
    {"restrict oneself further",
     "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self"},
    {"randomness", "getrandom"},
};

static const struct group refused[] = {
    {"new or other namespaces; mounts, old and new interface",
     "unshare setns mount umount umount2 pivot_root chroot open_tree move_mount fsopen fsconfig "
     "fsmount fspick "
     "mount_setattr"},
    {"other processes' memory and descriptors by number",
     "process_vm_readv process_vm_writev kcmp pidfd_getfd move_pages migrate_pages"},
    {"kernel programs, tracing, faults handled by user code",
     "bpf perf_event_open userfaultfd lookup_dcookie fanotify_init fanotify_mark"},
    {"files by handle; quotas", "open_by_handle_at quotactl quotactl_fd"},
    {"kernel keyrings are not namespaced", "keyctl add_key request_key"},
    {"the machine itself",
     "kexec_load kexec_file_load reboot swapon swapoff init_module finit_module delete_module iopl "
     "ioperm acct syslog "
     "settimeofday clock_settime sethostname setdomainname vhangup nfsservctl"},
    {"memory placement; needs a capability elsewhere",
     "mbind set_mempolicy get_mempolicy set_mempolicy_home_node"},
};

/* CLONE_NEWTIME (0x80) is not listed: in clone(2) that bit belongs to the exit signal. */
static const unsigned long namespaces[] = {
    CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
    CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET,
};

static const unsigned long personalities[] = {
    PER_LINUX, UNAME26, ADDR_NO_RANDOMIZE, 0xffffffff /* ask only */
};

struct seccomp_filter {
    struct sock_filter *calls, *exceptions;
    unsigned short n_calls, n_exceptions;
    bool report;
};

const char *seccomp_table_next(size_t *pos, char buf[64])
{
    size_t skip = *pos;
    for (size_t t = 0; t < 2; t++) {
        const struct group *g = t ? refused : allowed;
        size_t n = t ? ARRAY_LEN(refused) : ARRAY_LEN(allowed);
        for (size_t i = 0; i < n; i++) {
            for (const char *c = g[i].names; *c;) {
                size_t len = strcspn(c, " ");
                if (skip-- == 0) {
                    MUST(len < 64);
                    memcpy(buf, c, len);
                    buf[len] = '\0';
                    ++*pos;
                    return buf;
                }
                c += len + (c[len] == ' ');
            }
        }
    }
    return NULL;
}

bool seccomp_allows(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
        for (const char *c = allowed[i].names; *c;) {
            size_t len = strcspn(c, " ");
            if (len == n && memcmp(c, name, n) == 0)
                return true;
            c += len + (c[len] == ' ');
        }
    return str_eq(name, "personality");
}

/* One rule per name of the group. Names this libseccomp does not know, or that this architecture
 * does not have (negative pseudo numbers), get the default answer. */
static int add_group(scmp_filter_ctx ctx, uint32_t action, const char *names)
{
    for (const char *c = names; *c;) {
        size_t len = strcspn(c, " ");
        AUTO_FREE char *name = mem_strndup(c, len);
        int nr = seccomp_syscall_resolve_name(name);
        int r = nr < 0 ? 0 : seccomp_rule_add(ctx, action, nr, 0);
        if (r < 0)
            return r;
        c += len + (c[len] == ' ');
    }
    return 0;
}

static int build_calls(scmp_filter_ctx ctx, bool report)
{
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(allowed); i++)
        r = add_group(ctx, SCMP_ACT_ALLOW, allowed[i].names);
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(refused); i++)
        r = add_group(ctx, report ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM), refused[i].names);
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(personalities); i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
                             SCMP_A0(SCMP_CMP_EQ, personalities[i], 0));
    return r;
}

/* Everything but Unix, IPv4, IPv6 and the routing part of netlink (getifaddrs(3), `ip route`). The
 * families are small integers; a value with garbage in the upper half is above all of them and
 * refused, too. */
static int refuse_families(scmp_filter_ctx ctx, uint32_t no)
{
    int r = 0;
    for (unsigned f = 0; r >= 0 && f < AF_NETLINK; f++)
        if (f != AF_UNIX && f != AF_INET && f != AF_INET6)
            r = seccomp_rule_add(ctx, no, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, f, 0));
    if (r >= 0)
        r = seccomp_rule_add(ctx, no, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_GT, AF_NETLINK, 0));
    if (r >= 0)
        r = seccomp_rule_add(ctx, no, SCMP_SYS(socket), 2, SCMP_A0(SCMP_CMP_EQ, AF_NETLINK, 0),
                             SCMP_A2(SCMP_CMP_NE, NETLINK_ROUTE, 0));
    if (r >= 0)
        r = seccomp_rule_add(ctx, no, SCMP_SYS(socketpair), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0));
    return r;
}

/* Calls that name an address. send(2) is sendto without one; sendmsg keeps its address in memory,
 * and init needs it itself. */
static int show_addresses(scmp_filter_ctx ctx)
{
    int r = seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, SCMP_SYS(connect), 0);
    return r < 0 ? r
                 : seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, SCMP_SYS(sendto), 1,
                                    SCMP_A4(SCMP_CMP_NE, 0, 0));
}

static int build_exceptions(scmp_filter_ctx ctx, bool report)
{
    static const unsigned requests[] = {TIOCSTI, TIOCLINUX};
    const uint32_t no = report ? SCMP_ACT_NOTIFY : SCMP_ACT_ERRNO(EPERM);
    int r = refuse_families(ctx, no);
    for (size_t i = 0; report && r >= 0 && i < ARRAY_LEN(refused); i++)
        r = add_group(ctx, no, refused[i].names);
    if (report && r >= 0)
        r = show_addresses(ctx);
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(requests); i++)
        r = seccomp_rule_add(ctx, no, SCMP_SYS(ioctl), 1,
                             SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, requests[i]));
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(namespaces); i++)
        r = seccomp_rule_add(ctx, no, SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces[i], namespaces[i]));
    return r;
}

/* Compiles one program into memory. libseccomp 2.5 only writes to descriptors. */
static int compile(uint32_t default_action, int (*build)(scmp_filter_ctx, bool), bool report,
                   struct sock_filter **ret, unsigned short *ret_n)
{
    scmp_filter_ctx ctx = seccomp_init(default_action);
    if (!ctx)
        return -ENOMEM;
    AUTO_CLOSE int fd = memfd_create("filter", MFD_CLOEXEC);
    int r = fd < 0 ? -errno : 0;
    if (r >= 0)
        r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    if (r >= 0) /* 2: a balanced tree over the call numbers instead of a list */
        r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (r >= 0)
        r = build(ctx, report);
    if (r >= 0)
        r = seccomp_export_bpf(ctx, fd);
    seccomp_release(ctx);
    struct stat st;
    if (r < 0 || fstat(fd, &st) < 0)
        return r < 0 ? r : -errno;
    size_t n = (size_t)st.st_size / sizeof(struct sock_filter);
    if (n == 0 || n > BPF_MAXINSNS)
        return -E2BIG;
    struct sock_filter *prog = mem_array(n, sizeof(*prog));
    if (pread(fd, prog, n * sizeof(*prog), 0) != (ssize_t)(n * sizeof(*prog))) {
        free(prog);
        return -EIO;
    }
    *ret = prog;
    *ret_n = (unsigned short)n;
    return 0;
}

struct seccomp_filter *seccomp_filter_new(bool report, struct err *e)
{
    struct seccomp_filter *f = mem_new(struct seccomp_filter);
    f->report = report;
    int r = compile(SCMP_ACT_ERRNO(ENOSYS), build_calls, report, &f->calls, &f->n_calls);
    if (r >= 0)
        r = compile(SCMP_ACT_ALLOW, build_exceptions, report, &f->exceptions, &f->n_exceptions);
    if (r >= 0)
        return f;
    err_set(e, r, "could not compile the system call filter: %s", err_text(r));
    seccomp_filter_free(f);
    return NULL;
}

void seccomp_filter_free(struct seccomp_filter *f)
{
    if (!f)
        return;
    free(f->calls);
    free(f->exceptions);
    free(f);
}

static int install(struct sock_filter *filter, unsigned short n, unsigned flags)
{
    struct sock_fprog prog = {.len = n, .filter = filter};
    long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
    return r < 0 ? -errno : (int)r;
}

int seccomp_filter_install(const struct seccomp_filter *f, int *ret_listener)
{
    /* The permissive one first: if the kernel refuses the other, the caller can still say so. */
    int r =
        install(f->exceptions, f->n_exceptions, f->report ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0);
    if (r >= 0 && ret_listener)
        *ret_listener = f->report ? r : -1;
    return r < 0 ? r : install(f->calls, f->n_calls, 0);
}

char *seccomp_name(int nr)
{
    char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
    return name ? name : mem_printf("number %d", nr);
}

bool seccomp_only_seen(int nr)
{
    return nr == SYS_connect || nr == SYS_sendto;
}
