/* test_seccomp.c - the system call tables, and the filter made from them as the
 * kernel applies it. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
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
#include "sandbox/guard/guard.h"
#include "sandbox/init/report.h"
#include "sandbox/lock/filter_made.h"
#include "sandbox/lock/seccomp.h"
#include "sandbox/lock/seccomp_compile.h"
#include "sandbox/lock/syscalls.h"

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
    for (size_t i = 0; i < syscall_n_modes; i++)
        assert_true(syscall_modes[i].why[0] && seccomp_allows(syscall_modes[i].name));
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
    {"ioctl(TIOCSETD)", SYS_ioctl, -1, TIOCSETD, 0, EPERM},
    /* About process 1; the kernel would refuse them for another reason, or change nothing. */
    {"setpriority(init)", SYS_setpriority, 9, 1, 0, EPERM},
    {"setpriority(of a user)", SYS_setpriority, 2, 0x7ffffff0, 0, EPERM},
    {"setpriority(of nobody)", SYS_setpriority, 9, 2, 0, EINVAL},
    {"ioprio_set(init)", SYS_ioprio_set, 9, 1 | (1L << 32), 0, EPERM},
    {"ioprio_set(of a user)", SYS_ioprio_set, 3, 0x7ffffff0, -1, EPERM},
    {"sched_setscheduler(init)", SYS_sched_setscheduler, 1, -1, 0, EPERM},
    {"sched_setscheduler(itself)", SYS_sched_setscheduler, 0, -1, 0, EINVAL},
    {"sched_setparam(init)", SYS_sched_setparam, 1, 0, 0, EPERM},
    {"sched_setattr(init)", SYS_sched_setattr, 1, 0, 0, EPERM},
    {"sched_setaffinity(init)", SYS_sched_setaffinity, 1, 0, 0, EPERM},
    {"prlimit64(init, set)", SYS_prlimit64, 1, 7, 1, EPERM},
    {"prlimit64(init, set) with garbage above", SYS_prlimit64, 1 | (1L << 32), 7, 1, EPERM},
    {"prlimit64(another, set)", SYS_prlimit64, 0x7ffffff0, 7, 0x1000, EFAULT},
    {"prlimit64(another, get)", SYS_prlimit64, 0x7ffffff0, 7, 0, ESRCH},
    {"seccomp(a filter with a listener)", SYS_seccomp, 1, 1 << 3, 0, EPERM},
    {"seccomp(a filter)", SYS_seccomp, 1, 0, 0, EFAULT},
    {"ioctl(FIONREAD)", SYS_ioctl, -1, FIONREAD, 0, EBADF},
    {"chmod(4755)", SYS_chmod, 0, 04755, 0, EPERM},
    {"fchmod(6755) with garbage above", SYS_fchmod, -1, 06755 | (1L << 33), 0, EPERM},
    {"fchmodat(2755)", SYS_fchmodat, -100, 0, 02755, EPERM},
    {"chmod(0755)", SYS_chmod, 0, 0755, 0, EFAULT},
    {"chmod(1777)", SYS_chmod, 0, 01777, 0, EFAULT},
    {"socket(AF_UNIX)", SYS_socket, AF_UNIX, SOCK_STREAM, 0, 0},
    {"socket(AF_UNIX, SEQPACKET)", SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, 0},
    {"socket(AF_UNIX, DGRAM)", SYS_socket, AF_UNIX, SOCK_DGRAM, 0, EPERM},
    {"socket(AF_UNIX, DGRAM with flags)", SYS_socket, AF_UNIX,
     SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, EPERM},
    {"socket(AF_UNIX, RAW)", SYS_socket, AF_UNIX, SOCK_RAW, 0, EPERM},
    {"socket(AF_UNIX, DGRAM with garbage above)", SYS_socket, AF_UNIX, SOCK_DGRAM | (1L << 32), 0,
     EPERM},
    {"socket(garbage | AF_UNIX, DGRAM)", SYS_socket, AF_UNIX | (1L << 32), SOCK_DGRAM, 0, EPERM},
    {"socket(AF_INET, DGRAM)", SYS_socket, AF_INET, SOCK_DGRAM, 0, 0},
    {"socketpair(AF_UNIX, DGRAM)", SYS_socketpair, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, EPERM},
    {"socketpair(AF_UNIX, RAW)", SYS_socketpair, AF_UNIX, SOCK_RAW, 0, EPERM},
    {"socketpair(AF_UNIX, STREAM)", SYS_socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, EFAULT},
    {"fcntl(F_SETLEASE)", SYS_fcntl, -1, F_SETLEASE, F_RDLCK, EPERM},
    {"fcntl(F_SETLEASE) with garbage above", SYS_fcntl, -1, F_SETLEASE | (1L << 32), 0, EPERM},
    {"fcntl(F_NOTIFY)", SYS_fcntl, -1, F_NOTIFY, 0, EPERM},
    {"fcntl(F_GETFD)", SYS_fcntl, -1, F_GETFD, 0, EBADF},
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

