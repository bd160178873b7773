/* proc.c - what procfs gives away and what can be written through it.
 *
 * Most container escapes since 2016 went through /proc: the runtime's own executable, a masked path
 * that was not masked, a sysctl that names a program the kernel starts. Nothing is written here;
 * that a file opens for writing is enough. */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void init_files(void)
{
    static const char *const readable[] = {"environ", "maps",        "smaps",     "auxv",
                                           "io",      "stack",       "syscall",   "mem",
                                           "pagemap", "personality", "map_files", "numa_maps",
                                           "timers"};
    for (size_t i = 0; i < sizeof(readable) / sizeof(*readable); i++) {
        char path[64], text[64];
        snprintf(path, sizeof(path), "/proc/1/%s", readable[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            refused(path, fd, NO_FILE);
            continue;
        }
        /* Some check at the first read; what then comes is nothing, or a refusal. */
        ssize_t n =
            pread(fd, text, sizeof(text), strstr("mem pagemap", readable[i]) ? 0x400000 : 0);
        must(n <= 0, "%s opens, and gives %zd bytes", path, n);
        close(fd);
    }
    static const char *const writable[] = {"mem",  "clear_refs",      "oom_score_adj", "uid_map",
                                           "comm", "coredump_filter", "timens_offsets"};
    for (size_t i = 0; i < sizeof(writable) / sizeof(*writable); i++) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/1/%s", writable[i]);
        refused_open(path, O_WRONLY);
    }
    /* These open for everybody; the write asks who one is. */
    int fd = open("/proc/1/attr/current", O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        refused("attr/current", fd, NO_FILE);
    } else {
        refused("attr/current", write(fd, "x", 1), EACCES, EPERM, EINVAL, 0);
        close(fd);
    }
}

static void init_links(void)
{
    static const char *const links[] = {"/proc/1/root", "/proc/1/cwd", "/proc/1/exe",
                                        "/proc/1/ns/mnt", "/proc/1/task/1/root"};
    char text[512];
    for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
        refused(links[i], readlink(links[i], text, sizeof(text)), NO_FILE);
        int fd = open(links[i], O_RDONLY | O_CLOEXEC);
        refused("open", fd, NO_FILE);
        if (fd >= 0)
            close(fd);
    }
    refused_open("/proc/1/root/etc/passwd", O_RDONLY);
    refused_open("/proc/1/cwd/.", O_RDONLY | O_DIRECTORY);
}

static void init_fds(void)
{
    DIR *d = opendir("/proc/1/fd");
    if (!d) {
        refused("/proc/1/fd", -1, NO_FILE);
    } else {
        must(false, "/proc/1/fd can be listed");
        closedir(d);
    }
    for (int i = 0; i < 16; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/proc/1/fd/%d", i);
        refused_open(path, O_RDWR);
    }
    refused_open("/proc/1/fdinfo/3", O_RDONLY);
}

/* Where pid 1 is this very program, it gets an argument that ends it at once. */
static void execute_init(void)
{
    int p[2], code = 0;
    if (pipe2(p, O_CLOEXEC) < 0) {
        unable("pipe: %m");
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, 1);
        dup2(null, 2);
        char *const argv[] = {(char[]){"x"}, (char[]){"--nothing"}, NULL}, *const none[] = {NULL};
        execve("/proc/1/exe", argv, none);
        code = errno;
        (void)!write(p[1], &code, sizeof(code));
        _exit(1);
    }
    close(p[1]);
    ssize_t n = read(p[0], &code, sizeof(code));
    close(p[0]);
    waitpid(pid, NULL, 0);
    errno = code;
    refused("execve(/proc/1/exe)", n == (ssize_t)sizeof(code) ? -1 : 0, NO_FILE);
}

/* CVE-2019-5736: the runtime's executable, reached through a process that runs it, was overwritten
 * from inside. Init runs ours; bash runs the host's /usr/bin/bash; we run a read-only bind. */
