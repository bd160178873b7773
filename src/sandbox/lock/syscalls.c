/* syscalls.c - the table that the system call filter is generated from.
 *
 * It starts from what container engines allow by default, less what sandbox.md ("Seccomp") takes
 * away: namespaces, mounts, bpf, perf, keys, io_uring, userfaultfd, kexec, handles, other
 * processes' memory by number. seccomp.c makes two BPF programs of it, and the OCI engine its own
 * notation. A line of the table is a line of the file: add a call where its reason is, or a line
 * with a reason. */
#include "sandbox/lock/syscalls.h"

#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define ALLOW       SYSCALL_ALLOW
#define ASK         SYSCALL_ASK
#define REFUSE      SYSCALL_REFUSE
#define ABSENT      SYSCALL_ABSENT
#define UNSUPPORTED SYSCALL_UNSUPPORTED

/* clang-format off */
const struct syscall_line syscall_lines[] = {
    /* files */
    {ALLOW, "read readv pread64 preadv preadv2 lseek readahead", "read from what is open"},
    {ALLOW, "write writev pwrite64 pwritev pwritev2", "write to what is open"},
    {ALLOW, "sendfile splice tee vmsplice copy_file_range", "move bytes between open files"},
    {ALLOW, "truncate ftruncate fallocate fadvise64", "size of files; quotas and RLIMIT_FSIZE bound it"},
    {ALLOW, "fsync fdatasync sync syncfs sync_file_range msync", "ask for durability"},
    {ALLOW, "open openat openat2 creat close close_range", "open files; modes and mounts decide"},
    {ALLOW, "mkdir mkdirat rmdir unlink unlinkat", "directories; modes and mounts decide"},
    {ALLOW, "rename renameat renameat2 link linkat symlink symlinkat", "names; modes and mounts decide"},
    {ALLOW, "mknod mknodat", "fifos and sockets; device nodes need a capability nobody has"},
    {ALLOW, "readlink readlinkat getdents getdents64", "read links and directories"},
    {ALLOW, "chdir fchdir getcwd umask", "the process's own directory and mask"},
    {ALLOW, "stat fstat lstat newfstatat statx access faccessat faccessat2", "look at files"},
    {ALLOW, "statfs fstatfs ustat", "look at file systems"},
    {ALLOW, "getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr", "read attributes"},
    {ALLOW, "removexattr lremovexattr fremovexattr", "attributes of files one owns"},
    {ALLOW, "chmod fchmod fchmodat", "modes of files one owns; not setuid on the host, see below"},
    {ALLOW, "chown fchown lchown fchownat", "owners; without a capability only to oneself"},
    {ALLOW, "utime utimes utimensat futimesat", "times of files one owns"},
    {ALLOW, "name_to_handle_at", "name a file by handle (opening by handle is refused)"},
    {ALLOW, "fcntl", "descriptor flags, and locks: see below"},
    {ASK, "flock", "a lock on a file of the host makes a program of the host wait"},
    {ALLOW, "inotify_init inotify_init1 inotify_add_watch inotify_rm_watch", "watch files one can read"},
    {ALLOW, "memfd_create", "files in memory, charged to the sandbox"},
    /* descriptors and waiting */
    {ALLOW, "dup dup2 dup3 pipe pipe2", "copies and pipes"},
    {ALLOW, "poll ppoll select pselect6", "wait for descriptors"},
    {ALLOW, "epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2", "likewise, many"},
    {ALLOW, "eventfd eventfd2 signalfd signalfd4", "events and signals as descriptors"},
    {ALLOW, "timerfd_create timerfd_settime timerfd_gettime", "timers as descriptors"},
    {ALLOW, "ioctl", "devices of /dev and terminals; see the arguments below"},
    /* memory */
    {ALLOW, "mmap munmap mprotect mremap brk madvise mincore remap_file_pages", "own address space"},
    {ALLOW, "mlock mlock2 munlock mlockall munlockall", "bounded by RLIMIT_MEMLOCK"},
    {ALLOW, "pkey_alloc pkey_free pkey_mprotect membarrier", "protection keys and barriers of its own"},
    {ALLOW, "process_madvise process_mrelease", "advice for processes one may signal"},
    /* processes */
    {ALLOW, "clone fork vfork", "start processes and threads; no new namespaces, see below"},
    {ALLOW, "execve execveat exit exit_group", "run programs and end"},
    {ALLOW, "wait4 waitid", "collect children"},
    {ALLOW, "set_tid_address set_robust_list get_robust_list rseq", "what libc sets up for threads"},
    {ALLOW, "futex futex_waitv restart_syscall", "locks of threads"},
    {ALLOW, "getpid getppid gettid getpgid getpgrp getsid", "who am I"},
    {ALLOW, "setpgid setsid", "job control inside"},
    {ALLOW, "pidfd_open pidfd_send_signal", "signal processes of the own pid namespace"},
    {ALLOW, "ptrace", "debug one's own; others are out of the pid namespace, init is not dumpable"},
    {ALLOW, "prctl arch_prctl", "own attributes; none gives a right back"},
    {ALLOW, "modify_ldt set_thread_area get_thread_area", "segments of old and foreign programs"},
    {ALLOW, "personality", "a few harmless ones, see below"},
    {ALLOW, "getpriority setpriority ioprio_get ioprio_set", "niceness; raising it needs a capability"},
    {ALLOW, "sched_yield sched_getaffinity sched_setaffinity getcpu", "processors; the quota bounds them"},
    {ALLOW, "sched_getparam sched_setparam sched_getscheduler sched_setscheduler", "no real-time without a right"},
    {ALLOW, "sched_getattr sched_setattr", "likewise"},
    {ALLOW, "sched_get_priority_max sched_get_priority_min sched_rr_get_interval", "ask about scheduling"},
    {ALLOW, "getrlimit setrlimit prlimit64", "limits; hard ones only go down"},
    {ALLOW, "getrusage times sysinfo uname", "ask about usage and the system"},
    /* identity */
    {ALLOW, "getuid geteuid getgid getegid getgroups getresuid getresgid", "who am I"},
    {ALLOW, "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups", "only to what one is"},
    {ALLOW, "capget capset", "there is none to set"},
    /* signals and time */
    {ALLOW, "kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo", "signals inside the pid namespace"},
    {ALLOW, "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigpending rt_sigtimedwait", "receive them"},
    {ALLOW, "sigaltstack pause alarm getitimer setitimer", "likewise"},
    {ALLOW, "time gettimeofday clock_gettime clock_getres adjtimex clock_adjtime", "read clocks; setting needs a right"},
    {ALLOW, "nanosleep clock_nanosleep", "wait"},
    {ALLOW, "timer_create timer_delete timer_settime timer_gettime timer_getoverrun", "timers"},
    {ALLOW, "getrandom", "randomness"},
    /* sockets and queues */
    {ALLOW, "socket socketpair", "some families, see below; the network namespace has loopback only"},
    {ASK, "connect bind", "a Unix socket of the host may lie below a bind; a name of ours may not"},
    {ALLOW, "listen accept accept4 shutdown", "loopback and Unix sockets"},
    {ALLOW, "getsockname getpeername getsockopt setsockopt", "likewise"},
    {ALLOW, "sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg", "likewise"},
    {ALLOW, "shmget shmat shmdt shmctl semget semop semtimedop semctl", "System V, in the own ipc namespace"},
    {ALLOW, "msgget msgsnd msgrcv msgctl", "likewise"},
    {ALLOW, "mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr", "POSIX, likewise"},
    /* restrict oneself further */
    {ALLOW, "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self", "only takes away"},

    {UNSUPPORTED, "setxattr lsetxattr fsetxattr", "an access list makes a file setgid that chmod may not; names cannot be told apart here"},

    {REFUSE, "unshare setns", "other namespaces: each is kernel surface that only root had before"},
    {REFUSE, "mount umount umount2 pivot_root chroot", "mounts, the old interface"},
    {REFUSE, "open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr", "mounts, the new one"},
    {REFUSE, "process_vm_readv process_vm_writev kcmp", "other processes' memory by number"},
    {REFUSE, "pidfd_getfd", "other processes' descriptors"},
    {REFUSE, "move_pages migrate_pages", "other processes' pages"},
    {REFUSE, "mbind set_mempolicy get_mempolicy set_mempolicy_home_node", "memory placement is the host's"},
    {REFUSE, "bpf", "programs in the kernel"},
    {REFUSE, "perf_event_open lookup_dcookie", "counters leak what other tenants do"},
    {REFUSE, "userfaultfd", "holding kernel copies half-way: the tool of many exploits"},
    {REFUSE, "fanotify_init fanotify_mark", "sees what others open"},
    {REFUSE, "open_by_handle_at", "opens outside of any root (CVE-2015-3627)"},
    {REFUSE, "quotactl quotactl_fd", "quotas are the host's"},
    {REFUSE, "keyctl add_key request_key", "kernel keyrings are not namespaced"},
    {REFUSE, "kexec_load kexec_file_load reboot", "the machine"},
    {REFUSE, "swapon swapoff acct", "likewise"},
    {REFUSE, "init_module finit_module delete_module", "code in the kernel"},
    {REFUSE, "iopl ioperm", "ports of the hardware"},
    {REFUSE, "syslog", "the kernel's log has addresses and other tenants in it"},
    {REFUSE, "settimeofday clock_settime", "the machine's clock"},
    {REFUSE, "sethostname setdomainname vhangup nfsservctl", "set once, by us"},

    {ABSENT, "clone3", "flags lie in memory where no filter can see them; libc falls back to clone"},
    {ABSENT, "io_setup io_submit io_getevents io_pgetevents io_cancel io_destroy", "one count for the machine (fs.aio-max-nr); databases do without"},
    {ABSENT, "io_uring_setup io_uring_enter io_uring_register", "bypasses this filter; libraries fall back"},
};