#define PROBES_MAX 128

/* The probes under a filter that does `what`. */
static void probe_all(unsigned what, const struct probe *list, size_t n)
{
    struct err e;
    struct seccomp_filter *f = seccomp_filter_new(what, &e);
    assert_non_null(f);
    assert_true(n <= PROBES_MAX);
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int got[PROBES_MAX] = {0};
        int listener;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_filter_install(f, &listener) < 0)
            _exit(1);
        for (size_t i = 0; i < n; i++) {
            errno = 0;
            long r = syscall(list[i].nr, list[i].a, list[i].b, list[i].c, 0, 0);
            got[i] = r < 0 ? errno : 0;
        }
        _exit(write(fds[1], got, sizeof(got)) == (ssize_t)sizeof(got) ? 0 : 2);
    }
    close(fds[1]);
    int got[PROBES_MAX];
    assert_int_equal(read(fds[0], got, sizeof(got)), (ssize_t)sizeof(got));
    close(fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (size_t i = 0; i < n; i++) {
        bool ok = list[i].want ? got[i] == list[i].want : got[i] != EPERM && got[i] != ENOSYS;
        if (!ok)
            fail_msg("%s gave %s", list[i].what, got[i] ? strerror(got[i]) : "success");
    }
    seccomp_filter_free(f);
}

static void kernel_applies_them(void **state)
{
    (void)state;
    probe_all(SECCOMP_HOST_FILES, probes, ARRAY_LEN(probes));
}

/* Where nothing of the host can be written the kernel decides about modes. */
static void modes_are_free_in_private_file_systems(void **state)
{
    (void)state;
    static const struct probe modes[] = {
        {"chmod(4755)", SYS_chmod, 0, 04755, 0, EFAULT},
        {"chmod(2775)", SYS_chmod, 0, 02775, 0, EFAULT},
        {"fchmod(6755)", SYS_fchmod, -1, 06755, 0, EBADF},
        {"fchmodat(2755)", SYS_fchmodat, -100, 0, 02755, EFAULT},
        {"ioctl(TIOCSTI)", SYS_ioctl, -1, TIOCSTI, 0, EPERM}, /* the rest holds */
    };
    probe_all(0, modes, ARRAY_LEN(modes));
}

#ifdef __x86_64__
/* The 32-bit entry: the same number means another call there, so none may pass. */
static void foreign_entry_is_shut(void **state)
{
    (void)state;
    struct err e;
    struct seccomp_filter *f = seccomp_filter_new(SECCOMP_HOST_FILES, &e);
    assert_non_null(f);
    pid_t pid = fork();
    if (pid == 0) {
        int listener;
        (void)signal(SIGSEGV, SIG_DFL); /* cmocka's would go on with its tests in here */
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_filter_install(f, &listener) < 0)
            _exit(1);
        long r;
        /* 20 is getpid there. */
        __asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
        _exit(r == -ENOSYS ? 0 : 2);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    /* A kernel without the 32-bit entry raises a signal instead, which is as good. */
    assert_true(status == 0 || WIFSIGNALED(status));
    seccomp_filter_free(f);
}
#endif