static void overwrite_program(void)
{
    refused_open("/proc/1/exe", O_WRONLY | O_TRUNC);
    execute_init();
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        unable("/proc/self/exe: %m");
        return;
    }
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int w = open(path, O_WRONLY | O_CLOEXEC);
    refused("our own program, busy", w, ETXTBSY, EROFS, EACCES, EPERM, 0);
    snprintf(path, sizeof(path), "/proc/%d/exe", getppid());
    w = open(path, O_WRONLY | O_CLOEXEC);
    refused("our parent's program", w, ETXTBSY, EROFS, EACCES, EPERM, ENOENT, 0);
    for (pid_t pid = 2; pid < 10; pid++) {
        snprintf(path, sizeof(path), "/proc/%d/exe", pid);
        if ((w = open(path, O_WRONLY | O_CLOEXEC)) >= 0)
            must(false, "%s opens for writing", path);
    }
}

/* Not running any more: what a runtime's program is when its container goes on. */
static void overwrite_idle_program(void)
{
    static const char *const programs[] = {"/usr/bin/env", "/bin/sh", "/usr/bin/bash",
                                           "/opt/probes/probes"};
    for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++) {
        int fd = open(programs[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        char path[64];
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int w = open(path, O_WRONLY | O_CLOEXEC);
        if (w < 0)
            refused(programs[i], w, EROFS, EACCES, EPERM, ETXTBSY, 0);
        else
            host_decides("%s opened for writing; nothing written", programs[i]);
        close(fd);
    }
}

static void sysctls(void)
{
    static const char *const names[] = {"kernel/hostname",
                                        "kernel/domainname",
                                        "kernel/randomize_va_space",
                                        "kernel/panic",
                                        "kernel/sysrq",
                                        "kernel/ns_last_pid",
                                        "kernel/pid_max",
                                        "kernel/threads-max",
                                        "kernel/shmmax",
                                        "kernel/shmall",
                                        "kernel/msgmax",
                                        "kernel/sem",
                                        "kernel/overflowuid",
                                        "kernel/kptr_restrict",
                                        "kernel/dmesg_restrict",
                                        "kernel/perf_event_paranoid",
                                        "kernel/unprivileged_bpf_disabled",
                                        "kernel/yama/ptrace_scope",
                                        "kernel/core_pipe_limit",
                                        "kernel/usermodehelper/bset",
                                        "kernel/usermodehelper/inheritable",
                                        "kernel/cap_last_cap",
                                        "kernel/keys/maxkeys",
                                        "kernel/ftrace_enabled",
                                        "kernel/printk",
                                        "kernel/io_uring_disabled",
                                        "fs/suid_dumpable",
                                        "fs/protected_symlinks",
                                        "fs/protected_hardlinks",
                                        "fs/file-max",
                                        "fs/pipe-max-size",
                                        "fs/mqueue/msg_max",
                                        "vm/overcommit_memory",
                                        "vm/drop_caches",
                                        "vm/panic_on_oom",
                                        "vm/mmap_min_addr",
                                        "vm/unprivileged_userfaultfd",
                                        "user/max_user_namespaces",
                                        "net/ipv4/ip_forward",
                                        "net/ipv4/ip_unprivileged_port_start",
                                        "net/ipv4/ping_group_range",
                                        "net/core/somaxconn",
                                        "net/ipv6/conf/all/disable_ipv6",
                                        "dev/tty/legacy_tiocsti",
                                        "dev/tty/ldisc_autoload",
                                        "debug/exception-trace"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char path[96];
        snprintf(path, sizeof(path), "/proc/sys/%s", names[i]);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        refused(names[i], fd, NO_FILE);
        if (fd >= 0)
            close(fd);
    }
}

static void core_pattern(void)
{
    refused_open("/proc/sys/kernel/core_pattern", O_WRONLY);
    refused_open("/proc/self/task/../../sys/kernel/core_pattern", O_RDWR);
}

static void modprobe_path(void)
{
    refused_open("/proc/sys/kernel/modprobe", O_WRONLY);
    refused_open("/proc/sys/kernel/modprobe", O_RDWR | O_TRUNC);
}

static void binfmt(void)
{
    refused_open("/proc/sys/fs/binfmt_misc/register", O_WRONLY);
    refused_open("/proc/sys/fs/binfmt_misc/status", O_WRONLY);
    refused("create", mkdir("/proc/sys/fs/binfmt_misc/x", 0700), NO_FILE);
}

static void uevent_helper(void)
{
    refused_open("/sys/kernel/uevent_helper", O_WRONLY);
    refused_open("/proc/sys/kernel/hotplug", O_WRONLY);
    refused_open("/proc/sys/kernel/poweroff_cmd", O_WRONLY);
    refused_open("/sys/kernel/fscaps", O_WRONLY);
}

/* The mask is /dev/null over the file: it opens, and swallows. A real one is procfs. */
static void sysrq(void)
{
    int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
    struct statfs sf;
    if (fd < 0) {
        refused("/proc/sysrq-trigger", fd, NO_FILE);
    } else {
        must(fstatfs(fd, &sf) == 0 && sf.f_type != 0x9fa0, "it opens, but lies on no procfs");
        struct stat st;
        must(fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0x103,
             "it is /dev/null (CVE-2025-31133)");
        close(fd);
    }
}

static void hidden(void)
{
    static const char *const names[] = {"kcore",       "keys",          "key-users",  "timer_list",
                                        "sched_debug", "latency_stats", "kmsg",       "vmallocinfo",
                                        "slabinfo",    "kpagecount",    "kpageflags", "kpagecgroup",
                                        "vmcore",      "pagetypeinfo"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char path[64], text[256];
        snprintf(path, sizeof(path), "/proc/%s", names[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0) {
            refused(names[i], fd, NO_FILE);
            continue;
        }
        ssize_t n = read(fd, text, sizeof(text));
        must(n <= 0, "%s gives %zd bytes", names[i], n);
        close(fd);
    }
}

static void hidden_dirs(void)
{
    static const char *const names[] = {"acpi", "scsi", "driver", "asound"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%s", names[i]);
        DIR *d = opendir(path);
        if (!d) {
            refused(names[i], -1, NO_FILE);
            continue;
        }
        int n = -2;
        while (readdir(d))
            n++;
        closedir(d);
        must(n == 0, "%s has %d entries", names[i], n);
    }
    refused_open("/proc/bus/pci/00/00.0", O_RDWR);
    refused_open("/proc/irq/default_smp_affinity", O_WRONLY);
    refused_open("/proc/fs/x", O_WRONLY | O_CREAT);
    refused_open("/proc/mtrr", O_WRONLY);
    refused_open("/proc/meminfo", O_WRONLY);
    refused_open("/proc/cpuinfo", O_WRONLY);
}

/* The test's worker process holds this text; it is told to us backwards, or we would find it in
 * our own arguments. */
static const char *marker(void)
{
    static char m[128];
    const char *b = fact("rekram");
    size_t n = b ? strlen(b) : 0;
    if (n < 8 || n >= sizeof(m)) {
        unable("no marker was named");
        _exit(0);
    }
    for (size_t i = 0; i < n; i++)
        m[i] = b[n - 1 - i];
    return m;
}

static void environments(void)
{
    const char *m = marker();
    unsigned seen = 0, shut = 0, found = 0;
    DIR *d = opendir("/proc");
    for (struct dirent *de; d && (de = readdir(d));) {
        static const char *const files[] = {"environ", "cmdline"};
        for (size_t i = 0; i < 2 && de->d_name[0] > '0' && de->d_name[0] <= '9'; i++) {
            char path[300];
            static char text[1 << 17];
            snprintf(path, sizeof(path), "/proc/%s/%s", de->d_name, files[i]);
            long n = read_text(path, text, sizeof(text));
            seen += n >= 0;
            shut += n < 0;
            found += n > 0 && memmem(text, (size_t)n, m, strlen(m)) != NULL;
        }
    }
    if (d)
        closedir(d);
    must(found == 0 && seen > 0, "%u files read, %u shut, %u with the marker", seen, shut, found);
    for (char **e = environ; *e; e++)
        if (strstr(*e, m) || strncmp(*e, "ANTHROPIC", 9) == 0 || strncmp(*e, "SALLYPORT", 9) == 0)
            must(false, "our own environment has %.20s", *e);
}

/* All memory we may read: ours, our parents'. */
static void memory_scan(void)
{
    const char *m = marker();
    unsigned scanned = 0, found = 0;
    for (pid_t pid = 1; pid < 64; pid++) {
        char path[64];
        static char maps[1 << 16], chunk[1 << 16];
        snprintf(path, sizeof(path), "/proc/%d/maps", pid);
        if (pid == getpid() || read_text(path, maps, sizeof(maps)) <= 0)
            continue;
        snprintf(path, sizeof(path), "/proc/%d/mem", pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        scanned++;
        for (char *line = strtok(maps, "\n"); line; line = strtok(NULL, "\n")) {
            unsigned long from, to;
            if (sscanf(line, "%lx-%lx rw", &from, &to) != 2 || !strstr(line, "rw"))
                continue;
            for (; from < to && to - from < (64u << 20); from += sizeof(chunk) - 64) {
                ssize_t n = pread(fd, chunk, sizeof(chunk), (off_t)from);
                if (n <= 0)
                    break;
                found += memmem(chunk, (size_t)n, m, strlen(m)) != NULL;
            }
        }
        close(fd);
    }
    must(found == 0, "memory of %u processes read, %u times the marker", scanned, found);
    refused_open("/proc/1/mem", O_RDONLY);
}

static void only_ours(void)
{
    unsigned n = 0, foreign = 0;
    DIR *d = opendir("/proc");
    for (struct dirent *de; d && (de = readdir(d));) {
        char path[300];
        struct stat st;
        if (de->d_name[0] <= '0' || de->d_name[0] > '9')
            continue;
        n++;
        snprintf(path, sizeof(path), "/proc/%s/status", de->d_name);
        char text[2048], *u;
        unsigned long uid;
        if (stat(path, &st) == 0 && read_text(path, text, sizeof(text)) > 0 &&
            (u = strstr(text, "\nUid:")) && sscanf(u + 5, "%lu", &uid) == 1)
            foreign += uid != getuid();
    }
    if (d)
        closedir(d);
    must(n > 0 && foreign == 0, "%u processes, %u of another uid", n, foreign);
    long pid = fact_number("victim");
    char path[64];
    snprintf(path, sizeof(path), "/proc/%ld/status", pid);
    if (pid > 0)
        refused_open(path, O_RDONLY);
}

static void addresses(void)
{
    static char text[1 << 16];
    long n = read_text("/proc/kallsyms", text, sizeof(text));
    if (n < 0)
        refused("/proc/kallsyms", n, NO_FILE);
    bool zero = true;
    for (char *line = text; n > 0 && *line; line += strcspn(line, "\n"), line += *line == '\n')
        zero = zero && strncmp(line, "0000000000000000", 16) == 0;
    if (n >= 0)
        must(zero, "kallsyms: %ld bytes, all addresses zero", n);
    refused_open("/proc/kcore", O_WRONLY);
    n = read_text("/proc/self/stack", text, sizeof(text));
    if (n < 0)
        refused("/proc/self/stack", n, NO_FILE);
    else
        must(!strstr(text, "0xffff"), "our kernel stack shows no addresses");
    n = read_text("/proc/self/wchan", text, 64);
    must(n < 0 || strncmp(text, "ffff", 4) != 0, "wchan is no address");
    n = read_text("/proc/net/unix", text, sizeof(text));
    must(n < 0 || !strstr(text, "ffff8"), "/proc/net/unix shows no addresses");
}

/* Physical addresses are what rowhammer and direct-map attacks begin with. */
static void page_frames(void)
{
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        refused("/proc/self/pagemap", fd, NO_FILE);
        return;
    }
    uint64_t entry = 0;
    static char page[8192];
    page[4096] = 1;
    ssize_t n = pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)&page[4096] / 4096 * 8));
    must(n == 8 && (entry & ((1ull << 55) - 1)) == 0, "no frame number, entry %llx",
         (unsigned long long)entry);
    close(fd);
}