#define EQ   SYSCALL_EQ
#define NE   SYSCALL_NE
#define GT   SYSCALL_GT
#define KIND SYSCALL_KIND_EQ
#define LOW  SYSCALL_LOW_EQ
#define HAS  SYSCALL_HAS_BITS
#define ALSO false, -1, EQ, 0
#define ONLY true, -1, EQ, 0

const struct syscall_argument syscall_arguments[] = {
    {"clone", 0, HAS, CLONE_NEWUSER, ALSO, "a user namespace brings capabilities over much of the kernel"},
    {"clone", 0, HAS, CLONE_NEWNS, ALSO, "mounts"},
    {"clone", 0, HAS, CLONE_NEWPID, ALSO, "hides processes from init"},
    {"clone", 0, HAS, CLONE_NEWNET, ALSO, "a network nobody watches"},
    {"clone", 0, HAS, CLONE_NEWIPC, ALSO, "more kernel surface"},
    {"clone", 0, HAS, CLONE_NEWUTS, ALSO, "likewise"},
    {"clone", 0, HAS, CLONE_NEWCGROUP, ALSO, "likewise; CLONE_NEWTIME is a signal's bit in clone(2)"},

    {"ioctl", 1, LOW, TIOCSTI, ALSO, "types into a terminal (CVE-2017-5226; all 64 bits: CVE-2019-10063)"},
    {"ioctl", 1, LOW, TIOCLINUX, ALSO, "pastes into a console"},
    {"ioctl", 1, LOW, TIOCSETD, ALSO, "loads a line discipline into the kernel (CVE-2017-2636)"},

    {"setpriority", 1, LOW, 1, ALSO, "init runs under the same uid, and must not be slowed down"},
    {"setpriority", 0, LOW, PRIO_USER, ALSO, "likewise: init is one of the user's"},
    {"ioprio_set", 1, LOW, 1, ALSO, "likewise"},
    {"ioprio_set", 0, LOW, IOPRIO_WHO_USER, ALSO, "likewise"},
    {"sched_setscheduler", 0, LOW, 1, ALSO, "likewise"},
    {"sched_setparam", 0, LOW, 1, ALSO, "likewise"},
    {"sched_setattr", 0, LOW, 1, ALSO, "likewise"},
    {"sched_setaffinity", 0, LOW, 1, ALSO, "likewise"},

    {"fcntl", 1, LOW, F_SETLEASE, ALSO, "whoever opens the file waits for the holder, on the host, too"},
    {"fcntl", 1, LOW, F_NOTIFY, ALSO, "the old way to watch directories; what it takes is counted by user"},

    {"seccomp", 1, HAS, SECCOMP_FILTER_FLAG_NEW_LISTENER, ALSO, "a listener of its own answers for a filter that has lost its reader"},

    {"prlimit64", 0, LOW, 1, false, 2, NE, 0, "init runs under the same uid; who lowers limits of its threads ends only its own sandbox"},

    {"setsockopt", 1, LOW, SOL_SOCKET, false, 2, LOW, SO_ATTACH_FILTER, "compiled code in one space for the machine (net.core.bpf_jit_limit)"},
    {"setsockopt", 1, LOW, SOL_SOCKET, false, 2, LOW, SO_ATTACH_REUSEPORT_CBPF, "likewise"},

    {"semget", 1, GT, 128, ALSO, "a set is kernel memory of no process; databases ask for some twenty"},

    {"socketpair", 0, NE, AF_UNIX, ALSO, "no other family has use for pairs"},
    {"socket", 0, EQ, AF_UNIX, false, 1, KIND, SOCK_DGRAM, "sendmsg names its peer in memory: nobody could tell which"},
    {"socket", 0, EQ, AF_UNIX, false, 1, KIND, SOCK_RAW, "the kernel makes a datagram socket of it"},
    {"socketpair", 1, KIND, SOCK_DGRAM, ALSO, "likewise: a pair's end can send elsewhere, too"},
    {"socketpair", 1, KIND, SOCK_RAW, ALSO, "likewise"},
    {"socket", 0, EQ, AF_UNSPEC, ALSO, "means nothing"},
    {"socket", 0, EQ, AF_AX25, ALSO, "radio; a protocol nobody audits"},
    {"socket", 0, EQ, AF_IPX, ALSO, "dead, and so not audited"},
    {"socket", 0, EQ, AF_APPLETALK, ALSO, "likewise"},
    {"socket", 0, EQ, AF_NETROM, ALSO, "likewise"},
    {"socket", 0, EQ, AF_BRIDGE, ALSO, "likewise"},
    {"socket", 0, EQ, AF_ATMPVC, ALSO, "likewise"},
    {"socket", 0, EQ, AF_X25, ALSO, "likewise"},
    {"socket", 0, EQ, AF_ROSE, ALSO, "likewise"},
    {"socket", 0, EQ, AF_DECnet, ALSO, "likewise"},
    {"socket", 0, EQ, AF_NETBEUI, ALSO, "likewise"},
    {"socket", 0, EQ, AF_SECURITY, ALSO, "likewise"},
    {"socket", 0, EQ, AF_KEY, ALSO, "IPsec keys"},
    {"socket", 0, GT, AF_NETLINK, ALSO, "packet, vsock, alg, xdp, can, bluetooth and what comes after"},
    {"socket", 0, EQ, AF_NETLINK, false, 2, NE, NETLINK_ROUTE, "netlink is for getifaddrs(3) only"},

    {"personality", 0, EQ, PER_LINUX, ONLY, "the normal one"},
    {"personality", 0, EQ, UNAME26, ONLY, "old programs that parse version numbers"},
    {"personality", 0, EQ, ADDR_NO_RANDOMIZE, ONLY, "debuggers, for their own children"},
    {"personality", 0, EQ, 0xffffffff, ONLY, "only asks"},
};