/* A filter that reports gives the same answers, and tells of each. */
static void reporting_changes_nothing(void **state)
{
    (void)state;
    struct err e;
    struct seccomp_filter *f = seccomp_filter_new(SECCOMP_REPORTS | SECCOMP_HOST_FILES, &e);
    assert_non_null(f);
    int fds[2], pair[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int got[ARRAY_LEN(probes)] = {0}, notes = -1;
        char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 'x';
        struct iovec iov = {&byte, 1};
        struct msghdr mh = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof(control)};
        struct sandbox_spec spec;
        sandbox_spec_init(&spec);
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            guard_begin(&spec, f, false, &notes, &e) < 0)
            _exit(1);
        struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &notes, sizeof(int));
        if (notes < 0 || sendmsg(pair[1], &mh, 0) != 1)
            _exit(2);
        close(notes);
        for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
            errno = 0;
            long r = syscall(probes[i].nr, probes[i].a, probes[i].b, probes[i].c, 0, 0, 0);
            got[i] = r < 0 ? errno : 0;
        }
        struct sockaddr_in to = {
            .sin_family = AF_INET, .sin_port = htons(443), .sin_addr.s_addr = htonl(0xc0000201)};
        int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        (void)!connect(s, (struct sockaddr *)&to, sizeof(to));
        (void)!sendto(s, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
        _exit(write(fds[1], got, sizeof(got)) == sizeof(got) ? 0 : 3);
    }
    close(fds[1]);
    close(pair[1]);
    char control[CMSG_SPACE(sizeof(int))], byte;
    struct iovec iov = {&byte, 1};
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control,
                        .msg_controllen = sizeof(control)};
    assert_int_equal(recvmsg(pair[0], &mh, MSG_CMSG_CLOEXEC), 1);
    int notes;
    memcpy(&notes, CMSG_DATA(CMSG_FIRSTHDR(&mh)), sizeof(int));
    struct report report;
    report_init(&report, notes, false);
    int got[ARRAY_LEN(probes)];
    for (;;) {
        struct pollfd p[2] = {{.fd = notes, .events = POLLIN}, {.fd = fds[0], .events = POLLIN}};
        assert_true(poll(p, 2, 20000) > 0);
        if (p[0].revents & POLLIN)
            report_read(&report);
        if (p[1].revents)
            break;
    }
    report_read(&report);
    assert_int_equal(read(fds[0], got, sizeof(got)), sizeof(got));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    size_t refused = 0;
    for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
        refused += probes[i].want == EPERM;
        if (probes[i].want ? got[i] != probes[i].want : got[i] == EPERM || got[i] == ENOSYS)
            fail_msg("%s gave %d", probes[i].what, got[i]);
    }
    AUTO_JSON json_t *o = report_json(&report);
    json_t *calls = json_object_get(o, "calls"), *line;
    size_t i, seen = 0;
    json_array_foreach (calls, i, line)
        seen += (size_t)json_get_int(line, "count", 0);
    assert_int_equal(seen, refused);
    json_t *first = json_array_get(json_object_get(o, "network"), 0);
    assert_string_equal(json_get_str(first, "address"), "192.0.2.1:443");
    assert_int_equal(json_get_int(first, "count", 0), 2);
    report_done(&report);
    close(fds[0]);
    close(pair[0]);
    seccomp_filter_free(f);
}

/* Without anybody at the listener refused calls fail all the same. */
static void a_lost_listener_opens_nothing(void **state)
{
    (void)state;
    struct err e;
    struct seccomp_filter *f = seccomp_filter_new(SECCOMP_REPORTS | SECCOMP_HOST_FILES, &e);
    assert_non_null(f);
    pid_t pid = fork();
    if (pid == 0) {
        int listener = -1;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_filter_install(f, &listener) < 0)
            _exit(1);
        close(listener);
        for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
            errno = 0;
            long r = syscall(probes[i].nr, probes[i].a, probes[i].b, probes[i].c, 0, 0, 0);
            bool forbidden = probes[i].want == EPERM || probes[i].want == ENOSYS;
            if (forbidden && (r >= 0 || (errno != EPERM && errno != ENOSYS)))
                _exit(10 + (int)i);
        }
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    seccomp_filter_free(f);
}