static void oom_score(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        refused("oom_score_adj", fd, NO_FILE);
        return;
    }
    refused("-1000", write(fd, "-1000", 5), EACCES, EPERM, 0);
    refused("-1", write(fd, "-1", 2), EACCES, EPERM, 0);
    close(fd);
    refused_open("/proc/1/oom_score_adj", O_WRONLY);
}

static void proc_is_proc(void)
{
    struct statfs sf;
    must(statfs("/proc", &sf) == 0 && sf.f_type == 0x9fa0, "/proc is a procfs");
    must(statfs("/proc/self/status", &sf) == 0 && sf.f_type == 0x9fa0, "/proc/self is one, too");
    char text[64];
    ssize_t n = readlink("/proc/self", text, sizeof(text) - 1);
    text[n < 0 ? 0 : n] = '\0';
    must(n > 0 && strtol(text, NULL, 10) == getpid(), "/proc/self is %s, we are %d", text,
         getpid());
}

const struct probe proc_probes[] = {
    {"proc_init_files", "secrets and memory of the supervisor",
     "environ, maps, mem, pagemap and ten more of /proc/1; eight for writing",
     "init is not dumpable", init_files, 0},
    {"proc_init_links", "the supervisor's root and cwd lead out (CVE-2024-21626)",
     "readlink and open root, cwd, exe, ns of /proc/1", "init is not dumpable", init_links, 0},
    {"proc_init_fds", "descriptors of the supervisor", "list and open /proc/1/fd, fdinfo",
     "init is not dumpable", init_fds, 0},
    {"overwrite_program", "CVE-2019-5736 (runc overwritten through /proc/self/exe)",
     "open exe of init, of our parent, of others for writing; execute init's",
     "the zygote runs from a sealed memfd; init is not dumpable", overwrite_program, 0},
    {"overwrite_idle_program", "CVE-2019-5736, once the program does not run",
     "reopen /usr/bin/env, bash, our own for writing", "/usr and binds are read-only",
     overwrite_idle_program, 0},
    {"sysctls", "settings of the host", "open 44 files of /proc/sys for writing",
     "/proc/sys is read-only; no capabilities", sysctls, 0},
    {"core_pattern", "a program the kernel starts as root", "open core_pattern for writing",
     "/proc/sys is read-only; not the host's root", core_pattern, 0},
    {"modprobe_path", "a program the kernel starts as root", "open kernel/modprobe for writing",
     "/proc/sys is read-only; not the host's root", modprobe_path, 0},
    {"binfmt_misc", "a program the kernel starts for others", "open binfmt_misc/register",
     "/proc/sys is read-only, binfmt_misc is not mounted", binfmt, 0},
    {"uevent_helper", "a program the kernel starts as root",
     "open uevent_helper, hotplug, poweroff_cmd for writing", "no /sys; /proc/sys is read-only",
     uevent_helper, 0},
    {"sysrq_trigger", "CVE-2025-31133 (mask replaced); rebooting the host",
     "open /proc/sysrq-trigger and see what it is",
     "covered by a verified /dev/null, or the host's root's alone", sysrq, 0},
    {"proc_hidden", "memory and keys of the kernel", "read kcore, keys, kmsg, slabinfo and more",
     "covered, or refused for want of capabilities", hidden, 0},
    {"proc_hidden_dirs", "CVE-2018-10892 (/proc/acpi), CVE-2017-16539 (/proc/scsi)",
     "list acpi, scsi, driver; open bus, irq, fs, mtrr for writing",
     "covered by an empty directory, or read-only", hidden_dirs, 0},
    {"environments", "keys in the environment of the supervisor",
     "search environ and cmdline of all processes for the worker's marker",
     "the environment is built from nothing", environments, 0},
    {"memory_scan", "keys left in memory that was cloned",
     "search all memory that opens for the worker's marker",
     "the zygote never had it; init is not dumpable", memory_scan, 0},
    {"proc_only_ours", "processes of the host in sight", "list /proc, look for the host's process",
     "own pid namespace and procfs", only_ours, 0},
    {"kernel_addresses", "kernel addresses for an exploit",
     "kallsyms, own stack, wchan, /proc/net/unix", "no CAP_SYSLOG", addresses, 0},
    {"page_frames", "physical addresses (rowhammer)", "read the frame number of a page of ours",
     "no CAP_SYS_ADMIN", page_frames, 0},
    {"oom_score", "surviving while the worker is killed", "oom_score_adj below zero, init's at all",
     "no CAP_SYS_RESOURCE", oom_score, 0},
    {"proc_is_proc", "CVE-2025-52881 (writes redirected to a fake procfs)",
     "check the type of /proc and /proc/self", "mounted by descriptor and verified", proc_is_proc,
     0},
    {.name = NULL},
};
