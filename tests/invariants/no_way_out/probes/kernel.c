/* kernel.c - parts of the kernel that a sandbox has no business with.
 *
 * Each is large, reachable without privileges on many systems, and has been the way out more than
 * once. Arguments are valid as far as they can be, so that a policy that let the call through would
 * show. */
#include "probe.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <sys/prctl.h>
#include <unistd.h>

static void io_uring(void)
{
    struct io_uring_params p = {.flags = 0};
    long fd = refused_call("io_uring_setup", SYS_io_uring_setup, 4, (long)&p, 0, 0, 0);
    /* Without a ring: the kernel's own answer to a bad descriptor would be EBADF. */
    refused_call("io_uring_enter", SYS_io_uring_enter, fd, 0, 0, 0, 0);
    refused_call("io_uring_register", SYS_io_uring_register, fd, 0, 0, 0, 0);
}

static void bpf_calls(void)
{
    union bpf_attr a = {
        .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    refused_call("map", SYS_bpf, BPF_MAP_CREATE, (long)&a, sizeof(a), 0, 0);
    struct bpf_insn two[] = {{.code = 0xb7}, {.code = 0x95}}; /* r0 = 0; exit */
    union bpf_attr prog = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
                           .insn_cnt = 2,
                           .insns = (uint64_t)(uintptr_t)two,
                           .license = (uint64_t)(uintptr_t) "GPL"};
    refused_call("program", SYS_bpf, BPF_PROG_LOAD, (long)&prog, sizeof(prog), 0, 0);
    union bpf_attr get = {.start_id = 0};
    refused_call("next program", SYS_bpf, BPF_PROG_GET_NEXT_ID, (long)&get, sizeof(get), 0, 0);
}

static void perf(void)
{
    struct perf_event_attr a = {.type = PERF_TYPE_SOFTWARE,
                                .size = sizeof(a),
                                .config = PERF_COUNT_SW_CPU_CLOCK,
                                .exclude_kernel = 1};
    refused_call("own counter", SYS_perf_event_open, (long)&a, 0, -1, -1, 0);
    a.exclude_kernel = 0;
    refused_call("of a cpu", SYS_perf_event_open, (long)&a, -1, 0, -1, 0);
    a.type = PERF_TYPE_TRACEPOINT;
    refused_call("tracepoint", SYS_perf_event_open, (long)&a, 0, -1, -1, 0);
}

static void faults(void)
{
    refused_call("userfaultfd", SYS_userfaultfd, O_CLOEXEC, 0, 0, 0, 0);
    refused_call("user mode only", SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY, 0, 0, 0, 0);
    refused_open("/dev/userfaultfd", O_RDWR);
}

static void keys(void)
{
    refused_call("add_key", SYS_add_key, (long)"user", (long)"no-way-out", (long)"x", 1, -3);
    refused_call("request_key", SYS_request_key, (long)"user", (long)"no-way-out", (long)"x", -3,
                 0);
    refused_call("session keyring", SYS_keyctl, 0, -3, 0, 0, 0);
    refused_call("user keyring", SYS_keyctl, 0, -4, 0, 0, 0);
    refused_call("describe", SYS_keyctl, 6, -3, 0, 0, 0);
    refused_call("persistent", SYS_keyctl, 22, -1, -3, 0, 0);
    refused_call("join parent's", SYS_keyctl, 18, 0, 0, 0, 0);
}

static void fanotify(void)
{
    long fd = refused_call("fanotify_init", SYS_fanotify_init, 0x200 /* FAN_REPORT_FID */, O_RDONLY,
                           0, 0, 0);
    refused_call("permission class", SYS_fanotify_init, 4, O_RDONLY, 0, 0, 0);
    refused_call("mark of the mount", SYS_fanotify_mark, fd, 0x11, 0x2, AT_FDCWD, (long)"/");
}

static void modules(void)
{
    refused_call("init_module", SYS_init_module, (long)"", 0, (long)"", 0, 0);
    int fd = memfd_create("module", MFD_CLOEXEC);
    refused_call("finit_module", SYS_finit_module, fd, (long)"", 0, 0, 0);
    refused_call("delete_module", SYS_delete_module, (long)"no_such", O_NONBLOCK, 0, 0, 0);
}

static void kexec(void)
{
    refused_call("kexec_load", SYS_kexec_load, 0, 0, 0, 0, 0);
    refused_call("kexec_file_load", SYS_kexec_file_load, -1, -1, 0, 0, 0x4 /* no initramfs */);
}

#ifdef __x86_64__
static sigjmp_buf no_entry;

static void on_no_entry(int signal)
{
    siglongjmp(no_entry, signal);
}
#endif

/* What a filter for one table of calls forgets: two more. A kernel without the first of them raises
 * SIGSEGV at the instruction, filter or not. */
