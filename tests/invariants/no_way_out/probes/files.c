/* files.c - the sandbox's files: what is in sight, what can be written, and who one can become.
 *
 * Root inside may own files of the image, and an overlay takes writes to /usr; so what was written
 * is told, and the test looks at the host's files. */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static void write_system(void)
{
    static const char *const names[] = {
        "/usr/no-way-out",  "/usr/bin/no-way-out", "/etc/no-way-out",      "/no-way-out",
        "/bin/no-way-out",  "/lib/no-way-out",     "/etc/ld.so.preload",   "/dev/no-way-out",
        "/proc/no-way-out", "/srv/no-way-out",     "/usr/local/no-way-out"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        int fd = open(names[i], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0) {
            refused(names[i], fd, NO_FILE);
            continue;
        }
        host_decides("%s was made", names[i]);
        unlink(names[i]);
        close(fd);
    }
}

static void change_system(void)
{
    static const char *const names[] = {"/usr/bin/env", "/etc/passwd",      "/etc/hosts",
                                        "/bin/sh",      "/etc/ld.so.cache", "/etc/resolv.conf"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        int fd = open(names[i], O_WRONLY | O_APPEND | O_CLOEXEC);
        if (fd < 0) {
            refused(names[i], fd, EROFS, EACCES, EPERM, ENOENT, ETXTBSY, 0);
            continue;
        }
        host_decides("%s opened for writing", names[i]);
        close(fd);
    }
    struct stat st;
    if (stat("/usr/bin/env", &st) == 0) {
        long r = chmod("/usr/bin/env", st.st_mode & 07777);
        if (r < 0)
            refused("chmod /usr/bin/env", r, NO_FILE);
        else
            host_decides("chmod of /usr/bin/env to what it was");
    }
}

/* A directory of the host with a file in it, bound read-only at /opt/canary; elsewhere when no
 * sandbox is around us. */
static const char *in_bind(const char *name)
{
    static char path[2][512];
    static unsigned n;
    const char *dir = fact("bind");
    snprintf(path[++n % 2], sizeof(path[0]), "%s/%s", dir ? dir : "/opt/canary", name);
    return path[n % 2];
}

static void read_only_bind(void)
{
    char f[512];
    snprintf(f, sizeof(f), "%s", in_bind("file"));
    int fd = open(f, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        unable("%s: %m", f);
        return;
    }
    refused_open(f, O_WRONLY);
    refused_open(f, O_RDWR | O_TRUNC);
    refused_open(in_bind("new"), O_WRONLY | O_CREAT);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    refused_open(path, O_RDWR);
    refused("rename", rename(f, in_bind("x")), NO_FILE);
    refused("chmod", chmod(f, 0777), NO_FILE);
    refused("fchmod", fchmod(fd, 0777), NO_FILE);
    refused("chown", chown(f, getuid(), getgid()), NO_FILE);
    refused("utimes", utimensat(AT_FDCWD, f, NULL, 0), NO_FILE);
    refused("setxattr", setxattr(f, "user.x", "1", 1, 0), EROFS, EPERM, EACCES, EOPNOTSUPP, 0);
    refused("truncate", truncate(f, 0), NO_FILE);
    refused("symlink", symlink("/", in_bind("l")), NO_FILE);
    refused("mkdir", mkdir(in_bind("d"), 0700), NO_FILE);
    refused("fallocate", fallocate(fd, 0, 0, 4096), EBADF, EROFS, 0);
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    refused("shared mapping", p == MAP_FAILED ? -1 : 0, EACCES, EPERM, EROFS, 0);
    p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED)
        refused("mprotect of it", mprotect(p, 4096, PROT_READ | PROT_WRITE), EACCES, EPERM, 0);
    refused("unlink", unlink(f), NO_FILE);
    close(fd);
}

static bool canary_same(const char *text)
{
    char now[256];
    return read_text(in_bind("file"), now, sizeof(now)) > 0 && strcmp(text, now) == 0;
}

