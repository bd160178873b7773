/* test_seccomp.c - the system call tables, and the filter made from them as the kernel applies it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <asm/ioctls.h>
#include <errno.h>
#include <linux/netlink.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "base/err.h"
#include "base/map.h"
#include "sandbox/seccomp.h"
#include "sandbox/syscalls.h"

static void tables_are_sane(void **state)
{
    (void)state;
    struct map seen;
    map_init(&seen);
    char name[64];
    size_t n = 0;
    for (size_t pos = 0; seccomp_table_next(&pos, name); n++)
        if (map_put(&seen, name, &seen))
            fail_msg("%s is in the tables twice", name);
    assert_true(n > 250);
    map_done(&seen);
    for (size_t i = 0; i < syscall_n_lines; i++) /* every line has names and a reason */
        if (!syscall_lines[i].names[0] || !syscall_lines[i].why[0] ||
            strstr(syscall_lines[i].names, "  "))
            fail_msg("line %zu (%s) of the table is not whole", i, syscall_lines[i].names);
    for (size_t i = 0; i < syscall_n_arguments; i++)
        assert_true(syscall_arguments[i].why[0] && seccomp_allows(syscall_arguments[i].name));
    /* What must never slip in, whatever is added to the tables. */
    static const char *const never[] = {
        "mount",
        "umount2",
        "pivot_root",
        "chroot",
        "open_tree",
        "move_mount",
        "fsopen",
        "fsmount",
        "mount_setattr",
        "unshare",
        "setns",
        "clone3",
        "bpf",
        "perf_event_open",
        "userfaultfd",
        "keyctl",
        "add_key",
        "request_key",
        "io_uring_setup",
        "io_uring_enter",
        "kexec_load",
        "kexec_file_load",
        "init_module",
        "finit_module",
        "delete_module",
        "open_by_handle_at",
        "process_vm_readv",
        "process_vm_writev",
        "pidfd_getfd",
        "kcmp",
        "reboot",
        "swapon",
        "iopl",
        "ioperm",
        "syslog",
        "settimeofday",
        "clock_settime",
        "fanotify_init",
        "quotactl",
        "acct",
    };
    for (size_t i = 0; i < ARRAY_LEN(never); i++)
        if (seccomp_allows(never[i]))
            fail_msg("%s is allowed", never[i]);
    static const char *const always[] = {"read",         "openat",       "execve",
                                         "clone",        "exit_group",   "futex",
                                         "poll",         "wait4",        "kill",
                                         "rt_sigaction", "rt_sigreturn", "restart_syscall"};
    for (size_t i = 0; i < ARRAY_LEN(always); i++)
        if (!seccomp_allows(always[i]))
            fail_msg("%s is not allowed", always[i]);
}