const struct syscall_argument syscall_modes[] = {
    {"chmod", 1, HAS, S_ISUID, ALSO, "in a bound directory it would be setuid outside, as the owner"},
    {"fchmod", 1, HAS, S_ISUID, ALSO, "likewise (a write takes the bit away, so open's mode gives none)"},
    {"fchmodat", 2, HAS, S_ISUID, ALSO, "likewise"},
    {"chmod", 1, HAS, S_ISGID | S_IXGRP, ALSO, "likewise setgid; a directory cannot be told from a program here"},
    {"fchmod", 1, HAS, S_ISGID | S_IXGRP, ALSO, "likewise"},
    {"fchmodat", 2, HAS, S_ISGID | S_IXGRP, ALSO, "likewise"},
};
/* clang-format on */

const char syscall_of_guard[] =
    /* asking and answering */
    "ioctl poll ppoll write close close_range "
    /* what the caller means */
    "pidfd_open pidfd_getfd process_vm_readv openat openat2 read statx newfstatat fstat fcntl "
    "getsockopt "
    /* in its place */
    "connect bind fchdir umask flock fstatfs statfs lseek "
    /* threads of its own, and what a C library and its sanitizers do in them */
    "clone clone3 futex set_robust_list rseq rt_sigprocmask rt_sigreturn tgkill gettid getpid exit "
    "exit_group mmap munmap mprotect madvise brk sigaltstack sched_yield clock_gettime "
    "clock_nanosleep prctl restart_syscall";

const size_t syscall_n_lines = ARRAY_LEN(syscall_lines);
const size_t syscall_n_arguments = ARRAY_LEN(syscall_arguments);
const size_t syscall_n_modes = ARRAY_LEN(syscall_modes);