/* CVE-2016-5195: write to a private mapping while it is thrown away. */
static void dirty_cow(void)
{
    char was[256];
    long n = read_text(in_bind("file"), was, sizeof(was));
    int fd = open(in_bind("file"), O_RDONLY | O_CLOEXEC);
    int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    void *p = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    if (n <= 0 || p == MAP_FAILED) {
        unable("canary: %m");
        return;
    }
    if (mem < 0) {
        refused("/proc/self/mem", mem, NO_FILE);
        return;
    }
    unsigned wrote = 0;
    pid_t pid = fork();
    for (int i = 0; i < 2000; i++)
        if (pid == 0)
            (void)madvise(p, 4096, MADV_DONTNEED);
        else
            wrote += pwrite(mem, "cow", 3, (off_t)(uintptr_t)p) == 3;
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    must(canary_same(was), "written %u times through a private mapping, the file is the same",
         wrote);
}

/* CVE-2022-0847: a page of the file spliced into a pipe, then written into. */
static void dirty_pipe(void)
{
    char was[256];
    long n = read_text(in_bind("file"), was, sizeof(was));
    int fd = open(in_bind("file"), O_RDONLY | O_CLOEXEC), p[2];
    if (n <= 0 || fd < 0 || pipe(p) < 0) {
        unable("canary: %m");
        return;
    }
    static char junk[4096];
    for (int i = 0; i < 16; i++)
        (void)!write(p[1], junk, sizeof(junk));
    for (int i = 0; i < 16; i++)
        (void)!read(p[0], junk, sizeof(junk));
    loff_t at = 0;
    ssize_t k = splice(fd, &at, p[1], NULL, 1, 0);
    if (k != 1) {
        unable("splice gave %zd: %m", k);
        return;
    }
    (void)!write(p[1], "pipe", 4);
    must(canary_same(was), "spliced and written, the file is the same");
}

static void become(void)
{
    uid_t me = getuid();
    static const uid_t ids[] = {0, 1, 1000, 1001, 65534, 2000000, 4294967294u};
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
        if (ids[i] == me)
            continue;
        char what[48];
        snprintf(what, sizeof(what), "setresuid(%u)", ids[i]);
        refused(what, syscall(SYS_setresuid, ids[i], ids[i], ids[i]), EPERM, EINVAL, 0);
        snprintf(what, sizeof(what), "setresgid(%u)", ids[i]);
        refused(what, ids[i] == getgid() ? -1 : syscall(SYS_setresgid, ids[i], ids[i], ids[i]),
                EPERM, EINVAL, 0);
    }
    gid_t g[] = {0, 4, 27};
    refused("setgroups", syscall(SYS_setgroups, 3, g), EPERM, EINVAL, 0);
    (void)syscall(SYS_setfsuid, me == 0 ? 1 : 0);
    must(syscall(SYS_setfsuid, -1) == (long)me, "fsuid is still %u", me);
}

static void make_setuid(void)
{
    static const char *const places[] = {"/workspace", "/tmp", "/dev/shm"};
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        char f[64];
        snprintf(f, sizeof(f), "%s/suid-XXXXXX", places[i]);
        int fd = mkstemp(f);
        if (fd < 0) {
            got("%s: %m", places[i]);
            continue;
        }
        uid_t other = getuid() == 0 ? 1 : 0;
        refused("chown to another", fchown(fd, other, (gid_t)-1), EPERM, EINVAL, 0);
        refused("chown to gid 5", fchown(fd, (uid_t)-1, 5), EPERM, EINVAL, 0);
        (void)fchmod(fd, 06777);
        uint32_t caps[5] = {0x02000001, 0xffffffff, 0, 0xffffffff, 0}; /* VFS_CAP_REVISION_2 */
        refused("security.capability", fsetxattr(fd, "security.capability", caps, 20, 0), EPERM,
                EINVAL, EOPNOTSUPP, 0);
        caps[0] = 0x03000001;
        refused("with a root id", fsetxattr(fd, "security.capability", caps, 24 - 4, 0), EPERM,
                EINVAL, EOPNOTSUPP, 0);
        close(fd);
        unlink(f);
        /* open(2) gives setgid without execution; an access list adds that and keeps setgid. */
        fd = open(f, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 02644);
        static const struct {
            uint32_t version;
            struct {
                uint16_t tag, permissions;
                uint32_t id;
            } entry[3];
        } list = {2, {{1, 7, ~0u}, {4, 5, ~0u}, {32, 5, ~0u}}}; /* owner, group, others */
        refused("access list", fsetxattr(fd, "system.posix_acl_access", &list, sizeof(list), 0),
                EPERM, EOPNOTSUPP, 0);
        struct stat st;
        must(fstat(fd, &st) == 0 && (st.st_mode & 02010) != 02010, "no setgid program (mode %o)",
             st.st_mode);
        close(fd);
        unlink(f);
    }
}