/* One call under the filter and the errno it must give; 0: anything but EPERM and ENOSYS. */
static const struct probe {
    const char *what;
    long nr, a, b, c;
    int want;
} probes[] = {
    {"getpid", SYS_getpid, 0, 0, 0, 0},
    {"unshare(CLONE_NEWUSER)", SYS_unshare, CLONE_NEWUSER, 0, 0, EPERM},
    {"clone(CLONE_NEWUSER)", SYS_clone, CLONE_NEWUSER, 0, 0, EPERM},
    {"clone(CLONE_NEWNS|SIGCHLD)", SYS_clone, CLONE_NEWNS | 17, 0, 0, EPERM},
    {"clone with garbage above 32 bits", SYS_clone, CLONE_NEWNET | (1L << 40), 0, 0, EPERM},
    {"clone3", SYS_clone3, 0, 0, 0, ENOSYS},
    {"mount", SYS_mount, 0, 0, 0, EPERM},
    {"fsopen", SYS_fsopen, 0, 0, 0, EPERM},
    {"bpf", SYS_bpf, 0, 0, 0, EPERM},
    {"keyctl", SYS_keyctl, 0, 0, 0, EPERM},
    {"io_uring_setup", SYS_io_uring_setup, 0, 0, 0, ENOSYS},
    {"userfaultfd", SYS_userfaultfd, 0, 0, 0, EPERM},
    {"pidfd_getfd", SYS_pidfd_getfd, 0, 0, 0, EPERM},
    {"a call of the future", 9999, 0, 0, 0, ENOSYS},
    {"ioctl(TIOCSTI)", SYS_ioctl, -1, TIOCSTI, 0, EPERM},
    {"ioctl(TIOCSTI) with the upper half set", SYS_ioctl, -1, TIOCSTI | (1L << 32), 0, EPERM},
    {"ioctl(TIOCLINUX) with the sign extended", SYS_ioctl, -1,
     (long)(0xffffffff00000000ul | TIOCLINUX), 0, EPERM},
    {"ioctl(FIONREAD)", SYS_ioctl, -1, FIONREAD, 0, EBADF},
    {"chmod(4755)", SYS_chmod, 0, 04755, 0, EPERM},
    {"fchmod(6755) with garbage above", SYS_fchmod, -1, 06755 | (1L << 33), 0, EPERM},
    {"fchmodat(2755)", SYS_fchmodat, -100, 0, 02755, EPERM},
    {"chmod(0755)", SYS_chmod, 0, 0755, 0, EFAULT},
    {"chmod(1777)", SYS_chmod, 0, 01777, 0, EFAULT},
    {"socket(AF_UNIX)", SYS_socket, AF_UNIX, SOCK_STREAM, 0, 0},
    {"socket(AF_INET6)", SYS_socket, AF_INET6, SOCK_STREAM, 0, 0},
    {"socket(AF_NETLINK, NETLINK_ROUTE)", SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, 0},
    {"socket(AF_NETLINK, NETLINK_NETFILTER)", SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER,
     EPERM},
    {"socket(AF_NETLINK, garbage | ROUTE)", SYS_socket, AF_NETLINK, SOCK_RAW, 1L << 32, EPERM},
    {"socket(AF_PACKET)", SYS_socket, AF_PACKET, SOCK_RAW, 0, EPERM},
    {"socket(AF_VSOCK)", SYS_socket, AF_VSOCK, SOCK_STREAM, 0, EPERM},
    {"socket(AF_ALG)", SYS_socket, AF_ALG, SOCK_SEQPACKET, 0, EPERM},
    {"socket(AF_AX25)", SYS_socket, AF_AX25, SOCK_STREAM, 0, EPERM},
    {"socket(garbage | AF_VSOCK)", SYS_socket, AF_VSOCK | (1L << 32), SOCK_STREAM, 0, EPERM},
    {"socketpair(AF_TIPC)", SYS_socketpair, AF_TIPC, SOCK_STREAM, 0, EPERM},
    {"personality(ask)", SYS_personality, 0xffffffff, 0, 0, 0},
    {"personality(READ_IMPLIES_EXEC)", SYS_personality, 0x0400000, 0, 0, ENOSYS},
#ifdef __x86_64__
    {"getpid of x32", 0x40000000 | SYS_getpid, 0, 0, 0, ENOSYS},
#endif
};

static void kernel_applies_them(void **state)
{
    (void)state;
    struct err e;
    struct seccomp_filter *f = seccomp_filter_new(&e);
    assert_non_null(f);
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int got[ARRAY_LEN(probes)] = {0};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_filter_install(f) < 0)
            _exit(1);
        for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
            errno = 0;
            long r = syscall(probes[i].nr, probes[i].a, probes[i].b, probes[i].c, 0, 0);
            got[i] = r < 0 ? errno : 0;
        }
        _exit(write(fds[1], got, sizeof(got)) == (ssize_t)sizeof(got) ? 0 : 2);
    }
    close(fds[1]);
    int got[ARRAY_LEN(probes)];
    assert_int_equal(read(fds[0], got, sizeof(got)), (ssize_t)sizeof(got));
    close(fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
        bool ok = probes[i].want ? got[i] == probes[i].want : got[i] != EPERM && got[i] != ENOSYS;
        if (!ok)
            fail_msg("%s gave %s", probes[i].what, got[i] ? strerror(got[i]) : "success");
    }
    seccomp_filter_free(f);
}

#ifdef __x86_64__
/* The 32-bit entry: the same number means another call there, so none may pass. */
static void foreign_entry_is_shut(void **state)
{
    (void)state;
    struct err e;
    struct seccomp_filter *f = seccomp_filter_new(&e);
    assert_non_null(f);
    pid_t pid = fork();
    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_filter_install(f) < 0)
            _exit(1);
        long r;
        __asm__ volatile("int $0x80"
                         : "=a"(r)
                         : "a"(20)
                         : "memory", "r8", "r9", "r10", "r11"); /* getpid */
        _exit(r == -ENOSYS ? 0 : 2);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    /* A kernel without the 32-bit entry raises a signal instead, which is as good. */
    assert_true(status == 0 || WIFSIGNALED(status));
    seccomp_filter_free(f);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_sane),
        cmocka_unit_test(kernel_applies_them),
#ifdef __x86_64__
        cmocka_unit_test(foreign_entry_is_shut),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