static void only_addresses_outside_are_reported_with_their_port(void **state)
{
    (void)state;
    static const struct {
        int family;
        const char *address;
        unsigned port;
        const char *want;
        bool doors;
    } table[] = {
        {AF_INET, "192.0.2.1", 443, "192.0.2.1:443", false},
        {AF_INET, "127.0.0.1", 80, NULL, false},
        {AF_INET, "127.8.8.8", 53, "127.8.8.8:53", false},
        {AF_INET, "0.0.0.0", 80, NULL, false},
        {AF_INET6, "2001:db8::1", 443, "[2001:db8::1]:443", false},
        {AF_INET6, "::1", 443, NULL, false},
        {AF_INET6, "::", 443, NULL, false},
        {AF_INET6, "::ffff:192.0.2.7", 22, "192.0.2.7:22", false},
        {AF_INET6, "::ffff:127.0.0.1", 22, NULL, false},
        {AF_INET, "198.18.0.1", 443, "198.18.0.1:443", false},
        {AF_INET, "198.18.0.1", 443, NULL, true}, /* leads to a door */
        {AF_INET6, "fd73:616c:6c79::1", 443, NULL, true},
        {AF_INET, "127.0.0.1", 53, NULL, true}, /* is answered */
        {AF_INET6, "::1", 53, NULL, true},
        {AF_INET, "198.20.0.1", 443, "198.20.0.1:443", true},
        {AF_INET6, "fd73:616c:6c79:1::1", 1, "[fd73:616c:6c79:1::1]:1", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)table[i].port)};
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
                                   .sin6_port = htons((uint16_t)table[i].port)};
        bool four = table[i].family == AF_INET;
        assert_int_equal(inet_pton(table[i].family, table[i].address,
                                   four ? (void *)&in.sin_addr : (void *)&in6.sin6_addr),
                         1);
        AUTO_FREE char *text = report_address(four ? (void *)&in : (void *)&in6,
                                              four ? sizeof(in) : sizeof(in6), table[i].doors);
        if (table[i].want)
            assert_string_equal(text, table[i].want);
        else
            assert_null(text);
        AUTO_FREE char *cut = report_address(four ? (void *)&in : (void *)&in6, 7, false);
        assert_null(cut);
    }
    struct sockaddr local = {.sa_family = AF_UNIX};
    assert_null(report_address(&local, sizeof(local), false));
    assert_null(report_address(&local, 1, false));
}

/* What was compiled when the program was built is what the tables say now. */
static void the_built_filters_are_those_of_the_tables(void **state)
{
    (void)state;
    for (unsigned what = 0; what < FILTERS_MADE; what++) {
        struct err e = {.code = 0};
        struct filter_made now;
        assert_true(seccomp_compile(what, &now, &e) >= 0);
        const struct filter_made *made = filter_made_find(what);
        assert_non_null(made);
        assert_int_equal(now.calls.n, made->calls.n);
        assert_int_equal(now.exceptions.n, made->exceptions.n);
        const size_t each = sizeof(now.calls.code[0]);
        assert_memory_equal(now.calls.code, made->calls.code, now.calls.n * each);
        assert_memory_equal(now.exceptions.code, made->exceptions.code, now.exceptions.n * each);
        assert_int_equal(now.guard.n, made->guard.n);
        assert_memory_equal(now.guard.code, made->guard.code, now.guard.n * each);
        seccomp_compile_free(&now);
    }
    struct err e = {.code = 0};
    assert_null(seccomp_filter_new(FILTERS_MADE, &e));
    assert_int_equal(e.code, -ENOTSUP);
}

static void calls_have_their_names(void **state)
{
    (void)state;
    for (int nr = -1; nr < 2048; nr++) {
        AUTO_FREE char *name = seccomp_name(nr), *here = nr < 0 ? NULL : seccomp_compile_name(nr),
                       *number = mem_printf("number %d", nr);
        assert_string_equal(name, here ? here : number);
    }
    AUTO_FREE char *read_name = seccomp_name(SYS_read), *clone3_name = seccomp_name(SYS_clone3);
    assert_string_equal(read_name, "read");
    assert_string_equal(clone3_name, "clone3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_sane),
        cmocka_unit_test(the_built_filters_are_those_of_the_tables),
        cmocka_unit_test(calls_have_their_names),
        cmocka_unit_test(kernel_applies_them),
        cmocka_unit_test(modes_are_free_in_private_file_systems),
        cmocka_unit_test(reporting_changes_nothing),
        cmocka_unit_test(a_lost_listener_opens_nothing),
        cmocka_unit_test(only_addresses_outside_are_reported_with_their_port),
#ifdef __x86_64__
        cmocka_unit_test(foreign_entry_is_shut),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