/* The loader prints what the kernel told it (LD_SHOW_AUXV) unless the program has more rights than
 * who started it: so AT_SECURE 0 and our own euid in its output are positive evidence. */
static void run_setuid_one(const char *program, unsigned *ran)
{
    struct stat st;
    if (stat(program, &st) < 0 || !(st.st_mode & S_ISUID))
        return;
    int p[2];
    if (pipe(p) < 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, 0);
        dup2(p[1], 1);
        dup2(p[1], 2);
        char *const argv[] = {(char *)(uintptr_t)program, (char[]){"--version"}, NULL};
        char *const env[] = {(char[]){"LD_SHOW_AUXV=1"}, NULL};
        execve(program, argv, env);
        _exit(127);
    }
    close(p[1]);
    static char text[8192];
    size_t n = 0;
    for (ssize_t k; n < sizeof(text) - 1 && (k = read(p[0], text + n, sizeof(text) - 1 - n)) > 0;)
        n += (size_t)k;
    text[n] = '\0';
    close(p[0]);
    waitpid(pid, NULL, 0);
    char *secure = strstr(text, "AT_SECURE:"), *euid = strstr(text, "AT_EUID:");
    long s = secure ? strtol(secure + 10, NULL, 10) : -1,
         e = euid ? strtol(euid + 8, NULL, 10) : -1;
    ++*ran;
    must(s == 0 && e == (long)getuid(), "%s: AT_SECURE %ld AT_EUID %ld", program, s, e);
}

static void run_setuid(void)
{
    static const char *const programs[] = {"/usr/bin/su",      "/usr/bin/passwd", "/usr/bin/mount",
                                           "/usr/bin/umount",  "/usr/bin/chsh",   "/usr/bin/newgrp",
                                           "/usr/bin/gpasswd", "/usr/bin/sudo",   "/usr/bin/chfn"};
    unsigned ran = 0;
    for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++)
        run_setuid_one(programs[i], &ran);
    if (ran == 0)
        not_applicable("no setuid program in this root");
}

static void capability_bits(void)
{
    static const char *const lines[] = {"CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"};
    static char text[4096];
    if (read_text("/proc/self/status", text, sizeof(text)) <= 0) {
        unable("/proc/self/status: %m");
        return;
    }
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        char *l = strstr(text, lines[i]);
        must(l && strncmp(l + 8, "0000000000000000", 16) == 0, "%s none", lines[i]);
    }
    must(strstr(text, "NoNewPrivs:\t1") != NULL, "no_new_privs");
    must(strstr(text, "Seccomp:\t2") != NULL, "a filter is on");
    char *g = strstr(text, "\nGroups:\t");
    unsigned strange = 0;
    for (char *p = g ? g + 9 + strspn(g + 9, " ") : NULL; p && *p != '\n';) {
        unsigned long id = strtoul(p, &p, 10);
        strange += id != 65534 && id != getgid(); /* nogroup: what an ordinary user cannot drop */
        p += strspn(p, " ");
    }
    must(g && strange == 0, "no supplementary group but our own and nogroup");
}