static void other_tables(void)
{
#ifdef __x86_64__
    struct sigaction a = {.sa_handler = on_no_entry};
    if (sigaction(SIGSEGV, &a, NULL) < 0)
        unable("sigaction");
    if (sigsetjmp(no_entry, 1) != 0) {
        not_applicable("no second table on this machine");
        return;
    }
    static const struct {
        const char *what;
        int number; /* of i386 */
    } calls[] = {{"getpid", 20},  {"mount", 21}, {"ptrace", 26},         {"unshare", 310},
                 {"keyctl", 288}, {"bpf", 357},  {"io_uring_setup", 425}};
    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
        long r = calls[i].number;
        __asm__ volatile("int $0x80"
                         : "+a"(r)
                         : "b"(0), "c"(0), "d"(0), "S"(0), "D"(0)
                         : "memory", "r8", "r9", "r10", "r11");
        errno = r < 0 ? (int)-r : 0;
        refused(calls[i].what, r < 0 ? -1 : r, NO_CALL);
    }
#else
    not_applicable("no second table on this machine");
#endif
}

static void x32(void)
{
#ifdef __x86_64__
    refused_call("getpid", 0x40000000 | SYS_getpid, 0, 0, 0, 0, 0);
    refused_call("mount", 0x40000000 | SYS_mount, 0, 0, 0, 0, 0);
    refused_call("unshare", 0x40000000 | SYS_unshare, 0x10000000, 0, 0, 0, 0);
    refused_call("ptrace of x32", 0x40000000 | 521, 0, 0, 0, 0, 0);
    refused_call("execve of x32", 0x40000000 | 520, 0, 0, 0, 0, 0);
#else
    not_applicable("no x32 on this machine");
#endif
}

static void persona(void)
{
    static const struct {
        const char *what;
        unsigned long p;
    } kinds[] = {{"READ_IMPLIES_EXEC", READ_IMPLIES_EXEC},
                 {"MMAP_PAGE_ZERO", MMAP_PAGE_ZERO},
                 {"ADDR_COMPAT_LAYOUT", ADDR_COMPAT_LAYOUT},
                 {"PER_LINUX32", PER_LINUX32},
                 {"PER_SVR4", PER_SVR4},
                 {"ADDR_LIMIT_3GB", ADDR_LIMIT_3GB}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        long r = syscall(SYS_personality, kinds[i].p);
        refused(kinds[i].what, r, NO_CALL);
        if (r >= 0)
            syscall(SYS_personality, 0);
    }
}

static void filter_stays(void)
{
    must(prctl(PR_GET_SECCOMP) == 2, "filter mode");
    refused("strict instead", prctl(PR_SET_SECCOMP, 1), EINVAL, EPERM, 0);
    refused("none instead", prctl(PR_SET_SECCOMP, 0), EINVAL, EPERM, 0);
    refused("metadata of init's filter", syscall(SYS_ptrace, 0x420d, 1, 16, 0), ESRCH, EPERM, EIO,
            EINVAL, 0);
    refused("init's filter", syscall(SYS_ptrace, 0x420c, 1, 0, 0), ESRCH, EPERM, EACCES, EIO, 0);
    refused("set_mm", syscall(SYS_prctl, PR_SET_MM, PR_SET_MM_START_CODE, 0x400000, 0, 0), EPERM,
            EINVAL, 0);
}

/* A low page mapped turns a NULL pointer bug of the kernel into code execution. */
static void page_zero(void)
{
    void *p =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    refused("map page 0", p == MAP_FAILED ? -1 : 0, EPERM, EACCES, EINVAL, 0);
}

const struct probe kernel_probes[] = {
    {"io_uring", "CVE-2022-29582, CVE-2023-2598 and many more", "setup, enter, register",
     "not in the filter's table: ENOSYS", io_uring, 0},
    {"bpf", "CVE-2021-3490, CVE-2022-23222 (verifier)", "create a map, load a program, list them",
     "refused by the filter", bpf_calls, 0},
    {"perf", "CVE-2013-2094, CVE-2023-5717; side channels", "own, cpu-wide and tracepoint events",
     "refused by the filter", perf, 0},
    {"userfaultfd", "holding the kernel in the middle of a copy",
     "both kinds of the call, /dev/userfaultfd", "refused by the filter", faults, 0},
    {"keyrings", "CVE-2016-0728; keyrings are not namespaced",
     "add_key, request_key, five keyctl operations", "refused by the filter", keys, 0},
    {"fanotify", "watching files of the host", "unprivileged and permission groups, a mount mark",
     "refused by the filter", fanotify, 0},
    {"modules", "code of one's own in the kernel", "init_module, finit_module, delete_module",
     "refused by the filter; no CAP_SYS_MODULE", modules, 0},
    {"kexec", "another kernel", "kexec_load, kexec_file_load", "refused by the filter", kexec, 0},
    {"int80", "CVE-2009-0835: filters that know one table", "seven i386 calls by int 0x80",
     "ENOSYS for every call of another architecture", other_tables, 0},
    {"x32", "CVE-2014-0038; filters that know one table", "five x32 calls",
     "ENOSYS for every call of another architecture", x32, 0},
    {"personality", "weaker memory protection", "six personalities",
     "the filter allows four harmless ones", persona, 0},
    {"filter_stays", "taking the filter off", "other modes, PR_SET_MM, reading init's filter",
     "filters only add up", filter_stays, 0},
    {"page_zero", "NULL pointer bugs of the kernel", "map page zero",
     "vm.mmap_min_addr; no CAP_SYS_RAWIO", page_zero, 0},
    {.name = NULL},
};
