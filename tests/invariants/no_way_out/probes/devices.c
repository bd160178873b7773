/* devices.c - device nodes: those there should not be, and making them. */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static void make_nodes(void)
{
    static const char *const places[] = {"/workspace", "/tmp", "/dev/shm", "/dev", "/dev/pts"};
    static const struct {
        const char *what;
        mode_t type;
        unsigned major, minor;
    } nodes[] = {
        {"mem", S_IFCHR, 1, 1},     {"kmsg", S_IFCHR, 1, 11},  {"null", S_IFCHR, 1, 3},
        {"vda", S_IFBLK, 254, 0},   {"sda", S_IFBLK, 8, 0},    {"loop0", S_IFBLK, 7, 0},
        {"fuse", S_IFCHR, 10, 229}, {"kvm", S_IFCHR, 10, 232}, {"tty0", S_IFCHR, 4, 0},
    };
    for (size_t p = 0; p < sizeof(places) / sizeof(*places); p++)
        for (size_t i = 0; i < sizeof(nodes) / sizeof(*nodes); i++) {
            char path[96];
            snprintf(path, sizeof(path), "%s/node-%d-%s", places[p], getpid(), nodes[i].what);
            long r = mknod(path, nodes[i].type | 0666, makedev(nodes[i].major, nodes[i].minor));
            refused(i ? nodes[i].what : path, r, EPERM, EACCES, EROFS, ENOENT, 0);
            if (r == 0) {
                int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
                got("%s", fd < 0 ? "but does not open" : "AND OPENS");
                unlink(path);
            }
        }
}

static void open_devices(void)
{
    static const char *const names[] = {"mem",
                                        "kmem",
                                        "port",
                                        "kmsg",
                                        "vda",
                                        "sda",
                                        "nvme0n1",
                                        "loop0",
                                        "loop-control",
                                        "fuse",
                                        "kvm",
                                        "net/tun",
                                        "vhost-net",
                                        "vhost-vsock",
                                        "vsock",
                                        "console",
                                        "tty0",
                                        "tty1",
                                        "vcs",
                                        "ttyS0",
                                        "hpet",
                                        "nvram",
                                        "userfaultfd",
                                        "btrfs-control",
                                        "mapper/control",
                                        "snapshot",
                                        "cuse",
                                        "dri/card0",
                                        "input/event0",
                                        "uinput",
                                        "uhid",
                                        "rfkill",
                                        "autofs",
                                        "watchdog",
                                        "cpu_dma_latency",
                                        "mcelog",
                                        "hwrng",
                                        "ptp0",
                                        "rtc0",
                                        "udmabuf",
                                        "dma_heap/system",
                                        "binder",
                                        "cpu/0/msr",
                                        "raw/rawctl",
                                        "vfio/vfio",
                                        "bus/usb/001/001",
                                        "tpm0",
                                        "sg0"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char path[64];
        snprintf(path, sizeof(path), "/dev/%s", names[i]);
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        refused(names[i], fd, ENOENT, EACCES, EPERM, ENXIO, ENODEV, ENOTDIR, 0);
        if (fd >= 0)
            close(fd);
    }
}

/* Everything in /dev is on a list. */
static void list_devices(void)
{
    static const char *const known[] = {"null",  "zero",   "full",   "random", "urandom",
                                        "tty",   "ptmx",   "pts",    "shm",    "fd",
                                        "stdin", "stdout", "stderr", "mqueue", "core"};
    DIR *d = opendir("/dev");
    if (!d) {
        unable("/dev: %m");
        return;
    }
    unsigned n = 0;
    for (struct dirent *de; (de = readdir(d));) {
        bool ok = de->d_name[0] == '.';
        for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
            ok = ok || strcmp(de->d_name, known[i]) == 0;
        n += de->d_name[0] != '.';
        if (!ok)
            must(false, "/dev/%s", de->d_name);
    }
    must(n > 0, "%u entries, all known", n);
    closedir(d);
}

/* CVE-2025-31133: the runtime bound /dev/null over paths to hide; an image had made it a link. */
static void real_nodes(void)
{
    static const struct {
        const char *path;
        unsigned minor;
    } nodes[] = {{"/dev/null", 3},
                 {"/dev/zero", 5},
                 {"/dev/full", 7},
                 {"/dev/random", 8},
                 {"/dev/urandom", 9}};
    for (size_t i = 0; i < sizeof(nodes) / sizeof(*nodes); i++) {
        struct stat st;
        must(lstat(nodes[i].path, &st) == 0 && S_ISCHR(st.st_mode) &&
                 st.st_rdev == makedev(1, nodes[i].minor),
             "%s is 1:%u", nodes[i].path, nodes[i].minor);
        if (chmod(nodes[i].path, 0666) == 0)
            host_decides("chmod 0666 of %s", nodes[i].path);
        else
            refused("chmod", -1, NO_FILE);
    }
    struct stat st;
    must(lstat("/dev/console", &st) < 0, "no /dev/console (CVE-2025-52565)");
}

/* The host's terminals are in another instance of devpts. */
static void terminals_of_host(void)
{
    DIR *d = opendir("/dev/pts");
    if (!d) {
        refused("/dev/pts", -1, NO_FILE);
        return;
    }
    unsigned n = 0;
    for (struct dirent *de; (de = readdir(d));)
        n += de->d_name[0] >= '0' && de->d_name[0] <= '9';
    closedir(d);
    must(n == 0, "%u terminals before we open one", n);
    int m = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (m < 0)
        refused("/dev/ptmx", m, NO_FILE);
    else
        must(faccessat(AT_FDCWD, "/dev/pts/0", F_OK, 0) == 0, "ours is number 0 of its own");
}

const struct probe devices_probes[] = {
    {"make_nodes", "a device node of one's own", "mknod of nine devices in five directories",
     "no CAP_MKNOD; all mounts are nodev", make_nodes, 0},
    {"open_devices", "devices of the host", "open 48 devices by their usual names",
     "/dev has seven harmless nodes", open_devices, 0},
    {"list_devices", "devices of the host", "compare /dev with what may be there",
     "/dev has seven harmless nodes", list_devices, 0},
    {"real_nodes", "CVE-2025-31133, CVE-2025-52565 (/dev/null replaced, /dev/console bound)",
     "check numbers of five nodes, chmod them, look for console",
     "bound from verified nodes on a read-only root", real_nodes, 0},
    {"pts_instance", "terminals of the host", "list /dev/pts, open a terminal",
     "own instance of devpts", terminals_of_host, 0},
    {.name = NULL},
};