static void raise_capabilities(void)
{
    struct {
        uint32_t version;
        int pid;
    } h = {0x20080522, 0};
    struct {
        uint32_t effective, permitted, inheritable;
    } d[2] = {{~0u, ~0u, 0}, {~0u, ~0u, 0}};
    refused("capset(all)", syscall(SYS_capset, &h, d), EPERM, EINVAL, 0);
    refused("ambient", syscall(SYS_prctl, 47, 2, 21, 0, 0), EPERM, EINVAL, 0);
    refused("securebits", syscall(SYS_prctl, 28, 0, 0, 0, 0), EPERM, 0);
    refused("no_new_privs off", syscall(SYS_prctl, 38, 0, 0, 0, 0), EINVAL, 0);
    refused("bounding set", syscall(SYS_prctl, 24, 21, 0, 0, 0), EPERM, 0);
    must(syscall(SYS_prctl, 39, 0, 0, 0, 0) == 1, "no_new_privs reads 1");
}

static void forbidden_ioctls(void)
{
    const char *dir = scratch();
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char f[600];
    snprintf(f, sizeof(f), "%s/file", dir);
    int file = open(f, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || file < 0) {
        unable("%s: %m", dir);
        return;
    }
    int flags = FS_IMMUTABLE_FL;
    refused("immutable", ioctl(file, FS_IOC_SETFLAGS, &flags), EPERM, ENOTTY, EOPNOTSUPP, 0);
    refused("freeze", ioctl(fd, FIFREEZE, 0), EPERM, EOPNOTSUPP, 0);
    refused("thaw", ioctl(fd, FITHAW, 0), EPERM, EINVAL, EOPNOTSUPP, 0);
    uint32_t down = 2; /* *_IOC_SHUTDOWN, no flush */
    refused("shutdown", ioctl(fd, _IOR('X', 125, uint32_t), &down), EPERM, ENOTTY, EACCES, 0);
    int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    refused("shutdown /", ioctl(root, _IOR('X', 125, uint32_t), &down), EPERM, ENOTTY, EACCES, 0);
    refused("freeze /", ioctl(root, FIFREEZE, 0), EPERM, EOPNOTSUPP, 0);
    int usr = open("/usr", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (usr >= 0) {
        refused("shutdown /usr", ioctl(usr, _IOR('X', 125, uint32_t), &down), EPERM, ENOTTY, EACCES,
                0);
        struct fstrim_range all = {.len = ~0ull};
        refused("trim /usr", ioctl(usr, FITRIM, &all), EPERM, ENOTTY, EOPNOTSUPP, 0);
    }
}

static void overlay_attributes(void)
{
    static const char *const names[] = {"trusted.overlay.opaque", "trusted.overlay.redirect",
                                        "trusted.overlay.metacopy", "security.ima",
                                        "system.posix_acl_access_x"};
    const char *dir = scratch();
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        refused(names[i], setxattr(dir, names[i], "/../../..", 9, 0), EPERM, EOPNOTSUPP, EINVAL,
                EACCES, 0);
    char inner[600];
    snprintf(inner, sizeof(inner), "%s/d", dir);
    (void)mkdir(inner, 0700);
    if (setxattr(inner, "user.overlay.redirect", "/etc", 4, 0) == 0 &&
        setxattr(inner, "user.overlay.opaque", "y", 1, 0) == 0)
        got("user.overlay.* can be set");
    int n = -2;
    DIR *d = opendir(inner);
    while (d && readdir(d))
        n++;
    must(d && n == 0, "a directory with user.overlay.redirect is still empty");
    struct stat st;
    if (mknodat(AT_FDCWD, "/usr/bin/env", S_IFCHR, makedev(0, 0)) == 0)
        must(false, "a whiteout over /usr/bin/env");
    must(stat("/usr/bin/env", &st) == 0 && S_ISREG(st.st_mode), "/usr/bin/env is a file");
}

static void no_sys(void)
{
    static const char *const names[] = {
        "/sys/kernel",    "/sys/kernel/debug", "/sys/kernel/tracing",
        "/sys/fs/cgroup", "/sys/class/net",    "/sys/devices",
        "/sys/firmware",  "/sys/module",       "/sys/kernel/debug/tracing",
        "/sys/fs/bpf",    "/sys/power/state",  "/sys/kernel/security"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        refused_open(names[i], O_RDONLY);
}

static void no_host_paths(void)
{
    static const char *const names[] = {"/root",
                                        "/boot",
                                        "/var/log",
                                        "/var/lib/systemd",
                                        "/var/spool",
                                        "/etc/shadow",
                                        "/etc/ssh",
                                        "/run/systemd",
                                        "/lost+found",
                                        "/etc/sudoers",
                                        "/var/run/docker.sock"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        refused_open(names[i], O_RDONLY);
    /* The machine's identity is made up, the same for all. */
    char id[64] = "";
    int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!read(fd, id, sizeof(id) - 1);
        close(fd);
        must(strncmp(id, "53616c6c79706f727453616e64626f78", 32) == 0, "machine-id is %.40s", id);
    }
    const char *canary = fact("canary");
    if (!canary)
        unable("no canary was named");
    else
        refused_open(canary, O_RDONLY);
}

const struct probe files_probes[] = {
    {"write_system", "changing programs of the host", "create files in eleven system directories",
     "/usr and the root are read-only, or an overlay", write_system, 0},
    {"change_system", "changing programs of the host", "append to, chmod system files",
     "/usr and the root are read-only, or an overlay", change_system, 0},
    {"read_only_bind", "read-only turned into read-write",
     "sixteen ways to change a file in a read-only bind", "the mount is read-only, and locked",
     read_only_bind, 0},
    {"dirty_cow", "CVE-2016-5195", "write a private mapping while it is thrown away",
     "the kernel; the test would notice an old one", dirty_cow, 0},
    {"dirty_pipe", "CVE-2022-0847", "splice a page of the file, write the pipe",
     "the kernel; the test would notice an old one", dirty_pipe, 0},
    {"become_another", "CVE-2022-27650 and others: more ids than meant",
     "setresuid, setresgid, setgroups, setfsuid to seven ids", "one id is mapped; no CAP_SETUID",
     become, 0},
    {"make_setuid", "setuid files and file capabilities of one's own",
     "chown, chmod 06777, security.capability, setgid by access list, in three places",
     "nosuid mounts; no CAP_SETFCAP, no CAP_CHOWN; no attributes", make_setuid, 0},
    {"run_setuid", "setuid programs of the host", "run su, passwd, mount ... and read their auxv",
     "no_new_privs; /usr is nosuid", run_setuid, 0},
    {"capabilities", "CVE-2022-27650 (inheritable capabilities)",
     "read the five sets, no_new_privs, the filter, groups", "dropped, and read back at start",
     capability_bits, 0},
    {"raise_capabilities", "getting capabilities back",
     "capset, ambient, securebits, bounding set, no_new_privs off", "empty sets, locked securebits",
     raise_capabilities, 0},
    {"file_system_ioctls", "stopping a file system of the host",
     "immutable, freeze, thaw, shutdown, trim", "no capabilities", forbidden_ioctls, 0},
    {"overlay_attributes", "CVE-2021-3493, CVE-2023-0386 (overlayfs)",
     "trusted.overlay.*, user.overlay.redirect, a whiteout", "no CAP_SYS_ADMIN; no overlay of ours",
     overlay_attributes, 0},
    {"no_sysfs", "the host's devices and switches in /sys", "open twelve directories of /sys",
     "there is no /sys", no_sys, 0},
    {"no_host_paths", "the host's files in sight",
     "open eleven paths, the machine id and the test's canary",
     "an assembled root that never held them", no_host_paths, 0},
    {.name = NULL},
};
